/* SPDX-License-Identifier: MIT
 * Objects: made, counted, released, revived; slots, scopes, weak references, sharing, immortality; and misuse, which
 * ends the process with the type's name. */
#include "support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weir/weir.h>

TestSuite(object, .timeout = 120);

struct node {
    struct node *left, *right;
    long value;
};

static const struct weir_type node_type = {
    .name = "node", .size = sizeof(struct node), WEIR_REFS(struct node, left, right)};

static struct node *make(const struct weir_type *type, long value)
{
    struct node *node = weir_new(type);
    must(node != NULL, "no memory for an object");
    node->value = value;
    return node;
}

/** Runs fn in a child that is to be ended by abort, with `text` in what it says. */
static void must_die(void (*fn)(void), const char *text)
{
    char said[4096];
    int pipe_fd[2], status;
    size_t length = 0;
    must(pipe(pipe_fd) == 0, "no pipe");
    pid_t child = fork();
    if (child == 0) {
        dup2(pipe_fd[1], STDERR_FILENO);
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        signal(SIGABRT, SIG_DFL);
        fn();
        _exit(0);
    }
    close(pipe_fd[1]);
    for (ssize_t n; (n = read(pipe_fd[0], said + length, sizeof said - 1 - length)) > 0;)
        length += (size_t)n;
    said[length] = '\0';
    close(pipe_fd[0]);
    waitpid(child, &status, 0);
    must(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "did not abort (status %d): %s", status, said);
    must(strstr(said, text) != NULL, "no \"%s\" in: %s", text, said);
}

/* ---- making ------------------------------------------------------------------------------------------------------ */

Test(object, new_is_zeroed_also_when_the_block_was_used)
{
    for (int round = 0; round < 3; round++) {
        struct node *all[1000];
        for (int i = 0; i < 1000; i++) {
            all[i] = weir_new(&node_type);
            must(unit_zeroed(all[i], sizeof *all[i]) == UNIT_INTACT, "object %d is not zero", i);
            must(weir_refcount(all[i]) == 1 && weir_typeof(all[i]) == &node_type, "object %d", i);
            must((uintptr_t)all[i] % 8 == 0, "not aligned");
            all[i]->value = -1;
        }
        for (int i = 0; i < 1000; i++)
            weir_unref(all[i]);
        must(unit_alive() == 0, "%lu are alive", unit_alive());
    }
}

static struct weir_type sized_type[40];

Test(object, all_sizes_small_to_huge)
{
    static char name[40][16];
    unsigned n = 0;
    for (size_t size = 1; size < (64u << 20) && n < 40; size = size * 2 + n % 3, n++) {
        snprintf(name[n], sizeof name[n], "size %zu", size);
        sized_type[n] = (struct weir_type){.name = name[n], .size = size, .flags = n % 2 ? WEIR_ALIGN16 : 0};
        char *object[5];
        for (int i = 0; i < 5; i++) {
            object[i] = weir_new(&sized_type[n]);
            must(object[i] != NULL && weir_typeof(object[i]) == &sized_type[n], "size %zu", size);
            must(weir_usable_size(object[i]) >= size, "%zu usable of %zu", weir_usable_size(object[i]), size);
            must(unit_zeroed(object[i], size) == UNIT_INTACT, "size %zu is not zero", size);
            must((uintptr_t)object[i] % (n % 2 ? 16 : 8) == 0, "size %zu at %p", size, (void *)object[i]);
            unit_fill(object[i], 0, size, (uint64_t)i);
        }
        for (int i = 0; i < 5; i++) {
            must(unit_filled(object[i], 0, size, (uint64_t)i) == UNIT_INTACT, "size %zu overlaps", size);
            weir_unref(object[i]);
        }
    }
    must(unit_alive() == 0, "%lu are alive", unit_alive());
}

static const struct weir_type text_type = {.name = "text", .size = 8, .flags = WEIR_VARSIZE | WEIR_ACYCLIC};

