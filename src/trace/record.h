/* SPDX-License-Identifier: MIT
 * Recording one call: the hot path, which writes into a mapped piece of the raw file and calls nothing.
 *
 * A recorder is a stream's place in its chunk; a thread has one while it lives, and the next thread takes it over. All
 * recorders and what they share lie in memory that fork wipes: a child finds them zeroed and starts a file of its own,
 * whichever way it was forked. A record may begin before `limit`. While one is being written it is
 * NULL, so a signal handler's call takes the slow path, sees that, and is counted as lost. */
#ifndef WR_TRACE_RECORD_H
#define WR_TRACE_RECORD_H

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "base/base.h"
#include "os/os.h"
#include "trace/raw.h"

enum {
    WR_TRACE_LONGEST = 32, /* bytes of a record with all that may go before it */
    WR_TRACE_UNTIMED = 15, /* records after one with its time that need none while there is one thread */
};

struct wr_recorder {
    uint64_t *pos, *limit;    /* where the next record goes; see above */
    uint64_t *full;           /* what `limit` is between records; NULL without a chunk */
    uint64_t address;         /* of the last record that had one */
    uint64_t time;            /* of the last record that had one */
    uint32_t thread;          /* whose records these are; 0: nobody's */
    uint32_t untimed;         /* records still to come without a time, if the thread stays alone */
    uint32_t sequence;        /* of its chunk */
    uint8_t *chunk;           /* its mapping */
    struct wr_recorder *next; /* in the list of those without a thread */
} __attribute__((aligned(2 * WR_CACHE_LINE)));

extern WR_HIDDEN WR_TLS struct wr_recorder *wr_recorder;

/** As a constructor: notes what the environment asks for, and takes it out of there for --no-follow. */
void wr_trace_begin(void);

/** What wr_trace_record() leaves over: the thread's first record, a full chunk, a thread at its end, a signal handler,
 *  a fork, recording that has stopped. Keeps errno. */
void wr_trace_record_slow(unsigned op, uintptr_t address, uint64_t size);

/** Looks at the clock. @return the time since r last did, now the last. */
uint64_t wr_trace_look(struct wr_recorder *r, bool alone);

/** Puts down a record that does not fit a word. @return where the next goes. */
uint64_t *wr_trace_write_long(struct wr_recorder *r, unsigned op, uintptr_t address, uint64_t size, uint64_t passed);

/** Writes a record where r is. pre: r->pos < r->limit. */
WR_INLINE void wr_trace_write(struct wr_recorder *r, unsigned op, uintptr_t address, uint64_t size)
{
    uint64_t *full = r->full, *at = r->pos, passed = 0;
    bool alone = wr_os_alone();

    r->limit = NULL;
    atomic_signal_fence(memory_order_seq_cst);
    if (wr_likely(alone && r->untimed > 0))
        r->untimed--;
    else
        passed = wr_trace_look(r, alone);
    uint64_t distance = address - r->address + WR_RAW_NEAR;
    if (wr_likely(((distance & ~(2 * WR_RAW_NEAR - 8)) | size / WR_RAW_SIZE_END | passed / WR_RAW_TIME_END) == 0)) {
        *at++ = op | passed << WR_RAW_TIME_AT | size << WR_RAW_SIZE_AT | distance << (WR_RAW_ADDRESS_AT - 3);
        r->address = address;
    } else {
        at = wr_trace_write_long(r, op, address, size, passed);
    }
    atomic_signal_fence(memory_order_seq_cst);
    /* Forked by a signal handler in the midst of this, the child finds another chunk here, or none. */
    if (wr_likely(r->full == full)) {
        r->pos = at;
        atomic_signal_fence(memory_order_seq_cst);
        r->limit = full;
    }
}

/** Records a call; before it where the call gives a block up, after it where it gets one. `address` 0: it got none. */
WR_INLINE void wr_trace_record(unsigned op, uintptr_t address, uint64_t size)
{
    struct wr_recorder *r = wr_recorder;

    if (wr_likely(r->pos < r->limit))
        wr_trace_write(r, op, address, size);
    else
        wr_trace_record_slow(op, address, size);
}

#endif
