/* SPDX-License-Identifier: MIT
 * A pointer into a block is freed. Arguments: the block's size, the offset. */
#include "abuse.h"

int main(int argc, char **argv)
{
    char *block = among_others(number(argc, argv, 1, 64));

    free(at(block + number(argc, argv, 2, 16)));
    return survived();
}
