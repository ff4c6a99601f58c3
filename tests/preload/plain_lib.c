/* SPDX-License-Identifier: MIT
 * A library with functions that allocate and free; its constructor, destructor and thread-local data allocate too. */
#include "case.h"

static char *constructed;
static __thread char *local;

void *lib_malloc(size_t size)
{
    return malloc(size);
}

void lib_free(void *block)
{
    free(block);
}

/** Keeps a block for each thread that calls; gives the one kept before. */
void *lib_keep(void *block)
{
    void *before = local;

    local = block;
    return before;
}

__attribute__((constructor)) static void start(void)
{
    constructed = malloc(20); /* not strdup: that is the C library's malloc, with RTLD_DEEPBIND another than ours */
    strcpy(constructed, "constructed");
}

__attribute__((destructor)) static void end(void)
{
    CHECK(strcmp(constructed, "constructed") == 0);
    free(constructed);
}
