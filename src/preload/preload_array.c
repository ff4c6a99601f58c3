/* SPDX-License-Identifier: MIT
 * reallocarray as the C library has it: by the realloc that the whole process uses. A program that brings its own
 * malloc, free, calloc and realloc has seldom a reallocarray, nor have other allocators that are preloaded before Weir,
 * or valgrind; what it gives comes to their free. Owns no state and takes no lock.
 *
 * A file of its own: where realloc is defined the compiler takes that one for the only one. */
#include "base/base.h"

#include <errno.h>
#include <stdlib.h>

WR_EXPORT void *reallocarray(void *block, size_t count, size_t size)
{
    size_t total;

    if (__builtin_mul_overflow(count, size, &total)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(block, total);
}
