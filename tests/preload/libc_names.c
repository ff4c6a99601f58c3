/* SPDX-License-Identifier: MIT
 * A program that counts calls: its malloc family wraps __libc_malloc and its like, which must be Weir's, and which must
 * not call back the program's. */
#include "case.h"

#include <dlfcn.h>

void *__libc_malloc(size_t);
void __libc_free(void *);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void *__libc_valloc(size_t);
void *__libc_pvalloc(size_t);

static unsigned calls, depth;

#define WRAP(call)                                                                                                     \
    do {                                                                                                               \
        CHECK(depth == 0);                                                                                             \
        depth++, calls++;                                                                                              \
        call;                                                                                                          \
        depth--;                                                                                                       \
    } while (0)

void *malloc(size_t size)
{
    void *block;

    WRAP(block = __libc_malloc(size));
    return block;
}

void free(void *block)
{
    WRAP(__libc_free(block));
}

void *calloc(size_t count, size_t size)
{
    void *block;

    WRAP(block = __libc_calloc(count, size));
    return block;
}

void *realloc(void *old, size_t size)
{
    void *block;

    WRAP(block = __libc_realloc(old, size));
    return block;
}

int main(void)
{
    void *blocks[] = {malloc(10), calloc(10, 10), realloc(NULL, 1000), __libc_memalign(256, 10), __libc_valloc(10),
                      __libc_pvalloc(10)};

    CHECK((uintptr_t)blocks[3] % 256 == 0 && (uintptr_t)blocks[4] % 4096 == 0 && (uintptr_t)blocks[5] % 4096 == 0);
    size_t (*usable)(const void *) = dlsym(RTLD_DEFAULT, "weir_usable_size");
    for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
        CHECK(blocks[i] != NULL);
        CHECK(usable == NULL || usable(blocks[i]) >= 10);
        free(realloc(blocks[i], 2000));
    }
    CHECK(calls >= 12);
    return 0;
}
