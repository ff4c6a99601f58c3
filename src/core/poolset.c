/* SPDX-License-Identifier: MIT
 * Sets of waiting pools; see poolset.h. No lock of its own.
 *
 * Invariants: places 0 to fuller - 1 have fuller pools, those from there to count - 1 sparser ones. A pool at place p
 * has p + 1 in its descriptor, and one that is in no set has 0. */
#include "core/poolset.h"

/** Where the pointer to the pool at a place is. Chunk k begins at place 16 (4^k - 1) / 3. */
static struct wr_pool **slot(const struct wr_poolset *set, uint32_t place)
{
    unsigned chunk = wr_bits_last(place / WR_POOLSET_FIRST * 3 + 1) / 2;
    uint32_t start = WR_POOLSET_FIRST * (0x55555555 & ((UINT32_C(1) << 2 * chunk) - 1));
    return &set->chunk[chunk][place - start];
}

struct wr_pool *wr_poolset_at(const struct wr_poolset *set, uint32_t place) { return *slot(set, place); }

void wr_poolset_extend(struct wr_poolset *set, void *chunk)
{
    uint32_t more = WR_POOLSET_FIRST << 2 * set->chunks;
    set->chunk[set->chunks++] = chunk;
    set->places = (uint32_t)wr_min(set->places + more, WR_POOLSET_MOST);
}

static void move_to(struct wr_poolset *set, struct wr_pool *pool, uint32_t place)
{
    *slot(set, place) = pool;
    wr_pool_set_place(pool, place + 1);
}

void wr_poolset_remove(struct wr_poolset *set, struct wr_pool *pool)
{
    uint32_t hole = wr_pool_place(pool);
    if (hole-- == 0)
        return;
    wr_pool_set_place(pool, 0);
    if (hole < set->fuller) { /* the last of the fuller moves up, and leaves the hole among the sparser */
        if (hole != --set->fuller)
            move_to(set, wr_poolset_at(set, set->fuller), hole);
        hole = set->fuller;
    }
    if (hole != --set->count)
        move_to(set, wr_poolset_at(set, set->count), hole);
}

void wr_poolset_put(struct wr_poolset *set, struct wr_pool *pool, bool fuller)
{
    uint32_t place = wr_pool_place(pool);
    if (place != 0) {
        if ((place <= set->fuller) == fuller)
            return;
        wr_poolset_remove(set, pool);
    }
    if (set->count == set->places)
        return;
    place = set->count++;
    if (fuller && place != set->fuller)
        move_to(set, wr_poolset_at(set, set->fuller), place);
    move_to(set, pool, fuller ? set->fuller++ : place);
}

bool wr_poolset_is_sound(const struct wr_poolset *set)
{
    if (set->fuller > set->count || set->count > set->places)
        return false;
    for (uint32_t place = 0; place < set->count; place++)
        if (wr_pool_place(wr_poolset_at(set, place)) != place + 1)
            return false;
    return true;
}
