/* SPDX-License-Identifier: MIT
 * A freed block is resized. Arguments: its size, the new one. */
#include "abuse.h"

int main(int argc, char **argv)
{
    const size_t size = number(argc, argv, 1, 64);
    char *block = at(among_others(size));

    free(block);
    CHECK(realloc(launder(block), number(argc, argv, 2, size * 2)) != NULL);
    return survived();
}
