/* SPDX-License-Identifier: MIT
 * A block is freed twice in a row. Argument: its size. */
#include "abuse.h"

int main(int argc, char **argv)
{
    char *block = at(among_others(number(argc, argv, 1, 64)));

    free(block);
    free(launder(block));
    return survived();
}
