/* SPDX-License-Identifier: MIT
 * What Weir's objects cost. bench/peers/objects.h has the measurements; bench/objects-all compares with others. */
#include <weir/weir.h>

struct node {
    struct node *left, *right;
    uint64_t value;
};

static const struct weir_type node_type = {
    .name = "node", .size = sizeof(struct node), WEIR_REFS(struct node, left, right)};

#define NODE struct node *
#define NONE NULL
#define GET(ref) (ref)
#define GIVE(slot, owned) ((slot) = (owned))
#define SET(slot, ref) ((slot) = weir_ref(ref))
#define DROP(ref) weir_unref(ref)
#define COUNTS 1
#define ATOMIC 0
#define SHARES 1
#define COLLECTS 1

#include <stdio.h>
#include <stdlib.h>

static struct node *make(void)
{
    struct node *node = weir_new(&node_type);
    if (node == NULL) {
        fputs("no memory\n", stderr);
        exit(1);
    }
    return node;
}

static void *make_array(size_t size) { return weir_calloc(1, size); }
static void drop_array(void *array) { weir_free(array); }
static void share(struct node *node) { weir_share(node); }
static void collect_young(void) { weir_gc_collect(WEIR_GC_YOUNG); }
static void collect_full(void) { weir_gc_collect(WEIR_GC_FULL); }
static void hold_off(bool on) { (on ? weir_gc_disable : weir_gc_enable)(); }
static void poll_from_here(void) {}
static void poll(void) { weir_gc_poll(1000000); }

#include "peers/objects.h"

int main(int argc, char **argv) { return measure_all(argc, argv); }
