/* SPDX-License-Identifier: MIT
 * Random sequences of operations beside a model of what the heap must hold. Every live block is filled with a pattern
 * of its own over its whole usable size, and its addresses are in a set that knows no overlap; both are checked when
 * the block is freed or resized. One thread, then several that hand blocks to each other and die.
 *
 * A failure prints WEIR_TEST_SEED=…; with that in the environment the same sequence runs again (with threads: the same
 * choices in another interleaving). */
#include "intervals.h"
#include "support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <weir/alloc.h>

#include "front/thread.h"

TestSuite(model, .timeout = 300);

/* ---- what is asked for ----------------------------------------------------------------------------------------- */

/** A distribution of sizes: `most` live bytes at a time, sizes log-uniform in low..high, one in `rare` up to
 *  `high_rare`. */
struct mix {
    const char *name;
    size_t most_live;
    size_t operations;
    size_t low, high;
    size_t high_rare;
    unsigned rare;
};

static const struct mix small = {"small", 4 * 1024 * 1024, 600000, 0, 1024, 4096, 1000};
static const struct mix mixed = {"mixed", 24 * 1024 * 1024, 300000, 0, 16 * 1024, 1024 * 1024, 400};
static const struct mix medium = {"medium", 32 * 1024 * 1024, 200000, 1025, 32 * 1024, 64 * 1024, 100};
static const struct mix large = {"large", 96 * 1024 * 1024, 8000, 24 * 1024, 2 * 1024 * 1024, 5 * 1024 * 1024, 50};
static const struct mix huge = {"huge", 256 * 1024 * 1024, 500, 1024 * 1024, 24 * 1024 * 1024, 64 * 1024 * 1024, 50};

static size_t random_size(const struct mix *mix, struct unit_rng *rng)
{
    size_t high = unit_below(rng, mix->rare) == 0 ? mix->high_rare : mix->high;
    return unit_log_uniform(rng, mix->low, high);
}

/* ---- the model ------------------------------------------------------------------------------------------------- */

/** A live block as the model knows it. */
struct block {
    void *start;
    size_t size; /* as asked for */
    size_t usable;
    uint64_t id; /* of its pattern */
};

/** All live blocks of the process, when the test keeps account of them; locked by the adding and removing. */
struct account {
    pthread_mutex_t lock;
    struct unit_intervals live;
};

/** What one thread holds and does. */
struct actor {
    const struct mix *mix;
    struct account *account; /* NULL: patterns alone tell of overlap */
    struct unit_rng rng;
    struct block *block;
    size_t count, capacity;
    size_t live_bytes;
    uint64_t next_id;
    bool shrinking; /* the phase: frees outnumber allocations until little is left */
};

static void account_add(struct account *account, const struct block *block)
{
    if (account == NULL)
        return;
    const void *clash = NULL;
    pthread_mutex_lock(&account->lock);
    bool added = unit_intervals_add(&account->live, block->start, wr_max(block->usable, 1), &clash);
    pthread_mutex_unlock(&account->lock);
    must(added, "%p of %zu bytes overlaps the live block %p", block->start, block->usable, clash);
}

/** Before the block is passed to free or realloc: afterwards another thread may have its address. */
static void account_remove(struct account *account, const struct block *block)
{
    if (account == NULL)
        return;
    pthread_mutex_lock(&account->lock);
    size_t size = unit_intervals_remove(&account->live, block->start);
    pthread_mutex_unlock(&account->lock);
    must(size == wr_max(block->usable, 1), "%p is not among the live blocks", block->start);
}

static void check_content(const struct block *block, size_t size)
{
    size_t at = unit_filled(block->start, 0, size, block->id);
    must(at == UNIT_INTACT, "block %p of %zu bytes (usable %zu) has changed at byte %zu", block->start, block->size,
         block->usable, at);
}

/** Enters a new block into the model: alignment, usable size, no overlap; fills it. */
static void keep(struct actor *actor, void *start, size_t size, size_t alignment)
{
    must(start != NULL, "no memory for %zu bytes, alignment %zu: errno %d", size, alignment, errno);
    must(unit_is_aligned(start, alignment), "%p for %zu bytes, alignment %zu", start, size, alignment);
    struct block block = {.start = start, .size = size, .usable = weir_usable_size(start), .id = actor->next_id++};
    must(block.usable >= size, "%p: usable %zu of %zu", start, block.usable, size);
    account_add(actor->account, &block);
    unit_fill(start, 0, block.usable, block.id);
    if (actor->count == actor->capacity) {
        actor->capacity = wr_max(2 * actor->capacity, 256);
        actor->block = realloc(actor->block, actor->capacity * sizeof *actor->block);
        must(actor->block != NULL, "no memory for the test's own list");
    }
    actor->block[actor->count++] = block;
    actor->live_bytes += block.usable;
}

