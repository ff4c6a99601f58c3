/* SPDX-License-Identifier: MIT
 * phases: a program that goes through phases, each with a few favourite sizes of its own. In a phase there are peaks
 * (much is taken, and all of it freed), and something is kept that lives on through the next phases (a ramp, then a
 * plateau). P. Wilson, M. Johnstone, M. Neely and D. Boles, "Dynamic storage allocation: a survey and critical
 * review", IWMM 1995, name these as what real programs do and random ones do not. */
#include "bench.h"

enum { FAVOURITES = 5, PEAKS = 3, PEAK_BLOCKS = 12000, KEPT = 1500, PLATEAU = 4, WORK_PER_PHASE = 2 };

struct block {
    struct block *next;
    size_t size;
    uint64_t value;
};

static void add(struct bench_thread *thread, struct block **list, const size_t *favourite)
{
    size_t size = favourite[bench_below(&thread->random, FAVOURITES)];
    struct block *block = (struct block *)bench_malloc(size);
    *block = (struct block){*list, size, thread->random};
    memset(block + 1, (int)block->value, size - sizeof *block);
    *list = block;
}

static void end_list(struct bench_thread *thread, struct block **list)
{
    while (*list != NULL) {
        struct block *block = *list;
        *list = block->next;
        if (((char *)block)[block->size - 1] != (char)block->value)
            bench_fail("a block does not hold what was written to it");
        thread->sum += bench_mix(block->value + block->size);
        free(block);
    }
}

/** Mostly small, each another magnitude. */
static void choose_favourites(struct bench_thread *thread, size_t favourite[FAVOURITES])
{
    for (unsigned i = 0; i < FAVOURITES; i++) {
        size_t most = (size_t)64 << bench_below(&thread->random, 2 + 2 * i);
        favourite[i] = sizeof(struct block) + bench_between(&thread->random, 1, most) / 8 * 8 + 8;
        if (favourite[i] > 4096 && bench_below(&thread->random, 4) != 0)
            favourite[i] = favourite[0];
    }
}

static void work(struct bench_thread *thread)
{
    struct block *plateau[PLATEAU] = {NULL};
    for (size_t phase = 0; phase < (thread->bench->work + WORK_PER_PHASE - 1) / WORK_PER_PHASE; phase++) {
        size_t favourite[FAVOURITES];
        struct block **kept = &plateau[phase % PLATEAU];
        choose_favourites(thread, favourite);
        end_list(thread, kept);
        for (unsigned peak = 0; peak < PEAKS; peak++) {
            struct block *list = NULL;
            for (unsigned i = 0; i < PEAK_BLOCKS; i++)
                add(thread, i % (PEAK_BLOCKS * PEAKS / KEPT) == 0 ? kept : &list, favourite);
            end_list(thread, &list);
        }
    }
    for (unsigned i = 0; i < PLATEAU; i++)
        end_list(thread, &plateau[i]);
}

int main(int argc, char **argv)
{
    struct bench bench = bench_options(argc, argv, 1, "Phases with peaks and plateaus.");
    bench_print(bench_run(&bench, work, NULL));
}
