# SPDX-License-Identifier: MIT
bin_PROGRAMS += weir
weir_SOURCES = \
    tools/weir/binary.c \
    tools/weir/binary.h \
    tools/weir/json.c \
    tools/weir/json.h \
    tools/weir/launch.c \
    tools/weir/launch.h \
    tools/weir/main.c \
    tools/weir/options.c \
    tools/weir/preload.c \
    tools/weir/preload.h \
    tools/weir/program.c \
    tools/weir/program.h \
    tools/weir/relay.c \
    tools/weir/relay.h \
    tools/weir/report.c \
    tools/weir/report.h \
    tools/weir/run.c \
    tools/weir/tool.c \
    tools/weir/tool.h
weir_CPPFLAGS = -D_GNU_SOURCE -DWEIR_LIBDIR='"$(libdir)"' -I$(srcdir)/include
weir_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
weir_LDADD = libweir.la $(JANSSON_LIBS) $(ARGP_LIBS)

EXTRA_DIST += tools/check tools/demo.py tools/setup.sh tools/try
