/* SPDX-License-Identifier: MIT
 * adversary: a program that does its worst. It takes blocks of 16 bytes until its live bytes are at their most, frees
 * those that least stand in the way of blocks of twice the size, fills up with these, and so on to 64 KiB: what is left
 * each time hinders blocks of the next size most. No allocator that does not move blocks escapes it, but they differ in
 * what it costs them. After J. M. Robson, "Bounds for some functions concerning dynamic storage allocation", JACM
 * 21(3), 1974, and "Worst case fragmentation of first fit and best fit storage allocation strategies", Computer Journal
 * 20(3), 1977.
 *
 * Which blocks go depends on their addresses. So the checksum covers what does not: that each block holds what was
 * written to it, and how much was done. */
#include "bench.h"

enum { UNIT = 16, PHASES = 13, LIVE = 4 << 20, WORK_PER_RUN = 3 };

struct held {
    char *block;
    size_t size;
};

struct program {
    struct held *held;
    size_t count, live;
    uintptr_t offset; /* blocks that have a byte at this offset from a multiple of the next size stay */
};

static bool stands_at(const struct held *held, uintptr_t offset, size_t step)
{
    return ((offset - (uintptr_t)held->block) & (step - 1)) < held->size;
}

/** How much the blocks at this offset stand in the way of blocks of `step` bytes. */
static uint64_t hindrance(const struct program *program, uintptr_t offset, size_t step)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < program->count; i++)
        if (stands_at(&program->held[i], offset, step))
            sum += step - program->held[i].size;
    return sum;
}

static void end_block(struct held *held)
{
    if (*held->block != (char)held->size || held->block[held->size - 1] != (char)(held->size >> 4))
        bench_fail("a block does not hold what was written to it");
    free(held->block);
}

/** Frees the blocks that are not at the offset. */
static void thin_out(struct program *program, size_t step)
{
    size_t kept = 0;
    for (size_t i = 0; i < program->count; i++)
        if (stands_at(&program->held[i], program->offset, step)) {
            program->held[kept++] = program->held[i];
        } else {
            program->live -= program->held[i].size;
            end_block(&program->held[i]);
        }
    program->count = kept;
}

static void fill_up(struct program *program, size_t size)
{
    for (; program->live + size <= LIVE; program->live += size) {
        char *block = (char *)bench_malloc(size);
        block[size - 1] = (char)(size >> 4);
        block[0] = (char)size;
        program->held[program->count++] = (struct held){block, size};
    }
}

static void run(struct bench_thread *thread, struct held *room)
{
    struct program program = {room, 0, 0, bench_below(&thread->random, 2) * UNIT};
    for (unsigned phase = 0; phase < PHASES; phase++) {
        size_t size = (size_t)UNIT << phase;
        if (phase > 0) {
            uintptr_t other = program.offset ^ size / 2;
            if (hindrance(&program, other, size) > hindrance(&program, program.offset, size))
                program.offset = other;
            thin_out(&program, size);
        }
        fill_up(&program, size);
        thread->sum += bench_mix(thread->random + size);
    }
    for (size_t i = 0; i < program.count; i++)
        end_block(&program.held[i]);
}

static void work(struct bench_thread *thread)
{
    struct held *room = (struct held *)bench_malloc(LIVE / UNIT * sizeof *room);
    for (size_t i = 0; i < (thread->bench->work + WORK_PER_RUN - 1) / WORK_PER_RUN; i++)
        run(thread, room);
    free(room);
}

int main(int argc, char **argv)
{
    struct bench bench = bench_options(argc, argv, 1, "The worst program for an allocator that does not move blocks.");
    bench_print(bench_run(&bench, work, NULL));
}
