/* SPDX-License-Identifier: MIT
 * The collector: cases of CPython's test_gc, test_weakref and test_finalization that have a meaning in C, by their
 * names; random graphs against a naive idea of what can be reached; wrong types; no memory; what it says and shows. */
#include "support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weir/weir.h>

TestSuite(gc, .timeout = 240);

struct node {
    struct node *left, *right;
    long value;
};

static int finalized;
static void count_finalized(void *object WR_UNUSED) { finalized++; }

static const struct weir_type node_type = {
    .name = "node", .size = sizeof(struct node), WEIR_REFS(struct node, left, right)};
static const struct weir_type final_type = {
    .name = "final", .size = sizeof(struct node), WEIR_REFS(struct node, left, right), .finalize = count_finalized};

static struct node *make(const struct weir_type *type)
{
    struct node *node = weir_new(type);
    must(node != NULL, "no memory for an object");
    return node;
}

/** A cycle of n objects, dropped. */
static void drop_cycle(const struct weir_type *type, int n)
{
    struct node *first = make(type), *last = first;
    for (int i = 1; i < n; i++) {
        last->left = make(type);
        last = last->left;
    }
    last->left = first; /* the reference that we had */
}

/** What is written to standard error while fn runs. */
static const char *said_by(void (*fn)(void))
{
    static char said[65536];
    char path[] = "/tmp/weir-gc-XXXXXX";
    int file = mkstemp(path), saved = dup(STDERR_FILENO);
    unlink(path);
    dup2(file, STDERR_FILENO);
    fn();
    dup2(saved, STDERR_FILENO);
    close(saved);
    ssize_t n = pread(file, said, sizeof said - 1, 0);
    said[n > 0 ? n : 0] = '\0';
    close(file);
    return said;
}

/* ---- test_gc ----------------------------------------------------------------------------------------------------- */

Test(gc, test_list)
{
    struct node *a = make(&node_type);
    a->left = weir_ref(a);
    unit_must_collect(0);
    weir_unref(a);
    unit_must_collect(1);
    must(unit_alive() == 0, "%lu are alive", unit_alive());
}

Test(gc, test_tuple_of_two)
{
    for (int n = 1; n < 300; n += 37) {
        drop_cycle(&node_type, n);
        unit_must_collect(n);
    }
}

Test(gc, test_instance_whose_cycle_hangs_on_another)
{
    struct node *a = make(&node_type), *b = make(&node_type);
    a->left = weir_ref(a);
    a->right = b;
    b->left = make(&node_type); /* what a dead cycle keeps goes with it */
    weir_unref(a);
    unit_must_collect(3);
}

Test(gc, test_method_both_ways_and_a_live_one_between)
{
    struct node *a = make(&node_type), *b = make(&node_type), *c = make(&node_type);
    weir_set(&a->left, b);
    weir_set(&b->left, a);
    weir_set(&b->right, c);
    weir_set(&c->right, a); /* c is held: all live */
    weir_unref(a);
    weir_unref(b);
    unit_must_collect(0);
    must(c->right->left->left == c->right, "the cycle was touched");
    weir_unref(c);
    unit_must_collect(3);
}

Test(gc, test_finalizer)
{
    finalized = 0;
    drop_cycle(&final_type, 10);
    drop_cycle(&node_type, 5);
    unit_must_collect(15);
    must(finalized == 10, "%d finalized", finalized);
}

Test(gc, test_collect_generations)
{
    must(weir_gc_collect(-1) == -EINVAL && weir_gc_collect(2) == -EINVAL, "generations that are none");
    struct node *old = make(&node_type);
    old->left = weir_ref(old);
    for (int i = 0; i < 1000; i++)
        weir_unref(make(&node_type));
    weir_gc_freeze(); /* so that the page is not current any more */
    weir_gc_unfreeze();
    unit_must_collect(0);
    weir_unref(old);
    must(weir_gc_collect(WEIR_GC_YOUNG) == 0, "a young pass looked at an old page");
    unit_must_collect(1);
    drop_cycle(&node_type, 3);
    must(weir_gc_collect(WEIR_GC_YOUNG) == 3, "a young cycle was not found by a young pass");
}

Test(gc, test_get_count_and_thresholds)
{
    struct weir_gc_threshold threshold, was;
    struct weir_gc_count count;
    weir_gc_get_threshold(&was);
    must(was.young == 1u << 20 && was.percent == 50, "defaults: %zu, %u", was.young, was.percent);
    threshold = (struct weir_gc_threshold){.young = 64 * 1024, .percent = 0};
    weir_gc_set_threshold(&threshold);
    struct node *list = NULL;
    struct weir_gc_stats stats;
    for (int i = 0; i < 1000; i++) {
        struct node *node = make(&node_type);
        node->left = list;
        list = node;
    }
    weir_gc_get_count(&count);
    must(count.young > 0 && count.young_due >= 64 * 1024 && count.full_due == SIZE_MAX, "%zu %zu", count.young,
         count.young_due);
    for (int i = 0; i < 100000; i++)
        drop_cycle(&node_type, 1);
    weir_gc_get_stats(&stats);
    must(stats.young > 0 && stats.collected > 90000, "%lu passes, %lu collected", stats.young, stats.collected);
    weir_unref(list);
    weir_gc_set_threshold(&was);
}

Test(gc, test_disable)
{
    struct weir_gc_stats stats;
    weir_gc_disable();
    must(!weir_gc_is_enabled(), "enabled");
    for (int i = 0; i < 200000; i++)
        drop_cycle(&node_type, 1);
    weir_gc_get_stats(&stats);
    must(stats.young + stats.full == 0 && stats.objects == 200000, "%lu passes", stats.young + stats.full);
    weir_gc_enable();
    must(weir_gc_is_enabled(), "not enabled");
    unit_must_collect(200000);
}

Test(gc, test_growth_is_bounded_where_passes_find_little_for_long)
{
    struct node *list = NULL;
    struct weir_gc_stats stats;
    for (int i = 0; i < 300000; i++) { /* passes find nothing, and become rare */
        struct node *node = make(&node_type);
        node->left = list;
        list = node;
    }
    uint64_t most = 0;
    for (int i = 0; i < 3000000; i++) {
        drop_cycle(&node_type, 1);
        if (i % 10000 == 0) {
            weir_gc_get_stats(&stats);
            most = wr_max(most, stats.objects);
        }
    }
    must(most < 300000 * 3 + (16u << 20) / 32, "%lu objects at once", most);
    weir_unref(list);
}

Test(gc, test_is_tracked)
{
    static const struct weir_type atom_type = {.name = "atom", .size = 8, .flags = WEIR_ACYCLIC};
    struct node *a = make(&node_type);
    void *atom = weir_new(&atom_type);
    must(weir_gc_is_tracked(a) && !weir_gc_is_tracked(atom), "tracked");
    weir_gc_freeze();
    must(!weir_gc_is_tracked(a), "tracked although frozen");
    weir_gc_unfreeze();
    weir_share(a);
    must(!weir_gc_is_tracked(a), "tracked although shared");
    weir_unref(a);
    weir_unref(atom);
}

static struct node *global;
static void revive(void *object)
{
    finalized++;
    weir_set(&global, object);
}
static const struct weir_type phoenix_type = {
    .name = "phoenix", .size = sizeof(struct node), WEIR_REFS(struct node, left, right), .finalize = revive};

Test(gc, test_is_finalized)
{
    finalized = 0;
    struct node *a = make(&phoenix_type);
    a->left = weir_ref(a);
    must(!weir_gc_is_finalized(a), "finalized");
    weir_unref(a);
    unit_must_collect(0); /* revived */
    must(weir_gc_is_finalized(a) && global == a && a->left == a && finalized == 1, "not whole");
    weir_clear(&global);
    unit_must_collect(1);
    must(finalized == 1, "finalized twice");
}

