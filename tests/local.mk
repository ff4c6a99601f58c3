# SPDX-License-Identifier: MIT
# Every test prints TAP. A test is a Criterion program of tests/unit, or a script: .sh (run by its first line) or .py.

TEST_EXTENSIONS = .sh .py
tap_driver = env AM_TAP_AWK='$(AWK)' $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh
LOG_DRIVER = $(tap_driver)
SH_LOG_DRIVER = $(tap_driver)
PY_LOG_DRIVER = $(tap_driver)

# A test that hangs ends after TEST_SECONDS.
TEST_SECONDS = 900
LOG_COMPILER = timeout -k 5 $(TEST_SECONDS)
SH_LOG_COMPILER = timeout -k 5 $(TEST_SECONDS)
if HAVE_PYTHON
PY_LOG_COMPILER = timeout -k 5 $(TEST_SECONDS) $(PYTHON)
else
PY_LOG_COMPILER = $(SHELL) $(srcdir)/tests/skip.sh 'python3 is missing'
endif

# WEIR_TEST_… are names that the library's own look at its options passes over. LeakSanitizer would report Criterion's
# own leaks, and what is reachable from Weir's blocks alone. With tap:- Criterion would hide what a test prints.
AM_TESTS_ENVIRONMENT = \
    PYTHONDONTWRITEBYTECODE=1; export PYTHONDONTWRITEBYTECODE; \
    WEIR_TEST_SOURCE='$(abs_top_srcdir)'; export WEIR_TEST_SOURCE; \
    WEIR_TEST_BUILD='$(abs_top_builddir)'; export WEIR_TEST_BUILD; \
    WEIR_PRELOAD='$(abs_top_builddir)/.libs/libweir-preload.so'; export WEIR_PRELOAD; \
    CC='$(CC)'; export CC; CXX='$(CXX)'; export CXX; PYTHON='$(PYTHON)'; export PYTHON; \
    ASAN_OPTIONS=detect_leaks=0; export ASAN_OPTIONS; TSAN_OPTIONS=halt_on_error=1; export TSAN_OPTIONS; \
    CRITERION_OUTPUTS=tap:/dev/stdout; export CRITERION_OUTPUTS;

# ---- unit tests: one Criterion program per file, linked to the static API library, so that the runner keeps libc's
# malloc. A new tests/unit/NAME.c needs its line here and no more.

unit_tests = \
    tests/unit/test_ahead \
    tests/unit/test_alloc_grid \
    tests/unit/test_arena \
    tests/unit/test_bits \
    tests/unit/test_chunks \
    tests/unit/test_containers \
    tests/unit/test_cpython \
    tests/unit/test_errno \
    tests/unit/test_extent \
    tests/unit/test_geometry \
    tests/unit/test_gc \
    tests/unit/test_huge \
    tests/unit/test_map \
    tests/unit/test_model \
    tests/unit/test_never \
    tests/unit/test_object \
    tests/unit/test_object_nomem \
    tests/unit/test_object_threads \
    tests/unit/test_option \
    tests/unit/test_order \
    tests/unit/test_os \
    tests/unit/test_poolset \
    tests/unit/test_purge \
    tests/unit/test_purger \
    tests/unit/test_return \
    tests/unit/test_space \
    tests/unit/test_stats \
    tests/unit/test_text \
    tests/unit/test_thread

# The same programs again, in other modes of the library.
unit_scripts = \
    tests/unit/modes.sh

if UNIT
check_LIBRARIES += tests/unit/libsupport.a
endif
tests_unit_libsupport_a_SOURCES = \
    tests/unit/intervals.c \
    tests/unit/intervals.h \
    tests/unit/support.c \
    tests/unit/support.h

if THREAD_SANITIZER
tests_unit_libsupport_a_SOURCES += tests/unit/plain_runner.c
endif

# What the object layer asks for memory is refused on the way.
tests_unit_test_object_nomem_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=weir_malloc,--wrap=weir_calloc,--wrap=weir_realloc \
    -Wl,--wrap=weir_reallocarray,--wrap=wr_meta_alloc,--wrap=wr_kind_refill,--wrap=wr_os_map

