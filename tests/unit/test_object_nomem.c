/* SPDX-License-Identifier: MIT
 * Every request for memory that the object layer makes is refused in its turn, alone and with all that follow, in a
 * process that has done nothing like it before and in one that has: an object or a container is then as it was, what
 * fails says so as documented, nothing is lost or released twice, and all works afterwards.
 *
 * The linker does it (--wrap): what src/object calls for memory comes here first, so the library has no hook. */
#include "support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weir/weir.h>

TestSuite(nomem, .timeout = 300);

#if defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREAD_SANITIZER 1
#endif
#endif
#ifndef THREAD_SANITIZER
#define THREAD_SANITIZER 0
#endif

/* ---- refusing ---------------------------------------------------------------------------------------------------- */

static struct {
    bool armed, lasting;
    long n;             /* the request that is refused first */
    long seen, refused; /* since armed */
} plan;

static bool refuse(void)
{
    if (!plan.armed)
        return false;
    plan.seen++;
    bool no = plan.lasting ? plan.seen >= plan.n : plan.seen == plan.n;
    plan.refused += no;
    if (no)
        errno = ENOMEM;
    return no;
}

/* Where the library calls the function, it calls __wrap_ of it; __real_ is the library's. */
#define WRAP(type, function, parameters, arguments, none)                                                              \
    type __real_##function parameters;                                                                                 \
    type __wrap_##function parameters;                                                                                 \
    type __wrap_##function parameters { return refuse() ? (none) : __real_##function arguments; }

struct wr_kind;
WRAP(void *, weir_malloc, (size_t size), (size), NULL)
WRAP(void *, weir_calloc, (size_t count, size_t size), (count, size), NULL)
WRAP(void *, weir_realloc, (void *block, size_t size), (block, size), NULL)
WRAP(void *, weir_reallocarray, (void *block, size_t count, size_t size), (block, count, size), NULL)
WRAP(void *, wr_meta_alloc, (size_t size), (size), NULL)
WRAP(bool, wr_kind_refill, (struct wr_kind * kind), (kind), false)
WRAP(void *, wr_os_map, (void *hint, size_t size), (hint, size), NULL)

static void arm(void) { plan.armed = true; }
static void disarm(void) { plan.armed = false; }

/* ---- objects that are counted ------------------------------------------------------------------------------------ */

struct node {
    struct node *left, *right;
    long value;
};

static long made, gone, finalized, called;
static struct node *revived;

static void note_gone(void *object WR_UNUSED) { gone++; }
static void note_finalized(void *object WR_UNUSED) { finalized++; }
static void revive(void *object)
{
    finalized++;
    weir_set(&revived, object);
}

/** A finalizer that needs memory, and does without. */
static void make_another(void *object WR_UNUSED);

#define NODE(its_name, its_finalize)                                                                                   \
    {                                                                                                                  \
        .name = its_name, .size = sizeof(struct node), .dealloc = note_gone, .finalize = its_finalize,                 \
        WEIR_REFS(struct node, left, right)                                                                            \
    }
static const struct weir_type node_type = NODE("node", NULL), final_type = NODE("final", note_finalized),
                              phoenix_type = NODE("phoenix", revive), greedy_type = NODE("greedy", make_another);
/* Without a function: what is dead of these alone is freed by pages. */
static const struct weir_type plain_type = {
    .name = "plain", .size = sizeof(struct node), WEIR_REFS(struct node, left, right)};
static const struct weir_type large_type = {
    .name = "large", .size = 40000, .dealloc = note_gone, WEIR_REFS(struct node, left, right)};
static const struct weir_type text_type = {.name = "text", .size = 8, .flags = WEIR_VARSIZE | WEIR_ACYCLIC};

static struct node *noted(void *object)
{
    made += object != NULL && weir_typeof(object)->dealloc != NULL;
    must(object != NULL || errno == ENOMEM, "NULL without ENOMEM: %d", errno);
    errno = 0;
    return object;
}

static struct node *make(const struct weir_type *type) { return noted(weir_new(type)); }

static void make_another(void *object WR_UNUSED)
{
    struct node *other = make(&node_type);
    finalized++;
    weir_unref(other);
}

/** A cycle of n objects that nobody holds; made where nothing is refused. */
static void drop_cycle(const struct weir_type *type, int n)
{
    struct node *first = make(type), *last = first;
    for (int i = 1; i < n; i++)
        last = last->left = make(type);
    last->left = first;
}

/* ---- a scenario, again and again --------------------------------------------------------------------------------- */

static void carry_out(void (*scenario)(void), long n, bool lasting)
{
    plan.n = n;
    plan.lasting = lasting;
    plan.seen = plan.refused = 0;
    scenario();
    disarm();
    must(weir_gc_collect(WEIR_GC_FULL) == 0 && unit_alive() == 0, "%lu objects are left", unit_alive());
    must(made == gone, "%ld objects made, %ld gone", made, gone);
}

