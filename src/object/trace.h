/* SPDX-License-Identifier: MIT
 * The collector's notes on the objects that a pass looks at, and the two questions it asks: which of them does nobody
 * but they themselves refer to, and what do the others reach?
 *
 * Each object has a byte in each of two dense arrays, and a bit in each of two others, and no page of objects is
 * written to. Pools get lines of 64 objects, so an object's place follows from its page's line and its number in the
 * page. `own` is its count when it was looked at, `found` the references from others of them that were found. Then it
 * is white (no bit: nobody outside refers to it, and nothing that is known to live), grey (`marked`: it lives, and what
 * it refers to has not been looked at) or black (`looked`, too: that has been, or there is nothing to look at).
 *
 * What is written down may be outdated by the time it is used, when weir_gc_poll() goes on after the program has run: a
 * pool that has gone is struck out (wr_trace_forget), an object that has gone, or come, is noticed when it is to be
 * looked into. Then the answer is a guess, and what it names dead is asked about again, at one go. */
#ifndef WR_TRACE_H
#define WR_TRACE_H

#include "object/domain.h"

enum { WR_LINE_SHIFT = 6, WR_LINE = 1 << WR_LINE_SHIFT };

/** 64 objects of a pool, or large ones. */
struct wr_line {
    struct wr_typed *pool; /* NULL: it has gone; or the line is of large objects */
    uint32_t kind;         /* index of the pool's */
    uint16_t first;        /* number of the line's first object in its pool */
    uint8_t objects;

    /* Of the objects that were counted, or counted again: */
    uint8_t counted; /* how many */
    uint16_t refs;   /* fields of the types' tables that are not NULL; REFS_MANY: as many or more */
    bool leaves;     /* one of those leads to what is not looked at */
    bool special;    /* an object's state is not 0 */
    bool more;       /* `found` does not tell all of an object: the table `more` goes on */
};

enum { WR_REFS_MANY = UINT16_MAX };

/** What is to be known of a kind to find its objects, and what they refer to. */
struct wr_trace_kind {
    uint32_t size;
    uint16_t first, nrefs;
    const uint16_t *refs;
    void (*traverse)(void *object, weir_visit_fn visit, void *arg);
    const struct weir_type *type;
};

/** For each page of an arena: the place of its pool's first object. 0: it is not looked at. An object's place follows
 *  from that and its address, by memory that is small enough to stay near the processor; descriptors of pools are
 *  not. */
struct wr_trace_page {
    uint32_t first;
    uint32_t inverse; /* offset in the page / size of a block == offset * inverse >> 32 */
};

/** Leads from an address to its page's entry, for all that is near the lowest arena. */
struct wr_trace_map {
    uintptr_t base; /* address of what page[0] is of */
    size_t pages;
    struct wr_trace_page *page; /* page[pages], which is of all other addresses, is 0 */
};

/** An arena that is not near; open addressing by its number, address >> WR_ARENA_SHIFT. */
struct wr_trace_arena {
    uintptr_t number;           /* 0: none */
    struct wr_trace_page *page; /* WR_ARENA_PAGES of them */
};

enum { WR_TRACE_NEAR = 1 << 14 }; /* most arenas, from the lowest one's address up, that are near: 64 GiB */

enum {
    WR_TRACE_AHEAD = 4, /* lines that are fetched before they are looked into */
    WR_TRACE_GROUP_SHIFT = 8,
    WR_TRACE_GROUP = 1 << WR_TRACE_GROUP_SHIFT, /* lines */
};

enum {
    WR_REGION_SHIFT = 16, /* a region is so many places */
    WR_REGION_LINES = 1 << (WR_REGION_SHIFT - WR_LINE_SHIFT),
    WR_REGION_ROOM = 1 << 12, /* places of one that can wait */
};

