/* SPDX-License-Identifier: MIT
 * Gives memory back; see purge.h for the law.
 *
 * A page is discarded in three steps, so that no lock is held across the system call: under the span's lock its slack
 * is marked busy (nobody takes busy pages); the pages of many spans are discarded in one call; under the lock they are
 * marked returned.
 *
 * Locks: `purging` (WR_RANK_PURGE), held by who purges; `emptying` (WR_RANK_EMPTY), held by who empties the caches of
 * heaps, and may wait long for the system's barrier. In malloc and free nobody waits for either, unless slack is half
 * over its bound: who frees faster than the system takes back, or while the one who purges does not get to run, waits
 * for his turn, so that it stays there. */
#include "core/purge.h"

#include "base/option.h"
#include "core/extent.h"
#include "core/heap.h"
#include "core/purger.h"
#include "core/registry.h"

enum {
    BATCH = 256,       /* ranges to one call */
    ARENAS = 32,       /* arenas looked through at a time */
    SPARES = 1,        /* empty arenas kept mapped when slack is over its bound */
    CUT_PAGES = 256,   /* the least that is given back of what huge blocks left: a system call each */
    COLD_PAGES = 64,   /* an empty arena with so few resident pages goes at once: its descriptors cost as much */
    BACKOFF_MS = 1000, /* after the system has refused, it is left alone for so long */
};

static struct wr_lock emptying, purging;
static bool zeroes;                       /* set once at start */
static enum wr_discard how;               /* set once at start */
static _Atomic uint64_t refused_until_ms; /* relaxed */

void wr_purge_init(void)
{
    static const enum wr_discard ways[] = {
        [WR_PURGE_DONTNEED] = WR_DISCARD_NOW, [WR_PURGE_FREE] = WR_DISCARD_LAZY, [WR_PURGE_NEVER] = WR_DISCARD_NEVER};
    how = ways[wr_options.purge];
    zeroes = how == WR_DISCARD_NOW && wr_os_discard_zeroes();
}

bool wr_purge_zeroes(void) { return zeroes; }

/* ---- the law ----------------------------------------------------------------------------------------------------- */

/* Regret: what is purged and soon taken again was purged in vain, and cost more than it gained. A cycle is regretted if
 * more than a tenth of what went back came again. Building and dropping a few times is what programs do, and their
 * memory shall go back each time; but once some cycles were regretted with less than a second between them, the program
 * is one that goes on so, and the bound is widened by what went back, or what came again where that is little beside
 * it, or to the double. Slack and used pages together never exceed the most that was used lately by more than a quarter
 * of that, and a few MiB: blocks that come again are of other sizes, and do not fit everywhere. With each second the
 * widening, and the memory of that peak, shrink by half; in the second in which the peak was nearly reached they do
 * not.
 *
 * What was learnt of small drops says nothing of a large one: where less than half is left of the least that those
 * cycles had in use, of those of one proof the one that had more, they are over, and the widening does not count. In a
 * process with threads the second such cycle is proof enough, for when it falls idle the purger narrows the bound. A
 * single-threaded one has nobody to do that, and a server that is idle after some requests would keep what they took.
 * There a cycle counts only if what came again cost a good part of its time; it takes three of the last few that left
 * nearly as much in use each, or many; and the widening is never more than a few times what is in use, so that it goes
 * with the blocks when a loop ends; small programs may have more, for a few blocks are little beside what even a small
 * loop takes. */
