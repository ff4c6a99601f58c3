/* SPDX-License-Identifier: MIT
 * Counting and marking; see trace.h. Takes heap and big locks one at a time, to gather pools. */
#include "object/trace.h"

#include <string.h>

#include "base/text.h"

/* ---- gathering --------------------------------------------------------------------------------------------------- */

struct gather {
    const struct wr_trace_want *want;
    struct wr_trace *trace; /* NULL: only count */
    size_t pools, lines, bigs;
};

static unsigned lines_of(const struct wr_kind *kind) { return (kind->blocks + WR_LINE - 1u) >> WR_LINE_SHIFT; }

static void gather_pool(struct wr_typed *pool, struct wr_span *span, void *arg)
{
    struct gather *gather = arg;
    const struct wr_trace_want *want = gather->want;
    uint16_t bit = wr_typed_bit(pool);
    bool young = (span->young & bit) != 0,
         wanted = want->generation == WEIR_GC_FULL || young == (want->generation == 0);
    if (!wanted || (!want->frozen && (span->frozen & bit) != 0) || gather->pools >= want->most)
        return;
    unsigned lines = lines_of(pool->kind);
    if (gather->trace != NULL) {
        pool->line = (uint32_t)gather->lines;
        for (unsigned i = 0; i < lines; i++) {
            unsigned first = i * WR_LINE;
            gather->trace->line[gather->lines + i] =
                (struct wr_line){.pool = pool,
                                 .first = (uint16_t)first,
                                 .objects = (uint8_t)wr_min(pool->kind->blocks - first, WR_LINE)};
        }
    }
    gather->lines += lines;
    gather->pools++;
}

static void gather_big(struct wr_big *big, void *arg)
{
    struct gather *gather = arg;
    const struct wr_trace_want *want = gather->want;
    const struct wr_header *header = wr_header_of(big->object);
    bool wanted = want->generation == WEIR_GC_FULL || big->young == (want->generation == 0);
    bool counts = want->shared ? wr_count_shared(header) > 0 : wr_count_own(header) > 0;
    if (!wanted || !counts || (!want->all_types && (big->type->flags & WEIR_ACYCLIC) != 0) ||
        (!want->frozen && big->frozen))
        return;
    struct wr_trace *trace = gather->trace;
    if (trace != NULL && gather->bigs < trace->bigs) {
        big->line = (trace->big_line << WR_LINE_SHIFT) + (uint32_t)gather->bigs;
        trace->big[gather->bigs] = big;
        trace->line[big->line >> WR_LINE_SHIFT].objects++;
    }
    gather->bigs++;
}

static void gather_domain(struct wr_domain *domain, void *arg)
{
    struct gather *gather = arg;
    for (unsigned b = 0; b < WR_BUCKETS; b++)
        for (struct wr_kind *kind = domain->bucket[b]; kind != &wr_kind_none && kind != NULL; kind = kind->next)
            if (kind->counted || gather->want->all_types)
                wr_kind_each(kind, gather_pool, gather);
    wr_big_each(domain, gather_big, gather);
}

static void gather_wanted(struct gather *gather)
{
    if (gather->want->domain != NULL)
        gather_domain(gather->want->domain, gather);
    else
        wr_domain_each(gather_domain, gather);
}

struct wr_trace *wr_trace_begin(const struct wr_trace_want *want)
{
    struct gather count = {.want = want, .lines = 1};
    gather_wanted(&count);
    size_t lines = count.lines + ((count.bigs + WR_LINE - 1) >> WR_LINE_SHIFT);
    if (lines >= UINT32_MAX >> WR_LINE_SHIFT)
        return NULL;
    /* trace, lines, large ones, then the bytes; what comes as zero is left as it is. */
    size_t head = wr_round_up(sizeof(struct wr_trace), WR_LINE),
           table = wr_round_up(lines * sizeof(struct wr_line), WR_LINE),
           bigs = wr_round_up(count.bigs * sizeof(struct wr_big *), WR_LINE), bytes = lines << WR_LINE_SHIFT;
    size_t size = head + table + bigs + 2 * bytes;
    char *memory = weir_calloc(1, size);
    if (memory == NULL)
        return NULL;
    struct wr_trace *trace = (struct wr_trace *)(void *)memory;
    trace->line = (struct wr_line *)(void *)(memory + head);
    trace->big = (struct wr_big **)(void *)(memory + head + table);
    trace->own = (uint8_t *)memory + head + table + bigs;
    trace->found = trace->own + bytes;
    trace->lines = (uint32_t)lines;
    trace->big_line = (uint32_t)count.lines;
    trace->bigs = (uint32_t)count.bigs;
    trace->shared = want->shared;
    trace->only_small = !wr_big_any();
    struct gather fill = {.want = want, .trace = trace, .lines = 1};
    gather_wanted(&fill);
    trace->partial = fill.pools >= want->most;
    return trace;
}

