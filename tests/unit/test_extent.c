/* SPDX-License-Identifier: MIT
 * Extents: blocks cut at any page never overlap, what they leave is joined, and each byte is counted, whatever is asked
 * for in which order, by how many threads, and whatever the system refuses. */
#include "core/extent.h"

#include "base/option.h"
#include "core/account.h"
#include "core/arena.h"
#include "core/purge.h"
#include "intervals.h"
#include "support.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <weir/alloc.h>

/** Starts the library; nobody but the test gives anything back. */
static void set_up(void)
{
    setenv("WEIR_PURGER", "off", 1);
    weir_free(weir_malloc(1));
}

TestSuite(extent, .init = set_up, .timeout = 120);

/* ---- what the system refuses ----------------------------------------------------------------------------------- */

/* Of so many calls one is refused, by chance; 0: none. */
static _Atomic unsigned refuse_one_in;
static _Atomic size_t refused;

void *__real_wr_os_map(void *hint, size_t size);
void *__wrap_wr_os_map(void *hint, size_t size);
bool __real_wr_os_unmap(void *start, size_t size);
bool __wrap_wr_os_unmap(void *start, size_t size);
void *__real_wr_os_remap(void *start, size_t size, size_t new_size, void *to, bool *several);
void *__wrap_wr_os_remap(void *start, size_t size, size_t new_size, void *to, bool *several);
size_t __real_wr_os_discard(struct wr_range *range, size_t count, enum wr_discard how);
size_t __wrap_wr_os_discard(struct wr_range *range, size_t count, enum wr_discard how);

static bool refuses(void)
{
    static _Thread_local struct unit_rng rng;
    unsigned one_in = atomic_load(&refuse_one_in);
    if (one_in == 0 || unit_below(&rng, one_in) != 0)
        return false;
    atomic_fetch_add(&refused, 1);
    return true;
}

void *__wrap_wr_os_map(void *hint, size_t size) { return refuses() ? NULL : __real_wr_os_map(hint, size); }

bool __wrap_wr_os_unmap(void *start, size_t size) { return !refuses() && __real_wr_os_unmap(start, size); }

void *__wrap_wr_os_remap(void *start, size_t size, size_t new_size, void *to, bool *several)
{
    if (!refuses())
        return __real_wr_os_remap(start, size, new_size, to, several);
    if (several != NULL)
        *several = false;
    return NULL;
}

size_t __wrap_wr_os_discard(struct wr_range *range, size_t count, enum wr_discard how)
{
    return refuses() ? 0 : __real_wr_os_discard(range, count, how);
}

/* ---- huge pages as the test has them --------------------------------------------------------------------------- */

static bool setting_known; /* else the system's */
static enum wr_huge setting;

/* By how much the clock goes on each time that somebody looks. */
static uint64_t tick_ns, clock_ns;

uint64_t __wrap_wr_os_now_ns(void);
uint64_t __wrap_wr_os_now_ns(void) { return clock_ns += tick_ns; }

/* Ranges that huge pages were asked for, since the test last looked; and ruled out. */
static struct {
    unsigned count, ruled_out;
    uintptr_t from, to; /* of the last one */
} asked;

enum wr_huge __real_wr_os_huge(void);
enum wr_huge __wrap_wr_os_huge(void);
bool __real_wr_os_advise_huge(void *start, size_t size, bool huge);
bool __wrap_wr_os_advise_huge(void *start, size_t size, bool huge);

enum wr_huge __wrap_wr_os_huge(void) { return setting_known ? setting : __real_wr_os_huge(); }

bool __wrap_wr_os_advise_huge(void *start, size_t size, bool huge)
{
    if (setting_known && huge) {
        asked.count++;
        asked.from = (uintptr_t)start;
        asked.to = (uintptr_t)start + size;
    } else if (setting_known) {
        asked.ruled_out++;
    }
    return __real_wr_os_advise_huge(start, size, huge);
}

/* ---- a model --------------------------------------------------------------------------------------------------- */

enum { HELD = 24, STAMPS = 8, STAMP = 64, HUGE = 2 * 1024 * 1024 };

struct held {
    struct wr_extent *extent;
    char *start;
    size_t size;
    uint64_t id;
};

