/* SPDX-License-Identifier: MIT
 * All heaps of the process: who has which, and which nobody has. Heaps are made, adopted and abandoned, never freed. */
#ifndef WR_REGISTRY_H
#define WR_REGISTRY_H

#include "core/heap.h"

/** A heap for the calling thread: the one abandoned last, else a new one. NULL when memory is short. */
struct wr_heap *wr_registry_acquire(bool special);

/** The thread gives its heap up. pre: the caller owns it; no lock is held. */
void wr_registry_abandon(struct wr_heap *heap);

/** Puts a heap on the list of all that belongs to no thread, and never will. Once for each. */
void wr_registry_list(struct wr_heap *heap);

/** Calls fn for each heap that there is; heaps made meanwhile may be missed. Takes no lock. */
void wr_registry_each(void (*fn)(struct wr_heap *, void *), void *arg);

/** Heaps ever made, and of them those without a thread. */
void wr_registry_count(uint64_t *heaps, uint64_t *abandoned);

/** Around fork: prepare takes every lock of the core in the order of ranks, so that the child finds all of it at rest;
 *  done lets go of them, in the parent and in the child. */
void wr_registry_fork_prepare(void);
void wr_registry_fork_done(void);

/** In the child, before wr_registry_fork_done(): the heaps of the threads that are gone are abandoned. `self` is the
 *  forking thread's heap, or NULL. */
void wr_registry_fork_child(struct wr_heap *self);

#endif
