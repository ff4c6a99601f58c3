/* SPDX-License-Identifier: MIT
 * Who has which arena memory lent; see arena.h for the states.
 *
 * Arenas are kept by their number of free spans. A span is taken from the fullest arena that has one, pymalloc's rule:
 * so the emptier ones drain, and go. Lock: wr_arena_lock (WR_RANK_ARENA). No system call is made under it.
 *
 * Invariants, under the lock: an arena is in bin[wr_bits_count(free_spans)]; `filled` has a bit for each bin that is
 * not empty; an arena with every span free, none busy and no pin may be unmapped. */
#include "core/arena.h"

#include <limits.h>

#include "base/option.h"
#include "core/account.h"
#include "core/purge.h"
#include "core/space.h"

struct wr_lock wr_arena_lock;
struct wr_arena_count wr_arena_count;

enum { EMPTY = WR_ARENA_SPANS - 1 }; /* free spans of an empty arena */

static struct {
    struct wr_arena *bin[WR_ARENA_SPANS]; /* by number of free spans; guarded by: wr_arena_lock */
    uint64_t filled;                      /* bins that are not empty; guarded by: wr_arena_lock */
    _Atomic unsigned empty;               /* arenas in bin[EMPTY]; written under the lock, read as a hint */
} table;

static void lock(void) { wr_lock(&wr_arena_lock, WR_RANK_ARENA); }
static void unlock(void) { wr_unlock(&wr_arena_lock, WR_RANK_ARENA); }

/* ---- the table of arenas --------------------------------------------------------------------------------------- */

static void note_empty(int change)
{
    unsigned now = atomic_load_explicit(&table.empty, memory_order_relaxed);
    atomic_store_explicit(&table.empty, now + (unsigned)change, memory_order_relaxed);
}

/* The first arena of a bin has the last as the one before it. */

static void table_add(struct wr_arena *arena)
{
    unsigned b = wr_bits_count(arena->free_spans);
    struct wr_arena *first = table.bin[b];
    arena->next = first;
    arena->prev = first != NULL ? first->prev : arena;
    if (first != NULL)
        first->prev = arena;
    table.bin[b] = arena;
    table.filled |= UINT64_C(1) << b;
    if (b == EMPTY)
        note_empty(1);
}

static void table_remove(struct wr_arena *arena)
{
    unsigned b = wr_bits_count(arena->free_spans);
    if (arena == table.bin[b])
        table.bin[b] = arena->next;
    else
        arena->prev->next = arena->next;
    if (arena->next != NULL)
        arena->next->prev = arena->prev;
    else if (table.bin[b] != NULL)
        table.bin[b]->prev = arena->prev;
    if (table.bin[b] == NULL)
        table.filled &= ~(UINT64_C(1) << b);
    if (b == EMPTY)
        note_empty(-1);
}

/** Makes an arena the last of its bin. */
static void put_last(struct wr_arena *arena)
{
    struct wr_arena *first, *last;
    table_remove(arena);
    table_add(arena);
    first = arena->next;
    if (first == NULL)
        return;
    last = arena->prev;
    table.bin[wr_bits_count(arena->free_spans)] = first;
    first->prev = arena;
    last->next = arena;
    arena->next = NULL;
}

static void set_free_spans(struct wr_arena *arena, uint64_t free_spans)
{
    table_remove(arena);
    arena->free_spans = free_spans;
    table_add(arena);
}

void wr_arena_each(void (*fn)(struct wr_arena *, void *), void *arg)
{
    lock();
    for (unsigned b = 0; b < WR_ARENA_SPANS; b++)
        for (struct wr_arena *arena = table.bin[b]; arena != NULL; arena = arena->next)
            fn(arena, arg);
    unlock();
}

/* ---- the head's pages ------------------------------------------------------------------------------------------ */

/** The page of a head that the byte at `offset` lies in, as a bit. */
static uint16_t head_page(size_t offset) { return (uint16_t)(1u << (offset >> WR_PAGE_SHIFT)); }