/** In a child. The exit status says whether there was a request n. */
WR_NORETURN static void attempt(void (*scenario)(void), long n, bool lasting, bool warm)
{
    if (warm)
        carry_out(scenario, LONG_MAX, false);
    uint64_t before = unit_live_bytes();
    carry_out(scenario, n, lasting);
    bool refused = plan.refused > 0;
    uint64_t after = unit_live_bytes();
    must(!warm || after == before, "%lu bytes live before, %lu after", before, after);
    carry_out(scenario, LONG_MAX, false); /* and with all the memory there is */
    _exit(refused ? 17 : 0);
}

/** Whether there was a request n. */
static bool attempt_in_child(void (*scenario)(void), long n, bool lasting, bool warm)
{
    int status;
    pid_t child = fork();
    if (child == 0)
        attempt(scenario, n, lasting, warm);
    must(child > 0 && waitpid(child, &status, 0) == child, "no child");
    must(WIFEXITED(status) && (WEXITSTATUS(status) == 17 || WEXITSTATUS(status) == 0),
         "request %ld refused%s%s: status %d", n, lasting ? ", and all later" : "", warm ? ", not the first time" : "",
         status);
    return WEXITSTATUS(status) == 17;
}

/** All four ways; where a part is to do, the first and the last: one request the first time, all from it on later. */
static void refuse_each(void (*scenario)(void))
{
    enum { MOST = 3000 };
    if (THREAD_SANITIZER)
        cr_skip_test("a fork takes a tenth of a second here, and there is one thread at a time");
    unit_no_purger();
    for (int mode = 0; mode < 4; mode += unit_scale(100) < 100 ? 3 : 1) {
        long n = 1;
        while (attempt_in_child(scenario, n, mode & 1, mode & 2))
            must(++n < MOST, "more than %d requests", MOST);
        must(n > 1 || (mode & 2), "the scenario asks for no memory");
    }
}

/* ---- making objects ---------------------------------------------------------------------------------------------- */

static void make_all_sorts(void)
{
    static const struct weir_type *const type[] = {&node_type, &final_type, &large_type, &plain_type};
    enum { N = 300 };
    struct node *all[N];
    void *text[40], *huge;
    arm();
    for (int i = 0; i < N; i++) {
        all[i] = make(i % 50 == 49 ? &large_type : type[i % 2]);
        must(all[i] == NULL || unit_zeroed(all[i], sizeof *all[i]) == UNIT_INTACT, "object %d is not zero", i);
        if (all[i] != NULL)
            all[i]->value = i;
    }
    for (size_t i = 0; i < WR_COUNT(text); i++) {
        text[i] = weir_new_var(&text_type, i * i * 4);
        must(text[i] != NULL || errno == ENOMEM, "errno %d", errno);
        if (text[i] != NULL)
            unit_fill(text[i], 0, weir_usable_size(text[i]), i);
    }
    huge = weir_new_var(&text_type, 5u << 20);
    must(huge != NULL || errno == ENOMEM, "errno %d", errno);
    disarm();
    for (int i = 0; i < N; i++) {
        must(all[i] == NULL || all[i]->value == i, "object %d has changed", i);
        weir_unref(all[i]);
    }
    for (size_t i = 0; i < WR_COUNT(text); i++) {
        must(text[i] == NULL || unit_filled(text[i], 0, weir_usable_size(text[i]), i) == UNIT_INTACT, "text %zu", i);
        weir_unref(text[i]);
    }
    weir_unref(huge);
}

Test(nomem, objects) { refuse_each(make_all_sorts); }

static void renew_all(void)
{
    struct node *owned = make(&final_type), *fresh;
    owned->left = make(&node_type);
    owned->value = 7;
    finalized = 0;
    arm();
    fresh = weir_renew(owned, &large_type);
    disarm();
    if (fresh == NULL) {
        must(errno == ENOMEM && finalized == 0 && owned->value == 7 && weir_refcount(owned->left) == 1,
             "what was to be renewed has changed");
        weir_unref(owned);
    } else {
        made++;
        must(finalized == 1 && fresh->left == NULL, "%ld finalized", finalized);
        weir_unref(fresh);
    }
}

Test(nomem, renew) { refuse_each(renew_all); }

Test(nomem, renew_of_one_that_is_revived)
{
    struct node *owned = make(&phoenix_type), *list = NULL, *one;
    plan.n = 1;
    plan.lasting = true;
    arm();
    while ((one = make(&phoenix_type)) != NULL) { /* until the page is full */
        one->left = list;
        list = one;
    }
    must(weir_renew(owned, &phoenix_type) == NULL && errno == ENOMEM, "there was memory");
    disarm();
    must(revived == owned && weir_refcount(owned) == 2, "%zu references", weir_refcount(owned));
    weir_clear(&revived);
    weir_unref(owned);
    for (; list != NULL; list = one) { /* they are revived, too, one by one */
        one = weir_steal(&list->left);
        weir_unref(list);
        weir_clear(&revived);
    }
    must(made == gone && weir_gc_collect(WEIR_GC_FULL) == 0 && unit_alive() == 0, "%lu are alive", unit_alive());
}