enum {
    WINDOW_MS = 1000,
    REGRET_SHARE = 10, /* of what went back, that comes again */
    VAIN_SHARE = 4,    /* so much that all of it went in vain */
    COSTLY_ALONE = 420 * 1024, /* bytes a millisecond: a sixth of the time, at 1.6 us for 4 KiB to go and come again */
    PATIENCE = 2,              /* cycles */
    PATIENCE_ALONE = 12,
    ALIKE_ALONE = 3,
    ALIKE_AMONG = 4, /* that they are looked for among: a turn of a loop may have several drops */
    ALIKE_SHARE = 4, /* of the larger trough, by which those of cycles that are alike differ at most */
    USED_ALONE = 4,  /* times what is in use */
    USED_ALONE_SMALL = 16,
    SMALL_ALONE = 32 * 1024 * 1024, /* what is more than USED_ALONE ends here */
    OVER_SHARE = 4,
    OVER_MOST = 8 * 1024 * 1024,
};

/* Heads of arenas count as slack as far as there are more of them than small programs have. */
enum { HEADS_FREE = 512 * 1024 };

static struct {
    uint64_t start_ms, returned, refaulted; /* when the window began, and the sums then; guarded by: purging */
    unsigned cycles;                        /* regretted, in a row; guarded by: purging */
    size_t recent[ALIKE_AMONG];             /* troughs of the last of them; guarded by: purging */
    _Atomic uint64_t end_ms;                /* when the window ends, and the widening shrinks; relaxed */
    _Atomic size_t extra;                   /* pages that the bound is wider; relaxed */
    _Atomic size_t demand;                  /* most pages used lately; relaxed */
    _Atomic size_t crest;                   /* most pages used since a second last passed; relaxed */
    _Atomic size_t trough;                  /* least pages used since the window began; relaxed */
    _Atomic size_t proven;                  /* the least that a proof has had in use: see is_proven(); relaxed */
} regret;

/* Of the room for slack beside the most that was ever used: see room(). */
enum { EASE_FROM = 2048, EASE_SHARE = 16 };

static struct {
    uint64_t start_ms, refaulted; /* when a second began, or room was given, and the sum then; guarded by: purging */
    _Atomic size_t pages;         /* that there is more room; relaxed */
} ease;

static size_t load(_Atomic size_t *figure) { return atomic_load_explicit(figure, memory_order_relaxed); }
static void store(_Atomic size_t *figure, size_t value) { atomic_store_explicit(figure, value, memory_order_relaxed); }

/** The most pages that may be resident by regret. */
static size_t ceiling(void)
{
    size_t demand = load(&regret.demand);
    return demand + wr_min(demand / OVER_SHARE, OVER_MOST >> WR_PAGE_SHIFT);
}

/** The most pages that the bound may be wider, with so many used, where nobody narrows it again. */
static size_t most_alone(size_t used)
{
    return wr_max(used * USED_ALONE, wr_min(used * USED_ALONE_SMALL, SMALL_ALONE >> WR_PAGE_SHIFT));
}

/** Pages that the bound is wider with so many used. */
static size_t widening(size_t used)
{
    size_t most = ceiling();
    if (used < load(&regret.proven) / 2)
        return 0;
    size_t extra = wr_min(load(&regret.extra), most > used ? most - used : 0);
    return wr_purger_is_absent() ? wr_min(extra, most_alone(used)) : extra;
}

/** The bound, in pages, without regret; with the heads of very many sparse arenas half of it stays. */
static size_t plain_bound(size_t used)
{
    size_t bound = wr_max(wr_options.slack >> WR_PAGE_SHIFT, used / 8);
    size_t heads = atomic_load_explicit(&wr_arena_count.arenas, memory_order_relaxed) * sizeof(struct wr_arena);
    return bound - wr_min((heads > HEADS_FREE ? heads - HEADS_FREE : 0) >> WR_PAGE_SHIFT, bound / 2);
}

/** Pages that slack may have so that, with what is used, it is little more than the program ever used at a time. What
 *  one size has let go of may be of no use to the next: a small program would fill the whole bound with it. */
static size_t room(size_t used)
{
    size_t most = atomic_load_explicit(&wr_account.most, memory_order_relaxed) >> WR_PAGE_SHIFT;
    size_t over = wr_max(wr_options.slack >> WR_PAGE_SHIFT, used) / 8 + load(&ease.pages);
    return (most > used ? most - used : 0) + over;
}

