/* SPDX-License-Identifier: MIT
 * A pointer that Weir never gave is passed to a function. Arguments: the function, the pointer. */
#include "abuse.h"

#include <sys/mman.h>

static char object[64] __attribute__((aligned(16)));

int main(int argc, char **argv)
{
    char local[64] __attribute__((aligned(16)));
    const char *function = argv[1], *what = argv[2];
    void *pointer = object;

    CHECK(argc == 3);
    if (strcmp(what, "stack") == 0)
        pointer = local;
    if (strcmp(what, "mapped") == 0)
        pointer = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (strcmp(what, "wild") == 0)
        pointer = (void *)0xdeadbeefdeadbee0;
    if (strcmp(what, "code") == 0)
        pointer = (void *)main;
    if (strcmp(what, "one") == 0)
        pointer = (void *)1;
    at(pointer);
    if (strcmp(function, "free") == 0)
        free(launder(pointer));
    if (strcmp(function, "realloc") == 0)
        CHECK(realloc(launder(pointer), 100) == NULL);
    if (strcmp(function, "usable") == 0)
        CHECK(malloc_usable_size(launder(pointer)) == 0);
    return survived();
}
