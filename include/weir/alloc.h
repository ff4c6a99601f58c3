/* SPDX-License-Identifier: MIT */
/**
 * @file alloc.h
 * The malloc family of Weir, return of memory, and statistics.
 *
 * Every function here may be called by any thread at any time, before main() and in destructors too, unless its
 * comment says otherwise. Sizes are bytes. A block belongs to the caller until it is passed to weir_free() or
 * weir_realloc(), in whichever thread. Blocks of libweir and of libweir-preload are interchangeable: where both are
 * loaded there is one heap.
 */
#ifndef WEIR_ALLOC_H
#define WEIR_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define WEIR_API __attribute__((visibility("default")))
#define WEIR_ATTR_MALLOC __attribute__((malloc))
#define WEIR_ATTR_SIZE(...) __attribute__((alloc_size(__VA_ARGS__)))
#define WEIR_ATTR_ALIGN(n) __attribute__((alloc_align(n)))
#define WEIR_ATTR_USE_RESULT __attribute__((warn_unused_result))
#else
#define WEIR_API
#define WEIR_ATTR_MALLOC
#define WEIR_ATTR_SIZE(...)
#define WEIR_ATTR_ALIGN(n)
#define WEIR_ATTR_USE_RESULT
#endif

/* ---- blocks ---------------------------------------------------------------------------------------------------- */

/** A block of at least `size` bytes, aligned to 16; its content is undefined. `size` 0 gives a unique block.
 *  NULL and ENOMEM when memory is short or `size` exceeds PTRDIFF_MAX. */
WEIR_API void *weir_malloc(size_t size) WEIR_ATTR_MALLOC WEIR_ATTR_SIZE(1) WEIR_ATTR_USE_RESULT;

/** As weir_malloc(count * size), zeroed. NULL and ENOMEM when the product overflows. */
WEIR_API void *weir_calloc(size_t count, size_t size) WEIR_ATTR_MALLOC WEIR_ATTR_SIZE(1, 2) WEIR_ATTR_USE_RESULT;

/** Changes the size of `block`, in place where it fits, and returns it or its successor. NULL acts as weir_malloc().
 *  `size` 0 gives a unique block of the smallest size (the C library's own realloc frees instead).
 *  On failure NULL and ENOMEM, and `block` is as it was. */
WEIR_API void *weir_realloc(void *block, size_t size) WEIR_ATTR_SIZE(2) WEIR_ATTR_USE_RESULT;

/** As weir_realloc(block, count * size). NULL and ENOMEM when the product overflows. */
WEIR_API void *weir_reallocarray(void *block, size_t count, size_t size) WEIR_ATTR_SIZE(2, 3) WEIR_ATTR_USE_RESULT;

/** A block aligned to `alignment`, a power of two. NULL and EINVAL if it is not one, ENOMEM when memory is short.
 *  `size` need not be a multiple of `alignment` (C23). */
WEIR_API void *weir_aligned_alloc(size_t alignment, size_t size) WEIR_ATTR_MALLOC WEIR_ATTR_ALIGN(1)
    WEIR_ATTR_SIZE(2) WEIR_ATTR_USE_RESULT;

/** POSIX posix_memalign: 0 and a block in *out; else EINVAL (alignment not a power of two multiple of sizeof(void *))
 * or ENOMEM, with *out and errno as they were. */
WEIR_API int weir_posix_memalign(void **out, size_t alignment, size_t size) WEIR_ATTR_USE_RESULT;

/** Gives a block back. NULL is ignored; errno is kept. A double free, an interior pointer or a corrupted pool ends the
 *  program with a message; a pointer that Weir never gave is ignored with one warning (WEIR_STRICT=1: fatal). */
WEIR_API void weir_free(void *block);

/** C23 free_sized and free_aligned_sized: weir_free() for callers that know the size and alignment they asked for.
 *  A size that the block cannot have had is fatal where it is noticed. */
WEIR_API void weir_free_sized(void *block, size_t size);
WEIR_API void weir_free_aligned_sized(void *block, size_t alignment, size_t size);

/** Bytes of `block` that may be used: at least what was asked for, constant for the block's life, all of it writable.
 *  0 for NULL and for a pointer that Weir never gave. */
WEIR_API size_t weir_usable_size(const void *block);

/* ---- memory goes back ------------------------------------------------------------------------------------------ */

/** Returns free memory of every heap in the process to the system, down to `keep` bytes of slack. With
 *  WEIR_PURGE=never it gives back nothing.
 *  @return bytes given back. Locks are held briefly; other threads go on. */
WEIR_API size_t weir_trim(size_t keep);

/* ---- figures --------------------------------------------------------------------------------------------------- */

/** What Weir holds and has done. Bytes unless the name says otherwise. Cumulative figures count from the start of the
 *  process (of the child, after a fork, for what comes later: the child inherits its parent's sums). */
struct weir_stats {
    /* now */
    uint64_t live;            /**< usable bytes of blocks that are allocated */
    uint64_t live_blocks;     /**< their number */
    uint64_t used;            /**< pages that hold a live block, or may: the floor that cannot go back */
    uint64_t slack;           /**< free memory that is still resident */
    uint64_t slack_bound;     /**< what slack may grow to before pages go back by themselves */
    uint64_t metadata;        /**< resident bookkeeping: arena heads, heaps, address map (estimate by pages touched) */
    uint64_t mapped;          /**< address space mapped, resident or not */
    uint64_t arenas;          /**< arenas mapped, number */
    uint64_t huge_blocks;     /**< blocks with a mapping of their own, number */
    uint64_t huge;            /**< their bytes */
    uint64_t cached;          /**< what huge blocks left that is resident; part of slack */
    uint64_t heaps;           /**< heaps ever made, number; a heap serves one thread at a time */
    uint64_t heaps_abandoned; /**< of them, heaps whose thread has exited, number */
    uint64_t pools;           /**< pools in use, number */
    /* since the start */
    uint64_t peak;            /**< highest used + slack seen (sampled on slow paths, and here) */
    uint64_t arenas_mapped;   /**< number */
    uint64_t arenas_unmapped; /**< number */
    uint64_t returned;        /**< bytes given back to the system, by page and by mapping */
    uint64_t refaulted;       /**< bytes of returned pages that were taken again */
    uint64_t purges;          /**< rounds in which pages went back, number */
    uint64_t remote_frees;    /**< blocks freed by a thread other than their heap's, number */
    uint64_t foreign_frees;   /**< pointers passed to free that Weir never gave, number */
};

/** Fills *out. Other threads go on meanwhile, so figures of one call may be apart by what they did. */
WEIR_API void weir_stats_get(struct weir_stats *out);

/** Writes a report of weir_stats_get() and, with WEIR_STATS set, of sizes and threads, to file descriptor `fd`.
 *  Allocates nothing. @param json true for one JSON object. */
WEIR_API void weir_stats_print(int fd, bool json);

/** One WEIR_* environment option. */
struct weir_option {
    const char *name;    /**< "WEIR_VERBOSE" */
    const char *values;  /**< what it accepts, for people: "0|1" */
    const char *initial; /**< the default, as it would be written */
    const char *current; /**< the value in force, as it would be written; valid until the next call in this thread */
    const char *help;    /**< one sentence */
};

/** Calls fn for each option in alphabetical order. */
WEIR_API void weir_option_each(void (*fn)(const struct weir_option *, void *arg), void *arg);

/** The library's version, "MAJOR.MINOR.PATCH". */
WEIR_API const char *weir_version(void);

#ifdef __cplusplus
}
#endif
#endif
