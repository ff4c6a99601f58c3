/* SPDX-License-Identifier: MIT
 * Domains: which objects are a thread's, from its first to its exit and beyond; see domain.h. Also large objects.
 *
 * Locks: `lock` (WR_RANK_DOMAIN) guards the lists of domains and kinds; `bigs.lock` (WR_RANK_BIG) the records of large
 * objects and the domains' lists of them. */
#include "object/domain.h"

#include <stdlib.h>

#include "core/meta.h"
#include "front/fast.h"
#include "front/thread.h"

struct wr_kind wr_kind_none = {.current = &wr_typed_none};
struct wr_domain wr_domain_none = {.bucket = {[0 ... WR_BUCKETS - 1] = &wr_kind_none}};
WR_TLS struct wr_thread wr_thread = {.domain = &wr_domain_none};

static struct {
    struct wr_lock lock;
    struct wr_domain *_Atomic all;      /* newest first; only grows */
    struct wr_domain *orphans, *common; /* those that were left, by status; guarded by: lock */
    struct wr_domain *spare;            /* guarded by: lock */
    struct wr_kind *kinds, *spare_kinds; /* all, which only grow in number; guarded by: lock */
    _Atomic unsigned left;              /* orphans and common; written under the lock */
} domains;

static void lock(void) { wr_lock(&domains.lock, WR_RANK_DOMAIN); }
static void unlock(void) { wr_unlock(&domains.lock, WR_RANK_DOMAIN); }

static void set_status(struct wr_domain *domain, enum wr_domain_status status)
{
    atomic_store_explicit(&domain->status, status, memory_order_relaxed);
}

/* ---- kinds ------------------------------------------------------------------------------------------------------- */

static struct wr_kind *take_kind(void)
{
    lock();
    struct wr_kind *kind = domains.spare_kinds;
    if (kind != NULL) {
        domains.spare_kinds = kind->next;
        *kind = (struct wr_kind){.all = kind->all}; /* under the lock: see wr_kinds_each() */
    }
    unlock();
    if (kind != NULL || (kind = wr_meta_alloc(sizeof *kind)) == NULL)
        return kind;
    lock();
    kind->all = domains.kinds;
    domains.kinds = kind;
    unlock();
    return kind;
}

/** Whether a kind has been set up: it may be another thread's, which is just about that, and then has no object. */
static WR_RACY bool has_heap(const struct wr_kind *kind) { return kind->heap != NULL; }

void wr_kinds_each(void (*fn)(struct wr_kind *kind, void *arg), void *arg)
{
    lock(); /* so that a kind's heap stays the one it is, once it has one */
    for (struct wr_kind *kind = domains.kinds; kind != NULL; kind = kind->all)
        if (has_heap(kind))
            fn(kind, arg);
    unlock();
}

/** A type that says what cannot be is found out before its first object is made. */
static void check_type(const struct weir_type *type)
{
    if (type->name == NULL || type->size == 0)
        wr_fatal("the type at %p has no %s", (const void *)type, type->name == NULL ? "name" : "size");
    for (unsigned i = 0; i < type->nrefs; i++)
        if (type->refs[i] + sizeof(void *) > type->size || type->refs[i] % sizeof(void *) != 0)
            wr_fatal("type \"%s\": entry %u of its table of references, offset %u, is no pointer in %zu bytes",
                     type->name, i, type->refs[i], type->size);
}

static struct wr_kind *make_kind(struct wr_domain *domain, const struct weir_type *type, unsigned class)
{
    check_type(type);
    struct wr_kind *kind = take_kind();
    if (kind == NULL)
        return NULL;
    wr_kind_init(kind, domain->heap, &domain->owner, class, (type->flags & WEIR_ALIGN16) != 0 ? 8 : 0);
    kind->type = type;
    kind->refs = type->refs;
    kind->nrefs = type->nrefs;
    kind->special = type->finalize != NULL || type->dealloc != NULL || type->clear != NULL || type->traverse != NULL;
    kind->counted = (type->flags & WEIR_ACYCLIC) == 0;
    return kind;
}

