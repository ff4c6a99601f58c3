/* SPDX-License-Identifier: MIT
 * The contract of os.h: what comes back from the system is zeroed, discarded pages are gone, errno is kept, and a lock
 * lets one thread in at a time. */
#include "os/os.h"

#include "os/lock.h"
#include "support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MARK = 4242 };

static char *mapped(size_t size)
{
    char *start = wr_os_map(NULL, size);
    must(start != NULL && unit_is_aligned(start, wr_os_page_size()), "no mapping of %zu bytes: %p", size,
         (void *)start);
    return start;
}

Test(os, page_size_is_the_systems)
{
    must(wr_os_page_size() == unit_page_size(), "%zu", wr_os_page_size());
    must(wr_is_pow2(wr_os_page_size()), "%zu", wr_os_page_size());
}

Test(os, a_mapping_is_zeroed_and_not_resident)
{
    size_t size = 64 * wr_os_page_size();
    struct unit_pages pages = {0};
    char *start = mapped(size);
    unit_pages_add(&pages, start, size);
    unit_pages_seal(&pages);
    must(unit_pages_resident(&pages) == 0, "%zu bytes resident at once", unit_pages_resident(&pages));
    must(unit_zeroed(start, size) == UNIT_INTACT, "not zeroed");
    unit_fill(start, 0, size, 1);
    must(unit_pages_resident(&pages) == size, "%zu bytes resident when written to", unit_pages_resident(&pages));
    must(wr_os_unmap(start, size), "not unmapped");
    must(unit_pages_resident(&pages) == 0, "resident though unmapped");
}

Test(os, a_hint_that_is_free_is_taken)
{
    size_t size = 16 * wr_os_page_size();
    char *start = mapped(size);
    must(wr_os_unmap(start, size), "not unmapped");
    char *again = wr_os_map(start, size);
    must(again == start, "%p, not %p", (void *)again, (void *)start);
    unit_fill(start, 0, size, 1);
    char *other = wr_os_map(start, size);
    must(other != NULL && other != start && unit_filled(start, 0, size, 1) == UNIT_INTACT, "a hint replaced a mapping");
    wr_os_unmap(start, size);
    wr_os_unmap(other, size);
}

Test(os, failures_are_returned_and_keep_errno)
{
    errno = MARK;
    must(wr_os_map(NULL, (size_t)1 << 60) == NULL && errno == MARK, "errno %d", errno);
    must(!wr_os_unmap((void *)1, 4096) && errno == MARK, "errno %d", errno);
    must(wr_os_remap((void *)(uintptr_t)wr_os_page_size(), wr_os_page_size(), 2 * wr_os_page_size(), WR_REMAP_HERE,
                     NULL) == NULL &&
             errno == MARK,
         "errno %d", errno);
    struct wr_range range = {(void *)(uintptr_t)wr_os_page_size(), wr_os_page_size()};
    must(wr_os_discard(&range, 1, WR_DISCARD_NOW) == 0 && errno == MARK, "errno %d", errno);
    must(!wr_os_append("/no/such/place", "x", 1) && errno == MARK, "errno %d", errno);
    must(errno == MARK, "errno %d", errno);
}

/** Whether the kernel refuses, of its own, what a machine cannot have. */
static bool kernel_judges(void)
{
    int mode = 0;
    FILE *file = fopen("/proc/sys/vm/overcommit_memory", "re");
    bool known = file != NULL && fscanf(file, "%d", &mode) == 1;
    if (file != NULL)
        fclose(file);
    return known && mode == 0;
}

Test(os, absurd_sizes_are_refused)
{
    if (!kernel_judges())
        cr_skip_test("vm.overcommit_memory is not 0");
    must(wr_os_map(NULL, (size_t)1 << 46) == NULL, "64 TiB are mapped");
    wr_os_unmap(mapped((size_t)32 << 30), (size_t)32 << 30);
}

Test(os, success_keeps_errno)
{
    char buf[256];
    _Atomic uint64_t word = 1;
    errno = MARK;
    char *start = mapped(wr_os_page_size());
    wr_os_now_ms();
    wr_os_wait(&word, 2); /* the word differs, so it does not sleep */
    wr_os_wake_all(&word);
    wr_os_resident();
    wr_os_program(buf, sizeof buf);
    wr_os_discard_zeroes();
    wr_os_unmap(start, wr_os_page_size());
    must(errno == MARK, "errno %d", errno);
}