Test(object, new_var)
{
    void *all[3000];
    for (size_t i = 0; i < 3000; i++) {
        all[i] = weir_new_var(&text_type, i);
        must(weir_usable_size(all[i]) >= 8 + i && weir_typeof(all[i]) == &text_type, "extra %zu", i);
        must(unit_zeroed(all[i], weir_usable_size(all[i])) == UNIT_INTACT, "extra %zu is not zero", i);
        memset(all[i], 0xff, weir_usable_size(all[i]));
    }
    for (size_t i = 0; i < 3000; i++)
        weir_unref(all[i]);
    errno = 0;
    must(weir_new_var(&text_type, SIZE_MAX - 4) == NULL && errno == ENOMEM, "an overflow was not noticed");
    must(weir_new_var(&text_type, PTRDIFF_MAX) == NULL && errno == ENOMEM, "PTRDIFF_MAX bytes");
    must(unit_alive() == 0, "%lu are alive", unit_alive());
}

Test(object, pages_go_back)
{
    size_t before = unit_resident();
    enum { N = 500000 };
    struct node **all = malloc(N * sizeof *all);
    for (size_t i = 0; i < N; i++)
        all[i] = make(&node_type, (long)i);
    for (size_t i = 0; i < N; i++)
        weir_unref(all[i]);
    free(all);
    weir_trim(0);
    must(unit_resident() < before + (2u << 20) + (UNIT_SANITIZED ? (64u << 20) : 0), "%zu KiB before, %zu after",
         before >> 10, unit_resident() >> 10);
}

/* ---- counts and slots -------------------------------------------------------------------------------------------- */

Test(object, null_is_fine)
{
    void *none = NULL;
    must(weir_ref(NULL) == NULL && weir_refcount(NULL) == 0, "NULL");
    weir_unref(NULL);
    weir_clear(&none);
    weir_share(NULL);
    weir_immortalize(NULL);
}

Test(object, slots)
{
    struct node *a = make(&node_type, 1), *b = make(&node_type, 2), *slot = NULL;
    weir_set(&slot, a);
    must(slot == a && weir_refcount(a) == 2, "set");
    weir_set(&slot, a);
    must(slot == a && weir_refcount(a) == 2, "set to itself");
    weir_set(&slot, b);
    must(weir_refcount(a) == 1 && weir_refcount(b) == 2, "set to another");
    weir_take(&slot, a);
    must(slot == a && weir_refcount(a) == 1 && weir_refcount(b) == 1, "take");
    a = weir_steal(&slot);
    must(slot == NULL && weir_refcount(a) == 1 && weir_is_unique(a), "steal");
    weir_clear(&a);
    weir_clear(&b);
    must(a == NULL && unit_alive() == 0, "clear");
}

static struct node *global;
static int order[16], ordered;

static void note_value(void *object)
{
    if (ordered < 16)
        order[ordered++] = (int)((struct node *)object)->value;
}

static const struct weir_type noted_type = {
    .name = "noted", .size = sizeof(struct node), WEIR_REFS(struct node, left, right), .finalize = note_value};

Test(object, auto_releases_on_every_path)
{
    ordered = 0;
    for (int i = 0; i < 3; i++) {
        WEIR_AUTO struct node *a = make(&noted_type, i);
        if (i == 1)
            continue;
        global = weir_ref(a);
        weir_clear(&global);
    }
    must(ordered == 3 && unit_alive() == 0, "%d were released", ordered);
}

Test(object, parents_first)
{
    ordered = 0;
    struct node *a = make(&noted_type, 1);
    a->left = make(&noted_type, 2);
    a->right = make(&noted_type, 3);
    a->left->left = weir_ref(a->right); /* 3 is held by 1 and 2: it goes last */
    weir_unref(a);
    must(ordered == 3 && order[0] == 1 && order[1] == 2 && order[2] == 3, "%d %d %d", order[0], order[1], order[2]);
}

static void *on_small_stack(void *(*fn)(void *), void *arg)
{
    return unit_on_stack(64 * WR_KIB, fn, arg);
}

static void *build_and_drop(void *arg)
{
    const struct weir_type *type = arg;
    size_t n = unit_scale(UNIT_SANITIZED ? 1000000 : 10000000);
    struct node *list = NULL;
    weir_gc_disable();
    for (size_t i = 0; i < n; i++) {
        struct node *node = make(type, 1);
        node->left = list; /* consumed */
        list = node;
    }
    weir_clear(&list);
    must(unit_alive() == 0, "%lu are alive", unit_alive());
    /* A comb: each tooth is a list of its own; and a tree that is as deep as it is wide. */
    for (size_t i = 0; i < n / 100; i++) {
        struct node *node = make(type, 1);
        node->right = list;
        for (int tooth = 0; tooth < 10; tooth++) {
            struct node *next = make(type, 1);
            next->left = node->left;
            node->left = next;
        }
        list = node;
    }
    weir_unref(list);
    must(unit_alive() == 0, "%lu are alive", unit_alive());
    weir_gc_enable();
    return NULL;
}

