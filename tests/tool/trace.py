# SPDX-License-Identifier: MIT
"""weir trace: what it records of programs that make known calls, and that it leaves programs as they are."""

import json
import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import time

from harness import LIBRARY, WEIR, check, compile_c, environment, eventually, finish, scratch, skip
from harness import weir, write
from traces import CALLS, LARGEST, lives, program, rows, trace


def others(path):
    """Traces of other processes beside `path`, by name."""
    base = os.path.basename(path) + "."
    return sorted(os.path.join(scratch.name, name) for name in os.listdir(scratch.name) if name.startswith(base))


def forget(path):
    for name in [path, *others(path)]:
        if os.path.exists(name):
            os.unlink(name)


def runs(pid):
    """Whether the process still has a program."""
    try:
        return os.readlink(f"/proc/{pid}/exe") != ""
    except OSError:
        return False


def about(path):
    return json.loads(weir("replay", "--info", "--json", path).stdout)


# ---- each call as it was made

calls = program("calls", CALLS)
done, path = trace(calls)
check(done.returncode == 0 and done.stdout == "", "a program is recorded", done.stderr)
check(
    re.fullmatch(r"weir: \S+t\.trace: 27 calls in 1 thread, at most \d+ KiB live; \d+ bytes on disk\n", done.stderr),
    "and one line says so",
    done.stderr,
)
wanted = [
    ("malloc", "", 70001, None, None, 1),
    ("realloc", "", 70002, None, 1, 2),
    ("realloc", "", 70003, None, 2, 3),
    ("reallocarray", "", 70010, None, 3, 4),
    ("free", "", None, None, 4, None),
    ("calloc", "", 70007, None, None, 5),
    ("realloc", "released", 0, None, 5, None),
    ("realloc", "", 70004, None, None, 6),
    ("free", "", None, None, 6, None),
    ("posix_memalign", "", 70005, 256, None, 7),
    ("free", "", None, None, 7, None),
    ("aligned_alloc", "", 71680, 512, None, 8),
    ("free", "", None, None, 8, None),
    ("memalign", "", 70006, 1024, None, 9),
    ("free", "", None, None, 9, None),
    ("valloc", "", 70007, None, None, 10),
    ("free", "", None, None, 10, None),
    ("pvalloc", "", 70008, None, None, 11),
    ("free", "", None, None, 11, None),
    ("malloc", "refused", LARGEST, None, None, None),
    ("calloc", "refused", LARGEST, None, None, None),
    ("malloc", "", 70010, None, None, 12),
    ("realloc", "refused", LARGEST, None, 12, None),
    ("reallocarray", "refused", LARGEST, None, 12, None),
    ("posix_memalign", "refused", 70012, 32, None, None),
    ("free", "", None, None, 12, None),
    ("malloc", "", 70013, None, None, 13),
]
got = [row[1:] for row in rows(path)]
check(got == wanted, "the calls are those that were made", *[f"{a} {b}" for a, b in zip(got, wanted) if a != b])
info = about(path)
check(
    info["calls"] == 27 and info["refused"] == 5 and info["live_at_end"] == 70013 and info["peak_live"] == 71680,
    "and the sums are right",
    info,
)
check(
    info["about"]["program"] == os.path.realpath(calls) and info["about"]["command"] == [calls],
    "the head names program and command",
    info["about"],
)
check("libc" in info["about"]["allocator"], "and glibc as the allocator", info["about"])
again, second = trace(calls, name="again.trace")
check([row[1:] for row in rows(second)] == got, "a second recording has the same calls", again.stderr)
done, path = trace(calls, flags=["-q"], name="q.trace")
check(done.stderr == "" and len(rows(path)) == 27, "--quiet says nothing", done.stderr)
check(not [name for name in os.listdir(scratch.name) if name.endswith(".raw")], "no recording is left behind")

# ---- on other allocators

