/* SPDX-License-Identifier: MIT
 * One thread's pools and spans: where the fast path gets its next pool, and where empty pages go; see heap.h.
 * Lock: heap->lock (WR_RANK_HEAP); the arena lock is taken inside it. No system call is made under it.
 *
 * Invariants under the lock, for each span lent to the heap: it is in the list that relist() finds for it; a span whose
 * pages are all free, none busy, has been given back to its arena. The sets of waiting pools have just those that are
 * WAITING.
 *
 * The stacks and parcels of a thread that sleeps can be emptied by others (wr_heap_tidy(), then wr_heap_empty()),
 * although their owner uses neither lock nor atomic read-modify-writes, and although it may sleep in a signal handler
 * that has interrupted it there, or not sleep at all. Both write first and then read, and between the other's write and
 * read every thread of the process passes a barrier; so one of them sees the other:
 *
 *   owner                                     other
 *   stack:   head--;  reads tail              tail = head;  barrier;  reads head
 *   parcels: inside = true;  reads visited    visited = true;  barrier;  reads inside
 *
 * Stack. If head is not below the new tail, the blocks between the old tail and the new are the other's: the owner
 * finds the stack empty, and leaves their slots alone until `base` moves up. Else the old tail comes back.
 *
 * Parcels. If the owner is not inside, it will see that there is a visitor, and sends its blocks without a parcel. */
#include "core/heap.h"

#include <string.h>

#include "base/option.h"
#include "core/account.h"
#include "core/meta.h"
#include "core/purge.h"
#include "core/purger.h"
#include "core/typed.h"

struct wr_stash wr_stash_none;

static void lock(struct wr_heap *heap) { wr_lock(&heap->lock, WR_RANK_HEAP); }

/* What a heap's stacks of medium blocks may hold: a share of what it has in use, in bounds. */
enum { STACK_SHARE = 4, STACK_LEAST = 64 * 1024, STACK_MOST = 1024 * 1024 };

static size_t stack_limit(uint32_t pages)
{
    return wr_min(wr_max(((size_t)pages << WR_PAGE_SHIFT) / STACK_SHARE, STACK_LEAST), STACK_MOST);
}

void wr_heap_init(struct wr_heap *heap, bool special)
{
    heap->special = special;
    for (unsigned i = 0; i <= WR_SMALL_MAX / 16; i++)
        heap->slot[i] = special ? &wr_stash_none : &heap->stash[wr_geometry.small_class[i]];
    for (unsigned c = 0; c < wr_geometry.small_classes; c++)
        heap->stash[c].room = heap->stash[c].most = wr_geometry.class[c].stash;
    atomic_init(&heap->stack_limit, STACK_LEAST);
}

static uint32_t load(_Atomic uint32_t *count) { return atomic_load_explicit(count, memory_order_relaxed); }
static void store(_Atomic uint32_t *count, uint32_t value)
{
    atomic_store_explicit(count, value, memory_order_relaxed);
}

static bool settle_due(struct wr_heap *heap);

/** Unlocks. What others have found due meanwhile is settled then. */
static bool unlock(struct wr_heap *heap)
{
    wr_unlock(&heap->lock, WR_RANK_HEAP);
    return wr_unlikely(atomic_load_explicit(&heap->due, memory_order_seq_cst) != NULL) && settle_due(heap);
}

/** Locks the heap that a span is lent to, whichever that is by then; NULL, and nothing locked, if none. */
static struct wr_heap *lock_heap_of(struct wr_span *span)
{
    for (;;) {
        struct wr_heap *heap = atomic_load_explicit(&span->heap, memory_order_relaxed);
        if (heap == NULL)
            return NULL;
        lock(heap);
        if (wr_likely(atomic_load_explicit(&span->heap, memory_order_relaxed) == heap))
            return heap;
        unlock(heap);
    }
}

/* ---- the account ----------------------------------------------------------------------------------------------- */

/** Hands over what has gathered. pre: lock. */
static void hand_over(struct wr_heap *heap)
{
    wr_account_add(&wr_account.used, heap->used);
    wr_account_add(&wr_account.slack, heap->slack);
    heap->most_pages = (uint32_t)wr_max(heap->most_pages, heap->pages);
    heap->shrunk = heap->pages < heap->most_pages - heap->most_pages / 8;
    heap->used = heap->slack = 0;
    atomic_store_explicit(&heap->stack_limit, stack_limit(heap->pages), memory_order_relaxed);
    wr_account_note_peak();
}

static bool is_batch(int32_t pages)
{
    int32_t batch = wr_account_batch();
    return pages >= batch || pages <= -batch;
}

/** Counts a change; when enough has gathered, hands it over. True if so: the bound is to be looked at. pre: lock. */
static bool note_change(struct wr_heap *heap)
{
    bool full = is_batch(heap->used) || is_batch(heap->slack);
    store(&heap->changes, load(&heap->changes) + 1);
    if (full)
        hand_over(heap);
    return full;
}

/** Unlocks, and does what the changes make due. */
static void unlock_and_check(struct wr_heap *heap)
{
    bool full = note_change(heap);
    full |= unlock(heap);
    if (wr_unlikely(full))
        wr_purge_check();
}

/** WEIR_CHECK: wipes pages of a span, so that no mark of an earlier block is taken for one of a later. */
static WR_COLD void wipe(struct wr_span *span, uint16_t pages)
{
    for (unsigned left = pages; left != 0; left &= left - 1)
        memset(wr_span_start(span) + ((size_t)wr_bits_first(left) << WR_PAGE_SHIFT), 0, WR_PAGE_SIZE);
}

static void add_used(struct wr_heap *heap, int32_t pages)
{
    heap->used += pages;
    heap->pages += (uint32_t)pages;
}

/** How many pages a set has, most often a run. */
static int32_t count_pages(uint16_t pages)
{
    unsigned shifted = pages >> wr_bits_first(pages | 1u << 15);
    if (wr_likely((shifted & (shifted + 1)) == 0))
        return pages == 0 ? 0 : (int32_t)wr_bits_last(shifted) + 1;
    return (int32_t)wr_bits_count(pages);
}

/** Counts pages that had been returned and are resident again. */
static void note_refault(uint16_t pages)
{
    if (pages != 0)
        atomic_fetch_add_explicit(&wr_account.refaulted, (uint64_t)wr_bits_count(pages) << WR_PAGE_SHIFT,
                                  memory_order_relaxed);
}

/** Free pages become used. */
static void use_pages(struct wr_heap *heap, struct wr_span *span, uint16_t pages)
{
    uint16_t warm = pages & span->resident, again = pages & span->returned;
    if (wr_unlikely(heap->special) && wr_options.check)
        wipe(span, warm);
    add_used(heap, count_pages(pages));
    heap->slack -= count_pages(warm);
    span->free &= (uint16_t)~pages;
    span->resident |= pages;
    span->returned &= (uint16_t)~again;
    note_refault(again);
}

/** As use_pages(), for one page. */
static void use_page(struct wr_heap *heap, struct wr_span *span, uint16_t page)
{
    if (wr_unlikely((page & span->returned) != 0 || heap->special)) {
        use_pages(heap, span, page);
        return;
    }
    add_used(heap, 1);
    heap->slack -= (page & span->resident) != 0;
    span->free &= (uint16_t)~page;
    span->resident |= page;
}

/** Used pages become free, and are slack. */
static void free_pages(struct wr_heap *heap, struct wr_span *span, uint16_t pages)
{
    int32_t count = count_pages(pages);
    add_used(heap, -count);
    heap->slack += count;
    span->free |= pages;
    wr_arena_note_slack(span);
}

/* ---- lists of spans ---------------------------------------------------------------------------------------------- */

_Static_assert(WR_LIST_NONE == 0 && WR_ROOM_NONE == 0, "one test for both");

/** The lists of a medium class. */
static struct wr_span **medium_lists(struct wr_heap *heap, unsigned class)
{
    return heap->list[class - wr_geometry.small_classes];
}

/** The lists that the span can be in. */
static struct wr_span **lists_of(struct wr_heap *heap, const struct wr_span *span)
{
    return span->kind == WR_SPAN_SMALL ? heap->room : medium_lists(heap, span->class);
}

static enum wr_room room_in(const struct wr_span *span)
{
    uint16_t ready = span->free & (uint16_t)~span->busy;
    bool fuller = wr_bits_count(span->free) <= WR_SPAN_PAGES / 2;
    if (ready == 0)
        return WR_ROOM_NONE;
    if ((ready & span->resident) != 0)
        return fuller ? WR_ROOM_WARM_FULLER : WR_ROOM_WARM_SPARSER;
    return fuller ? WR_ROOM_COLD_FULLER : WR_ROOM_COLD_SPARSER;
}

