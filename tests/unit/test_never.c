/* SPDX-License-Identifier: MIT
 * WEIR_PURGE=never: nothing goes back, by itself or when it is asked for, and all of it is used again; only where the
 * system refuses memory does what can be unmapped go. The system calls are counted on their way. */
#include "base/option.h"
#include "core/geometry.h"
#include "core/huge.h"
#include "os/os.h"
#include "support.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <weir/alloc.h>
#include <weir/gc.h>
#include <weir/object.h>

/** Before the library reads its options. */
static __attribute__((constructor(101))) void choose(void) { setenv("WEIR_PURGE", "never", 1); }

static void need_never(void) { must(wr_options.purge == WR_PURGE_NEVER, "the option was read too early"); }

TestSuite(never, .init = need_never, .timeout = 120);

/* ---- what the library asks of the system ----------------------------------------------------------------------- */

static _Atomic size_t maps, unmaps, discards;

void *__real_wr_os_map(void *hint, size_t size);
void *__wrap_wr_os_map(void *hint, size_t size);
bool __real_wr_os_unmap(void *start, size_t size);
bool __wrap_wr_os_unmap(void *start, size_t size);
size_t __real_wr_os_discard(struct wr_range *range, size_t count, enum wr_discard how);
size_t __wrap_wr_os_discard(struct wr_range *range, size_t count, enum wr_discard how);

void *__wrap_wr_os_map(void *hint, size_t size)
{
    atomic_fetch_add(&maps, 1);
    return __real_wr_os_map(hint, size);
}

bool __wrap_wr_os_unmap(void *start, size_t size)
{
    atomic_fetch_add(&unmaps, 1);
    return __real_wr_os_unmap(start, size);
}

size_t __wrap_wr_os_discard(struct wr_range *range, size_t count, enum wr_discard how)
{
    atomic_fetch_add(&discards, count);
    return __real_wr_os_discard(range, count, how);
}

static struct weir_stats now(void)
{
    struct weir_stats stats;
    weir_stats_get(&stats);
    return stats;
}

/* ---- blocks of every kind -------------------------------------------------------------------------------------- */

enum { COUNT = 20000 };

static char *block[COUNT];
static size_t size[COUNT];

/** Sizes that are the same each time, some of each kind. A mapping's ends are cut off when it is made: not counted. */
static void build(void)
{
    struct unit_rng rng = {unit_seed()};
    for (unsigned i = 0; i < COUNT; i++) {
        size_t most = i % 2000 == 0 ? 2 * WR_ARENA_SIZE : i % 200 == 0 ? WR_LARGE_MAX : WR_MEDIUM_MAX;
        size[i] = i % 200 == 0 ? most / 3 + unit_below(&rng, most / 2) : unit_log_uniform(&rng, 1, most);
        must((block[i] = weir_malloc(size[i])) != NULL, "no memory");
        unit_fill(block[i], 0, wr_min(size[i], 100), i);
    }
}

static void drop(void)
{
    for (unsigned i = 0; i < COUNT; i++) {
        must(unit_filled(block[i], 0, wr_min(size[i], 100), i) == UNIT_INTACT, "block %u has changed", i);
        weir_free(block[i]);
    }
}

static void must_not_have_gone(const struct weir_stats *before, const char *when)
{
    struct weir_stats stats = now();
    must(atomic_load(&unmaps) == 0 && atomic_load(&discards) == 0, "%s: %zu times unmapped, %zu ranges discarded", when,
         atomic_load(&unmaps), atomic_load(&discards));
    must(stats.returned == 0 && stats.arenas_unmapped == 0, "%s: %llu bytes said to be returned", when,
         (unsigned long long)stats.returned);
    must(stats.mapped >= before->mapped && stats.arenas >= before->arenas, "%s: mapped %llu bytes, were %llu", when,
         (unsigned long long)stats.mapped, (unsigned long long)before->mapped);
}

/** Builds twice, drops and asks for all that can go; the second time nothing new is mapped, but for what fits less well
 *  in the order that has come about. */
Test(never, nothing_goes_and_all_is_used_again)
{
    build();
    atomic_store(&unmaps, 0);
    struct weir_stats built = now();
    drop();
    must_not_have_gone(&built, "dropped");
    must(weir_trim(0) == 0, "a trim gave something back");
    must_not_have_gone(&built, "trimmed");
    struct weir_stats dropped = now();
    must(dropped.slack + dropped.metadata + WR_MIB >= built.used, "slack %llu, used were %llu",
         (unsigned long long)dropped.slack, (unsigned long long)built.used);
    atomic_store(&maps, 0);
    for (unsigned round = 0; round < 3; round++) {
        build();
        drop();
    }
    must_not_have_gone(&built, "built again");
    must(now().mapped <= built.mapped + built.mapped / 8, "mapped %llu bytes, were %llu",
         (unsigned long long)now().mapped, (unsigned long long)built.mapped);
}

/* ---- huge blocks ----------------------------------------------------------------------------------------------- */

/** More freed mappings than are kept otherwise, none beside another. */
Test(never, freed_mappings_are_all_kept)
{
    enum { HUGE = 300 };
    static void *huge[HUGE];
    for (unsigned i = 0; i < HUGE; i++)
        must((huge[i] = weir_malloc(WR_LARGE_MAX + WR_MIB)) != NULL, "no memory");
    struct weir_stats built = now();
    must(built.huge_blocks == HUGE, "%llu huge blocks", (unsigned long long)built.huge_blocks);
    atomic_store(&unmaps, 0);
    for (unsigned i = 0; i < HUGE; i += 2)
        weir_free(huge[i]);
    must_not_have_gone(&built, "freed");
    must(now().cached == built.huge / 2, "%llu bytes kept", (unsigned long long)now().cached);
    atomic_store(&maps, 0);
    for (unsigned i = 0; i < HUGE; i += 2)
        must((huge[i] = weir_malloc(WR_LARGE_MAX + WR_MIB)) != NULL, "no memory");
    must(atomic_load(&maps) == 0 && now().cached == 0, "%zu new mappings, %llu bytes left", atomic_load(&maps),
         (unsigned long long)now().cached);
    must_not_have_gone(&built, "taken again");
}

