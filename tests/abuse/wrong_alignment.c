/* SPDX-License-Identifier: MIT
 * free_aligned_sized with an alignment that the block cannot have had. */
#include "abuse.h"

#include <dlfcn.h>

int main(void)
{
    void (*free_aligned_sized)(void *, size_t, size_t) = dlsym(RTLD_DEFAULT, "free_aligned_sized");
    char *block = malloc(48), *other = malloc(48);

    if ((uintptr_t)block % 4096 == 0)
        block = other;
    free_aligned_sized(at(block), 4096, 48);
    return survived();
}