/** Which of them it should be in, 0 for none. */
static unsigned list_for(const struct wr_span *span)
{
    if (span->kind == WR_SPAN_SMALL)
        return room_in(span);
    if (span->blocks == 0)
        return WR_LIST_NONE;
    return span->taken * 2 >= wr_geometry.class[span->class].blocks ? WR_LIST_FULLER : WR_LIST_SPARSER;
}

static void list_remove(struct wr_heap *heap, struct wr_span *span)
{
    if (span->list == 0)
        return;
    if (span->prev != NULL)
        span->prev->next = span->next;
    else
        lists_of(heap, span)[span->list] = span->next;
    if (span->next != NULL)
        span->next->prev = span->prev;
    span->list = 0;
}

static void list_add(struct wr_heap *heap, struct wr_span *span, unsigned list)
{
    struct wr_span **first = &lists_of(heap, span)[list];
    span->list = (uint8_t)list;
    if (list == 0)
        return;
    span->prev = NULL;
    span->next = *first;
    if (span->next != NULL)
        span->next->prev = span;
    *first = span;
}

/** Whether a span of this heap's is in the state that its fields say. pre: lock. */
static bool is_sound(struct wr_heap *heap, const struct wr_span *span)
{
    uint16_t used = (uint16_t)~span->free;
    bool small = span->kind == WR_SPAN_SMALL;
    if (atomic_load_explicit(&span->heap, memory_order_relaxed) != heap || (!small && span->kind != WR_SPAN_MEDIUM))
        return false;
    if ((used & ~span->resident) != 0 || (span->busy & used) != 0 || (span->returned & span->resident) != 0)
        return false;
    return small || wr_bits_count(span->blocks) + span->taken == wr_geometry.class[span->class].blocks;
}

/** Puts a changed span where it belongs; one that is all free goes back to its arena. */
static void relist(struct wr_heap *heap, struct wr_span *span)
{
    if (span->kind == WR_SPAN_OBJECT) {
        wr_typed_relist(heap, span);
        return;
    }
    bool empty = span->free == WR_ALL_PAGES && span->busy == 0;
    wr_assert(is_sound(heap, span));
    unsigned list = empty ? 0 : list_for(span);
    if (list != span->list) {
        list_remove(heap, span);
        list_add(heap, span, list);
    }
    if (empty)
        wr_arena_give_span(span);
}

/* ---- small pools ------------------------------------------------------------------------------------------------- */

/** Ends the process if the stash of a class does not hold as many blocks as it counts, or something else. pre: owner.
 */
static void check_stash(struct wr_heap *heap, unsigned class)
{
    const struct wr_stash *stash = &heap->stash[class];
    int32_t left = stash->most - stash->room;
    const void *last = stash->free;
    for (void *block = stash->free; left >= 0; last = block, block = *(void **)block, left--) {
        if (block == NULL && left == 0)
            return;
        struct wr_pool *pool = wr_map_is_known(block) ? wr_arena_pool(block) : NULL;
        if (pool == NULL || wr_pool_heap(pool) != heap || pool->class != class || !wr_pool_is_block(pool, block))
            break;
    }
    wr_fatal(
        "corrupted list of free blocks of %u bytes in the pool at %p: a block was written to after it was freed, or "
        "freed twice",
        wr_geometry.class[class].size, (void *)wr_round_down((uintptr_t)last, WR_PAGE_SIZE));
}

/** WAITING or FULL -> IDLE: all blocks of the pool are free. pre: lock; nobody else has claimed it. */
static void release(struct wr_heap *heap, struct wr_pool *pool)
{
    struct wr_span *span = wr_pool_span(pool);
    atomic_store_explicit(&pool->owner, 0, memory_order_relaxed);
    atomic_store_explicit(&pool->remote, 0, memory_order_relaxed);
    wr_poolset_remove(&heap->waiting[pool->class], pool);
    heap->class_pools[pool->class]--;
    heap->small_pools--;
    wr_heap_give_page(heap, span, wr_pool_bit(pool));
    relist(heap, span);
}

/** Puts a waiting pool with `live` blocks, not all, where it belongs in its class's set. */
static void set_waiting(struct wr_heap *heap, struct wr_pool *pool, unsigned live)
{
    wr_poolset_put(&heap->waiting[pool->class], pool, live * 2 > wr_pool_class(pool)->blocks);
}

/** The count of live blocks at which the owner's free must look again: the next boundary below `live`. That a pool has
 *  become half empty is found out by take_waiting(). */
static uint16_t next_wake(const struct wr_class *class, unsigned live) { return live > class->wake ? class->wake : 0; }

/** After the owner has freed into a pool: the state that follows. pre: lock; owner thread, or no thread runs in the
 *  heap. */
static void follow_up(struct wr_heap *heap, struct wr_pool *pool)
{
    const struct wr_class *class = wr_pool_class(pool);
    enum wr_pool_state state = wr_remote_state(atomic_load_explicit(&pool->remote, memory_order_relaxed));
    bool claimed = !wr_pool_collect(pool, state);
    if (WR_DEBUG >= 2)
        wr_pool_check(pool);
    pool->wake = next_wake(class, pool->live);
    if (claimed)
        return; /* it is due, and will be settled when we have unlocked */
    if (pool->live == 0) {
        release(heap, pool);
        return;
    }
    if (state == WR_POOL_FULL) {
        if (pool->live > class->wake || !wr_pool_collect(pool, WR_POOL_WAITING))
            return;
        pool->wake = next_wake(class, pool->live);
    }
    set_waiting(heap, pool, pool->live);
}

/** Puts a block back onto its pool's list; follow_up() must follow. pre: lock; owner thread, or no thread runs in the
 *  heap. */
WR_INLINE void put_back(struct wr_pool *pool, void *block)
{
    if (wr_unlikely(pool->live == 0))
        wr_fatal("double free of %p: all blocks of its pool (%u bytes each, at %p) are free", block,
                 wr_pool_class(pool)->size, (void *)wr_pool_start(pool));
    if (wr_unlikely(block == pool->free))
        wr_fatal("double free of %p: it is the last block that was freed in its pool (%u bytes each, at %p)", block,
                 wr_pool_class(pool)->size, (void *)wr_pool_start(pool));
    *(void **)block = pool->free;
    pool->free = block;
    wr_pool_set_live(pool, pool->live - 1u);
}

/** What follows from a claim. pre: lock. */
static void settle(struct wr_heap *heap, struct wr_pool *pool)
{
    uint64_t word = atomic_load_explicit(&pool->remote, memory_order_acquire);
    for (;;) {
        unsigned live = wr_pool_live(pool), count = wr_remote_count(word);
        if (count == live) {
            release(heap, pool);
            break;
        }
        /* Let the claim go; if more blocks came meanwhile, look again. */
        uint64_t next = wr_remote_word(WR_POOL_WAITING, wr_remote_head(word), count) | (word & WR_REMOTE_VERSION);
        if (atomic_compare_exchange_weak_explicit(&pool->remote, &word, next, memory_order_acq_rel,
                                                  memory_order_acquire)) {
            set_waiting(heap, pool, live > count ? live - count : 0);
            break;
        }
    }
}

/* Nobody waits for another heap's lock to settle a pool: its owner may be in a long turn. The claimed pool goes onto a
 * list, one of its blocks for it, linked through the second word. Then the claimer tries the lock: if it is taken, its
 * holder looks at the list after he has unlocked. The push comes before the attempt, and the unlocking before the look,
 * in one order for all (seq_cst); so one of them finds the other's. */

static void **due_link(void *block) { return (void **)block + 1; }

/** Settles what is due as long as nobody else holds the lock. True if the bound is to be looked at. */
static WR_NOINLINE bool settle_due(struct wr_heap *heap)
{
    bool full = false;
    while (atomic_load_explicit(&heap->due, memory_order_seq_cst) != NULL && wr_try_lock(&heap->lock, WR_RANK_HEAP)) {
        void *block = atomic_exchange_explicit(&heap->due, NULL, memory_order_acquire), *next;
        for (; block != NULL; block = next) {
            next = *due_link(block);
            settle(heap, wr_arena_pool(block));
        }
        full |= note_change(heap);
        wr_unlock(&heap->lock, WR_RANK_HEAP);
    }
    return full;
}

