# SPDX-License-Identifier: MIT
# Programs that are for measuring alone, and the scripts that run them and print tables. `make bench` builds the
# programs; `make check` does too, because a test runs each of them.

bench_programs = \
    bench/ebb

bench_ebb_SOURCES = bench/ebb.c bench/ebb.h bench/ebb_measure.c bench/ebb_patterns.c
bench_ebb_LDADD = $(JANSSON_LIBS) $(ARGP_LIBS) $(BENCH_LIBS)

BENCH_LIBS = -lpthread -ldl -lm

bench_scripts = \
    bench/ebb-all \
    bench/ebb-python

check_PROGRAMS += $(bench_programs)
EXTRA_DIST += $(bench_scripts)

.PHONY: bench
bench: all $(bench_programs)
