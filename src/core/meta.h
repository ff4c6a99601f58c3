/* SPDX-License-Identifier: MIT
 * Memory for Weir's own bookkeeping: heaps, leaves of the map, records of huge blocks. It is zeroed, never given back
 * (what lies in it may be looked at by a thread that came late), and reused by its owners through lists of their own.
 */
#ifndef WR_META_H
#define WR_META_H

#include "base/base.h"

/** `size` zeroed bytes aligned to a cache line, or NULL. Lock: WR_RANK_META inside. */
void *wr_meta_alloc(size_t size);

/** Bytes handed out so far. */
size_t wr_meta_size(void);

/** Around fork: see wr_registry_fork_prepare(). */
void wr_meta_fork_prepare(void);
void wr_meta_fork_done(void);

#endif
