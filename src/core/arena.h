/* SPDX-License-Identifier: MIT
 * Arenas, spans and pool descriptors: the memory itself and who has it lent.
 *
 * An arena is mapped and unmapped as a whole. Its head (span 0) holds a descriptor for each span and each page, so the
 * pages themselves are nothing but blocks: a free page can be discarded and reused with no list to mend.
 *
 * A page is in one of four states, told by two bits of its span:
 *
 *   free  resident
 *    1       0      virgin or returned: costs nothing
 *    1       1      slack: free, but still resident
 *    0       1      used: holds a live block, or may
 *    0       0      does not occur
 *
 * and `busy` marks free pages that are being discarded right now: they may not be taken. For every span
 *   used pages + slack pages + returned pages == WR_SPAN_PAGES.
 *
 * A span's kind says who may change it:
 *
 *   WR_SPAN_FREE             nobody's; in arena->free_spans                 arena lock
 *   WR_SPAN_HEAD             the descriptors                                nobody
 *   WR_SPAN_LARGE, _MORE     the first, and the other spans of a run        arena lock
 *   WR_SPAN_SMALL            lent to `heap`; pools of any small class       that heap's lock
 *   WR_SPAN_MEDIUM           lent to a class of `heap`                      that heap's lock
 *   WR_SPAN_OBJECT           lent to a kind of objects in `heap`            that heap's lock
 */
#ifndef WR_ARENA_H
#define WR_ARENA_H

#include <stdatomic.h>

#include "base/bits.h"
#include "core/map.h"
#include "os/lock.h"

struct wr_heap;

/** A page of small blocks. Only what the fast path needs; the span knows the rest. 32 bytes.
 *  Small pools: live + length of `free` == blocks, where live counts blocks on the remote list too. */
struct wr_pool {
    void *free;               /* list of free blocks. guarded by: owner thread */
    _Atomic(uintptr_t) owner; /* the heap's address, plus WR_OWNER_ bits; 0 if the page is no pool in use */
    _Atomic uint64_t remote;  /* blocks freed by others, and the pool's state: see pool.h */
    uint16_t live;            /* blocks not on `free`. Written by the owner thread, read by others (wr_pool_live) */
    uint16_t wake;            /* a free that would leave `live` equal to this takes the slow path. Owner thread */
    uint8_t class;            /* of its blocks. Heap lock */
    uint8_t place_high;       /* where it is among those of its heap that wait (core/poolset.h). Heap lock */
    uint16_t place_low;
};

/** 16 neighbouring pages. 64 bytes. */
struct wr_span {
    _Alignas(WR_CACHE_LINE) struct wr_heap
        *_Atomic heap;             /* whose lock guards this span; NULL: the arena lock. Written under both */
    struct wr_span *next, *prev;   /* in the list that `list` tells */
    uint64_t blocks;               /* medium: free blocks, a bit each. object: address of the kind (core/typed.h) */
    uint16_t free, resident, busy; /* pages, a bit each: see above */
    uint16_t returned;             /* pages not resident because they were given back; for the figures */
    uint16_t fuller, sparser;      /* object: waiting pools with less, and with more, than half of their blocks free */
    uint16_t young, frozen;        /* object: pools that received blocks since the collector was there; that shall
                                      not */
    uint8_t kind;                  /* enum wr_span_kind */
    uint8_t class;                 /* medium, object */
    uint8_t list;                  /* which of the lists of its heap, or kind of objects, it is in */
    uint8_t first;                 /* large: index of the run's first span */
    uint8_t taken;                 /* medium: blocks in use, those that `blocks` lacks */
    uint16_t pages;                /* large, first span: pages of the run */
};

enum wr_span_kind {
    WR_SPAN_FREE,
    WR_SPAN_HEAD,
    WR_SPAN_LARGE,
    WR_SPAN_LARGE_MORE,
    WR_SPAN_SMALL,
    WR_SPAN_MEDIUM,
    WR_SPAN_OBJECT
};

/* The head of an arena. The pools of the head's own pages are never used, and what the arena knows of itself lies
 * there: so the head is no longer than the descriptors. Where `owner` of such a pool would be, and whether it is one of
 * objects, there is nothing that a wild free could take for something. */
