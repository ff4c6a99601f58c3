/* SPDX-License-Identifier: MIT
 * Vectors: items side by side in one block, which grows by half and shrinks when three quarters of it are unused, but
 * not below what was reserved. */
#include "object/item.h"

struct weir_vec {
    struct weir_item item;
    char *data; /* `room` fields, `count` of them in use */
    size_t count, room;
    size_t reserved; /* room that stays until the vec is cleared */
};

/* ---- the type -------------------------------------------------------------------------------------------------- */

static void *field(const struct weir_vec *vec, size_t index) { return vec->data + index * wr_item_room(&vec->item); }

static void traverse(void *object, weir_visit_fn visit, void *arg)
{
    struct weir_vec *vec = object;
    for (size_t i = 0; i < vec->count; i++)
        visit(wr_item_load(field(vec, i)), arg);
}

static void clear(void *object) { weir_vec_clear(object); }

static const struct weir_type objects_type = {
    .name = "vec", .size = sizeof(struct weir_vec), .traverse = traverse, .clear = clear};
static const struct weir_type values_type = {
    .name = "vec of values", .size = sizeof(struct weir_vec), .flags = WEIR_ACYCLIC, .dealloc = clear};

struct weir_vec *weir_vec_new(const struct weir_item *item)
{
    struct weir_item sort = wr_item_of(item);
    struct weir_vec *vec = weir_new(wr_item_is_object(&sort) ? &objects_type : &values_type);
    if (vec != NULL)
        vec->item = sort;
    return vec;
}

bool weir_vec_is(const void *object)
{
    return wr_item_is_either(object, &objects_type, &values_type);
}

/* ---- room ------------------------------------------------------------------------------------------------------ */

/** Changes the room. pre: room >= count, room > 0. */
static int set_room(struct weir_vec *vec, size_t room)
{
    char *data = weir_reallocarray(vec->data, room, wr_item_room(&vec->item));
    if (data == NULL)
        return -ENOMEM;
    wr_item_count(vec, &vec->item, vec->room, room);
    vec->data = data;
    vec->room = room;
    return 0;
}

static int make_room(struct weir_vec *vec, size_t more)
{
    size_t need;
    if (__builtin_add_overflow(vec->count, more, &need))
        return -ENOMEM;
    return need <= vec->room ? 0 : set_room(vec, wr_item_grow(vec->room, need));
}

static WR_NOINLINE void give_back(struct weir_vec *vec)
{
    if (vec->reserved < vec->room)
        (void)set_room(vec, wr_max(wr_max(vec->count * 2, 4), vec->reserved));
}

/** Gives back what is unused. That may fail, and then nothing is wrong. */
WR_INLINE void shrink(struct weir_vec *vec)
{
    if (wr_unlikely(wr_item_is_roomy(vec->room, vec->count)))
        give_back(vec);
}

int weir_vec_reserve(struct weir_vec *vec, size_t count)
{
    if (count > vec->room && set_room(vec, count) != 0)
        return -ENOMEM;
    vec->reserved = count;
    return 0;
}

size_t weir_vec_count(const struct weir_vec *vec) { return vec->count; }

/* ---- in -------------------------------------------------------------------------------------------------------- */

int weir_vec_insert(struct weir_vec *vec, size_t index, const void *item)
{
    size_t size = wr_item_room(&vec->item), inside = vec->count * size;
    if (index > vec->count)
        return -ERANGE;
    /* A value may be one of the vec's own, and move with it. */
    uintptr_t offset = (uintptr_t)item - (uintptr_t)vec->data;
    bool own = !wr_item_is_object(&vec->item) && vec->data != NULL && offset < inside;
    if (make_room(vec, 1) != 0)
        return -ENOMEM;
    char *at = field(vec, index);
    memmove(at + size, at, inside - index * size);
    if (own)
        item = vec->data + offset + (offset >= index * size ? size : 0);
    wr_item_store(&vec->item, at, item);
    vec->count++;
    return 0;
}

int weir_vec_push(struct weir_vec *vec, const void *item)
{
    if (wr_unlikely(vec->count == vec->room))
        return weir_vec_insert(vec, vec->count, item);
    wr_item_store(&vec->item, field(vec, vec->count), item);
    vec->count++;
    return 0;
}

int weir_vec_take(struct weir_vec *vec, void *owned)
{
    if (!wr_item_is_object(&vec->item))
        return -EINVAL;
    return owned == NULL ? -ENOMEM : wr_item_taken(weir_vec_push(vec, owned), owned);
}

int weir_vec_set(struct weir_vec *vec, size_t index, const void *item)
{
    if (index >= vec->count)
        return -ERANGE;
    void *at = field(vec, index), *old = wr_item_is_object(&vec->item) ? wr_item_load(at) : NULL;
    wr_item_store(&vec->item, at, item);
    weir_unref(old);
    return 0;
}

int weir_vec_resize(struct weir_vec *vec, size_t count)
{
    /* One by one: what a release runs may change the vec, too. */
    while (vec->count > count)
        weir_vec_remove(vec, vec->count - 1);
    if (vec->count >= count)
        return 0;
    if (make_room(vec, count - vec->count) != 0)
        return -ENOMEM;
    memset(field(vec, vec->count), 0, (count - vec->count) * wr_item_room(&vec->item));
    vec->count = count;
    return 0;
}

/* ---- out ------------------------------------------------------------------------------------------------------- */

void *weir_vec_at(const struct weir_vec *vec, size_t index)
{
    return index < vec->count ? wr_item_out(&vec->item, field(vec, index)) : NULL;
}

void *weir_vec_get(const struct weir_vec *vec, size_t index)
{
    return wr_item_is_object(&vec->item) ? weir_ref(weir_vec_at(vec, index)) : NULL;
}

void *weir_vec_data(struct weir_vec *vec) { return vec->count > 0 ? vec->data : NULL; }

void *weir_vec_pop(struct weir_vec *vec)
{
    if (!wr_item_is_object(&vec->item) || vec->count == 0)
        return NULL;
    void *object = wr_item_load(field(vec, --vec->count));
    shrink(vec);
    return object;
}

bool weir_vec_remove(struct weir_vec *vec, size_t index)
{
    if (index >= vec->count)
        return false;
    size_t size = wr_item_room(&vec->item);
    char *at = field(vec, index);
    void *old = wr_item_is_object(&vec->item) ? wr_item_load(at) : NULL;
    memmove(at, at + size, (--vec->count - index) * size);
    shrink(vec);
    weir_unref(old);
    return true;
}

void weir_vec_clear(struct weir_vec *vec)
{
    struct weir_vec old = *vec;
    vec->data = NULL;
    vec->count = vec->room = vec->reserved = 0;
    wr_item_count(vec, &old.item, old.room, 0);
    wr_item_release(&old.item, old.data, old.count, wr_item_room(&old.item));
    weir_free(old.data);
}

bool weir_vec_next(const struct weir_vec *vec, struct weir_cursor *at, void *item)
{
    if (at->next >= vec->count)
        return false;
    wr_item_give(item, weir_vec_at(vec, at->next++));
    return true;
}
