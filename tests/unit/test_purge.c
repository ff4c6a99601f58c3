/* SPDX-License-Identifier: MIT
 * The law of slack: its bound, what a purge leaves, and what is known of pages that went. */
#include "core/purge.h"

#include "base/option.h"
#include "os/os.h"
#include "support.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <weir/alloc.h>

enum { BLOCKS = 20000 };

static void *block[BLOCKS];

static void set_up(void)
{
    unit_need_small_pages();
    unit_no_purger();
}

TestSuite(purge, .init = set_up, .timeout = 60);

static struct weir_stats now(void)
{
    struct weir_stats stats;
    weir_stats_get(&stats);
    return stats;
}

static void fill(size_t size)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        must((block[i] = weir_malloc(size)) != NULL, "no memory");
        memset(unit_opaque(block[i]), 1, size);
    }
}

/** Frees all but one in `keep`. */
static void empty(size_t keep)
{
    for (size_t i = 0; i < BLOCKS; i++)
        if (i % keep != 0) {
            weir_free(block[i]);
            block[i] = NULL;
        }
}

Test(purge, the_bound_is_an_eighth_but_at_least_the_option)
{
    size_t least = wr_purge_bound() << WR_PAGE_SHIFT;
    must(least <= wr_options.slack && least >= wr_options.slack / 8, "bound %zu with next to nothing used", least);
    void *big = weir_malloc(200 * WR_MIB);
    must(big != NULL, "no memory");
    size_t bound = wr_purge_bound() << WR_PAGE_SHIFT;
    must(bound >= 25 * WR_MIB && bound <= 26 * WR_MIB, "bound %zu with 200 MiB used", bound);
    must(now().slack_bound == bound, "the figures say %llu", (unsigned long long)now().slack_bound);
    weir_free(big);
    must(wr_purge_bound() << WR_PAGE_SHIFT == wr_options.slack, "bound %zu when it is freed",
         wr_purge_bound() << WR_PAGE_SHIFT);
    must(now().slack_bound < 25 * WR_MIB, "bound %llu when it is freed", (unsigned long long)now().slack_bound);
}

/** What one size has let go of does not stay while others grow: a program that never used more than 2 MiB at a time
 *  would fill the bound of 4 with it. Blocks that live on keep the spans of each size. */
Test(purge, little_is_resident_that_was_never_used_at_a_time)
{
    enum { LEAST = 128, MOST = 1024, STEP = 64, ROUND_BYTES = 2 * 1024 * 1024, KEPT = 100 };
    _Static_assert(ROUND_BYTES / LEAST <= BLOCKS, "so many");
    uint64_t most = 0;
    for (size_t size = LEAST; size <= MOST; size += STEP) {
        size_t count = ROUND_BYTES / size;
        for (size_t i = 0; i < count; i++)
            must((block[i] = weir_malloc(size)) != NULL, "no memory");
        most = wr_max(most, now().used);
        for (size_t i = 0; i < count; i++)
            if (i % KEPT != 0)
                weir_free(block[i]);
        struct weir_stats stats = now();
        uint64_t limit = most + wr_max(wr_options.slack, stats.used) / 8 + 256 * WR_KIB; /* a heap's batches */
        must(stats.used + stats.slack <= limit, "%zu bytes: %llu KiB resident, the most used is %llu", size,
             (unsigned long long)(stats.used + stats.slack) / 1024, (unsigned long long)most / 1024);
    }
}

Test(purge, slack_goes_down_to_what_is_kept)
{
    fill(1000);
    empty(100);
    size_t had = wr_account_slack();
    must(had > 200, "%zu pages of slack", had);
    wr_purge_to(150);
    size_t left = wr_account_slack();
    must(left <= 150 && left >= 100, "%zu pages of slack left, told to keep 150", left);
    must(wr_purge_to(150) == 0, "more went at the second try");
    wr_purge_to(0);
    must(wr_account_slack() == 0, "%zu pages of slack left", wr_account_slack());
}

/** Survivors are not touched, and freed pages read as zero when they come again. */
Test(purge, content_survives_around_what_goes)
{
    fill(300);
    for (size_t i = 0; i < BLOCKS; i++)
        unit_fill(block[i], 0, 300, i);
    empty(7);
    wr_purge_to(0);
    for (size_t i = 0; i < BLOCKS; i += 7)
        must(unit_filled(block[i], 0, 300, i) == UNIT_INTACT, "block %zu has changed", i);
    for (size_t i = 0; i < BLOCKS; i++)
        if (block[i] == NULL) {
            block[i] = weir_calloc(1, 300);
            must(block[i] != NULL && unit_zeroed(block[i], 300) == UNIT_INTACT, "calloc after a purge is dirty");
        }
    for (size_t i = 0; i < BLOCKS; i += 7)
        must(unit_filled(block[i], 0, 300, i) == UNIT_INTACT, "block %zu has changed", i);
}

/** Over the bound nobody has to ask. */
Test(purge, over_the_bound_it_happens_by_itself)
{
    uint64_t returned = now().returned;
    fill(2000);
    must(now().returned == returned, "memory went back while it grew");
    empty(50);
    must(now().returned > returned + 20 * WR_MIB, "%llu bytes went back",
         (unsigned long long)(now().returned - returned));
    must(now().purges > 0, "no purge");
}

/** A workload whose live size stays where it is gives nothing back: that would be work for nothing. */
Test(purge, steady_use_returns_nothing)
{
    struct unit_rng rng = {unit_seed()};
    fill(500);
    struct weir_stats before = now();
    for (size_t i = 0; i < unit_scale(300000); i++) {
        size_t at = unit_below(&rng, BLOCKS);
        weir_free(block[at]);
        must((block[at] = weir_malloc(500)) != NULL, "no memory");
    }
    struct weir_stats after = now();
    must(after.returned <= before.returned + WR_MIB, "%llu bytes went back",
         (unsigned long long)(after.returned - before.returned));
    must(after.used <= before.used + before.used / 10, "used grew from %llu to %llu", (unsigned long long)before.used,
         (unsigned long long)after.used);
}

/** A process of one thread that builds and drops now and then keeps nothing for it: once it falls idle nobody would
 *  come by to give that back. What comes again here is little beside the time, however fast or slow the machine. */
Test(purge, a_server_of_one_thread_keeps_nothing_for_its_next_request)
{
    enum { REQUESTS = 20, SIZE = 1000, KEPT = 50, PAUSE_MS = 100 };
    fill(SIZE);
    empty(KEPT);
    for (unsigned request = 0; request < REQUESTS; request++) {
        wr_os_nap(PAUSE_MS);
        for (size_t i = 0; i < BLOCKS; i++)
            if (block[i] == NULL)
                must((block[i] = weir_malloc(SIZE)) != NULL, "no memory");
        empty(KEPT);
    }
    struct weir_stats stats = now();
    uint64_t limit = wr_max(wr_options.slack, stats.used / 8) + 256 * WR_KIB; /* a heap's batches */
    must(stats.slack <= limit, "%llu KiB of slack with %llu KiB used", (unsigned long long)stats.slack / 1024,
         (unsigned long long)stats.used / 1024);
}
