/* SPDX-License-Identifier: MIT
 * The hash table under maps and sets; see table.h. The index is probed linearly and refers to entries by place. A slot
 * is 0, or the place + 1 in its low bits, as many as number the slots, and in the rest those bits of the entry's hash,
 * so hardly an entry of another key is fetched. Removing moves what follows in the index up, so it has no marks of what
 * was there. Entries that were removed leave a hole, and go when the table is rebuilt. What grows or shrinks is rebuilt
 * in a new block: until that is there nothing changes. Where room was reserved, there is always room behind the last
 * entry for those that are yet to come: end + (reserved - count) <= room. What a removal takes from that is made good
 * at once, without memory if need be.
 *
 * Serials only grow along the entries, so an iteration that remembers one goes on behind it whatever was rebuilt.
 * Takes no locks. */
#include "object/table.h"

#include <stdalign.h>

enum { MIN_SLOTS = 8 };
#define MAX_ENTRIES (UINT32_C(1) << 30)
#define HOLE (UINT32_C(1) << 31)

/** What an entry begins with. */
struct head {
    uint32_t hash; /* 31 bits; HOLE: the entry was removed */
    uint32_t serial;
};

/* ---- hash and equality ----------------------------------------------------------------------------------------- */

static uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Odd, with bits that are not regular: the fractional parts of the square roots of 2, 3 and 5. */
#define MIX_1 UINT64_C(0x6a09e667f3bcc909)
#define MIX_2 UINT64_C(0xbb67ae8584caa73b)
#define MIX_3 UINT64_C(0x3c6ef372fe94f82b)

/** Differs from process to process, where addresses do. */
static uint64_t seed(void) { return (uintptr_t)&wr_table_init * MIX_3; }

uint64_t weir_hash_bytes(const void *data, size_t size)
{
    const unsigned char *at = data;
    uint64_t hash = seed() ^ size * MIX_2, word[2];
    for (; size > 16; at += 16, size -= 16) {
        memcpy(word, at, 16);
        hash = fold(word[0] ^ MIX_1 ^ hash, word[1] ^ MIX_2);
    }
    word[0] = word[1] = 0;
    if (size > 0)
        memcpy(word, at, size);
    return fold(fold(word[0] ^ MIX_1 ^ hash, word[1] ^ MIX_2) ^ MIX_3, hash ^ MIX_1);
}

static uint64_t hash_string(const void *item)
{
    const char *string = *(const char *const *)item;
    return weir_hash_bytes(string, strlen(string));
}

static bool equal_strings(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b) == 0;
}

const struct weir_item weir_strings = {.size = sizeof(char *), .hash = hash_string, .equal = equal_strings};

static uint64_t hash_of(const struct weir_item *item, const void *key)
{
    if (item->hash != NULL)
        return item->hash(key);
    if (!wr_item_is_object(item))
        return weir_hash_bytes(key, item->size);
    const struct weir_type *type = weir_typeof(key);
    return type->hash != NULL ? type->hash(key) : (uintptr_t)key;
}

static uint64_t load_word(const void *key)
{
    uint64_t word;
    memcpy(&word, key, sizeof word);
    return word;
}

WR_INLINE uint32_t hash31(const struct wr_table *table, const void *key)
{
    uint64_t hash = wr_likely(table->by_word) ? load_word(key) : hash_of(&table->key, key);
    return (uint32_t)(fold(hash ^ seed(), MIX_1) >> 33);
}

static bool equal(const struct weir_item *item, const void *a, const void *b)
{
    if (a == b)
        return true;
    if (item->equal != NULL)
        return item->equal(a, b);
    if (!wr_item_is_object(item))
        return memcmp(a, b, item->size) == 0;
    const struct weir_type *type = weir_typeof(a);
    return type->equal != NULL && weir_typeof(b) == type && type->equal(a, b);
}

/* ---- entries --------------------------------------------------------------------------------------------------- */

/** What a field of this size may have to be aligned to. */
static size_t alignment(size_t size) { return wr_min(size & -size, 16); }