size_t wr_purge_bound(void)
{
    size_t used = wr_account_used() >> WR_PAGE_SHIFT;
    return wr_min(plain_bound(used), room(used)) + widening(used);
}

/** How often to halve what shrinks with each second. */
static unsigned seconds_of(uint64_t ms) { return (unsigned)wr_min(ms / WINDOW_MS, 32); }

/** Bytes that have come again since the start. */
static uint64_t refaulted(void) { return atomic_load_explicit(&wr_account.refaulted, memory_order_relaxed); }

/** More room where so many pages come again in a second that they take time. pre: purging. */
static void judge_room(uint64_t now_ms)
{
    uint64_t ms = now_ms - ease.start_ms, sum = refaulted();
    if (ms >= WINDOW_MS)
        store(&ease.pages, load(&ease.pages) >> seconds_of(ms));
    else if (sum - ease.refaulted > (uint64_t)EASE_FROM << WR_PAGE_SHIFT)
        store(&ease.pages, load(&ease.pages) + EASE_FROM / EASE_SHARE);
    else
        return;
    ease.start_ms = now_ms;
    ease.refaulted = sum;
}

/** Begins a new window; `ms` have passed since the last one began. pre: purging. */
static void open_window(uint64_t now_ms, uint64_t ms)
{
    size_t used = wr_account_used() >> WR_PAGE_SHIFT, demand = load(&regret.demand);
    unsigned seconds = seconds_of(ms);
    bool reached = load(&regret.crest) >= demand - demand / 8;
    unsigned halvings = seconds > 0 && reached ? seconds - 1 : seconds;
    store(&regret.extra, load(&regret.extra) >> halvings);
    store(&regret.demand, used + ((demand > used ? demand - used : 0) >> halvings));
    store(&regret.trough, used);
    if (seconds > 0) {
        store(&regret.crest, used);
        atomic_store_explicit(&wr_account.unmapped, 0, memory_order_relaxed);
    }
    regret.start_ms = now_ms;
    atomic_store_explicit(&regret.end_ms, now_ms + WINDOW_MS, memory_order_relaxed);
    regret.returned = atomic_load_explicit(&wr_account.returned, memory_order_relaxed);
    regret.refaulted = refaulted();
}

/** Ends the window if its time is over. pre: purging. */
static bool pass_time(uint64_t now_ms)
{
    uint64_t ms = now_ms - regret.start_ms;
    if (ms < WINDOW_MS)
        return false;
    regret.cycles = 0;
    open_window(now_ms, ms);
    return true;
}

/** Widens the bound by `more` pages, or to the double of the widening, where at least half of `least` is used. pre:
 *  purging. */
static void widen(size_t more, size_t least)
{
    size_t proven = load(&regret.proven);
    size_t extra = least < proven / 2 ? 0 : load(&regret.extra); /* else it was learnt of another loop, which is over */
    store(&regret.proven, extra > 0 ? wr_min(proven, least) : least);
    store(&regret.extra, wr_min(extra + wr_max(extra, more), ceiling()));
}

static bool are_alike(size_t trough, size_t other)
{
    size_t more = wr_max(trough, other);
    return more - wr_min(trough, other) <= more / ALIKE_SHARE;
}

/** Counts a regretted cycle; tells whether those in a row prove that the program goes on so. *least is the most that
 *  one of those had in use that prove it. pre: purging. */
static bool is_proven(size_t trough, size_t *least)
{
    unsigned alike = 1, last = (regret.cycles + ALIKE_AMONG - 1) % ALIKE_AMONG;
    size_t most_alike = trough;
    *least = regret.cycles > 0 ? wr_max(trough, regret.recent[last]) : trough;
    for (unsigned i = 0; i < wr_min(regret.cycles, ALIKE_AMONG); i++)
        if (are_alike(trough, regret.recent[i])) {
            alike++;
            most_alike = wr_max(most_alike, regret.recent[i]);
        }
    regret.recent[regret.cycles++ % ALIKE_AMONG] = trough;
    if (!wr_purger_is_absent())
        return regret.cycles >= PATIENCE;
    if (alike >= ALIKE_ALONE)
        *least = most_alike;
    return alike >= ALIKE_ALONE || regret.cycles >= PATIENCE_ALONE;
}

