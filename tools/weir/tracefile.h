/* SPDX-License-Identifier: MIT
 * Trace files: writing and reading. docs/trace-format.md has the format.
 *
 * A trace is the calls of one process in one order, which each thread's own order and the lives of the blocks agree
 * with. Blocks are numbered from 1 in the order in which they were made. */
#ifndef WEIR_TOOL_TRACEFILE_H
#define WEIR_TOOL_TRACEFILE_H

#include "tool.h"

#include <jansson.h>

enum trace_op {
    TRACE_END, /* the last record; carries the number of calls */
    TRACE_THREAD,
    TRACE_TIME,
    TRACE_FREE,
    TRACE_MALLOC,
    TRACE_CALLOC,
    TRACE_REALLOC,
    TRACE_REALLOCARRAY,
    TRACE_POSIX_MEMALIGN,
    TRACE_ALIGNED_ALLOC,
    TRACE_MEMALIGN,
    TRACE_VALLOC,
    TRACE_PVALLOC,
    TRACE_OPS,
};

/** What became of a call. */
enum trace_outcome {
    TRACE_DONE,
    TRACE_REFUSED,  /* it gave no block; one that it was to resize is as it was */
    TRACE_RELEASED, /* realloc of a block to nothing, which freed it */
};

/** One call. */
struct trace_call {
    enum trace_op op; /* from TRACE_FREE */
    enum trace_outcome outcome;
    uint32_t thread; /* from 0, in the order of first calls */
    uint64_t time;   /* microseconds since the start, as last noted */
    uint64_t size;   /* bytes asked for */
    unsigned log;    /* log2 of the alignment asked for; 0 without one */
    uint64_t block;  /* what it gave; 0 if none */
    uint64_t old;    /* what it freed or resized; 0 if none */
    /* Only where a call was read, of `old`: */
    uint64_t old_size, old_born; /* bytes; the call that made it, counted from 1 */
    uint32_t old_thread, old_slot;
};

/** "malloc". */
const char *trace_name(enum trace_op op);
bool trace_is_aligned(enum trace_op op);
bool trace_is_realloc(enum trace_op op);

/* ---- writing: every failure ends the tool with a message and removes the file ---------------------------------- */

struct trace_writer;

/** Makes the file; `about` is what its head tells of the program. */
struct trace_writer *trace_create(const char *path, const json_t *about);

/** Writes a call. call->block is ignored: a call that is done and no free makes the next. */
void trace_put(struct trace_writer *w, const struct trace_call *call);

/** Ends the file. @return its size in bytes. */
uint64_t trace_close(struct trace_writer *w);

/** Removes a trace that is not to be; not a device or a pipe that stands in for one. */
void trace_discard(const char *path);

/* ---- reading: whatever the file holds -------------------------------------------------------------------------- */

struct trace_reader;

/** What the calls so far come to. */
struct trace_sum {
    uint64_t calls, refused;
    uint64_t blocks;            /* made */
    uint64_t live, live_blocks; /* bytes asked for and blocks, now */
    uint64_t peak, peak_blocks; /* bytes at most, and blocks then */
    uint64_t peak_call;         /* the call that brought it, counted from 1 */
    uint64_t largest;           /* the largest block, bytes */
    uint64_t time;              /* microseconds */
    uint32_t threads;
    bool whole; /* the end is there; set by the last trace_next() */
};

enum trace_status { TRACE_ONE, TRACE_OVER, TRACE_CUT };

/** Opens a trace; ends the tool with a message if it is none, or one of a later version. */
struct trace_reader *trace_open(const char *path);

/** Reads a call. TRACE_OVER after the last; TRACE_CUT if the file ends before: all calls up to there were given. Not to
 *  be called after either. Ends the tool with a message where the file is damaged. */
enum trace_status trace_next(struct trace_reader *r, struct trace_call *call);

/** Notes a number for the block that the last call made, which calls that free it then carry as old_slot. */
void trace_set_slot(struct trace_reader *r, uint32_t slot);

const struct trace_sum *trace_sum(const struct trace_reader *r);

/** What the head tells; the reader's. */
const json_t *trace_about(const struct trace_reader *r);

void trace_free(struct trace_reader *r);

#endif
