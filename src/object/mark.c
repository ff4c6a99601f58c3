/* SPDX-License-Identifier: MIT
 * Marking: what living objects reach; see trace.h. Takes no lock. */
#include "object/trace.h"

#include <string.h>

/* ---- line by line ------------------------------------------------------------------------------------------------ */

/* What waits to be looked into is found by its line, and lines are gone through in the order of memory, again and
 * again, until none waits. Where many objects are grey, as in a graph without order, a line has gathered some by the
 * time its turn comes, and they lie side by side. A group of lines in which none waits is passed by, so that it takes
 * no longer where each object leads to one other.
 *
 * The lines whose turn comes next are found some steps ahead, and their grey objects fetched into the cache; the idea
 * of a short queue between what is known to be needed and its use is that of C.-Y. Cher, A. Hosking and T. Vijaykumar,
 * "Software prefetching for mark-sweep garbage collection", 2004. */

/** What is at a place becomes grey, unless it is black. A store costs less than to look whether it is needed. Returns
 *  the line. */
WR_INLINE uint32_t reach(uint64_t *marked, uint8_t *waits, uint8_t *group, uint32_t place)
{
    uint32_t l = place >> WR_LINE_SHIFT;
    marked[l] |= UINT64_C(1) << (place & (WR_LINE - 1));
    waits[l] = 1;
    group[l >> WR_TRACE_GROUP_SHIFT] = 1;
    return l;
}

static void reach_visited(void *object, void *arg)
{
    struct wr_trace *trace = arg;
    uint32_t l = reach(trace->marked, trace->waits, trace->group, wr_trace_place(trace, object));
    trace->hint = l != 0 ? l : trace->hint;
}

/** Index of the first of bytes [from, to) that is not 0; `to` if all are. pre: `to` is a multiple of 8. */
WR_INLINE size_t find_set(const uint8_t *set, size_t from, size_t to)
{
    for (size_t at = from & ~(size_t)7; at < to; at += 8) {
        uint64_t word;
        memcpy(&word, set + at, sizeof word);
        if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
            word = __builtin_bswap64(word);
        if (at < from)
            word &= ~UINT64_C(0) << (from - at) * 8;
        if (word != 0)
            return at + wr_bits_first(word) / 8;
    }
    return to;
}

/** Takes the next line that waits; false if none does. */
static bool take_line(struct wr_trace *trace, uint32_t *line)
{
    const size_t groups = wr_round_up(trace->groups, 8);
    size_t l = trace->next, g = l >> WR_TRACE_GROUP_SHIFT;
    for (;;) {
        size_t end = (g + 1) << WR_TRACE_GROUP_SHIFT;
        l = find_set(trace->waits, l, end);
        if (l < end)
            break;
        g = find_set(trace->group, g + 1, groups);
        if (g == groups && (g = find_set(trace->group, 0, groups)) == groups)
            return false;
        trace->group[g] = 0;
        l = g << WR_TRACE_GROUP_SHIFT;
    }
    trace->waits[l] = 0;
    trace->next = (uint32_t)l + 1;
    *line = (uint32_t)l;
    return true;
}

/** Objects of a line that are about to be looked into. */
struct ahead {
    char *first;      /* NULL: of a line of large objects, or its pool has gone */
    uint64_t objects; /* a bit each */
    uint32_t line, kind;
};

/** Grey objects of a line, which become black. */
WR_INLINE uint64_t blacken_grey(struct wr_trace *trace, uint32_t l)
{
    uint64_t grey = trace->marked[l] & ~trace->looked[l];
    trace->looked[l] |= grey;
    return grey;
}

/** Has grey objects of a line fetched. */
WR_INLINE void fetch(struct wr_trace *trace, struct ahead *ahead, uint32_t l, uint64_t grey)
{
    *ahead = (struct ahead){.line = l, .kind = trace->line[l].kind, .objects = grey};
    if (trace->line[l].pool == NULL)
        return;
    struct wr_blocks blocks = wr_trace_blocks(trace, l);
    ahead->first = blocks.first;
    for (uint64_t left = grey; left != 0; left &= left - 1)
        __builtin_prefetch(blocks.first + wr_bits_first(left) * blocks.size);
}

/** Takes the next line with grey objects: they become black, and are fetched. False if there is none. */
static bool take_ahead(struct wr_trace *trace, struct ahead *ahead)
{
    uint64_t grey;
    uint32_t l;
    do {
        if (!take_line(trace, &l))
            return false;
        grey = blacken_grey(trace, l);
    } while (grey == 0);
    fetch(trace, ahead, l, grey);
    return true;
}

