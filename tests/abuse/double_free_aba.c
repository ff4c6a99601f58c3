/* SPDX-License-Identifier: MIT
 * A block is freed twice, another one in between. Argument: their size. */
#include "abuse.h"

int main(int argc, char **argv)
{
    const size_t size = number(argc, argv, 1, 64);
    char *block = at(among_others(size)), *other = among_others(size);

    free(block);
    free(other);
    free(launder(block));
    return survived();
}
