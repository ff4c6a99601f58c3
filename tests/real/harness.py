# SPDX-License-Identifier: MIT
"""What the tests with real programs share: the two sides, running, comparing, TAP.

A case is a function of a Side. It runs twice, on the C library's allocator and on Weir, and returns what must be equal.
From the environment: WEIR_PRELOAD (the library to preload), WEIR_TEST_FULL=1 (servers too), and for trying a case with
another allocator's library in WEIR_PRELOAD: WEIR_TEST_ANY=1 (it will not announce itself).
"""

import argparse
import concurrent.futures
import contextlib
import difflib
import os
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

SOURCE = Path(os.environ.get("WEIR_TEST_SOURCE") or Path(__file__).parents[2]).resolve()
PROGRAMS = Path(__file__).parent / "programs"
ANY = os.environ.get("WEIR_TEST_ANY") == "1"
FULL = os.environ.get("WEIR_TEST_FULL") == "1"

ACTIVE = re.compile(rb"^weir \S+ active in (\S+), preloaded\b")
MESSAGE = re.compile(rb"^weir: \d+: (.*)\n?", re.MULTILINE)


class Failure(Exception):
    """The case has failed; the text says how."""


class Skip(Exception):
    """The case cannot run here; the text says why."""


# ---- cases ----

_cases = []


class Case:
    def __init__(self, function, name, needs, active, timeout, full, cpu):
        self.function = function
        self.name = name
        self.needs = needs
        self.active = active
        self.timeout = timeout
        self.full = full
        self.cpu = cpu


def case(name, needs=(), active=(), timeout=400, full=False, cpu=1):
    """Declares a case.

    needs: programs it runs, the first being the one it is about; it is skipped where one is missing.
    active: words, each of which must be part of the name of a program that ran on Weir; without them needs[0].
    timeout: seconds for each side. full: only with WEIR_TEST_FULL=1.
    cpu: processors that one side keeps busy; with 1 both sides run at the same time.
    """
    def declare(function):
        _cases.append(Case(function, name, needs, active or needs[:1], timeout, full, cpu))
        return function
    return declare


def find(program):
    """The program's path, from PATH and the folders of servers. Skips the case if it is not there."""
    places = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin:/sbin"
    path = shutil.which(program, path=places)
    if path is None:
        raise Skip(f"{program} not installed")
    return path


# ---- a side ----

_sides = set()  # those whose case runs
_over = threading.Event()  # nothing is to be started any more

def clean_environment():
    """The caller's, without what would make a program behave otherwise than on the next machine."""
    drop = ("LD_PRELOAD", "MALLOC_", "GLIBC_TUNABLES", "WEIR_", "PYTHON", "PERL", "RUBY", "LUA_", "NODE_", "GIT_", "PG",
            "GZIP", "XZ_", "MAKEFLAGS", "MFLAGS", "CFLAGS", "LC_", "LANG")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(drop)}
    environment.update(LC_ALL="C.UTF-8", TZ="UTC", PYTHONDONTWRITEBYTECODE="1")
    return environment


