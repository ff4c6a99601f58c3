/* SPDX-License-Identifier: MIT
 * A pointer into a block is resized. Arguments: the block's size, the offset. */
#include "abuse.h"

int main(int argc, char **argv)
{
    const size_t size = number(argc, argv, 1, 64);
    char *block = among_others(size);

    CHECK(realloc(at(block + number(argc, argv, 2, 16)), 2 * size) != NULL);
    return survived();
}
