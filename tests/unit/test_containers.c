/* SPDX-License-Identifier: MIT
 * Containers: against plain arrays as models, with finalizers that change the container they were in, in cycles, and
 * where memory is refused. */
#include "core/geometry.h"
#include "support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <weir/weir.h>

TestSuite(containers, .timeout = 120);

/* ---- objects that are counted ------------------------------------------------------------------------------------ */

struct thing {
    void *other;
    void (*at_end)(struct thing *self);
    long value;
};

static long finalized;

static void thing_ends(void *object)
{
    struct thing *thing = object;
    finalized++;
    if (thing->at_end != NULL)
        thing->at_end(thing);
}

static uint64_t thing_hash(const void *object) { return (uint64_t)((const struct thing *)object)->value; }
static bool thing_equal(const void *a, const void *b)
{
    return ((const struct thing *)a)->value == ((const struct thing *)b)->value;
}

/* Equal by address; and by value. */
static const struct weir_type thing_type = {
    .name = "thing", .size = sizeof(struct thing), .finalize = thing_ends, WEIR_REFS(struct thing, other)};
static const struct weir_type number_type = {.name = "number",
                                             .size = sizeof(struct thing),
                                             .finalize = thing_ends,
                                             .hash = thing_hash,
                                             .equal = thing_equal,
                                             WEIR_REFS(struct thing, other)};

static struct thing *make(const struct weir_type *type, long value)
{
    struct thing *thing = weir_new(type);
    must(thing != NULL, "no memory for an object");
    thing->value = value;
    return thing;
}

/* ---- vec --------------------------------------------------------------------------------------------------------- */

Test(containers, vec_of_objects_counts_references)
{
    struct weir_vec *vec = weir_vec_new(NULL);
    struct thing *a = make(&thing_type, 1);
    cr_assert(weir_vec_is(vec) && !weir_map_is(vec) && !weir_vec_is(a) && !weir_vec_is(NULL));
    cr_assert_eq(weir_vec_push(vec, a), 0);
    cr_assert_eq(weir_vec_push(vec, a), 0);
    cr_assert_eq(weir_vec_push(vec, NULL), 0);
    cr_assert_eq(weir_vec_take(vec, make(&thing_type, 2)), 0);
    cr_assert_eq(weir_vec_take(vec, NULL), -ENOMEM);
    cr_assert_eq(weir_refcount(a), 3);
    cr_assert_eq(weir_vec_count(vec), 4);
    cr_assert_eq(weir_vec_at(vec, 1), a);
    cr_assert_null(weir_vec_at(vec, 4));
    struct thing *b = weir_vec_get(vec, 3);
    cr_assert_eq(weir_refcount(b), 2);
    cr_assert_eq(weir_vec_set(vec, 0, b), 0);
    cr_assert_eq(weir_vec_set(vec, 4, b), -ERANGE);
    cr_assert_eq(weir_vec_insert(vec, 5, b), -ERANGE);
    cr_assert_eq(weir_refcount(a), 2);
    cr_assert_eq(weir_refcount(b), 3);
    cr_assert(weir_vec_remove(vec, 0) && !weir_vec_remove(vec, 3));
    cr_assert_eq(weir_refcount(b), 2);
    struct thing *popped = weir_vec_pop(vec);
    cr_assert_eq(popped, b);
    weir_unref(popped);
    weir_vec_clear(vec);
    cr_assert_eq(weir_refcount(a), 1);
    cr_assert_null(weir_vec_pop(vec));
    cr_assert_null(weir_vec_data(vec));
    weir_unref(b);
    cr_assert_eq(finalized, 1);
    weir_vec_push(vec, a);
    weir_unref(a);
    weir_unref(vec);
    cr_assert_eq(finalized, 2, "a vec's release releases what is in it");
    cr_assert_eq(unit_alive(), 0);
}