static void make_with_lines(void)
{
    struct node *all[700];
    arm();
    for (int i = 0; i < 700; i++)
        all[i] = noted(weir_new_at(&node_type, 0, "nomem.c", i % 3));
    long leaks = weir_gc_leaks(open("/dev/null", O_WRONLY | O_CLOEXEC));
    disarm();
    for (int i = 0; i < 700; i++) {
        leaks -= all[i] != NULL;
        weir_unref(all[i]);
    }
    must(leaks == 0, "the report of leaks was wrong by %ld", leaks);
}

Test(nomem, objects_with_their_lines_and_leaks) { refuse_each(make_with_lines); }

/* ---- collecting -------------------------------------------------------------------------------------------------- */

static void note_called(struct weir_weak *weak WR_UNUSED, void *arg WR_UNUSED) { called++; }

/** A living structure and a dead one, both with hubs, finalizers, weak references, and large objects. */
struct scene {
    struct node *living;
    struct weir_weak to_living, to_dead;
    long dead; /* objects, the two of the phoenix not among them */
};

static struct node *hub(const struct weir_type *type, int n)
{
    struct node *center = make(type), *list = NULL;
    for (int i = 0; i < n; i++) {
        struct node *node = make(&node_type);
        node->left = list;
        node->right = weir_ref(center);
        list = node;
    }
    center->left = list;
    return center;
}

enum { CROWD = 200 };

/** A cycle of a vec and objects that it has too often for a byte to count: the pass's table of counts has to grow. */
static void drop_crowd(void)
{
    struct weir_vec *vec = weir_vec_new(NULL);
    for (int i = 0; i < CROWD; i++) {
        struct node *node = make(&final_type);
        must(weir_vec_reserve(vec, (size_t)(i + 1) * 300) == 0, "no room");
        for (int j = 0; j < 300; j++)
            weir_vec_push(vec, node);
        weir_take(&node->left, weir_ref(vec));
        weir_unref(node);
    }
    weir_unref(vec);
}

static void build(struct scene *scene)
{
    scene->living = hub(&node_type, 600);
    drop_crowd();
    struct node *dead = hub(&final_type, 400);
    weir_weak_init(&scene->to_living, scene->living, note_called, NULL);
    weir_weak_init(&scene->to_dead, dead->left, note_called, NULL);
    weir_unref(dead);
    drop_cycle(&plain_type, 200);
    drop_cycle(&large_type, 3);
    drop_cycle(&greedy_type, 20);
    drop_cycle(&phoenix_type, 1);
    scene->dead = CROWD + 1 + 401 + 200 + 3 + 20;
    finalized = called = 0;
}

static void tear_down(struct scene *scene)
{
    weir_clear(&revived);
    struct node *got = weir_weak_get(&scene->to_living);
    must(got == scene->living && called == 1, "%ld callbacks", called);
    weir_unref(got);
    weir_weak_fini(&scene->to_living);
    weir_clear(&scene->living);
    weir_gc_collect(WEIR_GC_FULL);
}

/** After what may have failed: a pass finds all that is dead, and finalizes each once. */
static void must_find_all(struct scene *scene, long found)
{
    uint64_t objects = unit_alive();
    must(found == scene->dead || found == -ENOMEM, "found %ld", found);
    if (found == -ENOMEM) {
        must(finalized == 0 && called == 0, "the pass failed, but %ld were finalized and %ld callbacks made", finalized,
             called);
        found = weir_gc_collect(WEIR_GC_FULL);
        must(found == scene->dead, "found %ld after a pass that failed", found);
        must(unit_alive() == objects - (uint64_t)scene->dead, "%lu left of %lu", unit_alive(), objects);
    }
    must(finalized == CROWD + 1 + 20 + 1 && called == 1, "%ld finalized, %ld callbacks", finalized, called);
    must(revived != NULL && weir_is_unique(revived) == false, "nobody was revived");
}

static void collect_fully(void)
{
    struct scene scene;
    build(&scene);
    arm();
    long found = weir_gc_collect(WEIR_GC_FULL);
    disarm();
    must_find_all(&scene, found);
    tear_down(&scene);
}

static void collect_young(void)
{
    struct scene scene;
    build(&scene);
    arm();
    long found = weir_gc_collect(WEIR_GC_YOUNG);
    disarm();
    must_find_all(&scene, found);
    tear_down(&scene);
}

static void poll(void)
{
    struct scene scene;
    build(&scene);
    int result = 1;
    arm();
    for (int i = 0; i < 100 && result == 1; i++)
        result = weir_gc_poll(1000000000);
    disarm();
    must(result == 0 || result == -ENOMEM, "poll gave %d", result);
    weir_gc_collect(WEIR_GC_FULL);
    must(finalized == CROWD + 1 + 20 + 1 && called == 1, "%ld finalized, %ld callbacks", finalized, called);
    tear_down(&scene);
}