struct wr_kind *wr_domain_kind(struct wr_domain *domain, const struct weir_type *type, uintptr_t key, unsigned class)
{
    struct wr_kind **bucket = &domain->bucket[wr_key_bucket(key)], **at = bucket, *kind;
    while ((kind = *at) != &wr_kind_none && kind->key != key)
        at = &kind->next;
    if (kind != &wr_kind_none) {
        *at = kind->next;
    } else {
        kind = make_kind(domain, type, class);
        if (kind == NULL)
            return NULL;
        kind->key = key;
    }
    kind->next = *bucket;
    *bucket = kind;
    return kind;
}

void wr_domain_tidy(struct wr_domain *domain, bool aside)
{
    struct wr_heap *heap = wr_enter();
    wr_owner_drain(&domain->owner);
    for (unsigned b = 0; aside && b < WR_BUCKETS; b++)
        for (struct wr_kind *kind = domain->bucket[b]; kind != &wr_kind_none; kind = kind->next)
            wr_kind_put_aside(kind);
    if (heap != NULL)
        wr_leave(heap);
}

/* ---- domains come and go ----------------------------------------------------------------------------------------- */

static void init(struct wr_domain *domain, struct wr_heap *heap)
{
    for (unsigned b = 0; b < WR_BUCKETS; b++)
        domain->bucket[b] = &wr_kind_none;
    domain->heap = heap;
    domain->owner.forget = wr_gc_forget;
    domain->frozen = false;
    domain->gc = (struct wr_gc){.patience = {1, 1}, .ns_per_object = 20};
    domain->thread = wr_os_thread_id();
    set_status(domain, WR_DOMAIN_RUNS);
}

static struct wr_domain *take_domain(void)
{
    lock();
    struct wr_domain *domain = domains.spare;
    if (domain != NULL)
        domains.spare = domain->next;
    unlock();
    if (domain != NULL)
        return domain;
    domain = wr_meta_alloc(sizeof *domain);
    if (domain == NULL)
        return NULL;
    lock();
    domain->all = atomic_load_explicit(&domains.all, memory_order_relaxed);
    atomic_store_explicit(&domains.all, domain, memory_order_release);
    unlock();
    return domain;
}

/** Takes out the kinds that have no span; whether some are left. */
static bool drop_empty_kinds(struct wr_domain *domain)
{
    bool left = false;
    lock();
    for (unsigned b = 0; b < WR_BUCKETS; b++)
        for (struct wr_kind **at = &domain->bucket[b], *kind; (kind = *at) != &wr_kind_none;) {
            if (kind->spans > 0) {
                left = true;
                at = &kind->next;
                continue;
            }
            *at = kind->next;
            kind->next = domains.spare_kinds;
            domains.spare_kinds = kind;
        }
    unlock();
    return left;
}

/* Domains that were left are in one of two lists. */

/** pre: lock, `domain` is in none. */
static void list_left(struct wr_domain *domain, enum wr_domain_status status)
{
    struct wr_domain **list = status == WR_DOMAIN_ORPHAN ? &domains.orphans : &domains.common;
    set_status(domain, status);
    domain->prev = NULL;
    domain->next = *list;
    if (domain->next != NULL)
        domain->next->prev = domain;
    *list = domain;
    atomic_fetch_add_explicit(&domains.left, 1, memory_order_relaxed);
}

/** Nobody else takes it from here on. pre: lock, `left` is in a list. */
static void unlist_left(struct wr_domain *left)
{
    bool orphan = atomic_load_explicit(&left->status, memory_order_relaxed) == WR_DOMAIN_ORPHAN;
    *(left->prev != NULL ? &left->prev->next : orphan ? &domains.orphans : &domains.common) = left->next;
    if (left->next != NULL)
        left->next->prev = left->prev;
    set_status(left, WR_DOMAIN_LOST);
    atomic_fetch_sub_explicit(&domains.left, 1, memory_order_relaxed);
}

/** pre: lock. */
static void make_spare(struct wr_domain *domain)
{
    set_status(domain, WR_DOMAIN_SPARE);
    domain->next = domains.spare;
    domains.spare = domain;
}

static void find_own(struct wr_typed *pool, struct wr_span *span WR_UNUSED, void *arg)
{
    bool *found = arg;
    for (unsigned i = 0; i < pool->kind->blocks && !*found; i++)
        *found = wr_count_own(wr_typed_at(pool, i)) > 0;
}

static void find_own_big(struct wr_big *big, void *found)
{
    *(bool *)found |= wr_count_own(wr_header_of(big->object)) > 0;
}

