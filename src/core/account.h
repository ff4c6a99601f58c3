/* SPDX-License-Identifier: MIT
 * The exact count of memory: pages used and pages free but resident (slack), and what has gone back.
 *
 * Everyone who changes a page's state says so here. Heaps gather what they do and hand it over in batches, so the
 * shared counters are touched seldom; the sum over them and the heaps is exact, and wr_account_slack() is short of it
 * by less than a batch for each heap: the more heaps, the smaller the batches, so that it is 1,024 pages at most. */
#ifndef WR_ACCOUNT_H
#define WR_ACCOUNT_H

#include <stdatomic.h>

#include "core/geometry.h"

enum { WR_ACCOUNT_BATCH = 32, WR_ACCOUNT_UNSEEN = 1024 };

/** Pages, signed: handed over in pieces, a piece may be negative. All relaxed: figures that guide, nothing follows from
 *  their order. */
extern struct wr_account {
    _Alignas(
        WR_CACHE_LINE) _Atomic int64_t used; /* pages of spans and large runs with a live block, or that may have one */
    _Atomic int64_t slack;                   /* pages free and resident, of arenas and of warm extents */
    _Atomic int64_t least;                   /* least slack since wr_account_take_least() */
    _Atomic uint64_t huge;                   /* bytes of huge blocks in use */
    _Atomic uint64_t returned, refaulted;    /* bytes given back, and taken again, since the start */
    _Atomic uint64_t unmapped;               /* of those given back by unmapping, bytes not yet mapped again: what a new
                                                mapping takes of it counts as refaulted */
    _Atomic uint64_t purges;                 /* rounds */
    _Atomic int64_t mail;                    /* bytes of medium blocks on their way home */
    _Atomic uint64_t peak, most;             /* most bytes used and slack, and most used */
    _Atomic uint32_t heaps;                  /* that gather */
} wr_account WR_HIDDEN;

/** Pages that a heap may gather. */
WR_INLINE int32_t wr_account_batch(void)
{
    uint32_t heaps = atomic_load_explicit(&wr_account.heaps, memory_order_relaxed);
    if (wr_likely(heaps <= WR_ACCOUNT_UNSEEN / WR_ACCOUNT_BATCH))
        return WR_ACCOUNT_BATCH;
    return heaps < WR_ACCOUNT_UNSEEN ? (int32_t)(WR_ACCOUNT_UNSEEN / heaps) : 1;
}

WR_INLINE void wr_account_add(_Atomic int64_t *counter, int64_t pages)
{
    int64_t now = atomic_fetch_add_explicit(counter, pages, memory_order_relaxed) + pages;
    if (counter == &wr_account.slack && pages < 0 &&
        now < atomic_load_explicit(&wr_account.least, memory_order_relaxed))
        atomic_store_explicit(&wr_account.least, now, memory_order_relaxed); /* of two at once one may be lost */
}

/** The least slack, in pages, since this was last asked: nobody has needed that much. Begins anew. */
size_t wr_account_take_least(void);

/** Pages of slack, not below 0. */
WR_INLINE size_t wr_account_slack(void)
{
    int64_t slack = atomic_load_explicit(&wr_account.slack, memory_order_relaxed);
    return slack > 0 ? (size_t)slack : 0;
}

/** Bytes used: pages with live blocks, and huge blocks. */
WR_INLINE size_t wr_account_used(void)
{
    int64_t used = atomic_load_explicit(&wr_account.used, memory_order_relaxed);
    return ((size_t)(used > 0 ? used : 0) << WR_PAGE_SHIFT) +
           atomic_load_explicit(&wr_account.huge, memory_order_relaxed);
}

/** Pages that were slack or not resident have become used: `pages` in all, `warm` of them were slack, `again` had been
 *  returned before. For those without a heap's batch. */
void wr_account_take(unsigned pages, unsigned warm, unsigned again);

/** `pages` used pages have become slack. */
void wr_account_give(unsigned pages);

/** Bytes have been given back: by page, or by unmapping. */
void wr_account_return(uint64_t bytes, bool by_unmapping);

/** `bytes` were mapped anew, to be used: a refault as far as as much was unmapped lately. */
void wr_account_map(uint64_t bytes);

/** Records the peaks; called where the counters grow. */
void wr_account_note_peak(void);

/** The most bytes used and slack so far. `now` are those of a census, which sees what heaps have not handed over. */
uint64_t wr_account_peak(uint64_t now);

#endif
