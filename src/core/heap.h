/* SPDX-License-Identifier: MIT
 * A heap: one thread's pools and spans.
 *
 * The owner thread takes and frees small blocks without a lock (front/fast.h). Everything that concerns pages, spans
 * and lists happens under the heap's lock, which other threads take too: to free medium blocks, to settle pools they
 * have claimed, to purge. Heaps are never freed; when a thread exits its heap is abandoned as it is, and the next
 * thread that starts adopts it whole. */
#ifndef WR_HEAP_H
#define WR_HEAP_H

#include "core/poolset.h"

enum {
    /* Open: blocks are put into them. With pages of 4 KiB each class has its own, so that a program that frees in the
     * order in which it allocated fills them. Shut: they had to make room for another pool's, and go together. */
    WR_OPEN_PARCELS = 32,
    WR_SHUT_PARCELS = 24,
    WR_PARCELS = WR_OPEN_PARCELS + WR_SHUT_PARCELS,
    WR_PARCEL_BLOCKS = 32,
    /* Stacks of medium blocks: one for each class, then one for those of other heaps. */
    WR_ABROAD = WR_MEDIUM_LIMIT,
    WR_STACKS
};

/** Where a span stands in the lists of its medium class, or of its kind of objects; the best that applies. */
enum wr_span_list {
    WR_LIST_NONE,    /* nothing to take */
    WR_LIST_FULLER,  /* medium: at least half of its blocks are taken. objects: has a waiting pool at least half full */
    WR_LIST_SPARSER, /* medium: has a free block. objects: has a waiting pool */
    WR_LIST_ROOM,    /* objects: has a free page */
    WR_LISTS
};

/** Where a span of small pools stands in its heap's lists: which to take a page of first. */
enum wr_room {
    WR_ROOM_NONE,         /* no free page */
    WR_ROOM_WARM_FULLER,  /* a free page that is resident; at least half of the pages are pools */
    WR_ROOM_WARM_SPARSER, /* likewise; less */
    WR_ROOM_COLD_FULLER,  /* free pages, none resident */
    WR_ROOM_COLD_SPARSER,
    WR_ROOMS
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
    struct wr_stack {                      /* medium: the stash, blocks that still count as taken in their spans */
        /* Counts of blocks put in, and of those taken out at the old end. `base` follows `tail`, or is where it was
         * while another thread tries to empty the stack: the owner takes what is above tail, and fills what is below
         * base. The owner writes head; tail and base are written under the lock. See heap.c. */
        _Atomic uint32_t head, tail, base;
        void *block[WR_STACK_BLOCKS]; /* a ring: tail to head, oldest first */
    } stack[WR_STACKS];
    struct wr_parcel { /* blocks of another heap's pool, not yet pushed there: one push for many */
        struct wr_pool *pool;
        void *first, *last;
        uint16_t count, class;
    } parcel[WR_PARCELS];       /* the open ones, then those that are shut */
    unsigned shut;              /* how many are */
    size_t stack_bytes;         /* of the blocks in all stacks */
    _Atomic size_t stack_limit; /* what they may be; written under the lock. relaxed */
    _Atomic size_t taken_bytes; /* of blocks that others have taken from stacks, not yet off stack_bytes. relaxed */
    _Atomic bool visited;       /* another thread empties the parcels: they are not to be used. See heap.c */
    unsigned victim;            /* the stack that is emptied next when they hold too much, modulo WR_STACKS */
    bool inside;                /* the owner is in a slow path; seen by its signal handlers, and by visitors */
    bool special;               /* WR_OWNER_SPECIAL is put on every pool */
    uint64_t remote_frees;      /* blocks this thread freed into other heaps; relaxed reads by others */

    /* guarded by: lock */
    _Alignas(WR_CACHE_LINE) struct wr_lock lock;
    int32_t used, slack;                  /* pages, not yet handed to wr_account */
    uint32_t pages;                       /* used */
    uint32_t most_pages;                  /* since the owner last looked at its stashes */
    bool shrunk;                          /* it should look again */
    bool cut;                             /* its thread was anywhere when a fork left it behind */
    uint32_t small_pools;                 /* pools of small classes in use */
    uint32_t class_pools[WR_SMALL_LIMIT]; /* of each */
    struct {
        struct wr_span *span;
        uint16_t pages;
    } ahead;                  /* pages that somebody is about to fault in; see heap.c */
    _Atomic uint32_t changes; /* times that something may have become free; relaxed reads by the purger */
    struct wr_poolset waiting[WR_SMALL_LIMIT];
    struct wr_span *room[WR_ROOMS];                  /* small */
    struct wr_span *list[WR_MEDIUM_LIMIT][WR_LISTS]; /* medium, by class less small_classes */

