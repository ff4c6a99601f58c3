/* SPDX-License-Identifier: MIT
 * mallopt, mallinfo and their like, which of the C libraries glibc alone has. Owns no state and takes no lock. */
#include "base/base.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

#include <weir/alloc.h>

#include "os/os.h"

#ifdef __GLIBC__

/* Declared by no header: names that the C library keeps to itself. */
int __libc_mallopt(int parameter, int value);
struct mallinfo __libc_mallinfo(void);

/* ---- control --------------------------------------------------------------------------------------------------- */

/** The parameters tune what Weir does without them: they are accepted and change nothing. M_CHECK_ACTION asks for
 *  nothing in today's C library either. M_PERTURB asks for blocks to be filled, which Weir does not: refused, as is
 *  what nobody knows. */
static int accept_parameter(int parameter)
{
    switch (parameter) {
    case M_MXFAST:
    case M_TRIM_THRESHOLD:
    case M_TOP_PAD:
    case M_MMAP_THRESHOLD:
    case M_MMAP_MAX:
    case M_CHECK_ACTION:
    case M_ARENA_TEST:
    case M_ARENA_MAX:
        return 1;
    default:
        return 0;
    }
}

WR_EXPORT int mallopt(int parameter, int value)
{
    (void)value;
    return accept_parameter(parameter);
}

WR_EXPORT int __libc_mallopt(int parameter, int value)
{
    (void)value;
    return accept_parameter(parameter);
}

/* ---- figures --------------------------------------------------------------------------------------------------- */

/** a - b, or 0: figures of one weir_stats_get() may be apart by what other threads did meanwhile. */
static size_t less(uint64_t a, uint64_t b)
{
    return a > b ? (size_t)(a - b) : 0;
}

/** Pages of slack that lie in arenas: the nearest thing to the C library's number of free chunks. */
static size_t count_free_pages(const struct weir_stats *stats)
{
    return less(stats->slack, stats->cached) / wr_os_page_size();
}

/** Weir's figures in the C library's terms; arena == uordblks + fordblks, as readers expect.
 *  arena: address space mapped, huge blocks apart; hblks, hblkhd: huge blocks; uordblks: blocks allocated, huge ones
 *  apart; fordblks: the rest of arena, resident or not; ordblks: free pages that are resident; usmblks: peak resident;
 *  keepcost: what malloc_trim(0) could give back. There are no fastbins: smblks and fsmblks are 0. */
static struct mallinfo2 fill_mallinfo(void)
{
    struct weir_stats stats;
    struct mallinfo2 info = {0};

    weir_stats_get(&stats);
    info.uordblks = less(stats.live, stats.huge);
    info.arena = wr_max(less(stats.mapped, stats.huge), info.uordblks);
    info.fordblks = info.arena - info.uordblks;
    info.ordblks = count_free_pages(&stats);
    info.hblks = stats.huge_blocks;
    info.hblkhd = stats.huge;
    info.usmblks = stats.peak;
    info.keepcost = stats.slack;
    return info;
}

WR_EXPORT struct mallinfo2 mallinfo2(void)
{
    return fill_mallinfo();
}

/** n, or the largest int: the C library's own mallinfo() wraps around instead. */
static int clamp_int(size_t n)
{
    return n > INT_MAX ? INT_MAX : (int)n;
}

static struct mallinfo narrow_mallinfo(struct mallinfo2 wide)
{
    struct mallinfo info = {
        .arena = clamp_int(wide.arena),
        .ordblks = clamp_int(wide.ordblks),
        .smblks = clamp_int(wide.smblks),
        .hblks = clamp_int(wide.hblks),
        .hblkhd = clamp_int(wide.hblkhd),
        .usmblks = clamp_int(wide.usmblks),
        .fsmblks = clamp_int(wide.fsmblks),
        .uordblks = clamp_int(wide.uordblks),
        .fordblks = clamp_int(wide.fordblks),
        .keepcost = clamp_int(wide.keepcost),
    };

    return info;
}

WR_EXPORT struct mallinfo mallinfo(void)
{
    return narrow_mallinfo(fill_mallinfo());
}

WR_EXPORT struct mallinfo __libc_mallinfo(void)
{
    return narrow_mallinfo(fill_mallinfo());
}

WR_EXPORT void malloc_stats(void)
{
    weir_stats_print(STDERR_FILENO, false);
}

/** The free bytes in resident pages: malloc_info says so of a heap and again of the whole. */
static void print_free(FILE *stream, const struct weir_stats *stats)
{
    const size_t rest = less(stats->used + stats->slack, stats->live);

    fprintf(stream, "<total type=\"fast\" count=\"0\" size=\"0\"/>\n");
    fprintf(stream, "<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n", count_free_pages(stats), rest);
}

/** What came from the system: `system` is what is resident now and its peak, `aspace` the address space mapped. */
static void print_system(FILE *stream, const struct weir_stats *stats)
{
    const size_t resident = stats->used + stats->slack + stats->metadata;
    const size_t peak = wr_max(stats->peak, resident);

    fprintf(stream, "<system type=\"current\" size=\"%zu\"/>\n<system type=\"max\" size=\"%zu\"/>\n", resident, peak);
    fprintf(stream, "<aspace type=\"total\" size=\"%zu\"/>\n<aspace type=\"mprotect\" size=\"%zu\"/>\n",
            (size_t)stats->mapped, (size_t)stats->mapped);
}

WR_EXPORT int malloc_info(int options, FILE *stream)
{
    struct weir_stats stats;

    if (options != 0)
        return EINVAL;
    weir_stats_get(&stats);
    fprintf(stream, "<malloc version=\"1\">\n<heap nr=\"0\">\n<sizes>\n</sizes>\n");
    print_free(stream, &stats);
    print_system(stream, &stats);
    fprintf(stream, "</heap>\n");
    print_free(stream, &stats);
    fprintf(stream, "<total type=\"mmap\" count=\"%zu\" size=\"%zu\"/>\n", (size_t)stats.huge_blocks,
            (size_t)stats.huge);
    print_system(stream, &stats);
    fprintf(stream, "</malloc>\n");
    return 0;
}

#endif