Test(containers, vec_of_values_as_a_model)
{
    struct unit_rng rng = {unit_seed()};
    struct weir_vec *vec = weir_vec_new(WEIR_VALUES(int));
    enum { MOST = 300 };
    int model[MOST + 1], zero[MOST] = {0};
    size_t count = 0;
    for (size_t round = unit_scale(100000); round > 0; round--) {
        int value = (int)unit_random(&rng);
        size_t i = unit_below(&rng, count + 1);
        switch (unit_below(&rng, 5)) {
        case 0:
        case 1:
            must(weir_vec_insert(vec, i, &value) == 0, "insert");
            memmove(model + i + 1, model + i, (count++ - i) * sizeof *model);
            model[i] = value;
            break;
        case 2:
            must(weir_vec_remove(vec, i) == (i < count), "remove");
            if (i < count)
                memmove(model + i, model + i + 1, (--count - i) * sizeof *model);
            break;
        case 3:
            must(weir_vec_set(vec, i, &value) == (i < count ? 0 : -ERANGE), "set");
            if (i < count)
                model[i] = value;
            break;
        default:
            if (i < count) { /* one of its own */
                must(weir_vec_insert(vec, 0, weir_vec_at(vec, i)) == 0, "insert own");
                value = model[i];
                memmove(model + 1, model, count++ * sizeof *model);
                model[0] = value;
            }
        }
        if (count == MOST) {
            count = unit_below(&rng, MOST);
            must(weir_vec_resize(vec, count) == 0, "resize");
        }
        must(weir_vec_count(vec) == count, "%zu items, not %zu", weir_vec_count(vec), count);
        must(count == 0 || memcmp(weir_vec_data(vec), model, count * sizeof *model) == 0, "content differs");
    }
    must(weir_vec_resize(vec, 0) == 0 && weir_vec_resize(vec, MOST) == 0, "resize");
    must(memcmp(weir_vec_data(vec), zero, sizeof zero) == 0, "what resize adds is not zero");
    cr_assert_null(weir_vec_pop(vec));
    cr_assert_null(weir_vec_get(vec, 0));
    cr_assert_eq(weir_vec_take(vec, NULL), -EINVAL);
    weir_unref(vec);
    cr_assert_eq(unit_alive(), 0);
}

/* ---- what a finalizer may do ------------------------------------------------------------------------------------- */

static struct weir_vec *the_vec;
static struct weir_map *the_map;
static struct weir_set *the_set;
static struct weir_deque *the_deque;

static void clear_all(struct thing *self)
{
    cr_assert_eq(self->value % 2, 0);
    weir_vec_clear(the_vec);
    weir_map_clear(the_map);
    weir_set_clear(the_set);
    weir_deque_clear(the_deque);
}

static void add_to_all(struct thing *self)
{
    struct thing *more = make(&thing_type, self->value + 1);
    must(weir_vec_push(the_vec, more) == 0, "push");
    must(weir_map_set(the_map, more, more) == 0, "set");
    must(weir_set_add(the_set, more) == 1, "add");
    must(weir_deque_push_front(the_deque, more) == 0, "push_front");
    weir_unref(more);
}

static void begin_all(void)
{
    the_vec = weir_vec_new(NULL);
    the_map = weir_map_new(NULL, NULL);
    the_set = weir_set_new(NULL);
    the_deque = weir_deque_new(NULL);
}

static void end_all(void)
{
    weir_clear(&the_vec);
    weir_clear(&the_map);
    weir_clear(&the_set);
    weir_clear(&the_deque);
}

static void fill_all(long count, void (*at_end)(struct thing *))
{
    for (long i = 0; i < count; i++) {
        struct thing *thing[4];
        for (int j = 0; j < 4; j++) {
            thing[j] = make(&thing_type, i * 2);
            thing[j]->at_end = at_end;
        }
        must(weir_vec_take(the_vec, thing[0]) == 0, "vec");
        must(weir_map_take(the_map, thing[1], weir_ref(thing[1])) == 0, "map");
        weir_unref(thing[1]);
        must(weir_set_take(the_set, thing[2]) == 1, "set");
        must(weir_deque_take_back(the_deque, thing[3]) == 0, "deque");
    }
}