done, path = trace(calls, flags=["-a", "weir"], name="weir.trace", env={"WEIR_VERBOSE": "1"})
info = about(path)
check(info["about"]["allocator"] == os.path.realpath(LIBRARY), "--allocator weir records on Weir", info, done.stderr)
check("warning" not in done.stderr, "which has nothing to warn of", done.stderr)
check(info["calls"] == 27 and info["live_at_end"] == 70013, "where realloc(block, 0) frees, as glibc's does", info)
giver = program(
    "giver.so",
    """
#include <stddef.h>
void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
void __libc_free(void *);
void *malloc(size_t size) { return __libc_malloc(size); }
void *calloc(size_t count, size_t size) { return __libc_calloc(count, size); }
void *realloc(void *block, size_t size) { return __libc_realloc(block, size > 0 ? size : 1); }
void free(void *block) { __libc_free(block); }
""",
    "-shared",
    "-fPIC",
)
done, path = trace(calls, flags=["-a", giver], name="giver.trace")
info = about(path)
check(info["calls"] == 28 and info["live_at_end"] == 70013, "where realloc(block, 0) gives a block", info, done.stderr)
done, path = trace(calls, flags=["-a", "glibc"], name="glibc.trace", env={"LD_PRELOAD": LIBRARY})
info = about(path)
check("libc.so" in info["about"]["allocator"], "--allocator glibc records on glibc, whatever is preloaded", info)
for name in ("jemalloc", "mimalloc", "tcmalloc"):
    done, path = trace("sh", "-c", "echo x | cat", flags=["-a", name], name=f"{name}.trace")
    if done.returncode == 125 and "cannot find" in done.stderr:
        skip(f"--allocator {name}", "it is not installed")
        continue
    check(done.stdout == "x\n" and name in about(path)["about"]["allocator"], f"--allocator {name} records on it", done)
CXX = os.environ.get("CXX") or "c++"
if shutil.which(CXX.split()[0]):
    source = write(
        "cxx.cc",
        """
#include <cstdint>
#include <new>
struct alignas(128) wide { char c[70144]; };
int main()
{
    char *volatile a = new char[70001];
    delete[] a;
    wide *volatile w = new wide;
    delete w;
    int *volatile n = new (std::nothrow) int[20000];
    delete[] n;
    try {
        volatile std::size_t much = SIZE_MAX / 2;
        char *volatile never = new char[much];
        return never != nullptr;
    } catch (const std::bad_alloc &) {
        return 7;
    }
}
""",
    )
    binary = os.path.join(scratch.name, "cxx")
    built = subprocess.run([*CXX.split(), "-std=c++17", "-O0", "-o", binary, source], stderr=subprocess.PIPE, text=True)
    for allocator in ("glibc", "weir"):
        done, path = trace(binary, flags=["-a", allocator], name=f"cxx-{allocator}.trace")
        got = [row[1:5] for row in rows(path) if row[3] in (70001, 70144, 80000)]
        check(
            done.returncode == 7
            and got == [("malloc", "", 70001, None), ("memalign", "", 70144, 128), ("malloc", "", 80000, None)],
            f"operators new are recorded on {allocator}",
            built.stderr,
            done.stderr,
            got,
        )
else:
    skip("operators new", "there is no C++ compiler")

# ---- threads

HANDS = r"""
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
enum { PAIRS = 4, ROUNDS = 20000, SLOTS = 64 };
static void *_Atomic slot[PAIRS][SLOTS];
static void *make(void *arg)
{
    uintptr_t pair = (uintptr_t)arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        void *_Atomic *s = &slot[pair][i % SLOTS];
        void *block = malloc(1000 + i % 100);
        if (i % 3 == 0)
            block = realloc(block, 3000);
        while (atomic_load(s) != NULL)
            sched_yield();
        atomic_store(s, block);
    }
    return NULL;
}
static void *end(void *arg)
{
    uintptr_t pair = (uintptr_t)arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        void *_Atomic *s = &slot[pair][i % SLOTS], *block;
        while ((block = atomic_load(s)) == NULL)
            sched_yield();
        atomic_store(s, NULL);
        if (i % 2 == 0)
            block = realloc(block, 5000);
        free(block);
    }
    return NULL;
}
int main(void)
{
    pthread_t thread[2 * PAIRS];
    for (uintptr_t i = 0; i < 2 * PAIRS; i++)
        pthread_create(&thread[i], NULL, i % 2 ? end : make, (void *)(i / 2));
    for (int i = 0; i < 2 * PAIRS; i++)
        pthread_join(thread[i], NULL);
    return 0;
}
"""
hands = program("hands", HANDS)
done, path = trace(hands)
found = rows(path)
wrong, live = lives(found)
check(done.returncode == 0 and not wrong, "blocks handed between threads: each lives when it is freed", *wrong[:5])
check(
    sum(1 for row in found if row[1] == "malloc" and 1000 <= row[3] < 1100) == 80000
    and sum(1 for row in found if row[1] == "realloc" and row[3] == 5000) == 40000
    and sum(1 for row in found if row[1] == "realloc" and row[3] == 3000) == 4 * 6667,
    "each call of each thread is there",
    len(found),
)
check("no end that was seen" not in done.stderr, "no end was missed", done.stderr)
info = about(path)
check(len(info["threads"]) == 9 and info["freed_by_others"] == 80000, "the threads and what they handed over", info)
first = [next(number for number, row in enumerate(found) if row[0] == thread) for thread in range(9)]
check(first == sorted(first), "threads are numbered in the order of their first calls", first)

