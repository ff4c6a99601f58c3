/* SPDX-License-Identifier: MIT
 * Aligned mappings, and the bookkeeping memory beside them. */
#include "core/space.h"

#include "core/geometry.h"
#include "core/meta.h"
#include "intervals.h"
#include "support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <weir/alloc.h>

static void set_up(void) { weir_free(weir_malloc(1)); } /* starts the library */

TestSuite(space, .init = set_up);
TestSuite(meta, .init = set_up);

static size_t resident_in(const void *start, size_t size)
{
    struct unit_pages pages = {0};
    unit_pages_add(&pages, start, size);
    unit_pages_seal(&pages);
    size_t resident = unit_pages_resident(&pages);
    unit_pages_clear(&pages);
    return resident;
}

static char *mapped(size_t size, size_t align)
{
    char *start = wr_space_map(size, align);
    must(start != NULL && unit_is_aligned(start, align), "%zu bytes aligned to %zu: %p", size, align, (void *)start);
    return start;
}

Test(space, every_alignment)
{
    for (size_t align = WR_PAGE_SIZE; align <= 256 * WR_MIB; align *= 2)
        for (size_t size = WR_PAGE_SIZE; size <= 16 * WR_MIB; size *= 8) {
            char *start = mapped(size, align);
            must(resident_in(start, size) == 0 && unit_zeroed(start, WR_PAGE_SIZE) == UNIT_INTACT, "not fresh");
            start[size - 1] = 1;
            wr_space_unmap(start, size);
            must(resident_in(start, size) == 0, "still there");
        }
}

Test(space, refusals_keep_errno)
{
    errno = 4242;
    must(wr_space_map((size_t)1 << 50, WR_PAGE_SIZE) == NULL && errno == 4242, "errno %d", errno);
    must(wr_space_map(WR_PAGE_SIZE, (size_t)1 << 50) == NULL && errno == 4242, "errno %d", errno);
    must(wr_space_map(PTRDIFF_MAX & ~(WR_PAGE_SIZE - 1), (size_t)1 << 62) == NULL && errno == 4242, "errno %d", errno);
}

/** Mappings lie side by side, so that the system merges them: many cost hardly any of its limit. */
Test(space, neighbours_merge)
{
    enum { COUNT = 64 };
    char *start[COUNT];
    if (UNIT_SANITIZED)
        cr_skip_test("a sanitizer maps memory of its own beside each mapping");
    size_t before = unit_mappings();
    for (unsigned i = 0; i < COUNT; i++)
        start[i] = mapped(WR_ARENA_SIZE, WR_ARENA_SIZE);
    size_t after = unit_mappings();
    must(after <= before + 4, "%zu mappings more for %d", after - before, (int)COUNT);
    for (unsigned i = 0; i < COUNT; i++)
        wr_space_unmap(start[i], WR_ARENA_SIZE);
    must(unit_mappings() <= before + 4, "%zu mappings more when all are gone", unit_mappings() - before);
}

/** Where the place below the last mapping is taken and the limit leaves room for one mapping, but not for a longer one
 *  to be trimmed. */
