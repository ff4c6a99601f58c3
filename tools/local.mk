# SPDX-License-Identifier: MIT
if TOOLS
bin_PROGRAMS += weir
# What `weir replay` becomes: small, and on whatever malloc it is started with.
pkglibexec_PROGRAMS += weir-replay
endif

weir_SOURCES = \
    tools/weir/against.c \
    tools/weir/against.h \
    tools/weir/allocators.c \
    tools/weir/allocators.h \
    tools/weir/bench.c \
    tools/weir/binary.c \
    tools/weir/binary.h \
    tools/weir/child.c \
    tools/weir/child.h \
    tools/weir/compare.c \
    tools/weir/contest.c \
    tools/weir/contest.h \
    tools/weir/html.c \
    tools/weir/html.h \
    tools/weir/json.c \
    tools/weir/json.h \
    tools/weir/launch.c \
    tools/weir/launch.h \
    tools/weir/launcher.c \
    tools/weir/launcher.h \
    tools/weir/libc.c \
    tools/weir/libc.h \
    tools/weir/machine.c \
    tools/weir/machine.h \
    tools/weir/main.c \
    tools/weir/map.c \
    tools/weir/map.h \
    tools/weir/means.c \
    tools/weir/means.h \
    tools/weir/measure.c \
    tools/weir/measure.h \
    tools/weir/options.c \
    tools/weir/output.c \
    tools/weir/output.h \
    tools/weir/page.c \
    tools/weir/page.h \
    tools/weir/plan.c \
    tools/weir/plan.h \
    tools/weir/plot.c \
    tools/weir/plot.h \
    tools/weir/preload.c \
    tools/weir/preload.h \
    tools/weir/program.c \
    tools/weir/program.h \
    tools/weir/progress.c \
    tools/weir/progress.h \
    tools/weir/rawtrace.c \
    tools/weir/rawtrace.h \
    tools/weir/relay.c \
    tools/weir/relay.h \
    tools/weir/replay.c \
    tools/weir/report.c \
    tools/weir/report.h \
    tools/weir/reports.c \
    tools/weir/reports.h \
    tools/weir/result.c \
    tools/weir/result.h \
    tools/weir/run.c \
    tools/weir/sample.c \
    tools/weir/sample.h \
    tools/weir/settings.c \
    tools/weir/settings.h \
    tools/weir/shell.c \
    tools/weir/shell.h \
    tools/weir/stats.c \
    tools/weir/stats.h \
    tools/weir/suite.c \
    tools/weir/suite.h \
    tools/weir/table.c \
    tools/weir/table.h \
    tools/weir/tool.c \
    tools/weir/tool.h \
    tools/weir/trace.c \
    tools/weir/tracefile.c \
    tools/weir/tracefile.h \
    tools/weir/traceinfo.c \
    tools/weir/traceinfo.h \
    tools/weir/trial.c \
    tools/weir/trial.h \
    src/trace/raw.h \
    tools/replay/plan.h
weir_CPPFLAGS = -D_GNU_SOURCE -DWEIR_LIBDIR='"$(libdir)"' -DWEIR_LIBEXECDIR='"$(libexecdir)"' \
    -DWEIR_SUITE_DIR='"$(pkgdatadir)/bench"' -DWEIR_JEMALLOC='"$(JEMALLOC)"' -DWEIR_MIMALLOC='"$(MIMALLOC)"' \
    -DWEIR_TCMALLOC='"$(TCMALLOC)"' -I$(srcdir)/include -I$(srcdir)/src
weir_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS) $(ZSTD_CFLAGS)
weir_LDADD = libweir.la $(JANSSON_LIBS) $(ZSTD_LIBS) $(ARGP_LIBS) -lm

weir_replay_SOURCES = \
    tools/replay/plan.h \
    tools/replay/replay.c
weir_replay_CPPFLAGS = -D_GNU_SOURCE
weir_replay_LDADD =

EXTRA_DIST += tools/check tools/demo.py tools/setup.sh tools/try
