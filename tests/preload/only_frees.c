/* SPDX-License-Identifier: MIT
 * One thread only allocates and another only frees, so that every block is freed from afar; and a thread frees all that
 * another made which then sleeps for good. Memory stays bounded while it goes on, and goes back at the end. */
#include "case.h"

#include <pthread.h>

enum { RING = 1024, PASSES = 3000000, HELD = 400000, HELD_SIZE = 300 };

static char *_Atomic ring[RING];
static char *held[HELD];
static pthread_barrier_t made, done;

static void *producer(void *arg)
{
    uint64_t state = 1;

    for (unsigned i = 0; i < PASSES; i++) {
        char *block = malloc(16 + draw_size(&state, 4000));
        CHECK(block != NULL);
        while (ring[i % RING] != NULL)
            sched_yield();
        ring[i % RING] = block;
    }
    return arg;
}

static size_t most_resident;

static void *consumer(void *arg)
{
    for (unsigned i = 0; i < PASSES; i++) {
        char *block;
        while ((block = __atomic_exchange_n(&ring[i % RING], NULL, __ATOMIC_ACQ_REL)) == NULL)
            sched_yield();
        free(block);
        if (i % 100000 == 0 && resident() > most_resident)
            most_resident = resident();
    }
    return arg;
}

static void *make_and_sleep(void *arg)
{
    for (unsigned i = 0; i < HELD; i++) {
        held[i] = malloc(HELD_SIZE);
        CHECK(held[i] != NULL);
        memset(held[i], 1, HELD_SIZE);
    }
    pthread_barrier_wait(&made);
    pthread_barrier_wait(&done);
    return arg;
}

static void *free_all(void *arg)
{
    for (unsigned i = 0; i < HELD; i++)
        free(held[(i * 7919u) % HELD]);
    return arg;
}

int main(void)
{
    pthread_t first, second;

    CHECK(pthread_create(&first, NULL, producer, NULL) == 0 && pthread_create(&second, NULL, consumer, NULL) == 0);
    CHECK(pthread_join(first, NULL) == 0 && pthread_join(second, NULL) == 0);
    say("%zu KiB at most while passing blocks\n", most_resident / KIB);
    CHECK(most_resident < 16 * MIB);

    pthread_barrier_init(&made, NULL, 2);
    pthread_barrier_init(&done, NULL, 2);
    const size_t before = resident();
    CHECK(pthread_create(&first, NULL, make_and_sleep, NULL) == 0);
    pthread_barrier_wait(&made);
    const size_t full = resident();
    CHECK(pthread_create(&second, NULL, free_all, NULL) == 0 && pthread_join(second, NULL) == 0);
    const size_t after = resident();
    say("%zu KiB before, %zu KiB held, %zu KiB freed by another\n", before / KIB, full / KIB, after / KIB);
    CHECK(full > before + 100 * MIB);
    CHECK(HOLDS_SOON(resident() < before + 10 * MIB));
    pthread_barrier_wait(&done);
    CHECK(pthread_join(first, NULL) == 0);
    return 0;
}
