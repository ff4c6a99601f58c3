/* SPDX-License-Identifier: MIT
 * Objects and threads: shared counts, blocks released elsewhere, weak references that race with the last release, what
 * exited threads leave, cycles of shared objects, fork. */
#include "core/typed.h"

#include "support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weir/weir.h>

TestSuite(object_threads, .timeout = 240);

enum { THREADS = 4 };

struct node {
    struct node *left, *right;
    long value;
};

static _Atomic long finalized;
static void count_finalized(void *object WR_UNUSED) { atomic_fetch_add(&finalized, 1); }

static const struct weir_type node_type = {
    .name = "node", .size = sizeof(struct node), WEIR_REFS(struct node, left, right)};
static const struct weir_type final_type = {
    .name = "final", .size = sizeof(struct node), WEIR_REFS(struct node, left, right), .finalize = count_finalized};
static const struct weir_type large_type = {
    .name = "large", .size = 5000, WEIR_REFS(struct node, left, right), .finalize = count_finalized};

static struct node *make(const struct weir_type *type)
{
    struct node *node = weir_new(type);
    must(node != NULL, "no memory for an object");
    return node;
}

static void run_threads(void *(*fn)(void *), void *arg)
{
    pthread_t thread[THREADS];
    for (int i = 0; i < THREADS; i++)
        must(pthread_create(&thread[i], NULL, fn, arg) == 0, "no thread");
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
}

static uint64_t alive(void)
{
    weir_gc_collect(WEIR_GC_FULL);
    return unit_alive();
}

/* ---- shared counts ----------------------------------------------------------------------------------------------- */

static void *ref_and_unref(void *arg)
{
    struct node *node = arg;
    for (size_t i = 0; i < unit_scale(200000); i++) {
        weir_ref(node);
        weir_ref(node->left);
        weir_unref(node);
        weir_unref(node->left);
    }
    return NULL;
}

Test(object_threads, counts_are_exact)
{
    struct node *node = make(&final_type);
    node->left = make(&final_type);
    weir_share(node);
    run_threads(ref_and_unref, node);
    must(weir_refcount(node) == 1 && weir_refcount(node->left) == 1, "%zu", weir_refcount(node));
    weir_unref(node);
    must(atomic_load(&finalized) == 2 && alive() == 0, "%ld finalized", atomic_load(&finalized));
}

/** A queue of one place: who finds an object in it drops it, who finds none makes one. */
static void *pass_around(void *arg)
{
    struct node *_Atomic *place = arg;
    struct unit_rng rng = {unit_seed()};
    for (size_t i = 0; i < unit_scale(200000); i++) {
        struct node *node = make(unit_below(&rng, 50) == 0 ? &large_type : &final_type);
        node->left = make(&node_type);
        weir_unref(atomic_exchange(&place[unit_below(&rng, 16)], weir_share(node)));
    }
    return NULL;
}

Test(object_threads, released_by_another)
{
    static struct node *_Atomic place[16];
    size_t before = unit_resident();
    run_threads(pass_around, place);
    for (int i = 0; i < 16; i++)
        weir_unref(atomic_load(&place[i]));
    must((size_t)atomic_load(&finalized) == THREADS * unit_scale(200000), "%ld finalized", atomic_load(&finalized));
    must(alive() == 0, "%lu are alive", alive());
    must(weir_gc_collect_shared() == 0, "something dead was left");
    must(unit_resident() < before + (8u << 20) + (UNIT_SANITIZED ? (256u << 20) : 0), "%zu KiB before, %zu after",
         before >> 10, unit_resident() >> 10);
}

/* ---- weak references --------------------------------------------------------------------------------------------- */

static struct weir_weak weak[64];
static pthread_mutex_t weak_lock[64];
static _Atomic long upgraded, callbacks;
static void called(struct weir_weak *w WR_UNUSED, void *arg WR_UNUSED) { atomic_fetch_add(&callbacks, 1); }

