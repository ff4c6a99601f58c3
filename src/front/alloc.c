/* SPDX-License-Identifier: MIT
 * The public malloc family: what the fast paths leave over. Overflow, alignment, errno, misuse, and what to do when
 * memory is short are decided here; the core below knows blocks. */
#include <errno.h>
#include <string.h>

#include "base/option.h"
#include "base/text.h"
#include "core/account.h"
#include "core/purge.h"
#include "front/fast.h"
#include "front/stats.h"
#include "front/thread.h"
#include "weir/weir.h"

/* ---- memory is short --------------------------------------------------------------------------------------------- */

void *wr_no_memory(void)
{
    errno = ENOMEM;
    return NULL;
}

/** Says why, the first time, the second, the fourth and so on. */
static WR_COLD void report_shortage(size_t size)
{
    static _Atomic unsigned times;
    char buf[64];
    if (!wr_is_pow2(atomic_fetch_add_explicit(&times, 1, memory_order_relaxed) + 1))
        return;
    struct wr_text text = WR_TEXT(buf);
    wr_text_add_bytes(&text, wr_account_used());
    wr_message(
        "no memory for %zu bytes with %s in use: the system refused to map more (RLIMIT_AS, overcommit, the limit of "
        "the number of mappings, or memory is full)",
        size, buf);
}

static bool every(struct wr_heap *heap WR_UNUSED, void *arg WR_UNUSED) { return true; }

/** Gives back all that can go but `keep` bytes; returns how much went. With WEIR_PURGE=never that is nothing, unless it
 * is `needed` because the system has refused memory. */
static size_t trim(struct wr_heap *self, size_t keep, bool needed)
{
    uint64_t before = atomic_load_explicit(&wr_account.returned, memory_order_relaxed);
    wr_purge_heaps(every, NULL, self);
    if (wr_options.purge == WR_PURGE_NEVER && !needed)
        return 0;
    wr_purge_to(keep >> WR_PAGE_SHIFT);
    if (keep < WR_ARENA_SIZE)
        wr_arena_reap(0, WR_ARENA_PAGES);
    return atomic_load_explicit(&wr_account.returned, memory_order_relaxed) - before;
}

/* ---- WEIR_CHECK -------------------------------------------------------------------------------------------------- */

/* A freed block is filled with a pattern, but for its first word, the link, and its second, which tells it from any
 * other: its own address, encoded. So a second free is found out, in whichever thread, and so is a write after the
 * free. */
enum { FILL = 0xd5, GUARDED_FROM = 2 * sizeof(uintptr_t) };

static uintptr_t *mark_of(void *address) { return (uintptr_t *)address + 1; }
static uintptr_t freed_mark(const void *address) { return (uintptr_t)address ^ UINT64_C(0x7765697266726565); }

static bool is_guarded(const struct wr_block *block)
{
    return block->kind == WR_BLOCK_SMALL || block->kind == WR_BLOCK_MEDIUM;
}

static void guard_free(const struct wr_block *block, void *address)
{
    if (!is_guarded(block))
        return;
    if (*mark_of(address) == freed_mark(address))
        wr_fatal("double free of %p, a block of %zu bytes", address, block->size);
    *mark_of(address) = freed_mark(address);
    memset((char *)address + GUARDED_FROM, FILL, block->size - GUARDED_FROM);
}

static void guard_alloc(const struct wr_block *block, void *address)
{
    const unsigned char *byte = address;
    if (!is_guarded(block) || *mark_of(address) != freed_mark(address))
        return;
    /* Later pages of a medium block may have gone back and read as zero; the one with the mark has not. */
    size_t end = wr_min(block->size, WR_PAGE_SIZE - (uintptr_t)address % WR_PAGE_SIZE);
    for (size_t i = GUARDED_FROM; i < end; i++)
        if (byte[i] != FILL)
            wr_fatal("corrupted free block %p of %zu bytes: it was written to at offset %zu after it was freed",
                     address, block->size, i);
    *mark_of(address) = 0;
}

/* ---- allocation -------------------------------------------------------------------------------------------------- */

