/* SPDX-License-Identifier: MIT
 * Huge blocks: those that are too large for an arena. Each is an extent (extent.h), at any page. What they leave when
 * they are freed is slack, under the same bound as free pages, until another is cut out of it or it is given back. */
#ifndef WR_HUGE_H
#define WR_HUGE_H

#include <stdatomic.h>

#include "core/extent.h"

/** `size` bytes aligned to `align`, any power of two; *zeroed tells whether they read as zero. NULL when the system
 *  refuses. pre: no lock is held. */
void *wr_huge_alloc(size_t size, size_t align, bool *zeroed);

/** Frees the huge block at `block`, which was looked up. pre: as wr_huge_alloc. */
void wr_huge_free(struct wr_extent *huge, void *block);

/** Resizes a huge block, moving it if it must; its start, or NULL if it stays as it was. pre: as wr_huge_free. */
void *wr_huge_resize(struct wr_extent *huge, void *block, size_t size);

extern _Atomic uint64_t wr_huge_blocks WR_HIDDEN; /* in use; relaxed, a figure */

#endif
