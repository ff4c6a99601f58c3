/* SPDX-License-Identifier: MIT
 * `.clear()`: a container is emptied where it is, for all who hold it, and its memory goes back. */
#include <stdio.h>
#include <weir/weir.h>

#include "example.h"

enum { COUNT = 500000 };

static void check(int result)
{
    if (result < 0)
        weir_example_need(NULL);
}

int main(void)
{
    WEIR_AUTO struct weir_vec *vec = weir_example_need(weir_vec_new(WEIR_VALUES(long)));
    WEIR_AUTO struct weir_map *map = weir_example_need(weir_map_new(WEIR_VALUES(long), WEIR_VALUES(long)));
    WEIR_AUTO struct weir_set *set = weir_example_need(weir_set_new(WEIR_VALUES(long)));
    WEIR_AUTO struct weir_deque *deque = weir_example_need(weir_deque_new(NULL));
    WEIR_AUTO struct weir_vec *alias = weir_ref(vec);
    weir_example_print_resident("start");
    for (long i = 0; i < COUNT; i++) {
        check(weir_vec_push(vec, &i));
        check(weir_map_set(map, &i, &i));
        check(weir_set_add(set, &i));
        check(weir_deque_take_back(deque, weir_vec_new(NULL)));
    }
    weir_example_print_resident("full");
    printf("full: vec %zu, map %zu, set %zu, deque %zu\n", weir_vec_count(alias), weir_map_count(map),
           weir_set_count(set), weir_deque_count(deque));
    weir_vec_clear(vec);
    weir_map_clear(map);
    weir_set_clear(set);
    weir_deque_clear(deque);
    weir_trim(0);
    printf("cleared: vec %zu, map %zu, set %zu, deque %zu\n", weir_vec_count(alias), weir_map_count(map),
           weir_set_count(set), weir_deque_count(deque));
    weir_example_print_resident("end");
    return 0;
}
