# SPDX-License-Identifier: MIT
"""weir replay: the same calls again, under any allocator; and traces that are no traces, or damaged."""

import csv
import io
import json
import os
import re
import shlex
import shutil
import struct
import subprocess

from harness import BUILD, CC, LIBRARY, SOURCE, WEIR, attempts, check, environment, finish, scratch, skip, weir, write
from traces import CALLS, lives, program, rows, trace

WORK = r"""
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
enum { ROUNDS = 30000, SLOTS = 128 };
static void *_Atomic slot[SLOTS];
static void *make(void *arg)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        void *block = i % 5 == 0 ? calloc(3, i % 400) : malloc(i % 700);
        if (i % 7 == 0)
            block = realloc(block, 900);
        while (atomic_load(&slot[i % SLOTS]) != NULL)
            sched_yield();
        atomic_store(&slot[i % SLOTS], block);
    }
    return arg;
}
int main(void)
{
    pthread_t thread;
    void *keep[100], *aligned;
    pthread_create(&thread, NULL, make, NULL);
    for (unsigned i = 0; i < ROUNDS; i++) {
        void *block;
        while ((block = atomic_load(&slot[i % SLOTS])) == NULL)
            sched_yield();
        atomic_store(&slot[i % SLOTS], NULL);
        free(i % 3 == 0 ? realloc(block, 2000) : block);
    }
    pthread_join(thread, NULL);
    for (int i = 0; i < 100; i++)
        keep[i] = malloc(3000);
    for (int i = 0; i < 50; i++)
        free(keep[i]);
    return posix_memalign(&aligned, 4096, 8192);
}
"""
calls = program("calls", CALLS)
work = program("work", WORK)
_, small = trace(calls, name="small.trace")
_, large = trace(work, name="large.trace")
info = {path: json.loads(weir("replay", "--info", "--json", path).stdout) for path in (small, large)}

# ---- the report

done = weir("replay", small)
check(done.returncode == 0, "a trace is replayed", done.stderr)
check(
    done.stdout == "small.trace: 27 calls in 1 thread, 13 blocks, at most 71680 bytes live, 70013 at the end\n",
    "standard output tells of the trace alone",
    done.stdout,
)
for word in ("replayed on .*libc", "time +[0-9.]+ s", "resident +peak", "overhead", "page faults"):
    check(re.search(word, done.stderr) is not None, f"and standard error has {word.split()[0]}", done.stderr)
outputs = {weir("replay", large).stdout for _ in range(3)}
check(len(outputs) == 1, "standard output is the same each time", *outputs)
done = weir("replay", "--json", large)
figures = json.loads(done.stdout)
check(done.stderr == "", "--json says nothing else", done.stderr)
for key in ("calls", "blocks", "peak_live", "live_at_end"):
    check(figures[key] == info[large][key], f"--json: {key} is that of the trace", figures[key], info[large][key])
check(figures["threads"] == 2 and figures["refused"] == 0 and figures["whole"] is True, "threads, no refusals", figures)
check(
    figures["wall_seconds"] > 0 and 0 < figures["resident_at_end"] <= figures["peak_resident"],
    "and figures that can be",
    figures,
)
check(
    len(figures["resident"]) > 400
    and figures["resident"][-1][:2] == [info[large]["calls"], info[large]["live_at_end"]],
    "the resident size over the trace, up to its end",
    figures["resident"][-3:],
)
done = weir("replay", "--csv", "--repeat", "3", large)
table = list(csv.DictReader(io.StringIO(done.stdout)))
check(
    len(table) == 1 and table[0]["calls"] == str(info[large]["calls"]) and table[0]["refused"] == "0",
    "--csv is a line of names and one of values",
    done.stdout,
)
odd = os.path.join(scratch.name, 'with "quotes", and comma.trace')
shutil.copy(small, odd)
check(json.loads(weir("replay", "--json", odd).stdout)["trace"] == odd, "a name that JSON has to quote")

