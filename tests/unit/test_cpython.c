/* SPDX-License-Identifier: MIT
 * Cases of CPython's test_gc, test_weakref and test_finalization that have a meaning in C, by their names. Others are
 * in test_gc.c, test_object.c and elsewhere; tests/lint/cpython.py has the whole list, and checks it. */
#include "support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weir/weir.h>

TestSuite(cpython_gc, .timeout = 240);
TestSuite(cpython_weakref, .timeout = 240);
TestSuite(cpython_finalization, .timeout = 240);

/* ---- a node whose finalizer does what the node says -------------------------------------------------------------- */

struct node {
    struct node *left, *right;
    void (*at_end)(struct node *self);
    struct weir_weak weak;
    long value;
};

static long finalized, deallocated;
static void node_ends(void *object)
{
    struct node *node = object;
    finalized++;
    if (node->at_end != NULL)
        node->at_end(node);
}
static void node_gone(void *object)
{
    deallocated++;
    weir_weak_fini(&((struct node *)object)->weak);
}

#define NODE(its_name, its_flags)                                                                                      \
    {                                                                                                                  \
        .name = its_name, .size = sizeof(struct node), .flags = its_flags, .finalize = node_ends,                      \
        .dealloc = node_gone, WEIR_REFS(struct node, left, right)                                                      \
    }
static const struct weir_type node_type = NODE("node", 0), other_type = NODE("other", 0),
                              acyclic_type = NODE("acyclic", WEIR_ACYCLIC);

static struct node *make_of(const struct weir_type *type)
{
    struct node *node = weir_new(type);
    must(node != NULL, "no memory for an object");
    return node;
}
static struct node *make(void) { return make_of(&node_type); }

/** One that refers to itself: only a collection frees it. Owned. */
static struct node *make_loop(void)
{
    struct node *node = make();
    node->left = weir_ref(node);
    return node;
}

/** An old object, which a young pass does not look at: its page is full of others, and has been looked at. */
static struct node *make_old(struct weir_vec **others)
{
    struct node *old = make();
    *others = weir_vec_new(NULL);
    for (int i = 0; i < 2000; i++)
        must(weir_vec_take(*others, make()) == 0, "take");
    weir_gc_collect(WEIR_GC_FULL);
    return old;
}

static bool is_gone(struct weir_weak *weak)
{
    void *got = weir_weak_get(weak);
    weir_unref(got);
    return got == NULL;
}

/* ---- test_gc ----------------------------------------------------------------------------------------------------- */

static int looked_back;
/** Clears, and looks at those it refers to before: they must be whole, or cleared, but never freed. */
static void clear_and_look(void *object)
{
    struct node *node = object, *next = node->left;
    if (next != NULL) {
        must(weir_is_object(next) && next->value == 42, "a neighbour is gone before its turn");
        must(next->left == NULL || weir_is_object(next->left), "a neighbour's field is neither whole nor NULL");
        looked_back++;
    }
    weir_clear(&node->left);
}
static void visit_left(void *object, weir_visit_fn visit, void *arg) { visit(((struct node *)object)->left, arg); }
static const struct weir_type visiting_type = {.name = "visiting",
                                               .size = sizeof(struct node),
                                               .traverse = visit_left,
                                               .clear = clear_and_look,
                                               WEIR_REFS(struct node, right)};

Test(cpython_gc, test_function_tp_clear_leaves_consistent_state)
{
    enum { N = 50 };
    struct node *ring[N];
    for (int i = 0; i < N; i++) {
        ring[i] = make_of(&visiting_type);
        ring[i]->value = 42;
    }
    for (int i = 0; i < N; i++)
        weir_set(&ring[i]->left, ring[(i + 1) % N]);
    for (int i = 0; i < N; i++)
        weir_unref(ring[i]);
    unit_must_collect(N);
    must(looked_back > 0 && unit_alive() == 0, "%d looked, %lu alive", looked_back, unit_alive());
}

