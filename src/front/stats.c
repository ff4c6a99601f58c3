/* SPDX-License-Identifier: MIT
 * Figures and reports; see weir/alloc.h and front/stats.h. Allocates nothing. */
#include "front/stats.h"

#include <string.h>
#include <unistd.h>

#include "base/option.h"
#include "base/text.h"
#include "core/account.h"
#include "core/huge.h"
#include "core/meta.h"
#include "core/purge.h"
#include "core/typed.h"
#include "core/registry.h"
#include "front/thread.h"
#include "weir/weir.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "0"
#endif

const char *weir_version(void) { return PACKAGE_VERSION; }

/* ---- gathering ------------------------------------------------------------------------------------------------- */

/** What the arenas hold, and how it is spread over the classes. */
struct census {
    uint64_t live, live_blocks, used_pages, slack_pages, pools, head_pages, large_blocks;
    struct {
        uint64_t blocks, pages;
    } class[WR_CLASS_LIMIT];
};

static WR_RACY void count_small(struct census *census, struct wr_span *span)
{
    for (unsigned left = (uint16_t)~span->free; left != 0; left &= left - 1) {
        struct wr_pool *pool = wr_span_pool(span, wr_bits_first(left));
        unsigned live = wr_pool_live(pool);
        unsigned remote = wr_remote_count(atomic_load_explicit(&pool->remote, memory_order_relaxed));
        unsigned class = wr_pool_class_unsure(pool);
        census->class[class].blocks += live > remote ? live - remote : 0;
        census->class[class].pages++;
        census->pools++;
    }
}

static WR_RACY void count_objects(struct census *census, struct wr_span *span)
{
    for (unsigned left = (uint16_t)~span->free; left != 0; left &= left - 1) {
        struct wr_typed *pool = (struct wr_typed *)wr_span_pool(span, wr_bits_first(left));
        unsigned live = pool->live, remote = atomic_load_explicit(&pool->remote, memory_order_relaxed) >> 16;
        census->class[span->class].blocks += live > remote ? live - remote : 0;
        census->class[span->class].pages++;
        census->pools++;
    }
}

/** Blocks in use, of a span that may just be changing hands. */
static WR_RACY unsigned medium_blocks(const struct wr_span *span)
{
    unsigned all = wr_geometry.class[span->class].blocks, free = wr_bits_count(wr_span_blocks(span));
    return all > free ? all - free : 0;
}

static WR_RACY void count_span(struct census *census, struct wr_span *span)
{
    /* A span that was never lent has no page marked as free yet. */
    uint16_t free = span->kind == WR_SPAN_FREE ? WR_ALL_PAGES : span->free;
    census->used_pages += wr_bits_count(span->resident & (uint16_t)~free);
    census->slack_pages += wr_bits_count(span->resident & free);
    switch (span->kind) {
    case WR_SPAN_SMALL:
        count_small(census, span);
        break;
    case WR_SPAN_MEDIUM:
        census->class[span->class].blocks += medium_blocks(span);
        census->class[span->class].pages += WR_SPAN_PAGES - wr_bits_count(span->free);
        census->pools++;
        break;
    case WR_SPAN_OBJECT:
        count_objects(census, span);
        break;
    case WR_SPAN_LARGE:
        census->large_blocks++;
        census->live += wr_large_size(span);
        break;
    default:
        break;
    }
}

static WR_RACY void count_arena(struct wr_arena *arena, void *arg)
{
    struct census *census = arg;
    for (unsigned i = 1; i < WR_ARENA_SPANS; i++)
        count_span(census, &arena->span[i]);
    census->head_pages += wr_bits_count(arena->head);
}

/** Blocks on their way: freed, but still counted as live by their pools. Read while their heaps run. */
static WR_RACY void discount_heap(struct wr_heap *heap, void *arg)
{
    struct census *census = arg;
    unsigned waiting[WR_CLASS_LIMIT] = {0};
    wr_heap_count_waiting(heap, waiting);
    for (unsigned c = 0; c < wr_geometry.classes; c++) {
        uint64_t *blocks = &census->class[c].blocks;
        *blocks -= wr_min(*blocks, wr_heap_stashed(heap, c) + waiting[c]);
    }
    for (unsigned i = 0; i < WR_PARCELS; i++) {
        struct wr_pool *pool = heap->parcel[i].pool;
        uint64_t *blocks = pool != NULL ? &census->class[heap->parcel[i].class].blocks : NULL;
        if (pool != NULL)
            *blocks -= wr_min(*blocks, heap->parcel[i].count);
    }
}