/** Those that are always needed: what the arena knows of itself, and its spans. */
static uint16_t fixed_pages(void) { return head_page(0) | head_page(offsetof(struct wr_arena, span)); }

/** The page with the descriptors of a span's pools. */
static uint16_t pools_page(unsigned span) { return head_page(span * WR_SPAN_PAGES * sizeof(struct wr_pool)); }

/** The spans whose pools' descriptors lie in some of the pages. */
static uint64_t described_by(uint16_t pages)
{
    unsigned each = (unsigned)wr_min(WR_PAGE_SIZE / (WR_SPAN_PAGES * sizeof(struct wr_pool)), WR_ARENA_SPANS);
    uint64_t spans = 0;
    for (unsigned page = 0; page < WR_ARENA_SPANS / each; page++)
        if ((pages >> page & 1) != 0)
            spans |= wr_bits_run(page * each, each);
    return spans;
}

/** Resident pages of a head that nothing needs. A huge page is let be as a whole. pre: lock. */
static uint16_t idle_head_pages(const struct wr_arena *arena)
{
    uint16_t idle = 0;
    for (unsigned left = arena->huge ? 0u : arena->head & (uint16_t)~fixed_pages(); left != 0; left &= left - 1)
        if ((described_by((uint16_t)(left & -left)) & arena->pooled) == 0)
            idle |= (uint16_t)(left & -left);
    return idle;
}

unsigned wr_arena_pin_heads(struct wr_head *head, unsigned most)
{
    unsigned count = 0;
    lock();
    for (unsigned b = WR_ARENA_SPANS; b-- > 0 && count < most;)
        for (struct wr_arena *arena = table.bin[b]; arena != NULL && count < most; arena = arena->next) {
            uint16_t pages = idle_head_pages(arena);
            if (pages == 0)
                continue;
            arena->pins++;
            arena->head_going = pages;
            head[count++] = (struct wr_head){arena, pages};
        }
    unlock();
    return count;
}

void wr_arena_unpin_heads(const struct wr_head *head, unsigned count)
{
    lock();
    for (unsigned i = 0; i < count; i++) {
        head[i].arena->pins--;
        head[i].arena->head_going = 0;
        head[i].arena->head &= (uint16_t)~head[i].pages;
    }
    unlock();
}

static void arena_init(struct wr_arena *arena)
{
    /* Fresh memory is zero: no page resident, none busy, every pool unowned. Spans and pools say "free" by their first
     * use, so that descriptors nobody needs stay untouched. */
    arena->free_spans = WR_ALL_SPANS;
    arena->span[0].kind = WR_SPAN_HEAD;
    arena->head = fixed_pages();
}

/* ---- huge pages ------------------------------------------------------------------------------------------------ */

/* The first touch of a huge page makes all of its pages resident, and the kernel may later make huge pages of small
 * ones by itself, in the holes that were given back. Neither may happen unseen. So an arena has huge pages only if all
 * of it is backed by them from the start: it is touched at once, looked at, and counted as slack, for which the bound
 * must have room. Before its first page goes back the arena is excluded from huge pages for good. All other arenas are
 * excluded when they are mapped, so a small program has none. */

/** Whether slack may grow by an arena: an eighth of what is used, and never the fixed part of the bound. */
static bool has_room(void) { return (wr_account_slack() << WR_PAGE_SHIFT) + WR_ARENA_SIZE <= wr_account_used() / 8; }

static bool wants_huge(void)
{
    if (WR_ARENA_SIZE % WR_HUGE_PAGE != 0 || WR_PAGE_SIZE != 4096)
        return false;
    switch (wr_options.thp) {
    case WR_THP_SYSTEM:
    case WR_THP_AUTO:
        return has_room() && wr_os_huge() == WR_HUGE_UNASKED;
    default:
        return wr_options.thp == WR_THP_ALWAYS;
    }
}