static void make_and_drop(struct node *self WR_UNUSED)
{
    struct node *node = make_loop();
    node->right = make();
    weir_unref(node);
}

Test(cpython_gc, test_del)
{
    weir_gc_set_debug(WEIR_GC_DEBUG_STRESS); /* each weir_new() in a finalizer starts a pass */
    for (int i = 0; i < 50; i++) {
        struct node *node = make();
        node->at_end = make_and_drop;
        node->left = make();
        node->left->at_end = make_and_drop;
        weir_unref(node);
    }
    weir_gc_set_debug(WEIR_GC_DEBUG_UNCOLLECTABLE);
    weir_gc_collect(WEIR_GC_FULL);
    must(unit_alive() == 0 && deallocated == 50 * 6, "%lu alive, %ld freed", unit_alive(), deallocated);
}

static _Atomic long nested, unnested;
static void note_unnested(void *object WR_UNUSED)
{
    sched_yield();
    unnested++;
}
static const struct weir_type nested_type = {
    .name = "nested", .size = sizeof(struct node), .finalize = note_unnested, WEIR_REFS(struct node, left, right)};

static void *nest_and_drop(void *arg WR_UNUSED)
{
    for (size_t round = 0; round < unit_scale(100); round++) {
        struct weir_vec *outer = NULL;
        for (int i = 0; i < 60; i++) {
            struct weir_vec *vec = weir_vec_new(NULL);
            struct node *node = make_of(&nested_type);
            nested++;
            weir_take(&node->left, (void *)outer);
            must(weir_vec_take(vec, node) == 0, "take");
            outer = vec;
        }
        weir_unref(outer);
    }
    return NULL;
}

Test(cpython_gc, test_trashcan_threads)
{
    pthread_t thread[2];
    for (int i = 0; i < 2; i++)
        must(pthread_create(&thread[i], NULL, nest_and_drop, NULL) == 0, "no thread");
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    must(nested == unnested && nested > 0, "%ld made, %ld finalized", (long)nested, (long)unnested);
}

static void break_loose(struct node *self)
{
    weir_clear(&self->left);
    weir_clear(&self->right);
}

Test(cpython_gc, test_boom)
{
    struct node *a = make(), *b = make();
    a->at_end = b->at_end = break_loose; /* the dead structure falls apart while it is being finalized */
    weir_take(&a->left, b);
    weir_set(&b->left, a);
    weir_unref(a);
    unit_must_collect(2);
    must(weir_gc_garbage_count() == 0 && finalized == 2 && deallocated == 2, "%ld, %ld", finalized, deallocated);
}

Test(cpython_gc, test_bug21435)
{
    struct node *a = make(), *b = make();
    b->at_end = break_loose;
    b->right = make();
    weir_take(&a->left, b);
    weir_set(&b->left, a);
    weir_unref(a);
    unit_must_collect(3);
    must(unit_alive() == 0 && deallocated == 3, "%lu alive", unit_alive());
}

static struct weir_weak watched[2];
static int looks, found_alive;
static void look_at_watched(struct weir_weak *weak WR_UNUSED, void *arg WR_UNUSED)
{
    looks++;
    for (int i = 0; i < 2; i++)
        found_alive += !is_gone(&watched[i]);
}

Test(cpython_gc, test_bug1055820b)
{
    struct node *node[2] = {make_loop(), make_loop()};
    for (int i = 0; i < 2; i++)
        weir_weak_init(&watched[i], node[i], look_at_watched, NULL);
    unit_must_collect(0);
    must(looks == 0, "called for the living");
    for (int i = 0; i < 2; i++)
        weir_unref(node[i]);
    unit_must_collect(2);
    must(looks == 2 && found_alive == 0, "%d calls, %d found by a weak reference", looks, found_alive);
}

