/* SPDX-License-Identifier: MIT
 * Sharing objects between threads, and making them immortal, with all that they reach.
 *
 * What is reached is marked first (its count changes sort) and looked into later. What is yet to be looked into is in a
 * list that grows. Where there is no memory for that an object keeps WR_STATE_GREY, and is found again by looking
 * through pools. So nothing can fail.
 *
 * What this walk has made grey must be found by it, and what another thread's has must not: that may share what this
 * one makes immortal, and its objects are yet to change. An object that was the caller's own lies in its domain, or in
 * one that was left, which is taken over then. One that was shared may lie in any domain; as all that it reaches is
 * shared, too, it does no harm if two threads find it. The domains' locks are held while pools are looked through, and
 * no lock otherwise: all that changes is the calling thread's, or about to be everybody's for good. */
#include "object/domain.h"

#include <errno.h>

enum { STACK = 512 };

struct walk {
    bool immortal; /* else shared */
    bool overflow; /* there are grey objects, as there is no memory */
    void **list;   /* `stack`, or from weir_malloc() */
    size_t count, room;
    void *stack[STACK];
};

/** Changes the count's sort; false if that is not for this walk to do: it is done, or needs not be. */
static bool mark(struct wr_header *header, bool immortal)
{
    struct wr_header now = wr_header_now(header);
    unsigned own = wr_own_of(now);
    if (own > 0) {
        uint32_t flags = wr_state_of(now) & ~(uint32_t)WR_STATE_LOCAL;
        wr_set_header(header, immortal ? (struct wr_header){WR_COUNT_IMMORTAL, flags}
                                       : wr_shared_header(own, flags | WR_STATE_SHARED));
        return true;
    }
    switch (wr_count_sort(now.count)) {
    case WR_SORT_SHARED:
        if (immortal)
            wr_shared_immortalize(header);
        return immortal;
    case WR_SORT_IMMORTAL:
        return false;
    default:
        wr_object_misuse(header, immortal ? "making immortal" : "sharing");
    }
}

static bool grow(struct walk *walk)
{
    int saved = errno;
    size_t room = walk->room * 2;
    void **list = weir_reallocarray(walk->list != walk->stack ? walk->list : NULL, room, sizeof *list);
    errno = saved;
    if (list == NULL)
        return false;
    if (walk->list == walk->stack)
        memcpy(list, walk->stack, sizeof walk->stack);
    walk->list = list;
    walk->room = room;
    return true;
}

/** What an exited thread has left is the caller's now. */
static void take_over(struct wr_place place)
{
    struct wr_domain *domain = wr_place_domain(place), *self;
    if (domain != wr_thread.domain && (self = wr_domain_get()) != NULL)
        wr_domain_adopt_one(self, domain);
}

/** Whether an object refers to none. */
static bool is_leaf(const struct wr_header *header)
{
    const struct weir_type *type = wr_place_type(wr_place_of(header));
    return type->nrefs == 0 && type->traverse == NULL;
}

static void reach(void *object, void *arg)
{
    struct walk *walk = arg;
    struct wr_header *header = wr_header_of(object);
    if (object == NULL || !mark(header, walk->immortal))
        return;
    if (wr_unlikely(walk->count >= STACK) && is_leaf(header))
        return; /* where they are many the list does not grow by them */
    if (walk->count < walk->room || (!walk->overflow && grow(walk))) {
        walk->list[walk->count++] = object;
        return;
    }
    if (wr_count(header) < WR_COUNT_WAS_SHARED || !walk->immortal)
        take_over(wr_place_of(header));
    wr_state_set(header, WR_STATE_GREY);
    walk->overflow = true;
}

static void look_into(struct walk *walk)
{
    while (walk->count > 0) {
        void *object = walk->list[--walk->count];
        wr_object_visit(object, wr_place_type(wr_place_of(wr_header_of(object))), reach, walk);
    }
}

/* Pools and large objects are looked through under locks that what a traverse function does must not meet, so the grey
 * are gathered first, as many as there is room for. */

/** `own`: the object lies in the caller's domain. */
static WR_RACY void gather(struct wr_header *header, struct walk *walk, bool own)
{
    int32_t count = wr_count(header);
    enum wr_sort sort = walk->immortal ? WR_SORT_IMMORTAL : WR_SORT_SHARED;
    if (wr_count_sort(count) != sort || (!own && count < WR_COUNT_WAS_SHARED) ||
        (wr_state(header) & WR_STATE_GREY) == 0)
        return;
    if (walk->count == walk->room) {
        walk->overflow = true;
        return;
    }
    wr_state_clear(header, WR_STATE_GREY);
    walk->list[walk->count++] = wr_object_of(header);
}

/** Whether what is grey in the domain is so by the caller, whatever it was. A caller without a domain, since memory is
 *  short, can have reached only what was left. */
static bool is_ours(const struct wr_domain *domain)
{
    return domain == wr_thread.domain ||
           (wr_thread.domain == &wr_domain_none &&
            atomic_load_explicit(&domain->status, memory_order_relaxed) != WR_DOMAIN_RUNS);
}

static void gather_pool(struct wr_typed *pool, struct wr_span *span WR_UNUSED, void *arg)
{
    bool own = is_ours(wr_kind_domain(pool->kind));
    for (unsigned i = 0; i < pool->kind->blocks; i++)
        gather(wr_typed_at(pool, i), arg, own);
}

static void gather_big(struct wr_big *big, void *arg) { gather(wr_header_of(big->object), arg, is_ours(big->domain)); }

static void gather_kind(struct wr_kind *kind, void *arg)
{
    const struct walk *walk = arg;
    if (walk->immortal || is_ours(wr_kind_domain(kind)))
        wr_kind_each(kind, gather_pool, arg);
}

static void gather_bigs(struct wr_domain *domain, void *arg)
{
    const struct walk *walk = arg;
    if (walk->immortal || is_ours(domain))
        wr_big_each(domain, gather_big, arg);
}

static void *spread(void *object, bool immortal)
{
    struct walk walk;
    struct wr_burial burial, *outer;
    struct wr_header *header = wr_header_of(object);
    if (object == NULL)
        return NULL;
    bool own = wr_count_own(header) > 0;
    if (!mark(header, immortal))
        return object;
    walk.immortal = immortal;
    walk.overflow = false;
    walk.list = walk.stack;
    walk.count = 0;
    walk.room = STACK;
    outer = wr_burial_begin(&burial); /* what dies by taking over domains waits: nothing changes during the walk */
    struct wr_place place = wr_place_of(header);
    if (own)
        take_over(place);
    wr_object_visit(object, wr_place_type(place), reach, &walk);
    look_into(&walk);
    while (walk.overflow) {
        walk.overflow = false;
        wr_kinds_each(gather_kind, &walk);
        wr_domain_each(gather_bigs, &walk);
        look_into(&walk);
    }
    wr_burial_end(outer);
    if (walk.list != walk.stack)
        weir_free(walk.list);
    return object;
}

void *weir_share(void *object) { return spread(object, false); }

void *weir_immortalize(void *object) { return spread(object, true); }
