# SPDX-License-Identifier: MIT
"""What the tests that run programs under the preloaded library share: compiling, running, TAP.

From the environment: WEIR_PRELOAD (the library to preload), CC, CXX, WEIR_TEST_SOURCE and WEIR_TEST_BUILD (top
folders), WEIR_LIBDIR (folder of libweir.so). Without them: cc, c++, and `build` or the source folder itself
as the build.
Arguments: words; only cases with one of them in their name run. -j N: cases at a time. -l: list them.
With WEIR_TEST_NATIVE=1 nothing is preloaded: it shows that a case asks for no more than the C library gives.
"""

import argparse
import concurrent.futures
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path

SOURCE = Path(os.environ.get("WEIR_TEST_SOURCE") or Path(__file__).parents[2]).resolve()
SHARED = SOURCE / "tests" / "preload"
NATIVE = os.environ.get("WEIR_TEST_NATIVE") == "1"
SKIPPED = 77  # exit status of a program that cannot test here; its last line of output says why
C_FLAGS = "-std=gnu11 -O1 -g -w -fno-builtin -pthread -D_GNU_SOURCE".split()
CXX_FLAGS = "-std=c++17 -fsized-deallocation -O1 -g -w -fno-builtin -pthread -D_GNU_SOURCE".split()


class Failure(Exception):
    """The case has failed; the text says how."""


class Skip(Exception):
    """The case cannot run here; the text says why."""


def build_folder():
    for folder in (os.environ.get("WEIR_TEST_BUILD"), SOURCE / "build", SOURCE):
        if folder and (Path(folder) / ".libs").is_dir():
            return Path(folder).resolve()
    return SOURCE


def find_library(variable, name):
    """The real library, never libtool's wrapper."""
    path = Path(os.environ.get(variable) or build_folder() / ".libs" / name).resolve()
    if path.is_dir():
        path = path / name
    if not path.is_file() or path.read_bytes()[:4] != b"\x7fELF":
        print(f"Bail out! {path} is no library; set {variable}")
        sys.exit(1)
    return path


PRELOAD = None if NATIVE else find_library("WEIR_PRELOAD", "libweir-preload.so")
WORK = tempfile.TemporaryDirectory(prefix="weir-test-")


# ---- compiling ----

_built = {}
_lock = threading.RLock()


def build(source, *flags, library=False):
    """Compiles a file of the calling test's folder, once; the path of the program or shared library."""
    source = Path(source)
    key = (source, flags, library)
    with _lock:
        waiting = _built.setdefault(key, threading.Lock())
        number = list(_built).index(key)
    target = Path(WORK.name) / f"{source.stem}-{number}{'.so' if library else ''}"
    with waiting:
        if not target.exists():
            compile_to(target, source, flags, library)
    return target