/** Takes the `i`th block out of the model, its content checked. */
static struct block drop(struct actor *actor, size_t i)
{
    struct block block = actor->block[i];
    must(weir_usable_size(block.start) == block.usable, "%p: usable was %zu, is %zu", block.start, block.usable,
         weir_usable_size(block.start));
    check_content(&block, block.usable);
    account_remove(actor->account, &block);
    actor->block[i] = actor->block[--actor->count];
    actor->live_bytes -= block.usable;
    return block;
}

/* ---- operations ------------------------------------------------------------------------------------------------ */

static void op_malloc(struct actor *actor)
{
    size_t size = random_size(actor->mix, &actor->rng);
    keep(actor, weir_malloc(size), size, 16);
}

static void op_calloc(struct actor *actor)
{
    size_t size = random_size(actor->mix, &actor->rng), count = 1 + unit_below(&actor->rng, 4);
    void *start = weir_calloc(count, size / count);
    size = size / count * count;
    size_t at = start == NULL ? UNIT_INTACT : unit_zeroed(start, size);
    must(at == UNIT_INTACT, "calloc of %zu: byte %zu is not zero", size, at);
    keep(actor, start, size, 16);
}

static void op_aligned(struct actor *actor)
{
    size_t size = random_size(actor->mix, &actor->rng);
    size_t alignment = (size_t)1 << unit_below(&actor->rng, unit_below(&actor->rng, 30) == 0 ? 23 : 14);
    if (unit_below(&actor->rng, 2) == 0) {
        keep(actor, weir_aligned_alloc(alignment, size), size, alignment);
        return;
    }
    void *start = NULL;
    alignment = wr_max(alignment, sizeof(void *));
    must(weir_posix_memalign(&start, alignment, size) == 0, "posix_memalign(%zu, %zu)", alignment, size);
    keep(actor, start, size, alignment);
}

static void op_free(struct actor *actor)
{
    struct block block = drop(actor, unit_below(&actor->rng, actor->count));
    weir_free(block.start);
}

/** To a size nearby half of the time, to any other size else. */
static void op_realloc(struct actor *actor)
{
    size_t i = unit_below(&actor->rng, actor->count);
    size_t size = random_size(actor->mix, &actor->rng);
    if (unit_below(&actor->rng, 2) == 0)
        size = actor->block[i].size / 4 * (2 + unit_below(&actor->rng, 5)) + unit_below(&actor->rng, 16);
    size = wr_min(size, actor->mix->high_rare);
    struct block old = drop(actor, i);
    void *start = weir_realloc(old.start, size);
    must(start != NULL, "realloc from %zu to %zu: errno %d", old.size, size, errno);
    size_t kept = wr_min(old.usable, size), at = unit_filled(start, 0, kept, old.id);
    must(at == UNIT_INTACT, "realloc from %zu (usable %zu) to %zu lost byte %zu", old.size, old.usable, size, at);
    keep(actor, start, size, 16);
}

/** A run of frees in a row, in the order of their making: what a program does that drops a structure. */
static void op_free_many(struct actor *actor)
{
    for (size_t n = wr_min(actor->count, 1 + unit_below(&actor->rng, 64)); n > 0; n--)
        weir_free(drop(actor, actor->count - 1).start);
}

static void op_check(struct actor *actor)
{
    const struct block *block = &actor->block[unit_below(&actor->rng, actor->count)];
    check_content(block, block->usable);
    must(weir_usable_size(block->start) == block->usable, "%p: usable size has changed", block->start);
}

static void turn_phase(struct actor *actor)
{
    if (actor->live_bytes > actor->mix->most_live)
        actor->shrinking = true;
    else if (actor->live_bytes < actor->mix->most_live / 16)
        actor->shrinking = false;
}