/** Whether a cycle is regretted in which so much went back in so many ms, and so much of it came again. */
static bool was_vain(uint64_t returned, uint64_t again, uint64_t ms)
{
    bool dear = !wr_purger_is_absent() || again >= ms * COSTLY_ALONE;
    return returned > 0 && again > returned / REGRET_SHARE && dear;
}

/** Judges what has been purged since the window began. pre: purging. */
static void judge(uint64_t now_ms)
{
    judge_room(now_ms);
    uint64_t returned = atomic_load_explicit(&wr_account.returned, memory_order_relaxed) - regret.returned;
    uint64_t again = refaulted() - regret.refaulted, ms = now_ms - regret.start_ms;
    if (!pass_time(now_ms) && was_vain(returned, again, ms)) {
        size_t least;
        if (is_proven(load(&regret.trough), &least)) /* what has not come again yet, of much that has, is on its way */
            widen((again > returned / VAIN_SHARE ? wr_max(again, returned) : again) >> WR_PAGE_SHIFT, least);
        open_window(now_ms, 0);
    }
}

static void note_use(void)
{
    size_t used = wr_account_used() >> WR_PAGE_SHIFT;
    if (used > load(&regret.demand))
        store(&regret.demand, used);
    if (used > load(&regret.crest))
        store(&regret.crest, used);
    if (used < load(&regret.trough))
        store(&regret.trough, used);
}

/* ---- one batch --------------------------------------------------------------------------------------------------- */

/** What is being discarded: the ranges, and what to settle afterwards for each span. guarded by: purging (it is not on
 * the stack because threads with the smallest stacks free memory too). */
static struct batch {
    bool refused; /* some of this round's batches */
    unsigned ranges, spans;
    size_t pages;
    struct wr_range range[BATCH];
    struct busy {
        struct wr_span *span;
        uint16_t pages;
        bool lent;
    } span[BATCH];
} batch;

/** Adds the pages of the 16 at `at`. */
static void batch_add_ranges(char *at, uint16_t pages)
{
    for (uint64_t left = pages; left != 0;) {
        unsigned first = wr_bits_first(left), length = wr_bits_run_length(left, first);
        char *start = at + ((size_t)first << WR_PAGE_SHIFT);
        struct wr_range *last = batch.ranges > 0 ? &batch.range[batch.ranges - 1] : NULL;
        if (last != NULL && (char *)last->start + last->size == start)
            last->size += (size_t)length << WR_PAGE_SHIFT;
        else
            batch.range[batch.ranges++] = (struct wr_range){start, (size_t)length << WR_PAGE_SHIFT};
        left &= ~wr_bits_run(first, length);
    }
}

static void batch_add(struct wr_span *span, uint16_t pages, bool lent)
{
    batch.span[batch.spans++] = (struct busy){span, pages, lent};
    batch.pages += wr_bits_count(pages);
    batch_add_ranges(wr_span_start(span), pages);
}

static bool is_lent(struct wr_span *span) { return atomic_load_explicit(&span->heap, memory_order_relaxed) != NULL; }

