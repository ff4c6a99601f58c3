/* SPDX-License-Identifier: MIT
 * A library whose constructor and destructor allocate; preloaded beside Weir, so that they run before and after its. */
#include "case.h"

static char *kept;

__attribute__((constructor(101))) static void start(void)
{
    kept = malloc(3000);
    CHECK(kept != NULL);
    fill(kept, 3000, 1);
}

__attribute__((destructor(101))) static void end(void)
{
    CHECK(filled(kept, 3000, 1));
    free(kept);
    kept = malloc(70000);
    CHECK(kept != NULL);
    fill(kept, 70000, 2);
    free(kept);
}