Test(os, remap_grows_shrinks_and_moves)
{
    size_t page = wr_os_page_size(), size = 64 * page;
    char *place = mapped(4 * size), *start = place;
    must(wr_os_unmap(place + size, 3 * size), "not unmapped");
    unit_fill(start, 0, size, 1);
    must(wr_os_remap(start, size, 2 * size, WR_REMAP_HERE, NULL) == start, "not grown in place");
    must(unit_filled(start, 0, size, 1) == UNIT_INTACT && unit_zeroed(start + size, size) == UNIT_INTACT, "content");
    must(wr_os_remap(start, 2 * size, size / 2, WR_REMAP_HERE, NULL) == start, "not shrunk");
    char *to = mapped(size);
    must(wr_os_remap(start, size / 2, size, to, NULL) == to, "not moved");
    must(unit_filled(to, 0, size / 2, 1) == UNIT_INTACT, "content was lost in moving");
    must(unit_zeroed(to + size / 2, size / 2) == UNIT_INTACT, "the new part is not zeroed");
    char *now = wr_os_remap(to, size, 64 * size, WR_REMAP_ANYWHERE, NULL);
    must(now != NULL && unit_filled(now, 0, size / 2, 1) == UNIT_INTACT, "content was lost in moving anywhere");
    wr_os_unmap(now, 64 * size);
}

Test(os, remap_tells_several_mappings)
{
    size_t page = wr_os_page_size();
    char *start = mapped(4 * page);
    bool several = true;
    must(mprotect(start + 2 * page, page, PROT_READ) == 0, "mprotect failed");
    must(wr_os_remap(start, 4 * page, 64 * page, WR_REMAP_ANYWHERE, &several) == NULL && several, "several %d",
         several);
    must(wr_os_remap(start, page, (size_t)1 << 60, WR_REMAP_ANYWHERE, &several) == NULL && !several, "several %d",
         several);
    wr_os_unmap(start, 4 * page);
}

/** Every other page of many, in one call: batches of any size. */
Test(os, scattered_pages_are_discarded)
{
    enum { MOST = 1500 };
    static struct wr_range range[MOST];
    static const size_t counts[] = {1, 2, 511, 512, 513, 1024, 1025, MOST};
    size_t page = wr_os_page_size(), size = 2 * MOST * page;
    char *start = mapped(size);
    must(wr_os_discard_zeroes(), "discarded pages do not read as zero");
    for (size_t n = 0; n < WR_COUNT(counts); n++) {
        unit_fill(start, 0, size, n);
        for (size_t i = 0; i < counts[n]; i++)
            range[i] = (struct wr_range){start + 2 * i * page, page};
        must(wr_os_discard(range, counts[n], WR_DISCARD_NOW) == counts[n], "not all of %zu", counts[n]);
        for (size_t i = 0; i < MOST; i++) {
            bool gone = i < counts[n];
            must((unit_zeroed(start + 2 * i * page, page) == UNIT_INTACT) == gone, "page %zu of %zu", 2 * i, counts[n]);
            must(unit_filled(start, (2 * i + 1) * page, (2 * i + 2) * page, n) == UNIT_INTACT, "page %zu was not meant",
                 2 * i + 1);
        }
    }
    wr_os_unmap(start, size);
}

Test(os, a_refused_range_is_named_and_the_rest_goes)
{
    size_t page = wr_os_page_size();
    char *start = mapped(8 * page);
    unit_fill(start, 0, 8 * page, 1);
    struct wr_range range[] = {
        {start, page}, {start + 2 * page, page}, {(void *)(uintptr_t)page, page}, {start + 4 * page, page}};
    size_t done = wr_os_discard(range, WR_COUNT(range), WR_DISCARD_NOW);
    must(done == 3, "%zu ranges are said to be gone", done);
    for (unsigned i = 0; i < WR_COUNT(range); i++) {
        must((range[i].size == 0) == (i == 2), "range %u: %zu bytes", i, range[i].size);
        must(range[i].size == 0 || unit_zeroed(range[i].start, page) == UNIT_INTACT, "range %u is not gone", i);
    }
    wr_os_unmap(start, 8 * page);
}

