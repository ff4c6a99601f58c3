#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the programs of examples/: what they print, and how much is resident when. Prints TAP."""

import os
import re
import subprocess
import sys
import tempfile

BUILD = os.environ.get("WEIR_TEST_BUILD") or "."
KIB, MIB, GIB = 1, 1024, 1 << 30
SANITIZED = b"__asan_init" in subprocess.run(["nm", os.path.join(BUILD, "examples/del")], stdout=subprocess.PIPE,
                                             stderr=subprocess.DEVNULL, check=False).stdout
count = failed = 0


def check(good, name, *details):
    global count, failed
    count += 1
    print(f"{'ok' if good else 'not ok'} {count} - {name}", flush=True)
    if not good:
        failed += 1
        for detail in details:
            print("\n".join(f"#   {line}" for line in str(detail).splitlines()), flush=True)


def run(name, expect, *args):
    """Runs an example; its output must be what is expected. Returns resident KiB by moment, and its other messages."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("WEIR_")}
    done = subprocess.run([os.path.join(BUILD, "examples", name), *args], env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=300, check=False)
    check(done.returncode == 0 and done.stdout == expect, f"{name} prints what it should", done.stdout, done.stderr,
          f"status {done.returncode}")
    sizes = {when: int(kib) for when, kib in re.findall(r"^resident (\w+): (\d+) KiB$", done.stderr, re.MULTILINE)}
    return sizes, re.sub(r"^resident .*\n", "", done.stderr, flags=re.MULTILINE)


def check_size(good, name, sizes):
    if SANITIZED:
        global count
        count += 1
        print(f"ok {count} - {name} # SKIP a sanitizer has memory of its own", flush=True)
    else:
        check(good(sizes), name, f"resident, KiB: {sizes}")


sizes, _ = run("del", """names: 2
x is gone, names: 1
freed 50000000 bytes
alias is gone
""")
check_size(lambda s: s["full"] > 45 * MIB and s["end"] < 8 * MIB, "del: 50 MB go back with the last name", sizes)

sizes, _ = run("clear", """full: vec 500000, map 500000, set 500000, deque 500000
cleared: vec 0, map 0, set 0, deque 0
""")
check_size(lambda s: s["full"] > s["start"] + 40 * MIB and s["end"] < s["start"] + MIB,
           "clear: containers give back what they took, to 1 MiB", sizes)

sizes, _ = run("cycle", """no name is left, the objects are alive
freed 2 objects
the objects are gone
""")
check_size(lambda s: s["end"] < 8 * MIB, "cycle: less than 8 MiB resident", sizes)

sizes, said = run("debug", "collected 1000, in all 1000, alive 0\n")
check(re.search(r"gc: .*1,?000", said) is not None, "debug: the collector tells of 1000 objects", said)

sizes, _ = run("scope", """opened input
opened output
copied input to output
closed output
closed input
opened input
opened output
cannot write to output
closed output
closed input
opened scratch
came back
closed scratch
""")
check_size(lambda s: s["end"] < 8 * MIB, "scope: less than 8 MiB resident", sizes)

sizes, _ = run("document", """Manual (links: 0)
  Start (links: 0)
    Build (links: 1)
  Usage (links: 2)
Build is in Start
found: Usage
after the release: still there
collected: 9
after the collection: gone
""")

sizes, _ = run("squares", """sum of 2000000 squares: 2666664666667000000
collected 0
""")
check_size(lambda s: s["full"] > s["start"] + 40 * MIB and s["end"] < s["start"] + MIB,
           "squares: resident size is back within 1 MiB of the start", sizes)

with tempfile.NamedTemporaryFile(prefix="weir-example-") as file:
    file.truncate(4 * GIB)
    sizes, _ = run("chunks", "4294967296 bytes in 4096 chunks\n", file.name)
    check_size(lambda s: s["end"] < 8 * MIB, "chunks: 4 GiB in less than 8 MiB resident", sizes)
for words, answer, name in ((["/no/such/file"], "/no/such/file: No such file or directory\n", "names a missing file"),
                            ([], "usage: chunks FILE\n", "tells its usage"),
                            (["a", "b"], "usage: chunks FILE\n", "takes one file")):
    refused = subprocess.run([os.path.join(BUILD, "examples/chunks"), *words], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, check=False)
    check(refused.returncode == 2 and refused.stderr == answer, f"chunks: {name}", refused.stderr)

print(f"1..{count}")
sys.exit(1 if failed else 0)
