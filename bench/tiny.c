/* SPDX-License-Identifier: MIT
 * tiny: a great many blocks of up to 32 bytes, where what an allocator adds to each block weighs most. Lists are
 * built, a part of each is unlinked, new cells come into the holes, and at last all go. M. Johnstone and P. Wilson,
 * "The memory fragmentation problem: solved?", ISMM 1998, measure programs most of whose blocks are so small. */
#include "bench.h"

enum { LISTS = 64, CELLS = 3000, RENEWALS = 2, WORK_PER_BUILD = 8 };

/** 16, 24 or 32 bytes. */
struct cell {
    struct cell *next;
    uint32_t value, more; /* more: number of words behind */
    uint64_t word[];
};

static struct cell *new_cell(struct bench_thread *thread, struct cell *next)
{
    uint64_t random = bench_random(&thread->random);
    uint32_t more = (uint32_t)(random >> 32) % 3;
    struct cell *cell = (struct cell *)bench_malloc(sizeof *cell + more * sizeof *cell->word);
    cell->next = next;
    cell->value = (uint32_t)random;
    cell->more = more;
    for (uint32_t i = 0; i < more; i++)
        cell->word[i] = cell->value + i;
    return cell;
}

static void end_cell(struct bench_thread *thread, struct cell *cell)
{
    for (uint32_t i = 0; i < cell->more; i++)
        if (cell->word[i] != (uint64_t)cell->value + i)
            bench_fail("a block does not hold what was written to it");
    thread->sum += bench_mix(cell->value);
    free(cell);
}

/** Unlinks about two cells in three, then puts as many back as it took away. */
static void renew(struct bench_thread *thread, struct cell **list)
{
    size_t gone = 0;
    for (struct cell **link = list; *link != NULL;) {
        struct cell *cell = *link;
        if ((cell->value & 3) == 0 || bench_below(&thread->random, 4) == 0) {
            link = &cell->next;
            continue;
        }
        *link = cell->next;
        end_cell(thread, cell);
        gone++;
    }
    while (gone-- > 0)
        *list = new_cell(thread, *list);
}

static void work(struct bench_thread *thread)
{
    for (size_t build = 0; build < (thread->bench->work + WORK_PER_BUILD - 1) / WORK_PER_BUILD; build++) {
        struct cell *list[LISTS] = {NULL};
        for (unsigned i = 0; i < LISTS * CELLS; i++)
            list[i % LISTS] = new_cell(thread, list[i % LISTS]); /* cells of one list are not neighbours */
        for (unsigned i = 0; i < LISTS * RENEWALS; i++)
            renew(thread, &list[i % LISTS]);
        for (unsigned i = 0; i < LISTS; i++)
            while (list[i] != NULL) {
                struct cell *next = list[i]->next;
                end_cell(thread, list[i]);
                list[i] = next;
            }
    }
}

int main(int argc, char **argv)
{
    struct bench bench = bench_options(argc, argv, 1, "Linked lists of tiny blocks.");
    bench_print(bench_run(&bench, work, NULL));
}
