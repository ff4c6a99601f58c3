/* SPDX-License-Identifier: MIT
 * Threads make blocks and exit; others, with the same control blocks and ids, free them. Content stays whole,
 * memory goes back although the owners never come again, and the next thread's allocations use what is there. */
#include "case.h"

#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <weir/alloc.h>

enum { BLOCKS = 100000, SIZE_LIMIT = 6000 };

static char *blocks[BLOCKS];
static size_t sizes[BLOCKS];

static void *make(void *arg)
{
    uint64_t state = (uintptr_t)arg;

    for (unsigned i = 0; i < BLOCKS; i++) {
        sizes[i] = draw_size(&state, SIZE_LIMIT);
        blocks[i] = malloc(sizes[i]);
        CHECK(blocks[i] != NULL);
        fill(blocks[i], sizes[i], i);
    }
    return NULL;
}

static void *drop(void *arg)
{
    for (unsigned i = 0; i < BLOCKS; i++) {
        CHECK(filled(blocks[i], sizes[i], i));
        free(blocks[i]);
    }
    return arg;
}

static void in_thread(void *(*work)(void *), uintptr_t arg)
{
    pthread_t thread;

    CHECK(pthread_create(&thread, NULL, work, (void *)arg) == 0 && pthread_join(thread, NULL) == 0);
}

/** What may stay for reuse: more than at first, as pages that went are taken again at once, but not above the peak. */
static size_t slack_bound(size_t peak)
{
    void (*get)(struct weir_stats *) = dlsym(RTLD_DEFAULT, "weir_stats_get");
    struct weir_stats stats;

    get(&stats);
    CHECK(stats.slack_bound <= peak + 5 * MIB); /* the least bound comes on top */
    return stats.slack_bound;
}

int main(void)
{
    size_t full = 0, empty = 0;

    memset(blocks, 1, sizeof(blocks)); /* resident from the start */
    memset(sizes, 1, sizeof(sizes));
    const size_t start = resident();
    for (uintptr_t i = 0; i < 12; i++) {
        in_thread(make, 1);
        full = resident();
        if (i % 2 == 0)
            in_thread(drop, 0);
        else
            drop(NULL);
        empty = resident();
        say("%zu KiB full, %zu KiB empty\n", full / KIB, empty / KIB);
        CHECK(HOLDS_SOON(resident() < start + slack_bound(full) + 3 * MIB));
        malloc_trim(0);
        CHECK(resident() < start + 3 * MIB);
    }
    return 0;
}
