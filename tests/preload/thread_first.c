/* SPDX-License-Identifier: MIT
 * The first call of a fresh thread may be any of the family, on a block of its own, of another's, or of nobody's. */
#include "case.h"

#include <malloc.h>
#include <pthread.h>

static char *theirs; /* a block of the main thread */
static size_t size;

static void *first_free(void *arg)
{
    free(theirs);
    return arg;
}

static void *first_free_null(void *arg)
{
    free(NULL);
    free(theirs);
    return arg;
}

static void *first_realloc(void *arg)
{
    theirs = realloc(theirs, size * 3);
    CHECK(theirs != NULL && filled(theirs, size, 1));
    free(theirs);
    return arg;
}

static void *first_shrink(void *arg)
{
    theirs = realloc(theirs, size / 3 + 1);
    CHECK(theirs != NULL && filled(theirs, size / 3 + 1, 1));
    free(theirs);
    return arg;
}

static void *first_calloc(void *arg)
{
    char *block = calloc(3, size);

    CHECK(block != NULL && all_zero(block, 3 * size));
    free(block);
    free(theirs);
    return arg;
}

static void *first_aligned(void *arg)
{
    char *block = aligned_alloc(8192, size);

    CHECK(block != NULL && (uintptr_t)block % 8192 == 0);
    fill(block, size, 2);
    free(block);
    free(theirs);
    return arg;
}

static void *first_usable(void *arg)
{
    CHECK(malloc_usable_size(theirs) >= size);
    free(theirs);
    return arg;
}

static void *first_trim(void *arg)
{
    malloc_trim(0);
    CHECK(filled(theirs, size, 1));
    free(theirs);
    return arg;
}

static void *first_info(void *arg)
{
    CHECK(mallinfo2().uordblks + mallinfo2().hblkhd >= size);
    free(theirs);
    return arg;
}

static void *first_malloc(void *arg)
{
    char *block = malloc(size);

    CHECK(block != NULL);
    fill(block, size, 3);
    CHECK(filled(theirs, size, 1));
    free(theirs);
    free(block);
    return arg;
}

static void *nothing(void *arg)
{
    return arg;
}

int main(void)
{
    static const size_t sizes[] = {1, 64, 1000, 5000, 40000, 300000, 5000000};
    static void *(*const starts[])(void *) = {first_free, first_free_null, first_realloc, first_shrink, first_calloc,
                                              first_aligned, first_usable, first_trim, first_info, first_malloc};

    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
        for (size_t j = 0; j < sizeof(sizes) / sizeof(sizes[0]); j++) {
            pthread_t thread;
            size = sizes[j];
            theirs = malloc(size);
            CHECK(theirs != NULL);
            fill(theirs, size, 1);
            CHECK(pthread_create(&thread, NULL, starts[i], NULL) == 0 && pthread_join(thread, NULL) == 0);
            CHECK(pthread_create(&thread, NULL, nothing, NULL) == 0 && pthread_join(thread, NULL) == 0);
        }
    return 0;
}
