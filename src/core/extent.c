/* SPDX-License-Identifier: MIT
 * Which address space of huge blocks is whose; see extent.h for the states.
 *
 * All extents but those that move are in one order by address (core/order.h). WARM, COLD and FRESH ones are besides in
 * a list each, the newest first; WARM and FRESH ones also in lists by size, so that a place is found without a look at
 * all of them. Who makes a system call for an extent has it in a state that nobody else touches. */
#include "core/extent.h"

#include <string.h>

#include "base/bits.h"
#include "base/option.h"
#include "core/account.h"
#include "core/arena.h"
#include "core/meta.h"
#include "core/order.h"
#include "core/space.h"

enum {
    REST_PAGES = 16,     /* fewer than these are not worth a system call of their own */
    RECORDS_MANY = 8192, /* so many extents that each of them is not to be two mappings */
    LOOKED_AT = 64,      /* extents of about one size, of which the smallest is taken; around which a place is looked
                          * for where none is long enough by itself; and of which the longest goes first */
    STEP_BITS = 3,
    STEPS = 1 << STEP_BITS, /* lists by size to each doubling */
    SIZES = 56 * STEPS,
};

/* Cold address space that is kept besides as much as there is of the rest. */
#define COLD_KEPT (4 * WR_ARENA_SIZE)

struct wr_extent_count wr_extent_count;

/** Extents of one state by size. */
struct sizes {
    struct wr_extent *list[SIZES];
    uint64_t some[SIZES / 64]; /* a bit for each list that is not empty */
};

static struct {
    struct wr_order order;                                                 /* guarded by: wr_arena_lock, as all here */
    struct wr_extent *newest[WR_EXTENT_STATES], *oldest[WR_EXTENT_STATES]; /* of WARM, COLD, FRESH */
    struct sizes warm, fresh;
    struct wr_extent *spare;                                               /* records of nothing */
    unsigned spares;
} book;

static void lock(void) { wr_lock(&wr_arena_lock, WR_RANK_ARENA); }
static void unlock(void) { wr_unlock(&wr_arena_lock, WR_RANK_ARENA); }

static uintptr_t end_of(const struct wr_extent *extent) { return extent->start + extent->size; }

static bool is_free_state(enum wr_extent_state state)
{
    return state == WR_EXTENT_WARM || state == WR_EXTENT_COLD || state == WR_EXTENT_FRESH;
}

/** The neighbours, if they touch and are free. */
static struct wr_extent *free_above(const struct wr_extent *extent)
{
    struct wr_extent *above = extent->above;
    return above != NULL && above->start == end_of(extent) && is_free_state(above->state) ? above : NULL;
}
static struct wr_extent *free_below(const struct wr_extent *extent)
{
    struct wr_extent *below = extent->below;
    return below != NULL && end_of(below) == extent->start && is_free_state(below->state) ? below : NULL;
}

/* ---- records; all under the lock ------------------------------------------------------------------------------- */

/** Records in use; relaxed. */
static _Atomic unsigned records;

static void add_spare(struct wr_extent *extent)
{
    extent->start = 0;
    extent->size = 0;
    extent->older = book.spare;
    book.spare = extent;
    book.spares++;
}

static void keep_record(struct wr_extent *extent)
{
    add_spare(extent);
    atomic_fetch_sub_explicit(&records, 1, memory_order_relaxed);
}

static struct wr_extent *new_record(void)
{
    struct wr_extent *extent = book.spare;
    wr_assert(extent != NULL);
    book.spare = extent->older;
    book.spares--;
    atomic_fetch_add_explicit(&records, 1, memory_order_relaxed);
    return extent;
}

/** Takes the lock when there are so many records to spare. False, without it, when there is no memory for them. */
static bool lock_with_spares(unsigned count)
{
    for (;;) {
        lock();
        if (book.spares >= count)
            return true;
        unlock();
        struct wr_extent *extent = wr_meta_alloc(sizeof *extent);
        if (extent == NULL)
            return false;
        lock();
        add_spare(extent);
        unlock();
    }
}

/* ---- lists and counts; all under the lock ---------------------------------------------------------------------- */

static void count(enum wr_extent_state state, int64_t bytes)
{
    switch (state) {
    case WR_EXTENT_LIVE:
    case WR_EXTENT_MOVING:
        atomic_fetch_add_explicit(&wr_account.huge, (uint64_t)bytes, memory_order_relaxed);
        break;
    case WR_EXTENT_WARM:
    case WR_EXTENT_GOING:
        wr_account_add(&wr_account.slack, bytes / (int64_t)WR_PAGE_SIZE);
        atomic_fetch_add_explicit(&wr_extent_count.warm, (uint64_t)bytes, memory_order_relaxed);
        break;
    default:
        atomic_fetch_add_explicit(&wr_extent_count.cold, (uint64_t)bytes, memory_order_relaxed);
    }
}

/** Bytes of huge blocks, and of what they left that is resident; a guess without the lock. */
static size_t live_and_warm(void)
{
    return atomic_load_explicit(&wr_account.huge, memory_order_relaxed) +
           atomic_load_explicit(&wr_extent_count.warm, memory_order_relaxed);
}