/** Notes which pages of a fresh arena are resident; returns how many, the head's not counted. */
static unsigned note_resident(struct wr_arena *arena, const unsigned char *pages)
{
    unsigned count = 0;
    for (unsigned page = 0; page < WR_SPAN_PAGES; page++)
        if ((pages[page] & 1) != 0)
            arena->head |= (uint16_t)(1u << page);
    for (unsigned page = WR_SPAN_PAGES; page < WR_ARENA_PAGES; page++)
        if ((pages[page] & 1) != 0) {
            struct wr_span *span = &arena->span[page / WR_SPAN_PAGES];
            span->resident |= (uint16_t)(1u << page % WR_SPAN_PAGES);
            wr_arena_note_slack(span);
            count++;
        }
    return count;
}

void wr_arena_split_huge(struct wr_arena *arena)
{
    for (size_t at = 0; at < WR_ARENA_SIZE; at += WR_HUGE_PAGE)
        wr_os_split_huge((char *)arena + at);
}

/** Has huge pages back a fresh arena, as far as there are some. Nobody else knows the arena yet. */
static void make_huge(struct wr_arena *arena)
{
    unsigned char pages[1024] = {0};
    _Static_assert(WR_ARENA_PAGES <= sizeof pages, "a byte for each page");
    for (size_t at = 0; at < WR_ARENA_SIZE; at += WR_HUGE_PAGE)
        *(volatile char *)((char *)arena + at) = 0;
    bool known = wr_os_look_resident(arena, WR_ARENA_SIZE, pages);
    unsigned count = known ? note_resident(arena, pages) : 0;
    arena->huge = count == WR_ARENA_PAGES - WR_SPAN_PAGES;
    if (!arena->huge) /* there were not enough of them */
        wr_os_advise_huge(arena, WR_ARENA_SIZE, false);
    if (!known) { /* then none is resident but the head's */
        struct wr_range range = {wr_span_start(&arena->span[1]), WR_ARENA_SIZE - WR_SPAN_SIZE};
        wr_arena_split_huge(arena);
        wr_os_discard(&range, 1, WR_DISCARD_NOW);
    }
    wr_account_add(&wr_account.slack, count);
}

/* ---- arenas come and go ---------------------------------------------------------------------------------------- */

bool wr_arena_grow(void)
{
    struct wr_arena *arena = wr_space_map(WR_ARENA_SIZE, WR_ARENA_SIZE);
    if (arena == NULL)
        return false;
    if (!wr_map_prepare(arena, WR_ARENA_SIZE)) {
        wr_space_unmap(arena, WR_ARENA_SIZE);
        return false;
    }
    bool huge = wants_huge();
    if (!huge || wr_options.thp == WR_THP_ALWAYS)
        wr_os_advise_huge(arena, WR_ARENA_SIZE, huge); /* before the first touch */
    arena_init(arena);
    if (huge)
        make_huge(arena);
    lock();
    wr_map_add_arena(arena);
    table_add(arena);
    unlock();
    wr_account_map(WR_ARENA_SIZE);
    atomic_fetch_add_explicit(&wr_arena_count.arenas, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&wr_arena_count.mapped, 1, memory_order_relaxed);
    return true;
}

static bool may_go(const struct wr_arena *arena)
{
    return arena->free_spans == WR_ALL_SPANS && arena->busy_spans == 0 && arena->pins == 0;
}

static unsigned resident_pages(const struct wr_arena *arena)
{
    unsigned pages = 0;
    for (unsigned i = 1; i < WR_ARENA_SPANS; i++)
        pages += wr_bits_count(arena->span[i].resident);
    return pages;
}

enum { LOOKED_AT = 4 }; /* empty arenas that one look for a cold one may cost */

/** Takes an empty arena with at most `most` resident pages out of the table and the map; NULL if there are no more than
 *  `spares`, or none of those emptied last is so. *slack is its resident pages. */
