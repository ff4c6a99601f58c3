/* SPDX-License-Identifier: MIT
 * Sets of waiting pools: any sequence of steps, beside two plain flags a pool; and what they are for: a page that one
 * class has let go serves another. */
#include "core/poolset.h"

#include "support.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <weir/alloc.h>

TestSuite(poolset, .timeout = 60);

enum { POOLS = 3000, CHUNKS = 6 };

/** A set, and what it should have. */
struct model {
    struct wr_poolset set;
    struct wr_pool pool[POOLS];
    bool in[POOLS], fuller[POOLS];
    uint32_t count, fuller_count;
};

static struct model *new_model(void)
{
    struct model *model = calloc(1, sizeof *model);
    must(model != NULL, "no memory");
    return model;
}

static void end_model(struct model *model)
{
    for (uint32_t i = 0; i < model->set.chunks; i++)
        free(model->set.chunk[i]);
    free(model);
}

/** Gives the set places for so many, as its heap does. */
static void make_room(struct model *model, uint32_t pools)
{
    while (!wr_poolset_fits(&model->set, pools)) {
        void *chunk = calloc(1, wr_poolset_next(&model->set));
        must(chunk != NULL, "no memory");
        wr_poolset_extend(&model->set, chunk);
    }
}

static void take_out(struct model *model, size_t i)
{
    model->count -= model->in[i];
    model->fuller_count -= model->in[i] && model->fuller[i];
    model->in[i] = false;
}

static void put(struct model *model, size_t i, bool fuller)
{
    take_out(model, i);
    model->in[i] = true;
    model->fuller[i] = fuller;
    model->count++;
    model->fuller_count += fuller;
    wr_poolset_put(&model->set, &model->pool[i], fuller);
}

static void check(struct model *model)
{
    struct wr_poolset *set = &model->set;
    must(wr_poolset_is_sound(set), "not sound");
    must(set->count == model->count && set->fuller == model->fuller_count, "%u, %u fuller; not %u, %u", set->count,
         set->fuller, model->count, model->fuller_count);
    for (size_t i = 0; i < POOLS; i++) {
        uint32_t place = wr_pool_place(&model->pool[i]);
        must((place != 0) == model->in[i], "pool %zu: place %u", i, place);
        must(place == 0 || wr_poolset_at(set, place - 1) == &model->pool[i], "pool %zu is not at its place", i);
        must(place == 0 || (place <= set->fuller) == model->fuller[i], "pool %zu: among the wrong ones", i);
    }
    if (set->count > 0)
        must(wr_pool_place(wr_poolset_best(set)) == (set->fuller > 0 ? set->fuller : set->count), "not the best");
}

Test(poolset, any_sequence_of_steps)
{
    struct unit_rng rng = {unit_seed()};
    struct model *model = new_model();
    for (size_t step = 0; step < unit_scale(200000); step++) {
        size_t i = unit_below(&rng, step / 40 % POOLS + 1); /* grows slowly, so that every size is gone through */
        make_room(model, model->count + 1);
        if (unit_below(&rng, 3) != 0) {
            put(model, i, unit_below(&rng, 2) != 0);
        } else {
            take_out(model, i);
            wr_poolset_remove(&model->set, &model->pool[i]);
        }
        if (step % 1000 == 0)
            check(model);
    }
    check(model);
    must(model->set.chunks <= CHUNKS, "%u chunks for %u pools", model->set.chunks, model->count);
    end_model(model);
}

/** What a set without places does not take stays outside, and can be taken out. */
Test(poolset, without_places_pools_stay_outside)
{
    struct model *model = new_model();
    make_room(model, 1);
    for (size_t i = 0; i < POOLS; i++)
        wr_poolset_put(&model->set, &model->pool[i], i % 3 == 0);
    must(model->set.count == WR_POOLSET_FIRST && wr_poolset_is_sound(&model->set), "%u", model->set.count);
    must(wr_pool_place(&model->pool[POOLS - 1]) == 0, "it has a place");
    for (size_t i = 0; i < POOLS; i++)
        wr_poolset_remove(&model->set, &model->pool[i]);
    must(model->set.count == 0 && model->set.fuller == 0, "%u left", model->set.count);
    end_model(model);
}

/** The chunks are one row of places. */
Test(poolset, every_place_is_another)
{
    struct model *model = new_model();
    make_room(model, POOLS);
    for (size_t i = 0; i < POOLS; i++)
        put(model, i, false);
    check(model);
    for (uint32_t place = 0; place < POOLS; place++)
        must(wr_poolset_at(&model->set, place) == &model->pool[place], "place %u", place);
    end_model(model);
}

/** Blocks of a size take the pages that those of another have left: between the pages that stay in use too. */
Test(poolset, a_page_serves_every_class)
{
    enum { PAGES = 400, SMALL = 32, LARGER = 512 };
    unit_need_small_pages();
    static char *block[PAGES * 4096 / SMALL];
    struct weir_stats before, after;
    for (size_t i = 0; i < sizeof block / sizeof *block; i++) {
        block[i] = weir_malloc(SMALL);
        must(block[i] != NULL, "no memory");
        memset(block[i], 1, SMALL);
    }
    for (size_t i = 0; i < sizeof block / sizeof *block; i++) /* one page in eight stays */
        if ((uintptr_t)block[i] >> 12 & 7)
            weir_free(block[i]);
    weir_stats_get(&before);
    must(before.slack > PAGES / 2 * 4096, "%zu KiB of slack: too little for this test", (size_t)before.slack >> 10);
    for (size_t i = 0; i < before.slack / 2 / LARGER; i++)
        memset(unit_opaque(weir_malloc(LARGER)), 1, LARGER);
    weir_stats_get(&after);
    must(after.used + after.slack <= before.used + before.slack + 32 * 4096, "%zu KiB, then %zu",
         (size_t)(before.used + before.slack) >> 10, (size_t)(after.used + after.slack) >> 10);
}
