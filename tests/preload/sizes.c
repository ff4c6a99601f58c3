/* SPDX-License-Identifier: MIT
 * The edges of sizes: zero, the largest, products that overflow; and what POSIX and C say of errors. */
#include "case.h"

#include <malloc.h>

#define IS_ENOMEM(call) (errno = 0, (call) == NULL && errno == ENOMEM)

static void zero(void)
{
    enum { COUNT = 100 };
    char *blocks[COUNT];

    for (unsigned i = 0; i < COUNT; i++) {
        switch (i % 5) {
        case 0:
            blocks[i] = malloc(0);
            break;
        case 1:
            blocks[i] = calloc(0, 10);
            break;
        case 2:
            blocks[i] = realloc(NULL, 0);
            break;
        case 3:
            blocks[i] = reallocarray(NULL, 0, 8);
            break;
        default:
            blocks[i] = aligned_alloc(64, 0);
        }
        CHECK(blocks[i] != NULL && (uintptr_t)blocks[i] % 16 == 0);
        for (unsigned j = 0; j < i; j++)
            CHECK(blocks[i] != blocks[j]);
    }
    for (unsigned i = 0; i < COUNT; i++)
        free(blocks[i]);
}

static void too_large(void)
{
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 15, SIZE_MAX - 4095, SIZE_MAX / 2 + 1,
                                   SIZE_MAX / 2, SIZE_MAX / 2 - 4096, (size_t)1 << 62, ((size_t)1 << 48) - 1};
    char *block = malloc(1000);

    fill(block, 1000, 1);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        const size_t size = sizes[i];
        void *out = block;
        CHECK(IS_ENOMEM(malloc(size)));
        CHECK(IS_ENOMEM(calloc(1, size)));
        CHECK(IS_ENOMEM(calloc(size, 1)));
        CHECK(IS_ENOMEM(realloc(NULL, size)));
        CHECK(IS_ENOMEM(realloc(block, size)));
        CHECK(IS_ENOMEM(reallocarray(block, size, 1)));
        CHECK(IS_ENOMEM(aligned_alloc(16, size)));
        CHECK(IS_ENOMEM(aligned_alloc(4096, size)));
        CHECK(IS_ENOMEM(memalign(1 << 20, size)));
        CHECK(IS_ENOMEM(valloc(size)));
        CHECK(IS_ENOMEM(pvalloc(size)));
        errno = 77;
        CHECK(posix_memalign(&out, 64, size) == ENOMEM && out == block && errno == 77);
    }
    CHECK(filled(block, 1000, 1));
    free(block);
}

static void overflow(void)
{
    static const size_t pairs[][2] = {{SIZE_MAX, 2}, {2, SIZE_MAX}, {SIZE_MAX, SIZE_MAX}, {SIZE_MAX / 3 + 1, 3},
                                      {(size_t)1 << 32, (size_t)1 << 32}, {(size_t)1 << 63, 2},
                                      {((size_t)1 << 60) + 1, 16}};
    char *block = malloc(10);

    fill(block, 10, 2);
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        CHECK(IS_ENOMEM(calloc(pairs[i][0], pairs[i][1])));
        CHECK(IS_ENOMEM(reallocarray(NULL, pairs[i][0], pairs[i][1])));
        CHECK(IS_ENOMEM(reallocarray(block, pairs[i][0], pairs[i][1])));
    }
    CHECK(filled(block, 10, 2));
    free(block);
}

static void invalid_alignment(void)
{
    static const size_t wrong[] = {0, 1, 2, 3, 4, 7, 12, 24, 100, 4097, SIZE_MAX};
    void *out = &out;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        errno = 77;
        CHECK(posix_memalign(&out, wrong[i], 100) == EINVAL && out == (void *)&out && errno == 77);
    }
    errno = 0;
    CHECK(aligned_alloc(0, 100) == NULL && errno == EINVAL);
    errno = 0;
    CHECK(aligned_alloc(24, 100) == NULL && errno == EINVAL);
    errno = 0;
    CHECK(memalign(SIZE_MAX / 2 + 2, 100) == NULL && errno == EINVAL);
    char *block = memalign(24, 100); /* the next power of two, as the C library has it */
    CHECK(block != NULL && (uintptr_t)block % 32 == 0);
    free(block);
    block = memalign(0, 100);
    CHECK(block != NULL && (uintptr_t)block % 16 == 0);
    free(block);
}

static void pages(void)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);

    for (size_t size = 0; size < 3 * page; size += 511) {
        char *block = valloc(size), *whole = pvalloc(size);
        CHECK(block != NULL && (uintptr_t)block % page == 0 && malloc_usable_size(block) >= size);
        CHECK(whole != NULL && (uintptr_t)whole % page == 0);
        CHECK(malloc_usable_size(whole) >= (size == 0 ? page : (size + page - 1) / page * page));
        fill(whole, malloc_usable_size(whole), 1);
        free(block);
        free(whole);
    }
}

/** realloc keeps content through every pair of sizes, in place or not. */
static void resized(void)
{
    static const size_t sizes[] = {0, 1, 16, 100, 1024, 1025, 4000, 5000, 30000, 33000, 200000, 1200000, 2100000,
                                   9000000};
    enum { COUNT = sizeof(sizes) / sizeof(sizes[0]) };

    for (unsigned i = 0; i < COUNT; i++)
        for (unsigned j = 1; j < COUNT; j++) { /* realloc to no bytes frees */
            const size_t common = sizes[i] < sizes[j] ? sizes[i] : sizes[j];
            char *block = malloc(sizes[i]);
            CHECK(block != NULL);
            fill(block, sizes[i], i);
            block = realloc(block, sizes[j]);
            CHECK(block != NULL && filled(block, common, i) && malloc_usable_size(block) >= sizes[j]);
            fill(block, sizes[j], j);
            block = realloc(block, sizes[i]);
            CHECK((block != NULL && filled(block, common, j)) || sizes[i] == 0);
            free(block);
        }
}

int main(void)
{
    zero();
    too_large();
    overflow();
    invalid_alignment();
    pages();
    resized();
    return 0;
}
