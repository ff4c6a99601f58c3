/* SPDX-License-Identifier: MIT
 * Maps: the hash table as an object. */
#include "object/table.h"

struct weir_map {
    struct wr_table table;
};

/* ---- the type -------------------------------------------------------------------------------------------------- */

static void traverse(void *object, weir_visit_fn visit, void *arg)
{
    wr_table_visit(&((struct weir_map *)object)->table, visit, arg);
}

static void clear(void *object) { weir_map_clear(object); }

static const struct weir_type objects_type = {
    .name = "map", .size = sizeof(struct weir_map), .traverse = traverse, .clear = clear};
static const struct weir_type values_type = {
    .name = "map of values", .size = sizeof(struct weir_map), .flags = WEIR_ACYCLIC, .dealloc = clear};

struct weir_map *weir_map_new(const struct weir_item *key, const struct weir_item *value)
{
    struct weir_item key_sort = wr_item_of(key), value_sort = wr_item_of(value);
    bool objects = wr_item_is_object(&key_sort) || wr_item_is_object(&value_sort);
    struct weir_map *map = weir_new(objects ? &objects_type : &values_type);
    if (map != NULL)
        wr_table_init(&map->table, key, value, false);
    return map;
}

bool weir_map_is(const void *object)
{
    return wr_item_is_either(object, &objects_type, &values_type);
}

size_t weir_map_count(const struct weir_map *map) { return map->table.count; }

int weir_map_reserve(struct weir_map *map, size_t count) { return wr_table_reserve(&map->table, count); }

static bool has_objects(const struct weir_map *map) { return wr_item_is_object(&map->table.value); }

/* ---- in -------------------------------------------------------------------------------------------------------- */

int weir_map_set(struct weir_map *map, const void *key, const void *value)
{
    struct wr_table *table = &map->table;
    char *old_block = NULL;
    void *entry, *old = NULL;
    int result = wr_table_add(table, key, &entry, &old_block);
    if (result < 0)
        return result;
    void *field = wr_table_value(table, entry);
    if (result == 0 && has_objects(map))
        old = wr_item_load(field);
    wr_item_store(&table->value, field, value);
    if (wr_unlikely(old_block != NULL))
        weir_free(old_block);
    weir_unref(old);
    return 0;
}

int weir_map_take(struct weir_map *map, const void *key, void *owned)
{
    if (!has_objects(map))
        return -EINVAL;
    return owned == NULL ? -ENOMEM : wr_item_taken(weir_map_set(map, key, owned), owned);
}

void *weir_map_slot(struct weir_map *map, const void *key)
{
    char *old_block = NULL;
    void *entry = NULL;
    int result = has_objects(map) ? -EINVAL : wr_table_add(&map->table, key, &entry, &old_block);
    weir_free(old_block);
    if (result >= 0)
        return wr_table_value(&map->table, entry);
    errno = -result;
    return NULL;
}

/* ---- out ------------------------------------------------------------------------------------------------------- */

void *weir_map_at(const struct weir_map *map, const void *key)
{
    void *entry = wr_table_find(&map->table, key);
    return entry != NULL ? wr_item_out(&map->table.value, wr_table_value(&map->table, entry)) : NULL;
}

void *weir_map_get(const struct weir_map *map, const void *key)
{
    return has_objects(map) ? weir_ref(weir_map_at(map, key)) : NULL;
}

bool weir_map_has(const struct weir_map *map, const void *key) { return wr_table_find(&map->table, key) != NULL; }

void *weir_map_pop(struct weir_map *map, const void *key)
{
    void *old_key, *value;
    if (!has_objects(map) || !wr_table_take(&map->table, key, &old_key, &value))
        return NULL;
    weir_unref(old_key);
    return value;
}

bool weir_map_remove(struct weir_map *map, const void *key) { return wr_table_remove(&map->table, key); }

void weir_map_clear(struct weir_map *map) { wr_table_clear(&map->table); }

bool weir_map_next(const struct weir_map *map, struct weir_cursor *at, void *key, void *value)
{
    const struct wr_table *table = &map->table;
    void *entry = wr_table_next(table, at);
    if (entry == NULL)
        return false;
    wr_item_give(key, wr_item_out(&table->key, wr_table_key(table, entry)));
    wr_item_give(value, wr_item_out(&table->value, wr_table_value(table, entry)));
    return true;
}