/** What the special modes want to know of an allocation. */
static void note_alloc(struct wr_heap *heap, size_t size, void *address)
{
    struct wr_block block = wr_block_look(address);
    if (wr_options.check)
        guard_alloc(&block, address);
    unsigned row = block.kind == WR_BLOCK_HUGE    ? WR_CLASS_LIMIT + 1
                   : block.kind == WR_BLOCK_LARGE ? WR_CLASS_LIMIT
                                                  : block.class;
    heap->tally.calls++;
    heap->tally.requested += size;
    heap->tally.usable += block.size;
    heap->tally.class_calls[row]++;
}

/* No address space has more: nothing is given back for the sake of such a block. */
#define SIZE_MOST ((size_t)1 << 48)

static void *alloc_entered(struct wr_heap *heap, size_t size, size_t align, bool *zeroed)
{
    void *block = wr_block_alloc(heap, size, align, zeroed);
    if (wr_unlikely(block == NULL) && size <= SIZE_MOST && align <= SIZE_MOST) {
        /* What is free may be what is missing: under a limit on address space, under a limit of a control group. */
        trim(heap, 0, true);
        block = wr_block_alloc(heap, size, align, zeroed);
    }
    if (wr_unlikely(heap->special) && block != NULL)
        note_alloc(heap, size, block);
    return block;
}

static void free_deferred(struct wr_heap *heap);

/** The slow path of every allocation. `align` is a power of two. */
static void *alloc(size_t size, size_t align, bool zero)
{
    bool zeroed = false;
    void *block = NULL;
    if (wr_unlikely(size > PTRDIFF_MAX || align > PTRDIFF_MAX))
        return wr_no_memory();
    struct wr_heap *heap = wr_enter();
    if (wr_likely(heap != NULL)) {
        block = alloc_entered(heap, size, align, &zeroed);
        free_deferred(heap);
        wr_leave(heap);
    } else {
        block = wr_emergency_alloc(size, align);
    }
    if (wr_unlikely(block == NULL)) {
        if (wr_options.verbose)
            report_shortage(size);
        return wr_no_memory();
    }
    if (zero && (!zeroed || wr_options.check))
        memset(block, 0, size);
    return block;
}

void *wr_malloc_slow(size_t size)
{
    struct wr_heap *self = wr_self;
    if (size > WR_SMALL_MAX && size <= WR_MEDIUM_MAX && !self->special) {
        unsigned class = wr_geometry_class(size);
        void *block = wr_heap_unstash_medium(self, class);
        if (wr_likely(block != NULL))
            return block;
        if (wr_likely(!self->inside)) {
            bool zeroed;
            wr_heap_set_inside(self, true); /* as wr_enter() does */
            atomic_signal_fence(memory_order_seq_cst);
            block = wr_heap_alloc_medium(self, class, &zeroed);
            wr_leave(self);
            if (wr_likely(block != NULL))
                return block;
        }
    }
    return alloc(size, WR_MIN_ALIGN, false);
}

/** A block of the class from this thread's stash, NULL if there is none. pre: no mode is on that must see every call.
 */
static void *unstash(unsigned class)
{
    struct wr_heap *self = wr_self;
    return wr_geometry_is_small(class) ? wr_fast_pop(&self->stash[class]) : wr_heap_unstash_medium(self, class);
}

void *wr_calloc_slow(size_t size)
{
    void *block = size <= WR_MEDIUM_MAX && !wr_self->special ? unstash(wr_geometry_class(size)) : NULL;
    return block != NULL ? memset(block, 0, size) : alloc(size, WR_MIN_ALIGN, true);
}

void *weir_malloc(size_t size) { return wr_fast_malloc(size); }

void *weir_calloc(size_t count, size_t size) { return wr_fast_calloc(count, size); }

/** A block from this thread's stash that is so aligned, or NULL. pre: alignment is a power of two. */
WR_INLINE void *unstash_aligned(size_t alignment, size_t size)
{
    if (wr_unlikely(wr_self->special)) /* before the first call there are no classes either */
        return NULL;
    int class = wr_geometry_aligned_class(size, alignment);
    return class >= 0 ? unstash((unsigned)class) : NULL;
}

void *weir_aligned_alloc(size_t alignment, size_t size)
{
    if (wr_unlikely(!wr_is_pow2(alignment))) {
        errno = EINVAL;
        return NULL;
    }
    void *block = unstash_aligned(alignment, size);
    return block != NULL ? block : alloc(size, alignment, false);
}

