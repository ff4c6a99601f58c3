/* SPDX-License-Identifier: MIT
 * Threads that come and go, blocks that outlive them, frees from anywhere, destructors, signals, and fork in the
 * middle. */
#include "front/fast.h"
#include "front/thread.h"
#include "support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weir/alloc.h>

TestSuite(thread, .timeout = 120);

enum { THREADS = 4 };

static struct weir_stats now(void)
{
    struct weir_stats stats;
    weir_stats_get(&stats);
    return stats;
}

/** A block of `size`, filled with the pattern of its size. */
static void *filled(size_t size)
{
    void *block = weir_malloc(size);
    must(block != NULL, "no memory for %zu bytes", size);
    unit_fill(block, 0, size, size);
    return block;
}

static void free_filled(void *block, size_t size)
{
    size_t at = unit_filled(block, 0, size, size);
    must(at == UNIT_INTACT, "block %p of %zu bytes has changed at byte %zu", block, size, at);
    weir_free(block);
}

static void run_threads(size_t count, void *(*fn)(void *), void *arg)
{
    pthread_t thread[16];
    must(count <= WR_COUNT(thread), "too many threads for this test");
    for (size_t i = 0; i < count; i++)
        must(pthread_create(&thread[i], NULL, fn, arg) == 0, "no thread");
    for (size_t i = 0; i < count; i++)
        pthread_join(thread[i], NULL);
}

/* ---- threads come and go --------------------------------------------------------------------------------------- */

/** Each thread leaves one block to its successor and frees what it finds. */
struct heirloom {
    void *block;
    size_t size;
};

static void *hand_on(void *arg)
{
    struct heirloom *heirloom = arg;
    if (heirloom->block != NULL)
        free_filled(heirloom->block, heirloom->size);
    heirloom->size = (heirloom->size * 7 + 13) % 70000;
    heirloom->block = filled(heirloom->size);
    for (size_t size = 1; size < 5000; size *= 3)
        free_filled(filled(size), size);
    return NULL;
}

Test(thread, churn_one_after_the_other)
{
    struct heirloom heirloom = {0};
    for (size_t i = 0; i < unit_scale(5000); i++)
        unit_on_thread(hand_on, &heirloom);
    free_filled(heirloom.block, heirloom.size);
    struct weir_stats stats = now();
    must(stats.heaps <= 4, "%llu heaps for threads that ran one after the other", (unsigned long long)stats.heaps);
    must(stats.used < 2 * WR_MIB, "%llu bytes used when all is freed", (unsigned long long)stats.used);
}

static void *live_briefly(void *arg)
{
    (void)arg;
    free_filled(filled(100), 100);
    return NULL;
}

Test(thread, churn_of_crowds)
{
    for (size_t i = 0; i < unit_scale(200); i++)
        run_threads(16, live_briefly, NULL);
    must(now().heaps <= 20, "%llu heaps for 16 threads at a time", (unsigned long long)now().heaps);
}

static void *live_detached(void *arg)
{
    free_filled(filled(3000), 3000);
    atomic_fetch_add((atomic_size_t *)arg, 1);
    return NULL;
}

/** Detached threads end while others start: heaps are adopted as they are abandoned. */
Test(thread, churn_of_detached_threads)
{
    static atomic_size_t ended;
    size_t count = unit_scale(3000);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    for (size_t i = 0; i < count; i++) {
        pthread_t thread;
        while (i > atomic_load(&ended) + 32)
            sched_yield();
        must(pthread_create(&thread, &attr, live_detached, &ended) == 0, "no thread");
    }
    while (atomic_load(&ended) < count)
        sched_yield();
    must(now().heaps <= 64, "%llu heaps", (unsigned long long)now().heaps);
}

/* ---- blocks that outlive their thread -------------------------------------------------------------------------- */

enum { LEFT = 20000 };

struct left {
    void *block[LEFT];
    size_t size[LEFT];
};

static void *leave_blocks(void *arg)
{
    struct left *left = arg;
    struct unit_rng rng = {(uintptr_t)arg};
    for (size_t i = 0; i < LEFT; i++) {
        left->size[i] = unit_log_uniform(&rng, 0, i % 1000 == 0 ? WR_MIB : 4000);
        left->block[i] = filled(left->size[i]);
    }
    return NULL;
}