struct model {
    struct held held[HELD];
    struct unit_rng rng;
    uint64_t next_id;
};

/* All threads' blocks. */
static struct unit_intervals live;
static pthread_mutex_t live_lock = PTHREAD_MUTEX_INITIALIZER;

/** Where the stamp number `i` of a block of this size is: the first and the last byte are among them. */
static size_t stamp_at(size_t size, unsigned i)
{
    return i == STAMPS - 1 ? size - STAMP : (size - STAMP) / (STAMPS - 1) * i;
}

static void put_stamps(const struct held *held)
{
    for (unsigned i = 0; i < STAMPS; i++)
        unit_fill(held->start + stamp_at(held->size, i), 0, STAMP, held->id + i);
}

/** The stamps of a block that was as long as `held` says, as far as they lie in its first `size` bytes. */
static void check_stamps(const struct held *held, size_t size)
{
    for (unsigned i = 0; i < STAMPS; i++) {
        size_t at = stamp_at(held->size, i);
        must(at + STAMP > size || unit_filled(held->start + at, 0, STAMP, held->id + i) == UNIT_INTACT,
             "%zu bytes at %p: written to at %zu", held->size, (void *)held->start, at);
    }
}

static void claim(struct held *held)
{
    const void *clash;
    held->start = (char *)held->extent->start;
    held->size = held->extent->size;
    pthread_mutex_lock(&live_lock);
    must(unit_intervals_add(&live, held->start, held->size, &clash), "%zu bytes at %p overlap %p", held->size,
         (void *)held->start, clash);
    pthread_mutex_unlock(&live_lock);
}

static void disclaim(const struct held *held)
{
    pthread_mutex_lock(&live_lock);
    must(unit_intervals_remove(&live, held->start) == held->size, "%p is not what it was", (void *)held->start);
    pthread_mutex_unlock(&live_lock);
}

static size_t some_size(struct model *model)
{
    size_t size = unit_log_uniform(&model->rng, WR_MAP_SLOT, 8 * WR_MAP_SLOT);
    return wr_round_up(size, wr_extent_unit());
}

static void must_be_found(const struct held *held)
{
    must(wr_extent_at(held->start) == held->extent && wr_extent_at(held->start + held->size - 1) == held->extent &&
             wr_extent_at(held->start + held->size / 2) == held->extent,
         "%zu bytes at %p are not found", held->size, (void *)held->start);
    must(wr_extent_at(held->start - 1) != held->extent && wr_extent_at(held->start + held->size) != held->extent,
         "%zu bytes at %p have neighbours' addresses", held->size, (void *)held->start);
}

static void take(struct model *model, struct held *held)
{
    struct wr_extent_tally tally = {{0}};
    size_t size = some_size(model), align = wr_extent_unit(), made_of = 0;
    if (unit_below(&model->rng, 8) == 0)
        align = wr_max(align, WR_PAGE_SIZE << unit_below(&model->rng, 12));
    held->extent = wr_extent_take(size, align, &tally);
    must(held->extent != NULL || atomic_load(&refuse_one_in) > 0, "no memory for %zu bytes", size);
    if (held->extent == NULL)
        return;
    for (unsigned state = 0; state < WR_EXTENT_STATES; state++)
        made_of += tally.bytes[state];
    must(made_of == size && held->extent->size == size && held->extent->start % align == 0,
         "%zu bytes aligned to %zu: %zu at %p, made of %zu", size, align, held->extent->size,
         (void *)held->extent->start, made_of);
    claim(held);
    must_be_found(held);
    must(tally.bytes[WR_EXTENT_WARM] > 0 || (tally.bytes[WR_EXTENT_COLD] > 0 && !wr_purge_zeroes()) ||
             unit_zeroed(held->start + size / 2, WR_PAGE_SIZE) == UNIT_INTACT,
         "%zu bytes at %p are not zero", size, (void *)held->start);
    held->id = model->next_id += STAMPS;
    put_stamps(held);
}

static void drop(struct held *held)
{
    struct wr_extent *extent = held->extent;
    check_stamps(held, held->size);
    disclaim(held);
    held->extent = NULL;
    must(wr_extent_free(extent, held->start), "%p was not live", (void *)held->start);
}