Test(space, the_last_room_under_a_limit)
{
    char *first = mapped(WR_ARENA_SIZE, WR_ARENA_SIZE);
    struct rlimit before;
    if (UNIT_SANITIZED)
        cr_skip_test("a sanitizer maps memory of its own beside each mapping");
    void *below = mmap(first - WR_PAGE_SIZE, WR_PAGE_SIZE, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    must(below != MAP_FAILED || errno == EEXIST, "%s", strerror(errno));
    getrlimit(RLIMIT_AS, &before);
    setrlimit(RLIMIT_AS, &(struct rlimit){unit_mapped() + WR_ARENA_SIZE, before.rlim_max});
    char *last = wr_space_map(WR_ARENA_SIZE, WR_ARENA_SIZE);
    char *none = wr_space_map(WR_ARENA_SIZE, WR_ARENA_SIZE);
    setrlimit(RLIMIT_AS, &before);
    must(last != NULL && unit_is_aligned(last, WR_ARENA_SIZE), "%p where there was room", (void *)last);
    must(none == NULL, "%p where there was none", (void *)none);
}

Test(space, what_has_gone_is_taken_again)
{
    char *first = mapped(WR_ARENA_SIZE, WR_ARENA_SIZE);
    wr_space_unmap(first, WR_ARENA_SIZE);
    char *again = mapped(WR_ARENA_SIZE, WR_ARENA_SIZE);
    must(again >= first - 4 * WR_ARENA_SIZE && again <= first + 4 * WR_ARENA_SIZE, "%p is far from %p", (void *)again,
         (void *)first);
    wr_space_unmap(again, WR_ARENA_SIZE);
}

static void grow(bool aligned)
{
    static const size_t pages[] = {64, 300, 1000, 1024, 5000, 5001, 20000};
    size_t had = 3 * WR_PAGE_SIZE;
    size_t align = aligned ? WR_ARENA_SIZE : WR_PAGE_SIZE;
    char *start = mapped(had, WR_ARENA_SIZE);
    char *fence = mapped(WR_ARENA_SIZE, WR_ARENA_SIZE), *other = mapped(WR_ARENA_SIZE, WR_ARENA_SIZE);
    unit_fill(start, 0, had, 1);
    unit_fill(fence, 0, WR_ARENA_SIZE, 2);
    for (size_t i = 0; i < WR_COUNT(pages); i++) {
        size_t size = pages[i] * WR_PAGE_SIZE;
        bool several;
        char *now = wr_space_remap(start, had, size, align, &several);
        must(now != NULL && unit_is_aligned(now, align), "from %zu to %zu: %p", had, size, (void *)now);
        must(unit_filled(now, 0, wr_min(had, size), 1) == UNIT_INTACT, "from %zu to %zu: content", had, size);
        must(size <= had || unit_zeroed(now + had, size - had) == UNIT_INTACT, "from %zu to %zu: not zeroed", had,
             size);
        must(now == start || resident_in(start, wr_min(had, size)) == 0 || (now < start && now + size > start),
             "from %zu to %zu: the old place is still resident", had, size);
        unit_fill(now, 0, size, 1);
        start = now;
        had = size;
    }
    must(unit_filled(fence, 0, WR_ARENA_SIZE, 2) == UNIT_INTACT, "a neighbour was written to");
    wr_space_unmap(start, had);
    wr_space_unmap(fence, WR_ARENA_SIZE);
    wr_space_unmap(other, WR_ARENA_SIZE);
}

Test(space, remap_keeps_content) { grow(false); }
Test(space, remap_keeps_alignment) { grow(true); }

/** What is several mappings stays where it is, and nothing is left of the attempt. */
Test(space, remap_of_several_mappings)
{
    size_t size = 8 * WR_PAGE_SIZE;
    char *start = mapped(size, WR_ARENA_SIZE), *fence = mapped(WR_ARENA_SIZE, WR_ARENA_SIZE);
    must(mprotect(start + size / 2, WR_PAGE_SIZE, PROT_READ) == 0, "mprotect failed");
    for (unsigned i = 0; i < 2; i++) {
        bool several = false;
        size_t before = unit_mapped();
        must(wr_space_remap(start, size, WR_ARENA_SIZE, i == 0 ? WR_PAGE_SIZE : WR_ARENA_SIZE, &several) == NULL &&
                 several,
             "it was moved");
        must(unit_mapped() == before, "%zu bytes of address space, %zu before", unit_mapped(), before);
    }
    wr_space_unmap(start, size);
    wr_space_unmap(fence, WR_ARENA_SIZE);
}

/* ---- bookkeeping memory ---------------------------------------------------------------------------------------- */

enum { PIECES = 400 };

struct pieces {
    char *start[PIECES];
    size_t size[PIECES];
    uint64_t seed;
};

static void *take_pieces(void *arg)
{
    struct pieces *pieces = arg;
    struct unit_rng rng = {pieces->seed};
    for (size_t i = 0; i < PIECES; i++) {
        size_t size = unit_log_uniform(&rng, 1, i % 100 == 0 ? 400000 : 5000);
        pieces->start[i] = wr_meta_alloc(size);
        pieces->size[i] = size;
        must(pieces->start[i] != NULL && unit_is_aligned(pieces->start[i], WR_CACHE_LINE), "%zu bytes: %p", size,
             (void *)pieces->start[i]);
        must(unit_zeroed(pieces->start[i], size) == UNIT_INTACT, "%zu bytes are not zeroed", size);
        unit_fill(pieces->start[i], 0, size, i);
    }
    return NULL;
}

Test(meta, pieces_are_zeroed_and_apart)
{
    static struct pieces pieces[3];
    pthread_t thread[WR_COUNT(pieces)];
    struct unit_intervals all = {0};
    size_t before = wr_meta_size(), total = 0;
    for (size_t t = 0; t < WR_COUNT(pieces); t++) {
        pieces[t].seed = unit_seed() + t;
        must(pthread_create(&thread[t], NULL, take_pieces, &pieces[t]) == 0, "no thread");
    }
    for (size_t t = 0; t < WR_COUNT(pieces); t++) {
        const void *clash;
        pthread_join(thread[t], NULL);
        for (size_t i = 0; i < PIECES; i++) {
            must(unit_intervals_add(&all, pieces[t].start[i], pieces[t].size[i], &clash), "%p and %p overlap", clash,
                 (void *)pieces[t].start[i]);
            must(unit_filled(pieces[t].start[i], 0, pieces[t].size[i], i) == UNIT_INTACT, "a piece has changed");
            total += wr_round_up(pieces[t].size[i], WR_CACHE_LINE);
        }
    }
    must(wr_meta_size() - before == total, "%zu bytes counted, %zu handed out", wr_meta_size() - before, total);
}
