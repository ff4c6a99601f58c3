/* SPDX-License-Identifier: MIT
 * Aligned address space; see space.h. State: where the next mapping is tried, a hint that may be stale. */
#include "core/space.h"

#include <stdatomic.h>

#include "base/assert.h"
#include "core/map.h"
#include "os/os.h"

/* The lowest start handed out so far: the next mapping is tried right below. Relaxed: a wrong guess costs a call. */
static _Atomic uintptr_t lowest;

static void lower_to(const void *start)
{
    if ((uintptr_t)start < atomic_load_explicit(&lowest, memory_order_relaxed))
        atomic_store_explicit(&lowest, (uintptr_t)start, memory_order_relaxed);
}

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
    if (got != NULL)
        lower_to(got);
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

/** To where the kernel finds room: that takes no more address space than the block grows by. */
static void *remap_anywhere(void *start, size_t size, size_t new_size, bool *several)
{
    void *now = wr_os_remap(start, size, new_size, WR_REMAP_ANYWHERE, several);
    if (now == NULL)
        return NULL;
    if (wr_map_prepare(now, new_size)) {
        lower_to(now);
        return now;
    }
    /* Nobody would know it there, so back. Its old place is claimed first: another thread may have mapped there. */
    wr_os_remap(now, new_size, size, WR_REMAP_HERE, NULL);
    if (now != start && !(wr_space_map_at(start, size) && wr_os_remap(now, size, size, start, NULL) != NULL))
        wr_fatal("no memory for what has to be known of %zu bytes at %p", new_size, now);
    return NULL;
}

static void *remap_aligned(void *start, size_t size, size_t new_size, size_t align, bool *several)
{
    if (wr_map_prepare(start, new_size) &&
        wr_os_remap(start, size, new_size, WR_REMAP_HERE, several) != NULL)
        return start;
    /* Of several mappings nothing is moved, and kernels differ in whether they have unmapped what was at the target
     * when they find out. */
    void *to = *several ? NULL : wr_space_map(new_size, align);
    if (to == NULL)
        return NULL;
    if (!wr_map_prepare(to, new_size)) {
        wr_space_unmap(to, new_size);
        return NULL;
    }
    /* Should this fail, for want of the kernel's memory, `to` may be unmapped, and another thread's: it is let be. */
    return wr_os_remap(start, size, new_size, to, NULL);
}

void *wr_space_remap(void *start, size_t size, size_t new_size, size_t align, bool *several)
{
    *several = false;
    /* Where the kernel finds room is a multiple of its own pages, which may be smaller than Weir's. */
    return align == wr_os_page_size() ? remap_anywhere(start, size, new_size, several)
                                      : remap_aligned(start, size, new_size, align, several);
}