/** Replaces what weak references refer to, drops it at once, and upgrades others meanwhile. */
static void *race_weakly(void *arg WR_UNUSED)
{
    struct unit_rng rng = {unit_seed()};
    for (size_t i = 0; i < unit_scale(100000); i++) {
        size_t n = unit_below(&rng, 64);
        struct node *got = weir_weak_get(&weak[unit_below(&rng, 64)]);
        if (got != NULL) {
            must(got->value == 42, "an upgrade gave freed memory");
            atomic_fetch_add(&upgraded, 1);
            weir_unref(got);
        }
        struct node *node = make(&final_type);
        node->value = 42;
        weir_share(node);
        pthread_mutex_lock(&weak_lock[n]);
        weir_weak_fini(&weak[n]);
        pthread_mutex_unlock(&weak_lock[n]);
        weir_unref(node);
    }
    return NULL;
}

static void *upgrade_until_gone(void *arg)
{
    struct weir_weak *mine = arg;
    for (struct node *got; (got = weir_weak_get(mine)) != NULL;) {
        must(got->value == 42, "an upgrade gave freed memory");
        atomic_fetch_add(&upgraded, 1);
        weir_unref(got);
    }
    return NULL;
}

Test(object_threads, upgrades_race_with_the_last_release)
{
    for (size_t round = 0; round < unit_scale(500); round++) {
        struct weir_weak mine;
        pthread_t thread[2];
        struct node *node = make(&final_type);
        node->value = 42;
        weir_share(node);
        weir_weak_init(&mine, node, called, NULL);
        long before = atomic_load(&callbacks);
        for (int i = 0; i < 2; i++)
            must(pthread_create(&thread[i], NULL, upgrade_until_gone, &mine) == 0, "no thread");
        weir_unref(node);
        for (int i = 0; i < 2; i++)
            pthread_join(thread[i], NULL);
        must(atomic_load(&callbacks) == before + 1, "%ld callbacks", atomic_load(&callbacks) - before);
        weir_weak_fini(&mine);
    }
    for (int i = 0; i < 64; i++)
        pthread_mutex_init(&weak_lock[i], NULL);
    run_threads(race_weakly, NULL);
    must(alive() == 0, "%lu are alive", alive());
}

static struct {
    struct weir_weak *weak[2];
    _Atomic(struct weir_weak *) runs; /* its callback */
    _Atomic bool go_on, ended;
} slow;

static void call_slowly(struct weir_weak *mine, void *arg WR_UNUSED)
{
    must(atomic_load(&slow.runs) == NULL, "the callback of a weak reference that was finished");
    atomic_store(&slow.runs, mine);
    while (!atomic_load(&slow.go_on))
        usleep(100);
    usleep(20000); /* for who waits to be early */
    atomic_store(&slow.ended, true);
}

static void *release_slowly(void *arg)
{
    weir_unref(arg);
    return NULL;
}

/** Returns once a callback of one of two weak references to an object is running in another thread. */
static pthread_t start_slow_callback(void)
{
    pthread_t thread;
    struct node *node = weir_share(make(&node_type));
    atomic_store(&slow.runs, NULL);
    atomic_store(&slow.go_on, false);
    atomic_store(&slow.ended, false);
    for (int i = 0; i < 2; i++) {
        slow.weak[i] = malloc(sizeof *slow.weak[i]);
        weir_weak_init(slow.weak[i], node, call_slowly, NULL);
    }
    must(pthread_create(&thread, NULL, release_slowly, node) == 0, "no thread");
    while (atomic_load(&slow.runs) == NULL)
        usleep(100);
    return thread;
}

static void finish(struct weir_weak *mine)
{
    weir_weak_fini(mine);
    memset(mine, 0x5a, sizeof *mine);
    free(mine);
}

Test(object_threads, weak_references_are_finished_beside_callbacks)
{
    for (int round = 0; round < 5; round++) {
        pthread_t thread = start_slow_callback();
        struct weir_weak *runs = atomic_load(&slow.runs);
        finish(slow.weak[slow.weak[0] == runs]); /* waits for nothing, and is not called */
        must(!atomic_load(&slow.ended), "the callback has ended");
        atomic_store(&slow.go_on, true);
        finish(runs);
        must(atomic_load(&slow.ended), "a weak reference was finished while its callback ran");
        pthread_join(thread, NULL);
    }
    must(alive() == 0, "%lu are alive", alive());
}

