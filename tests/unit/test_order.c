/* SPDX-License-Identifier: MIT
 * Extents by address: whatever comes and goes, and in which order, the neighbours are the right ones, and the place of
 * an address is found in few steps. */
#include "core/order.h"

#include "support.h"

#include <criterion/criterion.h>
#include <stdlib.h>

TestSuite(order, .timeout = 120);

enum { PLACES = 512, MANY = 32768, STEPS_MOST = 64 };

/** An order, and what it should have: at each place, i * 16, an extent or none. */
struct model {
    struct wr_order order;
    struct wr_extent extent[PLACES], *at[PLACES];
    size_t count;
};

/** The extent that starts last before a place. */
static struct wr_extent *before(const struct model *model, size_t place)
{
    while (place-- > 0)
        if (model->at[place] != NULL)
            return model->at[place];
    return NULL;
}

static void check(const struct model *model)
{
    const struct wr_extent *below = NULL, *next = model->order.lowest;
    for (size_t i = 0; i < PLACES; i++) {
        struct wr_extent *extent = model->at[i];
        must(wr_order_below(&model->order, i * 16) == below, "place %zu", i);
        if (extent == NULL)
            continue;
        must(next == extent && extent->below == below, "place %zu: %p, not %p", i, (const void *)next, (void *)extent);
        below = extent;
        next = extent->above;
    }
    must(next == NULL && wr_order_below(&model->order, UINTPTR_MAX) == below, "more than there should be");
}

Test(order, any_sequence)
{
    struct model *model = calloc(1, sizeof *model);
    struct unit_rng rng = {unit_seed()};
    for (size_t step = 0; step < unit_scale(40000); step++) {
        size_t place = unit_below(&rng, PLACES);
        struct wr_extent *extent = model->at[place];
        if (extent != NULL) {
            wr_order_remove(&model->order, extent);
            model->at[place] = NULL;
            model->count--;
            extent->start = 0;
        } else {
            extent = &model->extent[unit_below(&rng, PLACES)];
            if (extent->start != 0)
                continue;
            extent->start = place * 16 + unit_below(&rng, 15) + 1;
            model->at[place] = extent;
            model->count++;
            wr_order_add(&model->order, extent);
            extent->start = place * 16 + 1; /* its start may change, as that of one does that is cut */
            must(wr_order_below(&model->order, extent->start) == before(model, place), "place %zu", place);
        }
        if (step % 64 == 0)
            check(model);
    }
    check(model);
    free(model);
}

/** Steps from the root to a start. */
static size_t steps_to(const struct wr_order *order, uintptr_t start)
{
    size_t steps = 0;
    for (const struct wr_extent *next = order->root; next != NULL && next->start != start; steps++)
        next = next->start < start ? next->right : next->left;
    return steps;
}

/** Adds many, the one with number i at the address (first + i * stride) % MANY: rising, falling, or in no order. */
static void add_many(struct wr_extent *extent, size_t first, size_t stride)
{
    struct wr_order order = {NULL, NULL};
    for (size_t i = 0; i < MANY; i++) {
        extent[i].start = (first + i * stride) % MANY + 1;
        wr_order_add(&order, &extent[i]);
    }
    for (size_t i = 0; i < MANY; i++)
        must(steps_to(&order, i + 1) <= STEPS_MOST, "%zu steps to %zu", steps_to(&order, i + 1), i);
}

Test(order, each_is_found_in_few_steps)
{
    struct wr_extent *extent = calloc(MANY, sizeof *extent);
    add_many(extent, 0, 1);
    add_many(extent, MANY - 1, MANY - 1);
    add_many(extent, 5, 12347);
    free(extent);
}
