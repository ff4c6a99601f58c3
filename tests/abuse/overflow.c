/* SPDX-License-Identifier: MIT
 * A block is written beyond its end, into a free neighbour, and blocks of its size are allocated. Argument: its
 * size. */
#include "abuse.h"

int main(int argc, char **argv)
{
    const size_t size = number(argc, argv, 1, 64);
    char *blocks[41];
    size_t usable = 0;

    for (int i = 0; i < 41; i++)
        CHECK((blocks[i] = malloc(size)) != NULL);
    usable = malloc_usable_size(blocks[20]);
    at((void *)((uintptr_t)blocks[20] & ~(uintptr_t)4095)); /* the message names the pool */
    for (int i = 0; i < 41; i++)
        if (i != 20)
            free(blocks[i]);
    memset(launder(blocks[20]), 0x41, usable + 16);
    for (int i = 0; i < 1000; i++) {
        char *next = malloc(size);
        if (next != NULL)
            memset(launder(next), 2, size);
    }
    return survived();
}