static void resize(struct model *model, struct held *held)
{
    struct wr_extent_tally tally = {{0}};
    size_t size = some_size(model);
    struct held before = *held;
    check_stamps(held, held->size);
    disclaim(held);
    bool done = size == held->size ||
                (size < held->size ? wr_extent_shrink(held->extent, size) : wr_extent_grow(held->extent, size, &tally));
    claim(held);
    must(held->size == (done ? size : before.size), "%zu bytes, were %zu", held->size, before.size);
    size_t made_of = tally.bytes[WR_EXTENT_WARM] + tally.bytes[WR_EXTENT_COLD] + tally.bytes[WR_EXTENT_FRESH];
    bool copied = made_of == size && held->start != before.start;
    must(size <= before.size || !done || copied || made_of == size - before.size,
         "from %zu to %zu bytes: made of something else", before.size, size);
    must_be_found(held);
    before.start = held->start;
    check_stamps(&before, wr_min(before.size, held->size));
    put_stamps(held);
}

static void give_back(struct model *model)
{
    size_t size = unit_log_uniform(&model->rng, WR_PAGE_SIZE, 20 * WR_MAP_SLOT);
    wr_extent_give_back(size, unit_below(&model->rng, 4) == 0 ? WR_DISCARD_NEVER : WR_DISCARD_NOW);
    if (unit_below(&model->rng, 8) == 0)
        wr_extent_unmap_cold(unit_below(&model->rng, 2) * 8 * WR_MAP_SLOT);
}

static void step(struct model *model)
{
    struct held *held = &model->held[unit_below(&model->rng, HELD)];
    unsigned what = (unsigned)unit_below(&model->rng, 16);
    if (what < 3)
        give_back(model);
    else if (held->extent == NULL)
        take(model, held);
    else if (what < 6)
        resize(model, held);
    else
        drop(held);
}

/** What the figures say, beside what the model has and `other_slack` pages. */
static void must_be_counted(const struct model *model, int64_t other_slack)
{
    uint64_t used = 0;
    wr_extent_check();
    for (unsigned i = 0; i < HELD; i++)
        used += model->held[i].extent != NULL ? model->held[i].size : 0;
    must(atomic_load(&wr_account.huge) == used, "%llu bytes are counted as used, there are %llu",
         (unsigned long long)atomic_load(&wr_account.huge), (unsigned long long)used);
    int64_t slack = atomic_load(&wr_account.slack) - other_slack;
    uint64_t warm = atomic_load(&wr_extent_count.warm);
    must(slack == (int64_t)(warm / WR_PAGE_SIZE), "%lld pages are counted as slack, there are %llu bytes",
         (long long)slack, (unsigned long long)warm);
}

static void drop_all(struct model *model)
{
    for (unsigned i = 0; i < HELD; i++)
        if (model->held[i].extent != NULL)
            drop(&model->held[i]);
}

/** Gives all back that is free, and looks that nothing is left. */
static void empty(void)
{
    while (wr_extent_give_back(SIZE_MAX, WR_DISCARD_NEVER) > 0)
        continue;
    wr_extent_unmap_cold(0);
    wr_extent_check();
    must(atomic_load(&wr_extent_count.warm) == 0 && atomic_load(&wr_extent_count.cold) == 0,
         "%llu bytes are left warm, %llu cold", (unsigned long long)atomic_load(&wr_extent_count.warm),
         (unsigned long long)atomic_load(&wr_extent_count.cold));
}

/** All steps by chance, each checked; the number of mappings stays near that of blocks. */
static void run_checked(size_t steps)
{
    static struct model model;
    model.rng.state = unit_seed();
    int64_t other_slack = atomic_load(&wr_account.slack);
    size_t before = unit_mappings();
    for (size_t i = 0; i < steps; i++) {
        step(&model);
        must_be_counted(&model, other_slack);
        if (i % 100 == 0 && atomic_load(&refuse_one_in) == 0 && !UNIT_SANITIZED)
            must(unit_mappings() <= before + 10 * HELD, "%zu mappings, were %zu", unit_mappings(), before);
    }
    drop_all(&model);
    must_be_counted(&model, other_slack);
}

Test(extent, any_order)
{
    run_checked(unit_scale(20000));
    empty();
}