/** Pages of a span that no heap has: of a free one all that are resident, of a large run those behind its end. */
static uint16_t begin_unlent(struct wr_arena *arena, struct wr_span *span)
{
    uint16_t pages = 0;
    wr_lock(&wr_arena_lock, WR_RANK_ARENA);
    bool free = span->kind == WR_SPAN_FREE;
    if (free || span->kind == WR_SPAN_LARGE || span->kind == WR_SPAN_LARGE_MORE)
        pages = span->resident & (uint16_t)~span->busy & (free ? WR_ALL_PAGES : span->free);
    if (pages != 0)
        span->busy |= pages;
    if (free && pages != 0)
        arena->busy_spans |= UINT64_C(1) << wr_span_index(span);
    wr_unlock(&wr_arena_lock, WR_RANK_ARENA);
    return pages;
}

static void end_unlent(const struct busy *busy, uint16_t gone)
{
    struct wr_span *span = busy->span;
    struct wr_arena *arena = wr_arena_of(span);
    wr_lock(&wr_arena_lock, WR_RANK_ARENA);
    span->busy &= (uint16_t)~busy->pages;
    if (span->busy == 0)
        arena->busy_spans &= ~(UINT64_C(1) << wr_span_index(span));
    span->resident &= (uint16_t)~gone;
    span->returned |= gone;
    wr_unlock(&wr_arena_lock, WR_RANK_ARENA);
}

/** Gathers the slack of one arena into the batch, up to `most` pages, as far as the batch has room. */
static void gather(struct wr_arena *arena, size_t most)
{
    uint64_t todo = atomic_exchange_explicit(&arena->slack_spans, 0, memory_order_relaxed);
    /* A span gives at most 8 ranges. */
    while (todo != 0 && batch.pages < most && batch.ranges + WR_SPAN_PAGES / 2 <= BATCH && batch.spans < BATCH) {
        struct wr_span *span = &arena->span[wr_bits_first(todo)];
        bool lent;
        uint16_t pages;
        do { /* again, should it be lent or given back meanwhile */
            lent = is_lent(span);
            pages = lent ? wr_heap_begin_purge(span) : begin_unlent(arena, span);
        } while (pages == 0 && lent != is_lent(span));
        if (pages != 0)
            batch_add(span, pages, lent);
        todo &= todo - 1;
    }
    if (todo != 0)
        atomic_fetch_or_explicit(&arena->slack_spans, todo, memory_order_relaxed);
}

/** Of the pages that were to go of the 16 at `at`, those in ranges that went. */
static uint16_t pages_gone(const char *at, uint16_t pages)
{
    uint16_t gone = 0;
    for (unsigned i = 0; i < batch.ranges; i++)
        for (unsigned page = 0; page < WR_SPAN_PAGES; page++)
            if ((size_t)(at + ((size_t)page << WR_PAGE_SHIFT) - (char *)batch.range[i].start) < batch.range[i].size)
                gone |= (uint16_t)(1u << page);
    return gone & pages;
}

/** Discards and settles a batch; returns the pages that went. What was refused stays slack, but is not looked at again
 *  until more of its span becomes free, or all is asked for. */
static size_t flush(void)
{
    bool all = wr_os_discard(batch.range, batch.ranges, how) == batch.ranges;
    size_t gone_pages = 0;
    for (unsigned i = 0; i < batch.spans; i++) {
        const struct busy *busy = &batch.span[i];
        uint16_t gone = all ? busy->pages : pages_gone(wr_span_start(busy->span), busy->pages);
        if (busy->lent)
            wr_heap_end_purge(busy->span, busy->pages, gone);
        else
            end_unlent(busy, gone);
        gone_pages += wr_bits_count(gone);
    }
    wr_account_add(&wr_account.slack, -(int64_t)gone_pages);
    wr_account_return((uint64_t)gone_pages << WR_PAGE_SHIFT, false);
    batch.refused |= !all;
    batch.ranges = batch.spans = 0;
    batch.pages = 0;
    return gone_pages;
}

/* ---- rounds ------------------------------------------------------------------------------------------------------ */

static size_t excess(size_t keep)
{
    size_t slack = wr_account_slack();
    return slack > keep ? slack - keep : 0;
}

