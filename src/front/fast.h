/* SPDX-License-Identifier: MIT
 * The fast paths: what malloc and free do nearly always. One screen, no call, no lock, no atomic read-modify-write.
 *
 * Anything unusual makes one of the tests fail and is handled in front/alloc.c: a thread without a heap has one whose
 * pools are all empty; special modes show the fast path nothing but empty pools, and put a mark on each pool's owner.
 */
#ifndef WR_FAST_H
#define WR_FAST_H

#include "core/block.h"

/** The calling thread's heap: &wr_heap_none before its first allocation, and after its last. */
extern WR_TLS struct wr_heap *wr_self WR_HIDDEN;
extern struct wr_heap wr_heap_none WR_HIDDEN;

void *wr_malloc_slow(size_t size) WR_NOINLINE;
void *wr_calloc_slow(size_t size) WR_NOINLINE;
void *wr_no_memory(void) WR_COLD;
void wr_free_slow(void *block) WR_NOINLINE;
void wr_free_aside(void *block, struct wr_pool *pool) WR_NOINLINE;
void wr_free_full(void *block, struct wr_pool *pool, struct wr_stash *stash) WR_NOINLINE;

/** Gives back what can go, because the system has refused memory: with WEIR_PURGE=never too. */
void wr_make_room(void) WR_COLD;

/** A block of a stash, or NULL if there is none. pre: the caller owns its heap. */
WR_INLINE void *wr_fast_pop(struct wr_stash *stash)
{
    void *block = stash->free;
    if (wr_likely(block != NULL)) {
        stash->free = *(void **)block;
        stash->room++;
    }
    return block;
}

WR_INLINE void *wr_fast_malloc(size_t size)
{
    if (wr_likely(size <= WR_SMALL_MAX)) {
        void *block = wr_fast_pop(wr_self->slot[(size + 15) / 16]);
        if (wr_likely(block != NULL))
            return block;
    }
    return wr_malloc_slow(size);
}

WR_INLINE void wr_fast_free(void *block)
{
    if (wr_unlikely(!wr_map_is_known(block))) {
        wr_free_slow(block);
        return;
    }
    struct wr_pool *pool = wr_hide(wr_arena_pool(block));
    struct wr_heap *self = wr_self;
    if (wr_likely(atomic_load_explicit(&pool->owner, memory_order_relaxed) == (uintptr_t)self)) {
        struct wr_stash *stash = wr_hide(&self->stash[pool->class]);
        if (wr_likely(block != stash->free)) {
            if (wr_likely(--stash->room >= 0)) {
                *(void **)block = stash->free;
                stash->free = block;
                return;
            }
            wr_free_full(block, pool, stash);
            return;
        }
    }
    wr_free_aside(block, pool);
}

WR_INLINE void *wr_fast_calloc(size_t count, size_t size)
{
    size_t total;
    if (wr_unlikely(__builtin_mul_overflow(count, size, &total)))
        return wr_no_memory();
    if (wr_likely(total <= WR_SMALL_MAX)) {
        void *block = wr_fast_pop(wr_self->slot[(total + 15) / 16]);
        if (wr_likely(block != NULL))
            return __builtin_memset(block, 0, total);
    }
    return wr_calloc_slow(total);
}

#endif