Test(nomem, full_collection) { refuse_each(collect_fully); }
Test(nomem, young_collection) { refuse_each(collect_young); }
Test(nomem, polls) { refuse_each(poll); }

/** Passes that weir_new() starts fail: it gives objects all the same, or says that it cannot. */
static void collect_by_new(void)
{
    struct weir_gc_threshold was, often = {.young = 4096, .percent = 50};
    struct node *kept = NULL;
    long refused = 0;
    weir_gc_get_threshold(&was);
    weir_gc_set_threshold(&often);
    arm();
    for (int i = 0; i < 2000; i++) {
        struct node *node = make(i % 5 == 0 ? &final_type : &node_type);
        refused += node == NULL;
        if (node == NULL)
            continue;
        if (i % 4 == 0) {
            node->left = kept;
            kept = node;
        } else {
            node->left = node; /* our reference: a dead cycle */
        }
    }
    disarm();
    must(plan.lasting || refused <= 1, "%ld objects refused where one request was", refused);
    weir_gc_set_threshold(&was);
    weir_unref(kept);
    weir_gc_collect(WEIR_GC_FULL);
}

Test(nomem, collections_that_new_starts) { refuse_each(collect_by_new); }

static void collect_saving(void)
{
    drop_cycle(&node_type, 300);
    weir_gc_set_debug(WEIR_GC_DEBUG_SAVEALL);
    arm();
    long found = weir_gc_collect(WEIR_GC_FULL);
    disarm();
    must(found == -ENOMEM || found == 300, "found %ld", found);
    must(weir_gc_garbage_count() == (found == 300 ? 300 : 0) && unit_alive() == 300, "%zu kept, %lu alive",
         weir_gc_garbage_count(), unit_alive());
    weir_gc_set_debug(WEIR_GC_DEBUG_UNCOLLECTABLE);
    weir_gc_garbage_clear();
    must(weir_gc_collect(WEIR_GC_FULL) == 300, "what was saved was not found again");
}

Test(nomem, collection_that_saves) { refuse_each(collect_saving); }

static void collect_shared(void)
{
    struct node *kept = weir_share(hub(&node_type, 300));
    struct node *dead = weir_share(hub(&final_type, 300));
    finalized = 0;
    weir_unref(dead);
    arm();
    long found = weir_gc_collect_shared();
    disarm();
    must(found == 301 || (found == -ENOMEM && finalized == 0), "found %ld, %ld finalized", found, finalized);
    if (found < 0)
        must(weir_gc_collect_shared() == 301, "not found again");
    must(finalized == 1 && weir_refcount(kept) == 301, "what is held was touched");
    weir_unref(kept);
    must(weir_gc_collect_shared() == 301, "not found when released");
}

Test(nomem, collection_of_shared_objects) { refuse_each(collect_shared); }

/* ---- sharing, weak references, scopes, threads ------------------------------------------------------------------- */

/** Neither needs memory, nor do weak references and counts: whatever is refused, all of it is done. */
static void share_and_refer_weakly(void)
{
    enum { N = 1500 };
    struct weir_weak *weak = calloc(N, sizeof *weak);
    struct node *all[N], *list = NULL;
    for (int i = 0; i < N; i++) {
        all[i] = make(&node_type);
        all[i]->left = list;
        list = all[i];
    }
    called = 0;
    arm();
    for (int i = 0; i < N; i++)
        weir_weak_init(&weak[i], all[i], note_called, NULL);
    weir_share(list);
    for (int i = 0; i < N; i++) {
        struct node *got = weir_weak_get(&weak[i]);
        must(got == all[i] && weir_is_shared(got), "weak reference %d", i);
        weir_unref(got);
    }
    for (int i = 0; i < N; i += 2)
        weir_weak_fini(&weak[i]);
    weir_unref(list);
    disarm();
    must(called == N / 2, "%ld callbacks", called);
    free(weak);
}

Test(nomem, weak_references_and_sharing) { refuse_each(share_and_refer_weakly); }

static void count_call(void *counter) { ++*(long *)counter; }

static void defer(void)
{
    long calls = 0, failed = 0, owned = 0;
    arm();
    size_t mark = weir_scope_enter();
    for (int i = 0; i < 100; i++) {
        long before = calls;
        int result = weir_scope_defer(count_call, &calls);
        must(result == 0 || (result == -ENOMEM && calls == before + 1), "defer gave %d", result);
        failed += result != 0;
        struct node *node = make(&node_type);
        long there = gone;
        bool kept = weir_scope_own(node) != NULL;
        must(kept || gone == there + (node != NULL), "what could not be kept was not released");
        owned += kept;
    }
    must(calls == failed, "%ld calls, %ld failed", calls, failed);
    weir_scope_leave(mark);
    disarm();
    must(calls == 100 && unit_alive() == 0, "%ld calls, %ld owned, %lu alive", calls, owned, unit_alive());
}

