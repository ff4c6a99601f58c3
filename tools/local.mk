# SPDX-License-Identifier: MIT
bin_PROGRAMS += weir
weir_SOURCES = \
    tools/weir/binary.c \
    tools/weir/binary.h \
    tools/weir/choose.c \
    tools/weir/choose.h \
    tools/weir/json.c \
    tools/weir/json.h \
    tools/weir/launch.c \
    tools/weir/launch.h \
    tools/weir/main.c \
    tools/weir/map.c \
    tools/weir/map.h \
    tools/weir/options.c \
    tools/weir/plan.c \
    tools/weir/plan.h \
    tools/weir/preload.c \
    tools/weir/preload.h \
    tools/weir/program.c \
    tools/weir/program.h \
    tools/weir/rawtrace.c \
    tools/weir/rawtrace.h \
    tools/weir/relay.c \
    tools/weir/relay.h \
    tools/weir/replay.c \
    tools/weir/report.c \
    tools/weir/report.h \
    tools/weir/run.c \
    tools/weir/tool.c \
    tools/weir/tool.h \
    tools/weir/trace.c \
    tools/weir/tracefile.c \
    tools/weir/tracefile.h \
    tools/weir/traceinfo.c \
    tools/weir/traceinfo.h \
    src/trace/raw.h \
    tools/replay/plan.h
weir_CPPFLAGS = -D_GNU_SOURCE -DWEIR_LIBDIR='"$(libdir)"' -DWEIR_LIBEXECDIR='"$(libexecdir)"' \
    -I$(srcdir)/include -I$(srcdir)/src
weir_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS) $(ZSTD_CFLAGS)
weir_LDADD = libweir.la $(JANSSON_LIBS) $(ZSTD_LIBS) $(ARGP_LIBS)

# What `weir replay` becomes: small, and on whatever malloc it is started with.
pkglibexec_PROGRAMS += weir-replay
weir_replay_SOURCES = \
    tools/replay/plan.h \
    tools/replay/replay.c
weir_replay_CPPFLAGS = -D_GNU_SOURCE
weir_replay_LDADD =

EXTRA_DIST += tools/check tools/demo.py tools/setup.sh tools/try
