# SPDX-License-Identifier: MIT
"""weir compare: its table, JSON, CSV, plots and page; what it says of a program that goes wrong under one allocator;
its mistakes; Ctrl-C. Other allocators are made here, so that none need be installed."""

import csv
import html.parser
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import xml.etree.ElementTree

from harness import LIBRARY, PATIENCE, WEIR, attempts, check, compile_c, environment, eventually, finish, scratch, skip
from harness import weir, write

MIB = 1 << 20
FIGURES = [
    "wall_seconds",
    "user_seconds",
    "system_seconds",
    "minor_faults",
    "major_faults",
    "peak_resident",
    "resident_at_end",
    "resident_byte_seconds",
]
# A malloc of its own, as far as the loader knows: it calls glibc's.
OTHER = """#include <stddef.h>
void *__libc_malloc(size_t size);
void *malloc(size_t size) { return __libc_malloc(size); }
"""
# Grows by 48 MiB, holds that a while, gives it back, goes on. Its own size is small.
HILL = """#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(void)
{
    char *block = malloc(48 << 20);
    memset(block, 1, 48 << 20);
    usleep(150000);
    int sum = block[100] + block[40 << 20];
    free(block);
    usleep(150000);
    printf("%d\\n", sum);
    return 0;
}
"""
# Takes 20 MiB, and twice that on Weir.
TWICE = """#include <stdlib.h>
#include <string.h>
int main(void)
{
    const char *preloaded = getenv("LD_PRELOAD");
    size_t size = preloaded != NULL && strstr(preloaded, "weir") != NULL ? 40 << 20 : 20 << 20;
    char *block = malloc(size);
    memset(block, 1, size);
    return block[size - 1] - 1;
}
"""


def path(name):
    return os.path.join(scratch.name, name)


def compare(*args, **more):
    return weir("compare", *args, **more)


def compare_json(*args, **more):
    done = compare("-q", "--json=-", *args, **more)
    try:
        return done, json.loads(done.stdout)["results"][0]
    except (ValueError, KeyError, IndexError):
        check(False, "the JSON can be read", done.stdout, done.stderr)
        return done, {"allocators": [], "notes": []}


def rows_of(result):
    return {row["allocator"]: row for row in result["allocators"]}


other = compile_c("libother.so", OTHER, "-shared", "-fPIC", "-Wl,-soname,libother.so", "-O1")
nameless = compile_c("libnameless.so", OTHER, "-shared", "-fPIC", "-O1")
hill = compile_c("hill", HILL, "-O0")
if not other or not hill:
    skip("weir compare", "no compiler")
    finish()
OTHERS = ["--only=glibc,weir,other", f"--with=other={other}"]

# ---- the table

done = compare("-n", "5", *OTHERS, hill)
lines = done.stdout.splitlines()
check(done.returncode == 0, "a comparison succeeds", done.stderr)
check(lines[0] == hill and lines[2].split()[:2] == ["allocator", "time"], "the command, then the headings", done.stdout)
table = {line.split()[0]: line for line in lines[3:6]}
check(list(table) == ["glibc", "weir", "other"], "a line for each allocator", done.stdout)
check(all(len(line) <= 120 for line in lines[2:]), "none is longer than 120 columns", done.stdout)
check(
    all(re.match(r"\w+ +(0\.[3-9]|[1-9])\S* +\d", line) for line in table.values()),
    "time comes first, here three tenths of a second and more",
    done.stdout,
)
check(
    "Medians of 5 rounds" in done.stdout and "*: more than noise" in done.stdout,
    "below: how to read it",
    done.stdout,
)
progress = [line for line in done.stderr.splitlines() if "round" in line]
check(
    len(progress) == 5
    and progress[2].startswith("weir: round 3 of 5, ")
    and all(re.search(r"\d (s|min) left", line) for line in progress)
    and len({line.split(",")[1] for line in progress}) == 3,
    "progress: each round, what is left, and each begins with another",
    done.stderr,
)
few = compare("-q", "-n", "2", "--only=glibc,weir", "true")
check("Fewer than 5 rounds" in few.stdout and "*" not in few.stdout, "too few rounds: no marks, said", few.stdout)
check(few.stderr == "", "--quiet says nothing on standard error", few.stderr)

# ---- figures