Test(object, long_lists_on_a_small_stack) { on_small_stack(build_and_drop, (void *)&node_type); }
Test(object, long_lists_with_finalizers_on_a_small_stack) { on_small_stack(build_and_drop, (void *)&noted_type); }

/** 1,000 references in a row to lists: more than wait in a burial's table. */
struct wide {
    struct node *item[1000];
};
static void visit_wide(void *object, weir_visit_fn visit, void *arg)
{
    for (int i = 0; i < 1000; i++)
        visit(((struct wide *)object)->item[i], arg);
}
static const struct weir_type wide_type = {.name = "wide", .size = sizeof(struct wide), .traverse = visit_wide};

Test(object, wide_objects)
{
    for (int finalized = 0; finalized < 2; finalized++) {
        struct wide *wide = weir_new(&wide_type);
        for (int i = 0; i < 1000; i++) {
            wide->item[i] = make(finalized ? &noted_type : &node_type, i);
            wide->item[i]->left = weir_ref(wide->item[i / 2]);
        }
        weir_unref(wide);
        weir_gc_collect(WEIR_GC_FULL); /* item 0 refers to itself */
        must(unit_alive() == 0, "%lu are alive", unit_alive());
    }
}

/* ---- finalizers -------------------------------------------------------------------------------------------------- */

static int finalized, deallocated;
static void revive(void *object)
{
    finalized++;
    weir_set(&global, object);
}
static void give_back(void *object WR_UNUSED) { deallocated++; }

static const struct weir_type phoenix_type = {.name = "phoenix",
                                              .size = sizeof(struct node),
                                              WEIR_REFS(struct node, left, right),
                                              .finalize = revive,
                                              .dealloc = give_back};

Test(object, revived_once_then_dead)
{
    struct node *a = make(&phoenix_type, 7);
    a->left = make(&node_type, 8);
    finalized = deallocated = 0;
    weir_unref(a);
    must(finalized == 1 && deallocated == 0 && global == a && a->left->value == 8, "not revived whole");
    must(weir_refcount(a) == 1 && weir_gc_is_finalized(a), "count %zu", weir_refcount(a));
    weir_clear(&global);
    must(finalized == 1 && deallocated == 1 && unit_alive() == 0, "finalized %d times", finalized);
}

/** Makes objects, drops others, and releases into the release that is under way. */
static void busy_finalizer(void *object)
{
    struct node *self = object;
    struct node *fresh = make(&node_type, 1);
    fresh->left = make(&node_type, 2);
    weir_ref(fresh);
    weir_unref(fresh);
    weir_unref(fresh);
    if (self->value > 0) {
        struct node *next = make(weir_typeof(object), self->value - 1);
        weir_unref(next); /* dies within this release: constant stack all the same */
    }
    finalized++;
}
static const struct weir_type busy_type = {
    .name = "busy", .size = sizeof(struct node), WEIR_REFS(struct node, left, right), .finalize = busy_finalizer};

static void *run_busy(void *arg WR_UNUSED)
{
    finalized = 0;
    weir_unref(make(&busy_type, 200000));
    must(finalized == 200001 && unit_alive() == 0, "%d finalized, %lu alive", finalized, unit_alive());
    return NULL;
}

Test(object, finalizers_make_and_release) { on_small_stack(run_busy, NULL); }

/* ---- renew, scopes ----------------------------------------------------------------------------------------------- */

Test(object, renew)
{
    ordered = 0;
    struct node *a = make(&noted_type, 1), *other;
    a->left = make(&node_type, 2);
    struct node *b = weir_renew(a, &noted_type);
    must(b == a && b->left == NULL && b->value == 0 && ordered == 1 && unit_alive() == 1, "not in place");
    weir_ref(b);
    other = weir_renew(b, &noted_type);
    must(other != b && weir_refcount(b) == 1 && weir_refcount(other) == 1, "two references");
    weir_unref(b);
    b = weir_renew(other, &node_type);
    must(weir_typeof(b) == &node_type && unit_alive() == 1, "another type");
    weir_unref(b);
    b = weir_renew(NULL, &node_type);
    must(b != NULL, "of nothing");
    weir_unref(b);
    struct node *phoenix = make(&phoenix_type, 3);
    b = weir_renew(phoenix, &phoenix_type);
    must(b != phoenix && global == phoenix && phoenix->value == 3, "one that was revived was taken");
    weir_unref(b);
    weir_clear(&global);
    weir_clear(&global);
    must(unit_alive() == 0, "%lu are alive", unit_alive());
}

