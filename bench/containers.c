/* SPDX-License-Identifier: MIT
 * What Weir's containers of plain values cost. bench/objects-all compares with others, in bench/peers. */
#include <weir/weir.h>

#include "peers/containers.h"

static void *must_be(void *container)
{
    if (container == NULL)
        exit(1);
    return container;
}

static uint64_t vec(size_t n)
{
    WEIR_AUTO struct weir_vec *vec = must_be(weir_vec_new(WEIR_VALUES(uint64_t)));
    struct weir_cursor at = {0};
    uint64_t sum = 0, *item;
    begin();
    for (uint64_t i = 0; i < n; i++)
        weir_vec_push(vec, &i);
    end("vec-push", n);
    while (weir_vec_next(vec, &at, &item))
        sum += *item;
    end("vec-iterate", n);
    return sum;
}

static uint64_t map(size_t n)
{
    WEIR_AUTO struct weir_map *map = must_be(weir_map_new(WEIR_VALUES(uint64_t), WEIR_VALUES(uint64_t)));
    struct weir_cursor at = {0};
    uint64_t sum = 0, *value;
    begin();
    for (uint64_t i = 0; i < n; i++)
        weir_map_set(map, &(uint64_t){key(i)}, &i);
    end("map-insert", n);
    end_size("map-bytes", n);
    for (uint64_t i = 0; i < n; i++)
        sum += *(uint64_t *)weir_map_at(map, &(uint64_t){key(i)});
    end("map-find", n);
    while (weir_map_next(map, &at, NULL, &value))
        sum += *value;
    end("map-iterate", n);
    for (uint64_t i = 0; i < n; i++)
        sum += weir_map_remove(map, &(uint64_t){key(i)});
    end("map-remove", n);
    return sum;
}

static uint64_t set(size_t n)
{
    WEIR_AUTO struct weir_set *set = must_be(weir_set_new(WEIR_VALUES(uint64_t)));
    uint64_t sum = 0;
    begin();
    for (uint64_t i = 0; i < n; i++)
        weir_set_add(set, &(uint64_t){key(i)});
    end("set-add", n);
    for (uint64_t i = 0; i < n; i++)
        sum += weir_set_has(set, &(uint64_t){key(i * 2)});
    end("set-has", n);
    return sum;
}

static uint64_t deque(size_t n)
{
    WEIR_AUTO struct weir_deque *deque = must_be(weir_deque_new(WEIR_VALUES(uint64_t)));
    uint64_t sum = 0;
    begin();
    for (uint64_t i = 0; i < n; i++)
        weir_deque_push_back(deque, &i);
    for (uint64_t i = 0; i < n; i++) {
        sum += *(uint64_t *)weir_deque_at(deque, 0);
        weir_deque_drop_front(deque);
        weir_deque_push_back(deque, &i);
    }
    end("deque-queue", n);
    return sum;
}

int main(int argc, char **argv) { return measure_all(argc, argv); }
