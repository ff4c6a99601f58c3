/* SPDX-License-Identifier: MIT
 * Memory goes back: what a program no longer uses is resident only up to the slack bound, whoever frees it and whether
 * or not its owner still runs; and after a trim hardly at all. Sizes are measured, not times: mincore says which of the
 * pages that blocks ever lay in are resident, and the pages with live bytes are the floor. */
#include "core/geometry.h"
#include "support.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <weir/alloc.h>

TestSuite(memory_return, .timeout = 120);

/* Each heap may hold back a batch of counted pages and a current pool for each class it used. */
#define TOLERANCE (WR_PAGE_SIZE == 4096 ? WR_MIB : wr_min(512 * WR_PAGE_SIZE, 16 * WR_MIB))
#define TRIMMED (64 * WR_PAGE_SIZE)

/* ---- what is built --------------------------------------------------------------------------------------------- */

/** `total` bytes of blocks of low..high bytes each, of which one in `keep_one_in` outlives the first round of frees.
 *  For pages of 4 KiB; with larger ones survivors are rarer in proportion. */
struct plan {
    size_t low, high;
    size_t total;
    unsigned keep_one_in; /* 0: none */
};

static const struct plan small = {16, 1024, 40 * 1024 * 1024, 200};
static const struct plan one_size = {64, 64, 40 * 1024 * 1024, 200};
static const struct plan medium = {1100, 30000, 64 * 1024 * 1024, 50};
static const struct plan large = {40000, 1500000, 128 * 1024 * 1024, 20};
static const struct plan huge = {3000000, 20000000, 192 * 1024 * 1024, 6};
static const struct plan none_kept = {16, 6000, 40 * 1024 * 1024, 0};

struct built {
    const struct plan *plan;
    void **block;
    size_t *size;
    size_t count;
    bool crowd;              /* several threads free at the same time: they may be ahead of the one that purges */
    struct unit_pages all;   /* pages that any of the blocks lay in */
    struct unit_pages floor; /* pages with a live byte, after the first round of frees */
};

static void *checked(void *memory)
{
    must(memory != NULL, "no memory");
    return memory;
}

/** Allocates and touches all of the plan's blocks. */
static void build(struct built *built, const struct plan *plan)
{
    struct unit_rng rng = {unit_seed() + plan->high};
    size_t most = plan->total / plan->low + 1;
    *built = (struct built){
        .plan = plan, .block = checked(malloc(most * sizeof(void *))), .size = checked(malloc(most * sizeof(size_t)))};
    for (size_t total = 0; total < plan->total; built->count++) {
        size_t size = plan->low + unit_below(&rng, plan->high - plan->low + 1);
        void *block = checked(weir_malloc(size));
        memset(unit_opaque(block), 0x5a, size);
        unit_pages_add(&built->all, block, size);
        built->block[built->count] = block;
        built->size[built->count] = size;
        total += size;
    }
    unit_pages_seal(&built->all);
}

/** Puts the blocks in random order. */
static void shuffle(struct built *built)
{
    struct unit_rng rng = {unit_seed() + 1};
    for (size_t i = built->count; i > 1; i--) {
        size_t k = unit_below(&rng, i);
        void *block = built->block[k];
        size_t size = built->size[k];
        built->block[k] = built->block[i - 1];
        built->size[k] = built->size[i - 1];
        built->block[i - 1] = block;
        built->size[i - 1] = size;
    }
}

static void free_from(struct built *built, size_t first)
{
    for (size_t i = first; i < built->count; i++) {
        weir_free(built->block[i]);
        if (i % 4096 == 0 && !built->crowd) {
            struct weir_stats stats;
            weir_stats_get(&stats);
            must(stats.slack <= stats.slack_bound + TOLERANCE, "slack %llu over its bound %llu while blocks are freed",
                 (unsigned long long)stats.slack, (unsigned long long)stats.slack_bound);
        }
    }
    built->count = first;
}