static void *free_left(void *arg)
{
    struct left *left = arg;
    for (size_t i = 0; i < LEFT; i++)
        free_filled(left->block[i], left->size[i]);
    return NULL;
}

Test(thread, blocks_outlive_their_thread)
{
    static struct left left;
    struct weir_stats before = now();
    for (unsigned round = 0; round < 3; round++) {
        unit_on_thread(leave_blocks, &left);
        free_left(&left);
        must(now().live_blocks == before.live_blocks, "round %u: %llu blocks live", round,
             (unsigned long long)now().live_blocks);
    }
    weir_trim(0);
    must(now().used <= before.used + WR_MIB / 4, "%llu bytes used when all is freed", (unsigned long long)now().used);
}

Test(thread, blocks_are_freed_by_a_third_thread)
{
    static struct left left;
    struct weir_stats before = now();
    unit_on_thread(leave_blocks, &left);
    unit_on_thread(free_left, &left);
    weir_trim(0);
    must(now().live_blocks == before.live_blocks, "%llu blocks live", (unsigned long long)now().live_blocks);
    must(now().used <= before.used + WR_MIB / 4, "%llu bytes used when all is freed", (unsigned long long)now().used);
}

/** Half of an exited thread's blocks are freed, then new threads fill the holes: they adopt what was abandoned. */
Test(thread, new_threads_use_what_was_left)
{
    static struct left left, more;
    unit_on_thread(leave_blocks, &left);
    struct weir_stats full = now();
    for (size_t i = 0; i < LEFT; i += 2)
        free_filled(left.block[i], left.size[i]);
    unit_on_thread(leave_blocks, &more);
    for (size_t i = 1; i < LEFT; i += 2)
        free_filled(left.block[i], left.size[i]);
    free_left(&more);
    must(now().heaps <= full.heaps + 1, "%llu heaps, there were %llu", (unsigned long long)now().heaps,
         (unsigned long long)full.heaps);
}

/* ---- frees from many threads ----------------------------------------------------------------------------------- */

/** The owner allocates for all; each block's word says whose turn it is to free it. */
struct market {
    _Atomic(void *) stall[256];
    atomic_bool closed;
    size_t size;
};

static void *buy(void *arg)
{
    struct market *market = arg;
    struct unit_rng rng = {(uintptr_t)&rng};
    while (!atomic_load(&market->closed)) {
        void *block = atomic_exchange(&market->stall[unit_below(&rng, WR_COUNT(market->stall))], NULL);
        if (block != NULL)
            free_filled(block, market->size);
    }
    return NULL;
}

/** One thread allocates, others free, all the time: the block comes back while its pool is in use. */
static void run_market(size_t size, size_t blocks)
{
    static struct market market;
    pthread_t thread[3];
    struct weir_stats before = now();
    market.size = size;
    atomic_store(&market.closed, false);
    for (size_t i = 0; i < WR_COUNT(thread); i++)
        must(pthread_create(&thread[i], NULL, buy, &market) == 0, "no thread");
    for (size_t i = 0; i < blocks; i++) {
        void *unsold = atomic_exchange(&market.stall[i % WR_COUNT(market.stall)], filled(size));
        if (unsold != NULL)
            free_filled(unsold, size);
    }
    atomic_store(&market.closed, true);
    for (size_t i = 0; i < WR_COUNT(thread); i++)
        pthread_join(thread[i], NULL);
    for (size_t i = 0; i < WR_COUNT(market.stall); i++) {
        void *unsold = atomic_exchange(&market.stall[i], NULL);
        if (unsold != NULL)
            free_filled(unsold, size);
    }
    must(now().live_blocks == before.live_blocks, "%llu blocks live, %llu before",
         (unsigned long long)now().live_blocks, (unsigned long long)before.live_blocks);
}