static void take_census(struct census *census)
{
    memset(census, 0, sizeof *census);
    wr_arena_each(count_arena, census);
    wr_registry_each(discount_heap, census);
    census->live_blocks = census->large_blocks;
    for (unsigned c = 0; c < wr_geometry.classes; c++) {
        census->live_blocks += census->class[c].blocks;
        census->live += census->class[c].blocks * wr_geometry.class[c].size;
    }
}

static WR_RACY void add_remote_frees(struct wr_heap *heap, void *sum) { *(uint64_t *)sum += heap->remote_frees; }

static uint64_t load(_Atomic uint64_t *counter) { return atomic_load_explicit(counter, memory_order_relaxed); }

static void fill(struct weir_stats *out, const struct census *census)
{
    uint64_t cached = load(&wr_extent_count.warm);
    *out = (struct weir_stats){
        .huge_blocks = load(&wr_huge_blocks),
        .huge = load(&wr_account.huge),
        .cached = cached,
        .slack = (census->slack_pages << WR_PAGE_SHIFT) + cached,
        .slack_bound = wr_purge_bound() << WR_PAGE_SHIFT,
        .metadata = (census->head_pages << WR_PAGE_SHIFT) + wr_meta_size(),
        .arenas = load(&wr_arena_count.arenas),
        .pools = census->pools,
        .arenas_mapped = load(&wr_arena_count.mapped),
        .arenas_unmapped = load(&wr_arena_count.unmapped),
        .returned = load(&wr_account.returned),
        .refaulted = load(&wr_account.refaulted),
        .purges = load(&wr_account.purges),
        .foreign_frees = load(&wr_foreign_frees),
    };
    out->live = census->live + out->huge;
    out->live_blocks = census->live_blocks + out->huge_blocks;
    out->used = (census->used_pages << WR_PAGE_SHIFT) + out->huge;
    out->peak = wr_account_peak(out->used + out->slack);
    out->mapped = out->arenas * WR_ARENA_SIZE + out->huge + cached + load(&wr_extent_count.cold) + wr_meta_size();
    wr_registry_count(&out->heaps, &out->heaps_abandoned);
    wr_registry_each(add_remote_frees, &out->remote_frees);
}

void weir_stats_get(struct weir_stats *out)
{
    struct census census;
    take_census(&census);
    fill(out, &census);
}

/* ---- reporting ------------------------------------------------------------------------------------------------- */

/* The figures by name, in the order in which they are reported. */
#define FIGURE(field, is_bytes)                                                                                        \
    {                                                                                                                  \
#field, offsetof(struct weir_stats, field), is_bytes                                                           \
    }
static const struct figure {
    const char *name;
    size_t offset;
    bool bytes;
} figure[] = {
    FIGURE(live, true),
    FIGURE(live_blocks, false),
    FIGURE(used, true),
    FIGURE(slack, true),
    FIGURE(slack_bound, true),
    FIGURE(metadata, true),
    FIGURE(mapped, true),
    FIGURE(arenas, false),
    FIGURE(huge_blocks, false),
    FIGURE(huge, true),
    FIGURE(cached, true),
    FIGURE(heaps, false),
    FIGURE(heaps_abandoned, false),
    FIGURE(pools, false),
    FIGURE(peak, true),
    FIGURE(arenas_mapped, false),
    FIGURE(arenas_unmapped, false),
    FIGURE(returned, true),
    FIGURE(refaulted, true),
    FIGURE(purges, false),
    FIGURE(remote_frees, false),
    FIGURE(foreign_frees, false),
};

/** A report in the making: written out whenever the buffer is nearly full. */
struct report {
    int fd;
    struct wr_text text;
    bool comma;
    char buf[2048];
};

static void pass_on(struct report *report, bool all)
{
    if (!all && report->text.len < sizeof report->buf - 512)
        return;
    wr_text_write(&report->text, report->fd);
    report->text.len = 0;
}