struct wr_arena {
    union {
        struct {
            struct wr_arena *next; /* arenas with as many free spans. guarded by: arena lock */
            uintptr_t no_owner_0;  /* 0, as all of these */
            struct wr_arena *prev; /* guarded by: arena lock */
            uint64_t no_type_0;
            uint64_t free_spans; /* guarded by: arena lock */
            uintptr_t no_owner_1;
            uint64_t busy_spans; /* free spans with busy pages; guarded by: arena lock */
            uint64_t no_type_1;
            _Atomic uint64_t slack_spans; /* spans that may have slack; relaxed, a hint that errs on the side of 1 */
            uintptr_t no_owner_2;
            uint64_t pooled; /* spans that are lent as pools, small or of objects. guarded by: arena lock */
            uint64_t no_type_2;
            unsigned pins; /* threads that look into the arena without a block in it. guarded by: arena lock */
            uint16_t head; /* pages of the head that are resident, a bit each. guarded by: arena lock */
            bool huge;     /* backed by huge pages: every page is resident, until the first is to go back. guarded by:
                              whoever maps the arena, then purging */
            uintptr_t no_owner_3;
            uint16_t head_going; /* those of `head` that are being discarded. guarded by: arena lock */
        };
        struct wr_pool pool[WR_ARENA_PAGES];
    };
    struct wr_span span[WR_ARENA_SPANS];
};

_Static_assert(sizeof(struct wr_span) == 64, "a span descriptor is a cache line");
enum { WR_POOL_SHIFT = 5 };
_Static_assert(sizeof(struct wr_pool) == 1 << WR_POOL_SHIFT, "two pool descriptors to a cache line");
_Static_assert(sizeof(struct wr_arena) == 9 * 4096, "the head fits the first span, and nine of the smallest pages");
#define WR_UNUSED_POOL(i, field) (sizeof(struct wr_pool) * (i) + offsetof(struct wr_pool, field))
_Static_assert(offsetof(struct wr_arena, no_owner_0) == WR_UNUSED_POOL(0, owner) &&
                   offsetof(struct wr_arena, no_owner_1) == WR_UNUSED_POOL(1, owner) &&
                   offsetof(struct wr_arena, no_owner_2) == WR_UNUSED_POOL(2, owner) &&
                   offsetof(struct wr_arena, no_owner_3) == WR_UNUSED_POOL(3, owner) &&
                   offsetof(struct wr_arena, head_going) < WR_UNUSED_POOL(3, live),
               "no owners");
/* What a pool of objects has there (struct wr_typed) begins with the same word as `live`. */
_Static_assert(offsetof(struct wr_arena, no_type_0) == WR_UNUSED_POOL(0, live) &&
                   offsetof(struct wr_arena, no_type_1) == WR_UNUSED_POOL(1, live) &&
                   offsetof(struct wr_arena, no_type_2) == WR_UNUSED_POOL(2, live),
               "no types");

#define WR_ALL_PAGES ((uint16_t)0xffff)
#define WR_ALL_SPANS (~UINT64_C(1)) /* all but the head */

extern struct wr_lock wr_arena_lock WR_HIDDEN;

WR_INLINE struct wr_arena *wr_arena_of(const void *inside)
{
    return (struct wr_arena *)wr_round_down((uintptr_t)inside, WR_ARENA_SIZE);
}

WR_INLINE unsigned wr_arena_page(const void *inside)
{
    return ((uintptr_t)inside >> WR_PAGE_SHIFT) & (WR_ARENA_PAGES - 1);
}

/** The descriptor of the page of `inside`, an address in an arena. Written so that it compiles to a shift, a mask and
 * an add. */
WR_INLINE struct wr_pool *wr_arena_pool(const void *inside)
{
    uintptr_t offset = ((uintptr_t)inside >> (WR_PAGE_SHIFT - WR_POOL_SHIFT)) & ((WR_ARENA_PAGES - 1) << WR_POOL_SHIFT);
    return (struct wr_pool *)(wr_map_last(inside) + offset - (WR_ARENA_SIZE - 1) + offsetof(struct wr_arena, pool));
}

/** Index of a descriptor in its arena. */
WR_INLINE unsigned wr_span_index(const struct wr_span *span) { return (unsigned)(span - wr_arena_of(span)->span); }
WR_INLINE unsigned wr_pool_index(const struct wr_pool *pool) { return (unsigned)(pool - wr_arena_of(pool)->pool); }

/** A bit for the pool's page in the fields of its span. */
WR_INLINE uint16_t wr_pool_bit(const struct wr_pool *pool)
{
    return (uint16_t)(1u << (wr_pool_index(pool) % WR_SPAN_PAGES));
}

/** First byte of the memory that a descriptor describes. */
WR_INLINE char *wr_span_start(const struct wr_span *span)
{
    return (char *)wr_arena_of(span) + wr_span_index(span) * WR_SPAN_SIZE;
}
WR_INLINE char *wr_pool_start(const struct wr_pool *pool)
{
    return (char *)wr_arena_of(pool) + ((size_t)wr_pool_index(pool) << WR_PAGE_SHIFT);
}
WR_INLINE struct wr_span *wr_pool_span(const struct wr_pool *pool)
{
    return &wr_arena_of(pool)->span[wr_pool_index(pool) / WR_SPAN_PAGES];
}
WR_INLINE struct wr_pool *wr_span_pool(const struct wr_span *span, unsigned page)
{
    return &wr_arena_of(span)->pool[wr_span_index(span) * WR_SPAN_PAGES + page];
}