Test(gc, test_resurrection_does_not_block_cleanup_of_other_objects)
{
    finalized = 0;
    struct node *phoenix = make(&phoenix_type);
    phoenix->left = weir_ref(phoenix);
    phoenix->right = make(&node_type); /* lives on with it */
    weir_unref(phoenix);
    drop_cycle(&node_type, 1000);
    unit_must_collect(1000);
    must(global == phoenix && weir_refcount(phoenix->right) == 1, "what a revived object refers to has gone");
    weir_clear(&global);
    unit_must_collect(2);
}

Test(gc, test_resurrection_is_transitive)
{
    struct node *a = make(&phoenix_type), *b = make(&node_type);
    a->left = b;
    b->left = make(&node_type);
    b->left->left = weir_ref(b);
    b->right = weir_ref(a);
    weir_unref(a);
    unit_must_collect(0);
    must(unit_alive() == 3 && global->left->left->left == global->left, "not whole");
    weir_clear(&global);
    unit_must_collect(3);
}

static int gone;
static void count_gone(void *object WR_UNUSED) { gone++; }

static void *release_it(void *object)
{
    weir_unref(object);
    return NULL;
}

static struct {
    void *(*to)(void *object);
    struct node *kept;
} change;

/** Once: shares the object, or makes it immortal, and keeps it. */
static void change_and_keep(void *object)
{
    finalized++;
    if (change.to == NULL)
        return;
    change.kept = weir_ref(change.to(object));
    change.to = NULL;
}
static const struct weir_type changing_type = {.name = "changing",
                                               .size = sizeof(struct node),
                                               WEIR_REFS(struct node, left, right),
                                               .finalize = change_and_keep,
                                               .dealloc = count_gone};

/** A cycle of two whose finalizers do what `change` tells, and ten that die. */
static uint64_t collect_changing(int revived)
{
    struct weir_gc_stats before, after;
    struct node *a = make(&changing_type), *b = make(&changing_type);
    a->left = weir_ref(b);
    b->left = weir_ref(a);
    weir_unref(a);
    weir_unref(b);
    drop_cycle(&node_type, 10);
    finalized = gone = 0;
    weir_gc_get_stats(&before);
    unit_must_collect(12 - revived);
    weir_gc_get_stats(&after);
    must(finalized == 2 && gone == 2 - revived, "%d finalized, %d gone", finalized, gone);
    return after.revived - before.revived;
}

Test(gc, a_finalizer_shares_its_object)
{
    change.to = weir_share;
    uint64_t revived = collect_changing(2);
    must(revived == 2, "%lu revived", revived);
    struct node *a = change.kept;
    must(weir_is_shared(a->left) && weir_refcount(a) == 2 && weir_refcount(a->left) == 1, "%zu and %zu references",
         weir_refcount(a), weir_refcount(a->left));
    weir_clear(&a->left->left);
    weir_clear(&change.kept);
    must(gone == 2 && finalized == 2 && unit_alive() == 0, "%d gone, %d finalized", gone, finalized);
}

static void share_alone(void *object)
{
    finalized++;
    struct node *node = object;
    weir_clear(&node->left);
    unit_on_thread(release_it, weir_ref(weir_share(node)));
}
static const struct weir_type sharing_type = {.name = "sharing",
                                              .size = sizeof(struct node),
                                              WEIR_REFS(struct node, left, right),
                                              .finalize = share_alone,
                                              .dealloc = count_gone};

Test(gc, a_finalizer_shares_its_object_and_others_release_it)
{
    finalized = gone = 0;
    for (int i = 0; i < 20; i++)
        drop_cycle(&sharing_type, 1);
    drop_cycle(&node_type, 10);
    weir_gc_collect(WEIR_GC_FULL);
    must(finalized == 20 && gone == 20 && unit_alive() == 0, "%d finalized, %d gone", finalized, gone);
}

Test(gc, a_finalizer_makes_its_object_immortal)
{
    change.to = weir_immortalize;
    uint64_t revived = collect_changing(2);
    must(revived == 2 && weir_is_immortal(change.kept->left) && gone == 0, "%lu revived, %d gone", revived, gone);
}

static void count_call(struct weir_weak *weak WR_UNUSED, void *calls) { *(int *)calls += 1; }

Test(gc, test_weakref_callbacks_of_reachable_ones_run)
{
    struct weir_weak weak;
    static int calls;
    struct node *a = make(&node_type), *got;
    a->left = weir_ref(a);
    weir_weak_init(&weak, a, count_call, &calls);
    weir_unref(a);
    unit_must_collect(1);
    got = weir_weak_get(&weak);
    must(calls == 1 && got == NULL, "%d calls", calls);
    weir_weak_fini(&weak);
}

struct weak_node {
    struct weak_node *next;
    struct weir_weak weak;
};
static void fini_weak(void *object) { weir_weak_fini(&((struct weak_node *)object)->weak); }
static const struct weir_type weak_node_type = {
    .name = "weak node", .size = sizeof(struct weak_node), WEIR_REFS(struct weak_node, next), .dealloc = fini_weak};

Test(gc, test_weakref_callbacks_of_trash_do_not_run)
{
    static int calls;
    struct weak_node *a = weir_new(&weak_node_type), *b = weir_new(&weak_node_type);
    a->next = b;
    weir_set(&b->next, a);
    weir_weak_init(&a->weak, b, count_call, &calls);
    weir_weak_init(&b->weak, a, count_call, &calls);
    weir_unref(a);
    unit_must_collect(2);
    must(calls == 0, "the callback of a weak reference in garbage ran");
}

static struct weir_weak from_finalizer;
static void look_by_weak(void *object WR_UNUSED)
{
    struct node *got = weir_weak_get(&from_finalizer);
    must(got == NULL, "a finalizer in garbage found garbage by a weak reference");
    finalized++;
}
static const struct weir_type looking_type = {
    .name = "looking", .size = sizeof(struct node), WEIR_REFS(struct node, left, right), .finalize = look_by_weak};

Test(gc, test_weakrefs_are_cleared_before_finalizers)
{
    finalized = 0;
    struct node *a = make(&looking_type);
    a->left = make(&looking_type);
    weir_set(&a->left->left, a);
    weir_weak_init(&from_finalizer, a->left, NULL, NULL);
    weir_unref(a);
    unit_must_collect(2);
    must(finalized == 2, "%d", finalized);
}

static struct {
    struct weir_weak weak[3];
    int calls;
} late;

/** Tries to get at the dead by all weak references, and makes another one. */
static void look_late(struct weir_weak *weak WR_UNUSED, void *dead)
{
    late.calls++;
    for (int i = 0; i < 2; i++) {
        struct node *got = weir_weak_get(&late.weak[i]);
        must(got == NULL, "a callback found garbage by a weak reference that a finalizer had made");
    }
    weir_weak_fini(&late.weak[2]);
    weir_weak_init(&late.weak[2], dead, look_late, dead);
}

static void refer_late(void *object)
{
    struct node *node = object;
    finalized++;
    if (node->value == 0)
        return;
    weir_weak_init(&late.weak[0], node, look_late, node->left);
    weir_weak_init(&late.weak[1], node->left, look_late, node);
}
static const struct weir_type late_type = {
    .name = "late", .size = sizeof(struct node), WEIR_REFS(struct node, left, right), .finalize = refer_late};
static const struct weir_type late_dealloc_type = {.name = "late, with dealloc",
                                                   .size = sizeof(struct node),
                                                   WEIR_REFS(struct node, left, right),
                                                   .finalize = refer_late,
                                                   .dealloc = count_gone};