Test(thread, remote_frees_of_small_blocks) { run_market(48, unit_scale(600000)); }
Test(thread, remote_frees_of_pools_of_few_blocks) { run_market(1024, unit_scale(400000)); }
Test(thread, remote_frees_of_medium_blocks) { run_market(9000, unit_scale(100000)); }
Test(thread, remote_frees_of_large_blocks) { run_market(100000, unit_scale(8000)); }
Test(thread, remote_frees_of_huge_blocks) { run_market(2500000, unit_scale(500)); }

static void *free_share(void *arg)
{
    static atomic_size_t next;
    struct left *left = arg;
    for (size_t i; (i = atomic_fetch_add(&next, 1) % (LEFT + THREADS)) < LEFT;)
        free_filled(left->block[i], left->size[i]);
    return NULL;
}

/** Threads free the neighbours of each other's blocks at the same time: they race to empty the same pools. */
Test(thread, pools_emptied_by_many)
{
    static struct left left;
    struct weir_stats before = now();
    for (unsigned round = 0; round < 5; round++) {
        leave_blocks(&left);
        run_threads(THREADS, free_share, &left); /* each takes one number past the end, so the count starts anew */
        must(now().live_blocks == before.live_blocks, "round %u: %llu blocks live", round,
             (unsigned long long)now().live_blocks);
    }
}

/* ---- medium blocks go home --------------------------------------------------------------------------------------- */

enum { HOMEWARD = 64, TAKEN = 4 * HOMEWARD };
#define HOMEWARD_SIZE (2 * WR_SMALL_MAX)

struct journey {
    void *block[HOMEWARD];
    pthread_barrier_t freed, seen;
};

static size_t among(void *const *blocks, const void *block)
{
    size_t found = 0;
    for (size_t i = 0; i < HOMEWARD; i++)
        found += blocks[i] == block;
    return found;
}

/** Frees another thread's blocks and takes as many: none of them. Stays until that has seen what came back. */
static void *send_home(void *arg)
{
    struct journey *journey = arg;
    void *own[HOMEWARD];
    for (size_t i = 0; i < HOMEWARD; i++)
        weir_free(journey->block[i]);
    for (size_t i = 0; i < HOMEWARD; i++) {
        own[i] = filled(HOMEWARD_SIZE);
        must(among(journey->block, own[i]) == 0, "block %zu is one of the other thread's", i);
    }
    for (size_t i = 0; i < HOMEWARD; i++)
        free_filled(own[i], HOMEWARD_SIZE);
    pthread_barrier_wait(&journey->freed);
    pthread_barrier_wait(&journey->seen);
    return NULL;
}

Test(thread, medium_blocks_go_back_to_the_thread_that_took_them)
{
    static struct journey journey;
    void *kept[HOMEWARD], *taken[TAKEN];
    pthread_t thread;
    size_t back = 0;
    pthread_barrier_init(&journey.freed, NULL, 2);
    pthread_barrier_init(&journey.seen, NULL, 2);
    struct weir_stats before = now();
    for (size_t i = 0; i < HOMEWARD; i++) {
        journey.block[i] = weir_malloc(HOMEWARD_SIZE);
        kept[i] = filled(HOMEWARD_SIZE); /* so that their spans stay this thread's */
    }
    must(pthread_create(&thread, NULL, send_home, &journey) == 0, "no thread");
    pthread_barrier_wait(&journey.freed);
    must(now().live_blocks <= before.live_blocks + HOMEWARD + WR_STACK_BLOCKS, "%llu blocks live, %llu before",
         (unsigned long long)now().live_blocks, (unsigned long long)before.live_blocks);
    for (size_t i = 0; i < TAKEN; i++)
        back += among(journey.block, taken[i] = filled(HOMEWARD_SIZE));
    must(back >= HOMEWARD - WR_STACK_BLOCKS && back <= HOMEWARD, "%zu of %d came back", back, (int)HOMEWARD);
    pthread_barrier_wait(&journey.seen);
    pthread_join(thread, NULL);
    for (size_t i = 0; i < HOMEWARD; i++)
        free_filled(kept[i], HOMEWARD_SIZE);
    for (size_t i = 0; i < TAKEN; i++)
        free_filled(taken[i], HOMEWARD_SIZE);
}

/* ---- the first call of a thread -------------------------------------------------------------------------------- */

