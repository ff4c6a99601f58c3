/* SPDX-License-Identifier: MIT
 * Two other threads free the same block. Argument: its size. */
#include "abuse.h"

int main(int argc, char **argv)
{
    struct helper first, second;

    start(&first);
    start(&second);
    char *block = at(among_others(number(argc, argv, 1, 64)));
    free_there(&first, block);
    free_there(&second, block);
    malloc_trim(0);
    return survived();
}
