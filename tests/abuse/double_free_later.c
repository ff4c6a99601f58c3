/* SPDX-License-Identifier: MIT
 * A block is freed again after much else was allocated and freed, none of it in its place. Argument: its size. */
#include "abuse.h"

int main(int argc, char **argv)
{
    const size_t size = number(argc, argv, 1, 64);
    char *block = at(among_others(size)), *others[200];

    free(block);
    for (int i = 0; i < 200; i++)
        others[i] = malloc(size * 3 + 500);
    for (int i = 0; i < 200; i++)
        free(others[i]);
    free(launder(block));
    return survived();
}
