/* SPDX-License-Identifier: MIT
 * A thread that the C library does not know; see helper.h.
 *
 * It is made by clone() with a stack and thread-local storage of its own, not by pthread_create(), because
 *   - it must be possible to make it inside any malloc. The program may be inside the C library then and hold its locks
 *     (the loader's, the stack cache's, an interrupted pthread_create's); pthread_create() wants those, and allocates.
 *     Allocators that call it on such paths, or that wrap the program's own calls of it, have had their deadlocks.
 *   - a process whose main thread has left by pthread_exit() ends when its last thread ends. One thread more that the C
 *     library counts would keep it for ever, or run the exit handlers itself, on its small stack.
 *   - who replaces pthread_create() (collectors, checkers, counters of threads) would take it for the program's, and
 *     might stop it by a signal that it never answers.
 *
 * What follows from it: setuid() of the C library, which changes all threads, does not reach this one. Therefore it is
 * made with the rights that its maker has then, and lives for seconds (core/purger.c), not for ever. Nothing that runs
 * on it may use thread-locals other than errno and Weir's own. The flags are those that pthread_create() uses, since
 * sandboxes compare them.
 *
 * Sanitizers must know every thread that runs their code: there, and on processors that are not named below, it is a
 * detached thread of the C library's.
 *
 * State: for each of two helpers its `tid`, 0 while there is none. A maker claims it; the kernel clears it when the
 * thread has left its stack for good, so the stack, mapped once, may serve the next. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os/helper.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/lock.h"
#include "os/os.h"

#define NAME "weir-purger"
enum { STACK = 32 * 1024, CLAIMED = -1 };

static struct helper {
    _Atomic int tid;     /* CLAIMED while it is being made */
    void (*fn)(void);    /* all below: who has claimed it */
    char *stack_end;     /* NULL: no memory yet */
    char *thread_memory; /* what its thread pointer is */
} helper[2];

size_t wr_helper_others(void)
{
    struct stat task;
    int saved = errno, before[WR_COUNT(helper)];
    for (size_t i = 0; i < WR_COUNT(helper); i++)
        before[i] = atomic_load_explicit(&helper[i].tid, memory_order_acquire);
    /* A folder has a link for itself, one in its parent, and one for each folder in it. */
    bool known = stat("/proc/self/task", &task) == 0 && task.st_nlink > 2;
    errno = saved;
    size_t threads = known ? (size_t)task.st_nlink - 2 : 0;
    /* One that was being made, or came or went meanwhile, may not have been counted, and is not taken off. */
    for (size_t i = 0; i < WR_COUNT(helper) && threads > 1; i++)
        threads -= before[i] > 0 && atomic_load_explicit(&helper[i].tid, memory_order_relaxed) == before[i];
    return threads;
}

void wr_helper_fork_child(void)
{
    for (size_t i = 0; i < WR_COUNT(helper); i++)
        if (atomic_load_explicit(&helper[i].tid, memory_order_relaxed) != 0)
            atomic_store_explicit(&helper[i].tid, 0, memory_order_relaxed);
}

/** What the thread does of its own before its work: it shall not be as urgent as its maker may be, and it has a name.
 */
static void introduce(void)
{
    struct sched_param usual = {0};
    int policy = sched_getscheduler(0);
    if (policy == SCHED_FIFO || policy == SCHED_RR)
        sched_setscheduler(0, SCHED_OTHER, &usual);
    prctl(PR_SET_NAME, NAME, 0, 0, 0);
}

#if defined(__x86_64__) && !WR_SANITIZED
#define WR_THREAD_POINTER(into) __asm__("mov %%fs:0, %0" : "=r"(into))
#elif defined(__aarch64__) && !WR_SANITIZED
#define WR_THREAD_POINTER(into) __asm__("mrs %0, tpidr_el0" : "=r"(into))
#elif defined(__riscv) && !WR_SANITIZED
#define WR_THREAD_POINTER(into) __asm__("mv %0, tp" : "=r"(into))
#endif

