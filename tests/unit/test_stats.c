/* SPDX-License-Identifier: MIT
 * The figures add up: what is live, used, returned and counted follows from what the test did, and the report says in
 * JSON what weir_stats_get() says. */
#include "support.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <weir/alloc.h>

TestSuite(stats, .timeout = 60);

static struct weir_stats now(void)
{
    struct weir_stats stats;
    weir_stats_get(&stats);
    return stats;
}

static void *checked(void *memory)
{
    must(memory != NULL, "no memory");
    return memory;
}

#define must_equal(a, b) must((a) == (b), "%llu and %llu", (unsigned long long)(a), (unsigned long long)(b))
#define must_not_exceed(a, b) must((a) <= (b), "%llu and %llu", (unsigned long long)(a), (unsigned long long)(b))

/** What holds at any time while no other thread runs. */
static void check_sums(const struct weir_stats *stats)
{
    must_not_exceed(stats->live, stats->used);
    must_not_exceed(stats->huge, stats->used);
    must_not_exceed(stats->cached, stats->slack);
    must_not_exceed(stats->used + stats->slack, stats->mapped);
    must_not_exceed(stats->slack, stats->slack_bound + WR_MIB);
    must_not_exceed(stats->heaps_abandoned, stats->heaps);
    must_not_exceed(stats->arenas, stats->arenas_mapped);
    must_equal(stats->arenas, stats->arenas_mapped - stats->arenas_unmapped);
    must_not_exceed(stats->refaulted, stats->returned);
}

/* ---- live and used --------------------------------------------------------------------------------------------- */

Test(stats, live_is_the_sum_of_usable_sizes)
{
    unit_need_small_pages();
    enum { BLOCKS = 2000 };
    static void *block[BLOCKS];
    struct unit_rng rng = {unit_seed()};
    weir_free(weir_malloc(1));
    struct weir_stats before = now();
    uint64_t sum = 0;
    for (size_t i = 0; i < BLOCKS; i++) {
        block[i] = checked(weir_malloc(unit_log_uniform(&rng, 0, i % 100 == 0 ? 6 * WR_MIB : 30000)));
        sum += weir_usable_size(block[i]);
        if (i % 97 == 0) {
            struct weir_stats stats = now();
            must_equal(stats.live - before.live, sum);
            must_equal(stats.live_blocks - before.live_blocks, i + 1);
            check_sums(&stats);
        }
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        sum -= weir_usable_size(block[i]);
        weir_free(block[i]);
        if (i % 97 == 0) {
            struct weir_stats stats = now();
            must_equal(stats.live - before.live, sum);
            must_equal(stats.live_blocks - before.live_blocks, BLOCKS - i - 1);
            check_sums(&stats);
        }
    }
    must_equal(now().live, before.live);
}

Test(stats, realloc_is_counted_once)
{
    struct weir_stats before = now();
    void *block = NULL;
    for (size_t size = 1; size < 40 * WR_MIB; size = size * 3 / 2 + 7) {
        block = checked(weir_realloc(block, size));
        must_equal(now().live - before.live, weir_usable_size(block));
        must_equal(now().live_blocks - before.live_blocks, 1u);
    }
    for (size_t size = 40 * WR_MIB; size > 0; size /= 3) {
        block = checked(weir_realloc(block, size));
        must_equal(now().live - before.live, weir_usable_size(block));
    }
    weir_free(block);
    must_equal(now().live, before.live);
    must_equal(now().live_blocks, before.live_blocks);
}

/** Full pools waste little: used is near live where blocks fill their pages. */
Test(stats, used_is_near_live_when_pools_are_full)
{
    unit_need_small_pages();
    static const size_t size[] = {16, 64, 256, 1024, 8192, 65536, WR_MIB, 8 * WR_MIB};
    for (size_t i = 0; i < WR_COUNT(size); i++) {
        struct weir_stats before = now();
        size_t count = 32 * WR_MIB / size[i] / (UNIT_SANITIZED ? 4 : 1);
        void **block = checked(calloc(count, sizeof *block));
        for (size_t k = 0; k < count; k++)
            block[k] = checked(weir_malloc(size[i]));
        struct weir_stats stats = now();
        uint64_t live = stats.live - before.live, used = stats.used - before.used;
        must(used <= live + live / 8 + WR_MIB / 4, "blocks of %zu: live %llu, used %llu", size[i],
             (unsigned long long)live, (unsigned long long)used);
        check_sums(&stats);
        for (size_t k = 0; k < count; k++)
            weir_free(block[k]);
        free(block);
        stats = now();
        must(stats.used <= before.used + WR_MIB / 4, "blocks of %zu: used %llu when all are freed, was %llu", size[i],
             (unsigned long long)stats.used, (unsigned long long)before.used);
        check_sums(&stats);
    }
}