static struct sizes *sizes_of(enum wr_extent_state state)
{
    return state == WR_EXTENT_WARM ? &book.warm : state == WR_EXTENT_FRESH ? &book.fresh : NULL;
}

/** The list for a size: those below it have smaller ones, those above it longer ones. */
static unsigned list_for(size_t size)
{
    size_t pages = size >> WR_PAGE_SHIFT;
    if (pages < STEPS)
        return (unsigned)pages;
    unsigned doubling = wr_bits_last(pages) - STEP_BITS;
    return (doubling + 1) * STEPS + (unsigned)(pages >> doubling) % STEPS;
}

static void list_by_size(struct wr_extent *extent)
{
    struct sizes *sizes = sizes_of(extent->state);
    if (sizes == NULL)
        return;
    unsigned which = list_for(extent->size);
    extent->before = NULL;
    extent->after = sizes->list[which];
    if (extent->after != NULL)
        extent->after->before = extent;
    sizes->list[which] = extent;
    sizes->some[which / 64] |= UINT64_C(1) << which % 64;
}

static void unlist_by_size(struct wr_extent *extent)
{
    struct sizes *sizes = sizes_of(extent->state);
    if (sizes == NULL)
        return;
    unsigned which = list_for(extent->size);
    *(extent->before != NULL ? &extent->before->after : &sizes->list[which]) = extent->after;
    if (extent->after != NULL)
        extent->after->before = extent->before;
    if (sizes->list[which] == NULL)
        sizes->some[which / 64] &= ~(UINT64_C(1) << which % 64);
}

/** Into the lists of its state: right behind `newer`, or as the newest. */
static void list(struct wr_extent *extent, struct wr_extent *newer)
{
    enum wr_extent_state state = extent->state;
    if (!is_free_state(state))
        return;
    extent->newer = newer;
    extent->older = newer != NULL ? newer->older : book.newest[state];
    *(newer != NULL ? &newer->older : &book.newest[state]) = extent;
    *(extent->older != NULL ? &extent->older->newer : &book.oldest[state]) = extent;
    list_by_size(extent);
}

static void unlist(struct wr_extent *extent)
{
    enum wr_extent_state state = extent->state;
    if (!is_free_state(state))
        return;
    *(extent->newer != NULL ? &extent->newer->older : &book.newest[state]) = extent->older;
    *(extent->older != NULL ? &extent->older->newer : &book.oldest[state]) = extent->newer;
    unlist_by_size(extent);
}

static void set_state(struct wr_extent *extent, enum wr_extent_state state)
{
    unlist(extent);
    count(extent->state, -(int64_t)extent->size);
    extent->state = state;
    count(state, (int64_t)extent->size);
    list(extent, NULL);
}

/** Other bounds, at the same place in the lists by address and by age. */
static void set_bounds(struct wr_extent *extent, uintptr_t start, size_t size)
{
    count(extent->state, (int64_t)size - (int64_t)extent->size);
    unlist_by_size(extent);
    extent->start = start;
    extent->size = size;
    list_by_size(extent);
}

/** Takes an extent out of the book, but for its record. */
static void detach(struct wr_extent *extent)
{
    unlist(extent);
    count(extent->state, -(int64_t)extent->size);
    wr_order_remove(&book.order, extent);
}

/** The extent is no more. */
static void drop(struct wr_extent *extent)
{
    detach(extent);
    keep_record(extent);
}

/** Adds an extent, in the state and age of `newer`, if that is not NULL. pre: a spare record. */
static struct wr_extent *add(uintptr_t start, size_t size, enum wr_extent_state state, struct wr_extent *newer)
{
    struct wr_extent *extent = new_record();
    *extent = (struct wr_extent){.start = start, .size = size, .state = state};
    wr_order_add(&book.order, extent);
    count(state, (int64_t)size);
    list(extent, newer);
    return extent;
}

/** Cuts off what lies above the first `keep` bytes: an extent like this one. pre: a spare record. */
static struct wr_extent *split(struct wr_extent *extent, size_t keep)
{
    uintptr_t start = extent->start + keep;
    size_t size = extent->size - keep;
    set_bounds(extent, extent->start, keep);
    struct wr_extent *rest = add(start, size, extent->state, is_free_state(extent->state) ? extent : NULL);
    rest->huge = extent->huge;
    return rest;
}

/** Joins a free extent with neighbours in the same state. */
static void join(struct wr_extent *extent)
{
    struct wr_extent *below = free_below(extent), *above = free_above(extent);
    if (above != NULL && above->state == extent->state) {
        size_t size = above->size;
        extent->huge |= above->huge;
        drop(above);
        set_bounds(extent, extent->start, extent->size + size);
    }
    if (below != NULL && below->state == extent->state) {
        uintptr_t start = below->start;
        size_t size = below->size;
        extent->huge |= below->huge;
        drop(below);
        set_bounds(extent, start, extent->size + size);
    }
}

