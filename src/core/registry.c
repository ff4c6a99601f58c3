/* SPDX-License-Identifier: MIT
 * The list of heaps; see registry.h. Lock: `lock` (WR_RANK_REGISTRY) guards the stack of abandoned heaps and each
 * heap's fields that say so; the list of all heaps only grows and is read without it. */
#include "core/registry.h"

#include "core/account.h"
#include "core/meta.h"
#include "core/purge.h"
#include "core/purger.h"

static struct {
    struct wr_lock lock;
    struct wr_heap *_Atomic all;     /* newest first; release on push, acquire on read */
    struct wr_heap *abandoned;       /* last abandoned first; guarded by: lock */
    uint64_t heaps, abandoned_count; /* guarded by: lock */
} registry;

static void push_all(struct wr_heap *heap, unsigned count)
{
    wr_lock(&registry.lock, WR_RANK_REGISTRY);
    heap->thread = count > 0 ? wr_os_thread_id() : 0;
    heap->next = atomic_load_explicit(&registry.all, memory_order_relaxed);
    atomic_store_explicit(&registry.all, heap, memory_order_release);
    registry.heaps += count;
    atomic_fetch_add_explicit(&wr_account.heaps, 1, memory_order_relaxed);
    wr_unlock(&registry.lock, WR_RANK_REGISTRY);
}

void wr_registry_list(struct wr_heap *heap) { push_all(heap, 0); }

static struct wr_heap *make(bool special)
{
    struct wr_heap *heap = wr_meta_alloc(sizeof *heap);
    if (heap == NULL)
        return NULL;
    wr_heap_init(heap, special);
    push_all(heap, 1);
    return heap;
}

static struct wr_heap *adopt(void)
{
    wr_lock(&registry.lock, WR_RANK_REGISTRY);
    struct wr_heap *heap = registry.abandoned;
    if (heap != NULL) {
        registry.abandoned = heap->abandoned;
        heap->thread = wr_os_thread_id();
        registry.abandoned_count--;
    }
    wr_unlock(&registry.lock, WR_RANK_REGISTRY);
    if (heap != NULL)
        wr_heap_survey(heap);
    return heap;
}

struct wr_heap *wr_registry_acquire(bool special)
{
    struct wr_heap *heap = adopt();
    if (heap == NULL)
        heap = make(special);
    if (heap != NULL) {
        wr_heap_set_inside(heap, false);
        heap->threads++;
    }
    wr_purger_thread_comes();
    return heap;
}

/** pre: lock, or the only thread of a forked child. */
static void push_abandoned(struct wr_heap *heap)
{
    heap->thread = 0;
    heap->abandoned = registry.abandoned;
    registry.abandoned = heap;
    registry.abandoned_count++;
}

void wr_registry_abandon(struct wr_heap *heap)
{
    wr_heap_retire(heap);
    wr_lock(&registry.lock, WR_RANK_REGISTRY);
    push_abandoned(heap);
    wr_unlock(&registry.lock, WR_RANK_REGISTRY);
    wr_purge_check(); /* what the heap had at hand may have been the last of many pages */
}

void wr_registry_each(void (*fn)(struct wr_heap *, void *), void *arg)
{
    for (struct wr_heap *heap = atomic_load_explicit(&registry.all, memory_order_acquire); heap != NULL;
         heap = heap->next)
        fn(heap, arg);
}

void wr_registry_count(uint64_t *heaps, uint64_t *abandoned)
{
    wr_lock(&registry.lock, WR_RANK_REGISTRY);
    *heaps = registry.heaps;
    *abandoned = registry.abandoned_count;
    wr_unlock(&registry.lock, WR_RANK_REGISTRY);
}

/* ---- fork ------------------------------------------------------------------------------------------------------ */

static void prepare_heap(struct wr_heap *heap, void *arg WR_UNUSED) { wr_lock_fork_prepare(&heap->lock, WR_RANK_HEAP); }
static void done_heap(struct wr_heap *heap, void *arg WR_UNUSED) { wr_lock_fork_done(&heap->lock, WR_RANK_HEAP); }

void wr_registry_fork_prepare(void)
{
    wr_lock_fork_prepare(&registry.lock, WR_RANK_REGISTRY);
    wr_purge_fork_prepare();
    wr_registry_each(prepare_heap, NULL);
    wr_lock_fork_prepare(&wr_arena_lock, WR_RANK_ARENA);
    wr_meta_fork_prepare();
}

void wr_registry_fork_done(void)
{
    wr_meta_fork_done();
    wr_lock_fork_done(&wr_arena_lock, WR_RANK_ARENA);
    wr_registry_each(done_heap, NULL);
    wr_purge_fork_done();
    wr_lock_fork_done(&registry.lock, WR_RANK_REGISTRY);
}

static void abandon_dead(struct wr_heap *heap, void *self)
{
    wr_heap_forget_ahead(heap);
    if (heap == self || heap->thread == 0)
        return;
    wr_heap_forget_parcels(heap); /* the blocks in them are lost to the child, and no more than those */
    wr_heap_survey(heap);
    wr_heap_cut(heap);
    push_abandoned(heap);
}

void wr_registry_fork_child(struct wr_heap *self)
{
    wr_registry_each(abandon_dead, self);
    if (self != NULL)
        self->thread = wr_os_thread_id();
}
