/* SPDX-License-Identifier: MIT
 * Blocks with mappings of their own, and the cache of freed ones; see huge.h.
 * Lock: wr_arena_lock guards the cache, the free records and the map; system calls are made outside it, on mappings
 * that nobody else can reach: a mapping is taken out of the cache first. */
#include "core/huge.h"

#include "base/option.h"
#include "core/account.h"
#include "core/arena.h"
#include "core/meta.h"
#include "core/purge.h"
#include "core/space.h"

enum { CACHE_MOST = 64 }; /* mappings; the slack bound is what really limits it */

struct wr_huge_count wr_huge_count;

static struct {
    struct wr_huge *newest, *oldest; /* the cache; guarded by: wr_arena_lock */
    unsigned count;                  /* mappings in it */
    struct wr_huge *spare;           /* records without a mapping */
} cache;

static void lock(void) { wr_lock(&wr_arena_lock, WR_RANK_ARENA); }
static void unlock(void) { wr_unlock(&wr_arena_lock, WR_RANK_ARENA); }

/** Whether nothing is unmapped unless the system refuses memory: all that is freed is kept, and so is what a block does
 * not fill. */
static bool keeps_all(void) { return wr_options.purge == WR_PURGE_NEVER; }

static int64_t pages_of(size_t size) { return (int64_t)(size >> WR_PAGE_SHIFT); }

/* ---- the cache; all under the lock ------------------------------------------------------------------------------- */

static void cache_link(struct wr_huge *huge)
{
    huge->prev = NULL;
    huge->next = cache.newest;
    if (cache.newest != NULL)
        cache.newest->prev = huge;
    else
        cache.oldest = huge;
    cache.newest = huge;
    cache.count++;
}

static void cache_unlink(struct wr_huge *huge)
{
    *(huge->prev != NULL ? &huge->prev->next : &cache.newest) = huge->next;
    *(huge->next != NULL ? &huge->next->prev : &cache.oldest) = huge->prev;
    cache.count--;
}

static void keep_record(struct wr_huge *huge)
{
    huge->start = NULL;
    huge->next = cache.spare;
    cache.spare = huge;
}

/** Joins a mapping with those in the cache that lie right before and behind it: as a rule parts of one that was split.
 * The system may see several mappings in it still; then it cannot grow, and is unmapped when it should. */
static void join(struct wr_huge *huge)
{
    for (struct wr_huge *other = cache.newest, *next; other != NULL; other = next) {
        char *start = huge->start, *others = other->start;
        next = other->next;
        if (others + other->size != start && start + huge->size != others)
            continue;
        huge->start = others < start ? others : start;
        huge->size += other->size;
        cache_unlink(other);
        keep_record(other);
    }
}

/** So many bytes are slack in the cache no more. */
static void count_uncached(size_t size)
{
    wr_account_add(&wr_account.slack, -pages_of(size));
    atomic_fetch_sub_explicit(&wr_huge_count.cached, size, memory_order_relaxed);
}

static void cache_push(struct wr_huge *huge)
{
    wr_account_add(&wr_account.slack, pages_of(huge->size));
    atomic_fetch_add_explicit(&wr_huge_count.cached, huge->size, memory_order_relaxed);
    join(huge);
    cache_link(huge);
}

static void cache_take(struct wr_huge *huge)
{
    cache_unlink(huge);
    count_uncached(huge->size);
}

/** The smallest cached mapping that has `size` bytes, else the largest of all, unless it has to stay where it is: one
 * that grows may move to any arena's boundary. NULL if there is none. */
static struct wr_huge *cache_find(size_t size, size_t align)
{
    struct wr_huge *best = NULL;
    for (struct wr_huge *huge = cache.newest; huge != NULL; huge = huge->next) {
        if ((uintptr_t)huge->start % align != 0 || (align > WR_ARENA_SIZE && huge->size < size))
            continue;
        if (best == NULL ||
            (best->size < size ? huge->size > best->size : huge->size >= size && huge->size < best->size))
            best = huge;
    }
    return best;
}

/* ---- records ----------------------------------------------------------------------------------------------------- */

static struct wr_huge *new_record(void)
{
    lock();
    struct wr_huge *huge = cache.spare;
    if (huge != NULL)
        cache.spare = huge->next;
    unlock();
    return huge != NULL ? huge : wr_meta_alloc(sizeof *huge);
}

static void free_record(struct wr_huge *huge)
{
    lock();
    keep_record(huge);
    unlock();
}

static void unmap(struct wr_huge *huge)
{
    wr_space_unmap(huge->start, huge->size);
    wr_account_return(huge->size, true);
    free_record(huge);
}

/** Into the cache, if that has room and the mapping is of use there; else it is unmapped. */
static void put_away(struct wr_huge *huge, bool useful)
{
    lock();
    bool keep = keeps_all() || (useful && cache.count < CACHE_MOST);
    if (keep)
        cache_push(huge);
    unlock();
    if (!keep)
        unmap(huge);
}

/** Makes the block known to the map and the account. False when there is no memory for the map. */
static bool publish(struct wr_huge *huge)
{
    if (!wr_map_prepare(huge->start, huge->size))
        return false;
    lock();
    huge->live = true;
    wr_map_set(huge->start, huge->size, (uintptr_t)huge);
    unlock();
    atomic_fetch_add_explicit(&wr_account.huge, huge->size, memory_order_relaxed);
    atomic_fetch_add_explicit(&wr_huge_count.blocks, 1, memory_order_relaxed);
    wr_account_note_peak();
    return true;
}

