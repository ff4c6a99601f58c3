/* SPDX-License-Identifier: MIT
 * The address map's writers; see map.h. A leaf, once there, stays. */
#include "core/map.h"

#include "core/meta.h"

_Atomic(uintptr_t) *_Atomic wr_map_root[WR_MAP_ROOT];
_Atomic(uintptr_t) wr_map_known[WR_MAP_KNOWN];

static size_t first_slot(const void *start) { return (uintptr_t)start >> WR_MAP_SHIFT; }

static size_t last_slot(const void *start, size_t size) { return ((uintptr_t)start + size - 1) >> WR_MAP_SHIFT; }

bool wr_map_prepare(const void *start, size_t size)
{
    size_t first = first_slot(start) >> WR_MAP_LEAF_BITS, last = last_slot(start, size) >> WR_MAP_LEAF_BITS;
    if (last >= WR_MAP_ROOT)
        return false;
    for (size_t i = first; i <= last; i++) {
        _Atomic(uintptr_t) *none = NULL;
        if (atomic_load_explicit(&wr_map_root[i], memory_order_acquire) != NULL)
            continue;
        _Atomic(uintptr_t) *leaf = wr_meta_alloc(WR_MAP_LEAF * sizeof *leaf);
        if (leaf == NULL)
            return false;
        /* Release: whoever sees the leaf sees its zeros. A leaf that lost the race is kept by nobody; that happens at
         * most once per 16 GiB of address space. */
        atomic_compare_exchange_strong_explicit(&wr_map_root[i], &none, leaf, memory_order_release,
                                                memory_order_relaxed);
    }
    return true;
}

void wr_map_set(const void *start, size_t size, uintptr_t entry)
{
    for (size_t slot = first_slot(start); slot <= last_slot(start, size); slot++) {
        _Atomic(uintptr_t) *leaf = atomic_load_explicit(&wr_map_root[slot >> WR_MAP_LEAF_BITS], memory_order_relaxed);
        atomic_store_explicit(&leaf[slot & (WR_MAP_LEAF - 1)], entry, memory_order_release);
    }
}

static _Atomic(uintptr_t) *known(const void *arena)
{
    return &wr_map_known[((uintptr_t)arena >> WR_ARENA_SHIFT) & (WR_MAP_KNOWN - 1)];
}

void wr_map_add_arena(const void *arena)
{
    wr_map_set(arena, WR_ARENA_SIZE, (uintptr_t)arena | WR_MAP_ARENA);
    atomic_store_explicit(known(arena), wr_map_last(arena), memory_order_release);
}

void wr_map_remove_arena(const void *arena)
{
    if (atomic_load_explicit(known(arena), memory_order_relaxed) == wr_map_last(arena))
        atomic_store_explicit(known(arena), 0, memory_order_relaxed);
    wr_map_set(arena, WR_ARENA_SIZE, 0);
}
