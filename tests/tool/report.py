# SPDX-License-Identifier: MIT
"""The report at the end of weir run: figures against what is known of the program, as text and as JSON."""

import json
import os
import re
import subprocess
import sys

from harness import LIBRARY, WEIR, attempts, check, compile_c, environment, finish, report, scratch, skip, weir

MIB = 1 << 20

# ---- figures

done, data = report(
    sys.executable, "-c", "import time; t = time.process_time() + 0.3\nwhile time.process_time() < t: pass"
)
check(0.28 < data["user_seconds"] + data["system_seconds"] < data["wall_seconds"] + 0.2, "CPU time", data)
done, data = report("sleep", "0.3")
check(0.3 <= data["wall_seconds"] < 60 and data["user_seconds"] + data["system_seconds"] < 0.2, "wall time", data)
check(data["command"] == ["sleep", "0.3"] and data["program"].endswith("/sleep"), "command and program", data)
check(data["exit_status"] == 0 and data["signal"] is None, "status", data)
check(data["active"] is True and data["library"] == os.path.realpath(LIBRARY), "the library was there", data)
check(re.fullmatch(r"\d+\.\d+\.\d+", data["weir"]) is not None, "version", data)

own = data["inside"]
check(own is not None and own["pid"] == data["pid"] and data["inside_missing"] is None, "the program's own line", data)
check(own is not None and data["resident_at_end"] == own["resident"], "resident at the end is from inside", data)
check(data["processes"] == 1 and data["returned"] == own["returned"], "bytes given back", data)
check(data["resident_age_seconds"] is None, "which has no age", data)

BIG = """#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <time.h>
int main(int argc, char **argv)
{
    char *block = malloc(64 << 20);
    memset(block, 1, 64 << 20);
    if (argc > 1)
        free(block);
    nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
    if (argc > 2)
        _exit(0);
    return block[argc > 1 ? 0 : 5] == 7;
}
"""
big = compile_c("big", BIG.replace("block[argc > 1 ? 0 : 5] == 7", "0"), "-fno-builtin", "-O0")
if big:
    done, data = report(big)
    check(64 * MIB <= data["peak_resident"] < 72 * MIB, "peak resident size", data)
    done, data = report(big, "free", "_exit")
    check(data["inside"] is None and "_exit" in data["inside_missing"], "a program that leaves by _exit: said", data)
    check(
        data["active"] is True and data["processes"] == 0 and data["returned"] is None, "with no figures made up", data
    )

    def seen_from_outside():
        """What is wrong with the size that was seen: it is looked at twenty times a second."""
        _, data = report(big, "free", "_exit")
        size, age = data["resident_at_end"], data["resident_age_seconds"]
        return [] if size is not None and size > 100000 and 0 <= age < 0.2 else [data]

    wrong = attempts(seen_from_outside)
    check(not wrong, "but resident as seen from outside", *wrong)

    def said_in_text():
        text = weir("run", big, "free", "_exit").stderr
        form = r"at the end \S+ [KM]iB \(seen \d+ ms before it\)"
        return [] if re.search(form, text) is not None and "_exit" in text else [text]

    wrong = attempts(said_in_text)
    check(not wrong, "in text too", *wrong)
else:
    skip("a program of 64 MiB", "no compiler")

done, data = report("sh", "-c", "sleep 0.2; kill -9 $$")
check(
    data["exit_status"] is None and data["signal"] == 9 and "signal" in data["inside_missing"],
    "killed by a signal",
    data,
)
# A tool of its own: several processes, one line each, and the shell's own where it leaves one.
done, data = report("bash", "-c", "cat </dev/null; ls / >/dev/null; exit 0")
check(data["processes"] == 3, "one line for each process", data)

# ---- text

done = weir("run", "bash", "-c", "cat </dev/null; exit 4")
lines = done.stderr.splitlines()
check(
    lines[0] == "weir: bash -c cat </dev/null; exit 4: exit status 4",
    "the first line names command and status",
    done.stderr,
)
check(
    all(line.startswith("weir: ") for line in lines) and 4 <= len(lines) <= 6,
    "a few lines, each with weir's name",
    done.stderr,
)
for form in (
    r"  time +\d+\.\d{3} s \(user \d+\.\d{3} s, system \d+\.\d{3} s\)",
    r"  resident +peak \S+ [KM]iB, at the end \S+ [KM]iB",
    r"  given back +\S+ (bytes|[KM]iB) \(2 processes\)",
    r"  still live +\S+ (bytes|[KM]iB) in \d+ blocks",
):
    check(
        any(re.fullmatch("weir: " + form, line) for line in lines),
        form.split()[0] + " " + form.split()[1].rstrip("+"),
        done.stderr,
    )
