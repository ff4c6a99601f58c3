/* SPDX-License-Identifier: MIT
 * Pools of objects; see typed.h. Lock: the heap's that a kind's spans belong to, for spans and lists.
 *
 * Invariants under the lock: a span lent to a kind is in list[span->list], the one that list_for() finds; `fuller` and
 * `sparser` have just the pools that wait; `young` and `frozen` have pools only. */
#include "core/typed.h"

#include <string.h>

struct wr_typed wr_typed_none;

/* ---- lists of spans ---------------------------------------------------------------------------------------------- */

static enum wr_span_list list_for(const struct wr_span *span)
{
    if (span->fuller != 0)
        return WR_LIST_FULLER;
    if (span->sparser != 0)
        return WR_LIST_SPARSER;
    return (span->free & ~span->busy) != 0 ? WR_LIST_ROOM : WR_LIST_NONE;
}

static void list_remove(struct wr_kind *kind, struct wr_span *span)
{
    *(span->prev != NULL ? &span->prev->next : &kind->list[span->list]) = span->next;
    if (span->next != NULL)
        span->next->prev = span->prev;
}

static void list_add(struct wr_kind *kind, struct wr_span *span, enum wr_span_list list)
{
    span->list = (uint8_t)list;
    span->prev = NULL;
    span->next = kind->list[list];
    if (span->next != NULL)
        span->next->prev = span;
    kind->list[list] = span;
}

void wr_typed_relist(struct wr_heap *heap WR_UNUSED, struct wr_span *span)
{
    struct wr_kind *kind = wr_span_kind(span);
    bool empty = span->free == WR_ALL_PAGES && span->busy == 0;
    enum wr_span_list list = list_for(span);
    wr_assert(((span->fuller | span->sparser | span->young | span->frozen) & span->free) == 0);
    if (empty) {
        list_remove(kind, span);
        kind->spans--;
        wr_arena_give_span(span);
    } else if (list != span->list) {
        list_remove(kind, span);
        list_add(kind, span, list);
    }
}

static struct wr_span *new_span(struct wr_kind *kind)
{
    struct wr_span *span = wr_arena_take_span(kind->heap, WR_SPAN_OBJECT, kind->class);
    if (span == NULL)
        return NULL;
    span->fuller = span->sparser = span->young = span->frozen = 0;
    span->blocks = (uintptr_t)kind;
    kind->spans++;
    list_add(kind, span, WR_LIST_ROOM);
    return span;
}

void wr_kind_each(struct wr_kind *kind, void (*fn)(struct wr_typed *pool, struct wr_span *span, void *arg), void *arg)
{
    wr_heap_lock(kind->heap);
    for (unsigned list = 0; list < WR_LISTS; list++)
        for (struct wr_span *span = kind->list[list]; span != NULL; span = span->next)
            for (unsigned left = (uint16_t)~span->free; left != 0; left &= left - 1)
                fn((struct wr_typed *)wr_span_pool(span, wr_bits_first(left)), span, arg);
    wr_heap_unlock(kind->heap);
}

/* ---- a pool's life ----------------------------------------------------------------------------------------------- */

void wr_kind_init(struct wr_kind *kind, struct wr_heap *heap, struct wr_owner *owner, unsigned class, unsigned first)
{
    const struct wr_class *geometry = &wr_geometry.class[class];
    kind->heap = heap;
    kind->class = class;
    kind->size = geometry->size;
    kind->inverse = geometry->inverse;
    kind->first = (uint16_t)first;
    kind->blocks = (uint16_t)((WR_PAGE_SIZE - first) / geometry->size);
    kind->current = &wr_typed_none;
    atomic_store_explicit(&kind->owner, owner, memory_order_relaxed);
}

/** The count of live blocks at which a pool that is not current must be looked at again. */
static uint16_t wake_at(const struct wr_kind *kind, unsigned live)
{
    unsigned most = kind->blocks - (unsigned)wr_max(kind->blocks / 8u, 1);
    return (uint16_t)(live > most ? most : live > kind->blocks / 2u ? kind->blocks / 2u : 0);
}