static void step(struct actor *actor)
{
    turn_phase(actor);
    unsigned choice = (unsigned)unit_below(&actor->rng, 1000);
    if (choice < 1 && actor->live_bytes < actor->mix->most_live / 2)
        weir_trim(unit_below(&actor->rng, 2) == 0 ? 0 : WR_MIB);
    else if (actor->count == 0 || choice < (actor->shrinking ? 150u : 400u))
        op_malloc(actor);
    else if (choice < (actor->shrinking ? 200u : 470u))
        op_calloc(actor);
    else if (choice < (actor->shrinking ? 240u : 530u))
        op_aligned(actor);
    else if (choice < 680)
        op_realloc(actor);
    else if (choice < 720)
        op_check(actor);
    else if (choice < 995 || !actor->shrinking)
        op_free(actor);
    else
        op_free_many(actor);
}

static void validate(void)
{
    if (WR_DEBUG >= 2)
        must(wr_check_all(), "the heap's own check found fault");
}

static void free_all(struct actor *actor)
{
    while (actor->count > 0)
        weir_free(drop(actor, unit_below(&actor->rng, actor->count)).start);
    free(actor->block);
    actor->block = NULL;
    actor->capacity = 0;
}

/* ---- one thread ------------------------------------------------------------------------------------------------ */

static void run_alone(const struct mix *mix)
{
    struct weir_stats before, after;
    weir_stats_get(&before);
    struct account account = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct actor actor = {.mix = mix, .account = &account, .rng = {unit_seed() ^ mix->high}};
    size_t operations = unit_scale(mix->operations);
    for (size_t i = 0; i < operations; i++) {
        step(&actor);
        if (i % (operations / 16 + 1) == 0)
            validate();
    }
    free_all(&actor);
    validate();
    weir_stats_get(&after);
    must(after.live_blocks == before.live_blocks && after.live == before.live,
         "%s: %llu blocks of %llu bytes live at the end, %llu of %llu at the start", mix->name,
         (unsigned long long)after.live_blocks, (unsigned long long)after.live, (unsigned long long)before.live_blocks,
         (unsigned long long)before.live);
}

Test(model, small) { run_alone(&small); }
Test(model, mixed) { run_alone(&mixed); }
Test(model, medium) { run_alone(&medium); }
Test(model, large) { run_alone(&large); }
Test(model, huge) { run_alone(&huge); }

/* ---- several threads ------------------------------------------------------------------------------------------- */

enum { MOST_THREADS = 8, MAILBOX = 64 };

/** Blocks on their way to a thread; what nobody takes is left for the next generation. */
struct mailbox {
    pthread_mutex_t lock;
    struct block block[MAILBOX];
    size_t count;
};

struct company {
    const struct mix *mix;
    struct account *account;
    struct mailbox mailbox[MOST_THREADS];
    size_t threads;
    size_t operations; /* of each thread */
    atomic_uint_least64_t next_actor;
    pthread_mutex_t orphans_lock;
    struct block *orphan; /* what threads that have exited left */
    size_t orphans;
};

static void post(struct actor *actor, struct mailbox *to)
{
    pthread_mutex_lock(&to->lock);
    if (to->count < MAILBOX) {
        size_t i = unit_below(&actor->rng, actor->count);
        to->block[to->count++] = actor->block[i];
        actor->live_bytes -= actor->block[i].usable;
        actor->block[i] = actor->block[--actor->count];
    }
    pthread_mutex_unlock(&to->lock);
}

/** Makes a block of another thread one of this actor's, checked. */
static void adopt(struct actor *actor, struct block block)
{
    check_content(&block, block.usable);
    account_remove(actor->account, &block);
    keep(actor, block.start, block.size, 1);
    must(actor->block[actor->count - 1].usable == block.usable, "%p: usable size changed between threads", block.start);
}

static void fetch(struct actor *actor, struct mailbox *from)
{
    struct block taken[MAILBOX];
    pthread_mutex_lock(&from->lock);
    size_t count = from->count;
    for (size_t i = 0; i < count; i++)
        taken[i] = from->block[i];
    from->count = 0;
    pthread_mutex_unlock(&from->lock);
    for (size_t i = 0; i < count; i++) {
        if (unit_below(&actor->rng, 2) == 0) {
            adopt(actor, taken[i]);
            continue;
        }
        check_content(&taken[i], taken[i].usable);
        account_remove(actor->account, &taken[i]);
        weir_free(taken[i].start);
    }
}