Test(containers, finalizers_clear_while_iterating)
{
    begin_all();
    fill_all(100, clear_all);
    struct weir_cursor at = {0};
    struct thing *thing;
    size_t steps = 0;
    while (weir_vec_next(the_vec, &at, &thing)) { /* the first that goes takes all with it */
        steps++;
        weir_vec_remove(the_vec, 0);
    }
    cr_assert_eq(steps, 1);
    cr_assert_eq(finalized, 400);
    fill_all(100, clear_all);
    at = (struct weir_cursor){0};
    for (steps = 0; weir_map_next(the_map, &at, &thing, NULL); steps++)
        weir_map_remove(the_map, thing);
    cr_assert_eq(steps, 1);
    fill_all(100, clear_all);
    at = (struct weir_cursor){0};
    for (steps = 0; weir_set_next(the_set, &at, &thing); steps++)
        weir_set_remove(the_set, thing);
    cr_assert_eq(steps, 1);
    fill_all(100, clear_all);
    at = (struct weir_cursor){0};
    for (steps = 0; weir_deque_next(the_deque, &at, &thing); steps++)
        weir_deque_drop_back(the_deque);
    cr_assert_eq(steps, 1);
    cr_assert_eq(finalized, 1600);
    fill_all(100, clear_all);
    weir_map_clear(the_map);
    cr_assert_eq(finalized, 2000);
    end_all();
    cr_assert_eq(unit_alive(), 0);
}

Test(containers, finalizers_add_while_clearing)
{
    begin_all();
    fill_all(50, add_to_all);
    weir_vec_clear(the_vec);
    cr_assert_eq(finalized, 50);
    cr_assert_eq(weir_vec_count(the_vec), 50);
    cr_assert_eq(weir_map_count(the_map), 100);
    weir_map_clear(the_map);
    weir_set_clear(the_set);
    weir_deque_clear(the_deque);
    struct weir_vec *vec = weir_ref(the_vec);
    weir_vec_clear(vec);
    weir_map_clear(the_map);
    weir_set_clear(the_set);
    weir_deque_clear(the_deque);
    cr_assert_eq(weir_map_count(the_map) + weir_set_count(the_set) + weir_deque_count(the_deque), 0);
    weir_unref(vec);
    end_all();
    cr_assert_eq(unit_alive(), 0);
}

Test(containers, cycles_through_each_are_collected)
{
    begin_all();
    struct thing *thing = make(&thing_type, 0);
    void *all[] = {the_vec, the_map, the_set, the_deque};
    for (size_t i = 0; i < WR_COUNT(all); i++) {
        must(weir_vec_push(the_vec, all[i]) == 0, "vec");
        must(weir_map_set(the_map, all[i], all[(i + 1) % 4]) == 0, "map");
        must(weir_set_add(the_set, all[i]) == 1, "set");
        must(weir_deque_push_back(the_deque, all[i]) == 0, "deque");
    }
    must(weir_deque_push_back(the_deque, thing) == 0, "deque");
    weir_set(&thing->other, the_vec);
    weir_unref(thing);
    cr_assert_eq(weir_gc_collect(WEIR_GC_FULL), 0, "held from here");
    uint64_t before = unit_live_bytes();
    end_all();
    cr_assert_eq(finalized, 0);
    cr_assert_eq(weir_gc_collect(WEIR_GC_FULL), 5);
    cr_assert_eq(finalized, 1);
    cr_assert_eq(unit_alive(), 0);
    cr_assert_lt(unit_live_bytes(), before, "storage is freed");
}

/* ---- deep structures, memory that goes back ---------------------------------------------------------------------- */

static void *nest_and_drop(void *arg)
{
    size_t depth = *(size_t *)arg;
    void *inner = NULL;
    for (size_t i = 0; i < depth; i++) {
        struct weir_vec *vec = weir_vec_new(NULL);
        must(vec != NULL && weir_vec_push(vec, inner) == 0, "no memory");
        weir_unref(inner);
        inner = vec;
    }
    weir_unref(inner);
    return NULL;
}

Test(containers, nested_ones_are_released_on_a_small_stack)
{
    size_t depth = unit_scale(1000000);
    unit_on_stack(UNIT_SANITIZED ? WR_MIB : 64 * WR_KIB, nest_and_drop, &depth);
}