class Side:
    """Where a case runs once. dir: a folder of its own, the working folder of all that runs."""

    def __init__(self, weir, folder, deadline, library):
        self.weir = weir
        self.name = "Weir" if weir else "the C library"
        self.dir = folder
        self.library = library  # the path to preload; also on the other side, where it must not be mapped
        self.programs = set()   # names of those that have said, or shown, that they run on Weir
        self.found = set()      # messages of Weir other than that
        self.expected = set()   # of them, how those begin that there must be
        self._deadline = deadline
        self._running = set()

    def environment(self, quiet=False, **more):
        environment = clean_environment()
        environment.update(HOME=str(self.dir), TMPDIR=str(self.dir))
        if self.weir:
            environment["LD_PRELOAD"] = str(self.library)
            if not quiet:
                environment["WEIR_VERBOSE"] = "1"
        environment.update(more)
        return environment

    def start(self, argv, quiet=False, env=None, cwd=None, user=None, **streams):
        """Starts a program in a process group of its own, which ends with the case."""
        if _over.is_set():
            raise Failure("interrupted")
        argv = [str(word) for word in argv]
        streams.setdefault("stdin", subprocess.DEVNULL)
        process = subprocess.Popen(argv, env=self.environment(quiet, **(env or {})), cwd=cwd or self.dir,
                                   start_new_session=True, user=user, group=user, extra_groups=[] if user else None,
                                   **streams)
        self._running.add(process)
        return process

    def run(self, argv, stdin=None, status=0, quiet=False, env=None, cwd=None, user=None):
        """Runs a program to its end; its standard output. Fails if it ends otherwise than with `status`, or if Weir
        has anything to say but that it is there. quiet: do not let it say even that (to children whose standard
        error is looked at, say); then the case must show it otherwise."""
        process = self.start(argv, quiet, env, cwd, user, stdin=subprocess.PIPE if stdin is not None else None,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, errors = process.communicate(stdin, timeout=max(self._deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            raise Failure(f"on {self.name}: {short(argv)} took too long") from None
        finally:
            self.stop(process, signal.SIGKILL)
        errors = self.listen(errors)
        if process.returncode != status:
            raise Failure(f"on {self.name}: {short(argv)} ended with {ending(process.returncode)}\n"
                          + tail(errors) + tail(out))
        return out

    def listen(self, errors):
        """Takes Weir's messages out of what was written to standard error, and remembers them."""
        for match in MESSAGE.finditer(errors):
            active = ACTIVE.match(match[1])
            if active:
                self.programs.add(os.path.basename(active[1]).decode())
            else:
                self.found.add(match[1].decode(errors="replace"))
        return MESSAGE.sub(b"", errors)

    def look_at(self, pid):
        """Remembers that process `pid` runs on Weir, by its map. False if it has ended."""
        try:
            name = os.path.basename(os.readlink(f"/proc/{pid}/exe"))
            maps = Path(f"/proc/{pid}/maps").read_text()
        except OSError:
            return False
        if not maps:
            return False
        if self.is_mapped(maps):
            self.programs.add(name)
        elif self.weir:
            raise Failure(f"{name}, process {pid}, does not run on Weir")
        return True

    def is_mapped(self, maps):
        return str(self.library) in maps

    def stop(self, process, how=signal.SIGTERM, seconds=100):
        """Ends a process and its group, and waits for it; its status, None if it had to be killed."""
        status = process.poll()
        if status is None:
            process.send_signal(how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = process.wait(seconds)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self._running.discard(process)
        return status

    def stop_all(self):
        for process in list(self._running):
            self.stop(process, signal.SIGKILL)

    def wait_for(self, what, ready, process=None):
        """Calls ready() until it is true. Fails with the case's time, or when `process` has ended."""
        while True:
            with contextlib.suppress(OSError):
                if ready():
                    return
            if process is not None and process.poll() is not None:
                raise Failure(f"on {self.name}: waited for {what}, but the server ended with "
                              + ending(process.returncode))
            if time.monotonic() > self._deadline:
                raise Failure(f"on {self.name}: {what} took too long")
            time.sleep(0.05)

    def check(self, wanted):
        """What must hold of a side that has run: who was on Weir, and that it found no fault."""
        surprises = [text for text in sorted(self.found) if not text.startswith(tuple(self.expected))]
        if surprises:
            raise Failure("Weir said: " + "; ".join(surprises))
        if not self.weir and self.programs:
            raise Failure(f"on Weir without having been asked: {self.programs}")
        if self.weir and not ANY:
            missing = [word for word in wanted if not any(word in name for name in self.programs)]
            missed = [text for text in self.expected if not any(found.startswith(text) for found in self.found)]
            if missed:
                raise Failure(f"Weir did not say: {'; '.join(missed)}")
            if missing:
                raise Failure(f"not seen on Weir: {', '.join(missing)}; seen: {', '.join(sorted(self.programs))}")


def short(argv):
    text = " ".join(str(word) for word in argv)
    return text if len(text) < 160 else text[:160] + "…"


def ending(status):
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"


def tail(data, lines=25):
    return "".join(line[:300] + "\n" for line in data.decode(errors="replace").splitlines()[-lines:])


def free_port():
    """A port of the loopback interface that nobody has just now; not one of those that the system gives to clients."""
    while True:
        port = random.randrange(10000, 32000)
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port


# ---- running a case ----

def as_lines(value):
    if isinstance(value, dict):
        return [line for key in sorted(value) for line in [f"{key}:"] + as_lines(value[key])]
    if isinstance(value, (list, tuple)):
        return [line for item in value for line in as_lines(item)]
    return (value.decode(errors="replace") if isinstance(value, bytes) else str(value)).splitlines()


def compare(expected, got):
    if expected == got:
        return
    lines = list(difflib.unified_diff(as_lines(expected), as_lines(got), "on the C library", "on Weir", n=1,
                                      lineterm=""))
    raise Failure("the results differ\n" + "\n".join(line[:300] for line in lines[:40]))


class Attempt(threading.Thread):
    """One side of a case, in a thread."""

    def __init__(self, one, side):
        super().__init__(daemon=True)
        self.one, self.side = one, side
        self.result = self.error = None

    def run(self):
        try:
            self.result = self.one.function(self.side)
        except (Failure, Skip) as error:
            self.error = error
        except Exception:  # of the case itself: shown as a failure, with where it was
            self.error = Failure(f"on {self.side.name}:\n" + traceback.format_exc())
        finally:
            self.side.stop_all()


def run_case(one, library, work):
    for program in one.needs:
        find(program)
    deadline = time.monotonic() + one.timeout
    attempts = []
    for weir in (False, True):
        folder = work / one.name.replace(" ", "-") / ("weir" if weir else "libc")
        folder.mkdir(parents=True)
        attempts.append(Attempt(one, Side(weir, folder, deadline, library)))
    sides = {attempt.side for attempt in attempts}
    _sides.update(sides)
    try:
        if one.cpu == 1:
            for attempt in attempts:
                attempt.start()
        for attempt in attempts:
            if one.cpu > 1:
                attempt.side._deadline = time.monotonic() + one.timeout
                attempt.start()
            attempt.join()
            if attempt.error and not attempts[1].is_alive():
                break
    finally:
        for attempt in attempts:
            attempt.side.stop_all()
            if attempt.is_alive():
                attempt.join()
        _sides.difference_update(sides)
        for attempt in attempts:
            shutil.rmtree(attempt.side.dir, ignore_errors=True)
    for attempt in attempts:
        if attempt.error:
            raise attempt.error
    for attempt in attempts:
        attempt.side.check(one.active)
    compare(attempts[0].result, attempts[1].result)


def outcome(one, library, work):
    """Whether the case has passed, what follows its name, why it failed, and seconds."""
    start = time.monotonic()
    try:
        if one.full and not FULL:
            raise Skip("needs WEIR_TEST_FULL=1")
        run_case(one, library, work)
    except Skip as reason:
        return True, f" # SKIP {reason}", "", 0
    except Failure as failure:
        return False, "", str(failure), time.monotonic() - start
    return True, "", "", time.monotonic() - start


def in_two_lanes(cases, library, work):
    """Runs the cases that keep several processors busy one after the other, and beside them the others: servers wait
    for their load half of the time. Gives outcomes in the order of the cases."""
    lanes = {many: concurrent.futures.ThreadPoolExecutor(1) for many in (False, True)}
    outcomes = [lanes[one.cpu > 1].submit(outcome, one, library, work) for one in cases]
    try:
        for future in outcomes:
            yield future.result()
    finally:  # also when interrupted
        _over.set()
        for side in list(_sides):
            side.stop_all()
        for lane in lanes.values():
            lane.shutdown(cancel_futures=True)


def preload_library(work):
    """A copy that every user can read and that no build replaces meanwhile; None if there is nothing to copy."""
    path = os.environ.get("WEIR_PRELOAD")
    if not path or not Path(path).is_file():
        return None
    copy = work / "libweir-preload.so"
    shutil.copy(Path(path).resolve(), copy)
    copy.chmod(0o755)
    return copy


def interrupted(number, frame):
    raise KeyboardInterrupt


def main():
    parser = argparse.ArgumentParser(description="Runs real programs on Weir and on the C library's allocator.")
    parser.add_argument("-l", "--list", action="store_true", help="name the cases")
    parser.add_argument("word", nargs="*", help="only cases with one of these in their name")
    options = parser.parse_args()
    chosen = [one for one in _cases if not options.word or any(word in one.name for word in options.word)]
    if options.list:
        for one in chosen:
            print(one.name + (" (full)" if one.full else ""))
        return 0
    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGHUP, interrupted)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    failed = False
    with tempfile.TemporaryDirectory(prefix="weir-real-", ignore_cleanup_errors=True) as name:
        work = Path(name)
        work.chmod(0o755)
        library = preload_library(work)
        if library is None:
            print("1..0 # SKIP no libweir-preload.so in $WEIR_PRELOAD")
            return 0
        print(f"1..{len(chosen)}", flush=True)
        outcomes = in_two_lanes(chosen, library, work)
        for number, (one, (passed, comment, why, seconds)) in enumerate(zip(chosen, outcomes), 1):
            failed |= not passed
            print(f"{'' if passed else 'not '}ok {number} - {one.name}{comment}")
            for line in why.splitlines():
                print("#   " + line)
            if not comment:
                print(f"# {one.name}: {seconds:.1f} s", flush=True)
    return 1 if failed else 0
