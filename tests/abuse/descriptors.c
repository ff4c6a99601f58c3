/* SPDX-License-Identifier: MIT
 * A pointer to Weir's own descriptors, at the arena's head, is freed. */
#include "abuse.h"

int main(void)
{
    const size_t arena = 1024 * page_size();
    char *block = malloc(64);

    free(at((char *)((uintptr_t)block & ~(arena - 1)) + 4096));
    return survived();
}
