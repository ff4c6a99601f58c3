# SPDX-License-Identifier: MIT
"""weir bench: suites, choosing from them, files of results that grow, comparing with an older one, the page; and that
the suite of the project is sound and each of its programs runs."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import xml.etree.ElementTree

from harness import BUILD, PATIENCE, SOURCE, WEIR, check, environment, finish, free_port, scratch, skip, weir, write

SUITE = os.path.join(SOURCE, "bench", "suite.json")
FEW = ["-q", "-n", "1", "--warm-up=0", "--only=glibc,weir"]


def path(name):
    return os.path.join(scratch.name, name)


def suite(*benchmarks, name="suite.json", **more):
    entries = [{"kind": "program", "about": "A test.", "size": {"quick": "1"}, **b} for b in benchmarks]
    return write(name, json.dumps({"weir_suite": 1, "benchmarks": entries, **more}))


def bench(*args, **more):
    return weir("bench", *args, **more)


def read(name):
    with open(path(name), encoding="utf-8") as file:
        return json.load(file)


def names(document):
    return [result["name"] for result in document["results"]]


def count(name):
    try:
        return os.path.getsize(path(name))
    except OSError:
        return 0


SLEEP = {"name": "sleep", "command": "sleep 0.0$BENCH_SIZE", "size": {"quick": "1", "full": "2"}}
MAKES = {
    "name": "makes",
    "setup": f"pwd >>{path('where')}; echo made-$BENCH_SIZE >file",
    "command": "sh -c 'cat file $BENCH_SUITE/beside; echo $BENCH_SIZE'",
}
ABSENT = {"name": "absent", "command": "no-such-program", "needs": {"no-such-program": "no-such-package"}}
FULL = {"name": "huge", "command": "true", "size": {"full": "1"}}
write("beside", "beside\n")
small = suite(SLEEP, MAKES, ABSENT, FULL)

# ---- what runs

done = bench(*FEW, f"--suite={small}", f"--json={path('a.json')}")
check(done.returncode == 0, "a suite runs", done.stderr, done.stdout)
check(
    done.stderr.splitlines() == ["weir: absent: skipped: no-such-program is missing (package no-such-package)"],
    "what lacks its program is skipped, and names the package",
    done.stderr,
)
check(
    names(read("a.json")) == ["sleep", "makes"],
    "the results are in the file, the full set's are not",
    names(read("a.json")),
)
check(
    read("a.json")["results"][0]["command"] == "sleep 0.01",
    "the size is in the command",
    read("a.json")["results"][0]["command"],
)
with open(path("where"), encoding="utf-8") as file:
    made = file.read().split()
check(len(made) == 1 and not os.path.exists(made[0]), "setup runs once, in a directory that goes afterwards", made)
check(
    re.search(r"^weir +\d\.\d+ +\d\.\d+ +\d\.\d+ +\d\.\d+ +2$", done.stdout, re.M),
    "geometric means at the end",
    done.stdout,
)
done = bench(*FEW, f"--suite={small}", f"--json={path('a.json')}", "-n", "2", "s?eep")
check(
    done.returncode == 0 and [(r["name"], r["rounds"]) for r in read("a.json")["results"]] == [
        ("sleep", 2),
        ("makes", 1),
    ],
    "a new result takes the place of the old; others stay",
    read("a.json")["results"],
)
done = bench(*FEW, f"--suite={small}", f"--json={path('a.json')}", "--resume", "-n", "3")
check(
    [r["rounds"] for r in read("a.json")["results"]] == [2, 1] and "sleep: in " in done.stderr,
    "--resume leaves out what is there",
    done.stderr,
)
done = bench(*FEW, f"--suite={small}", "--full", f"--json={path('a.json')}", "sleep")
check(done.returncode == 125 and "another set" in done.stderr, "a file is for one set", done.stderr)
done = bench(*FEW, f"--suite={small}", "--full", "--json=-", "sleep", "huge")
check(names(json.loads(done.stdout)) == ["sleep", "huge"], "--full has its own", done.stdout[:200])
foreign = read("a.json")
foreign["machine"]["cpu"] = "another"
write("foreign.json", json.dumps(foreign))
done = bench(*FEW, f"--suite={small}", f"--json={path('foreign.json')}", "sleep")
check(done.returncode == 125 and "another machine" in done.stderr, "and for one machine", done.stderr)
done = bench(*FEW, f"--suite={suite({**SLEEP, 'setup': 'exit 3'}, MAKES, name='bad.json')}")
check(
    done.returncode == 1 and "sleep: skipped: its setup failed" in done.stderr and "makes: " in done.stdout,
    "a setup that fails: said, and the others go on",
    done.stderr,
)
breaks = {"name": "breaks", "command": "sh -c 'case $LD_PRELOAD in *weir*) kill -SEGV $$;; esac'"}
done = bench(*FEW, f"--suite={suite(breaks, SLEEP, name='breaks.json')}")
check(
    done.returncode == 1 and "ended by signal 11" in done.stdout and "sleep: sleep" in done.stdout,
    "a crash under one allocator: said, and the others go on",
    done.stdout,
)
port = free_port()
server = {"name": "listens", "kind": "server", "command": f"{sys.executable} -m http.server --bind 127.0.0.1 {port}",
          "load": "sleep 0.1", "ready": port}
done = bench(*FEW, f"--suite={suite(server, SLEEP, name='server.json')}", "server", "--json=-")
check(names(json.loads(done.stdout)) == ["listens"] and done.returncode == 0, "a kind chooses, too", done.stderr)

# ---- Ctrl-C, and going on

slow = suite(SLEEP, {"name": "slow", "command": "sleep 0.2"}, name="slow.json")
command = [WEIR, "bench", "-n", "30", "--only=glibc", f"--suite={slow}", f"--json={path('slow-results.json')}"]
process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
while True:
    line = process.stderr.readline()
    if not line or "slow: round 2" in line:
        break
process.send_signal(signal.SIGINT)
out, _ = process.communicate(timeout=PATIENCE)
check(
    process.returncode == -signal.SIGINT and "INTERRUPTED" in out,
    "Ctrl-C: what was done is shown",
    process.returncode,
    out,
)
check(
    names(read("slow-results.json")) == ["sleep"],
    "only what is whole goes into the file",
    names(read("slow-results.json")),
)

# ---- old against new

bench("-q", "-n", "5", "--only=glibc", f"--suite={small}", f"--json={path('before.json')}", "sleep", "makes")
for file, seconds in (("before.json", 0.05), ("after.json", 0.2)):
    times = read("before.json")
    for result in times["results"]:
        for number, one in enumerate(result["allocators"][0]["runs"]):
            one["wall_seconds"] = (seconds if result["name"] == "makes" else 0.1) * (1 + number / 100)
    write(file, json.dumps(times))
done = bench(f"--from={path('after.json')}", f"--against={path('before.json')}")
check(
    done.returncode == 0 and "geometric means over 2 benchmarks" in done.stdout,
    "--against: geometric means",
    done.stdout,
    done.stderr,
)
worse = done.stdout.split("Worse beyond noise")[1]
check(
    re.search(r"^  makes +glibc +time +4\.0", worse, re.M),
    "what takes four times as long is worse",
    done.stdout,
)
done = bench(f"--from={path('before.json')}", f"--against={path('after.json')}")
better = done.stdout.split("Better beyond noise")[1].split("Worse")[0]
check(re.search(r"^  makes +glibc +time +0\.25", better, re.M), "and the other way round better", done.stdout)
done = bench(f"--from={path('before.json')}", f"--against={path('before.json')}")
check(done.stdout.count("beyond noise: nothing") == 2, "the same against itself: nothing", done.stdout)

# ---- the page

if shutil.which("gnuplot"):
    done = bench(f"--from={path('a.json')}", f"--page={path('page')}", f"--html={path('page.html')}")
    check(done.returncode == 0, "--page", done.stderr)
    with open(path("page/benchmarks.md"), encoding="utf-8") as file:
        page = file.read()
    linked = re.findall(r"\]\(([^)]+)\)", page)
    check(
        set(linked) == {f"benchmarks/{name}" for name in ("results.json", "means.svg", "sleep.svg", "makes.svg")}
        and all(os.path.exists(path(f"page/{name}")) for name in linked),
        "all that it links to is there",
        linked,
    )
    tables = [block.splitlines() for block in page.split("\n\n") if block.startswith("|")]
    check(
        len(tables) == 4 and all(len({line.count("|") for line in table}) == 1 for table in tables),
        "its tables have as many cells in each line",
        tables,
    )
    for name in ("means", "sleep"):
        text = "".join(xml.etree.ElementTree.parse(path(f"page/benchmarks/{name}.svg")).getroot().itertext())
        check("weir" in text and "glibc" in text, f"{name}.svg has the allocators", text)
    check(read("page/benchmarks/results.json") == read("a.json"), "the raw results are those of the file")
    with open(path("page.html"), encoding="utf-8") as file:
        source = file.read()
    check(
        source.count("<section") == 2 and source.count("<svg") == 5 and 'href="#makes"' in source,
        "--html has all of them",
    )
    write("tree/docs/benchmarks/old.svg", "")
    write("tree/README.md", "before\n<!-- means -->\n| old |\n<!-- end -->\nafter\n")
    done = subprocess.run(
        [os.path.join(os.path.dirname(SUITE), "make-page"), WEIR, path("a.json"), path("tree")],
        env=environment(),
        capture_output=True,
        text=True,
    )
    with open(path("tree/README.md"), encoding="utf-8") as file:
        readme = file.read()
    check(
        done.returncode == 0
        and re.fullmatch(r"before\n<!-- means -->\n`weir bench[^\n]*\n\n(\|[^\n]*\|\n){4}<!-- end -->\nafter\n", readme)
        and os.path.exists(path("tree/docs/benchmarks.md"))
        and not os.path.exists(path("tree/docs/benchmarks/old.svg"))
        and scratch.name not in open(path("tree/docs/benchmarks/results.json"), encoding="utf-8").read(),
        "bench/make-page puts it all in its places",
        readme,
        done.stderr,
    )
else:
    skip("the page", "gnuplot is not installed")

# ---- mistakes

folder = os.path.dirname(SUITE)
for command, words in (
    (["make-page", WEIR], "Usage: make-page WEIR RESULTS SOURCE"),
    (["regret-plot", "true"], "Usage: regret-plot PROGRAM FILE.svg"),
    (["regret-plot", "false", "/proc/no/plot.svg"], "cannot write /proc/no/plot.svg"),
):
    done = subprocess.run([os.path.join(folder, command[0]), *command[1:]], stderr=subprocess.PIPE, text=True)
    lack = "no gnuplot" in done.stderr
    check(done.returncode == 2 and (lack or words in done.stderr), f"{command[0]}: {words}", done.stderr)
broken = (
    ({"name": "a b", "command": "true"}, "more than letters"),
    ({"name": "a", "command": "true", "kind": "toy"}, "not 'toy'"),
    ({"name": "a"}, 'no text for "command"'),
    ({"name": "a", "command": "true", "wrong": 1}, '"wrong", which means nothing'),
    ({"name": "a", "command": "true", "size": {}}, "in no set"),
    ({"name": "a", "command": "true", "kind": "server", "load": "true"}, 'lacks "ready"'),
)
for entry, words in broken:
    done = bench("--list", f"--suite={suite(entry, name='broken.json')}")
    check(done.returncode == 125 and words in done.stderr, f"a suite that is wrong: {words}", done.stderr)
for args, words in (
    (["no-such-benchmark"], "there is no benchmark 'no-such-benchmark'"),
    (["--suite=/no/such"], "/no/such"),
    ([f"--suite={write('text', 'x')}"], "line 1"),
    ([f"--suite={write('empty.json', '{}')}"], "no suite"),
    (["--resume"], "--json=FILE"),
    (["--from=x", "sleep"], "give it no NAME"),
    (["--page=/no/such/dir"], "cannot make /no/such/dir"),
    (["--against=/no/such", "--only=nothing"], "/no/such"),  # before anything runs
):
    done = bench("-q", *args)
    check(done.returncode == 125 and words in done.stderr, f"{' '.join(args)}: {words}", done.stderr)

# ---- the suite of the project

planned = {"name": "planned", "kind": "program", "about": "x", "command": "true", "size": {"quick": "1"}}
plans = write("plans.json", json.dumps({"weir_suite": 1, "benchmarks": [{**planned, "seconds": {"quick": 600}}]}))
done = bench("-n", "2", "--warm-up=1", "--only=glibc,weir", f"--suite={plans}")
check(
    "weir: 1 benchmark, 3 runs of each under glibc, weir: about 60 min on a quiet machine" in done.stderr,
    "how long it takes is said before",
    done.stderr,
)
listed = bench("--list")
with open(SUITE, encoding="utf-8") as file:
    entries = json.load(file)["benchmarks"]
check(
    [line.split()[0] for line in listed.stdout.splitlines()] == [entry["name"] for entry in entries],
    "the suite of this tree is found by itself, and listed",
    listed.stderr,
)
os.makedirs(path("a blank/tool"))
shutil.copy(WEIR, path("a blank/tool/weir"))
shutil.copytree(os.path.dirname(SUITE), path("a blank/tool/bench"))
workload = os.path.join(BUILD, "bench", "tiny")
if os.path.exists(workload):
    for name in ("tiny", "handoff"):
        shutil.copy(workload, path(f"a blank/tool/bench/{name}"))
    done = subprocess.run(
        [path("a blank/tool/weir"), "bench", *FEW, "tiny", "python-million", f"--json={path('blank.json')}"],
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300,
    )
    check(
        done.returncode == 0 and names(read("blank.json")) == ["tiny", "python-million"],
        "a directory with a blank in its name has workloads and scripts that are found",
        done.stdout,
        done.stderr,
    )
else:
    skip("a directory with a blank in its name", "the workloads are not built")
wanted = {"python-json", "python-sort", "python-rows", "python-regex", "python-ast", "redis", "sqlite3", "gcc", "clang"}
wanted |= {"ruby", "perl", "lua", "z3", "ghostscript", "rocksdb", "nginx", "git-repack", "xz"}
check(wanted <= {entry["name"] for entry in entries}, "it has the real programs", wanted - {e["name"] for e in entries})
named = {word for entry in entries for word in re.findall(r"\$BENCH_SUITE/([\w./-]+)", json.dumps(entry))}
missing = [name for name in named if not os.path.exists(os.path.join(os.path.dirname(SUITE), name))]
check(named and not missing, "what its commands name is there", missing)
used = {os.path.basename(name) for name in named}
check(used == set(os.listdir(os.path.join(os.path.dirname(SUITE), "programs"))), "and nothing else is", used)

# Each of them once, as small as may be. What needs a server's port may be in use: those run with WEIR_TEST_FULL.
SMALL = {
    "ebb": "0.02",
    "python": "50",
    "rocksdb": "1000",
    "ghostscript": "1",
    "z3": "2",
    "git-repack": "20",
    "xz": "50",
}
for entry in entries:
    size = SMALL.get(entry["name"]) or SMALL.get(
        entry["name"].split("-")[0],
        "1" if entry["kind"] == "workload" else "100",
    )
    entry["size"] = {"quick": size}
    for key, value in entry.items():
        if isinstance(value, str):
            entry[key] = value.replace("$BENCH_SUITE/", os.path.dirname(SUITE) + "/")
tiny = write("tiny.json", json.dumps({"weir_suite": 1, "benchmarks": entries}))
full = os.environ.get("WEIR_TEST_FULL") == "1"
for entry in entries:
    if entry["kind"] == "server" and not full:
        skip(entry["name"], "servers run with WEIR_TEST_FULL=1")
        continue
    done = bench(*FEW, f"--suite={tiny}", entry["name"], timeout=600)
    lack = re.search("skipped: (.*)", done.stderr)
    if lack and ("is missing" in lack.group(1) or "neither built" in lack.group(1)):
        skip(entry["name"], lack.group(1))
        continue
    good = done.returncode == 0 and re.search(r"^weir +\d", done.stdout, re.M) and "itself fails" not in done.stdout
    check(good, f"{entry['name']} runs, alike on glibc and on Weir", done.stdout, done.stderr)
finish()