Test(object_threads, a_child_does_not_wait_for_callbacks_of_threads_that_it_has_not)
{
    int status;
    if (!UNIT_FORKS_WITH_THREADS)
        cr_skip_test("a sanitizer's locks do not survive a fork");
    pthread_t thread = start_slow_callback();
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        finish(slow.weak[0]);
        finish(slow.weak[1]);
        _exit(0);
    }
    waitpid(child, &status, 0);
    must(status == 0, "the child ended with status %d", status);
    finish(slow.weak[slow.weak[0] == atomic_load(&slow.runs)]);
    atomic_store(&slow.go_on, true);
    finish(atomic_load(&slow.runs));
    pthread_join(thread, NULL);
}

/* ---- threads that exit ------------------------------------------------------------------------------------------- */

static void *leave_things(void *arg)
{
    struct node **out = arg;
    for (int i = 0; i < 1000; i++) { /* dead cycles: gone with the thread */
        struct node *a = make(&final_type);
        a->left = weir_ref(a);
        weir_unref(a);
    }
    *out = make(&final_type); /* alive, not shared: handed on */
    (*out)->left = make(&large_type);
    (*out)->right = weir_ref(*out);
    return NULL;
}

Test(object_threads, what_a_thread_leaves_is_the_next_ones)
{
    struct node *left = NULL;
    unit_on_thread(leave_things, &left);
    must(atomic_load(&finalized) == 1000, "%ld finalized at the thread's end", atomic_load(&finalized));
    must(left->right == left && weir_refcount(left) == 2, "what is alive was touched");
    weir_unref_checked(left, __FILE__, __LINE__); /* ours now */
    must(weir_gc_collect(WEIR_GC_FULL) == 2, "not collected by the next collector");
    must(atomic_load(&finalized) == 1002 && alive() == 0, "%ld", atomic_load(&finalized));
}

static void *release_left(void *arg)
{
    weir_unref(*(struct node **)arg);
    return NULL;
}

Test(object_threads, many_threads_leave_and_release)
{
    for (size_t i = 0; i < unit_scale(500); i++) {
        struct node *left = NULL;
        unit_on_thread(leave_things, &left);
        weir_clear(&left->right);
        unit_on_thread(release_left, &left);
    }
    must(alive() == 0, "%lu are alive", alive());
}

/* ---- whose it is ------------------------------------------------------------------------------------------------- */

/* A thread that has objects of its own, and nothing to do with what another one has left. */
static struct {
    pthread_barrier_t turn;
    pthread_t thread;
    void (*work)(void);
} bystander;

static void *stand_by(void *arg WR_UNUSED)
{
    struct node *mine = make(&node_type);
    pthread_barrier_wait(&bystander.turn);
    pthread_barrier_wait(&bystander.turn);
    bystander.work();
    pthread_barrier_wait(&bystander.turn);
    pthread_barrier_wait(&bystander.turn);
    weir_unref(mine);
    return NULL;
}

static void begin_bystander(void (*work)(void))
{
    bystander.work = work;
    pthread_barrier_init(&bystander.turn, NULL, 2);
    must(pthread_create(&bystander.thread, NULL, stand_by, NULL) == 0, "no thread");
    pthread_barrier_wait(&bystander.turn);
}

static void let_bystander_work(void)
{
    pthread_barrier_wait(&bystander.turn);
    pthread_barrier_wait(&bystander.turn);
}

static void end_bystander(void)
{
    pthread_barrier_wait(&bystander.turn);
    pthread_join(bystander.thread, NULL);
    pthread_barrier_destroy(&bystander.turn);
}

/** Has weir_new() start full passes. */
static void start_passes(void)
{
    static const struct weir_type fresh_type = {.name = "fresh", .size = 8}; /* no page has room for one yet */
    struct weir_gc_stats before, after;
    weir_gc_get_stats(&before);
    weir_gc_set_debug(WEIR_GC_DEBUG_UNCOLLECTABLE | WEIR_GC_DEBUG_STRESS);
    for (int i = 0; i < 10; i++)
        weir_unref(weir_new(&fresh_type));
    weir_gc_set_debug(WEIR_GC_DEBUG_UNCOLLECTABLE);
    weir_gc_get_stats(&after);
    must(after.full >= before.full + 10, "weir_new() started %lu full passes", after.full - before.full);
}

static struct left {
    struct node *own, *shared, *cycle;
} left;

