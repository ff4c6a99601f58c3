/* SPDX-License-Identifier: MIT
 * aligned: blocks with an alignment, as vector code, device buffers and lock-free structures ask for: mostly a
 * vector or a cache line, sometimes a page or more, among unaligned ones. POSIX.1-2017 posix_memalign, C11 7.22.3.1. */
#include "bench.h"

#include <stdatomic.h>

enum { HELD = 2000, STEPS = 55000, SIZE_MOST = 4000 };

/* Some allocators break the contract for some sizes; they shall be measured nevertheless, and it shall be said. */
static _Atomic size_t misaligned;

struct held {
    void *block;
    size_t size;
};

static size_t choose_alignment(struct bench_thread *thread)
{
    static const size_t common[] = {16, 32, 32, 64, 64, 64, 128, 256};
    enum { COMMON = sizeof common / sizeof *common };
    if (bench_below(&thread->random, 100) != 0)
        return common[bench_below(&thread->random, COMMON)];
    return (size_t)512 << bench_below(&thread->random, 8);
}

static void *take(struct bench_thread *thread, size_t alignment, size_t size)
{
    void *block = NULL;
    if (bench_below(&thread->random, 2) == 0)
        block = bench_need(aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment));
    else if (posix_memalign(&block, alignment, size) != 0)
        bench_fail("posix_memalign failed");
    if (((uintptr_t)block & (alignment - 1)) != 0)
        atomic_fetch_add_explicit(&misaligned, 1, memory_order_relaxed);
    return block;
}

static void work(struct bench_thread *thread)
{
    struct held *held = (struct held *)bench_need(calloc(HELD, sizeof *held));
    for (size_t step = 0; step < thread->bench->work * STEPS; step++) {
        struct held *one = &held[bench_below(&thread->random, HELD)];
        if (one->block != NULL)
            thread->sum += bench_check(one->block, one->size);
        free(one->block);
        one->size = bench_between(&thread->random, 16, bench_between(&thread->random, 16, SIZE_MOST));
        uint64_t value = bench_random(&thread->random);
        one->block = step % 4 == 0 ? bench_malloc(one->size) : take(thread, choose_alignment(thread), one->size);
        memcpy(one->block, &value, sizeof value);
        ((char *)one->block)[one->size - 1] = (char)value;
    }
    for (unsigned i = 0; i < HELD; i++)
        free(held[i].block);
    free(held);
}

int main(int argc, char **argv)
{
    struct bench bench = bench_options(argc, argv, 1, "Aligned blocks, replaced at random.");
    bench_print(bench_run(&bench, work, NULL));
    if (misaligned > 0)
        fprintf(stderr, "aligned: %zu blocks were not aligned as was asked for\n", misaligned);
}
