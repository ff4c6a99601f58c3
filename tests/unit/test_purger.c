/* SPDX-License-Identifier: MIT
 * What is done to the heaps of threads that do nothing, or that do a great deal meanwhile: caches are taken, slack
 * goes, and no block changes. Sizes are waited for, as long as it takes; nothing here depends on when. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "core/purger.h"

#include "base/option.h"
#include "core/check.h"
#include "core/purge.h"
#include "core/registry.h"
#include "front/fast.h"
#include "front/thread.h"
#include "os/helper.h"
#include "os/os.h"
#include "support.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include <weir/alloc.h>

TestSuite(purger, .timeout = 240);

static bool every(struct wr_heap *heap WR_UNUSED, void *arg WR_UNUSED) { return true; }

static void need_purger(void)
{
    if (getenv("WEIR_PURGE") != NULL || getenv("WEIR_SLACK") != NULL || getenv("WEIR_PURGER") != NULL)
        cr_skip_test("WEIR_PURGE, WEIR_SLACK or WEIR_PURGER is set");
}

static void need_barrier(void)
{
    if (!wr_os_barrier())
        cr_skip_test("the system has no membarrier");
}

static struct weir_stats now(void)
{
    struct weir_stats stats;
    weir_stats_get(&stats);
    return stats;
}

static void nap(long microseconds)
{
    struct timespec time = {0, microseconds * 1000};
    nanosleep(&time, NULL);
}

/* ---- owners at work while their heaps are emptied -------------------------------------------------------------- */

enum { OWNERS = 3, HELD = 24 };

static atomic_bool stop;      /* for those that go on until told */
static atomic_size_t running; /* owners that have not done their rounds */
static size_t rounds;         /* of each owner; 0: until told to stop */

static bool goes_on(size_t round)
{
    if (rounds == 0 ? !atomic_load_explicit(&stop, memory_order_relaxed) : round < rounds)
        return true;
    atomic_fetch_sub(&running, 1);
    return false;
}

/** Takes blocks of a few classes, verifies and frees all of them: stacks fill and empty again and again, in whichever
 *  state the taker finds them. */
static void *work(void *arg)
{
    struct unit_rng rng = {(uintptr_t)arg * 7919 + unit_seed()};
    void *block[HELD];
    size_t size[HELD];
    for (size_t round = 0; goes_on(round); round++) {
        size_t most = unit_below(&rng, 4) == 0 ? 30000 : 1024, count = 1 + unit_below(&rng, HELD);
        for (size_t i = 0; i < count; i++) {
            size[i] = unit_log_uniform(&rng, 16, most);
            must((block[i] = weir_malloc(size[i])) != NULL, "no memory");
            unit_fill(block[i], 0, size[i], (uintptr_t)block[i] ^ (uintptr_t)arg);
        }
        for (size_t i = count; i-- > 0;) {
            must(unit_filled(block[i], 0, size[i], (uintptr_t)block[i] ^ (uintptr_t)arg) == UNIT_INTACT,
                 "a block of %zu bytes has changed", size[i]);
            weir_free(block[i]);
        }
    }
    return NULL;
}

/** As work(), and each thread's blocks are freed by its neighbour: parcels fill. */
static void *trade(void *arg)
{
    static _Atomic(void *) stall[64];
    struct unit_rng rng = {(uintptr_t)arg * 104729 + unit_seed()};
    for (size_t round = 0; goes_on(round); round++) {
        size_t size = unit_log_uniform(&rng, 16, 1024);
        size_t *block = weir_malloc(size + sizeof size);
        must(block != NULL, "no memory");
        *block = size;
        unit_fill(block + 1, 0, size, size);
        block = atomic_exchange(&stall[unit_below(&rng, WR_COUNT(stall))], block);
        if (block != NULL) {
            must(unit_filled(block + 1, 0, *block, *block) == UNIT_INTACT, "a block of %zu bytes has changed", *block);
            weir_free(block);
        }
    }
    return NULL;
}