/** Places that wait to be counted, or marked, together with others of their region. Where notes do not fit into the
 *  processor's second cache, those of a region do, or of a few: what waits is written and read in order, and one
 *  reference is not one cache miss. */
struct wr_sorter {
    uint16_t **next; /* for each region: where its next place goes. NULL: places do not wait */
    uint16_t *room;  /* aligned to that of a region */
    size_t size;     /* of their mapping, bytes */
};

struct wr_trace {
    uint8_t *own, *found;      /* by place */
    uint64_t *marked, *looked; /* by line, a bit for each object. All of line 0, the places of nothing, are set */
    struct wr_line *line;      /* [0] is none */
    struct wr_big **big;       /* by place, less that of the first */
    struct wr_trace_kind *kind;
    struct wr_trace_map map;
    struct wr_trace_arena *arena;
    struct wr_trace_page *far_page; /* of those arenas */
    uint32_t arenas, arena_mask;
    bool far; /* there are such arenas, or large objects */
    uint32_t lines, big_line, bigs;
    size_t size;  /* of all this, in bytes */
    bool mapped;  /* it has a mapping of its own */
    size_t apart; /* bytes of map.page if that has a mapping of its own, too; else 0 */
    bool shared;  /* of shared objects, by their counts */
    bool failed;  /* memory was short */
    bool partial; /* there may be more pools than were wanted */
    uint64_t visited;

    uint8_t *waits, *group; /* for each line, and for each WR_TRACE_GROUP: 1 if it may have grey objects */
    uint32_t groups;
    uint32_t next, hint; /* lines: the one to look at next, and where the last reference that was looked at leads */
    uint64_t *white;     /* a bit for each: it has white objects, or had when nothing was grey any more */
    size_t whites;       /* objects white then */
    struct wr_more {     /* what `found` could not hold; open addressing */
        uint32_t place, count;
    } * more;
    size_t more_room, more_count;

    struct wr_sorter sorter;

    /* weir_gc_poll()'s progress */
    enum wr_search { WR_SEARCH_COUNT, WR_SEARCH_COMPARE, WR_SEARCH_MARK, WR_SEARCH_LIST, WR_SEARCH_DONE } search;
    uint32_t cursor;
};

/** Which pools. */
struct wr_trace_want {
    struct wr_domain *domain; /* NULL: all of them */
    int generation;           /* WEIR_GC_YOUNG, _FULL, _OLD */
    bool all_types;           /* acyclic ones, too */
    bool frozen;              /* frozen ones, too */
    bool shared;              /* count references to shared objects, not to the owner's own */
    size_t most;              /* pools, about; SIZE_MAX: all */
    size_t round;             /* not those current ones of which this has been noted (struct wr_kind); 0: all */
};

/** Notes for the pools that are wanted; NULL when memory is short. Nothing else may be under way in the domain, since
 *  it is told of one trace only when pools go, and large objects have one line each. pre: owner. */
struct wr_trace *wr_trace_begin(const struct wr_trace_want *want);
void wr_trace_end(struct wr_trace *trace);

/** The pool has gone. */
void wr_trace_forget(struct wr_trace *trace, const struct wr_typed *pool);

/** The large object at a place, NULL if it has gone. */
WR_INLINE struct wr_big *wr_trace_big(const struct wr_trace *trace, uint32_t place)
{
    struct wr_big *big = trace->big[place - (trace->big_line << WR_LINE_SHIFT)];
    return big->line == place && big->object != NULL ? big : NULL;
}

/** The object at a place, NULL if there is none (any more). */
WR_INLINE void *wr_trace_object(const struct wr_trace *trace, uint32_t place)
{
    const struct wr_line *line = &trace->line[place >> WR_LINE_SHIFT];
    if (wr_likely(line->pool != NULL))
        return wr_object_of(wr_typed_at(line->pool, line->first + (place & (WR_LINE - 1))));
    struct wr_big *big = place >> WR_LINE_SHIFT < trace->big_line ? NULL : wr_trace_big(trace, place);
    return big != NULL ? big->object : NULL;
}