void wr_trace_end(struct wr_trace *trace)
{
    for (uint32_t i = 1; i < trace->big_line; i++)
        if (trace->line[i].pool != NULL)
            trace->line[i].pool->line = 0;
    for (uint32_t i = 0; i < trace->bigs; i++)
        if (trace->big[i] != NULL && trace->big[i]->line == (trace->big_line << WR_LINE_SHIFT) + i)
            trace->big[i]->line = 0;
    weir_free(trace->more);
    weir_free(trace);
}

void wr_trace_forget(struct wr_trace *trace, uint32_t line)
{
    const struct wr_typed *pool = trace->line[line].pool;
    for (uint32_t i = line; i < trace->big_line && trace->line[i].pool == pool; i++)
        trace->line[i].pool = NULL;
}

/* ---- places ------------------------------------------------------------------------------------------------------ */

uint32_t wr_trace_big_place(const struct wr_trace *trace WR_UNUSED, const struct wr_header *header)
{
    const struct wr_big *big = wr_big_of(header);
    return big != NULL ? big->line : 0;
}

/** As wr_trace_place(), of an object that is certainly in a pool. */
WR_INLINE uint32_t small_place(const void *object)
{
    const struct wr_header *header = wr_header_of(object);
    const struct wr_typed *pool = wr_hide(wr_typed_of(header));
    if (wr_unlikely(pool->line == 0))
        return 0;
    return (pool->line << WR_LINE_SHIFT) + wr_typed_index(pool->kind, header);
}

/** References that an object has, 0 if it is not to be looked at. */
WR_INLINE unsigned count_of(const struct wr_trace *trace, const struct wr_header *header)
{
    return trace->shared ? wr_count_shared(header) : wr_count_own(header);
}

/* ---- counting ---------------------------------------------------------------------------------------------------- */

static struct wr_more *find_more(struct wr_more *more, size_t room, uint32_t place)
{
    size_t i = (place * UINT32_C(0x9e3779b1)) & (room - 1);
    while (more[i].place != 0 && more[i].place != place)
        i = (i + 1) & (room - 1);
    return &more[i];
}

/** A count has reached the limit of a byte. */
static WR_NOINLINE void count_more(struct wr_trace *trace, uint32_t place)
{
    trace->found[place] = 0;
    if (trace->more_count * 2 >= trace->more_room) {
        size_t room = wr_max(trace->more_room * 2, 256);
        struct wr_more *more = weir_calloc(room, sizeof *more);
        if (more == NULL) {
            trace->failed = true;
            return;
        }
        for (size_t i = 0; i < trace->more_room; i++)
            if (trace->more[i].place != 0)
                *find_more(more, room, trace->more[i].place) = trace->more[i];
        weir_free(trace->more);
        trace->more = more;
        trace->more_room = room;
    }
    struct wr_more *more = find_more(trace->more, trace->more_room, place);
    trace->more_count += more->place == 0;
    more->place = place;
    more->count += WR_COUNTS;
}

uint64_t wr_trace_found(const struct wr_trace *trace, uint32_t place)
{
    uint64_t count = trace->found[place];
    if (trace->more_count > 0) {
        const struct wr_more *more = find_more(trace->more, trace->more_room, place);
        count += more->place == place ? more->count : 0;
    }
    return count;
}

WR_INLINE void count_place(struct wr_trace *trace, uint8_t *found, uint32_t place)
{
    if (place == 0 || found[place] >= WR_COUNTS)
        return;
    if (wr_unlikely(++found[place] == WR_COUNTS))
        count_more(trace, place);
}

static void note_visited(void *object, void *arg)
{
    struct wr_trace *trace = arg;
    count_place(trace, trace->found, wr_trace_place(trace, object));
}

/* Counting needs no branch that depends on what is fetched, so the processor runs ahead of its misses by itself; what
 * it would reload after each byte that is written is held in variables. */
WR_INLINE void note_all(struct wr_trace *trace, const void *object, const struct weir_type *type)
{
    const uint16_t *refs = type->refs;
    unsigned nrefs = type->nrefs;
    uint8_t *found = trace->found;
    bool only_small = trace->only_small;
    for (unsigned i = 0; i < nrefs; i++) {
        const void *other = *(void *const *)(const void *)((const char *)object + refs[i]);
        if (other != NULL)
            count_place(trace, found, only_small ? small_place(other) : wr_trace_place(trace, other));
    }
    if (wr_unlikely(type->traverse != NULL))
        type->traverse((void *)(uintptr_t)object, note_visited, trace);
}

