/* SPDX-License-Identifier: MIT */
/**
 * @file containers.h
 * Containers that are objects: vec, map, set, deque. They hold objects, or plain values of one size.
 *
 * A container is made by _new() and released by weir_unref(), as any object; containers may hold containers, and cycles
 * through them are collected. Those of plain values alone are never looked at by the collector.
 *
 * What goes in, an item: for objects the pointer itself (NULL is an item too, but not as a key); for plain values the
 * address of one, which is copied. What comes out: the object, or the address of the value in the container, which is
 * good until the container is changed.
 *
 * Ownership: arguments are borrowed, and the container takes references of its own. _take() consumes the caller's
 * reference, also when it fails, and returns -ENOMEM for NULL: weir_vec_take(v, weir_new(&type)) needs one check.
 * _at(), _next() and the like give what is borrowed from the container; _get() and _pop() give what is owned.
 * _take(), _get() and _pop() are for objects. On a container of plain values they do nothing: _take() returns -EINVAL,
 * and the reference stays the caller's; _get() and _pop() return NULL.
 *
 * Whatever an item's release runs (finalizers, callbacks of weak references) may change or clear the container it was
 * in: containers change first and release last. _clear() releases what is in it, before it returns, and its memory.
 *
 * Room: _reserve() has room for `count` items or entries in all, so that adding up to them cannot fail, whatever is
 * taken out in between; until the next _reserve(), which may be for less, or _clear().
 *
 * Errors: functions that return int give 0 or -errno: -ENOMEM, -EOVERFLOW (more than 2^30 entries of a map or set),
 * others as said there; then the container is as it was. Functions that return pointers give NULL.
 *
 * Threads: as with any object (weir/object.h). Of a shared container the content is the program's to protect, and
 * what is stored in it is to be shared before.
 */
#ifndef WEIR_CONTAINERS_H
#define WEIR_CONTAINERS_H

#include <weir/object.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- what a container holds -------------------------------------------------------------------------------------- */

/** The sort of a container's items. It is copied. Where a function takes one, NULL means objects. */
struct weir_item {
    size_t size; /**< of a plain value, bytes; 0: objects */
    /** For keys of maps and items of sets; gets objects or addresses of values. Pure, and in keeping with each other:
     *  what is equal has one hash. NULL: of objects those of their type, where it has them, else by address; of values
     *  by their bytes (padding included: zero it). Any bits may be the good ones: they are mixed. */
    uint64_t (*hash)(const void *item);
    bool (*equal)(const void *a, const void *b);
};

/** WEIR_VALUES(double) is a const struct weir_item * of plain values. Containers align them to 16 bytes at most: a type
 *  that asks for more does not compile. */