/** Puts a claimed pool onto its heap's list, for settle_due(); returns the heap. pre: as wr_heap_settle(). */
static struct wr_heap *note_due(struct wr_pool *pool, void *block)
{
    struct wr_heap *heap = atomic_load_explicit(&wr_pool_span(pool)->heap, memory_order_relaxed);
    void *first = atomic_load_explicit(&heap->due, memory_order_relaxed);
    if (wr_unlikely(heap->special)) { /* WEIR_CHECK has a mark in the second word */
        lock(heap);
        settle(heap, pool);
        unlock_and_check(heap);
        return heap;
    }
    do
        *due_link(block) = first;
    while (
        !atomic_compare_exchange_weak_explicit(&heap->due, &first, block, memory_order_seq_cst, memory_order_relaxed));
    return heap;
}

void wr_heap_settle(struct wr_pool *pool, void *block)
{
    if (settle_due(note_due(pool, block)))
        wr_purge_check();
}

/* Where a heap grows, the pages behind the one that it takes are faulted in together with that: one system call costs
 * less than a fault for each. They are slack until they are taken, so there are few, a share of the heap's pools.
 * Until the call has returned they are busy: others leave them alone. A heap has one such call under way at a time, as
 * a rule its owner's; the heap of a kind of objects that was handed on may be another's. */
enum { AHEAD_SHARE = 16 };

/** Marks the free pages that are to be faulted in with `page`, which was not resident; false if there are none to be.
 *  pre: lock; of the free pages that are not busy, `ready`, none is resident. */
static bool begin_ahead(struct wr_heap *heap, struct wr_span *span, uint16_t ready, unsigned page, uint32_t pools)
{
    unsigned run = wr_bits_run_length(ready, page) - 1;
    unsigned count = wr_min(run, pools / AHEAD_SHARE);
    if (count == 0 || heap->ahead.pages != 0 || wr_account_slack() >= wr_purge_bound() / 2)
        return false;
    heap->ahead.span = span;
    heap->ahead.pages = (uint16_t)wr_bits_run(page + 1, count);
    span->busy |= heap->ahead.pages;
    return true;
}

/** The pages are not busy any more. @param resident they have become slack. pre: lock. */
static void end_ahead(struct wr_heap *heap, bool resident)
{
    struct wr_span *span = heap->ahead.span;
    uint16_t pages = heap->ahead.pages;
    heap->ahead.pages = 0;
    span->busy &= (uint16_t)~pages;
    if (resident) {
        note_refault(pages & span->returned);
        span->returned &= (uint16_t)~pages;
        span->resident |= pages;
        heap->slack += count_pages(pages);
        wr_arena_note_slack(span);
    }
    relist(heap, span);
}

void wr_heap_fault_ahead(struct wr_heap *heap)
{
    uint16_t pages = heap->ahead.pages;
    if (pages == 0)
        return;
    char *start = wr_span_start(heap->ahead.span) + ((size_t)wr_bits_first(pages) << WR_PAGE_SHIFT);
    size_t size = (size_t)count_pages(pages) << WR_PAGE_SHIFT;
    /* Where it fails halfway, some are resident, and do not count until they are used. */
    bool resident = wr_os_populate(start - WR_PAGE_SIZE, size + WR_PAGE_SIZE);
    lock(heap);
    if (heap->ahead.pages != 0)
        end_ahead(heap, resident);
    unlock_and_check(heap);
}

/* The thread is gone, or, where it has forked in a signal handler, will find that nothing is left to do. */
void wr_heap_forget_ahead(struct wr_heap *heap)
{
    if (heap->ahead.pages == 0)
        return;
    lock(heap);
    end_ahead(heap, true);
    unlock(heap);
}

unsigned wr_heap_take_page(struct wr_heap *heap, struct wr_span *span, uint32_t pools, bool *ahead)
{
    uint16_t ready = span->free & (uint16_t)~span->busy, warm = ready & span->resident;
    unsigned page = wr_bits_first(warm != 0 ? warm : ready);
    use_page(heap, span, (uint16_t)(1u << page));
    *ahead = warm == 0 && begin_ahead(heap, span, ready, page, pools);
    return page;
}

void wr_heap_give_page(struct wr_heap *heap, struct wr_span *span, uint16_t page) { free_pages(heap, span, page); }

/** A span with a free page, resident if possible; NULL if there is none and no arena has one. pre: lock. */
static struct wr_span *span_with_room(struct wr_heap *heap)
{
    for (unsigned room = WR_ROOM_WARM_FULLER; room < WR_ROOMS; room++)
        if (heap->room[room] != NULL)
            return heap->room[room];
    struct wr_span *span = wr_arena_take_span(heap, WR_SPAN_SMALL, 0);
    if (span != NULL)
        span->list = WR_ROOM_NONE;
    return span;
}

/** Takes a free page as a pool of the class, whose blocks all count as live: they are for the stash. NULL if no arena
 *  has one. pre: lock; if the pool begins to wait, there is a place for it. */
static struct wr_pool *take_pool(struct wr_heap *heap, unsigned number, bool *ahead)
{
    struct wr_span *span = span_with_room(heap);
    if (span == NULL)
        return NULL;
    struct wr_pool *pool = wr_span_pool(span, wr_heap_take_page(heap, span, heap->small_pools, ahead));
    const struct wr_class *class = &wr_geometry.class[number];
    relist(heap, span);
    heap->class_pools[number]++;
    heap->small_pools++;
    pool->class = (uint8_t)number;
    wr_pool_set_place(pool, 0);
    pool->live = class->blocks;
    pool->wake = class->wake;
    pool->free = NULL;
    atomic_store_explicit(&pool->remote, wr_remote_word(WR_POOL_FULL, 0, 0), memory_order_relaxed);
    atomic_store_explicit(&pool->owner, (uintptr_t)heap | (heap->special ? WR_OWNER_SPECIAL : 0), memory_order_relaxed);
    return pool;
}

enum { LOOKED_AT = 8 }; /* pools that are found to have become sparser, until the next one is taken as it is */

/** Takes all free blocks of the best pool that waits. NULL if a claimer is about to settle that, or if it belongs among
 *  the sparser ones by now, and has been put there; *looks counts these. pre: lock; the set is not empty. */
static void *take_waiting(struct wr_heap *heap, struct wr_poolset *set, int32_t *count, unsigned *looks)
{
    struct wr_pool *pool = wr_poolset_best(set);
    const struct wr_class *class = wr_pool_class(pool);
    if (set->fuller > 0 && pool->live * 2u <= class->blocks && ++*looks < LOOKED_AT) {
        wr_poolset_put(set, pool, false);
        return NULL;
    }
    wr_poolset_remove(set, pool);
    if (!wr_pool_collect(pool, WR_POOL_FULL))
        return NULL;
    if (WR_DEBUG >= 2 || wr_unlikely(heap->special && wr_options.check))
        wr_pool_check(pool);
    void *list = pool->free;
    *count = class->blocks - pool->live;
    pool->free = NULL;
    pool->wake = class->wake;
    wr_pool_set_live(pool, class->blocks);
    return list;
}

/** Makes places for one more waiting pool of the class. False when the system refuses memory. pre: owner; no lock. */
static WR_NOINLINE bool extend_waiting(struct wr_heap *heap, unsigned class)
{
    struct wr_poolset *set = &heap->waiting[class]; /* its chunks are the owner's business alone */
    void *chunk = wr_meta_alloc(wr_poolset_next(set));
    if (chunk == NULL)
        return false;
    lock(heap);
    wr_poolset_extend(set, chunk);
    unlock(heap);
    return true;
}

/** Free blocks for the stash of a class: those of the fullest pool that waits, else of a new one. NULL when the system
 *  refuses more memory. pre: owner; no lock. */
static void *find_blocks(struct wr_heap *heap, unsigned class, int32_t *count)
{
    struct wr_poolset *set = &heap->waiting[class];
    struct wr_pool *pool = NULL;
    void *first = NULL;
    unsigned looks = 0;
    bool ahead = false, more;
    do {
        lock(heap);
        while (first == NULL && set->count > 0)
            first = take_waiting(heap, set, count, &looks);
        bool fits = wr_poolset_fits(set, heap->class_pools[class] + 1);
        if (first == NULL && fits)
            pool = take_pool(heap, class, &ahead);
        unlock_and_check(heap);
        if (ahead)
            wr_heap_fault_ahead(heap);
        if (first != NULL)
            return first;
        more = pool == NULL && (fits ? wr_arena_grow() : extend_waiting(heap, class));
    } while (more);
    if (pool == NULL)
        return NULL;
    *count = wr_geometry.class[class].blocks;
    return wr_pool_link(pool); /* it is written to outside the lock */
}