/** The same for the line where the last reference leads. */
static bool take_hint(struct wr_trace *trace, struct ahead *ahead)
{
    uint64_t grey = blacken_grey(trace, trace->hint);
    if (grey == 0)
        return false;
    trace->waits[trace->hint] = 0;
    fetch(trace, ahead, trace->hint, grey);
    return true;
}

static unsigned look_into_bigs(struct wr_trace *trace, const struct ahead *ahead)
{
    unsigned done = 1;
    for (uint64_t left = ahead->objects; left != 0; left &= left - 1, done++) {
        const struct wr_big *big = ahead->line >= trace->big_line
                                       ? wr_trace_big(trace, (ahead->line << WR_LINE_SHIFT) + wr_bits_first(left))
                                       : NULL;
        if (big != NULL && wr_trace_count_of(trace, wr_header_of(big->object)) > 0)
            wr_object_visit(big->object, big->type, reach_visited, trace);
    }
    return done;
}

/** Looks into objects of a kind with `nrefs` fields, and returns how many, and one. What the program has released since
 *  it became grey is left alone. */
WR_INLINE unsigned look_into(struct wr_trace *trace, const struct ahead *ahead, unsigned nrefs, bool far)
{
    const struct wr_trace_map map = trace->map;
    uint64_t *marked = trace->marked;
    uint8_t *waits = trace->waits, *group = trace->group;
    const struct wr_trace_kind *kind = &trace->kind[ahead->kind];
    const uint16_t *refs = kind->refs;
    size_t size = kind->size;
    unsigned done = 1;
    uint32_t hint = trace->hint;
    for (uint64_t left = ahead->objects; left != 0; left &= left - 1, done++) {
        const char *at = ahead->first + wr_bits_first(left) * size;
        const struct wr_header *header = (const struct wr_header *)(const void *)at;
        if (wr_unlikely(wr_count(header) <= 0) && wr_trace_count_of(trace, header) == 0)
            continue;
        for (unsigned i = 0; i < nrefs; i++) {
            void *other = *(void *const *)(const void *)(at + sizeof *header + refs[i]);
            uint32_t place = wr_trace_near_place(map, other);
            if (far && wr_unlikely(place == 0))
                place = wr_trace_far_place(trace, other);
            uint32_t l = reach(marked, waits, group, place);
            hint = l != 0 ? l : hint;
        }
    }
    trace->hint = hint;
    return done;
}

/** The same for what the type's function visits. */
static void look_by_visits(struct wr_trace *trace, const struct ahead *ahead)
{
    const struct wr_trace_kind *kind = &trace->kind[ahead->kind];
    for (uint64_t left = ahead->objects; left != 0; left &= left - 1) {
        char *at = ahead->first + wr_bits_first(left) * (size_t)kind->size;
        if (wr_trace_count_of(trace, (struct wr_header *)(void *)at) > 0)
            wr_object_traverse(at + sizeof(struct wr_header), kind->traverse, reach_visited, trace);
    }
}

/** Looks into objects of a line once; returns about how many. */
static unsigned look_once(struct wr_trace *trace, const struct ahead *ahead)
{
    const struct wr_trace_kind *kind = &trace->kind[ahead->kind];
    if (wr_unlikely(ahead->first == NULL))
        return look_into_bigs(trace, ahead);
    if (kind->traverse != NULL)
        look_by_visits(trace, ahead);
    if (wr_unlikely(trace->far))
        return look_into(trace, ahead, kind->nrefs, true);
    if (kind->nrefs == 2) /* for what is frequent the compiler makes a loop of its own */
        return look_into(trace, ahead, 2, false);
    return look_into(trace, ahead, kind->nrefs, false);
}

/** Looks into objects of a line, and those that they lead to in the line itself. */
static unsigned look_ahead(struct wr_trace *trace, struct ahead *ahead)
{
    unsigned done = 0;
    do {
        done += look_once(trace, ahead);
        ahead->objects = blacken_grey(trace, ahead->line);
    } while (ahead->objects != 0);
    return done;
}