/** A handler that makes its thread sleep wherever it was. */
static void doze(int signal WR_UNUSED)
{
    static _Atomic unsigned count;
    int saved = errno;
    nap((long)(atomic_fetch_add(&count, 1) % 7) * 100);
    errno = saved;
}

static void run_owners_once(void *(*owner)(void *), bool signals)
{
    pthread_t thread[OWNERS];
    atomic_store(&running, OWNERS);
    for (size_t i = 0; i < OWNERS; i++)
        must(pthread_create(&thread[i], NULL, owner, (void *)(i + 1)) == 0, "no thread");
    for (size_t i = 0; atomic_load(&running) > 0; i++) {
        if (signals && i % 8 == 0)
            for (size_t k = 0; k < OWNERS; k++)
                pthread_kill(thread[k], SIGUSR1);
        wr_purge_heaps(every, NULL, NULL);
        if (i % 4 == 0)
            wr_purge_to(0);
        if (i % 64 == 0)
            must(wr_check_all(), "no heap");
    }
    for (size_t i = 0; i < OWNERS; i++)
        pthread_join(thread[i], NULL);
    must(wr_check_all(), "no heap");
}

/** Again and again until something was taken that came back, or it would have tested nothing. */
static void run_owners(void *(*owner)(void *), size_t owner_rounds, bool signals)
{
    enum { MOST = 50 };
    struct sigaction action = {.sa_handler = doze};
    need_purger();
    need_barrier();
    unit_need_small_pages(); /* of larger ones hardly any gets free here */
    sigaction(SIGUSR1, &action, NULL);
    rounds = unit_scale(owner_rounds);
    uint64_t refaulted = now().refaulted;
    for (unsigned i = 0; i < MOST && now().refaulted == refaulted; i++)
        run_owners_once(owner, signals);
    must(now().refaulted > refaulted, "nothing was taken that came back");
}

Test(purger, heaps_are_emptied_while_their_owners_work) { run_owners(work, 100000, false); }
Test(purger, heaps_are_emptied_while_their_owners_trade) { run_owners(trade, 500000, false); }
Test(purger, heaps_are_emptied_while_their_owners_sleep_in_handlers) { run_owners(work, 20000, true); }
Test(purger, heaps_are_emptied_while_traders_sleep_in_handlers) { run_owners(trade, 100000, true); }

static void *empty_all_the_time(void *arg)
{
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        wr_purge_heaps(every, NULL, NULL);
        wr_purge_to(0);
    }
    return arg;
}

/* ---- an owner that may stop between any two instructions ------------------------------------------------------- */

enum { TRAP_FLAG = 0x100, STEPS = 80 }; /* instructions: more than a fast path has */

static atomic_uint steps; /* that the owner has gone since it began a call */

/** Runs after each of the first instructions of a call, and makes the owner wait for the taker now and then. */
static void step(int signal WR_UNUSED, siginfo_t *info WR_UNUSED, void *context WR_UNUSED)
{
#if defined(__x86_64__)
    static struct unit_rng rng;
    if (atomic_fetch_add(&steps, 1) > STEPS)
        ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
    else if (unit_below(&rng, 12) == 0)
        nap(20);
#endif
}

static void begin_to_step(void)
{
    atomic_store(&steps, 0);
#if defined(__x86_64__)
    __asm__ volatile("pushfq\n\torq $0x100, (%%rsp)\n\tpopfq" ::: "memory", "cc");
#else
    cr_skip_test("steps by a flag of x86");
#endif
}

