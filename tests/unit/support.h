/* SPDX-License-Identifier: MIT
 * What the unit tests share: assertions that hold in any thread, loop counts, seeds, patterns, resident pages.
 * All of its own memory is the C library's. */
#ifndef UNIT_SUPPORT_H
#define UNIT_SUPPORT_H

#include "base/assert.h"
#include "base/base.h"

#include <stdio.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UNIT_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define UNIT_SANITIZED 1
#endif
#endif
#ifndef UNIT_SANITIZED
#define UNIT_SANITIZED 0
#endif

/* The sanitizers' runtimes of this age take no care of their own locks around fork: a child of a process with threads
 * may wait for one that a thread held which is not there any more. */
#define UNIT_FORKS_WITH_THREADS (!UNIT_SANITIZED)

/* ---- assertions ------------------------------------------------------------------------------------------------ */

/** Fails the test unless `cond`; the rest is a printf format that says what was seen. For any thread, and for a child
 *  that the test forked (there, and in threads other than the first, it ends the process by abort). */
#define must(cond, ...)                                                                                                \
    do {                                                                                                               \
        if (wr_unlikely(!(cond)))                                                                                      \
            unit_fail(__FILE__, __LINE__, #cond, __VA_ARGS__);                                                         \
    } while (0)

WR_NORETURN void unit_fail(const char *file, int line, const char *condition, const char *format, ...) WR_PRINTF(4, 5);

/* ---- how much, and where to begin ------------------------------------------------------------------------------ */

/** Loop count `n`, times WEIR_TEST_SCALE percent (environment); else a tenth with sanitizers, a fifth under debug 2.
 *  At least 1. */
size_t unit_scale(size_t n);

/** WEIR_TEST_SEED of the environment, else one that differs from run to run. A failing test prints it. */
uint64_t unit_seed(void);

/** Pseudo-random numbers (splitmix64). Not shared between threads. */
struct unit_rng {
    uint64_t state;
};

uint64_t unit_random(struct unit_rng *rng);

/** A number below `limit`, 0 when `limit` is 0. */
uint64_t unit_below(struct unit_rng *rng, uint64_t limit);

/** A number in low..high, each power of two as likely as the next. pre: low <= high. */
uint64_t unit_log_uniform(struct unit_rng *rng, uint64_t low, uint64_t high);

/* ---- content of blocks ----------------------------------------------------------------------------------------- */

/** Bytes of a block's pattern that differ from it, as unit_filled() finds them. */
#define UNIT_INTACT SIZE_MAX

/** Writes the pattern of `id` over bytes from..to-1 of `block`. The compiler knows nothing of the block's size here,
 *  so neither its warnings nor _FORTIFY_SOURCE object to use of the whole usable size. */
void unit_fill(void *block, size_t from, size_t to, uint64_t id);

/** Offset of the first of bytes from..to-1 that is not `id`'s pattern, or UNIT_INTACT. */
size_t unit_filled(const void *block, size_t from, size_t to, uint64_t id);

/** Offset of the first of the first `size` bytes that is not zero, or UNIT_INTACT. */
size_t unit_zeroed(const void *block, size_t size);

/** Whether `block` is a multiple of `alignment`; out of line, since the compiler believes what alloc_align says. */
bool unit_is_aligned(const void *block, size_t alignment);

/** `pointer`, about which the compiler no longer knows anything. */
void *unit_opaque(const void *pointer);

/* ---- pages ----------------------------------------------------------------------------------------------------- */

/** The system's pages: what mincore counts. Weir's own, WR_PAGE_SIZE, may be larger in a build made for that. */
size_t unit_page_size(void);

/** Skips the test where Weir's pages are not of 4 KiB, as its sizes take for granted. */
void unit_need_small_pages(void);

/** No purger from here on: what a test counts exactly, or times by its own calls, does not change behind its back. To
 *  be called before there is slack; some of Criterion's processes have threads, so a test cannot rely on being alone.
 */
void unit_no_purger(void);

/** Bytes of the process's address space, which RLIMIT_AS is about, and those resident, from /proc/self/statm. */
size_t unit_mapped(void);
size_t unit_resident(void);

/** Mappings of the process. */
size_t unit_mappings(void);

/** A set of pages, by address. Zero it to begin; add blocks; then seal it before counting. */
struct unit_pages {
    uintptr_t *pages; /* page numbers; sorted and unique once sealed */
    size_t count;
    size_t capacity;
};

/** Adds the pages that bytes 0..size-1 of `block` lie in. */
void unit_pages_add(struct unit_pages *set, const void *block, size_t size);
void unit_pages_seal(struct unit_pages *set);

/** Bytes of the set's pages that are resident (mincore); unmapped ones are not. pre: sealed. */
size_t unit_pages_resident(const struct unit_pages *set);

/** Bytes that the set's pages make up. pre: sealed. */
size_t unit_pages_bytes(const struct unit_pages *set);
void unit_pages_clear(struct unit_pages *set);

/* ---- threads --------------------------------------------------------------------------------------------------- */

/** Runs fn(arg) on a new thread and waits for its end. */
void unit_on_thread(void *(*fn)(void *), void *arg);

/** The same on a thread with so many bytes of stack. Returns what fn does. */
void *unit_on_stack(size_t size, void *(*fn)(void *), void *arg);

/* ---- what is alive --------------------------------------------------------------------------------------------- */

/** Objects that the library counts. */
uint64_t unit_alive(void);

/** Bytes of blocks that the library counts. */
uint64_t unit_live_bytes(void);

/** Collects all; `expected` objects must be found unreachable. */
void unit_must_collect(long expected);

#endif