/** Blocks on boundaries wider than arenas' take freed mappings too, or those would become more and more. */
Test(never, freed_mappings_serve_wider_alignments)
{
    size_t align = 2 * WR_ARENA_SIZE, huge = 4 * WR_ARENA_SIZE;
    char *first = weir_aligned_alloc(align, huge), *again;
    must(first != NULL, "no memory");
    weir_free(first);
    atomic_store(&unmaps, 0);
    atomic_store(&maps, 0);
    for (unsigned i = 0; i < 100; i++) {
        must((again = weir_aligned_alloc(align, huge - i * WR_PAGE_SIZE)) == first, "block %u lies at %p, not at %p", i,
             (void *)again, (void *)first);
        unit_fill(again, huge - i * WR_PAGE_SIZE - 100, 100, i);
        weir_free(again);
    }
    must(atomic_load(&maps) == 0 && atomic_load(&unmaps) == 0, "%zu times mapped, %zu times unmapped",
         atomic_load(&maps), atomic_load(&unmaps));
    again = weir_aligned_alloc(align, 2 * huge);
    must(again != NULL && (uintptr_t)again % align == 0, "a larger one is at %p", (void *)again);
    unit_fill(again, 2 * huge - 100, 100, 1);
    weir_free(again);
}

/** What a block that shrinks leaves serves another. */
Test(never, a_block_that_shrinks_leaves_its_rest)
{
    char *whole = weir_malloc(10 * WR_ARENA_SIZE);
    must(whole != NULL, "no memory");
    unit_fill(whole, 0, 3 * WR_ARENA_SIZE, 1);
    atomic_store(&unmaps, 0);
    atomic_store(&maps, 0);
    struct weir_stats before = now();
    char *part = weir_realloc(whole, 3 * WR_ARENA_SIZE - 5000);
    size_t kept = wr_round_up(3 * WR_ARENA_SIZE - 5000, wr_extent_unit());
    must(part == whole && weir_usable_size(part) == kept, "%zu bytes at %p, were at %p",
         weir_usable_size(part), (void *)part, (void *)whole);
    must(now().cached == 10 * WR_ARENA_SIZE - kept, "%llu bytes kept", (unsigned long long)now().cached);
    char *other = weir_malloc(6 * WR_ARENA_SIZE);
    must(other == whole + kept, "another block lies at %p", (void *)other);
    memset(unit_opaque(other), 2, 6 * WR_ARENA_SIZE);
    must(unit_filled(part, 0, 3 * WR_ARENA_SIZE - 5000, 1) == UNIT_INTACT, "the first has changed");
    part = weir_realloc(part, 20 * WR_ARENA_SIZE);
    must(part != NULL && unit_filled(part, 0, 3 * WR_ARENA_SIZE - 5000, 1) == UNIT_INTACT, "grown, it has changed");
    must(atomic_load(&discards) == 0 && now().mapped >= before.mapped, "something went");
    weir_free(part);
    weir_free(other);
}

/* ---- the system refuses ---------------------------------------------------------------------------------------- */

/** Leaves the process so little address space beside what it has. */
static void limit(size_t more)
{
    FILE *file = fopen("/proc/self/statm", "r");
    size_t pages = 0;
    must(file != NULL && fscanf(file, "%zu", &pages) == 1, "no size of the process");
    fclose(file);
    struct rlimit limit = {pages * unit_page_size() + more, RLIM_INFINITY};
    must(setrlimit(RLIMIT_AS, &limit) == 0, "no limit");
}

static void unlimit(void)
{
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    setrlimit(RLIMIT_AS, &limit);
}

static void keep_mappings(size_t bytes)
{
    if (UNIT_SANITIZED)
        cr_skip_test("a sanitizer needs address space of its own");
    void *huge = weir_malloc(bytes);
    must(huge != NULL, "no memory");
    weir_free(huge);
    must(now().cached >= bytes, "%llu bytes kept", (unsigned long long)now().cached);
}

Test(never, kept_mappings_go_when_memory_is_refused)
{
    size_t half = 24 * WR_ARENA_SIZE;
    keep_mappings(2 * half);
    limit(4 * WR_ARENA_SIZE);
    void **last = NULL;
    for (size_t total = 0; total < half; total += WR_PAGE_SIZE) {
        void **next = weir_malloc(WR_PAGE_SIZE);
        must(next != NULL, "no memory with %llu bytes kept", (unsigned long long)now().cached);
        *next = last;
        last = next;
    }
    unlimit();
    must(now().cached < 2 * half && now().returned > 0, "%llu bytes kept", (unsigned long long)now().cached);
}

static struct weir_type plain = {.name = "plain", .size = 64};

Test(never, kept_mappings_go_when_objects_are_refused_memory)
{
    size_t half = 24 * WR_ARENA_SIZE;
    weir_gc_disable(); /* its passes would ask for memory by malloc */
    keep_mappings(2 * half);
    limit(4 * WR_ARENA_SIZE);
    void *object = NULL;
    for (size_t total = 0; total < half; total += plain.size)
        must((object = weir_new(&plain)) != NULL, "no memory with %llu bytes kept", (unsigned long long)now().cached);
    unlimit();
    must(now().cached < 2 * half && now().returned > 0, "%llu bytes kept", (unsigned long long)now().cached);
}
