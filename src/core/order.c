/* SPDX-License-Identifier: MIT
 * The list and the tree of extents; see order.h. Owns no state, takes no lock. */
#include "core/order.h"

#include "base/assert.h"

/** Which of two is nearer to the root: no two records have the same. */
static uint64_t rank(const struct wr_extent *extent)
{
    uint64_t hash = (uintptr_t)extent;
    hash = (hash ^ hash >> 33) * UINT64_C(0xff51afd7ed558ccd);
    hash = (hash ^ hash >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return hash ^ hash >> 33;
}

struct wr_extent *wr_order_below(const struct wr_order *order, uintptr_t address)
{
    struct wr_extent *below = NULL, *next = order->root;
    while (next != NULL)
        if (next->start < address) {
            below = next;
            next = next->right;
        } else {
            next = next->left;
        }
    return below;
}

/** Cuts a tree in two: what starts below an address, and the rest. */
static void cut(struct wr_extent *tree, uintptr_t address, struct wr_extent **low, struct wr_extent **high)
{
    while (tree != NULL)
        if (tree->start < address) {
            *low = tree;
            low = &tree->right;
            tree = tree->right;
        } else {
            *high = tree;
            high = &tree->left;
            tree = tree->left;
        }
    *low = *high = NULL;
}

/** Makes two trees one at *at; all of the first lies below the second. */
static void join(struct wr_extent **at, struct wr_extent *low, struct wr_extent *high)
{
    while (low != NULL && high != NULL)
        if (rank(low) > rank(high)) {
            *at = low;
            at = &low->right;
            low = low->right;
        } else {
            *at = high;
            at = &high->left;
            high = high->left;
        }
    *at = low != NULL ? low : high;
}

/** The link to the first extent, on the way down to that start, that has no higher rank; NULL is in it if none has. */
static struct wr_extent **descend(struct wr_order *order, uintptr_t start, uint64_t to)
{
    struct wr_extent **at = &order->root;
    while (*at != NULL && rank(*at) > to)
        at = (*at)->start < start ? &(*at)->right : &(*at)->left;
    return at;
}

void wr_order_add(struct wr_order *order, struct wr_extent *extent)
{
    struct wr_extent *below = wr_order_below(order, extent->start);
    extent->below = below;
    extent->above = below != NULL ? below->above : order->lowest;
    *(below != NULL ? &below->above : &order->lowest) = extent;
    if (extent->above != NULL)
        extent->above->below = extent;
    struct wr_extent **at = descend(order, extent->start, rank(extent));
    cut(*at, extent->start, &extent->left, &extent->right);
    *at = extent;
}

void wr_order_remove(struct wr_order *order, struct wr_extent *extent)
{
    *(extent->below != NULL ? &extent->below->above : &order->lowest) = extent->above;
    if (extent->above != NULL)
        extent->above->below = extent->below;
    struct wr_extent **at = descend(order, extent->start, rank(extent));
    wr_assert(*at == extent);
    join(at, extent->left, extent->right);
}