Test(object, renew_of_what_is_frozen)
{
    struct node *a = make(&node_type, 1), *b, *c;
    weir_gc_freeze();
    b = weir_renew(a, &node_type);
    must(weir_gc_is_tracked(b), "a new object lies in a frozen page");
    c = weir_renew(b, &node_type);
    must(c == b, "not in place in a page that is not frozen");
    weir_gc_unfreeze();
    must(weir_renew(c, &node_type) == c, "not in place when nothing is frozen");
    weir_unref(c);
    must(unit_alive() == 0, "%lu are alive", unit_alive());
}

static void count_up(void *arg) { order[ordered++] = (int)(intptr_t)arg; }

Test(object, scopes)
{
    ordered = 0;
    size_t outer = weir_scope_enter();
    weir_scope_defer(count_up, (void *)1);
    size_t inner = weir_scope_enter();
    weir_scope_defer(count_up, (void *)2);
    weir_scope_defer(count_up, (void *)3);
    weir_scope_leave(inner);
    must(ordered == 2 && order[0] == 3 && order[1] == 2, "the last comes first");
    must(weir_scope_own(weir_new(&node_type)) != NULL && weir_scope_own(NULL) == NULL, "own");
    weir_scope_leave(outer);
    must(ordered == 3 && order[2] == 1 && unit_alive() == 0, "the outer scope");
}

Test(object, scopes_and_longjmp)
{
    static jmp_buf env;
    ordered = 0;
    size_t mark = weir_scope_enter();
    if (setjmp(env) == 0) {
        for (int i = 0; i < 100; i++) {
            size_t ignored = weir_scope_enter();
            (void)ignored;
            weir_scope_own(weir_new(&node_type));
        }
        must(unit_alive() == 100, "%lu", unit_alive());
        longjmp(env, 1);
    }
    weir_scope_leave(mark);
    must(unit_alive() == 0, "%lu are alive", unit_alive());
}

static jmp_buf out_of_leave;
static void jump_out(void *arg WR_UNUSED) { longjmp(out_of_leave, 1); }

Test(object, scopes_left_by_what_they_deferred)
{
    size_t mark = weir_scope_enter();
    weir_scope_own(weir_new(&node_type));
    must(weir_scope_defer(jump_out, NULL) == 0, "defer");
    weir_scope_own(weir_new(&node_type));
    if (setjmp(out_of_leave) == 0) {
        weir_scope_leave(mark);
        cr_assert_fail("the deferred function has returned");
    }
    must(unit_alive() == 1, "%lu are alive: the last deferred goes first", unit_alive());
    weir_scope_leave(mark);
    must(unit_alive() == 0, "%lu are alive", unit_alive());
}

/* ---- weak references (CPython: test_weakref) --------------------------------------------------------------------- */

static int calls;
static void called(struct weir_weak *weak, void *arg)
{
    struct node *gone = weir_weak_get(weak);
    must(gone == NULL, "the object is still there in its callback");
    calls += (int)(intptr_t)arg;
}

Test(object, weak_basic_ref)
{
    struct weir_weak weak;
    struct node *a = make(&node_type, 1), *got;
    weir_weak_init(&weak, a, NULL, NULL);
    got = weir_weak_get(&weak);
    must(got == a && weir_refcount(a) == 2, "not upgraded");
    weir_unref(got);
    weir_unref(a);
    got = weir_weak_get(&weak);
    must(got == NULL, "a reference to a dead object");
    weir_weak_fini(&weak);
    weir_weak_fini(&weak);
    weir_weak_init(&weak, NULL, called, NULL);
    got = weir_weak_get(&weak);
    must(got == NULL, "a reference to nothing");
    weir_weak_fini(&weak);
}

Test(object, weak_basic_callback)
{
    struct weir_weak weak[100];
    struct node *a = make(&node_type, 1);
    calls = 0;
    for (int i = 0; i < 100; i++)
        weir_weak_init(&weak[i], a, called, (void *)1);
    for (int i = 0; i < 100; i += 2)
        weir_weak_fini(&weak[i]);
    weir_unref(a);
    must(calls == 50, "%d callbacks", calls);
}