/** Puts a pool with live blocks that is not current into the set it belongs to. pre: lock. */
static void settle(struct wr_kind *kind, struct wr_span *span, struct wr_typed *pool)
{
    uint16_t bit = wr_typed_bit(pool);
    unsigned live = pool->live, most = kind->blocks - (unsigned)wr_max(kind->blocks / 8u, 1);
    bool waits = pool->free != 0 && live <= most && (span->frozen & bit) == 0;
    bool fuller = live * 2 > kind->blocks;
    pool->wake = wake_at(kind, live);
    span->fuller = (uint16_t)(waits && fuller ? span->fuller | bit : span->fuller & ~bit);
    span->sparser = (uint16_t)(waits && !fuller ? span->sparser | bit : span->sparser & ~bit);
    wr_typed_relist(kind->heap, span);
}

/** The page of a pool that has no live block becomes free. pre: lock. */
static void release(struct wr_kind *kind, struct wr_span *span, struct wr_typed *pool)
{
    uint16_t bit = wr_typed_bit(pool);
    struct wr_owner *owner = wr_kind_owner(kind);
    if (owner->forget != NULL)
        owner->forget(owner, pool);
    pool->type = WR_TYPED_NOT;
    pool->kind = NULL;
    pool->free = 0;
    span->fuller &= (uint16_t)~bit;
    span->sparser &= (uint16_t)~bit;
    span->young &= (uint16_t)~bit;
    span->frozen &= (uint16_t)~bit;
    if (kind->counted && --owner->pages < owner->low)
        owner->low = owner->pages;
    kind->pools--;
    wr_heap_give_page(kind->heap, span, bit);
    wr_typed_relist(kind->heap, span);
}

/** Makes every block of the page a free one, to be taken in address order. */
static void fill(struct wr_kind *kind, struct wr_typed *pool)
{
    size_t size = kind->size;
    char *first = (char *)wr_typed_at(pool, 0), *end = first + kind->blocks * size;
    for (char *at = first; at < end; at += size)
        memset(at, 0, sizeof(struct wr_header));
    kind->fresh = first;
    kind->fresh_end = end;
}

/** Puts the current pool's blocks that nobody has taken on its list, in address order. */
static void link_fresh(struct wr_kind *kind)
{
    struct wr_typed *pool = kind->current;
    for (char *at = kind->fresh_end; at > kind->fresh;) {
        at -= kind->size;
        struct wr_header *header = (struct wr_header *)(void *)at;
        header->state = pool->free;
        pool->free = wr_typed_slot(header);
    }
    kind->fresh = kind->fresh_end = NULL;
}

/** Takes a free page as an empty pool; its list is yet to be filled. pre: lock. */
static struct wr_typed *take_page(struct wr_kind *kind, struct wr_span *span, bool *ahead)
{
    unsigned page = wr_heap_take_page(kind->heap, span, kind->pools++, ahead);
    struct wr_typed *pool = (struct wr_typed *)wr_span_pool(span, page);
    wr_typed_relist(kind->heap, span);
    if (kind->counted)
        wr_kind_owner(kind)->pages++;
    wr_assert(atomic_load_explicit(&pool->owner, memory_order_relaxed) == 0);
    pool->kind = kind;
    atomic_store_explicit(&pool->remote, 0, memory_order_relaxed);
    pool->live = 0;
    pool->wake = WR_TYPED_NEVER;
    pool->class = (uint8_t)kind->class;
    pool->free = 0;
    pool->type = kind->special ? WR_TYPED_SPECIAL : WR_TYPED_PLAIN;
    return pool;
}

/** The next pool to take from; NULL if the heap needs a new arena. pre: lock. */
static struct wr_typed *next_pool(struct wr_kind *kind, bool *ahead)
{
    struct wr_span *span =
        kind->list[WR_LIST_FULLER] != NULL ? kind->list[WR_LIST_FULLER] : kind->list[WR_LIST_SPARSER];
    if (span != NULL) {
        unsigned page = wr_bits_first(span->fuller != 0 ? span->fuller : span->sparser);
        uint16_t bit = (uint16_t)(1u << page);
        span->fuller &= (uint16_t)~bit;
        span->sparser &= (uint16_t)~bit;
        span->young |= bit;
        wr_typed_relist(kind->heap, span);
        return (struct wr_typed *)wr_span_pool(span, page);
    }
    span = kind->list[WR_LIST_ROOM] != NULL ? kind->list[WR_LIST_ROOM] : new_span(kind);
    if (span == NULL)
        return NULL;
    struct wr_typed *pool = take_page(kind, span, ahead);
    span->young |= wr_typed_bit(pool);
    return pool;
}

