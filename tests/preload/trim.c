/* SPDX-License-Identifier: MIT
 * 128 MiB of small blocks are built, all but one in 200 freed at random (where pages are larger than 4 KiB, as many
 * fewer stay): memory goes back by itself but for the slack bound, and malloc_trim brings it to the pages that still
 * hold a block; also what other threads hold. Then large blocks. */
#include "case.h"

#include <malloc.h>
#include <pthread.h>

enum { COUNT = 1000000 };

static char *blocks[COUNT];

static void build(void)
{
    uint64_t state = 7;

    for (unsigned i = 0; i < COUNT; i++) {
        const size_t size = 16 + draw(&state) % 224;
        CHECK((blocks[i] = malloc(size)) != NULL);
        memset(blocks[i], 1, size);
    }
}

static size_t keep_one_in(void)
{
    return 200 * (page_size() / 4096);
}

static void scatter(void)
{
    const size_t keep = keep_one_in();

    for (size_t i = 0; i < COUNT; i++) {
        const size_t j = i * 700001 % COUNT;
        if (j % keep != 0) {
            free(blocks[j]);
            blocks[j] = NULL;
        }
    }
}

/** Bytes of the pages that hold a block: no allocator can go below, unless it moves blocks. */
static size_t floor_of(void)
{
    return COUNT / keep_one_in() * page_size();
}

static pthread_barrier_t barrier;

static void *elsewhere(void *arg)
{
    build();
    scatter();
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier); /* asleep while main trims */
    return arg;
}

static void drop_rest(void)
{
    for (unsigned i = 0; i < COUNT; i++)
        free(blocks[i]);
}

static void large(void)
{
    const size_t before = resident();
    char *some[100];

    for (int i = 0; i < 100; i++) {
        CHECK((some[i] = malloc(500000)) != NULL);
        memset(some[i], 1, 500000);
    }
    for (int i = 0; i < 100; i++)
        free(some[i]);
    malloc_trim(0);
    CHECK(resident() < before + 2 * MIB);
}

int main(void)
{
    memset(blocks, 0xff, sizeof(blocks)); /* resident from the start */
    const size_t start = resident();
    pthread_t thread;

    build();
    const size_t full = resident();
    scatter();
    const size_t by_itself = resident();
    const int trimmed = malloc_trim(0);
    const size_t after = resident();
    say("start %zu full %zu scattered %zu trimmed %zu KiB, floor %zu\n", start / KIB, full / KIB, by_itself / KIB,
        after / KIB, floor_of() / KIB);
    CHECK(full > start + 100 * MIB);
    CHECK(by_itself < start + floor_of() + 10 * MIB);
    CHECK(trimmed == 1 && after < by_itself);
    CHECK(after < start + floor_of() + 4 * MIB);
    CHECK(malloc_trim(0) == 0);
    drop_rest();
    malloc_trim(0);
    CHECK(resident() < start + 3 * MIB);

    pthread_barrier_init(&barrier, NULL, 2);
    CHECK(pthread_create(&thread, NULL, elsewhere, NULL) == 0);
    pthread_barrier_wait(&barrier);
    malloc_trim(0);
    const size_t theirs = resident();
    say("another thread's, trimmed: %zu KiB\n", theirs / KIB);
    CHECK(theirs < start + floor_of() + 5 * MIB);
    pthread_barrier_wait(&barrier);
    CHECK(pthread_join(thread, NULL) == 0);
    drop_rest();
    large();
    return 0;
}
