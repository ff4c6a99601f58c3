#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a user sees of objects: the report of leaks, what WEIR_GC_DEBUG says, graphs that Graphviz takes, the log of one
object, and mistakes that end the program. ../preload/harness.py says how to run this by hand."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "preload"))
from harness import WORK, Skip, build, build_folder, case, describe, expect, main, run  # noqa: E402

HERE = Path(__file__).parent
SOURCE = HERE / "leaky.c"
LIBRARY = build_folder() / ".libs" / "libweir.so"


def leaky(*args, debug=False, env=None):
    if not LIBRARY.is_file():
        raise Skip("this build has no shared library")
    flags = ["-DWEIR_DEBUG=1"] if debug else []
    flags += ["-pthread", LIBRARY, f"-Wl,-rpath,{LIBRARY.parent}"]
    return run(build(SOURCE, *flags), *args, env=env, preload=False)


def line_of(mark):
    """The line of the source that has the comment."""
    lines = SOURCE.read_text(encoding="utf-8").splitlines()
    return [number for number, text in enumerate(lines, 1) if f"/* line: {mark} */" in text][0]


def table(text, head):
    """{what: (objects, bytes)} of the part of a report below a head."""
    rows, inside = {}, False
    for line in text.splitlines():
        found = re.fullmatch(r"weir: +(\d+) +(\d+)  (.+)", line)
        if re.fullmatch(rf"weir: +objects +bytes  {head}", line):
            inside = True
        elif inside and found:
            rows[found.group(3)] = (int(found.group(1)), int(found.group(2)))
        elif inside:
            break
    return rows


# ---- leaks ----

@case("WEIR_LEAKS=1: what is alive at exit, by type; dead cycles are no leaks, immortal objects are told apart")
def _():
    result = leaky("leak", env={"WEIR_LEAKS": 1})
    expect(result.status == 0 and result.out == "", "the program's own doing has changed", result)
    expect(re.match(r"weir: \d+: 6 objects are alive, and 1 immortal ones\n", result.err), "no head", result)
    types = table(result.err, "type")
    expect(set(types) == {"session", "request"}, f"{types}", result)
    expect(types["session"][0] == 3 and types["request"][0] == 3, f"{types}", result)
    expect(types["session"][1] >= 3 * 24 and types["request"][1] >= 3 * 216, f"bytes: {types}", result)
    expect(list(types) == ["request", "session"], "not those with most bytes first", result)
    expect("made at" not in result.err, "lines, although the program is not checked", result)


@case("WEIR_LEAKS=1 in a program compiled with WEIR_DEBUG=1: also by the line that made them")
def _():
    result = leaky("leak", debug=True, env={"WEIR_LEAKS": 1})
    sites = table(result.err, "made at")
    wanted = {f"session at {SOURCE}:{line_of('forgotten')}", f"request at {SOURCE}:{line_of('request')}"}
    expect(result.status == 0 and set(sites) == wanted, f"{sites}, not {wanted}", result)
    expect(all(count == 3 for count, _ in sites.values()), f"{sites}", result)


@case("WEIR_LEAKS=1: what other threads have made is told of where the first one has made nothing")
def _():
    result = leaky("forget-elsewhere", env={"WEIR_LEAKS": 1})
    expect(result.status == 0 and table(result.err, "type")["session"][0] == 5, "not told", result)
    result = leaky("nothing", env={"WEIR_LEAKS": 1})
    expect(result.status == 0 and result.err == "", "a program without objects has a report", result)


@case("without WEIR_LEAKS nothing is said; with nothing alive the report says so")
def _():
    result = leaky("leak")
    expect(result.status == 0 and result.err == "", "something is said", result)
    result = leaky("collect", env={"WEIR_LEAKS": 1})
    expect(re.fullmatch(r"weir: \d+: 0 objects are alive, and 0 immortal ones\n", result.err), "not that", result)


# ---- WEIR_GC_DEBUG ----

@case("WEIR_GC_DEBUG=stats: a line for a pass, that can be read")
def _():
    result = leaky("collect", env={"WEIR_GC_DEBUG": "stats"})
    expect(result.status == 0 and result.out == "found 10\nkept 0\n", "another outcome", result)
    expect(re.fullmatch(r"weir: \d+: gc: full pass: 10 objects looked at, 10 collected, 0 revived, 0 uncollectable, "
                        r"\d+\.\d{3} ms\n", result.err), "another line", result)


@case("WEIR_GC_DEBUG=collectable: each object with its type, in the checked build with its line")
def _():
    for debug in (False, True):
        result = leaky("collect", debug=debug, env={"WEIR_GC_DEBUG": "collectable"})
        tail = r", made at \S+leaky\.c:\d+" if debug else ""
        lines = result.err.splitlines()
        expect(len(lines) == 10 and all(re.fullmatch(
            rf'weir: \d+: gc: collectable: object 0x[0-9a-f]+ of type "session"{tail}', line) for line in lines),
            "other lines", result)