/** Blocks of medium classes come and go, so that stacks are empty, filled and taken. */
static void *work_in_steps(void *arg)
{
    size_t count = unit_scale(40);
    for (size_t i = 0; i < count; i++) {
        static const size_t size[] = {1200, 1500, 5000, 20000};
        size_t *block[WR_COUNT(size)][2];
        for (size_t k = 0; k < WR_COUNT(size); k++)
            for (size_t m = 0; m < 2; m++) {
                begin_to_step();
                block[k][m] = weir_malloc(size[k]);
                must(block[k][m] != NULL, "no memory");
                block[k][m][0] = block[k][m][1] = i + k + m;
            }
        for (size_t k = 0; k < WR_COUNT(size); k++)
            for (size_t m = 0; m < 2; m++) {
                must(block[k][m][0] == i + k + m && block[k][m][1] == i + k + m, "a block has changed");
                begin_to_step();
                weir_free(block[k][m]);
            }
    }
    atomic_store(&stop, true);
    return arg;
}

Test(purger, heaps_are_emptied_between_any_two_instructions)
{
    struct sigaction action = {.sa_sigaction = step, .sa_flags = SA_SIGINFO};
    pthread_t owner;
    need_purger();
    need_barrier();
    if (UNIT_SANITIZED)
        cr_skip_test("the sanitizer's own code would be stepped through");
    sigaction(SIGTRAP, &action, NULL);
    uint64_t refaulted = now().refaulted;
    atomic_store(&stop, false);
    must(pthread_create(&owner, NULL, work_in_steps, NULL) == 0, "no thread");
    empty_all_the_time(NULL);
    pthread_join(owner, NULL);
    must(wr_check_all(), "no heap");
    must(now().refaulted > refaulted, "nothing was taken that came back: the test has tested nothing");
}

/* ---- threads and processes come and go meanwhile --------------------------------------------------------------- */

static void *work_briefly(void *arg)
{
    for (unsigned i = 0; i < 200; i++) {
        void *block[8];
        for (size_t k = 0; k < WR_COUNT(block); k++)
            must((block[k] = weir_malloc(16 << k)) != NULL, "no memory");
        for (size_t k = 0; k < WR_COUNT(block); k++)
            weir_free(block[k]);
    }
    return arg;
}

Test(purger, heaps_are_emptied_while_threads_come_and_go)
{
    pthread_t taker, thread[OWNERS];
    need_barrier();
    atomic_store(&stop, false);
    must(pthread_create(&taker, NULL, empty_all_the_time, NULL) == 0, "no thread");
    for (size_t i = 0; i < unit_scale(400); i++) {
        for (size_t k = 0; k < OWNERS; k++)
            must(pthread_create(&thread[k], NULL, work_briefly, NULL) == 0, "no thread");
        for (size_t k = 0; k < OWNERS; k++)
            pthread_join(thread[k], NULL);
    }
    atomic_store(&stop, true);
    pthread_join(taker, NULL);
    must(wr_check_all(), "no heap");
}

/** Forks while another thread empties and purges: the child finds everything at rest, and can do the same. */
Test(purger, forks_while_heaps_are_emptied)
{
    pthread_t taker, owner;
    need_barrier();
    if (!UNIT_FORKS_WITH_THREADS)
        cr_skip_test("forks with threads");
    atomic_store(&stop, false);
    rounds = 0;
    must(pthread_create(&taker, NULL, empty_all_the_time, NULL) == 0, "no thread");
    must(pthread_create(&owner, NULL, work, (void *)9) == 0, "no thread");
    for (size_t i = 0; i < unit_scale(150); i++) {
        int status;
        pid_t child = fork();
        must(child >= 0, "no process");
        if (child == 0) {
            work_briefly(NULL);
            wr_purge_heaps(every, NULL, wr_self);
            weir_trim(0);
            _exit(wr_check_all() ? 0 : 1);
        }
        must(waitpid(child, &status, 0) == child && status == 0, "child %zu ended with %#x", i, (unsigned)status);
    }
    atomic_store(&stop, true);
    pthread_join(taker, NULL);
    pthread_join(owner, NULL);
}

/* ---- what sleepers keep ---------------------------------------------------------------------------------------- */

enum { SLEEPERS = 40 };