/** Whether an object is neither shared nor immortal. pre: owner. */
static bool has_own(struct wr_domain *domain)
{
    bool found = false;
    for (unsigned b = 0; b < WR_BUCKETS && !found; b++)
        for (struct wr_kind *kind = domain->bucket[b]; kind != &wr_kind_none && !found; kind = kind->next)
            wr_kind_each(kind, find_own, &found);
    wr_big_each(domain, find_own_big, &found);
    return found;
}

/** The thread is about to exit. What it made and nobody has released waits for another thread. */
static void thread_exits(void)
{
    struct wr_domain *domain = wr_thread.domain;
    wr_scope_end_thread();
    if (domain == &wr_domain_none)
        return;
    wr_gc_at_exit(domain);
    wr_domain_tidy(domain, true);
    wr_thread.domain = &wr_domain_none;
    bool empty = !drop_empty_kinds(domain) && domain->bigs == NULL && domain->gc.garbage_count == 0;
    enum wr_domain_status status = has_own(domain) ? WR_DOMAIN_ORPHAN : WR_DOMAIN_COMMON;
    lock();
    if (empty)
        make_spare(domain);
    else
        list_left(domain, status);
    unlock();
}

bool wr_domain_has_left(void) { return atomic_load_explicit(&domains.left, memory_order_relaxed) > 0; }

static void hand_over(struct wr_domain *from, struct wr_domain *to)
{
    for (unsigned b = 0; b < WR_BUCKETS; b++) {
        struct wr_kind **at = &to->bucket[b];
        while (*at != &wr_kind_none)
            at = &(*at)->next;
        *at = from->bucket[b]; /* behind those that `to` takes from */
        from->bucket[b] = &wr_kind_none;
        for (struct wr_kind *kind = *at; kind != &wr_kind_none; kind = kind->next)
            atomic_store_explicit(&kind->owner, &to->owner, memory_order_seq_cst); /* see send_home() in typed.c */
    }
    to->owner.pages += from->owner.pages;
    from->owner.pages = 0;
    to->frozen |= from->frozen;
    wr_big_hand_over(from, to);
    wr_owner_drain(&from->owner); /* to whom it belongs by now */
}

/** References that the list of garbage held are dropped: the objects are found again. */
static void drop_garbage(struct wr_domain *from)
{
    void **garbage = from->gc.garbage;
    size_t count = from->gc.garbage_count;
    from->gc.garbage = NULL;
    from->gc.garbage_count = from->gc.garbage_room = 0;
    for (size_t i = 0; i < count; i++)
        wr_object_unref(garbage[i]);
    weir_free(garbage);
}

/** pre: `left` is in no list any more. */
static void take_over(struct wr_domain *left, struct wr_domain *domain)
{
    hand_over(left, domain);
    drop_garbage(left);
    lock();
    make_spare(left);
    unlock();
}

static struct wr_domain *take_left(bool orphans)
{
    lock();
    struct wr_domain *left = orphans && domains.orphans != NULL ? domains.orphans : domains.common;
    if (left != NULL)
        unlist_left(left);
    unlock();
    return left;
}

void wr_domain_adopt(struct wr_domain *domain, bool all)
{
    for (struct wr_domain *left; (left = take_left(all)) != NULL;)
        take_over(left, domain);
}

void wr_domain_adopt_one(struct wr_domain *domain, struct wr_domain *left)
{
    lock();
    int status = atomic_load_explicit(&left->status, memory_order_relaxed);
    bool free = status == WR_DOMAIN_ORPHAN || status == WR_DOMAIN_COMMON;
    if (free)
        unlist_left(left);
    unlock();
    if (free)
        take_over(left, domain);
}

static void fork_prepare(void);
static void fork_done(void);
static void fork_child(void);

struct wr_domain *wr_domain_get(void)
{
    static _Atomic bool hooked;
    if (wr_likely(wr_thread.domain != &wr_domain_none))
        return wr_thread.domain;
    struct wr_heap *heap = wr_enter(); /* starts library and thread */
    if (heap == NULL)
        return NULL;
    wr_leave(heap);
    if (wr_self != heap)
        return NULL; /* the thread has had its end */
    if (!atomic_exchange_explicit(&hooked, true, memory_order_relaxed)) {
        static const struct wr_thread_hooks hooks = {thread_exits, fork_prepare, fork_done, fork_child};
        wr_thread_hook(&hooks);
        wr_gc_start();
    }
    struct wr_domain *domain = take_domain();
    if (domain == NULL)
        return NULL;
    init(domain, heap);
    wr_thread.domain = domain;
    return domain;
}

