/* SPDX-License-Identifier: MIT
 * Extents in the order of their addresses: a list, for neighbours, and a tree over the same records, so that the place
 * of one that moves is found in few steps however many there are. No lock of its own: the caller holds the arena lock.
 *
 * The tree is a treap: by start from left to right, by rank from the root down, where the rank is a hash of the
 * record's address. So its shape does not depend on the order in which extents come, its depth is a small multiple of
 * the number's logarithm, and nothing has to be kept for it but two links. */
#ifndef WR_ORDER_H
#define WR_ORDER_H

#include "core/extent.h"

/** Zero is one without extents. */
struct wr_order {
    struct wr_extent *lowest, *root;
};

/** Adds an extent. pre: none in it overlaps. While it is in, its start may change as far as it overlaps no other. */
void wr_order_add(struct wr_order *order, struct wr_extent *extent);
void wr_order_remove(struct wr_order *order, struct wr_extent *extent);

/** The last extent that starts below an address, or NULL. */
struct wr_extent *wr_order_below(const struct wr_order *order, uintptr_t address);

#endif