Test(os, discarding_lazily_or_never)
{
    size_t page = wr_os_page_size();
    char *start = mapped(4 * page);
    unit_fill(start, 0, 4 * page, 1);
    struct wr_range range = {start, 4 * page};
    must(wr_os_discard(&range, 1, WR_DISCARD_NEVER) == 0, "said to be gone");
    must(unit_filled(start, 0, 4 * page, 1) == UNIT_INTACT, "gone");
    must(wr_os_discard(&range, 1, WR_DISCARD_LAZY) == 1, "refused");
    unit_fill(start, 0, 4 * page, 2); /* may be written again at once */
    must(unit_filled(start, 0, 4 * page, 2) == UNIT_INTACT, "content");
    wr_os_unmap(start, 4 * page);
}

Test(os, what_the_process_is)
{
    char name[256];
    must(strstr(wr_os_program(name, sizeof name), "test_os") != NULL, "program '%s'", name);
    char tiny[4];
    must(strlen(wr_os_program(tiny, sizeof tiny)) < sizeof tiny, "a name past its buffer");
    must(wr_os_thread_id() == (uint32_t)getpid(), "thread %u of process %d", wr_os_thread_id(), (int)getpid());
    size_t resident = wr_os_resident(), seen = unit_resident();
    must(resident + WR_MIB > seen && resident < seen + WR_MIB, "resident %zu, not %zu", resident, seen);
    must(wr_os_peak_resident() + WR_MIB > resident, "peak %zu, resident %zu", wr_os_peak_resident(), resident);
    uint64_t start = wr_os_now_ms();
    usleep(60000);
    uint64_t passed = wr_os_now_ms() - start;
    must(passed >= 40 && passed < 60000, "60 ms took %llu", (unsigned long long)passed);
}