static void reuse(struct weir_weak *weak, void *arg)
{
    calls++;
    weir_weak_init(weak, arg, called, (void *)10);
}

Test(object, weak_callback_starts_anew)
{
    struct weir_weak weak;
    struct node *a = make(&node_type, 1), *b = make(&node_type, 2), *got;
    calls = 0;
    weir_weak_init(&weak, a, reuse, b);
    weir_unref(a);
    got = weir_weak_get(&weak);
    must(calls == 1 && got == b, "not renewed");
    weir_unref(got);
    weir_unref(b);
    must(calls == 11, "%d", calls);
}

/** Weak references to one object, each with its memory. The callback that runs first finishes or renews the others. */
enum { CROWD = 50 };
static struct {
    struct weir_weak *weak[CROWD];
    struct node *next; /* what the others are made to refer to; NULL: they are finished, and freed */
} crowd;

static void end_the_others(struct weir_weak *weak, void *arg WR_UNUSED)
{
    calls++;
    for (int i = 0; i < CROWD; i++) {
        if (crowd.weak[i] == weak)
            continue;
        must(crowd.weak[i] != NULL, "a callback after its weak reference was finished");
        if (crowd.next != NULL) {
            weir_weak_init(crowd.weak[i], crowd.next, called, (void *)100);
            continue;
        }
        weir_weak_fini(crowd.weak[i]);
        memset(crowd.weak[i], 0x5a, sizeof *crowd.weak[i]);
        free(crowd.weak[i]);
        crowd.weak[i] = NULL;
    }
}

static void gather_crowd(struct node *object)
{
    calls = 0;
    for (int i = 0; i < CROWD; i++) {
        crowd.weak[i] = malloc(sizeof *crowd.weak[i]);
        weir_weak_init(crowd.weak[i], object, end_the_others, NULL);
    }
}

/** pre: what was referred to has died. */
static void disperse_crowd(void)
{
    for (int i = 0; i < CROWD; i++)
        if (crowd.weak[i] != NULL) {
            weir_weak_fini(crowd.weak[i]);
            free(crowd.weak[i]);
        }
}

Test(object, weak_callback_finishes_others)
{
    crowd.next = NULL;
    for (int dies_in_cycle = 0; dies_in_cycle < 2; dies_in_cycle++) {
        struct node *a = make(&node_type, 1);
        if (dies_in_cycle)
            a->left = weir_ref(a);
        gather_crowd(a);
        weir_unref(a);
        if (dies_in_cycle)
            unit_must_collect(1);
        must(calls == 1, "%d callbacks", calls);
        disperse_crowd();
    }
}

Test(object, weak_callback_renews_others)
{
    for (int dies_in_cycle = 0; dies_in_cycle < 2; dies_in_cycle++) {
        struct node *a = make(&node_type, 1), *b = make(&node_type, 2);
        if (dies_in_cycle)
            a->left = weir_ref(a);
        crowd.next = b;
        gather_crowd(a);
        weir_unref(a);
        if (dies_in_cycle)
            unit_must_collect(1);
        must(calls == 1, "%d callbacks", calls);
        int renewed = 0;
        for (int i = 0; i < CROWD; i++) {
            struct node *got = weir_weak_get(crowd.weak[i]);
            renewed += got == b;
            weir_unref(got);
        }
        must(renewed == CROWD - 1, "%d refer to the other", renewed);
        weir_unref(b);
        must(calls == 1 + 100 * (CROWD - 1), "%d", calls);
        disperse_crowd();
    }
}

static struct weir_weak in_finalizer;
static void look_at_self(void *object)
{
    struct node *self = weir_weak_get(&in_finalizer);
    must(self == object, "a finalizer does not find its object by its weak reference");
    weir_unref(self);
    finalized++;
}
static const struct weir_type looking_type = {.name = "looking", .size = sizeof(struct node), .finalize = look_at_self};

Test(object, weak_is_there_in_the_finalizer_and_gone_after)
{
    struct node *a = make(&looking_type, 1), *got;
    finalized = calls = 0;
    weir_weak_init(&in_finalizer, a, called, (void *)1);
    weir_unref(a);
    got = weir_weak_get(&in_finalizer);
    must(finalized == 1 && calls == 1 && got == NULL, "%d %d", finalized, calls);
}

