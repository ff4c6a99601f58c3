/* SPDX-License-Identifier: MIT
 * The complete example: build 2,000,000 squares as objects in a list, sum them, let go, collect; and the memory is
 * back. */
#include <stdio.h>
#include <weir/weir.h>

#include "example.h"

enum { COUNT = 2000000 };

struct number {
    long value;
};

static const struct weir_type number_type = {.name = "number", .size = sizeof(struct number), .flags = WEIR_ACYCLIC};

int main(void)
{
    weir_unref(weir_example_need(weir_vec_new(NULL))); /* what the first object takes is not what is measured */
    weir_example_print_resident("start");
    struct weir_vec *squares = weir_example_need(weir_vec_new(NULL));
    for (long i = 0; i < COUNT; i++) {
        struct number *number = weir_example_need(weir_new(&number_type));
        number->value = i * i;
        if (weir_vec_take(squares, number) != 0)
            weir_example_need(NULL);
    }
    struct weir_cursor at = {0};
    struct number *number;
    long sum = 0;
    while (weir_vec_next(squares, &at, &number))
        sum += number->value;
    printf("sum of %zu squares: %ld\n", weir_vec_count(squares), sum);
    weir_example_print_resident("full");
    weir_clear(&squares);
    printf("collected %ld\n", weir_gc_collect(WEIR_GC_FULL));
    weir_example_print_resident("end");
    return 0;
}
