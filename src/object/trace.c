/* SPDX-License-Identifier: MIT
 * Counting and marking; see trace.h. Takes heap and big locks one at a time, to gather pools. */
#include "object/trace.h"

#include <string.h>

#include "base/option.h"
#include "base/text.h"
#include "core/space.h"

enum { TARGETS = 128 }; /* references that are dealt with at a time */

/* ---- gathering --------------------------------------------------------------------------------------------------- */

struct gather {
    const struct wr_trace_want *want;
    struct wr_trace *trace; /* NULL: only count */
    size_t pools, lines, bigs, kinds;
    size_t arenas;          /* as found one after the other; some perhaps more than once */
    uintptr_t arena;        /* the last one's number */
    uintptr_t lowest, last; /* numbers */
};

static unsigned lines_of(const struct wr_kind *kind) { return (kind->blocks + WR_LINE - 1u) >> WR_LINE_SHIFT; }

static uintptr_t arena_number(const void *inside) { return (uintptr_t)inside >> WR_ARENA_SHIFT; }

/** Where an arena is in the table, or has room there. */
static struct wr_trace_arena *find_arena(const struct wr_trace *trace, uintptr_t number)
{
    size_t i = number & trace->arena_mask;
    while (trace->arena[i].number != 0 && trace->arena[i].number != number)
        i = (i + 1) & trace->arena_mask;
    return &trace->arena[i];
}

static struct wr_trace_page *find_page(struct wr_trace *trace, const struct wr_typed *pool)
{
    struct wr_trace_arena *arena = find_arena(trace, arena_number(pool));
    return arena->number != 0 ? &trace->page[arena->page + wr_pool_index((const struct wr_pool *)pool)] : NULL;
}

static void note_pool(struct gather *gather, struct wr_typed *pool)
{
    struct wr_trace *trace = gather->trace;
    struct wr_trace_arena *arena = find_arena(trace, arena_number(pool));
    if (arena->number == 0) {
        *arena = (struct wr_trace_arena){arena_number(pool), ++trace->arenas * (uint32_t)WR_ARENA_PAGES};
        size_t row = arena->number - (trace->base >> WR_ARENA_SHIFT);
        if (row < trace->rows)
            trace->row[row] = arena->page;
    }
    trace->page[arena->page + wr_pool_index((const struct wr_pool *)pool)] =
        (struct wr_trace_page){(uint32_t)gather->lines << WR_LINE_SHIFT, UINT32_MAX / pool->kind->size + 1};
    for (unsigned i = 0; i < lines_of(pool->kind); i++) {
        unsigned first = i * WR_LINE;
        trace->line[gather->lines + i] =
            (struct wr_line){.pool = pool,
                             .kind = (uint32_t)gather->kinds,
                             .first = (uint16_t)first,
                             .objects = (uint8_t)wr_min(pool->kind->blocks - first, WR_LINE)};
    }
}

