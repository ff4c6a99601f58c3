/* SPDX-License-Identifier: MIT
 * C23's free_sized and free_aligned_sized, and cfree, free what any of the family gave. */
#include "case.h"

#include <dlfcn.h>
#include <malloc.h>

int main(void)
{
    void (*free_sized)(void *, size_t) = dlsym(RTLD_DEFAULT, "free_sized");
    void (*free_aligned_sized)(void *, size_t, size_t) = dlsym(RTLD_DEFAULT, "free_aligned_sized");
    void (*cfree)(void *) = dlsym(RTLD_DEFAULT, "cfree");

    CHECK(free_sized != NULL && free_aligned_sized != NULL && cfree != NULL);
    free_sized(NULL, 0);
    free_aligned_sized(NULL, 64, 0);
    cfree(NULL);
    const size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    for (size_t size = 0; size < 30000000; size = size * 2 + 1) {
        char *block = malloc(size);
        fill(block, size, 1);
        errno = 55;
        free_sized(block, size);
        free_sized(calloc(1, size), size);
        free_aligned_sized(aligned_alloc(256, size), 256, size);
        free_aligned_sized(aligned_alloc(65536, size), 65536, size);
        cfree(malloc(size));
        free_sized(realloc(malloc(10), size), size);
        CHECK(errno == 55);
    }
    CHECK(mallinfo2().uordblks + mallinfo2().hblkhd <= before + 1 * MIB);
    return 0;
}