static uint64_t figure_of(const struct weir_stats *stats, const struct figure *f)
{
    uint64_t value;
    memcpy(&value, (const char *)stats + f->offset, sizeof value);
    return value;
}

static void add_number(struct wr_text *text, const char *name, uint64_t value, bool *comma)
{
    wr_text_add(text, "%s\"%s\":%lu", *comma ? "," : "", name, (unsigned long)value);
    *comma = true;
}

static void json_figures(struct wr_text *text, const struct weir_stats *stats, bool *comma)
{
    for (size_t i = 0; i < WR_COUNT(figure); i++)
        add_number(text, figure[i].name, figure_of(stats, &figure[i]), comma);
}

static void json_process(struct wr_text *text, bool *comma)
{
    char program[256];
    wr_text_add(text, "\"weir\":\"%s\",\"pid\":%d,\"program\":\"", weir_version(), (int)getpid());
    wr_text_add_json(text, wr_os_program(program, sizeof program));
    wr_text_add(text, "\"");
    *comma = true;
    /* The kernel counts the peak lazily: it may lag behind. */
    size_t resident = wr_os_resident();
    add_number(text, "resident", resident, comma);
    add_number(text, "peak_resident", wr_max(resident, wr_os_peak_resident()), comma);
}

static WR_RACY void tally_rows(struct wr_tally *sum, const struct wr_tally *tally)
{
    sum->calls += tally->calls;
    sum->requested += tally->requested;
    sum->usable += tally->usable;
    sum->frees += tally->frees;
    for (size_t i = 0; i < WR_COUNT(sum->class_calls); i++)
        sum->class_calls[i] += tally->class_calls[i];
}

static WR_RACY void add_tally(struct wr_heap *heap, void *sum) { tally_rows(sum, &heap->tally); }

static void json_tally(struct wr_text *text, const struct wr_tally *tally, bool *comma)
{
    add_number(text, "allocations", tally->calls, comma);
    add_number(text, "frees", tally->frees, comma);
    add_number(text, "requested", tally->requested, comma);
    add_number(text, "usable", tally->usable, comma);
}

static void json_heap(struct wr_heap *heap, void *arg)
{
    struct report *report = arg;
    bool comma = false;
    wr_text_add(&report->text, "%s{", report->comma ? "," : "");
    add_number(&report->text, "thread", heap->thread, &comma);
    add_number(&report->text, "threads_served", heap->threads, &comma);
    json_tally(&report->text, &heap->tally, &comma);
    add_number(&report->text, "remote_frees", heap->remote_frees, &comma);
    wr_text_add(&report->text, "}");
    report->comma = true;
    pass_on(report, false);
}

static void json_classes(struct report *report, const struct census *census, const struct wr_tally *tally)
{
    bool first = true;
    for (unsigned c = 0; c < wr_geometry.classes; c++) {
        bool comma = false;
        if (census->class[c].pages == 0 && tally->class_calls[c] == 0)
            continue;
        wr_text_add(&report->text, "%s{", first ? "" : ",");
        add_number(&report->text, "size", wr_geometry.class[c].size, &comma);
        add_number(&report->text, "live_blocks", census->class[c].blocks, &comma);
        add_number(&report->text, "pages", census->class[c].pages, &comma);
        add_number(&report->text, "allocations", tally->class_calls[c], &comma);
        wr_text_add(&report->text, "}");
        first = false;
        pass_on(report, false);
    }
}

static void print_json(struct report *report, const struct weir_stats *stats, const struct census *census,
                       const struct wr_tally *tally)
{
    bool comma;
    wr_text_add(&report->text, "{");
    json_process(&report->text, &comma);
    json_figures(&report->text, stats, &comma);
    json_tally(&report->text, tally, &comma);
    wr_text_add(&report->text, ",\"classes\":[");
    json_classes(report, census, tally);
    wr_text_add(&report->text, "],\"per_thread\":[");
    report->comma = false;
    wr_registry_each(json_heap, report);
    wr_text_add(&report->text, "]}\n");
    pass_on(report, true);
}

