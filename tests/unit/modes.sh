#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs unit tests again with options that change how the library works: special modes, no slack at all, other ways to
# give memory back. From the environment: WEIR_TEST_BUILD (the build's top folder), WEIR_TEST_SCALE, WEIR_TEST_MODES
# (the only program to run so). Prints TAP.

build=${WEIR_TEST_BUILD:-.}
WEIR_TEST_SCALE=${WEIR_TEST_SCALE:-15}
export WEIR_TEST_SCALE
unset CRITERION_OUTPUTS
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT

# The program's name and its options, for env.
set -- \
    'test_model WEIR_CHECK=1' \
    'test_model WEIR_STATS=json' \
    'test_model WEIR_SLACK=0' \
    'test_model WEIR_PURGE=free' \
    'test_model WEIR_PURGE=never' \
    'test_alloc_grid WEIR_CHECK=1 WEIR_SLACK=64K' \
    'test_alloc_grid WEIR_PURGE=free' \
    'test_thread WEIR_CHECK=1 WEIR_STATS=1' \
    'test_thread WEIR_SLACK=0' \
    'test_errno WEIR_CHECK=1 WEIR_PURGE=never'

echo "1..$#"
failed=0
number=0
for run; do
    number=$((number + 1))
    test=${run%% *}
    options=${run#* }
    # shellcheck disable=SC2086 # the options are words
    if [ "${WEIR_TEST_MODES:-$test}" != "$test" ]; then
        echo "ok $number - $run # SKIP only $WEIR_TEST_MODES is to run"
    elif [ ! -x "$build/tests/unit/$test" ]; then
        echo "ok $number - $run # SKIP $test was not built"
    elif env $options "$build/tests/unit/$test" >"$log" 2>&1; then
        echo "ok $number - $run"
    else
        failed=1
        echo "not ok $number - $run"
        grep -a -v -E '^weir: (  |by|statistics)' "$log" | tail -n 30 | sed 's/^/#   /'
    fi
done
exit $failed
