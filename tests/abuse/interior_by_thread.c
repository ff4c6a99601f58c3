/* SPDX-License-Identifier: MIT
 * Another thread frees a pointer into a block. Arguments: the block's size, the offset. */
#include "abuse.h"

int main(int argc, char **argv)
{
    struct helper helper;

    start(&helper);
    char *block = among_others(number(argc, argv, 1, 64));
    free_there(&helper, at(block + number(argc, argv, 2, 16)));
    malloc_trim(0);
    return survived();
}
