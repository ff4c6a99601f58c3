/* SPDX-License-Identifier: MIT
 * Open addressing with linear probing, at most half full; see map.h. A removal moves later entries up, so there are no
 * tombstones: a trace adds and removes millions of entries in a table of some thousands. */
#include "map.h"

#include <stdlib.h>

enum { SMALLEST = 1 << 10 };

static size_t home(const struct map *m, uint64_t key)
{
    return (size_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & (m->size - 1);
}

struct map_entry *map_find(const struct map *m, uint64_t key)
{
    if (m->count == 0)
        return NULL;
    for (size_t i = home(m, key); m->entry[i].key != 0; i = (i + 1) & (m->size - 1))
        if (m->entry[i].key == key)
            return &m->entry[i];
    return NULL;
}

static void insert(struct map *m, const struct map_entry *entry)
{
    size_t i = home(m, entry->key);
    while (m->entry[i].key != 0)
        i = (i + 1) & (m->size - 1);
    m->entry[i] = *entry;
}

static void grow(struct map *m)
{
    struct map old = *m;
    m->size = old.size > 0 ? 2 * old.size : SMALLEST;
    m->entry = calloc(m->size, sizeof *m->entry);
    if (m->entry == NULL)
        tool_die("out of memory: the trace has %zu blocks at once", old.count);
    for (size_t i = 0; i < old.size; i++)
        if (old.entry[i].key != 0)
            insert(m, &old.entry[i]);
    free(old.entry);
}

void map_add(struct map *m, const struct map_entry *entry)
{
    if (2 * m->count >= m->size)
        grow(m);
    insert(m, entry);
    m->count++;
}

void map_remove(struct map *m, struct map_entry *entry)
{
    size_t hole = (size_t)(entry - m->entry), mask = m->size - 1;
    for (size_t i = (hole + 1) & mask; m->entry[i].key != 0; i = (i + 1) & mask) {
        if (((i - home(m, m->entry[i].key)) & mask) < ((i - hole) & mask))
            continue; /* the hole is before its home */
        m->entry[hole] = m->entry[i];
        hole = i;
    }
    m->entry[hole].key = 0;
    m->count--;
}

void map_free(struct map *m)
{
    free(m->entry);
    *m = (struct map){0};
}
