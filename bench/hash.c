/* SPDX-License-Identifier: MIT
 * hash: hash tables with chains, as symbol tables and caches have them: an entry, its name and its value are a block
 * each, and the table doubles as it fills. Entries are looked up, replaced and removed. D. Knuth, "The Art of
 * Computer Programming", volume 3, section 6.4. */
#include "bench.h"

enum { ENTRIES = 40000, CHANGES = 60000, NAMES = 100000, VALUE_MOST = 200, WORK_PER_TABLE = 10 };

struct entry {
    struct entry *next;
    char *name;
    char *value;
    size_t value_size;
    uint64_t hash;
};

struct table {
    struct entry **chain;
    size_t chains, entries;
};

/** FNV-1a, by G. Fowler, L. C. Noll and K.-P. Vo. */
static uint64_t hash_name(const char *name)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *name != 0; name++)
        hash = (hash ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    return hash;
}

static void grow(struct table *table)
{
    size_t chains = table->chains * 2;
    struct entry **chain = (struct entry **)bench_need(calloc(chains, sizeof *chain));
    for (size_t i = 0; i < table->chains; i++)
        while (table->chain[i] != NULL) {
            struct entry *entry = table->chain[i];
            table->chain[i] = entry->next;
            entry->next = chain[entry->hash % chains];
            chain[entry->hash % chains] = entry;
        }
    free(table->chain);
    table->chain = chain;
    table->chains = chains;
}

/** The link to the entry of this name, or to where it would be. */
static struct entry **find(struct table *table, const char *name, uint64_t hash)
{
    struct entry **link = &table->chain[hash % table->chains];
    while (*link != NULL && ((*link)->hash != hash || strcmp((*link)->name, name) != 0))
        link = &(*link)->next;
    return link;
}

static void end_value(struct bench_thread *thread, struct entry *entry)
{
    thread->sum += bench_check(entry->value, entry->value_size);
    free(entry->value);
}

static void remove_entry(struct bench_thread *thread, struct table *table, struct entry **link)
{
    struct entry *entry = *link;
    *link = entry->next;
    end_value(thread, entry);
    thread->sum += bench_mix(hash_name(entry->name));
    free(entry->name);
    free(entry);
    table->entries--;
}

/** Gives the name a new value. */
static void set(struct bench_thread *thread, struct table *table, const char *name, uint64_t hash)
{
    struct entry **link = find(table, name, hash), *entry = *link;
    if (entry != NULL) {
        end_value(thread, entry);
    } else {
        entry = *link = (struct entry *)bench_malloc(sizeof *entry);
        entry->next = NULL;
        entry->hash = hash;
        entry->name = (char *)bench_need(strdup(name));
        table->entries++;
    }
    entry->value_size = bench_between(&thread->random, 9, VALUE_MOST);
    entry->value = (char *)bench_stamped(entry->value_size, thread->random);
    if (table->entries > table->chains)
        grow(table);
}

static void choose_name(struct bench_thread *thread, char *name, size_t room)
{
    size_t number = bench_below(&thread->random, NAMES);
    snprintf(name, room, "%.*s.%zu", (int)(number % 23), "a.name.of.some.length.or.other", number);
}

static void work(struct bench_thread *thread)
{
    for (size_t i = 0; i < (thread->bench->work + WORK_PER_TABLE - 1) / WORK_PER_TABLE; i++) {
        struct table table = {(struct entry **)bench_need(calloc(16, sizeof *table.chain)), 16, 0};
        for (unsigned j = 0; j < ENTRIES + CHANGES; j++) {
            char name[64];
            choose_name(thread, name, sizeof name);
            uint64_t hash = hash_name(name);
            struct entry **link = find(&table, name, hash);
            if (j >= ENTRIES && *link != NULL && bench_below(&thread->random, 2) == 0)
                remove_entry(thread, &table, link);
            else
                set(thread, &table, name, hash);
        }
        for (size_t j = 0; j < table.chains; j++)
            while (table.chain[j] != NULL)
                remove_entry(thread, &table, &table.chain[j]);
        free(table.chain);
    }
}

int main(int argc, char **argv)
{
    struct bench bench = bench_options(argc, argv, 1, "Hash tables that grow, with names and values as blocks.");
    bench_print(bench_run(&bench, work, NULL));
}
