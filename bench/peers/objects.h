/* SPDX-License-Identifier: MIT
 * What is measured of objects, the same for Weir and for its peers in C and C++. A program defines these, includes this
 * file, and has measure_all() as its main():
 *
 *   NODE               an owned reference to a struct node, which has the fields left and right (NODE) and value
 *   NONE, GET(ref)     no reference; a plain pointer
 *   make()             a fresh node, owned, its fields NONE
 *   GIVE(slot, owned)  moves a reference into an empty slot
 *   SET(slot, ref)     puts a reference of its own into an empty slot
 *   DROP(ref)          gives up the reference of a variable
 *   COUNTS             1 if there are counts: then pairs are measured
 *   ATOMIC             1 if they are atomic in any case
 *   SHARES             1 if an object has atomic counts after share(ref)
 *   COLLECTS           1 if cycles are collected: then there are collect_young(), collect_full(), hold_off(bool), which
 *                      keeps the collector from starting by itself, and poll(), a piece of work of about a millisecond,
 *                      with poll_from_here() before the first
 *
 * `program NAME [N]` measures one thing; without a name all of them. */
#include "measure.h"

static long start_kib;

/** The most that has been resident, over the start. */
static void print_peak(const char *what)
{
    char name[64];
    snprintf(name, sizeof name, "%s-peak", what);
    print(name, (double)(status_kib("VmHWM:") - start_kib) / 1024, "MiB");
}

/* ---- counts ------------------------------------------------------------------------------------------------------ */

#if COUNTS
enum { PAIRED = 64 };
static NODE paired[PAIRED];

/** A reference taken and given up, to one object after the other of those whose number the mask lets through; the best
 *  of five rounds. */
static double time_pairs(size_t n, size_t mask)
{
    double best = 1e30;
    for (int round = 0; round < 5; round++) {
        double start = now();
        for (size_t i = 0; i < n; i++) {
            NODE kept = NONE;
            SET(kept, paired[i & mask]);
            KEEP(GET(kept));
            DROP(kept);
        }
        best = least(best, now() - start);
    }
    return best / (double)n;
}

static void measure_pair(size_t n)
{
    static int32_t plain[PAIRED * 8];
    double best = 1e30;
    for (int round = 0; round < 5; round++) {
        double start = now();
        for (size_t i = 0; i < n; i++) {
            int32_t *count = &plain[i % PAIRED * 8];
            ++*count;
            KEEP(count);
            --*count;
        }
        best = least(best, now() - start);
    }
    print("pair-plain", best / (double)n, "ns");
    for (int i = 0; i < PAIRED; i++)
        GIVE(paired[i], make());
    if (!ATOMIC)
        print("pair", time_pairs(n, PAIRED - 1), "ns");
#if SHARES
    for (int i = 0; i < PAIRED; i++)
        share(paired[i]);
#endif
    if (SHARES || ATOMIC)
        print("pair-shared", time_pairs(n / 2, 0), "ns");
    for (int i = 0; i < PAIRED; i++)
        DROP(paired[i]);
}
#else
static void measure_pair(size_t n) { (void)n; }
#endif

/* ---- trees ------------------------------------------------------------------------------------------------------- */

static NODE tree(int depth)
{
    NODE node = make();
    if (depth > 0) {
        GIVE(node->left, tree(depth - 1));
        GIVE(node->right, tree(depth - 1));
    }
    return node;
}

/** n trees of depth 16, built and released, four times: a collector works in one tree and not in the next. */
static void measure_trees(size_t n)
{
    enum { DEPTH = 16 };
    double best = 1e30, nodes = (double)((2 << DEPTH) - 1) * (double)n;
    for (int batch = 0; batch < 4; batch++) {
        double start = now();
        for (size_t i = 0; i < n; i++) {
            NODE root = tree(DEPTH);
            KEEP(GET(root));
            DROP(root);
        }
        best = least(best, now() - start);
    }
    print("trees", best / nodes, "ns/node");
    print_peak("trees");
}

static uint64_t count_nodes(const struct node *node)
{
    uint64_t below = GET(node->left) == NULL ? 0 : count_nodes(GET(node->left)) + count_nodes(GET(node->right));
    return below + 1;
}

/** The program of that name of the Benchmarks Game, at depth n: short-lived trees beside one that stays. */
static void measure_binary_trees(size_t n)
{
    int most = (int)n;
    uint64_t nodes = 0;
    double start = now();
    NODE root = tree(most + 1);
    nodes += count_nodes(GET(root));
    DROP(root);
    NODE lasting = tree(most);
    for (int depth = 4; depth <= most; depth += 2)
        for (int i = 0; i < 1 << (most - depth + 4); i++) {
            root = tree(depth);
            nodes += count_nodes(GET(root));
            DROP(root);
        }
    nodes += count_nodes(GET(lasting));
    DROP(lasting);
    print("binary-trees", (now() - start) / 1e6, "ms");
    print("binary-trees-made", (double)nodes, "nodes");
    print_peak("binary-trees");
}

/* GCBench, as John Ellis, Pete Kovac and Hans Boehm describe it: trees built from the leaves and from the root, beside
 * a tree and an array that stay. */

static void populate(struct node *node, int depth)
{
    if (depth <= 0)
        return;
    GIVE(node->left, make());
    GIVE(node->right, make());
    populate(GET(node->left), depth - 1);
    populate(GET(node->right), depth - 1);
}

static size_t tree_size(int depth) { return (1u << (depth + 1)) - 1; }