Test(object, weak_survives_revival)
{
    struct weir_weak weak;
    struct node *a = make(&phoenix_type, 1), *got;
    calls = 0;
    weir_weak_init(&weak, a, called, (void *)1);
    weir_unref(a);
    got = weir_weak_get(&weak);
    must(got == a && calls == 0, "revived, but not for its weak reference");
    weir_unref(got);
    weir_clear(&global);
    must(calls == 1, "%d", calls);
}

Test(object, weak_many_objects)
{
    enum { N = 20000 };
    struct weir_weak *weak = calloc(N, sizeof *weak);
    struct node **all = calloc(N, sizeof *all);
    for (int i = 0; i < N; i++) {
        all[i] = make(&node_type, i);
        weir_weak_init(&weak[i], all[i], NULL, NULL);
    }
    for (int i = 0; i < N; i += 3)
        weir_clear(&all[i]);
    for (int i = 0; i < N; i++) {
        struct node *got = weir_weak_get(&weak[i]);
        must(got == all[i], "weak reference %d", i);
        weir_unref(got);
        weir_weak_fini(&weak[i]);
        weir_clear(&all[i]);
    }
    free(weak);
    free(all);
}

/* ---- sharing, immortality ---------------------------------------------------------------------------------------- */

static struct node *graph(size_t n)
{
    struct node **all = malloc(n * sizeof *all), *root;
    for (size_t i = 0; i < n; i++)
        all[i] = make(&node_type, (long)i);
    for (size_t i = 0; i < n; i++) {
        all[i]->left = i + 1 < n ? all[i + 1] : NULL;
        weir_set(&all[i]->right, all[i * 7919 % n]);
    }
    root = all[0];
    free(all);
    return root;
}

Test(object, share_is_transitive)
{
    struct wide *wide = weir_new(&wide_type);
    for (int i = 0; i < 1000; i++) {
        wide->item[i] = make(&node_type, i);
        wide->item[i]->left = make(&node_type, i);
    }
    must(weir_share(wide) == wide && weir_is_shared(wide), "not shared");
    for (int i = 0; i < 1000; i++)
        must(weir_is_shared(wide->item[i]) && weir_is_shared(wide->item[i]->left), "item %d", i);
    weir_ref(wide);
    must(weir_refcount(wide) == 2, "%zu", weir_refcount(wide));
    weir_unref(wide);
    must(weir_is_unique(wide) && unit_alive() == 2001, "%lu", unit_alive());
    weir_unref(wide);
    must(unit_alive() == 0, "%lu are alive", unit_alive());
}

Test(object, immortal)
{
    struct node *root = graph(50000);
    must(weir_immortalize(root) == root && weir_is_immortal(root->left->right), "not immortal");
    for (int i = 0; i < 10; i++)
        weir_unref(root);
    must(weir_refcount(root) == SIZE_MAX && unit_alive() == 50000, "an immortal died");
    must(weir_gc_collect(WEIR_GC_FULL) == 0, "an immortal was collected");
}

Test(object, counts_do_not_overflow)
{
    struct node *a = make(&node_type, 1);
    for (int64_t i = 0; i < 10; i++)
        weir_ref(a);
    ((int32_t *)a)[-2] = INT32_MAX - 5;
    for (int i = 0; i < 100; i++)
        weir_ref(a);
    must(weir_is_immortal(a), "count %d", ((int32_t *)a)[-2]);
    for (int i = 0; i < 1000; i++)
        weir_unref(a);
    must(weir_is_immortal(a), "an overflow came back");
}

Test(object, shared_counts_do_not_overflow)
{
    struct node *a = weir_share(make(&node_type, 1));
    uint32_t *count = &((uint32_t *)a)[-1];
    for (int i = 0; i < 10; i++)
        weir_ref(a);
    must(weir_refcount(a) == 11 && *count == 11, "%zu references, %u counted", weir_refcount(a), *count);
    *count = INT32_MAX - 5;
    must(weir_is_shared(a) && !weir_is_immortal(a), "the count says what the object is");
    for (int i = 0; i < 100; i++)
        weir_ref(a);
    must(weir_is_immortal(a) && !weir_is_shared(a), "count %u", *count);
    for (int i = 0; i < 1000; i++)
        weir_unref(a);
    must(weir_is_immortal(a) && unit_alive() == 1, "an overflow came back");
}