static struct wr_arena *detach_empty(unsigned spares, unsigned most, unsigned *slack)
{
    struct wr_arena *found = NULL;
    if (atomic_load_explicit(&table.empty, memory_order_relaxed) <= spares)
        return NULL; /* looked at without the lock: whoever empties an arena comes by here */
    lock();
    if (atomic_load_explicit(&table.empty, memory_order_relaxed) > spares) {
        unsigned left = most < WR_ARENA_PAGES ? LOOKED_AT : UINT_MAX;
        for (found = table.bin[EMPTY]; found != NULL; found = left > 0 ? found->next : NULL, left--)
            if (may_go(found) && (*slack = resident_pages(found)) <= most)
                break;
    }
    if (found != NULL) {
        table_remove(found);
        wr_map_remove_arena(found);
    }
    unlock();
    return found;
}

size_t wr_arena_reap(unsigned spares, unsigned most)
{
    unsigned slack;
    size_t gone = 0;
    for (struct wr_arena *arena; (arena = detach_empty(spares, most, &slack)) != NULL;) {
        gone += slack;
        wr_account_add(&wr_account.slack, -(int64_t)slack);
        wr_account_return((uint64_t)slack << WR_PAGE_SHIFT, true);
        wr_space_unmap(arena, WR_ARENA_SIZE);
        atomic_fetch_sub_explicit(&wr_arena_count.arenas, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&wr_arena_count.unmapped, 1, memory_order_relaxed);
    }
    return gone;
}

/* ---- spans ----------------------------------------------------------------------------------------------------- */

enum {
    ARENAS_ASKED = 8,   /* arenas with free spans that are looked through for one that is still resident */
    ARENAS_MISSED = 64, /* that are looked through in vain */
};

/** The arena to take a span from, and its spans to choose among: the fullest, but one that has resident spans before
 *  one that has none. Else slack would lie in one arena while another's pages are fetched from the system. NULL: there
 *  is none. pre: lock. */
static struct wr_arena *find_spans(uint64_t *spans)
{
    struct wr_arena *found = NULL;
    unsigned asked = 0;
    for (uint64_t bins = table.filled & ~UINT64_C(1); bins != 0; bins &= bins - 1)
        for (struct wr_arena *arena = table.bin[wr_bits_first(bins)]; arena != NULL; arena = arena->next) {
            uint64_t ready = arena->free_spans & ~arena->busy_spans;
            if (wr_unlikely(arena->head_going != 0))
                ready &= ~described_by(arena->head_going);
            uint64_t warm = ready & atomic_load_explicit(&arena->slack_spans, memory_order_relaxed);
            if (ready == 0)
                continue;
            if (found == NULL || warm != 0) {
                found = arena;
                *spans = warm != 0 ? warm : ready;
            }
            if (warm != 0 || ++asked == ARENAS_ASKED)
                return found;
        }
    return found;
}

struct wr_span *wr_arena_take_span(struct wr_heap *heap, enum wr_span_kind kind, unsigned class)
{
    struct wr_span *span = NULL;
    uint64_t spans = 0;
    lock();
    struct wr_arena *arena = find_spans(&spans);
    if (arena != NULL) {
        unsigned index = wr_bits_first(spans);
        set_free_spans(arena, arena->free_spans & ~(UINT64_C(1) << index));
        span = &arena->span[index];
        span->free = WR_ALL_PAGES;
        span->class = (uint8_t) class;
        span->kind = (uint8_t)kind;
        if (kind != WR_SPAN_MEDIUM) {
            arena->pooled |= UINT64_C(1) << index;
            arena->head |= pools_page(index);
        }
        atomic_store_explicit(&span->heap, heap, memory_order_relaxed);
    }
    unlock();
    return span;
}

void wr_arena_give_span(struct wr_span *span)
{
    struct wr_arena *arena = wr_arena_of(span);
    wr_assert(span->free == WR_ALL_PAGES && span->busy == 0);
    lock();
    span->kind = WR_SPAN_FREE;
    atomic_store_explicit(&span->heap, NULL, memory_order_relaxed);
    arena->pooled &= ~(UINT64_C(1) << wr_span_index(span));
    set_free_spans(arena, arena->free_spans | UINT64_C(1) << wr_span_index(span));
    unlock();
}