Test(nomem, scopes) { refuse_each(defer); }

static void *live_a_life(void *arg)
{
    struct node **left = arg;
    arm();
    struct node *a = make(&final_type), *b = make(&large_type);
    size_t mark = weir_scope_enter();
    weir_scope_own(weir_ref(a));
    weir_scope_leave(mark);
    weir_gc_collect(WEIR_GC_FULL);
    if (a != NULL)
        weir_set(&a->left, a);
    if (b != NULL)
        b->left = weir_ref(b);
    *left = b; /* alive, left to the next */
    weir_unref(a);
    return NULL; /* a's cycle is collected with the thread, or by the next collector if there is no memory */
}

static void threads(void)
{
    struct node *left = NULL;
    unit_on_thread(live_a_life, &left);
    long found = weir_gc_collect(WEIR_GC_FULL);
    disarm();
    must(found >= -ENOMEM, "found %ld", found);
    weir_unref(left);
    weir_gc_collect(WEIR_GC_FULL);
}

Test(nomem, threads_and_what_they_leave) { refuse_each(threads); }

/* ---- containers -------------------------------------------------------------------------------------------------- */

/** One step of a container of n items: gave a result that is not an error, and has `more` items now, or -ENOMEM, and
 *  has as many as before. */
static void stepped(int result, size_t now, size_t *n, size_t more)
{
    *n += result < 0 ? 0 : more;
    must(result >= 0 || result == -ENOMEM, "failed with %d", result);
    must(now == *n, "%zu items, not %zu, after a result of %d", now, *n, result);
}

static void change_vec(void)
{
    struct node *node = make(&node_type);
    size_t n = 0, count = 0;
    arm();
    WEIR_AUTO struct weir_vec *vec = weir_vec_new(NULL), *values = weir_vec_new(WEIR_VALUES(long));
    for (long i = 0; vec != NULL && values != NULL && i < 200; i++) {
        int result[] = {weir_vec_push(vec, node), weir_vec_take(vec, weir_ref(node)),
                        weir_vec_insert(vec, n / 2, node)};
        for (int j = 0; j < 3; j++) {
            must(result[j] == 0 || result[j] == -ENOMEM, "failed with %d", result[j]);
            n += result[j] == 0;
        }
        must(weir_vec_count(vec) == n && weir_refcount(node) == 1 + n, "%zu references, %zu items, not %zu",
             weir_refcount(node), weir_vec_count(vec), n);
        int pushed = weir_vec_push(values, &i);
        stepped(pushed, weir_vec_count(values), &count, 1);
    }
    if (vec != NULL) {
        int result = weir_vec_resize(vec, n + 500);
        stepped(result, weir_vec_count(vec), &n, 500);
    }
    disarm();
    for (size_t i = 1; values != NULL && i < weir_vec_count(values); i++)
        must(*(long *)weir_vec_at(values, i - 1) < *(long *)weir_vec_at(values, i), "item %zu", i);
    if (vec != NULL)
        weir_vec_clear(vec);
    must(weir_is_unique(node), "%zu references are left", weir_refcount(node));
    weir_unref(node);
}

static void change_deque(void)
{
    struct node *node = make(&node_type);
    size_t n = 0;
    arm();
    WEIR_AUTO struct weir_deque *deque = weir_deque_new(NULL);
    for (long i = 0; deque != NULL && i < 200; i++) {
        int result = weir_deque_push_back(deque, node);
        stepped(result, weir_deque_count(deque), &n, 1);
        result = weir_deque_push_front(deque, node);
        stepped(result, weir_deque_count(deque), &n, 1);
        result = weir_deque_take_back(deque, weir_ref(node));
        stepped(result, weir_deque_count(deque), &n, 1);
        n -= i % 3 == 0 && weir_deque_drop_front(deque);
        must(weir_refcount(node) == 1 + n, "%zu references, %zu items", weir_refcount(node), n);
    }
    disarm();
    weir_clear(&deque);
    must(weir_is_unique(node), "%zu references are left", weir_refcount(node));
    weir_unref(node);
}

