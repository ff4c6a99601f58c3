/* SPDX-License-Identifier: MIT
 * regret: shows how Weir's bound of slack follows what a program does (src/core/purge.c has the law, docs/memory.md
 * the plot). It calls Weir by name, and builds a table of which it drops and builds one half again and again, which
 * widens the bound; then a small one, as a program that works on with little; a larger one once; and
 * again small ones. Prints CSV when a table is
 * built and when it is dropped: seconds, and in MiB what is used, the slack, its bound, and the sums that went back and
 * came again. A few blocks stay all the time, so that no arena is ever empty and only pages go back. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <weir/weir.h>

enum { MIB = 1 << 20, BLOCK = 400, LOOP_MIB = 64, LITTLE_MIB = 4, MOST_MIB = 96, PAUSE_MS = 20, PIN_ONE_IN = 1000 };

static char *block[MOST_MIB * (MIB / BLOCK)];
static struct timespec start;

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start.tv_sec) + (double)(now.tv_nsec - start.tv_nsec) / 1e9;
}

static void say(const char *phase, const char *moment)
{
    struct weir_stats stats;
    weir_stats_get(&stats);
    printf("%.4f,%.3f,%.3f,%.3f,%.3f,%.3f,%s,%s\n", seconds(), (double)stats.used / MIB, (double)stats.slack / MIB,
           (double)stats.slack_bound / MIB, (double)stats.returned / MIB, (double)stats.refaulted / MIB, phase, moment);
}

static void pause_ms(long ms) { nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL); }

static void build(size_t blocks)
{
    for (size_t i = 0; i < blocks; i++) {
        if (block[i] != NULL)
            continue;
        block[i] = weir_malloc(BLOCK);
        if (block[i] == NULL) {
            fputs("regret: out of memory\n", stderr);
            exit(1);
        }
        memset(block[i], 1, BLOCK);
    }
}

static void drop(size_t from, size_t blocks)
{
    for (size_t i = from; i < blocks; i++)
        if (i % PIN_ONE_IN != 0) {
            weir_free(block[i]);
            block[i] = NULL;
        }
}

/** Drops what lies behind the first `keep` MiB of the table. */
static void build_and_drop(size_t mib, size_t keep, const char *phase)
{
    build(mib * (MIB / BLOCK));
    say(phase, "built");
    pause_ms(PAUSE_MS);
    drop(keep * (MIB / BLOCK), mib * (MIB / BLOCK));
    say(phase, "dropped");
    pause_ms(PAUSE_MS);
}

static void keep_going(double until, size_t mib, size_t keep, const char *phase)
{
    while (seconds() < until)
        build_and_drop(mib, keep, phase);
}

int main(void)
{
    clock_gettime(CLOCK_MONOTONIC, &start);
    puts("seconds,used,slack,bound,returned,refaulted,phase,moment");
    keep_going(3, LOOP_MIB, LOOP_MIB / 2, "loop");
    build_and_drop(LOOP_MIB, 0, "loop");
    keep_going(10, LITTLE_MIB, 0, "little");
    build_and_drop(MOST_MIB, 0, "once");
    keep_going(12, LITTLE_MIB, 0, "little");
}
