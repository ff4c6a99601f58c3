/* SPDX-License-Identifier: MIT
 * A block is freed again when its page, and all of its neighbours, have gone back. Argument: its size. */
#include "abuse.h"

enum { COUNT = 5000 };

int main(int argc, char **argv)
{
    static char *blocks[COUNT];
    const size_t size = number(argc, argv, 1, 64);

    CHECK(malloc(size + 16) != NULL && malloc(70000) != NULL); /* the arena stays */
    for (int i = 0; i < COUNT; i++)
        CHECK((blocks[i] = malloc(size)) != NULL);
    char *block = at(blocks[100]);
    for (int i = 0; i < COUNT; i++)
        free(blocks[i]);
    malloc_trim(0);
    free(launder(block));
    return survived();
}
