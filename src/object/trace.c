/* SPDX-License-Identifier: MIT
 * Counting and marking; see trace.h. Takes heap and big locks one at a time, to gather pools. */
#include "object/trace.h"

#include <string.h>

#include "base/option.h"
#include "base/text.h"
#include "core/space.h"

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

/** The entry of a pool's page; NULL if its arena is not near, and not in the table. */
static struct wr_trace_page *find_page(const struct wr_trace *trace, const struct wr_typed *pool)
{
    size_t index = ((uintptr_t)wr_typed_start(pool) - trace->map.base) >> WR_PAGE_SHIFT;
    if (wr_likely(index < trace->map.pages))
        return &trace->map.page[index];
    const struct wr_trace_arena *arena = find_arena(trace, arena_number(pool));
    return arena->number != 0 ? &arena->page[wr_pool_index((const struct wr_pool *)pool)] : NULL;
}

static void note_pool(struct gather *gather, struct wr_typed *pool)
{
    struct wr_trace *trace = gather->trace;
    struct wr_trace_page *page = find_page(trace, pool);
    if (page == NULL) {
        *find_arena(trace, arena_number(pool)) =
            (struct wr_trace_arena){arena_number(pool), trace->far_page + (size_t)trace->arenas++ * WR_ARENA_PAGES};
        page = find_page(trace, pool);
    }
    *page = (struct wr_trace_page){(uint32_t)gather->lines << WR_LINE_SHIFT, UINT32_MAX / pool->kind->size + 1};
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
    if (!wanted || (!want->frozen && (span->frozen & bit) != 0) || gather->pools >= want->most ||
        (want->round != 0 && pool->kind->round == want->round && pool->kind->current == pool))
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
static void *map_huge(size_t size)
{
    void *memory = wr_space_map(size, WR_HUGE_PAGE);
    if (memory != NULL && wr_options.thp != WR_THP_NEVER)
        wr_os_advise_huge(memory, wr_round_down(size, WR_HUGE_PAGE), true);
    return memory;
}

static void *get_memory(size_t *size, bool *mapped)
{
    *mapped = *size >= WR_HUGE_PAGE;
    if (!*mapped)
        return weir_calloc(1, *size);
    *size = wr_round_up(*size, WR_PAGE_SIZE);
    return map_huge(*size);
}

/** Takes `count` things of `size` bytes from what begins at *at, an offset; returns where they begin. */
static size_t lay_out(size_t *at, size_t count, size_t size)
{
    size_t start = *at;
    *at += wr_round_up(count * size, WR_LINE);
    return start;
}

/** Entries of pages of near arenas that have a mapping of their own: where arenas lie apart most are never touched. */
static struct wr_trace_page *map_apart(size_t *size)
{
    *size = wr_round_up(*size, WR_PAGE_SIZE);
    struct wr_trace_page *page = wr_space_map(*size, WR_PAGE_SIZE);
    if (page != NULL)
        wr_os_advise_huge(page, *size, false);
    return page;
}

struct wr_trace *wr_trace_begin(const struct wr_trace_want *want)
{
    struct gather count = {.want = want, .lines = 1};
    gather_wanted(&count);
    size_t lines = count.lines + ((count.bigs + WR_LINE - 1) >> WR_LINE_SHIFT), at = 0, slots = 4, apart = 0;
    size_t arenas = wr_min(count.arenas, atomic_load_explicit(&wr_arena_count.arenas, memory_order_relaxed)),
           span = arenas > 0 ? count.last - count.lowest + 1 : 0, near = wr_min(span, WR_TRACE_NEAR);
    struct wr_trace_page *page = NULL;
    bool mapped;
    if (lines >= UINT32_MAX >> WR_LINE_SHIFT)
        return NULL;
    if (near > arenas * 2 + 2) {
        apart = (near * WR_ARENA_PAGES + 1) * sizeof *page;
        page = map_apart(&apart);
        if (page == NULL)
            apart = near = 0;
    }
    size_t far = near < span ? arenas : 0, groups = (lines >> WR_TRACE_GROUP_SHIFT) + 1;
    while (slots < far * 2)
        slots *= 2;
    /* What is looked into at random comes first: huge pages back the beginning. */
    size_t trace_at = lay_out(&at, 1, sizeof(struct wr_trace)),
           arena_at = lay_out(&at, slots, sizeof(struct wr_trace_arena)),
           kind_at = lay_out(&at, count.kinds + 1, sizeof(struct wr_trace_kind)),
           page_at = lay_out(&at, apart == 0 ? near * WR_ARENA_PAGES + 1 : 0, sizeof(struct wr_trace_page)),
           far_at = lay_out(&at, far * WR_ARENA_PAGES, sizeof(struct wr_trace_page)),
           group_at = lay_out(&at, groups, 1), waits_at = lay_out(&at, (groups + 1) << WR_TRACE_GROUP_SHIFT, 1),
           marked_at = lay_out(&at, lines, sizeof(uint64_t)), found_at = lay_out(&at, lines, WR_LINE),
           looked_at = lay_out(&at, lines, sizeof(uint64_t)), white_at = lay_out(&at, lines / 64 + 1, sizeof(uint64_t)),
           line_at = lay_out(&at, lines, sizeof(struct wr_line)),
           big_at = lay_out(&at, count.bigs, sizeof(struct wr_big *)), own_at = lay_out(&at, lines, WR_LINE);
    char *memory = get_memory(&at, &mapped);
    if (memory == NULL) {
        if (apart > 0)
            wr_space_unmap(page, apart);
        return NULL;
    }
    struct wr_trace *trace = (struct wr_trace *)(void *)(memory + trace_at);
    *trace = (struct wr_trace){
        .own = (uint8_t *)memory + own_at,
        .found = (uint8_t *)memory + found_at,
        .marked = (uint64_t *)(void *)(memory + marked_at),
        .looked = (uint64_t *)(void *)(memory + looked_at),
        .line = (struct wr_line *)(void *)(memory + line_at),
        .big = (struct wr_big **)(void *)(memory + big_at),
        .kind = (struct wr_trace_kind *)(void *)(memory + kind_at),
        .map = {.base = count.lowest << WR_ARENA_SHIFT,
                .pages = near * WR_ARENA_PAGES,
                .page = apart > 0 ? page : (struct wr_trace_page *)(void *)(memory + page_at)},
        .arena = (struct wr_trace_arena *)(void *)(memory + arena_at),
        .arena_mask = (uint32_t)slots - 1,
        .far_page = (struct wr_trace_page *)(void *)(memory + far_at),
        .far = count.bigs > 0 || far > 0,
        .waits = (uint8_t *)memory + waits_at,
        .group = (uint8_t *)memory + group_at,
        .groups = (uint32_t)groups,
        .white = (uint64_t *)(void *)(memory + white_at),
        .lines = (uint32_t)lines,
        .big_line = (uint32_t)count.lines,
        .bigs = (uint32_t)count.bigs,
        .size = at,
        .mapped = mapped,
        .apart = apart,
        .shared = want->shared,
    };
    trace->marked[0] = trace->looked[0] = ~UINT64_C(0);
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
    wr_sorter_end(trace);
    if (trace->apart > 0)
        wr_space_unmap(trace->map.page, trace->apart);
    if (trace->mapped)
        wr_space_unmap(trace, trace->size);
    else
        weir_free(trace);
}

void wr_sorter_begin(struct wr_trace *trace)
{
    enum { FROM = WR_DEBUG >= 2 ? 2 : 1 << 15 }; /* lines: notes on fewer are near the processor as they are */
    struct wr_sorter *sorter = &trace->sorter;
    uint32_t regions = wr_trace_regions(trace);
    size_t head = wr_round_up(regions * sizeof *sorter->next, sizeof(uint16_t) * WR_REGION_ROOM);
    if (trace->lines < FROM)
        return;
    sorter->size = wr_round_up(head + (size_t)regions * WR_REGION_ROOM * sizeof(uint16_t), WR_HUGE_PAGE);
    char *memory = map_huge(sorter->size);
    if (memory == NULL)
        return; /* then it takes longer */
    sorter->next = (uint16_t **)(void *)memory;
    sorter->room = (uint16_t *)(void *)(memory + head);
    for (uint32_t region = 0; region < regions; region++)
        sorter->next[region] = sorter->room + (size_t)region * WR_REGION_ROOM;
}

void wr_sorter_end(struct wr_trace *trace)
{
    if (trace->sorter.next != NULL)
        wr_space_unmap(trace->sorter.next, trace->sorter.size);
    trace->sorter.next = NULL;
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

uint32_t wr_trace_far_place(const struct wr_trace *trace, const void *object)
{
    const struct wr_header *header = wr_header_of(object);
    if (object == NULL)
        return 0;
    const struct wr_trace_arena *arena = find_arena(trace, arena_number(header));
    uint32_t place =
        arena->number != 0 ? wr_trace_page_place(arena->page[wr_arena_page(header)], (uintptr_t)header) : 0;
    if (place != 0)
        return place;
    const struct wr_big *big = trace->bigs > 0 && wr_pool_of(header) == NULL ? wr_big_of(header) : NULL;
    uint32_t first = trace->big_line << WR_LINE_SHIFT;
    /* It may be another thread's, whose collector has given it a line. */
    bool known =
        big != NULL && big->line >= first && big->line - first < trace->bigs && trace->big[big->line - first] == big;
    return known ? big->line : 0;
}

/* ---- counting ---------------------------------------------------------------------------------------------------- */

static struct wr_more *find_more(struct wr_more *more, size_t room, uint32_t place)
{
    size_t i = (place * UINT32_C(0x9e3779b1)) & (room - 1);
    while (more[i].place != 0 && more[i].place != place)
        i = (i + 1) & (room - 1);
    return &more[i];
}

/** What `found` has of an object has begun anew at 0. */
static WR_NOINLINE void count_more(struct wr_trace *trace, uint32_t place)
{
    if (place == 0)
        return;
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
    more->count += UINT8_MAX + 1;
    trace->line[place >> WR_LINE_SHIFT].more = true;
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

/** One more reference to what is at a place. */
WR_INLINE void count_place(struct wr_trace *trace, uint8_t *found, uint32_t place)
{
    if (wr_unlikely(++found[place] == 0))
        count_more(trace, place);
}

static void count_visited(void *object, void *arg)
{
    struct wr_trace *trace = arg;
    count_place(trace, trace->found, wr_trace_place(trace, object));
}

/** Counts the places of a region that wait. */
static WR_NOINLINE void count_region(struct wr_trace *trace, uint32_t region)
{
    uint32_t first = region << WR_REGION_SHIFT;
    uint8_t *found = trace->found + first;
    struct wr_waiting waiting = wr_sorter_take(&trace->sorter, region);
    for (const uint16_t *at = waiting.from; at < waiting.to; at++)
        if (wr_unlikely(++found[*at] == 0))
            count_more(trace, first + *at);
}

/** What a line's fields are seen to hold. */
struct seen {
    unsigned none;   /* NULL */
    unsigned nobody; /* that, or what is not looked at */
};

/* What costs time is waiting for memory. So no loop over references branches on anything that has to be fetched, nobody
 * could foretell it, and the processor runs ahead. The count of what an object refers to is fetched when its place is
 * known, and changed when those of a batch of others have been fetched, too. */

/** Places whose counts are being fetched. */
struct batch {
    unsigned count;
    uint32_t place[WR_LINE];
};

static void count_batch(struct wr_trace *trace, struct batch *batch)
{
    uint8_t *found = trace->found;
    for (unsigned i = 0, count = batch->count; i < count; i++)
        count_place(trace, found, batch->place[i]);
    batch->count = 0;
}

/** Finds what the field at `offset` of a line's objects refers to. It goes into the batch, which is empty; without one
 *  the places wait with others of their regions. */
WR_INLINE void find_field(struct wr_trace *trace, const struct wr_blocks *blocks, unsigned offset, struct batch *batch,
                          struct seen *seen, bool full, bool far)
{
    const struct wr_trace_map map = trace->map; /* the compiler keeps in registers what cannot change */
    const uint8_t *found = trace->found;
    uint16_t **next = trace->sorter.next;
    const char *field = blocks->first + sizeof(struct wr_header) + offset;
    unsigned objects = blocks->objects, none = 0, nobody = 0, count = 0;
    for (unsigned i = 0; i < objects; i++, field += blocks->size) {
        if (!full && blocks->own[i] == 0)
            continue;
        void *other = *(void *const *)(const void *)field;
        uint32_t place = wr_trace_near_place(map, other);
        if (far && wr_unlikely(place == 0))
            place = wr_trace_far_place(trace, other);
        if (batch != NULL) {
            __builtin_prefetch(found + place, 1);
            batch->place[count++] = place;
        } else if (wr_sorter_put(next, place)) {
            count_region(trace, place >> WR_REGION_SHIFT);
        }
        none += other == NULL;
        nobody += place == 0;
    }
    if (batch != NULL)
        batch->count = count;
    seen->none += none;
    seen->nobody += nobody;
}

/** The same, by a loop of its own for what is frequent. */
WR_INLINE void find_quickly(struct wr_trace *trace, const struct wr_blocks *blocks, unsigned offset,
                            struct batch *batch, struct seen *seen, bool full)
{
    if (wr_unlikely(trace->far))
        find_field(trace, blocks, offset, batch, seen, false, true);
    else if (full)
        find_field(trace, blocks, offset, batch, seen, true, false);
    else
        find_field(trace, blocks, offset, batch, seen, false, false);
}

/** Sorts what a line's objects refer to by the table of their kind. */
static void sort_line(struct wr_trace *trace, const struct wr_trace_kind *kind, const struct wr_blocks *blocks,
                      bool full, struct seen *seen)
{
    for (unsigned i = 0; i < kind->nrefs; i++)
        find_quickly(trace, blocks, kind->refs[i], NULL, seen, full);
}

/** Counts it at once; what the last field refers to stays in one of the batches, the other is empty. */
static void batch_line(struct wr_trace *trace, const struct wr_trace_kind *kind, const struct wr_blocks *blocks,
                       bool full, struct seen *seen, struct batch batch[2])
{
    for (unsigned i = 0; i < kind->nrefs; i++) {
        struct batch *here = &batch[batch[0].count > 0], *before = &batch[batch[0].count == 0];
        find_quickly(trace, blocks, kind->refs[i], here, seen, full);
        count_batch(trace, before);
    }
}

/** Writes down the counts of a line's objects; returns how many there are. What lies `ahead` is fetched. */
WR_INLINE unsigned write_counts(const struct wr_blocks *blocks, uint8_t *own, ptrdiff_t ahead, uint32_t *states,
                                bool shared)
{
    const char *at = blocks->first;
    unsigned objects = blocks->objects, counted = 0;
    uint32_t all = 0;
    for (unsigned i = 0; i < objects; i++, at += blocks->size) {
        const struct wr_header *header = (const struct wr_header *)(const void *)at;
        __builtin_prefetch(at + ahead);
        struct wr_header now = wr_header_now(header);
        unsigned refs = shared ? wr_shared_of(now) : wr_own_of(now);
        own[i] = (uint8_t)wr_min(refs, 255);
        if (refs == 0)
            continue;
        counted++;
        all |= wr_state_of(now);
    }
    *states = all;
    return counted;
}

/** Counts what the objects of a line visit. */
static void count_traversed(struct wr_trace *trace, const struct wr_blocks *blocks,
                            void (*traverse)(void *object, weir_visit_fn visit, void *arg))
{
    for (unsigned i = 0; i < blocks->objects; i++)
        if (blocks->own[i] != 0)
            wr_object_traverse(blocks->first + i * blocks->size + sizeof(struct wr_header), traverse, count_visited,
                               trace);
}

/** Counts what a line's objects refer to. */
static void count_line(struct wr_trace *trace, uint32_t l, struct batch batch[2])
{
    struct wr_line *line = &trace->line[l];
    uint32_t next = l + 1 < trace->lines ? l + 1 : l;
    const struct wr_trace_kind *kind = &trace->kind[line->kind];
    const struct wr_blocks blocks = wr_trace_blocks(trace, l);
    uint8_t *own = &trace->own[l << WR_LINE_SHIFT];
    ptrdiff_t ahead = trace->line[next].pool != NULL ? wr_trace_blocks(trace, next).first - blocks.first : 0;
    struct seen seen = {0, 0};
    uint32_t states;
    unsigned counted = trace->shared ? write_counts(&blocks, own, ahead, &states, true)
                                     : write_counts(&blocks, own, ahead, &states, false);
    if (trace->sorter.next != NULL)
        sort_line(trace, kind, &blocks, counted == blocks.objects, &seen);
    else
        batch_line(trace, kind, &blocks, counted == blocks.objects, &seen, batch);
    if (kind->traverse != NULL)
        count_traversed(trace, &blocks, kind->traverse);
    line->counted = (uint8_t)counted;
    line->refs = (uint16_t)wr_min((size_t)kind->nrefs * counted - seen.none, (size_t)WR_REFS_MANY);
    line->leaves = seen.nobody > seen.none;
    line->special = states != 0;
    trace->visited += counted;
}

static void count_bigs(struct wr_trace *trace, uint32_t l)
{
    for (unsigned i = 0; i < trace->line[l].objects; i++) {
        uint32_t place = (l << WR_LINE_SHIFT) + i;
        struct wr_big *big = wr_trace_big(trace, place);
        unsigned count = big != NULL ? wr_trace_count_of(trace, wr_header_of(big->object)) : 0;
        trace->own[place] = (uint8_t)wr_min(count, 255);
        if (count == 0)
            continue;
        trace->visited++;
        wr_object_visit(big->object, big->type, count_visited, trace);
    }
}

void wr_trace_count(struct wr_trace *trace, uint32_t from, uint32_t to)
{
    struct batch batch[2];
    batch[0].count = batch[1].count = 0;
    for (uint32_t l = from; l < to && !trace->failed; l++) {
        if (trace->line[l].pool != NULL)
            count_line(trace, l, batch);
        else if (l >= trace->big_line)
            count_bigs(trace, l);
    }
    count_batch(trace, &batch[0]);
    count_batch(trace, &batch[1]);
}

void wr_trace_count_all(struct wr_trace *trace)
{
    wr_sorter_begin(trace);
    wr_trace_count(trace, 1, trace->lines);
    if (trace->sorter.next != NULL)
        for (uint32_t region = 0; region < wr_trace_regions(trace); region++)
            count_region(trace, region);
}

enum { REPORTS = 10 }; /* of a pass, and lines of each */

/* ---- colours ----------------------------------------------------------------------------------------------------- */

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
        if (other == NULL || trace->own[p] == 0 || wr_trace_count_of(trace, wr_header_of(other)) == 0)
            continue;
        wr_object_visit(other, wr_trace_type(trace, p), count_type, &visits);
        if (visits.count == 0)
            continue;
        wr_message("gc:   object %p of type \"%s\" visits it %u times", other, wr_trace_type(trace, p)->name,
                   visits.count);
        lines++;
    }
}

enum verdict { INSIDE, OUTSIDE, GONE };

/** Whether somebody outside refers to an object of which the bytes do not tell all. */
static WR_NOINLINE enum verdict compare_exactly(struct wr_trace *trace, uint32_t place, unsigned held, unsigned *wrong)
{
    void *object = wr_trace_object(trace, place);
    uint64_t count = object != NULL ? wr_trace_count_of(trace, wr_header_of(object)) : 0,
             found = wr_trace_found(trace, place);
    if (count == 0)
        return GONE;
    count -= held;
    if (count >= found)
        return count > found ? OUTSIDE : INSIDE;
    if (++*wrong <= REPORTS)
        report(trace, place, count, found);
    return OUTSIDE;
}

/** Colours a line: those `outside` has are grey, those that are not `there` black. */
WR_INLINE void colour_line(struct wr_trace *trace, uint32_t l, uint64_t there, uint64_t outside)
{
    trace->marked[l] = ~there | outside;
    trace->looked[l] = ~there;
    if (outside != 0)
        wr_trace_queue(trace, l);
}

void wr_trace_guess(struct wr_trace *trace, uint32_t from, uint32_t to)
{
    for (uint32_t l = from; l < to; l++) {
        const uint8_t *own = &trace->own[l << WR_LINE_SHIFT], *found = &trace->found[l << WR_LINE_SHIFT];
        uint64_t there = 0, outside = 0;
        for (unsigned i = 0; i < WR_LINE; i++) {
            uint64_t count = trace->line[l].more ? wr_trace_found(trace, (l << WR_LINE_SHIFT) + i) : found[i];
            there |= (uint64_t)(own[i] > 0) << i;
            outside |= (uint64_t)(own[i] > count) << i;
        }
        colour_line(trace, l, there, outside);
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

/** A bit for each of 16 bytes, which are 0 or 255. */
WR_INLINE uint64_t bits_of(BYTES all)
{
    uint64_t half[2], bits = 0;
    memcpy(half, &all, sizeof half);
    for (unsigned i = 0; i < 2; i++) {
        if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
            half[i] = __builtin_bswap64(half[i]);
        bits |= ((half[i] & UINT64_C(0x0101010101010101)) * UINT64_C(0x0102040810204080) >> 56) << i * 8;
    }
    return bits;
}

/** Colours a line by its bytes alone; false if they do not tell all. */
WR_INLINE bool compare_bytes(struct wr_trace *trace, uint32_t l)
{
    const uint8_t *own = &trace->own[l << WR_LINE_SHIFT], *found = &trace->found[l << WR_LINE_SHIFT];
    uint64_t there = 0, outside = 0;
    BYTES odd = {0};
    for (unsigned i = 0; i < WR_LINE; i += sizeof(BYTES)) {
        BYTES count = load_bytes(own + i), seen = load_bytes(found + i);
        odd |= (BYTES)(count < seen) | (BYTES)(count == 255);
        there |= bits_of((BYTES)(count != 0)) << i;
        outside |= bits_of((BYTES)(count > seen)) << i;
    }
    if (bits_of(odd) != 0)
        return false;
    colour_line(trace, l, there, outside);
    return true;
}

static void compare_one_by_one(struct wr_trace *trace, uint32_t l, unsigned *wrong)
{
    uint64_t there = 0, outside = 0;
    for (unsigned i = 0; i < WR_LINE; i++) {
        uint32_t place = (l << WR_LINE_SHIFT) + i;
        enum verdict verdict = trace->own[place] == 0 ? GONE : compare_exactly(trace, place, 0, wrong);
        there |= (uint64_t)(verdict != GONE) << i;
        outside |= (uint64_t)(verdict == OUTSIDE) << i;
    }
    colour_line(trace, l, there, outside);
}

unsigned wr_trace_compare(struct wr_trace *trace, uint32_t from, uint32_t to)
{
    unsigned wrong = 0;
    for (uint32_t l = from; l < to; l++)
        if (trace->line[l].more || !compare_bytes(trace, l))
            compare_one_by_one(trace, l, &wrong);
    return wrong;
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

/** One more reference to an object, if it is white. Returns whether it is looked at. */
static bool recount(struct wr_trace *trace, const void *object)
{
    uint32_t place = wr_trace_place(trace, object);
    if (wr_trace_is_white(trace, place))
        count_place(trace, trace->found, place);
    return place != 0;
}

static void recount_visited(void *object, void *trace) { recount(trace, object); }

/** Counts what an object refers to again. */
static void recount_object(struct wr_trace *trace, struct wr_line *line, void *object, const struct weir_type *type)
{
    for (unsigned i = 0; i < type->nrefs; i++) {
        const void *other = *(void *const *)(const void *)((const char *)object + type->refs[i]);
        if (other == NULL)
            continue;
        line->leaves |= !recount(trace, other);
        line->refs += line->refs < WR_REFS_MANY;
    }
    if (type->traverse != NULL)
        wr_object_traverse(object, type->traverse, recount_visited, trace);
}

static void forget_found(struct wr_trace *trace, uint32_t l, void *arg WR_UNUSED)
{
    struct wr_line *line = &trace->line[l];
    memset(&trace->found[l << WR_LINE_SHIFT], 0, WR_LINE);
    line->counted = 0;
    line->refs = 0;
    line->leaves = line->special = line->more = false;
}

/** The white objects of a line are counted again; those that have gone, or are no longer of the sort that is looked at,
 *  become black. `own` stays as it was of these: it tells that the pass has had to do with them. */
static void recount_line(struct wr_trace *trace, uint32_t l, void *arg WR_UNUSED)
{
    struct wr_line *line = &trace->line[l];
    for (uint64_t white = wr_trace_white_of(trace, l); white != 0; white &= white - 1) {
        uint32_t place = (l << WR_LINE_SHIFT) + wr_bits_first(white);
        void *object = wr_trace_object(trace, place);
        unsigned count = object != NULL ? wr_trace_count_of(trace, wr_header_of(object)) : 0;
        if (count == 0) {
            trace->marked[l] |= white & -white;
            trace->looked[l] |= white & -white;
            continue;
        }
        trace->own[place] = (uint8_t)wr_min(count, 255);
        line->counted++;
        line->special |= wr_state(wr_header_of(object)) != 0;
        recount_object(trace, line, object, wr_trace_type(trace, place));
    }
}

void wr_trace_recount(struct wr_trace *trace)
{
    trace->more_count = 0;
    if (trace->more_room > 0)
        memset(trace->more, 0, trace->more_room * sizeof *trace->more);
    wr_trace_white_lines(trace, forget_found, NULL);
    wr_trace_white_lines(trace, recount_line, NULL);
}

struct comparison {
    unsigned held, wrong;
};

static void compare_again(struct wr_trace *trace, uint32_t l, void *arg)
{
    struct comparison *comparison = arg;
    uint64_t gone = 0, outside = 0;
    for (uint64_t white = wr_trace_white_of(trace, l); white != 0; white &= white - 1) {
        enum verdict verdict =
            compare_exactly(trace, (l << WR_LINE_SHIFT) + wr_bits_first(white), comparison->held, &comparison->wrong);
        gone |= verdict == GONE ? white & -white : 0;
        outside |= verdict == OUTSIDE ? white & -white : 0;
    }
    trace->marked[l] |= gone | outside;
    trace->looked[l] |= gone;
    if (outside != 0)
        wr_trace_queue(trace, l);
}

unsigned wr_trace_compare_again(struct wr_trace *trace, unsigned held)
{
    struct comparison comparison = {held, 0};
    wr_trace_white_lines(trace, compare_again, &comparison);
    return comparison.wrong;
}
