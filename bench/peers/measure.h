/* SPDX-License-Identifier: MIT
 * What the programs that bench/objects-all compares have in common: a clock, a line for each figure ("name value
 * unit"), resident memory over the start. */
#ifndef MEASURE_H
#define MEASURE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static inline double read_clock(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static inline double now(void) { return read_clock(CLOCK_MONOTONIC); }

/** Time for which this thread has had a processor: what it took but for those who took that away. */
static inline double now_busy(void) { return read_clock(CLOCK_THREAD_CPUTIME_ID); }

static inline void print(const char *name, double value, const char *unit)
{
    printf("%-24s %12.2f %s\n", name, value, unit);
    fflush(stdout);
}

/** A line of /proc/self/status, KiB; 0 if there is none. */
static inline long status_kib(const char *key)
{
    char line[256];
    long kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, key, strlen(key)) == 0)
            kib = strtol(line + strlen(key), NULL, 10);
    if (file != NULL)
        fclose(file);
    return kib;
}

static inline uint64_t random_below(uint64_t limit)
{
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % limit;
}

/** The compiler does not know what becomes of the object. */
#define KEEP(pointer) __asm__ volatile("" : : "r"(pointer) : "memory")

static inline double least(double a, double b) { return a < b ? a : b; }

#endif