# What is asked of the system is refused by chance.
tests_unit_test_extent_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=wr_os_map,--wrap=wr_os_unmap,--wrap=wr_os_remap \
    -Wl,--wrap=wr_os_discard,--wrap=wr_os_huge,--wrap=wr_os_advise_huge,--wrap=wr_os_now_ns

# What goes back is counted.
tests_unit_test_never_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=wr_os_map,--wrap=wr_os_unmap,--wrap=wr_os_discard

# Of check_PROGRAMS, those that do not say otherwise.
AM_DEFAULT_SOURCE_EXT = .c
LDADD = tests/unit/libsupport.a libweir.la $(CRITERION_LIBS) $(JANSSON_LIBS)

# First what takes longest, so that with make -j nothing waits for it alone at the end.
long_tests = tests/real/run.py
if PRELOAD
if TOOLS
TESTS += $(long_tests)
endif
endif

if UNIT
check_PROGRAMS += $(unit_tests)
TESTS += $(unit_tests) $(unit_scripts)
else
TESTS += tests/unit-skipped.sh
endif

# ---- scripts, and the programs they compile ----

# The tree and what is installed.
lint_tests = \
    tests/lint/cpython.py \
    tests/lint/headers.sh \
    tests/lint/layers.py \
    tests/lint/manual.py \
    tests/lint/style.py
if PRELOAD
lint_tests += \
    tests/lint/exports.sh \
    tests/lint/install.sh
endif

# Programs under the preloaded library: its traps, misuse, refusals of the system; then the weir command, real programs.
library_tests = \
    tests/preload/preload.py \
    tests/abuse/abuse.py \
    tests/inject/inject.py
program_tests = \
    $(library_tests) \
    tests/bench/bench.py \
    tests/tool/bench.py \
    tests/tool/cli.py \
    tests/tool/compare.py \
    tests/tool/completion.py \
    tests/tool/notes.py \
    tests/tool/pages.py \
    tests/tool/replay.py \
    tests/tool/report.py \
    tests/tool/servers.py \
    tests/tool/signals.py \
    tests/tool/status.py \
    tests/tool/trace.py \
    tests/user/headers.py \
    tests/user/musl.py \
    tests/user/seeing.py

# The programs of examples/, and the code in docs/.
example_tests = \
    tests/examples/docs.py \
    tests/examples/run.py

if TOOLS
TESTS += $(lint_tests) $(example_tests)
if PRELOAD
TESTS += $(program_tests)
endif
else
if PRELOAD
TESTS += $(library_tests)
endif
endif

