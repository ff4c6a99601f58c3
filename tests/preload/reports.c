/* SPDX-License-Identifier: MIT
 * Writes what malloc_info says, after a known amount was allocated, and what malloc_stats says to standard error. */
#include "case.h"

#include <malloc.h>

int main(void)
{
    char *small[1000], *huge = malloc(30 * MIB * (page_size() / 4096));

    for (int i = 0; i < 1000; i++) {
        small[i] = malloc(2000);
        memset(small[i], 1, 2000);
    }
    CHECK(malloc_info(1, stdout) == EINVAL);
    CHECK(malloc_info(0, stdout) == 0);
    fflush(stdout);
    malloc_stats();
    free(huge);
    for (int i = 0; i < 1000; i++)
        free(small[i]);
    return 0;
}
