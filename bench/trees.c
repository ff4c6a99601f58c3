/* SPDX-License-Identifier: MIT
 * trees: search trees that are built, changed and torn down, one node a block, with the pointer chasing that goes
 * with it. The trees are treaps: R. Seidel and C. Aragon, "Randomized search trees", Algorithmica 16, 1996. */
#include "bench.h"

enum { NODES = 60000, CHANGES = 120000, PAYLOAD_MOST = 6, WORK_PER_TREE = 20 };

struct node {
    struct node *child[2];
    uint64_t key;
    uint32_t weight, words;
    uint64_t word[];
};

static struct node *new_node(struct bench_thread *thread, uint64_t key)
{
    uint32_t words = (uint32_t)bench_below(&thread->random, PAYLOAD_MOST + 1);
    struct node *node = (struct node *)bench_malloc(sizeof *node + words * sizeof *node->word);
    node->child[0] = node->child[1] = NULL;
    node->key = key;
    node->weight = (uint32_t)bench_mix(key);
    node->words = words;
    for (uint32_t i = 0; i < words; i++)
        node->word[i] = key + i;
    return node;
}

static void end_node(struct bench_thread *thread, struct node *node)
{
    for (uint32_t i = 0; i < node->words; i++)
        if (node->word[i] != node->key + i)
            bench_fail("a block does not hold what was written to it");
    thread->sum += bench_mix(node->key + node->words);
    free(node);
}

/** Splits into keys below `key` and the others. */
static void split(struct node *tree, uint64_t key, struct node **below, struct node **others)
{
    while (tree != NULL)
        if (tree->key < key) {
            *below = tree;
            below = &tree->child[1];
            tree = tree->child[1];
        } else {
            *others = tree;
            others = &tree->child[0];
            tree = tree->child[0];
        }
    *below = *others = NULL;
}

/** Puts a node in; a key that is there already gets a second node. */
static void insert(struct node **tree, struct node *node)
{
    while (*tree != NULL && (*tree)->weight >= node->weight)
        tree = &(*tree)->child[(*tree)->key < node->key];
    struct node *rest = *tree;
    *tree = node;
    split(rest, node->key, &node->child[0], &node->child[1]);
}

/** Takes out the first node of at least `key` on the way down, or the last one there. */
static struct node *remove_near(struct node **tree, uint64_t key)
{
    struct node **link = tree;
    while ((*link)->child[(*link)->key < key] != NULL && (*link)->key != key)
        link = &(*link)->child[(*link)->key < key];
    struct node *gone = *link, *left = gone->child[0], *right = gone->child[1];
    while (left != NULL && right != NULL) { /* merge what hangs below it */
        unsigned side = left->weight < right->weight;
        *link = side ? right : left;
        link = &(*link)->child[!side];
        if (side)
            right = right->child[0];
        else
            left = left->child[1];
    }
    *link = left != NULL ? left : right;
    return gone;
}

static void end_tree(struct bench_thread *thread, struct node *tree)
{
    if (tree == NULL)
        return;
    end_tree(thread, tree->child[0]);
    end_tree(thread, tree->child[1]);
    end_node(thread, tree);
}

static void work(struct bench_thread *thread)
{
    for (size_t i = 0; i < (thread->bench->work + WORK_PER_TREE - 1) / WORK_PER_TREE; i++) {
        struct node *tree = NULL;
        for (unsigned j = 0; j < NODES; j++)
            insert(&tree, new_node(thread, bench_random(&thread->random)));
        for (unsigned j = 0; j < CHANGES; j++) {
            end_node(thread, remove_near(&tree, bench_random(&thread->random)));
            insert(&tree, new_node(thread, bench_random(&thread->random)));
        }
        end_tree(thread, tree);
    }
}

int main(int argc, char **argv)
{
    struct bench bench = bench_options(argc, argv, 1, "Search trees: built, changed, torn down.");
    bench_print(bench_run(&bench, work, NULL));
}