/** Gives back what huge blocks left, until slack is `keep` pages; returns the pages that went. */
static size_t purge_huge(size_t keep, enum wr_discard with)
{
    size_t gone = 0, some;
    while (excess(keep) > 0 &&
           (some = wr_extent_give_back(excess(keep) << WR_PAGE_SHIFT, with) >> WR_PAGE_SHIFT) > 0)
        gone += some;
    return gone;
}

/** Gives back what describes nothing of the heads of sparse arenas; returns the bytes that went. They were bookkeeping,
 *  not slack. pre: the purging lock; nothing is in the batch. */
static size_t purge_heads(void)
{
    struct wr_head head[ARENAS];
    size_t gone = 0, before;
    if (how == WR_DISCARD_NEVER)
        return 0;
    do {
        unsigned count = wr_arena_pin_heads(head, ARENAS);
        before = gone;
        for (unsigned i = 0; i < count; i++)
            batch_add_ranges((char *)head[i].arena, head[i].pages);
        wr_os_discard(batch.range, batch.ranges, how);
        for (unsigned i = 0; i < count; i++) {
            head[i].pages = pages_gone((char *)head[i].arena, head[i].pages);
            gone += wr_bits_count(head[i].pages);
        }
        batch.ranges = 0;
        wr_arena_unpin_heads(head, count);
    } while (gone > before);
    wr_account_return((uint64_t)gone << WR_PAGE_SHIFT, false);
    return gone << WR_PAGE_SHIFT;
}

/** Ends huge pages in an arena of which some are to go, so that nothing refills what goes, and nothing keeps it. All of
 *  its slack goes, and what its head does not need: of a huge page that is split the system takes away what is zero.
 *  Returns the pages that went, those of the batch too. */
static size_t end_huge(struct wr_arena *arena)
{
    size_t gone = 0, before;
    wr_os_advise_huge(arena, WR_ARENA_SIZE, false);
    wr_arena_split_huge(arena);
    arena->huge = false;
    do {
        before = gone;
        gather(arena, SIZE_MAX);
        gone += flush();
    } while (gone > before);
    purge_heads();
    return gone;
}

/** Looks through pinned arenas; returns the pages that went. */
static size_t purge_arenas(struct wr_arena *const *arena, unsigned count, size_t keep)
{
    size_t gone = 0;
    for (unsigned i = 0; i < count; i++) {
        if (arena[i]->huge && excess(keep) > batch.pages)
            gone += end_huge(arena[i]);
        while (excess(keep) > batch.pages && atomic_load_explicit(&arena[i]->slack_spans, memory_order_relaxed) != 0) {
            size_t before = batch.pages;
            gather(arena[i], excess(keep));
            if (batch.ranges + WR_SPAN_PAGES / 2 > BATCH || batch.spans == BATCH)
                gone += flush();
            else if (batch.pages == before)
                break;
        }
    }
    if (batch.spans > 0)
        gone += flush();
    return gone;
}

/** Down to `keep` pages of slack: what huge blocks left, then empty arenas, then pages. `unmap`: what huge blocks left
 *  is unmapped. pre: the purging lock. */
static size_t purge_to(size_t keep, bool unmap)
{
    struct wr_arena *arena[ARENAS];
    size_t gone = purge_huge(keep, unmap ? WR_DISCARD_NEVER : how), before;
    if (excess(keep) > 0)
        gone += wr_arena_reap(keep == 0 ? 0 : SPARES, WR_ARENA_PAGES);
    if (how == WR_DISCARD_NEVER)
        return gone << WR_PAGE_SHIFT;
    batch.refused = false;
    do {
        before = gone;
        unsigned count = excess(keep) > 0 ? wr_arena_pin_slack(arena, ARENAS) : 0;
        gone += purge_arenas(arena, count, keep);
        wr_arena_unpin(arena, count);
    } while (gone > before);
    if (gone == 0 && batch.refused)
        atomic_store_explicit(&refused_until_ms, wr_os_now_ms() + BACKOFF_MS, memory_order_relaxed);
    atomic_fetch_add_explicit(&wr_account.purges, 1, memory_order_relaxed);
    return gone << WR_PAGE_SHIFT;
}

