/* SPDX-License-Identifier: MIT
 * The hash table under maps and sets: entries in the order in which they came, and an index of their numbers. */
#ifndef WR_TABLE_H
#define WR_TABLE_H

#include "object/item.h"

/** One block holds the entries, then the index. An entry is 8 bytes of its own, the key's field, the value's field. */
struct wr_table {
    struct weir_item key, value;
    bool is_set;                     /* no values */
    bool by_word;                    /* keys are values of 8 bytes, compared as such */
    uint32_t reserved;               /* entries that there stays room for until the table is cleared */
    char *data;                      /* the block; NULL: room and slots are 0 */
    uint32_t *index;                 /* see table.c; probed in turn */
    uint32_t slots;                  /* a power of two */
    uint32_t room;                   /* entries that there is memory for */
    uint32_t first, end;             /* places from the first entry that is there to behind the last */
    uint32_t count;                  /* entries that are there */
    uint32_t serial;                 /* the next entry's */
    size_t at_key, at_value, stride; /* bytes, in and of an entry */
};

/** Makes a zeroed table an empty one. */
void wr_table_init(struct wr_table *table, const struct weir_item *key, const struct weir_item *value, bool is_set);

/** The fields of an entry. */
WR_INLINE void *wr_table_key(const struct wr_table *table, void *entry) { return (char *)entry + table->at_key; }
WR_INLINE void *wr_table_value(const struct wr_table *table, void *entry) { return (char *)entry + table->at_value; }

/** The entry of a key, NULL if there is none. */
void *wr_table_find(const struct wr_table *table, const void *key);

/** The entry of a key; made if there is none, with zero bytes as its value. *old is to be freed once it is certain that
 *  nothing in it is needed: the caller's value may lie there.
 *  @return 1 if it was made, 0 if it was there, or -errno and nothing has changed. */
int wr_table_add(struct wr_table *table, const void *key, void **entry, char **old);

/** Takes the entry of a key out. What it referred to is the caller's: *old_key and *value, NULL where that is no
 *  object. False if there is none. */
bool wr_table_take(struct wr_table *table, const void *key, void **old_key, void **value);

/** Takes the entry of a key out and gives up what it referred to. False if there is none. */
bool wr_table_remove(struct wr_table *table, const void *key);

int wr_table_reserve(struct wr_table *table, size_t count);
void wr_table_visit(const struct wr_table *table, weir_visit_fn visit, void *arg);
void wr_table_clear(struct wr_table *table);

/** One step of an iteration: an entry, or NULL at the end. */
void *wr_table_next(const struct wr_table *table, struct weir_cursor *at);

#endif