# ---- the calls are made

# The replay is recorded in its turn: first one block that starts the allocator, then the trace's calls.
done = weir("trace", "-q", "-o", os.path.join(scratch.name, "again.trace"), WEIR, "replay", "--touch", "all", small)
again = [row[1:] for row in rows(os.path.join(scratch.name, "again.trace"))]
start = [("malloc", "", 1, None, None, 1), ("free", "", None, None, 1, None)]
made = [row for row in again if row[2] is None or row[2] < 1 << 40]
made = made[made.index(start[0]) + 2 :] if start[0] in made else []
names = {"reallocarray": "realloc"}
wanted = [(names.get(row[1], row[1]), *row[2:4]) for row in rows(small) if row[2] != "refused"]
wanted = [
    ("malloc", "", size) if (name, size) == ("realloc", 70004) else (name, outcome, size)
    for name, outcome, size in wanted
]
check(
    [row[:3] for row in made] == wanted,
    "a recording of the replay has the trace's calls",
    done.stderr,
    [row[:3] for row in made],
    wanted,
)
done = weir("trace", "-q", "-o", os.path.join(scratch.name, "again.trace"), WEIR, "replay", large)
again = rows(os.path.join(scratch.name, "again.trace"))
wrong, live = lives(again)
original = [row for row in rows(large) if row[2] == ""]


def profile(found):
    """How often each size was asked for by each kind of call; what the replay's own start asks for is no such size."""
    count = {}
    for row in found:
        if row[3] is not None and row[3] not in (0, 1) and row[3] < 3001 and row[1] in ("malloc", "realloc"):
            count[row[1], row[3]] = count.get((row[1], row[3]), 0) + 1
    return count


check(not wrong and profile(again) == profile(original), "and so has one with threads", wrong[:3], done.stderr)

# ---- allocators

done = weir("replay", "-a", "weir", large)
check(os.path.realpath(LIBRARY) in done.stderr and done.stdout in outputs, "--allocator weir", done.stderr)
done = weir("replay", "--allocator", LIBRARY, small)
check(os.path.realpath(LIBRARY) in done.stderr, "--allocator PATH", done.stderr)
done = weir("replay", "-a", "glibc", small, env={"LD_PRELOAD": LIBRARY})
check("libc.so" in done.stderr and "weir-preload" not in done.stderr, "--allocator glibc", done.stderr)
done = weir("replay", small, env={"LD_PRELOAD": LIBRARY})
check("libweir-preload" in done.stderr, "without it, what is preloaded", done.stderr)
done = weir("run", "-q", WEIR, "replay", small)
check("libweir-preload" in done.stderr and done.returncode == 0, "weir run weir replay", done.stderr)
for name in ("jemalloc", "mimalloc", "tcmalloc"):
    done = weir("replay", "-a", name, large)
    if done.returncode == 125 and "cannot find" in done.stderr:
        skip(f"--allocator {name}", "it is not installed")
    else:
        check(f"lib{name}" in done.stderr and done.stdout in outputs, f"--allocator {name}", done.stderr)

# ---- options

for flags in (
    ["--touch", "none"],
    ["--touch", "all", "--repeat", "5"],
    ["--touch", "first", "--speed", "full"],
    ["--repeat=2", "--speed=recorded"],
):
    done = weir("replay", *flags, large)
    check(done.returncode == 0 and done.stdout in outputs, " ".join(flags), done.stderr)
slow = program(
    "slow",
    "#include <stdlib.h>\n#include <unistd.h>\n"
    "int main(void) { free(malloc(9)); usleep(300000); for (int i = 0; i < 40; i++) free(malloc(i)); return 0; }",
)
_, path = trace(slow, name="slow.trace")


def keeps_pauses():
    """Complaints: at full speed the replay takes longer than the pauses, or with them less."""
    took = [
        json.loads(weir("replay", "--json", "--speed", speed, path).stdout)["wall_seconds"]
        for speed in ("recorded", "full")
    ]
    return [] if 0.25 < took[0] and took[1] < took[0] else [took]