Test(gc, weak_references_that_finalizers_make)
{
    const struct weir_type *type[] = {&late_type, &late_dealloc_type};
    for (int i = 0; i < 2; i++) {
        struct node *a = make(type[i]), *b = make(type[i]);
        finalized = late.calls = 0;
        a->left = weir_ref(b);
        b->left = weir_ref(a);
        a->value = 1;
        weir_unref(a);
        weir_unref(b);
        unit_must_collect(2);
        must(finalized == 2 && late.calls == 2, "%d finalized, %d callbacks", finalized, late.calls);
        for (int w = 0; w < 3; w++) {
            struct node *got = weir_weak_get(&late.weak[w]);
            must(got == NULL, "weak reference %d gives what is dead", w);
            weir_weak_fini(&late.weak[w]);
        }
        must(unit_alive() == 0, "%lu are alive", unit_alive());
    }
}

static void collect_inside(void *object WR_UNUSED)
{
    must(weir_gc_collect(WEIR_GC_FULL) == -EBUSY, "a pass within a pass");
    must(weir_gc_poll(1000000) == -EBUSY, "a poll within a pass");
    finalized++;
}
static const struct weir_type nesting_type = {
    .name = "nesting", .size = sizeof(struct node), WEIR_REFS(struct node, left, right), .finalize = collect_inside};

Test(gc, test_re_entry)
{
    finalized = 0;
    drop_cycle(&nesting_type, 2);
    unit_must_collect(2);
    must(finalized == 2, "%d", finalized);
}

static void collect_in_release(void *object WR_UNUSED)
{
    drop_cycle(&node_type, 100);
    must(weir_gc_collect(WEIR_GC_FULL) == 100, "a pass within a release");
    finalized++;
}
static const struct weir_type collecting_type = {.name = "collecting",
                                                 .size = sizeof(struct node),
                                                 WEIR_REFS(struct node, left, right),
                                                 .finalize = collect_in_release};

Test(gc, test_collect_while_a_release_is_under_way)
{
    finalized = 0;
    struct node *list = NULL;
    for (int i = 0; i < 200; i++) {
        struct node *node = make(&collecting_type);
        node->left = list;
        node->right = make(&node_type);
        node->right->left = make(&node_type);
        list = node;
    }
    weir_unref(list);
    must(finalized == 200 && unit_alive() == 0, "%d, %lu alive", finalized, unit_alive());
}

Test(gc, test_trashcan_long_cycles)
{
    int n = (int)unit_scale(3000000);
    finalized = 0;
    weir_gc_disable();
    drop_cycle(&node_type, n);
    unit_must_collect(n);
    drop_cycle(&final_type, n / 10);
    unit_must_collect(n / 10);
    must(finalized == n / 10 && unit_alive() == 0, "%d", finalized);
    weir_gc_enable();
}

static int seen;
static int see(void *object, void *arg)
{
    seen++;
    return arg != NULL && object == arg ? 42 : 0;
}

Test(gc, test_get_objects)
{
    struct node *a = make(&node_type), *b = make(&node_type);
    seen = 0;
    must(weir_gc_each(WEIR_GC_FULL, see, NULL) == 0 && seen == 2, "%d objects", seen);
    must(weir_gc_each(WEIR_GC_FULL, see, a) == 42, "the result of the function");
    must(weir_gc_each(7, see, NULL) == -EINVAL, "a generation that is none");
    seen = 0;
    must(weir_gc_each(WEIR_GC_OLD, see, NULL) == 0 && seen == 0, "%d old ones", seen);
    weir_unref(a);
    weir_unref(b);
}

static int release(void *object, void *arg WR_UNUSED)
{
    weir_ref(object);
    weir_unref(make(&node_type));
    weir_unref(object);
    struct node *node = object;
    weir_clear(&node->left);
    seen++;
    return 0;
}

Test(gc, test_get_objects_that_are_released_meanwhile)
{
    struct node *list = NULL;
    for (int i = 0; i < 2000; i++) {
        struct node *node = make(&node_type);
        node->left = list;
        list = node;
    }
    seen = 0;
    must(weir_gc_each(WEIR_GC_FULL, release, NULL) == 0 && seen >= 1, "%d", seen);
    must(unit_alive() == 1, "%lu are alive", unit_alive());
    weir_unref(list);
}

Test(gc, test_get_referrers_and_referents)
{
    struct node *a = make(&node_type), *b = make(&final_type), *c = make(&node_type);
    weir_set(&a->left, c);
    weir_set(&a->right, c);
    weir_set(&b->left, c);
    seen = 0;
    must(weir_gc_referrers(c, see, NULL) == 0 && seen == 2, "%d referrers", seen);
    must(weir_gc_referrers(c, see, b) == 42, "b does not refer to c");
    seen = 0;
    must(weir_gc_referents(a, see, NULL) == 0 && seen == 2, "%d referents", seen);
    seen = 0;
    must(weir_gc_referrers(a, see, NULL) == 0 && seen == 0, "somebody refers to a");
    weir_unref(a);
    weir_unref(b);
    weir_unref(c);
}

static int release_referent(void *object, void *arg)
{
    struct node *node = arg;
    finalized = 0;
    seen++;
    if (object == node->left)
        weir_clear(&node->left);
    else
        weir_clear(&node->right);
    must(finalized == 0 && ((struct node *)object)->value == 7, "it died within the walk");
    must(weir_gc_collect(WEIR_GC_FULL) == -EBUSY, "a pass within the walk");
    return 0;
}

static int clear_map(void *object WR_UNUSED, void *map)
{
    seen++;
    weir_map_clear(map);
    return 0;
}

static int shrink_map(void *object WR_UNUSED, void *map)
{
    struct weir_cursor at = {0};
    struct node *key;
    seen++;
    for (int i = 0; i < 50 && weir_map_next(map, &at, &key, NULL); i++)
        must(weir_map_remove(map, key), "no such key");
    return 0;
}

Test(gc, referents_that_go_during_the_walk)
{
    struct node *a = make(&node_type);
    seen = 0;
    a->left = make(&final_type);
    a->right = make(&final_type);
    a->left->value = a->right->value = 7;
    must(weir_gc_referents(a, release_referent, a) == 0 && seen == 2 && finalized == 2, "%d seen", seen);
    weir_unref(a);
    struct weir_map *map = weir_map_new(NULL, NULL);
    for (int way = 0; way < 2; way++) {
        for (int i = 0; i < 1000; i++) {
            struct node *key = make(&node_type);
            must(weir_map_take(map, key, make(&final_type)) == 0, "no memory");
            weir_unref(key);
        }
        seen = 0;
        must(weir_gc_referents(map, way == 0 ? clear_map : shrink_map, map) == 0, "referents");
        must(way == 0 ? seen == 1 : seen > 1 && weir_map_count(map) == 0, "%d seen", seen);
    }
    weir_unref(map);
    must(unit_alive() == 0, "%lu are alive", unit_alive());
}

static void collect_with_saveall(void)
{
    weir_gc_set_debug(WEIR_GC_DEBUG_LEAK | WEIR_GC_DEBUG_STATS);
    drop_cycle(&node_type, 3);
    unit_must_collect(3);
    weir_gc_set_debug(WEIR_GC_DEBUG_UNCOLLECTABLE);
}

Test(gc, test_saveall)
{
    const char *said = said_by(collect_with_saveall);
    must(strstr(said, "gc: collectable: object 0x") != NULL && strstr(said, "type \"node\"") != NULL, "%s", said);
    must(strstr(said, "full pass: 3 objects looked at, 3 collected") != NULL, "%s", said);
    seen = 0;
    must(weir_gc_garbage_count() == 3 && weir_gc_garbage_each(see, NULL) == 0 && seen == 3, "%d kept", seen);
    unit_must_collect(0);
    weir_gc_garbage_clear();
    must(weir_gc_garbage_count() == 0, "kept");
    unit_must_collect(3);
    must(unit_alive() == 0, "%lu are alive", unit_alive());
}