Test(containers, clear_gives_memory_back)
{
    if (UNIT_SANITIZED)
        cr_skip_test("sanitizers have memory of their own");
    begin_all();
    struct weir_vec *longs = weir_vec_new(WEIR_VALUES(long));
    weir_trim(0);
    size_t start = unit_resident();
    long count = (long)unit_scale(200000);
    fill_all(count, NULL);
    for (long i = 0; i < count * 8; i++)
        must(weir_vec_push(longs, &i) == 0, "push");
    size_t full = unit_resident();
    weir_vec_clear(longs);
    weir_vec_clear(the_vec);
    weir_map_clear(the_map);
    weir_set_clear(the_set);
    weir_deque_clear(the_deque);
    cr_assert_eq(finalized, count * 4, "all is released before clear returns");
    weir_trim(0);
    size_t end = unit_resident();
    must(full > start + (size_t)count * 150, "%zu KiB to begin with, only %zu when full", start / 1024, full / 1024);
    must(end < start + WR_MIB, "%zu KiB to begin with, %zu when full, %zu in the end", start / 1024, full / 1024,
         end / 1024);
    weir_unref(longs);
    end_all();
}

Test(containers, what_shrinks_gives_room_back)
{
    long count = 100000;
    begin_all();
    fill_all(count, NULL);
    uint64_t full = unit_live_bytes();
    while (weir_vec_count(the_vec) > 10) {
        weir_vec_remove(the_vec, weir_vec_count(the_vec) - 1);
        weir_deque_drop_front(the_deque);
        struct thing *thing;
        weir_map_next(the_map, &(struct weir_cursor){0}, &thing, NULL);
        weir_map_remove(the_map, thing);
        weir_set_next(the_set, &(struct weir_cursor){0}, &thing);
        weir_set_remove(the_set, thing);
    }
    cr_assert_eq(weir_map_count(the_map), 10);
    cr_assert_lt(unit_live_bytes(), full / 100);
    end_all();
}

/* ---- map and set ------------------------------------------------------------------------------------------------- */

/* Keys are short, or long, which are compared another way: then the number is not in their low bits. */
enum { LONG_SHIFT = 20 };

static const void *make_key(bool is_long, const short *number, long *space)
{
    *space = (long)*number << LONG_SHIFT;
    return is_long ? (const void *)space : number;
}

static short number_of(bool is_long, const void *key)
{
    return is_long ? (short)(*(const long *)key >> LONG_SHIFT) : *(const short *)key;
}

static void compare_map_with_model(bool is_long)
{
    struct unit_rng rng = {unit_seed()};
    enum { KEYS = 500 };
    long value_of[KEYS] = {0}, came[KEYS] = {0};
    long clock = 0;
    size_t count = 0;
    struct weir_map *map = weir_map_new(is_long ? WEIR_VALUES(long) : WEIR_VALUES(short), WEIR_VALUES(long));
    for (size_t round = unit_scale(200000); round > 0; round--) {
        short key = (short)unit_below(&rng, KEYS);
        long value = (long)round, space;
        const void *k = make_key(is_long, &key, &space);
        bool is_there = came[key] != 0;
        switch (unit_below(&rng, round / 1000 % 2 ? 3 : 6)) {
        case 0:
        case 1:
            must(weir_map_remove(map, k) == is_there, "remove %d", key);
            count -= is_there;
            came[key] = 0;
            break;
        case 2:
            must((*(long *)weir_map_slot(map, k) += 7) == (is_there ? value_of[key] : 0) + 7, "slot %d", key);
            value_of[key] = (is_there ? value_of[key] : 0) + 7;
            came[key] = is_there ? came[key] : ++clock;
            count += !is_there;
            break;
        default:
            must(weir_map_set(map, k, &value) == 0, "set");
            value_of[key] = value;
            came[key] = is_there ? came[key] : ++clock;
            count += !is_there;
        }
        must(weir_map_count(map) == count, "%zu entries, not %zu", weir_map_count(map), count);
        if (round % 100 != 0)
            continue;
        struct weir_cursor at = {0};
        void *met_key;
        long *v, last = 0;
        size_t met = 0;
        for (; weir_map_next(map, &at, &met_key, &v); met++) {
            short n = number_of(is_long, met_key);
            must(came[n] > last && *v == value_of[n], "key %d out of order, or its value wrong", n);
            last = came[n];
        }
        must(met == count, "an iteration met %zu of %zu", met, count);
        for (short k2 = 0; k2 < KEYS; k2++) {
            long *found = weir_map_at(map, make_key(is_long, &k2, &space));
            must((found != NULL) == (came[k2] != 0) && (found == NULL || *found == value_of[k2]), "key %d", k2);
        }
    }
    weir_unref(map);
}

