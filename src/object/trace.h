/* SPDX-License-Identifier: MIT
 * The collector's notes on the objects that a pass looks at, and the two questions it asks: which of them does nobody
 * but they themselves refer to, and what do the others reach?
 *
 * Each object has a byte in each of two dense arrays, and no page of objects is written to. Pools get lines of 64 bytes
 * of both, so an object's place follows from its page's line and its number in the page. `own` is its count when it
 * was looked at, `found` the references from others of them that were found; then, in the same byte, its colour.
 *
 * What is written down may be outdated by the time it is used, when weir_gc_poll() goes on after the program has run: a
 * pool that has gone is struck out (wr_trace_forget), an object that has gone, or come, is noticed when it is to be
 * looked into. Then the answer is a guess, and what it names dead is asked about again, at one go. */
#ifndef WR_TRACE_H
#define WR_TRACE_H

#include "object/domain.h"

enum { WR_LINE_SHIFT = 6, WR_LINE = 1 << WR_LINE_SHIFT };

/** What `found` says of an object once all references have been found. */
enum wr_colour {
    WR_WHITE = 0,    /* nobody outside refers to it, and nothing that is known to live */
    WR_COUNTS = 254, /* below: a count (while counting). Counts that reach this go on in the table `more` */
    WR_GREY = 254,   /* lives; what it refers to has not been looked at */
    WR_BLACK = 255,  /* lives, or is nothing to look at */
};

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
 *  from that and its address, by memory that is small enough to stay near the processor; descriptors of pools are not.
 *  All pages of what is not among the arenas are page[0] to page[WR_ARENA_PAGES - 1], which are 0. */
struct wr_trace_page {
    uint32_t first;
    uint32_t inverse; /* offset in the page / size of a block == offset * inverse >> 32 */
};

/** An arena; open addressing by its number, address >> WR_ARENA_SHIFT. Those that lie side by side do not collide. */
struct wr_trace_arena {
    uintptr_t number; /* 0: none */
    uint32_t page;    /* index of its first page */
};

/** Most arenas, from the lowest one's address up, for which a row leads to their pages; others are searched for. */
enum { WR_TRACE_ROWS = 1 << 14 };

enum { WR_TRACE_AHEAD = 4 }; /* lines that are fetched before they are looked into */

struct wr_trace {
    uint8_t *own, *found; /* by place */
    struct wr_line *line; /* [0] is none */
    struct wr_big **big;  /* by place, less that of the first */
    struct wr_trace_kind *kind;
    struct wr_trace_page *page; /* of all arenas */
    struct wr_trace_arena *arena;
    uint32_t arenas, arena_mask;
    uintptr_t base; /* address of the arena of row[0] */
    uint32_t *row;  /* indices of first pages; row[rows], of what lies elsewhere, is 0 */
    uint32_t rows;
    bool far; /* there are large objects, or arenas without a row */
    uint32_t lines, big_line, bigs;
    size_t size;  /* of all this, in bytes */
    bool mapped;  /* it has a mapping of its own */
    bool shared;  /* of shared objects, by their counts */
    bool failed;  /* memory was short */
    bool partial; /* there may be more pools than were wanted */
    uint64_t visited;

    uint32_t *ring; /* lines with grey objects, each once, ring_first to ring_last; room for all, and a batch */
    uint32_t ring_first, ring_last;
    uint8_t *waits;  /* for each line: 1 if it is in the ring */
    uint64_t *white; /* a bit for each: it has white objects, or had when nothing was grey any more */
    size_t whites;   /* objects white then */
    struct wr_more { /* what `found` could not hold; open addressing */
        uint32_t place, count;
    } * more;
    size_t more_room, more_count;

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

/** As wr_trace_place_of(), of what the rows do not lead to. */
uint32_t wr_trace_far_place(const struct wr_trace *trace, const struct wr_header *header);

/** The place of a header in the page that is number `index` of all. */
WR_INLINE uint32_t wr_trace_page_place(const struct wr_trace *trace, size_t index, const struct wr_header *header)
{
    struct wr_trace_page page = trace->page[index];
    uint64_t offset = (uintptr_t)header & (WR_PAGE_SIZE - 1);
    return page.first + (uint32_t)(offset * page.inverse >> 32);
}

/** The place of an object, 0 if it is not among them. pre: it is one. */
WR_INLINE uint32_t wr_trace_place_of(const struct wr_trace *trace, const void *object)
{
    const struct wr_header *header = wr_header_of(object);
    size_t row = ((uintptr_t)header - trace->base) >> WR_ARENA_SHIFT, rows = trace->rows;
    uint32_t page = trace->row[row < rows ? row : rows];
    uint32_t place = wr_trace_page_place(trace, page + wr_arena_page(header), header);
    return wr_likely(place != 0 || !trace->far) ? place : wr_trace_far_place(trace, header);
}

/** The same; 0 of NULL. */
WR_INLINE uint32_t wr_trace_place(const struct wr_trace *trace, const void *object)
{
    return object != NULL ? wr_trace_place_of(trace, object) : 0;
}

/** References to the object at a place that have been found. pre: nothing has been coloured yet. */
uint64_t wr_trace_found(const struct wr_trace *trace, uint32_t place);

/** Counts what objects of lines [from, to) refer to. */
void wr_trace_count(struct wr_trace *trace, uint32_t from, uint32_t to);

/** Colours objects of lines [from, to): grey what has references that were not found, white the rest; what has fewer
 *  than were found is grey, and reported. Returns the number of those. */
unsigned wr_trace_compare(struct wr_trace *trace, uint32_t from, uint32_t to);

/** The same for notes that may be outdated: where they contradict each other nothing is reported. */
void wr_trace_guess(struct wr_trace *trace, uint32_t from, uint32_t to);

/** Looks into grey objects, some `most` of them; false once there are none. */
bool wr_trace_mark(struct wr_trace *trace, size_t most);

/** Notes which of lines [from, to) have white objects, and how many these are. pre: nothing is grey. All below concerns
 *  lines so noted. */
void wr_trace_list_white(struct wr_trace *trace, uint32_t from, uint32_t to);

/** Counts what white objects refer to anew; those that are gone become black. */
void wr_trace_recount(struct wr_trace *trace);

/** Then, as wr_trace_compare(): `held` references to each are the pass's own. What was black stays so. */
unsigned wr_trace_compare_again(struct wr_trace *trace, unsigned held);

/** Which of 8 colours are `colour`, a bit each. */
WR_INLINE uint64_t wr_trace_find(const uint8_t *found, enum wr_colour colour)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), low = ones * 0x7f;
    uint64_t word;
    __builtin_memcpy(&word, found, sizeof word);
    word ^= ones * colour;
    word = ~(((word & low) + low) | word | low); /* the high bit of each byte that is 0 */
    if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
        word = __builtin_bswap64(word);
    return (word >> 7) * UINT64_C(0x0102040810204080) >> 56;
}

/** Which objects of a line are white, a bit each. */
WR_INLINE uint64_t wr_trace_white_of(const struct wr_trace *trace, uint32_t l)
{
    const uint8_t *found = &trace->found[l << WR_LINE_SHIFT];
    uint64_t white = 0;
    for (unsigned i = 0; i < WR_LINE; i += 8)
        white |= wr_trace_find(found + i, WR_WHITE) << i;
    return white & wr_bits_run(0, trace->line[l].objects);
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