/** What becomes of a pool that is not current any more, or has had blocks freed. pre: lock. */
static void look_again(struct wr_kind *kind, struct wr_typed *pool)
{
    struct wr_span *span = wr_typed_span(pool);
    if (pool->live == 0)
        release(kind, span, pool);
    else
        settle(kind, span, pool);
}

/** pre: lock. */
static void put_aside(struct wr_kind *kind)
{
    struct wr_typed *pool = kind->current;
    if (pool == &wr_typed_none)
        return;
    link_fresh(kind);
    kind->current = &wr_typed_none;
    look_again(kind, pool);
}

void wr_kind_put_aside(struct wr_kind *kind)
{
    if (kind->current == &wr_typed_none)
        return;
    wr_heap_lock(kind->heap);
    put_aside(kind);
    wr_heap_unlock(kind->heap);
}

bool wr_kind_refill(struct wr_kind *kind)
{
    struct wr_owner *owner = wr_kind_owner(kind);
    struct wr_typed *pool = NULL;
    bool ahead = false;
    if (atomic_load_explicit(&owner->remote, memory_order_relaxed) != NULL)
        wr_owner_drain(owner);
    if (kind->current->free != 0)
        return true;
    do {
        wr_heap_lock(kind->heap);
        put_aside(kind);
        pool = next_pool(kind, &ahead);
        wr_heap_unlock(kind->heap);
        if (ahead)
            wr_heap_fault_ahead(kind->heap);
    } while (pool == NULL && wr_arena_grow());
    if (pool == NULL)
        return false;
    if (pool->live == 0 && pool->free == 0)
        fill(kind, pool); /* a fresh page; it is written to outside the lock */
    pool->wake = WR_TYPED_NEVER;
    kind->page = wr_typed_start(pool) - 8;
    kind->current = pool;
    owner->refills += kind->counted;
    return true;
}

/* ---- frees ------------------------------------------------------------------------------------------------------- */

void wr_typed_free(struct wr_typed *pool, struct wr_header *header)
{
    struct wr_kind *kind = pool->kind;
    if (wr_unlikely(pool->live == 0))
        wr_fatal("corrupted pool of objects at %p: more were released than it has", (void *)wr_typed_start(pool));
    wr_typed_push(pool, header, pool->live - 1u);
    if (pool == kind->current)
        return;
    wr_heap_lock(kind->heap);
    look_again(kind, pool);
    wr_heap_unlock(kind->heap);
}

void wr_typed_discard(struct wr_typed *pool)
{
    struct wr_kind *kind = pool->kind;
    wr_heap_lock(kind->heap);
    pool->live = 0;
    release(kind, wr_typed_span(pool), pool);
    wr_heap_unlock(kind->heap);
}

/** The word behind the header: links the blocks on an owner's stack. */
static struct wr_header **link_of(struct wr_header *header) { return (struct wr_header **)(void *)(header + 1); }

static void push_to_owner(struct wr_owner *owner, struct wr_header *header)
{
    struct wr_header *first = atomic_load_explicit(&owner->remote, memory_order_relaxed);
    do
        *link_of(header) = first;
    while (!atomic_compare_exchange_weak_explicit(&owner->remote, &first, header, memory_order_seq_cst,
                                                  memory_order_relaxed));
}

/** Takes all blocks of an owner's stack and links them before a list. */
static struct wr_header *take_all(struct wr_owner *owner, struct wr_header *list)
{
    struct wr_header *first = atomic_exchange_explicit(&owner->remote, NULL, memory_order_seq_cst), *last = first;
    if (first == NULL)
        return list;
    while (*link_of(last) != NULL)
        last = *link_of(last);
    *link_of(last) = list;
    return first;
}

/* A kind may be handed on at any moment. Who hands it on writes the new owner, then empties the old one's stack; who
 * sends a block there pushes it, then looks whether the owner is still the same, all in one order (seq_cst). So one of
 * them sees what the other has done, and what came too late is taken off again and sent after its kind. */