EXTRA_DIST += $(unit_scripts) $(example_tests) $(lint_tests) $(long_tests) $(program_tests) $(test_files)
test_files = \
    tests/abuse/abuse.h \
    tests/abuse/corrupted_trim.c \
    tests/abuse/delete_twice.cc \
    tests/abuse/descriptors.c \
    tests/abuse/double_free.c \
    tests/abuse/double_free_aba.c \
    tests/abuse/double_free_after_thread.c \
    tests/abuse/double_free_aligned.c \
    tests/abuse/double_free_by_mail.c \
    tests/abuse/double_free_by_thread.c \
    tests/abuse/double_free_by_threads.c \
    tests/abuse/double_free_calloc.c \
    tests/abuse/double_free_in_child.c \
    tests/abuse/double_free_later.c \
    tests/abuse/double_free_only.c \
    tests/abuse/double_free_owner_gone.c \
    tests/abuse/double_free_purged.c \
    tests/abuse/foreign.c \
    tests/abuse/interior.c \
    tests/abuse/interior_aligned.c \
    tests/abuse/interior_by_thread.c \
    tests/abuse/never_given.c \
    tests/abuse/not_yet_given.c \
    tests/abuse/overflow.c \
    tests/abuse/realloc_freed.c \
    tests/abuse/realloc_interior.c \
    tests/abuse/write_after_free.c \
    tests/abuse/wrong_alignment.c \
    tests/abuse/wrong_size.c \
    tests/inject/objects.c \
    tests/inject/supervise.c \
    tests/inject/workload.c \
    tests/lint/exports.libweir \
    tests/lint/exports.preload \
    tests/lint/exports.sh \
    tests/lint/exports.trace \
    tests/lint/install.sh \
    tests/lint/source.py \
    tests/preload/alignments.c \
    tests/preload/at_exit.c \
    tests/preload/bad_alloc.cc \
    tests/preload/cancel.c \
    tests/preload/case.h \
    tests/preload/children.c \
    tests/preload/clock.c \
    tests/preload/containers.cc \
    tests/preload/crash.c \
    tests/preload/cxx_host.c \
    tests/preload/cxx_lib.cc \
    tests/preload/deepbind.c \
    tests/preload/early.c \
    tests/preload/early_lib.c \
    tests/preload/figures.c \
    tests/preload/foreign.c \
    tests/preload/foreign_lib.c \
    tests/preload/fork_exit.c \
    tests/preload/fork_first.c \
    tests/preload/fork_handlers.c \
    tests/preload/fork_pages.c \
    tests/preload/fork_signal.c \
    tests/preload/fork_threads.c \
    tests/preload/free_errno.c \
    tests/preload/free_sized.c \
    tests/preload/harness.py \
    tests/preload/hello.c \
    tests/preload/late.c \
    tests/preload/libc_names.c \
    tests/preload/limit_as.c \
    tests/preload/loop.c \
    tests/preload/main_exits.c \
    tests/preload/map_limit.c \
    tests/preload/no_files.c \
    tests/preload/no_runtime.c \
    tests/preload/one_heap.c \
    tests/preload/only_frees.c \
    tests/preload/operators.cc \
    tests/preload/own_malloc.c \
    tests/preload/owner_gone.c \
    tests/preload/plain_lib.c \
    tests/preload/plugin.c \
    tests/preload/privileged.c \
    tests/preload/purger.c \
    tests/preload/realloc_zero.c \
    tests/preload/reports.c \
    tests/preload/sandbox.c \
    tests/preload/seccomp.h \
    tests/preload/service.c \
    tests/preload/signal_loop.c \
    tests/preload/sizes.c \
    tests/preload/split.c \
    tests/preload/symbols.c \
    tests/preload/thread_ends.c \
    tests/preload/thread_first.c \
    tests/preload/thread_local.cc \
    tests/preload/threads_many.c \
    tests/preload/trim.c \
    tests/preload/truth.c \
    tests/preload/usable.c \
    tests/preload/zeroed.c \
    tests/real/harness.py \
    tests/real/languages.py \
    tests/real/programs/cpython_tests.py \
    tests/real/programs/work.awk \
    tests/real/programs/work.bash \
    tests/real/programs/work.cc \
    tests/real/programs/work.js \
    tests/real/programs/work.lua \
    tests/real/programs/work.php \
    tests/real/programs/work.pl \
    tests/real/programs/work.py \
    tests/real/programs/work.rb \
    tests/real/servers.py \
    tests/real/tools.py \
    tests/skip.sh \
    tests/tool/fuzz_trace.c \
    tests/tool/harness.py \
    tests/tool/traces.py \
    tests/user/leaky.c \
    tests/user/library.c \
    tests/user/library.cc \
    tests/user/musl.c \
    tests/unit-skipped.sh

.PHONY: lint check-unit check-pages check-dist

lint: all
	$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(lint_tests)' check_PROGRAMS= check_LIBRARIES= check_DATA=

check-unit:
	$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(unit_tests) $(unit_scripts)'

# What depends on the size of a page, for builds with larger ones (configure --with-page-shift).
check-pages:
	$(MAKE) $(AM_MAKEFLAGS) check \
	    TESTS='$(unit_tests) $(unit_scripts) tests/preload/preload.py tests/abuse/abuse.py tests/inject/inject.py'

# make distcheck, with the tests that look at the tree alone.
check-dist:
	$(MAKE) $(AM_MAKEFLAGS) distcheck TESTS='$(lint_tests)'
