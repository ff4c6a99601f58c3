/* SPDX-License-Identifier: MIT
 * A heap: one thread's pools and spans.
 *
 * The owner thread takes and frees small blocks without a lock (front/fast.h). Everything that concerns pages, spans
 * and lists happens under the heap's lock, which other threads take too: to free medium blocks, to settle pools they
 * have claimed, to purge. Heaps are never freed; when a thread exits its heap is abandoned as it is, and the next
 * thread that starts adopts it whole. */
#ifndef WR_HEAP_H
#define WR_HEAP_H

#include "core/pool.h"

enum { WR_PARCELS = 8, WR_PARCEL_BLOCKS = 32 };

/** Where a span stands in its heap's lists for its class; the best that applies. */
enum wr_span_list {
    WR_LIST_NONE,    /* nothing to take */
    WR_LIST_FULLER,  /* small: has a waiting pool at least half full. medium: at least half of its blocks are taken */
    WR_LIST_SPARSER, /* small: has a waiting pool. medium: has a free block */
    WR_LIST_ROOM,    /* small: has a free page */
    WR_LISTS
};

/** The stash of a small class: a list of blocks that count as live in their pools. A pop makes room, a push takes it;
 *  `most` less `room` blocks are in the list. It holds more than free may put there when it was filled from a pool. */
struct wr_stash {
    void *free;
    int32_t room; /* blocks that free may still put there; less than 1: none */
    int32_t most;
};

struct wr_heap {
    /* The owner's, no lock. */
    struct wr_stash *slot[WR_SMALL_SLOTS]; /* by (size + 15) / 16, the stash of the class: what malloc sees; or
                                              &wr_stash_none while a special mode hides it */
    struct wr_stash stash[WR_CLASS_LIMIT]; /* by class; small ones */
    struct wr_stack {                      /* medium: the stash, blocks that still count as taken in their spans, which
                                              may be other heaps' */
        uint32_t head, tail;               /* counts of blocks put in, and of those taken out at the old end */
        void *block[WR_STACK_BLOCKS];      /* a ring: tail to head, oldest first */
    } stack[WR_MEDIUM_LIMIT];
    struct wr_parcel { /* blocks of another heap's pool, not yet pushed there: one push for many */
        struct wr_pool *pool;
        void *first, *last;
        uint16_t count, class;
    } parcel[WR_PARCELS];
    size_t stack_bytes;    /* of the blocks in all stacks */
    size_t stack_limit;    /* what they may be */
    unsigned victim;       /* the medium class whose stack is emptied next when the stacks hold too much */
    bool inside;           /* the owner is in a slow path; seen by its signal handlers */
    bool special;          /* WR_OWNER_SPECIAL is put on every pool */
    uint64_t remote_frees; /* blocks this thread freed into other heaps; relaxed reads by others */

    /* guarded by: lock */
    _Alignas(WR_CACHE_LINE) struct wr_lock lock;
    int32_t used, slack; /* pages, not yet handed to wr_account */
    uint32_t pools;      /* in use */
    uint32_t pages;      /* used */
    uint32_t most_pages; /* since the owner last looked at its stashes */
    bool shrunk;         /* it should look again */
    struct wr_span *list[WR_CLASS_LIMIT][WR_LISTS];

    /* guarded by: the registry's lock */
    struct wr_heap *next;      /* all heaps, for ever */
    struct wr_heap *abandoned; /* the next abandoned one */
    uint32_t thread;           /* whose it is; 0 if abandoned */
    uint32_t threads;          /* how many it has served */

    /* The owner's; relaxed reads by others. Counted only while special. */
    struct wr_tally {
        uint64_t calls, requested, usable; /* allocations, bytes asked for and given */
        uint64_t frees;
        uint64_t class_calls[WR_CLASS_LIMIT + 2]; /* by class; then large, then huge */
    } tally;
};

/** A stash that has nothing and takes nothing. */
extern struct wr_stash wr_stash_none WR_HIDDEN;

/** Sets up an empty heap. pre: *heap is zero. */
void wr_heap_init(struct wr_heap *heap, bool special);