static void count_line(struct wr_trace *trace, uint32_t l)
{
    const struct wr_line *line = &trace->line[l];
    const struct wr_kind *kind = line->pool->kind;
    const struct weir_type type = *wr_kind_type(kind);
    const struct wr_header *header = wr_typed_at(line->pool, line->first);
    uint8_t *own = &trace->own[l << WR_LINE_SHIFT];
    size_t size = kind->size, visited = 0;
    unsigned objects = line->objects;
    bool shared = trace->shared;
    for (unsigned i = 0; i < objects; i++, header = (const struct wr_header *)((const char *)header + size)) {
        unsigned count = shared ? wr_count_shared(header) : wr_count_own(header);
        own[i] = (uint8_t)wr_min(count, 255);
        if (count == 0)
            continue;
        visited++;
        note_all(trace, header + 1, &type);
    }
    trace->visited += visited;
}

static void count_bigs(struct wr_trace *trace, uint32_t l)
{
    for (unsigned i = 0; i < trace->line[l].objects; i++) {
        uint32_t place = (l << WR_LINE_SHIFT) + i;
        struct wr_big *big = wr_trace_big(trace, place);
        unsigned count = big != NULL ? count_of(trace, wr_header_of(big->object)) : 0;
        trace->own[place] = (uint8_t)wr_min(count, 255);
        if (count == 0)
            continue;
        trace->visited++;
        note_all(trace, big->object, big->type);
    }
}

void wr_trace_count(struct wr_trace *trace, uint32_t from, uint32_t to)
{
    for (uint32_t l = from; l < to && !trace->failed; l++) {
        const struct wr_line *next = &trace->line[wr_min(l + 1, to - 1)];
        if (next->pool != NULL && next->first == 0)
            for (unsigned ahead = 0; ahead < 4 * WR_CACHE_LINE; ahead += WR_CACHE_LINE)
                __builtin_prefetch(wr_typed_start(next->pool) + ahead);
        if (trace->line[l].pool != NULL)
            count_line(trace, l);
        else if (l >= trace->big_line)
            count_bigs(trace, l);
    }
}

enum { REPORTS = 10 }; /* of a pass, and lines of each */

/* ---- colours ----------------------------------------------------------------------------------------------------- */

static void queue_line(struct wr_trace *trace, uint32_t l)
{
    struct wr_line *line = &trace->line[l];
    if (line->is_grey)
        return;
    line->is_grey = 1;
    line->next = 0;
    if (trace->grey_first == 0)
        trace->grey_first = l;
    else
        trace->line[trace->grey_last].next = l;
    trace->grey_last = l;
}

static void count_type(void *object, void *arg)
{
    struct {
        const void *object;
        unsigned count;
    } *visits = arg;
    visits->count += object == visits->object;
}

/** More references to an object have been found than it has: says so, and which types claim to refer to it. */
static WR_COLD void report(struct wr_trace *trace, uint32_t place, uint64_t count, uint64_t found)
{
    const void *object = wr_trace_object(trace, place);
    if ((weir_gc_get_debug() & WEIR_GC_DEBUG_UNCOLLECTABLE) == 0)
        return;
    wr_message(
        "gc: uncollectable: object %p of type \"%s\" has %lu references, but traverse functions visit it %lu times; "
        "it is kept, and what it refers to. Those that visit it:",
        object, wr_trace_type(trace, place)->name, (unsigned long)count, (unsigned long)found);
    for (uint32_t p = WR_LINE, lines = 0; p < trace->lines << WR_LINE_SHIFT && lines < REPORTS; p++) {
        struct {
            const void *object;
            unsigned count;
        } visits = {object, 0};
        void *other = (p & (WR_LINE - 1)) < trace->line[p >> WR_LINE_SHIFT].objects ? wr_trace_object(trace, p) : NULL;
        if (other == NULL || trace->own[p] == 0 || count_of(trace, wr_header_of(other)) == 0)
            continue;
        wr_object_visit(other, wr_trace_type(trace, p), count_type, &visits);
        if (visits.count == 0)
            continue;
        wr_message("gc:   object %p of type \"%s\" visits it %u times", other, wr_trace_type(trace, p)->name,
                   visits.count);
        lines++;
    }
}