static void make_free(struct wr_extent *extent, enum wr_extent_state state)
{
    set_state(extent, state);
    join(extent);
}

/* ---- the map --------------------------------------------------------------------------------------------------- */

/** The bytes from a block's start whose slots have its entry: all but a part of a slot at its end, if it has more. */
static size_t entered(const struct wr_extent *extent)
{
    uintptr_t whole = wr_round_down(end_of(extent), WR_MAP_SLOT);
    return whole > extent->start ? whole - extent->start : 1;
}

static void enter(const struct wr_extent *extent)
{
    wr_map_set((void *)extent->start, entered(extent), (uintptr_t)extent);
}

/** Takes a block out of the map, which remembers where it was. */
static void remove_from_map(const struct wr_extent *extent)
{
    wr_map_set((void *)extent->start, entered(extent), 0);
    wr_map_set((void *)extent->start, 1, extent->start | WR_MAP_GONE);
}

/** The block that has the slot of `address`, if it lies in that. A wild address may be looked up at any time: reads
 *  what others write. */
static WR_RACY struct wr_extent *entered_at(uintptr_t address, uintptr_t slot)
{
    uintptr_t entry = wr_map_get((void *)slot);
    struct wr_extent *extent = (struct wr_extent *)entry;
    if (entry == 0 || (entry & (WR_MAP_ARENA | WR_MAP_GONE)) != 0)
        return NULL;
    return address - extent->start < extent->size ? extent : NULL;
}

struct wr_extent *wr_extent_at(const void *address)
{
    uintptr_t at = (uintptr_t)address;
    struct wr_extent *extent = entered_at(at, at);
    return extent != NULL ? extent : entered_at(at, at - WR_MAP_SLOT);
}

/* ---- where a block may go -------------------------------------------------------------------------------------- */

/** Neighbours that are free and touch, from `from` to `to`. */
struct run {
    uintptr_t from, to;
    size_t below; /* bytes that it would have besides, were they mapped right below it */
};

/** A place for a block. */
struct spot {
    struct wr_extent *anchor; /* a free extent there, NULL if there is no place */
    uintptr_t at;
    size_t warm;    /* bytes of it that are warm */
    size_t missing; /* bytes of it, its first, that must be mapped */
    size_t run;     /* bytes of the run that it is cut out of */
};

/** The run of a free extent, no farther than matters for a block that begins or ends with it and reaches so far to
 *  either side: where warm ones lie between cold ones a run may be thousands. */
static struct run run_around(const struct wr_extent *extent, size_t reach, size_t below)
{
    const struct wr_extent *low = extent, *high = extent, *next;
    while (extent->start - low->start < reach && (next = free_below(low)) != NULL)
        low = next;
    while (end_of(high) - end_of(extent) < reach && (next = free_above(high)) != NULL)
        high = next;
    bool grows = low == book.order.lowest && wr_space_is_lowest((void *)low->start) && low->start > 2 * below;
    return (struct run){low->start, end_of(high), grows ? below : 0};
}

/** Warm bytes of [from, to), which lies around the extent or beside it in the same run. */
static size_t warm_in(const struct wr_extent *extent, uintptr_t from, uintptr_t to)
{
    const struct wr_extent *first = extent, *next;
    size_t warm = 0;
    while (first->start > from && (next = free_below(first)) != NULL)
        first = next;
    for (next = first; next != NULL && next->start < to; next = free_above(next)) {
        uintptr_t low = wr_max(next->start, from), high = wr_min(end_of(next), to);
        warm += next->state == WR_EXTENT_WARM && low < high ? high - low : 0;
    }
    return warm;
}

static void better(struct spot *spot, const struct spot *other)
{
    if (spot->anchor == NULL || other->warm > spot->warm ||
        (other->warm == spot->warm &&
         (other->missing < spot->missing || (other->missing == spot->missing && other->run < spot->run))))
        *spot = *other;
}

/** Betters the spot, if the block could begin at `at`. */
static void try_at(struct spot *spot, struct wr_extent *anchor, const struct run *run, uintptr_t at, size_t size)
{
    if (at < run->from - run->below || at > run->to || size > run->to - at)
        return;
    size_t missing = at < run->from ? run->from - at : 0;
    better(spot, &(struct spot){anchor, at, warm_in(anchor, at, at + size), missing, run->to - run->from});
}

/** Betters the spot by what lies around a free extent: the places that begin where it does, and that end where it
 *  ends, as far as the run allows. One of all these has most that is warm. */
static void try_around(struct spot *spot, struct wr_extent *extent, size_t size, size_t align, size_t below)
{
    struct run run = run_around(extent, size, below);
    uintptr_t from = run.from - run.below;
    if (run.to - from < size)
        return;
    uintptr_t first = wr_min(extent->start, run.to - size), last = wr_max(end_of(extent), from + size) - size;
    first = wr_round_up(first, align), last = wr_round_down(last, align);
    bool fresh = extent->state == WR_EXTENT_FRESH; /* what is left is the lowest then, and grows with the next */
    try_at(spot, extent, &run, fresh ? last : first, size);
    try_at(spot, extent, &run, fresh ? first : last, size);
}

