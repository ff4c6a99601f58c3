/* SPDX-License-Identifier: MIT
 * Arenas, spans and pages after any sequence of operations: what the descriptors say is what the kernel says and what
 * the blocks need. And the rule of the fullest arena. */
#include "core/arena.h"

#include "core/account.h"
#include "core/block.h"
#include "core/purge.h"
#include "core/registry.h"
#include "front/thread.h"
#include "support.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weir/alloc.h>

static void need_defaults(void)
{
    if (getenv("WEIR_PURGE") != NULL)
        cr_skip_test("WEIR_PURGE is set: what is said to be returned may still be resident");
    unit_no_purger();
}

TestSuite(arena, .init = need_defaults, .timeout = 120);

/* ---- what the descriptors must say, while nothing runs --------------------------------------------------------- */

/** Pages over all arenas. */
struct census {
    size_t used, slack;
};

/** The bits of a span's pages of which mincore finds a part resident: the system's pages may be smaller. */
static uint16_t resident_pages(const struct wr_span *span)
{
    enum { SMALLEST = 4096, MOST = WR_SPAN_PAGES * 65536 / SMALLEST };
    unsigned char state[MOST];
    size_t count = WR_SPAN_SIZE / unit_page_size();
    must(count <= MOST && mincore(wr_span_start(span), WR_SPAN_SIZE, state) == 0, "the span at %p is not mapped",
         (void *)wr_span_start(span));
    unsigned pages = 0;
    for (size_t i = 0; i < count; i++)
        pages |= (state[i] & 1u) << i * WR_SPAN_PAGES / count;
    return (uint16_t)pages;
}

/** The states of arena.h: free, resident, returned, busy. */
static void check_pages(const struct wr_span *span, struct census *census)
{
    bool lent = span->kind == WR_SPAN_SMALL || span->kind == WR_SPAN_MEDIUM || span->kind == WR_SPAN_LARGE ||
                span->kind == WR_SPAN_LARGE_MORE;
    unsigned free = span->kind == WR_SPAN_FREE ? WR_ALL_PAGES : span->free;
    unsigned used = ~free & WR_ALL_PAGES;
    must((used & ~span->resident) == 0 || !lent, "span %p: used pages %#x, resident %#x", (const void *)span, used,
         span->resident);
    must((span->returned & span->resident) == 0, "span %p: pages %#x are returned and resident", (const void *)span,
         span->returned & span->resident);
    must(span->busy == 0, "span %p: busy pages %#x, though nobody purges", (const void *)span, span->busy);
    uint16_t really = resident_pages(span);
    must((really & ~span->resident) == 0, "span %p of kind %u: pages %#x are resident, and said not to be",
         (const void *)span, span->kind, really & ~span->resident);
    census->used += wr_bits_count(used & span->resident);
    census->slack += wr_bits_count(free & span->resident);
}

/** A page with a live pool is used, and no other page has one. */
static void check_small(struct wr_span *span)
{
    for (unsigned page = 0; page < WR_SPAN_PAGES; page++) {
        struct wr_pool *pool = wr_span_pool(span, page);
        bool used = (span->free >> page & 1) == 0;
        must((wr_pool_heap(pool) != NULL) == used, "page %u of span %p: used %d, owner %p", page, (void *)span, used,
             (void *)wr_pool_heap(pool));
        if (used)
            must(wr_geometry_is_small(pool->class) && wr_pool_live(pool) <= wr_pool_class(pool)->blocks,
                 "pool %p: class %u, %u live", (void *)pool, pool->class, wr_pool_live(pool));
    }
}

/** The pages of a head that the descriptors of a span's pools lie in. */
static unsigned pools_page(unsigned span)
{
    return 1u << (span * WR_SPAN_PAGES * sizeof(struct wr_pool) / WR_PAGE_SIZE);
}

/** The head's pages that must be resident. */
static unsigned needed_of_head(const struct wr_arena *arena)
{
    unsigned needed = 1u | 1u << (offsetof(struct wr_arena, span) / WR_PAGE_SIZE);
    for (unsigned i = 1; i < WR_ARENA_SPANS; i++)
        if (arena->span[i].kind == WR_SPAN_SMALL || arena->span[i].kind == WR_SPAN_OBJECT)
            needed |= pools_page(i);
    return needed;
}