static void *alloc_small(struct wr_heap *heap, unsigned class)
{
    struct wr_stash *stash = &heap->stash[class];
    if (wr_unlikely(heap->special) && wr_options.check)
        check_stash(heap, class);
    void *block = stash->free;
    if (block == NULL) {
        int32_t count = 0;
        block = find_blocks(heap, class, &count);
        if (block == NULL)
            return NULL;
        stash->most = wr_geometry.class[class].stash; /* it may have been less since the heap shrank */
        stash->room = stash->most - count;
    }
    stash->free = *(void **)block;
    stash->room++;
    return block;
}

/* ---- medium blocks ----------------------------------------------------------------------------------------------- */

/** Blocks of the span that may be taken: free, and clear of pages that are being purged. */
static uint64_t ready_blocks(const struct wr_span *span)
{
    uint64_t ready = span->blocks;
    for (unsigned busy = span->busy; wr_unlikely(busy != 0); busy &= busy - 1)
        ready &= ~wr_geometry_medium(span->class)->page_blocks[wr_bits_first(busy)];
    return ready;
}

/** Whether the stacks hold as much as they may, but for a block of the size. */
static bool stacks_are_full(const struct wr_heap *heap, size_t size)
{
    return heap->stack_bytes + size > atomic_load_explicit(&heap->stack_limit, memory_order_relaxed);
}

/** A span of the class with a block that may be taken; NULL if there is none. pre: lock. */
static struct wr_span *find_medium(struct wr_heap *heap, unsigned class)
{
    for (unsigned list = WR_LIST_FULLER; list <= WR_LIST_SPARSER; list++)
        for (struct wr_span *span = medium_lists(heap, class)[list]; span != NULL; span = span->next)
            if (ready_blocks(span) != 0)
                return span;
    return NULL;
}

static struct wr_span *new_medium(struct wr_heap *heap, unsigned class)
{
    struct wr_span *span = wr_arena_take_span(heap, WR_SPAN_MEDIUM, class);
    if (span != NULL) {
        span->list = WR_LIST_NONE;
        wr_span_set_blocks(span, wr_bits_run(0, wr_geometry.class[class].blocks));
        span->taken = 0;
    }
    return span;
}

/** Of the blocks that may be taken, those whose pages are all resident. */
static uint64_t warm_blocks(const struct wr_span *span)
{
    uint64_t warm = ready_blocks(span);
    for (unsigned cold = (uint16_t)~span->resident; cold != 0 && warm != 0; cold &= cold - 1)
        warm &= ~wr_geometry_medium(span->class)->page_blocks[wr_bits_first(cold)];
    return warm;
}

/** Which of the blocks that may be taken to take: one whose pages are all resident, if there is such a one. */
static unsigned choose_block(const struct wr_span *span, const struct wr_medium *medium)
{
    unsigned index = wr_bits_first(ready_blocks(span));
    if ((medium->block_pages[index] & ~span->resident) == 0 || (span->free & span->resident) == 0)
        return index;
    uint64_t warm = warm_blocks(span);
    return warm != 0 ? wr_bits_first(warm) : index;
}

/** The pages of a free block that touch no block in use. Those inside it certainly do not; its first and last may. */
static uint16_t unshared_pages(const struct wr_span *span, const struct wr_medium *medium, unsigned index)
{
    uint16_t pages = medium->block_pages[index];
    unsigned first = wr_bits_first(pages), last = wr_bits_last(pages);
    if ((medium->page_blocks[first] & ~span->blocks) != 0)
        pages &= (uint16_t) ~(1u << first);
    if ((medium->page_blocks[last] & ~span->blocks) != 0)
        pages &= (uint16_t) ~(1u << last);
    return pages;
}

static struct wr_span *span_of(void *block) { return wr_pool_span(wr_arena_pool(block)); }

/** Bytes of the blocks. */
static size_t sum_of(void *const *block, unsigned count)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < count; i++)
        bytes += wr_geometry.class[span_of(block[i])->class].size;
    return bytes;
}

/** The number of the block in its medium span, -1 if no block that is in use starts there. */
static int medium_index(const struct wr_span *span, const void *block)
{
    bool exact;
    unsigned index = wr_geometry_block(&wr_geometry.class[span->class], (uintptr_t)block % WR_SPAN_SIZE, &exact);
    /* The bit of a block in use is stable, and only of such an answer is anything made without the lock. */
    return exact && (wr_span_blocks(span) >> index & 1) == 0 ? (int)index : -1;
}

/** Blocks of a heap that are being freed: of a span, as long as they follow each other there, a bit each. */
struct wr_batch {
    struct wr_span *span;
    uint64_t blocks;
};

/** Frees the blocks of a batch. pre: lock. */
static void free_batch(struct wr_heap *heap, struct wr_batch *batch)
{
    struct wr_span *span = batch->span;
    if (span == NULL)
        return;
    const struct wr_medium *medium = wr_geometry_medium(span->class);
    uint16_t pages = 0;
    wr_span_set_blocks(span, span->blocks | batch->blocks);
    for (uint64_t left = batch->blocks; left != 0; left &= left - 1) {
        span->taken--;
        pages |= unshared_pages(span, medium, wr_bits_first(left));
    }
    if (pages != 0)
        free_pages(heap, span, pages);
    relist(heap, span);
    batch->span = NULL;
}

/** Adds a block of the heap's to those that are being freed; free_batch() has to follow. pre: lock. */
static void add_to_batch(struct wr_heap *heap, struct wr_batch *batch, void *block)
{
    struct wr_span *span = span_of(block);
    int index = medium_index(span, block);
    if (batch->span != span) {
        free_batch(heap, batch);
        *batch = (struct wr_batch){.span = span};
    }
    if (wr_unlikely(index < 0 || (batch->blocks >> index & 1) != 0))
        wr_fatal("double free of %p in the span of %u-byte blocks at %p: the block is free already", block,
                 wr_geometry.class[span->class].size, (void *)wr_span_start(span));
    batch->blocks |= UINT64_C(1) << index;
}

void wr_heap_free_medium(struct wr_span *span, void *block)
{
    struct wr_batch batch = {.span = NULL};
    struct wr_heap *heap = lock_heap_of(span);
    if (wr_unlikely(heap == NULL))
        wr_fatal("double free of %p: its memory holds no block any more", block);
    add_to_batch(heap, &batch, block);
    free_batch(heap, &batch);
    unlock_and_check(heap);
}

/** Puts a block into a stack. The first word of a stashed block says in which slot it lies, and the slot says whether
 *  that is still so: a block that is freed twice is found out at once. */
static void push_medium(struct wr_heap *heap, struct wr_stack *stack, void *block, size_t size)
{
    uint32_t head = load(&stack->head);
    void **slot = &stack->block[head % WR_STACK_BLOCKS];
    *(void ***)block = slot;
    *slot = block;
    atomic_store_explicit(&stack->head, head + 1, memory_order_release); /* who takes the block sees it as it is */
    heap->stack_bytes += size;
}

/** Whether the block lies in the stack. */
static bool is_stacked(struct wr_stack *stack, const void *block)
{
    for (uint32_t i = load(&stack->base), head = load(&stack->head); (int32_t)(head - i) > 0; i++)
        if (stack->block[i % WR_STACK_BLOCKS] == block)
            return true;
    return false;
}

/** Puts a block of the heap's spans into the stack of its class, if it is one that is in use and there is room. pre:
 *  owner. */
static bool keep_medium(struct wr_heap *heap, const struct wr_span *span, void *block)
{
    const struct wr_class *class = &wr_geometry.class[span->class];
    struct wr_stack *stack = wr_heap_stack(heap, span->class);
    if (heap->special || medium_index(span, block) < 0)
        return false;
    if (wr_unlikely(is_stacked(stack, block)))
        wr_fatal("double free of %p, a block of %u bytes: two threads have freed it", block, class->size);
    if (wr_stack_depth(stack) >= class->stash || stacks_are_full(heap, class->size))
        return false;
    push_medium(heap, stack, block, class->size);
    return true;
}

/* Blocks for another heap that is in use go there as mail. While they wait they count as taken, so their spans stay.
 * The owner opens its mail when it looks for a block; so does who tidies the heap, and a sender who finds more there
 * than the heap's own stacks may hold. The second word tells a block in the mail from all others. */

static uintptr_t *mark_of(void *block) { return (uintptr_t *)block + 1; }
static uintptr_t mail_mark(const void *block) { return (uintptr_t)block ^ UINT64_C(0x6d61696c6d61696c); }

/** Takes the first block off the mail. */
static void *next_of_mail(void **mail)
{
    void *block = *mail;
    if (wr_unlikely(!wr_map_is_known(block) || *mark_of(block) != mail_mark(block)))
        wr_fatal("corrupted list of freed blocks at %p: a block of more than %u bytes was written to after its free",
                 block, (unsigned)WR_SMALL_MAX);
    *mail = *(void **)block;
    *mark_of(block) = 0;
    return block;
}

