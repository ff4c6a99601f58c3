# SPDX-License-Identifier: MIT
"""What the lint tests share: the project's files, C text without comments, and TAP."""

import functools
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(os.environ.get("WEIR_TEST_SOURCE") or Path(__file__).parents[2]).resolve()
C_FOLDERS = ("include", "src", "tools", "tests", "bench", "examples")


def of_clone():
    """What git tracks or would take in, None outside a clone: a tarball unpacked within another's clone is none."""
    git = ["git", "-C", str(ROOT)]
    try:
        top = subprocess.run([*git, "rev-parse", "--show-toplevel"], capture_output=True, text=True)
        if top.returncode != 0 or Path(top.stdout.rstrip("\n")).resolve() != ROOT:
            return None
        listed = subprocess.run([*git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                                capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return [Path(name) for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


BUILT_FOLDERS = {".deps", ".libs", "__pycache__"}
BUILT_NAMES = {".dirstamp", "full.json", "quick.json"}
BUILT_SUFFIXES = {".a", ".o", ".lo", ".la", ".log", ".pyc", ".trs"}


def is_built(path):
    """Whether a build in the source tree made the file."""
    if BUILT_FOLDERS & set(path.parts) or path.suffix in BUILT_SUFFIXES or path.name in BUILT_NAMES:
        return True
    with open(ROOT / path, "rb") as stream:
        return stream.read(4) == b"\x7fELF"


def of_tree():
    """All files below the root that no build made, for where there is no clone."""
    folders = [ROOT / folder for folder in (*C_FOLDERS, "man", "completions", "docs")]
    found = [path for folder in folders for path in folder.rglob("*")] + list(ROOT.glob("*.md"))
    names = [path.relative_to(ROOT) for path in found if path.is_file()]
    return [name for name in names if not is_built(name)]


@functools.lru_cache(maxsize=None)
def all_files():
    found = of_clone()
    return sorted(of_tree() if found is None else found)


def files(*folders, suffixes=None):
    """The project's files under the folders, sorted and relative to the root; with one of the suffixes if given. What
    a build leaves in the source tree is not among them."""
    inside = {Path(folder) for folder in folders}
    return [path for path in all_files()
            if not inside.isdisjoint(path.parents) and (suffixes is None or path.suffix in suffixes)]


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
