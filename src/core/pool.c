/* SPDX-License-Identifier: MIT
 * The life of one pool; see pool.h for its states. Owns no state of its own, takes no lock. */
#include "core/pool.h"

void *wr_pool_link(struct wr_pool *pool)
{
    const struct wr_class *class = wr_pool_class(pool);
    void **first = (void *)wr_pool_start(pool), **block = first;
    for (unsigned i = 1; i < class->blocks; i++, block += class->size / sizeof *block)
        *block = block + class->size / sizeof *block;
    *block = NULL;
    return first;
}

static void *block_at(struct wr_pool *pool, unsigned head)
{
    return wr_pool_start(pool) + (size_t)(head - 1) * WR_MIN_ALIGN;
}

static unsigned head_of(struct wr_pool *pool, const void *block)
{
    return (unsigned)((size_t)((const char *)block - wr_pool_start(pool)) / WR_MIN_ALIGN) + 1;
}

/** Puts the list of `count` blocks at `first` before the local list. */
static void splice(struct wr_pool *pool, void *first, unsigned count)
{
    char *start = wr_pool_start(pool);
    void *last = first;
    for (unsigned i = 1; i < count && pool->free != NULL; i++) {
        last = *(void **)last;
        if (wr_unlikely((size_t)((char *)last - start) >= WR_PAGE_SIZE))
            wr_fatal(
                "corrupted list of freed blocks in the pool of %u-byte blocks at %p: a block was written to after it "
                "was freed, or freed twice",
                wr_pool_class(pool)->size, (void *)start);
    }
    if (pool->free != NULL)
        *(void **)last = pool->free;
    pool->free = first;
}

/** Compare-and-swap of the remote word by the owner; a plain store while there is no other thread. */
WR_INLINE bool swap_remote(struct wr_pool *pool, uint64_t *word, uint64_t next, memory_order order)
{
    if (wr_os_alone()) {
        atomic_store_explicit(&pool->remote, next, memory_order_relaxed);
        return true;
    }
    return atomic_compare_exchange_strong_explicit(&pool->remote, word, next, order, memory_order_relaxed);
}

bool wr_pool_collect(struct wr_pool *pool, enum wr_pool_state state)
{
    uint64_t word = atomic_load_explicit(&pool->remote, memory_order_relaxed);
    /* The owner takes its own request back before it looks, so a push that comes later asks again. */
    uintptr_t owner = atomic_load_explicit(&pool->owner, memory_order_relaxed);
    bool asked = (owner & WR_OWNER_REMOTE) != 0;
    if (!asked && (word & ~WR_REMOTE_VERSION) == wr_remote_word(state, 0, 0))
        return true; /* nothing to do: no read-modify-write */
    if (asked)
        atomic_store_explicit(&pool->owner, owner & ~(uintptr_t)WR_OWNER_REMOTE, memory_order_seq_cst);
    do
        if ((word & WR_REMOTE_CLAIM) != 0)
            return false;
    while (!swap_remote(pool, &word,
                        wr_remote_word(state, 0, 0) |
                            ((word & WR_REMOTE_VERSION) + (UINT64_C(1) << WR_REMOTE_VERSION_SHIFT)),
                        memory_order_acq_rel));
    unsigned count = wr_remote_count(word);
    if (count > 0) {
        if (wr_unlikely(count > pool->live))
            wr_fatal(
                "double free in the pool of %u-byte blocks at %p: more blocks were freed by other threads than are "
                "allocated",
                wr_pool_class(pool)->size, (void *)wr_pool_start(pool));
        splice(pool, block_at(pool, wr_remote_head(word)), count);
        wr_pool_set_live(pool, pool->live - count);
    }
    return true;
}

/** Whether a pool in the state of `word`, with `count` remote frees, now needs a claimer. */
static bool is_due(struct wr_pool *pool, uint64_t word, unsigned count)
{
    enum wr_pool_state state = wr_remote_state(word);
    if ((word & WR_REMOTE_CLAIM) != 0)
        return false;
    const struct wr_class *class = wr_pool_class(pool);
    return count == wr_pool_live(pool) || (state == WR_POOL_FULL && count >= (unsigned)(class->blocks - class->wake));
}

static WR_COLD void push_failed(struct wr_pool *pool, const void *block)
{
    wr_fatal("double free of %p: all blocks of its pool (%u bytes each, at %p) are free", block,
             wr_pool_class(pool)->size, (void *)wr_pool_start(pool));
}

/** Asks the owner to collect. Its answer counts up the word's version, so a push that comes too late for it fails and
 * asks again. An owner in the midst of its fast free may still miss a request; who tidies the heap finds such a pool.
 */
static void ask_owner(struct wr_pool *pool)
{
    uintptr_t owner = atomic_load_explicit(&pool->owner, memory_order_relaxed);
    if ((owner & WR_OWNER_REMOTE) == 0)
        atomic_compare_exchange_strong_explicit(&pool->owner, &owner, owner | WR_OWNER_REMOTE, memory_order_seq_cst,
                                                memory_order_relaxed);
}

bool wr_pool_push_remote(struct wr_pool *pool, void *first, void *last, unsigned add)
{
    uint64_t word = atomic_load_explicit(&pool->remote, memory_order_acquire), next;
    unsigned head = head_of(pool, first);
    bool claim;
    do {
        unsigned count = wr_remote_count(word) + add;
        enum wr_pool_state state = wr_remote_state(word);
        if (wr_unlikely(state == WR_POOL_IDLE || head == wr_remote_head(word) || count > wr_pool_class(pool)->blocks))
            push_failed(pool, first);
        /* While the blocks are not pushed the pool cannot go, so the request comes first. */
        if (count == add)
            ask_owner(pool);
        *(void **)last = wr_remote_head(word) != 0 ? block_at(pool, wr_remote_head(word)) : NULL;
        claim = is_due(pool, word, count);
        next = wr_remote_word(state, head, count) | (word & (WR_REMOTE_CLAIM | WR_REMOTE_VERSION)) |
               (claim ? WR_REMOTE_CLAIM : 0);
        /* Release: who takes the list sees the links and what was written to the blocks. Acquire: a claimer sees them.
         */
    } while (
        !atomic_compare_exchange_weak_explicit(&pool->remote, &word, next, memory_order_acq_rel, memory_order_relaxed));
    return claim;
}

void wr_pool_check(struct wr_pool *pool)
{
    const struct wr_class *class = wr_pool_class(pool);
    char *start = wr_pool_start(pool);
    unsigned listed = 0;
    for (void *block = pool->free; block != NULL; block = *(void **)block) {
        bool exact;
        size_t offset = (size_t)((char *)block - start);
        if (offset >= WR_PAGE_SIZE || (wr_geometry_block(class, offset, &exact), !exact) || ++listed > class->blocks)
            wr_fatal(
                "corrupted list of free blocks in the pool of %u-byte blocks at %p: a block was written to after it "
                "was freed, or freed twice",
                class->size, (void *)start);
    }
    if (listed + pool->live != class->blocks)
        wr_fatal("corrupted pool of %u-byte blocks at %p: %u allocated and %u free of %u; a block was freed twice",
                 class->size, (void *)start, pool->live, listed, class->blocks);
}
