/* SPDX-License-Identifier: MIT */
/**
 * @file object.h
 * Objects with types and reference counts: made zeroed, released at once when the last reference goes, weak references,
 * scopes. weir/gc.h has the collector for cycles.
 *
 * An object is what weir_new() returns: a pointer to the type's bytes. A header of 8 bytes lies before it. Objects of
 * a type live in pages of their own.
 *
 * Ownership: arguments are borrowed, unless a comment says that they are consumed. What is returned is owned by the
 * caller, who gives it up with weir_unref(), unless a comment says that it is borrowed.
 *
 * Threads: an object belongs to the thread that made it. No other may touch its count until weir_share() has made it,
 * and all that it reaches, shared; then counts are atomic, while the object's fields stay the program's to protect.
 * A program compiled with WEIR_DEBUG defined as 1 is checked for that: each reference and release asks whose the object
 * is, costs a call, and ends the process with the type's name where it is somebody else's. When a thread exits, what it
 * leaves belongs to the first thread that releases some of it, shares it, or calls weir_gc_collect(WEIR_GC_FULL), which
 * takes over all that there is; passes that start by themselves leave it alone while the process has other threads. So
 * in a program of which several threads ask for full collections a thread shares what it leaves to another before it
 * exits. Functions here may not be called in signal handlers.
 *
 * Functions that Weir calls (a type's, callbacks) return: neither longjmp() nor a C++ exception may leave them, or the
 * thread releases and collects nothing any more. Only those that a scope has deferred may be left so.
 *
 * Misuse (a reference to or a release of what has been released, a pointer that is no object) ends the process with a
 * message that has the type and the address, where it is noticed: always when the block has not been reused.
 */
#ifndef WEIR_OBJECT_H
#define WEIR_OBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <weir/alloc.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Compile with -DWEIR_DEBUG=1 to have every reference and release checked, and to have the leak report name the lines
 * that made the objects. Translation units with and without it may be mixed. */
#ifndef WEIR_DEBUG
#define WEIR_DEBUG 0
#endif

/* ---- types ------------------------------------------------------------------------------------------------------- */

/** What a traverse function calls with each owning pointer of its object; NULL is allowed. */
typedef void (*weir_visit_fn)(void *object, void *arg);

/** Flags of a type. */
enum {
    /** No chain of references leads from an object of the type back to it. The collector then never looks at them. What
     *  they refer to is released with them all the same. A wrong promise leaks cycles; it is never unsafe. */
    WEIR_ACYCLIC = 1u << 0,
    /** Objects have a tail: they are made by weir_new_var(). */
    WEIR_VARSIZE = 1u << 1,
    /** Objects are aligned to 16 bytes. Others are aligned to 8, which wastes less. */
    WEIR_ALIGN16 = 1u << 2,
};

/** A type of objects: constant, and there as long as the process (a library with types is not to be unloaded: link a
 *  plugin that has some with -Wl,-z,nodelete). What is not named is zero and means the default.
 *
 *  The owning pointers of an object are those in the table `refs` and those that `traverse` visits, each once. */
struct weir_type {
    const char *name; /**< for messages and reports */
    size_t size;      /**< of an object, bytes; of a WEIR_VARSIZE type without the tail. More than 0 */
    unsigned flags;   /**< WEIR_ACYCLIC and so on */
    uint16_t nrefs;   /**< entries of refs */
    const uint16_t *refs; /**< offsets of pointer fields, each NULL or owning; WEIR_REFS() fills both */

    /** Calls visit(pointer, arg) for each owning pointer that the table does not have. Pure: changes nothing, makes and
     *  releases no object. One that forgets a pointer makes cycles through it leak; one that invents a pointer is found
     *  out and reported, at the latest when the object outlives its collection. */
    void (*traverse)(void *object, weir_visit_fn visit, void *arg);

    /** Gives up the owning pointers that `traverse` visits: each is set to NULL before it is released, as weir_clear()
     *  does. May be called more than once. The table's fields are cleared by Weir. Where a type has `traverse` and no
     *  `clear`, Weir releases what is visited, and the object must not be used once that has begun. */
    void (*clear)(void *object);

    /** Called once, before anything of the object is undone: when its last reference goes, or when it is found in a
     *  dead cycle (then before any of the cycle is undone). May use the object and those it refers to, make objects,
     *  and store a reference to the object elsewhere: then it lives on, and will not be finalized again. */
    void (*finalize)(void *object);

    /** Called last, when owning pointers are gone: gives back what is not an object (memory, descriptors). The object
     *  cannot be revived here; weir_weak_fini() is called here for weak references that lie in the object. */
    void (*dealloc)(void *object);

    /** For containers: a hash, and whether two objects are equal. Default: by address. */
    uint64_t (*hash)(const void *object);
    bool (*equal)(const void *a, const void *b);
};