void wr_heap_count_waiting(struct wr_heap *heap, unsigned count[WR_CLASS_LIMIT])
{
    if (wr_lock_is_mine(&heap->lock))
        return;
    lock(heap); /* what waits now waits as long as it is held */
    const struct wr_stack *abroad = &heap->stack[WR_ABROAD];
    uint32_t head = atomic_load_explicit(&abroad->head, memory_order_acquire);
    for (uint32_t i = atomic_load_explicit(&abroad->base, memory_order_relaxed); (int32_t)(head - i) > 0; i++)
        count[span_of(abroad->block[i % WR_STACK_BLOCKS])->class]++;
    void *block = atomic_load_explicit(&heap->mail, memory_order_acquire);
    for (; block != NULL && wr_map_is_known(block) && *mark_of(block) == mail_mark(block); block = *(void **)block)
        count[span_of(block)->class]++;
    unlock(heap);
}

/** Takes what has come by mail: blocks that the stacks have room for go there if `keep`, where they are taken again
 *  without the bits of their spans; the others are free. pre: lock; if keep, owner. */
static void open_mail(struct wr_heap *heap, bool keep)
{
    if (atomic_load_explicit(&heap->mail, memory_order_relaxed) == NULL)
        return;
    void *mail = atomic_exchange_explicit(&heap->mail, NULL, memory_order_acquire);
    struct wr_batch batch = {.span = NULL};
    int64_t bytes = 0;
    while (mail != NULL) {
        void *block = next_of_mail(&mail);
        const struct wr_span *span = span_of(block);
        bytes += wr_geometry.class[span->class].size;
        if (!keep || !keep_medium(heap, span, block))
            add_to_batch(heap, &batch, block);
    }
    free_batch(heap, &batch);
    atomic_fetch_sub_explicit(&heap->mail_bytes, bytes, memory_order_relaxed);
    atomic_fetch_sub_explicit(&wr_account.mail, bytes, memory_order_relaxed);
}

/** Returns a span of the medium class with a block that may be taken. NULL, and nothing locked, when the system refuses
 *  more memory. pre: lock; owner. */
static struct wr_span *find_or_make_medium(struct wr_heap *heap, unsigned class)
{
    for (;;) {
        struct wr_span *span = find_medium(heap, class);
        if (wr_unlikely(span == NULL))
            span = new_medium(heap, class);
        if (wr_likely(span != NULL))
            return span;
        unlock(heap);
        if (!wr_arena_grow())
            return NULL;
        lock(heap);
    }
}

/** Takes blocks out of the span, a bit each. pre: lock. */
static void take_medium(struct wr_heap *heap, struct wr_span *span, const struct wr_medium *medium, uint64_t blocks)
{
    uint16_t pages = 0;
    wr_span_set_blocks(span, span->blocks & ~blocks);
    for (; blocks != 0; blocks &= blocks - 1) {
        span->taken++;
        pages |= medium->block_pages[wr_bits_first(blocks)];
    }
    pages &= span->free;
    if (pages != 0)
        use_pages(heap, span, pages);
}

static void *block_at(const struct wr_span *span, unsigned index)
{
    return wr_span_start(span) + (size_t)index * wr_geometry.class[span->class].size;
}

/** Blocks of the span that cost no page, but for `index`: for the stack of its class, so that the next allocations need
 *  no lock; none while the stacks are half full, for then each would make another go that may be wanted as soon. pre:
 *  lock; owner. */
static uint64_t choose_stock(struct wr_heap *heap, const struct wr_span *span, unsigned index)
{
    const struct wr_class *class = &wr_geometry.class[span->class];
    size_t most = atomic_load_explicit(&heap->stack_limit, memory_order_relaxed);
    if (heap->special || wr_stack_depth(wr_heap_stack(heap, span->class)) > 0 || heap->stack_bytes > most / 2)
        return 0;
    uint64_t ready = warm_blocks(span) & ~(UINT64_C(1) << index), chosen = 0;
    for (unsigned left = class->stash - 1u; ready != 0 && left > 0 && !stacks_are_full(heap, class->size); left--) {
        heap->stack_bytes += class->size;
        chosen |= ready & -ready;
        ready &= ready - 1;
    }
    return chosen;
}

/** Puts blocks that have been taken into the stack of their class. pre: lock; owner. */
static void fill_stack(struct wr_heap *heap, const struct wr_span *span, uint64_t blocks)
{
    struct wr_stack *stack = wr_heap_stack(heap, span->class);
    uint32_t head = load(&stack->head);
    for (; blocks != 0; blocks &= blocks - 1)
        stack->block[head++ % WR_STACK_BLOCKS] = block_at(span, wr_bits_first(blocks));
    atomic_store_explicit(&stack->head, head, memory_order_release);
}

void *wr_heap_alloc_medium(struct wr_heap *heap, unsigned class, bool *zeroed)
{
    void *stashed = wr_heap_unstash_medium(heap, class);
    if (stashed != NULL)
        return stashed;
    lock(heap);
    open_mail(heap, true);
    stashed = wr_heap_unstash_medium(heap, class);
    if (stashed != NULL) {
        unlock_and_check(heap);
        return stashed;
    }
    const struct wr_medium *medium = wr_geometry_medium(class);
    struct wr_span *span = find_or_make_medium(heap, class);
    if (span == NULL)
        return NULL;
    unsigned index = choose_block(span, medium);
    uint16_t pages = medium->block_pages[index];
    *zeroed = (span->resident & pages) == 0 && ((span->returned & pages) == 0 || wr_purge_zeroes());
    uint64_t more = choose_stock(heap, span, index);
    take_medium(heap, span, medium, more | UINT64_C(1) << index);
    fill_stack(heap, span, more);
    relist(heap, span);
    unlock_and_check(heap);
    return block_at(span, index);
}

/* ---- the stash --------------------------------------------------------------------------------------------------- */

/* For small classes a list, which the fast paths push to and pop from. For medium ones a stack, which others than the
 * owner's blocks may be in. */

/** Ends the process if the block is in the stash, as it seems to be: the signs may be wrong where a signal handler has
 *  interrupted the fast path and allocated. */
static WR_COLD void find_in_stash(const struct wr_stash *stash, const void *block, size_t size)
{
    const void *other = stash->free;
    for (int32_t i = 0; i < stash->most && other != NULL && other != block; i++)
        other = *(void *const *)other;
    if (other == block)
        wr_fatal("double free of %p, a block of %zu bytes: it was freed a moment ago", block, size);
}

/* Pools that blocks go back into in no order. What follows for a pool is seen to once, not after each block. */
enum { CHANGED_MOST = 32, WAKE_CHANGED = UINT16_MAX };

struct changed {
    struct wr_pool *pool[CHANGED_MOST]; /* `wake` of each is WAKE_CHANGED */
    unsigned count;
};

/** Sees to what follows for the pools. pre: owner; lock. */
static void follow_changed(struct wr_heap *heap, struct changed *changed)
{
    while (changed->count > 0)
        follow_up(heap, changed->pool[--changed->count]);
}

/** Notes that what follows for the pool is to be seen to. pre: owner; lock. */
static void note_changed(struct wr_heap *heap, struct changed *changed, struct wr_pool *pool)
{
    if (pool->wake == WAKE_CHANGED)
        return;
    if (changed->count == CHANGED_MOST)
        follow_changed(heap, changed);
    pool->wake = WAKE_CHANGED;
    changed->pool[changed->count++] = pool;
}

/** Puts the stashed blocks of a small class back into their pools. pre: owner; lock. */
static void empty_stash(struct wr_heap *heap, unsigned class)
{
    struct wr_stash *stash = &heap->stash[class];
    struct changed changed;
    changed.count = 0;
    if (wr_unlikely(heap->special) && wr_options.check)
        check_stash(heap, class);
    while (stash->free != NULL) {
        void *block = stash->free;
        struct wr_pool *pool = wr_arena_pool(block);
        note_changed(heap, &changed, pool);
        do { /* what came from one pool lies together, mostly; the end, NULL, is in none */
            stash->free = *(void **)block;
            put_back(pool, block);
            block = stash->free;
        } while (wr_pool_start(pool) == (void *)wr_round_down((uintptr_t)block, WR_PAGE_SIZE));
    }
    follow_changed(heap, &changed);
    stash->room = stash->most;
}

/* A stashed block may be all that holds its page: when the heap has shrunk by an eighth, no more are kept than a share
 * of its pages, and until malloc finds a stash empty, free puts back there no more than that. */
