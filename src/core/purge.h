/* SPDX-License-Identifier: MIT
 * When memory goes back, and how much: the law of slack.
 *
 *   slack <= max(WEIR_SLACK, used / 8), less what the heads of very many arenas take (by half at most), and more while
 *   purging proves vain (see purge.c);
 *   used + slack <= the most that was ever used, and max(WEIR_SLACK, used) / 8 besides; more while that proves vain
 *
 * Whoever gives the page that breaks it gives back what huge blocks left, the longest unused first, until the bound
 * holds or none is left; then it purges to three quarters of the bound: empty arenas; then pages, in batches, sparsest
 * arenas first. */
#ifndef WR_PURGE_H
#define WR_PURGE_H

#include "core/account.h"

struct wr_heap;

/** Reads the options and probes the system. Once, at start. */
void wr_purge_init(void);

/** Pages of slack that may stay. */
size_t wr_purge_bound(void);

/** Purges if slack is over the bound, and unmaps arenas if many are empty; nothing with WEIR_PURGE=never. Call when a
 * lock has been released under which pages have changed their state. pre: no lock is held. Keeps errno. */
void wr_purge_check(void);

/** Purges until no more than `keep` pages of slack are left, or nothing more can go; returns the bytes given back. With
 * WEIR_PURGE=never that is whole mappings only, and the caller needs their address space.
 * Waits for a purge under way. pre: no lock is held. Keeps errno. */
size_t wr_purge_to(size_t keep);

/** Empties the caches of those heaps for which wanted(heap, arg) is true. `self` is the caller's own heap, or NULL.
 *  pre: no lock is held. Keeps errno. */
void wr_purge_heaps(bool (*wanted)(struct wr_heap *, void *), void *arg, struct wr_heap *self);

/** What the purger does at each look: gives back the slack that nobody has needed since the look before, and `more`
 * pages that it has just made; narrows the bound again; returns the bytes given back. pre: no lock is held; one thread
 * at a time. */
size_t wr_purge_unused(size_t more);

/** Whether that has left slack for a later look: the program seems about to take it, or has used some of it since the
 * last look. */
bool wr_purge_waits(void);

/** Whether pages marked as returned read as zero. */
bool wr_purge_zeroes(void);

/** Around fork: see wr_registry_fork_prepare(). */
void wr_purge_fork_prepare(void);
void wr_purge_fork_done(void);

#endif
