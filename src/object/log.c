/* SPDX-License-Identifier: MIT
 * Where objects of the checked build were made, and what happens to the counts of those that are logged.
 * Lock: `sites.lock` (WR_RANK_SITE). Memory that is missing costs a site, nothing else. */
#include "base/text.h"
#include "object/domain.h"

static struct site {
    const void *object; /* NULL: none; GONE: none, but look on */
    const char *file;
    int line;
} removed;

#define GONE ((const void *)&removed)

/* Open addressing, linear. Entries are found by object alone. */
static struct {
    struct wr_lock lock;
    struct site *site; /* from weir_calloc() */
    size_t room;       /* a power of two */
    size_t filled;     /* entries that are not NULL */
    size_t live;       /* entries that are objects */
} sites;

static void lock(void) { wr_lock(&sites.lock, WR_RANK_SITE); }
static void unlock(void) { wr_unlock(&sites.lock, WR_RANK_SITE); }

static size_t start_of(const void *object, size_t room)
{
    return (size_t)(((uintptr_t)object >> 3) * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (room - 1);
}

/** The object's entry, else the free one where it would go; NULL without a table. pre: lock. */
static struct site *find(const void *object)
{
    struct site *site = NULL;
    for (size_t i = start_of(object, sites.room); sites.room > 0; i = (i + 1) & (sites.room - 1)) {
        site = &sites.site[i];
        if (site->object == object || site->object == NULL)
            break;
    }
    return site;
}

/** Room for one more; false if memory is short. Takes and lets go of the lock. */
static bool make_room(void)
{
    lock();
    size_t room = sites.room, filled = sites.filled, live = sites.live;
    unlock();
    if (filled * 2 < room)
        return true;
    size_t wanted = live * 4 < room ? room : wr_max(room * 2, 1024); /* what is gone is left out in any case */
    struct site *fresh = weir_calloc(wanted, sizeof *fresh), *old = fresh;
    lock();
    if (fresh != NULL && sites.room == room) {
        old = sites.site;
        sites.site = fresh;
        sites.room = wanted;
        sites.filled = 0;
        for (size_t i = 0; i < room; i++)
            if (old[i].object != NULL && old[i].object != GONE) {
                *find(old[i].object) = old[i];
                sites.filled++;
            }
    }
    bool done = sites.filled * 2 < sites.room;
    unlock();
    weir_free(old);
    return done;
}

void wr_site_add(void *object, const char *file, int line)
{
    if (!make_room())
        return;
    lock();
    struct site *site = find(object);
    sites.filled += site->object == NULL;
    sites.live += site->object != object;
    *site = (struct site){object, file, line};
    unlock();
    wr_state_set(wr_header_of(object), WR_STATE_SITE);
}

void wr_site_remove(void *object)
{
    lock();
    struct site *site = find(object);
    if (site != NULL && site->object == object) {
        site->object = GONE;
        sites.live--;
    }
    unlock();
    wr_state_clear(wr_header_of(object), WR_STATE_SITE);
}

bool wr_site_find(const void *object, const char **file, int *line)
{
    lock();
    const struct site *site = find(object);
    bool found = site != NULL && site->object == object;
    if (found) {
        *file = site->file;
        *line = site->line;
    }
    unlock();
    return found;
}

void wr_site_each(void (*fn)(const void *object, const char *file, int line, void *arg), void *arg)
{
    lock();
    for (size_t i = 0; i < sites.room; i++)
        if (sites.site[i].object != NULL && sites.site[i].object != GONE)
            fn(sites.site[i].object, sites.site[i].file, sites.site[i].line, arg);
    unlock();
}

void wr_site_fork_prepare(void) { wr_lock_fork_prepare(&sites.lock, WR_RANK_SITE); }
void wr_site_fork_done(void) { wr_lock_fork_done(&sites.lock, WR_RANK_SITE); }

void wr_log_change(const void *object, const char *what, long count, const char *file, int line, const void *caller)
{
    const struct weir_type *type = wr_place_type(wr_place_of(wr_header_of(object)));
    const char *name = type != NULL ? type->name : "?";
    if (file != NULL)
        wr_message("%s %p \"%s\": %ld, %s:%d", what, object, name, count, file, line);
    else if (caller != NULL)
        wr_message("%s %p \"%s\": %ld, called from %p", what, object, name, count, caller);
    else
        wr_message("%s %p \"%s\": %ld, by Weir", what, object, name, count);
}

void weir_log(void *object, bool on)
{
    struct wr_header *header = wr_header_of(object);
    struct wr_header now = wr_header_now(header);
    uint32_t own = wr_own_of(now), both = WR_STATE_LOGGED | WR_STATE_LOCAL;
    if (wr_count_sort(now.count) == WR_SORT_IMMORTAL)
        return; /* nothing ever changes */
    if (own > 0 && on)
        wr_set_header(header, wr_shared_header(own, wr_state_of(now) | both));
    else if (own > 0)
        wr_set_header(header, (struct wr_header){(int32_t)own, wr_state_of(now) & ~both});
    else if (on)
        wr_state_set(header, WR_STATE_LOGGED);
    else
        wr_state_clear(header, WR_STATE_LOGGED);
}