enum { STASH_SHARE = 16 };

/** Empties the stashes of small classes if they may hold too much of what a shrunken heap has in use. pre: owner; lock.
 */
static void judge_stashes(struct wr_heap *heap)
{
    int32_t share = (int32_t)(heap->pages / STASH_SHARE / wr_geometry.small_classes);
    heap->shrunk = false;
    heap->most_pages = heap->pages;
    for (unsigned c = 0; c < wr_geometry.small_classes; c++) {
        struct wr_stash *stash = &heap->stash[c];
        if ((int32_t)wr_heap_stashed(heap, c) > share)
            empty_stash(heap, c);
        int32_t most = wr_min(share, wr_geometry.class[c].stash);
        stash->room -= stash->most - most;
        stash->most = most;
    }
}

void wr_heap_free_local(struct wr_heap *heap, struct wr_pool *pool, void *block)
{
    struct wr_stash *stash = &heap->stash[pool->class];
    if (wr_unlikely(block == stash->free))
        find_in_stash(stash, block, wr_pool_class(pool)->size);
    /* What the fast path does when no mode is on. WEIR_CHECK sees blocks in the stash with every allocation. */
    if (wr_unlikely(heap->special) && stash->room > (wr_options.check ? -(int32_t)WR_PAGE_SIZE / 16 : 0)) {
        *(void **)block = stash->free;
        stash->free = block;
        stash->room--;
        return;
    }
    lock(heap);
    put_back(pool, block);
    follow_up(heap, pool);
    if (wr_unlikely(heap->shrunk))
        judge_stashes(heap);
    unlock_and_check(heap);
}

/** Frees medium blocks, of whichever heaps: takes the lock of each once for those that follow each other. */
static void free_blocks(void **block, unsigned count)
{
    for (unsigned i = 0; i < count;) {
        struct wr_batch batch = {.span = NULL};
        struct wr_heap *heap = lock_heap_of(span_of(block[i])); /* the blocks keep their spans lent */
        do
            add_to_batch(heap, &batch, block[i]);
        while (++i < count && atomic_load_explicit(&span_of(block[i])->heap, memory_order_relaxed) == heap);
        free_batch(heap, &batch);
        unlock_and_check(heap);
    }
}

/** Sends blocks that belong to the heap. pre: no lock. */
static void mail_to(struct wr_heap *heap, void **block, unsigned count)
{
    int64_t bytes = (int64_t)sum_of(block, count),
            most = (int64_t)atomic_load_explicit(&heap->stack_limit, memory_order_relaxed);
    for (unsigned i = 0; i < count; i++) {
        *mark_of(block[i]) = mail_mark(block[i]);
        *(void **)block[i] = i + 1 < count ? block[i + 1] : NULL;
    }
    void *first = atomic_load_explicit(&heap->mail, memory_order_relaxed);
    do
        *(void **)block[count - 1] = first;
    while (!atomic_compare_exchange_weak_explicit(&heap->mail, &first, block[0], memory_order_release,
                                                  memory_order_relaxed));
    atomic_fetch_add_explicit(&heap->changes, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&wr_account.mail, bytes, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&heap->mail_bytes, bytes, memory_order_relaxed) + bytes <= most) {
        wr_purger_call(); /* its owner may sleep */
        return;
    }
    lock(heap);
    open_mail(heap, false);
    unlock_and_check(heap);
}

/** Sends blocks, of whichever heaps. */
static void mail_blocks(void **block, unsigned count)
{
    for (unsigned i = 0, from = 0; i < count; from = i) {
        struct wr_heap *heap = atomic_load_explicit(&span_of(block[i])->heap, memory_order_relaxed);
        while (++i < count && atomic_load_explicit(&span_of(block[i])->heap, memory_order_relaxed) == heap)
            continue;
        mail_to(heap, block + from, i - from);
    }
}

/** Frees the oldest blocks of a stack, all but `keep`. `now`: those of other heaps too, which else go as mail. pre:
 *  owner; no lock. */
static void unload(struct wr_heap *heap, struct wr_stack *stack, unsigned keep, bool now)
{
    struct wr_batch batch = {.span = NULL};
    void *others[WR_STACK_BLOCKS];
    size_t bytes = 0;
    unsigned count = 0;
    lock(heap); /* other threads empty stacks too */
    uint32_t head = load(&stack->head), tail = load(&stack->tail), base = load(&stack->base), first = tail;
    for (; base == first && (int32_t)(head - tail) > (int32_t)keep; tail++) {
        void *block = stack->block[tail % WR_STACK_BLOCKS];
        if (wr_unlikely(block == NULL))
            continue; /* a signal handler allocated between a push's load and its store */
        struct wr_span *span = span_of(block);
        bytes += wr_geometry.class[span->class].size;
        if (stack != &heap->stack[WR_ABROAD])
            add_to_batch(heap, &batch, block);
        else
            others[count++] = block;
    }
    free_batch(heap, &batch);
    if (base == first) { /* else somebody is about to take them all */
        store(&stack->tail, tail);
        store(&stack->base, tail);
    }
    heap->stack_bytes -= wr_min(heap->stack_bytes, bytes);
    unlock_and_check(heap);
    if (now)
        free_blocks(others, count);
    else
        mail_blocks(others, count);
}

static void unload_all(struct wr_heap *heap)
{
    for (unsigned i = 0; i < WR_STACKS; i++)
        unload(heap, &heap->stack[i], 0, true);
}

/** The stack that a block of the span goes to when it is freed. One of another heap's goes home, and not to this
 *  thread's next malloc: what it holds is in the cache of the thread that took it. */
static struct wr_stack *stack_for(struct wr_heap *heap, const struct wr_span *span)
{
    bool own = wr_likely(atomic_load_explicit(&span->heap, memory_order_relaxed) == heap);
    return own ? wr_heap_stack(heap, span->class) : &heap->stack[WR_ABROAD];
}

/** How many blocks the stack that a block of the span goes to may hold. */
static unsigned stack_depth(const struct wr_heap *heap, const struct wr_span *span, const struct wr_stack *stack)
{
    return stack != &heap->stack[WR_ABROAD] ? wr_geometry.class[span->class].stash : WR_STACK_BLOCKS;
}

/** Makes room for a block of the span in `stack`. A full stack of a class lets its older half go; where other heaps'
 *  blocks have gathered, all go together. pre: owner, outside of slow paths. */
static WR_NOINLINE void make_room(struct wr_heap *heap, const struct wr_span *span, struct wr_stack *stack)
{
    wr_heap_set_inside(heap, true); /* as the front does: handlers of signals leave the heap alone */
    atomic_signal_fence(memory_order_seq_cst);
    size_t taken = atomic_exchange_explicit(&heap->taken_bytes, 0, memory_order_relaxed);
    heap->stack_bytes -= wr_min(heap->stack_bytes, taken);
    unsigned depth = stack_depth(heap, span, stack);
    if (wr_stack_depth(stack) >= depth)
        unload(heap, stack, stack != &heap->stack[WR_ABROAD] ? depth / 2 : 0, false);
    unsigned left = WR_STACKS;
    for (; left > 0 && stacks_are_full(heap, wr_geometry.class[span->class].size); left--) {
        struct wr_stack *victim = &heap->stack[heap->victim++ % WR_STACKS];
        if (wr_stack_depth(victim) > 0)
            unload(heap, victim, 0, false);
    }
    if (left == 0)
        heap->stack_bytes = 0; /* all are empty; a handler of a signal may have spoilt the sum */
    atomic_signal_fence(memory_order_seq_cst);
    wr_heap_set_inside(heap, false);
}

/** Whether the first word of a block names a slot of the stack, which has that block: malloc leaves no block in a slot.
 */
static bool seems_stashed(const struct wr_stack *stack, const void *block)
{
    uintptr_t offset = *(const uintptr_t *)block - (uintptr_t)stack->block;
    return offset < sizeof stack->block && stack->block[offset / sizeof(void *)] == block;
}

/** As wr_heap_stash_medium(), for a block of a medium class in use that seems to be freed already, or has no room. */
static WR_NOINLINE bool stash_after_all(struct wr_heap *heap, struct wr_span *span, void *block)
{
    size_t size = wr_geometry.class[span->class].size;
    struct wr_stack *stack = stack_for(heap, span);
    if ((seems_stashed(stack, block) && is_stacked(stack, block)) || *mark_of(block) == mail_mark(block))
        wr_fatal("double free of %p, a block of %zu bytes: it was freed a moment ago", block, size);
    if (wr_stack_depth(stack) >= stack_depth(heap, span, stack) || stacks_are_full(heap, size)) {
        if (heap->inside)
            return false;
        make_room(heap, span, stack);
    }
    if (wr_stack_depth(stack) >= WR_STACK_BLOCKS)
        return false; /* full of blocks that somebody is taking */
    push_medium(heap, stack, block, size);
    return true;
}

