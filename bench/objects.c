/* SPDX-License-Identifier: MIT
 * What objects cost: counts, trees, collections. One line for each measurement, "name value unit"; the best of some
 * rounds. `objects NAME [N]` measures one alone, N objects. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <weir/weir.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void print(const char *name, double value, const char *unit) { printf("%-24s %10.2f %s\n", name, value, unit); }

static uint64_t random_state = 88172645463325252u;
static uint64_t random_below(uint64_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % limit;
}

/* ---- types ------------------------------------------------------------------------------------------------------- */

struct node {
    struct node *left, *right;
    uint64_t value;
};

static const struct weir_type node_type = {
    .name = "node", .size = sizeof(struct node), WEIR_REFS(struct node, left, right)};
static const struct weir_type leaf_type = {
    .name = "tree", .size = sizeof(struct node), .flags = WEIR_ACYCLIC, WEIR_REFS(struct node, left, right)};

static struct node *make(const struct weir_type *type)
{
    struct node *node = weir_new(type);
    if (node == NULL) {
        fputs("no memory\n", stderr);
        exit(1);
    }
    return node;
}

/* ---- measurements ------------------------------------------------------------------------------------------------ */

/** References taken and given up in turn to a few objects; beside plain words that are counted up and down. */
static void pair(size_t n)
{
    enum { OBJECTS = 64 };
    struct node *node[OBJECTS];
    static volatile int32_t plain[OBJECTS * 8];
    double best[3] = {1e30, 1e30, 1e30};
    for (int i = 0; i < OBJECTS; i++)
        node[i] = make(&node_type);
    for (int round = 0; round < 5; round++) {
        double start = now();
        for (size_t i = 0; i < n; i++) {
            plain[i % OBJECTS * 8]++;
            plain[i % OBJECTS * 8]--;
        }
        double middle = now();
        for (size_t i = 0; i < n; i++) {
            void *volatile kept = weir_ref(node[i % OBJECTS]);
            weir_unref(kept);
        }
        double end = now();
        best[0] = middle - start < best[0] ? middle - start : best[0];
        best[1] = end - middle < best[1] ? end - middle : best[1];
    }
    weir_share(node[0]);
    for (int round = 0; round < 5; round++) {
        double start = now();
        for (size_t i = 0; i < n; i++)
            weir_unref(weir_ref(node[0]));
        double end = now();
        best[2] = end - start < best[2] ? end - start : best[2];
    }
    print("pair-plain", best[0] / (double)n, "ns");
    print("pair", best[1] / (double)n, "ns");
    print("pair-shared", best[2] / (double)n, "ns");
    for (int i = 0; i < OBJECTS; i++)
        weir_unref(node[i]);
}

static struct node *tree(const struct weir_type *type, int depth)
{
    struct node *node = make(type);
    if (depth > 0) {
        node->left = tree(type, depth - 1);
        node->right = tree(type, depth - 1);
    }
    return node;
}

static size_t tree_rounds;
static void trees_of(const char *name, const struct weir_type *type)
{
    enum { DEPTH = 16 };
    double nodes = (double)((2 << DEPTH) - 1), best = 1e30;
    for (int round = 0; round < (int)tree_rounds; round++) {
        double start = now();
        weir_unref(tree(type, DEPTH));
        double end = now();
        best = end - start < best ? end - start : best;
    }
    print(name, best / nodes, "ns/node");
}

static void trees(size_t n)
{
    tree_rounds = n;
    trees_of("trees", &node_type);
    trees_of("trees-acyclic", &leaf_type);
}

/** n objects that refer to each other at random; all can be reached from one. */
static struct node *graph(size_t n)
{
    struct node **all = malloc(n * sizeof(struct node *)), *root;
    for (size_t i = 0; i < n; i++)
        all[i] = make(&node_type);
    for (size_t i = n - 1; i > 0; i--) { /* the order of the chain has nothing to do with that in memory */
        size_t j = random_below(i + 1);
        struct node *other = all[i];
        all[i] = all[j];
        all[j] = other;
    }
    for (size_t i = 0; i < n; i++) {
        all[i]->left = i + 1 < n ? all[i + 1] : NULL; /* takes the reference of `all` */
        weir_set(&all[i]->right, all[random_below(n)]);
    }
    root = all[0];
    free(all);
    return root;
}

static void full(size_t n)
{
    double best = 1e30;
    weir_gc_disable();
    struct node *root = graph(n);
    for (int round = 0; round < 3; round++) {
        double start = now();
        weir_gc_collect(WEIR_GC_FULL);
        double end = now();
        best = end - start < best ? end - start : best;
    }
    print("full-live", best / (double)n, "ns/object");
    weir_unref(root);
    double start = now();
    long dead = weir_gc_collect(WEIR_GC_FULL);
    print("full-dead", (now() - start) / (double)(dead > 0 ? dead : 1), "ns/object");
    if ((size_t)dead != n)
        printf("collected %ld of %zu\n", dead, n);
    weir_gc_enable();
}

/** Pairs of objects tied in a cycle and dropped; a collection every 100,000. */
static void churn(size_t n)
{
    double best = 1e30;
    weir_gc_disable();
    for (int round = 0; round < 3; round++) {
        double start = now();
        for (size_t i = 1; i <= n; i++) {
            struct node *a = make(&node_type), *b = make(&node_type);
            a->left = b;
            weir_set(&b->left, a);
            weir_unref(a);
            if (i % 100000 == 0)
                weir_gc_collect(WEIR_GC_YOUNG);
        }
        double end = now();
        best = end - start < best ? end - start : best;
    }
    weir_gc_collect(WEIR_GC_FULL);
    weir_gc_enable();
    print("churn", best / (double)n, "ns/pair");
}

/** Polls with a budget of 1 ms beside n live objects, while dead cycles are made: the longest, and what it found. */
static void poll(size_t n)
{
    struct weir_gc_stats before, after;
    double longest = 0, total = 0;
    weir_gc_disable();
    struct node *root = graph(n);
    weir_gc_collect(WEIR_GC_FULL);
    weir_gc_get_stats(&before);
    for (int i = 0; i < 1000; i++) {
        for (int j = 0; j < 100; j++) {
            struct node *a = make(&node_type);
            a->left = weir_ref(a);
            weir_unref(a);
        }
        double start = now();
        weir_gc_poll(1000000);
        double took = now() - start;
        longest = took > longest ? took : longest;
        total += took;
    }
    weir_gc_get_stats(&after);
    print("poll-longest", longest / 1e6, "ms");
    print("poll-mean", total / 1000 / 1e6, "ms");
    print("poll-collected", (double)(after.collected - before.collected), "objects of 100000");
    weir_unref(root);
    weir_gc_collect(WEIR_GC_FULL);
    weir_gc_enable();
}

static const struct {
    const char *name;
    void (*run)(size_t n);
    size_t n;
} measurement[] = {
    {"pair", pair, 20000000}, {"trees", trees, 40},    {"full", full, 1000000},
    {"churn", churn, 300000}, {"poll", poll, 1000000},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof measurement / sizeof *measurement; i++)
        if (argc < 2 || strcmp(argv[1], measurement[i].name) == 0)
            measurement[i].run(argc > 2 ? strtoul(argv[2], NULL, 10) : measurement[i].n);
    return 0;
}