/** The first list from `which` on that is not empty, or SIZES. */
static unsigned next_size(const struct sizes *sizes, unsigned which)
{
    for (unsigned word = which / 64; word < WR_COUNT(sizes->some); word++, which = word * 64) {
        uint64_t some = sizes->some[word] >> which % 64;
        if (some != 0)
            return which + wr_bits_first(some);
    }
    return SIZES;
}

/** The smallest of the first extents of a list by size that has `size` bytes at a multiple of `align`, or NULL. */
static struct wr_extent *smallest_of(struct wr_extent *extent, size_t size, size_t align)
{
    struct wr_extent *best = NULL;
    for (unsigned left = LOOKED_AT; extent != NULL && left > 0; extent = extent->after, left--) {
        uintptr_t at = wr_round_up(extent->start, align);
        if (at < end_of(extent) && end_of(extent) - at >= size && (best == NULL || extent->size < best->size))
            best = extent;
    }
    return best;
}

/** The smallest extent that has `size` bytes at a multiple of `align`, or NULL; of many of about its size the smallest
 *  of some. pre: lock. */
static struct wr_extent *smallest_with(const struct sizes *sizes, size_t size, size_t align)
{
    struct wr_extent *best = NULL;
    for (unsigned which = list_for(size); best == NULL && (which = next_size(sizes, which)) < SIZES; which++)
        best = smallest_of(sizes->list[which], size, align);
    return best;
}

/** The place for a block: the smallest warm extent that has it; else where most of it is warm, cold address space
 *  beside it included. Up to `below` bytes may be mapped below the lowest extent for it. */
static struct spot find(size_t size, size_t align, size_t below)
{
    struct wr_extent *whole = smallest_with(&book.warm, size, align);
    if (whole != NULL)
        return (struct spot){whole, wr_round_up(whole->start, align), size, 0, whole->size};
    struct spot spot = {.anchor = NULL};
    static const enum wr_extent_state order[] = {WR_EXTENT_FRESH, WR_EXTENT_WARM, WR_EXTENT_COLD};
    for (unsigned i = 0; i < WR_COUNT(order); i++) {
        unsigned left = LOOKED_AT;
        for (struct wr_extent *extent = book.newest[order[i]]; extent != NULL && left > 0;
             extent = extent->older, left--)
            try_around(&spot, extent, size, align, below);
    }
    return spot;
}

/** Takes what lies in [from, to) out of a free extent. */
static void take_part(struct wr_extent *extent, uintptr_t from, uintptr_t to, struct wr_extent_tally *tally)
{
    uintptr_t start = extent->start, end = end_of(extent);
    from = wr_max(from, start);
    to = wr_min(to, end);
    tally->bytes[extent->state] += to - from;
    if (from > start && to < end)
        split(extent, to - start);
    if (from > start)
        set_bounds(extent, start, from - start);
    else if (to < end)
        set_bounds(extent, to, end - to);
    else
        drop(extent);
}

/** Makes [at, at + size) of the run of a free extent a block, which is not in the map yet. pre: two spare records. */
static struct wr_extent *carve(struct wr_extent *anchor, uintptr_t at, size_t size, struct wr_extent_tally *tally)
{
    struct wr_extent *extent = anchor, *next;
    while (extent->start > at)
        extent = extent->below;
    while (end_of(extent) <= at)
        extent = extent->above;
    bool huge = false;
    for (; extent != NULL && extent->start < at + size; extent = next) {
        next = extent->above;
        huge |= extent->huge;
        take_part(extent, at, at + size, tally);
    }
    struct wr_extent *made = add(at, size, WR_EXTENT_LIVE, NULL);
    made->huge = huge;
    return made;
}

/* ---- address space from the system ----------------------------------------------------------------------------- */

size_t wr_extent_unit(void)
{
    bool huge = wr_options.thp == WR_THP_ALWAYS || (wr_options.thp != WR_THP_NEVER && wr_os_huge() == WR_HUGE_UNASKED);
    return huge ? WR_MAP_SLOT : WR_PAGE_SIZE;
}

/** Rules huge pages out for a range, where the unit is a page: a program may have asked for them, for a block that it
 *  has freed, and the system would fill up with them what is given back. Each such range may be two mappings more, of
 *  which a process has 65,530: where there are many extents it is let be. */
static void exclude_huge(void *start, size_t size)
{
    if (wr_extent_unit() == WR_PAGE_SIZE && atomic_load_explicit(&records, memory_order_relaxed) < RECORDS_MANY)
        wr_os_advise_huge(start, size, false);
}

/** What WEIR_THP says of a range that was mapped. */
static void advise(void *start, size_t size)
{
    if (wr_options.thp == WR_THP_NEVER || wr_options.thp == WR_THP_ALWAYS)
        wr_os_advise_huge(start, size, wr_options.thp == WR_THP_ALWAYS);
}