/** The first round: frees all but one block in keep_one_in, in random order. */
static void free_most(struct built *built)
{
    shuffle(built);
    unsigned keep = built->plan->keep_one_in;
    free_from(built, keep == 0 ? 0 : built->count / (keep * (WR_PAGE_SIZE / 4096)));
    for (size_t i = 0; i < built->count; i++) {
        uintptr_t start = wr_round_down((uintptr_t)built->block[i], WR_PAGE_SIZE);
        unit_pages_add(&built->floor, (void *)start,
                       wr_round_up((uintptr_t)built->block[i] + built->size[i], WR_PAGE_SIZE) - start);
    }
    unit_pages_seal(&built->floor);
}

/* ---- what must have gone back ---------------------------------------------------------------------------------- */

static void check_bound(const struct built *built)
{
    struct weir_stats stats;
    weir_stats_get(&stats);
    size_t resident = unit_pages_resident(&built->all), floor = unit_pages_bytes(&built->floor);
    must(unit_pages_bytes(&built->all) > floor + stats.slack_bound + TOLERANCE,
         "the plan is too small to show anything: %zu pages' bytes", unit_pages_bytes(&built->all));
    must(stats.slack <= stats.slack_bound + TOLERANCE, "slack %llu, bound %llu", (unsigned long long)stats.slack,
         (unsigned long long)stats.slack_bound);
    must(resident <= floor + stats.slack_bound + TOLERANCE,
         "%zu KiB resident of %zu; live blocks need %zu, slack may be %llu and is said to be %llu", resident / 1024,
         unit_pages_bytes(&built->all) / 1024, floor / 1024, (unsigned long long)stats.slack_bound / 1024,
         (unsigned long long)stats.slack / 1024);
}

static void check_trim(const struct built *built)
{
    struct weir_stats before, after;
    weir_stats_get(&before); /* from here on: the purger gives back too */
    size_t resident = unit_pages_resident(&built->all);
    size_t given = weir_trim(0);
    weir_stats_get(&after);
    size_t now = unit_pages_resident(&built->all), floor = unit_pages_bytes(&built->floor);
    must(now <= floor + TRIMMED, "after a trim %zu KiB are resident; live blocks need %zu", now / 1024, floor / 1024);
    must(after.returned - before.returned + TRIMMED >= resident - now, "%llu bytes are said to have gone, but %zu did",
         (unsigned long long)(after.returned - before.returned), resident - now);
    must(after.returned - before.returned + TRIMMED >= given, "trim gave %zu back, counted are %llu", given,
         (unsigned long long)(after.returned - before.returned));
    must(after.slack <= TRIMMED, "slack %llu after a trim", (unsigned long long)after.slack);
}

/** The second round: the survivors' content is what it was; they are freed, and nothing is left. */
static void check_end(struct built *built)
{
    for (size_t i = 0; i < built->count; i++)
        for (size_t k = 0; k < built->size[i]; k += 509)
            must(((unsigned char *)built->block[i])[k] == 0x5a, "a survivor of %zu bytes changed at %zu",
                 built->size[i], k);
    free_from(built, 0);
    unit_pages_clear(&built->floor);
    check_bound(built);
    check_trim(built);
    free(built->block);
    free(built->size);
    unit_pages_clear(&built->all);
}

/** The law of slack, kept by those who free. A purger that has the lock and does not get to run would let them go half
 * over the bound before they wait for it. */
static void need_defaults(void)
{
    if (getenv("WEIR_PURGE") != NULL || getenv("WEIR_SLACK") != NULL)
        cr_skip_test("WEIR_PURGE or WEIR_SLACK is set");
    unit_no_purger();
}

/* ---- freed by the thread that built it ------------------------------------------------------------------------- */

static void run_alone(const struct plan *plan)
{
    need_defaults();
    struct built built;
    build(&built, plan);
    free_most(&built);
    check_bound(&built);
    check_trim(&built);
    check_end(&built);
}

Test(memory_return, small_blocks) { run_alone(&small); }
Test(memory_return, blocks_of_one_size) { run_alone(&one_size); }
Test(memory_return, medium_blocks) { run_alone(&medium); }
Test(memory_return, large_blocks) { run_alone(&large); }
Test(memory_return, huge_blocks) { run_alone(&huge); }
Test(memory_return, everything) { run_alone(&none_kept); }

/* ---- freed by another thread ----------------------------------------------------------------------------------- */