MANY = r"""
#include <pthread.h>
#include <stdlib.h>
static pthread_key_t key;
static void at_end(void *block) { free(block); free(malloc(4001)); }
static void *run(void *arg)
{
    (void)arg;
    pthread_setspecific(key, malloc(4000));
    return malloc(4002);
}
int main(void)
{
    pthread_key_create(&key, at_end);
    for (int i = 0; i < 3000; i++) {
        pthread_t thread;
        void *block;
        if (pthread_create(&thread, NULL, run, NULL) != 0)
            return 1;
        pthread_join(thread, &block);
        free(block);
    }
    return 0;
}
"""
done, path = trace(program("many", MANY))
found = rows(path)
wrong, live = lives(found)
counts = [sum(1 for row in found if row[1] == "malloc" and row[3] == size) for size in (4000, 4001, 4002)]
check(
    done.returncode == 0 and not wrong and counts == [3000] * 3,
    "3,000 threads one after the other, and what they free at their end",
    done.stderr,
    counts,
    *wrong[:5],
)
check(len({row[0] for row in found}) == 3001, "each has its number", len({row[0] for row in found}))
check(os.path.getsize(path) < 400000, "and the trace is small", os.path.getsize(path))

# ---- fork, exec, children

FORK = r"""
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static volatile int stop;
/* A pause now and then: what it calls while others do not get to run must not grow without end. */
static void *busy(void *arg)
{
    for (unsigned i = 0; !stop; i++) {
        free(malloc(99));
        if (i % 1000 == 999)
            usleep(1000);
    }
    return arg;
}
int main(void)
{
    pthread_t thread;
    char *block = malloc(80001), *other = malloc(80002);
    pthread_create(&thread, NULL, busy, NULL);
    for (int i = 0; i < 20; i++) {
        pid_t child = fork();
        if (child == 0) {
            free(block);
            other = realloc(other, 80003);
            free(malloc(80004));
            _exit(i == 7 && malloc(80005) == NULL);
        }
        int status;
        if (waitpid(child, &status, 0) != child || status != 0)
            return 1;
    }
    stop = 1;
    pthread_join(thread, NULL);
    free(block);
    free(malloc(80006));
    return 0;
}
"""
done, path = trace(program("fork", FORK), name="fork.trace")
children = others(path)
check(done.returncode == 0 and len(children) == 20, "20 children of a program with threads", done.stderr, children)
good = 0
for child in children:
    own = [row[1:] for row in rows(child) if row[3] is None or row[3] >= 80000]
    good += own[:3] == [
        ("realloc", "", 80003, None, None, 1),
        ("malloc", "", 80004, None, None, 2),
        ("free", "", None, None, 2, None),
    ]
check(good == 20, "have traces of their own, which begin at the fork", good, own)
check(
    sum(1 for child in children if [row for row in rows(child) if row[3] == 80005]) == 1
    and about(child)["about"]["forked"],
    "and hold what was called before _exit",
)
found = rows(path)
wrong, live = lives(found)
check(not wrong and sorted(live.values())[-1] == 80002, "the parent's holds nothing of theirs", wrong[:5])
check([row[3] for row in found if (row[3] or 0) > 80002] == [80006], "and goes on after them")