/* ---- large runs ------------------------------------------------------------------------------------------------ */

static unsigned spans_of(size_t pages) { return (unsigned)((pages + WR_SPAN_PAGES - 1) / WR_SPAN_PAGES); }

/** The pages that a run of `pages` pages uses in its span number `i`. */
static uint16_t run_pages(size_t pages, unsigned i)
{
    size_t before = (size_t)i * WR_SPAN_PAGES;
    return (uint16_t)wr_bits_run(0, (unsigned)wr_min(pages - before, WR_SPAN_PAGES));
}

/** What a change to the pages of a run amounts to. */
struct tally {
    unsigned pages, warm, again;
};

/** Marks `pages` of a span used. pre: all of them are free; arena lock. */
static void use_pages(struct wr_span *span, uint16_t pages, struct tally *tally)
{
    tally->pages += wr_bits_count(pages);
    tally->warm += wr_bits_count(pages & span->resident);
    tally->again += wr_bits_count(pages & span->returned);
    span->free &= (uint16_t)~pages;
    span->resident |= pages;
    span->returned &= (uint16_t)~pages;
}

static void free_pages(struct wr_span *span, uint16_t pages, struct tally *tally)
{
    tally->pages += wr_bits_count(pages);
    span->free |= pages;
    wr_arena_note_slack(span);
}

/** Gives spans [from, to) of an arena back to nobody. */
static void free_run_spans(struct wr_arena *arena, unsigned from, unsigned to, struct tally *tally)
{
    for (unsigned i = from; i < to; i++) {
        struct wr_span *span = &arena->span[i];
        free_pages(span, (uint16_t)~span->free, tally);
        span->kind = WR_SPAN_FREE;
        if (span->busy != 0)
            arena->busy_spans |= UINT64_C(1) << i;
    }
    set_free_spans(arena, arena->free_spans | wr_bits_run(from, to - from));
}

static void use_run_spans(struct wr_arena *arena, unsigned first, unsigned from, size_t pages, struct tally *tally)
{
    unsigned to = first + spans_of(pages);
    for (unsigned i = from; i < to; i++) {
        struct wr_span *span = &arena->span[i];
        span->free = WR_ALL_PAGES;
        span->kind = i == first ? WR_SPAN_LARGE : WR_SPAN_LARGE_MORE;
        span->first = (uint8_t)first;
        use_pages(span, run_pages(pages, i - first), tally);
    }
    arena->span[first].pages = (uint16_t)pages;
    set_free_spans(arena, arena->free_spans & ~wr_bits_run(from, to - from));
}

/** Resident pages among the first `pages` from a free span on. */
static unsigned warm_pages(const struct wr_arena *arena, unsigned first, size_t pages)
{
    unsigned count = 0;
    for (unsigned i = 0; i < spans_of(pages); i++)
        count += wr_bits_count(arena->span[first + i].resident & run_pages(pages, i));
    return count;
}

/** A place for a run: the arena, NULL for none, its span, and how many of the run's pages are resident there. */
struct place {
    struct wr_arena *arena;
    unsigned first, warm;
};

/** Betters the place, if one of `runs`, where the run may begin, has more of its pages resident. */
static void better_place(struct place *place, struct wr_arena *arena, uint64_t runs, size_t pages)
{
    uint64_t warm = atomic_load_explicit(&arena->slack_spans, memory_order_relaxed);
    if (place->arena == NULL)
        *place = (struct place){arena, wr_bits_first(runs), 0};
    for (; warm != 0 && runs != 0 && place->warm < pages; runs &= runs - 1) {
        unsigned first = wr_bits_first(runs), count = 0;
        if ((warm & wr_bits_run(first, spans_of(pages))) != 0)
            count = warm_pages(arena, first, pages);
        if (count > place->warm)
            *place = (struct place){arena, first, count};
    }
}