static void clear_garbage(void *object WR_UNUSED)
{
    weir_gc_garbage_clear();
    finalized++;
}
static const struct weir_type clearing_type = {
    .name = "clearing", .size = sizeof(struct node), WEIR_REFS(struct node, left, right), .finalize = clear_garbage};

static void clear_garbage_called(struct weir_weak *weak WR_UNUSED, void *arg WR_UNUSED) { weir_gc_garbage_clear(); }

Test(gc, garbage_is_cleared_while_a_pass_is_about_to_keep_some)
{
    struct weir_weak weak;
    finalized = 0;
    weir_gc_set_debug(WEIR_GC_DEBUG_SAVEALL);
    for (size_t round = 1; round <= 4; round++) {
        struct node *dead = make(&clearing_type);
        dead->left = weir_ref(dead);
        weir_weak_init(&weak, dead, clear_garbage_called, NULL);
        weir_unref(dead);
        drop_cycle(&clearing_type, 9);
        size_t found = 10 * ((round + 1) / 2); /* with those that the pass before the last had kept */
        unit_must_collect((long)found);
        must(finalized == (int)round * 10, "%d finalized", finalized);
        must(weir_gc_garbage_count() == found, "%zu kept, not %zu", weir_gc_garbage_count(), found);
    }
    weir_gc_set_debug(WEIR_GC_DEBUG_UNCOLLECTABLE);
    weir_gc_garbage_clear();
    must(weir_gc_garbage_count() == 0, "kept");
    weir_gc_collect(WEIR_GC_FULL);
    must(unit_alive() == 0, "%lu are alive", unit_alive());
}

static int phases[2];
static struct weir_gc_info last_info;
static void watch(enum weir_gc_phase phase, const struct weir_gc_info *info, void *arg WR_UNUSED)
{
    phases[phase]++;
    last_info = *info;
}

Test(gc, test_callbacks)
{
    must(weir_gc_on(watch, NULL) == 0 && weir_gc_on(watch, NULL) == -EEXIST, "on");
    drop_cycle(&node_type, 5);
    unit_must_collect(5);
    must(phases[WEIR_GC_START] == 1 && phases[WEIR_GC_STOP] == 1, "%d %d", phases[0], phases[1]);
    must(last_info.collected == 5 && last_info.uncollectable == 0 && last_info.generation == WEIR_GC_FULL, "%ld",
         last_info.collected);
    must(weir_gc_off(watch, NULL) == 0 && weir_gc_off(watch, NULL) == -ENOENT, "off");
    unit_must_collect(0);
    must(phases[0] == 1, "called although off");
    for (long i = 0; i < 16; i++)
        must(weir_gc_on(watch, (void *)i) == 0, "watcher %ld", i);
    must(weir_gc_on(watch, (void *)99) == -ENOSPC, "17 watchers");
    for (long i = 0; i < 16; i++)
        weir_gc_off(watch, (void *)i);
}

Test(gc, test_freeze)
{
    drop_cycle(&node_type, 7);
    weir_gc_freeze();
    must(weir_gc_freeze_count() == 7, "%zu", weir_gc_freeze_count());
    unit_must_collect(0);
    drop_cycle(&node_type, 2);
    unit_must_collect(2);
    weir_gc_unfreeze();
    must(weir_gc_freeze_count() == 0, "%zu", weir_gc_freeze_count());
    unit_must_collect(7);
}

static const struct weir_type large_type = {
    .name = "large", .size = 50000, WEIR_REFS(struct node, left, right), .finalize = count_finalized};

Test(gc, test_large_objects_in_cycles)
{
    finalized = 0;
    weir_gc_disable();
    for (int i = 0; i < 100; i++) {
        struct node *large = make(&large_type), *small = make(&node_type);
        large->left = small;
        weir_set(&small->left, large);
        weir_unref(large);
    }
    unit_must_collect(200);
    must(finalized == 100 && unit_alive() == 0, "%d", finalized);
}

static void *reserve(size_t size)
{
    void *start = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return start != MAP_FAILED ? start : NULL;
}

/** Takes 80 GiB of addresses, and what is free above: what is mapped next lies below. */
static bool part_addresses(void)
{
    char *below = reserve((size_t)80 << 30), *piece = NULL;
    for (int i = 0; below != NULL && i < 10000 && (i == 0 || piece > below); i++)
        piece = reserve((size_t)4 << 20);
    return piece != NULL && piece < below;
}

/** The notes have rows for arenas within 64 GiB of the lowest; objects beyond are searched for. */
Test(gc, a_cycle_through_arenas_far_apart)
{
    enum { MOST = 1 << 19 };
    int made = 1, apart = 0;
    weir_gc_disable();
    struct node *first = make(&node_type), *last = first;
    bool parted = part_addresses();
    for (; parted && made < MOST && apart < 1000; made++) {
        last->left = make(&node_type);
        last = last->left;
        last->right = weir_ref(first);
        apart += (uintptr_t)first - (uintptr_t)last > (uintptr_t)64 << 30 && last < first;
    }
    if (apart == 0)
        cr_skip_test("no arenas far apart");
    last->left = weir_ref(first);
    unit_must_collect(0);
    weir_unref(first);
    unit_must_collect(made);
    must(unit_alive() == 0, "%lu are alive", unit_alive());
}

Test(gc, test_full_pass_returns_memory)
{
    size_t before = unit_resident();
    weir_gc_disable();
    for (int i = 0; i < 500000; i++)
        drop_cycle(&node_type, 1);
    weir_gc_enable();
    unit_must_collect(500000);
    must(unit_resident() < before + (2u << 20) + (UNIT_SANITIZED ? (64u << 20) : 0), "%zu KiB before, %zu after",
         before >> 10, unit_resident() >> 10);
}

/* ---- more references than a byte counts -------------------------------------------------------------------------- */

Test(gc, hubs_with_many_references)
{
    for (int n = 250; n < 70000; n = n * 4 + 3) {
        struct node *hub = make(&node_type);
        struct node *list = NULL;
        for (int i = 0; i < n; i++) {
            struct node *node = make(&node_type);
            node->right = weir_ref(hub);
            node->left = list;
            list = node;
        }
        hub->left = list;
        unit_must_collect(0);
        weir_ref(hub);
        weir_unref(hub);
        unit_must_collect(0);
        weir_unref(hub);
        unit_must_collect(n + 1);
    }
}

/* ---- wrong types ------------------------------------------------------------------------------------------------- */

static void visit_left_only(void *object, weir_visit_fn visit, void *arg) { visit(((struct node *)object)->left, arg); }
static void clear_both(void *object)
{
    weir_clear(&((struct node *)object)->left);
    weir_clear(&((struct node *)object)->right);
}
static const struct weir_type forgetful_type = {
    .name = "forgetful", .size = sizeof(struct node), .traverse = visit_left_only, .clear = clear_both};

Test(gc, a_traverse_that_forgets_leaks)
{
    struct node *a = make(&forgetful_type);
    a->right = weir_ref(a);
    weir_unref(a);
    unit_must_collect(0);
    must(unit_alive() == 1, "freed");
    weir_clear(&a->right);
    must(unit_alive() == 0, "not released by its count");
    a = make(&forgetful_type);
    a->left = weir_ref(a);
    weir_unref(a);
    unit_must_collect(1);
}

static struct node *invented;
static void visit_invented(void *object, weir_visit_fn visit, void *arg)
{
    visit(((struct node *)object)->left, arg);
    visit(invented, arg);
    visit(invented, arg);
}
static void clear_left(void *object) { weir_clear(&((struct node *)object)->left); }
static const struct weir_type inventive_type = {
    .name = "inventive", .size = sizeof(struct node), .traverse = visit_invented, .clear = clear_left};

static struct node *inventor;
static void collect_invented(void) { unit_must_collect(1); }
static void collect_sly(void) { unit_must_collect(2); }

