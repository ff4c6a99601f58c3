/* SPDX-License-Identifier: MIT
 * churn: many threads with short lives, as in a server with a thread for each request. Each takes blocks, frees most of
 * them in another order, and leaves a few behind that a later one frees. That the ends of threads must not cost memory
 * is in C. Lever and D. Boreham, "malloc() performance in a multithreaded Linux environment", FREENIX 2000. */
#include "bench.h"

enum { BLOCKS = 500, SIZE_MOST = 2000, SURVIVORS = 20, GENERATIONS = 8, ROUNDS = 40 };

/** What the threads of one round leave behind. */
struct remains {
    void *block[SURVIVORS];
    size_t size[SURVIVORS];
};

struct place {
    struct remains *remains; /* GENERATIONS for each thread */
    size_t round;
};

static void free_remains(struct bench_thread *thread, struct remains *remains)
{
    for (unsigned i = 0; i < SURVIVORS; i++)
        if (remains->block[i] != NULL) {
            thread->sum += bench_check(remains->block[i], remains->size[i]);
            free(remains->block[i]);
        }
}

static void request(struct bench_thread *thread)
{
    const struct place *place = (const struct place *)thread->arg;
    /* Those of another thread, of GENERATIONS rounds ago. */
    unsigned other = (unsigned)((thread->index + place->round / GENERATIONS) % thread->bench->threads);
    struct remains *remains = &place->remains[other * GENERATIONS + place->round % GENERATIONS];
    void *block[BLOCKS];
    size_t size[BLOCKS];
    free_remains(thread, remains);
    for (unsigned i = 0; i < BLOCKS; i++) {
        size[i] = bench_between(&thread->random, 16, bench_between(&thread->random, 16, SIZE_MOST));
        block[i] = bench_stamped(size[i], thread->random);
    }
    for (unsigned left = BLOCKS; left > 0; left--) {
        size_t i = bench_below(&thread->random, left);
        if (left <= SURVIVORS) {
            remains->block[left - 1] = block[i];
            remains->size[left - 1] = size[i];
        } else {
            thread->sum += bench_check(block[i], size[i]);
            free(block[i]);
        }
        block[i] = block[left - 1];
        size[i] = size[left - 1];
    }
}

int main(int argc, char **argv)
{
    struct bench bench = bench_options(argc, argv, 2, "Threads with short lives that leave some blocks behind.");
    size_t count = (size_t)bench.threads * GENERATIONS;
    struct place place = {(struct remains *)bench_need(calloc(count, sizeof *place.remains)), 0};
    struct bench_thread rest = {0};
    uint64_t sum = 0;
    for (; place.round < bench.work * ROUNDS; place.round++)
        sum += bench_run_salted(&bench, request, &place, place.round);
    for (size_t i = 0; i < count; i++)
        free_remains(&rest, &place.remains[i]);
    free(place.remains);
    bench_print(sum + rest.sum);
}