static void *first_free(void *block) { return weir_free(block), NULL; }
static void *first_usable(void *block) { return (void *)weir_usable_size(block); }
static void *first_realloc(void *block) { return weir_realloc(block, 5000); }
static void *first_calloc(void *unused) { return (void)unused, weir_calloc(10, 10); }
static void *first_aligned(void *unused) { return (void)unused, weir_aligned_alloc(4096, 100); }
static void *first_trim(void *unused) { return (void)unused, (void)weir_trim(0), NULL; }
static void *first_version(void *unused) { return (void)unused, (void *)weir_version(); }

static void *first_stats(void *unused)
{
    (void)unused;
    must(now().live > 0, "no block is live");
    return NULL;
}

static void *first_call(void *(*fn)(void *), void *arg)
{
    pthread_t thread;
    void *result;
    must(pthread_create(&thread, NULL, fn, arg) == 0, "no thread");
    pthread_join(thread, &result);
    return result;
}

Test(thread, any_function_may_come_first)
{
    static char not_ours[64];
    size_t size[] = {40, 4000, 300000, 6 * WR_MIB};
    for (size_t i = 0; i < WR_COUNT(size); i++) {
        void *block = filled(size[i]);
        must((size_t)first_call(first_usable, block) == weir_usable_size(block), "usable size differs by thread");
        first_call(first_stats, NULL);
        first_call(first_trim, NULL);
        void *moved = first_call(first_realloc, block);
        must(moved != NULL && unit_filled(moved, 0, wr_min(size[i], 5000), size[i]) == UNIT_INTACT,
             "realloc lost bytes");
        first_call(first_free, moved);
    }
    first_call(first_free, NULL);
    first_call(first_free, unit_opaque(not_ours));
    must(first_call(first_usable, not_ours) == NULL, "a foreign pointer has a usable size");
    must(first_call(first_realloc, unit_opaque(not_ours)) == NULL, "a foreign pointer was reallocated");
    weir_free(first_call(first_calloc, NULL));
    weir_free(first_call(first_aligned, NULL));
    must(strlen(first_call(first_version, NULL)) >= 5, "no version");
}

/* ---- destructors of thread-local values ------------------------------------------------------------------------ */

static pthread_key_t key;
static atomic_size_t destructor_runs;

/** Frees the value, allocates, and sets another value, so that it is called again: as often as POSIX promises. */
static void destroy(void *value)
{
    free_filled(value, 200);
    atomic_fetch_add(&destructor_runs, 1);
    for (size_t size = 1; size < 100000; size *= 9)
        free_filled(filled(size), size);
    must(pthread_setspecific(key, filled(200)) == 0, "setspecific");
}

static void destroy_last(void *value) { free_filled(value, 200); }

static void *use_key(void *arg)
{
    (void)arg;
    must(pthread_setspecific(key, filled(200)) == 0, "setspecific");
    return NULL;
}

/** The destructor is the first to allocate on its thread. */
static void *use_key_only(void *block)
{
    must(pthread_setspecific(key, block) == 0, "setspecific");
    return NULL;
}

Test(thread, destructors_allocate_again_and_again)
{
    size_t rounds = unit_scale(300), threads = 4 * rounds;
    if (WR_TSAN)
        cr_skip_test("ThreadSanitizer takes its leave of a thread before the last destructors");
    must(pthread_key_create(&key, destroy) == 0, "no key");
    for (size_t i = 0; i < rounds; i++)
        run_threads(4, use_key, NULL);
    must(atomic_load(&destructor_runs) >= threads, "%zu destructors ran for %zu threads", atomic_load(&destructor_runs),
         threads);
    must(now().heaps <= 12, "%llu heaps: those that destructors used after their thread's end are not reused",
         (unsigned long long)now().heaps);
    must(now().live_blocks <= 2 * threads, "%llu blocks live", (unsigned long long)now().live_blocks);
}

Test(thread, destructor_is_the_first_to_call)
{
    struct weir_stats before = now();
    must(pthread_key_create(&key, destroy_last) == 0, "no key");
    for (size_t i = 0; i < unit_scale(500); i++)
        unit_on_thread(use_key_only, filled(200));
    must(now().live_blocks == before.live_blocks, "%llu blocks live", (unsigned long long)now().live_blocks);
    must(now().heaps <= before.heaps + 4, "%llu heaps", (unsigned long long)now().heaps);
}

