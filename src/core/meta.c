/* SPDX-License-Identifier: MIT
 * A bump allocator over mappings of its own; see meta.h.
 * Invariant: start <= at <= end of the newest chunk; chunks are never unmapped. Lock: `lock`, WR_RANK_META. */
#include "core/meta.h"

#include "core/geometry.h"
#include "os/lock.h"

#define CHUNK (256 * WR_KIB)

static struct {
    struct wr_lock lock;
    char *at, *end;       /* the rest of the newest chunk; guarded by: lock */
    _Atomic size_t total; /* bytes handed out; relaxed, a figure */
} meta;

void *wr_meta_alloc(size_t size)
{
    size = wr_round_up(size, WR_CACHE_LINE);
    wr_lock(&meta.lock, WR_RANK_META);
    while ((size_t)(meta.end - meta.at) < size) {
        /* The map call is made outside the lock; if another thread was faster, both chunks are used in turn. */
        size_t chunk = wr_round_up(wr_max(size, CHUNK), WR_PAGE_SIZE);
        wr_unlock(&meta.lock, WR_RANK_META);
        char *start = wr_os_map(NULL, chunk);
        if (start == NULL)
            return NULL;
        wr_lock(&meta.lock, WR_RANK_META);
        meta.at = start;
        meta.end = start + chunk;
    }
    void *got = meta.at;
    meta.at += size;
    wr_unlock(&meta.lock, WR_RANK_META);
    atomic_fetch_add_explicit(&meta.total, size, memory_order_relaxed);
    return got;
}

size_t wr_meta_size(void) { return atomic_load_explicit(&meta.total, memory_order_relaxed); }

void wr_meta_fork_prepare(void) { wr_lock_fork_prepare(&meta.lock, WR_RANK_META); }

void wr_meta_fork_done(void) { wr_lock_fork_done(&meta.lock, WR_RANK_META); }