static void *free_most_there(void *built)
{
    free_most(built);
    return NULL;
}

/** The builder waits while another thread frees, and that one is gone when the pages are counted. */
static void run_freed_elsewhere(const struct plan *plan)
{
    need_defaults();
    unit_seed();
    struct built built;
    build(&built, plan);
    unit_on_thread(free_most_there, &built);
    check_bound(&built);
    check_trim(&built);
    check_end(&built);
}

Test(memory_return, small_blocks_freed_by_another_thread) { run_freed_elsewhere(&small); }
Test(memory_return, medium_blocks_freed_by_another_thread) { run_freed_elsewhere(&medium); }
Test(memory_return, large_blocks_freed_by_another_thread) { run_freed_elsewhere(&large); }
Test(memory_return, huge_blocks_freed_by_another_thread) { run_freed_elsewhere(&huge); }

/** A builder that goes to sleep when it has built, until it is woken to end. */
struct sleeper {
    const struct plan *plan;
    struct built built;
    sem_t done, go;
    pthread_t thread;
};

static void *build_and_sleep(void *arg)
{
    struct sleeper *sleeper = arg;
    build(&sleeper->built, sleeper->plan);
    sem_post(&sleeper->done);
    while (sem_wait(&sleeper->go) != 0)
        continue;
    return NULL;
}

static void start_sleeper(struct sleeper *sleeper, const struct plan *plan)
{
    sleeper->plan = plan;
    must(sem_init(&sleeper->done, 0, 0) == 0 && sem_init(&sleeper->go, 0, 0) == 0, "no semaphore");
    must(pthread_create(&sleeper->thread, NULL, build_and_sleep, sleeper) == 0, "no thread");
    while (sem_wait(&sleeper->done) != 0)
        continue;
}

static void end_sleeper(struct sleeper *sleeper)
{
    sem_post(&sleeper->go);
    pthread_join(sleeper->thread, NULL);
}

/** @param exits whether the owner has gone before its blocks are freed; else it sleeps to the end. */
static void run_owner_elsewhere(const struct plan *plan, bool exits)
{
    need_defaults();
    unit_seed();
    struct sleeper sleeper;
    start_sleeper(&sleeper, plan);
    if (exits)
        end_sleeper(&sleeper);
    free_most(&sleeper.built);
    check_bound(&sleeper.built);
    check_trim(&sleeper.built);
    check_end(&sleeper.built);
    if (!exits)
        end_sleeper(&sleeper);
}

Test(memory_return, small_blocks_of_a_thread_that_exited) { run_owner_elsewhere(&small, true); }
Test(memory_return, medium_blocks_of_a_thread_that_exited) { run_owner_elsewhere(&medium, true); }
Test(memory_return, large_blocks_of_a_thread_that_exited) { run_owner_elsewhere(&large, true); }
Test(memory_return, everything_of_a_thread_that_exited) { run_owner_elsewhere(&none_kept, true); }
Test(memory_return, small_blocks_of_a_thread_that_sleeps) { run_owner_elsewhere(&small, false); }
Test(memory_return, one_size_of_a_thread_that_sleeps) { run_owner_elsewhere(&one_size, false); }
Test(memory_return, medium_blocks_of_a_thread_that_sleeps) { run_owner_elsewhere(&medium, false); }
Test(memory_return, everything_of_a_thread_that_sleeps) { run_owner_elsewhere(&none_kept, false); }