void wr_table_init(struct wr_table *table, const struct weir_item *key, const struct weir_item *value, bool is_set)
{
    table->key = wr_item_of(key);
    table->value = wr_item_of(value);
    table->is_set = is_set;
    table->by_word = table->key.size == sizeof(uint64_t) && table->key.hash == NULL && table->key.equal == NULL;
    size_t key_size = wr_item_room(&table->key), value_size = is_set ? 0 : wr_item_room(&table->value);
    size_t key_to = alignment(key_size), value_to = is_set ? 1 : alignment(value_size);
    table->at_key = wr_round_up(sizeof(struct head), key_to);
    table->at_value = wr_round_up(table->at_key + key_size, value_to);
    table->stride = wr_round_up(table->at_value + value_size, wr_max(wr_max(key_to, value_to), alignof(struct head)));
}

static struct head *head_at(const struct wr_table *table, uint32_t place)
{
    return (struct head *)(void *)(table->data + place * table->stride);
}

static bool has_objects(const struct wr_table *table)
{
    return wr_item_is_object(&table->key) || (!table->is_set && wr_item_is_object(&table->value));
}

/** What comes out of a key's field, as hash and equal functions want it. */
static const void *key_of(const struct wr_table *table, struct head *head)
{
    return wr_item_out(&table->key, wr_table_key(table, head));
}

/** The entry of a slot that is not 0. */
static struct head *slot_head(const struct wr_table *table, uint32_t slot)
{
    return head_at(table, (table->index[slot] & (table->slots - 1)) - 1);
}

/** Whether the entry of a slot that looks like it has the key. */
static bool has_key(const struct wr_table *table, uint32_t slot, const void *key, uint32_t hash)
{
    struct head *head = slot_head(table, slot);
    return head->hash == hash && equal(&table->key, key_of(table, head), key);
}

/** The slot of a key, or the free one where it belongs. pre: there are slots. */
WR_INLINE uint32_t slot_of(const struct wr_table *table, const void *key, uint32_t hash)
{
    uint32_t mask = table->slots - 1, slot = hash & mask, word;
    for (; (word = table->index[slot]) != 0; slot = (slot + 1) & mask) {
        if (((word ^ hash) & ~mask) != 0)
            continue;
        if (wr_likely(table->by_word) ? load_word(wr_table_key(table, slot_head(table, slot))) == load_word(key)
                                      : has_key(table, slot, key, hash))
            break;
    }
    return slot;
}

void *wr_table_find(const struct wr_table *table, const void *key)
{
    if (table->count == 0 || key == NULL)
        return NULL;
    uint32_t slot = slot_of(table, key, hash31(table, key));
    return table->index[slot] != 0 ? slot_head(table, slot) : NULL;
}

/* ---- room ------------------------------------------------------------------------------------------------------ */

static uint32_t room_of(uint64_t slots) { return (uint32_t)(slots * 5 / 8); }

static uint64_t slots_for(size_t count)
{
    uint64_t slots = MIN_SLOTS;
    while (room_of(slots) < count)
        slots *= 2;
    return slots;
}

/** Puts an entry's place into the index. pre: its key is not there yet. */
WR_INLINE void enter(struct wr_table *table, uint32_t place, uint32_t hash)
{
    uint32_t mask = table->slots - 1, slot = hash & mask;
    while (table->index[slot] != 0)
        slot = (slot + 1) & mask;
    table->index[slot] = (hash & ~mask) | (place + 1);
}

/** Tells the collector of a table that is its container's first member. */
static void note_storage(const struct wr_table *table, const struct wr_table *before)
{
    size_t from = before->room * before->stride + before->slots * sizeof *before->index,
           to = table->room * table->stride + table->slots * sizeof *table->index;
    if (has_objects(table) && from != to)
        wr_storage_change(table, from, to);
}

/** Moves the entries to a new block with so many slots, without holes. *old is to be freed by the caller. */
static int rebuild(struct wr_table *table, uint64_t slots, char **old)
{
    struct wr_table from = *table;
    size_t entries, index = slots * sizeof *table->index, size, room = room_of(slots);
    if (wr_max(table->key.size, table->value.size) > PTRDIFF_MAX / 4 ||
        __builtin_mul_overflow(room, table->stride, &entries) || __builtin_add_overflow(entries, index, &size))
        return -ENOMEM;
    char *data = weir_malloc(size);
    if (data == NULL)
        return -ENOMEM;
    table->data = data;
    table->index = memset(data + entries, 0, index);
    table->slots = (uint32_t)slots;
    table->room = (uint32_t)room;
    table->first = table->end = 0;
    note_storage(table, &from);
    for (uint32_t place = from.first; place < from.end; place++) {
        const struct head *head = head_at(&from, place);
        if ((head->hash & HOLE) != 0)
            continue;
        memcpy(head_at(table, table->end), head, table->stride);
        enter(table, table->end++, head->hash);
    }
    *old = from.data;
    return 0;
}

