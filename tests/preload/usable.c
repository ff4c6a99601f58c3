/* SPDX-License-Identifier: MIT
 * malloc_usable_size: at least what was asked for, all of it writable without harm to neighbours, constant for the
 * block's life whatever happens around it. */
#include "case.h"

#include <malloc.h>

enum { BLOCKS = 3000 };

struct row {
    unsigned char *block;
    size_t usable;
};

static void *make(unsigned i, size_t size)
{
    switch (i % 4) {
    case 0:
        return malloc(size);
    case 1:
        return calloc(1, size);
    case 2:
        return aligned_alloc((size_t)16 << (i / 4 % 14), size);
    default:
        return realloc(malloc(size / 2), size);
    }
}

static struct row rows[BLOCKS];

int main(void)
{
    uint64_t state = 1;

    CHECK(malloc_usable_size(NULL) == 0);
    for (unsigned i = 0; i < BLOCKS; i++) {
        const size_t size = i < 1100 ? i : draw_size(&state, i % 100 == 0 ? 5000000 : 60000);
        rows[i].block = make(i, size);
        CHECK(rows[i].block != NULL);
        rows[i].usable = malloc_usable_size(rows[i].block);
        CHECK(rows[i].usable >= size);
        CHECK(rows[i].usable <= size + size / 4 + page_size() * 17);
        fill(rows[i].block, rows[i].usable, i);
    }
    for (unsigned i = 0; i < BLOCKS; i += 2) {
        CHECK(filled(rows[i].block, rows[i].usable, i));
        free(rows[i].block);
    }
    malloc_trim(0);
    for (unsigned i = 1; i < BLOCKS; i += 2) {
        CHECK(malloc_usable_size(rows[i].block) == rows[i].usable);
        CHECK(filled(rows[i].block, rows[i].usable, i));
        unsigned char *same = realloc(rows[i].block, rows[i].usable);
        CHECK(same != NULL && malloc_usable_size(same) >= rows[i].usable && filled(same, rows[i].usable, i));
        free(same);
    }
    return 0;
}
