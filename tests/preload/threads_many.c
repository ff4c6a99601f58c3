/* SPDX-License-Identifier: MIT
 * 100,000 threads are created and joined; each allocates, frees, and leaves a block behind which the next one or
 * the main thread frees. Thread control blocks and ids are used again and again. Memory stays where it was after
 * the first. */
#include "case.h"

#include <pthread.h>

enum { THREADS = 100000, WARM = 2000 };

static char *left; /* by the thread before */

static void *work(void *arg)
{
    uint64_t state = (uintptr_t)arg;
    char *blocks[20];

    for (unsigned i = 0; i < 20; i++) {
        blocks[i] = malloc(draw_size(&state, 4000));
        CHECK(blocks[i] != NULL);
    }
    if ((uintptr_t)arg % 2 == 0) {
        CHECK(left == NULL || filled(left, 500, 1));
        free(left);
        left = NULL;
    }
    for (unsigned i = 0; i < 20; i++)
        free(blocks[i]);
    if (left == NULL) {
        left = malloc(500);
        CHECK(left != NULL);
        fill(left, 500, 1);
    }
    return NULL;
}

int main(void)
{
    size_t warm = 0;

    for (uintptr_t i = 0; i < THREADS; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, work, (void *)i) == 0 && pthread_join(thread, NULL) == 0);
        if (i % 3 == 0 && left != NULL) {
            CHECK(filled(left, 500, 1));
            free(left);
            left = NULL;
        }
        if (i == WARM)
            warm = resident();
    }
    const size_t end = resident();
    say("%zu KiB after %d threads, %zu KiB after %d\n", warm / KIB, WARM, end / KIB, THREADS);
    CHECK(HOLDS_SOON(resident() < warm + 1 * MIB));
    return 0;
}