static void text_heap(struct wr_heap *heap, void *arg)
{
    struct report *report = arg;
    char buf[32] = "gone";
    struct wr_text name = WR_TEXT(buf);
    if (heap->thread != 0)
        wr_text_add(&name, "%u", heap->thread);
    wr_text_add(&report->text, "weir:   %-10s %14lu %14lu %16lu %14lu\n", buf, (unsigned long)heap->tally.calls,
                (unsigned long)heap->tally.frees, (unsigned long)heap->tally.requested,
                (unsigned long)heap->remote_frees);
    pass_on(report, false);
}

static void text_classes(struct report *report, const struct census *census, const struct wr_tally *tally)
{
    wr_text_add(&report->text, "weir: by block size\nweir:   %10s %14s %14s %12s\n", "bytes", "live blocks",
                "allocations", "pages");
    for (unsigned c = 0; c < wr_geometry.classes; c++) {
        if (census->class[c].pages == 0 && tally->class_calls[c] == 0)
            continue;
        wr_text_add(&report->text, "weir:   %10u %14lu %14lu %12lu\n", wr_geometry.class[c].size,
                    (unsigned long)census->class[c].blocks, (unsigned long)tally->class_calls[c],
                    (unsigned long)census->class[c].pages);
        pass_on(report, false);
    }
}

static void print_text(struct report *report, const struct weir_stats *stats, const struct census *census,
                       const struct wr_tally *tally)
{
    char program[256];
    wr_text_add(&report->text, "weir: statistics of %s, process %d\n", wr_os_program(program, sizeof program),
                (int)getpid());
    for (size_t i = 0; i < WR_COUNT(figure); i++) {
        wr_text_add(&report->text, "weir:   %-16s ", figure[i].name);
        if (figure[i].bytes)
            wr_text_add_bytes(&report->text, figure_of(stats, &figure[i]));
        else
            wr_text_add(&report->text, "%lu", (unsigned long)figure_of(stats, &figure[i]));
        wr_text_add(&report->text, "\n");
        pass_on(report, false);
    }
    if (tally->calls > 0)
        wr_text_add(&report->text, "weir:   %lu allocations of %lu bytes in blocks of %lu; %lu frees\n",
                    (unsigned long)tally->calls, (unsigned long)tally->requested, (unsigned long)tally->usable,
                    (unsigned long)tally->frees);
    text_classes(report, census, tally);
    if (tally->calls > 0) {
        wr_text_add(&report->text, "weir: by thread\nweir:   %-10s %14s %14s %16s %14s\n", "thread", "allocations",
                    "frees", "bytes asked for", "remote frees");
        wr_registry_each(text_heap, report);
    }
    pass_on(report, true);
}

void weir_stats_print(int fd, bool json)
{
    struct census census;
    struct weir_stats stats;
    struct wr_tally tally = {0};
    struct report report = {.fd = fd};
    report.text = WR_TEXT(report.buf);
    take_census(&census);
    fill(&stats, &census);
    wr_registry_each(add_tally, &tally);
    if (json)
        print_json(&report, &stats, &census, &tally);
    else
        print_text(&report, &stats, &census, &tally);
}

void wr_stats_at_exit(void)
{
    char buf[2048];
    struct wr_text text = WR_TEXT(buf);
    struct weir_stats stats;
    bool comma;
    if (wr_options.stats != WR_STATS_OFF)
        weir_stats_print(STDERR_FILENO, wr_options.stats == WR_STATS_JSON);
    if (wr_options.report[0] == '\0')
        return;
    weir_stats_get(&stats);
    wr_text_add(&text, "{");
    json_process(&text, &comma);
    json_figures(&text, &stats, &comma);
    wr_text_add(&text, "}\n");
    if (!wr_os_append(wr_options.report, buf, text.len) && wr_options.verbose)
        wr_message("cannot append to %s, the file named by WEIR_REPORT", wr_options.report);
}

/* ---- options --------------------------------------------------------------------------------------------------- */

void weir_option_each(void (*fn)(const struct weir_option *, void *arg), void *arg)
{
    struct wr_option_row row;
    wr_warn_of_options();
    for (unsigned i = 0; wr_option_row(i, &row); i++) {
        struct weir_option option = {
            .name = row.name, .values = row.values, .initial = row.initial, .current = row.current, .help = row.help};
        fn(&option, arg);
    }
}