static void *leave_own(void *arg WR_UNUSED)
{
    left.own = make(&node_type);
    left.own->left = make(&node_type);
    left.cycle = make(&node_type);
    left.cycle->left = weir_ref(left.cycle);
    return NULL;
}

static void *leave_shared(void *arg WR_UNUSED)
{
    left.shared = weir_share(make(&node_type));
    left.shared->left = weir_share(make(&node_type));
    return NULL;
}

static void *leave_both(void *arg)
{
    leave_shared(arg);
    return leave_own(arg);
}

/** What was left is this thread's, who releases some of it. */
static void must_become_ours(void)
{
    weir_clear(&left.own->left);
    must(weir_gc_is_tracked(left.own), "another thread has taken what was left");
    weir_unref(left.own);
    weir_clear(&left.cycle);
    must(weir_gc_collect(WEIR_GC_FULL) == 1, "a cycle that was left is not ours");
}

Test(object_threads, a_pass_that_nobody_asked_for_takes_nothing_from_those_who_know_of_it)
{
    begin_bystander(start_passes);
    unit_on_thread(leave_own, NULL);
    let_bystander_work();
    must_become_ours();
    end_bystander();
    must(alive() == 0, "%lu are alive", alive());
}

static void release_shared(void) { weir_clear(&left.shared); }

Test(object_threads, who_releases_a_shared_object_takes_nothing_that_is_not)
{
    begin_bystander(release_shared);
    unit_on_thread(leave_both, NULL);
    let_bystander_work();
    must_become_ours();
    end_bystander();
    must(alive() == 0, "%lu are alive", alive());
}

static struct left others;

static void release_others(void)
{
    weir_clear(&others.own->left);
    must(weir_gc_is_tracked(others.own), "not taken over by a release");
    weir_clear(&others.own);
    weir_clear(&others.cycle);
}

Test(object_threads, who_releases_what_one_thread_has_left_takes_nothing_of_another)
{
    begin_bystander(release_others);
    unit_on_thread(leave_own, NULL);
    others = left;
    unit_on_thread(leave_own, NULL);
    let_bystander_work();
    must_become_ours();
    end_bystander();
    must(alive() == 0, "%lu are alive", alive());
}

/** Pages of the calling thread's objects. */
static uint64_t pages(void)
{
    struct weir_gc_stats stats;
    weir_gc_get_stats(&stats);
    return stats.pages;
}

Test(object_threads, where_all_that_was_left_is_shared_any_thread_takes_it)
{
    weir_unref(make(&node_type));
    begin_bystander(start_passes);
    unit_on_thread(leave_shared, NULL);
    uint64_t before = pages();
    start_passes();
    must(pages() > before, "not taken over by a pass");
    weir_clear(&left.shared->left);
    weir_clear(&left.shared);
    unit_on_thread(leave_shared, NULL);
    weir_clear(&left.shared); /* by a release, too */
    let_bystander_work();
    end_bystander();
    must(alive() == 0, "%lu are alive", alive());
}

/* ---- sharing what other threads have made ------------------------------------------------------------------------ */

enum { BOXES = 3000 };

/** A vec of boxes, each with a leaf; some are large. */
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
        must(what(box) && what(box->left), "not box %lu, or its leaf", at.next - 1);
}