/** @param all else a thread's share of them. */
static void take_orphans(struct company *company, struct actor *actor, bool all)
{
    pthread_mutex_lock(&company->orphans_lock);
    size_t count = all ? company->orphans : company->orphans / company->threads;
    struct block *taken = malloc((count + 1) * sizeof *taken);
    must(taken != NULL, "no memory for the test's own list");
    for (size_t i = 0; i < count; i++)
        taken[i] = company->orphan[--company->orphans];
    pthread_mutex_unlock(&company->orphans_lock);
    for (size_t i = 0; i < count; i++)
        adopt(actor, taken[i]);
    free(taken);
}

static void leave_orphans(struct company *company, struct actor *actor)
{
    pthread_mutex_lock(&company->orphans_lock);
    company->orphan = realloc(company->orphan, (company->orphans + actor->count + 1) * sizeof *company->orphan);
    must(company->orphan != NULL, "no memory for the test's own list");
    for (size_t i = 0; i < actor->count; i++)
        company->orphan[company->orphans++] = actor->block[i];
    pthread_mutex_unlock(&company->orphans_lock);
    free(actor->block);
}

static struct actor new_actor(struct company *company)
{
    uint64_t number = atomic_fetch_add(&company->next_actor, 1);
    struct unit_rng rng = {unit_seed() + number * 7919};
    return (struct actor){
        .mix = company->mix, .account = company->account, .rng = {unit_random(&rng)}, .next_id = (number + 1) << 40};
}

static void *work(void *arg)
{
    struct company *company = arg;
    struct actor actor = new_actor(company);
    size_t self = (size_t)(actor.next_id >> 40) % company->threads;
    take_orphans(company, &actor, false);
    for (size_t i = 0; i < company->operations; i++) {
        step(&actor);
        if (actor.count > 0 && unit_below(&actor.rng, 4) == 0)
            post(&actor, &company->mailbox[unit_below(&actor.rng, company->threads)]);
        if (unit_below(&actor.rng, 32) == 0)
            fetch(&actor, &company->mailbox[self]);
    }
    leave_orphans(company, &actor); /* the thread ends while its blocks live on */
    return NULL;
}

static void run_generation(struct company *company)
{
    pthread_t thread[MOST_THREADS];
    for (size_t i = 0; i < company->threads; i++)
        must(pthread_create(&thread[i], NULL, work, company) == 0, "no thread");
    for (size_t i = 0; i < company->threads; i++)
        pthread_join(thread[i], NULL);
    validate();
}

static void bury(struct company *company)
{
    struct actor last = new_actor(company);
    for (size_t i = 0; i < company->threads; i++)
        fetch(&last, &company->mailbox[i]);
    take_orphans(company, &last, true);
    free(company->orphan);
    free_all(&last);
    validate();
}

/** Generations of threads; each begins with what the one before left. */
static void run_company(const struct mix *mix, size_t threads, size_t generations, size_t operations, bool accounted)
{
    unit_seed(); /* chosen before there are threads */
    struct weir_stats before, after;
    weir_stats_get(&before);
    struct mix shared = *mix;
    shared.most_live /= threads;
    struct account account = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct company company = {.mix = &shared,
                              .account = accounted ? &account : NULL,
                              .threads = threads,
                              .operations = unit_scale(operations),
                              .orphans_lock = PTHREAD_MUTEX_INITIALIZER};
    for (size_t i = 0; i < MOST_THREADS; i++)
        pthread_mutex_init(&company.mailbox[i].lock, NULL);
    for (size_t i = 0; i < generations; i++)
        run_generation(&company);
    bury(&company);
    must(account.live.count == 0, "%zu blocks left in the account", account.live.count);
    weir_stats_get(&after);
    must(after.live_blocks == before.live_blocks, "%s: %llu blocks live at the end, %llu at the start", mix->name,
         (unsigned long long)after.live_blocks, (unsigned long long)before.live_blocks);
}

Test(model, threads_small) { run_company(&small, 4, 4, 60000, false); }
Test(model, threads_small_accounted) { run_company(&small, 4, 4, 40000, true); }
Test(model, threads_mixed) { run_company(&mixed, 4, 4, 25000, false); }
Test(model, threads_mixed_accounted) { run_company(&mixed, 3, 5, 20000, true); }
Test(model, threads_medium) { run_company(&medium, 4, 4, 15000, true); }
Test(model, threads_large) { run_company(&large, 4, 4, 700, true); }
Test(model, threads_huge) { run_company(&huge, 3, 3, 60, true); }
Test(model, many_short_lives) { run_company(&mixed, 8, 40, 300, true); }