Test(containers, map_as_a_model) { compare_map_with_model(false); }
Test(containers, map_of_words_as_a_model) { compare_map_with_model(true); }

Test(containers, map_iteration_over_a_map_that_changes)
{
    struct weir_map *map = weir_map_new(WEIR_VALUES(int), WEIR_VALUES(int));
    enum { START = 1000, END = 4000 };
    static int met[END];
    for (int i = 0; i < START; i++)
        must(weir_map_set(map, &i, &i) == 0, "set");
    struct weir_cursor at = {0};
    int *key, last = -1, next = START;
    while (weir_map_next(map, &at, &key, NULL)) {
        int here = *key, gone = here / 2;
        must(here > last, "%d after %d", here, last);
        last = here;
        met[here]++;
        weir_map_remove(map, &gone);
        if (here % 2 == 0)
            weir_map_remove(map, &here);
        for (int i = 0; i < 3 && next < END; i++, next++) /* rebuilds it now and then */
            must(weir_map_set(map, &next, &next) == 0, "set");
    }
    for (int i = 0; i < END; i++)
        must(met[i] == 1, "%d was met %d times", i, met[i]);
    weir_unref(map);
}

Test(containers, map_hash_and_equality_by_type)
{
    struct weir_map *map = weir_map_new(NULL, NULL);
    struct thing *one = make(&number_type, 1), *also_one = make(&number_type, 1), *other = make(&thing_type, 1);
    cr_assert_eq(weir_map_set(map, one, other), 0);
    cr_assert_eq(weir_map_at(map, also_one), other);
    cr_assert_not(weir_map_has(map, other), "another type, by address");
    cr_assert_eq(weir_map_set(map, also_one, one), 0);
    cr_assert_eq(weir_map_count(map), 1);
    cr_assert_eq(weir_refcount(one), 3, "the first key stays");
    cr_assert_eq(weir_refcount(also_one), 1);
    cr_assert_eq(weir_map_set(map, NULL, one), -EINVAL);
    cr_assert_eq(weir_map_take(map, NULL, weir_ref(one)), -EINVAL);
    cr_assert_eq(weir_refcount(one), 3, "_take consumes where it fails, too");
    cr_assert_eq(weir_map_take(map, one, NULL), -ENOMEM);
    struct thing *got = weir_map_get(map, also_one), *popped = weir_map_pop(map, also_one);
    cr_assert(got == one && popped == one);
    cr_assert_null(weir_map_pop(map, one));
    cr_assert_null(weir_map_get(map, one));
    errno = 0;
    cr_assert(weir_map_slot(map, one) == NULL && errno == EINVAL);
    weir_unref(got);
    weir_unref(popped);
    weir_unref(one);
    weir_unref(also_one);
    weir_unref(other);
    weir_unref(map);
    cr_assert_eq(finalized, 3);
}

static uint64_t bad_hash(const void *item WR_UNUSED) { return 7; }
static bool same_tens(const void *a, const void *b) { return *(const int *)a / 10 == *(const int *)b / 10; }

Test(containers, hash_and_equality_by_callback)
{
    const struct weir_item tens = {.size = sizeof(int), .hash = bad_hash, .equal = same_tens};
    struct weir_set *set = weir_set_new(&tens);
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(weir_set_add(set, &i), i % 10 == 0);
    cr_assert_eq(weir_set_count(set), 100);
    int seek = 555;
    cr_assert_eq(*(int *)weir_set_at(set, &seek), 550);
    for (int i = 995; i >= 0; i -= 20)
        cr_assert(weir_set_remove(set, &i));
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(weir_set_has(set, &i), i / 10 % 2 == 0, "%d", i);
    weir_unref(set);
}

