/* SPDX-License-Identifier: MIT
 * Sets: the hash table without values, as an object. */
#include "object/table.h"

struct weir_set {
    struct wr_table table;
};

static void traverse(void *object, weir_visit_fn visit, void *arg)
{
    wr_table_visit(&((struct weir_set *)object)->table, visit, arg);
}

static void clear(void *object) { weir_set_clear(object); }

static const struct weir_type objects_type = {
    .name = "set", .size = sizeof(struct weir_set), .traverse = traverse, .clear = clear};
static const struct weir_type values_type = {
    .name = "set of values", .size = sizeof(struct weir_set), .flags = WEIR_ACYCLIC, .dealloc = clear};

struct weir_set *weir_set_new(const struct weir_item *item)
{
    struct weir_item sort = wr_item_of(item);
    struct weir_set *set = weir_new(wr_item_is_object(&sort) ? &objects_type : &values_type);
    if (set != NULL)
        wr_table_init(&set->table, item, NULL, true);
    return set;
}

bool weir_set_is(const void *object)
{
    return wr_item_is_either(object, &objects_type, &values_type);
}

size_t weir_set_count(const struct weir_set *set) { return set->table.count; }

int weir_set_reserve(struct weir_set *set, size_t count) { return wr_table_reserve(&set->table, count); }

int weir_set_add(struct weir_set *set, const void *item)
{
    char *old_block = NULL;
    void *entry;
    int result = wr_table_add(&set->table, item, &entry, &old_block);
    if (wr_unlikely(old_block != NULL))
        weir_free(old_block);
    return result;
}

int weir_set_take(struct weir_set *set, void *owned)
{
    if (!wr_item_is_object(&set->table.key))
        return -EINVAL;
    return owned == NULL ? -ENOMEM : wr_item_taken(weir_set_add(set, owned), owned);
}

void *weir_set_at(const struct weir_set *set, const void *item)
{
    void *entry = wr_table_find(&set->table, item);
    return entry != NULL ? wr_item_out(&set->table.key, wr_table_key(&set->table, entry)) : NULL;
}

void *weir_set_get(const struct weir_set *set, const void *item)
{
    return wr_item_is_object(&set->table.key) ? weir_ref(weir_set_at(set, item)) : NULL;
}

bool weir_set_has(const struct weir_set *set, const void *item) { return wr_table_find(&set->table, item) != NULL; }

bool weir_set_remove(struct weir_set *set, const void *item) { return wr_table_remove(&set->table, item); }

void weir_set_clear(struct weir_set *set) { wr_table_clear(&set->table); }

bool weir_set_next(const struct weir_set *set, struct weir_cursor *at, void *item)
{
    void *entry = wr_table_next(&set->table, at);
    if (entry == NULL)
        return false;
    wr_item_give(item, wr_item_out(&set->table.key, wr_table_key(&set->table, entry)));
    return true;
}
