/* SPDX-License-Identifier: MIT
 * A freed block is written to, then everything is freed and trimmed: the pool must not go back with its list broken and
 * its page is not to be handed out as something it is not. Argument: its size. */
#include "abuse.h"

int main(int argc, char **argv)
{
    const size_t size = number(argc, argv, 1, 64);
    char *blocks[400];

    for (int i = 0; i < 400; i++)
        CHECK((blocks[i] = malloc(size)) != NULL);
    at(blocks[0]);
    for (int i = 0; i < 400; i++) {
        free(blocks[i]);
        memset(launder(blocks[i]), 0x41, 8);
    }
    malloc_trim(0);
    for (int i = 0; i < 400; i++) {
        blocks[i] = malloc(size);
        CHECK(blocks[i] != NULL);
        fill(blocks[i], size, (unsigned)i);
    }
    for (int i = 0; i < 400; i++)
        CHECK(filled(blocks[i], size, (unsigned)i));
    return survived();
}
