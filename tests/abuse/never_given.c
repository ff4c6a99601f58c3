/* SPDX-License-Identifier: MIT
 * A pointer into Weir's memory that was never a block: pages of the arena that nobody has used yet. */
#include "abuse.h"

int main(void)
{
    const size_t arena = 1024 * page_size();
    char *block = malloc(64);

    free(at((char *)((uintptr_t)block & ~(arena - 1)) + arena - 64));
    return survived();
}
