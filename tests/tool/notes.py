# SPDX-License-Identifier: MIT
"""What weir run says of programs that cannot or will not come to Weir, and what it does for Python."""

import os
import random
import shutil
import subprocess
import sys

from harness import CC, check, compile_c, finish, report, scratch, skip, weir, write

MAIN = "int main(void) { return 6; }\n"


def note(name, program, said, runs=6, arguments=(), **more):
    """Checks that running `program` gives one note with `said` in it, and the program's own status."""
    if program is None:
        skip(name, "cannot be built here")
        return
    done = weir("run", program, *arguments, **more)
    notes = [line for line in done.stderr.splitlines() if line.startswith("weir: note: ")]
    check(len(notes) == (1 if said else 0) and all(said in line for line in notes), name, done.stderr)
    if runs is not None:
        check(done.returncode == runs, f"{name}: it runs", done.returncode, done.stderr)


note("an ordinary program", compile_c("plain", MAIN), "")
note("a static program", compile_c("static", MAIN, "-static"), "statically linked")
note("a static program at any address", compile_c("static-pie", MAIN, "-static-pie"), "statically linked")
note(
    "a program with its own malloc",
    compile_c(
        "own",
        "#include <stddef.h>\nstatic char pool[1 << 20], *at = pool;\n"
        "void *malloc(size_t n) { char *p = at; at += (n + 15) & ~15UL; return p; }\n"
        "void free(void *p) { (void)p; }\n" + MAIN,
    ),
    "brings its own malloc,",
)
note(
    "a program with jemalloc inside",
    compile_c("je", "void *je_malloc(long n) { (void)n; return 0; }\n" + MAIN, "-g"),
    "has jemalloc inside",
)
note(
    "a program with mimalloc inside",
    compile_c("mi", "void *mi_malloc(long n) { (void)n; return 0; }\n" + MAIN, "-rdynamic"),
    "has mimalloc inside",
)
for library in ("libjemalloc.so.2", "libtcmalloc_minimal.so.4", "libmimalloc.so.2"):
    built = compile_c(library, "int linked(void) { return 6; }\n", "-shared", "-fPIC", f"-Wl,-soname,{library}")
    note(
        f"a program linked with {library}",
        built
        and compile_c(
            f"with-{library}",
            "int linked(void);\n" "int main(void) { return linked(); }\n",
            built,
            f"-Wl,-rpath,{scratch.name}",
        ),
        library,
    )
note("a program with AddressSanitizer", compile_c("asan", MAIN, "-fsanitize=address"), "AddressSanitizer")
note("a program with musl", compile_c("musl", MAIN, compiler="musl-gcc"), "musl")

plain = compile_c("go", MAIN)
if shutil.which("objcopy"):
    section = write("go-section", "Go build ID")
    subprocess.run(["objcopy", "--add-section", f".note.go.buildid={section}", plain], check=True)
    note("a Go program that uses C", plain, "Go's own heap")
    static = compile_c("static-go", MAIN, "-static")
    if static:
        subprocess.run(["objcopy", "--add-section", f".go.buildinfo={section}", static], check=True)
    note("a static Go program", static, "Go has its own heap")
else:
    skip("Go programs", "objcopy is missing")

with open("/bin/true", "rb") as file:
    code = bytearray(file.read())
code[4] = 1  # the class: 32 bits
note("a 32-bit program", write("narrow", bytes(code)), "32-bit", runs=None)
code[4], code[18], code[19] = 2, 21, 0  # the machine: 64-bit PowerPC
note("a program for another machine", write("other", bytes(code)), "ppc64", runs=126)

# ---- more rights than the caller's

if os.getuid() == 0:
    for name, owner, mode in (("setuid", (65534, 0), 0o4755), ("setgid", (0, 65534), 0o2755)):
        path = shutil.copy(compile_c("rights", MAIN), os.path.join(scratch.name, name))
        os.chown(path, *owner)
        os.chmod(path, mode)
        os.chmod(scratch.name, 0o755)
        if os.statvfs(path).f_flag & os.ST_NOSUID:
            skip(f"a {name} program", "the scratch directory is mounted nosuid")
        else:
            note(f"a {name} program", path, "ignores LD_PRELOAD")
    os.chown(path, 0, 0)
    os.chmod(path, 0o6755)
    note("a setuid program of the caller's own", path, "")
else:
    su = shutil.which("su")
    if su and os.stat(su).st_mode & 0o4000:
        note("a setuid program", su, "ignores LD_PRELOAD", runs=0, arguments=["--version"])
    else:
        skip("a setuid program", "there is none here")

# ---- files that are wrong in any way

chance = random.Random(2)
original = bytes(open("/bin/true", "rb").read())
failures = []
for turn in range(60):
    code = bytearray(original[: chance.choice([len(original), chance.randrange(8, len(original))])])
    for _ in range(chance.randrange(1, 10)):
        first, last = chance.choice(
            [(16, 64), (64, 64 + 13 * 56), (max(0, len(code) - 2048), len(code)), (0, len(code))]
        )
        at = chance.randrange(min(first, len(code) - 1), max(min(last, len(code)), min(first, len(code) - 1) + 1))
        code[at : at + 8] = bytes(
            chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)]) for _ in code[at : at + 8]
        )
    # As a library it is read and not run.
    done = weir("run", "-q", "--library", write("libbroken.so", bytes(code)), "true", env={"PATH": "/nowhere"})
    if done.returncode not in (125, 127):
        failures.append((turn, done.returncode, done.stderr))
