/* SPDX-License-Identifier: MIT
 * The library's lock: one word, no initialiser but zero, and it knows who holds it.
 *
 * The word is 0 when free, else the holder's identity (the address of a thread-local, unique among live threads) with
 * bit 0 set once somebody may be sleeping on it. Knowing the holder lets a signal handler that interrupted a critical
 * section of its own thread find out, instead of waiting for itself for ever.
 *
 * While the process has one thread (wr_os_alone) plain stores do. That cannot change inside a critical section: none
 * calls out of the library.
 *
 * Ranks order the locks: a thread acquires only locks of a higher rank than those it holds. ARCHITECTURE.md lists them;
 * debug 1 checks them. */
#ifndef WR_LOCK_H
#define WR_LOCK_H

#include <stdatomic.h>

#include "base/assert.h"
#include "os/os.h"

enum wr_rank {
    WR_RANK_WEAK,     /* weak references */
    WR_RANK_SITE,     /* where objects were made */
    WR_RANK_DOMAIN,   /* the threads' domains of objects */
    WR_RANK_BIG,      /* large objects */
    WR_RANK_START,    /* the library starts */
    WR_RANK_ORPHAN,   /* use of the heap that serves threads without one */
    WR_RANK_REGISTRY, /* the list of heaps */
    WR_RANK_EMPTY,    /* who empties the caches of heaps */
    WR_RANK_PURGE,    /* who returns memory */
    WR_RANK_HEAP,     /* one heap's spans and lists; two are never held at once but in fork */
    WR_RANK_ARENA,    /* arenas, map, large runs, huge blocks */
    WR_RANK_META,     /* metadata memory */
    WR_RANK_COUNT
};

/* In wr_lock_ranks: a fork holds every lock, and order no longer matters. */
#define WR_RANK_FORK (1u << 31)

struct wr_lock {
    _Atomic uint64_t word;
    bool forked; /* taken for a fork by the thread that forks. guarded by: the lock */
};

/** This thread's identity as a holder; its address is what counts. In debug 1 its bits are the ranks held. */
extern WR_TLS uint32_t wr_lock_ranks WR_HIDDEN;

WR_INLINE uint64_t wr_lock_me(void) { return (uint64_t)(uintptr_t)&wr_lock_ranks; }

void wr_lock_slow(struct wr_lock *lock);
void wr_unlock_slow(struct wr_lock *lock);

/** True if the calling thread holds the lock (it is being asked from a signal handler, then). */
WR_INLINE bool wr_lock_is_mine(struct wr_lock *lock)
{
    return (atomic_load_explicit(&lock->word, memory_order_relaxed) & ~UINT64_C(1)) == wr_lock_me();
}

WR_INLINE void wr_lock_note(enum wr_rank rank, bool held)
{
    if (WR_DEBUG >= 1) {
        wr_assert(!held || (wr_lock_ranks >> rank) == 0 || rank == WR_RANK_HEAP || (wr_lock_ranks & WR_RANK_FORK) != 0);
        wr_lock_ranks = held ? wr_lock_ranks | 1u << rank : wr_lock_ranks & ~(1u << rank);
    }
}

/** Acquires. pre: !wr_lock_is_mine(lock). */
WR_INLINE void wr_lock(struct wr_lock *lock, enum wr_rank rank)
{
    uint64_t free = 0;
    if (wr_os_alone())
        atomic_store_explicit(&lock->word, wr_lock_me(), memory_order_relaxed);
    else if (wr_unlikely(!atomic_compare_exchange_strong_explicit(&lock->word, &free, wr_lock_me(),
                                                                  memory_order_acquire, memory_order_relaxed)))
        wr_lock_slow(lock);
    wr_lock_note(rank, true);
}

/** Acquires if the lock is free. */
WR_INLINE bool wr_try_lock(struct wr_lock *lock, enum wr_rank rank)
{
    uint64_t free = 0;
    if (!atomic_compare_exchange_strong_explicit(&lock->word, &free, wr_lock_me(), memory_order_acquire,
                                                 memory_order_relaxed))
        return false;
    wr_lock_note(rank, true);
    return true;
}

WR_INLINE void wr_unlock(struct wr_lock *lock, enum wr_rank rank)
{
    if (wr_unlikely(lock->forked))
        return; /* nested in a fork: see wr_lock_fork_prepare() */
    wr_lock_note(rank, false);
    if (wr_os_alone())
        atomic_store_explicit(&lock->word, 0, memory_order_relaxed);
    else if (wr_unlikely(atomic_exchange_explicit(&lock->word, 0, memory_order_seq_cst) & 1))
        wr_unlock_slow(lock);
}

/** Around fork: takes the lock, unless this thread has it (fork in a signal handler: what was interrupted goes on in
 * both processes, and unlocks); then lets go of what was so taken. In between the lock nests: fork handlers of others
 * may still run in this thread, and allocate. */
WR_INLINE void wr_lock_fork_prepare(struct wr_lock *lock, enum wr_rank rank)
{
    if (wr_lock_is_mine(lock))
        return;
    wr_lock(lock, rank);
    lock->forked = true;
}
WR_INLINE void wr_lock_fork_done(struct wr_lock *lock, enum wr_rank rank)
{
    if (!lock->forked)
        return;
    lock->forked = false;
    wr_unlock(lock, rank);
}

#endif
