/* SPDX-License-Identifier: MIT
 * The pools of one class that wait in a heap: a set from which the fuller ones are taken first.
 *
 * The set is a row of places, fuller pools before sparser ones, and each pool's descriptor says which place it has. So
 * a pool is put in, moved and taken out in a few steps, whichever span it lies in. Places are reserved when a class
 * gets a pool, which may fail; that a pool begins to wait cannot. All of it is guarded by the heap's lock. */
#ifndef WR_POOLSET_H
#define WR_POOLSET_H

#include "core/pool.h"

enum {
    WR_POOLSET_FIRST = 16,     /* places of the first chunk; each has four times as many as the one before */
    WR_POOLSET_CHUNKS = 11,    /* enough for the most */
    WR_POOLSET_MOST = 0xffffff /* places; a descriptor has three bytes for one. That is 64 GiB of pools of 4 KiB */
};

struct wr_poolset {
    uint32_t count;  /* pools in the set */
    uint32_t fuller; /* of them, the first so many had at most half of their blocks free when last looked at */
    uint32_t places; /* that there is memory for */
    uint32_t chunks;
    struct wr_pool **chunk[WR_POOLSET_CHUNKS];
};

/** Whether the set has places for so many pools. */
WR_INLINE bool wr_poolset_fits(const struct wr_poolset *set, uint32_t pools)
{
    return pools <= set->places || set->chunks == WR_POOLSET_CHUNKS;
}

/** Bytes of the chunk that the set needs next. */
WR_INLINE size_t wr_poolset_next(const struct wr_poolset *set)
{
    return sizeof(struct wr_pool *) * WR_POOLSET_FIRST << 2 * set->chunks;
}

/** Gives the set a chunk of that size, for good. */
void wr_poolset_extend(struct wr_poolset *set, void *chunk);

/** Puts a pool among the fuller, or the sparser, wherever it was before. A pool for which there is no place, beyond
 *  WR_POOLSET_MOST, stays outside. */
void wr_poolset_put(struct wr_poolset *set, struct wr_pool *pool, bool fuller);

/** Takes a pool out, if it is in. */
void wr_poolset_remove(struct wr_poolset *set, struct wr_pool *pool);

/** The pool at a place, from 0 on. pre: place < set->count. */
struct wr_pool *wr_poolset_at(const struct wr_poolset *set, uint32_t place);

/** The pool to take blocks from: a fuller one if there is one, and the one that came last. pre: the set is not empty.
 */
WR_INLINE struct wr_pool *wr_poolset_best(const struct wr_poolset *set)
{
    return wr_poolset_at(set, (set->fuller > 0 ? set->fuller : set->count) - 1);
}

/** Whether every pool's descriptor has the place that it is at. */
bool wr_poolset_is_sound(const struct wr_poolset *set);

#endif