check(not failures, "broken ELF files do no harm", *failures)

# ---- Python

SHOW = "import os; print(os.environ.get('PYTHONMALLOC'))"
python = os.path.realpath(sys.executable)


def python_malloc(*arguments, **more):
    done = weir("run", *arguments, **more)
    return done.stdout.strip(), [line for line in done.stderr.splitlines() if "note:" in line]


check(python_malloc(python, "-c", SHOW) == ("malloc", []), "PYTHONMALLOC=malloc for Python")
check(python_malloc("--no-inherit", python, "-c", SHOW) == ("malloc", []), "with --no-inherit too")
check(python_malloc(write("script", f"#!{python}\n{SHOW}\n")) == ("malloc", []), "for a script")
os.makedirs(f"{scratch.name}/path", exist_ok=True)
os.symlink(python, f"{scratch.name}/path/python3")
search = {"PATH": f"{scratch.name}/path:/usr/bin:/bin"}
check(
    python_malloc(write("env-script", f"#!/usr/bin/env python3\n{SHOW}\n"), env=search) == ("malloc", []),
    "for a script that env finds the interpreter of",
)
shim = write("shims/python3", f'#!/bin/sh\nexec {python} "$@"\n')
check(python_malloc(shim, "-c", SHOW) == ("malloc", []), "for a Python that a shell script starts")
check(python_malloc("sh", "-c", f'{python} -c "{SHOW}"') == ("malloc", []), "for a Python that any program starts")
check(
    python_malloc("--no-inherit", "printenv", "PYTHONMALLOC")[0] == "",
    "not where only a program that is none runs on Weir",
)
got = python_malloc(python, "-c", SHOW, env={"PYTHONMALLOC": "pymalloc"})
check(got[0] == "pymalloc" and len(got[1]) == 1 and "is kept" in got[1][0], "what the user set stays, with a note", got)
check(
    python_malloc(python, "-c", SHOW, env={"PYTHONMALLOC": "malloc_debug"}) == ("malloc_debug", []),
    "malloc_debug needs none",
)
for flags in (["-I"], ["-sE"], ["-X", "utf8", "-E"], ["-B", "-W", "error", "-I"]):
    got = python_malloc(python, *flags, "-c", SHOW)
    check(len(got[1]) == 1 and "-E and -I" in got[1][0], f"a note for Python with {' '.join(flags)}", got)
for flags in (["-c", SHOW, "-E"], ["-B", "-c", SHOW, "-I"], ["-Xutf8E", "-c", SHOW], ["-WE", "-c", SHOW]):
    check(not python_malloc(python, *flags)[1], f"none with {' '.join(flags).replace(SHOW, 'CODE')}")
got = python_malloc(write("isolated", f"#!{python} -Es\n{SHOW}\n"))
check(len(got[1]) == 1 and "-E and -I" in got[1][0], "a note for a script that asks for -E", got)
got = python_malloc(write("split", f"#!/usr/bin/env -S python3 -I\n{SHOW}\n"), env=search)
check(len(got[1]) == 1 and "-E and -I" in got[1][0], "also by env -S", got)
# Free-threaded Python ends with an error where it meets PYTHONMALLOC=malloc; the name tells.
os.symlink(python, f"{scratch.name}/path/python3.13t")
got = python_malloc(f"{scratch.name}/path/python3.13t", "-c", SHOW)
check(
    got[0] == "None" and len(got[1]) == 1 and "free-threaded" in got[1][0],
    "PYTHONMALLOC is not set for free-threaded Python",
    got,
)

# ---- --no-inherit and what stands between

MAPS = "import sys; print('libweir-preload' in open('/proc/self/maps').read(), *sys.argv[1:])"
script = write("maps", f"#!/usr/bin/env python3\n{MAPS}\n")
done = weir("run", "--no-inherit", script, "a b", "c", env=search)
check(
    done.stdout == "True a b c\n" and "note" not in done.stderr,
    "--no-inherit: a script by env runs on Weir",
    done.stdout,
    done.stderr,
)
script = write("flags", f"#!/usr/bin/env -S python3 -B\n{MAPS}\n")
done = weir("run", "--no-inherit", script, "x", env=search)
check(done.stdout == "True x\n", "with the flags on its first line", done.stdout, done.stderr)
child = f'{python} -c "{MAPS}"; true'
done = weir("run", "sh", "-c", child)
check(done.stdout == "True\n", "programs that the program starts run on Weir", done.stdout)
done = weir("run", "--no-inherit", "sh", "-c", child)
check(done.stdout == "False\n", "with --no-inherit they do not", done.stdout)
check("note: sh is a shell" in done.stderr, "and a shell gets a note", done.stderr)

# ---- where the notes go

static = compile_c("static", MAIN, "-static")
if static:
    check(weir("run", "-q", static).stderr == "", "--quiet: no note")
    done, data = report(static)
    check(
        done.stderr == "" and len(data["notes"]) == 1 and "statically" in data["notes"][0],
        "--json: notes are in the object",
        data,
    )
    check(data["active"] is not True and data["inside"] is None, "and it is not called active", data)
else:
    skip("notes of a static program", f"{CC} cannot link one")
finish()
