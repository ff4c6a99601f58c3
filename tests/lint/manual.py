#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Each public function has a page in the manual, and the page has its prototype as the header has it."""

import re

from source import ROOT, files, read, report

PROTOTYPE = re.compile(r"^(?:WEIR_API|static inline) ([^;{}=#]*?\b(weir_\w+)\(([^;{]*?)\))(?: WEIR_ATTR[^;{]*)?\s*[;{]",
                       re.MULTILINE | re.DOTALL)
FUNCTION = re.compile(r'^\.Ft (.*)\n\.Fn (\w+)(.*)$', re.MULTILINE)
LONG_FUNCTION = re.compile(r'^\.Ft (.*)\n\.Fo (\w+)\n((?:\.Fa .*\n)*)\.Fc$', re.MULTILINE)


def bare(prototype):
    """Without spaces that mean nothing."""
    return re.sub(r"\s*([*(),])\s*", r"\1", " ".join(prototype.split()))


def declared():
    """(header, name, prototype) of each public function; names that end in _ are Weir's own."""
    for path in files("include/weir", suffixes={".h"}):
        text = re.sub(r"/\*.*?\*/", "", read(path), flags=re.DOTALL)
        for prototype, name, _ in PROTOTYPE.findall(text):
            if not name.endswith("_") and not name.endswith("_at_"):
                yield path, name, bare(prototype)


def arguments(text):
    return ",".join(quoted or plain for quoted, plain in re.findall(r'"([^"]*)"|(\S+)', text))


def synopsis(page):
    """The prototypes of a page, written as man's macros have it or as mdoc's."""
    found = {bare(line) for line in re.findall(r'^\.BI "(.*);"$', page, re.MULTILINE)}
    found |= {bare(f"{result} {name}({arguments(rest)})") for result, name, rest in FUNCTION.findall(page)}
    found |= {bare(f"{result} {name}({arguments(rest.replace('.Fa ', ''))})")
              for result, name, rest in LONG_FUNCTION.findall(page)}
    return found


def complaint(path, name, prototype):
    page = ROOT / "man" / f"{name}.3"
    if not page.is_file():
        return f"{path}: {name}() has no page man/{name}.3"
    text = read(page)
    other = re.search(r"^\.so man3/(\S+)$", text, re.MULTILINE)
    if other is not None:
        text = read(f"man/{other.group(1)}")
    return None if prototype in synopsis(text) else f"{page.name}: its page has no {prototype}"


FUNCTIONS = sorted(set(declared()))
report([
    ("the headers have functions", [] if len(FUNCTIONS) > 100 else [f"{len(FUNCTIONS)} were found"]),
    ("each has its page and its prototype there", [c for c in (complaint(*f) for f in FUNCTIONS) if c is not None]),
])