static void check_head(struct wr_arena *arena)
{
    unsigned needed = needed_of_head(arena), really = resident_pages(&arena->span[0]);
    must(arena->head_going == 0, "arena %p: pages %#x of the head are on their way", (void *)arena, arena->head_going);
    must((needed & ~arena->head) == 0, "arena %p: pages %#x of the head are in use, resident are %#x", (void *)arena,
         needed, arena->head);
    must((arena->head & ~really) == 0, "arena %p: pages %#x of the head are said to be resident, and %#x are",
         (void *)arena, arena->head, really);
    for (unsigned i = 1; i < WR_ARENA_SPANS; i++) {
        bool pools = arena->span[i].kind == WR_SPAN_SMALL || arena->span[i].kind == WR_SPAN_OBJECT;
        must((arena->pooled >> i & 1) == pools, "span %u of arena %p: kind %u, noted as lent for pools: %d", i,
             (void *)arena, arena->span[i].kind, !pools);
    }
}

static void check_arena(struct wr_arena *arena, void *census)
{
    must(wr_map_get(arena) == ((uintptr_t)arena | WR_MAP_ARENA), "arena %p is not in the map", (void *)arena);
    must(arena->span[0].kind == WR_SPAN_HEAD, "arena %p has no head", (void *)arena);
    must(arena->pins == 0 && arena->busy_spans == 0, "arena %p is pinned though nobody purges", (void *)arena);
    check_head(arena);
    for (unsigned i = 1; i < WR_ARENA_SPANS; i++) {
        struct wr_span *span = &arena->span[i];
        bool listed = (arena->free_spans >> i & 1) != 0;
        must(listed == (span->kind == WR_SPAN_FREE), "span %u of arena %p: kind %u, in the free set %d", i,
             (void *)arena, span->kind, listed);
        check_pages(span, census);
        if (span->kind == WR_SPAN_SMALL)
            check_small(span);
        if (span->kind == WR_SPAN_SMALL || span->kind == WR_SPAN_MEDIUM)
            must(span->free != WR_ALL_PAGES, "span %u of arena %p is lent to a heap, and all free", i, (void *)arena);
    }
}

/** What is counted here must hold still: nobody else may give pages back meanwhile. Runs before the library starts. */
static __attribute__((constructor(101))) void without_purger(void) { setenv("WEIR_PURGER", "off", 1); }

static void sum_heap(struct wr_heap *heap, void *arg)
{
    int64_t *sum = arg;
    sum[0] += heap->used;
    sum[1] += heap->slack;
}

/** All of it, and that the account is exact. pre: no other thread runs in Weir. */
static void check_all(const char *when)
{
    struct census census = {0};
    struct weir_stats stats;
    int64_t held[2] = {0};
    must(wr_check_all(), "%s: the heap's own check found fault", when);
    wr_arena_each(check_arena, &census);
    wr_registry_each(sum_heap, held);
    weir_stats_get(&stats);
    int64_t cached = (int64_t)(stats.cached >> WR_PAGE_SHIFT);
    int64_t used = atomic_load(&wr_account.used) + held[0], slack = atomic_load(&wr_account.slack) + held[1] - cached;
    must(used == (int64_t)census.used, "%s: the account says %lld pages used, there are %zu", when, (long long)used,
         census.used);
    must(slack == (int64_t)census.slack, "%s: the account says %lld pages of slack, there are %zu", when,
         (long long)slack, census.slack);
    must(stats.used == (census.used << WR_PAGE_SHIFT) + stats.huge, "%s: figures differ", when);
}

/* ---- after operations ------------------------------------------------------------------------------------------ */

enum { BLOCKS = 6000 };

struct blocks {
    void *block[BLOCKS];
    struct unit_rng rng;
};

static void *churn(void *arg)
{
    struct blocks *blocks = arg;
    for (size_t i = 0; i < unit_scale(60000); i++) {
        size_t at = unit_below(&blocks->rng, BLOCKS);
        weir_free(blocks->block[at]);
        size_t size = unit_log_uniform(&blocks->rng, 1, i % 400 == 0 ? 3 * WR_MIB : i % 5 == 0 ? 40000 : 2000);
        blocks->block[at] = weir_malloc(size);
        must(blocks->block[at] != NULL, "no memory");
        memset(unit_opaque(blocks->block[at]), 1, size);
    }
    return NULL;
}

static void *free_some(void *arg)
{
    struct blocks *blocks = arg;
    for (size_t i = 0; i < BLOCKS; i++)
        if (unit_below(&blocks->rng, 4) != 0) {
            weir_free(blocks->block[i]);
            blocks->block[i] = NULL;
        }
    return NULL;
}

static void *free_all(void *arg)
{
    struct blocks *blocks = arg;
    for (size_t i = 0; i < BLOCKS; i++) {
        weir_free(blocks->block[i]);
        blocks->block[i] = NULL;
    }
    return NULL;
}

