/* SPDX-License-Identifier: MIT
 * Aligned address space; see space.h. State: where the next mapping is tried, a hint that may be stale. */
#include "core/space.h"

#include <stdatomic.h>

#include "core/map.h"
#include "os/os.h"

/* The lowest start handed out so far: the next mapping is tried right below. Relaxed: a wrong guess costs a call. */
static _Atomic uintptr_t lowest;

static void *map_over_and_trim(size_t size, size_t align)
{
    size_t over;
    if (__builtin_add_overflow(size, align, &over))
        return NULL;
    char *raw = wr_os_map(NULL, over);
    if (raw == NULL)
        return NULL;
    char *start = (char *)wr_round_up((uintptr_t)raw, align);
    if (start != raw)
        wr_os_unmap(raw, (size_t)(start - raw));
    if (start + size != raw + over)
        wr_os_unmap(start + size, (size_t)(raw + over - (start + size)));
    return start;
}

/** Without room for more than `size`, as under a tight limit: the system says where it has room, and from the aligned
 *  address below that there is as much, as a rule. */
static void *map_exactly(size_t size, size_t align)
{
    uintptr_t hint = 0;
    for (unsigned tries = 0; tries < 2; tries++) {
        char *start = wr_os_map((void *)hint, size);
        if (start == NULL || (uintptr_t)start % align == 0)
            return start;
        wr_os_unmap(start, size);
        hint = wr_round_down((uintptr_t)start, align);
    }
    return NULL;
}

void *wr_space_map(size_t size, size_t align)
{
    uintptr_t low = atomic_load_explicit(&lowest, memory_order_relaxed);
    void *start = NULL;
    if (low > size + align) {
        start = wr_os_map((void *)wr_round_down(low - size, align), size);
        if (start != NULL && (uintptr_t)start % align != 0) {
            wr_os_unmap(start, size);
            start = NULL;
        }
    }
    if (start == NULL)
        start = map_over_and_trim(size, align);
    if (start == NULL)
        start = map_exactly(size, align);
    if (start != NULL)
        atomic_store_explicit(&lowest, (uintptr_t)start, memory_order_relaxed);
    return start;
}

bool wr_space_map_at(void *start, size_t size)
{
    void *got = wr_os_map(start, size);
    if (got != NULL && got != start) {
        wr_os_unmap(got, size);
        return false;
    }
    uintptr_t low = atomic_load_explicit(&lowest, memory_order_relaxed);
    if (got != NULL && (uintptr_t)start < low)
        atomic_store_explicit(&lowest, (uintptr_t)start, memory_order_relaxed);
    return got != NULL;
}

bool wr_space_is_lowest(const void *start)
{
    return atomic_load_explicit(&lowest, memory_order_relaxed) == (uintptr_t)start;
}

bool wr_space_try_unmap(void *start, size_t size)
{
    if (!wr_os_unmap(start, size))
        return false;
    uintptr_t gone = (uintptr_t)start;
    atomic_compare_exchange_strong_explicit(&lowest, &gone, gone + size, memory_order_relaxed, memory_order_relaxed);
    return true;
}

void wr_space_unmap(void *start, size_t size)
{
    struct wr_range range = {start, size};
    if (!wr_space_try_unmap(start, size))
        wr_os_discard(&range, 1, WR_DISCARD_NOW);
}

void *wr_space_remap(void *start, size_t size, size_t new_size, size_t align)
{
    if (wr_map_prepare(start, new_size) && wr_os_remap(start, size, new_size, NULL))
        return start;
    void *to = wr_space_map(new_size, align);
    if (to == NULL)
        return NULL;
    if (!wr_map_prepare(to, new_size)) {
        wr_space_unmap(to, new_size);
        return NULL;
    }
    /* Should this fail, the kernel may have unmapped `to` already, and another thread may have it: it is let be. */
    return wr_os_remap(start, size, new_size, to) ? to : NULL;
}