Test(stats, pools_are_counted)
{
    unit_need_small_pages();
    enum { BLOCKS = 64 * 50 }; /* 50 pages' worth of 64 bytes */
    static void *block[BLOCKS];
    struct weir_stats before = now();
    for (size_t i = 0; i < BLOCKS; i++)
        block[i] = checked(weir_malloc(64));
    uint64_t pools = now().pools - before.pools, expected = BLOCKS * 64 / unit_page_size();
    must(pools + 1 >= expected && pools <= expected + 1, "%llu pools for %llu pages of blocks",
         (unsigned long long)pools, (unsigned long long)expected);
    for (size_t i = 0; i < BLOCKS; i++)
        weir_free(block[i]);
    weir_trim(0);
    must_not_exceed(now().pools, before.pools + 1);
}

/* ---- huge blocks and arenas ------------------------------------------------------------------------------------ */

Test(stats, huge_blocks_are_counted)
{
    unit_need_small_pages();
    enum { BLOCKS = 5 };
    void *block[BLOCKS];
    struct weir_stats before = now();
    uint64_t sum = 0;
    for (size_t i = 0; i < BLOCKS; i++) {
        block[i] = checked(weir_malloc((8 + 3 * i) * WR_MIB + i));
        sum += weir_usable_size(block[i]);
        must_equal(now().huge_blocks - before.huge_blocks, i + 1);
        must_equal(now().huge - before.huge, sum);
    }
    for (size_t i = 0; i < BLOCKS; i++)
        weir_free(block[i]);
    struct weir_stats after = now();
    must_equal(after.huge_blocks, before.huge_blocks);
    must_equal(after.huge, before.huge);
    check_sums(&after);
    weir_trim(0);
    must_equal(now().cached, 0u);
}

Test(stats, arenas_come_and_go)
{
    unit_need_small_pages();
    enum { BLOCKS = 1000 };
    static void *block[BLOCKS];
    struct weir_stats before = now();
    for (size_t i = 0; i < BLOCKS; i++)
        block[i] = checked(weir_malloc(40000));
    struct weir_stats full = now();
    must(full.arenas >= before.arenas + 8, "%llu arenas for 40 MB", (unsigned long long)full.arenas);
    must(full.mapped >= before.mapped + BLOCKS * 40000, "mapped %llu", (unsigned long long)full.mapped);
    for (size_t i = 0; i < BLOCKS; i++)
        weir_free(block[i]);
    weir_trim(0);
    struct weir_stats after = now();
    must_not_exceed(after.arenas, before.arenas + 1);
    must(after.arenas_unmapped > before.arenas_unmapped, "no arena was unmapped");
    check_sums(&after);
}

/* ---- what has been done ---------------------------------------------------------------------------------------- */

Test(stats, peak_is_the_most_there_was)
{
    struct weir_stats before = now();
    char *block = checked(weir_malloc(60 * WR_MIB));
    struct weir_stats full = now();
    must_not_exceed(before.used + 60 * WR_MIB, full.peak);
    weir_free(block);
    weir_trim(0);
    must_not_exceed(full.peak, now().peak);
    must_not_exceed(now().used + now().slack + now().metadata, now().peak + WR_MIB);
}

Test(stats, the_peak_is_no_less_than_what_there_is)
{
    /* So little that heaps have not handed it on yet. */
    static void *block[500];
    for (size_t i = 0; i < WR_COUNT(block); i++) {
        block[i] = checked(weir_malloc(100));
        struct weir_stats some = now();
        must_not_exceed(some.used + some.slack, some.peak);
    }
    uint64_t peak = now().peak;
    for (size_t i = 0; i < WR_COUNT(block); i++)
        weir_free(block[i]);
    weir_trim(0);
    must_not_exceed(peak, now().peak);
}