static void gather_pool(struct wr_typed *pool, struct wr_span *span, void *arg)
{
    struct gather *gather = arg;
    const struct wr_trace_want *want = gather->want;
    uint16_t bit = wr_typed_bit(pool);
    bool young = (span->young & bit) != 0,
         wanted = want->generation == WEIR_GC_FULL || young == (want->generation == 0);
    if (!wanted || (!want->frozen && (span->frozen & bit) != 0) || gather->pools >= want->most)
        return;
    if (gather->arena != arena_number(pool)) {
        gather->arena = arena_number(pool);
        gather->arenas++;
        gather->lowest = wr_min(gather->lowest - 1, gather->arena - 1) + 1; /* 0: none yet */
        gather->last = wr_max(gather->last, gather->arena);
    }
    if (gather->trace != NULL)
        note_pool(gather, pool);
    gather->lines += lines_of(pool->kind);
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

static struct wr_trace_kind kind_of(const struct weir_type *type, uint32_t size, uint16_t first)
{
    return (struct wr_trace_kind){.size = size,
                                  .first = first,
                                  .nrefs = type->nrefs,
                                  .refs = type->refs,
                                  .traverse = type->traverse,
                                  .type = type};
}

static void gather_kind(struct gather *gather, struct wr_kind *kind)
{
    const struct weir_type *type = wr_kind_type(kind);
    gather->kinds++;
    if (gather->trace != NULL)
        gather->trace->kind[gather->kinds] = kind_of(type, kind->size, kind->first);
    wr_kind_each(kind, gather_pool, gather);
}

static void gather_domain(struct wr_domain *domain, void *arg)
{
    struct gather *gather = arg;
    for (unsigned b = 0; b < WR_BUCKETS; b++)
        for (struct wr_kind *kind = domain->bucket[b]; kind != &wr_kind_none && kind != NULL; kind = kind->next)
            if ((kind->counted || gather->want->all_types) && gather->pools < gather->want->most)
                gather_kind(gather, kind);
    wr_big_each(domain, gather_big, gather);
}

static void gather_wanted(struct gather *gather)
{
    if (gather->want->domain != NULL)
        gather_domain(gather->want->domain, gather);
    else
        wr_domain_each(gather_domain, gather);
}

/* Notes on many objects are looked into at random, and are there for a moment: huge pages save most of the time that it
 * takes to find them. They have mappings of their own, since malloc's blocks may be somebody else's soon. */
enum { HUGE_PAGE = 2 << 20 };

static void *get_memory(size_t *size, bool *mapped)
{
    *mapped = *size >= HUGE_PAGE;
    if (!*mapped)
        return weir_calloc(1, *size);
    *size = wr_round_up(*size, WR_PAGE_SIZE);
    void *memory = wr_space_map(*size, HUGE_PAGE);
    if (memory != NULL && wr_options.thp != WR_THP_NEVER)
        wr_os_advise_huge(memory, wr_round_down(*size, HUGE_PAGE), true);
    return memory;
}

/** Takes `count` things of `size` bytes from what begins at *at, an offset; returns where they begin. */
static size_t lay_out(size_t *at, size_t count, size_t size)
{
    size_t start = *at;
    *at += wr_round_up(count * size, WR_LINE);
    return start;
}

struct wr_trace *wr_trace_begin(const struct wr_trace_want *want)
{
    struct gather count = {.want = want, .lines = 1};
    gather_wanted(&count);
    size_t lines = count.lines + ((count.bigs + WR_LINE - 1) >> WR_LINE_SHIFT), at = 0, slots = 4;
    size_t arenas = wr_min(count.arenas, atomic_load_explicit(&wr_arena_count.arenas, memory_order_relaxed)),
           span = arenas > 0 ? count.last - count.lowest + 1 : 0, rows = wr_min(span, WR_TRACE_ROWS);
    bool mapped;
    if (lines >= UINT32_MAX >> WR_LINE_SHIFT)
        return NULL;
    while (slots < arenas * 2)
        slots *= 2;
    size_t trace_at = lay_out(&at, 1, sizeof(struct wr_trace)),
           arena_at = lay_out(&at, slots, sizeof(struct wr_trace_arena)),
           kind_at = lay_out(&at, count.kinds + 1, sizeof(struct wr_trace_kind)),
           row_at = lay_out(&at, rows + 1, sizeof(uint32_t)),
           page_at = lay_out(&at, (arenas + 1) * WR_ARENA_PAGES, sizeof(struct wr_trace_page)),
           line_at = lay_out(&at, lines, sizeof(struct wr_line)),
           big_at = lay_out(&at, count.bigs, sizeof(struct wr_big *)),
           ring_at = lay_out(&at, lines + TARGETS, sizeof(uint32_t)), waits_at = lay_out(&at, lines, 1),
           white_at = lay_out(&at, lines / 64 + 1, sizeof(uint64_t)), own_at = lay_out(&at, lines, WR_LINE),
           found_at = lay_out(&at, lines, WR_LINE);
    char *memory = get_memory(&at, &mapped);
    if (memory == NULL)
        return NULL;
    struct wr_trace *trace = (struct wr_trace *)(void *)(memory + trace_at);
    *trace = (struct wr_trace){
        .own = (uint8_t *)memory + own_at,
        .found = (uint8_t *)memory + found_at,
        .line = (struct wr_line *)(void *)(memory + line_at),
        .big = (struct wr_big **)(void *)(memory + big_at),
        .kind = (struct wr_trace_kind *)(void *)(memory + kind_at),
        .page = (struct wr_trace_page *)(void *)(memory + page_at),
        .arena = (struct wr_trace_arena *)(void *)(memory + arena_at),
        .arena_mask = (uint32_t)slots - 1,
        .base = count.lowest << WR_ARENA_SHIFT,
        .row = (uint32_t *)(void *)(memory + row_at),
        .rows = (uint32_t)rows,
        .far = count.bigs > 0 || span > rows,
        .ring = (uint32_t *)(void *)(memory + ring_at),
        .waits = (uint8_t *)memory + waits_at,
        .white = (uint64_t *)(void *)(memory + white_at),
        .lines = (uint32_t)lines,
        .big_line = (uint32_t)count.lines,
        .bigs = (uint32_t)count.bigs,
        .size = at,
        .mapped = mapped,
        .shared = want->shared,
    };
    trace->found[0] = WR_BLACK; /* the place of what is not looked at */
    struct gather fill = {.want = want, .trace = trace, .lines = 1};
    gather_wanted(&fill);
    trace->partial = fill.pools >= want->most;
    return trace;
}

void wr_trace_end(struct wr_trace *trace)
{
    for (uint32_t i = 0; i < trace->bigs; i++)
        if (trace->big[i] != NULL && trace->big[i]->line == (trace->big_line << WR_LINE_SHIFT) + i)
            trace->big[i]->line = 0;
    weir_free(trace->more);
    if (trace->mapped)
        wr_space_unmap(trace, trace->size);
    else
        weir_free(trace);
}

void wr_trace_forget(struct wr_trace *trace, const struct wr_typed *pool)
{
    struct wr_trace_page *page = find_page(trace, pool);
    if (page == NULL || page->first == 0)
        return;
    for (uint32_t i = page->first >> WR_LINE_SHIFT; i < trace->big_line && trace->line[i].pool == pool; i++)
        trace->line[i].pool = NULL;
    *page = (struct wr_trace_page){0, 0};
}

/* ---- places ------------------------------------------------------------------------------------------------------ */

uint32_t wr_trace_far_place(const struct wr_trace *trace, const struct wr_header *header)
{
    const struct wr_trace_arena *arena = find_arena(trace, arena_number(header));
    uint32_t place = arena->number != 0 ? wr_trace_page_place(trace, arena->page + wr_arena_page(header), header) : 0;
    if (place != 0)
        return place;
    const struct wr_big *big = trace->bigs > 0 && wr_pool_of(header) == NULL ? wr_big_of(header) : NULL;
    uint32_t first = trace->big_line << WR_LINE_SHIFT;
    /* It may be another thread's, whose collector has given it a line. */
    bool known =
        big != NULL && big->line >= first && big->line - first < trace->bigs && trace->big[big->line - first] == big;
    return known ? big->line : 0;
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

/** One more reference to what is at a place, unless that is black, as place 0 is. */
WR_INLINE void count_place(struct wr_trace *trace, uint8_t *found, uint32_t place)
{
    uint8_t count = found[place];
    found[place] = count = (uint8_t)(count + (count < WR_BLACK));
    if (wr_unlikely(count == WR_COUNTS))
        count_more(trace, place);
}

static void note_visited(void *object, void *arg)
{
    struct wr_trace *trace = arg;
    count_place(trace, trace->found, wr_trace_place(trace, object));
}

/* What a line's objects refer to is written down first, then where that is, then each is counted, or coloured. Each of
 * these is a short loop that branches on nothing that has to be fetched, nobody could foretell it; so the processor
 * runs ahead, and waits for what it misses of many references at a time. */
struct targets {
    unsigned count;
    unsigned some, out; /* in all; of them, those that are not looked at */
    void *object[TARGETS];
    uint32_t place[TARGETS];
};

static void find_places(const struct wr_trace *trace, struct targets *targets)
{
    const struct wr_trace here = *trace; /* the compiler keeps in registers what cannot change */
    unsigned count = targets->count, out = 0;
    for (unsigned i = 0; i < count; i++) {
        uint32_t place = wr_trace_place_of(&here, targets->object[i]);
        targets->place[i] = place;
        out += place == 0;
    }
    targets->some += count;
    targets->out += out;
    targets->count = 0;
}

static void count_targets(struct wr_trace *trace, struct targets *targets)
{
    unsigned count = targets->count;
    uint8_t *found = trace->found;
    find_places(trace, targets);
    for (unsigned i = 0; i < count; i++)
        count_place(trace, found, targets->place[i]);
}

/** Adds what a table of references has of an object, behind `count` others; returns how many there are then.
 *  pre: there is room. */
WR_INLINE unsigned add_targets(struct targets *targets, unsigned count, void *object, const uint16_t *refs,
                               unsigned nrefs)
{
    for (const uint16_t *ref = refs, *end = refs + nrefs; ref < end; ref++) {
        void *other = *(void **)(void *)((char *)object + *ref);
        targets->object[count] = other;
        count += other != NULL;
    }
    return count;
}

/** The same where there may be no room: what is there is dealt with first. */
static WR_NOINLINE unsigned add_many_targets(struct wr_trace *trace, struct targets *targets, unsigned count,
                                             void *object, const struct wr_trace_kind *kind,
                                             void (*deal)(struct wr_trace *, struct targets *))
{
    for (unsigned done = 0, some; done < kind->nrefs; done += some) {
        some = (unsigned)wr_min(kind->nrefs - done, TARGETS);
        targets->count = count;
        if (count + some > TARGETS)
            deal(trace, targets);
        count = add_targets(targets, targets->count, object, kind->refs + done, some);
    }
    return count;
}

/** What an object refers to: the table's references are added to the targets, which are dealt with when there are many,
 *  others are visited at once. Returns how many targets there are then. */
WR_INLINE unsigned add_all(struct wr_trace *trace, struct targets *targets, unsigned count, void *object,
                           const struct wr_trace_kind *kind, void (*deal)(struct wr_trace *, struct targets *),
                           weir_visit_fn visit)
{
    count = wr_likely(count + kind->nrefs <= TARGETS)
                ? add_targets(targets, count, object, kind->refs, kind->nrefs)
                : add_many_targets(trace, targets, count, object, kind, deal);
    if (wr_unlikely(kind->traverse != NULL))
        kind->traverse(object, visit, trace);
    return count;
}

WR_INLINE void note_all(struct wr_trace *trace, struct targets *targets, void *object, const struct wr_trace_kind *kind)
{
    targets->count = add_all(trace, targets, targets->count, object, kind, count_targets, note_visited);
}

/** The end of a line: deals with what is left, and writes down what has been seen. */
static void sum_up(struct wr_trace *trace, uint32_t l, struct targets *targets, unsigned counted, uint32_t state)
{
    struct wr_line *line = &trace->line[l];
    count_targets(trace, targets);
    line->counted = (uint8_t)counted;
    line->refs = (uint16_t)wr_min(targets->some, WR_REFS_MANY);
    line->leaves = targets->out > 0;
    line->special = state != 0;
}

/** Returns how many there are. */
WR_INLINE unsigned count_objects(struct wr_trace *trace, uint32_t l, struct targets *targets, uint32_t *states,
                                 ptrdiff_t ahead, bool shared)
{
    const struct wr_line *line = &trace->line[l];
    const struct wr_trace_kind kind = trace->kind[line->kind];
    struct wr_header *header = wr_typed_at(line->pool, line->first);
    uint8_t *own = &trace->own[l << WR_LINE_SHIFT];
    unsigned objects = line->objects, counted = 0, count = 0;
    uint32_t state = 0;
    for (unsigned i = 0; i < objects; i++, header = (struct wr_header *)(void *)((char *)header + kind.size)) {
        __builtin_prefetch((char *)header + ahead);
        unsigned refs = shared ? wr_count_shared(header) : wr_count_own(header);
        own[i] = (uint8_t)wr_min(refs, 255);
        if (refs == 0)
            continue;
        counted++;
        state |= wr_state(header);
        count = add_all(trace, targets, count, header + 1, &kind, count_targets, note_visited);
    }
    targets->count = count;
    *states = state;
    return counted;
}

static void count_line(struct wr_trace *trace, uint32_t l)
{
    const struct wr_line *line = &trace->line[l], *next = &trace->line[l + 1 < trace->lines ? l + 1 : l];
    char *here = (char *)wr_typed_at(line->pool, line->first),
         *there = next->pool != NULL ? (char *)wr_typed_at(next->pool, next->first) : here;
    struct targets targets;
    uint32_t states;
    targets.some = targets.out = 0;
    unsigned counted = trace->shared ? count_objects(trace, l, &targets, &states, there - here, true)
                                     : count_objects(trace, l, &targets, &states, there - here, false);
    sum_up(trace, l, &targets, counted, states);
    trace->visited += counted;
}

/** Of a large one. */
static void note_big(struct wr_trace *trace, const struct wr_big *big)
{
    const struct weir_type *type = big->type;
    struct targets targets;
    targets.count = targets.some = targets.out = 0;
    struct wr_trace_kind kind = kind_of(type, 0, 0);
    note_all(trace, &targets, big->object, &kind);
    count_targets(trace, &targets);
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
        note_big(trace, big);
    }
}

void wr_trace_count(struct wr_trace *trace, uint32_t from, uint32_t to)
{
    for (uint32_t l = from; l < to && !trace->failed; l++) {
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
    if (trace->waits[l] != 0)
        return;
    trace->waits[l] = 1;
    trace->ring[trace->ring_last] = l;
    trace->ring_last = trace->ring_last + 1 == trace->lines ? 0 : trace->ring_last + 1;
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
static WR_NOINLINE enum wr_colour compare_exactly(struct wr_trace *trace, uint32_t place, unsigned held,
                                                  unsigned *wrong)
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

/* 16 bytes, of which the compiler makes vectors. */
#define BYTES uint8_t __attribute__((vector_size(16)))

WR_INLINE BYTES load_bytes(const uint8_t *from)
{
    BYTES result;
    memcpy(&result, from, sizeof result);
    return result;
}

WR_INLINE bool any_byte(BYTES all)
{
    uint64_t half[2];
    memcpy(half, &all, sizeof half);
    return (half[0] | half[1]) != 0;
}

/** Colours a line by its bytes alone; false if they do not tell all. */
WR_INLINE bool compare_bytes(const uint8_t *own, uint8_t *found, bool *grey)
{
    BYTES colour[WR_LINE / sizeof(BYTES)], odd = {0}, greys = {0};
    for (unsigned i = 0; i < WR_COUNT(colour); i++) {
        BYTES count = load_bytes(own + i * sizeof(BYTES)), seen = load_bytes(found + i * sizeof(BYTES));
        BYTES none = (BYTES)(count == 0), more = (BYTES)(count > seen), same = (BYTES)(count == seen);
        odd |= ~(none | more | same) | (BYTES)(count == 255);
        greys |= more;
        colour[i] = none | (more & WR_GREY);
    }
    if (any_byte(odd))
        return false;
    memcpy(found, colour, sizeof colour);
    *grey = any_byte(greys);
    return true;
}

unsigned wr_trace_compare(struct wr_trace *trace, uint32_t from, uint32_t to)
{
    unsigned wrong = 0;
    for (uint32_t l = from; l < to; l++) {
        uint8_t *own = &trace->own[l << WR_LINE_SHIFT], *found = &trace->found[l << WR_LINE_SHIFT];
        bool grey = false;
        if (trace->more_count > 0 || !compare_bytes(own, found, &grey))
            for (unsigned i = 0; i < WR_LINE; i++) {
                uint32_t place = (l << WR_LINE_SHIFT) + i;
                found[i] = own[i] == 0 ? WR_BLACK : (uint8_t)compare_exactly(trace, place, 0, &wrong);
                grey |= found[i] == WR_GREY;
            }
        if (grey)
            queue_line(trace, l);
    }
    return wrong;
}

/* ---- marking ----------------------------------------------------------------------------------------------------- */

/* What waits to be looked into is found by its line: lines with grey objects are in a ring, each once. Where many are
 * grey, as in a graph without order, a line has gathered some by the time its turn comes, and they lie side by side.
 *
 * What costs time is waiting for memory. So the lines whose turn comes next are taken off the ring some steps ahead,
 * and their grey objects fetched into the cache; the idea of a short queue between what is known to be needed and its
 * use is that of C.-Y. Cher, A. Hosking and T. Vijaykumar, "Software prefetching for mark-sweep garbage collection",
 * 2004. And nothing branches on a colour, which nobody can foretell: the processor runs ahead over many references and
 * fetches what it misses for all of them at once. */

/** White objects become grey, their lines wait. Up to TARGETS. */
static void reach(struct wr_trace *trace, const uint32_t *place, unsigned count)
{
    uint8_t *found = trace->found, *waits = trace->waits; /* bytes could be any field, for all the compiler knows */
    uint32_t *ring = trace->ring, last = trace->ring_last;
    for (const uint32_t *end = place + count; place < end; place++) {
        uint32_t l = *place >> WR_LINE_SHIFT;
        uint8_t colour = found[*place], waited = waits[l], white = colour < WR_GREY;
        found[*place] = white ? WR_GREY : colour;
        waits[l] = waited | white;
        ring[last] = l;
        last += white & ~waited;
    }
    if (last >= trace->lines) { /* the ring's end comes behind, so that this loop need not look for it */
        last -= trace->lines;
        memcpy(ring, ring + trace->lines, last * sizeof *ring);
    }
    trace->ring_last = last;
}

static void reach_targets(struct wr_trace *trace, struct targets *targets)
{
    unsigned count = targets->count;
    find_places(trace, targets);
    reach(trace, targets->place, count);
}

static void reach_visited(void *object, void *trace)
{
    uint32_t place = wr_trace_place(trace, object);
    reach(trace, &place, 1);
}

/** Objects of a line that are about to be looked into. */
struct ahead {
    struct wr_header *first; /* NULL: of a line of large objects, or its pool has gone */
    uint64_t objects;        /* a bit each */
    uint32_t line, kind;
};

/** Grey ones of 8 objects become black; a bit each for those that were. */
WR_INLINE uint64_t blacken_grey(uint8_t *found)
{
    uint64_t word;
    memcpy(&word, found, sizeof word);
    uint64_t grey = word >> 7 & ~word & UINT64_C(0x0101010101010101); /* of the three colours, it alone is 1xxxxxx0 */
    word |= grey;
    memcpy(found, &word, sizeof word);
    if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
        grey = __builtin_bswap64(grey);
    return grey * UINT64_C(0x0102040810204080) >> 56;
}

/** Takes the next line off the ring: its grey objects become black, and are fetched. */
WR_INLINE void take_ahead(struct wr_trace *trace, struct ahead *ahead)
{
    uint32_t l = trace->ring[trace->ring_first];
    const struct wr_line *line = &trace->line[l];
    uint8_t *found = &trace->found[l << WR_LINE_SHIFT];
    uint64_t grey = 0;
    trace->ring_first = trace->ring_first + 1 == trace->lines ? 0 : trace->ring_first + 1;
    trace->waits[l] = 0;
    for (unsigned i = 0; i < WR_LINE; i += 8)
        grey |= blacken_grey(found + i) << i;
    *ahead = (struct ahead){.line = l, .objects = grey};
    if (line->pool == NULL)
        return;
    size_t size = trace->kind[line->kind].size;
    char *first = wr_typed_start(line->pool) + trace->kind[line->kind].first + (size_t)line->first * size;
    ahead->kind = line->kind;
    ahead->first = (struct wr_header *)(void *)first;
    for (uint64_t left = grey; left != 0; left &= left - 1)
        __builtin_prefetch(first + wr_bits_first(left) * size);
}

static void look_into_big(struct wr_trace *trace, struct targets *targets, uint32_t place)
{
    const struct wr_big *big = place >> WR_LINE_SHIFT >= trace->big_line ? wr_trace_big(trace, place) : NULL;
    if (big == NULL || count_of(trace, wr_header_of(big->object)) == 0)
        return;
    struct wr_trace_kind kind = kind_of(big->type, 0, 0);
    targets->count = add_all(trace, targets, targets->count, big->object, &kind, reach_targets, reach_visited);
}

static unsigned look_ahead_at_bigs(struct wr_trace *trace, struct targets *targets, const struct ahead *ahead)
{
    unsigned done = 1;
    for (uint64_t left = ahead->objects; left != 0; left &= left - 1, done++)
        look_into_big(trace, targets, (ahead->line << WR_LINE_SHIFT) + wr_bits_first(left));
    return done;
}

/** Looks into them. What the program has released since it became grey is left alone. */
WR_INLINE unsigned look_ahead(struct wr_trace *trace, struct targets *targets, const struct ahead *ahead)
{
    const struct wr_trace_kind kind = trace->kind[ahead->kind];
    unsigned done = 1, count = targets->count;
    if (wr_unlikely(ahead->first == NULL))
        return look_ahead_at_bigs(trace, targets, ahead);
    for (uint64_t left = ahead->objects; left != 0; left &= left - 1, done++) {
        char *at = (char *)ahead->first + wr_bits_first(left) * (size_t)kind.size;
        struct wr_header *header = (struct wr_header *)(void *)at;
        if (wr_likely(count_of(trace, header) > 0))
            count = add_all(trace, targets, count, wr_object_of(header), &kind, reach_targets, reach_visited);
    }
    targets->count = count;
    return done;
}

bool wr_trace_mark(struct wr_trace *trace, size_t most)
{
    struct ahead ahead[WR_TRACE_AHEAD];
    size_t done = 0;
    unsigned first = 0, last = 0; /* they only grow */
    struct targets targets;
    targets.count = 0;
    /* Nothing is ahead in the end: what the program does before this goes on may concern those objects. */
    for (;;) {
        bool more = done < most && trace->ring_first != trace->ring_last;
        if (more && last - first < WR_TRACE_AHEAD)
            take_ahead(trace, &ahead[last++ % WR_TRACE_AHEAD]);
        else if (first != last)
            done += look_ahead(trace, &targets, &ahead[first++ % WR_TRACE_AHEAD]);
        else if (targets.count > 0)
            reach_targets(trace, &targets);
        else
            return trace->ring_first != trace->ring_last;
        if (targets.count >= TARGETS / 2)
            reach_targets(trace, &targets);
    }
}

/* ---- what is white in the end ------------------------------------------------------------------------------------ */

void wr_trace_list_white(struct wr_trace *trace, uint32_t from, uint32_t to)
{
    for (uint32_t l = from; l < to; l++) {
        uint64_t white = trace->line[l].pool != NULL || l >= trace->big_line ? wr_trace_white_of(trace, l) : 0;
        if (white == 0)
            continue;
        trace->white[l / 64] |= UINT64_C(1) << l % 64;
        trace->whites += wr_bits_count(white);
    }
}

/** The white objects of a line are counted again; those that have gone become black. Some have been found already. */
static void recount_line(struct wr_trace *trace, uint32_t l, void *arg WR_UNUSED)
{
    const struct wr_line *line = &trace->line[l];
    struct targets targets;
    uint32_t state = 0;
    unsigned counted = 0;
    targets.count = targets.some = targets.out = 0;
    for (unsigned i = 0; i < line->objects; i++) {
        uint32_t place = (l << WR_LINE_SHIFT) + i;
        if (trace->found[place] >= WR_COUNTS || trace->own[place] == 0)
            continue;
        void *object = wr_trace_object(trace, place);
        unsigned count = object != NULL ? count_of(trace, wr_header_of(object)) : 0;
        trace->own[place] = (uint8_t)wr_min(count, 255);
        if (count == 0) {
            trace->found[place] = WR_BLACK;
        } else if (line->pool != NULL) {
            counted++;
            state |= wr_state(wr_header_of(object));
            note_all(trace, &targets, object, &trace->kind[line->kind]);
        } else {
            note_big(trace, wr_trace_big(trace, place));
        }
    }
    sum_up(trace, l, &targets, counted, state);
}

void wr_trace_recount(struct wr_trace *trace)
{
    trace->more_count = 0;
    if (trace->more_room > 0)
        memset(trace->more, 0, trace->more_room * sizeof *trace->more);
    wr_trace_white_lines(trace, recount_line, NULL);
}

struct comparison {
    unsigned held, wrong;
};

static void compare_again(struct wr_trace *trace, uint32_t l, void *arg)
{
    struct comparison *comparison = arg;
    uint8_t *own = &trace->own[l << WR_LINE_SHIFT], *found = &trace->found[l << WR_LINE_SHIFT];
    bool grey = false;
    for (unsigned i = 0; i < WR_LINE; i++) {
        if (own[i] == 0)
            found[i] = WR_BLACK;
        if (found[i] == WR_BLACK)
            continue;
        found[i] = (uint8_t)compare_exactly(trace, (l << WR_LINE_SHIFT) + i, comparison->held, &comparison->wrong);
        grey |= found[i] == WR_GREY;
    }
    if (grey)
        queue_line(trace, l);
}

unsigned wr_trace_compare_again(struct wr_trace *trace, unsigned held)
{
    struct comparison comparison = {held, 0};
    wr_trace_white_lines(trace, compare_again, &comparison);
    return comparison.wrong;
}
