/* SPDX-License-Identifier: MIT
 * Bit sets of 16 and 64 bits: the pages of a span, the spans of an arena. Pure functions. */
#ifndef WR_BITS_H
#define WR_BITS_H

#include "base/base.h"

/** The lowest set bit's index. pre: set != 0. */
WR_INLINE unsigned wr_bits_first(uint64_t set) { return (unsigned)__builtin_ctzll(set); }

/** The highest set bit's index. pre: set != 0. */
WR_INLINE unsigned wr_bits_last(uint64_t set) { return 63u - (unsigned)__builtin_clzll(set); }

/** How many bits are set. Counted in parallel, as in "Hacker's Delight" 5-1: the builtin is a call on the x86-64
 * baseline. */
WR_INLINE unsigned wr_bits_count(uint64_t set)
{
    set -= set >> 1 & UINT64_C(0x5555555555555555);
    set = (set & UINT64_C(0x3333333333333333)) + (set >> 2 & UINT64_C(0x3333333333333333));
    set = (set + (set >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return (unsigned)(set * UINT64_C(0x0101010101010101) >> 56);
}

/** `count` set bits from index `first` up. pre: first < 64, count <= 64 - first. */
WR_INLINE uint64_t wr_bits_run(unsigned first, unsigned count)
{
    return count == 0 ? 0 : (~UINT64_C(0) >> (64 - count)) << first;
}

/** Where runs of at least `count` set bits start at a multiple of `align`: a bit each.
 *  pre: 1 <= count <= 64, align is a power of two. */
WR_INLINE uint64_t wr_bits_runs(uint64_t set, unsigned count, unsigned align)
{
    /* After the loop a bit is set where a run of `count` begins: each round doubles the length that a bit vouches for.
     */
    unsigned have = 1;
    while (have < count) {
        unsigned step = (unsigned)wr_min(have, count - have);
        set &= set >> step;
        have += step;
    }
    if (align > 1)
        set &= align >= 64 ? 1 : ~UINT64_C(0) / ((UINT64_C(1) << align) - 1);
    return set;
}

/** Length of the run of set bits from index `first` up. pre: first < 64. */
WR_INLINE unsigned wr_bits_run_length(uint64_t set, unsigned first)
{
    uint64_t rest = ~(set >> first);
    return rest == 0 ? 64 : wr_bits_first(rest);
}

#endif