/** The colour of one object of which the bytes do not tell all. */
static WR_NOINLINE enum wr_colour compare_exactly(struct wr_trace *trace, uint32_t place, bool held, unsigned *wrong)
{
    void *object = wr_trace_object(trace, place);
    uint64_t count = object != NULL ? count_of(trace, wr_header_of(object)) : 0, found = wr_trace_found(trace, place);
    if (count == 0)
        return WR_BLACK;
    count -= held;
    if (count >= found)
        return count > found ? WR_GREY : WR_WHITE;
    if (++*wrong <= REPORTS)
        report(trace, place, count, found);
    return WR_GREY;
}

void wr_trace_guess(struct wr_trace *trace, uint32_t from, uint32_t to)
{
    for (uint32_t l = from; l < to; l++) {
        uint8_t *own = &trace->own[l << WR_LINE_SHIFT], *found = &trace->found[l << WR_LINE_SHIFT];
        bool grey = false;
        for (unsigned i = 0; i < WR_LINE; i++) {
            uint64_t count =
                own[i] != 255 && trace->more_count == 0 ? found[i] : wr_trace_found(trace, (l << WR_LINE_SHIFT) + i);
            found[i] = own[i] == 0 ? WR_BLACK : count < own[i] ? WR_GREY : WR_WHITE;
            grey |= found[i] == WR_GREY;
        }
        if (grey)
            queue_line(trace, l);
    }
}

/** Colours a line by its bytes alone; false if they do not tell all. Without branches, for the sake of vectors. */
WR_INLINE bool compare_bytes(const uint8_t *own, uint8_t *found, bool *grey)
{
    uint8_t colour[WR_LINE], odd = 0, greys = 0;
    for (unsigned i = 0; i < WR_LINE; i++) {
        uint8_t count = own[i], seen = found[i];
        uint8_t none = count == 0 ? 0xff : 0, more = count > seen ? 0xff : 0, fewer = count < seen ? 0xff : 0;
        odd |= (uint8_t)((fewer & (uint8_t)~none) | (count == 255 ? 0xff : 0));
        greys |= more;
        colour[i] = none | (more & WR_GREY);
    }
    if (odd != 0)
        return false;
    memcpy(found, colour, sizeof colour);
    *grey = greys != 0;
    return true;
}

unsigned wr_trace_compare(struct wr_trace *trace, uint32_t from, uint32_t to, int held)
{
    unsigned wrong = 0;
    for (uint32_t l = from; l < to; l++) {
        uint8_t *own = &trace->own[l << WR_LINE_SHIFT], *found = &trace->found[l << WR_LINE_SHIFT];
        bool grey = false;
        if (held >= 0 || trace->more_count > 0 || !compare_bytes(own, found, &grey))
            for (unsigned i = 0; i < WR_LINE; i++) {
                uint32_t place = (l << WR_LINE_SHIFT) + i;
                bool none = own[i] == 0 || (held >= 0 && found[i] == WR_BLACK);
                found[i] = none ? WR_BLACK : (uint8_t)compare_exactly(trace, place, held > 0, &wrong);
                grey |= found[i] == WR_GREY;
            }
        if (grey)
            queue_line(trace, l);
    }
    return wrong;
}

/* ---- marking ----------------------------------------------------------------------------------------------------- */

/* A few of the objects that have been reached are in a queue; the rest are found again by their lines. Lines come
 * first: where many are grey each has, when its turn comes, many grey objects that lie side by side. Where none is, as
 * in a list, objects come from the queue.
 *
 * The colour of what is reached is looked at some references later, when it has been fetched into the cache: it would
 * be the worse to wait for as nobody can foretell it. The idea is that of C.-Y. Cher, A. Hosking and T. Vijaykumar,
 * "Software prefetching for mark-sweep garbage collection", 2004. */

WR_INLINE void reach_place(struct wr_trace *trace, void *object, uint32_t place)
{
    if (place == 0 || trace->found[place] != WR_WHITE)
        return;
    trace->found[place] = WR_GREY;
    if (trace->queue_last - trace->queue_first < WR_TRACE_QUEUE) {
        __builtin_prefetch(object);
        trace->queue[trace->queue_last++ % WR_TRACE_QUEUE] = (struct wr_spot){object, place};
    } else {
        queue_line(trace, place >> WR_LINE_SHIFT);
    }
}

WR_INLINE void reach(struct wr_trace *trace, void *object)
{
    if (object == NULL)
        return;
    uint32_t place = trace->only_small ? small_place(object) : wr_trace_place(trace, object);
    __builtin_prefetch(&trace->found[place], 1);
    struct wr_spot *note = &trace->note[trace->notes++ % WR_TRACE_AHEAD], earlier = *note;
    *note = (struct wr_spot){object, place};
    reach_place(trace, earlier.object, earlier.place);
}

