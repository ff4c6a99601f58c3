/* SPDX-License-Identifier: MIT
 * The only block of its size is freed twice. Argument: its size. */
#include "abuse.h"

int main(int argc, char **argv)
{
    char *block = at(malloc(number(argc, argv, 1, 64)));

    free(block);
    free(launder(block));
    return survived();
}