/* ---- signals --------------------------------------------------------------------------------------------------- */

static void allocate_in_handler(int signal)
{
    (void)signal;
    int saved = errno;
    for (size_t size = 8; size < 40000; size *= 5)
        weir_free(weir_malloc(size));
    errno = saved;
}

static WR_NORETURN void be_interrupted(void)
{
    struct sigaction action = {.sa_handler = allocate_in_handler, .sa_flags = SA_RESTART};
    struct itimerval often = {{0, 300}, {0, 300}};
    struct unit_rng rng = {unit_seed()};
    void *block[200] = {0};
    alarm(60);
    close(STDERR_FILENO);
    sigaction(SIGVTALRM, &action, NULL);
    setitimer(ITIMER_VIRTUAL, &often, NULL);
    for (size_t i = 0; i < unit_scale(3000000); i++) {
        size_t at = unit_below(&rng, WR_COUNT(block));
        weir_free(block[at]);
        block[at] = weir_malloc(unit_log_uniform(&rng, 1, i % 64 == 0 ? 100000 : 3000));
        if (i % 10000 == 0)
            weir_trim(0);
    }
    _exit(0);
}

/** POSIX promises nothing here, and a handler may well break what it interrupts; but a process that would hang in its
 *  crash handler could not even end. */
Test(thread, handlers_that_allocate_never_hang)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0)
        be_interrupted();
    must(waitpid(child, &status, 0) == child, "waitpid: %s", strerror(errno));
    must(!WIFSIGNALED(status) || WTERMSIG(status) != SIGALRM, "the process hung");
}