Test(containers, strings_as_keys)
{
    struct weir_map *map = weir_map_new(&weir_strings, WEIR_VALUES(int));
    const char *words[] = {"the", "weir", "keeps", "the", "water", "the"};
    for (size_t i = 0; i < WR_COUNT(words); i++)
        ++*(int *)weir_map_slot(map, &words[i]);
    char the[] = "the";
    const char *key = the;
    cr_assert_eq(*(int *)weir_map_at(map, &key), 3);
    cr_assert_eq(weir_map_count(map), 4);
    weir_unref(map);
}

Test(containers, fields_are_aligned)
{
    struct weir_map *map = weir_map_new(WEIR_VALUES(char), WEIR_VALUES(long double));
    for (int c = 0; c < 100; c++) {
        char key = (char)c;
        long double value = c;
        must(weir_map_set(map, &key, &value) == 0, "set");
        must(unit_is_aligned(weir_map_at(map, &key), _Alignof(long double)), "alignment");
    }
    weir_unref(map);
}

Test(containers, hash_of_bytes_spreads)
{
    unsigned char bytes[40] = {0};
    struct weir_set *set = weir_set_new(WEIR_VALUES(uint64_t));
    for (size_t size = 0; size < sizeof bytes; size++)
        for (int bit = 0; bit < (int)size * 8; bit++) {
            bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
            uint64_t hash = weir_hash_bytes(bytes, size);
            must(weir_set_add(set, &hash) == 1, "two of %zu bytes have one hash", size);
            bytes[bit / 8] = 0;
        }
    weir_unref(set);
}

/* ---- deque ------------------------------------------------------------------------------------------------------- */

Test(containers, deque_as_a_model)
{
    struct unit_rng rng = {unit_seed()};
    struct weir_deque *deque = weir_deque_new(WEIR_VALUES(long));
    enum { ROOM = 1 << 20 };
    static long model[ROOM];
    size_t front = ROOM / 2, back = front;
    for (size_t round = unit_scale(200000); round > 0; round--) {
        long value = (long)round;
        bool grows = round / 500 % 2;
        switch (unit_below(&rng, 4)) {
        case 0:
            must(weir_deque_push_back(deque, &value) == 0, "push_back");
            model[back++] = value;
            break;
        case 1:
            must(weir_deque_push_front(deque, front < back ? weir_deque_at(deque, 0) : &value) == 0, "push_front");
            front--;
            model[front] = front + 1 < back ? model[front + 1] : value;
            break;
        case 2:
            must(grows || weir_deque_drop_back(deque) == (back > front), "drop_back");
            back -= !grows && back > front;
            break;
        default:
            must(grows || weir_deque_drop_front(deque) == (back > front), "drop_front");
            front += !grows && back > front;
        }
        must(weir_deque_count(deque) == back - front, "%zu items", weir_deque_count(deque));
        if (round % 50 == 0)
            for (size_t i = front; i < back; i++)
                must(*(long *)weir_deque_at(deque, i - front) == model[i], "item %zu", i - front);
        must(weir_deque_at(deque, back - front) == NULL, "beyond the end");
    }
    weir_unref(deque);
}

Test(containers, deque_iteration_while_its_ends_move)
{
    struct weir_deque *deque = weir_deque_new(WEIR_VALUES(int));
    for (int i = 0; i < 100; i++)
        must(weir_deque_push_back(deque, &i) == 0, "push");
    struct weir_cursor at = {0};
    int *item, expect = 0;
    while (weir_deque_next(deque, &at, &item)) {
        must(*item == expect, "%d, not %d", *item, expect);
        if (expect++ < 50)
            weir_deque_drop_front(deque);
        else if (expect < 1000)
            must(weir_deque_push_back(deque, &(int){(int)weir_deque_count(deque) + 50}) == 0, "push");
        must(weir_deque_push_front(deque, &(int){-1}) == 0 && weir_deque_drop_front(deque), "the front");
    }
    cr_assert_gt(expect, 1000);
    weir_unref(deque);
}