Test(object_threads, what_a_thread_has_left_is_shared_as_a_whole)
{
    struct weir_vec *vec;
    unit_on_thread(make_boxes, &vec);
    weir_share(vec);
    must_all_be(vec, weir_is_shared);
    weir_unref(vec);
    must(alive() == 0, "%lu are alive", alive());
    unit_on_thread(make_boxes, &vec);
    weir_immortalize(vec);
    must_all_be(vec, weir_is_immortal);
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

Test(object_threads, what_a_running_thread_has_shared_is_made_immortal_as_a_whole)
{
    pthread_t thread;
    pthread_barrier_init(&running.turn, NULL, 2);
    must(pthread_create(&thread, NULL, share_and_run, NULL) == 0, "no thread");
    pthread_barrier_wait(&running.turn);
    weir_immortalize(running.vec);
    must_all_be(running.vec, weir_is_immortal);
    pthread_barrier_wait(&running.turn);
    pthread_join(thread, NULL);
}

/* ---- cycles of shared objects ------------------------------------------------------------------------------------ */

static void *make_shared_cycles(void *arg WR_UNUSED)
{
    for (int i = 0; i < 1000; i++) {
        struct node *a = make(&final_type), *b = make(i % 10 == 0 ? &large_type : &node_type);
        a->left = b;
        weir_set(&b->left, a);
        weir_share(a);
        weir_unref(a);
    }
    return NULL;
}

Test(object_threads, shared_cycles_are_collected_on_request)
{
    struct node *kept = make(&node_type), *shared = make(&node_type);
    shared->left = weir_ref(shared);
    kept->left = weir_share(shared); /* our own object holds a shared one */
    run_threads(make_shared_cycles, NULL);
    make_shared_cycles(NULL);
    must(weir_gc_collect(WEIR_GC_FULL) == 0, "a pass collected shared objects");
    must(weir_gc_collect_shared() == (THREADS + 1) * 2000, "not all");
    must(weir_gc_collect_shared() == 0 && kept->left->left == shared, "what is held was collected");
    weir_unref(kept);
    must(weir_gc_collect_shared() == 1 && alive() == 0, "%lu are alive", alive());
}

/* ---- passes side by side ----------------------------------------------------------------------------------------- */

static struct {
    pthread_barrier_t ready, done;
    struct node *shared[2]; /* a small and a large one */
} search;

/** Has a search under way, over objects of which some are shared. */
static void *hold_a_search(void *arg WR_UNUSED)
{
    enum { NODES = 2000 };
    struct node *first = NULL;
    for (int i = 0; i < NODES; i++) {
        struct node *node = make(i % 2 == 0 ? &node_type : &large_type);
        node->left = first;
        first = node;
    }
    search.shared[0] = weir_share(make(&node_type));
    search.shared[1] = weir_share(make(&large_type));
    weir_gc_collect(WEIR_GC_FULL); /* or a poll would see to what is young first */
    must(weir_gc_poll(1) == 1, "a search was over within a nanosecond");
    pthread_barrier_wait(&search.ready);
    pthread_barrier_wait(&search.done);
    weir_unref(first);
    return NULL;
}

Test(object_threads, a_pass_does_not_take_the_notes_of_another_threads)
{
    enum { NODES = 8000 };
    static struct node *node[NODES];
    pthread_t thread;
    pthread_barrier_init(&search.ready, NULL, 2);
    pthread_barrier_init(&search.done, NULL, 2);
    must(pthread_create(&thread, NULL, hold_a_search, NULL) == 0, "no thread");
    pthread_barrier_wait(&search.ready);
    for (int i = 0; i < NODES; i++) {
        node[i] = make(i % 2 == 0 ? &node_type : &large_type);
        node[i]->left = weir_ref(search.shared[0]);
        node[i]->right = weir_ref(search.shared[1]);
    }
    cr_assert_eq(weir_gc_collect(WEIR_GC_FULL), 0, "of objects that are all held");
    cr_assert_eq(weir_refcount(search.shared[0]), NODES + 1);
    for (int i = 0; i < NODES; i++)
        weir_unref(node[i]);
    weir_unref(search.shared[0]);
    weir_unref(search.shared[1]);
    pthread_barrier_wait(&search.done);
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&search.ready);
    pthread_barrier_destroy(&search.done);
}

/* ---- passes beside each other, fork ------------------------------------------------------------------------------ */

static _Atomic bool stop;
static void *churn(void *arg WR_UNUSED)
{
    while (!atomic_load(&stop)) {
        for (int i = 0; i < 1000; i++) {
            struct node *a = make(&node_type);
            a->left = make(&node_type);
            weir_set(&a->left->left, a);
            weir_unref(a);
        }
        weir_gc_collect(WEIR_GC_YOUNG);
        weir_trim(0);
    }
    return NULL;
}

/* ---- a block that comes home while home changes ------------------------------------------------------------------ */

static struct {
    struct node *sent, *kept; /* of one pool, the leaver's */
    unsigned at;              /* the instruction of the release before which the pool changes hands */
    atomic_uint step;
    atomic_int made, leaves, leave, left, check;
} home;

static void wait_for(atomic_int *flag)
{
    while (!atomic_load(flag))
        sched_yield();
}

