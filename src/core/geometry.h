/* SPDX-License-Identifier: MIT
 * Sizes: pages, spans, arenas, and the classes of block sizes. Computed once from the page size, then read-only.
 *
 *   arena = 1,024 pages, aligned to its size; its first span holds its descriptors
 *   span  = 16 pages, lent to one heap (its pages to small classes, or all to a medium one), or part of a large run
 *   pool  = one page of blocks of one class (small), or one span (medium)
 *
 *   small   up to a quarter of a page: page-fitted, no block straddles a page
 *   medium  up to half a span: blocks side by side in a span, at most 12.5 % larger than asked
 *   large   up to half an arena: a run of whole pages, from the start of a span
 *   huge    above: an extent of its own, at any page (core/extent.h) */
#ifndef WR_GEOMETRY_H
#define WR_GEOMETRY_H

#include "base/base.h"
#include "base/bits.h"

/* The page is 4 KiB on these; elsewhere it is asked for at start. A build may force another, larger, for tests. */
#if defined(WR_PAGE_SHIFT_FORCED)
#define WR_PAGE_SHIFT ((unsigned)WR_PAGE_SHIFT_FORCED)
#elif defined(__x86_64__) || defined(__riscv) || defined(__s390x__)
#define WR_PAGE_SHIFT_KNOWN 1
#define WR_PAGE_SHIFT 12u
#else
#define WR_PAGE_SHIFT (wr_geometry.page_shift)
#endif

#define WR_SPAN_PAGES 16u
#define WR_ARENA_SPANS 64u
#define WR_ARENA_PAGES (WR_SPAN_PAGES * WR_ARENA_SPANS)
#define WR_PAGE_SIZE ((size_t)1 << WR_PAGE_SHIFT)
#define WR_HUGE_PAGE ((size_t)2 << 20) /* bytes of the system's, with pages of 4 KiB */
#define WR_SPAN_SIZE (WR_PAGE_SIZE * WR_SPAN_PAGES)
#define WR_ARENA_SIZE (WR_PAGE_SIZE * WR_ARENA_PAGES)

#define WR_MIN_ALIGN ((size_t)16)
#define WR_SMALL_MAX (WR_PAGE_SIZE / 4)
#define WR_MEDIUM_MAX (WR_SPAN_SIZE / 2)
#define WR_LARGE_MAX (WR_ARENA_SIZE / 2)

/* Entries of a table of small sizes by 16 bytes; where the page is not known, for 64 KiB pages. */
#if defined(WR_PAGE_SHIFT_FORCED) || defined(WR_PAGE_SHIFT_KNOWN)
#define WR_SMALL_SLOTS (WR_SMALL_MAX / 16 + 1)
#else
#define WR_SMALL_SLOTS 1025
#endif

enum {
    WR_CLASS_LIMIT = 96,       /* room for the classes of 64 KiB pages */
    WR_MEDIUM_LIMIT = 40,      /* of them, the medium ones: eight to a doubling, five doublings */
    WR_SMALL_LIMIT = 56,       /* and the small ones */
    WR_STACK_BLOCKS = 16,      /* most blocks of a medium class in a heap's stash */
    WR_MEDIUM_SLOTS = 256,     /* entries of the table for medium sizes */
    WR_ALIGNMENTS = 20,        /* powers of two up to WR_MEDIUM_MAX of 64 KiB pages */
    WR_POOL_BLOCKS_MEDIUM = 64 /* most blocks in a span of a medium class: one bit each */
};

struct wr_class {
    uint32_t size;    /* of a block, bytes */
    uint16_t blocks;  /* in a pool */
    uint16_t wake;    /* a full small pool sleeps until this many blocks are live: an eighth is free */
    uint16_t stash;   /* blocks that free puts into a heap's stash */
    uint64_t inverse; /* offset / size == offset * inverse >> 40, for offsets inside a span */
};

/** Which blocks of a medium class touch which pages of their span. */
struct wr_medium {
    uint64_t page_blocks[WR_SPAN_PAGES];         /* of each page the blocks, a bit each */
    uint16_t block_pages[WR_POOL_BLOCKS_MEDIUM]; /* of each block the pages, a bit each */
};

extern struct wr_geometry {
    uint8_t small_class[WR_SMALL_SLOTS];   /* by (size + 15) / 16 */
    uint8_t medium_class[WR_MEDIUM_SLOTS]; /* by size / (WR_MEDIUM_MAX / 256): the first class worth trying */
    uint8_t aligned_class[WR_ALIGNMENTS][WR_CLASS_LIMIT]; /* by the alignment's power of two: the first class from this
                                                             one on whose blocks have it; `classes` if none */
    unsigned page_shift;
    unsigned classes;       /* all of them */
    unsigned small_classes; /* of them, the small ones: they come first */
    struct wr_class class[WR_CLASS_LIMIT];
    struct wr_medium medium[WR_MEDIUM_LIMIT]; /* by class, less small_classes */
} wr_geometry WR_HIDDEN;

/** Computes the tables for pages of `page_size` bytes. */
void wr_geometry_init(size_t page_size);

/** The class for a small size. pre: size <= WR_SMALL_MAX. Class 0 before wr_geometry_init(). */
WR_INLINE unsigned wr_geometry_small_class(size_t size) { return wr_geometry.small_class[(size + 15) / 16]; }

/** The class for a small or medium size. pre: size <= WR_MEDIUM_MAX. */
WR_INLINE unsigned wr_geometry_class(size_t size)
{
    if (size <= WR_SMALL_MAX)
        return wr_geometry_small_class(size);
    unsigned c = wr_geometry.medium_class[(size - 1) / (WR_MEDIUM_MAX / WR_MEDIUM_SLOTS)];
    while (wr_geometry.class[c].size < size)
        c++;
    return c;
}

/** The class for `size` aligned to `align`, or -1 if it takes a large block. pre: align is a power of two. */
WR_INLINE int wr_geometry_aligned_class(size_t size, size_t align)
{
    size_t least = wr_max(size, align);
    if (least > WR_MEDIUM_MAX)
        return -1;
    unsigned c = wr_geometry.aligned_class[wr_bits_first(align)][wr_geometry_class(least)];
    return c < wr_geometry.classes ? (int)c : -1;
}

/** Which block of its pool lies at `offset` bytes from the pool's start; *exact tells whether that is its first byte.
 */
WR_INLINE unsigned wr_geometry_block(const struct wr_class *class, size_t offset, bool *exact)
{
    unsigned index = (unsigned)(((uint64_t)offset * class->inverse) >> 40);
    *exact = (size_t)index * class->size == offset && index < class->blocks;
    return index;
}

/** pre: a medium class. */
WR_INLINE const struct wr_medium *wr_geometry_medium(unsigned class)
{
    return &wr_geometry.medium[class - wr_geometry.small_classes];
}

WR_INLINE bool wr_geometry_is_small(unsigned class) { return class < wr_geometry.small_classes; }

#endif