shell = trace("sh", "-c", f"{calls}; exec {calls}", name="sh.trace")
check(
    len([row for row in rows(shell[1]) if (row[3] or 0) >= 70000]) >= 17
    and about(shell[1])["about"]["program"] == os.path.realpath(calls),
    "after exec the trace is that of the program that the process became",
    shell[0].stderr,
)
names = [about(name)["about"]["program"] for name in others(shell[1])]
check(os.path.realpath(calls) in names, "a program that the program starts has its own", names)
done, path = trace("sh", "-c", f"{calls}; :", flags=["--no-follow"], name="alone.trace")
check(os.path.exists(path) and not others(path), "--no-follow: it has none", done.stderr, others(path))
done, path = trace(
    *("sh", "-c", "echo $LD_PRELOAD $WEIR_TRACE"),
    flags=["--no-follow"],
    name="env.trace",
    env={"LD_PRELOAD": "libm.so.6"},
)
check(
    "libm.so.6" in done.stdout and "libweir-trace" not in done.stdout, "and the environment is as it was", done.stdout
)

# ---- ends of every kind

DIES = r"""
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    void *volatile block;
    for (int i = 0; i < 50000; i++) {
        block = malloc(600);
        if (i % 2)
            free(block);
    }
    (void)argc;
    if (strcmp(argv[1], "kill") == 0)
        raise(SIGKILL);
    if (strcmp(argv[1], "abort") == 0)
        abort();
    if (strcmp(argv[1], "crash") == 0)
        *(volatile char *)8 = 0;
    if (strcmp(argv[1], "_exit") == 0)
        _exit(9);
    return 9;
}
"""
dies = program("dies", DIES)
for how, status in (("kill", -9), ("abort", -6), ("crash", -11), ("_exit", 9), ("return", 9)):
    done, path = trace(dies, how, name=f"{how}.trace")
    found = rows(path)
    check(
        done.returncode == status
        and len([row for row in found if row[3] == 600]) == 50000
        and len([row for row in found if row[1] == "free"]) >= 25000,
        f"a program that ends by {how}: its status, and all that it called",
        done.returncode,
        len(found),
    )

# A program that is killed from outside, in the midst of its calls.
BUSY = r"""
#include <stdlib.h>
#include <unistd.h>
int main(void)
{
    void *volatile block[256] = {0};
    alarm(300);
    for (unsigned i = 0;; i++) {
        free(block[i % 256]);
        block[i % 256] = malloc(i % 500);
        if (i == 1000 && write(1, "x", 1) < 0)
            return 1;
        if (i > 1000000 && i % 100 == 0)
            usleep(1000); /* it is late: enough has been recorded */
    }
}
"""
busy = program("busy", BUSY)
bad = []
for _ in range(10):
    path = os.path.join(scratch.name, "killed.trace")
    with subprocess.Popen(
        [WEIR, "trace", "-o", path, busy], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as tool:
        tool.stdout.read(1)
        time.sleep(0.02)
        tool.send_signal(signal.SIGTERM)
        tool.communicate()
        wrong, live = lives(rows(path))
        if wrong or tool.returncode != -signal.SIGTERM or not 200 <= len(live) <= 300:
            bad.append((tool.returncode, len(live), wrong[:3]))
check(not bad, "ten programs killed in the midst of their calls: traces are whole to the last", *bad)

# The command itself is killed: the recording stays, and can be converted.
path = os.path.join(scratch.name, "left.trace")
with subprocess.Popen(
    [WEIR, "trace", "-o", path, busy], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
) as tool:
    tool.stdout.read(1)
    tool.kill()
    left = [name for name in others(path) if name.endswith(".raw")]
    pid = int(left[0].split(".")[-2])
    tool.wait()
    early = weir("trace", "--convert", left[0])
    check(
        early.returncode == 125 and f"process {pid} still runs" in early.stderr and os.path.exists(left[0]),
        "--convert says that a program still runs",
        early.stderr,
    )
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not runs(pid))
done = weir("trace", "-o", path, "--convert", left[0])
check(
    done.returncode == 0 and not lives(rows(path))[0] and not os.path.exists(left[0]),
    "--convert makes a trace of what a killed weir left",
    done.stderr,
)

# ---- trouble