Test(containers, deque_of_objects)
{
    struct weir_deque *deque = weir_deque_new(NULL);
    for (long i = 0; i < 10; i++)
        must((i % 2 ? weir_deque_take_front : weir_deque_take_back)(deque, make(&thing_type, i)) == 0, "take");
    struct thing *front = weir_deque_pop_front(deque), *back = weir_deque_pop_back(deque),
                 *got = weir_deque_get(deque, 0);
    cr_assert(front->value == 9 && back->value == 8 && got->value == 7 && weir_refcount(got) == 2);
    weir_unref(front);
    weir_unref(back);
    weir_unref(got);
    cr_assert_eq(finalized, 2);
    weir_deque_clear(deque);
    cr_assert_eq(finalized, 10);
    cr_assert_null(weir_deque_pop_front(deque));
    weir_unref(deque);
}

/* ---- shared ones ------------------------------------------------------------------------------------------------- */

static void *release_elsewhere(void *object)
{
    weir_unref(object);
    return NULL;
}

Test(containers, shared_with_all_they_hold)
{
    begin_all();
    fill_all(10, NULL);
    must(weir_vec_push(the_vec, the_map) == 0 && weir_vec_push(the_vec, the_deque) == 0, "push");
    weir_share(the_vec);
    cr_assert(weir_is_shared(the_map) && weir_is_shared(weir_vec_at(the_vec, 3)) &&
              weir_is_shared(weir_deque_at(the_deque, 0)));
    weir_clear(&the_map);
    weir_clear(&the_deque);
    unit_on_thread(release_elsewhere, the_vec);
    the_vec = NULL;
    cr_assert_eq(finalized, 30);
    end_all();
}

/* ---- memory that is refused -------------------------------------------------------------------------------------- */

/** Lets the address space grow no more. */
static void refuse(bool on)
{
    struct rlimit limit = {on ? WR_MIB : RLIM_INFINITY, RLIM_INFINITY};
    must(setrlimit(RLIMIT_AS, &limit) == 0, "setrlimit");
}

/** Adds to each container until it fails, with memory refused; each must be as it was then. */
Test(containers, without_memory_they_stay_as_they_were)
{
    if (UNIT_SANITIZED)
        cr_skip_test("sanitizers need address space of their own");
    struct weir_vec *vec = weir_vec_new(WEIR_VALUES(long));
    struct weir_deque *deque = weir_deque_new(WEIR_VALUES(long));
    struct weir_map *map = weir_map_new(WEIR_VALUES(long), WEIR_VALUES(long));
    struct weir_set *set = weir_set_new(WEIR_VALUES(long));
    long done[4], i;
    int failure[5];
    refuse(true);
    for (i = 0; (failure[0] = weir_vec_push(vec, &i)) == 0; i++)
        continue;
    done[0] = i;
    for (i = 0; (failure[1] = weir_deque_push_back(deque, &i)) == 0; i++)
        continue;
    done[1] = i;
    for (i = 0; (failure[2] = weir_map_set(map, &i, &i)) == 0; i++)
        continue;
    done[2] = i;
    errno = 0;
    failure[4] = weir_map_slot(map, &i) == NULL ? -errno : 0;
    for (i = 0; (failure[3] = weir_set_add(set, &i)) == 1; i++)
        continue;
    done[3] = i;
    refuse(false);
    for (int j = 0; j < 5; j++)
        must(failure[j] == -ENOMEM, "failure %d is %d", j, failure[j]);
    must(weir_vec_count(vec) == (size_t)done[0] && weir_deque_count(deque) == (size_t)done[1] &&
             weir_map_count(map) == (size_t)done[2] && weir_set_count(set) == (size_t)done[3],
         "counts");
    for (i = 0; i < done[0]; i++)
        must(*(long *)weir_vec_at(vec, (size_t)i) == i, "vec");
    for (i = 0; i < done[1]; i++)
        must(*(long *)weir_deque_at(deque, (size_t)i) == i, "deque");
    for (i = 0; i < done[2]; i++)
        must(*(long *)weir_map_at(map, &i) == i, "map");
    must(!weir_map_has(map, &i), "an entry that failed is there");
    for (i = 0; i < done[3]; i++)
        must(weir_set_has(set, &i), "set");
    must(weir_vec_push(vec, &i) == 0 && weir_map_set(map, &i, &i) == 0, "they go on");
    weir_unref(vec);
    weir_unref(deque);
    weir_unref(map);
    weir_unref(set);
}