static void change_map(void)
{
    struct node *key[150], *value = make(&node_type);
    size_t n = 0, count = 0;
    for (int i = 0; i < 150; i++)
        key[i] = make(&node_type);
    arm();
    WEIR_AUTO struct weir_map *map = weir_map_new(NULL, NULL),
                              *counts = weir_map_new(WEIR_VALUES(int), WEIR_VALUES(long));
    for (int i = 0; map != NULL && counts != NULL && i < 150; i++) {
        int result = i % 2 ? weir_map_set(map, key[i], value) : weir_map_take(map, key[i], weir_ref(value));
        stepped(result, weir_map_count(map), &n, 1);
        must(weir_map_has(map, key[i]) == (result == 0) && weir_refcount(value) == 1 + n &&
                 weir_refcount(key[i]) == 1u + (result == 0),
             "key %d: %zu references, %zu entries", i, weir_refcount(value), n);
        if (i % 7 == 0)
            n -= weir_map_remove(map, key[i / 2]);
        long *slot = weir_map_slot(counts, &i);
        must(slot != NULL || errno == ENOMEM, "errno %d", errno);
        count += slot != NULL;
        if (slot != NULL)
            *slot = i;
        must(weir_map_count(counts) == count, "%zu entries, not %zu", weir_map_count(counts), count);
    }
    disarm();
    for (int i = 0; counts != NULL && i < 150; i++) {
        long *slot = weir_map_at(counts, &i);
        must(slot == NULL || *slot == i, "value %d", i);
    }
    weir_clear(&map);
    must(weir_is_unique(value), "%zu references are left", weir_refcount(value));
    weir_unref(value);
    for (int i = 0; i < 150; i++) {
        must(weir_is_unique(key[i]), "key %d has references left", i);
        weir_unref(key[i]);
    }
}

static void change_set(void)
{
    struct node *item[150];
    size_t n = 0;
    for (int i = 0; i < 150; i++)
        item[i] = make(&node_type);
    arm();
    WEIR_AUTO struct weir_set *set = weir_set_new(NULL);
    for (int i = 0; set != NULL && i < 150; i++) {
        int added = weir_set_add(set, item[i]);
        stepped(added, weir_set_count(set), &n, 1);
        int again = weir_set_take(set, weir_ref(item[i]));
        must(added < 0 || again == 0, "added again: %d", again);
        stepped(again, weir_set_count(set), &n, again == 1);
        must(weir_refcount(item[i]) == 1u + weir_set_has(set, item[i]), "item %d: %zu references", i,
             weir_refcount(item[i]));
    }
    disarm();
    weir_clear(&set);
    for (int i = 0; i < 150; i++) {
        must(weir_is_unique(item[i]), "item %d has references left", i);
        weir_unref(item[i]);
    }
}

static void reserve_room(void)
{
    struct weir_vec *vec = weir_vec_new(WEIR_VALUES(int));
    struct weir_deque *deque = weir_deque_new(WEIR_VALUES(int));
    struct weir_map *map = weir_map_new(WEIR_VALUES(int), WEIR_VALUES(int));
    struct weir_set *set = weir_set_new(WEIR_VALUES(int));
    arm();
    int result[] = {weir_vec_reserve(vec, 300), weir_deque_reserve(deque, 300), weir_map_reserve(map, 300),
                    weir_set_reserve(set, 300)};
    for (int i = 0; i < 300; i++) { /* with room that was reserved nothing is asked for */
        must(result[0] != 0 || weir_vec_push(vec, &i) == 0, "vec, item %d", i);
        must(result[1] != 0 || weir_deque_push_front(deque, &i) == 0, "deque, item %d", i);
        must(result[2] != 0 || weir_map_set(map, &i, &i) == 0, "map, item %d", i);
        must(result[3] != 0 || weir_set_add(set, &i) == 1, "set, item %d", i);
    }
    disarm();
    for (int i = 0; i < 4; i++)
        must(result[i] == 0 || result[i] == -ENOMEM, "reserve %d gave %d", i, result[i]);
    weir_unref(vec);
    weir_unref(deque);
    weir_unref(map);
    weir_unref(set);
}

Test(nomem, vec) { refuse_each(change_vec); }
Test(nomem, deque) { refuse_each(change_deque); }
Test(nomem, map) { refuse_each(change_map); }
Test(nomem, set) { refuse_each(change_set); }
Test(nomem, reserved_room) { refuse_each(reserve_room); }

/** Keys are numbers that only grow, so they are met in order. */
static void must_be_whole(const struct weir_map *map, const bool *there, long end)
{
    struct weir_cursor at = {0};
    long *key, *value, last = -1, count = 0;
    while (weir_map_next(map, &at, &key, &value)) {
        must(*key > last && *key < end && there[*key] && *value == *key * 3, "%ld after %ld", *key, last);
        last = *key;
        count++;
    }
    must((size_t)count == weir_map_count(map), "%ld entries are met, of %zu", count, weir_map_count(map));
}

