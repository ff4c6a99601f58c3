/* SPDX-License-Identifier: MIT
 * Objects are made, counted and released.
 *
 * A release takes a stack of constant size. An object whose last reference goes is dead; the dead are buried one after
 * the other by whoever came first, and what dies meanwhile waits in a list that goes through the headers of the dead
 * themselves. Burying is: finalize, unless that has been done; if nobody has revived the object, sever weak references,
 * release what it refers to, give back what is not memory of Weir's, free the block. Takes no lock of its own. */
#include "object/domain.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "front/fast.h"
#include "front/thread.h"

/* ---- misuse ------------------------------------------------------------------------------------------------------ */

static const char *thread_of(const struct wr_domain *domain, char *buf, size_t size)
{
    struct wr_text text = {.buf = buf, .size = size};
    wr_text_add(&text, "thread %u", domain->thread);
    return buf;
}

void wr_object_misuse(const struct wr_header *header, const char *verb)
{
    const void *object = header + 1;
    struct wr_place place = {NULL, NULL};
    char buf[32];
    bool alive = wr_place_find(object, &place);
    const struct weir_type *type = wr_place_type(place);
    if (type == NULL)
        wr_fatal("invalid %s of %p: no object is there; it was never one, or was released and its memory has gone back",
                 verb, object);
    if (place.pool != NULL && !wr_typed_is_block(place.pool, header))
        wr_fatal("invalid %s of %p: it points into an object of type \"%s\", not at its start", verb, object,
                 type->name);
    if (!alive)
        wr_fatal(
            "invalid %s of %p, an object of type \"%s\": it has been released; likely one weir_unref() too many, or "
            "one weir_ref() too few",
            verb, object, type->name);
    if ((wr_state(header) & WR_STATE_FINALIZING) != 0)
        wr_fatal("invalid %s of %p, an object of type \"%s\": its finalizer runs, and has no reference to give up",
                 verb, object, type->name);
    wr_fatal("invalid %s of %p, an object of type \"%s\": it belongs to %s, and has not been shared", verb, object,
             type->name, thread_of(wr_place_domain(place), buf, sizeof buf));
}

/* ---- what an object refers to ------------------------------------------------------------------------------------ */

void wr_object_visit(void *object, const struct weir_type *type, weir_visit_fn visit, void *arg)
{
    for (unsigned i = 0; i < type->nrefs; i++)
        visit(*(void **)(void *)((char *)object + type->refs[i]), arg);
    if (type->traverse != NULL)
        wr_object_traverse(object, type->traverse, visit, arg);
}

/* ---- the dead ---------------------------------------------------------------------------------------------------- */

/* A link is the next one's address / 8, of which 29 bits take the place of the count and the rest that of the state's
 * high half. */
enum { LINK_BITS = 29 };
#define PENDING ((uint32_t)5 << LINK_BITS)

static WR_NOINLINE void link_dead(struct wr_burial *burial, struct wr_header *header)
{
    uint64_t next = (uintptr_t)burial->linked >> 3;
    uint32_t flags = header->state & WR_STATE_FLAGS;
    wr_set_count(header, (int32_t)(PENDING | ((uint32_t)next & ((1u << LINK_BITS) - 1))));
    wr_set_state(header, (uint32_t)(next >> LINK_BITS) << 16 | flags);
    burial->linked = header;
}

static struct wr_header *unlink_dead(struct wr_burial *burial)
{
    struct wr_header *header = burial->linked;
    uint64_t next = (uint64_t)(header->state >> 16) << LINK_BITS | ((uint32_t)header->count & ((1u << LINK_BITS) - 1));
    burial->linked = (struct wr_header *)(uintptr_t)(next << 3);
    wr_set_state(header, header->state & WR_STATE_FLAGS);
    wr_set_count(header, 0);
    return header;
}

/** Whether an object is shared, and all that its references need is an atomic operation. */
WR_INLINE bool is_plainly_shared(int32_t count)
{
    return (count & (WR_COUNT_SHARED | WR_STATE_LOCAL | WR_STATE_LOGGED)) == WR_COUNT_SHARED;
}

/** Whether the reference to a shared object that has been given up was the last, by how many there were; then it is
 *  dead, and has no count. */