Test(containers, without_memory_references_are_not_lost)
{
    if (UNIT_SANITIZED)
        cr_skip_test("sanitizers need address space of their own");
    unit_need_small_pages(); /* else what is asked for here fits into an arena that is there */
    struct weir_vec *vec = weir_vec_new(NULL);
    struct weir_map *map = weir_map_new(NULL, NULL);
    struct thing *thing = make(&number_type, 1);
    refuse(true);
    int reserve[4] = {weir_vec_reserve(vec, SIZE_MAX / 4), weir_vec_reserve(vec, WR_MIB), weir_map_reserve(map, WR_MIB),
                      weir_map_reserve(map, SIZE_MAX)};
    int resize = weir_vec_resize(vec, WR_MIB);
    void **held = NULL;
    for (void **block; (block = weir_malloc(4096)) != NULL; held = block)
        *block = held;
    int failure = 0;
    for (int i = 0; i < 100000 && failure == 0; i++)
        failure = weir_vec_take(vec, weir_ref(thing));
    refuse(false);
    must(reserve[0] == -ENOMEM && reserve[1] == -ENOMEM && reserve[2] == -ENOMEM && reserve[3] == -EOVERFLOW,
         "reserve");
    must(resize == -ENOMEM, "resize");
    must(failure == -ENOMEM, "no push failed");
    must(weir_refcount(thing) == weir_vec_count(vec) + 1, "%zu references, %zu items", weir_refcount(thing),
         weir_vec_count(vec));
    for (void **next; held != NULL; held = next) {
        next = *held;
        weir_free(held);
    }
    weir_unref(vec);
    must(weir_is_unique(thing), "references are left");
    weir_unref(thing);
    weir_unref(map);
}

Test(containers, reserved_room_cannot_fail)
{
    if (UNIT_SANITIZED)
        cr_skip_test("sanitizers need address space of their own");
    enum { COUNT = 100000 };
    struct weir_vec *vec = weir_vec_new(WEIR_VALUES(int));
    struct weir_deque *deque = weir_deque_new(WEIR_VALUES(int));
    struct weir_map *map = weir_map_new(WEIR_VALUES(int), NULL);
    struct weir_set *set = weir_set_new(WEIR_VALUES(int));
    must(weir_vec_reserve(vec, COUNT) == 0 && weir_deque_reserve(deque, COUNT) == 0 &&
             weir_map_reserve(map, COUNT) == 0 && weir_set_reserve(set, COUNT) == 0,
         "reserve");
    uint64_t before = unit_live_bytes();
    for (int i = 0; i < COUNT; i++)
        must(weir_vec_push(vec, &i) == 0 && weir_deque_push_front(deque, &i) == 0 && weir_map_set(map, &i, NULL) == 0 &&
                 weir_set_add(set, &i) == 1,
             "push");
    cr_assert_eq(unit_live_bytes(), before);
    weir_unref(vec);
    weir_unref(deque);
    weir_unref(map);
    weir_unref(set);
}

/** The collector looks whenever weir_new() takes a page: with larger ones that is more seldom. */
Test(containers, storage_makes_passes_due)
{
    enum { ITEMS = 8192 };
    struct weir_gc_stats before, after;
    weir_unref(weir_vec_new(NULL)); /* geometry is set up with the first block */
    const int vecs = (int)(WR_PAGE_SIZE / 4);
    weir_gc_get_stats(&before);
    for (int i = 0; i < vecs; i++) {
        struct weir_vec *vec = weir_vec_new(NULL);
        cr_assert_not_null(vec);
        cr_assert_eq(weir_vec_reserve(vec, ITEMS), 0);
        cr_assert_eq(weir_vec_push(vec, vec), 0);
        weir_unref(vec);
    }
    weir_gc_get_stats(&after);
    cr_assert_geq(after.collected - before.collected, vecs * 3 / 4, "%lu of %d collected unasked",
                  (unsigned long)(after.collected - before.collected), vecs);
    weir_gc_collect(WEIR_GC_FULL);
    struct weir_gc_count count;
    weir_gc_get_count(&count);
    cr_assert_leq(count.young, 64 << 10, "%zu bytes are left", count.young);
}
