/* SPDX-License-Identifier: MIT
 * The C library's allocation functions under their own names, for LD_PRELOAD; each forwards to the front layer.
 * Owns no state and takes no lock. Hot functions expand the front's inline fast path, the others call weir_*, never
 * each other: a program may define malloc itself and build it on __libc_malloc. No function here may get a symbol
 * version: only an unversioned malloc satisfies malloc@GLIBC_2.2.5. */
#include "base/base.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

#include <weir/alloc.h>

#include "front/fast.h"
#include "os/os.h"

/* Declared by no header of this C library, or by that of one of them alone: C23's, those that were withdrawn, and those
 * that a C library keeps to itself. */
void free_sized(void *block, size_t size);
void free_aligned_sized(void *block, size_t alignment, size_t size);
void cfree(void *block);
void *__libc_malloc(size_t size);
void __libc_free(void *block);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_reallocarray(void *block, size_t count, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void *__libc_valloc(size_t size);
void *__libc_pvalloc(size_t size);
int __posix_memalign(void **out, size_t alignment, size_t size);
int malloc_trim(size_t pad);
void *pvalloc(size_t size);

/* ---- blocks ---------------------------------------------------------------------------------------------------- */

/* The C library's realloc frees a block that is to have no bytes. Programs free so, and ask for no more than that. */

static void *resize(void *block, size_t size)
{
    if (wr_likely(size != 0 || block == NULL))
        return weir_realloc(block, size);
    wr_fast_free(block);
    return NULL;
}

WR_EXPORT void *malloc(size_t size)
{
    return wr_fast_malloc(size);
}

WR_EXPORT void free(void *block)
{
    wr_fast_free(block);
}

WR_EXPORT void *calloc(size_t count, size_t size)
{
    return wr_fast_calloc(count, size);
}

WR_EXPORT void *realloc(void *block, size_t size)
{
    return resize(block, size);
}

WR_EXPORT void free_sized(void *block, size_t size)
{
    weir_free_sized(block, size);
}

WR_EXPORT void free_aligned_sized(void *block, size_t alignment, size_t size)
{
    weir_free_aligned_sized(block, alignment, size);
}

WR_EXPORT void cfree(void *block)
{
    wr_fast_free(block);
}

WR_EXPORT size_t malloc_usable_size(void *block)
{
    return weir_usable_size(block);
}

/* ---- alignment ------------------------------------------------------------------------------------------------- */

/** memalign as the C library has it: an alignment that is no power of two counts as the next one; beyond the largest
 *  power of two EINVAL. */
static void *align_loosely(size_t alignment, size_t size)
{
    const size_t largest = SIZE_MAX / 2 + 1;
    size_t power = sizeof(void *);

    if (alignment > largest) {
        errno = EINVAL;
        return NULL;
    }
    while (power < alignment)
        power *= 2;
    return weir_aligned_alloc(power, size);
}

/** Whole pages for pvalloc, at least one. */
static void *allocate_pages(size_t size)
{
    const size_t page = wr_os_page_size();

    if (size > PTRDIFF_MAX - page) {
        errno = ENOMEM;
        return NULL;
    }
    return weir_aligned_alloc(page, size == 0 ? page : wr_round_up(size, page));
}

WR_EXPORT void *memalign(size_t alignment, size_t size)
{
    return align_loosely(alignment, size);
}

WR_EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
    return weir_aligned_alloc(alignment, size);
}

WR_EXPORT int posix_memalign(void **out, size_t alignment, size_t size)
{
    return weir_posix_memalign(out, alignment, size);
}

WR_EXPORT void *valloc(size_t size)
{
    return weir_aligned_alloc(wr_os_page_size(), size);
}

WR_EXPORT void *pvalloc(size_t size)
{
    return allocate_pages(size);
}

/* ---- the C library's own names --------------------------------------------------------------------------------- */

WR_EXPORT void *__libc_malloc(size_t size)
{
    return weir_malloc(size);
}

WR_EXPORT void __libc_free(void *block)
{
    weir_free(block);
}

WR_EXPORT void *__libc_calloc(size_t count, size_t size)
{
    return weir_calloc(count, size);
}

WR_EXPORT void *__libc_realloc(void *block, size_t size)
{
    return resize(block, size);
}

WR_EXPORT void *__libc_reallocarray(void *block, size_t count, size_t size)
{
    return count == 0 || size == 0 ? resize(block, 0) : weir_reallocarray(block, count, size);
}

WR_EXPORT void *__libc_memalign(size_t alignment, size_t size)
{
    return align_loosely(alignment, size);
}

WR_EXPORT void *__libc_valloc(size_t size)
{
    return weir_aligned_alloc(wr_os_page_size(), size);
}

WR_EXPORT void *__libc_pvalloc(size_t size)
{
    return allocate_pages(size);
}

WR_EXPORT int __posix_memalign(void **out, size_t alignment, size_t size)
{
    return weir_posix_memalign(out, alignment, size);
}

/* ---- return of memory ------------------------------------------------------------------------------------------ */

WR_EXPORT int malloc_trim(size_t pad)
{
    return weir_trim(pad) != 0;
}

/* Weir is active without the program's knowing: see front/thread.c. */
extern const bool wr_is_preload WR_HIDDEN;
const bool wr_is_preload = true;