done = weir("run", "printf", "%s", "x" * 500 + "\n\a\033[1m")
check(
    max(map(len, done.stderr.splitlines())) < 120 and "\033" not in done.stderr and "..." in done.stderr,
    "a long command is cut, and control characters do not reach the terminal",
    done.stderr,
)
for character in "é", "€", "😀":
    shown = [weir("run", "true", "x" * pad + character * 100).stderr for pad in range(4)]
    check(
        all(character in text and "\ufffd" not in text for text in shown),
        f"a long command is not cut within a character of {len(character.encode())} bytes",
        "".join(shown),
    )

# ---- where it goes

done = weir("run", "-q", "sh", "-c", "echo out; echo err >&2")
check(done.stdout == "out\n" and done.stderr == "err\n", "--quiet: nothing but the program's output", done.stderr)
done = weir("run", "--json", "true")
check(json.loads(done.stderr)["exit_status"] == 0, "--json goes to standard error", done.stderr)
path = os.path.join(scratch.name, "out")
done = weir("run", "--output", path, "sh", "-c", "echo err >&2")
check(
    done.stderr == "err\n" and open(path, encoding="utf-8").read().startswith("weir: sh -c"),
    "--output: to a file",
    done.stderr,
)
done = weir("run", "--output", "/dev/full", "sh", "-c", "exit 3")
check(
    done.returncode == 3 and "cannot write the report" in done.stderr,
    "a full disk is said, the status kept",
    done.stderr,
)
done, data = report("printf", "", b"\xff\xfe\xc3\xa4", "\u00e4")
check(
    data["command"][2] == "??\u00e4" and data["command"][3] == "\u00e4",
    "arguments that are no UTF-8 do not break the JSON",
    data,
)
# Each kind of sequence that is none, between characters of two, three and four bytes.
good = "\u00e4\u20ac\U0001f600".encode()
for bad in (b"\x80", b"\xc0\x80", b"\xe0\x80\x80", b"\xed\xa0\x80", b"\xf0\x80\x80\x80", b"\xf4\x90\x80\x80",
            b"\xf5", b"\xe2\x82", b"\xf0\x9f\x98", b"\xc3"):
    done, data = report("true", good + bad + good + bad)
    expected = (good + b"?" * len(bad) + good + b"?" * len(bad)).decode()
    check(data["command"][1] == expected, f"{bad}: what is UTF-8 beside it stays", data["command"], expected)

# ---- WEIR_REPORT of the user's, and runs within runs

path = os.path.join(scratch.name, "lines")
for how in ({"env": {"WEIR_REPORT": path}}, {}):
    flags = [] if how else ["-o", f"report={path}"]
    done, data = report(*flags, "true", **how)
    with open(path, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    check(
        lines[-1]["pid"] == data["pid"] and data["inside"] == lines[-1],
        "a WEIR_REPORT of the user's gets the lines too",
        lines,
        data,
    )
check(len(lines) == 2, "one after the other", lines)
inner = os.path.join(scratch.name, "inner.json")
done, data = report(WEIR, "run", "--json", "--output", inner, "bash", "-c", "exit 3")
with open(inner, encoding="utf-8") as file:
    within = json.load(file)
check(
    done.returncode == 3 and within["exit_status"] == 3 and within["processes"] == 1,
    "weir run within weir run",
    data,
    within,
)
check(data["processes"] in (1, 2), "the outer one knows the inner one's processes", data)

# ---- what the library in the program says is not said by the tool, too

for name, value, said in (
    ("WEIR_VERBOSE", "1", " active in "),
    ("WEIR_STATS", "1", "slack_bound"),
    ("WEIR_PRUGE", "x", "did you mean"),
):
    done = weir("run", "-q", "true", env={name: value})
    check(done.stderr.count(said) == 1, f"{name}: once", done.stderr)
done, data = report("true")
check(data["peak_resident"] >= data["resident_at_end"], "the peak is no less than the end", data)

# Servers write their titles over the environment: redis, postgres, nginx.
TITLE = """#include <string.h>
extern char **environ;
int main(void)
{
    for (char **entry = environ; *entry; entry++)
        memset(*entry, 0, strlen(*entry));
    return 0;
}
"""
title = compile_c("title", TITLE)
if title:
    done, data = report(title)
    check(data["inside"] is not None, "a program that overwrites its environment reports all the same", data)
else:
    skip("a program that overwrites its environment", "no compiler")

# ---- closed files stay closed

with open(os.path.join(scratch.name, "open-files"), "w+", encoding="ascii") as file:
    look = f'exec "$0" run -q ls -l /proc/self/fd <&- 2>&- >/proc/self/fd/{file.fileno()}'
    subprocess.run(["sh", "-c", look, WEIR], env=environment(), pass_fds=[file.fileno()])
    seen = file.read()
check("open-files" in seen and "/dev/null" not in seen, "standard files that are closed are the program's so", seen)

# ---- many at a time

runs = [
    subprocess.Popen([WEIR, "run", "--json", "sh", "-c", f"exit {i}"], stderr=subprocess.PIPE, env=environment())
    for i in range(20)
]
check([json.loads(run.communicate()[1])["exit_status"] for run in runs] == list(range(20)), "twenty at a time")
finish()