/** Has the system deny a call to this process from now on. False if it does not filter. */
static bool deny(unsigned call)
{
    struct sock_filter filter[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                                   BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
                                   BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
                                   BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {.len = WR_COUNT(filter), .filter = filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/** In a process that may not: 0 if a nap took its time, or says that it could not. */
static int nap_denied(void)
{
    enum { MS = 60 };
    if (!deny(SYS_futex))
        return 2;
    uint64_t before = wr_os_now_ns();
    errno = MARK;
    if (!wr_os_nap(MS) || wr_os_now_ns() - before < (uint64_t)MS * 1000 * 1000 || errno != MARK)
        return 1;
    return deny(SYS_clock_nanosleep) && !wr_os_nap(MS) && errno == MARK ? 0 : 1;
}

/** Who looks again and again sleeps in between, sandbox or not. */
Test(os, a_nap_where_futexes_are_denied)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0)
        _exit(nap_denied());
    must(waitpid(child, &status, 0) == child && WIFEXITED(status), "status %#x", (unsigned)status);
    if (WEXITSTATUS(status) == 2)
        cr_skip_test("no seccomp filters here");
    must(WEXITSTATUS(status) == 0, "it did not sleep, and did not say so");
}

Test(os, append_adds_lines)
{
    char path[] = "/tmp/weir-unit-XXXXXX", got[64] = "";
    int fd = mkstemp(path);
    must(fd >= 0, "no temporary file");
    must(wr_os_append(path, "one\n", 4) && wr_os_append(path, "two\n", 4), "not appended");
    must(read(fd, got, sizeof got - 1) == 8 && strcmp(got, "one\ntwo\n") == 0, "'%s'", got);
    close(fd);
    unlink(path);
    must(wr_os_append(path, "new\n", 4) && access(path, F_OK) == 0, "not created");
    unlink(path);
}

/* ---- the lock -------------------------------------------------------------------------------------------------- */

static struct wr_lock lock;
static size_t guarded;        /* by: lock; plain, so that a race would lose counts (and ThreadSanitizer speak) */
static atomic_int inside_now; /* threads between wr_lock and wr_unlock */

static void *count_under_lock(void *arg)
{
    size_t rounds = *(size_t *)arg;
    for (size_t i = 0; i < rounds; i++) {
        if (i % 3 != 0)
            wr_lock(&lock, WR_RANK_ARENA);
        else if (!wr_try_lock(&lock, WR_RANK_ARENA))
            continue;
        must(atomic_fetch_add(&inside_now, 1) == 0, "two threads hold the lock");
        must(wr_lock_is_mine(&lock), "the holder is not known");
        guarded++;
        if (i % 64 == 0)
            sched_yield(); /* so that others sleep on it */
        atomic_fetch_sub(&inside_now, 1);
        wr_unlock(&lock, WR_RANK_ARENA);
        must(!wr_lock_is_mine(&lock), "still mine after the unlock");
    }
    return NULL;
}

Test(lock, one_thread_at_a_time, .timeout = 60)
{
    pthread_t thread[6];
    size_t rounds = unit_scale(60000);
    for (size_t i = 0; i < WR_COUNT(thread); i++)
        must(pthread_create(&thread[i], NULL, count_under_lock, &rounds) == 0, "no thread");
    for (size_t i = 0; i < WR_COUNT(thread); i++)
        pthread_join(thread[i], NULL);
    size_t at_least = WR_COUNT(thread) * (rounds - rounds / 3 - 1);
    must(guarded >= at_least && guarded <= WR_COUNT(thread) * rounds, "%zu rounds under the lock", guarded);
    must(atomic_load(&lock.word) == 0, "the lock is not free at the end");
}

static void *try_it(void *result)
{
    *(bool *)result = wr_try_lock(&lock, WR_RANK_ARENA);
    must(!wr_lock_is_mine(&lock) || *(bool *)result, "mine without having it");
    return NULL;
}

Test(lock, try_fails_while_it_is_held)
{
    bool got = true;
    wr_lock(&lock, WR_RANK_ARENA);
    unit_on_thread(try_it, &got);
    must(!got, "taken though it is held");
    wr_unlock(&lock, WR_RANK_ARENA);
    must(wr_try_lock(&lock, WR_RANK_ARENA), "not taken though it is free");
    wr_unlock(&lock, WR_RANK_ARENA);
}

static void *wait_for_it(void *arg)
{
    (void)arg;
    wr_lock(&lock, WR_RANK_ARENA);
    wr_unlock(&lock, WR_RANK_ARENA);
    return NULL;
}

/** Threads that sleep on the lock are woken, all of them. */
Test(lock, sleepers_wake, .timeout = 30)
{
    pthread_t thread[5];
    for (unsigned round = 0; round < 20; round++) {
        wr_lock(&lock, WR_RANK_ARENA);
        for (size_t i = 0; i < WR_COUNT(thread); i++)
            must(pthread_create(&thread[i], NULL, wait_for_it, NULL) == 0, "no thread");
        usleep(5000);
        wr_unlock(&lock, WR_RANK_ARENA);
        for (size_t i = 0; i < WR_COUNT(thread); i++)
            pthread_join(thread[i], NULL);
    }
}

/** A lock taken for the fork is free in both processes afterwards; one that the forking thread had is still its own. */
Test(lock, around_a_fork)
{
    for (unsigned held = 0; held < 2; held++) {
        int status = 0;
        if (held)
            wr_lock(&lock, WR_RANK_ARENA);
        wr_lock_fork_prepare(&lock, WR_RANK_ARENA);
        must(wr_lock_is_mine(&lock), "not taken for the fork");
        pid_t child = _Fork(); /* without the library's own handlers */
        wr_lock_fork_done(&lock, WR_RANK_ARENA);
        must(wr_lock_is_mine(&lock) == held, "held before the fork: %u, after it: %u", held, !held);
        if (held)
            wr_unlock(&lock, WR_RANK_ARENA);
        must(wr_try_lock(&lock, WR_RANK_ARENA), "not free after the fork");
        wr_unlock(&lock, WR_RANK_ARENA);
        if (child == 0)
            _exit(0);
        must(waitpid(child, &status, 0) == child && status == 0, "status %#x", (unsigned)status);
    }
}

Test(lock, ranks_out_of_order_are_an_assertion)
{
    if (WR_DEBUG < 1)
        cr_skip_test("needs --enable-debug");
    static struct wr_lock second;
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        close(STDERR_FILENO);
        wr_lock(&lock, WR_RANK_META);
        wr_lock(&second, WR_RANK_ARENA);
        _exit(0);
    }
    must(waitpid(child, &status, 0) == child, "waitpid");
    must(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "status %#x", (unsigned)status);
}