/* WEIR_REFS(struct node, left, right) initialises .nrefs and .refs with the offsets of up to 16 fields, in a type that
 * is defined outside functions:
 *
 *     static const struct weir_type node_type = {
 *         .name = "node", .size = sizeof(struct node), WEIR_REFS(struct node, left, right),
 *     };
 */
#define WEIR_COUNT_(_1, _2, _3, _4, _5, _6, _7, _8, _9, _10, _11, _12, _13, _14, _15, _16, n, ...) n
#define WEIR_COUNT(...) WEIR_COUNT_(__VA_ARGS__, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
#define WEIR_JOIN__(a, b) a##b
#define WEIR_JOIN_(a, b) WEIR_JOIN__(a, b)
#define WEIR_OFFSETS_1(t, f) offsetof(t, f)
#define WEIR_OFFSETS_2(t, f, ...) offsetof(t, f), WEIR_OFFSETS_1(t, __VA_ARGS__)
#define WEIR_OFFSETS_3(t, f, ...) offsetof(t, f), WEIR_OFFSETS_2(t, __VA_ARGS__)
#define WEIR_OFFSETS_4(t, f, ...) offsetof(t, f), WEIR_OFFSETS_3(t, __VA_ARGS__)
#define WEIR_OFFSETS_5(t, f, ...) offsetof(t, f), WEIR_OFFSETS_4(t, __VA_ARGS__)
#define WEIR_OFFSETS_6(t, f, ...) offsetof(t, f), WEIR_OFFSETS_5(t, __VA_ARGS__)
#define WEIR_OFFSETS_7(t, f, ...) offsetof(t, f), WEIR_OFFSETS_6(t, __VA_ARGS__)
#define WEIR_OFFSETS_8(t, f, ...) offsetof(t, f), WEIR_OFFSETS_7(t, __VA_ARGS__)
#define WEIR_OFFSETS_9(t, f, ...) offsetof(t, f), WEIR_OFFSETS_8(t, __VA_ARGS__)
#define WEIR_OFFSETS_10(t, f, ...) offsetof(t, f), WEIR_OFFSETS_9(t, __VA_ARGS__)
#define WEIR_OFFSETS_11(t, f, ...) offsetof(t, f), WEIR_OFFSETS_10(t, __VA_ARGS__)
#define WEIR_OFFSETS_12(t, f, ...) offsetof(t, f), WEIR_OFFSETS_11(t, __VA_ARGS__)
#define WEIR_OFFSETS_13(t, f, ...) offsetof(t, f), WEIR_OFFSETS_12(t, __VA_ARGS__)
#define WEIR_OFFSETS_14(t, f, ...) offsetof(t, f), WEIR_OFFSETS_13(t, __VA_ARGS__)
#define WEIR_OFFSETS_15(t, f, ...) offsetof(t, f), WEIR_OFFSETS_14(t, __VA_ARGS__)
#define WEIR_OFFSETS_16(t, f, ...) offsetof(t, f), WEIR_OFFSETS_15(t, __VA_ARGS__)
#define WEIR_OFFSETS_(type, ...) WEIR_JOIN_(WEIR_OFFSETS_, WEIR_COUNT(__VA_ARGS__))(type, __VA_ARGS__)