/** Several sleepers, and as many threads that free what the sleepers built. */
Test(memory_return, many_owners_and_many_freers)
{
    enum { THREADS = 4 };
    static const struct plan plan = {16, 3000, 12 * 1024 * 1024, 100};
    need_defaults();
    unit_need_small_pages();
    unit_seed();
    static struct sleeper sleeper[THREADS];
    pthread_t freer[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        start_sleeper(&sleeper[i], &plan);
    for (unsigned i = 0; i < THREADS; i++)
        sleeper[i].built.crowd = true;
    for (unsigned i = 0; i < THREADS; i++)
        must(pthread_create(&freer[i], NULL, free_most_there, &sleeper[i].built) == 0, "no thread");
    size_t resident = 0, floor = 0;
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(freer[i], NULL);
    struct weir_stats stats;
    weir_stats_get(&stats);
    for (unsigned i = 0; i < THREADS; i++) {
        resident += unit_pages_resident(&sleeper[i].built.all);
        floor += unit_pages_bytes(&sleeper[i].built.floor);
    }
    must(resident <= floor + stats.slack_bound + THREADS * TOLERANCE, "%zu KiB resident, floor %zu, bound %llu",
         resident / 1024, floor / 1024, (unsigned long long)stats.slack_bound / 1024);
    weir_trim(0);
    for (unsigned i = 0; i < THREADS; i++) {
        resident = unit_pages_resident(&sleeper[i].built.all);
        floor = unit_pages_bytes(&sleeper[i].built.floor);
        must(resident <= floor + 2 * TRIMMED, "after a trim %zu KiB resident, floor %zu", resident / 1024,
             floor / 1024);
        free_from(&sleeper[i].built, 0);
        end_sleeper(&sleeper[i]);
    }
}

/* ---- patterns over time ---------------------------------------------------------------------------------------- */

/** Phases of ever larger blocks, nearly all of each freed before the next: the pools of one phase do not fit the other,
 *  so all that stays is waste. */
Test(memory_return, phases_of_doubling_sizes)
{
    enum { PHASES = 8 };
    static struct built built[PHASES];
    static struct plan plan[PHASES];
    struct unit_pages all = {0}, floor = {0};
    need_defaults();
    for (unsigned i = 0; i < PHASES; i++) {
        plan[i] = (struct plan){(size_t)24 << i, (size_t)40 << i, 24 * 1024 * 1024, 300};
        build(&built[i], &plan[i]);
        free_most(&built[i]);
        for (size_t k = 0; k < built[i].all.count; k++)
            unit_pages_add(&all, (void *)(built[i].all.pages[k] * unit_page_size()), 1);
        for (size_t k = 0; k < built[i].floor.count; k++)
            unit_pages_add(&floor, (void *)(built[i].floor.pages[k] * unit_page_size()), 1);
    }
    unit_pages_seal(&all);
    unit_pages_seal(&floor);
    struct weir_stats stats;
    weir_stats_get(&stats);
    size_t resident = unit_pages_resident(&all);
    /* Each phase may leave the pools and stashes of its own classes. */
    must(resident <= unit_pages_bytes(&floor) + stats.slack_bound + 2 * TOLERANCE,
         "%zu KiB resident after %d phases; live blocks need %zu", resident / 1024, (int)PHASES,
         unit_pages_bytes(&floor) / 1024);
    for (unsigned i = 0; i < PHASES; i++)
        free_from(&built[i], 0);
    weir_trim(0);
    resident = unit_pages_resident(&all);
    must(resident <= TRIMMED, "%zu KiB resident when all is freed and trimmed", resident / 1024);
}

/** Blocks that one thread makes and another frees, a few at a time: neither may let memory pile up. */
struct pipe {
    void *block[512];
    sem_t filled, emptied;
    size_t rounds;
};

static void *free_from_pipe(void *arg)
{
    struct pipe *pipe = arg;
    for (size_t round = 0; round < pipe->rounds; round++) {
        while (sem_wait(&pipe->filled) != 0)
            continue;
        for (size_t i = 0; i < WR_COUNT(pipe->block); i++)
            weir_free(pipe->block[i]);
        sem_post(&pipe->emptied);
    }
    return NULL;
}

Test(memory_return, a_thread_that_only_frees)
{
    static struct pipe pipe;
    struct unit_rng rng = {unit_seed()};
    pthread_t thread;
    struct weir_stats stats;
    need_defaults();
    pipe.rounds = unit_scale(2000);
    must(sem_init(&pipe.filled, 0, 0) == 0 && sem_init(&pipe.emptied, 0, 0) == 0, "no semaphore");
    must(pthread_create(&thread, NULL, free_from_pipe, &pipe) == 0, "no thread");
    for (size_t round = 0; round < pipe.rounds; round++) {
        for (size_t i = 0; i < WR_COUNT(pipe.block); i++) {
            size_t size = unit_log_uniform(&rng, 1, 8000);
            pipe.block[i] = checked(weir_malloc(size));
            memset(unit_opaque(pipe.block[i]), 1, size);
        }
        sem_post(&pipe.filled);
        while (sem_wait(&pipe.emptied) != 0)
            continue;
        weir_stats_get(&stats);
        must(stats.used <= 8 * WR_MIB, "round %zu: %llu KiB used when all is freed", round,
             (unsigned long long)stats.used / 1024);
        must(stats.slack <= stats.slack_bound + TOLERANCE, "round %zu: slack %llu KiB", round,
             (unsigned long long)stats.slack / 1024);
    }
    pthread_join(thread, NULL);
}

/** The same blocks taken and freed again and again stay where they are: no growth from round to round. */
Test(memory_return, rounds_do_not_add_up)
{
    static const struct plan plan = {16, 20000, 16 * 1024 * 1024, 0};
    need_defaults();
    struct weir_stats first = {0}, stats;
    for (unsigned round = 0; round < 12; round++) {
        struct built built;
        build(&built, &plan);
        free_most(&built);
        weir_stats_get(&stats);
        if (round == 1)
            first = stats;
        must(round < 2 || stats.mapped <= first.mapped + 16 * WR_MIB, "round %u: mapped %llu MiB, was %llu", round,
             (unsigned long long)stats.mapped / WR_MIB, (unsigned long long)first.mapped / WR_MIB);
        must(round < 2 || stats.metadata <= first.metadata + WR_MIB, "round %u: metadata %llu KiB, was %llu", round,
             (unsigned long long)stats.metadata / 1024, (unsigned long long)first.metadata / 1024);
        free(built.block);
        free(built.size);
        unit_pages_clear(&built.all);
        unit_pages_clear(&built.floor);
    }
}

/* ---- the process as a whole ------------------------------------------------------------------------------------ */

/** Resident size as the system shows it, address space too: arenas that are empty are unmapped. */
Test(memory_return, resident_size_of_the_process)
{
    need_defaults();
    if (UNIT_SANITIZED)
        cr_skip_test("a sanitizer's own memory is part of the process");
    struct weir_stats before, after;
    weir_free(weir_malloc(1));
    weir_stats_get(&before);
    struct built built;
    build(&built, &none_kept);
    size_t full = unit_resident();
    free_most(&built);
    weir_trim(0);
    size_t empty = unit_resident();
    weir_stats_get(&after);
    must(full >= empty + none_kept.total - 2 * WR_MIB, "resident %zu KiB full, %zu empty", full / 1024, empty / 1024);
    must(after.mapped <= before.mapped + 2 * 4 * WR_MIB, "mapped %llu KiB, was %llu",
         (unsigned long long)after.mapped / 1024, (unsigned long long)before.mapped / 1024);
    must(after.arenas <= before.arenas + 1, "%llu arenas, there were %llu", (unsigned long long)after.arenas,
         (unsigned long long)before.arenas);
}

/** What is asked to stay may stay: trim(keep) leaves about `keep` bytes of slack, not less than it need. Survivors keep
 *  the arenas mapped: an empty arena may go as a whole. */
Test(memory_return, trim_keeps_what_it_is_told_to)
{
    need_defaults();
    struct weir_stats stats;
    struct built built;
    build(&built, &small);
    free_most(&built);
    weir_stats_get(&stats);
    uint64_t slack = stats.slack;
    must(slack > 2 * WR_MIB, "slack %llu KiB is too little to show anything", (unsigned long long)slack / 1024);
    weir_trim(slack / 2);
    weir_stats_get(&stats);
    must(stats.slack <= slack / 2 + TRIMMED, "slack %llu KiB after trim to %llu",
         (unsigned long long)stats.slack / 1024, (unsigned long long)slack / 2048);
    must(stats.slack >= slack / 4, "slack %llu KiB after trim to %llu: more went than was asked for",
         (unsigned long long)stats.slack / 1024, (unsigned long long)slack / 2048);
    uint64_t kept = stats.slack;
    weir_trim(SIZE_MAX);
    weir_stats_get(&stats);
    must(stats.slack + TRIMMED >= kept, "trim(SIZE_MAX) took slack from %llu to %llu", (unsigned long long)kept,
         (unsigned long long)stats.slack);
}