/** c1 and c2 are young and in loops; c1 alone holds c0, which is old, and whose end looks for c2. */
static void young_pass_over_old_end(bool by_callback, void (*at_end)(struct node *))
{
    struct weir_weak of_c0;
    struct weir_vec *others;
    struct node *c0 = make_old(&others);
    c0->at_end = at_end;
    if (by_callback)
        weir_weak_init(&of_c0, c0, look_at_watched, NULL);
    struct node *c1 = make_loop(), *c2 = make_loop();
    c1->right = c0;
    weir_weak_init(&watched[0], c2, NULL, NULL);
    weir_unref(c1);
    weir_unref(c2);
    must(weir_gc_collect(WEIR_GC_YOUNG) == 2, "the young were not found");
    must(looks == 1 && found_alive == 0, "%d looks, %d found", looks, found_alive);
    weir_unref(others);
    must(unit_alive() == 0, "%lu are alive", unit_alive());
}

static void look_at_end(struct node *self WR_UNUSED) { look_at_watched(NULL, NULL); }

Test(cpython_gc, test_bug1055820c) { young_pass_over_old_end(true, NULL); }
Test(cpython_gc, test_bug1055820d) { young_pass_over_old_end(false, look_at_end); }

Test(cpython_gc, test_get_stats)
{
    struct weir_gc_stats before, after;
    weir_gc_disable();
    weir_unref(make());
    weir_gc_get_stats(&before);
    weir_gc_collect(WEIR_GC_YOUNG);
    weir_gc_get_stats(&after);
    must(after.young == before.young + 1 && after.full == before.full, "young passes");
    weir_unref(make_loop());
    weir_gc_collect(WEIR_GC_FULL);
    weir_gc_get_stats(&after);
    must(after.young == before.young + 1 && after.full == before.full + 1, "full passes");
    must(after.collected == before.collected + 1 && after.last_collected == 1 && after.uncollectable == 0 &&
             after.finalized == before.finalized + 1,
         "%lu collected", after.collected);
    must(after.time_ns >= after.last_ns && after.longest_ns >= after.last_ns, "times");
    weir_gc_enable();
}

static int calls;
static void note_call(struct weir_weak *weak WR_UNUSED, void *arg WR_UNUSED) { calls++; }

/** A holds Y, which the collector does not look into, and Y holds Z; all are dead, and so is who refers to Z weakly. */
Test(cpython_gc, test_trash_weakref_clear)
{
    struct node *a = make_loop(), *y = make_of(&acyclic_type), *z = make(), *holder = make_loop();
    weir_weak_init(&holder->weak, z, note_call, NULL);
    weir_take(&y->left, z);
    weir_take(&a->right, y);
    weir_unref(holder);
    weir_unref(a);
    unit_must_collect(2);
    must(calls == 0, "the callback of a weak reference in garbage ran");
    must(unit_alive() == 0, "%lu are alive", unit_alive());
}

static struct weir_gc_info told;
static void tell(enum weir_gc_phase phase, const struct weir_gc_info *info, void *arg WR_UNUSED)
{
    if (phase == WEIR_GC_STOP)
        told = *info;
}

static struct node *claimed;
static void visit_claimed(void *object, weir_visit_fn visit, void *arg)
{
    visit(((struct node *)object)->left, arg);
    visit(claimed, arg);
}
static void clear_left(void *object) { weir_clear(&((struct node *)object)->left); }
static const struct weir_type claiming_type = {
    .name = "claiming", .size = sizeof(struct node), .traverse = visit_claimed, .clear = clear_left};

Test(cpython_gc, test_collect_garbage)
{
    weir_gc_set_debug(0);
    weir_gc_on(tell, NULL);
    claimed = make(); /* ours is its only reference, and the other says that it is its */
    struct node *claiming = make_of(&claiming_type);
    claiming->left = weir_ref(claiming);
    weir_unref(claiming);
    weir_unref(make_loop());
    unit_must_collect(3);
    must(told.collected == 2 && told.uncollectable == 1 && weir_gc_garbage_count() == 1, "%ld and %ld", told.collected,
         told.uncollectable);
    weir_gc_garbage_clear();
    weir_unref(claimed);
    unit_must_collect(0);
    must(told.collected == 0 && told.uncollectable == 0 && unit_alive() == 0, "%ld and %ld", told.collected,
         told.uncollectable);
    weir_gc_off(tell, NULL);
}