done, result = compare_json("-n", "5", *OTHERS, hill)
rows = rows_of(result)
check(result["command"] == hill and result["rounds"] == 5 and not result["partial"], "JSON: what was run", result)
check(
    [len(row["runs"]) for row in rows.values()] == [5, 5, 5]
    and all(set(run) == {"round", *FIGURES} for row in rows.values() for run in row["runs"]),
    "JSON: all runs with all figures",
    result,
)
for name, row in rows.items():
    summary = row["summary"]
    for key in FIGURES:
        values = sorted(run[key] for run in row["runs"])
        middle = values[2]
        spread = sorted(abs(value - middle) for value in values)[2]
        near = 1e-6 * max(1, middle)  # figures are written with nine digits
        good = abs(summary[key]["median"] - middle) < near and abs(summary[key]["deviation"] - spread) < near
        if not good:
            break
    check(good, f"{name}: medians and deviations are those of the runs", key, summary[key], values)
    ratio = summary["wall_seconds"]["ratio"]
    if name == "glibc":
        check(ratio is None, "the reference has no ratios", ratio)
        continue
    pairs = sorted(a["wall_seconds"] / b["wall_seconds"] for a, b in zip(row["runs"], rows["glibc"]["runs"]))
    check(
        abs(ratio["median"] - pairs[2]) < 1e-6
        and abs(ratio["low"] - pairs[0]) < 1e-6
        and abs(ratio["high"] - pairs[4]) < 1e-6
        and ratio["pairs"] == 5,
        f"{name}: ratios are those of the runs of the same round",
        ratio,
        pairs,
    )


def hill_is_seen():
    """What is wrong with what was seen of the hill."""
    global result
    wrong = []
    for name, row in rows_of(result).items():
        value = {key: row["summary"][key]["median"] for key in FIGURES}
        if not 48 * MIB < value["peak_resident"] < 60 * MIB:
            wrong.append(f"{name}: the peak, {value['peak_resident']}")
        if not 0 < value["resident_at_end"] < 10 * MIB:
            wrong.append(f"{name}: the end, {value['resident_at_end']}")
        # 48 MiB for 0.15 seconds or more, and no more than the peak for the whole of the time.
        if not 0.1 * 48 * MIB < value["resident_byte_seconds"] < value["wall_seconds"] * value["peak_resident"]:
            wrong.append(f"{name}: the integral, {value}")
        curve = row["resident_over_time"]
        if not (
            10 < len(curve) <= 200
            and [t for t, _ in curve] == sorted(t for t, _ in curve)
            and max(size for _, size in curve) > 45 * MIB
            and curve[-1][1] < 10 * MIB
        ):
            wrong.append(f"{name}: the curve, {curve}")
    if wrong:
        result = compare_json("-n", "5", *OTHERS, hill)[1]
    return wrong


wrong = attempts(hill_is_seen)
check(not wrong, "the peak, the end, the integral and the curve are those of the program", *wrong)
check(
    rows["weir"]["environment"].startswith(f"LD_PRELOAD={LIBRARY}"),
    "JSON: the environment",
    rows["weir"]["environment"],
)

# A figure that is twice as large in each run is beyond the noise; one that is the same is not.
twice = compile_c("twice", TWICE, "-O0")
done, result = compare_json("-n", "5", *OTHERS, twice)
ratio = {name: row["summary"]["peak_resident"]["ratio"] for name, row in rows_of(result).items()}
check(ratio["weir"]["beyond_noise"] and 1.5 < ratio["weir"]["median"] < 2.5, "twice the memory is marked", ratio)

# The measured program's peak must not be that of the tool.
done, result = compare_json("-n", "2", "--only=glibc", "true")
peak = result["allocators"][0]["summary"]["peak_resident"]["median"]
check(0 < peak < 3 * MIB, "a small program has a small peak", peak)

# Children count, when they are large at the same time and are looked at then.
done, result = compare_json("-n", "5", "--only=glibc", "sh", "-c", f"{hill} & {hill} & wait")
peak = max(run["peak_resident"] for run in result["allocators"][0]["runs"])
check(90 * MIB < peak < 130 * MIB, "the processes of a program are taken together", peak)

# ---- files

files = {kind: path(f"out.{kind}") for kind in ("json", "csv", "html", "svg", "png")}
options = [f"--{kind}={files[kind]}" for kind in ("json", "csv", "html")]
gnuplot = shutil.which("gnuplot")
if gnuplot:
    options.append(f"--plot={files['svg']}")
