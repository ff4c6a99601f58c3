#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The benchmarks themselves: each workload does the same work on every allocator, ebb's figures make sense, and Weir
keeps the limits that ebb knows. Sizes alone; nothing here measures time.

../preload/harness.py says how to run this by hand."""

import csv
import json
import os
import re
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "preload"))
from harness import (NATIVE, PRELOAD, SOURCE, WORK, Skip, build_folder, case, expect, main, page_size,  # noqa: E402
                     run, succeed)

BENCH = build_folder() / "bench"
WORKLOADS = ("adversary", "aligned", "churn", "falseshare", "handoff", "hash", "large", "pareto", "phases", "prodcons",
             "regrow", "strings", "tiny", "trees", "zeroed")
SCALE, BYTES, MIB = 0.1, int(0.1 * (128 << 20)), 1 << 20
ALL_FREED = {"fifo", "lifo", "random", "large"}
BY_ADDRESS = {"per-64k"}  # what is freed depends on the addresses that the allocator gives
SIZES = {"freed", "idle", "again", "trimmed", "mappings"}
PATTERNS = {  # and the limits that Weir keeps
    **dict.fromkeys(("fifo", "lifo", "random", "keep-10", "keep-50", "keep-200", "keep-1000", "per-64k", "medium"),
                    SIZES),
    **dict.fromkeys(("other-thread", "owner-gone", "asleep"), SIZES),
    "growing": SIZES,
    "shrinking": SIZES - {"again"},  # so small, it drops its blocks often enough in a second for regret
    "queue": SIZES - {"freed", "again"},  # a thread that purges may lose its turn while the queue drains
    "drift": SIZES | {"drift"},
    "large": SIZES,
}
THREADED = {"other-thread", "owner-gone", "asleep", "queue"}  # the purger has a second of quiet to reach `idle`
PATIENCE = (1.2, 5, 20)  # seconds of quiet that are tried: on a busy machine the purger may have to wait for its turn
STEPS = ("start", "build", "free", "idle", "rebuild", "free_again", "trim")


def program(name):
    path = BENCH / name
    if not path.is_file():
        if name == "strings" and not shutil.which("c++"):
            raise Skip("no C++ compiler")
        expect(False, f"{path} has not been built; `make` builds it")
    return path


# ---- workloads ----

def checksum(result):
    match = re.fullmatch(r"checksum ([0-9a-f]{16})\n", result.out)
    expect(match is not None, "no checksum, or more than that", result)
    return match.group(1)


def workload(name):
    @case(f"{name}: the same checksum on Weir and on the C library, by one thread and by three")
    def _():
        for threads in ("-t1", "-t3"):
            mine = succeed(program(name), "-n1", threads, "-s7")
            theirs = succeed(program(name), "-n1", threads, "-s7", preload=False)
            expect(checksum(mine) == checksum(theirs), f"{threads}: on the C library {theirs.out}", mine)

    @case(f"{name}: seed and work count, -h explains, mistakes are named")
    def _():
        one = succeed(program(name), "--work=1", "--seed=1")
        expect(checksum(one) != checksum(succeed(program(name), "-n1", "-s2")), "another seed, the same checksum", one)
        expect(checksum(one) != checksum(succeed(program(name), "-n24", "-s1")), "more work, the same checksum", one)
        text = succeed(program(name), "--help").out
        expect(all(f"--{word}" in text for word in ("threads", "work", "seed")), f"--help says {text}")
        for wrong in ("-n0", "-t-1", "-s1x", "-q", "word"):
            result = run(program(name), wrong)
            expect(result.status == 2 and result.err and not result.out, f"{wrong} is taken", result)


for _name in WORKLOADS:
    workload(_name)


@case("every workload is tested")
def _():
    listed = re.findall(r"^    bench/(\w+)(?: \\)?$", (SOURCE / "bench" / "local.mk").read_text(encoding="utf-8"), re.M)
    expect(set(listed) == set(WORKLOADS), f"bench/local.mk has {sorted(listed)}")


# ---- flat ----

def flat(*args, **how):
    return run(program("flat"), *args, **how)


@case("flat: a row for each step, with the blocks and times that it says")
def _():
    for preload in (True, False):
        result = flat("--live=1,3", "--replacements=700", "--blocks=100-300", "--seed=2", preload=preload)
        expect(result.status == 0 and result.err == "", "flat failed", result)
        head, *rows = [line.split() for line in result.out.splitlines()]
        expect(head == ["MiB", "blocks", "make", "replace", "walk"], f"the head is {head}", result)
        steps = [[str(mib), str(mib * MIB // 200 + 1)] for mib in (1, 3)]
        expect([row[:2] for row in rows] == steps, f"the steps are not {steps}", result)
        expect(all(float(figure) >= 0 for row in rows for figure in row[2:]), "times", result)


@case("flat: -h explains, mistakes are named")
def _():
    text = succeed(program("flat"), "--help").out
    expect(all(f"--{word}" in text for word in ("live", "replacements", "blocks", "seed")), f"--help says {text}")
    for args, words in ((("--live=",), "not ''"), (("--live=10,5",), "from 11"), (("--live=1,x",), "not 'x'"),
                        (("--blocks=4",), "from 8"), (("--blocks=300-100",), "from 300"), (("-r1",), "from 7"),
                        (("-s-1",), "not '-1'"), (("-q",), "--help"), (("word",), "no option")):
        result = flat(*args)
        expect(result.status == 2 and words in result.err and not result.out, f"{args}: not '{words}'", result)


# ---- ebb ----

def ebb(*args, **how):
    return run(program("ebb"), *args, **how)


def measure(pattern, **how):
    """ebb's row for a pattern."""
    result = ebb("--json", f"--scale={SCALE}", "--idle=0.02", pattern, **how)
    expect(result.status == 0 and result.err == "", "ebb failed", result)
    rows = json.loads(result.out)
    expect([row["pattern"] for row in rows] == [pattern], "not the one pattern that was asked for", result)
    return rows[0]


