/* SPDX-License-Identifier: MIT
 * A block of calloc, grown by realloc, is freed twice. Argument: its size. */
#include "abuse.h"

int main(int argc, char **argv)
{
    const size_t size = number(argc, argv, 1, 64);

    among_others(size);
    char *block = realloc(calloc(1, size / 2 + 1), size);
    among_others(size);
    at(block);
    free(block);
    free(launder(block));
    return survived();
}