done = compare("-q", "-n", "2", *options, *OTHERS, sys.executable, "-c", "print('a<b>&\"c\"')")
check(done.returncode == 0 and "allocator" in done.stdout, "reports in files, and the table", done.stderr)
with open(files["json"], encoding="utf-8") as file:
    whole = json.load(file)
check(
    whole["weir_results"] == 1
    and {"cpu", "cpus", "kernel", "memory_bytes", "transparent_huge_pages", "libc"} <= set(whole["machine"]),
    "the JSON describes the machine",
    whole["machine"],
)
with open(files["csv"], encoding="utf-8", newline="") as file:
    table = list(csv.reader(file))
check(
    table[0] == ["name", "allocator", "round", *FIGURES, "problem"]
    and len(table) == 7
    and {len(row) for row in table} == {12},
    "the CSV has a line for each run",
    table,
)
check([row[2] for row in table[1:3]] == ["1", "2"] and float(table[1][3]) > 0, "with its figures", table)
word = "two\nlines, '\\, \t\x1b[2J\x7f1"
one = compare("-q", "-n", "1", "--only=glibc", f"--json={path('word.json')}", "printf", "%s", word)
heading = one.stdout.split("\n")[0]
check(
    heading == r"printf %s $'two\nlines, \'\\, \t\033[2J\1771'" and one.stdout.split("\n")[1] == "",
    "an argument with control characters stays on the line of the command",
    repr(one.stdout),
)
if shutil.which("bash"):
    typed = subprocess.run(["bash", "-c", heading], stdout=subprocess.PIPE).stdout.decode()
    check(typed == word, "which a shell takes back", repr(typed))
else:
    skip("which a shell takes back", "there is no bash")
with open(path("word.json"), encoding="utf-8") as file:
    strange = json.load(file)
strange["results"][0]["command"] = "a\x1b[2Jb\nc"
strange["results"][0]["notes"] = ["d\x1b[2Je"]
again = compare("--from", write("strange.json", json.dumps(strange)))
check(
    again.stdout.startswith("a [2Jb c\n\n") and "Note: d [2Je." in again.stdout and "\x1b" not in again.stdout,
    "nor does a file of results write to the terminal what it likes",
    repr(again.stdout),
)
again = compare("--from", files["json"])
check(again.returncode == 0 and again.stdout == done.stdout, "--from tells the same again", again.stdout, again.stderr)
for row in whole["results"][0]["allocators"]:
    row["runs"] = [dict(run, round=1) for run in row["runs"] for _ in range(20)]
again = compare("--from", write("twice.json", json.dumps(whole)))
check(again.returncode == 0 and "Medians of" in again.stdout, "a file with a round many times", again.stderr)