static struct {
    sem_t done, go;
} bedroom;

/** Uses every class there is, frees everything, and sleeps. */
static void *use_and_sleep(void *arg)
{
    for (size_t size = 16; size <= WR_MEDIUM_MAX; size += size / 9 + 1) {
        void *block[6];
        for (size_t i = 0; i < WR_COUNT(block); i++) {
            must((block[i] = weir_malloc(size)) != NULL, "no memory");
            memset(unit_opaque(block[i]), 1, size);
        }
        for (size_t i = 0; i < WR_COUNT(block); i++)
            weir_free(block[i]);
    }
    sem_post(&bedroom.done);
    while (sem_wait(&bedroom.go) != 0)
        continue;
    /* What was taken comes back. */
    for (size_t size = 16; size <= WR_MEDIUM_MAX; size *= 2) {
        void *block = weir_malloc(size);
        must(block != NULL, "no memory");
        unit_fill(block, 0, size, size);
        must(unit_filled(block, 0, size, size) == UNIT_INTACT, "a block of %zu bytes is bad", size);
        weir_free(block);
    }
    return arg;
}

static void put_to_bed(pthread_t thread[SLEEPERS])
{
    must(sem_init(&bedroom.done, 0, 0) == 0 && sem_init(&bedroom.go, 0, 0) == 0, "no semaphore");
    for (size_t i = 0; i < SLEEPERS; i++)
        must(pthread_create(&thread[i], NULL, use_and_sleep, NULL) == 0, "no thread");
    for (size_t i = 0; i < SLEEPERS; i++)
        while (sem_wait(&bedroom.done) != 0)
            continue;
}

static void wake_up(const pthread_t thread[SLEEPERS])
{
    for (size_t i = 0; i < SLEEPERS; i++)
        sem_post(&bedroom.go);
    for (size_t i = 0; i < SLEEPERS; i++)
        pthread_join(thread[i], NULL);
    must(wr_check_all(), "no heap");
}

/** What a thread that sleeps may keep when all of its blocks are free: stashes of small classes, most often of one page
 *  each. */
#define KEPT_PAGES (wr_geometry.small_classes + 4)

static size_t kept(void) { return now().used + now().slack; }

Test(purger, a_trim_takes_what_sleepers_keep)
{
    pthread_t thread[SLEEPERS];
    need_purger();
    need_barrier();
    weir_free(weir_malloc(1));
    size_t before = kept();
    put_to_bed(thread);
    weir_trim(0);
    must(kept() <= before + SLEEPERS * KEPT_PAGES * WR_PAGE_SIZE, "%zu KiB kept by %d sleepers", kept() / 1024,
         SLEEPERS);
    wake_up(thread);
}

/** Waits until what Weir holds is no more than `most`, for a minute at most. */
static void wait_for(size_t most)
{
    for (unsigned i = 0; i < 6000 && kept() > most; i++)
        nap(10000);
    must(kept() <= most, "%zu KiB are held, which was to become %zu; slack %llu", kept() / 1024, most / 1024,
         (unsigned long long)now().slack);
}

Test(purger, the_purger_takes_what_sleepers_keep)
{
    pthread_t thread[SLEEPERS];
    need_purger();
    need_barrier();
    weir_free(weir_malloc(1));
    size_t before = kept();
    put_to_bed(thread);
    wait_for(before + SLEEPERS * KEPT_PAGES * WR_PAGE_SIZE);
    wake_up(thread);
}

static void *sleep_only(void *arg)
{
    while (sem_wait(&bedroom.go) != 0)
        continue;
    return arg;
}