/** Pushes blocks to the owners of their kinds. pre: their pools have remote frees, and each lies on this list alone; so
 *  the pools stay until their blocks are pushed. Kinds are never freed. */
static void send_home(struct wr_header *list)
{
    while (list != NULL) {
        struct wr_header *header = list;
        struct wr_kind *kind = wr_typed_of(header)->kind;
        struct wr_owner *owner = wr_kind_owner(kind);
        list = *link_of(header);
        push_to_owner(owner, header);
        if (wr_unlikely(atomic_load_explicit(&kind->owner, memory_order_seq_cst) != owner))
            list = take_all(owner, list);
    }
}

void wr_typed_send(struct wr_typed *pool, struct wr_header *header)
{
    uint32_t word = atomic_load_explicit(&pool->remote, memory_order_relaxed);
    __atomic_store_n(&header->count, 0, __ATOMIC_RELAXED);
    do /* release: a pass of the owner that looks meanwhile does not take this for the state of an object */
        __atomic_store_n(&header->state, word & 0xffff, __ATOMIC_RELEASE);
    while (!atomic_compare_exchange_weak_explicit(&pool->remote, &word,
                                                  (word & 0xffff0000) + 0x10000 + wr_typed_slot(header),
                                                  memory_order_release, memory_order_relaxed));
    if (word != 0)
        return;
    *link_of(header) = NULL;
    send_home(header);
}

/** Moves remotely freed blocks to the pool's own list. pre: owner. */
static void collect(struct wr_typed *pool)
{
    struct wr_kind *kind = pool->kind;
    uint32_t word = atomic_exchange_explicit(&pool->remote, 0, memory_order_acquire);
    unsigned count = word >> 16, slot = word & 0xffff;
    struct wr_header *last = NULL;
    if (wr_unlikely(count > pool->live))
        wr_fatal("corrupted pool of objects at %p: more were released than it has", (void *)wr_typed_start(pool));
    for (unsigned next = slot; next != 0; next = last->state)
        last = (struct wr_header *)(wr_typed_start(pool) + next - 8);
    if (last == NULL)
        return;
    last->state = pool->free;
    pool->free = slot;
    __atomic_store_n(&pool->live, (uint16_t)(pool->live - count), __ATOMIC_RELAXED);
    if (pool == kind->current)
        return;
    wr_heap_lock(kind->heap);
    look_again(kind, pool);
    wr_heap_unlock(kind->heap);
}

void wr_owner_drain(struct wr_owner *owner)
{
    struct wr_header *header = atomic_exchange_explicit(&owner->remote, NULL, memory_order_seq_cst), *next;
    struct wr_header *others = NULL;
    for (; header != NULL; header = next) {
        struct wr_typed *pool = wr_typed_of(header);
        next = *link_of(header);
        if (wr_kind_owner(pool->kind) == owner) {
            collect(pool);
            continue;
        }
        *link_of(header) = others; /* the kind was handed on */
        others = header;
    }
    send_home(others);
}

/* ---- freezing ---------------------------------------------------------------------------------------------------- */

static void freeze_pool(struct wr_typed *pool, struct wr_span *span, void *arg)
{
    uint16_t bit = wr_typed_bit(pool);
    span->frozen = (uint16_t)(*(bool *)arg ? span->frozen | bit : span->frozen & ~bit);
}

void wr_kind_freeze(struct wr_kind *kind, bool frozen)
{
    wr_kind_put_aside(kind);
    wr_kind_each(kind, freeze_pool, &frozen);
    /* Which pools wait has changed, and with it the lists: walk them anew for each span that does not fit. */
    wr_heap_lock(kind->heap);
    for (unsigned list = 0; list < WR_LISTS; list++)
        for (struct wr_span *span = kind->list[list], *next; span != NULL; span = next) {
            next = span->next;
            for (unsigned left = (uint16_t)~span->free; left != 0; left &= left - 1)
                settle(kind, span, (struct wr_typed *)wr_span_pool(span, wr_bits_first(left)));
        }
    wr_heap_unlock(kind->heap);
}