/** What is refused stays as it was, and counted. */
Test(extent, any_order_with_refusals)
{
    atomic_store(&refuse_one_in, 4);
    run_checked(unit_scale(20000));
    atomic_store(&refuse_one_in, 0);
    must(atomic_load(&refused) > 0, "nothing was refused");
    empty();
}

static void *run_thread(void *arg)
{
    struct model *model = arg;
    for (size_t i = 0; i < unit_scale(6000); i++) {
        step(model);
        if (i % 64 == 0)
            wr_extent_check();
    }
    drop_all(model);
    return NULL;
}

static void run_threads(void)
{
    static struct model model[3];
    pthread_t thread[WR_COUNT(model)];
    for (size_t t = 0; t < WR_COUNT(model); t++) {
        model[t].rng.state = unit_seed() + t;
        model[t].next_id = t << 40;
        must(pthread_create(&thread[t], NULL, run_thread, &model[t]) == 0, "no thread");
    }
    for (size_t t = 0; t < WR_COUNT(model); t++)
        pthread_join(thread[t], NULL);
    atomic_store(&refuse_one_in, 0);
    must(atomic_load(&wr_account.huge) == 0, "%llu bytes are used", (unsigned long long)atomic_load(&wr_account.huge));
    empty();
}

Test(extent, threads) { run_threads(); }

Test(extent, threads_with_refusals)
{
    atomic_store(&refuse_one_in, 16);
    run_threads();
}

/* ---- case by case ---------------------------------------------------------------------------------------------- */

/* Page by page: where the unit is half an arena, there are no such places. */
static void need_pages(void)
{
    if (wr_extent_unit() != WR_PAGE_SIZE)
        cr_skip_test("extents are of half an arena where the system gives huge pages unasked");
}

static struct wr_extent *taken(size_t size, struct wr_extent_tally *tally)
{
    struct wr_extent_tally unseen = {{0}};
    struct wr_extent *extent = wr_extent_take(size, wr_extent_unit(), tally != NULL ? tally : &unseen);
    must(extent != NULL, "no memory for %zu bytes", size);
    return extent;
}

static void freed(struct wr_extent *extent) { must(wr_extent_free(extent, (void *)extent->start), "not live"); }

/** Blocks side by side, in a run that was warm and is all theirs; the last one is the rest of it. */
static void side_by_side(struct wr_extent **extent, const size_t *size, unsigned blocks)
{
    size_t sum = 0;
    for (unsigned i = 0; i < blocks; i++)
        sum += size[i];
    struct wr_extent *whole = taken(sum, NULL);
    uintptr_t at = whole->start;
    freed(whole);
    for (unsigned i = 0; i < blocks; i++) {
        extent[i] = taken(size[i], NULL);
        must(extent[i]->start == at, "block %u is at %p, not at %p", i, (void *)extent[i]->start, (void *)at);
        at += size[i];
    }
    must(atomic_load(&wr_extent_count.warm) == 0, "something is left over");
}

