/* SPDX-License-Identifier: MIT
 * `gc.collect()`: two objects that refer to each other outlive their names, until the collector finds them. */
#include <stdio.h>
#include <weir/weir.h>

#include "example.h"

struct node {
    struct node *other;
};

static const struct weir_type node_type = {.name = "node", .size = sizeof(struct node), WEIR_REFS(struct node, other)};

int main(void)
{
    struct node *a = weir_example_need(weir_new(&node_type)), *b = weir_example_need(weir_new(&node_type));
    struct weir_weak watch;
    weir_weak_init(&watch, a, NULL, NULL);
    weir_set(&a->other, b);
    weir_set(&b->other, a);
    weir_clear(&a);
    weir_clear(&b);
    struct node *still = weir_weak_get(&watch);
    printf("no name is left, the objects %s\n", still != NULL ? "are alive" : "are gone");
    weir_unref(still);
    printf("freed %ld objects\n", weir_gc_collect(WEIR_GC_FULL));
    still = weir_weak_get(&watch);
    printf("the objects %s\n", still != NULL ? "are alive" : "are gone");
    weir_unref(still);
    weir_weak_fini(&watch);
    weir_example_print_resident("end");
    return 0;
}