/** Where a run may begin in an arena, a bit each. */
static uint64_t runs_in(const struct wr_arena *arena, size_t pages, unsigned align)
{
    return wr_bits_runs(arena->free_spans & ~arena->busy_spans, spans_of(pages), align);
}

/** A place in one of the arenas that have most free spans, the first of each bin. */
static struct place find_run_in_sparsest(uint64_t bins, size_t pages, unsigned align)
{
    struct place place = {NULL, 0, 0};
    for (; bins != 0 && place.arena == NULL; bins &= ~(UINT64_C(1) << wr_bits_last(bins))) {
        struct wr_arena *arena = table.bin[wr_bits_last(bins)];
        uint64_t runs = runs_in(arena, pages, align);
        if (runs != 0)
            better_place(&place, arena, runs, pages);
    }
    return place;
}

/** Where to take a run of `pages` pages from, at a multiple of `align` spans: where most of it is resident, so that
 *  slack is used before more memory is; else of the fullest arena. Of many arenas with free spans but no run of so many
 *  some are asked each time, and then the last of their bin, so that it is each one's turn. pre: lock. */
static struct place find_run(size_t pages, unsigned align)
{
    struct place place = {NULL, 0, 0};
    unsigned asked = 0, missed = 0;
    uint64_t all = table.filled & ~wr_bits_run(0, spans_of(pages));
    for (uint64_t bins = all; bins != 0; bins &= bins - 1) {
        struct wr_arena *next, *none = NULL;
        for (struct wr_arena *arena = table.bin[wr_bits_first(bins)]; arena != NULL && arena != none; arena = next) {
            uint64_t runs = runs_in(arena, pages, align);
            next = arena->next;
            if (runs != 0) {
                better_place(&place, arena, runs, pages);
                if (place.warm == pages || ++asked == ARENAS_ASKED)
                    return place;
                continue;
            }
            if (++missed == ARENAS_MISSED)
                return place.arena != NULL ? place : find_run_in_sparsest(all, pages, align);
            put_last(arena);
            none = none != NULL ? none : arena;
        }
    }
    return place;
}

void *wr_large_alloc(size_t size, size_t align, bool *zeroed)
{
    size_t pages = wr_max((size + WR_PAGE_SIZE - 1) >> WR_PAGE_SHIFT, 1);
    unsigned align_spans = (unsigned)wr_max(align / WR_SPAN_SIZE, 1);
    struct tally tally = {0};
    struct place place;
    for (;;) {
        lock();
        place = find_run(pages, align_spans);
        if (place.arena != NULL)
            break;
        unlock();
        if (!wr_arena_grow())
            return NULL;
    }
    use_run_spans(place.arena, place.first, place.first, pages, &tally);
    unlock();
    wr_account_take(tally.pages, tally.warm, tally.again);
    *zeroed = tally.warm == 0 && (tally.again == 0 || wr_purge_zeroes());
    return wr_span_start(&place.arena->span[place.first]);
}

void wr_large_free(void *block)
{
    struct wr_arena *arena = wr_arena_of(block);
    unsigned first = wr_arena_page(block) / WR_SPAN_PAGES;
    struct tally tally = {0};
    lock();
    if (wr_unlikely(arena->span[first].kind != WR_SPAN_LARGE)) /* it was, or the caller would not be here */
        wr_fatal("double free of %p: another thread has just freed it", block);
    unsigned spans = spans_of(arena->span[first].pages);
    free_run_spans(arena, first, first + spans, &tally);
    unlock();
    wr_account_give(tally.pages);
}