/** The reverse of publish(). False if it was not live: somebody freed it at the same time. */
static bool withdraw(struct wr_huge *huge)
{
    lock();
    bool was = huge->live;
    huge->live = false;
    if (was) {
        wr_map_set(huge->start, huge->size, 0);
        wr_map_set(huge->start, 1, WR_MAP_GONE);
    }
    unlock();
    if (was) {
        atomic_fetch_sub_explicit(&wr_account.huge, huge->size, memory_order_relaxed);
        atomic_fetch_sub_explicit(&wr_huge_count.blocks, 1, memory_order_relaxed);
    }
    return was;
}

/* ---- blocks ------------------------------------------------------------------------------------------------------ */

/** Cuts from a mapping, held by nobody else, what lies behind the arena-sized slots that `size` bytes need, and keeps
 * that in the cache: it is resident, and the next huge block may want it. When this one is freed they are joined. */
static void split(struct wr_huge *huge, size_t size)
{
    size_t keep = wr_round_up(size, WR_ARENA_SIZE);
    if (huge->size <= keep || huge->size - keep < WR_SPAN_SIZE)
        return;
    struct wr_huge *rest = new_record();
    if (rest == NULL)
        return;
    rest->start = (char *)huge->start + keep;
    rest->size = huge->size - keep;
    huge->size = keep;
    lock();
    cache_push(rest);
    unlock();
}

/** Makes a mapping, held by nobody else, `size` bytes long, or longer where nothing is unmapped. False if it cannot;
 * then it is as it was. */
static bool fit(struct wr_huge *huge, size_t size)
{
    if (huge->size > size && keeps_all()) {
        split(huge, size);
        return true;
    }
    if (huge->size > size) {
        wr_space_unmap((char *)huge->start + size, huge->size - size);
        wr_account_return(huge->size - size, true);
    } else if (huge->size < size) {
        void *start = wr_space_remap(huge->start, huge->size, size, WR_ARENA_SIZE);
        if (start == NULL)
            return false;
        wr_account_map(size - huge->size);
        huge->start = start;
    }
    huge->size = size;
    return true;
}

/** A cached mapping made to fit, or NULL. */
static struct wr_huge *reuse(size_t size, size_t align)
{
    lock();
    struct wr_huge *huge = cache_find(size, align);
    if (huge != NULL)
        cache_take(huge);
    unlock();
    if (huge == NULL)
        return NULL;
    split(huge, size);
    /* A little too long is good enough: what is cut off would be faulted in again when the mapping grows. */
    if ((huge->size >= size && huge->size - size <= size / 4) || fit(huge, size))
        return huge;
    put_away(huge, false);
    return NULL;
}

static struct wr_huge *map(size_t size, size_t align)
{
    struct wr_huge *huge = new_record();
    if (huge == NULL)
        return NULL;
    huge->size = size;
    huge->start = wr_space_map(size, wr_max(align, WR_ARENA_SIZE));
    if (huge->start == NULL) {
        free_record(huge);
        return NULL;
    }
    wr_account_map(size);
    if (wr_options.thp == WR_THP_NEVER || wr_options.thp == WR_THP_ALWAYS)
        wr_os_advise_huge(huge->start, size, wr_options.thp == WR_THP_ALWAYS);
    return huge;
}

void *wr_huge_alloc(size_t size, size_t align, bool *zeroed)
{
    if (size > PTRDIFF_MAX - WR_ARENA_SIZE || align > PTRDIFF_MAX / 2)
        return NULL;
    size = wr_round_up(wr_max(size, 1), WR_PAGE_SIZE);
    struct wr_huge *huge = reuse(size, align);
    *zeroed = huge == NULL;
    if (huge == NULL)
        huge = map(size, align);
    if (huge == NULL)
        return NULL;
    if (!publish(huge)) {
        unmap(huge);
        return NULL;
    }
    return huge->start;
}

void wr_huge_free(struct wr_huge *huge)
{
    void *start = huge->start;
    if (!withdraw(huge))
        wr_fatal("double free of %p, a block with a mapping of its own", start);
    put_away(huge, true); /* over the bound the next purge takes it, and learns if that was in vain */
}

void *wr_huge_resize(struct wr_huge *huge, size_t size)
{
    if (size > PTRDIFF_MAX - WR_ARENA_SIZE)
        return NULL;
    size = wr_round_up(size, WR_PAGE_SIZE);
    if (size == huge->size)
        return huge->start;
    /* Nobody may look the block up while it moves; its owner is here, so nobody has a right to. The map has room for
     * where it was, and that is where it stays if it cannot be resized. */
    void *old = huge->start;
    if (!withdraw(huge))
        wr_fatal("realloc of %p, a block with a mapping of its own that was freed", old);
    bool done = fit(huge, size);
    if (!publish(huge))
        wr_fatal("no memory for the address map after a block of %zu bytes moved", size);
    return done ? huge->start : NULL;
}

size_t wr_huge_drop_oldest(size_t most)
{
    lock();
    struct wr_huge *huge = cache.oldest != NULL && cache.oldest->size <= most ? cache.oldest : NULL;
    if (huge != NULL)
        cache_take(huge);
    unlock();
    if (huge == NULL)
        return 0;
    size_t size = huge->size;
    unmap(huge);
    return size;
}

size_t wr_huge_cut_oldest(size_t size)
{
    void *end = NULL;
    size = wr_round_up(size, WR_PAGE_SIZE);
    lock();
    struct wr_huge *huge = cache.oldest;
    if (huge != NULL && huge->size > size && huge->size - size >= WR_LARGE_MAX) {
        huge->size -= size;
        end = (char *)huge->start + huge->size;
        count_uncached(size);
    }
    unlock();
    if (end == NULL)
        return wr_huge_drop_oldest(SIZE_MAX);
    wr_space_unmap(end, size); /* whoever takes the rest cannot grow it over this before it is gone */
    wr_account_return(size, true);
    return size;
}