/** Makes a range that was mapped an extent. False if there is no memory to know it by; then it is unmapped. */
static bool add_fresh(void *start, size_t size)
{
    advise(start, size);
    if (!wr_map_prepare(start, size) || !lock_with_spares(1)) {
        wr_space_unmap(start, size);
        return false;
    }
    join(add((uintptr_t)start, size, WR_EXTENT_FRESH, NULL));
    unlock();
    return true;
}

/* What is mapped begins at a multiple of an arena's size where the system allows it, so that arenas touch it, and the
 * system counts one mapping. */

static bool map(size_t size, size_t align)
{
    size_t whole = wr_round_up(size, WR_ARENA_SIZE);
    void *start = wr_space_map(whole, wr_max(align, WR_ARENA_SIZE));
    if (start != NULL)
        return add_fresh(start, whole);
    start = wr_space_map(size, align);
    return start != NULL && add_fresh(start, size);
}

/** Maps [from, to), right below the lowest extent, or nothing. */
static void map_below(uintptr_t from, uintptr_t to)
{
    uintptr_t whole = wr_round_down(from, WR_ARENA_SIZE);
    if (wr_space_map_at((void *)whole, to - whole))
        (void)add_fresh((void *)whole, to - whole);
    else if (whole < from && wr_space_map_at((void *)from, to - from))
        (void)add_fresh((void *)from, to - from);
}

/* ---- huge pages -------------------------------------------------------------------------------------------------- */

/* Pages that come again cost less as huge ones: a tenth of the time. But all of a huge page is resident from its first
 * touch on, and nobody knows what a program will touch of a block. So with WEIR_THP=auto blocks have them only while
 * what such blocks give back is found to have been touched, nearly all of it: each byte that was is credit for some
 * bytes to come, and what was not ends all credit. Extents with huge pages prove nothing: when they go, they bring back
 * the credit that they took, but one in eight does not, so that a block shows again what the program touches of it.
 * There is never more credit than large blocks took at a time when there was proof: so much, once more, may be resident
 * in vain when a program changes its ways.
 *
 * A block gets its huge pages when it is taken, one by one, and no more when one takes longer than small ones would: a
 * system that is short of them moves pages about first, and a virtual machine's host may have to find memory for what
 * was long free. That puts the next trial off, each time for longer. Afterwards huge pages are ruled out there, so that
 * the system does not fill up what goes back. Very long blocks have none: several threads may want to touch them. */
enum {
    BLOCK_MOST = 32 * WR_HUGE_PAGE,
    LOOKED_INTO = WR_HUGE_PAGE / 2, /* bytes that are worth a look */
    UNTOUCHED_SHARE = 8,            /* of what is looked at, that may be untouched */
    CREDIT_SHARE = 8,               /* times what was touched */
    LOST_SHARE = 8,                 /* of the extents with huge pages, one brings back no credit */
    PAUSE = 16,                     /* extents that go unseen after one that was not touched */
    PAUSE_MOST = 1024,
    SLOW_NS = 1000 * 1000, /* for one: 512 small pages take as long */
};

static struct {
    size_t bytes, most; /* and what it may be; guarded by: arena lock, as all here */
    unsigned pause;     /* extents that go unseen from now on */
    unsigned put_off;   /* the pause after the last trial that was slow */
    unsigned returns;   /* extents with huge pages that have gone */
} credit;

static bool may_ask(void)
{
    return wr_options.thp == WR_THP_AUTO && wr_options.purge == WR_PURGE_DONTNEED && WR_PAGE_SIZE == 4096 &&
           wr_os_huge() == WR_HUGE_ASKED;
}

/** pre: lock. */
static void add_credit(size_t bytes) { credit.bytes = wr_min(credit.bytes + bytes, credit.most); }

/** Gives back the credit that a block with huge pages took. */
static void return_credit(size_t bytes)
{
    lock();
    if (credit.put_off == 0 && ++credit.returns % LOST_SHARE != 0)
        add_credit(bytes);
    unlock();
}

/** Whether an extent goes unseen; counts it. */
static bool pauses(void)
{
    lock();
    bool paused = credit.pause > 0;
    credit.pause -= paused;
    unlock();
    return paused;
}

/** Looks at how much of an extent that is about to go was touched. */
static void prove(const struct wr_extent *extent)
{
    unsigned looked, untouched;
    if (pauses() || !wr_os_sample_untouched((void *)extent->start, extent->size, &looked, &untouched))
        return;
    size_t huge = live_and_warm();
    lock();
    if (untouched <= looked / UNTOUCHED_SHARE) {
        credit.most = wr_max(credit.most, huge);
        add_credit(CREDIT_SHARE * extent->size);
    } else {
        credit.bytes = 0;
        credit.pause = wr_max(credit.pause, (unsigned)PAUSE);
    }
    unlock();
}

/** The huge pages that lie in an extent as a whole. */
static struct wr_range huge_pages_of(const struct wr_extent *extent)
{
    uintptr_t from = wr_round_up(extent->start, WR_HUGE_PAGE), to = wr_round_down(end_of(extent), WR_HUGE_PAGE);
    return (struct wr_range){(void *)from, to > from ? to - from : 0};
}