bool wr_large_resize(void *block, size_t size)
{
    struct wr_arena *arena = wr_arena_of(block);
    unsigned first = wr_arena_page(block) / WR_SPAN_PAGES;
    size_t pages = wr_max((size + WR_PAGE_SIZE - 1) >> WR_PAGE_SHIFT, 1);
    struct tally taken = {0}, given = {0};
    lock();
    struct wr_span *span = &arena->span[first];
    size_t had = span->pages;
    unsigned now = first + spans_of(pages), before = first + spans_of(had);
    bool fits = now <= WR_ARENA_SPANS;
    uint64_t more = fits && now > before ? wr_bits_run(before, now - before) : 0;
    fits = fits && (arena->free_spans & ~arena->busy_spans & more) == more;
    if (fits && now < before)
        free_run_spans(arena, now, before, &given);
    /* The last span that both runs have: pages of it are given back or taken. One that is being purged is let be. */
    unsigned last = (unsigned)wr_min(now, before) - 1;
    struct wr_span *edge = &arena->span[last];
    uint16_t want = run_pages(pages, last - first), got = (uint16_t)~edge->free;
    fits = fits && (want & ~got & edge->busy) == 0;
    if (fits) {
        free_pages(edge, (uint16_t)(got & ~want), &given);
        use_pages(edge, (uint16_t)(want & ~got), &taken);
        span->pages = (uint16_t)pages;
        if (now > before)
            use_run_spans(arena, first, before, pages, &taken);
    }
    unlock();
    if (taken.pages > 0)
        wr_account_take(taken.pages, taken.warm, taken.again);
    if (given.pages > 0)
        wr_account_give(given.pages);
    return fits;
}

/* ---- for those who purge --------------------------------------------------------------------------------------- */

unsigned wr_arena_pin_slack(struct wr_arena **arena, unsigned most)
{
    unsigned count = 0;
    lock();
    for (unsigned b = WR_ARENA_SPANS; b-- > 0 && count < most;)
        for (struct wr_arena *a = table.bin[b]; a != NULL && count < most; a = a->next)
            if (atomic_load_explicit(&a->slack_spans, memory_order_relaxed) != 0) {
                a->pins++;
                arena[count++] = a;
            }
    unlock();
    return count;
}

void wr_arena_unpin(struct wr_arena *const *arena, unsigned count)
{
    lock();
    for (unsigned i = 0; i < count; i++)
        arena[i]->pins--;
    unlock();
}

/* ---- checks ---------------------------------------------------------------------------------------------------- */

static bool is_unlent_sound(const struct wr_arena *arena, unsigned index)
{
    const struct wr_span *span = &arena->span[index];
    bool free = (arena->free_spans >> index & 1) != 0, busy = (arena->busy_spans >> index & 1) != 0;
    uint16_t used = free ? 0 : (uint16_t)~span->free;
    if ((span->kind == WR_SPAN_FREE) != free || (free && busy != (span->busy != 0)))
        return false;
    return (used & ~span->resident) == 0 && (used & span->busy) == 0 && (span->returned & span->resident) == 0;
}

void wr_arena_check(void)
{
    lock();
    for (unsigned b = 0; b < WR_ARENA_SPANS; b++) {
        if (((table.filled >> b & 1) != 0) != (table.bin[b] != NULL))
            wr_fatal("corrupted table of arenas: row %u", b);
        struct wr_arena *before = NULL;
        for (struct wr_arena *arena = table.bin[b]; arena != NULL; before = arena, arena = arena->next) {
            if ((before != NULL && arena->prev != before) || (arena->next == NULL && table.bin[b]->prev != arena))
                wr_fatal("corrupted table of arenas: row %u, at %p", b, (void *)arena);
            if (wr_bits_count(arena->free_spans) != b || !wr_map_is_known(arena))
                wr_fatal("corrupted arena at %p: %u spans are free, not %u", (void *)arena,
                         wr_bits_count(arena->free_spans), b);
            for (unsigned i = 1; i < WR_ARENA_SPANS; i++)
                if (atomic_load_explicit(&arena->span[i].heap, memory_order_relaxed) == NULL &&
                    !is_unlent_sound(arena, i))
                    wr_fatal("corrupted span at %p", (void *)wr_span_start(&arena->span[i]));
        }
    }
    unlock();
}
