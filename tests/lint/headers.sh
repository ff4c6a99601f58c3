#!/bin/sh
# SPDX-License-Identifier: MIT
# Each public header compiles alone, as C11 and as C++11 and C++17, with gcc and with clang, without a warning.
source=${WEIR_TEST_SOURCE:-$(cd "$(dirname "$0")/../.." && pwd)}
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
n=0
failed=0

# try COMPILER LANGUAGE STANDARD HEADER
try() {
    n=$((n + 1))
    name="<weir/$4> as $3 with $1"
    echo "#include <weir/$4>" >"$scratch/alone.$2"
    # A macro is tried where it is used.
    if [ "$4" = containers.h ] || [ "$4" = weir.h ]; then
        echo "struct weir_map *numbers(void); /* one sort for keys, one for values */" >>"$scratch/alone.$2"
        echo "struct weir_map *numbers(void) { return weir_map_new(WEIR_VALUES(int), WEIR_VALUES(double)); }" \
            >>"$scratch/alone.$2"
    fi
    if ! command -v "$1" >/dev/null; then
        echo "ok $n - $name # SKIP $1 is missing"
    elif "$1" "-std=$3" -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I"$source/include" "$scratch/alone.$2" \
        >"$scratch/log" 2>&1; then
        echo "ok $n - $name"
    else
        echo "not ok $n - $name"
        sed 's/^/# /' "$scratch/log"
        failed=1
    fi
}

for path in "$source"/include/weir/*.h; do
    header=${path##*/}
    for compiler in gcc clang; do
        try $compiler c c11 "$header"
    done
    for compiler in g++ clang++; do
        try $compiler cc c++11 "$header"
        try $compiler cc c++17 "$header"
    done
done
echo "1..$n"
exit $failed
