/* SPDX-License-Identifier: MIT
 * mallinfo2, mallinfo, mallopt, malloc_stats and malloc_info tell the truth: they follow what the program does. */
#include "case.h"

#include <malloc.h>
#include <pthread.h>

enum { COUNT = 20000, SIZE = 1000 };

static char *blocks[COUNT];

static size_t in_use(void)
{
    const struct mallinfo2 info = mallinfo2();

    CHECK(info.arena == info.uordblks + info.fordblks);
    CHECK(info.smblks == 0 && info.fsmblks == 0);
    CHECK(info.keepcost <= info.arena + info.hblkhd);
    return info.uordblks + info.hblkhd;
}

static void *make(void *arg)
{
    for (unsigned i = 0; i < COUNT; i++) {
        CHECK((blocks[i] = malloc(SIZE)) != NULL);
        memset(blocks[i], 1, SIZE);
    }
    return arg;
}

static void follow(void)
{
    const size_t start = in_use();
    pthread_t thread;

    CHECK(pthread_create(&thread, NULL, make, NULL) == 0 && pthread_join(thread, NULL) == 0);
    const size_t full = in_use();
    say("%zu bytes in use, then %zu\n", start, full);
    CHECK(full >= start + COUNT * SIZE && full <= start + COUNT * SIZE * 5 / 4 + MIB);
    CHECK(mallinfo2().usmblks >= COUNT * SIZE);
    for (unsigned i = 0; i < COUNT; i += 2)
        free(blocks[i]);
    CHECK(HOLDS_SOON(in_use() <= full - COUNT / 2 * SIZE));
    CHECK(in_use() >= start + COUNT / 2 * SIZE);
    for (unsigned i = 1; i < COUNT; i += 2)
        free(blocks[i]);
    CHECK(HOLDS_SOON(in_use() <= start + MIB));
    CHECK(HOLDS_SOON(resident() < start + 12 * MIB));
    malloc_trim(0);
    CHECK(mallinfo2().keepcost < MIB);
}

static void huge(void)
{
    const struct mallinfo2 before = mallinfo2();
    char *block = malloc(50 * MIB);
    const struct mallinfo2 with = mallinfo2();

    CHECK(block != NULL && with.hblks == before.hblks + 1);
    CHECK(with.hblkhd >= before.hblkhd + 50 * MIB && with.hblkhd <= before.hblkhd + 51 * MIB);
    const struct mallinfo narrow = mallinfo();
    CHECK((size_t)narrow.hblkhd == with.hblkhd && (size_t)narrow.hblks == with.hblks);
    free(block);
    CHECK(mallinfo2().hblks == before.hblks && mallinfo2().hblkhd == before.hblkhd);
}

/** int figures end at the largest int. */
static void saturated(void)
{
    void *block = malloc((size_t)5 << 30);

    if (block == NULL)
        return;
    CHECK(mallinfo().hblkhd == INT32_MAX);
    free(block);
}

static void parameters(void)
{
    static const int known[] = {M_MXFAST, M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_MMAP_MAX, M_CHECK_ACTION,
                                M_ARENA_TEST, M_ARENA_MAX};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        CHECK(mallopt(known[i], 64) == 1);
    CHECK(mallopt(M_PERTURB, 1) == 0); /* refused: blocks are not filled */
    CHECK(mallopt(12345, 1) == 0);
}

int main(void)
{
    follow();
    huge();
    saturated();
    parameters();
    return 0;
}
