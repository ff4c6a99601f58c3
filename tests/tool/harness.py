# SPDX-License-Identifier: MIT
"""What the tests of the weir command share: TAP lines, running the command, compiling small programs."""

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time

BUILD = os.environ.get("WEIR_TEST_BUILD", "")
SOURCE = os.environ.get("WEIR_TEST_SOURCE") or os.path.dirname(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
)
WEIR = os.environ.get("WEIR") or os.path.join(BUILD, "weir")
LIBRARY = os.environ["WEIR_PRELOAD"]
CC = os.environ.get("CC") or "cc"

PATIENCE = 120  # seconds for what comes at once, unless the machine has no time for it

scratch = tempfile.TemporaryDirectory(prefix="weir-test-")
_count = _failed = 0


def check(good, name, *details):
    """One TAP line; details are printed below a failure."""
    global _count, _failed
    _count += 1
    print(f"{'ok' if good else 'not ok'} {_count} - {name}", flush=True)
    if not good:
        _failed += 1
        for detail in details:
            for line in str(detail).splitlines() or [""]:
                print(f"#   {line}", flush=True)


def skip(name, why):
    global _count
    _count += 1
    print(f"ok {_count} - {name} # SKIP {why}", flush=True)


def finish():
    print(f"1..{_count}")
    scratch.cleanup()
    sys.exit(1 if _failed else 0)


def environment(**changes):
    """This environment without what would sway the command; None removes."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("WEIR_", "PYTHON", "LD_PRELOAD")) and k != "WEIR"}
    env["WEIR_PRELOAD"] = LIBRARY
    for name, value in changes.items():
        env.pop(name, None)
        if value is not None:
            env[name] = value
    return env


def weir(*args, env=None, **more):
    """Runs the command; its output and errors are text."""
    more.setdefault("timeout", 300)
    return subprocess.run(
        [WEIR, *args],
        env=environment(**(env or {})),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        **more,
    )


def eventually(condition, seconds=PATIENCE):
    """Whether condition() becomes true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def attempts(measure, most=5):
    """Calls measure() until it gives no complaints; those of the last time. For figures that somebody takes by looking
    at a program while it runs: on a busy machine he may not get his turn."""
    for _ in range(most):
        complaints = measure()
        if not complaints:
            break
    return complaints


def free_port():
    """A port of the loopback interface that nobody has; not one of those that the system gives to clients."""
    while True:
        port = random.randrange(10000, 32000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


def report(*args, **more):
    """Runs `weir run --json` with a report file. Returns the process and the report."""
    path = os.path.join(scratch.name, "report.json")
    done = weir("run", "--json", "--output", path, *args, **more)
    with open(path, encoding="utf-8") as file:
        return done, json.load(file)


def write(name, text, mode=0o755):
    """A file in the scratch directory; returns its path."""
    path = os.path.join(scratch.name, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(text if isinstance(text, bytes) else text.encode())
    os.chmod(path, mode)
    return path


def compile_c(name, source, *flags, compiler=None):
    """Compiles a program; returns its path, or None where the compiler or a library it needs is missing."""
    out = os.path.join(scratch.name, name)
    os.makedirs(os.path.dirname(out), exist_ok=True)
    command = [*(compiler or CC).split(), "-x", "c", "-", "-x", "none", "-o", out, *flags]
    if shutil.which(command[0]) is None:
        return None
    done = subprocess.run(command, input=source.encode(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return out if done.returncode == 0 else None