STORM = r"""
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>
static void *volatile kept;
static volatile sig_atomic_t count;
/* What no program should do; the allocator itself is not interrupted here, as the loop only blocks the signal there. */
static void handler(int number)
{
    (void)number;
    count++;
    free(malloc(901));
}
int main(void)
{
    sigset_t set;
    struct itimerval often = {{0, 200}, {0, 200}};
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    signal(SIGALRM, handler);
    setitimer(ITIMER_REAL, &often, NULL);
    for (int i = 0; count < 200 && i < 100000000; i++) {
        sigprocmask(SIG_BLOCK, &set, NULL);
        kept = malloc(902);
        free(kept);
        sigprocmask(SIG_UNBLOCK, &set, NULL);
    }
    return count < 200;
}
"""
done, path = trace(program("storm", STORM))
wrong, live = lives(rows(path))
check(done.returncode == 0 and not wrong, "signal handlers that allocate", done.returncode, done.stderr, wrong[:5])

CLOSES = r"""
#include <stdlib.h>
#include <unistd.h>
int main(void)
{
    for (int fd = 3; fd < 4096; fd++)
        close(fd);
    if (chdir("/") != 0)
        return 1;
    for (int i = 0; i < 100000; i++)
        free(malloc(i % 300));
    return 0;
}
"""
done, path = trace(program("closes", CLOSES))
check(
    done.returncode == 0 and done.stderr.count("\n") == 1 and len(rows(path)) >= 200000,
    "a program that closes every descriptor",
    done.stderr,
)


def limit():
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))


SPEAKS = r"""
#include <stdio.h>
#include <stdlib.h>
int main(void)
{
    for (int i = 0; i < 1000000; i++)
        free(malloc(i % 300));
    puts("done");
    return 3;
}
"""
speaks = program("speaks", SPEAKS)
done, path = trace(speaks, name="limit.trace", preexec_fn=limit)
check(
    done.returncode == 3 and done.stdout == "done\n" and done.stderr.count("recording stopped") == 2,
    "a limit for files: one line when recording stops, and the program goes on",
    done.returncode,
    done.stderr,
)
check(
    "ulimit -f" in done.stderr
    and "lacks the end" in done.stderr
    and len(rows(path)) > 50000
    and not lives(rows(path))[0],
    "and what was recorded before is there",
    done.stderr,
)
mount = os.path.join(scratch.name, "small")
os.mkdir(mount)
script = (
    f"mount -t tmpfs -o size=2m none {mount} && {WEIR} trace -o {mount}/t.trace {speaks}; echo $?; "
    f"{WEIR} trace -o {scratch.name}/full.trace --convert {mount}/t.trace.*.raw; ls {mount} | wc -l; "
    f"{WEIR} replay --list {scratch.name}/full.trace | wc -l"
)
unshare = subprocess.run(["unshare", "-m", "true"], stderr=subprocess.DEVNULL) if shutil.which("unshare") else None
if unshare is not None and unshare.returncode == 0 and os.geteuid() == 0:
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    words = done.stdout.split()
    check(
        words[:3] == ["done", "3", "0"] and "no space left" in done.stderr and int(words[3]) > 50000,
        "a full disk: the program goes on, and the recording can be converted elsewhere",
        done.stdout,
        done.stderr,
    )
else:
    skip("a full disk", "a small file system cannot be mounted here")

early = compile_c(
    "libearly.so",
    "#include <stdlib.h>\n__attribute__((constructor)) static void f(void) { free(malloc(12345)); }",
    *("-shared", "-fPIC", "-fno-builtin"),
)
done, path = trace("true", name="early.trace", env={"LD_PRELOAD": early})
check([row for row in rows(path) if row[3] == 12345], "calls before main are there", done.stderr)

# ---- what cannot be

done = weir("trace", "-o", "/nowhere/t.trace", "true")
check(done.returncode == 125 and "/nowhere/t.trace" in done.stderr, "a trace that cannot be written", done.stderr)
done = weir("trace", "-o", scratch.name + "/", "true")
check(done.returncode == 125 and "directory" in done.stderr, "nor to a directory", done.stderr)
done = weir("trace", "no-such-program")
check(done.returncode == 127 and "no-such-program" in done.stderr, "no such program: 127", done.stderr)
done = weir("trace")
check(done.returncode == 125 and "which program" in done.stderr, "no program: 125", done.stderr)
done = weir("trace", "--convert")
check(done.returncode == 125 and "which recordings" in done.stderr, "--convert of nothing", done.stderr)
done = weir("trace", "--convert", calls)
check(done.returncode == 125 and "no recording" in done.stderr, "--convert of another file", done.stderr)
done = weir("trace", "-a", "nomalloc", "true")
check(
    done.returncode == 125 and "'nomalloc'" in done.stderr and "jemalloc" in done.stderr,
    "an unknown allocator",
    done.stderr,
)
static = compile_c("static", "int main(void) { return 4; }", "-static")
if static:
    done, path = trace(static, name="static.trace")
    check(
        done.returncode == 4
        and "no call was recorded" in done.stderr
        and "static" in done.stderr
        and not os.path.exists(path),
        "a static program: no trace, and why",
        done.stderr,
    )