def compile_to(target, source, flags, library):
    cxx = source.suffix == ".cc"
    command = shlex.split(os.environ.get("CXX", "c++") if cxx else os.environ.get("CC", "cc"))
    command += CXX_FLAGS if cxx else C_FLAGS
    command += ["-I", str(SOURCE / "include"), "-I", str(SHARED)]
    if library:
        command += ["-fPIC", "-shared", f"-Wl,-soname,{target.name}"]
    command += [str(source), "-o", str(target), *map(str, flags), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode != 0:
        if cxx and done.returncode == 127:
            raise Skip("no C++ compiler")
        raise Failure(f"{shlex.join(command)}\n{done.stderr}")


# ---- running ----

class Result:
    """What a program did: status as subprocess has it (-signal if it was killed), out, err, and its command."""

    def __init__(self, command, status, out, err):
        self.command, self.status, self.out, self.err = command, status, out, err

    def __str__(self):
        return (f"{self.command}\n{describe(self.status)}\n--- stdout\n{tail(self.out)}\n--- stderr\n{tail(self.err)}")


def describe(status):
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


def tail(text, most=3000):
    return text if len(text) <= most else "[...]" + text[-most:]


_page = []


def page_size():
    """Bytes of a page as the library has it: a build may act as if pages were larger than the system's."""
    with _lock:
        if not _page:
            _page.append(os.sysconf("SC_PAGE_SIZE") if NATIVE else ask_page_size())
        return _page[0]


def ask_page_size():
    env = {**os.environ, "LD_PRELOAD": str(PRELOAD), "WEIR_VERBOSE": "1"}
    said = subprocess.run([build(SHARED / "hello.c")], env=env, capture_output=True, text=True, errors="replace").stderr
    found = re.search(r"^weir: .*\bpage (\d+)\b", said, re.M)
    if not found:
        raise Failure(f"{PRELOAD} does not tell its page size: {said!r}")
    return int(found.group(1))


def scaled(size):
    """A size where the library has pages of 4 KiB, made that which is the same to it where it has larger ones."""
    return size * (page_size() // 4096)


def clean_environment(extra):
    """Ours without what concerns the allocator: the library reads every WEIR_ name."""
    env = {k: v for k, v in os.environ.items()
           if not k.startswith(("WEIR_", "MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD", "CASE_"))}
    env["CASE_PAGE"] = str(page_size())
    if NATIVE:
        env["CASE_NATIVE"] = "1"
    env.update({k: str(v) for k, v in extra.items()})
    return env


def run(program, *args, env=None, preload=True, before=(), after=(), under=(), seconds=300):
    """Runs a program with the library preloaded, between the libraries of `before` and `after`.

    `under`: a command that runs it, such as strace. preload=False: without the library.
    """
    env = clean_environment(env or {})
    libraries = [str(p) for p in (*before, *([PRELOAD] if preload and not NATIVE else []), *after)]
    setting = ["env", "LD_PRELOAD=" + ":".join(libraries)] if libraries else []
    argv = [str(a) for a in (*under, *setting, program, *args)]
    shown = " ".join([*(f"{k}={v}" for k, v in env.items() if os.environ.get(k) != v), shlex.join(argv)])
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          errors="replace", env=env, cwd=WORK.name, start_new_session=True) as child:
        try:
            out, err = child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            out, err = child.communicate()
            raise Failure(f"hangs: no end after {seconds} s\n{Result(shown, child.returncode, out, err)}") from None
    result = Result(shown, child.returncode, out, err)
    if result.status == SKIPPED:
        raise Skip((result.out.strip().splitlines() or ["the program says so"])[-1])
    return result


def expect(condition, what, result=None):
    if not condition:
        raise Failure(what if result is None else f"{what}\n{result}")


def messages(result):
    """The library's lines on standard error."""
    return [line for line in result.err.splitlines() if line.startswith("weir: ")]


def succeed(program, *args, **how):
    """Runs a program that must exit with 0 and write nothing to standard error."""
    result = run(program, *args, **how)
    expect(result.status == 0, "exit status is not 0", result)
    expect(result.err == "", "something on standard error", result)
    return result


# ---- cases ----

_cases = []


def case(name):
    """Decorator: a function that is a test case."""
    def add(function):
        _cases.append((name, function))
        return function
    return add


def attempt(function):
    try:
        function()
        return "ok", "", ""
    except Skip as skip:
        return "ok", f" # SKIP {skip}", ""
    except Failure as failure:
        return "not ok", "", str(failure)
    except Exception:  # the driver's own fault fails the case, not the run
        return "not ok", "", traceback.format_exc()


def main():
    parser = argparse.ArgumentParser(description="Prints TAP.")
    parser.add_argument("-j", type=int, default=int(os.environ.get("WEIR_TEST_JOBS", "2")), help="cases at a time")
    parser.add_argument("-l", action="store_true", help="list the cases")
    parser.add_argument("words", nargs="*", help="run cases with one of these in their name")
    options = parser.parse_args()
    chosen = [c for c in _cases if not options.words or any(word in c[0] for word in options.words)]
    if options.l:
        print("\n".join(name for name, _ in chosen))
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    print(f"1..{len(chosen)}", flush=True)
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(max(1, options.j)) as pool:
        results = [pool.submit(attempt, function) for _, function in chosen]
        for number, ((name, _), future) in enumerate(zip(chosen, results), 1):
            verdict, note, text = future.result()
            failed += verdict != "ok"
            print(f"{verdict} {number} - {name}{note}")
            for line in text.rstrip().splitlines():
                print(f"# {line}")
            sys.stdout.flush()
    sys.exit(1 if failed else 0)
