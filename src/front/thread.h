/* SPDX-License-Identifier: MIT
 * Threads and the process: which heap serves the caller, from before the first constructor until after the last
 * destructor, across fork, and in signal handlers. */
#ifndef WR_THREAD_H
#define WR_THREAD_H

#include "core/registry.h"

/** The heap to work with, entered: no signal handler of this thread will enter it until wr_leave(). NULL if there is
 * none to be had: the caller is a signal handler that interrupted Weir in this very thread, or memory is short. Starts
 * the library and the thread as needed. */
struct wr_heap *wr_enter(void);
void wr_leave(struct wr_heap *heap);

/** Memory for those who could not enter: from a small fixed area, which starts anew when all of it is free. NULL when
 * it is used up. */
void *wr_emergency_alloc(size_t size, size_t align);
/** Usable bytes of such a block; 0 if the address is none. */
size_t wr_emergency_size(const void *block);
/** Frees such a block; false if the address is none. */
bool wr_emergency_free(const void *block);

/** Keeps a block to be freed by whoever enters next. */
void wr_defer_free(void *block);
/** Takes all of them, linked through their first words; NULL if there are none. */
void *wr_deferred_frees(void);

/** Warns, once, of what the environment asks for and Weir does not understand. */
void wr_warn_of_options(void);

/** Runs every validator (core/check.h) with the calling thread's heap. */
bool wr_check_all(void);

/** What the layer of objects has to do when a thread exits (its heap is still its own), and around fork. */
struct wr_thread_hooks {
    void (*exit)(void);
    void (*fork_prepare)(void);
    void (*fork_done)(void);
    void (*fork_child)(void); /* before fork_done */
};

/** From now on they are called. Once. */
void wr_thread_hook(const struct wr_thread_hooks *hooks);

/** Starts the library, once: options, geometry, fork handlers. Any thread, any time. */
void wr_start(void);

#endif