/** Whether a block that was just made shall have huge pages; uses up the credit. pre: lock. */
static bool spend(struct wr_extent *extent, const struct wr_extent_tally *tally)
{
    size_t absent = tally->bytes[WR_EXTENT_COLD] + tally->bytes[WR_EXTENT_FRESH];
    if (extent->size > credit.bytes || absent < WR_HUGE_PAGE || extent->size > BLOCK_MOST ||
        huge_pages_of(extent).size == 0)
        return false;
    credit.bytes -= extent->size;
    extent->huge = true;
    return true;
}

static bool populate_one(char *start)
{
    uint64_t before = wr_os_now_ns();
    return wr_os_populate(start, WR_HUGE_PAGE) && wr_os_now_ns() - before < SLOW_NS;
}

/** Has huge pages back a block where they lie in it as a whole. */
static void make_huge(const struct wr_extent *extent)
{
    struct wr_range range = huge_pages_of(extent);
    size_t done = 0;
    if (!wr_os_advise_huge(range.start, range.size, true))
        return;
    while (done < range.size && populate_one((char *)range.start + done))
        done += WR_HUGE_PAGE;
    wr_os_advise_huge(range.start, range.size, false);
    bool slow = done < range.size;
    lock();
    credit.put_off = slow ? wr_min(wr_max(credit.put_off * 2, (unsigned)PAUSE), (unsigned)PAUSE_MOST) : 0;
    if (slow) {
        credit.bytes = 0;
        credit.pause = wr_max(credit.pause, credit.put_off);
    }
    unlock();
}

/* ---- blocks ------------------------------------------------------------------------------------------------------ */

struct wr_extent *wr_extent_take(size_t size, size_t align, struct wr_extent_tally *tally)
{
    for (size_t below = size;; below = 0) {
        if (!lock_with_spares(2))
            return NULL;
        struct spot spot = find(size, align, below);
        if (spot.anchor != NULL && spot.missing == 0) {
            struct wr_extent *extent = carve(spot.anchor, spot.at, size, tally);
            enter(extent);
            bool huge = spend(extent, tally);
            unlock();
            if (huge)
                make_huge(extent);
            return extent;
        }
        unlock();
        /* What is mapped is anybody's until the next look; as long as others take it there is more to map. */
        if (spot.anchor != NULL)
            map_below(spot.at, spot.at + spot.missing);
        else if (!map(size, align))
            return NULL;
    }
}

static bool is_live(const struct wr_extent *extent, const void *start)
{
    return extent->state == WR_EXTENT_LIVE && extent->start == (uintptr_t)start;
}

bool wr_extent_is_live(const struct wr_extent *extent, const void *start)
{
    lock();
    bool live = is_live(extent, start);
    unlock();
    return live;
}

bool wr_extent_free(struct wr_extent *extent, const void *start)
{
    lock();
    bool was = is_live(extent, start);
    if (was) {
        remove_from_map(extent);
        make_free(extent, WR_EXTENT_WARM);
    }
    unlock();
    return was;
}

bool wr_extent_shrink(struct wr_extent *extent, size_t size)
{
    if (!lock_with_spares(1))
        return false;
    remove_from_map(extent);
    struct wr_extent *rest = split(extent, size);
    enter(extent);
    make_free(rest, WR_EXTENT_WARM);
    unlock();
    return true;
}

/** Makes a block longer by what is free behind it. False if that is too little. */
static bool grow_in_place(struct wr_extent *extent, size_t size, struct wr_extent_tally *tally)
{
    if (!lock_with_spares(2))
        return false;
    struct wr_extent *above = free_above(extent);
    size_t more = size - extent->size;
    bool fits = above != NULL && run_around(above, more, 0).to - end_of(extent) >= more;
    if (fits) {
        remove_from_map(extent);
        struct wr_extent *part = carve(above, end_of(extent), more, tally);
        extent->huge |= part->huge;
        drop(part);
        set_bounds(extent, extent->start, size);
        enter(extent);
    }
    unlock();
    return fits;
}

static size_t cold_that_may_stay(void) { return live_and_warm() + COLD_KEPT; }

/* A block that grows bit by bit shall not be moved each time: where it moves to it has free address space behind it, a
 * quarter of its size, which costs nothing before it is touched. */

static size_t with_room(size_t size) { return wr_round_up(size + size / 4, wr_extent_unit()); }

/** Unmaps what an extent was that is detached: others may map there before this returns. Where the system refuses it is
 *  an extent again, in the state that it was in. */
static bool unmap(struct wr_extent *extent)
{
    bool done = wr_space_try_unmap((void *)extent->start, extent->size);
    lock();
    if (done) {
        keep_record(extent);
    } else {
        wr_order_add(&book.order, extent);
        count(extent->state, (int64_t)extent->size);
        list(extent, NULL);
        join(extent);
    }
    unlock();
    return done;
}