Test(gc, a_traverse_that_invents_is_reported_and_the_object_kept)
{
    invented = make(&node_type);
    inventor = make(&inventive_type);
    const char *said = said_by(collect_invented);
    must(strstr(said, "type \"node\" has 1 references, but traverse functions visit it 2 times") != NULL, "%s", said);
    must(strstr(said, "type \"inventive\" visits it 2 times") != NULL, "%s", said);
    must(unit_alive() == 2 && weir_refcount(invented) == 1, "freed");
    weir_unref(inventor);
    weir_unref(invented);
}

static void visit_both(void *object, weir_visit_fn visit, void *arg)
{
    struct node *node = object;
    visit(node->left, arg);
    visit(node->right, arg);
}
static void clear_nothing(void *object WR_UNUSED) {}
static const struct weir_type stubborn_type = {
    .name = "stubborn", .size = sizeof(struct node), .traverse = visit_both, .clear = clear_nothing};
static const struct weir_type visited_type = {.name = "visited", .size = sizeof(struct node), .traverse = visit_both};

static void collect_stubborn(void) { unit_must_collect(4); }
static void collect_all(void) { weir_gc_collect(WEIR_GC_FULL); }

Test(gc, what_a_kept_object_has_lost_is_visited_no_more)
{
    struct node *a = make(&stubborn_type), *b = make(&stubborn_type), *kept = make(&visited_type);
    struct node *lost = make(&node_type), *fresh;
    a->left = b; /* they refer to each other whatever is done */
    b->left = weir_ref(a);
    b->right = kept;
    kept->left = lost; /* and so this one cannot go, while what it visits does */
    weir_unref(a);
    const char *said = said_by(collect_stubborn);
    must(strstr(said, "type \"visited\" has 1 references after all") != NULL, "%s", said);
    must(weir_gc_garbage_count() == 3 && unit_alive() == 3, "%zu kept", weir_gc_garbage_count());
    fresh = make(&node_type);
    must(fresh == lost, "the block was not taken again"); /* or this shows nothing */
    fresh->value = 42;
    seen = 0;
    weir_gc_garbage_clear();
    for (int i = 0; i < 2; i++) {
        must(weir_gc_referrers(fresh, see, NULL) == 0 && seen == 0, "something refers to it");
        said_by(collect_all);
        weir_gc_garbage_clear();
    }
    weir_share(kept);
    must(!weir_is_shared(fresh), "shared by way of what was lost");
    must(weir_refcount(fresh) == 1 && fresh->value == 42, "an object was taken for one that had gone");
    weir_unref(fresh);
}

static void *(*change_sort)(void *); /* by the first clear of a pass: objects that are released may not be shared */
static void clear_and_change(void *object)
{
    if (change_sort != NULL)
        change_sort(object);
    change_sort = NULL;
    weir_clear(&((struct node *)object)->left);
}
static const struct weir_type resorted_type = {
    .name = "resorted", .size = sizeof(struct node), WEIR_REFS(struct node, left), .clear = clear_and_change};

Test(gc, a_clear_function_may_change_the_sort_of_its_object)
{
    weir_gc_set_debug(WEIR_GC_DEBUG_UNCOLLECTABLE);
    change_sort = weir_share;
    drop_cycle(&resorted_type, 2);
    const char *said = said_by(collect_all);
    must(strstr(said, "uncollectable") == NULL && weir_gc_garbage_count() == 0, "%s", said);
    must(change_sort == NULL && unit_alive() == 0, "%lu are alive that were shared", unit_alive());
    change_sort = weir_immortalize;
    drop_cycle(&resorted_type, 2);
    said = said_by(collect_all);
    must(strstr(said, "uncollectable") == NULL && weir_gc_garbage_count() == 0, "%s", said);
}

static void visit_invented_once(void *object, weir_visit_fn visit, void *arg)
{
    visit(((struct node *)object)->left, arg);
    visit(invented, arg);
}
static const struct weir_type sly_type = {
    .name = "sly", .size = sizeof(struct node), .traverse = visit_invented_once, .clear = clear_left};

Test(gc, an_invented_reference_that_makes_up_for_a_real_one_frees_nothing)
{
    invented = make(&node_type); /* ours is the only reference, but a sly object seems to have it */
    inventor = make(&sly_type);
    inventor->left = weir_ref(inventor);
    weir_unref(inventor);
    const char *said = said_by(collect_sly);
    must(strstr(said, "uncollectable: object") != NULL && strstr(said, "type \"node\"") != NULL, "%s", said);
    must(weir_refcount(invented) == 2 && weir_gc_garbage_count() == 1, "%zu", weir_refcount(invented));
    weir_gc_garbage_clear();
    weir_unref(invented);
    must(unit_alive() == 0, "%lu are alive", unit_alive());
}

/* ---- so many that references are sorted -------------------------------------------------------------------------- */

static void visit_right(void *object, weir_visit_fn visit, void *arg) { visit(((struct node *)object)->right, arg); }
static void clear_right(void *object) { weir_clear(&((struct node *)object)->right); }
static const struct weir_type half_visited_type = {.name = "half visited",
                                                   .size = sizeof(struct node),
                                                   WEIR_REFS(struct node, left),
                                                   .traverse = visit_right,
                                                   .clear = clear_right};
static const struct weir_type single_type = {
    .name = "single", .size = sizeof(struct node), WEIR_REFS(struct node, left)};
static const struct weir_type bulky_type = {.name = "bulky", .size = 8000, WEIR_REFS(struct node, left, right)};

/** The type of the i-th object: runs of three kinds, and two large ones at every `large`-th place. */
static const struct weir_type *type_of(size_t i, size_t large)
{
    if (large > 0 && i % large < 2)
        return &bulky_type;
    return i % 4096 < 500 ? &half_visited_type : i % 4096 < 1000 ? &single_type : &node_type;
}

/** Two graphs without order, of every other of n objects each; from root[k] all of one can be reached. Many refer to
 *  the same one, more than a byte counts; some to nothing. */
static void make_two_graphs(struct node *root[2], size_t n, size_t large)
{
    struct unit_rng rng = {12345};
    struct node **all = weir_malloc(n * sizeof *all);
    for (size_t i = 0; i < n; i++)
        all[i] = make(type_of(i, large));
    for (size_t i = n - 1; i > 1; i--) {
        size_t j = unit_below(&rng, i / 2 + 1) * 2 + i % 2; /* in the same graph */
        struct node *other = all[i];
        all[i] = all[j];
        all[j] = other;
    }
    for (size_t i = 0; i < n; i++) {
        struct node *next = i + 2 < n ? all[i + 2] : NULL;
        bool single = weir_typeof(all[i]) == &single_type;
        all[i]->value = !single && i % 7 == 0;
        *(all[i]->value ? &all[i]->right : &all[i]->left) = next;
        if (!single && i % 100 != 17)
            *(all[i]->value ? &all[i]->left : &all[i]->right) =
                weir_ref(all[i % 50 < 2 ? i % 2 : unit_below(&rng, n / 2) * 2 + i % 2]);
    }
    root[0] = all[0];
    root[1] = all[1];
    weir_free(all);
}

static void collect_two_graphs(size_t n, size_t large)
{
    struct node *root[2];
    size_t length = 0;
    weir_gc_disable();
    make_two_graphs(root, n, large);
    unit_must_collect(0);
    weir_clear(&root[1]);
    unit_must_collect((long)n / 2);
    for (const struct node *at = root[0]; at != NULL; at = at->value ? at->right : at->left)
        length++;
    must(length == n / 2 && unit_alive() == n / 2, "%zu are left, and %lu alive", length, unit_alive());
    unit_must_collect(0);
    weir_clear(&root[0]);
    unit_must_collect((long)n / 2);
    must(unit_alive() == 0, "%lu are alive", unit_alive());
    weir_gc_enable();
}