class Page(html.parser.HTMLParser):
    """What must be closed is closed; what the page needs is within."""

    VOID = {"meta", "br", "path", "rect", "line", "use", "circle"}

    def __init__(self, text):
        super().__init__()
        self.open, self.wrong, self.links, self.count, self.text = [], [], [], {}, ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.count[tag] = self.count.get(tag, 0) + 1
        self.links += [value for name, value in attrs if name in ("src", "href", "xlink:href") and value[:1] != "#"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag in self.VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        self.text += data


with open(files["html"], encoding="utf-8") as file:
    source = file.read()
page = Page(source)
check(not page.wrong and not page.open, "the page is well-formed", page.wrong, page.open)
check(
    page.links == [] and "script" not in page.count and "@import" not in source,
    "and needs no other file",
    page.links,
)
check("print('\\''a<b>&\"c\"'\\'')" in page.text, "the command in it is as it was typed", page.text[:400])
check(
    all(word in page.text for word in ("glibc", "weir", "other", "Machine", "LD_PRELOAD", "median")),
    "allocators, machine, method and environment are in it",
)
check("prefers-color-scheme:dark" in source and "width=device-width" in source, "it has a dark scheme, and fits phones")
if gnuplot:
    check(page.count.get("svg") == 2, "two plots are in it", page.count)
    root = xml.etree.ElementTree.parse(files["svg"]).getroot()
    text = "".join(root.itertext())
    check(
        root.tag.endswith("svg") and all(name in text for name in ("glibc", "weir", "other")),
        "--plot: an SVG with names",
    )
    done = compare("-q", "--from", files["json"], f"--plot={files['png']}")
    with open(files["png"], "rb") as file:
        start = file.read(24)
    size = struct.unpack(">II", start[16:24])
    check(start[:8] == b"\x89PNG\r\n\x1a\n" and min(size) > 400, "--plot: a PNG", start, done.stderr)
else:
    skip("plots", "gnuplot is not installed")

chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def screenshot(width, *flags):
    """The page as a browser draws it: its size and bytes."""
    shot = path(f"shot{width}.png")
    command = [chromium, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={path('browser')}"]
    command += [f"--screenshot={shot}", f"--window-size={width},900", *flags, f"file://{files['html']}"]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)
    if not os.path.exists(shot):
        return b""
    with open(shot, "rb") as file:
        return file.read()


if chromium:
    command = [chromium, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={path('browser')}"]
    dom = subprocess.run(
        [*command, "--dump-dom", f"file://{files['html']}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=120,
    ).stdout.decode()
    check(
        dom.count("</tr>") == 4 and (not gnuplot or dom.count("</svg>") == 2),
        "a browser sees all of the page",
        dom[:300],
    )
    shots = {width: screenshot(width) for width in (500, 1200)}
    check(
        all(len(shot) > 10000 for shot in shots.values()),
        "and draws it, narrow and wide",
        {w: len(s) for w, s in shots.items()},
    )
    dark = screenshot(1201, "--force-dark-mode", "--blink-settings=preferredColorScheme=0")
    check(len(dark) > 10000 and dark != shots[1200], "and dark", len(dark))
else:
    skip("the page in a browser", "there is no chromium")

without = write("bin/sh", "", 0o755)
nowhere = {"PATH": os.path.dirname(without)}
done = compare("-q", f"--plot={path('x.svg')}", "/bin/true", env=nowhere)
check(
    done.returncode == 125 and "gnuplot-nox" in done.stderr,
    "--plot without gnuplot: says what to install",
    done.stderr,
)
done = compare("-q", "-n", "1", "--only=glibc", f"--html={path('plain.html')}", "/bin/true", env=nowhere)
with open(path("plain.html"), encoding="utf-8") as file:
    plain = file.read()
check(
    done.returncode == 0
    and "gnuplot" in done.stderr
    and "no plots" in plain
    and "<svg" not in plain
    and "<table" in plain,
    "--html without gnuplot: a page without plots, which says so",
    done.stderr,
)

# ---- what goes wrong under one allocator

BREAKS = """#!/bin/sh
case $LD_PRELOAD in
*libother*) echo 'it went so well' >&2; kill -SEGV $$ ;;
esac
echo fine
"""
done = compare("-q", "-n", "2", *OTHERS, write("breaks", BREAKS))
check(done.returncode == 1, "a crash under one allocator: status 1", done.returncode)
check(
    re.search(r"^other +ended by signal 11, Segmentation fault; it said: it went so well$", done.stdout, re.M),
    "its row says how it ended and what it said",
    done.stdout,
)
check(re.search(r"^weir +\d", done.stdout, re.M) is not None, "the others go on", done.stdout)
done, result = compare_json("-n", "2", *OTHERS, write("breaks", BREAKS))
row = rows_of(result)["other"]
check(row["runs"] == [] and "signal 11" in row["problem"] and row["summary"] == {}, "JSON: the same", row)
later = write("later", f'#!/bin/sh\ncase $LD_PRELOAD in *libother*) echo >>{path("times")}\n'
              f'[ "$(wc -l <{path("times")})" = 4 ] && exit 7 ;; esac\nexit 0\n')
done, result = compare_json("-n", "5", *OTHERS, later)
row = rows_of(result)["other"]
check(
    len(row["runs"]) == 2 and row["problem"] == "exit status 7, where glibc has exit status 0",
    "a failure in a later round: what was before stays",
    row,
)
done = compare(
    "-q",
    "-n",
    "1",
    *OTHERS,
    write("differs", "#!/bin/sh\necho one\ncase $LD_PRELOAD in *weir*) echo zwei;; *) echo two;; esac"),
)
check(
    done.returncode == 1 and "weir: output differs in line 2: glibc wrote 'two', weir wrote 'zwei'" in done.stdout,
    "another output is shown",
    done.stdout,
)
done = compare("-q", "-n", "1", "--ignore-output", *OTHERS, path("differs"))
check(done.returncode == 0 and "differs in" not in done.stdout, "--ignore-output", done.stdout)
done = compare("-q", "-n", "2", *OTHERS, "sh", "-c", "echo $$")
check(
    done.returncode == 0 and "outputs were not compared: under glibc itself" in done.stdout,
    "an output that is never the same is nobody's fault",
    done.stdout,
)

# Times on standard error, as a replay of a trace writes them, must not hide that the output is another.
noisy = write("noisy", "#!/bin/sh\ndate +%N >&2\ncase $LD_PRELOAD in *weir*) echo zwei;; *) echo two;; esac", 0o755)
done = compare("-q", "-n", "2", "--only=glibc,weir", noisy)
check(
    done.returncode == 1
    and "weir: output differs in line 1" in done.stdout
    and "what was written to standard error was not compared" in done.stdout,
    "errors that change with each run are not compared, and output still is",
    done.stdout,
    done.stderr,
)
done = compare("-q", "-n", "2", *OTHERS, "sh", "-c", "exit 3")
check(
    done.returncode == 0 and "the program itself fails: exit status 3" in done.stdout,
    "a program that always fails",
    done.stdout,
)
done = compare(
    "-q",
    "-n",
    "1",
    "--warm-up=0",
    "--timeout=3",
    *OTHERS,
    write("hangs", "#!/bin/sh\ncase $LD_PRELOAD in *weir*) sleep 60;; esac"),
)
check(done.returncode == 1 and re.search("^weir +not done after 3 s", done.stdout, re.M), "--timeout", done.stdout)

# A program that stops: in the run to warm up, which is traced, and in one that counts.
for flag in ("--warm-up=1", "--warm-up=0"):
    done = compare("-q", "-n", "1", flag, "--only=glibc,weir", "sh", "-c", "kill -STOP $$; exit 0", timeout=PATIENCE)
    check(
        done.returncode == 1
        and len(re.findall("^(?:glibc|weir) +stopped by SIGSTOP and not continued within 5 s$", done.stdout, re.M))
        == 2,
        f"{flag}: a program that stops itself is ended, and its rows say so",
        done.returncode,
        done.stdout,
    )
stops = "".join(f"(sleep 0.3; kill -CONT $$) & kill -{name} $$; " for name in ("STOP", "TSTP"))
done, result = compare_json("-n", "2", "--only=glibc,weir", "sh", "-c", f"{stops} wait; echo fine")
check(
    done.returncode == 0
    and all(len(row["runs"]) == 2 and row["runs"][0]["wall_seconds"] > 0.5 for row in result["allocators"]),
    "one that somebody has go on is not",
    result,
)
done = compare("-q", "-n", "1", "--only=glibc", "sh", "-c", "echo 'Password: ' >&2; kill -TTIN 0")
check(
    done.returncode == 1
    and "stopped by SIGTTIN and not continued within 5 s: it asks for the terminal; it said: Password:" in done.stdout,
    "one that reads from the terminal: said",
    done.stdout,
)
static = compile_c("static", "int main(void) { return 0; }", "-static")
if static:
    done = compare("-q", "-n", "1", *OTHERS, static)
    check(
        done.returncode == 1
        and len(re.findall("not loaded: ", done.stdout)) == 2
        and "statically linked" in done.stdout,
        "a library that is not loaded: said for each",
        done.stdout,
    )
else:
    skip("a static program", "no static C library")


def running(command):
    """Whether a process has this command line."""
    return subprocess.run(["pgrep", "-fx", command], stdout=subprocess.DEVNULL).returncode == 0


asleep = f"sleep {1000 + os.getpid()}.5"
many = write("many", f"#!/bin/sh\n({asleep} >/dev/null &)\n:\n")
done = compare("-q", "-n", "1", "--only=glibc", many)
check(done.returncode == 0 and not running(asleep), "what a program leaves behind is ended")
check(
    "processes were left behind, sleep for one, and were ended after each run" in done.stdout,
    "and a note names it",
    done.stdout,
)
# Daemons: out of the group and the session, with or without a parent that goes; they may tidy up, or refuse.
tidies = f"trap 'echo bye >>{path('tidied')}; exit' TERM; while :; do sleep 0.05; done"
refuses = f"trap '' TERM; {asleep}; {asleep}"
for name, daemon in (("setsid", asleep), ("tidies", tidies), ("refuses", refuses)):
    script = write(f"daemon-{name}", f"#!/bin/sh\n{daemon}\n")
    starts = write(f"starts-{name}", f"#!/bin/sh\nsetsid {script} </dev/null >/dev/null 2>&1 &\n"
                   f"(setsid {script} </dev/null >/dev/null 2>&1 &)\nsleep 0.2\n")
    done = compare("-q", "-n", "1", "--warm-up=0", "--only=glibc", starts)
    check(
        done.returncode == 0
        and not running(asleep)
        and subprocess.run(["pgrep", "-f", script], stdout=subprocess.DEVNULL).returncode != 0
        and "processes were left behind" in done.stdout,
        f"daemons are ended: {name}",
        done.stdout,
        done.stderr,
    )
check(os.path.getsize(path("tidied")) == 8, "by SIGTERM first", os.path.getsize(path("tidied")))
brief = "import os, time\nif os.fork() == 0:\n    os.setsid(); time.sleep(0.02)\n"
done = compare("-q", "-n", "2", "--only=glibc", sys.executable, "-c", brief)
check(done.returncode == 0 and "left behind" not in done.stdout, "one that ends by itself is not named", done.stdout)
done = compare("-q", "-n", "1", "--warm-up=0", "--only=glibc", "--timeout=1", write("hangs", f"#!/bin/sh\n"
               f"setsid {asleep} &\n{asleep}\n"))
check("not done after 1 s" in done.stdout and not running(asleep), "nor is anything left after --timeout", done.stdout)
done = compare("-q", "-n", "1", "--only=glibc", f"--input={path('differs')}", "grep", "-c", "one")
check(done.returncode == 0 and "fails" not in done.stdout, "--input is the standard input", done.stdout)
done = compare("-q", "-n", "2", "--warm-up=1", "--only=glibc,weir", f"--prepare=echo >>{path('prepared')}", "true")
check(os.path.getsize(path("prepared")) == 6, "--prepare runs before each run", os.path.getsize(path("prepared")))

# ---- Python

done, result = compare_json("-n", "1", "--only=glibc,weir,pymalloc", sys.executable, "-c", "import os; print('x')")
check(list(rows_of(result)) == ["glibc", "weir", "pymalloc"], "CPython has a row pymalloc", result["allocators"])
for name, wanted in (("glibc", "malloc"), ("weir", "malloc"), ("pymalloc", "pymalloc")):
    check(f"PYTHONMALLOC={wanted}" in rows_of(result)[name]["environment"], f"{name}: PYTHONMALLOC={wanted}", result)

# ---- mistakes

for args, status, words in (
    (["no-such-program"], 127, "no such program in PATH"),
    (["/no/such/file"], 127, "no such file"),
    (["/etc"], 126, "directory"),
    ([], 125, "which program"),
    (["--only=glibc,nothing", "true"], 125, "no allocator is called 'nothing'"),
    (["--with=x=/no/such.so", "true"], 125, "/no/such.so: No such file"),
    (["--with=x=/bin/true", "true"], 125, "no shared library"),
    (["--list", f"--with=nameless={nameless}", "--only=nameless"], 0, ""),
    (["--with=glibc=" + other, "true"], 125, "another name"),
    (["--with=" + other, "true"], 125, "--with takes NAME=PATH"),
    (["--rounds=0", "true"], 125, "whole number"),
    (["--rounds=many", "true"], 125, "'many'"),
    (["--timeout=-1", "true"], 125, "--timeout"),
    (["--plot=x.gif", "true"], 125, ".svg and .png"),
    (["--json=/no/dir/x", "true"], 125, "cannot write /no/dir/x"),
    (["--json=-", "--csv=-", "true"], 125, "only one report"),
    (["--input=/no/such", "true"], 125, "/no/such"),
    (["--from=/dev/null"], 125, "cannot read results"),
    (["--from=x", "true"], 125, "give it no program"),
    (["--start=x"], 125, "both --start and --load"),
    (["--start=x", "--load=y"], 125, "when is the server ready"),
    (["--start=x", "--load=y", "--ready=1s", "true"], 125, "beside --start"),
    (["--settle=1", "true"], 125, "for servers"),
    (["--without=glibc,weir", "--only=glibc,weir", "true"], 125, "no allocator left"),
):
    done = compare("-q", *args)
    check(done.returncode == status and words in done.stderr, f"{' '.join(args)[:60]}: {status}, {words}", done.stderr)
listed = compare("--list").stdout
absent = re.findall(r"^(\S+) +not found$", listed, re.M)
check(re.search("^glibc +glibc 2", listed, re.M) and LIBRARY in listed, "--list names libraries", listed)
if absent:
    done = compare("-q", f"--only={absent[0]}", "true")
    check(
        done.returncode == 125 and f"{absent[0]} is not on this machine" in done.stderr,
        "an allocator that is not there is named, with what to do",
        done.stderr,
    )
    done = compare("-q", "-n", "1", "true")
    check(f"Not on this machine: {absent[0]}" in done.stdout, "and in the report", done.stdout)
else:
    skip("an allocator that is not there", "all are there")

# ---- Ctrl-C


def interrupt(number, *args):
    """Starts a comparison, sends a signal in its second round. Returns status, output, errors."""
    process = subprocess.Popen(
        [WEIR, "compare", "-n", "50", *OTHERS, *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
    )
    heard = ""
    while "round 2" not in heard:
        line = process.stderr.readline()
        if not line:
            break
        heard += line
    os.killpg(process.pid, number)
    out, errors = process.communicate(timeout=PATIENCE)
    return process.returncode, out, heard + errors


# ---- files that are not plain ones

write("target", "")
os.symlink("target", path("link"))
os.symlink("nothing", path("loose"))
for name in ("link", "loose"):
    done = compare("-q", "-n", "1", "--only=glibc", f"--json={path(name)}", "true")
    check(
        done.returncode == 0 and os.path.islink(path(name)) and os.path.getsize(path(name)) > 9,
        f"--json={name}: a link stays one, and the results are where it leads to",
        done.stderr,
    )
os.mkfifo(path("fifo"))
with subprocess.Popen(["cat", path("fifo")], stdout=subprocess.PIPE, text=True) as cat:
    done = compare("-q", "-n", "1", "--only=glibc", f"--json={path('fifo')}", "true")
    check("weir_results" in cat.communicate()[0], "--json=fifo: its reader gets the results", done.stderr)

# ---- started without standard files

done = subprocess.run(
    ["sh", "-c", f'"$0" compare -n 2 --only=glibc,weir --json={path("closed.json")} true <&- >&- 2>&-', WEIR],
    env=environment(), timeout=PATIENCE,
)
with open(path("closed.json"), encoding="utf-8") as file:
    closed = json.load(file)["results"][0]
check(
    done.returncode == 0 and closed["notes"] == [] and [len(row["runs"]) for row in closed["allocators"]] == [2, 2],
    "input, output and errors closed: nothing gets among what the program writes",
    closed["notes"],
    closed["allocators"],
)

# ---- a reader that is gone

for kind in ("json", "csv"):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [WEIR, "compare", "-q", "-n", "1", "--only=glibc", f"--{kind}={path('unread')}", "true"],
        env=environment(), stdout=writer, stderr=subprocess.PIPE, text=True, timeout=PATIENCE,
    )
    os.close(writer)
    check(
        done.returncode == 125 and "output: Broken pipe" in done.stderr and os.path.getsize(path("unread")) > 9,
        f"nobody reads the table: --{kind} is written all the same",
        done.returncode,
        done.stderr,
    )

status, out, errors = interrupt(signal.SIGINT, f"--json={path('partial.json')}", "sleep", "0.05")
check(status == -signal.SIGINT, "Ctrl-C: ends by the signal", status, errors)
check(
    "INTERRUPTED" in out and re.search(r"^weir +\d", out, re.M),
    "with a table of what was done, which says so",
    out,
)
with open(path("partial.json"), encoding="utf-8") as file:
    partial = json.load(file)["results"][0]
check(
    partial["partial"] is True and 1 <= len(partial["allocators"][0]["runs"]) < 50,
    "and the files",
    partial["partial"],
)
status, out, errors = interrupt(signal.SIGTERM, "sleep", "0.05")
check(status == -signal.SIGTERM and "INTERRUPTED" in out, "SIGTERM too", status, out)
process = subprocess.Popen([WEIR, "compare", "-q", "--only=glibc", *asleep.split()], env=environment())
began = eventually(lambda: running(asleep))
process.kill()
process.wait()
check(began and eventually(lambda: not running(asleep)), "a weir that is killed leaves nothing running")
finish()