/** A count lower than the references that there are: said, and kept. */
Test(cpython_gc, test_refcount_errors)
{
    char said[4096] = "", path[] = "/tmp/weir-cpython-XXXXXX";
    int file = mkstemp(path), saved = dup(STDERR_FILENO);
    struct node *a = make(), *b = make(), *c = make();
    unlink(path);
    weir_set(&a->left, c);
    weir_set(&b->left, c);
    ((int32_t *)c)[-2] = 1; /* two references, and ours */
    dup2(file, STDERR_FILENO);
    long found = weir_gc_collect(WEIR_GC_FULL);
    dup2(saved, STDERR_FILENO);
    must(pread(file, said, sizeof said - 1, 0) > 0, "nothing was said");
    must(found >= 0 && weir_is_object(c) && a->left == c && b->left == c, "%ld: freed", found);
    must(strstr(said, "type \"node\" has 1 references, but traverse functions visit it 2 times") != NULL, "%s", said);
    ((int32_t *)c)[-2] = 3;
    weir_gc_garbage_clear();
    weir_unref(a);
    weir_unref(b);
    weir_unref(c);
    close(saved);
    close(file);
}

/* ---- test_weakref ------------------------------------------------------------------------------------------------ */

static struct weir_weak group[3];
static void none_is_left(struct weir_weak *weak WR_UNUSED, void *arg WR_UNUSED)
{
    for (int i = 0; i < 3; i++)
        must(is_gone(&group[i]), "weak reference %d is not cleared when a callback runs", i);
    calls++;
}

Test(cpython_weakref, test_multiple_selfref_callbacks)
{
    struct node *node = make();
    for (int i = 0; i < 3; i++)
        weir_weak_init(&group[i], node, none_is_left, NULL);
    weir_unref(node);
    must(calls == 3, "%d callbacks", calls);
    node = make_loop();
    for (int i = 0; i < 3; i++)
        weir_weak_init(&group[i], node, none_is_left, NULL);
    weir_unref(node);
    unit_must_collect(1);
    must(calls == 6, "%d callbacks", calls);
}

static long collected_in_callback;
static void collect_in_callback(struct weir_weak *weak WR_UNUSED, void *arg WR_UNUSED)
{
    calls++;
    collected_in_callback = weir_gc_collect(WEIR_GC_FULL);
}

Test(cpython_weakref, test_sf_bug_840829)
{
    struct weir_weak weak;
    struct node *c = make();
    weir_weak_init(&weak, c, collect_in_callback, NULL);
    weir_unref(c); /* a pass while it is being released */
    must(calls == 1 && collected_in_callback == 0 && unit_alive() == 0, "%d, %ld", calls, collected_in_callback);
    struct node *c2 = make();
    c2->left = make();
    c2->left->left = make();
    weir_weak_init(&weak, c2->left->left, collect_in_callback, NULL);
    weir_unref(make_loop());
    weir_unref(c2);
    must(calls == 2 && collected_in_callback == 1 && unit_alive() == 0, "%d, %ld", calls, collected_in_callback);
}

Test(cpython_weakref, test_callback_gcs)
{
    struct weir_weak weak;
    struct node *x = make_loop();
    weir_weak_init(&weak, x, collect_in_callback, NULL);
    weir_unref(x);
    unit_must_collect(1);
    must(calls == 1 && collected_in_callback == -EBUSY && finalized == 1, "%d, %ld", calls, collected_in_callback);
}

/** c2 holds c1 and refers to it weakly, and to itself; c1 knows nothing of c2. Both are dead. */
static void callback_in_dead_holder(const struct weir_type *of_c1)
{
    struct node *c1 = make_of(of_c1), *c2 = make_loop();
    c2->right = c1;
    weir_weak_init(&c2->weak, c1, note_call, NULL);
    weir_unref(c2);
    must(calls == 0, "called for the living");
    unit_must_collect(2);
    must(calls == 0 && deallocated == 2 && unit_alive() == 0, "%d calls", calls);
}

