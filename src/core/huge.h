/* SPDX-License-Identifier: MIT
 * Huge blocks: each has a mapping of its own, aligned to an arena's size so that the map can tell whose it is. A few
 * freed mappings are kept for the next huge block; they are slack, under the same bound as free pages. */
#ifndef WR_HUGE_H
#define WR_HUGE_H

#include <stdatomic.h>

#include "base/base.h"

/** The record of a mapping. From metadata memory, recycled. */
struct wr_huge {
    void *start;
    size_t size;                 /* of the mapping */
    bool live;                   /* a block is in it. guarded by: arena lock */
    struct wr_huge *next, *prev; /* cached mappings, oldest last; or free records. guarded by: arena lock */
};

/** `size` bytes aligned to `align`, any power of two; *zeroed tells whether they read as zero. NULL when the system
 *  refuses. pre: no lock is held. */
void *wr_huge_alloc(size_t size, size_t align, bool *zeroed);

/** Frees a huge block. pre: as wr_huge_alloc; the record's start is the block. */
void wr_huge_free(struct wr_huge *huge);

/** Resizes a huge block, moving it if it must; its start, or NULL if it stays as it was. */
void *wr_huge_resize(struct wr_huge *huge, size_t size);

/** Unmaps the cached mapping that was freed longest ago, if it has no more than `most` bytes; returns its bytes, 0 if
 *  there is none. pre: no lock is held. */
size_t wr_huge_drop_oldest(size_t most);

/** Unmaps the last `size` bytes of the cached mapping that was freed longest ago, or all of it where what is left would
 *  serve no huge block; returns the bytes that went, 0 if there is none. pre: no lock is held. */
size_t wr_huge_cut_oldest(size_t size);

extern struct wr_huge_count {
    _Atomic uint64_t blocks, cached; /* in use, number; bytes of cached mappings */
} wr_huge_count WR_HIDDEN;

#endif
