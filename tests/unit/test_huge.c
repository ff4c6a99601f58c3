/* SPDX-License-Identifier: MIT
 * Huge blocks: resizing without copying, what freed ones leave and its bound, and addresses near them. */
#include "core/huge.h"

#include "core/block.h"
#include "core/purge.h"
#include "support.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <weir/alloc.h>

TestSuite(huge, .init = unit_need_small_pages, .timeout = 60);

static char *taken(size_t size)
{
    char *block = weir_malloc(size);
    must(block != NULL && wr_block_look(block).kind == WR_BLOCK_HUGE, "%zu bytes: %p is no huge block", size,
         (void *)block);
    return block;
}

static struct weir_stats now(void)
{
    struct weir_stats stats;
    weir_stats_get(&stats);
    return stats;
}

/** Growing moves pages, not bytes: what was not touched stays untouched. */
Test(huge, resizing_touches_nothing)
{
    size_t size = 8 * WR_MIB;
    char *block = taken(size);
    for (size_t page = 0; page < size; page += 64 * WR_KIB)
        block[page] = (char)(page >> 16);
    for (size_t next = 16 * WR_MIB; next <= 256 * WR_MIB; next *= 2) {
        block = weir_realloc(block, next);
        must(block != NULL && weir_usable_size(block) >= next, "%zu bytes", next);
        for (size_t page = 0; page < size; page += 64 * WR_KIB)
            must(block[page] == (char)(page >> 16), "%zu bytes: content at %zu", next, page);
        must(unit_resident() < 64 * WR_MIB || UNIT_SANITIZED, "%zu bytes: %zu resident", next, unit_resident());
    }
    block = weir_realloc(block, 3 * WR_MIB);
    must(block != NULL && block[2 * WR_MIB] == (char)(2 * WR_MIB >> 16), "shrunk");
    must(now().huge <= 4 * WR_MIB, "%llu bytes in huge blocks", (unsigned long long)now().huge);
    weir_free(block);
}

/** A process may have so many mappings: blocks that grow and move leave none behind, however often. */
Test(huge, one_that_moves_leaves_no_mapping)
{
    enum { BLOCKS = 400, ROUNDS = 4 };
    if (UNIT_SANITIZED)
        cr_skip_test("a sanitizer maps memory of its own beside each mapping");
    char *block[BLOCKS];
    size_t size = 2200 * WR_KIB, before = unit_mappings();
    for (unsigned i = 0; i < BLOCKS; i++)
        block[i] = taken(size);
    for (unsigned round = 0; round < ROUNDS; round++) {
        size += size / 2;
        for (unsigned i = 0; i < BLOCKS; i++) {
            block[i] = weir_realloc(block[i], size);
            must(block[i] != NULL, "no memory for %zu bytes", size);
            block[i][0] = 1;
        }
        must(unit_mappings() <= before + BLOCKS + BLOCKS / 4, "%zu mappings, were %zu, of %u blocks of %zu bytes",
             unit_mappings(), before, (unsigned)BLOCKS, size);
    }
    for (unsigned i = 0; i < BLOCKS; i++)
        weir_free(block[i]);
}

Test(huge, a_grown_block_is_zeroed_for_calloc_only)
{
    char *block = taken(5 * WR_MIB);
    unit_fill(block, 0, 5 * WR_MIB, 1);
    weir_free(block);
    char *clean = weir_calloc(1, 5 * WR_MIB);
    must(clean != NULL && unit_zeroed(clean, 5 * WR_MIB) == UNIT_INTACT, "calloc gave a dirty block");
    unit_fill(clean, 0, 5 * WR_MIB, 2);
    weir_free(clean);
    clean = weir_calloc(1, 7 * WR_MIB);
    must(clean != NULL && unit_zeroed(clean, 7 * WR_MIB) == UNIT_INTACT, "calloc gave a dirty block");
    weir_free(clean);
}

/** So much in use that what a case frees stays within the bound, or over it by as much as the case says. */
static void *have_in_use(size_t size)
{
    unit_no_purger();
    if (getenv("WEIR_PURGE") != NULL || getenv("WEIR_SLACK") != NULL)
        cr_skip_test("WEIR_PURGE or WEIR_SLACK is set");
    return taken(size);
}

/** A program that frees and takes the same again gets what it had: no system call, no fault. */
Test(huge, freed_mappings_are_reused)
{
    void *rest = have_in_use(100 * WR_MIB);
    char *block = taken(3 * WR_MIB);
    unit_fill(block, 0, 3 * WR_MIB, 1);
    struct weir_stats before = now();
    for (unsigned i = 0; i < 100; i++) {
        weir_free(block);
        must(now().cached >= 3 * WR_MIB, "%llu bytes cached", (unsigned long long)now().cached);
        block = taken(3 * WR_MIB);
    }
    must(now().returned == before.returned, "%llu bytes were returned in between",
         (unsigned long long)(now().returned - before.returned));
    weir_free(block);
    weir_free(rest);
}

