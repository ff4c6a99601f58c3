# SPDX-License-Identifier: MIT
"""Completion: the scripts are sound, and propose what there is, in bash and in zsh."""

import os
import pty
import re
import select
import shutil
import subprocess
import time

from harness import PATIENCE, SOURCE, WEIR, check, environment, finish, scratch, skip, weir

BASH = os.path.join(SOURCE, "completions", "weir")
ZSH = os.path.join(SOURCE, "completions", "_weir")
FRAMEWORK = "/usr/share/bash-completion/bash_completion"

os.chdir(scratch.name)
os.mkdir("bin")
os.symlink(os.path.abspath(WEIR), "bin/weir")
env = environment(PATH=f"{scratch.name}/bin:{os.environ['PATH']}", HOME=scratch.name, TERM="dumb")


def propose(line):
    """What bash proposes for `line` with the cursor at its end."""
    # The words as readline cuts them: at blanks and at "=".
    words = [part for word in line.split(" ") for part in (word.replace("=", "\0=\0").strip("\0").split("\0"))]
    script = f"""
. {FRAMEWORK}; . {BASH}
compopt() {{ :; }}
COMP_LINE=$1; COMP_POINT=${{#1}}; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_TYPE=9; COMP_KEY=9
_weir weir "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD - 1]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(
        ["bash", "-c", script, "bash", line, *words], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    return {word.strip() for word in done.stdout.split("\n") if word.strip()} | {
        f"ERROR {e}" for e in done.stderr.splitlines()
    }


done = subprocess.run(["bash", "-n", BASH], stderr=subprocess.PIPE, text=True)
check(done.returncode == 0 and done.stderr == "", "bash: the script is sound", done.stderr)
if os.path.exists(FRAMEWORK):
    open("report.txt", "w", encoding="ascii").close()
    commands = {
        line.split()[0]
        for line in weir("--help").stdout.split("Commands:")[1].split("Options:")[0].splitlines()
        if line
    }
    flags = {
        word.split("=")[0]
        for word in weir("run", "--usage").stdout.replace("[", " ").replace("]", " ").split()
        if word.startswith("--")
    }
    names = {line.split("=")[0][5:].lower() for line in weir("options").stdout.splitlines() if line.startswith("WEIR_")}
    for line, wanted in (
        ("weir ", commands | {"--help", "--version"}),
        ("weir o", {"options"}),
        ("weir help ru", {"run"}),
        ("weir options --j", {"--json"}),
        ("weir trace --no", {"--no-follow"}),
        ("weir trace -a jem", {"jemalloc"}),
        ("weir trace -o rep", {"report.txt"}),
        ("weir trace -a weir -o t.trace printen", {"printenv"}),
        ("weir replay --touch=f", {"first"}),
        ("weir replay --speed re", {"recorded"}),
        ("weir replay --re", {"--repeat="}),
        ("weir replay --info rep", {"report.txt"}),
        ("weir run --no", {"--no-inherit"}),
        ("weir run --ou", {"--output="}),
        ("weir run -o ", {f"{name}=" for name in names}),
        ("weir run -o pur", {"purge=", "purger="}),
        ("weir run -o purge=", {"dontneed", "free", "never"}),
        ("weir run -o WEIR_PURGE=n", {"never"}),
        ("weir run --set=stats=j", {"json"}),
        ("weir run --set=stri", {"strict="}),
        ("weir run -o slack=", set()),
        ("weir run -o purge=never --st", {"--stats"}),
        ("weir run --output=rep", {"report.txt"}),
        ("weir run --output rep", {"report.txt"}),
        ("weir run -q printen", {"printenv"}),
        ("weir run -- printen", {"printenv"}),
        ("weir run -o purge=never -q cat rep", {"report.txt"}),
        ("weir run --set=purge=never -- cat rep", {"report.txt"}),
    ):
        got = propose(line)
        check(got == wanted, f"bash: {line}", f"got {got}", f"wanted {wanted}")
    open("plot.svg", "w", encoding="ascii").close()
    for name in ("compare", "bench"):
        usage = weir(name, "--usage").stdout.replace("[", " ").replace("]", " ").split()
        wanted = {word.split("=")[0] for word in usage if word.startswith("--")}
        got = {word.rstrip("=") for word in propose(f"weir {name} --")}
        check(
            got == wanted | ({"--"} if name == "compare" else set()),
            f"bash: every long option of {name}",
            got,
            wanted,
        )
    for line, wanted in (
        ("weir compare --roun", {"--rounds="}),
        ("weir compare --only=gli", {"glibc"}),
        ("weir compare --only=glibc,wei", {"glibc,weir"}),
        ("weir compare --plot=plo", {"plot.svg"}),
        ("weir compare -n 3 --input plo", {"plot.svg"}),
        ("weir compare --stop HU", {"HUP"}),
        ("weir compare -n 3 printen", {"printenv"}),
        ("weir compare --quiet -- cat plo", {"plot.svg"}),
        ("weir bench python-js", {"python-json"}),
        ("weir bench --full serv", {"server"}),
        ("weir bench --against rep", {"report.txt"}),
    ):
        got = propose(line)
        check(got == wanted, f"bash: {line}", f"got {got}", f"wanted {wanted}")
    got = propose("weir run --")
    check({word.rstrip("=") for word in got} == flags | {"--"}, "bash: every long option of run", got, flags)
else:
    skip("bash: what it proposes", "bash-completion is not installed")

# ---- zsh

with open(ZSH, encoding="utf-8") as file:
    parts = dict(re.findall(r"^(_weir_?\w*)(?:\(\) \{|=\()\n(.*?)^[})]$", file.read(), re.M | re.S))
for name in ("run", "compare", "bench", "trace", "replay", "options"):
    part = parts.get(f"_weir_{name}", "")
    part += parts["_weir_contest_options"] if "$_weir_contest_options" in part else ""
    own = set(re.findall(r"--[a-z-]+", weir(name, "--usage").stdout)) - {"--usage", "--version"}
    missing = [flag for flag in sorted(own) if not re.search(rf"{flag}[=\[}}')]", part)]
    check(own and not missing, f"zsh: the script has every long option of {name}", missing)
if shutil.which("zsh") is None:
    skip("zsh", "it is not installed")
    finish()
done = subprocess.run(["zsh", "-n", ZSH], stderr=subprocess.PIPE, text=True)
check(done.returncode == 0 and done.stderr == "", "zsh: the script is sound", done.stderr)


def type_in_zsh(cases):
    """Types each line and a tab into a zsh with the completion; returns the screen's text for each, when all the words
    wanted are there."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execvpe("zsh", ["zsh", "-f", "-i"], {**env, "PS1": "% ", "COLUMNS": "200"})

    def read(*wanted):
        text, end = "", time.monotonic() + PATIENCE
        while not all(word in text for word in wanted) and time.monotonic() < end:
            if select.select([fd], [], [], 0.1)[0]:
                text += os.read(fd, 4096).decode(errors="replace")
        return text

    os.write(
        fd,
        f"stty columns 200; fpath=({os.path.dirname(ZSH)} $fpath); autoload -Uz compinit; compinit -u -D; "
        "unsetopt list_beep; setopt auto_list; LISTMAX=1000; echo set''up\n".encode(),
    )
    read("setup")
    screens = []
    for line, wanted in cases:
        os.write(fd, line.encode() + b"\t")
        screens.append(read(*wanted))
        os.write(fd, b"\x15echo cle''ared\n")
        read("cleared")
    os.close(fd)
    os.waitpid(pid, 0)
    return screens


cases = (
    ("weir ", ["run", "options", "help"]),
    ("weir opt", ["options"]),
    ("weir run --no", ["--no-inherit"]),
    ("weir run -o sla", ["slack="]),
    ("weir run -o purge=n", ["purge=never"]),
    ("weir run --set=purge=", ["dontneed", "free", "never"]),
    ("weir trace --no", ["--no-follow"]),
    ("weir replay --touch=", ["none", "first", "all"]),
    ("weir run -q printen", ["printenv"]),
    ("weir run -q cat rep", ["report.txt"]),
    ("weir compare --ignore", ["--ignore-output"]),
    ("weir compare --only=gli", ["glibc"]),
    ("weir compare -n 3 printen", ["printenv"]),
    ("weir bench python-js", ["python-json"]),
)
for (line, wanted), screen in zip(cases, type_in_zsh(cases)):
    check(all(word in screen for word in wanted), f"zsh: {line}", repr(screen))
finish()