static unsigned threads(void)
{
    DIR *task = opendir("/proc/self/task");
    unsigned count = 0;
    must(task != NULL, "no /proc");
    for (struct dirent *entry; (entry = readdir(task)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(task);
    return count;
}

static void wait_for_slack(size_t most)
{
    for (unsigned i = 0; i < 6000 && now().slack > most; i++)
        nap(10000);
    must(now().slack <= most, "%llu bytes of slack when all is quiet", (unsigned long long)now().slack);
}

/** Slack within the bound goes when nothing happens any more, of every kind of block; and then the purger goes too. */
Test(purger, slack_goes_when_all_is_quiet)
{
    static void *block[4000];
    pthread_t thread;
    need_purger();
    must(sem_init(&bedroom.go, 0, 0) == 0 && pthread_create(&thread, NULL, sleep_only, NULL) == 0, "no thread");
    unsigned others = threads();
    for (unsigned round = 0; round < 2; round++) {
        for (size_t i = 0; i < WR_COUNT(block); i++) {
            size_t size = i % 1000 == 0 ? 3 * WR_MIB : 600 + i % 600;
            must((block[i] = weir_malloc(size)) != NULL, "no memory");
            memset(unit_opaque(block[i]), 1, size);
        }
        for (size_t i = 0; i < WR_COUNT(block); i++)
            weir_free(block[i]);
        wait_for_slack(256 * WR_KIB);
        for (unsigned i = 0; i < 6000 && threads() > others; i++)
            nap(10000);
        must(threads() <= others, "%u threads when all is quiet, %u before", threads(), others);
    }
    sem_post(&bedroom.go);
    pthread_join(thread, NULL);
}

/** What is freed just when the purger has found nothing to do goes all the same, and is not taken for what the system
 *  refuses. Huge blocks: nothing in a heap tells of them. */
Test(purger, slack_that_comes_late_goes)
{
    enum { HUGE = 8 * WR_MIB, BLOCKS = 6, BUSY_MS = 400 };
    pthread_t thread;
    need_purger();
    must(sem_init(&bedroom.go, 0, 0) == 0 && pthread_create(&thread, NULL, sleep_only, NULL) == 0, "no thread");
    void *live = weir_malloc((size_t)1 << 30); /* so that the bound has room for the rest */
    for (unsigned round = 0; round < 4; round++) {
        void *block[BLOCKS] = {NULL};
        for (uint64_t end = wr_os_now_ms() + BUSY_MS; wr_os_now_ms() < end;)
            for (unsigned i = 0; i < BLOCKS; i++) {
                weir_free(block[i]);
                must((block[i] = weir_malloc(HUGE)) != NULL, "no memory");
                memset(unit_opaque(block[i]), 1, HUGE);
            }
        for (unsigned i = 0; i < BLOCKS; i++)
            weir_free(block[i]);
        wait_for_slack(256 * WR_KIB);
    }
    weir_free(live);
    sem_post(&bedroom.go);
    pthread_join(thread, NULL);
}

/* ---- mail to sleepers ------------------------------------------------------------------------------------------ */

enum { MAILED = 2, MAILED_SIZE = 28000 };

static void *take_and_sleep(void *arg)
{
    void **block = arg;
    for (unsigned i = 0; i < MAILED; i++) {
        must((block[i] = weir_malloc(MAILED_SIZE)) != NULL, "no memory");
        memset(unit_opaque(block[i]), 1, MAILED_SIZE);
    }
    sem_post(&bedroom.done);
    return sleep_only(NULL);
}

/** Medium blocks that one thread frees go back although the threads that took them sleep, and the purger had ended. */
Test(purger, what_is_mailed_to_sleepers_goes)
{
    static void *block[SLEEPERS][MAILED];
    pthread_t thread[SLEEPERS];
    need_purger();
    need_barrier();
    weir_free(weir_malloc(1));
    must(sem_init(&bedroom.done, 0, 0) == 0 && sem_init(&bedroom.go, 0, 0) == 0, "no semaphore");
    size_t before = kept();
    unsigned others = threads();
    for (size_t i = 0; i < SLEEPERS; i++)
        must(pthread_create(&thread[i], NULL, take_and_sleep, block[i]) == 0, "no thread");
    for (size_t i = 0; i < SLEEPERS; i++)
        while (sem_wait(&bedroom.done) != 0)
            continue;
    for (unsigned i = 0; i < 6000 && threads() > others + SLEEPERS; i++)
        nap(10000);
    for (size_t i = 0; i < MAILED; i++)
        for (size_t j = 0; j < SLEEPERS; j++)
            weir_free(block[j][i]);
    wait_for(before + SLEEPERS * MAILED * MAILED_SIZE / 4);
    wake_up(thread);
}

/* ---- the helper ------------------------------------------------------------------------------------------------ */

static struct {
    _Atomic unsigned runs;
    _Atomic(uint64_t *) errno_place;
    _Atomic bool hold;
} helped;

static void help(void)
{
    errno = 77; /* its own */
    atomic_store(&helped.errno_place, (uint64_t *)(void *)&errno);
    atomic_fetch_add(&helped.runs, 1);
    while (atomic_load(&helped.hold))
        wr_os_nap(5);
    wr_os_barrier();
    atomic_fetch_add(&helped.runs, 1);
}

static void wait_for_runs(unsigned runs)
{
    for (unsigned i = 0; i < 6000 && atomic_load(&helped.runs) < runs; i++)
        nap(10000);
    must(atomic_load(&helped.runs) >= runs, "%u of %u runs", atomic_load(&helped.runs), runs);
}

/** As some may be about to end, a start may have to be tried again. */
static void start_helper(void)
{
    for (unsigned i = 0; !wr_helper_start(help); i++) {
        must(i < 6000, "no helper");
        nap(10000);
    }
}

Test(purger, helpers_run_beside_the_program)
{
    weir_free(weir_malloc(1));
    wr_os_not_alone();
    errno = 5;
    for (unsigned i = 0; i < 50; i++) {
        atomic_store(&helped.hold, true);
        start_helper();
        wait_for_runs(2 * i + 1);
        must(errno == 5 && (void *)atomic_load(&helped.errno_place) != (void *)&errno, "errno is shared");
        atomic_store(&helped.hold, false);
        wait_for_runs(2 * i + 2);
    }
    atomic_store(&helped.hold, true);
    start_helper();
    start_helper();
    must(!wr_helper_start(help), "a third helper");
    wait_for_runs(102);
    must(wr_helper_others() == threads() - 2, "%zu threads beside helpers, and %u in all", wr_helper_others(),
         threads());
    atomic_store(&helped.hold, false);
    wait_for_runs(104);
}

/* ---- the figures by which it goes ------------------------------------------------------------------------------ */

Test(purger, only_slack_that_nobody_needed_goes)
{
    static void *block[3000];
    need_purger();
    unit_need_small_pages();
    unit_no_purger();
    for (size_t i = 0; i < WR_COUNT(block); i++) {
        must((block[i] = weir_malloc(1000)) != NULL, "no memory");
        memset(unit_opaque(block[i]), 1, 1000);
    }
    for (size_t i = 0; i < WR_COUNT(block); i++)
        weir_free(block[i]);
    wr_purge_unused(0); /* from here on it counts */
    while (wr_purge_waits())
        wr_purge_unused(0);
    for (size_t i = 0; i < WR_COUNT(block); i++)
        block[i] = weir_malloc(1000);
    for (size_t i = 0; i < WR_COUNT(block); i++)
        weir_free(block[i]);
    size_t slack = wr_account_slack();
    must(slack > 400, "%zu pages of slack", slack);
    wr_purge_unused(0);
    must(wr_account_slack() + 100 >= slack, "of %zu pages, used a moment ago, %zu are left", slack, wr_account_slack());
    for (unsigned i = 0; i < 4; i++)
        wr_purge_unused(0);
    must(wr_account_slack() <= 64, "%zu pages that nobody used are left", wr_account_slack());
}

/* ---- the bits of pages and the system -------------------------------------------------------------------------- */

static struct pages_seen {
    size_t hidden, missing; /* resident although the bits say they are not; slack by the bits, but not resident */
    size_t slack, used;     /* by the bits */
} seen;

static void compare_arena(struct wr_arena *arena, void *arg WR_UNUSED)
{
    static unsigned char page[WR_ARENA_PAGES * 16]; /* Weir's pages may be of several of the system's */
    size_t each = WR_PAGE_SIZE / unit_page_size();
    must(wr_os_look_resident(arena, WR_ARENA_SIZE, page), "no pagemap");
    for (unsigned i = WR_SPAN_PAGES; i < WR_ARENA_PAGES; i++) {
        struct wr_span *span = &arena->span[i / WR_SPAN_PAGES];
        uint16_t bit = (uint16_t)(1u << i % WR_SPAN_PAGES);
        bool resident = (span->resident & bit) != 0;
        bool slack = resident && (span->kind == WR_SPAN_FREE || (span->free & bit) != 0);
        size_t present = 0;
        for (size_t k = 0; k < each; k++)
            present += page[i * each + k] & 1u;
        seen.hidden += !resident && present > 0;
        seen.missing += slack && present == 0;
        seen.slack += slack;
        seen.used += resident && !slack;
    }
}

/** Compares; the figures and the count must say the same. pre: no other thread allocates. */
static void compare_pages(const char *state)
{
    seen = (struct pages_seen){0};
    weir_free(weir_malloc(1));
    wr_arena_each(compare_arena, NULL);
    must(seen.hidden == 0, "%s: %zu pages are resident that were thought to have gone", state, seen.hidden);
    must(seen.missing <= seen.slack / 50, "%s: of %zu pages of slack %zu are not resident", state, seen.slack,
         seen.missing);
    must(now().slack == (seen.slack << WR_PAGE_SHIFT) + now().cached, "%s: the figures say slack %llu, the bits %zu",
         state, (unsigned long long)now().slack, seen.slack << WR_PAGE_SHIFT);
    must(now().used == (seen.used << WR_PAGE_SHIFT) + now().huge, "%s: the figures say used %llu, the bits %zu", state,
         (unsigned long long)now().used, seen.used << WR_PAGE_SHIFT);
}

/** Builds `count` blocks of up to `most` bytes, touches all of them, compares, frees scattered ones, compares. */
static void build_and_compare(size_t count, size_t most, const char *state)
{
    struct unit_rng rng = {unit_seed() + most};
    void **block = malloc(count * sizeof *block);
    for (size_t i = 0; i < count; i++) {
        must((block[i] = weir_malloc(1 + unit_below(&rng, most))) != NULL, "no memory");
        memset(unit_opaque(block[i]), 1, weir_usable_size(block[i]));
    }
    compare_pages(state);
    for (size_t i = 0; i < count; i++)
        if (i % 10 != 0)
            weir_free(block[i]);
    compare_pages(state);
    wr_purge_to(10);
    compare_pages(state);
    for (size_t i = 0; i < count; i += 10)
        weir_free(block[i]);
    compare_pages(state);
    weir_trim(0);
    compare_pages(state);
    free(block);
}

/** In every mode of huge pages, which are set as the environment does. */
static void compare_with(int thp)
{
    if (wr_options.purge == WR_PURGE_FREE)
        cr_skip_test("pages stay until the system is short of memory");
    unit_no_purger();
    wr_options.thp = thp;
    build_and_compare(60000, 1000, "small blocks");
    build_and_compare(3000, 30000, "medium blocks");
    build_and_compare(100, 1500000, "large blocks");
    build_and_compare(100000, 1500, "small blocks again");
}

Test(purger, bits_of_pages_are_true) { compare_with(WR_THP_SYSTEM); }
Test(purger, bits_of_pages_are_true_without_huge_pages) { compare_with(WR_THP_NEVER); }
Test(purger, bits_of_pages_are_true_with_huge_pages) { compare_with(WR_THP_ALWAYS); }