/** Unmaps the room that a block had behind it which has moved away, if that is no more than such a block is given. It
 *  would be a mapping of its own, and a process may have 65,530. */
static void unmap_room(uintptr_t start, size_t most)
{
    lock();
    struct wr_extent *room = wr_order_below(&book.order, start + 1);
    bool left = room != NULL && room->start == start && room->size <= most &&
                (room->state == WR_EXTENT_FRESH || room->state == WR_EXTENT_COLD);
    if (left)
        detach(room);
    unlock();
    if (left)
        unmap(room);
}

/** Has the system make a block longer, at another place if it must. *several as of wr_space_remap(). */
static bool move(struct wr_extent *extent, size_t size, bool *several)
{
    void *from = (void *)extent->start;
    size_t had = extent->size, mapped = with_room(size), unit = wr_extent_unit();
    /* Nobody may look the block up while it moves; its owner is here, so nobody has a right to. */
    lock();
    remove_from_map(extent);
    set_state(extent, WR_EXTENT_MOVING);
    wr_order_remove(&book.order, extent);
    unlock();
    void *start = wr_space_remap(from, had, mapped, unit, several);
    if (start == NULL && *several) { /* parts that were cold may differ by their advice alone */
        exclude_huge(from, had);
        start = wr_space_remap(from, had, mapped, unit, several);
    }
    if (start == NULL && !*several) {
        mapped = size;
        start = wr_space_remap(from, had, mapped, unit, several);
    }
    bool spare = lock_with_spares(1);
    if (!spare)
        lock();
    if (start != NULL)
        set_bounds(extent, (uintptr_t)start, size);
    set_state(extent, WR_EXTENT_LIVE);
    wr_order_add(&book.order, extent);
    enter(extent);
    bool rest = start != NULL && size < mapped;
    if (rest && spare)
        join(add(end_of(extent), mapped - size, WR_EXTENT_FRESH, NULL));
    unlock();
    if (rest && !spare)
        wr_space_unmap((char *)start + size, mapped - size);
    if (start != NULL && start != from)
        unmap_room((uintptr_t)from + had, with_room(had) - had);
    return start != NULL;
}

/** A block that has room behind it; NULL when the system refuses. */
static struct wr_extent *take_with_room(size_t size, struct wr_extent_tally *tally)
{
    for (;;) {
        if (!lock_with_spares(2))
            return NULL;
        struct wr_extent *place = smallest_with(&book.warm, with_room(size), 1);
        if (place == NULL)
            place = smallest_with(&book.fresh, with_room(size), 1);
        struct wr_extent *made = place != NULL ? carve(place, place->start, size, tally) : NULL;
        if (made != NULL)
            enter(made);
        unlock();
        if (made != NULL || !map(with_room(size), wr_extent_unit()))
            return made;
    }
}

/** Copies a block to a place of its own; where it was is WARM. */
static bool copy_away(struct wr_extent *extent, size_t size, struct wr_extent_tally *tally)
{
    struct wr_extent *place = take_with_room(size, tally);
    if (place == NULL)
        return false;
    memcpy((void *)place->start, (void *)extent->start, extent->size);
    lock();
    struct wr_extent old = *extent;
    remove_from_map(extent);
    remove_from_map(place);
    wr_order_remove(&book.order, extent);
    wr_order_remove(&book.order, place);
    set_bounds(extent, place->start, size);
    set_bounds(place, old.start, old.size);
    extent->huge = place->huge;
    place->huge = old.huge;
    wr_order_add(&book.order, extent);
    wr_order_add(&book.order, place);
    enter(extent);
    make_free(place, WR_EXTENT_WARM);
    unlock();
    return true;
}

bool wr_extent_grow(struct wr_extent *extent, size_t size, struct wr_extent_tally *tally)
{
    size_t had = extent->size;
    bool several = false;
    if (grow_in_place(extent, size, tally))
        return true;
    if (move(extent, size, &several))
        tally->bytes[WR_EXTENT_FRESH] += size - had;
    else if (!several || !copy_away(extent, size, tally))
        return false;
    wr_extent_unmap_cold(cold_that_may_stay()); /* room behind its former places, too */
    return true;
}

/* ---- back to the system ------------------------------------------------------------------------------------------ */

/** The longest of the oldest extents that are cold or fresh, or NULL. */
static struct wr_extent *longest_cold(void)
{
    struct wr_extent *longest = NULL;
    for (unsigned i = 0; i < 2; i++) {
        unsigned left = LOOKED_AT;
        for (struct wr_extent *extent = book.oldest[i == 0 ? WR_EXTENT_COLD : WR_EXTENT_FRESH];
             extent != NULL && left > 0; extent = extent->newer, left--)
            if (longest == NULL || extent->size > longest->size)
                longest = extent;
    }
    return longest;
}

void wr_extent_unmap_cold(size_t keep)
{
    struct wr_extent *extent;
    do {
        extent = NULL;
        lock();
        if (atomic_load_explicit(&wr_extent_count.cold, memory_order_relaxed) > keep)
            extent = longest_cold();
        if (extent != NULL)
            detach(extent);
        unlock();
    } while (extent != NULL && unmap(extent));
}

