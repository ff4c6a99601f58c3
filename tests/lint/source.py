# SPDX-License-Identifier: MIT
"""What the lint tests share: the project's files, C text without comments, and TAP."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(os.environ.get("WEIR_TEST_SOURCE") or Path(__file__).parents[2]).resolve()
C_FOLDERS = ("include", "src", "tools", "tests", "bench", "examples")


def files(*folders, suffixes=None):
    """The project's files under the folders, sorted and relative to the root; with one of the suffixes if given."""
    found = []
    for folder in folders:
        found += [p.relative_to(ROOT) for p in (ROOT / folder).rglob("*")
                  if p.is_file() and (suffixes is None or p.suffix in suffixes)]
    return sorted(found)


def c_files(*folders):
    return files(*(folders or C_FOLDERS), suffixes={".c", ".h", ".cc", ".cpp"})


def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


_NO_CODE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def code(text):
    """C text with comments and literals blanked, every line where it was."""
    return _NO_CODE.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def report(cases):
    """Prints TAP for (name, complaints) pairs: a case with complaints has failed."""
    failed = 0
    print(f"1..{len(cases)}")
    for number, (name, complaints) in enumerate(cases, 1):
        print(f"{'not ok' if complaints else 'ok'} {number} - {name}")
        for complaint in complaints:
            print(f"# {complaint}")
        failed += bool(complaints)
    sys.exit(1 if failed else 0)