WR_INLINE bool was_last(struct wr_header *header, uint32_t before)
{
    if (wr_likely(before > 1))
        return false;
    if (before == 0 || (wr_state(header) & WR_STATE_FINALIZING) != 0)
        wr_object_misuse(header, "release");
    (void)__atomic_load_n(&header->state, __ATOMIC_ACQUIRE); /* what others did to it comes before */
    wr_set_header(header, (struct wr_header){0, wr_state(header)});
    return true;
}

/** One reference less to something that is not the thread's own, or has no reference left. True if it is dead now. */
static WR_NOINLINE bool drop_logged(struct wr_header *header, const char *file, int line, const void *caller)
{
    int32_t count = wr_count(header);
    switch (wr_count_sort(count)) {
    case WR_SORT_OWN:
        if (count > 1)
            wr_set_count(header, count - 1);
        else if ((wr_state(header) & WR_STATE_FINALIZING) != 0)
            wr_object_misuse(header, "release");
        return count == 1;
    case WR_SORT_IMMORTAL:
        return false;
    case WR_SORT_SHARED:
        break;
    default:
        wr_object_misuse(header, "release");
    }
    struct wr_header now = wr_header_now(header);
    uint32_t flags = wr_state_of(now), before = now.state;
    if ((flags & WR_STATE_LOCAL) != 0)
        wr_set_state(header, before - 1);
    else
        before = __atomic_fetch_sub(&header->state, 1, __ATOMIC_RELEASE);
    bool last = was_last(header, before);
    if (wr_unlikely((flags & WR_STATE_LOGGED) != 0))
        wr_log_change(header + 1, "unref", (long)before - 1, file, line, caller);
    return last;
}

static bool drop_unusual(struct wr_header *header, const void *caller) { return drop_logged(header, NULL, 0, caller); }

/** Has a reference dropped that a dead object held. The object is fetched into the cache meanwhile. */
WR_INLINE void drop(struct wr_burial *burial, void *object)
{
    if (object == NULL)
        return;
    __builtin_prefetch(wr_header_of(object));
    if (wr_likely(burial->waiting < WR_BURIAL_ROOM))
        burial->drop[burial->waiting++] = object;
    else if (drop_unusual(wr_header_of(object), NULL))
        link_dead(burial, wr_header_of(object));
}

static void drop_visited(void *object, void *burial) { drop(burial, object); }

/** Runs the finalizer of a dead object; whether it is still dead. */
static bool finalize(struct wr_header *header, const struct weir_type *type)
{
    uint32_t state = wr_state(header);
    if (type->finalize == NULL || (state & WR_STATE_FINALIZED) != 0)
        return true;
    bool own = (state & (WR_STATE_SHARED | WR_STATE_LOCAL)) == 0;
    state |= WR_STATE_FINALIZED | WR_STATE_FINALIZING;
    wr_set_header(header, own ? (struct wr_header){1, state} : wr_shared_header(1, state));
    if (wr_thread.domain != &wr_domain_none)
        wr_thread.domain->gc.stats.finalized++;
    type->finalize(wr_object_of(header));
    wr_state_clear(header, WR_STATE_FINALIZING);
    return drop_unusual(header, NULL);
}

/** All that is to be done for a dead object before its block is freed; false if it has been revived. */
static WR_NOINLINE bool undo(struct wr_burial *burial, struct wr_header *header, const struct weir_type *type)
{
    void *object = wr_object_of(header);
    if (!finalize(header, type))
        return false;
    wr_set_count(header, 0);
    uint32_t state = wr_state(header);
    if ((state & WR_STATE_WEAK) != 0)
        wr_weak_sever(object);
    if ((state & WR_STATE_SITE) != 0)
        wr_site_remove(object);
    if (type->clear != NULL)
        type->clear(object);
    for (unsigned i = 0; i < type->nrefs; i++) {
        void **slot = (void **)(void *)((char *)object + type->refs[i]), *old = *slot;
        *slot = NULL;
        drop(burial, old);
    }
    if (type->clear == NULL && type->traverse != NULL)
        wr_object_traverse(object, type->traverse, drop_visited, burial);
    if (type->dealloc != NULL)
        type->dealloc(object);
    return true;
}