#ifdef __cplusplus
} /* a template cannot have C linkage */
template <uint16_t... offset> struct weir_offsets_ {
    static const uint16_t table[sizeof...(offset)];
};
template <uint16_t... offset> const uint16_t weir_offsets_<offset...>::table[] = {offset...};
extern "C" {
#define WEIR_REFS(type, ...)                                                                                           \
    .nrefs = WEIR_COUNT(__VA_ARGS__), .refs = weir_offsets_<WEIR_OFFSETS_(type, __VA_ARGS__)>::table
#else
#define WEIR_REFS(type, ...)                                                                                           \
    .nrefs = WEIR_COUNT(__VA_ARGS__), .refs = (const uint16_t[]) { WEIR_OFFSETS_(type, __VA_ARGS__) }
#endif

/* ---- making objects ---------------------------------------------------------------------------------------------- */

/** A zeroed object of the type, with one reference. NULL and ENOMEM when memory is short. May start a collection,
 *  before the object exists. */
WEIR_API void *weir_new(const struct weir_type *type) WEIR_ATTR_USE_RESULT;

/** As weir_new(), with `extra` bytes behind the type's size. NULL and ENOMEM also when the sum overflows.
 *  weir_usable_size() tells how many bytes an object really has; all are zero. */
WEIR_API void *weir_new_var(const struct weir_type *type, size_t extra) WEIR_ATTR_USE_RESULT;

/** As weir_new(type), in the memory of `owned` if that is its only reference and of the same type: what a program that
 *  replaces objects in a loop wants; not in a frozen page (weir_gc_freeze()). Consumes `owned`, which may be NULL: it
 *  is released as by weir_unref(): finalized, weak references cleared, what it holds released. On failure (NULL and
 *  ENOMEM) it is as it was, and the caller's; only its finalizer may have run, and revived it. */
WEIR_API void *weir_renew(void *owned, const struct weir_type *type) WEIR_ATTR_USE_RESULT;

/* What the checked build calls. `file` is kept, not copied. */
WEIR_API void *weir_new_at(const struct weir_type *type, size_t extra, const char *file, int line) WEIR_ATTR_USE_RESULT;
WEIR_API void weir_ref_checked(void *object, const char *file, int line);
WEIR_API void weir_unref_checked(void *object, const char *file, int line);

#if WEIR_DEBUG
#define weir_new(type) weir_new_at((type), 0, __FILE__, __LINE__)
#define weir_new_var(type, extra) weir_new_at((type), (extra), __FILE__, __LINE__)
#endif

/* ---- counts ------------------------------------------------------------------------------------------------------ */

/* What the inline functions leave over: shared, immortal, logged, last, wrong. */
WEIR_API void weir_ref_slow_(void *object);
WEIR_API void weir_unref_slow_(void *object);

/** The count before an object: 1 to INT32_MAX is this thread's; 0 is none, the block is free; below are counts that the
 *  inline functions leave to the library. Not for programs. */
#define WEIR_COUNT_OF_(object) ((int32_t *)(void *)((char *)(object)-8))

#if WEIR_DEBUG
static inline void *weir_ref_at_(void *object, const char *file, int line)
{
    if (object != NULL)
        weir_ref_checked(object, file, line);
    return object;
}

static inline void weir_unref_at_(void *object, const char *file, int line)
{
    if (object != NULL)
        weir_unref_checked(object, file, line);
}

static inline void *weir_ref(void *object) { return weir_ref_at_(object, NULL, 0); }
static inline void weir_unref(void *object) { weir_unref_at_(object, NULL, 0); }

/* With the lines of those who call. */
#define weir_ref(object) weir_ref_at_((object), __FILE__, __LINE__)
#define weir_unref(object) weir_unref_at_((object), __FILE__, __LINE__)
#else
/** One more reference; returns `object`. NULL is fine. Never fails: a count that would overflow makes the object
 *  immortal. */
static inline void *weir_ref(void *object)
{
    if (object == NULL)
        return NULL;
    int32_t *word = WEIR_COUNT_OF_(object);
    int32_t count = __atomic_load_n(word, __ATOMIC_RELAXED);
    if (__builtin_expect(count > 0, 1))
        __atomic_store_n(word, (int32_t)((uint32_t)count + 1), __ATOMIC_RELAXED);
    else
        weir_ref_slow_(object);
    return object;
}

/** One reference less; the last releases the object before this returns (within a release that is under way, before
 *  that one returns). NULL is fine. Runs finalizers and callbacks of whatever dies by it. The stack it takes does not
 *  depend on what dies; an object goes before those that it alone has kept. */
static inline void weir_unref(void *object)
{
    if (object == NULL)
        return;
    int32_t *word = WEIR_COUNT_OF_(object);
    int32_t count = __atomic_load_n(word, __ATOMIC_RELAXED);
    if (__builtin_expect(count > 1, 1))
        __atomic_store_n(word, count - 1, __ATOMIC_RELAXED);
    else
        weir_unref_slow_(object);
}
#endif

/** References that there are; SIZE_MAX of an immortal object, 0 of NULL. Of a shared object a guess. */
WEIR_API size_t weir_refcount(const void *object);

/** Whether the caller's is the only reference. Of a shared object: then no other thread has one, and what they wrote is
 *  seen. */
WEIR_API bool weir_is_unique(const void *object);

/** The type of an object. Fatal if it is none. */
WEIR_API const struct weir_type *weir_typeof(const void *object);

/** Whether `address` is an object that is alive, as far as can be told: for checks and reports. Of an address that
 *  another thread may be releasing the answer may be stale. */
WEIR_API bool weir_is_object(const void *address);

/* ---- slots: fields and variables that own a reference ------------------------------------------------------------ */

typedef void *__attribute__((__may_alias__)) weir_slot_;

static inline void *weir_swap_(void *slot, void *object)
{
    void *old = *(weir_slot_ *)slot;
    *(weir_slot_ *)slot = object;
    return old;
}

/** weir_clear(&p): p = NULL, then what it held is released. The order matters: finalizers may look at p. */
#define weir_clear(slot) weir_unref(weir_swap_((slot), NULL))

/** weir_set(&p, object): p gets a new reference to object, then what it held is released. Setting a slot to what it
 *  holds is fine. */
#define weir_set(slot, object) weir_unref(weir_swap_((slot), weir_ref(object)))

/** weir_take(&p, owned): p gets the caller's reference, then what it held is released. */
#define weir_take(slot, owned) weir_unref(weir_swap_((slot), (owned)))

/** weir_steal(&p): the reference that p held; p is NULL. */
#define weir_steal(slot) ((__typeof__(*(slot)))weir_swap_((slot), NULL))

static inline void weir_auto_(void *slot) { weir_clear(slot); }

/** WEIR_AUTO struct node *n = weir_new(&node_type); released when the variable goes out of scope, on every path but
 *  longjmp (see weir_scope_enter()). `return weir_steal(&n);` hands it out. */
#define WEIR_AUTO __attribute__((__cleanup__(weir_auto_)))

/* ---- threads and processes --------------------------------------------------------------------------------------- */

/** Makes an object of the calling thread's shared, and all that it reaches: from now on any thread may hold and release
 *  it. What is stored in a shared object later must be shared before. Shared for good: counts are atomic (some 5 ns),
 *  and cycles are found by weir_gc_collect_shared() alone. Returns `object`; NULL is fine. Cannot fail: without memory
 *  for a list of what is yet to be looked into it takes longer. */
WEIR_API void *weir_share(void *object);

/** Makes an object of the calling thread's, or a shared one, immortal, and all that it reaches: its count is never
 *  written again, so processes forked later share its pages, and any thread may use it. Never finalized or freed.
 *  Returns `object`; NULL is fine. Cannot fail either. Of what two threads make immortal at once all is so when both
 *  have returned. */
WEIR_API void *weir_immortalize(void *object);

WEIR_API bool weir_is_shared(const void *object);
WEIR_API bool weir_is_immortal(const void *object);

/** Writes a line for each reference to and release of this object to standard error: the count that results and the
 *  place (a line of the source in the checked build, else an address). Slows down this object alone. */
WEIR_API void weir_log(void *object, bool on);

/* ---- weak references --------------------------------------------------------------------------------------------- */

/** A reference that does not keep its object. The memory is the caller's and must stay where it is from
 *  weir_weak_init() to weir_weak_fini(); the fields are Weir's. */
struct weir_weak {
    void *object;
    struct weir_weak *next;
    void (*callback)(struct weir_weak *weak, void *arg);
    void *arg;
};

/** Called when the object has died, in the thread that released it; weir_weak_get() gives NULL by then. Not called if
 *  the weak reference lies in an object that dies in the same collection, or was finished or re-initialised before its
 *  turn came. It may do what a finalizer may, and re-initialise or finish this weak reference and others. Once it has
 *  finished this one it may give the memory back. */
typedef void (*weir_weak_fn)(struct weir_weak *weak, void *arg);

/** Makes *weak refer to `object` (NULL: to nothing). `callback` may be NULL. Cannot fail. pre: *weak refers to nothing:
 *  it is new, or finished, or its object has died. */
WEIR_API void weir_weak_init(struct weir_weak *weak, void *object, weir_weak_fn callback, void *arg);

/** A new reference to the object, or NULL if it has died. Any thread, if the object is shared. */
WEIR_API void *weir_weak_get(struct weir_weak *weak) WEIR_ATTR_USE_RESULT;

/** Ends a weak reference; more than once is fine. Any thread, if the object is shared. Once this has returned the
 *  callback is neither called nor running, but for the one that calls this: where it is running in another thread, this
 *  waits until it has returned. So nothing that the callback waits for may be held here, and two callbacks may not
 *  finish each other's weak reference. */
WEIR_API void weir_weak_fini(struct weir_weak *weak);

/* ---- scopes: where longjmp or long error paths skip the cleanup -------------------------------------------------- */

/** Begins a scope of the calling thread. The mark is for weir_scope_leave(). A thread that exits leaves no scope: what
 *  is still deferred is not called, since its arguments may lie in frames that are gone. */
WEIR_API size_t weir_scope_enter(void) WEIR_ATTR_USE_RESULT;

/** Has fn(arg) called when the innermost scope ends: weir_scope_defer(weir_free, buffer).
 *  @return 0, or -ENOMEM: then fn(arg) has been called at once, so that nothing leaks. */
WEIR_API int weir_scope_defer(void (*fn)(void *arg), void *arg);

/** As weir_scope_defer() with a release: the scope consumes `owned`, which is returned, borrowed. NULL if `owned` is
 *  NULL, or memory is short (then it has been released). weir_scope_own(weir_new(&type)) needs one check. */
WEIR_API void *weir_scope_own(void *owned);

/** Ends the scope that began with `mark`, and those begun in it: what was deferred is called, the last first. A
 *  function that longjmp() comes back to leaves with the mark it took before setjmp(). Where longjmp() or a C++
 *  exception leaves a deferred function, what is still deferred waits for the next call of this. */
WEIR_API void weir_scope_leave(size_t mark);

#ifdef __cplusplus
}
#endif
#endif
