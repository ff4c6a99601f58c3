#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The libraries with musl for a C library, built without the command (--disable-tools), under programs of musl's.
Debian's package musl-tools has what it takes. ../preload/harness.py says how to run this by hand."""

import functools
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "preload"))
from harness import SOURCE, WORK, Failure, Skip, build_folder, case, clean_environment, expect, main  # noqa: E402

BUILD = Path(WORK.name) / "musl"
WORKLOADS = ("churn", "handoff", "large", "phases", "zeroed")
INCLUDE = Path("/usr/include")
MIB = 1024  # of KiB
# What glibc's argp.h takes from its other headers.
ARGP = ("-D__BEGIN_DECLS=", "-D__END_DECLS=", "-D__THROW=", "-D__nonnull(x)=",
        "-D__LDOUBLE_REDIRECTS_TO_FLOAT128_ABI=0")
PATHS = ("WEIR_LIBDIR", "WEIR_LIBEXECDIR", "WEIR_SUITE_DIR", "WEIR_JEMALLOC", "WEIR_MIMALLOC", "WEIR_TCMALLOC")
LOCK = threading.Lock()


def output_of(command, folder=BUILD, **extra):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=folder,
                          check=False, universal_newlines=True, env=clean_environment(extra))
    expect(done.returncode == 0, f"{' '.join(map(str, command))}: exit status {done.returncode}\n{done.stdout[-3000:]}")
    return done.stdout


def compiler(folder, *headers):
    """musl-gcc, with the kernel's headers and others, which Debian keeps with those of the other C library."""
    if shutil.which("musl-gcc") is None:
        raise Skip("musl-gcc is missing")
    arch = subprocess.run(["gcc", "-print-multiarch"], capture_output=True, text=True, check=False).stdout.strip()
    folder.mkdir(parents=True)
    for name in ("linux", "asm-generic", "asm", *headers):
        found = [path for path in (INCLUDE / name, INCLUDE / arch / name) if path.exists()]
        if not found:
            raise Skip(f"{name} is missing")
        (folder / name).symlink_to(found[0])
    return ["musl-gcc", "-idirafter", str(folder)]


def build():
    if (SOURCE / "config.status").exists():
        raise Skip("the source folder is a build itself: configure builds in no other then")
    # musl-gcc's libgcc is the other C library's: unwinding is left out.
    cc = compiler(BUILD / "kernel")
    output_of([SOURCE / "configure", f"CC={' '.join(cc)}", "CFLAGS=-O2 -fno-exceptions", "--disable-tools",
               "--disable-static", "--enable-werror"])
    output_of(["make", "-j2", "all", *(f"bench/{name}" for name in WORKLOADS)])
    output_of([*cc, "-O1", "-g", SOURCE / "tests/user/musl.c", "-o", "program", "-pthread"])


@functools.cache
def problem():
    """Builds, once; what went wrong, None if nothing."""
    try:
        build()
    except (Skip, Failure) as why:
        return why
    return None


def built(name):
    """The path of a file of the build."""
    with LOCK:
        why = problem()
    if why is not None:
        raise why
    return BUILD / name


def run_on_weir(name, *args, **extra):
    return output_of([built(name), *args], LD_PRELOAD=str(built(".libs/libweir-preload.so")), **extra)


def status_of(text, name):
    return int(re.search(rf"^{name}:\s+(\d+)", text, re.M).group(1))


def goes_back(*args):
    said = run_on_weir("program", *args)
    expect(status_of(said, "VmRSS") < 16 * MIB, said)
    return said


def same_output(**extra):
    for name in WORKLOADS:
        bare = output_of([built(f"bench/{name}"), "-n", "3"])
        said = run_on_weir(f"bench/{name}", "-n", "3", **extra)
        expect(bare == said, f"{name}\n{bare}{said}")


@case("the libraries build, without a warning and without the command")
def _():
    expect(built(".libs/libweir.so").is_file() and not (BUILD / "weir").exists(), "a file is missing, or one too many")


@case("the command's sources compile without a warning")
def _():
    # Only that: its libraries are built for the other C library here.
    headers = Path(WORK.name) / "headers"
    cc = compiler(headers, "jansson.h", "jansson_config.h", "zstd.h", "argp.h")
    (headers / "bits").mkdir()
    (headers / "bits" / "floatn.h").touch()
    sources = [*SOURCE.glob("tools/weir/*.c"), *SOURCE.glob("tools/replay/*.c")]
    expect(len(sources) > 20, "no sources")
    for source in sources:
        output_of([*cc, "-std=gnu11", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", *ARGP,
                   *(f'-D{name}=""' for name in PATHS), "-DHAVE_CONFIG_H", "-I", build_folder(),
                   "-I", SOURCE / "include", "-I", SOURCE / "src", source], folder=SOURCE)


@case("Weir is in the program")
def _():
    expect("weir: " in run_on_weir("program", WEIR_VERBOSE="1"), "no word from it")


@case("one thread: memory goes back, and no purger comes")
def _():
    said = goes_back()
    expect(status_of(said, "Threads") == 1, said)


@case("threads and a fork: memory goes back")
def _():
    goes_back("threads")


@case("the workloads print what they do without Weir")
def _():
    same_output()


@case("the workloads print what they do without Weir, WEIR_CHECK=1")
def _():
    same_output(WEIR_CHECK="1")


main()