bool wr_heap_stash_medium(struct wr_heap *heap, struct wr_span *span, void *block)
{
    if (span->kind != WR_SPAN_MEDIUM || medium_index(span, block) < 0)
        return false;
    size_t size = wr_geometry.class[span->class].size;
    struct wr_stack *stack = stack_for(heap, span);
    if (wr_unlikely(seems_stashed(stack, block) || *mark_of(block) == mail_mark(block)) ||
        wr_stack_depth(stack) >= stack_depth(heap, span, stack) || stacks_are_full(heap, size))
        return stash_after_all(heap, span, block);
    push_medium(heap, stack, block, size);
    return true;
}

/* ---- frees into other heaps -------------------------------------------------------------------------------------- */

/* A parcel's blocks still count as live in their pool, so the pool stays while the parcel waits. One that has to make
 * room is shut and waits for others: a push is a compare-and-swap, which lets nothing that the program does afterwards
 * begin before all that it did is done. Where blocks of many pools are freed in no order, the cache misses of one free
 * would have to end before those of the next begin. */

/** Pushes a parcel. NULL, or the heap in which a claimed pool waits to be settled. */
static struct wr_heap *push_parcel(struct wr_parcel *parcel)
{
    struct wr_pool *pool = parcel->pool;
    parcel->pool = NULL;
    if (pool == NULL || !wr_pool_push_remote(pool, parcel->first, parcel->last, parcel->count))
        return NULL;
    return note_due(pool, parcel->first);
}

/** Pushes parcels, then settles what that has made due. */
static void deliver(struct wr_parcel *parcel, unsigned count)
{
    struct wr_heap *due[WR_PARCELS];
    unsigned heaps = 0;
    bool full = false;
    for (unsigned i = 0; i < count; i++) {
        struct wr_heap *heap = push_parcel(&parcel[i]);
        if (heap != NULL && (heaps == 0 || heap != due[heaps - 1]))
            due[heaps++] = heap;
    }
    for (unsigned i = 0; i < heaps; i++)
        full |= settle_due(due[i]);
    if (full)
        wr_purge_check();
}

/** pre: owner, inside. */
static void deliver_shut(struct wr_heap *heap)
{
    unsigned count = heap->shut;
    heap->shut = 0;
    deliver(heap->parcel + WR_OPEN_PARCELS, count);
}

/** pre: lock; the owner, or a visitor whom the owner sees. */
static void take_parcels(struct wr_heap *heap, struct wr_parcel parcel[WR_PARCELS])
{
    memcpy(parcel, heap->parcel, sizeof heap->parcel);
    wr_heap_forget_parcels(heap);
}

void wr_heap_forget_parcels(struct wr_heap *heap)
{
    memset(heap->parcel, 0, sizeof heap->parcel);
    heap->shut = 0;
}

static void deliver_all(struct wr_heap *heap)
{
    struct wr_parcel parcel[WR_PARCELS];
    lock(heap);
    take_parcels(heap, parcel);
    unlock(heap);
    deliver(parcel, WR_PARCELS);
}

bool wr_heap_send(struct wr_heap *heap, struct wr_pool *pool, void *block)
{
    uintptr_t owner = atomic_load_explicit(&pool->owner, memory_order_relaxed);
    struct wr_parcel *parcel = wr_heap_open_parcel(heap, pool);
    if ((owner & WR_OWNER_SPECIAL) != 0)
        return false;
    if (wr_likely(wr_heap_send_later(heap, pool, block)))
        return true;
    heap->remote_frees++;
    if (wr_unlikely(atomic_load_explicit(&heap->visited, memory_order_acquire))) {
        if (wr_pool_push_remote(pool, block, block, 1))
            wr_heap_settle(pool, block);
        return true;
    }
    if (parcel->pool != pool) {
        deliver_shut(heap);
        wr_parcel_begin(heap, parcel, pool, block);
        return true;
    }
    if (wr_unlikely(block == parcel->first))
        wr_fatal("double free of %p, a block of %u bytes: it was freed a moment ago", block, wr_pool_class(pool)->size);
    wr_parcel_add(parcel, block);
    if (parcel->count >= WR_PARCEL_BLOCKS)
        deliver(parcel, 1);
    return true;
}

void *wr_heap_alloc(struct wr_heap *heap, unsigned class, bool *zeroed)
{
    *zeroed = false;
    return wr_geometry_is_small(class) ? alloc_small(heap, class) : wr_heap_alloc_medium(heap, class, zeroed);
}

/* ---- housekeeping ------------------------------------------------------------------------------------------------ */

/** Frees the pool if others have freed all of its blocks. pre: lock; the pool is WAITING. */
static void release_if_empty(struct wr_heap *heap, struct wr_pool *pool)
{
    uint64_t word = atomic_load_explicit(&pool->remote, memory_order_acquire);
    if (wr_remote_state(word) != WR_POOL_WAITING || (word & WR_REMOTE_CLAIM) != 0 ||
        wr_remote_count(word) != wr_pool_live(pool))
        return;
    release(heap, pool); /* nobody has a block of it, so nobody can come between */
}

/** Looks for pools that wait although all of their blocks are free. pre: lock. */
static void tidy_waiting(struct wr_heap *heap, bool owner)
{
    for (unsigned c = 0; c < wr_geometry.small_classes; c++)
        /* From the end: a pool that leaves its place, or becomes a sparser one, makes only later ones move. */
        for (uint32_t place = heap->waiting[c].count; place-- > 0;) {
            struct wr_pool *pool = wr_poolset_at(&heap->waiting[c], place);
            if (!owner)
                release_if_empty(heap, pool);
            else if (wr_remote_count(atomic_load_explicit(&pool->remote, memory_order_relaxed)) != 0)
                follow_up(heap, pool);
        }
}

/* ---- heaps of other threads ------------------------------------------------------------------------------------ */

/** Begins to take what the heap can do without: see the head of this file. pre: lock; emptying; not the owner. */
static void begin_to_take(struct wr_heap *heap)
{
    atomic_store_explicit(&heap->visited, true, memory_order_relaxed);
    for (unsigned i = 0; i < WR_STACKS; i++) {
        struct wr_stack *stack = &heap->stack[i];
        uint32_t head = load(&stack->head);
        if ((int32_t)(head - load(&stack->tail)) > 0)
            store(&stack->tail, head);
    }
}

/** Frees the blocks of the stack if all of them are ours now. pre: emptying; no lock. */
static void take_stack(struct wr_heap *heap, struct wr_stack *stack, bool passed)
{
    void *block[WR_STACK_BLOCKS];
    unsigned count = 0;
    lock(heap);
    uint32_t base = load(&stack->base), tail = load(&stack->tail);
    if (passed && (int32_t)(atomic_load_explicit(&stack->head, memory_order_acquire) - tail) >= 0) {
        for (; base != tail; base++)
            if (wr_likely(stack->block[base % WR_STACK_BLOCKS] != NULL)) /* as in unload() */
                block[count++] = stack->block[base % WR_STACK_BLOCKS];
        /* Release: the owner fills these slots again when it sees this. */
        atomic_store_explicit(&stack->base, tail, memory_order_release);
    } else {
        store(&stack->tail, base);
    }
    unlock(heap);
    atomic_fetch_add_explicit(&heap->taken_bytes, sum_of(block, count), memory_order_relaxed);
    free_blocks(block, count);
}

void wr_heap_empty(struct wr_heap *heap, bool passed)
{
    struct wr_parcel parcel[WR_PARCELS] = {{0}};
    if (!atomic_load_explicit(&heap->visited, memory_order_relaxed))
        return;
    for (unsigned i = 0; i < WR_STACKS; i++)
        if (load(&heap->stack[i].tail) != load(&heap->stack[i].base))
            take_stack(heap, &heap->stack[i], passed);
    lock(heap);
    /* If it is inside soon, it will see that there is a visitor. */
    if (passed && !__atomic_load_n(&heap->inside, __ATOMIC_ACQUIRE))
        take_parcels(heap, parcel);
    hand_over(heap);
    unlock(heap);
    atomic_store_explicit(&heap->visited, false, memory_order_release);
    deliver(parcel, WR_PARCELS);
}

/* ---- the heap as a whole --------------------------------------------------------------------------------------- */