/** Adds and removes, never more than `reserved` at a time, with all memory refused. */
static void churn_map(size_t reserved, bool oldest_first, bool refused)
{
    enum { KEYS = 20000 };
    static bool there[KEYS];
    struct weir_map *map = weir_map_new(WEIR_VALUES(long), WEIR_VALUES(long));
    struct weir_set *set = weir_set_new(WEIR_VALUES(long));
    struct unit_rng rng = {unit_seed()};
    long oldest = 0;
    must(weir_map_reserve(map, reserved) == 0 && weir_set_reserve(set, reserved) == 0, "no room");
    memset(there, 0, sizeof there);
    plan.armed = refused;
    for (long key = 0; key < KEYS; key++) {
        long value = key * 3, out = oldest;
        must(weir_map_set(map, &key, &value) == 0 && weir_set_add(set, &key) == 1, "key %ld: no room", key);
        there[key] = true;
        while (weir_map_count(map) == reserved || (weir_map_count(map) > 0 && unit_below(&rng, 3) == 0)) {
            do
                out = oldest_first ? oldest++ : (long)unit_below(&rng, (uint64_t)key + 1);
            while (!there[out]);
            must(weir_map_remove(map, &out) && weir_set_remove(set, &out), "%ld is not there", out);
            there[out] = false;
        }
        must(weir_map_count(map) == weir_set_count(set), "two counts");
        if (key % 100 == 0)
            must_be_whole(map, there, KEYS);
    }
    disarm();
    must_be_whole(map, there, KEYS);
    for (long key = 0; key < KEYS; key++)
        must(weir_map_has(map, &key) == there[key] && weir_set_has(set, &key) == there[key], "key %ld", key);
    weir_unref(map);
    weir_unref(set);
}

static void churn_list(void)
{
    enum { ROOM = 5000 };
    struct weir_vec *vec = weir_vec_new(WEIR_VALUES(long));
    struct weir_deque *deque = weir_deque_new(WEIR_VALUES(long));
    must(weir_vec_reserve(vec, ROOM) == 0 && weir_deque_reserve(deque, ROOM) == 0, "no room");
    arm();
    for (int round = 0; round < 3; round++) {
        for (long i = 0; i < ROOM; i++)
            must(weir_vec_push(vec, &i) == 0 && weir_deque_push_back(deque, &i) == 0, "item %ld: no room", i);
        must(weir_vec_resize(vec, round) == 0, "resize");
        while (weir_vec_remove(vec, 0))
            continue;
        while (round == 1 ? weir_deque_drop_front(deque) : weir_deque_drop_back(deque))
            continue;
    }
    disarm();
    weir_unref(vec);
    weir_unref(deque);
}

Test(nomem, reserved_room_lasts)
{
    plan.n = 1;
    plan.lasting = true;
    churn_list();
    for (int refused = 0; refused < 2; refused++) {
        churn_map(5, false, refused); /* all that there are slots for */
        churn_map(300, false, refused);
        churn_map(320, false, refused); /* likewise */
        churn_map(320, true, refused);
        churn_map(1, true, refused);
    }
}

Test(nomem, reserved_room_ends)
{
    struct weir_vec *vec = weir_vec_new(WEIR_VALUES(long));
    struct weir_map *map = weir_map_new(WEIR_VALUES(long), WEIR_VALUES(long));
    struct weir_deque *deque = weir_deque_new(WEIR_VALUES(long));
    long one = 1;
    uint64_t before = unit_live_bytes();
    for (int clear = 0; clear < 2; clear++) {
        must(weir_vec_reserve(vec, 100000) == 0 && weir_deque_reserve(deque, 100000) == 0 &&
                 weir_map_reserve(map, 100000) == 0,
             "no room");
        if (clear) {
            weir_vec_clear(vec);
            weir_deque_clear(deque);
            weir_map_clear(map);
        } else {
            must(weir_vec_reserve(vec, 0) == 0 && weir_deque_reserve(deque, 0) == 0 && weir_map_reserve(map, 0) == 0,
                 "less room");
            for (int i = 0; i < 20; i++) { /* each time half of it goes */
                must(weir_vec_push(vec, &one) == 0 && weir_deque_push_back(deque, &one) == 0 &&
                         weir_map_set(map, &one, &one) == 0,
                     "one more");
                must(weir_vec_remove(vec, 0) && weir_deque_drop_front(deque) && weir_map_remove(map, &one), "one less");
            }
        }
        must(unit_live_bytes() < before + 4096, "%lu bytes live before, %lu after", before, unit_live_bytes());
    }
    weir_unref(vec);
    weir_unref(map);
    weir_unref(deque);
}

/* ---- chunks ------------------------------------------------------------------------------------------------------ */

static ssize_t read_ten(void *left, void *buffer, size_t size)
{
    size_t n = wr_min(wr_min(size, 10), *(size_t *)left);
    memset(buffer, 'x', n);
    *(size_t *)left -= n;
    return (ssize_t)n;
}

static void read_lines(void)
{
    const struct weir_chunks_how how = {.split = WEIR_CHUNKS_LINES, .most = 4096};
    static const char text[] = "one\ntwo\nthree\n";
    size_t left = 10000;
    arm();
    for (int source = 0; source < 3; source++) {
        errno = 0;
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), lines = 0;
        WEIR_AUTO struct weir_chunks *chunks = source == 0   ? weir_chunks_buffer(text, sizeof text - 1, &how)
                                               : source == 1 ? weir_chunks_fd(fd, &how)
                                                             : weir_chunks_call(read_ten, &left, &how);
        must(chunks != NULL || (errno == ENOMEM && weir_chunks_error(chunks) == -ENOMEM), "errno %d", errno);
        while (weir_chunks_next(chunks) != NULL)
            lines++;
        must(chunks == NULL || (weir_chunks_error(chunks) == 0 && lines == 3 - source * 3 + (source == 2) * 6),
             "source %d gave %d lines", source, lines);
        close(fd);
    }
    disarm();
}