/** The type of an object that is there. */
WR_INLINE const struct weir_type *wr_trace_type(const struct wr_trace *trace, uint32_t place)
{
    const struct wr_line *line = &trace->line[place >> WR_LINE_SHIFT];
    return wr_likely(line->pool != NULL) ? wr_kind_type(line->pool->kind) : wr_trace_big(trace, place)->type;
}

/** The place of an object that is not near, or large; 0 if it is not among them, or NULL. */
uint32_t wr_trace_far_place(const struct wr_trace *trace, const void *object);

WR_INLINE uint32_t wr_trace_page_place(struct wr_trace_page page, uintptr_t header)
{
    return page.first + (uint32_t)((header & (WR_PAGE_SIZE - 1)) * page.inverse >> 32);
}

/** The place of an object that is near; 0 of all others, and of NULL. */
WR_INLINE uint32_t wr_trace_near_place(struct wr_trace_map map, const void *object)
{
    uintptr_t offset = (uintptr_t)wr_header_of(object) - map.base;
    size_t index = offset >> WR_PAGE_SHIFT, pages = map.pages;
    return wr_trace_page_place(map.page[index < pages ? index : pages], offset);
}

/** The place of an object, 0 if it is not among them, or NULL. */
WR_INLINE uint32_t wr_trace_place(const struct wr_trace *trace, const void *object)
{
    uint32_t place = wr_trace_near_place(trace->map, object);
    return wr_likely(place != 0 || !trace->far) ? place : wr_trace_far_place(trace, object);
}

/** References that an object has, 0 if it is not to be looked at. */
WR_INLINE unsigned wr_trace_count_of(const struct wr_trace *trace, const struct wr_header *header)
{
    return trace->shared ? wr_count_shared(header) : wr_count_own(header);
}

/** Blocks of a line. */
struct wr_blocks {
    char *first;
    size_t size;
    unsigned objects;
    const uint8_t *own;
};

WR_INLINE struct wr_blocks wr_trace_blocks(const struct wr_trace *trace, uint32_t l)
{
    const struct wr_line *line = &trace->line[l];
    const struct wr_trace_kind *kind = &trace->kind[line->kind];
    return (struct wr_blocks){.first = wr_typed_start(line->pool) + kind->first + (size_t)line->first * kind->size,
                              .size = kind->size,
                              .objects = line->objects,
                              .own = &trace->own[l << WR_LINE_SHIFT]};
}

/** A line may have grey objects. */
WR_INLINE void wr_trace_queue(struct wr_trace *trace, uint32_t l)
{
    trace->waits[l] = 1;
    trace->group[l >> WR_TRACE_GROUP_SHIFT] = 1;
}

/** Lets places wait from now on, if there are enough lines, and memory. */
void wr_sorter_begin(struct wr_trace *trace);
void wr_sorter_end(struct wr_trace *trace);

WR_INLINE uint32_t wr_trace_regions(const struct wr_trace *trace)
{
    return (trace->lines >> (WR_REGION_SHIFT - WR_LINE_SHIFT)) + 1;
}

/** Has a place wait; true if there is no room for another one of its region. */
WR_INLINE bool wr_sorter_put(uint16_t **next, uint32_t place)
{
    uint16_t **slot = &next[place >> WR_REGION_SHIFT], *at = *slot;
    *at++ = (uint16_t)place;
    *slot = at;
    return wr_unlikely(((uintptr_t)at & (WR_REGION_ROOM * sizeof *at - 1)) == 0);
}

/** Places, less that of the first in their region. */
struct wr_waiting {
    const uint16_t *from, *to;
};