/** Whether the bound is wider than it should be by now. */
static bool is_widening_due(void)
{
    return load(&regret.extra) > 0 && wr_os_now_ms() >= atomic_load_explicit(&regret.end_ms, memory_order_relaxed);
}

static bool is_over(void) { return wr_account_slack() > wr_purge_bound(); }

/** Whether it is of use to try: the system has not refused lately. */
static bool may_purge(uint64_t now_ms)
{
    return now_ms >= atomic_load_explicit(&refused_until_ms, memory_order_relaxed);
}

/** Takes the lock if it is free, or if so much slack has gathered that it is worth waiting for. */
static bool lock_or_leave(void)
{
    if (wr_try_lock(&purging, WR_RANK_PURGE))
        return true;
    if (wr_account_slack() <= wr_purge_bound() / 2 * 3 || wr_lock_is_mine(&purging))
        return false;
    wr_lock(&purging, WR_RANK_PURGE);
    return true;
}

/** Down to the bound by what huge blocks left, as far as it must go, because what the next one lacks is faulted in
 * again; else to three quarters of it, so that pages go in batches. pre: the purging lock. */
static size_t purge_over(void)
{
    size_t gone = 0, over, cut;
    while ((over = excess(wr_purge_bound())) > 0 &&
           (cut = wr_extent_give_back(wr_max(over, CUT_PAGES) << WR_PAGE_SHIFT, how)) > 0)
        gone += cut;
    if (is_over())
        return gone + purge_to(wr_purge_bound() / 4 * 3, false);
    atomic_fetch_add_explicit(&wr_account.purges, 1, memory_order_relaxed);
    return gone;
}

/** Purges as long as slack is over the bound and that helps. Who finds the lock taken leaves it to the one who has it,
 * and who looks again when he has let it go: what he had decided to keep may be too much by then. pre: no lock. */
static void keep_bound(uint64_t now_ms)
{
    bool over;
    size_t gone = 0;
    do {
        if (!lock_or_leave())
            return;
        judge(now_ms);
        over = is_over();
        if (over)
            gone = purge_over();
        wr_unlock(&purging, WR_RANK_PURGE);
    } while (is_over() && (!over || gone > 0));
}

/** Lets go of `purging`, and does what others have left to who had it. */
static void let_go(void)
{
    wr_unlock(&purging, WR_RANK_PURGE);
    if (!is_over())
        return;
    uint64_t now = wr_os_now_ms();
    if (may_purge(now))
        keep_bound(now);
}

void wr_purge_check(void)
{
    if (wr_unlikely(how == WR_DISCARD_NEVER))
        return;
    note_use();
    wr_purger_call();
    if (wr_likely(!is_over() && !is_widening_due())) {
        wr_arena_reap(SPARES, COLD_PAGES);
        return;
    }
    uint64_t now = wr_os_now_ms();
    if (may_purge(now)) {
        keep_bound(now);
        return;
    }
    wr_arena_reap(SPARES, WR_ARENA_PAGES);
    purge_huge(wr_purge_bound(), WR_DISCARD_NEVER);
}

/** Notes all slack anew, that which was refused before too. Looks at spans of running heaps: a guess is good enough. */
static WR_RACY void look_again(struct wr_arena *arena, void *arg WR_UNUSED)
{
    for (unsigned i = 1; i < WR_ARENA_SPANS; i++) {
        struct wr_span *span = &arena->span[i];
        if ((span->resident & (span->kind == WR_SPAN_FREE ? WR_ALL_PAGES : span->free)) != 0)
            wr_arena_note_slack(span);
    }
}

