/* SPDX-License-Identifier: MIT
 * The C library's allocation functions, for LD_PRELOAD before whatever allocator a program runs on: each calls the next
 * one of its name and records the call. Owns the table of the next functions, filled at the first call, and a small
 * static heap for what finding them allocates. free(NULL) is no call. */
#include "base/base.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "trace/interpose.h"
#include "trace/record.h"

/* Declared by no header of this C library. */
void free_sized(void *block, size_t size);
void free_aligned_sized(void *block, size_t alignment, size_t size);
void cfree(void *block);
void *pvalloc(size_t size);
void *valloc(size_t size);
void *memalign(size_t alignment, size_t size);

static struct {
    void *(*malloc)(size_t);
    void (*free)(void *);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    int (*posix_memalign)(void **, size_t, size_t);
    void *(*aligned_alloc)(size_t, size_t);
    void *(*memalign)(size_t, size_t);
    void *(*valloc)(size_t);
    void *(*pvalloc)(size_t);
    void (*free_sized)(void *, size_t);                 /* NULL where the allocator has none */
    void (*free_aligned_sized)(void *, size_t, size_t); /* likewise */
} next;

/* ---- the next allocator ---------------------------------------------------------------------------------------- */

/* What dlsym and the loader take while the table is being filled; never given back. */
static _Alignas(16) char early[1 << 16];
static size_t early_used;

static bool is_early(const void *block) { return (uintptr_t)block - (uintptr_t)early < sizeof early; }

/** A block that knows its size, or NULL. */
static void *early_block(size_t size)
{
    size_t whole = size < sizeof early ? wr_round_up(size, 16) + 16 : sizeof early;

    if (whole > sizeof early - early_used) {
        errno = ENOMEM;
        return NULL;
    }
    char *block = early + early_used;
    early_used += whole;
    memcpy(block, &size, sizeof size);
    return block + 16;
}

static size_t early_size(const void *block)
{
    size_t size;

    memcpy(&size, (const char *)block - 16, sizeof size);
    return size;
}

static void *find(const char *name) { return dlsym(RTLD_NEXT, name); }

/** Fills the table. The rest of it is there once `malloc` is. @return false while it is being filled. */
static WR_COLD bool resolve(void)
{
    static bool busy;

    if (busy)
        return false;
    busy = true;
    next.free = find("free");
    next.calloc = find("calloc");
    next.realloc = find("realloc");
    next.posix_memalign = find("posix_memalign");
    next.aligned_alloc = find("aligned_alloc");
    next.memalign = find("memalign");
    next.valloc = find("valloc");
    next.pvalloc = find("pvalloc");
    next.free_sized = find("free_sized");
    next.free_aligned_sized = find("free_aligned_sized");
    __atomic_store_n(&next.malloc, find("malloc"), __ATOMIC_RELEASE);
    busy = false;
    if (next.malloc == NULL || next.free == NULL || next.calloc == NULL || next.realloc == NULL) {
        wr_message("libweir-trace.so finds no malloc behind it: it has to be preloaded, not linked");
        abort();
    }
    return true;
}

WR_INLINE bool is_ready(void)
{
    if (wr_likely(next.malloc != NULL))
        return true;
    return resolve();
}

void wr_trace_name_allocator(char *path, size_t size)
{
    struct wr_text text = {.buf = path, .size = size};
    Dl_info info;

    if (dladdr(wr_hide((void *)next.malloc), &info) != 0 && info.dli_fname != NULL)
        wr_text_add(&text, "%s", info.dli_fname);
}

/* ---- blocks ---------------------------------------------------------------------------------------------------- */

/** Records what a call got, and returns it. */
WR_INLINE void *given(unsigned op, void *block, uint64_t size)
{
    return wr_trace_record(wr_likely(block != NULL) ? op : op | WR_RAW_FAILED, (uintptr_t)block, size);
}

WR_EXPORT void *malloc(size_t size)
{
    if (wr_unlikely(!is_ready()))
        return early_block(size);
    void *block = next.malloc(size);
    if (wr_likely(block != NULL) && wr_likely(wr_trace_malloc((uintptr_t)block, size)))
        return block;
    return given(WR_RAW_MALLOC, block, size);
}

static WR_NOINLINE void free_slow(void *block)
{
    if (is_early(block) || !is_ready())
        return;
    next.free(wr_trace_record(WR_RAW_FREE, (uintptr_t)block, 0));
}

/* Nothing is recorded before there is a next allocator, so what can be recorded quickly is past all other cases but
 * blocks of the early heap. */
