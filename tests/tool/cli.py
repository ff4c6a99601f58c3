# SPDX-License-Identifier: MIT
"""The command line of weir: help, version, options, mistakes and what is said about them."""

import json
import os
import re
import subprocess

from harness import LIBRARY, WEIR, check, finish, report, scratch, weir, write

help_text = weir("--help")
check(help_text.returncode == 0 and help_text.stderr == "", "--help succeeds", help_text.stderr)
commands = re.findall(r"^  ([a-z]+) +\S", help_text.stdout.split("Commands:")[1].split("Options:")[0], re.M)
check({"run", "options", "help"} <= set(commands), "--help lists the commands", help_text.stdout)
check(help_text.stdout.count("\n  weir ") == 2, "--help shows two examples", help_text.stdout)
for flags in (["-h"], ["-?"], ["help"]):
    check(weir(*flags).stdout == help_text.stdout, f"{flags[0]} says the same as --help")
for name in commands:
    one = weir("help", name)
    check(
        one.returncode == 0 and f"Usage: weir {name}" in one.stdout,
        f"help {name} shows its usage",
        one.stdout,
        one.stderr,
    )
    check(weir(name, "--help").stdout == one.stdout, f"{name} --help says the same")

version = weir("--version")
check(re.fullmatch(r"weir \d+\.\d+\.\d+\n", version.stdout) is not None, "--version", version.stdout)

wrong = weir("rnu", "true")
check(
    wrong.returncode == 125 and "did you mean 'run'" in wrong.stderr,
    "a misspelt command: 125, names the nearest",
    wrong.stderr,
)
wrong = weir("python3", "x.py")
check(
    wrong.returncode == 125 and "weir run python3" in wrong.stderr,
    "a program in place of a command: says how",
    wrong.stderr,
)
wrong = weir("help", "optons")
check(wrong.returncode == 125 and "'options'" in wrong.stderr, "help for a misspelt command", wrong.stderr)
wrong = weir()
check(
    wrong.returncode == 125 and wrong.stderr == help_text.stdout,
    "no command: help on standard error, 125",
    wrong.stderr,
)
wrong = weir("--frob")
check(wrong.returncode == 125 and "weir: unrecognized option" in wrong.stderr, "an unknown option: 125", wrong.stderr)
wrong = weir("run", "--frob", "true")
check(wrong.returncode == 125 and "weir run:" in wrong.stderr, "an unknown option of run: 125", wrong.stderr)
wrong = weir("run")
check(wrong.returncode == 125 and "which program" in wrong.stderr, "run without a program: 125", wrong.stderr)

# ---- weir options

rows = json.loads(weir("options", "--json").stdout)
names = [row["name"] for row in rows]
check(
    names == sorted(names) and all(re.fullmatch("WEIR_[A-Z_]+", name) for name in names),
    "options --json is in order",
    names,
)
check(
    {"WEIR_PURGE", "WEIR_REPORT", "WEIR_SLACK", "WEIR_STATS", "WEIR_STRICT", "WEIR_VERBOSE"} <= set(names),
    "options has those that are documented",
    names,
)
check(
    all(set(row) == {"name", "values", "default", "current", "help"} and row["help"] for row in rows),
    "each row is whole",
    rows,
)
check(all(row["default"] == row["current"] for row in rows), "nothing set: the values in force are the defaults", rows)
text = weir("options").stdout
check(re.findall(r"^(WEIR_[A-Z_]+)=", text, re.M) == names, "options as text has the same names", text)
check(", now " not in text, "options as text marks no default as changed", text)
done = weir("options", env={"WEIR_PURGE": "never"})
check("default dontneed, now never" in done.stdout, "options shows the value in force", done.stdout, done.stderr)
done = weir("options", "extra")
check(done.returncode == 125 and "extra" in done.stderr, "options takes no arguments", done.stderr)
with open("/dev/full", "w") as full:
    done = subprocess.run([WEIR, "options"], stdout=full, stderr=subprocess.PIPE, text=True)
    check(done.returncode == 125 and "cannot write" in done.stderr, "options fails where the disk is full", done.stderr)
    for words in (["--help"], ["--version"], ["run", "--help"], ["compare", "--list"], ["bench", "--list"],
                  ["compare", "-q", "-n1", "--only=glibc", "true"]):
        done = subprocess.run([WEIR, *words], stdout=full, stderr=subprocess.PIPE, text=True)
        check(
            done.returncode == 125 and done.stderr.count("cannot write") == 1,
            f"{' '.join(words)} too, and says so once",
            done.returncode,
            done.stderr,
        )

