/* SPDX-License-Identifier: MIT
 * Weak references: a table from objects to those that refer to them weakly. An object in it has WR_STATE_WEAK; one that
 * is not costs nothing.
 *
 * The table is in stripes by the object's address, each with a lock (WR_RANK_WEAK) and buckets of struct weir_weak,
 * which are the callers' memory. Buckets double when there is memory for it; where there is none chains get longer, so
 * nothing here can fail. A dying object is severed before its block is freed, under the same lock under which a weak
 * reference is upgraded: an upgrade never reads a freed header, and fails once the count is none. */
#include "core/meta.h"
#include "object/domain.h"

#define STRIPES 16u
enum { FIRST_BUCKETS = 16 };

static struct stripe {
    _Alignas(WR_CACHE_LINE) struct wr_lock lock;
    struct weir_weak **bucket; /* guarded by: lock, as are all below */
    size_t buckets;            /* a power of two */
    size_t count;
    struct weir_weak *first[FIRST_BUCKETS]; /* what `bucket` is at the start */
} stripes[STRIPES];

static uint64_t hash(const void *object) { return (uintptr_t)object * UINT64_C(0x9e3779b97f4a7c15); }

static struct stripe *lock(const void *object)
{
    struct stripe *stripe = &stripes[hash(object) >> 60];
    wr_lock(&stripe->lock, WR_RANK_WEAK);
    if (wr_unlikely(stripe->bucket == NULL)) {
        stripe->bucket = stripe->first;
        stripe->buckets = FIRST_BUCKETS;
    }
    return stripe;
}

static void unlock(struct stripe *stripe) { wr_unlock(&stripe->lock, WR_RANK_WEAK); }

static struct weir_weak **bucket_of(const struct stripe *stripe, const void *object)
{
    return &stripe->bucket[(hash(object) >> 20) & (stripe->buckets - 1)];
}

/** Doubles the buckets of a stripe that has many; memory is taken outside the lock. */
static void grow(struct stripe *stripe)
{
    size_t buckets = stripe->buckets * 2, old_buckets = stripe->buckets;
    unlock(stripe);
    struct weir_weak **fresh = weir_calloc(buckets, sizeof *fresh), **old = NULL;
    wr_lock(&stripe->lock, WR_RANK_WEAK);
    if (fresh != NULL && stripe->buckets == old_buckets) {
        old = stripe->bucket;
        stripe->bucket = fresh;
        stripe->buckets = buckets;
        for (size_t i = 0; i < old_buckets; i++)
            for (struct weir_weak *weak = old[i], *next; weak != NULL; weak = next) {
                struct weir_weak **at = bucket_of(stripe, weak->object);
                next = weak->next;
                weak->next = *at;
                *at = weak;
            }
        fresh = old != stripe->first ? old : NULL;
    }
    unlock(stripe);
    weir_free(fresh);
}

static void set_object(struct weir_weak *weak, void *object)
{
    __atomic_store_n(&weak->object, object, __ATOMIC_RELAXED);
}
static void *get_object(const struct weir_weak *weak) { return __atomic_load_n(&weak->object, __ATOMIC_RELAXED); }

void weir_weak_init(struct weir_weak *weak, void *object, weir_weak_fn callback, void *arg)
{
    *weak = (struct weir_weak){.object = object, .callback = callback, .arg = arg};
    if (object == NULL)
        return;
    if (weir_is_immortal(object))
        return; /* it will never be severed, and its header is not to be written to */
    struct wr_header *header = wr_header_of(object);
    if (wr_count_sort(wr_count(header)) == WR_SORT_NONE || wr_count_sort(wr_count(header)) == WR_SORT_PENDING)
        wr_object_misuse(header, "weak reference");
    struct stripe *stripe = lock(object);
    struct weir_weak **at = bucket_of(stripe, object);
    weak->next = *at;
    *at = weak;
    wr_state_set(header, WR_STATE_WEAK);
    if (++stripe->count > stripe->buckets * 2)
        grow(stripe);
    else
        unlock(stripe);
}

/** One reference more, if there is one yet. pre: the object's stripe is locked, or it is the caller's own. */
static bool upgrade(struct wr_header *header)
{
    struct wr_header now, next;
    do {
        next = now = wr_header_now(header);
        switch (wr_count_sort(now.count)) {
        case WR_SORT_OWN:
            next.count = (int32_t)((uint32_t)now.count + 1);
            break;
        case WR_SORT_SHARED:
            if (now.state == 0)
                return false;
            if ((int32_t)now.state < 0) { /* more than are counted */
                wr_shared_immortalize(header);
                return true;
            }
            next.state++;
            break;
        case WR_SORT_IMMORTAL:
            return true;
        default:
            return false;
        }
    } while (!wr_header_replace(header, now, next));
    return true;
}

void *weir_weak_get(struct weir_weak *weak)
{
    for (;;) {
        void *object = get_object(weak);
        if (object == NULL)
            return NULL;
        struct stripe *stripe = lock(object);
        bool same = get_object(weak) == object, alive = same && upgrade(wr_header_of(object));
        unlock(stripe);
        if (same)
            return alive ? object : NULL;
    }
}

void weir_weak_fini(struct weir_weak *weak)
{
    for (;;) {
        void *object = get_object(weak);
        if (object == NULL)
            return;
        struct stripe *stripe = lock(object);
        bool same = get_object(weak) == object;
        if (same) {
            for (struct weir_weak **at = bucket_of(stripe, object); *at != NULL; at = &(*at)->next)
                if (*at == weak) {
                    *at = weak->next;
                    stripe->count--;
                    break;
                }
            set_object(weak, NULL);
        }
        unlock(stripe);
        if (same)
            return;
    }
}

void wr_weak_detach(void *object, bool (*is_dying)(const void *address, void *arg), void *arg, struct weir_weak **list)
{
    struct stripe *stripe = lock(object);
    for (struct weir_weak **at = bucket_of(stripe, object), *weak; (weak = *at) != NULL;) {
        if (weak->object != object) {
            at = &weak->next;
            continue;
        }
        *at = weak->next;
        stripe->count--;
        set_object(weak, NULL);
        weak->next = NULL;
        if (weak->callback != NULL && !is_dying(weak, arg)) {
            weak->next = *list;
            *list = weak;
        }
    }
    wr_state_clear(wr_header_of(object), WR_STATE_WEAK);
    unlock(stripe);
}

void wr_weak_call(struct weir_weak *list)
{
    while (list != NULL) {
        struct weir_weak *weak = list;
        list = weak->next; /* before the callback, which may end or renew this one */
        weak->next = NULL;
        weak->callback(weak, weak->arg);
    }
}

static bool lies_in_cleared(const void *weak, void *arg WR_UNUSED) { return wr_gc_clears(weak); }

/* What a pass clears may keep an object that the pass did not look at; it dies together with those that refer to it. */
void wr_weak_sever(void *object)
{
    struct weir_weak *list = NULL;
    wr_weak_detach(object, lies_in_cleared, NULL, &list);
    wr_weak_call(list);
}

void wr_weak_fork_prepare(void)
{
    for (unsigned i = 0; i < STRIPES; i++)
        wr_lock_fork_prepare(&stripes[i].lock, WR_RANK_WEAK);
}

void wr_weak_fork_done(void)
{
    for (unsigned i = STRIPES; i-- > 0;)
        wr_lock_fork_done(&stripes[i].lock, WR_RANK_WEAK);
}
