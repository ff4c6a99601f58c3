/* SPDX-License-Identifier: MIT
 * realloc(block, 0) frees, as the C library's does: programs free so, and never look at what it gives. */
#include "case.h"

enum { TIMES = 300000 };

int main(void)
{
    static const size_t sizes[] = {1, 100, 1000, 10000, 300 * KIB, 5 * MIB};
    void *volatile block; /* so that no compiler knows better */

    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        errno = 0;
        CHECK((block = malloc(sizes[i])) != NULL);
        CHECK((block = realloc(block, 0)) == NULL && errno == 0);
        CHECK((block = malloc(sizes[i])) != NULL);
        CHECK((block = reallocarray(block, i % 2 == 0 ? 0 : 7, i % 2 == 0 ? 7 : 0)) == NULL && errno == 0);
    }
    const size_t before = resident();
    for (unsigned i = 0; i < TIMES; i++) {
        CHECK((block = malloc(40 + i % 64)) != NULL);
        block = realloc(block, 0);
    }
    CHECK(resident() < before + MIB);
    CHECK((block = realloc(NULL, 0)) != NULL);
    free(block);
    CHECK((block = reallocarray(NULL, 0, 3)) != NULL);
    free(block);
    CHECK((block = malloc(8)) != NULL);
    CHECK(reallocarray(block, SIZE_MAX / 2, 3) == NULL && errno == ENOMEM);
    free(block);
    return 0;
}