    /* Anybody's: medium blocks that others have freed, linked through their first words; taken under the lock. */
    _Alignas(WR_CACHE_LINE) void *_Atomic mail;
    _Atomic int64_t mail_bytes; /* of its blocks; may be off while somebody sends or takes. relaxed */
    void *_Atomic due;          /* a block each of pools that others have claimed; see wr_heap_settle() */

    /* The purger's: `changes` as last seen, and when it last emptied the heap. relaxed */
    _Atomic uint32_t seen, emptied;

    /* guarded by: the registry's lock */
    struct wr_heap *next;      /* all heaps, for ever */
    struct wr_heap *abandoned; /* the next abandoned one */

    /* For reports. */
    _Atomic uint32_t thread;  /* whose it is; 0 if abandoned */
    _Atomic uint32_t threads; /* how many it has served */

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

/** The stack of a medium class. */
WR_INLINE struct wr_stack *wr_heap_stack(struct wr_heap *heap, unsigned class)
{
    return &heap->stack[class - wr_geometry.small_classes];
}

/** Blocks in a stack. Acquire: who fills a slot again finds that its block has been taken. */
WR_INLINE unsigned wr_stack_depth(const struct wr_stack *stack)
{
    int32_t depth = (int32_t)(atomic_load_explicit(&stack->head, memory_order_relaxed) -
                              atomic_load_explicit(&stack->base, memory_order_acquire));
    return depth > 0 ? (unsigned)depth : 0; /* below 0 for the moment in which its owner finds it empty */
}

/** Notes whether the owner is in a slow path. Release: a visitor who sees that it is not sees what it has done. */
WR_INLINE void wr_heap_set_inside(struct wr_heap *heap, bool inside)
{
    __atomic_store_n(&heap->inside, inside, __ATOMIC_RELEASE);
}

/** Blocks of a class in the heap's stash. */
WR_INLINE unsigned wr_heap_stashed(struct wr_heap *heap, unsigned class)
{
    if (!wr_geometry_is_small(class))
        return wr_stack_depth(wr_heap_stack(heap, class));
    return (unsigned)(heap->stash[class].most - heap->stash[class].room);
}

/** Adds to `count`, by class, the medium blocks that count as taken although they are free: those of other heaps that
 *  this one has yet to send, and those in its mail. Nothing if the caller has interrupted this thread under the heap's
 *  lock. pre: no lock is held. */
void wr_heap_count_waiting(struct wr_heap *heap, unsigned count[WR_CLASS_LIMIT]);

/** A block of a medium class from the heap's stash, NULL if there is none. pre: the caller owns the heap. */
WR_INLINE void *wr_heap_unstash_medium(struct wr_heap *heap, unsigned class)
{
    struct wr_stack *stack = wr_heap_stack(heap, class);
    uint32_t head = atomic_load_explicit(&stack->head, memory_order_relaxed) - 1;
    /* Write, then read: see heap.c for who may be reading and writing meanwhile. */
    atomic_store_explicit(&stack->head, head, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    if (wr_unlikely((int32_t)(head - atomic_load_explicit(&stack->tail, memory_order_relaxed)) < 0)) {
        atomic_store_explicit(&stack->head, head + 1, memory_order_relaxed);
        return NULL;
    }
    heap->stack_bytes -= wr_geometry.class[class].size;
    void *block = stack->block[head % WR_STACK_BLOCKS];
    stack->block[head % WR_STACK_BLOCKS] = NULL;
    return block;
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

/** Puts a block into a parcel for its pool. */
WR_INLINE void wr_parcel_add(struct wr_parcel *parcel, void *block)
{
    *(void **)block = parcel->first;
    parcel->first = block;
    parcel->count++;
}

/** The open parcel in which blocks of the pool go, or another pool's of its class. */
WR_INLINE struct wr_parcel *wr_heap_open_parcel(struct wr_heap *heap, const struct wr_pool *pool)
{
    return &heap->parcel[pool->class % WR_OPEN_PARCELS];
}

/** Shuts an open parcel, unless it is empty, and begins another there. pre: heap->shut < WR_SHUT_PARCELS. */
WR_INLINE void wr_parcel_begin(struct wr_heap *heap, struct wr_parcel *parcel, struct wr_pool *pool, void *block)
{
    heap->parcel[WR_OPEN_PARCELS + heap->shut] = *parcel;
    heap->shut += parcel->pool != NULL;
    *parcel = (struct wr_parcel){.pool = pool, .first = block, .last = block, .count = 1, .class = pool->class};
}

/** As wr_heap_send(), where nothing has to be sent just now; else false. pre: besides, the caller is inside its heap,
 *  and no special mode is on. */
WR_INLINE bool wr_heap_send_later(struct wr_heap *heap, struct wr_pool *pool, void *block)
{
    struct wr_parcel *parcel = wr_heap_open_parcel(heap, pool);
    /* First, and acquire: a visitor who has left by now has emptied the parcels. */
    if (wr_unlikely(atomic_load_explicit(&heap->visited, memory_order_acquire)))
        return false;
    if (parcel->pool == pool) {
        if (parcel->first == block || parcel->count >= WR_PARCEL_BLOCKS - 1)
            return false;
        wr_parcel_add(parcel, block);
    } else {
        if (heap->shut == WR_SHUT_PARCELS)
            return false;
        wr_parcel_begin(heap, parcel, pool, block);
    }
    heap->remote_frees++;
    return true;
}

/** Finishes what wr_pool_push_remote() found due, or leaves it to who holds the heap's lock. pre: the caller has the
 *  claim, by a push that `block` was in; no lock is held. */
void wr_heap_settle(struct wr_pool *pool, void *block);

/** Frees a medium block, from any thread. pre: no lock is held; block lies in span, whose kind is WR_SPAN_MEDIUM. */
void wr_heap_free_medium(struct wr_span *span, void *block);

/** Puts what the heap can do without back to its lists: stashes, and what others have freed.
 *  @param owner the caller owns the heap. Else its stashes of small classes are let be, and its stacks and parcels are
 *  taken, for wr_heap_empty() after a barrier that every thread has passed. pre: no lock is held; if not owner,
 *  emptying. */
void wr_heap_tidy(struct wr_heap *heap, bool owner);

/** Finishes what wr_heap_tidy() has begun in a heap that is not the caller's. @param passed all threads have passed
 *  wr_os_barrier() since; if not, what was begun is undone. pre: as wr_heap_tidy(). */
void wr_heap_empty(struct wr_heap *heap, bool passed);

/** As wr_heap_tidy() by the owner: the heap can be adopted by a thread, and emptied by all. pre: the caller owns it. */
void wr_heap_retire(struct wr_heap *heap);

/** Makes a heap fit to be adopted. After wr_heap_retire() there is nothing to do; in a forked child the thread that had
 *  the heap may have been anywhere. pre: nobody has it. */
void wr_heap_survey(struct wr_heap *heap);

/** Marks the slack of a span as being purged: returns the pages to discard, 0 if there is nothing. The span's pages are
 *  busy until wr_heap_end_purge(). pre: no lock is held. */
uint16_t wr_heap_begin_purge(struct wr_span *span);
void wr_heap_end_purge(struct wr_span *span, uint16_t pages, uint16_t gone);

/** For core/typed.c, whose pools lie in the heap's spans too: the lock. Unlocking does what the change of pages makes
 *  due. */
void wr_heap_lock(struct wr_heap *heap);
void wr_heap_unlock(struct wr_heap *heap);

/** Takes a page of the span for a pool, a resident one if there is one, and returns its number. *ahead tells whether
 *  the caller, who has `pools` of such pools, is to fault in pages behind it by wr_heap_fault_ahead() after unlocking.
 *  pre: lock; the span has a free page that is not busy. */
unsigned wr_heap_take_page(struct wr_heap *heap, struct wr_span *span, uint32_t pools, bool *ahead);
/** Gives the page of a pool back, a bit of the span's. pre: lock. */
void wr_heap_give_page(struct wr_heap *heap, struct wr_span *span, uint16_t page);
/** Faults in what wr_heap_take_page() has marked. pre: no lock; the caller was told to. */
void wr_heap_fault_ahead(struct wr_heap *heap);
/** Empties the parcels; the blocks in them are lost. pre: they have been taken, or this is a forked child and the
 *  heap's thread, which may have been writing them, is gone. */
void wr_heap_forget_parcels(struct wr_heap *heap);
/** In a forked child: ends what a thread was about to fault in. */
void wr_heap_forget_ahead(struct wr_heap *heap);
/** In a forked child: notes that the heap's thread is gone, which may have been in the midst of a free. */
void wr_heap_cut(struct wr_heap *heap);

/** Checks every list and span of the heap, and, if the caller owns it, its stashes and every pool that waits; ends the
 *  process if something is wrong. pre: no lock is held. */
void wr_heap_check(struct wr_heap *heap, bool owner);

#endif