/** Ends the huge pages that lie across the ends of an extent which is about to go: they keep nothing of it. */
static void make_ends_small(const struct wr_extent *extent)
{
    if (extent->start % WR_HUGE_PAGE != 0)
        wr_os_split_huge((void *)extent->start);
    if (end_of(extent) % WR_HUGE_PAGE != 0)
        wr_os_split_huge((void *)(end_of(extent) - WR_PAGE_SIZE));
}

/** Discards what is in a warm extent that is marked as going. Where the system refuses it is detached. */
static bool discard(struct wr_extent *extent, enum wr_discard how)
{
    struct wr_range range = {(void *)extent->start, extent->size};
    if (extent->size >= LOOKED_INTO && may_ask()) {
        if (extent->huge)
            return_credit(extent->size);
        else
            prove(extent);
    }
    exclude_huge(range.start, range.size);
    if (extent->huge)
        make_ends_small(extent);
    bool done = wr_os_discard(&range, 1, how) == 1;
    lock();
    if (done) {
        extent->huge = false;
        make_free(extent, WR_EXTENT_COLD);
    } else {
        set_state(extent, WR_EXTENT_WARM);
        detach(extent);
    }
    unlock();
    return done;
}

/** What is to go of the warm extent that was freed longest ago: `size` bytes of it, at an end that lies beside cold
 *  ones, if it has one, else its last; or all of it. What stays is still the oldest. pre: lock. */
static struct wr_extent *what_goes(size_t size, bool may_split)
{
    struct wr_extent *extent = book.oldest[WR_EXTENT_WARM];
    size_t unit = wr_extent_unit(), rest = wr_max(unit, REST_PAGES * WR_PAGE_SIZE);
    if (extent == NULL || !may_split || size > extent->size - wr_min(extent->size, rest))
        return extent;
    size = wr_round_up(size, unit);
    if (free_above(extent) != NULL || free_below(extent) == NULL)
        return split(extent, extent->size - size);
    split(extent, size);
    return extent;
}

size_t wr_extent_give_back(size_t size, enum wr_discard how)
{
    bool may_split = lock_with_spares(1), discards = how != WR_DISCARD_NEVER;
    if (!may_split)
        lock();
    struct wr_extent *extent = what_goes(size, may_split);
    if (extent != NULL && discards)
        set_state(extent, WR_EXTENT_GOING);
    else if (extent != NULL)
        detach(extent);
    size = extent != NULL ? extent->size : 0;
    unlock();
    if (extent == NULL || !((discards && discard(extent, how)) || unmap(extent)))
        return 0;
    wr_account_return(size, true);
    wr_extent_unmap_cold(cold_that_may_stay());
    return size;
}

/* ---- checks ------------------------------------------------------------------------------------------------------ */

/** What is wrong with an extent, NULL if nothing is. pre: lock. */
static const char *fault_in(const struct wr_extent *extent)
{
    const struct wr_extent *above = extent->above;
    if (extent->size == 0 || extent->start % WR_PAGE_SIZE != 0 || extent->size % WR_PAGE_SIZE != 0)
        return "bounds";
    if (above != NULL && (above->below != extent || above->start < end_of(extent)))
        return "order";
    if (wr_order_below(&book.order, end_of(extent)) != extent)
        return "not found by its address";
    if (is_free_state(extent->state) && free_above(extent) != NULL && above->state == extent->state)
        return "two that are not joined";
    const struct sizes *sizes = sizes_of(extent->state);
    if (sizes != NULL &&
        (extent->before != NULL ? extent->before->after : sizes->list[list_for(extent->size)]) != extent)
        return "not in the list of its size";
    if (extent->state == WR_EXTENT_LIVE &&
        (extent->size < WR_MAP_SLOT || wr_extent_at((void *)extent->start) != extent ||
         wr_extent_at((void *)(end_of(extent) - 1)) != extent))
        return "map";
    return NULL;
}

void wr_extent_check(void)
{
    uint64_t warm = 0, cold = 0;
    lock();
    for (struct wr_extent *extent = book.order.lowest; extent != NULL; extent = extent->above) {
        const char *fault = fault_in(extent);
        if (fault != NULL)
            wr_fatal("corrupted extent of %zu bytes at %p: %s", extent->size, (void *)extent->start, fault);
        bool is_warm = extent->state == WR_EXTENT_WARM || extent->state == WR_EXTENT_GOING;
        *(is_warm ? &warm : &cold) += extent->state == WR_EXTENT_LIVE ? 0 : extent->size;
    }
    if (warm != atomic_load_explicit(&wr_extent_count.warm, memory_order_relaxed) ||
        cold != atomic_load_explicit(&wr_extent_count.cold, memory_order_relaxed))
        wr_fatal("extents have %zu bytes free and resident, %zu more free: the count is wrong", (size_t)warm,
                 (size_t)cold);
    unlock();
}
