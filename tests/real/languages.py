# SPDX-License-Identifier: MIT
"""Interpreters: CPython with its own test modules, and programs of ours for the others."""

import os
import shutil
import subprocess
import sys

from harness import PROGRAMS, Failure, Skip, case

# ---- CPython ----

MODULES = "test_gc", "test_weakref", "test_threading", "test_fork1", "test_subprocess", "test_list", "test_dict"


def has_tests(python, module):
    probe = subprocess.run([python, "-c", f"import test.support, test.{module}"], stdin=subprocess.DEVNULL,
                           capture_output=True, check=False)
    return probe.returncode == 0


def real_python(path):
    """The interpreter that `path` leads to: it may be a script that chooses one."""
    found = subprocess.run([path, "-c", "import sys; print(sys.executable)"], stdin=subprocess.DEVNULL,
                           capture_output=True, text=True, check=False)
    return found.stdout.strip()


_python = {}


def python_with_tests(module):
    """A CPython that has the test modules; Debian has them in a package of their own."""
    if module not in _python:
        paths = [path for path in (sys.executable, "/usr/bin/python3", shutil.which("python3")) if path]
        _python[module] = next((path for path in map(real_python, paths) if path and has_tests(path, module)), None)
    if _python[module] is None:
        raise Skip(f"test.{module} not installed (Debian: libpython3-testsuite)")
    return _python[module]


def cpython(side, module):
    results = side.dir / "results"
    # Some tests look at what their children write to standard error, so Weir keeps silent and the map is looked at.
    side.run([python_with_tests(module), PROGRAMS / "cpython_tests.py", side.library, results, module], quiet=True,
             env={"PYTHONMALLOC": "malloc"})
    first, *outcomes = results.read_text().splitlines()
    if first == "mapped":
        side.programs.add("python")
    if sum(line.endswith(" ok") for line in outcomes) < len(outcomes) // 2:
        raise Failure(f"on {side.name}: most tests of {module} fail\n" + "\n".join(outcomes[:20]))
    return outcomes


def declare_cpython(module):
    case(f"cpython {module}", active=["python"])(lambda side: cpython(side, module))


for _module in MODULES:
    declare_cpython(_module)


@case("cpython objects", needs=["python3"], active=["python"])
def cpython_objects(side):
    return side.run([real_python(shutil.which("python3")), PROGRAMS / "work.py"], env={"PYTHONMALLOC": "malloc"})


# ---- others ----

@case("perl", needs=["perl"])
def perl(side):
    return side.run(["perl", PROGRAMS / "work.pl"], env={"PERL_HASH_SEED": "0", "PERL_PERTURB_KEYS": "0"})


@case("ruby", needs=["ruby"])
def ruby(side):
    return side.run(["ruby", PROGRAMS / "work.rb"])


def lua_program():
    # "lua" comes last: it is an alternative, and may be a program that only speaks Lua too.
    names = [name for name in ("lua5.4", "lua5.3", "luajit", "lua") if shutil.which(name)]
    if not names:
        raise Skip("lua not installed")
    return names[0]


@case("lua", active=["lua"])
def lua(side):
    return side.run([lua_program(), PROGRAMS / "work.lua"])


@case("php", needs=["php"])
def php(side):
    """Once with its own allocator for small blocks, once without. Extensions are opened with RTLD_DEEPBIND."""
    archives = side.run(["php", "-r", "echo ini_get('extension_dir'), '/phar.so';"], quiet=True)
    if side.weir and os.path.exists(archives):
        side.expected.add("RTLD_DEEPBIND is left out")
    both = [side.run(["php", PROGRAMS / "work.php"], env={"USE_ZEND_ALLOC": own}) for own in "10"]
    if both[0] != both[1]:
        raise Failure(f"on {side.name}: other results without the allocator of its own")
    return both


@case("node with worker threads", needs=["node"])
def node(side):
    return side.run(["node", PROGRAMS / "work.js"])


@case("awk", active=["awk"], needs=["awk"])
def awk(side):
    return side.run(["awk", "-f", PROGRAMS / "work.awk"])


@case("bash", needs=["bash"])
def bash(side):
    return side.run(["bash", PROGRAMS / "work.bash"])
