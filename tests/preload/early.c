/* SPDX-License-Identifier: MIT
 * The first calls come before any constructor of any library has run. */
#include "case.h"

#include <malloc.h>

static void *kept[6];

static void before_constructors(int argc, char **argv, char **environment)
{
    (void)argc, (void)argv, (void)environment;
    free(NULL);
    kept[0] = malloc(100);
    kept[1] = calloc(10, 100);
    kept[2] = realloc(NULL, 5000);
    kept[3] = aligned_alloc(4096, 4096);
    kept[4] = malloc(100000);
    kept[5] = malloc(20 * MIB);
    for (size_t i = 0; i < 6; i++)
        CHECK(kept[i] != NULL);
    CHECK(all_zero(kept[1], 1000));
    for (size_t i = 0; i < 6; i++)
        fill(kept[i], 100, (unsigned)i);
    free(malloc(32));
}

__attribute__((section(".preinit_array"), used)) static void (*const entry)(int, char **, char **) =
    before_constructors;

int main(void)
{
    for (size_t i = 0; i < 6; i++) {
        CHECK(filled(kept[i], 100, (unsigned)i));
        CHECK(malloc_usable_size(kept[i]) >= 100);
        free(kept[i]);
    }
    return 0;
}