def sane(row):
    """What must hold on any allocator."""
    resident = row["resident"]
    start, page, near = resident["start"], row["page"], MIB // 2
    name = row["pattern"]

    def need(condition, what):
        expect(condition, f"{name}: {what}\n{json.dumps(row, indent=1)}")

    need(tuple(resident) in (STEPS, STEPS[:-1]), "the steps")
    need(0 <= row["live"] <= row["floor"] and row["floor"] % page == 0, "live, floor")
    need(row["floor"] <= row["live"] + 2 * page * row["blocks"], "more pages than the blocks can touch")
    need(row["live_built"] >= 0.4 * BYTES and row["live_built"] <= row["floor_built"], "what was built")
    # A block may lie in what was resident before, but hardly much of them.
    need(resident["build"] >= start + row["floor_built"] - near, "less resident than is live after the build")
    for step in ("free", "idle"):
        need(resident[step] >= start + row["floor"] - near, f"less resident than the floor, {step}")
    for step in ("free_again", "trim")[:1 + ("trim" in resident)]:
        need(resident[step] >= start + row["floor_again"] - near, f"less resident than the floor, {step}")
    need(row["peak"] >= max(resident.values()) - near, "the peak")
    need((row["blocks"] == 0) == (name in ALL_FREED), "how many blocks are left")
    need(row["blocks"] > 0 or row["live"] == row["floor"] == 0, "nothing is left, but it has bytes")
    need(row["mappings"] > 3 and row["operations"] > 0, "mappings, operations")
    need(all(seconds >= 0 for seconds in row["seconds"].values()), "times")


def pages_are_the_systems():
    """The limits are about them; a build may act as if pages were larger."""
    return page_size() == os.sysconf("SC_PAGE_SIZE")


