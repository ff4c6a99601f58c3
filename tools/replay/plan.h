/* SPDX-License-Identifier: MIT
 * What `weir replay` hands to weir-replay: a file with one list of operations for each thread, made of a trace. It
 * lives as long as one replay, and both programs are of one build.
 *
 * Blocks are not numbered but have places. One that is freed by the thread that made it has a slot, which only this
 * thread uses. One that another thread frees has a cell: a slot with a turn, which counts how often the cell was filled
 * and emptied. Who fills or empties it waits for its turn, so the calls on a block keep the order of the trace.
 *
 * The order of the trace is cut into windows of calls. A thread begins a window when all threads are done with the
 * last but one before it, so that none runs far ahead of the others and the blocks that live at once are much those
 * that lived when the program ran. A thread is started by the one that made the call before its first. */
#ifndef WEIR_REPLAY_PLAN_H
#define WEIR_REPLAY_PLAN_H

#include <stdint.h>

enum {
    PLAN_WINDOW = 1 << 15, /* calls of all threads in a window */
    PLAN_SAMPLES = 512,    /* looks at the resident size, about as many */
    PLAN_LONGEST = 16,     /* words of the longest operation */
    PLAN_TEXT = 8192,      /* bytes */
    PLAN_REPEAT_MOST = 1000,
};

/** An operation is a first word and others: of the block that it gives up place and, for a cell, turn; the same of the
 *  block that it gets; the size; for PLAN_REALLOC what is kept of the old block. Sizes are two words, low first, with
 *  PLAN_WIDE. */
enum plan_op {
    PLAN_END,
    PLAN_FREE,
    PLAN_MALLOC,
    PLAN_CALLOC,
    PLAN_REALLOC,
    PLAN_POSIX_MEMALIGN,
    PLAN_ALIGNED_ALLOC,
    PLAN_MEMALIGN,
    PLAN_VALLOC,
    PLAN_PVALLOC,
    PLAN_RELEASE, /* realloc to nothing */
    PLAN_SAMPLE,  /* look at the resident size; words: its number */
    PLAN_START,   /* a thread; words: its number */
    PLAN_BEGIN,   /* a window; words: the one that the thread is done with, the one that it begins */
    PLAN_WAIT,    /* words: microseconds from the start until the next call, low first */
};

/* A first word: op, flags, log2 of the alignment. */
enum { PLAN_OP = 15, PLAN_FROM_CELL = 1 << 4, PLAN_TO_CELL = 1 << 5, PLAN_WIDE = 1 << 6, PLAN_LOG_AT = 8 };

enum plan_touch { PLAN_TOUCH_NONE, PLAN_TOUCH_FIRST, PLAN_TOUCH_ALL };
enum plan_form { PLAN_FORM_TEXT, PLAN_FORM_JSON, PLAN_FORM_CSV };

struct plan_thread {
    uint64_t start, words; /* its list: bytes from the file's start, words of 32 bits */
    uint64_t first_slot;   /* its slots among all */
    uint32_t slots, first_window;
};

struct plan_sample {
    uint64_t call, live; /* how many calls were before it, bytes that lived then, by the trace */
};

struct plan_header {
    uint64_t size; /* of this structure */
    uint32_t threads, windows, cells, samples;
    uint64_t slots;
    uint64_t threads_at, windows_at, samples_at; /* places in the file: struct plan_thread, uint32_t: threads that take
                                                    part in the window, struct plan_sample */
    uint64_t calls, blocks;                      /* that are made; of the trace */
    uint64_t peak, live_at_end;                  /* bytes live, by the trace */
    uint32_t repeat;
    uint32_t touch, form; /* enum plan_touch, enum plan_form */
    uint32_t text_size;
    char text[PLAN_TEXT]; /* what begins the output: JSON up to its last comma, the first fields of CSV's row */
};

#endif
