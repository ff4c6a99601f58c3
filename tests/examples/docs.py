#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The C code in docs/objects.md, gc.md and coming-from.md compiles, and what it quotes of examples/ is what is there.

A block that begins with `/* examples/NAME.c: PART */` is that part of the file, between two lines `/* [PART] */`.
Another one is statements of a function, or declarations if its first line is `/* declarations */`; those of a page go
before all its functions. Prints TAP."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(os.environ.get("WEIR_TEST_SOURCE") or Path(__file__).parents[2])
CC = (os.environ.get("CC") or "cc").split()
PAGES = ("objects", "gc", "coming-from")
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


def program(blocks):
    """The page's other blocks as one translation unit."""
    declarations = [b for b in blocks if b.startswith("/* declarations */")]
    functions = [f"void function_{i}(void);\nvoid function_{i}(void)\n{{\n{b}}}\n"
                 for i, b in enumerate(b for b in blocks if b not in declarations)]
    return "\n".join(["#include <stdio.h>", "#include <string.h>", "#include <weir/weir.h>", *declarations, *functions])


for page in PAGES:
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    own = []
    for block in re.findall(r"^```c\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        quote = re.match(r"/\* (examples/\S+\.c): (\w+) \*/\n", block)
        if quote is None:
            own.append(block)
            continue
        check(block[quote.end():] == quoted(*quote.groups()), f"{page}.md quotes {quote.group(1)}, {quote.group(2)}",
              quoted(*quote.groups()))
    with tempfile.NamedTemporaryFile("w", suffix=".c", encoding="utf-8") as file:
        file.write(program(own))
        file.flush()
        done = subprocess.run([*CC, "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-Wno-unused", "-fsyntax-only",
                               f"-I{ROOT}/include", file.name],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    check(done.returncode == 0 and len(own) > 0, f"{page}.md: its code compiles ({len(own)} pieces)", done.stdout)

print(f"1..{count}")
sys.exit(1 if failed else 0)