void wr_domain_each(void (*fn)(struct wr_domain *domain, void *arg), void *arg)
{
    for (struct wr_domain *domain = atomic_load_explicit(&domains.all, memory_order_acquire); domain != NULL;
         domain = domain->all)
        fn(domain, arg);
}

/* ---- large objects ----------------------------------------------------------------------------------------------- */

enum { CHUNK = 256, CHUNKS = 1 << 16, MAGIC = 0x77656972 };

static struct {
    struct wr_lock lock;
    struct wr_big *_Atomic chunk[CHUNKS]; /* records by number; only grow */
    uint32_t made;                        /* records; guarded by: lock */
    struct wr_big *spare;                 /* guarded by: lock */
} bigs;

/** What a large object's block begins with, before its header. */
struct name {
    uint32_t slot, magic;
};

static struct wr_big *record(uint32_t slot)
{
    struct wr_big *chunk =
        slot / CHUNK < CHUNKS ? atomic_load_explicit(&bigs.chunk[slot / CHUNK], memory_order_acquire) : NULL;
    return chunk != NULL ? &chunk[slot % CHUNK] : NULL;
}

struct wr_big *wr_big_of(const struct wr_header *header)
{
    /* Only what is the start of a block is read from: what lies before any other address may not be mapped. */
    const struct name *name = (const struct name *)(const void *)header - 1;
    if ((uintptr_t)name % WR_MIN_ALIGN != 0 || wr_block_look(name).kind <= WR_BLOCK_INVALID || name->magic != MAGIC)
        return NULL;
    struct wr_big *big = record(name->slot);
    return big != NULL && big->object == (const void *)(header + 1) ? big : NULL;
}

static void big_lock(void) { wr_lock(&bigs.lock, WR_RANK_BIG); }
static void big_unlock(void) { wr_unlock(&bigs.lock, WR_RANK_BIG); }

/** pre: big lock. */
static struct wr_big *take_record(void)
{
    struct wr_big *big = bigs.spare;
    if (big != NULL) {
        bigs.spare = big->next;
        return big;
    }
    uint32_t slot = bigs.made;
    if (slot / CHUNK >= CHUNKS)
        return NULL;
    if (slot % CHUNK == 0) {
        struct wr_big *chunk = wr_meta_alloc(CHUNK * sizeof *chunk);
        if (chunk == NULL)
            return NULL;
        atomic_store_explicit(&bigs.chunk[slot / CHUNK], chunk, memory_order_release);
    }
    __atomic_store_n(&bigs.made, slot + 1, __ATOMIC_RELAXED);
    big = record(slot);
    big->slot = slot;
    return big;
}

bool wr_big_any(void) { return __atomic_load_n(&bigs.made, __ATOMIC_RELAXED) > 0; }

static void link_big(struct wr_domain *domain, struct wr_big *big)
{
    big->domain = domain;
    big->prev = NULL;
    big->next = domain->bigs;
    if (big->next != NULL)
        big->next->prev = big;
    domain->bigs = big;
}

static size_t pages_of(const struct wr_big *big)
{
    return (big->type->flags & WEIR_ACYCLIC) != 0 ? 0 : (big->size + WR_PAGE_SIZE - 1) >> WR_PAGE_SHIFT;
}

struct wr_header *wr_big_new(struct wr_domain *domain, const struct weir_type *type, size_t size)
{
    struct name *name = weir_calloc(1, size + sizeof *name + sizeof(struct wr_header));
    if (name == NULL)
        return NULL;
    struct wr_header *header = (struct wr_header *)(void *)(name + 1);
    big_lock();
    struct wr_big *big = take_record();
    if (big != NULL) {
        *big = (struct wr_big){.object = header + 1, .type = type, .size = size, .slot = big->slot, .young = true};
        link_big(domain, big);
        domain->big_pages += pages_of(big);
    }
    big_unlock();
    if (big == NULL) {
        weir_free(name);
        return NULL;
    }
    *name = (struct name){big->slot, MAGIC};
    header->state = WR_STATE_BIG;
    wr_set_count(header, 1);
    return header;
}

