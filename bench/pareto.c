/* SPDX-License-Identifier: MIT
 * pareto: sizes and lifetimes with heavy tails. Most blocks are small and die young, a few are large or live long,
 * as B. Zorn and D. Grunwald, "Evaluating models of memory allocation", ACM TOMACS 4(1), 1994, found in programs;
 * they also show that only a model with the right distributions tells allocators apart. */
#include "bench.h"

#include <math.h>

enum { QUANTILES = 4096, WHEEL = 1 << 20, SIZE_LEAST = 24, SIZE_MOST = 1 << 18, LIFE_LEAST = 64, STEPS = 80000 };

static size_t size_at[QUANTILES], life_at[QUANTILES];

/** A block begins with its link in the list of those that die with it. */
struct block {
    struct block *next;
    size_t size;
};

/** Quantiles of the Pareto distribution with this least value and exponent, cut off at `most`. */
static void fill_quantiles(size_t *value, double least, double exponent, size_t most)
{
    for (unsigned i = 0; i < QUANTILES; i++) {
        double x = least * pow(1 - (i + 0.5) / QUANTILES, -1 / exponent);
        value[i] = x < (double)most ? (size_t)x : most;
    }
}

static void end_all(struct bench_thread *thread, struct block *block)
{
    while (block != NULL) {
        struct block *next = block->next;
        if (((char *)block)[block->size - 1] != (char)block->size)
            bench_fail("a block does not hold what was written to it");
        thread->sum += bench_mix(block->size);
        free(block);
        block = next;
    }
}

static void live_and_die(struct bench_thread *thread)
{
    struct block **wheel = (struct block **)bench_need(calloc(WHEEL, sizeof *wheel));
    for (size_t now = 0; now < thread->bench->work * STEPS; now++) {
        struct block **slot = &wheel[now % WHEEL];
        end_all(thread, *slot);
        *slot = NULL;
        size_t size = size_at[bench_below(&thread->random, QUANTILES)];
        slot = &wheel[(now + life_at[bench_below(&thread->random, QUANTILES)]) % WHEEL];
        struct block *block = (struct block *)bench_malloc(size);
        *block = (struct block){*slot, size};
        ((char *)block)[size - 1] = (char)size;
        *slot = block;
    }
    for (size_t i = 0; i < WHEEL; i++)
        end_all(thread, wheel[i]);
    free(wheel);
}

int main(int argc, char **argv)
{
    struct bench bench = bench_options(argc, argv, 1, "Sizes and lifetimes after Pareto.");
    fill_quantiles(size_at, SIZE_LEAST, 1.2, SIZE_MOST);
    fill_quantiles(life_at, LIFE_LEAST, 0.4, WHEEL - 1);
    bench_print(bench_run(&bench, live_and_die, NULL));
}
