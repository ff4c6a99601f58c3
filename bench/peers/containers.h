/* SPDX-License-Identifier: MIT
 * What the programs that measure containers share. Each has vec(), map(), set() and deque(), which call begin(), end()
 * after each step, and give a sum of what they have seen, the same in all programs. Items and values are numbers of 64
 * bits, keys look random. `program NAME [N]`; without a name all. */
#ifndef CONTAINERS_H
#define CONTAINERS_H

#include "measure.h"

static uint64_t vec(size_t n), map(size_t n), set(size_t n), deque(size_t n);

static inline uint64_t key(uint64_t i)
{
    uint64_t x = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    return x ^ x >> 31;
}

static double step_start;
static long size_start;

static void begin(void)
{
    size_start = status_kib("VmRSS:");
    step_start = now();
}

static void end(const char *step, size_t n)
{
    print(step, (now() - step_start) / (double)n, "ns/item");
    step_start = now();
}

static void end_size(const char *step, size_t n)
{
    print(step, (double)(status_kib("VmRSS:") - size_start) * 1024 / (double)n, "bytes");
    step_start = now();
}

static int measure_all(int argc, char **argv)
{
    static const struct {
        const char *name;
        uint64_t (*run)(size_t n);
    } measurement[] = {{"vec", vec}, {"map", map}, {"set", set}, {"deque", deque}};
    bool known = argc < 2;
    for (size_t i = 0; i < sizeof measurement / sizeof *measurement; i++)
        if (argc < 2 || strcmp(argv[1], measurement[i].name) == 0) {
            char name[32];
            snprintf(name, sizeof name, "%s-sum", measurement[i].name);
            print(name, (double)(measurement[i].run(argc > 2 ? strtoul(argv[2], NULL, 10) : 1000000) % 1000003), "");
            known = true;
        }
    if (!known)
        fprintf(stderr, "%s: there is no measurement %s\n", argv[0], argv[1]);
    return known ? 0 : 2;
}

#endif