wrong = attempts(keeps_pauses)
check(not wrong, "--speed recorded keeps the pauses", *wrong)
for flags, said in (
    (["--touch", "some"], "none, first or all"),
    (["--speed", "fast"], "full or recorded"),
    (["--repeat", "0"], "1 to 1000"),
    (["--repeat", "x"], "1 to 1000"),
    (["-a", "nomalloc"], "'nomalloc'"),
    (["-a", "/nowhere.so"], "/nowhere.so"),
    ([small], "one trace"),
):
    done = weir("replay", *flags, small)
    check(done.returncode == 125 and said in done.stderr, f"wrong: {' '.join(flags)}", done.stderr)
done = weir("replay")
check(done.returncode == 125 and "which trace" in done.stderr, "no trace: 125", done.stderr)

# ---- what a trace holds

done = weir("replay", "--info", large)
for word in (
    "program +.*work",
    "calls +[0-9]+ in",
    "threads +2;",
    "live +at most",
    "posix_memalign +1 ",
    "blocks by size",
    "by lifetime",
):
    check(re.search(word, done.stdout) is not None, f"--info has {word}", done.stdout)
words = os.path.join(scratch.name, "words.trace")
weir("trace", "-o", words, "printf", "%s", "a b\n\x1b[2J")
done = weir("replay", "--info", words)
check(
    re.search(r"^command +printf %s \$'a b\\n\\033\[2J'$", done.stdout, re.M) is not None,
    "--info has the command as it can be typed, on one line",
    repr(done.stdout[:300]),
)
found = rows(large)
check(
    info[large]["calls"] == len(found)
    and info[large]["functions"]["malloc"] == sum(1 for row in found if row[1] == "malloc")
    and sum(row["count"] for row in info[large]["sizes"]) == info[large]["blocks"]
    and sum(row["bytes"] for row in info[large]["sizes"]) == info[large]["bytes_asked"],
    "--info --json agrees with --list",
    info[large],
)
table = list(csv.DictReader(io.StringIO(weir("replay", "--info", "--csv", large).stdout)))
check(
    sum(int(row["count"]) for row in table if row["kind"] == "size up to") == info[large]["blocks"],
    "and so does --info --csv",
)

# ---- files that are no traces

with open(large, "rb") as file:
    whole = file.read()
with open(small, "rb") as file:
    little = file.read()
for name, content, said in (
    ("text", b"Hello, this is text.\n", "is no trace"),
    ("empty", b"", "is no trace"),
    ("later version", little[:8] + struct.pack("<I", 2) + little[12:], "version 2"),
    ("no version", little[:10], "cut off in its head"),
    ("half a head", little[:60], "cut off in its head"),
    ("an endless head", little[:12] + b"\xff" * 4 + little[16:], "damaged"),
    ("a head that is no JSON", little[:16] + b"?" + little[17:], "no JSON object"),
    ("something behind the end", little + b"x", "behind its end"),
    ("two bodies", little + little, "behind its end"),
    ("no call", little[: 16 + struct.unpack("<I", little[12:16])[0]], "holds no call"),
):
    path = write("bad.trace", content)
    done = weir("replay", path)
    check(done.returncode == 125 and said in done.stderr and done.stdout == "", f"{name}: {said}", done.stderr)
for path, said in (("/nowhere.trace", "cannot open"), (scratch.name, "directory"), ("/proc/self/mem", "cannot read")):
    done = weir("replay", path)
    name = "a directory" if path == scratch.name else path
    check(done.returncode == 125 and said in done.stderr, f"{name}: {said}", done.stderr)

