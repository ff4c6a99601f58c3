/* SPDX-License-Identifier: MIT
 * Every validator at once; see check.h. */
#include "core/check.h"

#include "core/extent.h"

static void check(struct wr_heap *heap, void *self) { wr_heap_check(heap, heap == self); }

bool wr_check_heaps(struct wr_heap *self)
{
    wr_arena_check();
    wr_extent_check();
    wr_registry_each(check, self);
    return true;
}
