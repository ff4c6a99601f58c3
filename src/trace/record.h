/* SPDX-License-Identifier: MIT
 * Recording one call: the hot path, which writes into a mapped piece of the raw file and calls nothing.
 *
 * A recorder is a stream's place in its chunk; a thread has one while it lives, and the next thread takes it over. All
 * recorders and what they share lie in memory that fork wipes: a child finds them zeroed and starts a file of its own,
 * whichever way it was forked. A record may begin before `full`, one that needs no time before `limit`. While one is
 * being written `limit` is NULL, so a signal handler's call takes the slow path, sees that, and is counted as lost. */
#ifndef WR_TRACE_RECORD_H
#define WR_TRACE_RECORD_H

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "base/base.h"
#include "os/os.h"
#include "trace/raw.h"

enum {
    WR_TRACE_LONGEST = 8,  /* units of a record with all that may go before it */
    WR_TRACE_UNTIMED = 64, /* units after a record with its time that need none while there is one thread */
};

struct wr_recorder {
    uint32_t *pos, *limit;    /* where the next record goes; see above */
    uint32_t *full;           /* NULL without a chunk */
    uint64_t address;         /* of the last record that had one */
    uint64_t time;            /* of the last record that had one */
    uint32_t thread;          /* whose records these are; 0: nobody's */
    uint32_t sequence;        /* of its chunk */
    uint8_t *chunk;           /* its mapping */
    struct wr_recorder *next; /* in the list of those without a thread */
} __attribute__((aligned(2 * WR_CACHE_LINE)));

extern WR_HIDDEN WR_TLS struct wr_recorder *wr_recorder;

/** As a constructor: notes what the environment asks for, and takes it out of there for --no-follow. */
void wr_trace_begin(void);

/** Writes a record where r is, with a time if it needs one. pre: r->limit is not NULL, r->pos < r->full. */
void wr_trace_write(struct wr_recorder *r, unsigned op, uintptr_t address, uint64_t size);

/** What wr_trace_malloc() and wr_trace_free() leave over, and all other calls: every call of a thread that has company,
 *  and else one in 64; what does not fit a unit; a thread's first record, a full chunk, a thread at its end, a signal
 *  handler, a fork, recording that has stopped. Keeps errno.
 *  @return the address, so that a caller who returns it has nothing left to do. */
void *wr_trace_record(unsigned op, uintptr_t address, uint64_t size);

/** Puts down one unit where r is. @return false where a time is needed, or there is no room. */
WR_INLINE bool wr_trace_put(struct wr_recorder *r, uint32_t unit, uintptr_t address)
{
    uint32_t *at = r->pos, *limit = r->limit, *full = r->full;

    if (wr_unlikely(at >= limit) || wr_unlikely(!wr_os_single_threaded()))
        return false;
    r->limit = NULL;
    atomic_signal_fence(memory_order_seq_cst);
    *at = unit;
    r->address = address;
    atomic_signal_fence(memory_order_seq_cst);
    /* Forked by a signal handler in the midst of this, the child finds another chunk here, or none. */
    if (wr_likely(r->full == full)) {
        r->pos = at + 1;
        atomic_signal_fence(memory_order_seq_cst);
        r->limit = limit;
    }
    return true;
}

/** Records a malloc, after it, where that takes one unit. @return false where wr_trace_record() is to be called. */
WR_INLINE bool wr_trace_malloc(uintptr_t address, uint64_t size)
{
    struct wr_recorder *r = wr_recorder;
    uint64_t distance = address - r->address + WR_RAW_NEAR_MALLOC;

    if (wr_unlikely(((distance & ~(2 * WR_RAW_NEAR_MALLOC - 16)) | size / WR_RAW_SHORT_SIZE_END) != 0))
        return false;
    return wr_trace_put(r,
                        (uint32_t)(WR_RAW_SHORT | size << WR_RAW_SHORT_SIZE_AT |
                                   distance << (WR_RAW_SHORT_ADDRESS_AT - 4)),
                        address);
}

/** The same for a free, before it. */
WR_INLINE bool wr_trace_free(uintptr_t address)
{
    struct wr_recorder *r = wr_recorder;
    uint64_t distance = address - r->address + WR_RAW_NEAR_FREE;

    if (wr_unlikely((distance & ~(2 * WR_RAW_NEAR_FREE - 16)) != 0))
        return false;
    return wr_trace_put(r, (uint32_t)(WR_RAW_SHORT | WR_RAW_SHORT_FREE | distance >> (4 - WR_RAW_SHORT_SIZE_AT)),
                        address);
}

#endif