def pattern_case(pattern, limits):
    @case(f"ebb {pattern}: figures make sense on Weir and on the C library, Weir keeps {', '.join(sorted(limits))}")
    def _():
        theirs = measure(pattern, preload=False)
        mine = measure(pattern)
        sane(theirs)
        sane(mine)
        expect("libweir" not in theirs["library"], f"the C library's row is of {theirs['library']}")
        if NATIVE:
            return
        expect(mine["library"] == str(PRELOAD), f"malloc is not Weir's but of {mine['library']}")
        if pattern not in BY_ADDRESS:
            for figure in ("live_built", "live", "live_again", "blocks"):
                expect(mine[figure] == theirs[figure], f"{figure}: {mine[figure]}, on the C library {theirs[figure]}")
        if not pages_are_the_systems():
            return
        for idle in PATIENCE if pattern in THREADED else (0.02,):
            result = ebb(f"--check={','.join(sorted(limits))}", f"--scale={SCALE}", f"--idle={idle}", pattern)
            if result.status == 0:
                break
        expect(result.status == 0, "a limit is broken", result)


for _name, _limits in PATTERNS.items():
    pattern_case(_name, _limits)


@case("ebb: every pattern is tested, --list has them, a beginning stands for several")
def _():
    listed = [line.split()[0] for line in succeed(program("ebb"), "--list").out.splitlines()]
    expect(listed == list(PATTERNS), f"--list has {listed}")
    rows = json.loads(succeed(program("ebb"), "--json", "--scale=0.01", "--idle=0", "keep").out)
    expect([row["pattern"] for row in rows] == [name for name in listed if "keep" in name], "not those of keep")
    rows = json.loads(succeed(program("ebb"), "--json", "--scale=0.01", "--idle=0").out)
    expect([row["pattern"] for row in rows] == listed, "without a name, not all")


@case("ebb --check sees what does not go back")
def _():
    if NATIVE:
        raise Skip("asks for more than the C library gives")
    args = ("--check", f"--scale={SCALE}", "--idle=0", "keep-200")
    kept = ebb(*args)
    expect(kept.status == 0 and kept.out.rstrip().endswith(" kept"), "Weir breaks a limit", kept)
    for how in ({"preload": False}, {"env": {"WEIR_PURGE": "never"}}):
        broken = ebb(*args, **how)
        expect(broken.status == 1 and re.search(r"freed [\d.]+ > [\d.]+", broken.out), "nothing is seen", broken)
        expect(ebb(*args[1:], **how).status == 0, "without --check the status is not 0")
        other = ebb("--check=mappings", *args[1:], **how)
        expect(other.status == 0 and "(freed " in other.out, "a limit counts that was not asked for", other)


@case("ebb --timeline")
def _():
    path = Path(WORK.name) / "timeline.csv"
    for idle in (0.1, 1, 5):  # on a busy machine ebb may not get its turn to look for a while
        succeed(program("ebb"), f"--timeline={path}", "--scale=0.5", f"--idle={idle}", "keep-200")
        with open(path, encoding="ascii") as file:
            rows = list(csv.DictReader(file))
        quiet = [row for row in rows if row["step"] == "idle"]
        if quiet:
            break
    expect(rows and list(rows[0]) == ["pattern", "seconds", "resident_kib", "live_kib", "step"], f"{rows[:1]}")
    times = [float(row["seconds"]) for row in rows]
    order = [STEPS.index(row["step"]) for row in rows]
    expect(times == sorted(times) and order == sorted(order) and order[0] > 0, "not in the order of time")
    expect(quiet and all(0 < int(row["live_kib"]) < int(row["resident_kib"]) for row in quiet), f"{quiet[:3]}")