/** What a handler frees while its thread is in a slow path is freed by the next slow path, of malloc too. */
Test(thread, what_handlers_have_freed_is_freed_soon)
{
    enum { SIZE = 300 * 1024, COUNT = 4, SMALL = 2000 };
    static void *small[SMALL];
    void *large[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        must((large[i] = weir_malloc(SIZE)) != NULL, "no memory");
    uint64_t live = now().live;
    wr_heap_set_inside(wr_self, true); /* as if a handler had interrupted it there */
    for (size_t i = 0; i < COUNT; i++)
        weir_free(large[i]);
    wr_heap_set_inside(wr_self, false);
    must(now().live >= live, "freed, though another call was under way");
    for (size_t i = 0; i < SMALL; i++)
        must((small[i] = weir_malloc(48)) != NULL, "no memory");
    must(now().live < live, "%llu bytes live, as many as before", (unsigned long long)now().live);
    for (size_t i = 0; i < SMALL; i++)
        weir_free(small[i]);
}

/* ---- fork ------------------------------------------------------------------------------------------------------ */

static atomic_bool stop_churn;

static void *churn(void *arg)
{
    struct unit_rng rng = {(uintptr_t)&rng};
    void *block[64] = {0};
    size_t size[64];
    (void)arg;
    while (!atomic_load(&stop_churn)) {
        size_t at = unit_below(&rng, WR_COUNT(block));
        if (block[at] != NULL)
            free_filled(block[at], size[at]);
        size[at] = unit_log_uniform(&rng, 0, unit_below(&rng, 200) == 0 ? 3 * WR_MIB : 20000);
        block[at] = filled(size[at]);
        if (unit_below(&rng, 2000) == 0)
            weir_trim(0);
    }
    for (size_t i = 0; i < WR_COUNT(block); i++)
        if (block[i] != NULL)
            free_filled(block[i], size[i]);
    return NULL;
}

static void *work_in_child(void *arg)
{
    struct left *left = arg;
    for (size_t size = 1; size < 8 * WR_MIB; size *= 3)
        free_filled(filled(size), size);
    for (size_t i = 0; i < LEFT; i += 97) {
        free_filled(left->block[i], left->size[i]);
        left->block[i] = filled(left->size[i]);
    }
    return NULL;
}

/** In the child: its parent's blocks are its own, every function works, threads can be made, and it may fork again. */
static WR_NORETURN void be_child(struct left *left, unsigned depth)
{
    alarm(60); /* a lock that was left locked shows as this */
    work_in_child(left);
    weir_trim(0);
    must(now().live_blocks >= LEFT, "%llu blocks live in the child", (unsigned long long)now().live_blocks);
    if (!WR_TSAN) /* it does not follow threads of a child of many threads */
        unit_on_thread(work_in_child, left);
    if (depth > 0) {
        pid_t child = fork();
        int status;
        if (child == 0)
            be_child(left, depth - 1);
        must(waitpid(child, &status, 0) == child && status == 0, "grandchild ended with status %d", status);
    }
    free_left(left);
    weir_trim(0);
    _exit(0);
}

static void fork_once(struct left *left, unsigned depth)
{
    pid_t child = fork();
    int status = 0;
    must(child >= 0, "no fork: %s", strerror(errno));
    if (child == 0)
        be_child(left, depth);
    must(waitpid(child, &status, 0) == child, "waitpid: %s", strerror(errno));
    must(status == 0, "the child ended with status %d, signal %d", WEXITSTATUS(status), WTERMSIG(status));
}

Test(thread, fork_of_one_thread)
{
    static struct left left;
    leave_blocks(&left);
    for (unsigned i = 0; i < 10; i++)
        fork_once(&left, 2);
    free_left(&left);
}

Test(thread, fork_while_threads_allocate)
{
    static struct left left;
    pthread_t thread[THREADS];
    if (!UNIT_FORKS_WITH_THREADS)
        cr_skip_test("a sanitizer's own locks do not survive a fork");
    unit_on_thread(leave_blocks, &left); /* blocks of a heap without a thread */
    for (size_t i = 0; i < THREADS; i++)
        must(pthread_create(&thread[i], NULL, churn, NULL) == 0, "no thread");
    for (size_t i = 0; i < unit_scale(25); i++)
        fork_once(&left, 0);
    atomic_store(&stop_churn, true);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    free_left(&left);
}

/* A fork between any two instructions of a free into a pool, by another thread. */

static struct {
    unsigned at; /* the instruction that the freeing thread stops before */
    atomic_uint step;
    atomic_bool stopped, go_on, done;
} freer;

static void stop_there(int signal WR_UNUSED)
{
    if (atomic_fetch_add(&freer.step, 1) != freer.at)
        return;
    atomic_store(&freer.stopped, true);
    for (unsigned i = 0; i < 2000 && !atomic_load(&freer.go_on); i++)
        usleep(100); /* not for ever: who forks may need a lock that this thread holds */
}

enum {
    FREED = 600,
    FREED_SIZE = 64,
    STEPS = 120 /* instructions: more than a fast path has; slow ones hold a lock, for which a fork waits */
};

/** Frees a block when the stash of its class is full. */
static void *free_in_steps(void *arg)
{
    void *block[FREED];
    for (size_t i = 0; i < FREED; i++)
        block[i] = weir_malloc(FREED_SIZE);
    for (size_t i = 0; i < FREED; i++) {
        if (i == FREED - 100) {
            atomic_store(&freer.step, 0);
#if defined(__x86_64__)
            __asm__ volatile("pushfq\n\torq $0x100, (%%rsp)\n\tpopfq" ::: "memory", "cc");
            weir_free(block[i]);
            __asm__ volatile("pushfq\n\tandq $~0x100, (%%rsp)\n\tpopfq" ::: "memory", "cc");
#else
            cr_skip_test("steps by a flag of x86");
#endif
            atomic_store(&freer.done, atomic_load(&freer.step) <= freer.at);
            atomic_store(&freer.stopped, true);
            while (!atomic_load(&freer.go_on))
                usleep(100);
        } else {
            weir_free(block[i]);
        }
    }
    return arg;
}

/** What the child has of that thread: a heap that a new one takes. */
static void *use_all(void *arg)
{
    static void *block[3 * FREED];
    for (size_t i = 0; i < WR_COUNT(block); i++)
        block[i] = filled(FREED_SIZE);
    must(wr_check_all(), "no heap");
    for (size_t i = 0; i < WR_COUNT(block); i++)
        free_filled(block[i], FREED_SIZE);
    must(wr_check_all(), "no heap");
    return arg;
}

static void fork_beside_step(unsigned at)
{
    pthread_t thread;
    int status = 0;
    freer.at = at;
    atomic_store(&freer.stopped, false);
    atomic_store(&freer.go_on, false);
    must(pthread_create(&thread, NULL, free_in_steps, NULL) == 0, "no thread");
    while (!atomic_load(&freer.stopped))
        usleep(10);
    pid_t child = fork();
    if (child == 0) {
        alarm(60);
        unit_on_thread(use_all, NULL);
        _exit(0);
    }
    must(waitpid(child, &status, 0) == child && status == 0, "before instruction %u: status %#x", at, (unsigned)status);
    atomic_store(&freer.go_on, true);
    pthread_join(thread, NULL);
}

Test(thread, fork_between_any_two_instructions_of_a_free)
{
    struct sigaction action = {.sa_handler = stop_there};
    if (UNIT_SANITIZED)
        cr_skip_test("the sanitizer's own code would be stepped through");
    sigaction(SIGTRAP, &action, NULL);
    for (unsigned at = 0; at < STEPS && !atomic_load(&freer.done); at++)
        fork_beside_step(at);
}

static void *fork_there(void *left)
{
    for (size_t i = 0; i < unit_scale(20); i++)
        fork_once(left, 0);
    return NULL;
}

/** Several threads fork at once, and none of them is the first thread. */
Test(thread, fork_from_threads)
{
    static struct left left;
    if (!UNIT_FORKS_WITH_THREADS)
        cr_skip_test("a sanitizer's own locks do not survive a fork");
    leave_blocks(&left);
    run_threads(3, fork_there, &left);
    free_left(&left);
}

/* Blocks that threads took in their very last destructors, when they had given up their heaps. */
enum { LATE = 40000 };

static void *late[LATE];
static pthread_key_t late_key;

static void take_late(void *round)
{
    weir_free(weir_malloc(1)); /* each time, so that the thread comes back to Weir as often as it can */
    if ((uintptr_t)round < PTHREAD_DESTRUCTOR_ITERATIONS) {
        must(pthread_setspecific(late_key, (char *)round + 1) == 0, "setspecific");
        return;
    }
    for (size_t i = 0; i < LATE; i++)
        must((late[i] = weir_malloc(2000)) != NULL, "no memory");
}

static void *end_late(void *arg)
{
    weir_free(weir_malloc(1)); /* a heap, to be given up */
    must(pthread_setspecific(late_key, (void *)1) == 0, "setspecific");
    return arg;
}

static void *free_late(void *arg)
{
    for (size_t i = 1; i < LATE; i++)
        weir_free(late[i]);
    return arg;
}

static void *free_first_late(void *arg)
{
    weir_free(late[0]);
    return arg;
}

/** On a thread, so that locks are looked at; with a stack of its own size, so that its identity is not by chance that
 *  of a thread that the fork left behind. */
static WR_NORETURN void free_in_child(void)
{
    alarm(20);
    unit_on_stack(300 * WR_KIB, free_first_late, NULL);
    weir_trim(0);
    _exit(0);
}

/** A thread frees into the heap of those who have none, under its lock, while another forks. */
Test(thread, fork_while_late_blocks_are_freed)
{
    pthread_t thread;
    if (!UNIT_FORKS_WITH_THREADS)
        cr_skip_test("a sanitizer's own locks do not survive a fork");
    if (WR_TSAN)
        cr_skip_test("ThreadSanitizer takes its leave of a thread before the last destructors");
    must(pthread_key_create(&late_key, take_late) == 0, "no key");
    for (size_t round = 0; round < unit_scale(20); round++) {
        unit_on_thread(end_late, NULL);
        must(pthread_create(&thread, NULL, free_late, NULL) == 0, "no thread");
        for (unsigned i = 0; i < 8; i++) {
            int status = 0;
            pid_t child = fork();
            if (child == 0)
                free_in_child();
            must(waitpid(child, &status, 0) == child && status == 0, "the child ended with signal %d",
                 WTERMSIG(status));
        }
        pthread_join(thread, NULL);
        weir_free(late[0]);
    }
}