WR_EXPORT void free(void *block)
{
    if (wr_unlikely(block == NULL))
        return;
    if (wr_likely(!is_early(block)) && wr_likely(wr_trace_free((uintptr_t)block)))
        next.free(block);
    else
        free_slow(block);
}

WR_EXPORT void *calloc(size_t count, size_t size)
{
    size_t whole;

    if (__builtin_mul_overflow(count, size, &whole))
        whole = SIZE_MAX;
    if (!is_ready())
        return early_block(whole); /* zeroed, as it is used once */
    return given(WR_RAW_CALLOC, next.calloc(count, size), whole);
}

/** realloc of a block from the early heap, which stays there. */
static WR_COLD void *move_early(void *old, size_t size)
{
    void *block = malloc(size);

    if (block != NULL)
        memcpy(block, old, wr_min(early_size(old), size));
    return block;
}

WR_INLINE void *resize(unsigned op, void *block, size_t size)
{
    if (wr_unlikely(is_early(block)))
        return move_early(block, size);
    if (!is_ready())
        return early_block(size);
    if (block != NULL)
        wr_trace_record(WR_RAW_REALLOC_BEGIN, (uintptr_t)block, 0);
    return given(op, next.realloc(block, size), size);
}

WR_EXPORT void *realloc(void *block, size_t size) { return resize(WR_RAW_REALLOC, block, size); }

/** By realloc: the C library's own reallocarray would come back to realloc here. */
WR_EXPORT void *reallocarray(void *block, size_t count, size_t size)
{
    size_t whole;

    if (!__builtin_mul_overflow(count, size, &whole))
        return resize(WR_RAW_REALLOCARRAY, block, whole);
    if (block != NULL)
        wr_trace_record(WR_RAW_REALLOC_BEGIN, (uintptr_t)block, 0);
    wr_trace_record(WR_RAW_REALLOCARRAY | WR_RAW_FAILED, 0, SIZE_MAX);
    errno = ENOMEM;
    return NULL;
}

WR_EXPORT void cfree(void *block) { free(block); }

WR_EXPORT void free_sized(void *block, size_t size)
{
    if (block == NULL || is_early(block) || !is_ready() || next.free_sized == NULL) {
        free(block);
        return;
    }
    wr_trace_record(WR_RAW_FREE, (uintptr_t)block, 0);
    next.free_sized(block, size);
}

WR_EXPORT void free_aligned_sized(void *block, size_t alignment, size_t size)
{
    if (block == NULL || is_early(block) || !is_ready() || next.free_aligned_sized == NULL) {
        free(block);
        return;
    }
    wr_trace_record(WR_RAW_FREE, (uintptr_t)block, 0);
    next.free_aligned_sized(block, alignment, size);
}

/* ---- alignment ------------------------------------------------------------------------------------------------- */

/** Size and alignment in one number; what is no power of two counts as the next. */
WR_INLINE uint64_t both(size_t alignment, size_t size)
{
    unsigned log = alignment < 2 ? 0 : 64 - (unsigned)__builtin_clzll(alignment - 1);

    return wr_min(size, WR_RAW_HUGE_ALIGNED) << 6 | wr_min(log, 63);
}

WR_EXPORT int posix_memalign(void **out, size_t alignment, size_t size)
{
    if (!is_ready() || next.posix_memalign == NULL)
        return ENOMEM;
    int error = next.posix_memalign(out, alignment, size);
    given(WR_RAW_POSIX_MEMALIGN, error == 0 ? *out : NULL, both(alignment, size));
    return error;
}

WR_INLINE void *refuse(void)
{
    errno = ENOMEM;
    return NULL;
}

WR_EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
    if (!is_ready() || next.aligned_alloc == NULL)
        return refuse();
    return given(WR_RAW_ALIGNED_ALLOC, next.aligned_alloc(alignment, size), both(alignment, size));
}

WR_EXPORT void *memalign(size_t alignment, size_t size)
{
    if (!is_ready() || next.memalign == NULL)
        return refuse();
    return given(WR_RAW_MEMALIGN, next.memalign(alignment, size), both(alignment, size));
}

WR_EXPORT void *valloc(size_t size)
{
    if (!is_ready() || next.valloc == NULL)
        return refuse();
    return given(WR_RAW_VALLOC, next.valloc(size), size);
}

WR_EXPORT void *pvalloc(size_t size)
{
    if (!is_ready() || next.pvalloc == NULL)
        return refuse();
    return given(WR_RAW_PVALLOC, next.pvalloc(size), size);
}

__attribute__((constructor)) static void begin(void) { wr_trace_begin(); }
