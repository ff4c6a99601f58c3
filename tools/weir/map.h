/* SPDX-License-Identifier: MIT
 * A hash table from a number other than 0 to a block of a trace. */
#ifndef WEIR_TOOL_MAP_H
#define WEIR_TOOL_MAP_H

#include "tool.h"

struct map_entry {
    uint64_t key;    /* 0: free */
    uint64_t block;  /* its id */
    uint64_t size;   /* bytes asked for */
    uint64_t born;   /* the call that made it, counted from 1 */
    uint32_t thread; /* that made it */
    uint32_t slot;   /* for the table's user */
};

struct map {
    struct map_entry *entry;
    size_t size, count; /* a power of two or 0; entries in use */
};

/** The entry of `key`, or NULL. Entries move when others are added or removed. */
struct map_entry *map_find(const struct map *m, uint64_t key);

/** Adds an entry. pre: its key is not there. */
void map_add(struct map *m, const struct map_entry *entry);

/** Removes an entry that map_find() gave. */
void map_remove(struct map *m, struct map_entry *entry);

void map_free(struct map *m);

#endif