Test(stats, returned_grows_by_what_trim_says)
{
    enum { BLOCKS = 3000 };
    static void *block[BLOCKS];
    unit_no_purger();
    for (size_t i = 0; i < BLOCKS; i++)
        block[i] = checked(weir_malloc(1000));
    for (size_t i = 0; i < BLOCKS; i++)
        weir_free(block[i]);
    struct weir_stats before = now();
    must(before.slack > WR_MIB, "slack %llu is too little to show anything", (unsigned long long)before.slack);
    size_t given = weir_trim(0);
    struct weir_stats after = now();
    must_equal(after.returned - before.returned, given);
    must(given + WR_MIB / 8 >= before.slack, "trim gave %zu of %llu", given, (unsigned long long)before.slack);
    must(after.purges > before.purges, "a trim is a purge");
    must_equal(weir_trim(0), 0u);
}

/** Pages that went and come again are counted as refaulted: as many as went, once all of them are in use. */
Test(stats, refaulted_counts_pages_taken_again)
{
    enum { BLOCKS = 3000 };
    static void *block[BLOCKS + 1];
    for (size_t i = 0; i <= BLOCKS; i++)
        block[i] = checked(weir_malloc(1000));
    void *pin = block[BLOCKS]; /* keeps the arena mapped */
    for (size_t i = 0; i < BLOCKS; i++)
        weir_free(block[i]);
    weir_trim(0);
    struct weir_stats before = now();
    for (size_t i = 0; i < BLOCKS; i++)
        block[i] = checked(weir_malloc(1000));
    uint64_t again = now().refaulted - before.refaulted;
    must(again >= BLOCKS * 1000 / 2, "%llu bytes of returned pages were taken again", (unsigned long long)again);
    for (size_t i = 0; i < BLOCKS; i++)
        weir_free(block[i]);
    weir_free(pin);
}

enum { REMOTE = 1000 };

static void *free_remotely(void *blocks)
{
    for (size_t i = 0; i < REMOTE; i++)
        weir_free(((void **)blocks)[i]);
    return NULL;
}

Test(stats, remote_frees_are_counted)
{
    static void *block[REMOTE];
    struct weir_stats before = now();
    for (size_t i = 0; i < REMOTE; i++)
        block[i] = checked(weir_malloc(i % 500));
    unit_on_thread(free_remotely, block);
    struct weir_stats after = now();
    must_equal(after.remote_frees - before.remote_frees, (uint64_t)REMOTE);
    must_equal(after.live_blocks, before.live_blocks);
    must_equal(after.live, before.live);
}

Test(stats, local_frees_are_not_remote)
{
    struct weir_stats before = now();
    for (size_t i = 0; i < 3000; i++)
        weir_free(weir_malloc(i));
    must_equal(now().remote_frees, before.remote_frees);
}

Test(stats, foreign_frees_are_counted)
{
    static char not_ours[64];
    struct weir_stats before = now();
    weir_free(unit_opaque(not_ours));
    weir_free(unit_opaque(not_ours + 16));
    must_equal(now().foreign_frees - before.foreign_frees, 2u);
    weir_free(NULL);
    must_equal(now().foreign_frees - before.foreign_frees, 2u);
}

/* ---- heaps ----------------------------------------------------------------------------------------------------- */

static void *leave_a_block(void *out)
{
    *(void **)out = weir_malloc(100);
    return NULL;
}

Test(stats, heaps_are_reused)
{
    void *block[50];
    weir_free(weir_malloc(1));
    for (size_t i = 0; i < WR_COUNT(block); i++)
        unit_on_thread(leave_a_block, &block[i]);
    struct weir_stats after = now();
    must(after.heaps >= 2 && after.heaps <= 4, "%llu heaps for threads that ran one after the other",
         (unsigned long long)after.heaps);
    must_equal(after.heaps_abandoned, after.heaps - 1);
    for (size_t i = 0; i < WR_COUNT(block); i++)
        weir_free(block[i]);
}

/* ---- the report ------------------------------------------------------------------------------------------------ */

/** What weir_stats_print() writes, NUL-terminated; the caller frees it. */
static char *printed(bool json)
{
    int fd = memfd_create("report", MFD_CLOEXEC);
    must(fd >= 0, "no memfd");
    weir_stats_print(fd, json);
    off_t size = lseek(fd, 0, SEEK_END);
    must(size > 0, "nothing was printed");
    char *text = checked(calloc(1, (size_t)size + 1));
    must(pread(fd, text, (size_t)size, 0) == size, "short read");
    close(fd);
    return text;
}

