/* SPDX-License-Identifier: MIT
 * The slow half of the lock: spin briefly, then sleep on the word; see lock.h. */
#include "os/lock.h"

WR_TLS uint32_t wr_lock_ranks;

enum { SPINS = 64 }; /* about a microsecond: longer than any critical section that is not interrupted */

WR_NOINLINE void wr_lock_slow(struct wr_lock *lock)
{
    uint64_t me = wr_lock_me();
    for (unsigned i = 0;; i++) {
        uint64_t seen = atomic_load_explicit(&lock->word, memory_order_relaxed);
        /* One that has slept takes the lock with bit 0 set: others may still be asleep, and only a holder's unlock
         * wakes them. */
        uint64_t mine = i > SPINS ? me | 1 : me;
        if (seen == 0) {
            if (atomic_compare_exchange_weak_explicit(&lock->word, &seen, mine, memory_order_acquire,
                                                      memory_order_relaxed))
                return;
            continue;
        }
        if ((seen & ~UINT64_C(1)) == me) {
            wr_assert(lock->forked);
            return; /* taken for a fork by this thread: it nests */
        }
        if (i <= SPINS) {
            wr_pause();
            continue;
        }
        if ((seen & 1) != 0 || atomic_compare_exchange_weak_explicit(&lock->word, &seen, seen | 1, memory_order_relaxed,
                                                                     memory_order_relaxed))
            wr_os_wait(&lock->word, seen | 1);
    }
}

WR_NOINLINE void wr_unlock_slow(struct wr_lock *lock) { wr_os_wake_all(&lock->word); }