/* Not scaled: so many there must be. */
enum { MANY = UNIT_SANITIZED ? 300000 : 2400000 };

Test(gc, one_of_two_large_graphs_dies) { collect_two_graphs(MANY, 0); }
Test(gc, one_of_two_large_graphs_with_large_objects_dies) { collect_two_graphs(MANY, 4000); }

/* ---- random graphs, against a naive idea of reachability --------------------------------------------------------- */

enum { SLOTS = 400, ROOTS = 12 };

struct random_node {
    struct random_node *edge[3];
    int id;
};
static struct {
    struct random_node *object[SLOTS]; /* NULL: free, and may be used again */
    bool freed[SLOTS], finalized[SLOTS];
    struct random_node *root[ROOTS];
} model;

static void finalize_random(void *object)
{
    int id = ((struct random_node *)object)->id;
    must(!model.finalized[id], "object %d was finalized twice", id);
    model.finalized[id] = true;
}
static void dealloc_random(void *object)
{
    int id = ((struct random_node *)object)->id;
    must(!model.freed[id] && model.object[id] == object, "object %d was freed twice", id);
    model.freed[id] = true;
}
static void traverse_random(void *object, weir_visit_fn visit, void *arg)
{
    for (int i = 0; i < 3; i++)
        visit(((struct random_node *)object)->edge[i], arg);
}
static void clear_random(void *object)
{
    for (int i = 0; i < 3; i++)
        weir_clear(&((struct random_node *)object)->edge[i]);
}

static const struct weir_type random_type[3] = {
    {.name = "by table",
     .size = sizeof(struct random_node),
     WEIR_REFS(struct random_node, edge[0], edge[1], edge[2]),
     .finalize = finalize_random,
     .dealloc = dealloc_random},
    {.name = "by functions",
     .size = sizeof(struct random_node) + 40,
     .traverse = traverse_random,
     .clear = clear_random,
     .finalize = finalize_random,
     .dealloc = dealloc_random},
    {.name = "without clear",
     .size = 2000,
     .traverse = traverse_random,
     .finalize = finalize_random,
     .dealloc = dealloc_random},
};

static void reach_naively(bool *reached, const struct random_node *node)
{
    if (node == NULL || reached[node->id])
        return;
    reached[node->id] = true;
    for (int i = 0; i < 3; i++)
        reach_naively(reached, node->edge[i]);
}

/** After a full pass: just what cannot be reached has been freed, and finalized. */
static void compare_with_model(bool reached[SLOTS])
{
    for (int i = 0; i < SLOTS; i++) {
        if (model.object[i] == NULL)
            continue;
        must(model.freed[i] == !reached[i], "object %d is %s and was %s", i, reached[i] ? "reachable" : "dead",
             model.freed[i] ? "freed" : "kept");
        must(model.finalized[i] == model.freed[i], "object %d: finalized %d", i, model.finalized[i]);
        if (model.freed[i]) {
            model.object[i] = NULL;
            model.freed[i] = model.finalized[i] = false;
        }
    }
}

static struct random_node *any(struct unit_rng *rng)
{
    bool reached[SLOTS] = {false};
    for (int i = 0; i < ROOTS; i++)
        reach_naively(reached, model.root[i]);
    for (int tries = 0; tries < 50; tries++) {
        size_t i = unit_below(rng, SLOTS);
        if (reached[i])
            return model.object[i];
    }
    return NULL;
}

static void mutate(struct unit_rng *rng)
{
    struct random_node **root = &model.root[unit_below(rng, ROOTS)], *from, *to;
    switch (unit_below(rng, 6)) {
    case 0:
    case 1:
        for (int i = 0; i < SLOTS; i++)
            if (model.object[i] == NULL) {
                model.object[i] = weir_new(&random_type[unit_below(rng, 3)]);
                model.object[i]->id = i;
                from = any(rng);
                if (from != NULL && unit_below(rng, 2) == 0)
                    weir_take(&from->edge[unit_below(rng, 3)], model.object[i]);
                else
                    weir_take(root, model.object[i]);
                break;
            }
        break;
    case 2:
        weir_clear(root);
        break;
    default:
        from = any(rng);
        to = any(rng);
        if (from != NULL)
            weir_set(&from->edge[unit_below(rng, 3)], to);
    }
}

static void run_random(size_t operations, int collect_every, bool stress)
{
    struct unit_rng rng = {unit_seed()};
    memset(&model, 0, sizeof model);
    weir_gc_set_debug(stress ? WEIR_GC_DEBUG_STRESS | WEIR_GC_DEBUG_UNCOLLECTABLE : WEIR_GC_DEBUG_UNCOLLECTABLE);
    for (size_t i = 0; i < operations; i++) {
        mutate(&rng);
        if (i % (size_t)collect_every != 0)
            continue;
        bool reached[SLOTS] = {false};
        for (int r = 0; r < ROOTS; r++)
            reach_naively(reached, model.root[r]);
        for (int o = 0; o < SLOTS; o++)
            reached[o] |= model.object[o] != NULL && !model.freed[o] && weir_refcount(model.object[o]) == 0;
        must(weir_gc_collect(WEIR_GC_FULL) >= 0, "a pass failed");
        compare_with_model(reached);
    }
    weir_gc_set_debug(WEIR_GC_DEBUG_UNCOLLECTABLE);
    for (int r = 0; r < ROOTS; r++)
        weir_clear(&model.root[r]);
    weir_gc_collect(WEIR_GC_FULL);
    must(unit_alive() == 0, "%lu are alive in the end", unit_alive());
    for (int o = 0; o < SLOTS; o++)
        must(model.object[o] == NULL || (model.freed[o] && model.finalized[o]), "object %d is left", o);
}

Test(gc, random_graphs) { run_random(unit_scale(60000), 50, false); }
Test(gc, random_graphs_a_pass_at_every_new) { run_random(unit_scale(20000), 50, true); }

/* ---- polling ----------------------------------------------------------------------------------------------------- */

Test(gc, polls_find_young_and_old_cycles)
{
    struct node *kept[1000];
    int rounds;
    weir_gc_disable();
    must(weir_gc_poll(1000000) == 0, "something is due before the first object");
    for (int i = 0; i < 1000; i++)
        kept[i] = make(&node_type);
    weir_gc_collect(WEIR_GC_FULL);
    drop_cycle(&node_type, 20);
    for (rounds = 0; unit_alive() > 1000 && rounds < 1000; rounds++)
        weir_gc_poll(100000);
    must(unit_alive() == 1000, "a young cycle was not found in %d polls", rounds);
    /* Old ones: pages that have been looked at, and that become garbage later, without anything being made. */
    for (int i = 0; i < 1000; i++)
        kept[i]->left = weir_ref(kept[(i + 1) % 1000]);
    weir_gc_freeze();
    weir_gc_unfreeze();
    weir_gc_collect(WEIR_GC_FULL);
    for (int i = 0; i < 1000; i++)
        weir_unref(kept[i]);
    for (rounds = 0; unit_alive() > 0 && rounds < 3000; rounds++) {
        weir_gc_poll(1000000);
        usleep(1000);
    }
    must(unit_alive() == 0, "%lu are alive after %d polls", unit_alive(), rounds);
    weir_gc_enable();
}

