/* SPDX-License-Identifier: MIT
 * Pools of objects: one page of blocks of one type, each block with a header that tells whether it is alive.
 *
 * A kind is what a thread has of one type and size: spans of WR_SPAN_OBJECT, and the pool to take from. Spans belong to
 * a heap, whose lock guards what concerns pages; blocks belong to the kind's owner, a thread as well but perhaps
 * another one: when a thread exits its kinds are handed on, while its heap goes its own way.
 *
 * The owner takes and frees blocks without a lock. Another thread that frees a block (of a shared object) pushes it to
 * the pool's `remote` list; the first block of a pool so pushed also goes to the owner's stack, and the owner takes
 * back what is there when it next needs a pool, collects, or trims.
 *
 * A page is free, or a pool. A pool is the kind's current one, or it waits (a bit in its span's fuller or sparser:
 * there are blocks to take), or neither: it is full enough to be let be until `wake`, or frozen. For malloc's paths the
 * page is no pool at all: `owner` is 0. */
#ifndef WR_TYPED_H
#define WR_TYPED_H

#include "core/heap.h"

/** What lies before each object, at the start of its block. A free block has count 0, and its state is the slot of the
 *  next free block. What counts and states of living objects mean is not the core's business. */
struct wr_header {
    int32_t count;
    uint32_t state;
};

/** The descriptor of a page of objects: a view of the same 32 bytes as struct wr_pool. A slot is a header's place in
 *  its page: its offset + 8; 0 is none. */
struct wr_typed {
    struct wr_kind *kind;
    _Atomic(uintptr_t) owner;  /* 0: to free() this is no pool */
    _Atomic uint32_t remote;   /* blocks freed by others: their number << 16 | the first one's slot */
    uint32_t free;             /* slot of the first free block. 32 bits, of which what was just written is read faster.
                                  Owner */
    _Alignas(8) uint16_t live; /* blocks taken; those on `remote` count */
    uint16_t wake;             /* a free that would leave `live` equal to this takes the slow path. Owner */
    uint8_t type;              /* WR_TYPED_ one of these; less where the page is no pool of objects */
    uint8_t class;             /* of its blocks. Heap lock */
};

_Static_assert(sizeof(struct wr_typed) == sizeof(struct wr_pool) &&
                   offsetof(struct wr_typed, owner) == offsetof(struct wr_pool, owner) &&
                   offsetof(struct wr_typed, remote) == offsetof(struct wr_pool, remote) &&
                   offsetof(struct wr_typed, live) == offsetof(struct wr_pool, live) &&
                   offsetof(struct wr_typed, type) == offsetof(struct wr_pool, class),
               "a view of a pool's descriptor");

/** What a page of objects has where a pool of small blocks has its class. Special: as its kind. */
enum { WR_TYPED_NOT = 0, WR_TYPED_PLAIN = 0x80, WR_TYPED_SPECIAL };
_Static_assert((int)WR_CLASS_LIMIT <= (int)WR_TYPED_PLAIN, "no class looks like a page of objects");

/** Whose blocks: the core's part of a thread's domain. Never freed, recycled. */
struct wr_owner {
    _Atomic(struct wr_header *) remote; /* blocks whose pools have remote frees, linked through their objects */
    size_t pages;                       /* pools of the owner's kinds that are `counted`. Owner, as are all below */
    size_t low;                         /* the least that `pages` has been since the owner last set this */
    size_t refills;                     /* pools that have become current; of kinds that are counted */
    void (*forget)(struct wr_owner *owner, const struct wr_typed *pool); /* called for a pool whose page becomes free,
                                                                            under the heap's lock; may be NULL */
};

/** Objects of one type and size. */
struct wr_kind {
    /* Written at the start only. */
    uintptr_t key;        /* the object layer's: type and class */
    const void *type;     /* the object layer's */
    const uint16_t *refs; /* likewise */
    uint16_t nrefs;       /* likewise */
    bool special;         /* likewise: more than refs concerns a release */
    bool counted;         /* its pages count in its owner's */
    uint16_t first;       /* offset of the first header in a page */
    uint16_t blocks;      /* in a page */
    uint32_t size;        /* of a block */
    uint64_t inverse;     /* as in struct wr_class */
    unsigned class;
    struct wr_heap *heap; /* whose lock guards the spans */

    /* The owner's. */
    struct wr_owner *_Atomic owner; /* written when the kind is handed on; others read it to send blocks there */
    struct wr_typed *current;       /* the pool to take from, or wr_typed_none */
    char *page;                     /* what slot 0 of it would be: its first byte - 8 */
    char *fresh, *fresh_end;        /* its blocks that nobody has taken yet: they are not on `free` */
    struct wr_kind *next;           /* the object layer's: kinds of an owner */
    struct wr_kind *all;            /* the object layer's: every one, whoever's; never changes */
    size_t round;                   /* the object layer's: when it last looked at the current pool */

    /* guarded by: heap->lock */
    struct wr_span *list[WR_LISTS]; /* all its spans; WR_LIST_NONE: those with nothing to take */
    unsigned spans;
    uint32_t pools; /* pages in use */
};

enum { WR_TYPED_NEVER = 0xffff }; /* a `wake` that no free reaches: of a current pool */

/** The pool without a block. */
extern struct wr_typed wr_typed_none WR_HIDDEN;

WR_INLINE struct wr_typed *wr_typed_of(const void *inside) { return (struct wr_typed *)wr_arena_pool(inside); }
WR_INLINE char *wr_typed_start(const struct wr_typed *pool) { return wr_pool_start((const struct wr_pool *)pool); }
WR_INLINE struct wr_span *wr_typed_span(const struct wr_typed *pool)
{
    return wr_pool_span((const struct wr_pool *)pool);
}

