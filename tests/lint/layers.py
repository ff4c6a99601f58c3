#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A file includes its own layer or a lower one (ARCHITECTURE.md, Layers), and names the layer: "core/map.h"."""

import re
from pathlib import Path

from source import ROOT, c_files, line_of, read, report

# Of each folder, the folders of src that it may include, its own among them.
BASE = ("base",)
OS = BASE + ("os",)
CORE = OS + ("core",)
FRONT = CORE + ("front",)
ALLOWED = {
    "include/weir": (),
    "src/base": BASE,
    "src/os": OS,
    "src/core": CORE,
    "src/front": FRONT,
    "src/preload": FRONT + ("preload",),
    "src/object": FRONT + ("object",),
    "src/trace": OS + ("preload", "trace"),
    "tools": (),
    "bench": (),
    "examples": (),
}
# What the tool shares with the library that it preloads.
SHARED = {"tools": ("trace/raw.h",)}
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.MULTILINE)


def complaint(path, folder, quote, name):
    """What is wrong with one #include, or None."""
    if name.endswith(".c"):
        return "a .c includes a .c"
    if name.startswith("weir/"):
        return None if (ROOT / "include" / name).is_file() else "no such public header"
    if name == "config.h":
        allowed = str(path) == "src/base/base.h" or folder == "tools"
        return None if allowed else "config.h comes through base/base.h"
    if quote == "<" or name in SHARED.get(folder, ()):
        return None
    if not folder.startswith("src/"):
        target = (ROOT / path.parent / name).resolve()
        own = target.is_file() and target.is_relative_to(ROOT / folder) and folder != "include/weir"
        return None if own else "only public headers, the C library and files of its own folder"
    layer = Path(name).parts[0]
    if "/" not in name or not (ROOT / "src" / name).is_file():
        return "no such file under src; the layer belongs to the name"
    return None if layer in ALLOWED[folder] else f"{layer} is not below {folder}"


def check(folder):
    found = []
    for path in c_files(folder):
        text = read(path)
        for match in INCLUDE.finditer(text):
            wrong = complaint(path, folder, *match.groups())
            if wrong:
                found.append(f"{path}:{line_of(text, match.start())}: {match.group().strip()}: {wrong}")
    return found


def unknown():
    """Folders with C files that no layer has a place for."""
    known = tuple(folder + "/" for folder in ALLOWED)
    return [f"{path}: in no layer" for path in c_files("include", "src") if not str(path).startswith(known)]


report([(f"{folder} includes no higher layer", check(folder)) for folder in ALLOWED]
       + [("every folder is a layer", unknown())])
