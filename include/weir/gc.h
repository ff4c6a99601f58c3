/* SPDX-License-Identifier: MIT */
/**
 * @file gc.h
 * The collector: finds objects that only cycles keep, and releases them.
 *
 * Counts free what is not in a cycle at once (weir/object.h); the collector is for the rest. It starts by itself inside
 * weir_new(), before the new object exists, and never anywhere else: not in weir_ref(), weir_unref() or malloc. It
 * needs no roots from the program: an object whose count is larger than the number of references to it from other
 * objects is held by somebody, and lives with all that it reaches.
 *
 * A pass goes in these steps: references among the objects are subtracted from their counts; what keeps one lives, with
 * all it reaches; weak references to the rest are cleared, and their callbacks called; the rest is finalized while all
 * of it is intact; it is looked at again, and what was revived lives; what is left is cleared and released.
 *
 * Each thread has a collector of its own for the objects that belong to it, and passes of threads do not wait for each
 * other. Functions here concern the calling thread's objects, but for settings, which hold for the process. They may be
 * called at any time but in signal handlers and in functions of a type that are to be pure (traverse, hash, equal).
 * Times are nanoseconds, sizes bytes. Functions that return int or long give -errno when they fail.
 */
#ifndef WEIR_GC_H
#define WEIR_GC_H

#include <weir/object.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Which objects. Objects are young until a pass has looked at the page that they lie in. */
enum {
    WEIR_GC_YOUNG = 0, /**< those in pages that have received objects since the last pass */
    WEIR_GC_FULL = 1,  /**< all of the thread's */
    WEIR_GC_OLD = 2,   /**< weir_gc_each() only: all but the young */
};

/* ---- collecting -------------------------------------------------------------------------------------------------- */

/** Runs a pass now, enabled or not: WEIR_GC_YOUNG or WEIR_GC_FULL. A full one also takes over what exited threads have
 *  left, whichever, and ends with weir_trim(0). What a thread that has exited left to another one must have been taken
 *  over by that, or shared, by then (weir/object.h). Full passes that weir_new() starts take over only what is shared,
 *  unless the process has no other thread.
 *  @return objects found unreachable, those that had to be kept included; -EINVAL for another generation; -EBUSY when a
 *  pass of this thread is under way (from a finalizer, say); -ENOMEM when there is no memory to work with, or the
 *  thread never made an object and cannot: then nothing has changed. */
WEIR_API long weir_gc_collect(int generation);

/** Does what is due, for about `budget_ns`: for the idle hook of an event loop, which then keeps weir_new() from
 *  stopping for passes. It collects young pages; then, over as many calls as it takes, it looks through all pages for
 *  candidates, and collects those. Each call does a piece of that, however small the budget, so while the program makes
 *  no objects calls come to an end with 0. One call exceeds its budget by at most what one piece of work takes, some
 *  tenths of a millisecond, and where a search begins by what it takes to list the pages, a millisecond for some three
 *  million objects; except to prove and release a single dead structure: that is done in one piece if it is expected to
 *  take no more than the budget, else left to weir_gc_collect() or to the pass that weir_new() starts. Finalizers and
 *  trimming come on top.
 *  @return 1 if more is due, 0 if not; -EBUSY, -ENOMEM as weir_gc_collect(). */
WEIR_API int weir_gc_poll(uint64_t budget_ns);

/** Collects dead cycles of shared objects, of all threads. pre: until it returns no other thread uses an object, shared
 *  or its own, or makes one; and none exits. Returns as weir_gc_collect(). Finalizers run in the calling thread. */
WEIR_API long weir_gc_collect_shared(void);

/** Whether weir_new() starts passes; in the process, from the start. */
WEIR_API void weir_gc_enable(void);
WEIR_API void weir_gc_disable(void);
WEIR_API bool weir_gc_is_enabled(void);

/** When weir_new() starts a pass. A pass that finds little makes the next of its kind wait up to four times as long,
 *  one that pays resets that. So dead cycles never hold more than 4 * young + 4 * percent/100 of what is live, and 16
 *  MiB. */
struct weir_gc_threshold {
    size_t young;     /**< a young pass: the thread's pages of cyclic types, with what containers of objects have
                           besides, have grown by so much, or a 32nd of what they are if that is more. Default 1 MiB;
                           0: never */
    unsigned percent; /**< a full one: they have grown by so many percent since the last, or 4 MiB if that is more.
                           Default 50; 0: never */
};