/** Nor do they when weak references are all that is made into references. */
Test(object, shared_counts_do_not_overflow_by_weak_references)
{
    struct node *a = weir_share(make(&node_type, 1));
    uint32_t *count = &((uint32_t *)a)[-1];
    struct weir_weak weak;
    weir_weak_init(&weak, a, NULL, NULL);
    *count = INT32_MAX - 5;
    for (int i = 0; i < 100; i++)
        must(weir_weak_get(&weak) == a, "not got");
    must(weir_is_immortal(a), "count %u", *count);
    for (int i = 0; i < 1000; i++)
        weir_unref(a);
    must(weir_is_immortal(a) && unit_alive() == 1, "an overflow came back");
}

Test(object, what_holds_of_an_object_stays_when_it_is_shared)
{
    struct node *a = make(&node_type, 1);
    struct weir_weak before, between, after;
    weir_weak_init(&before, a, NULL, NULL);
    weir_share(a);
    weir_weak_init(&between, a, NULL, NULL);
    must(weir_refcount(a) == 1 && weir_is_unique(a) && weir_is_shared(a), "%zu references", weir_refcount(a));
    weir_unref(a);
    must(unit_alive() == 0 && weir_weak_get(&before) == NULL && weir_weak_get(&between) == NULL, "not severed");
    a = make(&node_type, 1);
    weir_weak_init(&before, a, NULL, NULL);
    weir_share(a);
    weir_weak_init(&between, a, NULL, NULL);
    weir_immortalize(a);
    weir_weak_init(&after, a, NULL, NULL);
    for (int i = 0; i < 3; i++)
        weir_unref(a);
    must(weir_is_immortal(a) && !weir_is_shared(a), "not immortal");
    must(weir_weak_get(&before) == a && weir_weak_get(&between) == a && weir_weak_get(&after) == a, "severed");
}

/** Private_Dirty of the process, KiB. */
static long private_dirty(void)
{
    char line[256];
    long sum = 0, one;
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    if (file == NULL)
        return -1;
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "Private_Dirty: %ld", &one) == 1)
            sum += one;
    fclose(file);
    return sum;
}

static void in_child(void (*fn)(struct node *), struct node *root)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        fn(root);
        _exit(0);
    }
    waitpid(child, &status, 0);
    must(status == 0, "the child ended with status %d", status);
}

static void hold_all(struct node *root)
{
    long before = private_dirty();
    for (int round = 0; round < 20; round++)
        for (struct node *node = root; node != NULL; node = node->left) {
            weir_ref(node);
            weir_ref(node->right);
        }
    weir_gc_collect(WEIR_GC_FULL);
    long after = private_dirty();
    must(after - before < 512, "%ld KiB became dirty", after - before);
}

Test(object, immortal_pages_stay_shared_with_a_child)
{
    if (private_dirty() < 0 || UNIT_SANITIZED)
        cr_skip_test("no /proc/self/smaps_rollup");
    struct node *root = graph(100000); /* 3 MiB */
    weir_immortalize(root);
    in_child(hold_all, root);
}

static void collect_frozen(struct node *root WR_UNUSED)
{
    long before = private_dirty();
    struct node *a = make(&node_type, 1);
    a->left = weir_ref(a);
    weir_unref(a);
    must(weir_gc_collect(WEIR_GC_FULL) == 1, "a collection in the child");
    long after = private_dirty();
    must(after - before < 512, "%ld KiB became dirty", after - before);
}

Test(object, frozen_pages_stay_shared_with_a_child_that_collects)
{
    if (private_dirty() < 0 || UNIT_SANITIZED)
        cr_skip_test("no /proc/self/smaps_rollup");
    struct node *root = graph(100000);
    weir_gc_freeze();
    must(weir_gc_freeze_count() == 100000, "%zu frozen", weir_gc_freeze_count());
    in_child(collect_frozen, root);
    weir_gc_unfreeze();
    weir_unref(root);
    weir_gc_collect(WEIR_GC_FULL);
    must(unit_alive() == 0, "%lu are alive", unit_alive());
}

/* ---- misuse ------------------------------------------------------------------------------------------------------ */

