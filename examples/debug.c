/* SPDX-License-Identifier: MIT
 * `gc.set_debug(gc.DEBUG_STATS)`: the collector says what it does, on standard error, and counts it. */
#include <stdio.h>
#include <weir/weir.h>

#include "example.h"

struct node {
    struct node *next;
};

static const struct weir_type node_type = {.name = "node", .size = sizeof(struct node), WEIR_REFS(struct node, next)};

int main(void)
{
    weir_gc_disable(); /* it is asked here, and does not start by itself */
    weir_gc_set_debug(WEIR_GC_DEBUG_STATS);
    for (int i = 0; i < 1000; i++) {
        struct node *node = weir_example_need(weir_new(&node_type));
        weir_set(&node->next, node); /* refers to itself */
        weir_unref(node);
    }
    long found = weir_gc_collect(WEIR_GC_FULL);
    struct weir_gc_stats stats;
    weir_gc_get_stats(&stats);
    printf("collected %ld, in all %lu, alive %lu\n", found, (unsigned long)stats.collected,
           (unsigned long)stats.objects);
    weir_example_print_resident("end");
    return 0;
}