@case("ebb --soak")
def _():
    if NATIVE or not pages_are_the_systems():
        raise Skip("asks for what Weir promises, with the system's pages")
    args = ("--soak=0.01", f"--scale={SCALE}", "--idle=0", "--check=drift,mappings")
    result = succeed(program("ebb"), *args)
    ratios = re.search(r"\nresident to live: at most ([\d.]+) in the first cycle, ([\d.]+) later\n", result.out)
    expect(ratios and float(ratios.group(2)) < 1.3 * float(ratios.group(1)) + 0.02, "not flat", result)
    row = json.loads(succeed(program("ebb"), *args, "--json").out)[0]
    expect(row["pattern"] == "drift" and row["ratio"]["later"] > 0, f"{row}")
    result = ebb("--soak", "keep")
    expect(result.status == 2 and "no other" in result.err, "a pattern is taken", result)


@case("ebb: mistakes are named")
def _():
    for args, words in ((("nothing",), "no pattern 'nothing'"), (("--scale=0",), "0.01 to 100"), (("--idle=x",), "'x'"),
                        (("--check=size",), "no limit 'size'"), (("--measure=9",), "own use"), (("-x",), "invalid"),
                        (("--scale=0.01", "--timeline=/nowhere/x", "fifo"), "/nowhere/x: No such file"),
                        (("--scale=0.01", "--timeline=/dev/full", "fifo"), "/dev/full: No space")):
        result = ebb(*args)
        expect(result.status == 2 and words in result.err, f"{args}: not '{words}'", result)


# ---- ebb-all ----

@case("ebb-all: tables, figures and timelines for each allocator, a plot where gnuplot is")
def _():
    if NATIVE:
        raise Skip("asks for more than the C library gives")
    out = Path(WORK.name) / "all"
    for idle in (0.02, 0.5, 5):  # on a busy machine ebb may not get its turn to look for a while
        result = run(sys.executable, SOURCE / "bench" / "ebb-all", "--ebb", program("ebb"), "--only=weir,glibc,eager",
                     f"--with=eager={PRELOAD},WEIR_SLACK=64K", "--scale=0.05", "--rounds=2", f"--idle={idle}",
                     "--out", out, "keep-200", "squares", env={"WEIR_PRELOAD": PRELOAD}, preload=False)
        expect(result.status == 0 and result.out == "", "ebb-all failed", result)
        with open(out / "timeline.csv", encoding="utf-8") as file:
            seen_over_time = {(row["pattern"], row["allocator"]) for row in csv.DictReader(file)}
        if len(seen_over_time) >= 4:
            break
    found = json.loads((out / "ebb.json").read_text(encoding="utf-8"))
    seen = sorted((run["pattern"], run["allocator"], run["round"]) for run in found["runs"])
    expect(seen == sorted([(p, a, r) for p, names in (("keep-200", ("Weir", "glibc", "eager")),
                                                       ("squares", ("Weir", "glibc", "eager", "pymalloc")))
                           for a in names for r in (1, 2)]), f"runs: {seen}")
    resident = {run["allocator"]: run["resident"]["free"] - run["resident"]["start"] for run in found["runs"]
                if run["pattern"] == "keep-200"}
    expect(resident["eager"] < resident["Weir"] < resident["glibc"], f"{resident}")
    text = (out / "ebb.md").read_text(encoding="utf-8")
    expect("| keep-200 | eager |" in text and "| squares | pymalloc |" in text, text)
    expect(len(seen_over_time) >= 4, f"timelines are missing: {seen_over_time}")
    if shutil.which("gnuplot"):
        plot = (out / "ebb.svg").read_text(encoding="utf-8")
        expect(plot.rstrip().endswith("</svg>") and "keep-200" in plot and "eager" in plot, "the plot is not whole")