static void release_twice(void)
{
    struct node *keep = make(&node_type, 1), *a = make(&node_type, 2);
    weir_unref(a);
    weir_unref(a);
    weir_unref(keep);
}
static void use_after(void)
{
    struct node *keep = make(&node_type, 1), *a = make(&node_type, 2);
    weir_unref(a);
    weir_ref(a);
    weir_unref(keep);
}
static void release_nothing(void) { weir_unref_checked((void *)(uintptr_t)&node_type, __FILE__, __LINE__); }
static void release_block(void)
{
    char *block = weir_calloc(1, 100);
    weir_unref(block + 48);
}
static void release_inside(void)
{
    struct node *a = make(&node_type, 1);
    weir_unref_checked(&a->value, __FILE__, __LINE__);
}
static void put_in_nothing(void)
{
    long no_object[4] = {0, 5};
    (void)!weir_vec_push(weir_vec_new(NULL), &no_object[2]);
}
static void over_release_in_finalizer(void *object) { weir_unref(object); }
static const struct weir_type suicidal_type = {.name = "suicidal", .size = 8, .finalize = over_release_in_finalizer};
static void release_in_finalizer(void) { weir_unref(weir_new(&suicidal_type)); }
static void free_object(void) { weir_free(weir_new(&node_type)); }
static void realloc_object(void)
{
    void *moved = weir_realloc(weir_new(&node_type), 100);
    weir_free(moved);
}
static struct weir_type large_type = {.name = "large", .size = 100000};
static void free_large(void) { weir_free(weir_new(&large_type)); }
static void release_large_twice(void)
{
    void *a = weir_new(&large_type);
    weir_unref(a);
    weir_unref_checked(a, __FILE__, __LINE__);
}
static void bad_table(void)
{
    static const uint16_t refs[] = {20};
    static const struct weir_type type = {.name = "crooked", .size = 24, .refs = refs, .nrefs = 1};
    (void)!weir_new(&type);
}
static void *release_argument(void *object)
{
    weir_unref_checked(object, __FILE__, __LINE__);
    return NULL;
}
static void release_anothers(void) { unit_on_thread(release_argument, weir_new(&node_type)); }

Test(object, misuse_is_fatal_and_named)
{
    must_die(release_twice, "type \"node\": it has been released");
    must_die(use_after, "invalid reference");
    must_die(release_nothing, "no object is there");
    must_die(release_block, "invalid release");
    must_die(release_inside, "type \"node\", not at its start");
    must_die(release_in_finalizer, "type \"suicidal\"");
    must_die(free_object, "an object of type \"node\"");
    must_die(realloc_object, "an object of type \"node\"");
    must_die(free_large, "an object of type \"large\"");
    must_die(release_large_twice, "no object is there");
    must_die(bad_table, "type \"crooked\"");
    must_die(release_anothers, "belongs to thread");
    if (WR_DEBUG >= 1)
        must_die(put_in_nothing, "no object is there");
}

Test(object, usable_size_answers)
{
    struct node *a = make(&node_type, 1);
    void *large = weir_new(&large_type);
    must(weir_usable_size(a) == 24 && weir_usable_size(&a->value) == 0, "%zu", weir_usable_size(a));
    must(weir_usable_size(large) == 100000, "%zu", weir_usable_size(large));
    must(weir_is_object(a) && !weir_is_object(&a->value) && !weir_is_object(&node_type) && !weir_is_object(NULL),
         "is_object");
    weir_unref(a);
    weir_unref(large);
}

Test(object, log_writes_lines)
{
    char said[4096];
    int pipe_fd[2], saved = dup(STDERR_FILENO);
    struct node *a = make(&node_type, 1);
    must(pipe(pipe_fd) == 0, "no pipe");
    dup2(pipe_fd[1], STDERR_FILENO);
    weir_log(a, true);
    weir_ref(a);
    weir_unref(a);
    must(weir_refcount(a) == 1 && weir_gc_is_tracked(a), "logging changes the count");
    weir_ref_checked(a, "here.c", 42);
    weir_log(a, false);
    must(weir_refcount(a) == 2, "%zu", weir_refcount(a));
    weir_unref(a);
    weir_unref(a);
    dup2(saved, STDERR_FILENO);
    close(pipe_fd[1]);
    ssize_t n = read(pipe_fd[0], said, sizeof said - 1);
    said[n > 0 ? n : 0] = '\0';
    must(strstr(said, "ref 0x") != NULL && strstr(said, "\"node\": 2") != NULL && strstr(said, "unref 0x") != NULL &&
             strstr(said, "here.c:42") != NULL,
         "%s", said);
}