@case("WEIR_GC_DEBUG=saveall keeps what is found, leak says what; words add up; one that is none gets a warning")
def _():
    result = leaky("collect", env={"WEIR_GC_DEBUG": "saveall"})
    expect(result.out == "found 10\nkept 10\n" and result.err == "", "another outcome", result)
    result = leaky("collect", env={"WEIR_GC_DEBUG": "leak,stats"})
    expect(result.out == "found 10\nkept 10\n" and result.err.count("gc: collectable: ") == 10 and
           result.err.count("full pass") == 1, "another outcome", result)
    result = leaky("collect", env={"WEIR_GC_DEBUG": "stat"})
    expect(result.out == "found 10\nkept 0\n" and "WEIR_GC_DEBUG" in result.err and "stat" in result.err,
           "no warning", result)


@case("uncollectable is on by default: who claims a reference that there is not is named")
def _():
    result = leaky("lie")
    expect(result.status == 0 and '"session" has 1 references, but traverse functions visit it 2 times' in result.err
           and '"liar" visits it 2 times' in result.err, "not named", result)


@case("WEIR_GC_DEBUG=stress: a full pass at every weir_new()")
def _():
    expect(leaky("stress", env={"WEIR_GC_DEBUG": "stress"}).out == "passes 1\n", "no passes")
    expect(leaky("stress").out == "passes 0\n", "passes without it")


@case("where one thread is left, a full pass that starts by itself collects what others have left")
def _():
    result = leaky("outlive")
    expect(result.status == 0 and result.out == "collected 1\n", "not collected", result)


# ---- graphs, one object ----

def graphs(text):
    return ["digraph" + part for part in text.split("digraph")[1:]]


@case("weir_gc_dump(): graphs with types, edges and roots")
def _():
    file = Path(WORK.name) / "objects.dot"
    result = leaky("dump", file)
    expect(result.status == 0 and result.out == "all 4\npath 3\nfew 2\n", "another number of objects", result)
    every, path, few = graphs(file.read_text(encoding="utf-8"))
    expect(every.count(" -> ") == 3 and every.count("session") >= 3 and every.count("request") >= 1, every)
    expect(every.count("1 from outside") == 2, f"the two that are held from outside are not marked:\n{every}")
    expect("from outside" in path, f"no root on the path:\n{path}")
    expect("2 more objects are left out" in few, few)


@case("dot takes the graphs")
def _():
    if shutil.which("dot") is None:
        raise Skip("no dot (graphviz)")
    file = Path(WORK.name) / "taken.dot"
    leaky("dump", file)
    for number, graph in enumerate(graphs(file.read_text(encoding="utf-8"))):
        done = subprocess.run(["dot", "-Tplain"], input=graph, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              universal_newlines=True, check=False)
        expect(done.returncode == 0 and done.stderr == "", f"graph {number}: {done.stderr}\n{graph}")
        nodes = [line for line in done.stdout.splitlines() if line.startswith("node ")]
        edges = [line for line in done.stdout.splitlines() if line.startswith("edge ")]
        expect(len(nodes) >= 2 and (number > 0 or (len(nodes) == 4 and len(edges) == 3)),
               f"graph {number}: {len(nodes)} nodes, {len(edges)} edges\n{done.stdout}")


@case("weir_log(): a line for each reference and release of one object, with its line in the checked build")
def _():
    result = leaky("follow")
    counts = re.findall(r'^weir: \d+: (ref|unref) 0x[0-9a-f]+ "session": (\d+), called from 0x[0-9a-f]+$', result.err,
                        re.M)
    expect(counts == [("ref", "2"), ("unref", "1"), ("unref", "0")], f"{counts}", result)
    result = leaky("follow", debug=True)
    seen = re.findall(r'^weir: \d+: (ref|unref) 0x[0-9a-f]+ "session": (\d+), \S*leaky\.c:(\d+)$', result.err, re.M)
    expect(seen == [("ref", "2", str(line_of("ref"))), ("unref", "1", str(line_of("unref"))),
                    ("unref", "0", str(line_of("last")))], f"{seen}", result)


# ---- mistakes ----

for _what, _word, _line in (("over-release", "release", "over"), ("use-after", "reference", "after")):
    @case(f"{_what}: the program ends with the type's name and the address")
    def _(what=_what, word=_word, line=_line):
        for debug in (False, True):
            result = leaky(what, debug=debug)
            expect(result.status == -6, f"{describe(result.status)}, not SIGABRT", result)
            expect(re.search(rf"invalid {word}.*0x[0-9a-f]+.*\"session\".*released", result.err), "not named", result)
            expect(not debug or f"leaky.c:{line_of(line)}" in result.err, "no line in the checked build", result)


if __name__ == "__main__":
    main()
