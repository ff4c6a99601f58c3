/* SPDX-License-Identifier: MIT
 * What the containers share: items, which are references to objects or plain values, moved in and out of storage. A
 * container's storage is a block of its own, from weir_malloc(); a field of storage that holds an object is its
 * pointer.
 *
 * Hash, equal and traverse functions are pure, so nothing can meet a container half changed, if references are given up
 * only after it has been changed. Takes no locks. */
#ifndef WR_ITEM_H
#define WR_ITEM_H

#include <errno.h>
#include <string.h>

#include "object/domain.h"
#include "weir/containers.h"

/** An item's sort as a container keeps it. */
WR_INLINE struct weir_item wr_item_of(const struct weir_item *item)
{
    return item != NULL ? *item : (struct weir_item){.size = 0};
}

WR_INLINE bool wr_item_is_object(const struct weir_item *item) { return item->size == 0; }

/** Whether an object, which may be NULL, is of one of a container's two types. */
WR_INLINE bool wr_item_is_either(const void *object, const struct weir_type *objects, const struct weir_type *values)
{
    const struct weir_type *type = object != NULL ? weir_typeof(object) : NULL;
    return type == objects || type == values;
}

/** Bytes of storage that one takes. */
WR_INLINE size_t wr_item_room(const struct weir_item *item)
{
    return wr_item_is_object(item) ? sizeof(void *) : item->size;
}

/** The object in a field of storage. */
WR_INLINE void *wr_item_load(const void *field) { return *(void *const *)field; }

/** What is in a field as it goes out: the object, or the field's address. */
WR_INLINE void *wr_item_out(const struct weir_item *item, const void *field)
{
    return wr_item_is_object(item) ? wr_item_load(field) : (void *)(uintptr_t)field;
}

/** Moves a value, of 8 bytes mostly: then without a call. */
WR_INLINE void wr_item_move(void *to, const void *from, size_t size)
{
    uint64_t word;
    if (wr_likely(size == sizeof word)) {
        memcpy(&word, from, sizeof word);
        memcpy(to, &word, sizeof word);
    } else {
        memmove(to, from, size);
    }
}

/** A new reference to what a program puts in; the library's checks name what is no object. */
WR_INLINE void *wr_item_ref(void *object)
{
    if (WR_DEBUG == 0 || object == NULL)
        return weir_ref(object);
    weir_ref_checked(object, NULL, 0);
    return object;
}

/** Fills a field that holds nothing: with a new reference, or a copy. A NULL instead of a value's address is zeroes. */
WR_INLINE void wr_item_store(const struct weir_item *item, void *field, const void *value)
{
    if (wr_item_is_object(item))
        *(void **)field = wr_item_ref((void *)(uintptr_t)value);
    else if (value != NULL)
        wr_item_move(field, value, item->size); /* it may be the field itself */
    else
        memset(field, 0, item->size);
}

/** Gives up what fields held that are no longer a container's. */
WR_INLINE void wr_item_release(const struct weir_item *item, void *fields, size_t count, size_t stride)
{
    for (size_t i = 0; wr_item_is_object(item) && i < count; i++)
        weir_unref(wr_item_load((char *)fields + i * stride));
}

/** What a _take() returns for what its push returned: the caller's reference is given up. */
WR_INLINE int wr_item_taken(int result, void *owned)
{
    weir_unref(owned);
    return result;
}

/** Tells the collector that a container's storage has changed from and to so many fields, if these are objects. */
WR_INLINE void wr_item_count(const void *container, const struct weir_item *item, size_t before, size_t after)
{
    if (wr_item_is_object(item) && before != after)
        wr_storage_change(container, before * sizeof(void *), after * sizeof(void *));
}

/** Whether an iteration begins; `next` is never 0 once it has. */
WR_INLINE bool wr_cursor_begins(const struct weir_cursor *at) { return at->next == 0; }

/** Stores to the pointer variable at `out`, of whatever type; NULL: nowhere. */
WR_INLINE void wr_item_give(void *out, void *item)
{
    if (out != NULL)
        *(weir_slot_ *)out = item;
}

/** Room that grows: half as much again as there is, at least 4, at least `need`. */
WR_INLINE size_t wr_item_grow(size_t room, size_t need) { return wr_max(wr_max(room + room / 2, need), 4); }

/** Room that is worth giving back: less than a quarter of it is needed, and it is more than a few. */
WR_INLINE bool wr_item_is_roomy(size_t room, size_t count) { return room >= 32 && count < room / 4; }

#endif