Test(huge, the_cache_is_slack_and_bounded)
{
    enum { COUNT = 24 };
    void *block[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        block[i] = taken((2500 + 100 * i) * WR_KIB);
        memset(unit_opaque(block[i]), 1, 2500 * WR_KIB);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        weir_free(block[i]);
        struct weir_stats stats = now();
        must(stats.cached <= stats.slack_bound && stats.slack <= stats.slack_bound + WR_MIB,
             "%llu cached, slack %llu, bound %llu", (unsigned long long)stats.cached, (unsigned long long)stats.slack,
             (unsigned long long)stats.slack_bound);
    }
    while (wr_extent_give_back(SIZE_MAX, WR_DISCARD_NOW) > 0)
        continue;
    must(now().cached == 0 && now().huge == 0, "%llu bytes cached", (unsigned long long)now().cached);
}

/** An extent that was split for two blocks serves one as large as both when they are freed, whichever goes first. */
Test(huge, parts_are_joined_again)
{
    void *rest = have_in_use(600 * WR_MIB);
    size_t first_part = wr_round_up(11 * WR_MIB, wr_extent_unit()), both = 27 * WR_MIB + first_part;
    both = wr_round_up(both, wr_extent_unit());
    for (unsigned first = 0; first < 2; first++) {
        char *whole = taken(40 * WR_MIB);
        weir_free(whole);
        uint64_t returned = now().returned;
        char *part[2] = {taken(11 * WR_MIB), taken(27 * WR_MIB)};
        must(part[0] == whole && part[1] == whole + first_part, "40 MiB at %p are not used for %p and %p",
             (void *)whole, (void *)part[0], (void *)part[1]);
        must(now().cached == 40 * WR_MIB - both, "%llu bytes are left over", (unsigned long long)now().cached);
        unit_fill(part[0], 0, 11 * WR_MIB, 1);
        unit_fill(part[1], 0, 27 * WR_MIB, 2);
        weir_free(part[first]);
        must(unit_filled(part[1 - first], 0, (first == 0 ? 27 : 11) * WR_MIB, 2 - first) == UNIT_INTACT,
             "the other part has changed");
        weir_free(part[1 - first]);
        must(taken(39 * WR_MIB) == whole, "the parts are not used together");
        must(now().returned == returned, "%llu bytes went back", (unsigned long long)(now().returned - returned));
        unit_fill(whole, 0, 39 * WR_MIB, 3);
        weir_free(whole);
    }
    weir_free(rest);
}

/** Of an extent that is larger than what may stay, that much stays, at its start. */
Test(huge, over_the_bound_no_more_goes_than_must)
{
    void *rest = have_in_use(320 * WR_MIB);
    char *block = taken(60 * WR_MIB);
    unit_fill(block, 0, 60 * WR_MIB, 1);
    weir_free(block);
    struct weir_stats stats = now();
    must(stats.slack <= stats.slack_bound && stats.slack + 2 * WR_MIB >= stats.slack_bound, "%llu cached, bound %llu",
         (unsigned long long)stats.cached, (unsigned long long)stats.slack_bound);
    must(unit_resident() <= stats.cached + 20 * WR_MIB || UNIT_SANITIZED, "%zu resident", unit_resident());
    must(taken(stats.cached - 2 * WR_MIB) == block, "what stayed is not used again");
    must(now().returned == stats.returned, "%llu bytes went back",
         (unsigned long long)(now().returned - stats.returned));
    weir_free(block);
    weir_free(rest);
}

/** What a block leaves of the map's last slot may be anybody's. */
Test(huge, memory_behind_a_huge_block_is_not_weirs)
{
    size_t page = unit_page_size(), size = 2 * WR_MIB + 64 * WR_KIB;
    char *block = taken(size);
    char *end = block + wr_round_up(weir_usable_size(block), page);
    char *other = mmap(end, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(other != MAP_FAILED, "no mapping");
    if (other != end)
        cr_skip_test("the place behind the block is taken");
    must(weir_usable_size(other) == 0, "foreign memory has a usable size");
    must(weir_realloc(other, 10) == NULL, "foreign memory was reallocated");
    weir_free(other); /* ignored, with a warning */
    must(*other == 0, "foreign memory was written to");
    weir_free(block);
}

/** Each alignment up to gigabytes, and the map knows the block over all of its length. */
Test(huge, alignments)
{
    for (size_t align = WR_MIB; align <= 4096 * WR_MIB; align *= 4)
        for (size_t size = 1000; size <= 40 * WR_MIB; size *= 40) {
            char *block = weir_aligned_alloc(align, size);
            must(block != NULL && unit_is_aligned(block, align), "%zu bytes aligned to %zu: %p", size, align,
                 (void *)block);
            must(wr_block_look(block + size - 1).kind != WR_BLOCK_FOREIGN, "not in the map");
            block[0] = block[size - 1] = 1;
            weir_free(block);
        }
}
