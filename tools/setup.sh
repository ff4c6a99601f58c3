# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What tools/try and tools/check share; they source it. Packages that are missing, builds in trees of their own, and a
# line of progress. Sets `top` (the source tree) and `scratch` (a folder that goes at the end).

# To build; to test.
# shellcheck disable=SC2034 # used by those who source this
packages_build=(gcc libc6-dev make autoconf automake libtool pkg-config libjansson-dev libzstd-dev
    python3)
# shellcheck disable=SC2034
packages_test=(g++ clang clang-tidy libcriterion-dev strace gdb binutils file procps perl git xz-utils
    man-db mandoc bash-completion zsh graphviz libgc-dev musl-tools)

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
scratch=$(mktemp -d)
policy=/usr/sbin/policy-rc.d
made_policy=

cleanup() {
    let_services_start
    rm -rf "$scratch"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

say() { printf '%s\n' "$*" >&2; }

die() {
    progress_end
    say "$(basename "$0"): $*"
    exit 1
}

# One line that the next takes the place of, on a terminal; else a line of its own.
progress() {
    if [ -t 2 ]; then
        printf '\r\033[K%.*s' "$(($(tput cols 2>/dev/null || echo 80) - 1))" "$*" >&2
    else
        say "$*"
    fi
}

progress_end() {
    if [ -t 2 ]; then printf '\r\033[K' >&2; fi
}

# quietly LOG COMMAND...: where it fails, the end of what it printed is shown.
quietly() {
    local log=$1
    shift
    "$@" >"$log" 2>&1 </dev/null && return
    progress_end
    tail -n 40 "$log" >&2
    say "failed: $*"
    return 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# While this file says so, Debian starts no service that it installs.
keep_services_down() {
    [ ! -e $policy ] || return 0
    printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
    as_root chmod +x $policy
    made_policy=yes
}

let_services_start() {
    [ -z "$made_policy" ] || as_root rm -f $policy
    made_policy=
}

# Prints those of the packages that are not installed.
missing() {
    local package
    for package in "$@"; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
    done
}

# Installs what is missing of the packages; with nothing missing, asks nothing of the network. Fails if some still are.
install_packages() {
    command -v dpkg-query >/dev/null || return 0 # not Debian: configure names what it does not find
    local wanted package
    mapfile -t wanted < <(missing "$@")
    [ ${#wanted[@]} -gt 0 ] || return 0
    progress "installing ${wanted[*]}"
    if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
        say "missing, and there is neither root nor sudo to install them: ${wanted[*]}"
        return 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    keep_services_down
    quietly "$scratch/apt-update" as_root apt-get -q update || true
    # All at once is quickest; one by one gets at least those that exist.
    if ! as_root apt-get -qy install --no-install-recommends "${wanted[@]}" >"$scratch/apt" 2>&1 </dev/null; then
        for package in "${wanted[@]}"; do
            quietly "$scratch/apt" as_root apt-get -qy install --no-install-recommends "$package" || true
        done
    fi
    let_services_start
    progress_end
    mapfile -t wanted < <(missing "${wanted[@]}")
    [ ${#wanted[@]} -eq 0 ] || say "could not be installed: ${wanted[*]}"
    [ ${#wanted[@]} -eq 0 ]
}

jobs() { nproc 2>/dev/null || echo 2; }

# build_tree NAME [CONFIGURE-ARGUMENT...]: configures NAME under the source tree where it was not yet, or otherwise, and
# makes it.
build_tree() {
    local name=$1 tree=$top/$1
    shift
    mkdir -p "$tree"
    if ! [ -x "$top/configure" ]; then
        progress "$name: autogen"
        quietly "$tree/autogen.log" "$top/autogen.sh" || return
    fi
    if ! [ -f "$tree/Makefile" ] || [ "$(cat "$tree/configured-with" 2>/dev/null)" != "$*" ]; then
        progress "$name: configure $*"
        (cd "$tree" && quietly configure.log "$top/configure" "$@") || return
        echo "$*" >"$tree/configured-with"
    fi
    progress "$name: make"
    quietly "$tree/make.log" make -C "$tree" -j"$(jobs)" || return
    progress_end
}