Test(cpython_weakref, test_callback_reachable_one_way) { callback_in_dead_holder(&node_type); }
Test(cpython_weakref, test_callback_different_classes) { callback_in_dead_holder(&other_type); }

static struct node *brought_back;
static void bring_back(struct weir_weak *weak, void *arg WR_UNUSED)
{
    struct node *holder = (struct node *)(void *)((char *)weak - offsetof(struct node, weak));
    weir_set(&brought_back, holder->left);
}

Test(cpython_weakref, test_callback_in_cycle_resurrection)
{
    struct weir_weak external;
    struct node *c1 = make(), *c2 = make();
    weir_set(&c1->left, c2);
    weir_set(&c2->left, c1);
    weir_weak_init(&c1->weak, c2, bring_back, NULL);
    weir_weak_init(&c2->weak, c1, bring_back, NULL);
    weir_weak_init(&external, c1, note_call, NULL);
    weir_unref(c1);
    weir_unref(c2);
    unit_must_collect(2);
    must(brought_back == NULL && calls == 1 && is_gone(&external), "%d calls", calls);
    unit_must_collect(0);
}

static struct weir_weak from_end;
static void refer_at_end(struct node *self) { weir_weak_init(&from_end, self, note_call, NULL); }

Test(cpython_weakref, test_ref_created_during_del)
{
    struct node *node = make();
    node->at_end = refer_at_end;
    weir_unref(node);
    must(is_gone(&from_end) && calls == 1, "%d calls", calls);
    node = make_loop(); /* and in a dead cycle */
    node->at_end = refer_at_end;
    weir_unref(node);
    unit_must_collect(1);
    must(is_gone(&from_end) && unit_alive() == 0, "still there");
    weir_weak_fini(&from_end);
}

enum { CHAIN = 300 };
static struct weir_weak chain[CHAIN];
/** The next of the chain may be about to go: it is then no more to be had. */
static void look_at_next(struct weir_weak *weak, void *arg WR_UNUSED)
{
    size_t next = (size_t)(weak - chain) + 1;
    struct node *got = next < CHAIN ? weir_weak_get(&chain[next]) : NULL;
    must(got == NULL || weir_refcount(got) > 1, "an object whose count is 0 was given out");
    weir_unref(got);
    calls++;
}

Test(cpython_weakref, test_trashcan_16602)
{
    struct node *root = NULL;
    for (int i = CHAIN; i-- > 0;) {
        struct node *node = make();
        node->left = root;
        root = node;
        weir_weak_init(&chain[i], node, look_at_next, NULL);
    }
    weir_unref(root);
    must(calls == CHAIN && unit_alive() == 0, "%d calls", calls);
}

/* A dictionary with weak values: entries that lie in a map, and callbacks that take them out. */
struct entry {
    struct weir_weak value;
    long key;
};
static void entry_gone(void *object) { weir_weak_fini(&((struct entry *)object)->value); }
static const struct weir_type entry_type = {
    .name = "entry", .size = sizeof(struct entry), .flags = WEIR_ACYCLIC, .dealloc = entry_gone};
static struct weir_map *weak_values;

static void take_out(struct weir_weak *weak, void *arg WR_UNUSED)
{
    must(weir_map_remove(weak_values, &((struct entry *)(void *)weak)->key), "the entry is not there");
}

static void put_weakly(long key, struct node *node)
{
    struct entry *entry = weir_new(&entry_type);
    entry->key = key;
    weir_weak_init(&entry->value, node, take_out, NULL);
    must(weir_map_take(weak_values, &key, entry) == 0, "take");
}

static struct node *get_weakly(long key)
{
    struct entry *entry = weir_map_at(weak_values, &key);
    return entry != NULL ? weir_weak_get(&entry->value) : NULL;
}

