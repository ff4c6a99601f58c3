/* SPDX-License-Identifier: MIT
 * falseshare: small blocks of different threads on one cache line. Active: each thread takes a small block, writes
 * to it often and frees it; an allocator that gives neighbours of one line to several threads makes them fight over
 * it. Passive: one thread takes blocks and hands one to each of the others, who free them and go on as before; one
 * that gives the pieces of that line to several threads again brings the sharing about. After E. Berger et al.,
 * "Hoard: a scalable memory allocator for multithreaded applications", ASPLOS 2000. */
#include "bench.h"

enum { SIZE = 8, WRITES = 200, BLOCKS = 5000, HANDS_PER_WORK = 2 };

/** Writes through the cache, whatever the compiler thinks of it. */
static void write_often(volatile char *block)
{
    for (unsigned i = 0; i < WRITES; i++)
        block[i % SIZE]++;
}

/** pre: `handed` is NULL, or one block for each thread. */
static void work(struct bench_thread *thread)
{
    char **handed = (char **)thread->arg;
    if (handed != NULL) {
        write_often(handed[thread->index]);
        thread->sum += (unsigned char)handed[thread->index][0];
        free(handed[thread->index]);
    }
    for (unsigned i = 0; i < BLOCKS; i++) {
        char *block = (char *)bench_malloc(SIZE);
        memset(block, (int)i, SIZE);
        write_often(block);
        thread->sum += (unsigned char)block[i % SIZE];
        free(block);
    }
}

int main(int argc, char **argv)
{
    struct bench bench = bench_options(argc, argv, 2, "Writes to small blocks, by threads that others gave blocks to.");
    uint64_t sum = 0;
    for (size_t round = 0; round < bench.work * HANDS_PER_WORK; round++) {
        char *handed[BENCH_THREADS_MOST];
        for (unsigned i = 0; i < bench.threads; i++)
            handed[i] = memset(bench_malloc(SIZE), (int)round, SIZE);
        sum += bench_mix(bench_run(&bench, work, NULL) + round);
        sum += bench_mix(bench_run(&bench, work, handed) + round);
    }
    bench_print(sum + bench.seed);
}
