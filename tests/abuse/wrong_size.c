/* SPDX-License-Identifier: MIT
 * free_sized with a size that the block cannot have had. Arguments: its size, the wrong one. */
#include "abuse.h"

#include <dlfcn.h>

int main(int argc, char **argv)
{
    void (*free_sized)(void *, size_t) = dlsym(RTLD_DEFAULT, "free_sized");
    char *block = at(among_others(number(argc, argv, 1, 64)));

    free_sized(block, number(argc, argv, 2, 10000));
    return survived();
}