done = weir("replay", "/dev/stdin", input=little.decode("latin-1"), encoding="latin-1")
check(done.returncode == 125 and "it is a pipe" in done.stderr, "a trace from a pipe: says what to do", done.stderr)
for form in ("--json", "--csv"):
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([WEIR, "replay", form, small], stdout=full, stderr=subprocess.PIPE, text=True)
    check(
        done.returncode == 125 and "cannot write to standard output: No space" in done.stderr,
        f"{form} on a full disk: 125, and why",
        done.stderr,
    )

# A trace that was cut off is read up to there.
found = rows(large)
wrong = []
for part in range(1, 20):
    path = write("cut.trace", whole[: len(whole) * part // 20])
    done = weir("replay", "--list", path)
    got = rows(path)
    good = (done.returncode == 0) == ("has no end" in done.stderr)
    if done.returncode not in (0, 125) or got != found[: len(got)] or not good:
        wrong.append((part, done.returncode, done.stderr))
check(not wrong, "cut off anywhere: what is there is listed, with a warning", *wrong)
path = write("cut.trace", whole[:-2])
done = weir("replay", path)
check(
    done.returncode == 0 and "has no end" in done.stderr and f"{len(found)} calls" in done.stderr,
    "and replayed",
    done.stderr,
)

# ---- damage: with the sanitizers where the compiler has them, else without

sources = [f"{SOURCE}/tools/weir/{name}.c" for name in ("json", "map", "plan", "tool", "tracefile", "traceinfo")]
fuzz = os.path.join(scratch.name, "fuzz")
build = [
    *shlex.split(CC),
    "-D_GNU_SOURCE",
    "-std=gnu11",
    "-g",
    "-O1",
    f"-I{SOURCE}/tools/weir",
    f"-I{SOURCE}/include",
    f"-I{SOURCE}/src",
    "-o",
    fuzz,
    f"{SOURCE}/tests/tool/fuzz_trace.c",
    *sources,
]
libraries = ["-lzstd", "-ljansson"]
sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
for flags in (sanitizers, []):
    built = subprocess.run([*build, *flags, *libraries], stderr=subprocess.PIPE, text=True)
    if built.returncode == 0:
        break
if built.returncode == 0:
    count = max(30, 400 * int(os.environ.get("WEIR_TEST_SCALE") or 100) // 100)
    _, path = trace(work, name="fuzz.trace")
    for path, seed in ((small, 1), (small, os.environ.get("WEIR_TEST_SEED") or 2)):
        done = subprocess.run(
            [fuzz, path, os.path.join(scratch.name, "mutant"), str(count), str(seed)],
            env=environment(ASAN_OPTIONS="detect_leaks=0"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        check(
            done.returncode == 0 and f"0 of {count} wrong" in done.stdout,
            f"{count} damaged traces, seed {seed}{', with sanitizers' if flags else ''}: each is read or refused",
            done.stdout,
        )
else:
    skip("damaged traces", "the reader cannot be compiled alone here")
wrong = []
for number in range(0, len(little), 7):
    path = write("bit.trace", little[:number] + bytes([little[number] ^ 0x10]) + little[number + 1 :])
    done = weir("replay", path)
    if done.returncode not in (0, 125) or (done.returncode == 125 and "weir: " not in done.stderr):
        wrong.append((number, done.returncode, done.stderr))
check(not wrong, "single bits that changed: replayed or refused with a message", *wrong)

# ---- the traces that come with Weir

shipped = os.path.join(SOURCE, "bench", "traces")
for name in sorted(name for name in os.listdir(shipped) if name.endswith(".trace")):
    done = weir("replay", "-a", "weir", "--json", os.path.join(shipped, name))
    check(
        done.returncode == 0 and json.loads(done.stdout)["refused"] == 0 and json.loads(done.stdout)["whole"],
        f"bench/traces/{name}",
        done.stderr,
    )
done = subprocess.run([os.path.join(BUILD, "weir-replay")], stderr=subprocess.PIPE, text=True)
check(done.returncode == 125 and "weir replay" in done.stderr, "weir-replay by itself says who starts it", done.stderr)
finish()