WR_INLINE uint16_t wr_typed_bit(const struct wr_typed *pool) { return wr_pool_bit((const struct wr_pool *)pool); }

WR_INLINE unsigned wr_typed_slot(const struct wr_header *header)
{
    return (unsigned)((uintptr_t)header & (WR_PAGE_SIZE - 1)) + 8;
}

/** The number of a header in its pool. */
WR_INLINE unsigned wr_typed_index(const struct wr_kind *kind, const struct wr_header *header)
{
    uint64_t offset = ((uintptr_t)header & (WR_PAGE_SIZE - 1)) - kind->first;
    return (unsigned)((offset * kind->inverse) >> 40);
}
WR_INLINE struct wr_header *wr_typed_at(const struct wr_typed *pool, unsigned index)
{
    return (struct wr_header *)(wr_typed_start(pool) + pool->kind->first + (size_t)index * pool->kind->size);
}

/** Whether a block of the pool starts at `header`, an address in its page. */
WR_INLINE bool wr_typed_is_block(const struct wr_typed *pool, const struct wr_header *header)
{
    unsigned index = wr_typed_index(pool->kind, header);
    return ((uintptr_t)header & (WR_PAGE_SIZE - 1)) >= pool->kind->first && index < pool->kind->blocks &&
           wr_typed_at(pool, index) == header;
}

WR_INLINE struct wr_owner *wr_kind_owner(const struct wr_kind *kind)
{
    return atomic_load_explicit(&kind->owner, memory_order_relaxed);
}

/** The kind that an object span is lent to. */
WR_INLINE struct wr_kind *wr_span_kind(const struct wr_span *span) { return (struct wr_kind *)(uintptr_t)span->blocks; }

/** Sets up a kind of blocks of small class `class`, whose headers lie at 16 n + `first` (0 or 8). The rest of *kind is
 *  the caller's to fill. */
void wr_kind_init(struct wr_kind *kind, struct wr_heap *heap, struct wr_owner *owner, unsigned class, unsigned first);

/** Takes a block of the current pool: its header, which reads as a free one's; NULL if there is none. First those that
 *  nobody has taken: where the next one lies is known before this one is read. */
WR_INLINE struct wr_header *wr_kind_pop_fresh(struct wr_kind *kind)
{
    struct wr_typed *pool = kind->current;
    char *at = kind->fresh;
    if (wr_unlikely(at >= kind->fresh_end))
        return NULL;
    kind->fresh = at + kind->size;
    __atomic_store_n(&pool->live, (uint16_t)(pool->live + 1), __ATOMIC_RELAXED);
    return (struct wr_header *)(void *)at;
}

/** The same for those that have been freed. */
WR_INLINE struct wr_header *wr_kind_pop_freed(struct wr_kind *kind)
{
    struct wr_typed *pool = kind->current;
    unsigned slot = pool->free;
    if (wr_unlikely(slot == 0))
        return NULL;
    struct wr_header *header = (struct wr_header *)(void *)(kind->page + slot);
    pool->free = header->state;
    __atomic_store_n(&pool->live, (uint16_t)(pool->live + 1), __ATOMIC_RELAXED);
    return header;
}

WR_INLINE struct wr_header *wr_kind_pop(struct wr_kind *kind)
{
    struct wr_header *header = wr_kind_pop_fresh(kind);
    return header != NULL ? header : wr_kind_pop_freed(kind);
}

/** Makes a pool with a free block current; marks it young. False when the system refuses more memory. pre: owner; the
 *  kind's heap is entered if it is the caller's; no lock is held. */
bool wr_kind_refill(struct wr_kind *kind);

/** Frees a block of the owner's whose pool keeps `live`. What lies in it is as it was, but for the header.
 *  pre: owner; live != pool->wake. */
WR_INLINE void wr_typed_push(struct wr_typed *pool, struct wr_header *header, unsigned live)
{
    struct wr_header freed = {0, pool->free};
    uint64_t word;
    __builtin_memcpy(&word, &freed, sizeof word);
    __atomic_store_n((uint64_t __attribute__((may_alias)) *)header, word, __ATOMIC_RELAXED);
    pool->free = wr_typed_slot(header);
    __atomic_store_n(&pool->live, (uint16_t)live, __ATOMIC_RELAXED);
}

/** The same, and what follows from it for the pool. pre: owner. */
void wr_typed_free(struct wr_typed *pool, struct wr_header *header);

/** Frees all blocks of a pool that is not current. pre: owner; none that others have freed is among its live ones. */
void wr_typed_discard(struct wr_typed *pool);

/** Frees a block of another owner's, from any thread. Its object's first word is overwritten. */
void wr_typed_send(struct wr_typed *pool, struct wr_header *header);

/** Takes back what other threads have freed. pre: owner, or the owner's thread is gone or holds still. */
void wr_owner_drain(struct wr_owner *owner);

/** Leaves the kind without a current pool. pre: owner. */
void wr_kind_put_aside(struct wr_kind *kind);

/** Sets pools aside for good, or puts them back: none receives a block while it is frozen. pre: owner. */
void wr_kind_freeze(struct wr_kind *kind, bool frozen);

/** Calls fn for each pool of the kind, under the heap's lock: fn takes no lock and calls nothing that may. */
void wr_kind_each(struct wr_kind *kind, void (*fn)(struct wr_typed *pool, struct wr_span *span, void *arg), void *arg);

/** What wr_heap_begin_purge() and wr_heap_end_purge() need: puts a changed object span where it belongs. pre: lock. */
void wr_typed_relist(struct wr_heap *heap, struct wr_span *span);

#endif