/* A medium span's bits of blocks are written under its lock, and looked at without. */
WR_INLINE uint64_t wr_span_blocks(const struct wr_span *span)
{
    return __atomic_load_n(&span->blocks, __ATOMIC_RELAXED);
}
WR_INLINE void wr_span_set_blocks(struct wr_span *span, uint64_t blocks)
{
    __atomic_store_n(&span->blocks, blocks, __ATOMIC_RELAXED);
}

/** Notes that a span has slack, for those who purge. */
WR_INLINE void wr_arena_note_slack(struct wr_span *span)
{
    struct wr_arena *arena = wr_arena_of(span);
    uint64_t bit = UINT64_C(1) << wr_span_index(span);
    if ((atomic_load_explicit(&arena->slack_spans, memory_order_relaxed) & bit) == 0)
        atomic_fetch_or_explicit(&arena->slack_spans, bit, memory_order_relaxed);
}

/** Lends a free span to `heap`, as `kind` and, where that has one, `class`: of the fullest arena, but first one that is
 *  resident. NULL if no arena has one (then wr_arena_grow()). pre: heap's lock is held. */
struct wr_span *wr_arena_take_span(struct wr_heap *heap, enum wr_span_kind kind, unsigned class);

/** Takes a span back. pre: its heap's lock is held; all of its pages are free and none busy; it is on no list. */
void wr_arena_give_span(struct wr_span *span);

/** Has the huge pages of an arena, all of which are resident, be small ones. Pages full of zeroes may not be resident
 *  any more then, so those that are free must go. pre: no lock is held. */
void wr_arena_split_huge(struct wr_arena *arena);

/** Maps one more arena. False when the system refuses. pre: no lock is held. */
bool wr_arena_grow(void);

/** Unmaps empty arenas that have at most `most` resident pages until no more than `spares` empty ones are left; returns
 *  the pages that were resident. With `most` below WR_ARENA_PAGES only those emptied last are looked at.
 *  pre: no lock is held. */
size_t wr_arena_reap(unsigned spares, unsigned most);

/** Takes a run of whole pages from the start of a span: `size` bytes, aligned to `align` (a power of two up to
 *  WR_LARGE_MAX). *zeroed tells whether all of it reads as zero. NULL when the system refuses. pre: no lock is held. */
void *wr_large_alloc(size_t size, size_t align, bool *zeroed);

/** Gives a run back. pre: block is the start of a large run; no lock is held. */
void wr_large_free(void *block);

/** Shrinks or grows a run in place. False if it cannot grow there. pre: as wr_large_free; size <= WR_LARGE_MAX. */
bool wr_large_resize(void *block, size_t size);

/** Bytes of the run whose first span this is. */
WR_INLINE size_t wr_large_size(const struct wr_span *span) { return (size_t)span->pages << WR_PAGE_SHIFT; }

/** Collects up to `most` arenas that may have slack, sparsest first, and pins them; returns how many. */
unsigned wr_arena_pin_slack(struct wr_arena **arena, unsigned most);
void wr_arena_unpin(struct wr_arena *const *arena, unsigned count);

/* Pages of a head. The descriptors of pools fill half a span's pages where these are the smallest, and a page is given
 * back when no span that it describes the pools of is lent as pools. That is safe because an idle descriptor of zeros
 * says what one does that was used: nobody's. Who frees a wild pointer reads it at any time, and finds no owner; all
 * others read and write it only while a block of the pool lives, or under the lock of the heap that has the span. */
struct wr_head {
    struct wr_arena *arena;
    uint16_t pages; /* a bit each */
};

/** Collects up to `most` heads with pages that describe nothing now, and pins the arenas; returns how many. Until they
 *  are let go no span is lent that those pages describe. One thread at a time. */
unsigned wr_arena_pin_heads(struct wr_head *head, unsigned most);

/** Lets them go. Of each the pages that it has now are no longer resident. */
void wr_arena_unpin_heads(const struct wr_head *head, unsigned count);

/** Calls fn for every arena, under the arena lock. */
void wr_arena_each(void (*fn)(struct wr_arena *, void *), void *arg);

/** Checks the table of arenas and every span that no heap has; ends the process if something is wrong. pre: no lock. */
void wr_arena_check(void);

/** Figures; any may be read at any time. */
extern struct wr_arena_count {
    _Atomic uint64_t arenas, mapped, unmapped; /* now; since the start */
} wr_arena_count WR_HIDDEN;

#endif
