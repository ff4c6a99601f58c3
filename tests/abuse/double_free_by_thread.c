/* SPDX-License-Identifier: MIT
 * The owner frees a block, then another thread does. Argument: its size. */
#include "abuse.h"

int main(int argc, char **argv)
{
    struct helper helper;

    start(&helper);
    char *block = at(among_others(number(argc, argv, 1, 64)));
    free(block);
    free_there(&helper, block);
    malloc_trim(0);
    return survived();
}
