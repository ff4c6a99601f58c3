#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""demo.py WEIR: a program that builds a table of rows and drops most of it, on glibc and on Weir side by side.

Every figure is measured here and now: resident sizes from /proc/self/status of the program itself, times by its
monotonic clock, the median of ROUNDS runs each, taken in turn.
"""

import gc
import json
import os
import statistics
import subprocess
import sys
import time

ROWS = 400_000
KEEP_ONE_IN = 200
ROUNDS = 3


def resident(field):
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith(field):
                return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def work():
    """What a service does that loads a table, answers, and goes idle. Prints one line of JSON."""
    start = time.monotonic()
    rows = [{"id": i, "name": f"row number {i}", "score": i / 7, "tags": [i, str(i)]} for i in range(ROWS)]
    built = resident("VmRSS")
    rows = rows[::KEEP_ONE_IN]
    gc.collect()
    seconds = time.monotonic() - start
    time.sleep(0.3)
    idle = resident("VmRSS")
    peak = max(built, resident("VmHWM"))  # the kernel brings its highest mark up to date now and then
    print(json.dumps({"built": built, "idle": idle, "peak": peak, "seconds": seconds, "rows": len(rows)}))


def run(command, **environment):
    inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHONMALLOC", "LD_PRELOAD")}
    done = subprocess.run([*command, sys.executable, __file__, "--work"], env={**inherited, **environment},
                          stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def main(weir):
    ways = {
        "glibc, Python's own pymalloc": lambda: run([]),
        "glibc, PYTHONMALLOC=malloc": lambda: run([], PYTHONMALLOC="malloc"),
        "Weir": lambda: run([weir, "run", "--quiet", "--"]),
    }
    print(f"Python {sys.version.split()[0]} builds {ROWS:,} rows, keeps one in {KEEP_ONE_IN}, and goes idle.")
    print(f"Medians of {ROUNDS} runs, in turn, on this machine:\n", flush=True)
    run([])  # the first touch of memory that the machine has not backed yet is slower; nobody is to pay for it
    runs = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            runs[name].append(way())

    def median(name, figure):
        return statistics.median(one[figure] for one in runs[name])

    print(f"{'':30}{'resident MiB':>19}")
    print(f"{'':30}{'built':>9}{'dropped':>10}{'peak':>9}{'seconds':>10}")
    for name in ways:
        print(f"{name:30}{median(name, 'built'):9.1f}{median(name, 'idle'):10.1f}{median(name, 'peak'):9.1f}"
              f"{median(name, 'seconds'):10.2f}")
    print(f"\n{runs['Weir'][0]['rows']:,} rows are left. Of the memory that the table had taken:")
    for name in ways:
        gone = median(name, "built") - median(name, "idle")
        print(f"  {name:30}gave back {gone:6.1f} MiB, {100 * gone / median(name, 'built'):3.0f} %")


if __name__ == "__main__":
    if sys.argv[1:] == ["--work"]:
        work()
    elif len(sys.argv) == 2:
        main(sys.argv[1])
    else:
        sys.exit("Usage: demo.py WEIR, the weir command; tools/try builds it and passes it")
