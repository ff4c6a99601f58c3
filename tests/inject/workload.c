/* SPDX-License-Identifier: MIT
 * The same on every run: builds blocks of all kinds, frees, resizes, trims, and verifies every byte. Whatever
 * the system refuses, a call either works or gives NULL and ENOMEM with nothing changed; the last line of output
 * counts those. */
#include "case.h"

#include <malloc.h>
#include <pthread.h>
#include <sys/personality.h>

enum { SLOTS = 40000 };

static struct slot {
    char *block;
    size_t size;    /* filled to here */
    unsigned seed;
} slots[SLOTS];

static unsigned refused;

/** Counts a NULL, which must come with ENOMEM. */
static bool got(const void *block)
{
    if (block == NULL) {
        CHECK(errno == ENOMEM);
        refused++;
    }
    errno = 0;
    return block != NULL;
}

static void verify(const struct slot *slot)
{
    CHECK(slot->block == NULL || filled(slot->block, slot->size, slot->seed));
}

/** Huge blocks are checked at their ends and sampled, not touched whole. */
static size_t touched(size_t size)
{
    return size < 3 * MIB ? size : 100000;
}

static void put(unsigned i, void *block, size_t size)
{
    struct slot *slot = &slots[i];

    slot->block = got(block) ? block : NULL;
    slot->size = touched(size);
    slot->seed = i;
    if (slot->block != NULL)
        fill(slot->block, slot->size, slot->seed);
}

static void drop(unsigned i)
{
    verify(&slots[i]);
    errno = 77;
    free(slots[i].block);
    CHECK(errno == 77);
    errno = 0;
    slots[i].block = NULL;
}

static void resize(unsigned i, size_t size)
{
    struct slot *slot = &slots[i];

    verify(slot);
    char *block = realloc(slot->block, size);
    if (!got(block)) {
        verify(slot); /* as it was */
        return;
    }
    const size_t kept = slot->block == NULL ? 0 : slot->size;
    CHECK(filled(block, kept < touched(size) ? kept : touched(size), slot->seed));
    slot->block = block;
    slot->size = touched(size);
    fill(block, slot->size, slot->seed);
}

static void put_zeroed(unsigned i, size_t size)
{
    char *block = calloc(1, size);

    if (got(block))
        CHECK(all_zero(block, touched(size)));
    else
        errno = ENOMEM;
    put(i, block, size);
}

/** 12 MiB of small blocks; most go again, scattered, more than may stay as slack; then others fill the gaps. */
static void *small_blocks(void *arg)
{
    const unsigned from = arg == NULL ? 0 : 20000;
    uint64_t state = 1;

    for (unsigned i = from; i < from + 18000; i++)
        put(i, malloc(i % 900 + 200), i % 900 + 200);
    for (unsigned i = from; i < from + 18000; i++)
        if (i % 150 != 0)
            drop(i);
    for (unsigned i = from; i < from + 2000; i++)
        if (i % 150 != 0)
            put_zeroed(i, draw_size(&state, 3000));
    return arg;
}

static void medium_and_large(void)
{
    for (unsigned i = 18000; i < 18100; i++)
        put(i, malloc((i - 17990) * 300), (i - 17990) * 300);
    for (unsigned i = 18100; i < 18130; i++)
        put_zeroed(i, 100000 + (i - 18100) * 30000);
    for (unsigned i = 18000; i < 18130; i += 3)
        resize(i, slots[i].size * 2 + 5000);
    for (unsigned i = 18001; i < 18130; i += 3)
        resize(i, slots[i].size / 2 + 1);
    for (unsigned i = 18000; i < 18130; i += 2)
        drop(i);
}

static void huge_blocks(void)
{
    for (unsigned i = 18200; i < 18206; i++)
        put(i, malloc(4 * MIB + (i - 18200) * 4096), 4 * MIB + (i - 18200) * 4096);
    resize(18200, 16 * MIB);
    resize(18201, 2 * MIB + 70000);
    resize(18202, 100000);
    resize(18203, 40 * MIB);
    drop(18200);
    drop(18204);
    put_zeroed(18207, 5 * MIB);
    put(18208, aligned_alloc(8 * MIB, 3 * MIB), 3 * MIB);
    put(18209, aligned_alloc(64 * KIB, 300000), 300000);
    put(18210, malloc(30 * MIB), 30 * MIB);
    drop(18210);
    put(18211, malloc(30 * MIB), 30 * MIB);
}

int main(void)
{
    pthread_t thread;
    bool started;

    personality(0xffffffff); /* calls are counted from here */
    small_blocks(NULL);
    medium_and_large();
    huge_blocks();
    malloc_trim(0);
    started = pthread_create(&thread, NULL, small_blocks, "") == 0;
    CHECK(!started || pthread_join(thread, NULL) == 0);
    errno = 0;
    medium_and_large();
    malloc_trim(0);
    for (unsigned i = 0; i < SLOTS; i++)
        drop(i);
    malloc_trim(0);
    put_zeroed(0, 50000);
    drop(0);
    say("verified, %u refused\n", refused);
    return 0;
}