/** Moves the entries to the front of the block that there is, without holes. */
static void compact(struct wr_table *table)
{
    uint32_t end = table->end, from = table->first;
    memset(table->index, 0, table->slots * sizeof *table->index);
    table->first = table->end = 0;
    for (uint32_t place = from; place < end; place++) {
        const struct head *head = head_at(table, place);
        if ((head->hash & HOLE) != 0)
            continue;
        uint32_t hash = head->hash;
        if (place != table->end)
            memcpy(head_at(table, table->end), head, table->stride);
        enter(table, table->end++, hash);
    }
}

/** Slots for so many entries, and for one more than there is room for where they are so many that there would soon be
 *  another rebuild. */
static uint64_t slots_to_grow(const struct wr_table *table, size_t count)
{
    bool tight = count >= table->room - table->room / 4 && table->room < MAX_ENTRIES;
    return tight ? slots_for((size_t)table->room + 1) : table->slots;
}

/** Numbers the entries anew. An iteration that goes on may end early. */
static WR_COLD void renumber(struct wr_table *table)
{
    for (uint32_t place = 0; place < table->end; place++)
        head_at(table, place)->serial = place;
    table->serial = table->end;
}

/** Makes room for one more. */
static int make_room(struct wr_table *table, char **old)
{
    if (wr_unlikely(table->serial == UINT32_MAX))
        renumber(table);
    if (table->end < table->room)
        return 0;
    if (table->count == MAX_ENTRIES)
        return -EOVERFLOW;
    return rebuild(table, slots_to_grow(table, table->count), old);
}

/** Whether what was reserved can be added as the table is. */
static bool has_reserve(const struct wr_table *table, size_t reserved)
{
    return reserved <= table->count ? table->end <= table->room : table->end + (reserved - table->count) <= table->room;
}

/** Makes good what a removal has taken of the reserve. */
static WR_NOINLINE void restore_reserve(struct wr_table *table)
{
    char *old = NULL;
    uint64_t slots = slots_to_grow(table, table->reserved);
    if (slots == table->slots || rebuild(table, slots, &old) != 0)
        compact(table);
    weir_free(old);
}

/** Gives back what is unused. That may fail, and then nothing is wrong. */
static void shrink(struct wr_table *table)
{
    char *old = NULL;
    if (table->room < 40 || table->count >= table->room / 8)
        return;
    uint64_t slots = slots_for(wr_max((size_t)table->count * 2, table->reserved));
    if (slots < table->slots)
        (void)rebuild(table, slots, &old);
    weir_free(old);
}

int wr_table_reserve(struct wr_table *table, size_t count)
{
    char *old = NULL;
    if (count > MAX_ENTRIES)
        return -EOVERFLOW;
    if (!has_reserve(table, count)) {
        int result = rebuild(table, slots_for(wr_max(count, table->count)), &old);
        weir_free(old);
        if (result != 0 && count > table->room)
            return result;
        if (result != 0)
            compact(table);
    }
    table->reserved = (uint32_t)count;
    return 0;
}

/* ---- in and out ------------------------------------------------------------------------------------------------ */

int wr_table_add(struct wr_table *table, const void *key, void **entry, char **old)
{
    if (key == NULL)
        return -EINVAL;
    uint32_t hash = hash31(table, key), slot = table->slots > 0 ? slot_of(table, key, hash) : 0;
    if (table->slots > 0 && table->index[slot] != 0) {
        *entry = slot_head(table, slot);
        return 0;
    }
    int result = make_room(table, old);
    if (result != 0)
        return result;
    struct head *head = head_at(table, table->end);
    *head = (struct head){.hash = hash, .serial = table->serial++};
    wr_item_store(&table->key, wr_table_key(table, head), key);
    if (!table->is_set)
        wr_item_store(&table->value, wr_table_value(table, head), NULL);
    enter(table, table->end++, hash);
    table->count++;
    *entry = head;
    return 1;
}