void wr_big_free(struct wr_big *big)
{
    struct name *name = (struct name *)(void *)((char *)big->object - sizeof *name - sizeof(struct wr_header));
    big_lock();
    struct wr_domain *domain = big->domain; /* under the lock: it may be handed over meanwhile */
    domain->big_pages -= pages_of(big);
    *(big->prev != NULL ? &big->prev->next : &domain->bigs) = big->next;
    if (big->next != NULL)
        big->next->prev = big->prev;
    big->object = NULL;
    big->next = bigs.spare;
    bigs.spare = big;
    big_unlock();
    name->magic = 0;
    wr_set_count((struct wr_header *)(void *)(name + 1), 0);
    weir_free(name);
}

void wr_big_hand_over(struct wr_domain *from, struct wr_domain *to)
{
    big_lock();
    for (struct wr_big *big; (big = from->bigs) != NULL;) {
        from->bigs = big->next;
        link_big(to, big);
    }
    to->big_pages += from->big_pages;
    from->big_pages = 0;
    big_unlock();
    atomic_fetch_add_explicit(&to->storage, atomic_exchange_explicit(&from->storage, 0, memory_order_relaxed),
                              memory_order_relaxed);
}

void wr_storage_change(const void *container, size_t before, size_t after)
{
    /* Should the kind be handed over at this moment, both domains are wrong by the difference. */
    struct wr_domain *domain = wr_place_domain(wr_place_of(wr_header_of(container)));
    atomic_fetch_add_explicit(&domain->storage, after - before, memory_order_relaxed);
}

void wr_big_each(struct wr_domain *domain, void (*fn)(struct wr_big *big, void *arg), void *arg)
{
    big_lock();
    for (struct wr_big *big = domain->bigs, *next; big != NULL; big = next) {
        next = big->next;
        fn(big, arg);
    }
    big_unlock();
}

/* ---- what an address is ------------------------------------------------------------------------------------------ */

/** How malloc's functions learn of an object: the type's name, and the bytes that may be used; NULL if it is none. */
static const char *name_block(const void *address, size_t *usable)
{
    const struct wr_header *header = wr_header_of(address);
    struct wr_typed *pool = wr_pool_of(header);
    struct wr_big *big = pool == NULL ? wr_big_of(header) : NULL;
    if (big != NULL) {
        *usable = big->size;
        return big->type->name;
    }
    if (pool == NULL || !wr_typed_is_block(pool, header) || wr_count(header) == 0)
        return NULL;
    *usable = pool->kind->size - sizeof *header;
    return wr_kind_type(pool->kind)->name;
}

static __attribute__((constructor)) void introduce(void) { wr_block_namer = name_block; }

bool wr_place_find(const void *address, struct wr_place *place)
{
    const struct wr_header *header = wr_header_of(address);
    *place = (struct wr_place){NULL, NULL};
    if ((uintptr_t)header % sizeof *header != 0 || wr_map_get(header) == 0)
        return false;
    *place = wr_place_of(header);
    if (place->pool != NULL && !wr_typed_is_block(place->pool, header))
        return false;
    enum wr_sort sort = place->pool != NULL || place->big != NULL ? wr_count_sort(wr_count(header)) : WR_SORT_NONE;
    return sort != WR_SORT_NONE && sort != WR_SORT_PENDING;
}

/* ---- fork -------------------------------------------------------------------------------------------------------- */

static void fork_prepare(void)
{
    wr_weak_fork_prepare();
    wr_site_fork_prepare();
    wr_lock_fork_prepare(&domains.lock, WR_RANK_DOMAIN);
    wr_lock_fork_prepare(&bigs.lock, WR_RANK_BIG);
}

static void fork_done(void)
{
    wr_lock_fork_done(&bigs.lock, WR_RANK_BIG);
    wr_lock_fork_done(&domains.lock, WR_RANK_DOMAIN);
    wr_site_fork_done();
    wr_weak_fork_done();
}

/** Threads that are gone may have been anywhere in their pools: nobody touches those again. */
static void lose(struct wr_domain *domain, void *self)
{
    if (domain != self && atomic_load_explicit(&domain->status, memory_order_relaxed) == WR_DOMAIN_RUNS)
        set_status(domain, WR_DOMAIN_LOST);
}

static void fork_child(void)
{
    wr_weak_fork_child();
    wr_domain_each(lose, wr_thread.domain);
    wr_thread.domain->thread = wr_os_thread_id();
}
