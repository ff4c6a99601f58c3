/* SPDX-License-Identifier: MIT
 * Another thread frees a block, then the owner does. Argument: its size. */
#include "abuse.h"

int main(int argc, char **argv)
{
    struct helper helper;

    start(&helper);
    char *block = at(among_others(number(argc, argv, 1, 64)));
    free_there(&helper, block);
    free(launder(block));
    malloc_trim(0);
    return survived();
}