/** Takes a slot out of the index: entries that were probed past it move up. */
static void leave(struct wr_table *table, uint32_t slot)
{
    uint32_t mask = table->slots - 1;
    for (uint32_t next = (slot + 1) & mask; table->index[next] != 0; next = (next + 1) & mask) {
        uint32_t home = slot_head(table, next)->hash & mask;
        if (((next - home) & mask) < ((next - slot) & mask))
            continue;
        table->index[slot] = table->index[next];
        slot = next;
    }
    table->index[slot] = 0;
}

bool wr_table_take(struct wr_table *table, const void *key, void **old_key, void **value)
{
    uint32_t slot = table->count > 0 && key != NULL ? slot_of(table, key, hash31(table, key)) : 0;
    if (table->count == 0 || key == NULL || table->index[slot] == 0)
        return false;
    struct head *head = slot_head(table, slot);
    leave(table, slot);
    *old_key = wr_item_is_object(&table->key) ? wr_item_load(wr_table_key(table, head)) : NULL;
    bool has_value = !table->is_set && wr_item_is_object(&table->value);
    *value = has_value ? wr_item_load(wr_table_value(table, head)) : NULL;
    head->hash = HOLE;
    table->count--;
    while (table->end > table->first && (head_at(table, table->end - 1)->hash & HOLE) != 0)
        table->end--;
    while (table->first < table->end && (head_at(table, table->first)->hash & HOLE) != 0)
        table->first++;
    if (table->count == 0)
        table->first = table->end = 0;
    shrink(table);
    if (wr_unlikely(table->reserved > table->count) && !has_reserve(table, table->reserved))
        restore_reserve(table);
    return true;
}

bool wr_table_remove(struct wr_table *table, const void *key)
{
    void *old_key, *old_value;
    if (!wr_table_take(table, key, &old_key, &old_value))
        return false;
    weir_unref(old_key);
    weir_unref(old_value);
    return true;
}

void wr_table_visit(const struct wr_table *table, weir_visit_fn visit, void *arg)
{
    for (uint32_t place = table->first; place < table->end; place++) {
        struct head *head = head_at(table, place);
        if ((head->hash & HOLE) != 0)
            continue;
        bool has_value = !table->is_set && wr_item_is_object(&table->value);
        void *value = has_value ? wr_item_load(wr_table_value(table, head)) : NULL;
        if (wr_item_is_object(&table->key))
            visit(wr_item_load(wr_table_key(table, head)), arg); /* which may be what makes the table change */
        if (has_value)
            visit(value, arg);
    }
}

static void release(void *object, void *arg WR_UNUSED) { weir_unref(object); }

void wr_table_clear(struct wr_table *table)
{
    struct wr_table old = *table;
    table->data = NULL;
    table->index = NULL;
    table->slots = table->room = table->first = table->end = table->count = table->reserved = 0;
    note_storage(table, &old);
    if (has_objects(&old))
        wr_table_visit(&old, release, NULL);
    weir_free(old.data);
}

/* ---- iteration ------------------------------------------------------------------------------------------------- */

/** The first place whose entry, or hole, has this serial or a later one. */
static uint32_t place_of(const struct wr_table *table, uint64_t serial, size_t hint)
{
    uint32_t low = table->first, high = table->end;
    if (hint > low && hint <= high && head_at(table, (uint32_t)hint - 1)->serial + UINT64_C(1) == serial)
        return (uint32_t)hint;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (head_at(table, middle)->serial < serial)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* A cursor's `next` is the serial wanted, plus 1; its hint the place where that may be. */
void *wr_table_next(const struct wr_table *table, struct weir_cursor *at)
{
    uint32_t place = wr_cursor_begins(at) ? table->first : place_of(table, at->next - 1, at->hint);
    while (place < table->end && (head_at(table, place)->hash & HOLE) != 0)
        place++;
    if (place >= table->end)
        return NULL;
    struct head *head = head_at(table, place);
    at->next = head->serial + UINT64_C(2);
    at->hint = place + 1;
    return head;
}