/** The places of a region that wait, which is over. They stay where they are until the next is put there. */
WR_INLINE struct wr_waiting wr_sorter_take(struct wr_sorter *sorter, uint32_t region)
{
    uint16_t *from = sorter->room + (size_t)region * WR_REGION_ROOM, *to = sorter->next[region];
    sorter->next[region] = from;
    return (struct wr_waiting){from, to};
}

/** References to the object at a place that have been found. */
uint64_t wr_trace_found(const struct wr_trace *trace, uint32_t place);

/** Counts what objects of lines [from, to) refer to. */
void wr_trace_count(struct wr_trace *trace, uint32_t from, uint32_t to);

/** The same for all lines, and faster where there are many. Nothing may happen to objects until wr_trace_mark_all()
 *  is done. */
void wr_trace_count_all(struct wr_trace *trace);

/** Colours objects of lines [from, to): grey what has references that were not found, white the rest; what has fewer
 *  than were found is grey, and reported. Returns the number of those. */
unsigned wr_trace_compare(struct wr_trace *trace, uint32_t from, uint32_t to);

/** The same for notes that may be outdated: where they contradict each other nothing is reported. */
void wr_trace_guess(struct wr_trace *trace, uint32_t from, uint32_t to);

/** Looks into grey objects, some `most` of them; false once there are none. */
bool wr_trace_mark(struct wr_trace *trace, size_t most);

/** Looks into all grey objects, faster where they are many. pre: wr_trace_count_all(). */
void wr_trace_mark_all(struct wr_trace *trace);

/** Notes which of lines [from, to) have white objects, and how many these are. pre: nothing is grey. All below concerns
 *  lines so noted. */
void wr_trace_list_white(struct wr_trace *trace, uint32_t from, uint32_t to);

/** Counts what white objects refer to anew; those that are gone become black, and those that are shared or immortal by
 *  now: all that they reach is so, too. */
void wr_trace_recount(struct wr_trace *trace);

/** Then, as wr_trace_compare(): `held` references to each are the pass's own. What was black stays so. */
unsigned wr_trace_compare_again(struct wr_trace *trace, unsigned held);

/** Which objects of a line are white, a bit each. */
WR_INLINE uint64_t wr_trace_white_of(const struct wr_trace *trace, uint32_t l) { return ~trace->marked[l]; }

WR_INLINE bool wr_trace_is_white(const struct wr_trace *trace, uint32_t place)
{
    return (trace->marked[place >> WR_LINE_SHIFT] >> (place & (WR_LINE - 1)) & 1) == 0;
}

/** Calls fn for each line. */
WR_INLINE void wr_trace_white_lines(struct wr_trace *trace, void (*fn)(struct wr_trace *, uint32_t l, void *arg),
                                    void *arg)
{
    for (uint32_t i = 0; i <= (trace->lines - 1) / 64; i++)
        for (uint64_t left = trace->white[i]; left != 0; left &= left - 1)
            fn(trace, i * 64 + wr_bits_first(left), arg);
}

/** Calls fn for each white object of a line. */
WR_INLINE void wr_trace_white_line(struct wr_trace *trace, uint32_t l,
                                   void (*fn)(struct wr_trace *, uint32_t place, void *object, void *arg), void *arg)
{
    for (uint64_t white = wr_trace_white_of(trace, l); white != 0; white &= white - 1) {
        uint32_t place = (l << WR_LINE_SHIFT) + wr_bits_first(white);
        void *object = wr_trace_object(trace, place);
        if (object != NULL)
            fn(trace, place, object, arg);
    }
}

/** Calls fn for each white object. It may release the object. */
WR_INLINE void wr_trace_white(struct wr_trace *trace,
                              void (*fn)(struct wr_trace *, uint32_t place, void *object, void *arg), void *arg)
{
    for (uint32_t i = 0; i <= (trace->lines - 1) / 64; i++)
        for (uint64_t left = trace->white[i]; left != 0; left &= left - 1)
            wr_trace_white_line(trace, i * 64 + wr_bits_first(left), fn, arg);
}

#endif
