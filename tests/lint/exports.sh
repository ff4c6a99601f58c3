#!/bin/sh
# SPDX-License-Identifier: MIT
# What the libraries export, need and call. After a wanted change: exports.sh --write, and read the difference.
here=$(cd "$(dirname "$0")" && pwd)
libs=${WEIR_TEST_BUILD:-.}/.libs
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
n=0
failed=0
export LC_ALL=C

exported() {
    nm -D --defined-only "$libs/$1" | awk '{ print $3 }' | sort -u
}

if [ "${1-}" = --write ]; then
    exported libweir.so >"$here/exports.libweir" && exported libweir-preload.so >"$here/exports.preload" &&
        exported libweir-trace.so >"$here/exports.trace"
    exit
fi

# verdict NAME COMPLAINTS: a case that holds if the file of complaints is empty.
verdict() {
    n=$((n + 1))
    if [ -s "$2" ]; then
        echo "not ok $n - $1"
        sed 's/^/# /' "$2"
        failed=1
    else
        echo "ok $n - $1"
    fi
}

# An allocation or a lock of the C library inside ours: recursion, or a deadlock after fork.
callers='malloc|calloc|realloc|free|memalign|aligned_alloc|posix_memalign|reallocarray|strn?dup|v?asprintf'
callers="$callers|v?[fsd]?n?printf(_chk)?|f(open|close|read|write|puts|puts_unlocked|flush)|puts|putchar|getline"
callers="$callers|dl(sym|vsym|open)|setlocale|qsort|syslog|opendir|getpwuid|localtime(_r)?"

for name in libweir preload trace; do
    case $name in
    libweir) file=libweir.so but=none ;;
    # malloc_info writes to the caller's stream; operator new that failed looks for the C++ runtime.
    preload) file=libweir-preload.so but='fprintf(_chk)?|fputs|fwrite|dlopen|dlsym' ;;
    # It finds the functions that it forwards to, with a heap of its own for what that takes.
    trace) file=libweir-trace.so but='dlopen|dlsym' ;;
    esac
    if ! [ -f "$libs/$file" ]; then
        echo "$libs/$file was not built" >"$scratch/log"
        verdict "$file" "$scratch/log"
        continue
    fi
    exported "$file" >"$scratch/exports"
    diff -u "$here/exports.$name" "$scratch/exports" | sed 1,2d >"$scratch/log"
    verdict "$file exports what tests/lint/exports.$name lists" "$scratch/log"

    nm -D --defined-only --with-symbol-versions "$libs/$file" | grep '@' >"$scratch/log"
    verdict "$file gives no symbol a version" "$scratch/log"

    readelf -d "$libs/$file" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -Ev '^(libc\.|ld-linux|ld-musl)' \
        >"$scratch/log"
    verdict "$file needs the C library alone" "$scratch/log"

    nm -D --undefined-only "$libs/$file" | awk '{ sub(/@.*/, "", $2); print $2 }' |
        grep -Ex "(__)?($callers)" | grep -Evx "(__)?($but)" >"$scratch/log"
    verdict "$file calls nothing that may allocate" "$scratch/log"

    readelf -Wd "$libs/$file" | grep -Eq 'TEXTREL' && echo 'text relocations' >"$scratch/log"
    readelf -Wd "$libs/$file" | grep -q 'NODELETE' || echo 'can be unloaded: no NODELETE' >>"$scratch/log"
    readelf -Wd "$libs/$file" | grep -q 'BIND_NOW\|NOW' || echo 'binds lazily: no NOW' >>"$scratch/log"
    readelf -Wl "$libs/$file" | grep -q 'GNU_RELRO' || echo 'no RELRO' >>"$scratch/log"
    verdict "$file is linked to stay, bound at start, relocations read-only" "$scratch/log"
done

nm -D --defined-only "$libs/libweir.so" | awk '$3 !~ /^weir_/ { print $3 }' >"$scratch/log"
verdict 'libweir.so exports weir_ names only' "$scratch/log"

if [ -f "$libs/libweir.a" ]; then
    nm -g --defined-only "$libs/libweir.a" 2>/dev/null |
        awk 'NF == 3 && $3 !~ /^(weir_|wr_)/ { print $3 }' >"$scratch/log"
    verdict 'libweir.a: what is not static is called wr_ or weir_' "$scratch/log"
fi
echo "1..$n"
exit $failed
