# SPDX-License-Identifier: MIT
"""The manual pages: sound, readable, and with every command, option and function that there is."""

import glob
import json
import os
import re
import shutil
import subprocess

from harness import SOURCE, check, finish, scratch, skip, weir

MAN = os.path.join(SOURCE, "man")
PAGES = [os.path.join(MAN, name) for name in ("weir.1", "weir.7", "weir_malloc.3", "weir_gc.3")]
OWN = sorted(glob.glob(f"{MAN}/weir-*.1"))  # of commands that weir.1 says little of
links = sorted(set(glob.glob(f"{MAN}/*.[0-9]")) - set(PAGES + OWN))


def text_of(page):
    """What a reader sees, or the source's words where there is no man."""
    env = {**os.environ, "MANWIDTH": "400", "MAN_KEEP_FORMATTING": "", "LC_ALL": "C.UTF-8"}
    if shutil.which("man") is None:
        with open(page, encoding="utf-8") as file:
            return re.sub(r"^\.\w+ ", "", file.read(), flags=re.M)
    return subprocess.run(
        ["man", "-l", page], env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ).stdout


for page in PAGES + OWN:
    name = os.path.basename(page)
    if shutil.which("mandoc"):
        done = subprocess.run(
            ["mandoc", "-Tlint", "-Wwarning", page], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        check(done.returncode == 0, f"{name}: mandoc has nothing to say", done.stdout)
    else:
        skip(f"{name}: mandoc", "it is not installed")
    if shutil.which("man"):
        done = subprocess.run(
            ["man", "--warnings", "-l", page],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "LC_ALL": "C.UTF-8", "MANPAGER": "cat"},
        )
        check(
            done.returncode == 0 and done.stderr == "" and len(done.stdout) > 2000, f"{name}: nor has man", done.stderr
        )
    else:
        skip(f"{name}: man", "it is not installed")

command_page, options_page, functions_page, gc_page = map(text_of, PAGES)
commands = re.findall(r"^  ([a-z]+) ", weir("--help").stdout.split("Commands:")[1].split("Options:")[0], re.M)
missing = [name for name in commands if f"weir {name}" not in command_page]
check(commands and not missing, "weir(1) has every command", missing)
for name in commands:
    flags = {word.split("=")[0] for word in re.findall(r"--[a-z-]+", weir(name, "--usage").stdout)} - {
        "--usage",
        "--help",
        "--version",
    }
    own = f"{MAN}/weir-{name}.1"
    missing = [flag for flag in flags if flag not in (text_of(own) if own in OWN else command_page)]
    check(not missing, f"{f'weir-{name}' if own in OWN else 'weir'}(1) has every option of {name}", missing)
options = dict(re.findall(r"^(WEIR_\w+)=(\S+)", weir("options").stdout, re.M))
missing = [name for name in options if not re.search(rf"^ +{name}\s+\S+\s+\S+$", options_page, re.M)]
check(options and not missing, "weir(7) has every environment option in its table", missing)
missing = [name for name in options if len(re.findall(rf"^ +{name}$", options_page, re.M)) != 1]
check(not missing, "and says more about each", missing)
wrong = [name for name, values in options.items() if "|" in values and "[" not in values and values not in options_page]
check(not wrong, "with the values that it takes", wrong)
rows = json.loads(weir("options", "--json").stdout)
with open(os.path.join(SOURCE, "README.md"), encoding="utf-8") as file:
    table = dict(re.findall(r"^\| `(WEIR_\w+)` \| (.*?) \|", file.read(), re.M))
for row in rows:
    name, values, default = row["name"], row["values"], row["default"] or "none"
    words = values.split("|") if re.fullmatch(r"[a-z0-9|]+", values) and values.count("|") < 5 else []
    shown = values if words else "words" if "|" in values and "[" not in values else values.split("[")[0].lower()
    check(
        re.search(rf"^ +{name}\s+{re.escape(shown)}\s+{re.escape(default)}$", options_page, re.M),
        f"{name}: weir(7)'s table has its values and its default",
        values,
        default,
    )
    cell = table.get(name, "")
    missing = [word for word in words if not re.search(rf"\b{word}\b", cell)]
    bold = re.findall(r"\*\*(.*?)\*\*", cell)
    check(not missing and bold == ([default] if row["default"] else []), f"{name}: and so has README's", cell, missing)
check(set(table) == {row["name"] for row in rows}, "README's has no other", table)
named = set(re.findall(r"^ +(WEIR_\w+)", options_page, re.M))
check(named <= set(options), "and has none that is not there", named - set(options))

def functions_of(*headers):
    """The functions that headers declare for programs: a name that ends in _ is not for them."""
    found = set()
    for header in headers:
        with open(f"{SOURCE}/include/weir/{header}", encoding="utf-8") as file:
            text = file.read()
        found |= set(re.findall(r"(?:WEIR_API|static inline)[^;({]*?(weir_\w+)\(", text))
        found |= set(re.findall(r"#define (weir_\w+)\(", text))
    return {name for name in found if not name.endswith("_")}


DOCUMENTED = {
    "WEIR_MALLOC(3)": functions_of("alloc.h"),
    "WEIR_GC(3)": functions_of("gc.h", "object.h"),
    "WEIR_CONTAINERS(3)": functions_of("containers.h"),
    "WEIR_CHUNKS(3)": functions_of("chunks.h"),
}
functions = set().union(*DOCUMENTED.values())
pages_of_functions = [functions_page, gc_page, *(text_of(f"{MAN}/weir_{name}.3") for name in ("containers", "chunks"))]
for (title, named), page in zip(DOCUMENTED.items(), pages_of_functions):
    missing = [name for name in sorted(named) if not re.search(rf"\b{name}\b", page)]
    check(named and not missing, f"{title} has every function", missing)
with open(f"{SOURCE}/include/weir/alloc.h", encoding="utf-8") as file:
    fields = re.findall(r"uint64_t (\w+);", file.read())
check(fields and not [name for name in fields if name not in functions_page], "and every figure", fields)

# man(1) finds a function's page by its name.
os.makedirs(f"{scratch.name}/man/man3")
for path in PAGES[2:] + links:
    shutil.copy(path, f"{scratch.name}/man/man3")
pages = {os.path.basename(path)[:-2] for path in PAGES[2:] + links}
# Pages under a name that is no function's: of several, and of a constant.
TOPICS = {
    "weir_gc": "WEIR_GC(3)",
    "weir_containers": "WEIR_CONTAINERS(3)",
    "weir_chunks": "WEIR_CHUNKS(3)",
    "weir_strings": "WEIR_CONTAINERS(3)",
}
check(pages == functions | set(TOPICS), "each function has a page", pages ^ (functions | set(TOPICS)))
if shutil.which("man"):
    for name in sorted(pages):
        done = subprocess.run(
            ["man", "-M", f"{scratch.name}/man", "3", name],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "MANPAGER": "cat", "LC_ALL": "C.UTF-8"},
        )
        title = next((title for title, named in DOCUMENTED.items() if name in named), TOPICS.get(name))
        check(title in done.stdout, f"man {name}", done.stderr)
else:
    skip("man finds each function", "it is not installed")
finish()