/** Whether what an exited thread has left is the caller's from now on, who has released an object of it: one that was
 *  not shared says so; any does where all are shared. */
static bool comes_to_us(const struct wr_domain *domain, const struct wr_header *header)
{
    int status = atomic_load_explicit(&domain->status, memory_order_relaxed);
    return status == WR_DOMAIN_COMMON || (status == WR_DOMAIN_ORPHAN && (wr_state(header) & WR_STATE_SHARED) == 0);
}

/** Frees a block that is not the calling thread's, or makes its pool's state change. */
static WR_NOINLINE void free_unusual(struct wr_typed *pool, struct wr_header *header)
{
    struct wr_domain *domain = wr_kind_domain(pool->kind);
    if (domain != wr_thread.domain && comes_to_us(domain, header)) {
        struct wr_domain *self = wr_domain_get();
        if (self != NULL)
            wr_domain_adopt_one(self, domain);
    }
    if (wr_kind_domain(pool->kind) != wr_thread.domain) {
        wr_typed_send(pool, header);
        return;
    }
    struct wr_heap *heap = wr_enter();
    wr_typed_free(pool, header);
    if (heap != NULL)
        wr_leave(heap);
}

/** Frees a block of the calling thread's. */
WR_INLINE void free_own(struct wr_typed *pool, struct wr_header *header)
{
    uint16_t live = (uint16_t)(pool->live - 1);
    if (wr_likely(live != pool->wake))
        wr_typed_push(pool, header, live);
    else
        free_unusual(pool, header);
}

WR_INLINE void free_block(const struct wr_domain *self, struct wr_typed *pool, struct wr_header *header)
{
    if (wr_likely(wr_kind_owner(pool->kind) == &self->owner))
        free_own(pool, header);
    else
        free_unusual(pool, header);
}

static WR_NOINLINE void bury_unusual(struct wr_burial *burial, struct wr_header *header)
{
    struct wr_place place = wr_place_of(header);
    const struct weir_type *type = wr_place_type(place);
    if (type == NULL || (place.pool != NULL && !wr_typed_is_block(place.pool, header)))
        wr_object_misuse(header, "release");
    if (!undo(burial, header, type))
        return;
    if (place.pool != NULL)
        free_block(wr_thread.domain, place.pool, header);
    else
        wr_big_free(place.big);
}

/** A kind of the thread's own whose objects have nothing to be undone but what the table tells of: the one that was met
 *  last. What of it is needed for each object stays in registers. */
struct familiar {
    const struct wr_kind *kind; /* wr_kind_none: none yet */
    const uint16_t *refs, *end;
    ptrdiff_t most; /* references that may wait while there is room for all of an object's */
};

/** Whether a pool's kind can be familiar; then it is from now on. */
WR_INLINE bool meet(struct familiar *familiar, const struct wr_typed *pool, const struct wr_domain *self)
{
    const struct wr_kind *kind = pool->kind;
    if (pool->type != WR_TYPED_PLAIN || wr_kind_owner(kind) != &self->owner)
        return false;
    *familiar = (struct familiar){kind, kind->refs, kind->refs + kind->nrefs, WR_BURIAL_ROOM - (ptrdiff_t)kind->nrefs};
    return true;
}

/** The same where there is no room; what is left waits. */
static WR_NOINLINE ptrdiff_t drop_without_room(struct wr_burial *burial, ptrdiff_t waiting, const char *object,
                                               const uint16_t *refs, const uint16_t *end)
{
    burial->waiting = waiting;
    while (end > refs)
        drop(burial, *(void *const *)(const void *)(object + *--end));
    return burial->waiting;
}

/** Has a dead object's references dropped, of which the table tells. The first field's is the next one, and does not
 *  wait: what it refers to is likely to lie behind this object. Returns it, or NULL. */
