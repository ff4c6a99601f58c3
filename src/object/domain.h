/* SPDX-License-Identifier: MIT
 * What the files of this layer share: the header's words, the threads' domains, large objects.
 *
 * A domain is a thread's objects: its kinds (core/typed.h), its large objects, its collector. When a thread exits its
 * domain is left until another thread takes over what is in it. If that is shared objects alone any thread may. Objects
 * of the thread's own were left for one certain thread, which shows itself by what it does to them: no other is to take
 * them meanwhile, or two would change the same pools.
 *
 * The count, by its three highest bits:
 *
 *   0xx  own       1 and more: references; plain arithmetic by the owner thread alone. 0: no object
 *   100  immortal  never written. Own counts overflow into it
 *   101  pending   dead, and waiting to be buried: with the state's high half, the next one that waits
 *   110  immortal  was shared; shared counts overflow into it
 *   111  shared    references are counted by atomic operations on the state, and what the state had is in the count's
 *                  low half. With WR_STATE_LOCAL: the owner's alone, but every change is to take the slow path
 *
 * What tells that an object is shared lies beside what a locked instruction writes: a load of bytes that one has just
 * written waits until it is done, and keeps the next one waiting. */
#ifndef WR_DOMAIN_H
#define WR_DOMAIN_H

#include <string.h>

#include "core/typed.h"
#include "weir/gc.h"

/* ---- the header -------------------------------------------------------------------------------------------------- */

/** What holds of an object: the state's low half, or the count's. The high half of a state is 0, unless it is a count,
 *  or the object is pending. */
enum {
    WR_STATE_FINALIZED = 1 << 0,  /* its finalizer has been called */
    WR_STATE_FINALIZING = 1 << 1, /* and is running: the last reference is the library's */
    WR_STATE_WEAK = 1 << 2,       /* the table of weak references knows it */
    WR_STATE_LOCAL = 1 << 3,      /* see above */
    WR_STATE_LOGGED = 1 << 4,
    WR_STATE_SITE = 1 << 5,    /* the table of sites knows where it was made */
    WR_STATE_GREY = 1 << 6,    /* being shared or made immortal: what it refers to comes later */
    WR_STATE_DROPPED = 1 << 7, /* what its traverse function visits has been released by the collector */
    WR_STATE_SHARED = 1 << 8,  /* was shared */
    WR_STATE_BIG = 1 << 9,     /* large */
    WR_STATE_FLAGS = 0xffff
};

#define WR_COUNT_IMMORTAL ((int32_t)0x90000000)
#define WR_COUNT_SHARED ((int32_t)0xe0000000)
#define WR_COUNT_WAS_SHARED ((int32_t)0xc0000000) /* immortal since. From here on flags are in the count */

enum wr_sort { WR_SORT_OWN, WR_SORT_NONE, WR_SORT_SHARED, WR_SORT_IMMORTAL, WR_SORT_PENDING };

WR_INLINE enum wr_sort wr_count_sort(int32_t count)
{
    if (count > 0)
        return WR_SORT_OWN;
    switch ((uint32_t)count >> 29) {
    case 0:
        return WR_SORT_NONE;
    case 5:
        return WR_SORT_PENDING;
    case 7:
        return WR_SORT_SHARED;
    default:
        return WR_SORT_IMMORTAL;
    }
}

WR_INLINE struct wr_header *wr_header_of(const void *object)
{
    return (struct wr_header *)((uintptr_t)object - sizeof(struct wr_header));
}
WR_INLINE void *wr_object_of(struct wr_header *header) { return header + 1; }
WR_INLINE int32_t wr_count(const struct wr_header *header) { return __atomic_load_n(&header->count, __ATOMIC_RELAXED); }
WR_INLINE void wr_set_count(struct wr_header *header, int32_t count)
{
    __atomic_store_n(&header->count, count, __ATOMIC_RELAXED);
}
WR_INLINE void wr_set_state(struct wr_header *header, uint32_t state)
{
    __atomic_store_n(&header->state, state, __ATOMIC_RELAXED);
}