enum { VALUES = 100 };
static struct node *value[VALUES];
static void make_weak_values(void)
{
    weak_values = weir_map_new(WEIR_VALUES(long), NULL);
    for (long i = 0; i < VALUES; i++) {
        value[i] = i % 2 ? make() : make_loop();
        put_weakly(i, value[i]);
    }
}

Test(cpython_weakref, test_weak_values)
{
    make_weak_values();
    for (long i = 0; i < VALUES; i++) {
        struct node *got = get_weakly(i);
        must(got == value[i], "value %ld", i);
        weir_unref(got);
    }
    must(weir_map_count(weak_values) == VALUES, "%zu", weir_map_count(weak_values));
    for (int i = 0; i < VALUES; i++)
        weir_clear(&value[i]);
    must(weir_map_count(weak_values) == VALUES / 2, "%zu after the release", weir_map_count(weak_values));
    unit_must_collect(VALUES / 2);
    must(weir_map_count(weak_values) == 0 && get_weakly(0) == NULL, "%zu", weir_map_count(weak_values));
    weir_unref(weak_values);
    must(unit_alive() == 0, "%lu are alive", unit_alive());
}

Test(cpython_weakref, test_weak_values_destroy_while_iterating)
{
    make_weak_values();
    struct weir_cursor at = {0};
    struct entry *entry;
    long *key, steps = 0, next = 0;
    while (weir_map_next(weak_values, &at, &key, &entry)) {
        must(*key >= next, "key %ld after %ld", *key, next);
        next = *key + 1;
        steps++;
        weir_clear(&value[next - 1]); /* the entry that we are at; what lies in a loop stays until the pass */
        if (next < VALUES)
            weir_clear(&value[next]); /* and the one that would be next */
        weir_gc_collect(WEIR_GC_FULL);
    }
    must(steps == VALUES / 2 && weir_map_count(weak_values) == 0, "%ld steps, %zu left", steps,
         weir_map_count(weak_values));
    weir_unref(weak_values);
    must(unit_alive() == 0, "%lu are alive", unit_alive());
}

/* ---- test_finalization ------------------------------------------------------------------------------------------- */

enum kind { SIMPLE, RESURRECTOR, SUICIDAL };
enum { MOST = 6 };

static struct node *survivor[MOST];
static int survivors;

/** What a finalizer finds: the structure is whole but for those that have killed themselves. */
static void check_sanity(const struct node *self)
{
    if (self->left != NULL)
        must(weir_is_object(self->left) && (self->left->right == self || self->left->right == NULL), "left");
    if (self->right != NULL)
        must(weir_is_object(self->right) && (self->right->left == self || self->right->left == NULL), "right");
}
static void end_simply(struct node *self) { check_sanity(self); }
static void end_resurrected(struct node *self)
{
    check_sanity(self);
    survivor[survivors++] = weir_ref(self);
}
static void end_by_suicide(struct node *self)
{
    check_sanity(self);
    break_loose(self);
}
static void (*const end_of[])(struct node *) = {end_simply, end_resurrected, end_by_suicide};

static void clear_survivors(void)
{
    for (int i = 0; i < survivors; i++)
        weir_clear(&survivor[i]);
    survivors = 0;
}

/** Each is finalized once; those that resurrect, and what they reach, survive, and do not a second time. */
static void check(struct node *node[], int count, int resurrectors)
{
    struct weir_weak weak[MOST];
    for (int i = 0; i < count; i++)
        weir_weak_init(&weak[i], node[i], NULL, NULL);
    for (int i = 0; i < count; i++)
        weir_unref(node[i]);
    weir_gc_collect(WEIR_GC_FULL);
    must(finalized == count, "%ld were finalized, not %d", finalized, count);
    must(survivors == resurrectors, "%d survivors, not %d", survivors, resurrectors);
    for (int i = 0; i < count && resurrectors == 0; i++)
        must(is_gone(&weak[i]), "number %d is still there", i);
    clear_survivors();
    weir_gc_collect(WEIR_GC_FULL);
    must(finalized == count && survivors == 0, "%ld finalized in the end, %d survivors", finalized, survivors);
    must(deallocated == count && unit_alive() == 0, "%ld freed, %lu alive", deallocated, unit_alive());
    for (int i = 0; i < count; i++)
        must(is_gone(&weak[i]), "number %d is still there in the end", i);
}