int weir_posix_memalign(void **out, size_t alignment, size_t size)
{
    if (wr_unlikely(!wr_is_pow2(alignment) || alignment % sizeof(void *) != 0))
        return EINVAL;
    void *block = unstash_aligned(alignment, size);
    if (wr_unlikely(block == NULL)) {
        int saved = errno;
        block = alloc(size, alignment, false);
        errno = saved;
    }
    if (wr_unlikely(block == NULL))
        return ENOMEM;
    *out = block;
    return 0;
}

/* ---- free -------------------------------------------------------------------------------------------------------- */

_Atomic uint64_t wr_foreign_frees;

static WR_COLD void foreign(const void *address, const char *verb)
{
    const char *hint = "it came from another allocator (a static one in the program, the loader's own, RTLD_DEEPBIND)";
    if (wr_options.strict)
        wr_fatal("invalid %s of %p, which Weir never gave: %s", verb, address, hint);
    if (atomic_fetch_add_explicit(&wr_foreign_frees, 1, memory_order_relaxed) == 0)
        wr_message("warning: %s of %p, which Weir never gave, is ignored: %s; more of the kind go unmentioned", verb,
                   address, hint);
}

static void free_entered(struct wr_heap *heap, void *address)
{
    struct wr_block block = wr_block_look(address);
    if (wr_unlikely(block.kind <= WR_BLOCK_INVALID)) {
        if (block.kind == WR_BLOCK_INVALID)
            wr_block_fatal(&block, address, "free");
        if (!wr_emergency_free(address))
            foreign(address, "free");
        return;
    }
    if (wr_unlikely(heap->special)) {
        heap->tally.frees++;
        if (wr_options.check)
            guard_free(&block, address);
    }
    wr_block_free(heap, &block, address);
}

/** Frees what signal handlers have freed that had interrupted a slow path. */
static void free_deferred(struct wr_heap *heap)
{
    for (void *next, *late = wr_deferred_frees(); wr_unlikely(late != NULL); late = next) {
        next = *(void **)late;
        free_entered(heap, late);
    }
}

/** The slow path of every free. */
void wr_free_slow(void *address)
{
    if (address == NULL)
        return;
    struct wr_heap *heap = wr_enter();
    if (wr_unlikely(heap == NULL)) {
        if (!wr_emergency_free(address) && wr_map_get(address) != 0)
            wr_defer_free(address);
        return;
    }
    free_entered(heap, address);
    free_deferred(heap);
    wr_leave(heap);
}

/* Between the fast path and the slow one: blocks in arenas that are what they seem to be. Each step ends in a call, so
 * that the first saves no registers. */

/** A small block of this thread's goes into its pool under the lock, one of another's into a parcel. */
static WR_NOINLINE void free_small(void *address, struct wr_pool *pool)
{
    struct wr_heap *self = wr_self, *owner = wr_pool_heap(pool);
    bool done = true;
    if (self->inside || self->special || owner == NULL || !wr_pool_is_block(pool, address)) {
        wr_free_slow(address);
        return;
    }
    wr_heap_set_inside(self, true); /* as wr_enter() does */
    atomic_signal_fence(memory_order_seq_cst);
    if (owner == self)
        wr_heap_free_local(self, pool, address);
    else
        done = wr_heap_send(self, pool, address);
    wr_leave(self);
    if (!done)
        wr_free_slow(address);
}

static WR_NOINLINE void free_medium(void *address, struct wr_pool *pool)
{
    struct wr_heap *self = wr_self;
    if (self->special || !wr_heap_stash_medium(self, wr_pool_span(pool), address))
        wr_free_slow(address);
}

void wr_free_aside(void *address, struct wr_pool *pool)
{
    struct wr_heap *self = wr_self, *owner = wr_pool_heap(pool);
    if (owner == NULL) {
        free_medium(address, pool);
        return;
    }
    if (wr_likely(owner != self && !self->inside && !self->special && wr_pool_is_block(pool, address))) {
        wr_heap_set_inside(self, true); /* as wr_enter() and wr_leave() do */
        atomic_signal_fence(memory_order_seq_cst);
        bool sent = wr_heap_send_later(self, pool, address);
        atomic_signal_fence(memory_order_seq_cst);
        wr_heap_set_inside(self, false);
        if (wr_likely(sent))
            return;
    }
    free_small(address, pool);
}

