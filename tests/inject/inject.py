#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""System calls fail underneath a program: each one in its turn, and each one with all that follow.

workload.c and objects.c are the programs; they verify every byte, and take NULL with ENOMEM for an answer. supervise.c
makes calls fail from main() on, by seccomp; strace, where it is there, also those that come before, once the libraries
are loaded.
../preload/harness.py says how to run this by hand."""

import errno
import re
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "preload"))
from harness import NATIVE, PRELOAD, Failure, Skip, build, case, describe, expect, main, run  # noqa: E402

HERE = Path(__file__).parent
CALLS = (("mmap", "ENOMEM"), ("munmap", "ENOMEM"), ("munmap", "EINVAL"), ("mremap", "ENOMEM"), ("mremap", "ENOSYS"),
         ("madvise", "ENOMEM"), ("madvise", "EPERM"), ("madvise", "EAGAIN"),
         ("process_madvise", "ENOMEM"), ("process_madvise", "EPERM"), ("process_madvise", "ENOSYS"),
         ("process_madvise", "EINVAL"), ("madvise", "EINVAL"), ("madvise", "ENOSYS"),
         ("populate", "ENOMEM"), ("populate", "EINVAL"),
         ("clone", "EAGAIN"), ("clone", "EPERM"), ("membarrier", "EPERM"), ("membarrier", "ENOSYS"))
MOST = 2000  # calls of one kind; more would be no test but a flood
SOME = 24  # of those that make pages resident: all come from one place, many in each program
FAST = "-O3"  # most of the time goes into the programs' own patterns


def workload():
    return build(HERE / "workload.c", FAST)


def objects():
    if NATIVE:
        raise Skip("the C library has no objects")
    return build(HERE / "objects.c", FAST, PRELOAD)


def supervised(call, when, error, program=workload):
    under = [build(HERE / "supervise.c"), call, when, getattr(errno, error)]
    return run(program(), under=under)


def verified(result):
    """How many allocations were refused. The program must have come to its end with all content right."""
    found = re.search(r"^verified, (\d+) refused$", result.out, re.MULTILINE)
    expect(result.status == 0 and found, describe(result.status), result)
    expect(result.err == "", "something on standard error", result)
    return int(found.group(1))


def seen(result):
    return [int(n) for n in re.search(r"^calls (\d+) failed (\d+)$", result.out, re.MULTILINE).groups()]


def count(call, error, program=workload):
    result = supervised(call, 0, error, program)
    verified(result)
    calls = seen(result)[0]
    if calls == 0:
        raise Skip(f"the program makes no {call}")
    expect(calls <= MOST, f"{calls} calls of {call}", result)
    return calls


def expect_failed(result, number):
    """The call failed, unless this run made less of them. Whether it did: what the purger calls, and how often, depends
    on when it gets its turn."""
    calls, failed = seen(result)
    expect(failed >= 1 or calls < number, "no call failed", result)
    return failed >= 1


def attempt_each(numbers, attempt):
    """Runs attempt(number) for all, which says whether that call was made and failed; again, where none was made. Fails
    with what the first that failed said, and which did."""
    failures, made = [], 0
    for _ in range(5):
        for number in numbers:
            try:
                made += attempt(number)
            except Failure as failure:
                failures.append((number, failure))
        if failures:
            raise Failure(f"calls {[number for number, _ in failures]} of {len(numbers)}; the first:\n{failures[0][1]}")
        if made > 0 or not numbers:
            return
    raise Failure(f"none of {len(numbers)} calls was made again")


def numbers(call, error, program=workload):
    """The calls that are to fail: every one, but of many every third where this is not their first error; of those that
    make pages resident, some."""
    calls = range(1, count(call, error, program) + 1)
    if call == "populate":
        return calls[::-(-len(calls) // SOME)]
    if program is not workload:
        return calls
    others = [other for name, other in CALLS if name == call].index(error)
    return calls if others == 0 or len(calls) < 10 else calls[others % 3::3]


for call, error in CALLS:
    @case(f"{call} fails with {error} once: each call in its turn")
    def _(call=call, error=error):
        def attempt(number):
            result = supervised(call, number, error)
            refused = verified(result)
            # Memory that was refused once is there when Weir asks again.
            expect(refused == 0, "refused to the program", result)
            return expect_failed(result, number)
        attempt_each(numbers(call, error), attempt)

    @case(f"{call} fails with {error} from each call on")
    def _(call=call, error=error):
        def attempt(number):
            result = supervised(call, f"{number}+", error)
            refused = verified(result)
            expect(refused == 0 or call == "mmap", "refused although memory is there", result)
            return expect_failed(result, number)
        attempt_each(numbers(call, error), attempt)


# ---- objects ----

for call, error in (("mmap", "ENOMEM"), ("munmap", "ENOMEM"), ("madvise", "ENOMEM"), ("process_madvise", "EPERM"),
                    ("populate", "ENOMEM")):
    @case(f"objects: {call} fails with {error} once, and from each call on")
    def _(call=call, error=error):
        def attempt(number):
            result = supervised(call, number, error, objects)
            refused = verified(result)
            expect_failed(result, number)
            # A mapping for a thread's first object is asked for once.
            expect(refused <= (call == "mmap"), "refused to the program", result)
            result = supervised(call, f"{number}+", error, objects)
            refused = verified(result)
            expect(refused == 0 or call == "mmap", "refused although memory is there", result)
            return expect_failed(result, number)
        attempt_each(numbers(call, error, objects), attempt)


# ---- before main ----

def is_populate(text):
    """Whether this is a call that makes pages resident, as strace shows it."""
    return re.search(r"MADV_POPULATE_WRITE|0x17\b", text) is not None


def traced(call, inject, log):
    if NATIVE:
        raise Skip("asks for more than the C library gives")
    strace = shutil.which("strace")
    if strace is None:
        raise Skip("no strace")
    under = [strace, "-f", "-qq", "-o", log, "-E", f"LD_PRELOAD={PRELOAD}", "-e", f"trace={call}"]
    if inject:
        under += ["-e", f"inject={call}:error={inject}"]
    return run(build(HERE / "workload.c", FAST), under=under, preload=False)


for call, error in (("mmap", "ENOMEM"), ("munmap", "ENOMEM"), ("mremap", "ENOMEM"), ("madvise", "EPERM")):
    @case(f"strace: {call} fails with {error} once, also before main")
    def _(call=call, error=error):
        log = Path(build(HERE / "workload.c", FAST)).with_suffix(f".{call}")
        plain = traced(call, None, log)
        if plain.status != 0 and "ptrace" in plain.err.lower():
            raise Skip("strace may not trace here")
        verified(plain)
        calls = re.findall(rf"\b{call}\(.*", log.read_text())
        if not calls:
            raise Skip(f"the program makes no {call}")
        # The libraries are mapped by the loader, which does not always survive a failure itself.
        loading = [i for i, text in enumerate(calls, 1) if "MAP_DENYWRITE" in text or "MAP_FIXED" in text]
        first = max(loading, default=0) + 1

        def attempt(number):
            result = traced(call, f"{error}:when={number}", log)
            if result.status != 127 or "cannot allocate TLS" not in result.err:  # so says the loader
                verified(result)
            return True
        attempt_each([i for i, text in enumerate(calls, 1) if i >= first and not is_populate(text)], attempt)


if __name__ == "__main__":
    main()
