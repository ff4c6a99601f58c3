/* SPDX-License-Identifier: MIT
 * A pool of small blocks: its states, its local list, and the frees that come from other threads.
 *
 * States, in the word `remote` of the descriptor, beside the list of remotely freed blocks and its length:
 *
 *   IDLE     the page is no pool. live, free mean nothing; owner is 0.
 *   FULL     on no list. Few of its blocks are free, or none; it wakes when an eighth of them is.
 *   WAITING  in its class's set of pools to take blocks from (core/poolset.h; heap lock).
 *
 * Transitions, all under the heap lock:
 *   IDLE -> FULL           the owner takes a page: its blocks go to the stash
 *   WAITING -> FULL        the owner takes all free blocks of the pool for its stash
 *   FULL -> WAITING        by the owner's free that reaches `wake`, or by the remote freer that claims it
 *   FULL, WAITING -> IDLE  every block is free. By the owner's last free, or by whoever claims it
 *
 * The stash is what malloc takes from, and where free puts blocks while there is room: a list for each class, in the
 * heap, of blocks of many pools. To their pools blocks in the stash are live, so a program that replaces blocks at
 * random leaves its pools alone.
 *
 * What makes it safe that any thread may retire the pool of a thread that sleeps: the owner thread only frees into the
 * pool, and it can do that only while it has a live block of it. So when as many blocks were freed remotely as are live
 * in the owner's count, no thread has a right to touch the pool any more, and its page may go.
 *
 * CLAIM is a bit of the word: the remote freer whose push made something due sets it in the same compare-and-swap, then
 * settles under the heap's lock, or leaves that to who holds it (heap.c). While it is set nobody else changes the
 * state, so the descriptor cannot vanish under the claimer; a push without a claim is that thread's last access to the
 * descriptor. The owner's fast free likewise ends with its store to `live`, released after its other stores; a free
 * that would make something due stores nothing and takes the slow path first. */
#ifndef WR_POOL_H
#define WR_POOL_H

#include "core/arena.h"

enum wr_pool_state { WR_POOL_IDLE, WR_POOL_FULL, WR_POOL_WAITING };

/* The word: count of blocks, then the first block's offset / 16 + 1 (0: none), then state and claim, then a version:
 * the owner counts it up when it has looked at the list in answer to WR_OWNER_REMOTE, so that a push that has judged by
 * an older state fails, and judges anew. */
enum {
    WR_REMOTE_HEAD_SHIFT = 16,
    WR_REMOTE_STATE_SHIFT = 40,
    WR_REMOTE_CLAIM_SHIFT = 42,
    WR_REMOTE_VERSION_SHIFT = 43
};
#define WR_REMOTE_VERSION (~UINT64_C(0) << WR_REMOTE_VERSION_SHIFT)
#define WR_REMOTE_CLAIM (UINT64_C(1) << WR_REMOTE_CLAIM_SHIFT)

/* Low bits of a pool's owner: each makes the fast free's compare fail. */
enum {
    WR_OWNER_REMOTE = 1,  /* the owner is asked to collect remote frees: they may hide that the pool is empty */
    WR_OWNER_SPECIAL = 2, /* a mode that must see every call is on */
    WR_OWNER_TAGS = 3
};

WR_INLINE unsigned wr_remote_count(uint64_t word) { return word & 0xffff; }
WR_INLINE unsigned wr_remote_head(uint64_t word) { return (word >> WR_REMOTE_HEAD_SHIFT) & 0xffffff; }
WR_INLINE enum wr_pool_state wr_remote_state(uint64_t word) { return (word >> WR_REMOTE_STATE_SHIFT) & 3; }
WR_INLINE uint64_t wr_remote_word(enum wr_pool_state state, unsigned head, unsigned count)
{
    return (uint64_t)state << WR_REMOTE_STATE_SHIFT | (uint64_t)head << WR_REMOTE_HEAD_SHIFT | count;
}

WR_INLINE struct wr_heap *wr_pool_heap(struct wr_pool *pool)
{
    return (struct wr_heap *)(atomic_load_explicit(&pool->owner, memory_order_relaxed) & ~(uintptr_t)WR_OWNER_TAGS);
}

/* `live` and `wake` have one writer at a time. Others read `live`; acquire pairs with the fast free's release, so that
 * who sees the count sees the list. */
WR_INLINE unsigned wr_pool_live(const struct wr_pool *pool) { return __atomic_load_n(&pool->live, __ATOMIC_ACQUIRE); }
WR_INLINE void wr_pool_set_live(struct wr_pool *pool, unsigned live)
{
    __atomic_store_n(&pool->live, (uint16_t)live, __ATOMIC_RELEASE);
}
/** As wr_pool_live(), by a thread that does not yet know whether the pool is its own. */
WR_INLINE unsigned wr_pool_live_unsure(const struct wr_pool *pool)
{
    return __atomic_load_n(&pool->live, __ATOMIC_RELAXED);
}
/** The pool's place among those that wait (core/poolset.h), 0: none. Heap lock. */
WR_INLINE uint32_t wr_pool_place(const struct wr_pool *pool)
{
    return (uint32_t)pool->place_high << 16 | pool->place_low;
}
WR_INLINE void wr_pool_set_place(struct wr_pool *pool, uint32_t place)
{
    pool->place_high = (uint8_t)(place >> 16);
    pool->place_low = (uint16_t)place;
}
WR_INLINE const struct wr_class *wr_pool_class(const struct wr_pool *pool) { return &wr_geometry.class[pool->class]; }
/** The number of the pool's class; of a page that may just be changing hands it may be any. */
WR_INLINE unsigned wr_pool_class_unsure(const struct wr_pool *pool)
{
    unsigned class = pool->class;
    return class < wr_geometry.classes ? class : 0;
}

/** Whether a block of the pool starts at `address`, which lies in its page. */
WR_INLINE bool wr_pool_is_block(const struct wr_pool *pool, const void *address)
{
    bool exact;
    wr_geometry_block(wr_pool_class(pool), (uintptr_t)address % WR_PAGE_SIZE, &exact);
    return exact;
}

/** Links every block of the pool's page, in address order; returns the first. pre: the page is the caller's alone. */
void *wr_pool_link(struct wr_pool *pool);

/** Moves remotely freed blocks to the local list and puts the pool into `state`. False, and nothing changed, if the
 * pool is claimed. pre: owner thread, or the pool's heap has no running owner. */
bool wr_pool_collect(struct wr_pool *pool, enum wr_pool_state state);

/** Pushes `count` blocks of a pool that another thread's heap owns, linked through their first words from `first` to
 *  `last`. True if the caller has claimed the pool and must settle it (wr_heap_settle); else the descriptor may be
 * gone. Lock-free. */
bool wr_pool_push_remote(struct wr_pool *pool, void *first, void *last, unsigned count);

/** Ends the process if the pool contradicts itself. pre: owner thread or heap lock with no running owner. */
void wr_pool_check(struct wr_pool *pool);

#endif