/** For the process; passes under way are not concerned. */
WEIR_API void weir_gc_set_threshold(const struct weir_gc_threshold *threshold);
WEIR_API void weir_gc_get_threshold(struct weir_gc_threshold *out);

/** How far it is to the next pass. */
struct weir_gc_count {
    size_t young;      /**< growth of the thread's pages of cyclic types since the last pass */
    size_t young_due;  /**< growth at which weir_new() starts a young one; SIZE_MAX: never */
    size_t full;       /**< growth since the last full pass */
    size_t full_due;   /**< growth at which weir_new() starts a full one; SIZE_MAX: never */
    unsigned passes;   /**< young ones since the last full one */
};
WEIR_API void weir_gc_get_count(struct weir_gc_count *out);

/** What the calling thread's collector has done and has. */
struct weir_gc_stats {
    /* since the thread's first object */
    uint64_t young, full;   /**< passes of either kind, those of weir_gc_poll() included, number */
    uint64_t polls;         /**< calls of weir_gc_poll() for which something was due, number */
    uint64_t visited;       /**< objects looked at, number */
    uint64_t collected;     /**< objects found unreachable and released, number */
    uint64_t revived;       /**< objects found unreachable that finalizers brought back, number */
    uint64_t uncollectable; /**< objects found unreachable that had to be kept, number */
    uint64_t finalized;     /**< finalizers run, by the collector or not, number */
    uint64_t time_ns;       /**< spent in passes, user's functions included */
    uint64_t longest_ns;    /**< the longest pass or poll */
    /* the last pass */
    uint64_t last_ns, last_visited, last_collected;
    /* now */
    uint64_t objects;       /**< alive: cyclic types, acyclic ones, shared ones that lie in this thread's pages;
                                 number */
    uint64_t bytes;         /**< what their blocks take, headers included */
    uint64_t pages;         /**< bytes of the pages that hold them */
    uint64_t frozen;        /**< of the objects, those that weir_gc_freeze() has set aside */
};

/** Fills *out. Walks the thread's pages for the figures of now, not its objects. */
WEIR_API void weir_gc_get_stats(struct weir_gc_stats *out);

/* ---- looking ----------------------------------------------------------------------------------------------------- */

/** Gets an object; not 0 ends the walk. It may take references, read, write, make objects (which are not visited); what
 *  it releases dies when the walk ends. */
typedef int (*weir_gc_each_fn)(void *object, void *arg);

/** Calls fn for the thread's objects of cyclic types: WEIR_GC_YOUNG, WEIR_GC_OLD or WEIR_GC_FULL (all). Not for shared,
 *  immortal and frozen ones.
 *  @return what fn returned last, 0 without any; -EINVAL, -EBUSY, -ENOMEM. */
WEIR_API int weir_gc_each(int generation, weir_gc_each_fn fn, void *arg);

/** Calls fn for each object that refers to `object`, once for each: of the thread's objects of all types, immortal and
 *  frozen ones included, shared ones not. Looks through all of them. Returns as weir_gc_each(). */
WEIR_API int weir_gc_referrers(const void *object, weir_gc_each_fn fn, void *arg);

/** Calls fn for each reference that `object` held when this was called, unless what it is to has died meanwhile.
 *  Returns as weir_gc_each(), but never -EINVAL or -EBUSY. */
WEIR_API int weir_gc_referents(const void *object, weir_gc_each_fn fn, void *arg);

/** Whether passes of this thread's collector look at the object: its type is not WEIR_ACYCLIC, it belongs to the
 *  thread, is neither shared, immortal nor frozen. */
WEIR_API bool weir_gc_is_tracked(const void *object);

/** Whether its finalizer has been called. */
WEIR_API bool weir_gc_is_finalized(const void *object);

/* ---- freezing ---------------------------------------------------------------------------------------------------- */

/** Sets all of the thread's objects aside: passes no longer look at them, new objects do not come into their pages.
 *  What they refer to is kept by that. For a server before it forks: a child that collects does not write to their
 *  pages. Their counts work as ever; what is to be shared with children to the last page is made immortal. */
WEIR_API void weir_gc_freeze(void);
WEIR_API void weir_gc_unfreeze(void);

/** Objects that are set aside. */
WEIR_API size_t weir_gc_freeze_count(void);

