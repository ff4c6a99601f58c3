/* SPDX-License-Identifier: MIT
 * Huge blocks over extents: sizes, figures and misuse; see huge.h. No lock of its own. */
#include "core/huge.h"

#include "base/assert.h"
#include "core/account.h"
#include "core/map.h"
#include "core/purge.h"

_Atomic uint64_t wr_huge_blocks;

/** The size of the extent for a block: what is less than a slot of the map would not be found there. */
static size_t extent_size(size_t size) { return wr_round_up(wr_max(size, WR_MAP_SLOT), wr_extent_unit()); }

/** Counts what a block was made of: what was given back lately has come again, wherever it was. */
static void count_taken(const struct wr_extent_tally *tally)
{
    wr_account_map(tally->bytes[WR_EXTENT_COLD] + tally->bytes[WR_EXTENT_FRESH]);
    wr_account_note_peak();
}

void *wr_huge_alloc(size_t size, size_t align, bool *zeroed)
{
    struct wr_extent_tally tally = {{0}};
    if (size > PTRDIFF_MAX - WR_ARENA_SIZE || align > PTRDIFF_MAX / 2)
        return NULL;
    struct wr_extent *huge = wr_extent_take(extent_size(size), wr_max(align, wr_extent_unit()), &tally);
    if (huge == NULL)
        return NULL;
    count_taken(&tally);
    atomic_fetch_add_explicit(&wr_huge_blocks, 1, memory_order_relaxed);
    *zeroed = tally.bytes[WR_EXTENT_WARM] == 0 && (tally.bytes[WR_EXTENT_COLD] == 0 || wr_purge_zeroes());
    return (void *)huge->start;
}

void wr_huge_free(struct wr_extent *huge, void *block)
{
    if (!wr_extent_free(huge, block))
        wr_fatal("double free of %p, a block with a mapping of its own", block);
    atomic_fetch_sub_explicit(&wr_huge_blocks, 1, memory_order_relaxed);
}

void *wr_huge_resize(struct wr_extent *huge, void *block, size_t size)
{
    struct wr_extent_tally tally = {{0}};
    if (size > PTRDIFF_MAX - WR_ARENA_SIZE)
        return NULL;
    if (!wr_extent_is_live(huge, block))
        wr_fatal("realloc of %p, a block with a mapping of its own that was freed", block);
    size = extent_size(size);
    if (size < huge->size)
        wr_extent_shrink(huge, size); /* where it cannot it is longer than it must be */
    else if (size > huge->size && !wr_extent_grow(huge, size, &tally))
        return NULL;
    count_taken(&tally);
    return (void *)huge->start;
}