static const struct field {
    const char *name;
    size_t offset;
} fields[] = {
#define FIELD(name)                                                                                                    \
    {                                                                                                                  \
#name, offsetof(struct weir_stats, name)                                                                       \
    }
    FIELD(live),          FIELD(live_blocks),     FIELD(used),     FIELD(slack),     FIELD(slack_bound),
    FIELD(metadata),      FIELD(mapped),          FIELD(arenas),   FIELD(huge),      FIELD(huge_blocks),
    FIELD(cached),        FIELD(heaps),           FIELD(pools),    FIELD(peak),      FIELD(heaps_abandoned),
    FIELD(arenas_mapped), FIELD(arenas_unmapped), FIELD(returned), FIELD(refaulted), FIELD(purges),
    FIELD(remote_frees),  FIELD(foreign_frees),
#undef FIELD
};

_Static_assert(WR_COUNT(fields) * sizeof(uint64_t) == sizeof(struct weir_stats), "every field is looked at");

Test(stats, json_says_what_get_says)
{
    void *block = checked(weir_malloc(5 * WR_MIB));
    char *text = printed(true);
    struct weir_stats stats = now();
    json_error_t error;
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    must(root != NULL && json_is_object(root), "%s in %s", error.text, text);
    for (size_t i = 0; i < WR_COUNT(fields); i++) {
        const json_t *value = json_object_get(root, fields[i].name);
        uint64_t expected;
        memcpy(&expected, (char *)&stats + fields[i].offset, sizeof expected);
        must(json_is_integer(value), "%s is missing in %s", fields[i].name, text);
        must((uint64_t)json_integer_value(value) == expected, "%s: %lld printed, %llu got", fields[i].name,
             (long long)json_integer_value(value), (unsigned long long)expected);
    }
    json_decref(root);
    free(text);
    weir_free(block);
}

Test(stats, text_has_lines_for_people)
{
    void *block = checked(weir_malloc(100));
    char *text = printed(false);
    must(strchr(text, '\n') != NULL && text[strlen(text) - 1] == '\n', "no whole lines: %s", text);
    must(strstr(text, "returned") != NULL && strstr(text, "live") != NULL, "neither live nor returned in: %s", text);
    must(strspn(text, " \n") < strlen(text), "blank");
    free(text);
    weir_free(block);
}

Test(stats, printing_allocates_nothing)
{
    weir_free(weir_malloc(1));
    struct weir_stats before = now();
    for (int json = 0; json < 2; json++)
        free(printed(json));
    struct weir_stats after = now();
    must_equal(after.live_blocks, before.live_blocks);
    must_equal(after.arenas_mapped, before.arenas_mapped);
}

/* ---- while other threads run ----------------------------------------------------------------------------------- */

static void *churn(void *arg)
{
    struct unit_rng rng = {(uintptr_t)arg};
    void *block[64] = {0};
    for (size_t i = 0; i < unit_scale(300000); i++) {
        size_t at = unit_below(&rng, WR_COUNT(block));
        weir_free(block[at]);
        block[at] = checked(weir_malloc(unit_log_uniform(&rng, 0, i % 512 == 0 ? 3 * WR_MIB : 20000)));
    }
    for (size_t i = 0; i < WR_COUNT(block); i++)
        weir_free(block[i]);
    return NULL;
}

Test(stats, can_be_taken_while_threads_allocate)
{
    pthread_t thread[3];
    struct weir_stats before = now();
    for (uintptr_t i = 0; i < WR_COUNT(thread); i++)
        must(pthread_create(&thread[i], NULL, churn, (void *)(i + 1)) == 0, "no thread");
    for (size_t i = 0; i < unit_scale(2000); i++) {
        struct weir_stats stats = now();
        must(stats.live < 4000 * WR_MIB && stats.used < 4000 * WR_MIB && stats.slack < 4000 * WR_MIB &&
                 stats.live_blocks < 100000 && stats.huge < 4000 * WR_MIB,
             "live %llu, used %llu, slack %llu", (unsigned long long)stats.live, (unsigned long long)stats.used,
             (unsigned long long)stats.slack);
        if (i % 100 == 0)
            free(printed(i % 200 == 0));
        if (i % 500 == 0)
            weir_trim(0);
    }
    for (size_t i = 0; i < WR_COUNT(thread); i++)
        pthread_join(thread[i], NULL);
    must_equal(now().live, before.live);
    must_equal(now().live_blocks, before.live_blocks);
}