/** Frees a block of this thread's into its pool: `stash` has found no room for it, and counts it all the same. */
void wr_free_full(void *address, struct wr_pool *pool, struct wr_stash *stash)
{
    uint16_t live = (uint16_t)(wr_pool_live_unsure(pool) - 1);
    stash->room++;
    if (wr_unlikely(live == pool->wake) || wr_unlikely(address == pool->free)) {
        free_small(address, pool);
        return;
    }
    *(void **)address = pool->free;
    pool->free = address;
    wr_pool_set_live(pool, live); /* the last access: see pool.h */
}

void weir_free(void *block) { wr_fast_free(block); }

static WR_COLD void check_sized(const void *address, size_t size)
{
    struct wr_block block = wr_block_look(address);
    if (block.kind >= WR_BLOCK_SMALL && size > block.size)
        wr_fatal("invalid free of %p with size %zu: the block has %zu bytes", address, size, block.size);
}

void weir_free_sized(void *block, size_t size)
{
    if (wr_unlikely(size > WR_SMALL_MAX || wr_options.check))
        check_sized(block, size);
    wr_fast_free(block);
}

void weir_free_aligned_sized(void *block, size_t alignment, size_t size)
{
    if (block == NULL)
        return;
    if (wr_unlikely(!wr_is_pow2(alignment) || (uintptr_t)block % alignment != 0))
        wr_fatal("invalid free of %p with alignment %zu: the block is not so aligned", block, alignment);
    weir_free_sized(block, size);
}

size_t weir_usable_size(const void *address)
{
    /* Programs that count their memory ask of every block. Of small ones the pool tells. */
    struct wr_pool *pool = wr_map_is_known(address) ? wr_arena_pool(address) : NULL;
    if (pool != NULL && wr_pool_heap(pool) != NULL && wr_pool_is_block(pool, address))
        return wr_pool_class(pool)->size;
    struct wr_block block = wr_block_look(address);
    size_t object = 0;
    if (block.kind == WR_BLOCK_INVALID && wr_block_namer != NULL)
        wr_block_namer(address, &object);
    return block.kind == WR_BLOCK_FOREIGN   ? wr_emergency_size(address)
           : block.kind == WR_BLOCK_INVALID ? object
                                            : block.size;
}

/* ---- realloc ----------------------------------------------------------------------------------------------------- */

/** A new block with the content of the old one, which is freed. */
static void *move(void *old, size_t had, size_t size)
{
    void *block = wr_fast_malloc(size);
    if (block == NULL)
        return NULL;
    memcpy(block, old, wr_min(had, size));
    wr_fast_free(old);
    return block;
}

static WR_COLD void *realloc_unusual(const struct wr_block *block, void *address, size_t size)
{
    size_t emergency = wr_emergency_size(address);
    if (emergency != 0)
        return emergency >= size ? address : move(address, emergency, size);
    if (block->kind == WR_BLOCK_INVALID)
        wr_block_fatal(block, address, "realloc");
    foreign(address, "realloc");
    return wr_no_memory();
}

static void *resize_in_place(const struct wr_block *block, void *address, size_t size)
{
    if (block->kind <= WR_BLOCK_MEDIUM)
        return wr_block_resize(block, address, size);
    struct wr_heap *heap = wr_enter();
    if (heap == NULL)
        return NULL;
    address = wr_block_resize(block, address, size);
    wr_leave(heap);
    return address;
}

void *weir_realloc(void *address, size_t size)
{
    if (address == NULL)
        return wr_fast_malloc(size);
    if (wr_unlikely(size > PTRDIFF_MAX))
        return wr_no_memory();
    struct wr_block block = wr_block_look(address);
    if (wr_unlikely(block.kind <= WR_BLOCK_INVALID))
        return realloc_unusual(&block, address, size);
    void *same = resize_in_place(&block, address, size);
    return wr_likely(same != NULL) ? same : move(address, block.size, size);
}

void *weir_reallocarray(void *block, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        return wr_no_memory();
    return weir_realloc(block, total);
}

/* ---- return of memory -------------------------------------------------------------------------------------------- */

static size_t enter_and_trim(size_t keep, bool needed)
{
    struct wr_heap *heap = wr_enter();
    if (heap == NULL)
        return 0;
    size_t gone = trim(heap, keep, needed);
    wr_leave(heap);
    return gone;
}

size_t weir_trim(size_t keep) { return enter_and_trim(keep, false); }

void wr_make_room(void) { enter_and_trim(0, true); }
