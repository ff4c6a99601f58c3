/* SPDX-License-Identifier: MIT
 * What libweir-trace.so writes while a program runs and `weir trace` reads afterwards: the raw file. It is private to
 * these two and never kept, so its version is that of the build; docs/trace-format.md has the format that lasts.
 *
 * The file is chunks of WR_RAW_CHUNK bytes. The first has the header alone. Each other has a place in a stream, which
 * one thread at a time writes. The stream's last chunk is mapped by the program and written in place, so that it is in
 * the file whatever ends the process; when it is full it is copied to the file's end and begun again, under the next
 * sequence number. Where a number is there twice, a copy was under way: the one with more records counts. After a
 * chunk's head come units of 32 bits; a zero where a record would begin ends it.
 *
 * Writing out is what recording costs, so most records are one unit, with bit 0 set:
 *   malloc  bit 1 clear, bits 2-11 the size, bits 12-31 (address - the stream's last + 2^23) / 16
 *   free    bit 1 set, bits 2-31 (address - the stream's last + 2^33) / 16
 * What does not fit, or has a time, is a long record: a word of two units, the low half first, which is written last,
 * so that the record is there whole or not at all:
 *   bits 0-5    op << 1
 *   bits 6-15   time since the stream's last, in units of WR_RAW_TICK ticks; 0 also where nobody looked at the clock
 *   bits 16-33  size as asked for; for aligned ops size << 6 | log2 of the alignment
 *   bits 34-63  (address - the stream's last + 2^32) / 8
 * What does not fit there is said before it by words of their own, of which bits 6-63 are the value: WR_RAW_TIME, a
 * difference; WR_RAW_ADDRESS, the address divided by 8; WR_RAW_SIZE, in place of the record's.
 * A thread's calls are in order; the time orders those of different threads. What gives a block up has the time before
 * the call, what gets one the time after: so of two records with one address the earlier is the earlier.
 */
#ifndef WR_TRACE_RAW_H
#define WR_TRACE_RAW_H

#include <stdint.h>
#include <time.h>

#define WR_RAW_MAGIC "WEIRRAW2"

enum {
    WR_RAW_CHUNK = 1 << 17, /* bytes; a multiple of any page */
    WR_RAW_TICK = 16,       /* ticks of wr_raw_ticks() to a unit of the records' time */
    WR_RAW_PATH = 4096,     /* bytes of a path, or of the command line, in the header */
    WR_RAW_CHUNK_MAGIC = 0x4b4e4843,
};

enum wr_raw_op {
    WR_RAW_THREAD = 1, /* the size is a thread's number: the records that follow are this thread's */
    WR_RAW_FREE,
    WR_RAW_MALLOC,
    WR_RAW_CALLOC,        /* the size is the product */
    WR_RAW_REALLOC_BEGIN, /* the address is the old block; for REALLOC and REALLOCARRAY unless it is NULL */
    WR_RAW_REALLOC,       /* the address is the new block */
    WR_RAW_REALLOCARRAY,
    WR_RAW_POSIX_MEMALIGN,
    WR_RAW_ALIGNED_ALLOC,
    WR_RAW_MEMALIGN,
    WR_RAW_VALLOC,
    WR_RAW_PVALLOC,
    WR_RAW_TIME,
    WR_RAW_ADDRESS,
    WR_RAW_SIZE,
    WR_RAW_FAILED, /* added to an op that gets a block: it got none */
};

/** Whether a record of this op carries an alignment with its size. */
static inline int wr_raw_aligned(unsigned op)
{
    return op == WR_RAW_POSIX_MEMALIGN || op == WR_RAW_ALIGNED_ALLOC || op == WR_RAW_MEMALIGN;
}

/* A record of one unit, and its fields. */
enum { WR_RAW_SHORT = 1, WR_RAW_SHORT_FREE = 2, WR_RAW_SHORT_SIZE_AT = 2, WR_RAW_SHORT_ADDRESS_AT = 12 };
#define WR_RAW_SHORT_SIZE_END (UINT64_C(1) << 10)
#define WR_RAW_NEAR_MALLOC (UINT64_C(1) << 23) /* how far an address may be from the last, in bytes */
#define WR_RAW_NEAR_FREE (UINT64_C(1) << 33)

/* A long record's fields. */
enum { WR_RAW_OP_AT = 1, WR_RAW_TIME_AT = 6, WR_RAW_SIZE_AT = 16, WR_RAW_ADDRESS_AT = 34, WR_RAW_VALUE_AT = 6 };
#define WR_RAW_TIME_END (UINT64_C(1) << 10)
#define WR_RAW_SIZE_END (UINT64_C(1) << 18)
#define WR_RAW_NEAR (UINT64_C(1) << 32)
#define WR_RAW_HUGE ((UINT64_C(1) << 58) - 1) /* stands for sizes that are this large, or larger */
#define WR_RAW_HUGE_ALIGNED ((UINT64_C(1) << 52) - 1)

struct wr_raw_clock {
    uint64_t ticks; /* of wr_raw_ticks() */
    uint64_t ns;    /* of CLOCK_MONOTONIC, at the same time */
};

struct wr_raw_header {
    char magic[8];
    uint32_t chunk; /* WR_RAW_CHUNK */
    uint32_t pid;
    uint32_t parent;           /* its pid */
    uint32_t forked;           /* 1: a child of fork, so blocks of its parent's are there from the start */
    uint64_t started;          /* seconds since 1970 */
    struct wr_raw_clock clock; /* when the file was made */
    struct wr_raw_clock later; /* when a chunk was last full; zero if none was */
    uint64_t lost;             /* calls that were not recorded: made by a signal handler in the midst of another call */
    uint32_t stopped;          /* errno that ended recording early, 0 if none did */
    uint32_t threads;          /* that made a call */
    char program[WR_RAW_PATH];
    char allocator[WR_RAW_PATH]; /* the file that malloc is from */
    char command[WR_RAW_PATH];   /* as in /proc/self/cmdline; cut if longer */
    uint32_t command_size;
};

struct wr_raw_chunk {
    uint32_t magic;
    uint32_t stream;
    uint32_t sequence; /* its place in the stream, from 1 */
    uint32_t thread;   /* whose records come first */
    uint64_t time;     /* the stream's last, in units of WR_RAW_TICK ticks */
    uint64_t address;  /* the stream's last */
};

/** A clock that all processors share, read after all loads before it: what another thread did and this one saw is
 *  earlier by it. */
#if defined(__x86_64__)
static inline uint64_t wr_raw_ticks(void)
{
    unsigned processor;

    return __builtin_ia32_rdtscp(&processor);
}
#elif defined(__aarch64__)
static inline uint64_t wr_raw_ticks(void)
{
    uint64_t ticks;

    __asm__ __volatile__("isb; mrs %0, cntvct_el0" : "=r"(ticks)::"memory");
    return ticks * WR_RAW_TICK; /* it is slow already */
}
#else
static inline uint64_t wr_raw_ticks(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return ((uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec) * WR_RAW_TICK;
}
#endif

#endif