/* ---- what could not be collected --------------------------------------------------------------------------------- */

/** Calls fn for each object that passes had to keep, or were told to (WEIR_GC_DEBUG_SAVEALL). Each is held by a
 *  reference, until weir_gc_garbage_clear(). Returns as weir_gc_each(). */
WEIR_API int weir_gc_garbage_each(weir_gc_each_fn fn, void *arg);
WEIR_API size_t weir_gc_garbage_count(void);

/** Releases them. A finalizer or callback of a pass may do so; what that pass keeps comes after. */
WEIR_API void weir_gc_garbage_clear(void);

/* ---- being told -------------------------------------------------------------------------------------------------- */

enum weir_gc_phase { WEIR_GC_START, WEIR_GC_STOP };

struct weir_gc_info {
    int generation;     /**< WEIR_GC_YOUNG or WEIR_GC_FULL */
    bool polled;        /**< weir_gc_poll() runs it */
    long collected;     /**< STOP: objects released */
    long uncollectable; /**< STOP: objects kept */
    uint64_t time_ns;   /**< STOP: what the pass took */
};

typedef void (*weir_gc_fn)(enum weir_gc_phase phase, const struct weir_gc_info *info, void *arg);

/** Has fn called in any thread at the start and at the end of each of its passes. It may do what a finalizer may;
 *  passes do not nest. At most 16 at a time.
 *  @return 0, -EEXIST if the pair is there already, -ENOSPC. */
WEIR_API int weir_gc_on(weir_gc_fn fn, void *arg);

/** Takes it back. It may be running in another thread once more. @return 0, -ENOENT. */
WEIR_API int weir_gc_off(weir_gc_fn fn, void *arg);

/** What passes write to standard error. WEIR_GC_DEBUG in the environment sets it: words with commas,
 *  stats,collectable,uncollectable,saveall,leak,stress; uncollectable is on with any of them. */
enum {
    WEIR_GC_DEBUG_STATS = 1u << 0,         /**< a line for each pass: objects, what was found, time */
    WEIR_GC_DEBUG_COLLECTABLE = 1u << 1,   /**< each object found unreachable, with its type */
    WEIR_GC_DEBUG_UNCOLLECTABLE = 1u << 2, /**< each object that had to be kept, and why. On by default */
    WEIR_GC_DEBUG_SAVEALL = 1u << 3,       /**< what is found is kept for weir_gc_garbage_each(), not released */
    WEIR_GC_DEBUG_STRESS = 1u << 4,        /**< a full pass at every weir_new(), to find missing references */
    WEIR_GC_DEBUG_LEAK = WEIR_GC_DEBUG_COLLECTABLE | WEIR_GC_DEBUG_UNCOLLECTABLE | WEIR_GC_DEBUG_SAVEALL,
};
WEIR_API void weir_gc_set_debug(unsigned flags);
WEIR_API unsigned weir_gc_get_debug(void);

/* ---- seeing ------------------------------------------------------------------------------------------------------ */

/** Writes the thread's objects to a file descriptor as a graph for Graphviz: a node for each object with type, address
 *  and count, an edge for each reference, and what is held from outside the objects in bold, with the number of those
 *  references. With `object` not NULL: only the shortest path that keeps it, from an object held from outside, and the
 *  objects that refer to it. It may be shared, or immortal; all other shared objects, and other threads' objects, are
 *  outside. Of one that belongs to another thread nothing is written.
 *  @param most nodes to write, 0 for 1,000, of a path those next to `object` first; what is left out is counted in a
 *  note.
 *  No point of cancellation: a thread that is cancelled meanwhile goes on until it is written.
 *  @return objects written; -EINVAL if `object` is none; -EBUSY, -ENOMEM, or the -errno of the write. */
WEIR_API long weir_gc_dump(int fd, const void *object, size_t most);

/** Writes what is alive in the whole process, by type: objects, bytes; for objects made by the checked build
 *  (WEIR_DEBUG) also by the line that made them. Other threads may go on; then it is a guess. The same at exit with
 *  WEIR_LEAKS=1 in the environment, after a last full pass.
 *  @return objects alive; the -errno of the write. Immortal ones are no leaks, and counted apart. */
WEIR_API long weir_gc_leaks(int fd);

#ifdef __cplusplus
}
#endif
#endif
