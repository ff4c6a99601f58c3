/* SPDX-License-Identifier: MIT
 * large: a loop over blocks of 1 to 25 MiB of which a few are held at a time, as programs do that read files or
 * decode pictures into fresh buffers. One byte of each page is written. Allocators that map and unmap each such
 * block pay for every page again; J. Evans, "A scalable concurrent malloc(3) implementation for FreeBSD", BSDCan
 * 2006, tells how large and huge blocks are told from small ones. */
#include "bench.h"

enum { HELD = 6, SIZE_LEAST = 1 << 20, SIZE_MOST = 25 << 20, PAGE = 4096, STEPS = 4 };

static void work(struct bench_thread *thread)
{
    void *held[HELD] = {NULL};
    size_t size[HELD] = {0};
    for (size_t step = 0; step < thread->bench->work * STEPS; step++) {
        size_t i = bench_below(&thread->random, HELD);
        if (held[i] != NULL)
            thread->sum += bench_check(held[i], size[i]);
        free(held[i]);
        size[i] = bench_between(&thread->random, SIZE_LEAST, SIZE_MOST);
        held[i] = bench_stamped(size[i], thread->random);
        for (size_t at = PAGE; at < size[i] - 1; at += PAGE)
            ((char *)held[i])[at] = 1;
    }
    for (unsigned i = 0; i < HELD; i++)
        free(held[i]);
}

int main(int argc, char **argv)
{
    struct bench bench = bench_options(argc, argv, 1, "A loop over large blocks.");
    bench_print(bench_run(&bench, work, NULL));
}