Test(nomem, chunks) { refuse_each(read_lines); }

/* ---- sharing ----------------------------------------------------------------------------------------------------- */

enum { BOXES = 3000 };

/** A vec of boxes, each with another; some are large. */
static void *make_boxes(void *out)
{
    struct weir_vec *vec = weir_vec_new(NULL);
    for (int i = 0; i < BOXES; i++) {
        struct node *box = make(i % 100 == 99 ? &large_type : &node_type);
        box->left = make(&node_type);
        must(weir_vec_take(vec, box) == 0, "no memory");
    }
    *(struct weir_vec **)out = vec;
    return NULL;
}

static void must_all_be(const struct weir_vec *vec, bool (*what)(const void *object))
{
    struct weir_cursor at = {0};
    struct node *box;
    must(what(vec), "not the vec itself");
    while (weir_vec_next(vec, &at, &box))
        must(what(box) && what(box->left), "not box %lu, or what is in it", at.next - 1);
}

/** Does it to a graph, and all memory is refused. */
static void without_memory(void *(*what)(void *object), struct weir_vec *vec)
{
    plan.n = 1;
    plan.lasting = true;
    plan.seen = 0;
    arm();
    what(vec);
    disarm();
    must(plan.seen > 0, "no memory was asked for");
    must_all_be(vec, what == weir_share ? weir_is_shared : weir_is_immortal);
}

Test(nomem, sharing)
{
    struct weir_vec *vec;
    make_boxes(&vec);
    without_memory(weir_share, vec);
    weir_unref(vec);
    unit_on_thread(make_boxes, &vec); /* what an exited thread has left */
    without_memory(weir_share, vec);
    weir_unref(vec);
    must(weir_gc_collect(WEIR_GC_FULL) == 0 && unit_alive() == 0 && made == gone, "%lu are alive", unit_alive());
}

static struct {
    pthread_barrier_t turn;
    struct weir_vec *vec;
} running;

static void *share_and_run(void *arg WR_UNUSED)
{
    make_boxes(&running.vec);
    weir_share(running.vec);
    pthread_barrier_wait(&running.turn);
    pthread_barrier_wait(&running.turn);
    return NULL;
}

Test(nomem, making_immortal)
{
    struct weir_vec *vec;
    pthread_t thread;
    make_boxes(&vec);
    without_memory(weir_immortalize, vec);
    unit_on_thread(make_boxes, &vec);
    without_memory(weir_immortalize, vec);
    pthread_barrier_init(&running.turn, NULL, 2);
    must(pthread_create(&thread, NULL, share_and_run, NULL) == 0, "no thread");
    pthread_barrier_wait(&running.turn);
    without_memory(weir_immortalize, running.vec); /* what a running thread has made, and shared */
    pthread_barrier_wait(&running.turn);
    pthread_join(thread, NULL);
}

/* ---- looking ----------------------------------------------------------------------------------------------------- */

static int count_one(void *object WR_UNUSED, void *count)
{
    ++*(long *)count;
    return 0;
}

static void look(void)
{
    struct node *center = hub(&node_type, 500), *path = make(&node_type);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    long each = 0, referrers = 0, referents = 0, all_of_many = 0;
    path->left = weir_ref(center);
    struct weir_vec *many = weir_vec_new(NULL);
    for (int i = 0; i < 200; i++)
        must(weir_vec_push(many, path) == 0, "no memory");
    arm();
    int result[] = {weir_gc_each(WEIR_GC_FULL, count_one, &each), weir_gc_referrers(center, count_one, &referrers),
                    weir_gc_referents(path, count_one, &referents), weir_gc_referents(many, count_one, &all_of_many)};
    long all = weir_gc_dump(null, NULL, 2000), one = weir_gc_dump(null, center->left, 2000);
    disarm();
    must(result[0] == 0 ? each == 503 : result[0] == -ENOMEM && each == 0, "each: %d, %ld", result[0], each);
    must(result[1] == 0 ? referrers == 501 : result[1] == -ENOMEM && referrers == 0, "referrers: %d", result[1]);
    must(result[2] == 0 && referents == 1, "referents: %d, %ld", result[2], referents);
    must(result[3] == 0 ? all_of_many == 200 : result[3] == -ENOMEM && all_of_many == 0, "many: %d", result[3]);
    must(all == -ENOMEM || all == 503, "dump: %ld", all);
    must(one == -ENOMEM || one > 0, "dump of one: %ld", one);
    close(null);
    weir_gc_freeze();
    weir_gc_unfreeze();
    weir_unref(many);
    weir_unref(path);
    weir_unref(center);
    weir_gc_collect(WEIR_GC_FULL);
}

Test(nomem, looking) { refuse_each(look); }
