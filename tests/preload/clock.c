/* SPDX-License-Identifier: MIT
 * The clock is read on slow paths only, and only the coarse one: a program's own clock_gettime, which comes
 * first, counts who asks. */
#include "case.h"

#include <sys/syscall.h>
#include <time.h>

static _Atomic unsigned long coarse, other;

int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (clock == CLOCK_MONOTONIC_COARSE)
        coarse++;
    else
        other++;
    return (int)syscall(SYS_clock_gettime, clock, now);
}

int main(void)
{
    char *blocks[100];
    uint64_t state = 1;

    for (int round = 0; round < 20000; round++) {
        for (int i = 0; i < 100; i++)
            CHECK((blocks[i] = malloc(16 + draw(&state) % 1000)) != NULL);
        for (int i = 0; i < 100; i++)
            free(blocks[i]);
    }
    const unsigned long hot = coarse;
    for (int i = 0; i < 200; i++) {
        char *block = malloc(40 * MIB);
        CHECK(block != NULL);
        memset(block, 1, MIB);
        free(block);
    }
    say("%lu readings in 2,000,000 pairs, %lu in all, %lu of other clocks\n", hot, (unsigned long)coarse,
        (unsigned long)other);
    CHECK(hot < 2000 && other == 0);
    return 0;
}