void wr_heap_tidy(struct wr_heap *heap, bool owner)
{
    if (owner) {
        deliver_all(heap);
        unload_all(heap);
    }
    lock(heap);
    open_mail(heap, false);
    for (unsigned c = 0; owner && c < wr_geometry.small_classes; c++)
        empty_stash(heap, c);
    tidy_waiting(heap, owner);
    if (!owner && !heap->special)
        begin_to_take(heap);
    hand_over(heap);
    unlock(heap);
}

void wr_heap_retire(struct wr_heap *heap) { wr_heap_tidy(heap, true); }

void wr_heap_cut(struct wr_heap *heap) { heap->cut = true; }

/** Counts the blocks of the heap's pools by their lists. pre: arena lock; no thread runs in the heap. */
static void recount_pools(struct wr_arena *arena, void *heap)
{
    for (unsigned i = 1; i < WR_ARENA_SPANS; i++) {
        struct wr_span *span = &arena->span[i];
        bool has = span->kind == WR_SPAN_SMALL && atomic_load_explicit(&span->heap, memory_order_relaxed) == heap;
        for (unsigned left = has ? (uint16_t)~span->free : 0; left != 0; left &= left - 1) {
            struct wr_pool *pool = wr_span_pool(span, wr_bits_first(left));
            unsigned live = wr_pool_class(pool)->blocks;
            for (void *block = pool->free; block != NULL && live > 0; block = *(void **)block)
                live--;
            if (live != pool->live)
                wr_pool_set_live(pool, live);
        }
    }
}

/* Where its thread was in the midst of a push or a pop, the list is whole, but the count may be off by one: that of a
 * stash, or that of the one pool into which it was freeing a block for which the stash had no room. */
void wr_heap_survey(struct wr_heap *heap)
{
    if (wr_unlikely(heap->cut)) {
        heap->cut = false;
        lock(heap);
        wr_arena_each(recount_pools, heap);
        unlock(heap);
    }
    for (unsigned c = 0; c < wr_geometry.small_classes; c++) {
        struct wr_stash *stash = &heap->stash[c];
        stash->room = stash->most;
        for (void *block = stash->free; block != NULL; block = *(void **)block)
            stash->room--;
    }
}

uint16_t wr_heap_begin_purge(struct wr_span *span)
{
    struct wr_heap *heap = lock_heap_of(span);
    if (heap == NULL)
        return 0;
    uint16_t pages = span->free & span->resident & (uint16_t)~span->busy;
    if (pages != 0) {
        span->busy |= pages;
        relist(heap, span);
    }
    unlock(heap);
    return pages;
}

void wr_heap_end_purge(struct wr_span *span, uint16_t pages, uint16_t gone)
{
    struct wr_heap *heap = lock_heap_of(span); /* busy pages kept it lent */
    span->busy &= (uint16_t)~pages;
    span->resident &= (uint16_t)~gone;
    span->returned |= gone;
    relist(heap, span);
    unlock(heap);
}

/* ---- for pools of objects ---------------------------------------------------------------------------------------- */

void wr_heap_lock(struct wr_heap *heap) { lock(heap); }
void wr_heap_unlock(struct wr_heap *heap) { unlock_and_check(heap); }

/* ---- checks ------------------------------------------------------------------------------------------------------ */

/** Whether a pool of the set waits. One that somebody has claimed is on its way out. */
static bool pool_waits(struct wr_heap *heap, unsigned class, struct wr_pool *pool)
{
    uint64_t word = atomic_load_explicit(&pool->remote, memory_order_relaxed);
    return pool->class == class && wr_pool_heap(pool) == heap &&
           ((word & WR_REMOTE_CLAIM) != 0 || wr_remote_state(word) == WR_POOL_WAITING);
}

static void check_waiting(struct wr_heap *heap, unsigned class, bool owner)
{
    const struct wr_poolset *set = &heap->waiting[class];
    bool sound = wr_poolset_is_sound(set) && wr_poolset_fits(set, heap->class_pools[class]);
    for (uint32_t place = 0; place < set->count && sound; place++) {
        struct wr_pool *pool = wr_poolset_at(set, place);
        sound = pool_waits(heap, class, pool);
        if (owner && sound)
            wr_pool_check(pool);
    }
    if (!sound)
        wr_fatal("corrupted set of waiting pools of %u-byte blocks", wr_geometry.class[class].size);
}

/** Checks a list of spans: of a medium class, or, if that is 0, of spans with room for small pools. */
static void check_list(struct wr_heap *heap, const struct wr_span *span, unsigned class, unsigned list)
{
    for (const struct wr_span *prev = NULL; span != NULL; prev = span, span = span->next)
        if (!is_sound(heap, span) || span->prev != prev || span->list != list || span->class != class ||
            list_for(span) != list || (span->kind == WR_SPAN_SMALL) != (class == 0))
            wr_fatal("corrupted list of spans: span at %p", (void *)wr_span_start(span));
}

/** What the arenas have of a heap. */
struct holding {
    struct wr_heap *heap;
    uint32_t pages, pools[WR_SMALL_LIMIT];
};

/** Whether a used page of small blocks is a pool of the heap's, and in its class's set just if it waits. While it is
 *  claimed it may be either; and there are not more places than WR_POOLSET_MOST. */
static bool pool_is_sound(struct wr_heap *heap, struct wr_pool *pool)
{
    uint64_t word = atomic_load_explicit(&pool->remote, memory_order_relaxed);
    if (wr_pool_heap(pool) != heap || !wr_geometry_is_small(pool->class) || wr_remote_state(word) == WR_POOL_IDLE)
        return false;
    const struct wr_poolset *set = &heap->waiting[pool->class];
    uint32_t place = wr_pool_place(pool);
    if (place != 0)
        return place <= set->count && wr_poolset_at(set, place - 1) == pool && pool_waits(heap, pool->class, pool);
    return wr_remote_state(word) == WR_POOL_FULL || (word & WR_REMOTE_CLAIM) != 0 || set->count == WR_POOLSET_MOST;
}

/** Checks a span that the heap has, whichever list it is in. */
static void check_span(struct holding *holding, struct wr_span *span)
{
    uint16_t used = (uint16_t)~span->free;
    holding->pages += wr_bits_count(used);
    if (span->kind == WR_SPAN_OBJECT)
        return;
    bool sound = is_sound(holding->heap, span) && list_for(span) == span->list && (used | span->busy) != 0;
    for (unsigned left = span->kind == WR_SPAN_SMALL ? used : 0; left != 0 && sound; left &= left - 1) {
        struct wr_pool *pool = wr_span_pool(span, wr_bits_first(left));
        sound = pool_is_sound(holding->heap, pool);
        if (sound)
            holding->pools[pool->class]++;
    }
    if (!sound)
        wr_fatal("corrupted descriptors of the span at %p", (void *)wr_span_start(span));
}

static void check_arena(struct wr_arena *arena, void *arg)
{
    struct holding *holding = arg;
    for (unsigned i = 1; i < WR_ARENA_SPANS; i++)
        if (atomic_load_explicit(&arena->span[i].heap, memory_order_relaxed) == holding->heap)
            check_span(holding, &arena->span[i]);
}

/** Finds the spans of the heap that no list has, and the pools that no set has. pre: lock. */
static void check_holding(struct wr_heap *heap)
{
    struct holding holding = {.heap = heap};
    uint32_t pools = 0;
    wr_arena_each(check_arena, &holding);
    for (unsigned c = 0; c < wr_geometry.small_classes; c++) {
        pools += holding.pools[c];
        if (holding.pools[c] != heap->class_pools[c])
            wr_fatal("corrupted heap: %u pools of %u-byte blocks, counted as %u", holding.pools[c],
                     wr_geometry.class[c].size, heap->class_pools[c]);
    }
    if (pools != heap->small_pools || holding.pages != heap->pages)
        wr_fatal("corrupted heap: %u pools, %u pages; counted as %u and %u", pools, holding.pages, heap->small_pools,
                 heap->pages);
}

void wr_heap_check(struct wr_heap *heap, bool owner)
{
    lock(heap);
    check_holding(heap);
    for (unsigned room = WR_ROOM_NONE + 1; room < WR_ROOMS; room++)
        check_list(heap, heap->room[room], 0, room);
    for (unsigned c = 0; c < wr_geometry.classes; c++) {
        if (wr_geometry_is_small(c)) {
            check_waiting(heap, c, owner);
            if (owner)
                check_stash(heap, c);
            continue;
        }
        for (unsigned list = WR_LIST_FULLER; list <= WR_LIST_SPARSER; list++)
            check_list(heap, medium_lists(heap, c)[list], c, list);
    }
    unlock(heap);
}