#ifdef __cplusplus
} /* a template cannot have C linkage */
template <class T> const struct weir_item *weir_values_()
{
    static_assert(alignof(T) <= 16, "containers align values to 16 bytes at most");
    static const struct weir_item item = {sizeof(T), NULL, NULL};
    return &item;
}
extern "C" {
#define WEIR_VALUES(type) (weir_values_<type>())
#else
#define WEIR_ALIGNED_TO_16_AT_MOST_(type) sizeof(char[_Alignof(type) <= 16 ? 1 : -1])
#define WEIR_VALUES(type) (&(const struct weir_item){.size = sizeof(type) + 0 * WEIR_ALIGNED_TO_16_AT_MOST_(type)})
#endif

/** Keys that are `const char *`: compared as strings, which stay the caller's and must outlive the entry. */
WEIR_API extern const struct weir_item weir_strings;

/** A hash of bytes, for hash functions. It differs from process to process. */
WEIR_API uint64_t weir_hash_bytes(const void *data, size_t size);

/** Where an iteration is. Zero it to begin: struct weir_cursor at = {0}. Nothing needs to end it. The container may be
 *  changed and cleared between steps: what has been taken out will not be met, what is added behind will be (but see
 *  weir_deque_next()). A map or set numbers anew after 2^32 - 1 entries have been added: an iteration that goes on
 *  across that may end early. */
struct weir_cursor {
    uint64_t next; /* Weir's */
    size_t hint;
};
/* C's {0} is a warning to some C++ compilers; there {} does. */

/* ---- vec: an array that grows ------------------------------------------------------------------------------------ */

struct weir_vec;

/** An empty one. Owned; NULL and ENOMEM. */
WEIR_API struct weir_vec *weir_vec_new(const struct weir_item *item) WEIR_ATTR_USE_RESULT;
WEIR_API bool weir_vec_is(const void *object);
WEIR_API size_t weir_vec_count(const struct weir_vec *vec);

/** Has room for `count` items in all; see above. */
WEIR_API int weir_vec_reserve(struct weir_vec *vec, size_t count);

/** Adds at the end. */
WEIR_API int weir_vec_push(struct weir_vec *vec, const void *item);
WEIR_API int weir_vec_take(struct weir_vec *vec, void *owned);

/** Adds before item `index`; at the end if that is the count. -ERANGE beyond. */
WEIR_API int weir_vec_insert(struct weir_vec *vec, size_t index, const void *item);

/** Replaces item `index`. -ERANGE if there is none. */
WEIR_API int weir_vec_set(struct weir_vec *vec, size_t index, const void *item);

/** Makes it longer, by NULL or values of zero bytes, or shorter. */
WEIR_API int weir_vec_resize(struct weir_vec *vec, size_t count);

/** Item `index`, NULL if there is none. */
WEIR_API void *weir_vec_at(const struct weir_vec *vec, size_t index);
WEIR_API void *weir_vec_get(const struct weir_vec *vec, size_t index) WEIR_ATTR_USE_RESULT;

/** The items, side by side: objects' pointers or values; NULL if there is none. To be read, or sorted; borrowed until
 *  the vec is changed. */
WEIR_API void *weir_vec_data(struct weir_vec *vec);

/** Takes the last one out; NULL if there is none. */
WEIR_API void *weir_vec_pop(struct weir_vec *vec) WEIR_ATTR_USE_RESULT;

/** Takes item `index` out and releases it; those behind move up. False if there is none. */
WEIR_API bool weir_vec_remove(struct weir_vec *vec, size_t index);

WEIR_API void weir_vec_clear(struct weir_vec *vec);

/** One step of an iteration: true and an item in *item (borrowed), or false at the end. By position: where items are
 *  put in or taken out before it, it may miss some, or meet some again. */
WEIR_API bool weir_vec_next(const struct weir_vec *vec, struct weir_cursor *at, void *item);

/* ---- deque: grows and shrinks at both ends ----------------------------------------------------------------------- */

struct weir_deque;

/** An empty one. Owned; NULL and ENOMEM. */
WEIR_API struct weir_deque *weir_deque_new(const struct weir_item *item) WEIR_ATTR_USE_RESULT;
WEIR_API bool weir_deque_is(const void *object);
WEIR_API size_t weir_deque_count(const struct weir_deque *deque);
WEIR_API int weir_deque_reserve(struct weir_deque *deque, size_t count);

WEIR_API int weir_deque_push_back(struct weir_deque *deque, const void *item);
WEIR_API int weir_deque_push_front(struct weir_deque *deque, const void *item);
WEIR_API int weir_deque_take_back(struct weir_deque *deque, void *owned);
WEIR_API int weir_deque_take_front(struct weir_deque *deque, void *owned);

/** Takes one out; NULL if there is none. */
WEIR_API void *weir_deque_pop_back(struct weir_deque *deque) WEIR_ATTR_USE_RESULT;
WEIR_API void *weir_deque_pop_front(struct weir_deque *deque) WEIR_ATTR_USE_RESULT;

/** Takes one out and releases it. False if there is none. */
WEIR_API bool weir_deque_drop_back(struct weir_deque *deque);
WEIR_API bool weir_deque_drop_front(struct weir_deque *deque);

/** Item `index`, counted from the front; NULL if there is none. */
WEIR_API void *weir_deque_at(const struct weir_deque *deque, size_t index);
WEIR_API void *weir_deque_get(const struct weir_deque *deque, size_t index) WEIR_ATTR_USE_RESULT;

WEIR_API void weir_deque_clear(struct weir_deque *deque);

/** One step, from front to back, as weir_vec_next(). Changes at either end do not disturb it, but for one: where items
 *  that it has met are taken out at the back, as many that are added there next take their places, and are not met. */
WEIR_API bool weir_deque_next(const struct weir_deque *deque, struct weir_cursor *at, void *item);

/* ---- map: values by key, in the order in which keys came --------------------------------------------------------- */

struct weir_map;

/** An empty one. Owned; NULL and ENOMEM. */
WEIR_API struct weir_map *weir_map_new(const struct weir_item *key, const struct weir_item *value)
    WEIR_ATTR_USE_RESULT;
WEIR_API bool weir_map_is(const void *object);
WEIR_API size_t weir_map_count(const struct weir_map *map);

/** Has room for `count` entries in all; see above. */
WEIR_API int weir_map_reserve(struct weir_map *map, size_t count);

/** Sets the value of a key; a key that is there stays the one it is. -EINVAL if the key is NULL. */
WEIR_API int weir_map_set(struct weir_map *map, const void *key, const void *value);
WEIR_API int weir_map_take(struct weir_map *map, const void *key, void *owned);

/** The value of a key, NULL if there is none. */
WEIR_API void *weir_map_at(const struct weir_map *map, const void *key);
WEIR_API void *weir_map_get(const struct weir_map *map, const void *key) WEIR_ATTR_USE_RESULT;
WEIR_API bool weir_map_has(const struct weir_map *map, const void *key);

/** Of plain values: where the key's value lies, added as zero bytes if there was none: ++*(long *)weir_map_slot(m, &k).
 *  NULL and ENOMEM, EOVERFLOW, or EINVAL (NULL key, values that are objects). */
WEIR_API void *weir_map_slot(struct weir_map *map, const void *key);

/** Takes a key out and gives its value (the key is released); NULL if there is none. */
WEIR_API void *weir_map_pop(struct weir_map *map, const void *key) WEIR_ATTR_USE_RESULT;

/** Takes a key out and releases it and its value. False if there is none. */
WEIR_API bool weir_map_remove(struct weir_map *map, const void *key);

WEIR_API void weir_map_clear(struct weir_map *map);

/** One step of an iteration in the order in which keys came: true and the entry in *key and *value (borrowed; either
 *  may be NULL), or false at the end. What is added or taken out meanwhile does not disturb it. */
WEIR_API bool weir_map_next(const struct weir_map *map, struct weir_cursor *at, void *key, void *value);

/* ---- set: items that differ, in the order in which they came ----------------------------------------------------- */

struct weir_set;

/** An empty one. Owned; NULL and ENOMEM. */
WEIR_API struct weir_set *weir_set_new(const struct weir_item *item) WEIR_ATTR_USE_RESULT;
WEIR_API bool weir_set_is(const void *object);
WEIR_API size_t weir_set_count(const struct weir_set *set);
WEIR_API int weir_set_reserve(struct weir_set *set, size_t count);

/** Adds an item if none there is equal. 1 if it was added, 0 if it was there; -EINVAL if it is NULL. */
WEIR_API int weir_set_add(struct weir_set *set, const void *item);
WEIR_API int weir_set_take(struct weir_set *set, void *owned);

/** The item of the set that is equal to `item`; NULL if there is none. */
WEIR_API void *weir_set_at(const struct weir_set *set, const void *item);
WEIR_API void *weir_set_get(const struct weir_set *set, const void *item) WEIR_ATTR_USE_RESULT;
WEIR_API bool weir_set_has(const struct weir_set *set, const void *item);

/** Takes an item out and releases it. False if it was not there. */
WEIR_API bool weir_set_remove(struct weir_set *set, const void *item);
WEIR_API void weir_set_clear(struct weir_set *set);

/** One step of an iteration, as weir_map_next(). */
WEIR_API bool weir_set_next(const struct weir_set *set, struct weir_cursor *at, void *item);

#ifdef __cplusplus
}
#endif
#endif
