/* SPDX-License-Identifier: MIT
 * Linked with the library and set-user-ID to another user: its environment is not to be trusted. */
#include "case.h"

#include <sys/auxv.h>

int main(void)
{
    free(malloc(100));
    say("secure %d\n", getauxval(AT_SECURE) != 0);
    return 0;
}
