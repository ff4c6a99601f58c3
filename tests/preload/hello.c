/* SPDX-License-Identifier: MIT
 * Allocates a little and says so. */
#include "case.h"

int main(void)
{
    char *block = strdup("hello");

    say("%s %d\n", block, (int)getpid());
    free(block);
    return 0;
}
