# SPDX-License-Identifier: MIT
# Programs that are for measuring alone, and the scripts that run them and print tables. A script finds its programs in
# WEIR_TEST_BUILD/bench, the library in WEIR_PRELOAD.

bench_programs =
bench_scripts =

EXTRA_PROGRAMS += $(bench_programs)
CLEANFILES += $(bench_programs)
EXTRA_DIST += $(bench_scripts)

# Traces for `weir replay`, and what records them again.
EXTRA_DIST += \
    bench/traces/cpython.trace \
    bench/traces/gcc.trace \
    bench/traces/make \
    bench/traces/redis.trace \
    bench/traces/sqlite3.trace

.PHONY: bench
bench: all $(bench_programs)
	$(AM_V_at)$(AM_TESTS_ENVIRONMENT) \
	for script in $(bench_scripts); do $(srcdir)/$$script || exit; done