Test(gc, polls_with_little_time_come_to_an_end)
{
    enum { TYPES = 40, CYCLES = 500, POLLS = 100000 };
    static struct weir_type type[TYPES];
    static const uint64_t budgets[] = {0, 1, 2000, 20000, 1000000, UINT64_MAX};
    struct weir_gc_stats before, after;
    weir_gc_disable();
    for (size_t b = 0; b < sizeof budgets / sizeof budgets[0]; b++) {
        for (int t = 0; t < TYPES; t++) { /* each has a page that still receives objects */
            type[t] = node_type;
            for (int i = 0; i < CYCLES; i++)
                drop_cycle(&type[t], 2);
        }
        int polls = 0, result = 1;
        weir_gc_get_stats(&before);
        while (polls < POLLS && result == 1) {
            result = weir_gc_poll(budgets[b]);
            polls++;
        }
        weir_gc_get_stats(&after);
        must(result == 0, "poll %d with %lu ns gave %d", polls, (unsigned long)budgets[b], result);
        must(unit_alive() == 0, "%lu are alive after %d polls of %lu ns", unit_alive(), polls,
             (unsigned long)budgets[b]);
        must(after.polls - before.polls == (uint64_t)polls, "%lu polls were counted, not %d",
             (unsigned long)(after.polls - before.polls), polls);
    }
    weir_gc_enable();
}

Test(gc, polls_between_random_changes)
{
    struct unit_rng rng = {unit_seed()};
    memset(&model, 0, sizeof model);
    weir_gc_disable();
    for (size_t i = 0; i < unit_scale(60000); i++) {
        mutate(&rng);
        int result = weir_gc_poll(unit_below(&rng, 20000));
        must(result == 0 || result == 1, "a poll gave %d", result);
        for (int o = 0; o < SLOTS; o++)
            if (model.object[o] != NULL && model.freed[o]) {
                bool reached[SLOTS] = {false};
                model.object[o] = NULL;
                model.freed[o] = model.finalized[o] = false;
                for (int r = 0; r < ROOTS; r++)
                    reach_naively(reached, model.root[r]);
                must(!reached[o], "object %d was freed, and can be reached", o);
            }
    }
    weir_gc_enable();
    for (int r = 0; r < ROOTS; r++)
        weir_clear(&model.root[r]);
    weir_gc_collect(WEIR_GC_FULL);
    must(unit_alive() == 0, "%lu are alive in the end", unit_alive());
}

/* ---- no memory --------------------------------------------------------------------------------------------------- */

/** In a child: fills the address space up to a limit that leaves nothing, then calls fn. */
static void without_memory(void (*fn)(void))
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        fn();
        _exit(0);
    }
    waitpid(child, &status, 0);
    must(status == 0, "the child ended with status %d", status);
}

static void limit_memory(size_t more)
{
    setrlimit(RLIMIT_AS, &(struct rlimit){unit_mapped() + more, RLIM_INFINITY});
}