static void measure_gcbench(size_t n)
{
    int most = (int)n;
    double start = now();
    NODE root = tree(most + 2);
    DROP(root);
    NODE lasting = make();
    populate(GET(lasting), most);
    double *array = (double *)make_array(500000 * sizeof(double));
    for (int i = 1; i < 250000; i++)
        array[i] = 1.0 / i;
    for (int depth = 4; depth <= most; depth += 2) {
        size_t times = 2 * tree_size(most + 2) / tree_size(depth);
        for (size_t i = 0; i < times; i++) {
            root = make();
            populate(GET(root), depth);
            DROP(root);
        }
        for (size_t i = 0; i < times; i++) {
            root = tree(depth);
            KEEP(GET(root));
            DROP(root);
        }
    }
    if (count_nodes(GET(lasting)) != tree_size(most) || array[1000] != 1.0 / 1000)
        printf("gcbench failed\n");
    DROP(lasting);
    drop_array(array);
    print("gcbench", (now() - start) / 1e6, "ms");
    print_peak("gcbench");
}

/* ---- cycles ------------------------------------------------------------------------------------------------------ */

#if COLLECTS
/** n objects that refer to each other at random; all can be reached from the one that is returned. */
static NODE graph(size_t n)
{
    NODE *all = (NODE *)malloc(n * sizeof *all);
    for (size_t i = 0; i < n; i++)
        all[i] = make();
    for (size_t i = n - 1; i > 0; i--) { /* the order of the chain has nothing to do with that in memory */
        size_t j = random_below(i + 1);
        NODE other = all[i];
        all[i] = all[j];
        all[j] = other;
    }
    for (size_t i = 0; i < n; i++) {
        if (i + 1 < n)
            GIVE(all[i]->left, all[i + 1]);
        SET(all[i]->right, all[random_below(n)]);
    }
    NODE root = all[0];
    free(all);
    return root;
}

static NODE kept; /* where a collector that looks for roots finds it */

static void measure_full(size_t n)
{
    double best = 1e30;
    hold_off(true);
    kept = graph(n);
    KEEP(&kept);
    for (int round = 0; round < 3; round++) {
        double start = now();
        collect_full();
        best = least(best, now() - start);
    }
    print("full-live", best / (double)n, "ns/object");
    print_peak("full");
    DROP(kept);
    kept = NONE;
    KEEP(&kept);
    double start = now();
    collect_full();
    print("full-dead", (now() - start) / (double)n, "ns/object");
    print("full-rest", (double)(status_kib("VmRSS:") - start_kib) / 1024, "MiB");
    hold_off(false);
}

/** Pairs of objects tied in a cycle and dropped; a collection every 100,000. */
static void measure_churn(size_t n)
{
    double best = 1e30;
    hold_off(true);
    for (int round = 0; round < 3; round++) {
        double start = now();
        for (size_t i = 1; i <= n; i++) {
            NODE a = make();
            NODE b = make();
            SET(b->left, a);
            GIVE(a->left, b);
            DROP(a);
            if (i % 100000 == 0)
                collect_young();
        }
        best = least(best, now() - start);
    }
    hold_off(false);
    print("churn", best / (double)n, "ns/pair");
    print_peak("churn");
}

/** What an event loop sees beside n live objects: in each turn a thousand cycles are replaced, of a hundred thousand
 *  that live for a while, and poll() is called. */
static void measure_pauses(size_t n)
{
    enum { RING = 100000 };
    static NODE ring[RING];
    double longest = 0, busiest = 0, total = 0;
    hold_off(true);
    kept = graph(n);
    KEEP(&kept);
    for (int i = 0; i < RING; i++) {
        ring[i] = make();
        SET(ring[i]->left, ring[i]);
    }
    collect_full();
    poll_from_here();
    for (int turn = 0; turn < 500; turn++) {
        double start = now(), start_busy = now_busy();
        for (int i = 0; i < 1000; i++) {
            NODE fresh = make();
            NODE *place = &ring[random_below(RING)];
            SET(fresh->left, fresh);
            DROP(*place);
            *place = fresh;
        }
        poll();
        double took = now() - start, busy = now_busy() - start_busy;
        longest = took > longest ? took : longest;
        busiest = busy > busiest ? busy : busiest;
        total += took;
    }
    print("pauses-longest", longest / 1e6, "ms");
    print("pauses-busiest", busiest / 1e6, "ms");
    print("pauses-total", total / 1e6, "ms");
    print_peak("pauses");
    for (int i = 0; i < RING; i++)
        DROP(ring[i]);
    DROP(kept);
    hold_off(false);
}
#endif

static const struct {
    const char *name;
    void (*run)(size_t n);
    size_t n;
} measurement[] = {
    {"pair", measure_pair, 20000000},
    {"trees", measure_trees, 10},
    {"binary-trees", measure_binary_trees, 14},
    {"gcbench", measure_gcbench, 14},
#if COLLECTS
    {"full", measure_full, 1000000},
    {"churn", measure_churn, 300000},
    {"pauses", measure_pauses, 1000000},
#endif
};

static int measure_all(int argc, char **argv)
{
    bool known = argc < 2;
    start_kib = status_kib("VmRSS:");
    for (size_t i = 0; i < sizeof measurement / sizeof *measurement; i++)
        if (argc < 2 || strcmp(argv[1], measurement[i].name) == 0) {
            measurement[i].run(argc > 2 ? strtoul(argv[2], NULL, 10) : measurement[i].n);
            known = true;
        }
    if (!known)
        fprintf(stderr, "%s: there is no measurement %s\n", argv[0], argv[1]);
    return known ? 0 : 2;
}