/** Each order of freeing three neighbours leaves one extent. */
Test(extent, neighbours_are_joined)
{
    static const unsigned order[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    need_pages();
    for (unsigned i = 0; i < WR_COUNT(order); i++) {
        size_t size[] = {WR_MAP_SLOT + WR_PAGE_SIZE, 2 * WR_MAP_SLOT, WR_MAP_SLOT + 7 * WR_PAGE_SIZE};
        struct wr_extent *extent[3];
        struct wr_extent_tally tally = {{0}};
        side_by_side(extent, size, 3);
        uintptr_t start = extent[0]->start;
        for (unsigned j = 0; j < 3; j++) {
            freed(extent[order[i][j]]);
            wr_extent_check();
        }
        struct wr_extent *whole = taken(size[0] + size[1] + size[2], &tally);
        must(whole->start == start && tally.bytes[WR_EXTENT_WARM] == whole->size,
             "order %u: at %p, not at %p; %zu warm", i, (void *)whole->start, (void *)start,
             tally.bytes[WR_EXTENT_WARM]);
        freed(whole);
        empty();
    }
}

/** The smallest that has it, not the first. */
Test(extent, the_best_fit_is_taken)
{
    size_t size[] = {9 * WR_MAP_SLOT, WR_MAP_SLOT, 4 * WR_MAP_SLOT, WR_MAP_SLOT, 6 * WR_MAP_SLOT, WR_MAP_SLOT};
    struct wr_extent *extent[6];
    side_by_side(extent, size, 6);
    uintptr_t fits = extent[2]->start;
    for (unsigned i = 0; i < 6; i += 2)
        freed(extent[i]);
    struct wr_extent *block = taken(3 * WR_MAP_SLOT, NULL), *rest = taken(WR_MAP_SLOT, NULL);
    must(block->start == fits && rest->start == fits + 3 * WR_MAP_SLOT, "at %p and %p, not from %p on",
         (void *)block->start, (void *)rest->start, (void *)fits);
}

/** Where no warm extent has it, most of it is warm and the rest comes from what is cold beside that. */
Test(extent, what_is_cold_makes_warm_ones_longer)
{
    struct wr_extent_tally tally = {{0}};
    struct wr_extent *whole = taken(10 * WR_MAP_SLOT, NULL);
    uintptr_t start = whole->start;
    unit_fill((void *)start, 0, 10 * WR_MAP_SLOT, 1);
    freed(whole);
    must(wr_extent_give_back(4 * WR_MAP_SLOT, WR_DISCARD_NOW) == 4 * WR_MAP_SLOT, "not given back");
    must(atomic_load(&wr_extent_count.cold) == 4 * WR_MAP_SLOT, "not cold");
    whole = taken(9 * WR_MAP_SLOT, &tally);
    must(whole->start == start && tally.bytes[WR_EXTENT_WARM] == 6 * WR_MAP_SLOT &&
             tally.bytes[WR_EXTENT_COLD] == 3 * WR_MAP_SLOT,
         "at %p, not at %p: %zu bytes warm, %zu cold", (void *)whole->start, (void *)start, tally.bytes[WR_EXTENT_WARM],
         tally.bytes[WR_EXTENT_COLD]);
    must(unit_filled((void *)start, 0, 6 * WR_MAP_SLOT, 1) == UNIT_INTACT, "what was warm is not what it was");
    must(!wr_purge_zeroes() || unit_zeroed((void *)(start + 6 * WR_MAP_SLOT), 3 * WR_MAP_SLOT) == UNIT_INTACT,
         "what was cold is not zero");
    must(wr_extent_grow(whole, 30 * WR_MAP_SLOT, &tally), "a block that has cold parts does not grow");
    must(unit_filled((void *)whole->start, 0, 6 * WR_MAP_SLOT, 1) == UNIT_INTACT, "grown, it is not what it was");
    freed(whole);
}

/** The lowest grows downwards. */
Test(extent, what_is_missing_is_mapped_below_the_lowest)
{
    struct wr_extent_tally tally = {{0}};
    struct wr_extent *block = taken(4 * WR_MAP_SLOT, NULL);
    uintptr_t end = block->start + block->size;
    freed(block);
    block = taken(7 * WR_MAP_SLOT, &tally);
    if (tally.bytes[WR_EXTENT_FRESH] == block->size)
        cr_skip_test("the place below is taken");
    must(block->start + block->size == end && tally.bytes[WR_EXTENT_WARM] == 4 * WR_MAP_SLOT &&
             tally.bytes[WR_EXTENT_FRESH] == 3 * WR_MAP_SLOT,
         "%zu warm, %zu fresh", tally.bytes[WR_EXTENT_WARM], tally.bytes[WR_EXTENT_FRESH]);
    freed(block);
}

/** Address space that is not resident is kept, but no more than there is besides. */
Test(extent, cold_address_space_is_bounded)
{
    struct wr_extent *block = taken(64 * WR_MAP_SLOT, NULL), *used = taken(4 * WR_MAP_SLOT, NULL);
    freed(block);
    while (wr_extent_give_back(WR_MAP_SLOT, WR_DISCARD_NOW) > 0) {
        uint64_t cold = atomic_load(&wr_extent_count.cold), warm = atomic_load(&wr_extent_count.warm);
        must(cold <= used->size + warm + 4 * WR_ARENA_SIZE, "%llu bytes cold, %llu warm", (unsigned long long)cold,
             (unsigned long long)warm);
    }
    must(atomic_load(&wr_extent_count.warm) == 0, "something is warm");
    freed(used);
}

/** A block that grows takes what is free behind it, and stays where it is. */
Test(extent, growing_in_place)
{
    size_t size[] = {3 * WR_MAP_SLOT, 5 * WR_MAP_SLOT, WR_MAP_SLOT};
    struct wr_extent *extent[3];
    struct wr_extent_tally tally = {{0}};
    side_by_side(extent, size, 3);
    uintptr_t start = extent[0]->start;
    unit_fill((void *)start, 0, size[0], 1);
    freed(extent[1]);
    must(wr_extent_give_back(2 * WR_MAP_SLOT, WR_DISCARD_NOW) == 2 * WR_MAP_SLOT, "not given back");
    must(wr_extent_grow(extent[0], 7 * WR_MAP_SLOT, &tally), "it does not grow");
    must(extent[0]->start == start && tally.bytes[WR_EXTENT_WARM] == 3 * WR_MAP_SLOT &&
             tally.bytes[WR_EXTENT_COLD] == WR_MAP_SLOT,
         "%zu warm, %zu cold", tally.bytes[WR_EXTENT_WARM], tally.bytes[WR_EXTENT_COLD]);
    must(unit_filled((void *)start, 0, size[0], 1) == UNIT_INTACT, "its content has changed");
    must(wr_extent_grow(extent[0], 12 * WR_MAP_SLOT, &tally), "it does not move");
    must(unit_filled((void *)extent[0]->start, 0, size[0], 1) == UNIT_INTACT, "its content has changed");
    wr_extent_check();
    must(wr_extent_at((void *)start) == NULL || extent[0]->start == start, "the old place still leads to it");
}

/** A process has 65,530 mappings, and they are not Weir's alone. */
Test(extent, many_cold_extents_are_few_mappings)
{
    enum { MANY = 24000 };
    static struct wr_extent *block[MANY];
    if (UNIT_SANITIZED)
        cr_skip_test("the sanitizer has mappings of its own for each");
    for (unsigned i = 0; i < MANY; i++)
        block[i] = taken(WR_MAP_SLOT, NULL);
    for (unsigned i = 0; i < MANY; i += 2)
        freed(block[i]);
    while (wr_extent_give_back(SIZE_MAX, WR_DISCARD_NOW) > 0)
        ;
    must(unit_mappings() < 20000, "%zu mappings", unit_mappings());
    for (unsigned i = 1; i < MANY; i += 2)
        freed(block[i]);
}

/** A block of several mappings, whose parts were advised and touched apart. */
static struct wr_extent *patched(size_t size)
{
    struct wr_extent *block = taken(size, NULL);
    char *start = (char *)block->start;
    for (size_t at = 0; at < size; at += size / 4)
        must(madvise(start + at, size / 8, MADV_DONTFORK) == 0, "madvise failed");
    unit_fill(start, 0, size, 1);
    return block;
}

/** A block that grows bit by bit is moved a few times, not each time, also where the kernel moves nothing because it
 *  is several mappings; and no address space is forgotten. */
Test(extent, growing_bit_by_bit)
{
    enum { STEPS = 1000 };
    need_pages();
    size_t size = 2 * WR_MAP_SLOT, before = unit_mapped();
    struct wr_extent *block = patched(size), *fence = taken(WR_MAP_SLOT, NULL);
    unsigned moved = 0;
    for (unsigned i = 0; i < STEPS; i++) {
        struct wr_extent_tally tally = {{0}};
        uintptr_t start = block->start;
        must(wr_extent_grow(block, block->size + 4 * WR_PAGE_SIZE, &tally), "it does not grow");
        moved += block->start != start;
    }
    must(block->size == size + STEPS * 4 * WR_PAGE_SIZE, "%zu bytes", block->size);
    must(unit_filled((char *)block->start, 0, size, 1) == UNIT_INTACT, "its content has changed");
    must(moved <= 12, "moved %u times", moved);
    freed(block);
    freed(fence);
    while (wr_extent_give_back(SIZE_MAX, WR_DISCARD_NOW) > 0)
        ;
    wr_extent_unmap_cold(0);
    wr_extent_check();
    must(unit_mapped() <= before + WR_ARENA_SIZE, "%zu bytes of address space are left", unit_mapped() - before);
}

/** Two blocks in one slot of the map are told apart, and a block that is gone is remembered by its first byte. */
Test(extent, blocks_share_a_slot)
{
    size_t size[] = {WR_MAP_SLOT + WR_PAGE_SIZE, WR_MAP_SLOT + WR_PAGE_SIZE, 2 * WR_MAP_SLOT};
    struct wr_extent *extent[3];
    need_pages();
    side_by_side(extent, size, 3);
    for (unsigned i = 0; i < 3; i++)
        for (size_t at = 0; at < size[i]; at += WR_PAGE_SIZE / 2)
            must(wr_extent_at((char *)extent[i]->start + at) == extent[i], "block %u, offset %zu", i, at);
    uintptr_t start = extent[1]->start;
    freed(extent[1]);
    for (size_t at = 0; at < size[1]; at += WR_PAGE_SIZE / 2) {
        must(wr_extent_at((char *)start + at) == NULL, "offset %zu", at);
        must((wr_map_get((char *)start + at) == ((start + at) | WR_MAP_GONE)) == (at == 0), "offset %zu", at);
    }
    must(wr_extent_at((void *)(start - 1)) == extent[0] && wr_extent_at((void *)(start + size[1])) == extent[2],
         "neighbours are not found");
}

/* ---- huge pages ------------------------------------------------------------------------------------------------ */

enum touch { TOUCH_ALL, TOUCH_FEW, TOUCH_READ };

/** Takes a block, touches it, frees it, gives it back; returns whether huge pages were asked for, and checks where. */
static bool cycle(size_t size, enum touch touch)
{
    struct wr_extent_tally tally = {{0}};
    asked.count = asked.ruled_out = 0;
    struct wr_extent *block = taken(size, &tally);
    bool huge = asked.count > 0;
    must(tally.bytes[WR_EXTENT_WARM] == 0, "%zu bytes were warm", tally.bytes[WR_EXTENT_WARM]);
    must(asked.ruled_out == asked.count, "not ruled out behind the block");
    asked.ruled_out = 0;
    must(asked.count <= 1, "asked %u times", asked.count);
    must(!huge || (asked.from >= block->start && asked.to <= block->start + block->size && asked.from % HUGE == 0 &&
                   asked.to % HUGE == 0 && asked.to - asked.from + 2 * HUGE > block->size),
         "asked from %#zx to %#zx, the block is %zu bytes at %#zx", (size_t)asked.from, (size_t)asked.to, size,
         (size_t)block->start);
    for (size_t at = 0; at < size; at += touch == TOUCH_FEW ? 16 * WR_PAGE_SIZE : WR_PAGE_SIZE)
        if (touch == TOUCH_READ)
            (void)*(volatile char *)(block->start + at);
        else
            *(volatile char *)(block->start + at) = 0;
    freed(block);
    while (wr_extent_give_back(size, WR_DISCARD_NOW) > 0)
        ;
    must(asked.ruled_out > 0, "not ruled out where it went back");
    wr_extent_check();
    return huge;
}

static unsigned cycles(unsigned count, size_t size, enum touch touch)
{
    unsigned huge = 0;
    for (unsigned i = 0; i < count; i++)
        huge += cycle(size, touch);
    return huge;
}

/** Whether the system tells what was touched, takes advice on huge pages, and can be asked to make pages resident. */
static bool is_possible(void)
{
    unsigned looked, untouched;
    char *memory = __real_wr_os_map(NULL, 2 * HUGE);
    char *page = (char *)wr_round_up((uintptr_t)memory, HUGE);
    bool possible = memory != NULL && __real_wr_os_advise_huge(page, HUGE, true) && wr_os_populate(page, HUGE) &&
                    wr_os_sample_untouched(page, HUGE, &looked, &untouched) && untouched == 0;
    return __real_wr_os_unmap(memory, 2 * HUGE) && possible;
}

static void set_huge(enum wr_huge system, int thp)
{
    if (WR_PAGE_SIZE != 4096 || __real_wr_os_huge() == WR_HUGE_UNASKED || !is_possible())
        cr_skip_test("the system has other huge pages, or none, or does not tell");
    setting_known = true;
    setting = system;
    wr_options.thp = thp;
}

/** What was touched is proof for what comes after; now and then one block is without them, for more proof. */
Test(extent, touched_memory_that_comes_again_is_huge)
{
    set_huge(WR_HUGE_ASKED, WR_THP_AUTO);
    must(!cycle(9 * HUGE + 5 * WR_PAGE_SIZE, TOUCH_ALL), "huge at first sight");
    unsigned huge = cycles(26, 9 * HUGE + 5 * WR_PAGE_SIZE, TOUCH_ALL);
    must(huge >= 20 && huge < 26, "%u of 26 blocks have huge pages", huge);
}

Test(extent, memory_that_is_hardly_touched_is_not_huge)
{
    set_huge(WR_HUGE_ASKED, WR_THP_AUTO);
    must(cycles(40, 8 * HUGE, TOUCH_FEW) == 0, "huge");
}

/** A page that was only read is the system's page of zeroes. */
Test(extent, memory_that_is_only_read_is_not_huge)
{
    set_huge(WR_HUGE_ASKED, WR_THP_AUTO);
    must(cycles(40, 8 * HUGE, TOUCH_READ) == 0, "huge");
}

/** A program that touches less of its blocks than it did gets small pages again. */
Test(extent, huge_pages_end_with_what_proved_them)
{
    set_huge(WR_HUGE_ASKED, WR_THP_AUTO);
    cycles(3, 8 * HUGE, TOUCH_ALL);
    unsigned huge = cycles(20, 8 * HUGE, TOUCH_FEW);
    must(huge > 0 && huge < 10, "%u of 20 blocks have huge pages", huge);
    must(cycles(20, 8 * HUGE, TOUCH_FEW) == 0, "huge, long after");
}

/** Where the system takes long for them, they are tried less and less. */
Test(extent, huge_pages_that_take_long_are_put_off)
{
    set_huge(WR_HUGE_ASKED, WR_THP_AUTO);
    tick_ns = 5 * 1000 * 1000;
    unsigned first = cycles(100, 2 * HUGE, TOUCH_ALL), second = cycles(200, 2 * HUGE, TOUCH_ALL);
    must(first > 1 && second < first && second > 0, "tried for %u of 100, then for %u of 200", first, second);
    tick_ns = 0;
    must(cycles(600, 2 * HUGE, TOUCH_ALL) > 50, "not tried any more when they are quick again");
}

static bool is_huge(struct wr_extent *block)
{
    unsigned looked = 0, untouched = 0;
    must(wr_os_sample_untouched((void *)block->start, block->size, &looked, &untouched), "the system does not tell");
    return untouched < looked / 4;
}

/** What is resident in vain, for blocks that are not touched, is no more than what was there before. */
Test(extent, huge_pages_are_bounded_by_what_was_touched)
{
    struct wr_extent *block[12];
    unsigned huge = 0;
    set_huge(WR_HUGE_ASKED, WR_THP_AUTO);
    cycle(16 * HUGE, TOUCH_ALL);
    for (unsigned i = 0; i < WR_COUNT(block); i++) {
        block[i] = taken(5 * HUGE, NULL);
        huge += is_huge(block[i]);
    }
    must(huge >= 1 && huge <= 3, "%u of 12 blocks, each a third of what was touched, have huge pages", huge);
}

/** Several threads may want to touch such a block. */
Test(extent, very_long_blocks_have_no_huge_pages)
{
    set_huge(WR_HUGE_ASKED, WR_THP_AUTO);
    must(cycles(4, 33 * HUGE, TOUCH_ALL) == 0, "huge");
}

Test(extent, huge_pages_are_asked_for_only_where_that_is_of_use)
{
    static const struct {
        enum wr_huge system;
        int thp;
    } other[] = {{WR_HUGE_NONE, WR_THP_AUTO}, {WR_HUGE_ASKED, WR_THP_SYSTEM}, {WR_HUGE_ASKED, WR_THP_NEVER}};
    for (size_t i = 0; i < WR_COUNT(other); i++) {
        set_huge(other[i].system, other[i].thp);
        must(cycles(4, 8 * HUGE, TOUCH_ALL) == 0, "huge, case %zu", i);
    }
}