static void collect_without_memory(void)
{
    enum { N = 2000000 };
    finalized = 0;
    weir_gc_disable();
    drop_cycle(&final_type, 1000);
    drop_cycle(&node_type, N);
    limit_memory(0);
    must(weir_gc_collect(WEIR_GC_FULL) == -ENOMEM, "a pass found memory where there is none");
    must(finalized == 0 && unit_alive() == N + 1000, "something has changed: %lu alive", unit_alive());
    setrlimit(RLIMIT_AS, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
    unit_must_collect(N + 1000);
    must(finalized == 1000 && unit_alive() == 0, "%lu alive", unit_alive());
}

static void poll_without_memory(void)
{
    enum { N = 2000000 };
    weir_gc_disable();
    for (int old = 0; old < 2; old++) {
        struct node *first = make(&node_type), *last = first;
        for (int i = 1; i < N; i++) {
            last->left = make(&node_type);
            last = last->left;
        }
        last->left = weir_ref(first);
        if (old) { /* then it is the search that needs memory */
            weir_gc_freeze();
            weir_gc_unfreeze();
            unit_must_collect(0);
        }
        weir_unref(first);
        limit_memory(0);
        for (int i = 0; i < 3; i++) {
            int result = weir_gc_poll(1000000000);
            must(result == -ENOMEM, "a poll without memory gave %d", result);
        }
        setrlimit(RLIMIT_AS, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
        must(weir_gc_poll(UINT64_MAX) >= 0, "a poll with memory failed");
        unit_must_collect(unit_alive() > 0 ? N : 0);
    }
}

static void make_until_refused(void)
{
    struct node *list = NULL, *node;
    size_t count = 0;
    limit_memory(32u << 20);
    drop_cycle(&node_type, 100000); /* a dead cycle that a pass at the limit may free */
    while ((node = weir_new(&node_type)) != NULL && count < 100000000) {
        node->left = list;
        list = node;
        count++;
    }
    must(node == NULL && errno == ENOMEM && count > 100000, "%zu objects", count);
    weir_unref(list);
    weir_gc_collect(WEIR_GC_FULL);
    must(unit_alive() == 0, "%lu are alive", unit_alive());
    must((node = weir_new(&node_type)) != NULL, "no memory after all was released");
    weir_unref(node);
}

static void hubs_without_memory(void)
{
    enum { N = 300000 };
    struct node *hub = NULL;
    weir_gc_disable();
    for (int i = 0; i < N; i++) { /* thousands of objects with more than 254 references */
        struct node *node = make(&node_type);
        if (i % 300 == 0) {
            node->left = hub;
            hub = node;
        } else {
            node->left = weir_ref(hub);
        }
        node->right = weir_ref(node);
        weir_unref(i % 300 == 0 ? NULL : node);
    }
    for (size_t more = 0; more < (4u << 20); more += 128 * 1024) {
        limit_memory(more);
        long found = weir_gc_collect(WEIR_GC_FULL);
        setrlimit(RLIMIT_AS, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
        must(found == -ENOMEM || found == N - N / 300 || found == 0, "%ld were found", found);
    }
    weir_unref(hub);
    weir_gc_collect(WEIR_GC_FULL);
    must(unit_alive() == 0, "%lu are alive", unit_alive());
}

Test(gc, without_memory_nothing_changes)
{
    if (UNIT_SANITIZED)
        cr_skip_test("a sanitizer needs the address space");
    unit_need_small_pages(); /* the limits here leave no room for a larger arena, and an arena has room for all this */
    without_memory(collect_without_memory);
    without_memory(poll_without_memory);
    without_memory(make_until_refused);
    without_memory(hubs_without_memory);
}

static void *collect_on_small_stack(void *arg WR_UNUSED)
{
    int n = (int)unit_scale(10000000);
    weir_gc_disable();
    drop_cycle(&node_type, n);
    unit_must_collect(n);
    weir_gc_enable();
    return NULL;
}

Test(gc, ten_million_in_a_cycle_on_a_small_stack) { unit_on_stack(64 * WR_KIB, collect_on_small_stack, NULL); }

/** A release takes no memory at all, a collection no more than docs/gc.md says. */
static void *live_on_little(void *arg WR_UNUSED)
{
    size_t n = unit_scale(10000000);
    struct node *list = NULL;
    weir_gc_disable();
    for (size_t i = 0; i < n; i++) {
        struct node *node = make(&node_type);
        node->left = list;
        list = node;
    }
    limit_memory(0);
    weir_unref(list);
    must(unit_alive() == 0, "%lu are alive", unit_alive());
    setrlimit(RLIMIT_AS, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
    drop_cycle(&node_type, (int)n);
    limit_memory(n * 2 + n / 4 + (8u << 20));
    unit_must_collect((long)n);
    must(unit_alive() == 0, "%lu are alive", unit_alive());
    return NULL;
}

static void live_on_little_on_a_small_stack(void) { unit_on_stack(64 * WR_KIB, live_on_little, NULL); }

Test(gc, ten_million_released_and_collected_without_memory)
{
    if (UNIT_SANITIZED)
        cr_skip_test("a sanitizer needs the address space");
    without_memory(live_on_little_on_a_small_stack);
}

/* ---- fork -------------------------------------------------------------------------------------------------------- */

static void fork_inside(void *object WR_UNUSED)
{
    finalized++;
    if (finalized != 5)
        return;
    pid_t child = fork();
    if (child != 0) {
        int status;
        waitpid(child, &status, 0);
        must(WIFEXITED(status) && WEXITSTATUS(status) == 17, "the child ended with status %d", status);
        return;
    }
}
static const struct weir_type forking_type = {
    .name = "forking", .size = sizeof(struct node), WEIR_REFS(struct node, left, right), .finalize = fork_inside};

Test(gc, fork_during_a_collection)
{
    pid_t parent = getpid();
    finalized = 0;
    drop_cycle(&forking_type, 10);
    long found = weir_gc_collect(WEIR_GC_FULL);
    bool right = found == 10 && finalized == 10 && unit_alive() == 0;
    drop_cycle(&node_type, 4);
    right = right && weir_gc_collect(WEIR_GC_FULL) == 4;
    if (getpid() != parent)
        _exit(right ? 17 : 1);
    must(right, "%ld found, %d finalized", found, finalized);
}

/* ---- what it shows ----------------------------------------------------------------------------------------------- */

static const char *dumped(const void *object, size_t most, long *nodes)
{
    static char text[65536];
    char path[] = "/tmp/weir-gc-XXXXXX";
    int file = mkstemp(path);
    unlink(path);
    *nodes = weir_gc_dump(file, object, most);
    ssize_t n = pread(file, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    close(file);
    return text;
}

Test(gc, dump)
{
    long nodes;
    char edge[64];
    struct node *root = make(&final_type), *middle = make(&node_type), *end = make(&node_type),
                *other = make(&node_type);
    root->left = middle;
    middle->right = end;
    weir_set(&end->left, middle);
    const char *text = dumped(NULL, 0, &nodes);
    must(nodes == 4 && strncmp(text, "digraph", 7) == 0, "%ld nodes: %s", nodes, text);
    snprintf(edge, sizeof edge, "\"%p\" -> \"%p\"", (void *)root, (void *)middle);
    must(strstr(text, edge) != NULL && strstr(text, "1 from outside") != NULL, "%s", text);
    text = dumped(end, 0, &nodes); /* root, middle, end */
    must(nodes == 3 && strstr(text, edge) != NULL, "%ld nodes: %s", nodes, text);
    snprintf(edge, sizeof edge, "%p", (void *)other);
    must(strstr(text, edge) == NULL, "%s", text);
    text = dumped(NULL, 2, &nodes);
    must(nodes == 2 && strstr(text, "2 more objects are left out") != NULL, "%ld nodes: %s", nodes, text);
    weir_ref(middle);
    weir_unref(root);
    weir_unref(middle);
    text = dumped(end, 0, &nodes);
    must(strstr(text, "garbage") != NULL, "%s", text);
    must(weir_gc_dump(-1, NULL, 0) == -EBADF, "a write to nowhere");
    weir_unref(other);
    weir_gc_collect(WEIR_GC_FULL);
}

static void *dump_cancelled(void *to)
{
    int null = open("/dev/null", O_WRONLY);
    struct node *one = make(&node_type);
    pthread_cancel(pthread_self());
    long dumped = weir_gc_dump(null, NULL, 0), leaks = weir_gc_leaks(null);
    *(bool *)to = dumped == 1 && leaks >= 1 && weir_gc_collect(WEIR_GC_FULL) == 0;
    weir_unref(one);
    close(null); /* here it ends, if not before */
    pthread_testcancel();
    return to;
}

Test(gc, dump_is_no_point_of_cancellation)
{
    pthread_t thread;
    bool good = false;
    void *result;
    must(pthread_create(&thread, NULL, dump_cancelled, &good) == 0 && pthread_join(thread, &result) == 0, "a thread");
    must(good && result == PTHREAD_CANCELED, "the thread ended while it wrote");
}

static void *share_one(void *out)
{
    *(struct node **)out = weir_share(make(&node_type));
    return NULL;
}

Test(gc, dump_of_shared_and_immortal_objects)
{
    long nodes;
    struct node *shared[2] = {weir_share(make(&node_type))}, *holder = make(&node_type);
    unit_on_thread(share_one, &shared[1]); /* it lies in pages that are not this thread's */
    for (int i = 0; i < 2; i++) {
        const char *text = dumped(shared[i], 0, &nodes);
        must(nodes == 1 && strstr(text, "1 references, 1 from outside, shared") != NULL &&
                 strstr(text, "garbage") == NULL,
             "%ld nodes: %s", nodes, text);
        holder->left = shared[i]; /* the only reference */
        text = dumped(shared[i], 0, &nodes);
        must(nodes == 2 && strstr(text, "1 references, shared") != NULL && strstr(text, " -> ") != NULL,
             "%ld nodes: %s", nodes, text);
        weir_immortalize(holder->left);
        text = dumped(shared[i], 0, &nodes);
        must(nodes == 2 && strstr(text, "immortal") != NULL && strstr(text, " -> ") != NULL, "%ld nodes: %s", nodes,
             text);
    }
    weir_unref(holder);
    must(weir_gc_dump(-1, (char *)shared[0] + 4, 0) == -EINVAL, "of what is no object");
}

Test(gc, dump_of_few)
{
    enum { PATH = 10, REFERRERS = 100 };
    struct node *root = make(&node_type), *end = root, *referrer[REFERRERS];
    long nodes;
    for (int i = 1; i < PATH; i++)
        end = end->left = make(&node_type);
    const char *text = dumped(end, 4, &nodes);
    must(nodes == 4 && strstr(text, "6 more objects are left out") != NULL, "%ld nodes: %s", nodes, text);
    must(strstr(text, "color=red") != NULL && strstr(text, "outside") == NULL, "not the end of the path: %s", text);
    for (int i = 0; i < REFERRERS; i++) {
        referrer[i] = make(&node_type);
        referrer[i]->right = weir_ref(end);
    }
    text = dumped(end, 3, &nodes);
    must(nodes == 3 && strstr(text, "99 more objects are left out") != NULL, "%ld nodes: %s", nodes, text);
    for (int i = 0; i < REFERRERS; i++)
        weir_unref(referrer[i]);
    weir_unref(root);
    must(unit_alive() == 0, "%lu are alive", unit_alive());
}

static long leaks;
static void report_leaks(void) { leaks = weir_gc_leaks(STDERR_FILENO); }

Test(gc, leaks_by_type_and_line)
{
    struct node *a = make(&node_type), *b = make(&final_type), *c = weir_new_at(&node_type, 0, "leaky.c", 77);
    struct node *d = weir_immortalize(make(&node_type));
    const char *said = said_by(report_leaks);
    must(leaks == 3 && strstr(said, "3 objects are alive, and 1 immortal") != NULL, "%ld: %s", leaks, said);
    must(strstr(said, "node") != NULL && strstr(said, "final") != NULL && strstr(said, "leaky.c:77") != NULL, "%s",
         said);
    weir_unref(a);
    weir_unref(b);
    weir_unref(c);
    weir_unref(d);
    said = said_by(report_leaks);
    must(leaks == 0 && strstr(said, "leaky.c") == NULL, "%s", said);
}

Test(gc, leaks_of_many_large_types)
{
    enum { TYPES = 200 };
    static struct weir_type type[TYPES];
    void *object[TYPES][2];
    for (int i = 0; i < TYPES; i++) {
        type[i] = (struct weir_type){.name = "large", .size = 5000};
        for (int k = 0; k < 2; k++)
            object[i][k] = weir_new(&type[i]);
    }
    weir_immortalize(object[0][0]);
    const char *said = said_by(report_leaks), *end = said;
    must(leaks == 399 && strstr(said, "399 objects are alive, and 1 immortal") != NULL, "%ld: %s", leaks, said);
    int rows = 0;
    while ((end = strstr(end, " large\n")) != NULL)
        rows++, end++;
    must(rows == TYPES, "%d rows", rows);
    for (int i = 0; i < TYPES; i++)
        for (int k = 0; k < 2; k++)
            weir_unref(object[i][k]);
    said_by(report_leaks);
    must(leaks == 0, "%ld", leaks);
}