Test(arena, descriptors_after_one_thread)
{
    static struct blocks blocks;
    blocks.rng.state = unit_seed();
    for (unsigned round = 0; round < 6; round++) {
        churn(&blocks);
        check_all("after churning");
        if (round % 2 == 0)
            free_some(&blocks);
        check_all("after freeing");
        if (round % 3 == 0)
            weir_trim(round * 100000);
        check_all("after a trim");
    }
    free_all(&blocks);
    check_all("when all is freed");
    weir_trim(0);
    check_all("at the end");
}

Test(arena, descriptors_after_many_threads)
{
    enum { THREADS = 3 };
    static struct blocks blocks[THREADS];
    static void *(*const phase[])(void *) = {churn, free_some, churn, free_all};
    pthread_t thread[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        blocks[i].rng.state = unit_seed() + i;
    for (unsigned p = 0; p < WR_COUNT(phase); p++) {
        for (unsigned i = 0; i < THREADS; i++) /* each phase frees what the last one's threads took */
            must(pthread_create(&thread[i], NULL, phase[p], &blocks[(i + p) % THREADS]) == 0, "no thread");
        for (unsigned i = 0; i < THREADS; i++)
            pthread_join(thread[i], NULL);
        check_all("after a phase");
        weir_trim(0);
        check_all("after a trim");
    }
}

/** After a trim no page is resident that no block needs. */
Test(arena, a_trim_leaves_no_slack)
{
    static struct blocks blocks;
    blocks.rng.state = unit_seed();
    churn(&blocks);
    free_some(&blocks);
    weir_trim(0);
    struct census census = {0};
    wr_arena_each(check_arena, &census);
    must(census.slack == 0, "%zu pages of slack", census.slack);
}

/* ---- heads go back in part -------------------------------------------------------------------------------------- */

static void head_is_trimmed(struct wr_arena *arena, void *heads)
{
    unsigned needed = needed_of_head(arena);
    must(arena->head == needed, "arena %p: of the head %#x are resident, %#x needed", (void *)arena, arena->head,
         needed);
    *(size_t *)heads += wr_bits_count(arena->head);
}

/** So many small blocks that their arenas' heads are used from end to end. */
enum { ARENAS = 6, PER_PAGE = 4, FILL = ARENAS * WR_ARENA_PAGES * PER_PAGE };

static char *filler[FILL];

static void need_several_head_pages(void)
{
    if (pools_page(WR_ARENA_SPANS - 1) == 1)
        cr_skip_test("all descriptors of pools lie in one page");
}

static void fill_arenas(void)
{
    for (unsigned i = 0; i < FILL; i++) {
        if (filler[i] != NULL)
            continue;
        must((filler[i] = weir_malloc(WR_PAGE_SIZE / PER_PAGE)) != NULL, "no memory");
        unit_fill(filler[i], 0, 64, i);
    }
}

/** Frees the blocks but those whose descriptors lie in the first page of their arena's head. Returns one of them. */
static char *empty_all_but_first_page(void)
{
    char *freed = NULL;
    for (unsigned i = 0; i < FILL; i++) {
        must(unit_filled(filler[i], 0, 64, i) == UNIT_INTACT, "block %u has changed", i);
        if (pools_page(wr_arena_page(filler[i]) / WR_SPAN_PAGES) == 1)
            continue;
        freed = filler[i];
        weir_free(filler[i]);
        filler[i] = NULL;
    }
    return freed;
}

Test(arena, a_trim_gives_back_what_heads_do_not_need)
{
    need_several_head_pages();
    for (unsigned round = 0; round < 3; round++) {
        struct weir_stats before, after;
        size_t heads = 0;
        fill_arenas();
        check_all("when filled");
        char *freed = empty_all_but_first_page();
        weir_stats_get(&before);
        weir_trim(0);
        weir_stats_get(&after);
        wr_arena_each(head_is_trimmed, &heads);
        size_t most = (ARENAS - 1) * (offsetof(struct wr_arena, span) / WR_PAGE_SIZE - 1);
        must(before.metadata >= after.metadata + (most << WR_PAGE_SHIFT), "metadata %llu, trimmed %llu; %zu pages left",
             (unsigned long long)before.metadata, (unsigned long long)after.metadata, heads);
        unsigned really = resident_pages(&wr_arena_of(freed)->span[0]);
        must(really == needed_of_head(wr_arena_of(freed)), "of the head %#x are resident", really);
        must(weir_usable_size(freed) == 0, "a freed block has a size");
        check_all("after a trim");
    }
}

/** Whether a page of the head that describes the block is on its way. */
static bool is_going(const struct wr_head *head, unsigned count, const void *block)
{
    for (unsigned i = 0; i < count; i++)
        if (head[i].arena == wr_arena_of(block))
            return (pools_page(wr_arena_page(block) / WR_SPAN_PAGES) & head[i].pages) != 0;
    return false;
}

/** While a page of a head is on its way nobody gets a span that it describes. */
Test(arena, heads_on_their_way_are_not_used)
{
    need_several_head_pages();
    struct wr_head head[2 * ARENAS];
    fill_arenas();
    empty_all_but_first_page();
    unsigned count = wr_arena_pin_heads(head, WR_COUNT(head));
    must(count >= ARENAS - 1, "%u heads can go", count);
    fill_arenas();
    for (unsigned i = 0; i < FILL; i++)
        must(!is_going(head, count, filler[i]), "block %u was given a page whose descriptor is on its way", i);
    for (unsigned i = 0; i < count; i++)
        head[i].pages = 0; /* the system has refused all */
    wr_arena_unpin_heads(head, count);
    check_all("at the end");
}

/** What is freed a second time when nothing describes it any more is still told. */
Test(arena, a_block_without_a_descriptor_is_no_block)
{
    need_several_head_pages();
    int status = 0;
    fill_arenas();
    char *freed = empty_all_but_first_page();
    weir_trim(0);
    pid_t child = fork();
    must(child >= 0, "no process");
    if (child == 0) {
        close(STDERR_FILENO);
        weir_free(unit_opaque(freed));
        _exit(0);
    }
    must(waitpid(child, &status, 0) == child, "waitpid");
    must(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "status %#x", (unsigned)status);
}

static void *churn_and_free(void *arg)
{
    churn(arg);
    free_some(arg);
    churn(arg);
    return free_all(arg);
}

struct runner {
    struct blocks blocks;
    pthread_t thread;
    _Atomic bool done;
};

static void *run(void *arg)
{
    struct runner *runner = arg;
    churn_and_free(&runner->blocks);
    atomic_store(&runner->done, true);
    return NULL;
}

/** Spans come and go while heads do. */
Test(arena, trims_beside_threads)
{
    enum { THREADS = 2 };
    static struct runner runner[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        runner[i].blocks.rng.state = unit_seed() + i;
        must(pthread_create(&runner[i].thread, NULL, run, &runner[i]) == 0, "no thread");
    }
    while (!atomic_load(&runner[0].done) || !atomic_load(&runner[1].done))
        weir_trim(0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(runner[i].thread, NULL);
    check_all("at the end");
    size_t heads = 0;
    weir_trim(0);
    wr_arena_each(head_is_trimmed, &heads);
    check_all("after a trim");
}

/* ---- the fullest arena first ----------------------------------------------------------------------------------- */

enum { RUNS = WR_ARENA_SPANS - 1 };

/** New memory comes from the fullest arena that has room, so that the others drain. */
Test(arena, the_fullest_arena_is_taken_from)
{
    void *block[3][RUNS];
    size_t size = WR_SPAN_SIZE; /* a large block of one span */
    weir_free(weir_malloc(size));
    for (unsigned a = 0; a < 3; a++)
        for (unsigned i = 0; i < RUNS; i++)
            must((block[a][i] = weir_malloc(size)) != NULL, "no memory");
    struct wr_arena *middle = wr_arena_of(block[1][RUNS / 2]);
    unsigned holes = 0;
    for (unsigned a = 0; a < 3; a++)
        for (unsigned i = 0; i < RUNS; i++) {
            bool fullest = wr_arena_of(block[a][i]) == middle;
            if (fullest ? i % 16 == 3 : i % 2 == 0) {
                holes += fullest;
                weir_free(block[a][i]);
                block[a][i] = NULL;
            }
        }
    must(holes >= 3, "%u holes in the fullest arena", holes);
    void *again[8];
    for (unsigned i = 0; i < wr_min(holes, WR_COUNT(again)); i++) {
        must((again[i] = weir_malloc(size)) != NULL, "no memory");
        must(wr_arena_of(again[i]) == middle, "block %u of %u came from another arena", i, holes);
    }
}

Test(arena, a_run_is_taken_where_it_is_resident)
{
    const size_t size = 4 * WR_SPAN_SIZE;
    void *run[3];
    bool zeroed;
    for (unsigned i = 0; i < WR_COUNT(run); i++) {
        must((run[i] = wr_large_alloc(size, 1, &zeroed)) != NULL, "no memory");
        memset(run[i], 1, size);
    }
    wr_large_free(run[0]);
    wr_purge_to(0);
    wr_large_free(run[2]);
    void *again = wr_large_alloc(size, 1, &zeroed);
    must(again == run[2], "the run is at %p; resident pages are at %p, and none at %p", again, run[2], run[0]);
    must(!zeroed, "a run of resident pages is said to read as zero");
    wr_large_free(again);
    wr_large_free(run[1]);
}

Test(arena, empty_arenas_are_unmapped)
{
    enum { COUNT = 20 * RUNS };
    static void *block[COUNT];
    for (unsigned i = 0; i < COUNT; i++)
        must((block[i] = weir_malloc(WR_SPAN_SIZE)) != NULL, "no memory");
    uint64_t mapped = atomic_load(&wr_arena_count.arenas);
    must(mapped >= 20, "%llu arenas", (unsigned long long)mapped);
    for (unsigned i = 0; i < COUNT; i++)
        weir_free(block[i]);
    weir_trim(0);
    uint64_t left = atomic_load(&wr_arena_count.arenas);
    must(left <= 2, "%llu arenas when all is freed", (unsigned long long)left);
    for (unsigned i = 0; i < COUNT; i += RUNS)
        must(weir_usable_size(block[i]) == 0 || left > 0, "a block of an unmapped arena has a size");
}

/* ---- large runs ------------------------------------------------------------------------------------------------ */

Test(arena, runs_resize_in_place)
{
    char *first = weir_malloc(4 * WR_SPAN_SIZE), *fence = weir_malloc(WR_SPAN_SIZE);
    must(first != NULL && fence != NULL, "no memory");
    unit_fill(first, 0, 4 * WR_SPAN_SIZE, 1);
    must(wr_large_resize(first, 2 * WR_SPAN_SIZE + WR_PAGE_SIZE), "not shrunk");
    must(weir_usable_size(first) == 2 * WR_SPAN_SIZE + WR_PAGE_SIZE, "usable %zu", weir_usable_size(first));
    must(unit_filled(first, 0, 2 * WR_SPAN_SIZE, 1) == UNIT_INTACT, "content");
    check_all("after shrinking");
    must(wr_large_resize(first, 4 * WR_SPAN_SIZE), "not grown back, though the spans are free");
    must(unit_filled(first, 0, 2 * WR_SPAN_SIZE, 1) == UNIT_INTACT, "content");
    unit_fill(first, 0, 4 * WR_SPAN_SIZE, 2);
    check_all("after growing");
    if (fence == first + 4 * WR_SPAN_SIZE)
        must(!wr_large_resize(first, 5 * WR_SPAN_SIZE), "grown over a neighbour");
    weir_free(first);
    weir_free(fence);
    check_all("when all is freed");
}

Test(arena, runs_of_every_length_and_alignment)
{
    for (size_t align = WR_PAGE_SIZE; align <= WR_LARGE_MAX; align *= 4)
        for (size_t size = WR_PAGE_SIZE; size <= WR_LARGE_MAX; size = size * 7 / 4) {
            bool zeroed;
            size_t whole = wr_round_up(size, WR_PAGE_SIZE);
            char *run = wr_large_alloc(whole, align, &zeroed);
            must(run != NULL && unit_is_aligned(run, align), "%zu bytes aligned to %zu: %p", whole, align, (void *)run);
            must(!zeroed || unit_zeroed(run, whole) == UNIT_INTACT, "%zu bytes are said to be zeroed", whole);
            must(wr_block_look(run).kind == WR_BLOCK_LARGE && wr_block_look(run).size >= whole, "%zu bytes: not a run",
                 whole);
            must(wr_block_look(run + WR_PAGE_SIZE / 2).kind == WR_BLOCK_INVALID, "an interior pointer passes");
            unit_fill(run, 0, whole, size);
            wr_large_free(run);
            must(wr_block_look(run).kind <= WR_BLOCK_INVALID, "still a block");
        }
    check_all("at the end");
}

/** Where two threads free a run at the same time both may find it in use before either has the lock. */
Test(arena, a_run_is_freed_once)
{
    bool zeroed;
    int status = 0;
    pid_t child = fork();
    must(child >= 0, "no process");
    if (child == 0) {
        close(STDERR_FILENO);
        void *run = wr_large_alloc(4 * WR_SPAN_SIZE, WR_PAGE_SIZE, &zeroed);
        must(run != NULL, "no memory");
        wr_large_free(run);
        wr_large_free(run);
        _exit(0);
    }
    must(waitpid(child, &status, 0) == child, "waitpid");
    must(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "status %#x", (unsigned)status);
}
