/* SPDX-License-Identifier: MIT
 * The collector's notes on the objects that a pass looks at, and the two questions it asks: which of them does nobody
 * but they themselves refer to, and what do the others reach?
 *
 * Each object has a byte in each of two dense arrays, and no page of objects is written to. Pools get lines of 64 bytes
 * of both, so an object's place follows from its pool's `line` and its number in the pool. `own` is its count when it
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
    WR_WHITE = 0,   /* nobody outside refers to it, and nothing that is known to live */
    WR_COUNTS = 254, /* below: a count (while counting). Counts that reach this go on in the table `more` */
    WR_GREY = 254,  /* lives; what it refers to has not been looked at */
    WR_BLACK = 255, /* lives, or is nothing to look at */
};

/** 64 objects of a pool, or large ones. */
struct wr_line {
    struct wr_typed *pool; /* NULL: it has gone; or the line is of large objects */
    uint32_t next;         /* the next grey line */
    uint16_t first;        /* number of the line's first object in its pool */
    uint8_t objects;
    uint8_t is_grey; /* in the queue of grey lines */
};

enum { WR_TRACE_STACK = 64, WR_TRACE_AHEAD = 8 };

struct wr_trace {
    uint8_t *own, *found; /* by place */
    struct wr_line *line; /* [0] is none */
    struct wr_big **big;  /* by place, less that of the first */
    uint32_t lines, big_line, bigs;
    bool shared; /* of shared objects, by their counts */
    bool failed; /* memory was short */
    bool partial; /* there may be more pools than were wanted */
    uint64_t visited;

    uint32_t grey_first, grey_last; /* queue of grey lines */
    struct wr_more {                /* what `found` could not hold; open addressing */
        uint32_t place, count;
    } *more;
    size_t more_room, more_count;

    unsigned depth, ahead, ahead_first;
    struct wr_spot { /* grey objects */
        void *object;
        uint32_t place;
    } stack[WR_TRACE_STACK], queue[WR_TRACE_AHEAD];
    const void *noted[WR_TRACE_AHEAD];    /* references found, not yet looked up */
    uint32_t noted_place[WR_TRACE_AHEAD]; /* and not yet counted */
    unsigned notes;

    size_t size; /* of all of this, one mapping */
    /* weir_gc_poll()'s progress */
    enum wr_search { WR_SEARCH_COUNT, WR_SEARCH_COMPARE, WR_SEARCH_MARK, WR_SEARCH_DONE } search;
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

/** Notes for the pools that are wanted; NULL when memory is short. Pools have at most one line each at a time: nothing
 *  else may be under way in the domain. pre: owner. */
struct wr_trace *wr_trace_begin(const struct wr_trace_want *want);
void wr_trace_end(struct wr_trace *trace);

/** The pool at `line` has gone. */
void wr_trace_forget(struct wr_trace *trace, uint32_t line);

/** The object at a place, NULL if there is none (any more). */
void *wr_trace_object(const struct wr_trace *trace, uint32_t place);
const struct weir_type *wr_trace_type(const struct wr_trace *trace, uint32_t place);

uint32_t wr_trace_big_place(const struct wr_trace *trace, const struct wr_header *header);

/** The place of an object, 0 if it is not among them. */
WR_INLINE uint32_t wr_trace_place(const struct wr_trace *trace, const void *object)
{
    const struct wr_header *header = wr_header_of(object);
    if (object == NULL)
        return 0;
    const struct wr_typed *pool = wr_pool_of(header);
    if (wr_unlikely(pool == NULL))
        return trace->bigs > 0 ? wr_trace_big_place(trace, header) : 0;
    return pool->line == 0 ? 0 : (pool->line << WR_LINE_SHIFT) + wr_typed_index(pool->kind, header);
}

/** References to the object at a place that have been found. pre: nothing has been coloured yet. */
uint64_t wr_trace_found(const struct wr_trace *trace, uint32_t place);

/** Counts what objects of lines [from, to) refer to. */
void wr_trace_count(struct wr_trace *trace, uint32_t from, uint32_t to);

/** The same from white objects to white objects only, anew; those that are gone become black. */
void wr_trace_recount(struct wr_trace *trace);

/** Colours objects of lines [from, to): grey what has more than `held` references that were not found, white the rest.
 *  What has fewer is grey, and reported. Returns the number of those. */
unsigned wr_trace_compare(struct wr_trace *trace, uint32_t from, uint32_t to, unsigned held);

/** The same for notes that may be outdated: where they contradict each other nothing is reported. */
void wr_trace_guess(struct wr_trace *trace, uint32_t from, uint32_t to);

/** Looks into grey objects, some `most` of them; false once there are none. */
bool wr_trace_mark(struct wr_trace *trace, size_t most);

/** Calls fn for each white object. It may release the object. */
void wr_trace_white(struct wr_trace *trace, void (*fn)(struct wr_trace *, uint32_t place, void *object, void *arg),
                    void *arg);

#endif