# ---- -o


def value_of(name, *flags, env=None):
    done = weir("run", "-q", *flags, "printenv", name, env=env)
    return done.stdout.rstrip("\n")


for spelling in ("purge=never", "PURGE=never", "WEIR_PURGE=never", "weir-purge=never"):
    check(value_of("WEIR_PURGE", "-o", spelling) == "never", f"-o {spelling}")
check(value_of("WEIR_PURGE", "--set=purge=free", "-opurge=never") == "never", "the last of two -o counts")
check(
    value_of("WEIR_PURGE", "-o", "purge=never", env={"WEIR_PURGE": "free"}) == "never", "-o goes over the environment"
)
check(value_of("WEIR_SLACK", "-o", "slack=1M") == "1M", "-o slack=1M")
check(value_of("WEIR_STATS", "--stats") == "1", "--stats sets WEIR_STATS=1")
check(value_of("WEIR_INHERIT", "--no-inherit") == "0", "--no-inherit sets WEIR_INHERIT=0")
wrong = weir("run", "-o", "pruge=never", "true")
check(
    wrong.returncode == 125 and "did you mean WEIR_PURGE" in wrong.stderr,
    "-o with a misspelt name: 125, names the nearest",
    wrong.stderr,
)
wrong = weir("run", "-o", "huge-pages=never", "true")
check(
    wrong.returncode == 125 and "no option WEIR_HUGE_PAGES" in wrong.stderr and "mean" not in wrong.stderr,
    "-o with a name that is like none: 125, and no guess",
    wrong.stderr,
)
for bad in ("purge", "=x"):
    wrong = weir("run", "-o", bad, "true")
    check(wrong.returncode == 125 and "NAME=VALUE" in wrong.stderr, f"-o {bad}: 125, says the form", wrong.stderr)

# ---- where options end

done = weir("run", "-q", "echo", "--json", "-q", "--", "--help")
check(done.stdout == "--json -q -- --help\n", "options end at the first word that is none", done.stdout)
done = weir("run", "-q", "--", "echo", "-q")
check(done.stdout == "-q\n", "options end at --", done.stdout)

# ---- the library

done = weir("run", "-q", "cat", "/proc/self/maps")
check("libweir-preload.so" in done.stdout, "the library is mapped", done.stdout, done.stderr)
done = weir("run", "-q", "--library", LIBRARY, "cat", "/proc/self/maps", env={"WEIR_PRELOAD": "/nowhere.so"})
check("libweir-preload.so" in done.stdout, "--library goes over WEIR_PRELOAD", done.stdout, done.stderr)
done = weir("run", "-q", "--library", os.path.relpath(LIBRARY), "printenv", "LD_PRELOAD")
check(done.stdout == os.path.realpath(LIBRARY) + "\n", "a relative path becomes absolute", done.stdout, done.stderr)
with open(LIBRARY, "rb") as file:
    blank = write("with blank/libweir-preload.so", file.read())
for path, said in (
    (blank, "blank"),
    ("/nowhere.so", "No such file"),
    (write("text.so", "no ELF"), "no shared library"),
    ("/bin/true", "no shared library"),
    (scratch.name, "no shared library"),
):
    wrong = weir("run", "--library", path, "true")
    check(wrong.returncode == 125 and said in wrong.stderr, f"a library that cannot be: {said}", path, wrong.stderr)
wrong = weir("run", "true", env={"WEIR_PRELOAD": "/nowhere.so"})
check(wrong.returncode == 125 and "WEIR_PRELOAD" in wrong.stderr, "a wrong WEIR_PRELOAD is named", wrong.stderr)
preloaded = report("true", env={"LD_PRELOAD": "libm.so.6"})[0]
check(preloaded.returncode == 0 and preloaded.stderr == "", "LD_PRELOAD with another library too", preloaded.stderr)
own = os.path.realpath(LIBRARY)
for old, new in (
    ("libm.so.6", f"{own}:libm.so.6"),
    (f"libm.so.6 {own}:libdl.so.2", f"{own}:libm.so.6:libdl.so.2"),
    ("/x/libweir-preload.so.0:libm.so.6", f"{own}:libm.so.6"),
    ("libjemalloc.so.2:libm.so.6", f"{own}:libm.so.6"),
    ("", own),
):
    done = weir("run", "-q", "printenv", "LD_PRELOAD", env={"LD_PRELOAD": old})
    check(done.stdout == new + "\n", f"LD_PRELOAD was {old.replace(own, 'WEIR') or 'empty'}", done.stdout, done.stderr)
finish()
