/* SPDX-License-Identifier: MIT
 * Objects of the collector of Boehm, Demers and Weiser (bdw-gc): nothing is counted, memory is scanned. */
#include <gc/gc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct node {
    struct node *left, *right;
    uint64_t value;
};

#define NODE struct node *
#define NONE NULL
#define GET(ref) (ref)
#define GIVE(slot, owned) ((slot) = (owned))
#define SET(slot, ref) ((slot) = (ref))
#define DROP(ref) ((void)(ref))
#define COUNTS 0
#define ATOMIC 0
#define SHARES 0
#define COLLECTS 1

static struct node *make(void)
{
    struct node *node = GC_MALLOC(sizeof *node);
    if (node == NULL) {
        fputs("no memory\n", stderr);
        exit(1);
    }
    return node;
}

static void *make_array(size_t size) { return GC_MALLOC_ATOMIC(size); }
static void drop_array(void *array) { (void)array; }
/* While collecting is disabled it cannot be asked for either. */
static bool is_held_off;

static void hold_off(bool on)
{
    is_held_off = on;
    if (on)
        GC_disable();
    else
        GC_enable();
}

static void collect_full(void)
{
    if (is_held_off)
        GC_enable();
    GC_gcollect();
    if (is_held_off)
        GC_disable();
}

static void collect_young(void) { collect_full(); }

/* In increments; it does them when memory is taken, too. */
static void poll_from_here(void)
{
    GC_enable();
    is_held_off = false;
}
static void poll(void) { GC_collect_a_little(); }

#include "objects.h"

int main(int argc, char **argv)
{
    GC_INIT();
    if (argc > 1 && strcmp(argv[1], "pauses") == 0) {
        GC_enable_incremental();
        GC_set_time_limit(1);
    }
    return measure_all(argc, argv);
}
