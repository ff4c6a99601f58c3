#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The rules of CONTRIBUTING.md that a script can see."""

import re
from pathlib import Path

from source import C_FOLDERS, all_files, c_files, code, files, line_of, read, report

SCRIPTS = {".sh", ".py", ".mk", ".am", ".ac", ".m4"}
NO_LIST = {".mk", ".pyc"}
NAMED_SCRIPTS = ("bench/ebb-all", "bench/ebb-python", "bench/make-page", "bench/objects-all", "bench/regret-plot",
                 "bench/traces/make", "tools/try", "tools/check", ".ci/run", "autogen.sh", "configure.ac",
                 "Makefile.am", "m4/weir.m4")


def scripts():
    found = files("src", "include", "tools", "tests", "bench", "examples", "completions", suffixes=SCRIPTS)
    return found + [Path(name) for name in NAMED_SCRIPTS]


def spdx():
    """Each file opens with its licence; a script may have its interpreter's line before."""
    found = []
    for path in c_files():
        if not read(path).startswith("/* SPDX-License-Identifier: MIT"):
            found.append(f"{path}:1: does not open with /* SPDX-License-Identifier: MIT")
    for path in scripts():
        if not any("SPDX-License-Identifier: MIT" in line for line in read(path).splitlines()[:2]):
            found.append(f"{path}:1: no SPDX-License-Identifier: MIT in its first two lines")
    return found


def purpose():
    """The comment that a library file opens with says what it is for, in a sentence."""
    found = []
    for path in c_files("src", "include"):
        head = re.match(r"/\*.*?\*/(?:\s*/\*.*?\*/)?", read(path), re.DOTALL)
        words = re.findall(r"[A-Za-z]{2,}", head.group() if head else "")
        if len(words) < 7 or "." not in head.group():
            found.append(f"{path}:1: no sentence of purpose")
    return found


def layout():
    found = []
    for path in c_files() + scripts():
        text = read(path)
        for number, line in enumerate(text.split("\n"), 1):
            if len(line) > 120:
                found.append(f"{path}:{number}: {len(line)} columns; 120 are the most")
            if line != line.rstrip():
                found.append(f"{path}:{number}: space at the end of the line")
            if "\t" in line and path.suffix not in {".mk", ".am"}:
                found.append(f"{path}:{number}: tab")
        if not text.endswith("\n"):
            found.append(f"{path}: no newline at the end")
    return found


def conditionals():
    """#if inside a body: an opened brace other than that of extern "C" or of an initialiser's file scope."""
    found = []
    for path in c_files("include", "src", "tools"):
        if str(path).startswith(("src/os/", "src/base/")):
            continue
        text = code(re.sub(r'extern "C" \{', "", read(path)))
        depth = 0
        for number, line in enumerate(text.split("\n"), 1):
            if re.match(r"\s*#\s*(if|ifdef|ifndef|elif|else)\b", line):
                if depth > 0:
                    found.append(f"{path}:{number}: {line.strip()} inside a body")
            elif not re.match(r"\s*#", line) and not line.endswith("\\"):
                depth = max(0, depth + line.count("{") - line.count("}"))
    return found


def forbid(pattern, folders, why, but=()):
    found = []
    for path in c_files(*folders):
        if str(path).startswith(but):
            continue
        text = code(read(path))
        for match in re.finditer(pattern, text, re.MULTILINE):
            found.append(f"{path}:{line_of(text, match.start())}: {match.group().strip()}: {why}")
    return found


def unlisted():
    """Files that no local.mk names: they would be missing from the tarball, or never built."""
    lists = "".join(read(path) for path in [*files(*C_FOLDERS, "man", "completions", suffixes={".mk"}), "Makefile.am"])
    named = set(lists.split())
    paths = files(*C_FOLDERS, "man", "completions", "docs")
    paths += [path for path in all_files() if len(path.parts) == 1 and path.suffix == ".md"]
    # A folder below one of the top may be listed whole.
    names = {path: {str(path), str(path.with_suffix("")), *(str(p) for p in path.parents if len(p.parts) > 1)}
             for path in paths if path.suffix not in NO_LIST}
    return [f"{path}: in no local.mk and not in Makefile.am" for path in names if named.isdisjoint(names[path])]


SYSTEM_CALLS = (r"\b(mmap|mmap64|munmap|mremap|madvise|process_madvise|mprotect|mincore|brk|sbrk|futex|syscall|prctl"
                r"|membarrier|clock_gettime|sched_yield|nanosleep|getauxval|sysconf|open|read)\s*\(")

UNPREFIXED = (r"^(struct|union|enum)\s+(?!wr_|weir_)\w+\s*\{"
              r"|^[ \t]*#[ \t]*define[ \t]+(?!WR_|WEIR_|wr_|weir_|_GNU_SOURCE\b)\w+")

report([
    ("files open with their licence", spdx()),
    ("library files say what they are for", purpose()),
    ("120 columns, no tabs, no spaces at line ends", layout()),
    ("no #if in bodies outside src/os and src/base", conditionals()),
    ("every file is in the build's lists", unlisted()),
    # The recorder of traces is a library of its own. text.c writes messages, not by write(), which can be cancelled.
    ("system calls only in src/os, that of messages in text.c, and for traces in src/trace/store.c and raw.h",
     forbid(SYSTEM_CALLS, ["src"], "belongs in src/os",
            ("src/os/", "src/base/text.c", "src/trace/store.c", "src/trace/raw.h"))),
    # In operators.h it is needed where a C++ program is out of memory, and only there; preload_dl.c finds the dlopen
    # that the program has called, and the recorder what it forwards to.
    ("no dlsym and dlopen but in operators.h, preload_dl.c and src/trace/interpose.c",
     forbid(r"\b(dlsym|dlvsym|dlopen)\s*\(", ["src"], "may allocate",
            ("src/preload/operators.h", "src/preload/preload_dl.c", "src/trace/interpose.c"))),
    ("no typedef and no _t of our own in the library",
     forbid(r"^\s*typedef\b|\b(struct|enum|union)\s+\w+_t\b", ["src"], "write struct wr_name")),
    ("types and macros of the library's headers carry its prefix",
     [line for line in forbid(UNPREFIXED, ["src", "include"], "no wr_ or WR_ before it") if ".h:" in line]),
])
