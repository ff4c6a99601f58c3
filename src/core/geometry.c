/* SPDX-License-Identifier: MIT
 * The tables of size classes; see geometry.h. */
#include "core/geometry.h"

#include "base/assert.h"

struct wr_geometry wr_geometry;

/* A class must be at least this much larger than the one before to be worth its pools. */
enum { STEP_NUMERATOR = 217, STEP_DENOMINATOR = 200 };

/* Blocks in the stash of a class. Small: so many that a program which replaces blocks at random seldom goes further;
 * but each may be all that holds its page. Medium: a few. */
enum {
    STASH_LEAST = 16,
    STASH_MOST = 64,
    STASH_SMALL_BYTES = 16 * 1024,
    STASH_MEDIUM = 8,
    STASH_MEDIUM_BYTES = 32 * 1024
};

static void add_class(size_t size, size_t pool_size)
{
    wr_assert(wr_geometry.classes < WR_CLASS_LIMIT && size % WR_MIN_ALIGN == 0);
    struct wr_class *class = &wr_geometry.class[wr_geometry.classes++];
    class->size = (uint32_t)size;
    class->blocks = (uint16_t)(pool_size / size);
    class->wake = (uint16_t)(class->blocks - wr_max(class->blocks / 8, 1));
    if (pool_size == WR_PAGE_SIZE)
        class->stash = (uint16_t)wr_max(STASH_LEAST, wr_min(STASH_MOST, STASH_SMALL_BYTES / size));
    else
        class->stash = (uint16_t)wr_max(1, wr_min(STASH_MEDIUM, STASH_MEDIUM_BYTES / size));
    class->inverse = ((UINT64_C(1) << 40) - 1) / size + 1;
}

/** 16…128 by 16, then the largest sizes that fit n times into a page, each at least STEP larger than the last. */
static void add_small_classes(void)
{
    size_t last = 0;
    for (size_t size = 16; size <= 128; size += 16)
        add_class(last = size, WR_PAGE_SIZE);
    for (size_t n = WR_PAGE_SIZE / 128; n >= 4; n--) {
        size_t size = wr_round_down(WR_PAGE_SIZE / n, WR_MIN_ALIGN);
        if (size * STEP_DENOMINATOR >= last * STEP_NUMERATOR)
            add_class(last = size, WR_PAGE_SIZE);
    }
    wr_assert(wr_geometry.classes <= WR_SMALL_LIMIT);
    wr_geometry.small_classes = wr_geometry.classes;
}

static void note_pages(const struct wr_class *class, struct wr_medium *medium)
{
    for (unsigned b = 0; b < class->blocks; b++) {
        size_t first = (size_t)b * class->size / WR_PAGE_SIZE;
        size_t last = ((size_t)(b + 1) * class->size - 1) / WR_PAGE_SIZE;
        medium->block_pages[b] = (uint16_t)wr_bits_run((unsigned)first, (unsigned)(last - first + 1));
        for (size_t page = first; page <= last; page++)
            medium->page_blocks[page] |= UINT64_C(1) << b;
    }
}

/** Eight to a doubling: what is asked for is at least 8/9 of the block. A block's size is a multiple of an eighth of
 * the power of two below it, so blocks are aligned to that. */
static void add_medium_classes(void)
{
    for (size_t base = WR_SMALL_MAX; base < WR_MEDIUM_MAX; base *= 2)
        for (unsigned eighth = 1; eighth <= 8; eighth++) {
            unsigned c = wr_geometry.classes;
            add_class(base + base / 8 * eighth, WR_SPAN_SIZE);
            note_pages(&wr_geometry.class[c], &wr_geometry.medium[c - wr_geometry.small_classes]);
        }
}

void wr_geometry_init(size_t page_size)
{
    wr_geometry.classes = 0;
    wr_geometry.page_shift = (unsigned)__builtin_ctzll(page_size);
    add_small_classes();
    add_medium_classes();
    unsigned c = 0;
    for (size_t i = 0; i <= WR_SMALL_MAX / 16; i++) {
        while (wr_geometry.class[c].size < i * 16)
            c++;
        wr_geometry.small_class[i] = (uint8_t)c;
    }
    for (size_t i = 0; i < WR_MEDIUM_SLOTS; i++) {
        while (wr_geometry.class[c].size < i * (WR_MEDIUM_MAX / WR_MEDIUM_SLOTS) + 1)
            c++;
        wr_geometry.medium_class[i] = (uint8_t)(i == 0 ? 0 : c);
    }
    for (unsigned a = 0; a < WR_ALIGNMENTS; a++) {
        unsigned next = wr_geometry.classes;
        for (c = wr_geometry.classes; c-- > 0; wr_geometry.aligned_class[a][c] = (uint8_t)next)
            if (wr_geometry.class[c].size % ((size_t)1 << a) == 0)
                next = c;
    }
}