/** A header as one word. */
WR_INLINE uint64_t wr_header_word(const struct wr_header *header)
{
    return __atomic_load_n((const uint64_t __attribute__((may_alias)) *)header, __ATOMIC_RELAXED);
}
/** That of an object of the thread's own with one reference, and nothing special. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define WR_HEADER_LAST UINT64_C(1)
#else
#define WR_HEADER_LAST (UINT64_C(1) << 32)
#endif

/** Both halves, as they are at one moment. */
WR_INLINE struct wr_header wr_header_now(const struct wr_header *header)
{
    uint64_t word = wr_header_word(header);
    struct wr_header now;
    memcpy(&now, &word, sizeof now);
    return now;
}
WR_INLINE void wr_set_header(struct wr_header *header, struct wr_header to)
{
    uint64_t word;
    memcpy(&word, &to, sizeof word);
    __atomic_store_n((uint64_t __attribute__((may_alias)) *)header, word, __ATOMIC_RELEASE);
}
/** Both at once, if they are as they were; acquire. */
WR_INLINE bool wr_header_replace(struct wr_header *header, struct wr_header from, struct wr_header to)
{
    uint64_t old, new;
    memcpy(&old, &from, sizeof old);
    memcpy(&new, &to, sizeof new);
    return __atomic_compare_exchange_n((uint64_t __attribute__((may_alias)) *)header, &old, new, true,
                                       __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}
WR_INLINE struct wr_header wr_shared_header(uint32_t references, uint32_t flags)
{
    return (struct wr_header){(int32_t)((uint32_t)WR_COUNT_SHARED | flags), references};
}

/** WR_STATE_*, wherever they are. */
WR_INLINE uint32_t wr_state_of(struct wr_header now)
{
    return ((uint32_t)now.count >= (uint32_t)WR_COUNT_WAS_SHARED ? (uint32_t)now.count : now.state) & WR_STATE_FLAGS;
}
WR_INLINE uint32_t wr_state(const struct wr_header *header) { return wr_state_of(wr_header_now(header)); }

/** Where they are; pre: the object stays of its sort, since it is the thread's own or the caller has a reference. */
WR_INLINE void *wr_state_at(struct wr_header *header)
{
    bool shared = (uint32_t)wr_count(header) >= (uint32_t)WR_COUNT_WAS_SHARED;
    return shared ? (void *)&header->count : (void *)&header->state;
}
WR_INLINE void wr_state_set(struct wr_header *header, uint32_t bits)
{
    __atomic_fetch_or((uint32_t *)wr_state_at(header), bits, __ATOMIC_RELAXED);
}
WR_INLINE void wr_state_clear(struct wr_header *header, uint32_t bits)
{
    __atomic_fetch_and((uint32_t *)wr_state_at(header), ~bits, __ATOMIC_RELAXED);
}

/** References by a count below 0, if WR_STATE_LOCAL is as in `local`. Of an object that another thread buries or frees
 *  at this moment they are 0. */
WR_INLINE unsigned wr_count_below_0(struct wr_header now, uint32_t local)
{
    bool fits = wr_count_sort(now.count) == WR_SORT_SHARED && ((uint32_t)now.count & WR_STATE_LOCAL) == local;
    return fits ? now.state : 0;
}

/** References to an object of the thread's own; 0 if it is none. */
WR_INLINE unsigned wr_own_of(struct wr_header now)
{
    return wr_likely(now.count >= 0) ? (unsigned)now.count : wr_count_below_0(now, WR_STATE_LOCAL);
}
WR_INLINE unsigned wr_count_own(const struct wr_header *header) { return wr_own_of(wr_header_now(header)); }

/** References to a shared object; 0 if it is none. */
WR_INLINE unsigned wr_shared_of(struct wr_header now) { return now.count < 0 ? wr_count_below_0(now, 0) : 0; }
WR_INLINE unsigned wr_count_shared(const struct wr_header *header) { return wr_shared_of(wr_header_now(header)); }

/** Makes a shared object immortal. Who has read just before that it is shared counts once more, which does no harm:
 *  so many references are never given up. */
WR_INLINE void wr_shared_immortalize(struct wr_header *header)
{
    __atomic_fetch_or(&header->state, UINT32_C(1) << 30, __ATOMIC_RELAXED);
    __atomic_fetch_and(&header->count, WR_COUNT_WAS_SHARED | WR_STATE_FLAGS, __ATOMIC_RELAXED);
}

/* ---- large objects ----------------------------------------------------------------------------------------------- */

/** An object that has a block of malloc's, since it does not fit into a quarter of a page. The block begins with 8
 *  bytes that name this record, then the header. Records are never freed, recycled. guarded by: big lock, but for
 *  `line` */
struct wr_big {
    void *object; /* NULL: a spare record */
    const struct weir_type *type;
    struct wr_domain *domain; /* whose */
    struct wr_big *next, *prev;
    size_t size;   /* of the object */
    uint32_t slot; /* this record's number */
    uint32_t line; /* its place in a pass of the collector's notes; 0: none. Owner */
    bool young, frozen;
};

/* ---- domains ----------------------------------------------------------------------------------------------------- */

enum wr_domain_status {
    WR_DOMAIN_NONE,   /* of threads that have none */
    WR_DOMAIN_RUNS,   /* a thread's */
    WR_DOMAIN_ORPHAN, /* its thread has exited, and has left objects of its own */
    WR_DOMAIN_COMMON, /* its thread has exited, and what it has left is shared or immortal */
    WR_DOMAIN_LOST,   /* its thread was not there any more after a fork, and may have been anywhere */
    WR_DOMAIN_SPARE   /* empty */
};

struct wr_trace;
struct wr_burial;

/** A domain's collector. The owner's. Pages are those of cyclic types. */
struct wr_gc {
    bool running;            /* a pass, or a walk that passes must not disturb */
    unsigned patience[2];    /* young, full: passes wait this many times their threshold */
    size_t step;             /* growth, in pages, at which to look whether a pass is due */
    size_t low_elsewhere;    /* as owner.low, of large objects and storage */
    size_t full_pages;       /* pages after the last full pass; less if there have been less since */
    unsigned since_full;     /* young passes */
    unsigned ns_per_object;  /* what passes have taken lately */
    struct wr_trace *trace;  /* of the pass, or of the search that weir_gc_poll() has under way */
    struct wr_trace *clears; /* of the pass, while it clears the dead, all of them held; else NULL */
    size_t refills;          /* owner.refills at the last pass over all young pages */
    bool in_round;           /* polls are at young pages that they have not all looked at */
    size_t round;            /* the number of the last such round, from 1 on */
    size_t round_refills;    /* owner.refills when it began */
    size_t search_refills;   /* owner.refills when the last search began */
    uint64_t search_ms;      /* when that was over */
    struct weir_gc_stats stats;
    void **garbage; /* owned references, from weir_malloc() */
    size_t garbage_count, garbage_room;
};

enum { WR_BUCKETS = 1 << 8 };

struct wr_domain {
    struct wr_owner owner;              /* first */
    struct wr_kind *bucket[WR_BUCKETS]; /* by key; the kind used last comes first. Ends with wr_kind_none. Owner */
    struct wr_heap *heap;               /* for new kinds */
    struct wr_big *bigs;                /* guarded by: big lock */
    _Atomic size_t big_pages;           /* of those of cyclic types */
    _Atomic size_t storage;             /* bytes that containers of objects have besides; may be a little wrong */
    struct wr_gc gc;
    bool frozen;                  /* pages may be. Owner */
    _Atomic int status;           /* enum wr_domain_status; changes under: domain lock */
    uint32_t thread;              /* whose, for messages */
    struct wr_domain *next, *prev; /* guarded by: domain lock. Those that were left, or spares, which have no prev */
    struct wr_domain *all;         /* guarded by: domain lock. Every one */
};

/** A thread. All of it its own. */
struct wr_thread {
    struct wr_domain *domain; /* &wr_domain_none before its first object */
    struct wr_burial *burial; /* somebody further up the stack buries what dies; NULL: nobody */
};

extern WR_TLS struct wr_thread wr_thread WR_HIDDEN;
extern struct wr_domain wr_domain_none WR_HIDDEN;
extern struct wr_kind wr_kind_none WR_HIDDEN;

/** The key of a kind: of the type's own size, or of another class. */
WR_INLINE uintptr_t wr_key(const struct weir_type *type) { return (uintptr_t)type; }
WR_INLINE uintptr_t wr_key_var(const struct weir_type *type, unsigned class)
{
    return (uintptr_t)type ^ (uintptr_t)(class + 1) << 48;
}
WR_INLINE unsigned wr_key_bucket(uintptr_t key) { return (uint32_t)(key ^ key >> 48) * UINT32_C(0x9e3779b1) >> 24; }
/** The same for wr_key(type), where addresses have 48 bits; another one elsewhere, and then objects are made by the
 *  slow path. */
WR_INLINE unsigned wr_type_bucket(const struct weir_type *type)
{
    return (uint32_t)(uintptr_t)type * UINT32_C(0x9e3779b1) >> 24;
}

/** The calling thread's domain, made if need be. NULL when memory is short, or the thread is ending. */
struct wr_domain *wr_domain_get(void);

/** The kind of the domain's for blocks of `class`; NULL when memory is short. */
struct wr_kind *wr_domain_kind(struct wr_domain *domain, const struct weir_type *type, uintptr_t key, unsigned class);

/** Takes over what exited threads have left: all of it, or only the domains in which all is shared or immortal. */
void wr_domain_adopt(struct wr_domain *domain, bool all);

/** Takes over what is in one domain, if that is left and no other thread does so at this moment. */
void wr_domain_adopt_one(struct wr_domain *domain, struct wr_domain *left);

/** Whether exited threads have left anything; a guess. */
bool wr_domain_has_left(void);

/** Takes blocks back that others have freed, for all kinds; puts the current pools aside if `aside`. pre: owner. */
void wr_domain_tidy(struct wr_domain *domain, bool aside);

/** Calls fn for each kind, whoever's, that may have objects, under the domain lock. */
void wr_kinds_each(void (*fn)(struct wr_kind *kind, void *arg), void *arg);

/** Calls fn for each domain that there ever was; those made meanwhile may be missed. */
void wr_domain_each(void (*fn)(struct wr_domain *domain, void *arg), void *arg);

WR_INLINE struct wr_domain *wr_kind_domain(const struct wr_kind *kind)
{
    return (struct wr_domain *)wr_kind_owner(kind);
}
WR_INLINE const struct weir_type *wr_kind_type(const struct wr_kind *kind) { return kind->type; }

/* ---- what an address is ------------------------------------------------------------------------------------------ */

/** Where an object lies: in a pool, or it is large. Both NULL: it is none. */
struct wr_place {
    struct wr_typed *pool;
    struct wr_big *big;
};

/** The pool of a header, or NULL if that does not lie in one. */
WR_INLINE struct wr_typed *wr_pool_of(const struct wr_header *header)
{
    if (wr_unlikely(!wr_map_is_known(header)))
        return NULL;
    struct wr_typed *pool = wr_hide(wr_typed_of(header));
    return wr_likely(pool->type >= WR_TYPED_PLAIN) ? pool : NULL;
}

/** The record of a large object, NULL if the address is none. */
struct wr_big *wr_big_of(const struct wr_header *header);

WR_INLINE struct wr_place wr_place_of(const struct wr_header *header)
{
    struct wr_typed *pool = wr_pool_of(header);
    return (struct wr_place){pool, pool == NULL ? wr_big_of(header) : NULL};
}

/** The same for any address: whether a living object starts there. */
bool wr_place_find(const void *address, struct wr_place *place);

WR_INLINE const struct weir_type *wr_place_type(struct wr_place place)
{
    return place.pool != NULL ? wr_kind_type(place.pool->kind) : place.big != NULL ? place.big->type : NULL;
}
WR_INLINE struct wr_domain *wr_place_domain(struct wr_place place)
{
    return place.pool != NULL ? wr_kind_domain(place.pool->kind) : place.big->domain;
}

/** Calls visit for what an object's type has a function for; there is nothing of it any more where the collector has
 *  released that and had to keep the object, since the pointers cannot be cleared. */
WR_INLINE void wr_object_traverse(void *object, void (*traverse)(void *object, weir_visit_fn visit, void *arg),
                                  weir_visit_fn visit, void *arg)
{
    if (wr_likely((wr_state(wr_header_of(object)) & WR_STATE_DROPPED) == 0))
        traverse(object, visit, arg);
}

/** Calls visit for each owning pointer of an object. */
void wr_object_visit(void *object, const struct weir_type *type, weir_visit_fn visit, void *arg);

/** A large object: its header, count 1, zeroed; NULL when memory is short. */
struct wr_header *wr_big_new(struct wr_domain *domain, const struct weir_type *type, size_t size);
/** Any thread. */
void wr_big_free(struct wr_big *big);
/** All of the domain's go to another. pre: owner, or nobody is. */
void wr_big_hand_over(struct wr_domain *from, struct wr_domain *to);
/** Whether there has ever been one. */
bool wr_big_any(void);
/** The storage of a container of objects has changed: it counts when passes become due. Any thread. */
void wr_storage_change(const void *container, size_t before, size_t after);
/** Calls fn for each, under the big lock. */
void wr_big_each(struct wr_domain *domain, void (*fn)(struct wr_big *big, void *arg), void *arg);

/* ---- other files' ------------------------------------------------------------------------------------------------ */

/** Drops a reference of the library's own, as weir_unref() does. */
void wr_object_unref(void *object);

/** Frees the block of an object that nothing is left to be done for but this. */
void wr_object_free(struct wr_typed *pool, struct wr_header *header);

/** What whoever buries the dead has yet to do; on its stack. References that dead objects held wait to be dropped, the
 *  last one first. Where there is no room they are dropped at once, and what dies by it is linked through its
 *  header. */
enum { WR_BURIAL_ROOM = 64 };
struct wr_burial {
    ptrdiff_t waiting;
    struct wr_header *linked;
    void *drop[WR_BURIAL_ROOM];
};

/** What dies in between is buried at the end, whatever waits further up. Returns that, for the end. */
struct wr_burial *wr_burial_begin(struct wr_burial *burial);
void wr_burial_end(struct wr_burial *outer);

/** Ends the process: `header` was to be used, and is no living object of the caller's. */
void wr_object_misuse(const struct wr_header *header, const char *verb) WR_NORETURN WR_COLD;

/** gc.c: when the process makes its first object; before weir_new() takes more memory; at a thread's end. */
void wr_gc_start(void);
void wr_gc_before_new(struct wr_domain *domain);
/** gc.c: there is no memory for an object. Objects found unreachable, or -errno. */
long wr_gc_when_short(struct wr_domain *domain);
void wr_gc_at_exit(struct wr_domain *domain);
bool wr_gc_is_stressed(void);
/** A pool of the domain's has gone. */
void wr_gc_forget(struct wr_owner *owner, const struct wr_typed *pool);
/** Ends a search that weir_gc_poll() has under way: something else wants the pools' lines. */
void wr_gc_drop_search(struct wr_domain *domain);
/** Whether the address lies in an object that a pass of this thread is clearing now. */
bool wr_gc_clears(const void *address);

/** weak.c: what refers weakly to a dying object no longer does; callbacks are called. */
void wr_weak_sever(void *object);
/** The same in two steps, for many. First nothing can be had by a weak reference any more; those that die themselves
 *  get no callback. Whether others are to get one: */
bool wr_weak_detach(void *object, bool (*dies_too)(const void *address, void *arg), void *arg);
/** Then this calls them, but for those that have been finished meanwhile. */
void wr_weak_call(void *object);
void wr_weak_fork_prepare(void);
void wr_weak_fork_done(void);
/** In the child: callbacks of threads that are gone are not waited for. */
void wr_weak_fork_child(void);

/** log.c: where objects were made, and lines for those that are logged. */
void wr_site_add(void *object, const char *file, int line);
void wr_site_remove(void *object);
bool wr_site_find(const void *object, const char **file, int *line);
void wr_site_each(void (*fn)(const void *object, const char *file, int line, void *arg), void *arg);
void wr_site_fork_prepare(void);
void wr_site_fork_done(void);
void wr_log_change(const void *object, const char *what, long count, const char *file, int line, const void *caller);

/** scope.c: frees the thread's stack of scopes. What is on it is not called. */
void wr_scope_end_thread(void);

#endif