bool wr_trace_mark(struct wr_trace *trace, size_t most)
{
    struct ahead ahead[WR_TRACE_AHEAD];
    size_t done = 0;
    unsigned first = 0, last = 0; /* they only grow */
    /* Nothing is ahead in the end: what the program does before this goes on may concern those objects. */
    for (;;) {
        if (done < most && first == last && take_hint(trace, &ahead[last % WR_TRACE_AHEAD])) {
            last++; /* perhaps all is one list: then it is followed, and nothing looked for */
            done += look_ahead(trace, &ahead[first++ % WR_TRACE_AHEAD]);
        } else if (done < most && last - first < WR_TRACE_AHEAD && take_ahead(trace, &ahead[last % WR_TRACE_AHEAD])) {
            last++;
        } else if (first != last) {
            done += look_ahead(trace, &ahead[first++ % WR_TRACE_AHEAD]);
        } else {
            return done >= most;
        }
    }
}

/* ---- sweeps ------------------------------------------------------------------------------------------------------ */

/* Where many lines have grey objects nothing is to be searched for: all lines are gone through, and a reference is one
 * bit to be set, at once or, with a sorter, together with others of its region before the sweep gets there. Objects are
 * fetched one by one as others are looked into, so that about as many are under way at any time. Nothing has happened
 * to objects since they were counted, so what is grey is alive. */

enum {
    RING = 32,  /* objects that are fetched before they are looked into */
    DENSE = 8,  /* sweeps, while there are more grey objects than one in so many lines */
    FIRST = 64, /* whether they are is asked first when one object in so many lines is done, then ever less often */
};

/** A sweep over all lines. */
struct sweep {
    uint32_t kind;          /* of what is in the ring */
    unsigned turn;          /* of the ring; only grows */
    size_t done;            /* objects */
    const char *ring[RING]; /* blocks; NULL: none */
};

/** Marks the places of a region that wait. */
static WR_NOINLINE void mark_region(struct wr_trace *trace, uint32_t region)
{
    uint64_t *marked = trace->marked + (size_t)region * WR_REGION_LINES;
    struct wr_waiting waiting = wr_sorter_take(&trace->sorter, region);
    for (const uint16_t *at = waiting.from; at < waiting.to; at++)
        marked[*at >> WR_LINE_SHIFT] |= UINT64_C(1) << (*at & (WR_LINE - 1));
}

/** What is at a place becomes grey, now or, `sorted`, when its region's turn comes. */
WR_INLINE void sweep_to(struct wr_trace *trace, uint64_t *marked, uint16_t **next, uint32_t place, bool sorted)
{
    if (!sorted)
        marked[place >> WR_LINE_SHIFT] |= UINT64_C(1) << (place & (WR_LINE - 1));
    else if (wr_sorter_put(next, place))
        mark_region(trace, place >> WR_REGION_SHIFT);
}

/** Looks into an object of any kind. */
static void sweep_into(struct wr_trace *trace, const struct wr_trace_kind *kind, const char *at, bool sorted)
{
    const char *object = at + sizeof(struct wr_header);
    for (unsigned i = 0; i < kind->nrefs; i++) {
        void *other = *(void *const *)(const void *)(object + kind->refs[i]);
        sweep_to(trace, trace->marked, trace->sorter.next, wr_trace_place(trace, other), sorted);
    }
    if (kind->traverse != NULL)
        wr_object_traverse((void *)(uintptr_t)object, kind->traverse, reach_visited, trace);
}

/** Puts a block into the ring, which is fetched; returns the one that was there, or NULL. */
WR_INLINE const char *ring_turn(struct sweep *sweep, const char *at)
{
    const char **slot = &sweep->ring[sweep->turn++ % RING], *now = *slot;
    __builtin_prefetch(at);
    *slot = at;
    return now;
}

static void sweep_any(struct wr_trace *trace, struct sweep *sweep, const struct wr_trace_kind *kind,
                      struct wr_blocks blocks, uint64_t grey, bool sorted)
{
    for (; grey != 0; grey &= grey - 1) {
        const char *now = ring_turn(sweep, blocks.first + wr_bits_first(grey) * blocks.size);
        if (now != NULL)
            sweep_into(trace, kind, now, sorted);
    }
}

