#!/bin/sh
# SPDX-License-Identifier: MIT
# What make install lays down, and that programs build against it and run on it.
build=${WEIR_TEST_BUILD:-.}
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
unset MAKEFLAGS MFLAGS MAKELEVEL WEIR_PRELOAD
n=0
failed=0

# verdict STATUS NAME: a case, with what was logged if it failed.
verdict() {
    n=$((n + 1))
    if [ "$1" = 0 ]; then
        echo "ok $n - $2"
    else
        echo "not ok $n - $2"
        sed 's/^/# /' "$scratch/log"
        failed=1
    fi
}

make -C "$build" install DESTDIR="$scratch/root" >"$scratch/log" 2>&1
verdict $? 'make install'

# The prefix was chosen at configure; weir.pc knows it.
prefix=$scratch/root$(sed -n 's/^prefix=//p' "$build/weir.pc")
for file in lib/libweir.so lib/libweir.a lib/libweir-preload.so lib/weir/libweir-trace.so \
    libexec/weir/weir-replay libexec/weir/bench/handoff libexec/weir/bench/ebb \
    lib/pkgconfig/weir.pc include/weir/weir.h \
    include/weir/alloc.h bin/weir share/man/man1/weir.1 share/man/man7/weir.7 share/man/man3/weir_malloc.3 \
    share/bash-completion/completions/weir share/zsh/site-functions/_weir; do
    [ -e "$prefix/$file" ] || echo "not there: $file"
done >"$scratch/log"
for file in lib/libweir-preload.a lib/weir/libweir-trace.a; do
    [ -e "$prefix/$file" ] && echo "$file must not be"
done >>"$scratch/log"
[ -s "$scratch/log" ]
verdict $((1 - $?)) 'libraries, headers, command, manual and completions are where they belong'

cat >"$scratch/program.c" <<'END'
#include <weir/weir.h>
int main(void)
{
    char *block = weir_malloc(100);
    if (block == NULL || weir_usable_size(block) < 100)
        return 1;
    weir_free(block);
    return 0;
}
END
# --define-prefix: the tree was moved to DESTDIR.
flags=$(PKG_CONFIG_PATH=$prefix/lib/pkgconfig pkg-config --define-prefix --cflags --libs weir)
# shellcheck disable=SC2086 # flags are words
{
    ${CC:-cc} "$scratch/program.c" $flags -Wl,-rpath,"$prefix/lib" -o "$scratch/shared" &&
        "$scratch/shared" && ldd "$scratch/shared" | grep -q "$prefix/lib/libweir.so"
} >"$scratch/log" 2>&1
verdict $? 'a program built by pkg-config runs on libweir.so'

cat >"$scratch/plain.c" <<'END'
#include <stdlib.h>
int main(void)
{
    void *volatile block = malloc(100);
    free(block);
    return block == NULL;
}
END
preload=$(PKG_CONFIG_PATH=$prefix/lib/pkgconfig pkg-config --define-prefix --variable=preload weir)
{
    ${CC:-cc} "$scratch/plain.c" -L"${preload%/*}" -lweir-preload -Wl,-rpath,"${preload%/*}" -o "$scratch/linked" &&
        WEIR_VERBOSE=1 "$scratch/linked"
} >"$scratch/log" 2>&1 && grep -q 'active in .*linked' "$scratch/log"
verdict $? 'a program linked with -lweir-preload runs on Weir'

{
    ${CC:-cc} -I"$prefix/include" "$scratch/program.c" "$prefix/lib/libweir.a" -o "$scratch/static" &&
        "$scratch/static"
} >"$scratch/log" 2>&1
verdict $? 'a program runs on libweir.a'

WEIR_VERBOSE=1 "$prefix/bin/weir" run /bin/true >"$scratch/log" 2>&1 && grep -q 'active in' "$scratch/log"
verdict $? 'the installed weir run finds its library'

"$prefix/bin/weir" trace -o "$scratch/ls.trace" /bin/ls / >"$scratch/log" 2>&1 &&
    "$prefix/bin/weir" replay -a weir "$scratch/ls.trace" >>"$scratch/log" 2>&1
verdict $? 'the installed weir trace and weir replay find theirs'

# One in C and, where there is a C++ compiler, the one in C++. From where no build tree is near.
workloads='tiny'
[ -x "$build/bench/strings" ] && workloads="$workloads strings"
# shellcheck disable=SC2086 # names are words
(
    cd "$scratch" &&
        ! "$prefix/bin/weir" bench --list workload | grep -v '^strings ' | grep -F '[' &&
        "$prefix/bin/weir" bench --rounds=1 --warm-up=0 --only=glibc,weir --json=bench.json $workloads &&
        [ "$(grep -o '"about"' bench.json | wc -l)" = "$(echo $workloads | wc -w)" ]
) >"$scratch/log" 2>&1
verdict $? 'the installed weir bench has its suite and its workloads'

make -C "$build" uninstall DESTDIR="$scratch/root" >"$scratch/log" 2>&1 &&
    ! find "$scratch/root" -type f | grep . >>"$scratch/log"
verdict $? 'make uninstall leaves nothing'

echo "1..$n"
exit $failed