static void check_one(const struct weir_type *type, enum kind kind, bool loop)
{
    struct node *node = make_of(type);
    node->at_end = end_of[kind];
    if (loop) {
        node->left = weir_ref(node);
        node->right = weir_ref(node);
    }
    check(&node, 1, kind == RESURRECTOR);
}

static void check_chain(const enum kind *kind, int count)
{
    struct node *node[MOST];
    int resurrectors = 0;
    for (int i = 0; i < count; i++) {
        node[i] = make();
        node[i]->at_end = end_of[kind[i]];
        resurrectors += kind[i] == RESURRECTOR;
    }
    for (int i = 0; i < count; i++) {
        weir_set(&node[i]->right, node[(i + 1) % count]);
        weir_set(&node[(i + 1) % count]->left, node[i]);
    }
    check(node, count, resurrectors);
}
#define CHECK_CHAIN(...)                                                                                               \
    do {                                                                                                               \
        const enum kind kind[] = {__VA_ARGS__};                                                                        \
        check_chain(kind, (int)WR_COUNT(kind));                                                                        \
    } while (0)

Test(cpython_finalization, test_simple) { check_one(&node_type, SIMPLE, false); }
Test(cpython_finalization, test_simple_resurrect) { check_one(&node_type, RESURRECTOR, false); }
Test(cpython_finalization, test_non_gc) { check_one(&acyclic_type, SIMPLE, false); }
/* CPython finalizes such an object each time; here once is once. */
Test(cpython_finalization, test_non_gc_resurrect)
{
    struct node *node = make_of(&acyclic_type);
    must(!weir_gc_is_tracked(node), "tracked");
    node->at_end = end_resurrected;
    weir_unref(node);
    must(finalized == 1 && survivors == 1, "%ld, %d", finalized, survivors);
    clear_survivors();
    must(finalized == 1 && deallocated == 1 && unit_alive() == 0, "%ld, %ld", finalized, deallocated);
}
Test(cpython_finalization, self_cycle_test_simple) { check_one(&node_type, SIMPLE, true); }
Test(cpython_finalization, self_cycle_test_simple_resurrect) { check_one(&node_type, RESURRECTOR, true); }
Test(cpython_finalization, self_cycle_test_simple_suicide) { check_one(&node_type, SUICIDAL, true); }
Test(cpython_finalization, test_homogenous) { CHECK_CHAIN(SIMPLE, SIMPLE, SIMPLE); }
Test(cpython_finalization, test_homogenous_resurrect) { CHECK_CHAIN(RESURRECTOR, RESURRECTOR, RESURRECTOR); }
Test(cpython_finalization, test_homogenous_suicidal) { CHECK_CHAIN(SUICIDAL, SUICIDAL, SUICIDAL); }
Test(cpython_finalization, test_heterogenous_suicidal_one) { CHECK_CHAIN(SUICIDAL, SIMPLE, SUICIDAL, SIMPLE); }
Test(cpython_finalization, test_heterogenous_suicidal_two) { CHECK_CHAIN(SUICIDAL, SUICIDAL, SIMPLE, SIMPLE); }
Test(cpython_finalization, test_heterogenous_resurrect_one)
{
    CHECK_CHAIN(RESURRECTOR, SIMPLE, RESURRECTOR, SIMPLE);
}
Test(cpython_finalization, test_heterogenous_resurrect_two)
{
    CHECK_CHAIN(RESURRECTOR, SIMPLE, SUICIDAL, RESURRECTOR, SIMPLE, SUICIDAL);
}
Test(cpython_finalization, test_heterogenous_resurrect_three)
{
    CHECK_CHAIN(RESURRECTOR, RESURRECTOR, SIMPLE, SIMPLE, SUICIDAL, SUICIDAL);
}
