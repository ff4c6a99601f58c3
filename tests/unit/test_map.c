/* SPDX-License-Identifier: MIT
 * The address map: what was entered is found, its neighbours are not ours, and wild addresses are harmless. */
#include "core/map.h"

#include "core/arena.h"
#include "core/block.h"
#include "support.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <weir/alloc.h>

static void set_up(void) { weir_free(weir_malloc(1)); } /* starts the library */

TestSuite(map, .init = set_up);

/** An address that no mapping of this process is near. */
static char *far_away(size_t arenas) { return (char *)((uintptr_t)0x2000 << 32) + arenas * WR_ARENA_SIZE; }

static void enter(const void *start, size_t size, uintptr_t entry)
{
    must(wr_map_prepare(start, size), "no room for %p", start);
    wr_lock(&wr_arena_lock, WR_RANK_ARENA);
    wr_map_set(start, size, entry);
    wr_unlock(&wr_arena_lock, WR_RANK_ARENA);
}

Test(map, every_address_of_a_range_is_found)
{
    for (size_t arenas = 1; arenas <= 5; arenas++) {
        char *start = far_away(100 * arenas);
        size_t size = arenas * WR_ARENA_SIZE;
        enter(start, size - 5 * WR_PAGE_SIZE, 0x1234560); /* a part of the last slot is enough */
        for (size_t offset = 0; offset < size; offset += WR_ARENA_SIZE / 7)
            must(wr_map_get(start + offset) == 0x1234560, "offset %zu", offset);
        must(wr_map_get(start + size - 1) == 0x1234560, "the last byte");
        must(wr_map_get(start - 1) == 0 && wr_map_get(start + size) == 0, "neighbours are ours");
        enter(start, size - 5 * WR_PAGE_SIZE, 0);
        must(wr_map_get(start) == 0 && wr_map_get(start + size - 1) == 0, "still found");
    }
}

Test(map, a_range_may_span_leaves)
{
    char *start = far_away((size_t)3 * WR_MAP_LEAF - 2);
    enter(start, 4 * WR_ARENA_SIZE, 0x40);
    for (unsigned i = 0; i < 4; i++)
        must(wr_map_get(start + i * WR_ARENA_SIZE + 5) == 0x40, "slot %u", i);
    must(wr_map_get(start - 1) == 0 && wr_map_get(start + 4 * WR_ARENA_SIZE) == 0, "neighbours are ours");
}

Test(map, wild_addresses_are_not_ours)
{
    struct unit_rng rng = {unit_seed()};
    static char data[16];
    char stack[16];
    must(wr_map_get(NULL) == 0 && wr_map_get(data) == 0 && wr_map_get(stack) == 0, "ours");
    for (unsigned shift = 0; shift < 64; shift++)
        must(wr_map_get((void *)((uintptr_t)1 << shift)) == 0, "2^%u", shift);
    for (size_t i = 0; i < unit_scale(1000000); i++) {
        void *address = (void *)(uintptr_t)(unit_random(&rng) >> unit_below(&rng, 64));
        if (address > (void *)((uintptr_t)1 << 47))
            must(wr_map_get(address) == 0, "%p", address);
        must(!wr_map_is_known(address) || (wr_map_get(address) & WR_MAP_ARENA) != 0, "%p is known, but not in the map",
             address);
    }
    must(!wr_map_is_known((void *)UINTPTR_MAX) && !wr_map_is_known(NULL), "known");
}

Test(map, what_lies_beyond_it_is_refused)
{
    must(!wr_map_prepare((void *)((uintptr_t)1 << 60), WR_ARENA_SIZE), "an address of 61 bits");
    must(!wr_map_prepare((void *)(UINTPTR_MAX - 2 * WR_ARENA_SIZE + 1), WR_ARENA_SIZE), "the end of the address space");
}

Test(map, the_table_of_arenas_forgets_but_the_tree_does_not)
{
    char *first = far_away(7), *second = first + (size_t)WR_MAP_KNOWN * WR_ARENA_SIZE; /* the same place in the table */
    must(wr_map_prepare(first, WR_ARENA_SIZE) && wr_map_prepare(second, WR_ARENA_SIZE), "no room");
    wr_lock(&wr_arena_lock, WR_RANK_ARENA);
    wr_map_add_arena(first);
    must(wr_map_is_known(first) && wr_map_is_known(first + WR_ARENA_SIZE - 1), "the first is not known");
    must(!wr_map_is_known(first - 1) && !wr_map_is_known(first + WR_ARENA_SIZE) && !wr_map_is_known(second),
         "neighbours");
    wr_map_add_arena(second);
    must(wr_map_is_known(second) && !wr_map_is_known(first), "the second is not known");
    must(wr_map_get(first) == ((uintptr_t)first | WR_MAP_ARENA) &&
             wr_map_get(second) == ((uintptr_t)second | WR_MAP_ARENA),
         "not in the tree");
    wr_map_remove_arena(first);
    must(wr_map_get(first) == 0 && wr_map_is_known(second), "taking out the first took the second");
    wr_map_remove_arena(second);
    must(wr_map_get(second) == 0 && !wr_map_is_known(second), "the second is still there");
    wr_unlock(&wr_arena_lock, WR_RANK_ARENA);
}

static void *prepare_same(void *arg)
{
    for (size_t i = 0; i < 200; i++)
        must(wr_map_prepare(far_away(i * WR_MAP_LEAF), WR_ARENA_SIZE), "no room");
    return arg;
}

/** Threads that need the same leaves at once get one of each. */
Test(map, leaves_are_made_once)
{
    pthread_t thread[4];
    for (size_t i = 0; i < WR_COUNT(thread); i++)
        must(pthread_create(&thread[i], NULL, prepare_same, NULL) == 0, "no thread");
    for (size_t i = 0; i < WR_COUNT(thread); i++)
        pthread_join(thread[i], NULL);
    for (size_t i = 0; i < 200; i++) {
        enter(far_away(i * WR_MAP_LEAF), WR_ARENA_SIZE, 2 * i + 2);
        must(wr_map_get(far_away(i * WR_MAP_LEAF)) == 2 * i + 2, "leaf %zu", i);
    }
}

/** Every kind of block is found by every address of it. */
Test(map, blocks_are_entered)
{
    static const size_t size[] = {16, 1000, 5000, 100000, 2500000, 9000000};
    for (size_t i = 0; i < WR_COUNT(size); i++) {
        char *block = weir_malloc(size[i]);
        must(block != NULL, "no memory");
        for (size_t offset = 0; offset < size[i]; offset += wr_max(size[i] / 50, 1))
            must(wr_block_look(block + offset).kind != WR_BLOCK_FOREIGN, "size %zu, offset %zu", size[i], offset);
        bool in_arena = size[i] <= WR_LARGE_MAX;
        must(((wr_map_get(block) & WR_MAP_ARENA) != 0) == in_arena, "size %zu: in an arena?", size[i]);
        must(wr_map_is_known(block) == in_arena, "size %zu: known?", size[i]);
        weir_free(block);
    }
}