/** A block of `class`; *zeroed tells whether it is known to read as zero. NULL when the system refuses more memory.
 *  pre: the caller owns the heap; no lock is held. */
void *wr_heap_alloc(struct wr_heap *heap, unsigned class, bool *zeroed);

/** Frees a block of this heap's pool. pre: as wr_heap_alloc; block is the start of a block of a small pool of `heap`.
 */
void wr_heap_free_local(struct wr_heap *heap, struct wr_pool *pool, void *block);

/** Blocks of a class in the heap's stash. */
WR_INLINE unsigned wr_heap_stashed(const struct wr_heap *heap, unsigned class)
{
    if (!wr_geometry_is_small(class))
        return heap->stack[class - wr_geometry.small_classes].head -
               heap->stack[class - wr_geometry.small_classes].tail;
    return (unsigned)(heap->stash[class].most - heap->stash[class].room);
}

/** A block of a medium class from the heap's stash, NULL if there is none. pre: the caller owns the heap. */
WR_INLINE void *wr_heap_unstash_medium(struct wr_heap *heap, unsigned class)
{
    struct wr_stack *stack = &heap->stack[class - wr_geometry.small_classes];
    if (wr_unlikely(stack->head == stack->tail))
        return NULL;
    heap->stack_bytes -= wr_geometry.class[class].size;
    return stack->block[--stack->head % WR_STACK_BLOCKS];
}

/** Frees a medium block, of whichever heap, into the stash of its class; others leave that if it is full. False if this
 *  is not a medium block in use, or the owner is in a slow path already. pre: the caller owns the heap; no special mode
 *  is on; no lock is held. */
bool wr_heap_stash_medium(struct wr_heap *heap, struct wr_span *span, void *block);

/** A block of a medium class; as wr_heap_alloc(). */
void *wr_heap_alloc_medium(struct wr_heap *heap, unsigned class, bool *zeroed);

/** Frees a small block into another heap's pool, soon: blocks for one pool are sent together. False if a
 * special mode wants to see it. pre: the caller owns `heap`, and not the pool; block is the start of one. */
bool wr_heap_send(struct wr_heap *heap, struct wr_pool *pool, void *block);

/** Finishes what wr_pool_push_remote() found due. pre: the caller has the claim; no lock is held. */
void wr_heap_settle(struct wr_pool *pool);

/** Frees a medium block, from any thread. pre: no lock is held; block lies in span, whose kind is WR_SPAN_MEDIUM. */
void wr_heap_free_medium(struct wr_span *span, void *block);

/** Puts what the heap can do without back to its lists: stashes, and what others have freed.
 *  @param owner the caller owns the heap (else the stashes are let be). pre: no lock is held. */
void wr_heap_tidy(struct wr_heap *heap, bool owner);

/** As wr_heap_tidy() by the owner: the heap can be adopted by a thread, and emptied by all. pre: the caller owns it. */
void wr_heap_retire(struct wr_heap *heap);

/** Makes a heap fit to be adopted. After wr_heap_retire() there is nothing to do; in a forked child the thread that had
 *  the heap may have been anywhere. pre: nobody has it. */
void wr_heap_survey(struct wr_heap *heap);

/** Marks the slack of a span as being purged: returns the pages to discard, 0 if there is nothing. The span's pages are
 *  busy until wr_heap_end_purge(). pre: no lock is held. */
uint16_t wr_heap_begin_purge(struct wr_span *span);
void wr_heap_end_purge(struct wr_span *span, uint16_t pages, uint16_t gone);

/** For core/typed.c, whose pools lie in the heap's spans too: the lock, and pages that become used and free. Unlocking
 *  does what the change of pages makes due. */
void wr_heap_lock(struct wr_heap *heap);
void wr_heap_unlock(struct wr_heap *heap);
void wr_heap_use_page(struct wr_heap *heap, struct wr_span *span, uint16_t page);
void wr_heap_free_pages(struct wr_heap *heap, struct wr_span *span, uint16_t pages);

/** Checks every list and span of the heap, and, if the caller owns it, its stashes and every pool that waits; ends the
 *  process if something is wrong. pre: no lock is held. */
void wr_heap_check(struct wr_heap *heap, bool owner);

#endif