else:
    skip("a static program", "there is no static C library")

# ---- where a trace cannot be, or is not wanted

os.mkdir(os.path.join(scratch.name, "a-directory"))
done, path = trace("ls", name="a-directory")
check(
    done.returncode == 125 and "that is a directory" in done.stderr and others(path) == [] and done.stdout == "",
    "a directory in place of the trace: said before the program runs",
    done.stderr,
)
if os.getuid() == 0:
    device = os.path.join(scratch.name, "full")
    os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 7))
    done, path = trace(calls, name="full")
    check(
        "No space left" in done.stderr and others(path) and os.path.exists(device),
        "a device that takes nothing: the recording is kept, and the device is not removed",
        done.stderr,
    )
else:
    skip("a device that takes nothing", "only root can make one")

# Nobody reads the pipe, so that the trace is not made until Ctrl-C.
pipe = os.path.join(scratch.name, "pipe")
os.mkfifo(pipe)
process = subprocess.Popen(
    [WEIR, "trace", "-o", pipe, "sh", "-c", "ls; echo done"],
    env=environment(), start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
)


def has_program():
    """Whether a child of weir is another program."""
    with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as file:
        return any(os.path.basename(own(pid)) != os.path.basename(own(process.pid)) for pid in file.read().split())


def own(pid):
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return "gone"


def interrupted():
    os.killpg(process.pid, signal.SIGINT)
    return process.poll() is not None


try:
    while process.stdout.readline() != "done\n":
        pass
    ended = eventually(lambda: not has_program())
except OSError as error:
    skip("Ctrl-C while the trace is made", f"it cannot be seen when the program has ended: {error}")
    process.kill()
else:
    eventually(interrupted)
    errors = process.communicate()[1]
    check(
        ended and process.returncode == 0 and "the recording is still there" in errors and others(pipe),
        "Ctrl-C while the trace is made ends that, and the recording is kept",
        process.returncode,
        errors,
    )

# ---- threads that are cancelled

CANCEL = """#include <pthread.h>
#include <stdlib.h>
static int steps;
static void *work(void *arg)
{
    pthread_cancel(pthread_self());
    for (int i = 0; i < 200000; i++)
        free(malloc(100));
    steps++;
    pthread_testcancel();
    steps++;
    return arg;
}
int main(void)
{
    pthread_t thread;
    void *result = NULL;
    return pthread_create(&thread, NULL, work, NULL) != 0 || pthread_join(thread, &result) != 0 ||
           result != PTHREAD_CANCELED || steps != 1;
}
"""
done, _ = trace(compile_c("cancel", CANCEL, "-O0", "-pthread", "-fno-builtin"))
check(
    done.returncode == 0 and re.search(r" 4\d{5} calls in 2 threads", done.stderr),
    "malloc and free are no points of cancellation while they are recorded",
    done.returncode,
    done.stderr,
)

# ---- a recording that is damaged

for raw in others(pipe)[:1]:
    copy = shutil.copy(raw, os.path.join(scratch.name, "copy.raw"))
    with open(raw, "r+b") as file:
        file.seek(24)  # `started` in src/trace/raw.h
        file.write(b"\xff" * 7 + b"\x7f")
    path = os.path.join(scratch.name, "undated")
    done = weir("trace", "-o", path, "--convert", raw)
    check(
        done.returncode == 0 and about(path)["about"]["date"] == "",
        "a recording with a date that cannot be makes a trace without one",
        done.stderr,
    )
    with open(copy, "r+b") as file:
        file.seek(72)  # `stopped`
        file.write(b"\0\0\xff\xff")
    done = weir("trace", "-o", path, "--convert", copy)
    check(
        done.returncode == 0 and "recording stopped: for a reason that cannot be read" in done.stderr,
        "one that stopped for no error that there is says so",
        done.stderr,
    )
finish()
