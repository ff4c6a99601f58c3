/* SPDX-License-Identifier: MIT
 * Deques: items in a ring, which grows to the double and shrinks when three quarters of it are unused, but not below
 * what was reserved.
 *
 * Each item has a number that it keeps: one more than its neighbour's towards the front. An iteration remembers
 * numbers, so what happens at the ends does not disturb it. */
#include "object/item.h"

struct weir_deque {
    struct weir_item item;
    char *data; /* a ring of `room` fields, a power of two or 0 */
    size_t count, room;
    size_t reserved; /* room that stays until the deque is cleared */
    uint64_t first; /* the front's number; its field is this modulo room */
};

/* ---- the type -------------------------------------------------------------------------------------------------- */

#define NUMBER_START (UINT64_C(1) << 62)

/** The field of the item with this number. */
static void *field(const struct weir_deque *deque, uint64_t number)
{
    return deque->data + (number & (deque->room - 1)) * wr_item_room(&deque->item);
}

static void traverse(void *object, weir_visit_fn visit, void *arg)
{
    struct weir_deque *deque = object;
    for (size_t i = 0; i < deque->count; i++)
        visit(wr_item_load(field(deque, deque->first + i)), arg);
}

static void clear(void *object) { weir_deque_clear(object); }

static const struct weir_type objects_type = {
    .name = "deque", .size = sizeof(struct weir_deque), .traverse = traverse, .clear = clear};
static const struct weir_type values_type = {
    .name = "deque of values", .size = sizeof(struct weir_deque), .flags = WEIR_ACYCLIC, .dealloc = clear};

struct weir_deque *weir_deque_new(const struct weir_item *item)
{
    struct weir_item sort = wr_item_of(item);
    struct weir_deque *deque = weir_new(wr_item_is_object(&sort) ? &objects_type : &values_type);
    if (deque != NULL) {
        deque->item = sort;
        deque->first = NUMBER_START;
    }
    return deque;
}

bool weir_deque_is(const void *object)
{
    return wr_item_is_either(object, &objects_type, &values_type);
}

/* ---- room ------------------------------------------------------------------------------------------------------ */

/** Moves the items to a ring of another size, a power of two. What is returned in *old is to be freed once nothing in
 *  it is needed any more. pre: room >= count, room > 0. */
static int set_room(struct weir_deque *deque, size_t room, char **old)
{
    struct weir_deque from = *deque;
    char *data = weir_reallocarray(NULL, room, wr_item_room(&deque->item));
    if (data == NULL)
        return -ENOMEM;
    wr_item_count(deque, &deque->item, deque->room, room);
    deque->data = data;
    deque->room = room;
    for (size_t i = 0, some; i < from.count; i += some) { /* as many as lie side by side in both rings */
        uint64_t number = from.first + i;
        some = wr_min(from.count - i, wr_min(from.room - number % from.room, room - number % room));
        memcpy(field(deque, number), field(&from, number), some * wr_item_room(&from.item));
    }
    *old = from.data;
    return 0;
}

static int make_room(struct weir_deque *deque, size_t count, char **old)
{
    if (count <= deque->room)
        return 0;
    if (count > SIZE_MAX / 4)
        return -ENOMEM;
    size_t room = wr_max(deque->room, 4);
    while (room < count)
        room *= 2;
    return set_room(deque, room, old);
}

/** Gives back what is unused. That may fail, and then nothing is wrong. */
static WR_NOINLINE void shrink(struct weir_deque *deque)
{
    char *old = NULL;
    (void)set_room(deque, deque->room / 2, &old);
    weir_free(old);
}

int weir_deque_reserve(struct weir_deque *deque, size_t count)
{
    char *old = NULL;
    int result = make_room(deque, count, &old);
    weir_free(old);
    if (result == 0)
        deque->reserved = count;
    return result;
}

size_t weir_deque_count(const struct weir_deque *deque) { return deque->count; }

/* ---- in -------------------------------------------------------------------------------------------------------- */

