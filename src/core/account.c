/* SPDX-License-Identifier: MIT
 * The shared counters; see account.h. */
#include "core/account.h"

struct wr_account wr_account;

size_t wr_account_take_least(void)
{
    int64_t now = (int64_t)wr_account_slack();
    int64_t least = atomic_exchange_explicit(&wr_account.least, now, memory_order_relaxed);
    return least > 0 ? (size_t)wr_min((size_t)least, (size_t)now) : 0;
}

static void raise(_Atomic uint64_t *most, uint64_t now)
{
    uint64_t seen = atomic_load_explicit(most, memory_order_relaxed);
    while (now > seen &&
           !atomic_compare_exchange_weak_explicit(most, &seen, now, memory_order_relaxed, memory_order_relaxed))
        continue;
}

void wr_account_note_peak(void)
{
    uint64_t used = wr_account_used();
    raise(&wr_account.most, used);
    raise(&wr_account.peak, used + (wr_account_slack() << WR_PAGE_SHIFT));
}

uint64_t wr_account_peak(uint64_t now)
{
    raise(&wr_account.peak, now);
    return atomic_load_explicit(&wr_account.peak, memory_order_relaxed);
}

void wr_account_take(unsigned pages, unsigned warm, unsigned again)
{
    wr_account_add(&wr_account.used, pages);
    if (warm > 0)
        wr_account_add(&wr_account.slack, -(int64_t)warm);
    if (again > 0)
        atomic_fetch_add_explicit(&wr_account.refaulted, (uint64_t)again << WR_PAGE_SHIFT, memory_order_relaxed);
    wr_account_note_peak();
}

void wr_account_return(uint64_t bytes, bool by_unmapping)
{
    atomic_fetch_add_explicit(&wr_account.returned, bytes, memory_order_relaxed);
    if (by_unmapping)
        atomic_fetch_add_explicit(&wr_account.unmapped, bytes, memory_order_relaxed);
}

void wr_account_map(uint64_t bytes)
{
    uint64_t open = atomic_load_explicit(&wr_account.unmapped, memory_order_relaxed);
    uint64_t again = open < bytes ? open : bytes;
    if (again == 0)
        return;
    atomic_fetch_add_explicit(&wr_account.refaulted, again, memory_order_relaxed);
    /* Two that map at once may count the same bytes twice; purge.c resets the figure every second. */
    atomic_store_explicit(&wr_account.unmapped, open - again, memory_order_relaxed);
}

void wr_account_give(unsigned pages)
{
    wr_account_add(&wr_account.used, -(int64_t)pages);
    wr_account_add(&wr_account.slack, pages);
}