WR_INLINE void *drop_all(struct wr_burial *burial, ptrdiff_t *waiting, const char *object,
                         const struct familiar *familiar)
{
    if (wr_unlikely(*waiting > familiar->most)) {
        *waiting = drop_without_room(burial, *waiting, object, familiar->refs, familiar->end);
        return NULL;
    }
    const uint16_t *first = familiar->refs, *ref = familiar->end;
    if (ref == first)
        return NULL;
    while (--ref > first) {
        void *other = *(void *const *)(const void *)(object + *ref);
        if (other == NULL)
            continue;
        __builtin_prefetch(wr_header_of(other));
        burial->drop[(*waiting)++] = other;
    }
    return *(void *const *)(const void *)(object + *first);
}

/** Drops all references that wait, and buries what dies by it. */
static void bury_all(struct wr_burial *burial)
{
    const struct wr_domain *self = wr_thread.domain;
    struct familiar familiar = {.kind = &wr_kind_none}; /* not NULL, which is that of a page that is free */
    ptrdiff_t waiting = burial->waiting; /* the compiler keeps it in a register; burial->waiting is true in calls */
    void *next = NULL;                   /* to be dropped before those that wait */
    for (;;) {
        if (next == NULL) {
            if (wr_unlikely(waiting == 0)) {
                burial->waiting = 0;
                if (burial->linked == NULL)
                    return;
                bury_unusual(burial, unlink_dead(burial));
                waiting = burial->waiting;
                continue;
            }
            next = burial->drop[--waiting];
        }
        struct wr_header *header = wr_header_of(next);
        uint64_t word = wr_header_word(header);
        next = NULL;
        if (wr_likely(word == WR_HEADER_LAST)) {
            /* Large objects have a flag in their state, so this one is in a pool. */
            struct wr_typed *pool = wr_hide(wr_typed_of(header));
            if (wr_likely(pool->kind == familiar.kind) || meet(&familiar, pool, self)) {
                next = drop_all(burial, &waiting, wr_object_of(header), &familiar);
                free_own(pool, header);
            } else {
                burial->waiting = waiting;
                bury_unusual(burial, header);
                waiting = burial->waiting;
            }
        } else if (wr_count(header) > 1) {
            wr_set_count(header, wr_count(header) - 1);
        } else if (drop_unusual(header, NULL)) {
            burial->waiting = waiting;
            bury_unusual(burial, header);
            waiting = burial->waiting;
        }
    }
}

/** Drops the last reference to an object: buries it and all that dies by it, or leaves it to whoever is at that. */
static WR_NOINLINE void drop_last(struct wr_header *header)
{
    struct wr_burial burial, *outer = wr_thread.burial;
    if (outer != NULL) {
        if (drop_unusual(header, NULL))
            link_dead(outer, header);
        return;
    }
    if (wr_pool_of(header) == NULL && wr_big_of(header) == NULL)
        wr_object_misuse(header, "release");
    burial.waiting = 1;
    burial.linked = NULL;
    burial.drop[0] = wr_object_of(header);
    wr_thread.burial = &burial;
    bury_all(&burial);
    wr_thread.burial = NULL;
}

/** Buries an object whose last reference has been dropped. */
static void dies(struct wr_header *header)
{
    struct wr_burial burial, *outer = wr_thread.burial;
    if (outer != NULL) {
        link_dead(outer, header);
        return;
    }
    burial.waiting = 0;
    burial.linked = NULL;
    wr_thread.burial = &burial;
    bury_unusual(&burial, header);
    bury_all(&burial);
    wr_thread.burial = NULL;
}

static WR_NOINLINE void unref_odd(struct wr_header *header, uint32_t before)
{
    if (was_last(header, before))
        dies(header);
}

void weir_unref_slow_(void *object)
{
    struct wr_header *header = wr_header_of(object);
    if (is_plainly_shared(wr_count(header))) { /* first: a look at the whole header would wait for its count */
        uint32_t before = __atomic_fetch_sub(&header->state, 1, __ATOMIC_RELEASE);
        if (wr_unlikely(before <= 1))
            unref_odd(header, before);
        return;
    }
    if (wr_likely(wr_header_word(header) == WR_HEADER_LAST))
        drop_last(header);
    else if (drop_unusual(header, __builtin_return_address(0)))
        dies(header);
}

void wr_object_free(struct wr_typed *pool, struct wr_header *header) { free_block(wr_thread.domain, pool, header); }