/** Adds an item at an end. pre: there is room. */
WR_INLINE void put_in(struct weir_deque *deque, const void *item, bool front)
{
    uint64_t number = front ? deque->first - 1 : deque->first + deque->count;
    wr_item_store(&deque->item, field(deque, number), item);
    deque->first -= front;
    deque->count++;
}

static WR_NOINLINE int grow_and_put_in(struct weir_deque *deque, const void *item, bool front)
{
    char *old = NULL; /* a value may be one of the deque's own */
    if (make_room(deque, deque->count + 1, &old) != 0)
        return -ENOMEM;
    put_in(deque, item, front);
    weir_free(old);
    return 0;
}

int weir_deque_push_back(struct weir_deque *deque, const void *item)
{
    if (wr_unlikely(deque->count == deque->room))
        return grow_and_put_in(deque, item, false);
    put_in(deque, item, false);
    return 0;
}

int weir_deque_push_front(struct weir_deque *deque, const void *item)
{
    if (wr_unlikely(deque->count == deque->room))
        return grow_and_put_in(deque, item, true);
    put_in(deque, item, true);
    return 0;
}

int weir_deque_take_back(struct weir_deque *deque, void *owned)
{
    if (!wr_item_is_object(&deque->item))
        return -EINVAL;
    return owned == NULL ? -ENOMEM : wr_item_taken(weir_deque_push_back(deque, owned), owned);
}

int weir_deque_take_front(struct weir_deque *deque, void *owned)
{
    if (!wr_item_is_object(&deque->item))
        return -EINVAL;
    return owned == NULL ? -ENOMEM : wr_item_taken(weir_deque_push_front(deque, owned), owned);
}

/* ---- out ------------------------------------------------------------------------------------------------------- */

/** Takes an item out at an end. The reference, if it is an object. pre: there is one. */
WR_INLINE void *take_out(struct weir_deque *deque, bool front)
{
    const void *at = field(deque, front ? deque->first : deque->first + deque->count - 1);
    void *object = wr_item_is_object(&deque->item) ? wr_item_load(at) : NULL;
    deque->first += front;
    deque->count--;
    if (wr_unlikely(wr_item_is_roomy(deque->room, deque->count)) && deque->room / 2 >= deque->reserved)
        shrink(deque);
    return object;
}

void *weir_deque_pop_back(struct weir_deque *deque)
{
    return wr_item_is_object(&deque->item) && deque->count > 0 ? take_out(deque, false) : NULL;
}

void *weir_deque_pop_front(struct weir_deque *deque)
{
    return wr_item_is_object(&deque->item) && deque->count > 0 ? take_out(deque, true) : NULL;
}

bool weir_deque_drop_back(struct weir_deque *deque)
{
    if (deque->count == 0)
        return false;
    weir_unref(take_out(deque, false));
    return true;
}

bool weir_deque_drop_front(struct weir_deque *deque)
{
    if (deque->count == 0)
        return false;
    weir_unref(take_out(deque, true));
    return true;
}

void *weir_deque_at(const struct weir_deque *deque, size_t index)
{
    return index < deque->count ? wr_item_out(&deque->item, field(deque, deque->first + index)) : NULL;
}

void *weir_deque_get(const struct weir_deque *deque, size_t index)
{
    return wr_item_is_object(&deque->item) ? weir_ref(weir_deque_at(deque, index)) : NULL;
}

void weir_deque_clear(struct weir_deque *deque)
{
    struct weir_deque old = *deque;
    deque->data = NULL;
    deque->count = deque->room = deque->reserved = 0;
    wr_item_count(deque, &old.item, old.room, 0);
    deque->first = old.first + old.count; /* numbers are not given twice: new items are not met as old ones */
    for (size_t i = 0; wr_item_is_object(&old.item) && i < old.count; i++)
        weir_unref(wr_item_load(field(&old, old.first + i)));
    weir_free(old.data);
}

bool weir_deque_next(const struct weir_deque *deque, struct weir_cursor *at, void *item)
{
    uint64_t number = wr_cursor_begins(at) || at->next < deque->first ? deque->first : at->next;
    if (number - deque->first >= deque->count)
        return false;
    wr_item_give(item, wr_item_out(&deque->item, field(deque, number)));
    at->next = number + 1;
    return true;
}
