/* SPDX-License-Identifier: MIT
 * Blocks of every kind: what an address is, and the paths that ask. */
#ifndef WR_BLOCK_H
#define WR_BLOCK_H

#include "core/heap.h"
#include "core/huge.h"

/** What an address turned out to be. */
enum wr_block_kind {
    WR_BLOCK_FOREIGN, /* no memory of Weir's */
    WR_BLOCK_INVALID, /* Weir's, but not the start of a live block, as far as can be told */
    WR_BLOCK_SMALL,
    WR_BLOCK_MEDIUM,
    WR_BLOCK_LARGE,
    WR_BLOCK_HUGE,
};

/** Set by the layer of objects: the name of the type of the object at `address`, and the bytes of it that may be used;
 *  NULL if none is there. */
extern const char *(*wr_block_namer)(const void *address, size_t *usable)WR_HIDDEN;

struct wr_block {
    enum wr_block_kind kind;
    unsigned class;         /* small, medium: of its blocks */
    size_t size;            /* usable bytes */
    struct wr_arena *arena; /* but for foreign and huge */
    struct wr_span *span;
    struct wr_pool *pool;
    struct wr_extent *huge;
};

/** Finds out what `address` is. Takes no lock: for a live block of the caller's the answer is stable; for any other
 *  address it is a guess that may be stale. */
struct wr_block wr_block_look(const void *address);

/** Why an address of kind WR_BLOCK_INVALID is none, in a line: ends the process. `verb` is "free" or the like. */
void wr_block_fatal(const struct wr_block *block, const void *address, const char *verb) WR_NORETURN WR_COLD;

/** Memory for `size` bytes aligned to `align` (a power of two). *zeroed tells whether it is known to read as zero. NULL
 *  when the system refuses. pre: the caller owns `heap`; no lock is held; size <= PTRDIFF_MAX. */
void *wr_block_alloc(struct wr_heap *heap, size_t size, size_t align, bool *zeroed);

/** Frees a block that was looked up. pre: kind is SMALL to HUGE; the caller owns `heap`. */
void wr_block_free(struct wr_heap *heap, const struct wr_block *block, void *address);

/** Makes the block able to hold `size` bytes where it is (a huge one may move); its address, or NULL if it cannot.
 *  pre: kind is SMALL to HUGE. */
void *wr_block_resize(const struct wr_block *block, void *address, size_t size);

#endif