void wr_object_unref(void *object)
{
    struct wr_header *header = wr_header_of(object);
    if (wr_likely(wr_header_word(header) == WR_HEADER_LAST))
        drop_last(header);
    else if (drop_unusual(header, NULL))
        dies(header);
}

struct wr_burial *wr_burial_begin(struct wr_burial *burial)
{
    struct wr_burial *outer = wr_thread.burial;
    burial->waiting = 0;
    burial->linked = NULL;
    wr_thread.burial = burial;
    return outer;
}

void wr_burial_end(struct wr_burial *outer)
{
    bury_all(wr_thread.burial);
    wr_thread.burial = outer;
}

/* ---- references -------------------------------------------------------------------------------------------------- */

/** A shared object had no reference, or has more than are counted. */
static WR_NOINLINE void ref_odd(struct wr_header *header, uint32_t before)
{
    if (before == 0)
        wr_object_misuse(header, "reference");
    wr_shared_immortalize(header);
}

static void ref_unusual(void *object, const char *file, int line, const void *caller)
{
    struct wr_header *header = wr_header_of(object);
    int32_t count = wr_count(header);
    switch (wr_count_sort(count)) {
    case WR_SORT_OWN:
        wr_set_count(header, (int32_t)((uint32_t)count + 1));
        return;
    case WR_SORT_IMMORTAL:
        return;
    case WR_SORT_SHARED:
        break;
    default:
        wr_object_misuse(header, "reference");
    }
    struct wr_header now = wr_header_now(header);
    uint32_t flags = wr_state_of(now), before = now.state;
    if ((flags & WR_STATE_LOCAL) != 0)
        wr_set_state(header, before + 1);
    else
        before = __atomic_fetch_add(&header->state, 1, __ATOMIC_RELAXED);
    if (wr_unlikely((int32_t)before <= 0))
        ref_odd(header, before);
    if (wr_unlikely((flags & WR_STATE_LOGGED) != 0))
        wr_log_change(object, "ref", (long)before + 1, file, line, caller);
}

void weir_ref_slow_(void *object)
{
    struct wr_header *header = wr_header_of(object);
    if (wr_likely(is_plainly_shared(wr_count(header)))) {
        uint32_t before = __atomic_fetch_add(&header->state, 1, __ATOMIC_RELAXED);
        if (wr_unlikely((int32_t)before <= 0))
            ref_odd(header, before);
    } else {
        ref_unusual(object, NULL, 0, __builtin_return_address(0));
    }
}

/** As wr_object_misuse(), with the line that did it, if that is known. */
static WR_NORETURN WR_COLD void misuse_at(const struct wr_header *header, const char *verb, const char *file, int line)
{
    char buf[512];
    struct wr_text text = WR_TEXT(buf);
    wr_text_add(&text, file != NULL ? "%s at %s:%d" : "%s", verb, file, line);
    wr_object_misuse(header, buf);
}

/** The checked build: ends the process unless the caller may touch the object. */
static struct wr_header *check(void *object, const char *verb, const char *file, int line)
{
    struct wr_header *header = wr_header_of(object);
    struct wr_place place;
    if (!wr_place_find(object, &place))
        misuse_at(header, verb, file, line);
    struct wr_domain *domain = wr_place_domain(place);
    if (domain == wr_thread.domain || wr_count_own(header) == 0)
        return header;
    if (atomic_load_explicit(&domain->status, memory_order_relaxed) == WR_DOMAIN_RUNS)
        misuse_at(header, verb, file, line);
    struct wr_domain *self = wr_domain_get();
    if (self != NULL)
        wr_domain_adopt_one(self, domain);
    return header;
}

void weir_ref_checked(void *object, const char *file, int line)
{
    check(object, "reference", file, line);
    ref_unusual(object, file, line, __builtin_return_address(0));
}

void weir_unref_checked(void *object, const char *file, int line)
{
    struct wr_header *header = check(object, "release", file, line);
    if (drop_logged(header, file, line, __builtin_return_address(0)))
        dies(header);
}

