/* SPDX-License-Identifier: MIT
 * Every power of two as alignment, up to 2^63: a block so aligned, or ENOMEM; through each function that takes one. */
#include "case.h"

#include <malloc.h>

static void try_all(size_t alignment, size_t size)
{
    void *blocks[4] = {NULL, NULL, NULL, NULL};
    const int error = posix_memalign(&blocks[0], alignment < sizeof(void *) ? sizeof(void *) : alignment, size);

    CHECK(error == 0 || error == ENOMEM);
    errno = 0;
    blocks[1] = aligned_alloc(alignment, size);
    CHECK(blocks[1] != NULL || errno == ENOMEM);
    errno = 0;
    blocks[2] = memalign(alignment, size);
    CHECK(blocks[2] != NULL || errno == ENOMEM);
    blocks[3] = aligned_alloc(alignment, size);
    for (unsigned i = 0; i < 4; i++) {
        if (alignment <= ((size_t)1 << 32))
            CHECK(blocks[i] != NULL);
        if (alignment > ((size_t)1 << 47))
            CHECK(blocks[i] == NULL);
        if (blocks[i] == NULL)
            continue;
        CHECK((uintptr_t)blocks[i] % alignment == 0);
        CHECK(malloc_usable_size(blocks[i]) >= size);
        fill(blocks[i], size, i);
    }
    for (unsigned i = 0; i < 4; i++)
        CHECK(blocks[i] == NULL || filled(blocks[i], size, i));
    for (unsigned i = 0; i < 3; i++)
        free(blocks[i]);
    if (blocks[3] != NULL) {
        blocks[3] = realloc(blocks[3], size * 2 + 100);
        CHECK(blocks[3] != NULL && filled(blocks[3], size, 3));
        free(blocks[3]);
    }
}

int main(void)
{
    static const size_t sizes[] = {0, 1, 15, 64, 100, 1000, 4096, 5000, 40000, 300000, 3000000};

    for (unsigned shift = 0; shift < 64; shift++)
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
            try_all((size_t)1 << shift, sizes[i]);
    return 0;
}