size_t wr_purge_to(size_t keep)
{
    if (wr_lock_is_mine(&purging))
        return 0;
    wr_lock(&purging, WR_RANK_PURGE);
    wr_arena_each(look_again, NULL);
    size_t gone = purge_to(keep, true);
    wr_extent_unmap_cold(0);
    gone += purge_heads();
    store(&regret.extra, 0);
    let_go();
    return gone;
}

/* ---- the purger's looks ---------------------------------------------------------------------------------------- */

/* A look that finds that much of what went at the look before was taken again has learnt that the program comes back
 * after a pause: it waits longer from then on, up to WAIT_MOST looks in all, and less again when nothing comes back. */
enum { WAIT_MOST = 3 };

static struct {
    unsigned waited, wait; /* looks since slack went or was taken, and how many it takes. guarded by: purging */
    size_t gone;           /* bytes given back by the last one that did; guarded by: purging */
    uint64_t refaulted;    /* the sum then; guarded by: purging */
    _Atomic bool waits;    /* relaxed */
} look = {.wait = 1};

/** What of the last look's purge was taken again decides how long the next one waits. pre: purging. */
static void learn(void)
{
    uint64_t sum = refaulted(), again = sum - look.refaulted;
    if (look.gone > 0)
        look.wait = again > look.gone / REGRET_SHARE ? (unsigned)wr_min(look.wait + 1, WAIT_MOST) : 1;
    look.gone = 0;
    look.refaulted = sum;
}

size_t wr_purge_unused(size_t more)
{
    size_t gone = 0, used = 0;
    wr_lock(&purging, WR_RANK_PURGE);
    pass_time(wr_os_now_ms());
    if (++look.waited >= look.wait) {
        size_t slack = wr_account_slack(), least = wr_account_take_least();
        learn();
        used = slack - wr_min(slack, least + more);
        if (least + more > 0)
            gone = purge_to(used, false);
        look.gone = gone;
        look.waited = 0;
        if (gone > 0)
            gone += purge_heads();
        wr_account_take_least();
    }
    atomic_store_explicit(&look.waits, look.waited > 0 || used > 0, memory_order_relaxed);
    let_go();
    return gone;
}

bool wr_purge_waits(void) { return atomic_load_explicit(&look.waits, memory_order_relaxed); }

/* ---- the caches of heaps --------------------------------------------------------------------------------------- */

struct visit {
    bool (*wanted)(struct wr_heap *, void *);
    void *arg, *self;
    bool some; /* other threads' */
};

static void tidy(struct wr_heap *heap, void *arg)
{
    struct visit *visit = arg;
    if (!visit->wanted(heap, visit->arg))
        return;
    visit->some |= heap != visit->self;
    wr_heap_tidy(heap, heap == visit->self);
}

static void empty(struct wr_heap *heap, void *passed) { wr_heap_empty(heap, *(bool *)passed); }

void wr_purge_heaps(bool (*wanted)(struct wr_heap *, void *), void *arg, struct wr_heap *self)
{
    struct visit visit = {.wanted = wanted, .arg = arg, .self = self};
    if (wr_lock_is_mine(&emptying) || wr_lock_is_mine(&purging))
        return;
    /* Held to the end: a list that another thread takes after our barrier must not be taken for one of ours. */
    wr_lock(&emptying, WR_RANK_EMPTY);
    wr_registry_each(tidy, &visit);
    if (visit.some) {
        bool passed = wr_os_alone() || wr_os_barrier();
        wr_registry_each(empty, &passed);
    }
    wr_unlock(&emptying, WR_RANK_EMPTY);
}

void wr_purge_fork_prepare(void)
{
    wr_lock_fork_prepare(&emptying, WR_RANK_EMPTY);
    wr_lock_fork_prepare(&purging, WR_RANK_PURGE);
}

void wr_purge_fork_done(void)
{
    wr_lock_fork_done(&purging, WR_RANK_PURGE);
    wr_lock_fork_done(&emptying, WR_RANK_EMPTY);
}
