/* SPDX-License-Identifier: MIT
 * Sharing objects between threads, and making them immortal, with all that they reach.
 *
 * What is reached is marked first (its count changes sort) and looked into later. The list of what is yet to be looked
 * into is short and on the stack; what does not fit there keeps WR_STATE_GREY, and is found again by looking through
 * the thread's objects. So any graph is done in constant memory, and nothing can fail. No lock: all that changes is the
 * calling thread's, or about to be everybody's for good. */
#include "object/domain.h"

enum { STACK = 512 };

struct walk {
    bool immortal; /* else shared */
    unsigned count;
    bool overflow;
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

static void reach(void *object, void *arg)
{
    struct walk *walk = arg;
    struct wr_header *header = wr_header_of(object);
    if (object == NULL || !mark(header, walk->immortal))
        return;
    if (walk->count < STACK) {
        walk->stack[walk->count++] = object;
        return;
    }
    wr_state_set(header, WR_STATE_GREY);
    walk->overflow = true;
}

static void look_into(struct walk *walk)
{
    while (walk->count > 0) {
        void *object = walk->stack[--walk->count];
        wr_object_visit(object, wr_place_type(wr_place_of(wr_header_of(object))), reach, walk);
    }
}

/* Pools and large objects are looked through under locks that what a traverse function does must not meet, so the grey
 * are gathered first, a stackful at a time. */

static void gather(struct wr_header *header, struct walk *walk)
{
    if (wr_count_sort(wr_count(header)) < WR_SORT_SHARED || (wr_state(header) & WR_STATE_GREY) == 0)
        return;
    if (walk->count == STACK) {
        walk->overflow = true;
        return;
    }
    wr_state_clear(header, WR_STATE_GREY);
    walk->stack[walk->count++] = wr_object_of(header);
}

static void gather_pool(struct wr_typed *pool, struct wr_span *span WR_UNUSED, void *arg)
{
    for (unsigned i = 0; i < pool->kind->blocks; i++)
        gather(wr_typed_at(pool, i), arg);
}

static void gather_big(struct wr_big *big, void *arg) { gather(wr_header_of(big->object), arg); }

static void gather_all(struct wr_domain *domain, void *walk)
{
    for (unsigned b = 0; b < WR_BUCKETS; b++)
        for (struct wr_kind *kind = domain->bucket[b]; kind != &wr_kind_none && kind->key != 0; kind = kind->next)
            wr_kind_each(kind, gather_pool, walk);
    wr_big_each(domain, gather_big, walk);
}

static void *spread(void *object, bool immortal)
{
    struct walk walk = {.immortal = immortal};
    if (object == NULL)
        return NULL;
    reach(object, &walk);
    look_into(&walk);
    while (walk.overflow) {
        walk.overflow = false;
        gather_all(wr_thread.domain, &walk);
        look_into(&walk);
    }
    return object;
}

void *weir_share(void *object) { return spread(object, false); }

void *weir_immortalize(void *object) { return spread(object, true); }
