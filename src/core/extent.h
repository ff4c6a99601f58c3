/* SPDX-License-Identifier: MIT
 * Extents: the address space of huge blocks, cut and joined at any page.
 *
 * All of it is divided into extents that touch or lie apart, and never overlap. An extent is in one of these states:
 *
 *   LIVE     a block; the map leads to it
 *   MOVING   a block that the system moves: out of the map and of the order of addresses
 *   WARM     free, and counted as slack: resident as far as its last block wrote to it
 *   GOING    the same, being discarded: nobody's but the thread's that does it
 *   COLD     free and given back, but still mapped: address space that costs nothing
 *   FRESH    free and new from the system: reads as zero whatever WEIR_PURGE says
 *
 * and of each state the bytes are counted. What is unmapped is no extent from before the system call on, since others
 * may map there before it returns. No two neighbours that touch are both WARM, or both COLD, or both FRESH: they are
 * joined, whatever blocks they came from. A block may be cut out of neighbours in all three states, where most of it is
 * WARM; so cold address space is kept, up to as much as is used and warm and 16 MiB, to make warm extents long enough
 * for the next block.
 *
 * Starts and sizes are multiples of wr_extent_unit(): a page, or half an arena where the system may back memory with
 * huge pages unasked, for one of those must not be part of two extents.
 *
 * Lock: the arena lock, taken in each function. No system call is made under it. */
#ifndef WR_EXTENT_H
#define WR_EXTENT_H

#include <stdatomic.h>

#include "core/geometry.h"
#include "os/os.h"

enum wr_extent_state {
    WR_EXTENT_LIVE,
    WR_EXTENT_MOVING,
    WR_EXTENT_WARM,
    WR_EXTENT_GOING,
    WR_EXTENT_COLD,
    WR_EXTENT_FRESH,
    WR_EXTENT_STATES
};

/** From metadata memory, recycled. Start and size of a LIVE one may be read by its owner without a lock. */
struct wr_extent {
    uintptr_t start;
    size_t size;
    struct wr_extent *below, *above; /* by address, touching or not. guarded by: arena lock */
    struct wr_extent *left, *right;  /* in the tree of core/order.h. guarded by: arena lock */
    struct wr_extent *newer, *older; /* of the same free state; or spare records. guarded by: arena lock */
    struct wr_extent *before, *after; /* of the same size and state, WARM or FRESH. guarded by: arena lock */
    enum wr_extent_state state;      /* guarded by: arena lock */
    bool huge; /* huge pages were asked for, for some of it, since it last went back. guarded by: arena lock */
};

/** What has been taken, by the state that it was in. */
struct wr_extent_tally {
    size_t bytes[WR_EXTENT_STATES];
};

/** What starts and sizes are multiples of. */
size_t wr_extent_unit(void);

/** A block of `size` bytes at a multiple of `align`; *tally is what it was made of. NULL when the system refuses.
 *  pre: both are multiples of the unit, align is a power of two, size at least WR_MAP_SLOT; no lock is held. */
struct wr_extent *wr_extent_take(size_t size, size_t align, struct wr_extent_tally *tally);

/** Frees the block at `start`. False if the extent is none that is live there: somebody freed it at the same time. */
bool wr_extent_free(struct wr_extent *extent, const void *start);

/** Whether an extent is the block at `start`. */
bool wr_extent_is_live(const struct wr_extent *extent, const void *start);

/** Makes a block shorter; what it loses is WARM. False if it stays as it was, for want of a record. pre: it is live. */
bool wr_extent_shrink(struct wr_extent *extent, size_t size);

/** Makes a block longer: by what is free behind it, else the system moves it; *tally is what came to it. False if it
 *  stays as it was. pre: as for wr_extent_shrink(). */
bool wr_extent_grow(struct wr_extent *extent, size_t size, struct wr_extent_tally *tally);

/** Gives back `size` bytes at an end of the WARM extent that was freed longest ago, or all of it where little would be
 *  left; `how`: WR_DISCARD_NEVER for unmapping. Unmaps what is cold beyond what may stay. Returns the bytes that went;
 *  0 if there is nothing, or the system refuses. pre: no lock is held. */
size_t wr_extent_give_back(size_t size, enum wr_discard how);

/** Unmaps cold extents, long and old ones first, until no more than `keep` bytes are left. pre: no lock is held. */
void wr_extent_unmap_cold(size_t keep);

/** The block that an address lies in, or NULL. Takes no lock: for a live block of the caller's the answer is stable. */
struct wr_extent *wr_extent_at(const void *address);

/** Checks all of it; ends the process if something is wrong. pre: no lock is held. */
void wr_extent_check(void);

/** Bytes in WARM and GOING extents, and in COLD and FRESH ones. Any may be read at any time. */
extern struct wr_extent_count {
    _Atomic uint64_t warm, cold;
} wr_extent_count WR_HIDDEN;

#endif