/** The same for near objects of a kind with two fields, and no function. */
WR_INLINE void sweep_two(struct wr_trace *trace, struct sweep *sweep, const struct wr_trace_kind *kind,
                         struct wr_blocks blocks, uint64_t grey, bool sorted)
{
    const struct wr_trace_map map = trace->map; /* the compiler keeps in registers what cannot change */
    uint64_t *marked = trace->marked;
    uint16_t **next = trace->sorter.next;
    const size_t one = kind->refs[0] + sizeof(struct wr_header), two = kind->refs[1] + sizeof(struct wr_header);
    for (; grey != 0; grey &= grey - 1) {
        const char *now = ring_turn(sweep, blocks.first + wr_bits_first(grey) * blocks.size);
        if (wr_unlikely(now == NULL))
            continue;
        void *left = *(void *const *)(const void *)(now + one), *right = *(void *const *)(const void *)(now + two);
        sweep_to(trace, marked, next, wr_trace_near_place(map, left), sorted);
        sweep_to(trace, marked, next, wr_trace_near_place(map, right), sorted);
    }
}

/** Looks into what is in the ring. */
static void drain_ring(struct wr_trace *trace, struct sweep *sweep, bool sorted)
{
    for (unsigned i = 0; i < RING; i++) {
        const char **slot = &sweep->ring[sweep->turn++ % RING];
        if (*slot != NULL)
            sweep_into(trace, &trace->kind[sweep->kind], *slot, sorted);
        *slot = NULL;
    }
}

/** Has grey objects of a line looked into. */
WR_INLINE void sweep_line(struct wr_trace *trace, struct sweep *sweep, uint32_t l, uint64_t grey, bool sorted)
{
    const struct wr_line *line = &trace->line[l];
    if (wr_unlikely(line->pool == NULL)) {
        look_into_bigs(trace, &(struct ahead){.line = l, .objects = grey});
        return;
    }
    if (wr_unlikely(line->kind != sweep->kind)) {
        drain_ring(trace, sweep, sorted);
        sweep->kind = line->kind;
    }
    const struct wr_trace_kind *kind = &trace->kind[line->kind];
    if (kind->nrefs == 2 && kind->traverse == NULL && !trace->far)
        sweep_two(trace, sweep, kind, wr_trace_blocks(trace, l), grey, sorted);
    else
        sweep_any(trace, sweep, kind, wr_trace_blocks(trace, l), grey, sorted);
}

WR_INLINE void sweep_lines(struct wr_trace *trace, struct sweep *sweep, uint32_t from, uint32_t to, bool sorted)
{
    for (uint32_t l = from; l < to; l++) {
        uint64_t grey = blacken_grey(trace, l);
        if (grey == 0)
            continue;
        sweep->done += wr_bits_count(grey);
        sweep_line(trace, sweep, l, grey, sorted);
    }
}

/** Goes through all lines once; returns how many objects were looked into. */
static size_t sweep_all(struct wr_trace *trace)
{
    struct sweep sweep = {.kind = 0};
    bool sorted = trace->sorter.next != NULL;
    if (!sorted)
        sweep_lines(trace, &sweep, 1, trace->lines, false);
    for (uint32_t region = 0; sorted && region < wr_trace_regions(trace); region++) {
        uint32_t from = region * WR_REGION_LINES;
        mark_region(trace, region);
        sweep_lines(trace, &sweep, from, (uint32_t)wr_min(from + WR_REGION_LINES, trace->lines), true);
    }
    drain_ring(trace, &sweep, sorted);
    return sweep.done;
}

/** After sweeps: lines with grey objects wait again. */
static void queue_grey(struct wr_trace *trace)
{
    if (trace->sorter.next != NULL)
        for (uint32_t region = 0; region < wr_trace_regions(trace); region++)
            mark_region(trace, region);
    for (uint32_t l = 1; l < trace->lines; l++)
        if ((trace->marked[l] & ~trace->looked[l]) != 0)
            wr_trace_queue(trace, l);
}

/** Whether one in DENSE lines waits. */
static bool is_dense(const struct wr_trace *trace)
{
    size_t count = 0, end = wr_round_up(trace->lines, 8);
    for (size_t at = 0; at < end; at += 8) {
        uint64_t word;
        memcpy(&word, trace->waits + at, sizeof word);
        count += wr_bits_count(word);
    }
    return count > trace->lines / DENSE;
}

void wr_trace_mark_all(struct wr_trace *trace)
{
    for (size_t most = trace->lines / FIRST + 1; wr_trace_mark(trace, most); most = wr_min(most * 2, trace->lines)) {
        if (!is_dense(trace))
            continue;
        while (sweep_all(trace) > trace->lines / DENSE)
            continue;
        queue_grey(trace);
    }
    wr_sorter_end(trace);
}
