/* SPDX-License-Identifier: MIT
 * Pages that are faulted in ahead of their use, where a class grows: few, slack as long as they are not taken, and not
 * lost where a thread is gone from a forked child before it has faulted them in. */
#include "core/arena.h"
#include "core/heap.h"
#include "front/fast.h"
#include "support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weir/alloc.h>

static void begin_alone(void)
{
    unit_need_small_pages();
    unit_no_purger();
}

TestSuite(ahead, .init = begin_alone, .timeout = 60);

enum { BLOCK = 256 };

/** Takes blocks until they fill that many pages. */
static char *fill(unsigned pages)
{
    char *block = NULL;
    for (size_t i = 0; i < pages * (WR_PAGE_SIZE / BLOCK); i++) {
        block = weir_malloc(BLOCK);
        must(block != NULL, "no memory");
        memset(block, 1, BLOCK);
    }
    return block;
}

/** Pages of the span that are free and resident, by its descriptor, which must say of each what the system says. */
static unsigned slack_of(const struct wr_span *span)
{
    unsigned char page[WR_SPAN_PAGES];
    must(wr_os_look_resident(wr_span_start(span), WR_SPAN_SIZE, page), "no pagemap");
    for (unsigned i = 0; i < WR_SPAN_PAGES; i++)
        must((page[i] & 1) == (span->resident >> i & 1), "page %u: resident %d", i, page[i] & 1);
    must(span->busy == 0, "busy: %x", span->busy);
    return wr_bits_count(span->free & span->resident);
}

/** Whether the kernel can. */
static bool is_possible(void) { return wr_os_populate(NULL, 0); }

Test(ahead, a_class_with_few_pages_has_none)
{
    struct wr_span *span = wr_pool_span(wr_arena_pool(fill(8)));
    must(slack_of(span) == 0, "%u pages", slack_of(span));
}

/** With each page taken the sum of those ahead is looked at. The most is a sixteenth, and the rest of a span. */
Test(ahead, they_are_slack_and_few)
{
    unsigned most = 0;
    fill(64);
    for (unsigned i = 0; i < 256; i++) {
        unsigned slack = slack_of(wr_pool_span(wr_arena_pool(fill(1))));
        most = wr_max(most, slack);
        must(slack <= (64 + i + 1) / 16, "%u pages ahead of %u", slack, 64 + i + 1);
    }
    must(most > 0 || !is_possible(), "no page was faulted in ahead");
    weir_trim(0);
}

/** Has pages of a new span marked that are to be faulted in, as a thread does that goes no further. */
static struct wr_span *begin(void)
{
    fill(128);
    struct wr_heap *heap = wr_self; /* there is one by now */
    bool ahead = false;
    wr_heap_lock(heap);
    struct wr_span *span = wr_arena_take_span(heap, WR_SPAN_SMALL, 0);
    must(span != NULL, "no span");
    span->list = WR_ROOM_NONE;
    struct wr_pool *pool = wr_span_pool(span, wr_heap_take_page(heap, span, heap->small_pools, &ahead));
    pool->class = 0; /* the page is a pool whose blocks are all in use */
    wr_pool_set_place(pool, 0);
    wr_pool_set_live(pool, wr_pool_class(pool)->blocks);
    atomic_store(&pool->remote, wr_remote_word(WR_POOL_FULL, 0, 0));
    atomic_store(&pool->owner, (uintptr_t)heap);
    heap->class_pools[0]++;
    heap->small_pools++;
    wr_heap_unlock(heap);
    must(ahead && span->busy != 0, "no page is marked");
    return span;
}

Test(ahead, a_forked_child_forgets_what_was_begun)
{
    struct wr_span *span = begin();
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        must(span->busy == 0 && wr_self->ahead.pages == 0, "in the child: busy %x", span->busy);
        wr_heap_fault_ahead(wr_self); /* as if the fork had been in a signal handler */
        wr_heap_check(wr_self, true);
        fill(64);
        _exit(0);
    }
    must(child > 0 && waitpid(child, &status, 0) == child && status == 0, "the child ended with status %d", status);
    must(span->busy != 0, "in the parent it is lost");
    wr_heap_fault_ahead(wr_self);
    wr_heap_check(wr_self, true);
    slack_of(span);
}

/** What others do with the span meanwhile leaves the pages alone. */
Test(ahead, nobody_purges_what_is_begun)
{
    struct wr_span *span = begin();
    uint16_t busy = span->busy;
    weir_trim(0);
    must(span->busy == busy, "busy: %x, then %x", busy, span->busy);
    wr_heap_fault_ahead(wr_self);
    must(slack_of(span) >= wr_bits_count(busy) || !is_possible(), "%u pages", slack_of(span));
    weir_trim(0);
    must(slack_of(span) == 0, "%u pages after the trim", slack_of(span));
}
