/* SPDX-License-Identifier: MIT
 * An aligned block is freed twice. Arguments: alignment, size. */
#include "abuse.h"

int main(int argc, char **argv)
{
    const size_t alignment = number(argc, argv, 1, 4096), size = number(argc, argv, 2, 100);
    void *keep = aligned_alloc(alignment, size), *block = aligned_alloc(alignment, size);

    aligned_alloc(alignment, size);
    at(block);
    free(block);
    free(launder(block));
    CHECK(keep != NULL);
    return survived();
}