@case("ebb-all: mistakes are named, an allocator that is not there is left out")
def _():
    command = (sys.executable, SOURCE / "bench" / "ebb-all", "--ebb", program("ebb"))
    for args, status, words in ((("--with=x",), 2, "NAME=PATH"), (("--rounds=0",), 2, "more than 0"),
                                (("nothing",), 2, "no pattern begins with nothing"),
                                (("--scale=nan",), 2, "more than 0"), (("--idle=-1",), 2, "0 or more"),
                                (("--ebb=/no/such",), 2, "cannot run /no/such"),
                                (("--python=/no/such", "rows"), 2, "cannot run /no/such"),
                                ((f"--out={__file__}",), 2, f"cannot write to {__file__}: File exists"),
                                (("--out=/proc/x",), 2, "cannot write to /proc/x: "),
                                (("--list", "--with=none=/nowhere.so"), 0, "none: /nowhere.so cannot be preloaded")):
        result = run(*command, *args, preload=False)
        expect(result.status == status and words in result.err, f"{args}: not '{words}'", result)


# ---- objects-all ----

def objects_all(*args, **more):
    options = ("--build", BENCH.parent, "--rounds=1", "--objects=3000", "--size=pair=1000", "--size=trees=1",
               "--size=binary-trees=6", "--size=gcbench=6", "--size=churn=1000")
    return run(sys.executable, SOURCE / "bench" / "objects-all", *options, *args, preload=False, **more)


@case("objects-all: Weir and those that are there do the same work; figures, tables, plots")
def _():
    program("objects"), program("containers")
    out = Path(WORK.name) / "objects"
    result = objects_all("--out", out, "--only=shared_ptr,boehm,cpython,c++")
    expect(result.status == 0, "objects-all failed", result)
    found = json.loads((out / "objects.json").read_text(encoding="utf-8"))
    figures = {}
    for one in found["objects"] + found["containers"]:
        figures.setdefault(one["program"], {}).update(one["figures"])
    expect({"pair", "pair-shared", "trees", "binary-trees", "gcbench", "full-live", "full-dead", "churn",
            "pauses-longest", "pauses-busiest", "full-peak", "full-rest", "vec-push", "map-find", "set-add",
            "deque-queue"}
           <= set(figures["Weir"]), f"Weir has {sorted(figures['Weir'])}")
    expect(all(value >= 0 for name, value in figures["Weir"].items() if not name.endswith(("peak", "rest"))),
           f"{figures['Weir']}")
    for name, those in figures.items():
        for check in ("binary-trees-made", "map-sum", "set-sum"):
            expect(check not in those or those[check] == figures["Weir"][check], f"{name}: {check} {those.get(check)}")
    page = (out / "objects-figures.md").read_text(encoding="utf-8")
    expect("| trees of depth 16 built and released, ns/node |" in page and "## What was aimed at" in page, page)
    if shutil.which("gnuplot"):
        for plot in ("objects-figures.svg", "objects-containers.svg"):
            text = (out / plot).read_text(encoding="utf-8")
            expect(text.rstrip().endswith("</svg>") and "Weir" in text, f"{plot} is not whole")


@case("objects-all: what is missing is named with its package; mistakes are named")
def _():
    program("objects")
    tools = Path(WORK.name) / "no-tools"
    tools.mkdir()
    result = objects_all("--list", env={"PATH": tools})
    expect(result.status == 0 and set(result.out.split()) <= {"Weir", "CPython"}, "more than can be", result)
    for package in ("libglib2.0-dev", "libgc-dev", "libboost-dev", "ocaml-nox", "php-cli"):
        expect(package in result.err, f"{package} is not named", result)
    for args, words in ((("--with=x=/nowhere.so",), "/nowhere.so cannot be preloaded"),
                        (("--rounds=0",), "more than 0"), (("--size=trees",), "MEASUREMENT=N"),
                        (("--build", "/nowhere"), "no bench/objects"),
                        ((f"--out={__file__}",), f"cannot write to {__file__}: File exists"),
                        (("--out", WORK.name, "--page=/proc/x"), "cannot write to /proc/x: ")):
        result = objects_all(*args)
        expect(result.status == 2 and words in result.err, f"{args}: not '{words}'", result)


main()
