/* SPDX-License-Identifier: MIT
 * The address map: which addresses are Weir's. A tree of two levels over slots of the 48-bit address space, each half
 * an arena.
 *
 * An entry is 0 (not ours), an arena's address with bit 0 set, the address of a huge block's record (bits 0 and 1
 * clear), or, with bit 1 set, the address of a huge block that began in the slot: who frees it frees it twice.
 * A huge block is at least as long as a slot, so no two begin in the same one. It has the entry of the slot in which it
 * begins, and of those behind that it fills. Where it ends within a slot, that entry is another's, who begins there:
 * an address there is found by the slot before (wr_extent_at()).
 * Entries are written under the arena lock and read by anyone, at any time; for the owner of a live block the entry was
 * written before the block was handed out, so a relaxed load suffices.
 *
 * In front of the tree lies a direct-mapped table of arenas, by the low bits of their number, for the fast free: one
 * load and one compare tell an arena from everything else, NULL and wild pointers too. Arenas lie side by side, so they
 * do not collide within 256 GiB; one that does is found by the tree. */
#ifndef WR_MAP_H
#define WR_MAP_H

#include <stdatomic.h>

#include "core/geometry.h"

enum { WR_MAP_LEAF_BITS = 13, WR_MAP_LEAF = 1 << WR_MAP_LEAF_BITS, WR_MAP_ARENA = 1, WR_MAP_GONE = 2 };

/* Enough for 48 bits of address with the smallest pages. */
enum { WR_MAP_ROOT = 1 << (48 - 21 - WR_MAP_LEAF_BITS) };

extern _Atomic(uintptr_t) *_Atomic wr_map_root[WR_MAP_ROOT] WR_HIDDEN;

#define WR_ARENA_SHIFT (WR_PAGE_SHIFT + 10)
#define WR_MAP_SHIFT (WR_ARENA_SHIFT - 1)
#define WR_MAP_SLOT ((size_t)1 << WR_MAP_SHIFT)

enum { WR_MAP_KNOWN = 1 << 16 };
extern _Atomic(uintptr_t) wr_map_known[WR_MAP_KNOWN] WR_HIDDEN; /* an arena's last address; 0: none */

/** The last address of the arena-sized stretch that `address` lies in: never 0. */
WR_INLINE uintptr_t wr_map_last(const void *address) { return (uintptr_t)address | (WR_ARENA_SIZE - 1); }

/** Whether `address` lies in an arena, when the table knows it. */
WR_INLINE bool wr_map_is_known(const void *address)
{
    uintptr_t slot = (uintptr_t)address >> WR_ARENA_SHIFT;
    return atomic_load_explicit(&wr_map_known[slot & (WR_MAP_KNOWN - 1)], memory_order_relaxed) == wr_map_last(address);
}

/** The entry for an address, whatever it is. */
WR_INLINE uintptr_t wr_map_get(const void *address)
{
    uintptr_t slot = (uintptr_t)address >> WR_MAP_SHIFT;
    if (wr_unlikely(slot >> WR_MAP_LEAF_BITS >= WR_MAP_ROOT))
        return 0;
    _Atomic(uintptr_t) *leaf = atomic_load_explicit(&wr_map_root[slot >> WR_MAP_LEAF_BITS], memory_order_relaxed);
    if (wr_unlikely(leaf == NULL))
        return 0;
    return atomic_load_explicit(&leaf[slot & (WR_MAP_LEAF - 1)], memory_order_relaxed);
}

/** Makes sure that entries for [start, start + size) can be set. False when memory is short or the range lies beyond
 *  the map. Any thread, no lock needed. */
bool wr_map_prepare(const void *start, size_t size);

/** Sets the entries for the slots of [start, start + size). pre: prepared; the arena lock is held. */
void wr_map_set(const void *start, size_t size, uintptr_t entry);

/** Adds an arena, or takes it out. pre: as wr_map_set(). */
void wr_map_add_arena(const void *arena);
void wr_map_remove_arena(const void *arena);

#endif
