#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The C and C++ code in README.md, docs/ and the manual's examples compiles, and what it quotes of examples/ is what is
there.

A block that begins with `/* examples/NAME.c: PART */` is that part of the file, between two lines `/* [PART] */`.
Another one is statements of a function, or declarations if its first line is `/* declarations */`; those of a page go
before all its functions. In README.md the declarations are what stands before the block's first blank line, in the
manual what the synopsis has. Prints TAP."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(os.environ.get("WEIR_TEST_SOURCE") or Path(__file__).parents[2])
CC = [*(os.environ.get("CC") or "cc").split(), "-std=gnu11"]
CXX = [*(os.environ.get("CXX") or "c++").split(), "-std=c++11"]
PAGES = ("README.md", "docs/objects.md", "docs/gc.md", "docs/coming-from.md")
MANUAL = ("malloc", "gc", "containers", "chunks")
DECLARATIONS = "/* declarations */\n"
count = failed = 0


def check(good, name, *details):
    global count, failed
    count += 1
    failed += not good
    print(f"{'ok' if good else 'not ok'} {count} - {name}", flush=True)
    if not good:
        for detail in details:
            print("\n".join(f"#   {line}" for line in str(detail).splitlines()), flush=True)


def quoted(path, part):
    parts = (ROOT / path).read_text(encoding="utf-8").split(f"/* [{part}] */\n")
    return parts[1] if len(parts) == 3 else None


def program(blocks, *headers):
    """Blocks of one page as one translation unit."""
    declarations = [b for b in blocks if b.startswith(DECLARATIONS)]
    functions = [f"void function_{i}(void);\nvoid function_{i}(void)\n{{\n{b}}}\n"
                 for i, b in enumerate(b for b in blocks if b not in declarations)]
    includes = [f"#include <{header}>" for header in (*headers, "stdio.h", "string.h", "weir/weir.h")]
    return "\n".join([*includes, *declarations, *functions])


def check_compiles(compiler, suffix, source, name):
    if shutil.which(compiler[0]) is None:
        check(True, f"{name} # SKIP {compiler[0]} is missing")
        return
    with tempfile.NamedTemporaryFile("w", suffix=suffix, encoding="utf-8") as file:
        file.write(source)
        file.flush()
        done = subprocess.run([*compiler, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wno-unused", "-fsyntax-only",
                               f"-I{ROOT}/include", file.name],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    check(done.returncode == 0, name, done.stdout)


def blocks_of(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


for page in PAGES:
    text = (ROOT / page).read_text(encoding="utf-8")
    own = []
    for block in blocks_of(text, "c"):
        quote = re.match(r"/\* (examples/\S+\.c): (\w+) \*/\n", block)
        if quote is not None:
            check(block[quote.end():] == quoted(*quote.groups()), f"{page} quotes {quote.group(1)}, {quote.group(2)}",
                  quoted(*quote.groups()))
        elif page == "README.md":
            declarations, statements = block.split("\n\n", 1)
            own += [f"{DECLARATIONS}{declarations}\n", statements]
        else:
            own.append(block)
    check(len(own) > 0, f"{page} has code of its own")
    check_compiles(CC, ".c", program(own), f"{page}: its code compiles ({len(own)} pieces)")
    own = blocks_of(text, "cpp")
    if own:
        check_compiles(CXX, ".cc", program(own, "cstddef", "string"), f"{page}: and its C++ ({len(own)} pieces)")

for page in MANUAL:
    text = (ROOT / "man" / f"weir_{page}.3").read_text(encoding="utf-8").replace("\\e", "\\")
    pieces = re.findall(r"^\.(?:Bd -literal|EX)\n(.*?)^\.(?:Ed|EE)$", text, re.MULTILINE | re.DOTALL)
    if "int main(" not in pieces[-1]:
        pieces = [f"{DECLARATIONS}struct node {{ struct node *left, *right; }};\n{pieces[0]}", pieces[-1]]
    check_compiles(CC, ".c", pieces[-1] if "int main(" in pieces[-1] else program(pieces),
                   f"weir_{page}(3): its example compiles")

print(f"1..{count}")
sys.exit(1 if failed else 0)
