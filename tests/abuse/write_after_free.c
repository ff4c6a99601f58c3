/* SPDX-License-Identifier: MIT
 * A freed block is written to, and blocks of its size are allocated. Argument: its size. */
#include "abuse.h"

int main(int argc, char **argv)
{
    const size_t size = number(argc, argv, 1, 64);
    char *block = among_others(size), *other = among_others(size);

    free(other);
    free(block);
    memset(launder(block), 0x41, size);
    at((void *)((uintptr_t)block & ~(uintptr_t)4095)); /* the message names the pool */
    for (int i = 0; i < 1000; i++) {
        char *next = malloc(size);
        if (next != NULL)
            memset(launder(next), 2, size);
    }
    return survived();
}
