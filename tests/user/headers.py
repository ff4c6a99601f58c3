#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The public headers in a user's program: no compiler warns and no analyzer complains, in C and C++, with WEIR_DEBUG
and without; and the program does what it should. ../preload/harness.py says how to run this by hand."""

import itertools
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "preload"))
from harness import SOURCE, WORK, Skip, build_folder, case, clean_environment, expect, main, run  # noqa: E402

HERE = Path(__file__).parent
NUMBERS = itertools.count()
LIBRARY = build_folder() / ".libs" / "libweir.so"
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Wcast-qual", "-Wundef", "-Wwrite-strings",
            "-Wpointer-arith", "-Werror")
C_WARNINGS = (*WARNINGS, "-Wstrict-prototypes", "-Wmissing-prototypes")
C_OUT = """One by Boehm
Two by Boehm
a: 2, added 1 0, pushed 0
scoped
0: one
1: two
2:
3: last
3 finalized, collected 4, called 1, objects before: 6
"""
CXX_OUT = "held, 1\ncollected 2, gone\n"
# Of clang-tidy's checks those that find mistakes; not those that prefer another style, or functions of Annex K.
TIDY = ("-*,clang-analyzer-*,bugprone-*,cert-*,misc-*,performance-*,portability-*,concurrency-*,"
        "-bugprone-easily-swappable-parameters,-clang-analyzer-security.insecureAPI.*,-cert-err33-c")


def which(name):
    if shutil.which(name) is None:
        raise Skip(f"{name} is missing")
    return name


def silent(command):
    """Runs a compiler or an analyzer, which must succeed and write nothing."""
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False, universal_newlines=True, env=clean_environment({}), cwd=WORK.name)
    expect(done.returncode == 0 and done.stdout == "", f"{shlex.join(map(str, command))}\n{done.stdout}")


def compile_and_run(compiler, source, flags, expected):
    if not LIBRARY.is_file():
        raise Skip("this build has no shared library")
    program = Path(WORK.name) / f"{source}-{next(NUMBERS)}"
    silent([which(compiler), *flags, "-I", SOURCE / "include", HERE / source, "-o", program, LIBRARY,
            f"-Wl,-rpath,{LIBRARY.parent}", "-lpthread"])
    result = run(program, preload=False)
    expect(result.status == 0 and result.out.replace(": \n", ":\n") == expected and result.err == "",
           "it does not do what it should", result)


for _compiler in ("gcc", "clang"):
    for _debug in (0, 1):
        @case(f"{_compiler}, every warning, WEIR_DEBUG={_debug}: C11 and GNU17 compile and run")
        def _(compiler=_compiler, debug=_debug):
            for standard, level in (("c11", "-O2"), ("gnu17", "-O0")):
                flags = (f"-std={standard}", level, *C_WARNINGS, "-D_GNU_SOURCE", f"-DWEIR_DEBUG={debug}")
                compile_and_run(compiler, "library.c", flags, C_OUT)

for _compiler in ("g++", "clang++"):
    for _debug in (0, 1):
        @case(f"{_compiler}, every warning, WEIR_DEBUG={_debug}: C++11, C++17 and C++20 compile and run")
        def _(compiler=_compiler, debug=_debug):
            for standard in ("c++11", "c++17", "c++20"):
                flags = (f"-std={standard}", "-O2", *WARNINGS, f"-DWEIR_DEBUG={debug}")
                compile_and_run(compiler, "library.cc", flags, CXX_OUT)

for _compiler, _language, _standard in (("gcc", "c", "c11"), ("clang", "c", "c11"), ("g++", "c++", "c++11"),
                                        ("clang++", "c++", "c++17")):
    @case(f"{_compiler} compiles containers of what is aligned to 16 bytes, and of no more")
    def _(compiler=_compiler, language=_language, standard=_standard):
        keyword = "_Alignas" if language == "c" else "alignas"
        for alignment in (16, 32):
            source = Path(WORK.name) / f"aligned-{next(NUMBERS)}"
            source.write_text(f"#include <weir/weir.h>\nstruct wide {{ {keyword}({alignment}) char bytes[64]; }};\n"
                              "struct weir_vec *make(void);\n"
                              "struct weir_vec *make(void) { return weir_vec_new(WEIR_VALUES(struct wide)); }\n")
            command = [which(compiler), "-x", language, f"-std={standard}", *WARNINGS, "-fsyntax-only", "-I",
                       SOURCE / "include", source]
            if alignment == 16:
                silent(command)
                continue
            done = subprocess.run([str(word) for word in command], stderr=subprocess.PIPE, check=False,
                                  universal_newlines=True, env=clean_environment({}))
            words = done.stderr.lower().replace("_", " ")
            expect(done.returncode != 0 and ("aligned to 16 at most" in words or "to 16 bytes at most" in words),
                   done.stderr)


for _debug in (0, 1):
    @case(f"gcc -fanalyzer has nothing to say, WEIR_DEBUG={_debug}")
    def _(debug=_debug):
        silent([which("gcc"), "-std=c11", "-O1", "-fanalyzer", "-Werror", "-D_GNU_SOURCE", f"-DWEIR_DEBUG={debug}",
                "-I", SOURCE / "include", "-c", HERE / "library.c", "-o", "/dev/null"])

    @case(f"clang --analyze has nothing to say, WEIR_DEBUG={_debug}")
    def _(debug=_debug):
        silent([which("clang"), "--analyze", "-Xanalyzer", "-analyzer-werror", "--analyzer-output", "text", "-std=c11",
                "-D_GNU_SOURCE", f"-DWEIR_DEBUG={debug}", "-I", SOURCE / "include", HERE / "library.c"])

    @case(f"clang-tidy has nothing to say, WEIR_DEBUG={_debug}")
    def _(debug=_debug):
        done = subprocess.run([which("clang-tidy"), "--quiet", f"--checks={TIDY}", "--warnings-as-errors=*",
                               "--header-filter=include/weir/", str(HERE / "library.c"), "--", "-std=c11",
                               "-D_GNU_SOURCE", f"-DWEIR_DEBUG={debug}", "-I", str(SOURCE / "include")],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, check=False,
                              env=os.environ)
        expect(done.returncode == 0 and done.stdout == "", f"{done.stdout[:4000]}\n{done.stderr[-1000:]}")


for _example in sorted((SOURCE / "examples").glob("*.c")):
    @case(f"gcc -fanalyzer has nothing to say of examples/{_example.name}")
    def _(example=_example):
        silent([which("gcc"), "-std=c11", "-O1", "-fanalyzer", "-Werror", "-D_GNU_SOURCE", "-I", SOURCE / "include",
                "-c", example, "-o", "/dev/null"])


if __name__ == "__main__":
    main()
