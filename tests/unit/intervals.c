/* SPDX-License-Identifier: MIT
 * A set of address ranges as a treap: a search tree by start that is a heap by random priority; see intervals.h. */
#include "intervals.h"

#include <stdlib.h>

struct unit_interval {
    uintptr_t start;
    size_t size;
    uint64_t priority; /* no smaller than the children's */
    struct unit_interval *left, *right;
};

/** Cuts `tree` into the ranges that start before `at` and those that do not. */
static void split(struct unit_interval *tree, uintptr_t at, struct unit_interval **before, struct unit_interval **after)
{
    while (tree != NULL) {
        if (tree->start < at) {
            *before = tree;
            before = &tree->right;
            tree = tree->right;
        } else {
            *after = tree;
            after = &tree->left;
            tree = tree->left;
        }
    }
    *before = *after = NULL;
}

/** One tree of two; all of `left` starts before all of `right`. */
static struct unit_interval *join(struct unit_interval *left, struct unit_interval *right)
{
    struct unit_interval *root, **at = &root;
    while (left != NULL && right != NULL) {
        if (left->priority >= right->priority) {
            *at = left;
            at = &left->right;
            left = left->right;
        } else {
            *at = right;
            at = &right->left;
            right = right->left;
        }
    }
    *at = left != NULL ? left : right;
    return root;
}

/** The last range that starts before `limit`, or NULL: the only one that can reach into what ends there. */
static const struct unit_interval *last_before(const struct unit_interval *tree, uintptr_t limit)
{
    const struct unit_interval *found = NULL;
    while (tree != NULL) {
        if (tree->start < limit) {
            found = tree;
            tree = tree->right;
        } else {
            tree = tree->left;
        }
    }
    return found;
}

bool unit_intervals_add(struct unit_intervals *set, const void *start, size_t size, const void **clash)
{
    uintptr_t from = (uintptr_t)start;
    const struct unit_interval *last = last_before(set->root, from + size);
    if (last != NULL && last->start + last->size > from) {
        *clash = (const void *)last->start;
        return false;
    }
    struct unit_interval *node = malloc(sizeof *node);
    must(node != NULL, "no memory for the test's own set of blocks");
    struct unit_rng rng = {set->state};
    *node = (struct unit_interval){.start = from, .size = size, .priority = unit_random(&rng)};
    set->state = rng.state;
    struct unit_interval *before, *after;
    split(set->root, from, &before, &after);
    set->root = join(join(before, node), after);
    set->count++;
    return true;
}

size_t unit_intervals_remove(struct unit_intervals *set, const void *start)
{
    uintptr_t from = (uintptr_t)start;
    struct unit_interval *before, *found, *after;
    split(set->root, from, &before, &after);
    split(after, from + 1, &found, &after);
    set->root = join(before, after);
    if (found == NULL)
        return 0;
    size_t size = found->size;
    free(found);
    set->count--;
    return size;
}
