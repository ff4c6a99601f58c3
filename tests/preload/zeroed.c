/* SPDX-License-Identifier: MIT
 * calloc gives zeroes whatever the memory was before: fresh, used, purged, part of a resized huge block. */
#include "case.h"

#include <malloc.h>

int main(void)
{
    enum { COUNT = 400 };
    char *blocks[COUNT];
    size_t sizes[COUNT];
    uint64_t state = 1;

    for (unsigned round = 0; round < 12; round++) {
        for (unsigned i = 0; i < COUNT; i++) {
            sizes[i] = draw_size(&state, i % 40 == 0 ? 6000000 : 50000);
            blocks[i] = calloc(1, sizes[i]);
            CHECK(blocks[i] != NULL && all_zero(blocks[i], sizes[i]));
            CHECK(malloc_usable_size(blocks[i]) >= sizes[i]);
            memset(blocks[i], 0xff, malloc_usable_size(blocks[i]));
        }
        for (unsigned i = 0; i < COUNT; i++) {
            if (round % 3 == 1)
                blocks[i] = realloc(blocks[i], sizes[i] * 2);
            if (round % 3 == 1 && sizes[i] > 100000)
                memset(blocks[i], 0xee, sizes[i] * 2);
            if (i % 2 == round % 2)
                free(blocks[i]), blocks[i] = NULL;
        }
        if (round % 4 == 2)
            malloc_trim(0);
        for (unsigned i = 0; i < COUNT; i++)
            free(blocks[i]);
        if (round % 4 == 3)
            malloc_trim(0);
    }
    return 0;
}