size_t weir_refcount(const void *object)
{
    if (object == NULL)
        return 0;
    const struct wr_header *header = wr_header_of(object);
    struct wr_header now = wr_header_now(header);
    switch (wr_count_sort(now.count)) {
    case WR_SORT_OWN:
        return (size_t)now.count;
    case WR_SORT_SHARED:
        return now.state;
    case WR_SORT_IMMORTAL:
        return SIZE_MAX;
    default:
        wr_object_misuse(header, "use");
    }
}

bool weir_is_unique(const void *object)
{
    const struct wr_header *header = wr_header_of(object);
    int32_t count = wr_count(header);
    return count == 1 ||
           (wr_count_sort(count) == WR_SORT_SHARED && __atomic_load_n(&header->state, __ATOMIC_ACQUIRE) == 1);
}

const struct weir_type *weir_typeof(const void *object)
{
    const struct wr_header *header = wr_header_of(object);
    struct wr_typed *pool = wr_pool_of(header);
    if (wr_likely(pool != NULL && wr_count(header) != 0))
        return wr_kind_type(pool->kind);
    struct wr_place place;
    if (!wr_place_find(object, &place))
        wr_object_misuse(header, "use");
    return wr_place_type(place);
}

bool weir_is_object(const void *address)
{
    struct wr_place place;
    return wr_place_find(address, &place);
}

bool weir_is_shared(const void *object) { return wr_count_shared(wr_header_of(object)) != 0; }

bool weir_is_immortal(const void *object) { return wr_count_sort(wr_count(wr_header_of(object))) == WR_SORT_IMMORTAL; }

/* ---- making objects ---------------------------------------------------------------------------------------------- */

/** Makes a header that was popped, and its block, an object: a count of one, and zeros, without a call where they are
 *  few. */
WR_INLINE void *make(const struct wr_kind *kind, struct wr_header *header)
{
    enum { CALL_FROM = 256 };
    size_t size = kind->size;
    char *at = (char *)(header + 1), *end = (char *)header + size;
    *header = (struct wr_header){1, 0};
    if (wr_unlikely(size >= CALL_FROM))
        return memset(at, 0, size - sizeof *header);
    __builtin_memset(at, 0, 8);
    for (at += 8; at < end; at += 16) {
        __builtin_memset(at, 0, 16);
        __asm__("" : "+r"(at)); /* or it would be turned into a call */
    }
    return wr_object_of(header);
}

static void *no_memory(void)
{
    errno = ENOMEM;
    return NULL;
}

/** A block of the kind from a pool that is yet to become current. */
static struct wr_header *pop_refilled(struct wr_kind *kind)
{
    struct wr_header *header = wr_kind_pop(kind);
    if (header != NULL)
        return header;
    struct wr_heap *heap = wr_enter();
    if (heap == NULL)
        return NULL;
    if (wr_kind_refill(kind))
        header = wr_kind_pop(kind);
    wr_leave(heap);
    return header;
}

/** Has the next object of the kind come by new_small(), too. */
static WR_COLD void put_aside(struct wr_kind *kind)
{
    struct wr_heap *heap = wr_enter();
    wr_kind_put_aside(kind);
    if (heap != NULL)
        wr_leave(heap);
}

static WR_NOINLINE void *new_small(const struct weir_type *type, uintptr_t key, unsigned class)
{
    struct wr_domain *domain = wr_domain_get();
    if (domain == NULL)
        return no_memory();
    wr_gc_before_new(domain);
    struct wr_kind *kind = wr_domain_kind(domain, type, key, class);
    struct wr_header *header = kind != NULL ? pop_refilled(kind) : NULL;
    if (wr_unlikely(header == NULL)) {
        /* What dead cycles hold may be what is missing. */
        if (weir_gc_is_enabled())
            wr_gc_when_short(domain);
        wr_make_room();
        kind = wr_domain_kind(domain, type, key, class);
        header = kind != NULL ? pop_refilled(kind) : NULL;
    }
    if (header == NULL)
        return no_memory();
    void *object = make(kind, header);
    if (wr_unlikely(wr_gc_is_stressed()))
        put_aside(kind);
    return object;
}