#if defined(WR_THREAD_POINTER)

/* Room at both ends of the storage: for what the C library and the compiler keep around the thread pointer. */
enum { AROUND = 4096 };

/** Maps guard page, stack and thread-local storage, once. A variable lies as far from the thread pointer in one thread
 *  as in another. */
static bool prepare(struct helper *made, const char *pointer)
{
    uintptr_t at = (uintptr_t)pointer, low = at, high = at;
    const uintptr_t used[] = {(uintptr_t)&errno, (uintptr_t)&wr_lock_ranks};
    if (made->stack_end != NULL)
        return true;
    for (size_t i = 0; i < WR_COUNT(used); i++) {
        low = wr_min(low, used[i]);
        high = wr_max(high, used[i]);
    }
    size_t page = wr_os_page_size(), below = AROUND + (at - low), above = (high - at) + AROUND;
    size_t size = wr_round_up(page + STACK + below + WR_CACHE_LINE + above, page);
    char *start = wr_os_map(NULL, size);
    if (start == NULL)
        return false;
    mprotect(start, page, PROT_NONE); /* without it all works as well */
    made->stack_end = start + page + STACK;
    made->thread_memory = (char *)wr_round_up((uintptr_t)made->stack_end + below, WR_CACHE_LINE);
    return true;
}

/** Makes the storage what a fresh thread's is, as far as anything here looks at it. */
static void fill_storage(char *storage, const char *pointer)
{
#if defined(__x86_64__)
    /* Where the compiler looks for the thread pointer itself, where the C library does, and the stack protector's word.
     */
    const uintptr_t self = (uintptr_t)storage;
    memcpy(storage, &self, sizeof self);
    memcpy(storage + 0x10, &self, sizeof self);
    memcpy(storage + 0x28, pointer + 0x28, sizeof(uintptr_t));
#else
    (void)storage;
    (void)pointer;
#endif
}

static int run(void *made)
{
    introduce();
    ((struct helper *)made)->fn();
    return 0;
}

/** pre: the caller has claimed the helper, and blocks every signal. */
static bool make(struct helper *made)
{
    const int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS |
                      CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
    const char *pointer;
    WR_THREAD_POINTER(pointer);
    if (!prepare(made, pointer))
        return false;
    fill_storage(made->thread_memory, pointer);
    return clone(run, made->stack_end, flags, made, (int *)&made->tid, made->thread_memory, (int *)&made->tid) > 0;
}

#else

static void *run(void *made)
{
    atomic_store_explicit(&((struct helper *)made)->tid, (int)wr_os_thread_id(), memory_order_release);
    introduce();
    ((struct helper *)made)->fn();
    atomic_store_explicit(&((struct helper *)made)->tid, 0, memory_order_release);
    return NULL;
}

static bool make(struct helper *made)
{
    pthread_t thread;
    return pthread_create(&thread, NULL, run, made) == 0 && pthread_detach(thread) == 0;
}

#endif

static struct helper *claim(void)
{
    for (size_t i = 0; i < WR_COUNT(helper); i++) {
        int none = 0;
        if (atomic_compare_exchange_strong_explicit(&helper[i].tid, &none, CLAIMED, memory_order_acquire,
                                                    memory_order_relaxed))
            return &helper[i];
    }
    return NULL;
}

bool wr_helper_start(void (*fn)(void))
{
    struct helper *made = claim();
    int saved = errno;
    uint64_t all = ~UINT64_C(0), before = 0;
    if (made == NULL)
        return false;
    made->fn = fn;
    /* By the system call: the C library would leave its own signals open. */
    bool done = syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof all) == 0;
    if (done) {
        done = make(made);
        syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof before);
    }
    if (!done)
        atomic_store_explicit(&made->tid, 0, memory_order_release);
    errno = saved;
    return done;
}