static void *make_and_leave(void *arg)
{
    home.sent = weir_share(make(&node_type));
    home.kept = weir_share(make(&node_type));
    atomic_store(&home.made, 1);
    wait_for(&home.leave);
    return arg;
}

/** Has what the leaver leaves, from the moment on that the stepped thread says. */
static void *take_what_is_left(void *arg)
{
    wait_for(&home.leaves);
    atomic_store(&home.leave, 1);
    pthread_join(*(pthread_t *)arg, NULL);
    weir_gc_collect(WEIR_GC_FULL);
    atomic_store(&home.left, 1);
    wait_for(&home.check);
    weir_gc_collect(WEIR_GC_FULL); /* takes back what has come home */
    const struct wr_typed *pool = wr_typed_of(home.kept);
    must(atomic_load(&pool->remote) == 0, "changed hands before instruction %u of a release: the block is nobody's",
         home.at);
    weir_unref(home.kept);
    return NULL;
}

/** Lets go of the processor for a while, so that others can do all that they can: they may need a lock that the
 *  stepped thread holds. */
static void change_hands(int signal WR_UNUSED, siginfo_t *info WR_UNUSED, void *context WR_UNUSED)
{
    if (atomic_fetch_add(&home.step, 1) != home.at)
        return;
    atomic_store(&home.leaves, 1);
    for (unsigned i = 0; i < 200 && !atomic_load(&home.left); i++)
        usleep(100);
}

/** Releases an object, and stops before one of the instructions. Tells whether there were so many. */
static bool release_in_steps(void *object)
{
    atomic_store(&home.step, 0);
#if defined(__x86_64__)
    __asm__ volatile("pushfq\n\torq $0x100, (%%rsp)\n\tpopfq" ::: "memory", "cc");
    weir_unref(object);
    __asm__ volatile("pushfq\n\tandq $~0x100, (%%rsp)\n\tpopfq" ::: "memory", "cc");
#else
    (void)object;
    cr_skip_test("steps by a flag of x86");
#endif
    return atomic_load(&home.step) > home.at;
}

static bool change_hands_at(unsigned at)
{
    pthread_t leaver, taker;
    memset(&home, 0, sizeof home);
    home.at = at;
    must(pthread_create(&leaver, NULL, make_and_leave, NULL) == 0, "no thread");
    must(pthread_create(&taker, NULL, take_what_is_left, &leaver) == 0, "no thread");
    wait_for(&home.made);
    bool more = release_in_steps(home.sent);
    atomic_store(&home.leaves, 1);
    wait_for(&home.left);
    atomic_store(&home.check, 1);
    pthread_join(taker, NULL);
    return more;
}

/** A block that one thread releases comes to whoever has its pool by then, whenever that changes hands. */
Test(object_threads, what_is_released_finds_its_owner_between_any_two_instructions)
{
    struct sigaction action = {.sa_sigaction = change_hands, .sa_flags = SA_SIGINFO};
    unsigned at = 0;
    if (UNIT_SANITIZED)
        cr_skip_test("the sanitizer's own code would be stepped through");
    sigaction(SIGTRAP, &action, NULL);
    while (change_hands_at(at))
        at++;
    must(at > 50, "a release of %u instructions", at);
    must(alive() == 0, "%lu are alive", alive());
}

Test(object_threads, fork_beside_collections)
{
    pthread_t thread[2];
    if (!UNIT_FORKS_WITH_THREADS)
        cr_skip_test("a sanitizer's runtime does not fork with threads");
    struct node *mine = make(&node_type);
    for (int i = 0; i < 2; i++)
        must(pthread_create(&thread[i], NULL, churn, NULL) == 0, "no thread");
    for (int i = 0; i < 50; i++) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            struct node *a = make(&node_type);
            a->left = weir_ref(a);
            weir_unref(a);
            mine->left = make(&node_type);
            long found = weir_gc_collect(WEIR_GC_FULL);
            weir_unref(mine);
            _exit(found == 1 && weir_gc_collect(WEIR_GC_FULL) == 0 ? 0 : 1);
        }
        waitpid(child, &status, 0);
        must(status == 0, "the child ended with status %d", status);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    weir_unref(mine);
    must(alive() == 0, "%lu are alive", alive());
}