/** Looks at the colours of all that has been reached. */
static void end_reaches(struct wr_trace *trace)
{
    for (unsigned at = 0; at < WR_TRACE_AHEAD; at++) {
        struct wr_spot note = trace->note[at];
        trace->note[at].place = 0;
        reach_place(trace, note.object, note.place);
    }
    trace->notes = 0;
}

static void reach_visited(void *object, void *trace) { reach(trace, object); }

WR_INLINE void look_into(struct wr_trace *trace, void *object, const struct weir_type *type, uint32_t place)
{
    const uint16_t *refs = type->refs;
    unsigned nrefs = type->nrefs;
    trace->found[place] = WR_BLACK;
    for (unsigned i = 0; i < nrefs; i++)
        reach(trace, *(void **)(void *)((char *)object + refs[i]));
    if (wr_unlikely(type->traverse != NULL))
        type->traverse(object, reach_visited, trace);
}

/** Looks into the objects in the queue. */
static size_t empty_queue(struct wr_trace *trace)
{
    size_t done = 0;
    for (unsigned last = trace->queue_last; trace->queue_first != last; done++) {
        struct wr_spot spot = trace->queue[trace->queue_first++ % WR_TRACE_QUEUE];
        if (trace->found[spot.place] == WR_GREY)
            look_into(trace, spot.object, wr_trace_type(trace, spot.place), spot.place);
    }
    return done;
}

/** Looks into the grey objects of a line of large ones. */
static size_t mark_bigs(struct wr_trace *trace, uint32_t l)
{
    size_t done = 0;
    for (unsigned i = 0; i < trace->line[l].objects; i++) {
        uint32_t place = (l << WR_LINE_SHIFT) + i;
        const struct wr_big *big = trace->found[place] == WR_GREY ? wr_trace_big(trace, place) : NULL;
        if (big == NULL || count_of(trace, wr_header_of(big->object)) == 0)
            continue;
        look_into(trace, big->object, big->type, place);
        done++;
    }
    return done;
}

/** Looks into the grey objects of a line. */
static size_t mark_line(struct wr_trace *trace, uint32_t l)
{
    const struct wr_line *line = &trace->line[l];
    size_t done = 0;
    if (line->pool == NULL)
        return mark_bigs(trace, l);
    const struct wr_kind *kind = line->pool->kind;
    const struct weir_type type = *wr_kind_type(kind);
    char *first = (char *)wr_typed_at(line->pool, line->first);
    for (unsigned i = 0; i < WR_LINE; i += 8)
        for (uint64_t greys; (greys = wr_trace_find(&trace->found[(l << WR_LINE_SHIFT) + i], WR_GREY)) != 0; done++) {
            unsigned index = i + wr_bits_first(greys) / 8;
            uint32_t place = (l << WR_LINE_SHIFT) + index;
            struct wr_header *header = (struct wr_header *)(first + (size_t)index * kind->size);
            if (count_of(trace, header) > 0)
                look_into(trace, wr_object_of(header), &type, place);
            else
                trace->found[place] = WR_BLACK; /* it has gone */
        }
    return done;
}

bool wr_trace_mark(struct wr_trace *trace, size_t most)
{
    size_t done = 0;
    while (done < most) {
        uint32_t l = trace->grey_first;
        if (l != 0) {
            trace->grey_first = trace->line[l].next;
            trace->line[l].is_grey = 0;
            done += 1 + mark_line(trace, l);
        } else if (trace->queue_first != trace->queue_last) {
            done += empty_queue(trace);
        } else if (trace->notes > 0) {
            end_reaches(trace);
        } else {
            return false;
        }
    }
    /* What the program does before this goes on may concern these objects, but not their lines. */
    end_reaches(trace);
    while (trace->queue_first != trace->queue_last)
        queue_line(trace, trace->queue[trace->queue_first++ % WR_TRACE_QUEUE].place >> WR_LINE_SHIFT);
    return true;
}

void wr_trace_recount(struct wr_trace *trace)
{
    trace->more_count = 0;
    if (trace->more_room > 0)
        memset(trace->more, 0, trace->more_room * sizeof *trace->more);
    for (uint32_t l = 1; l < trace->lines; l++)
        for (unsigned i = 0; i < trace->line[l].objects; i++) {
            uint32_t place = (l << WR_LINE_SHIFT) + i;
            if (trace->found[place] >= WR_COUNTS || trace->own[place] == 0)
                continue;
            void *object = wr_trace_object(trace, place);
            if (object == NULL || count_of(trace, wr_header_of(object)) == 0)
                trace->found[place] = WR_BLACK;
            else
                note_all(trace, object, wr_trace_type(trace, place));
        }
}
