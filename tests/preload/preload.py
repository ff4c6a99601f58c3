#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Programs under the preloaded library: the traps that real programs set for an allocator, and the life of a process.

Each program of this folder says in its opening comment what it shows; harness.py says how to run this by hand."""

import json
import os
import platform
import re
import shutil
import stat
import subprocess
import xml.etree.ElementTree
from pathlib import Path

from harness import (NATIVE, PRELOAD, WORK, Skip, build, build_folder, case, expect, find_library, main, messages, run,
                     scaled, succeed)

HERE = Path(__file__).parent
CXX = {"thread_local", "operators", "bad_alloc", "containers"}


def program(name, *flags):
    return build(HERE / f"{name}.{'cc' if name in CXX else 'c'}", *flags)


def only_with_weir():
    if NATIVE:
        raise Skip("asks for more than the C library gives")


def simple(name, source, *args, weir=False, **how):
    """A case: the program exits with 0 and is silent on standard error."""
    @case(name)
    def _():
        if weir:
            only_with_weir()
        succeed(program(source), *args, **how)


# ---- before constructors, and names ----

simple("first calls before constructors", "early")


@case("a library preloaded after Weir allocates in its constructor, which runs first")
def _():
    succeed(program("early"), after=[build(HERE / "early_lib.c", library=True)])


@case("a library preloaded before Weir allocates in its constructor, which runs later")
def _():
    succeed(program("early"), before=[build(HERE / "early_lib.c", library=True)])


simple("every name resolves to Weir", "symbols", weir=True)


@case("no symbol has a version")
def _():
    only_with_weir()
    nm = subprocess.run([os.environ.get("NM", "nm"), "-D", "--defined-only", "--with-symbol-versions", PRELOAD],
                        capture_output=True, text=True)
    names = [line.split()[-1] for line in nm.stdout.splitlines()]
    expect("malloc" in names, f"no malloc without a version among {names}")
    expect(not [n for n in names if "@" in n], f"versions: {[n for n in names if '@' in n]}")


# ---- foreign pointers, other allocators ----

def foreign_address(result):
    return result.out.splitlines()[0]


@case("free of pointers that Weir never gave: ignored, one warning")
def _():
    only_with_weir()
    result = run(program("foreign"), "free")
    expect(result.status == 0, "exit status is not 0", result)
    lines = messages(result)
    expect(len(lines) == 1 and re.match(r"weir: \d+: warning: free of ", lines[0]), "not one warning", result)
    expect(foreign_address(result) in lines[0] and "ignored" in lines[0], "the warning does not say it", result)


@case("usable size of pointers that Weir never gave is 0")
def _():
    only_with_weir()
    succeed(program("foreign"), "usable")


@case("realloc of pointers that Weir never gave fails with a message")
def _():
    only_with_weir()
    result = run(program("foreign"), "realloc")
    expect(result.status == 0, "exit status is not 0", result)
    expect(any(foreign_address(result) in line for line in messages(result)), "no message with the address", result)


@case("a library that allocates from the C library: its blocks come to our free")
def _():
    only_with_weir()
    result = run(program("foreign_lib"), build(HERE / "plain_lib.c", library=True))
    expect(result.status == 0, "exit status is not 0", result)
    expect(len(messages(result)) == 1 and "ignored" in result.err, "not one warning", result)


simple("a program with an allocator of its own", "own_malloc")
simple("a program whose malloc wraps __libc_malloc", "libc_names")


# ---- dlopen ----

@case("a library opened with RTLD_DEEPBIND has the program's heap")
def _():
    library = build(HERE / "plain_lib.c", library=True)
    opener = program("deepbind", f"-Wl,--enable-new-dtags,-rpath,{library.parent}")
    succeed(opener, library.name)
    if not NATIVE:
        result = run(opener, library.name, env={"WEIR_VERBOSE": 1})
        said = [line for line in messages(result) if "RTLD_DEEPBIND is left out" in line]
        expect(len(said) == 1 and library.name in said[0], "it is not said, or more than once", result)


@case("WEIR_DEEPBIND=keep leaves RTLD_DEEPBIND in: such a library has a heap of its own")
def _():
    only_with_weir()
    library = build(HERE / "plain_lib.c", library=True)
    opener = program("deepbind", f"-Wl,--enable-new-dtags,-rpath,{library.parent}")
    result = run(opener, library.name, "kept", env={"WEIR_DEEPBIND": "keep"})
    expect(result.status == 0, "exit status is not 0", result)
    expect(len(messages(result)) == 1 and "never gave" in result.err, "not one warning", result)


@case("libweir-preload.so opened by a running program with threads, and closed again")
def _():
    only_with_weir()
    succeed(program("late"), PRELOAD, preload=False, env={"CASE_NATIVE": 1})


@case("libweir.so opened by a running program with threads, and closed again")
def _():
    only_with_weir()
    succeed(program("late"), find_library("WEIR_LIBDIR", "libweir.so"), preload=False, env={"CASE_NATIVE": 1})


@case("libraries that allocate opened and closed 600 times")
def _():
    succeed(program("plugin"), build(HERE / "plain_lib.c", library=True))


@case("linked with libweir.so and preloaded: one heap")
def _():
    only_with_weir()
    library = find_library("WEIR_LIBDIR", "libweir.so")
    succeed(program("one_heap", "-Wl,--no-as-needed", library, f"-Wl,-rpath,{library.parent}"))


# ---- processes ----

simple("fork while threads allocate; the child allocates at once", "fork_threads")
simple("fork in a signal handler", "fork_signal")
simple("fork before the first malloc", "fork_first")
simple("fork in a process of one thread copies no pages of Weir's", "fork_pages")
simple("pthread_atfork handlers that allocate, registered before Weir's and after", "fork_handlers")
simple("vfork, posix_spawn, system, popen, exec from a thread; children inherit", "children")


@case("children that end by exit(), 20 generations")
def _():
    result = succeed(program("fork_exit"))
    counts = [result.out.splitlines().count(f"generation {i}") for i in range(20)]
    expect(all(count > 0 for count in counts), f"output lost: {counts}", result)


# ---- threads ----

simple("each function as a fresh thread's first call", "thread_first")
simple("destructors of thread-specific data allocate; cancelled threads", "thread_ends")
simple("destructors of C++ thread_local objects allocate", "thread_local")
simple("the main thread exits first", "main_exits")
simple("100,000 threads in bounded memory", "threads_many")
for off in ({}, {"WEIR_PURGER": "off"}):
    how = ", WEIR_PURGER=off" if off else ""
    simple(f"blocks of exited threads go back{how}", "owner_gone", weir=True, env=off)
    simple(f"a thread that only frees, in bounded memory{how}", "only_frees", weir=True, env=off)
simple("purger: brings a quiet process down, then ends", "purger", "quiet", weir=True)
simple("purger: none in a process of one thread", "purger", "alone", weir=True)
simple("purger: none is left where threads have ended", "purger", "joined", weir=True)
simple("purger: does not keep a process that is over", "purger", "main_exits", weir=True)
simple("purger: processes end in the midst of its work", "purger", "ends", weir=True)
simple("purger: gone in a child, which makes its own", "purger", "forks", weir=True)
simple("purger: none in a child of vfork(), which lives in its parent's memory", "purger", "vforks", weir=True,
       env={"WEIR_PURGER": "on"})
simple("purger: new threads denied", "purger", "denied", weir=True)


@case("atexit, on_exit and destructors allocate while threads run")
def _():
    result = run(program("at_exit"))
    expect(result.status == 3 and result.out == "written at exit\n" and result.err == "", "not as it should be", result)


# ---- when memory is short ----

simple("RLIMIT_AS: ENOMEM, and again memory when the limit is lifted", "limit_as", weir=True)
simple("the limit of mappings: munmap fails", "map_limit", weir=True)


@case("RLIMIT_AS with WEIR_VERBOSE=1 names the cause")
def _():
    only_with_weir()
    result = run(program("limit_as"), env={"WEIR_VERBOSE": 1})
    expect(result.status == 0, "exit status is not 0", result)
    lines = [line for line in messages(result) if " active in " not in line]
    expect(any("RLIMIT_AS" in line for line in lines), "no message", result)


# ---- sizes, alignments, errors ----

simple("malloc_usable_size is constant and writable", "usable", weir=True)
simple("sizes at the edges; POSIX's errors", "sizes", weir=True)
simple("realloc to no bytes frees", "realloc_zero")
simple("every power-of-two alignment", "alignments", weir=True)
simple("calloc gives zeroes", "zeroed")
simple("free keeps errno, with failing munmap and madvise", "free_errno")
simple("free_sized, free_aligned_sized, cfree", "free_sized", weir=True)


# ---- signals ----

for how in ((), ("two",)):
    @case("a signal handler allocates in a loop" + (", two threads" if how else "") + ": no hang")
    def _(how=how):
        only_with_weir()
        result = run(program("signal_loop"), *how)
        # It may have interrupted the fast path: then the damage is found, or not; but every call returns.
        expect(result.status in (0, -6, -11), "it hangs", result)



@case("a SIGSEGV handler allocates")
def _():
    result = run(program("crash"), "segv")
    expect(result.status == 0 and result.out.startswith("handled"), "the handler did not end", result)


for which, kind in enumerate(("small", "medium", "large", "huge")):
    @case(f"a SIGABRT handler allocates after a double free of a {kind} block")
    def _(which=which):
        only_with_weir()
        result = run(program("crash"), which)
        expect(result.status == 0 and result.out.startswith("handled"), "the handler did not end", result)
        expect(re.search("fatal: .*double free", result.err), "no message", result)


# ---- privileges, sandboxes, emulators ----

def other_identity(path):
    """Makes the program run as somebody else; false if nobody else is there to be."""
    if os.geteuid() == 0:
        os.chown(path, 65534, -1)
        path.chmod(0o755 | stat.S_ISUID)
        return True
    groups = [g for g in os.getgroups() if g != os.getegid()]
    if groups:
        os.chown(path, -1, groups[0])
        path.chmod(0o755 | stat.S_ISGID)
    return bool(groups)


@case("a set-user-ID program ignores WEIR_ options")
def _():
    only_with_weir()
    folder = Path(WORK.name)
    folder.chmod(0o755)
    library = folder / "privileged" / "libweir-preload.so"
    library.parent.mkdir(mode=0o755)
    shutil.copy(PRELOAD, library)
    linked = build(HERE / "privileged.c", "-Wl,--no-as-needed", library, f"-Wl,-rpath,{library.parent}")
    env = {"WEIR_VERBOSE": 1, "WEIR_STATS": 1, "WEIR_NONSENSE": 1, "CASE_NATIVE": 1}
    plain = run(linked, preload=False, env=env)
    expect(plain.status == 0 and plain.out == "secure 0\n" and " active in " in plain.err, "no control", plain)
    privileged = folder / "privileged" / "program"
    shutil.copy(linked, privileged)
    if not other_identity(privileged):
        raise Skip("no other user or group to be")
    result = run(privileged, preload=False, env=env)
    if result.out == "secure 0\n":
        raise Skip("set-user-ID does not work in the temporary folder")
    expect(result.status == 0 and result.out == "secure 1\n", "not as it should be", result)
    expect(result.err == "", "options were read", result)


for error in ("eperm", "enosys"):
    simple(f"a sandbox that denies with {error.upper()}", "sandbox", error)
for thp in ("system", "auto", "always"):
    simple(f"a sandbox that kills, as systemd's for services, WEIR_THP={thp}", "service", env={"WEIR_THP": thp})
simple("a sandbox that kills for all but a few calls", "service", "least",
       env={"WEIR_PURGE": "never", "WEIR_PURGER": "off", "WEIR_THP": "never"})


@case("under qemu's user-mode emulation")
def _():
    only_with_weir()
    qemu = shutil.which(f"qemu-{platform.machine()}") or shutil.which(f"qemu-{platform.machine()}-static")
    if qemu is None:
        raise Skip(f"no qemu-{platform.machine()}")
    for name in ("zeroed", "sizes"):
        succeed(program(name), under=[qemu, "-E", f"LD_PRELOAD={PRELOAD}"], preload=False)


# ---- C++ ----

simple("every form of new and delete", "operators", weir=True)
simple("std::bad_alloc and new_handler", "bad_alloc")
simple("the C++ library", "containers")


@case("a C program with a C++ plugin that catches std::bad_alloc")
def _():
    succeed(program("cxx_host"), build(HERE / "cxx_lib.cc", library=True))


@case("the operators without any C++ runtime")
def _():
    only_with_weir()
    succeed(program("no_runtime"))
    result = run(program("no_runtime"), "too much")
    expect(result.status == -6 and "fatal: out of memory" in result.err, "no message", result)


# ---- figures and return of memory ----

simple("mallinfo, mallinfo2 and mallopt are true", "figures", weir=True)
for thp in ("system", "never", "auto", "always"):
    simple(f"what Weir says it holds is resident, WEIR_THP={thp}", "truth", weir=True, env={"WEIR_THP": thp})
simple("memory goes back by itself, and all of it by malloc_trim", "trim", weir=True)
for thp in ("auto", "always"):
    env = {"WEIR_THP": thp}
    simple(f"memory goes back where no file can be opened, WEIR_THP={thp}", "no_files", weir=True, env=env)
    simple(f"malloc and free are no points of cancellation, WEIR_THP={thp}", "cancel", env=env)


@case("messages of malloc and free are no points of cancellation")
def _():
    only_with_weir()
    result = run(program("cancel"), "messages", env={"WEIR_VERBOSE": 1})
    expect(result.status == 0, "exit status is not 0", result)
    expect("never gave" in result.err and "no memory for" in result.err, "a message is missing", result)


simple("huge pages are split before a part of them goes back", "split", weir=True, env={"WEIR_THP": "always"})
simple("a loop keeps what it drops and takes again, until it ends", "loop", weir=True)
simple("the clock is read on slow paths only", "clock", weir=True)


@case("malloc_info is XML with true figures, malloc_stats a report")
def _():
    only_with_weir()
    result = run(program("reports"))
    expect(result.status == 0, "exit status is not 0", result)
    root = xml.etree.ElementTree.fromstring(result.out)
    expect(root.tag == "malloc" and root.get("version") == "1", "not malloc's XML", result)
    heap = root.find("heap")
    expect(heap is not None and heap.find("sizes") is not None, "no heap with sizes", result)
    size = {(e.tag, e.get("type")): int(e.get("size")) for e in root if e.get("type")}
    count = {e.get("type"): int(e.get("count")) for e in root.iter("total")}
    expect(count["mmap"] == 1 and scaled(30 << 20) <= size["total", "mmap"] < scaled(31 << 20), "huge blocks", result)
    expect(2000000 <= size["system", "current"] <= size["system", "max"], "system", result)
    expect(size["aspace", "total"] >= size["total", "mmap"], "aspace", result)
    expect(result.err.strip() != "", "malloc_stats is silent", result)


# ---- options ----

@case("without options not a word")
def _():
    result = succeed(program("hello"))
    expect(result.out.startswith("hello "), "output", result)


@case("WEIR_VERBOSE=1 says that Weir is active and how")
def _():
    only_with_weir()
    for count, env in ((1, {"WEIR_VERBOSE": 1}), (0, {"WEIR_VERBOSE": 0})):
        result = run(program("hello"), env=env)
        pid = result.out.split()[1]
        line = rf"weir: {pid}: weir \d+\.\d+\.\d+ active in .*hello.*, preloaded, page \d+, options: .*"
        expect(result.status == 0 and len(messages(result)) == count, "number of messages", result)
        expect(count == 0 or re.fullmatch(line, messages(result)[0]), "the line", result)


@case("a misspelt option and a bad value get a warning that names the right one")
def _():
    only_with_weir()
    result = run(program("hello"), env={"WEIR_VERBOES": 1, "WEIR_PURGE": "dontned"})
    expect(result.status == 0 and len(messages(result)) == 2, "number of messages", result)
    expect(all(re.match(r"weir: \d+: warning: ", line) for line in messages(result)), "warnings", result)
    for word in ("WEIR_VERBOES", "WEIR_VERBOSE", "WEIR_PURGE", "dontned", "dontneed"):
        expect(word in result.err, f"{word} is not named", result)


@case("WEIR_STATS=1 and json report at exit")
def _():
    only_with_weir()
    result = run(program("hello"), env={"WEIR_STATS": 1})
    expect(result.status == 0 and len(result.err.splitlines()) > 5, "no report", result)
    result = run(program("hello"), env={"WEIR_STATS": "json"})
    figures = json.loads(result.err)
    expect(result.status == 0 and figures, "no figures", result)


@case("WEIR_REPORT appends a line of JSON for each process")
def _():
    only_with_weir()
    path = Path(WORK.name) / "report"
    results = [succeed(program("hello"), env={"WEIR_REPORT": path}) for _ in range(3)]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    expect([r["pid"] for r in lines] == [int(r.out.split()[1]) for r in results], f"processes: {lines}")
    for name in ("program", "resident", "peak_resident", "returned", "live", "used", "slack", "mapped", "remote_frees"):
        expect(all(name in line for line in lines), f"no {name}: {lines}")
    expect(all(0 < line["resident"] <= line["peak_resident"] < 64 << 20 for line in lines), f"resident: {lines}")


@case("WEIR_REPORT where it cannot be written: said with WEIR_VERBOSE=1")
def _():
    only_with_weir()
    path = "/nowhere/report"
    succeed(program("hello"), env={"WEIR_REPORT": path})
    result = run(program("hello"), env={"WEIR_REPORT": path, "WEIR_VERBOSE": 1})
    expect(result.status == 0 and f"cannot append to {path}" in result.err, "nothing is said", result)


@case("WEIR_REPORT where no file may grow: no report, and the program's exit status")
def _():
    only_with_weir()
    path = Path(WORK.name) / "no report"
    succeed("/bin/sh", "-c", 'ulimit -f 0; exec "$0"', program("hello"), env={"WEIR_REPORT": path})
    expect(path.read_text() == "", "a report")


if __name__ == "__main__":
    main()
