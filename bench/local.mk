# SPDX-License-Identifier: MIT
# Programs that are for measuring alone, and the scripts that run them and print tables. What the suite runs is built
# and installed with the rest, so that an installed `weir bench` has it; the others are built for `make check`, which
# runs each of them.

# In C; each workload is one file.
bench_workloads = \
    bench/adversary \
    bench/aligned \
    bench/churn \
    bench/falseshare \
    bench/handoff \
    bench/hash \
    bench/large \
    bench/pareto \
    bench/phases \
    bench/prodcons \
    bench/regrow \
    bench/tiny \
    bench/trees \
    bench/zeroed

# In C++, which the build has no rules for: see below.
bench_cxx_workloads = \
    bench/strings

bench_others = bench/containers bench/objects bench/regret

bench_adversary_LDADD = $(BENCH_LIBS)
bench_aligned_LDADD = $(BENCH_LIBS)
bench_churn_LDADD = $(BENCH_LIBS)
bench_falseshare_LDADD = $(BENCH_LIBS)
bench_handoff_LDADD = $(BENCH_LIBS)
bench_hash_LDADD = $(BENCH_LIBS)
bench_large_LDADD = $(BENCH_LIBS)
bench_pareto_LDADD = $(BENCH_LIBS)
bench_phases_LDADD = $(BENCH_LIBS)
bench_prodcons_LDADD = $(BENCH_LIBS)
bench_regrow_LDADD = $(BENCH_LIBS)
bench_tiny_LDADD = $(BENCH_LIBS)
bench_trees_LDADD = $(BENCH_LIBS)
bench_zeroed_LDADD = $(BENCH_LIBS)

bench_ebb_SOURCES = bench/ebb.c bench/ebb.h bench/ebb_measure.c bench/ebb_patterns.c
bench_ebb_LDADD = $(JANSSON_LIBS) $(ARGP_LIBS) $(BENCH_LIBS)

bench_flat_LDADD = $(BENCH_LIBS)

bench_containers_LDADD = libweir.la
bench_objects_LDADD = libweir.la
bench_regret_LDADD = libweir.la

BENCH_LIBS = -lpthread -ldl -lm

bench_scripts = \
    bench/ebb-all \
    bench/ebb-python \
    bench/make-page \
    bench/objects-all \
    bench/regret-plot

# Beside weir-replay, where the tool looks. They are of no use without the preloaded library.
suiteexecdir = $(pkglibexecdir)/bench
EXTRA_PROGRAMS += $(bench_others)
if PRELOAD
if TOOLS
suiteexec_PROGRAMS = $(bench_workloads) bench/ebb bench/flat
check_PROGRAMS += $(bench_others)
all-local: $(bench_cxx_workloads)
install-exec-local: $(bench_cxx_workloads)
	$(AM_V_at)for f in $(bench_cxx_workloads); do if test -f $$f; then \
	    $(MKDIR_P) '$(DESTDIR)$(suiteexecdir)' && $(INSTALL_PROGRAM) $$f '$(DESTDIR)$(suiteexecdir)' || exit 1; \
	fi; done
uninstall-local:
	$(AM_V_at)for f in $(bench_cxx_workloads); do rm -f '$(DESTDIR)$(suiteexecdir)'/$${f##*/}; done
endif
endif
CLEANFILES += $(bench_cxx_workloads)
EXTRA_DIST += $(bench_scripts) bench/bench.h bench/strings.cc

# What Weir's objects and containers are compared with; bench/objects-all compiles what it can.
EXTRA_DIST += \
    bench/peers/boehm.c \
    bench/peers/containers.h \
    bench/peers/containers.py \
    bench/peers/containers_glib.c \
    bench/peers/containers_std.cc \
    bench/peers/gobject.c \
    bench/peers/grcbox.c \
    bench/peers/measure.h \
    bench/peers/objects.h \
    bench/peers/objects.ml \
    bench/peers/objects.php \
    bench/peers/objects.py \
    bench/peers/pointers.cc

# Traces for `weir replay`, and what records them again.
EXTRA_DIST += \
    bench/traces/cpython.trace \
    bench/traces/gcc.trace \
    bench/traces/make \
    bench/traces/redis.trace \
    bench/traces/sqlite3.trace

bench/strings: $(srcdir)/bench/strings.cc $(srcdir)/bench/bench.h
	$(AM_V_GEN)if $(CXX) --version > /dev/null 2>&1; then \
	    $(MKDIR_P) bench && $(CXX) -std=c++17 -O2 -g -Wall -Wextra -fno-builtin -D_GNU_SOURCE -o $@ \
	        $(srcdir)/bench/strings.cc -lpthread; \
	else echo "no C++ compiler, so no $@"; fi

# The suite that `weir bench` runs, and the real programs' scripts and inputs: installed, for those who have no tree.
if TOOLS
suitedir = $(pkgdatadir)/bench
dist_suite_DATA = bench/suite.json
suiteprogramsdir = $(suitedir)/programs
dist_suiteprograms_DATA = \
    bench/programs/ast_tree.py \
    bench/programs/count.lua \
    bench/programs/dict_rows.py \
    bench/programs/json_rows.py \
    bench/programs/make_input.py \
    bench/programs/nginx.conf \
    bench/programs/python_mix.py \
    bench/programs/records.pl \
    bench/programs/records.rb \
    bench/programs/regex_text.py \
    bench/programs/sort_objects.py \
    bench/programs/tables.lua
dist_suiteprograms_SCRIPTS = bench/programs/redis_load.sh
endif

# make bench BENCHFLAGS='--full --resume'. Results of each set have a file of their own, which later runs extend. That a
# program failed under some allocator (1) is in them.
BENCHFLAGS =
CLEANFILES += bench/quick.json bench/full.json
.PHONY: bench bench-objects bench-page regret-plot
bench: all
	$(AM_V_at)set=quick; case ' $(BENCHFLAGS) ' in *' --full '*) set=full ;; esac; \
	WEIR_PRELOAD='$(abs_top_builddir)/.libs/libweir-preload.so' ./weir bench --suite=$(srcdir)/bench/suite.json \
	    --json=bench/$$set.json $(BENCHFLAGS) || test $$? = 1

# The page of results in docs/, and the table and plots in README.md, of what make bench left.
bench-page: all
	$(AM_V_at)set=quick; case ' $(BENCHFLAGS) ' in *' --full '*) set=full ;; esac; \
	$(srcdir)/bench/make-page ./weir bench/$$set.json $(srcdir)

# Objects and containers beside other libraries and languages: make bench-objects BENCHFLAGS='--page ../docs' writes
# docs/objects-figures.md anew.
bench-objects: all
	$(AM_V_at)$(MAKE) $(AM_MAKEFLAGS) bench/objects bench/containers
	$(AM_V_at)CC='$(CC)' CXX='$(CXX)' $(PYTHON) $(srcdir)/bench/objects-all --build . $(BENCHFLAGS)
clean-local: clean-objects-results
clean-objects-results:
	-rm -rf bench/objects-results

# The plot in docs/memory.md, of this build on this machine.
regret-plot: all
	$(AM_V_at)$(MAKE) $(AM_MAKEFLAGS) bench/regret
	$(AM_V_GEN)$(srcdir)/bench/regret-plot ./bench/regret $(srcdir)/docs/regret.svg
