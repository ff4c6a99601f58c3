/* SPDX-License-Identifier: MIT
 * A pointer into an aligned block is freed. Arguments: alignment, size, offset. */
#include "abuse.h"

int main(int argc, char **argv)
{
    char *block = aligned_alloc(number(argc, argv, 1, 4096), number(argc, argv, 2, 10000));

    CHECK(block != NULL);
    free(at(block + number(argc, argv, 3, 4096)));
    return survived();
}