static WR_NOINLINE void *new_big(const struct weir_type *type, size_t size)
{
    struct wr_domain *domain = wr_domain_get();
    if (domain == NULL)
        return no_memory();
    wr_gc_before_new(domain);
    struct wr_header *header = wr_big_new(domain, type, size);
    if (header == NULL && weir_gc_is_enabled() && wr_gc_when_short(domain) > 0)
        header = wr_big_new(domain, type, size);
    return header != NULL ? wr_object_of(header) : no_memory();
}

/** The class of a block for `size` bytes of an object; -1 if it is large. */
static int class_for(const struct weir_type *type, size_t size)
{
    size_t first = (type->flags & WEIR_ALIGN16) != 0 ? sizeof(struct wr_header) : 0,
           need = size + sizeof(struct wr_header);
    wr_start();
    if (need > WR_SMALL_MAX)
        return -1;
    unsigned class = wr_geometry_small_class(need);
    /* Where a page is not to begin with a block, one of the largest blocks that just fill it would be lost. */
    return first > 0 && need > WR_SMALL_MAX / 2 ? -1 : (int)class;
}

static WR_NOINLINE void *new_slow(const struct weir_type *type)
{
    int class = class_for(type, type->size);
    return class >= 0 ? new_small(type, wr_key(type), (unsigned)class) : new_big(type, type->size);
}

#undef weir_new
#undef weir_new_var

void *weir_new(const struct weir_type *type)
{
    struct wr_kind *kind = wr_thread.domain->bucket[wr_type_bucket(type)];
    if (wr_likely(kind->key == wr_key(type))) {
        struct wr_header *header = wr_kind_pop_fresh(kind);
        if (wr_likely(header != NULL))
            return make(kind, header);
        header = wr_kind_pop_freed(kind);
        if (wr_likely(header != NULL))
            return make(kind, header);
    }
    return new_slow(type);
}

void *weir_new_var(const struct weir_type *type, size_t extra)
{
    size_t size;
    if (extra == 0)
        return weir_new(type);
    if (__builtin_add_overflow(type->size, extra, &size) || size > PTRDIFF_MAX - 64)
        return no_memory();
    int class = class_for(type, size);
    if (class < 0)
        return new_big(type, size);
    uintptr_t key = class == class_for(type, type->size) ? wr_key(type) : wr_key_var(type, (unsigned)class);
    struct wr_kind *kind = wr_thread.domain->bucket[wr_key_bucket(key)];
    struct wr_header *header = kind->key == key ? wr_kind_pop(kind) : NULL;
    return header != NULL ? make(kind, header) : new_small(type, key, (unsigned)class);
}

void *weir_new_at(const struct weir_type *type, size_t extra, const char *file, int line)
{
    void *object = weir_new_var(type, extra);
    if (object != NULL)
        wr_site_add(object, file, line);
    return object;
}

/** Whether the page of an object of the thread's own is frozen, and so receives no new one. */
WR_INLINE bool is_frozen(const struct wr_typed *pool)
{
    return wr_unlikely(wr_thread.domain->frozen) && (wr_typed_span(pool)->frozen & wr_typed_bit(pool)) != 0;
}

static void *new_for(void *owned, const struct weir_type *type)
{
    void *object = weir_new(type);
    if (object != NULL)
        weir_unref(owned);
    return object;
}

void *weir_renew(void *owned, const struct weir_type *type)
{
    struct wr_header *header = wr_header_of(owned);
    struct wr_typed *pool = owned != NULL ? wr_pool_of(header) : NULL;
    bool fits = pool != NULL && wr_count(header) == 1 && (wr_state(header) & WR_STATE_FINALIZING) == 0 &&
                pool->kind->key == wr_key(type) && wr_kind_domain(pool->kind) == wr_thread.domain &&
                wr_thread.burial == NULL && !is_frozen(pool);
    if (!fits)
        return new_for(owned, type);
    /* Dead and buried but for the block; a revived one keeps it, and is the caller's, too, until there is a new one. */
    struct wr_burial burial, *outer = wr_burial_begin(&burial);
    bool dead = undo(&burial, header, type);
    if (dead)
        make(pool->kind, header);
    else
        weir_ref(owned);
    wr_burial_end(outer);
    return dead ? owned : new_for(owned, type);
}
