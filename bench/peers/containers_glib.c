/* SPDX-License-Identifier: MIT
 * Containers of GLib: GArray, GHashTable with keys in its pointers, GQueue. */
#include <glib.h>

#include "containers.h"

static uint64_t vec(size_t n)
{
    GArray *vec = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    uint64_t sum = 0;
    begin();
    for (uint64_t i = 0; i < n; i++)
        g_array_append_val(vec, i);
    end("vec-push", n);
    for (guint i = 0; i < vec->len; i++)
        sum += g_array_index(vec, uint64_t, i);
    end("vec-iterate", n);
    g_array_unref(vec);
    return sum;
}

static gpointer pointer(uint64_t number) { return (gpointer)(uintptr_t)number; }

static uint64_t map(size_t n)
{
    GHashTable *map = g_hash_table_new(NULL, NULL);
    GHashTableIter iter;
    gpointer value;
    uint64_t sum = 0;
    begin();
    for (uint64_t i = 0; i < n; i++)
        g_hash_table_insert(map, pointer(key(i)), pointer(i));
    end("map-insert", n);
    end_size("map-bytes", n);
    for (uint64_t i = 0; i < n; i++)
        sum += (uintptr_t)g_hash_table_lookup(map, pointer(key(i)));
    end("map-find", n);
    g_hash_table_iter_init(&iter, map);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        sum += (uintptr_t)value;
    end("map-iterate", n);
    for (uint64_t i = 0; i < n; i++)
        sum += (uint64_t)g_hash_table_remove(map, pointer(key(i)));
    end("map-remove", n);
    g_hash_table_unref(map);
    return sum;
}

static uint64_t set(size_t n)
{
    GHashTable *set = g_hash_table_new(NULL, NULL);
    uint64_t sum = 0;
    begin();
    for (uint64_t i = 0; i < n; i++)
        g_hash_table_add(set, pointer(key(i)));
    end("set-add", n);
    for (uint64_t i = 0; i < n; i++)
        sum += (uint64_t)g_hash_table_contains(set, pointer(key(i * 2)));
    end("set-has", n);
    g_hash_table_unref(set);
    return sum;
}

static uint64_t deque(size_t n)
{
    GQueue *deque = g_queue_new();
    uint64_t sum = 0;
    begin();
    for (uint64_t i = 0; i < n; i++)
        g_queue_push_tail(deque, pointer(i));
    for (uint64_t i = 0; i < n; i++) {
        sum += (uintptr_t)g_queue_pop_head(deque);
        g_queue_push_tail(deque, pointer(i));
    }
    end("deque-queue", n);
    g_queue_free(deque);
    return sum;
}

int main(int argc, char **argv) { return measure_all(argc, argv); }
