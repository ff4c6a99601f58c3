/* SPDX-License-Identifier: MIT
 * The collector's passes: what they do to what is dead, and when they run. trace.h has how the dead are found.
 *
 * A pass holds a reference to each of the dead from when they are known until all of them have been cleared, so that
 * nothing of a dead structure is freed while finalizers, callbacks and clear functions look at the rest of it, and so
 * that an object's count alone decides whether it is freed: one that somebody has a reference to after all lives on.
 * Nothing is taken from a pass that lacks memory half-way: until the dead are known nothing has been changed.
 *
 * Takes no lock of its own but `watch.lock`'s, around the table of those who want to be told, and heaps', to note which
 * pools are young no more. */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/option.h"
#include "base/text.h"
#include "front/thread.h"
#include "object/trace.h"
#include "os/helper.h"

enum {
    YOUNG_BYTES = 1 << 20, /* default threshold of young passes */
    FULL_PERCENT = 50,     /* and of full ones */
    FULL_LEAST = 4 << 20,  /* growth below which there is no full pass */
    YOUNG_SHARE = 32,      /* a young pass waits for growth by at least this fraction of what there is */
    PATIENCE_MOST = 4,
    WATCHERS = 16,
};

/* Settings of the process; relaxed. */
static struct {
    _Atomic bool disabled;
    _Atomic unsigned debug, percent;
    _Atomic size_t young;
} settings = {.debug = WEIR_GC_DEBUG_UNCOLLECTABLE, .percent = FULL_PERCENT, .young = YOUNG_BYTES};

static struct {
    struct wr_lock lock;
    struct watcher {
        weir_gc_fn fn;
        void *arg;
    } watcher[WATCHERS];
    _Atomic unsigned count; /* written under the lock */
} watch;

#define LOAD(setting) atomic_load_explicit(&(setting), memory_order_relaxed)
#define STORE(setting, value) atomic_store_explicit(&(setting), (value), memory_order_relaxed)

void weir_gc_enable(void) { STORE(settings.disabled, false); }
void weir_gc_disable(void) { STORE(settings.disabled, true); }
bool weir_gc_is_enabled(void) { return !LOAD(settings.disabled); }
void weir_gc_set_debug(unsigned flags) { STORE(settings.debug, flags); }
unsigned weir_gc_get_debug(void) { return LOAD(settings.debug); }
bool wr_gc_is_stressed(void) { return (LOAD(settings.debug) & WEIR_GC_DEBUG_STRESS) != 0; }

void wr_gc_start(void)
{
    enum { LEAK_WORD = 1 << 5 }; /* the option's words are in the order of the bits, then "leak" */
    unsigned words = (unsigned)wr_options.gc_debug;
    if ((words & LEAK_WORD) != 0)
        words = (words & ~(unsigned)LEAK_WORD) | WEIR_GC_DEBUG_LEAK;
    if (words != 0)
        STORE(settings.debug, words | WEIR_GC_DEBUG_UNCOLLECTABLE);
}

/* ---- those who want to be told ----------------------------------------------------------------------------------- */

static int find_watcher(weir_gc_fn fn, void *arg)
{
    for (unsigned i = 0; i < LOAD(watch.count); i++)
        if (watch.watcher[i].fn == fn && watch.watcher[i].arg == arg)
            return (int)i;
    return -1;
}

int weir_gc_on(weir_gc_fn fn, void *arg)
{
    int result = 0;
    wr_lock(&watch.lock, WR_RANK_DOMAIN);
    unsigned count = LOAD(watch.count);
    if (find_watcher(fn, arg) >= 0)
        result = -EEXIST;
    else if (count == WATCHERS)
        result = -ENOSPC;
    else
        watch.watcher[count] = (struct watcher){fn, arg};
    if (result == 0)
        STORE(watch.count, count + 1);
    wr_unlock(&watch.lock, WR_RANK_DOMAIN);
    return result;
}

int weir_gc_off(weir_gc_fn fn, void *arg)
{
    wr_lock(&watch.lock, WR_RANK_DOMAIN);
    int found = find_watcher(fn, arg);
    unsigned count = LOAD(watch.count);
    if (found >= 0) {
        memmove(&watch.watcher[found], &watch.watcher[found + 1],
                (count - 1 - (unsigned)found) * sizeof watch.watcher[0]);
        STORE(watch.count, count - 1);
    }
    wr_unlock(&watch.lock, WR_RANK_DOMAIN);
    return found >= 0 ? 0 : -ENOENT;
}

static void tell(enum weir_gc_phase phase, const struct weir_gc_info *info)
{
    struct watcher watcher[WATCHERS];
    if (LOAD(watch.count) == 0)
        return;
    wr_lock(&watch.lock, WR_RANK_DOMAIN);
    unsigned count = LOAD(watch.count);
    memcpy(watcher, watch.watcher, sizeof watcher);
    wr_unlock(&watch.lock, WR_RANK_DOMAIN);
    for (unsigned i = 0; i < count; i++)
        watcher[i].fn(phase, info, watcher[i].arg);
}

/* ---- garbage that is kept ---------------------------------------------------------------------------------------- */

static bool make_garbage_room(struct wr_gc *gc, size_t more)
{
    if (gc->garbage_count + more <= gc->garbage_room)
        return true;
    size_t room = wr_max(gc->garbage_count + more, gc->garbage_room * 2);
    void **garbage = weir_reallocarray(gc->garbage, room, sizeof *garbage);
    if (garbage == NULL)
        return false;
    gc->garbage = garbage;
    gc->garbage_room = room;
    return true;
}

int weir_gc_garbage_each(weir_gc_each_fn fn, void *arg)
{
    struct wr_gc *gc = &wr_thread.domain->gc;
    int result = 0;
    for (size_t i = 0; i < gc->garbage_count && result == 0; i++)
        result = fn(gc->garbage[i], arg);
    return result;
}

size_t weir_gc_garbage_count(void) { return wr_thread.domain->gc.garbage_count; }

/* One after the other: what dies by it may clear the garbage, too, or start a pass that adds to it. A pass under way
 * has made room, which is to stay. */
void weir_gc_garbage_clear(void)
{
    struct wr_gc *gc = &wr_thread.domain->gc;
    while (gc->garbage_count > 0)
        weir_unref(gc->garbage[--gc->garbage_count]);
    if (gc->running)
        return;
    weir_free(gc->garbage);
    gc->garbage = NULL;
    gc->garbage_room = 0;
}

/* ---- what is done to the dead ------------------------------------------------------------------------------------ */

/** A pass under way. */
struct pass {
    struct wr_domain *domain;
    struct wr_trace *trace;
    long dead, revived, kept;
    bool plain;   /* see is_plain(): all of the dead are */
    bool careful; /* a finalizer or a callback is to be called */
    bool calls;   /* callbacks of weak references are to be called */
    bool called;  /* something of the program's has run since the dead were found */
    unsigned debug;
};

static void say(const char *what, const void *object, const struct weir_type *type)
{
    const char *file;
    int line;
    if ((wr_state(wr_header_of(object)) & WR_STATE_SITE) != 0 && wr_site_find(object, &file, &line))
        wr_message("gc: %s: object %p of type \"%s\", made at %s:%d", what, object, type->name, file, line);
    else
        wr_message("gc: %s: object %p of type \"%s\"", what, object, type->name);
}

static void hold(struct wr_trace *trace WR_UNUSED, uint32_t place WR_UNUSED, void *object, void *arg WR_UNUSED)
{
    struct wr_header *header = wr_header_of(object);
    int32_t count = wr_count(header);
    if (wr_likely(count > 0))
        wr_set_count(header, (int32_t)((uint32_t)count + 1));
    else if (wr_count_sort(count) == WR_SORT_SHARED)
        __atomic_fetch_add(&header->state, 1, __ATOMIC_RELAXED);
}

/** Gives up what hold() took, of an object that lives: it has another reference. But if a finalizer has shared it, that
 *  may have gone meanwhile, by another thread: then it dies like any other. */
static void let_live(const struct wr_trace *trace, struct wr_header *header)
{
    int32_t count = wr_count(header);
    if (count > 0)
        wr_set_count(header, count - 1);
    else if (wr_trace_count_of(trace, header) > 0)
        __atomic_fetch_sub(&header->state, 1, __ATOMIC_RELAXED);
    else
        wr_object_unref(wr_object_of(header));
}

/** Whether a weak reference lies in an object that is dead. */
static bool lies_in_dead(const void *address, void *arg)
{
    struct wr_trace *trace = arg;
    const struct wr_typed *pool = wr_pool_of(address);
    if (pool != NULL) {
        unsigned index = wr_typed_index(pool->kind, address);
        uint32_t place = index < pool->kind->blocks ? wr_trace_place(trace, wr_object_of(wr_typed_at(pool, index))) : 0;
        return wr_trace_is_white(trace, place);
    }
    for (uint32_t i = 0; i < trace->bigs; i++) {
        uint32_t place = (trace->big_line << WR_LINE_SHIFT) + i;
        const struct wr_big *big = trace->big[i];
        if (wr_trace_is_white(trace, place) && big->line == place &&
            (size_t)((const char *)address - (const char *)big->object) < big->size)
            return true;
    }
    return false;
}

bool wr_gc_clears(const void *address)
{
    struct wr_trace *trace = wr_thread.domain->gc.clears;
    return trace != NULL && lies_in_dead(address, trace);
}

static void detach_weak(struct wr_trace *trace, uint32_t place WR_UNUSED, void *object, void *arg)
{
    struct pass *pass = arg;
    if (wr_unlikely((wr_state(wr_header_of(object)) & WR_STATE_WEAK) != 0))
        pass->calls |= wr_weak_detach(object, lies_in_dead, trace);
}

static void call_weak(struct wr_trace *trace WR_UNUSED, uint32_t place WR_UNUSED, void *object, void *arg WR_UNUSED)
{
    if (wr_unlikely((wr_state(wr_header_of(object)) & WR_STATE_WEAK) != 0))
        wr_weak_call(object);
}

static bool no_callback(const void *address WR_UNUSED, void *arg WR_UNUSED) { return true; }

static void drop_weak(struct wr_trace *trace WR_UNUSED, uint32_t place WR_UNUSED, void *object, void *arg WR_UNUSED)
{
    if (wr_unlikely((wr_state(wr_header_of(object)) & WR_STATE_WEAK) != 0))
        wr_weak_detach(object, no_callback, NULL);
}

static void finalize(struct wr_trace *trace, uint32_t place, void *object, void *arg)
{
    struct pass *pass = arg;
    struct wr_header *header = wr_header_of(object);
    const struct weir_type *type = wr_trace_type(trace, place);
    if (type->finalize == NULL || (wr_state(header) & WR_STATE_FINALIZED) != 0)
        return;
    wr_state_set(header, WR_STATE_FINALIZED);
    pass->called = true;
    pass->domain->gc.stats.finalized++;
    type->finalize(object);
}

/** Those of the held that are not white any more live. */
static void revive_line(struct wr_trace *trace, uint32_t l, void *pass)
{
    for (unsigned i = 0; i < trace->line[l].objects; i++) {
        uint32_t place = (l << WR_LINE_SHIFT) + i;
        if (trace->own[place] == 0 || wr_trace_is_white(trace, place))
            continue;
        trace->own[place] = 0;
        let_live(trace, wr_header_of(wr_trace_object(trace, place)));
        ((struct pass *)pass)->revived++;
    }
}

/** Those of the held that are not white are no longer to be told from others: forgets the others. */
static void keep_white_only(struct wr_trace *trace, uint32_t l, void *arg WR_UNUSED)
{
    for (uint32_t place = l << WR_LINE_SHIFT, end = place + WR_LINE; place < end; place++)
        if (!wr_trace_is_white(trace, place))
            trace->own[place] = 0;
}

static void blacken(struct wr_trace *trace, uint32_t l, void *arg WR_UNUSED)
{
    trace->marked[l] = trace->looked[l] = ~UINT64_C(0);
}

/** Finalizers and callbacks have run: finds out who still is dead. */
static void look_again(struct pass *pass)
{
    struct wr_trace *trace = pass->trace;
    wr_trace_white_lines(trace, keep_white_only, NULL);
    wr_trace_recount(trace);
    if (trace->failed) {
        /* All are kept, finalized as they are; the next pass finds them again. */
        wr_trace_white_lines(trace, blacken, NULL);
    } else {
        wr_trace_compare_again(trace, 1);
        while (wr_trace_mark(trace, SIZE_MAX))
            continue;
    }
    wr_trace_white_lines(trace, revive_line, pass);
}

static void clear_visited(void *object, void *arg WR_UNUSED) { weir_unref(object); }

static void clear(struct wr_trace *trace, uint32_t place, void *object, void *arg WR_UNUSED)
{
    const struct weir_type *type = wr_trace_type(trace, place);
    if (wr_unlikely(type->clear != NULL))
        type->clear(object);
    for (unsigned i = 0; i < type->nrefs; i++)
        weir_clear((void **)(void *)((char *)object + type->refs[i]));
    if (wr_unlikely(type->clear == NULL && type->traverse != NULL)) {
        wr_object_traverse(object, type->traverse, clear_visited, NULL);
        wr_state_set(wr_header_of(object), WR_STATE_DROPPED);
    }
}

/** Gives up the pass's own reference, the last one. If it is not, the object is kept for the program to see. A clear
 *  function may have changed its sort: shared it, or made it immortal. */
static void let_go(struct wr_trace *trace, uint32_t place, void *object, void *arg)
{
    struct pass *pass = arg;
    struct wr_header *header = wr_header_of(object), now = wr_header_now(header);
    unsigned count = wr_own_of(now) + wr_shared_of(now); /* one of them is 0 */
    if (wr_likely(count == 1)) {
        wr_object_unref(object);
        return;
    }
    if (wr_unlikely(count == 0)) {
        pass->revived++;
        return;
    }
    pass->kept++;
    if ((pass->debug & WEIR_GC_DEBUG_UNCOLLECTABLE) != 0)
        wr_message(
            "gc: uncollectable: object %p of type \"%s\" has %u references after all that referred to it has been "
            "cleared: a traverse function visits what its object does not own, or a clear function leaves it; it "
            "is kept, cleared",
            object, wr_trace_type(trace, place)->name, count - 1);
    if (make_garbage_room(&pass->domain->gc, 1))
        pass->domain->gc.garbage[pass->domain->gc.garbage_count++] = object;
    else
        let_live(trace, header);
}

/** Whether nothing of the program's is called for an object that is released once it has been finalized. */
static bool is_plain(const struct weir_type *type)
{
    return type->clear == NULL && type->traverse == NULL && type->dealloc == NULL;
}

/* Where all the dead are plain they are freed without a look at what they have of their own kind: all of them go, and
 * nobody sees it. First what they refer to outside is dropped; it is buried when all of them are gone. */

/** References of the dead, for which the notes suffice where all objects of a line are dead, and refer to nothing but
 *  what is looked at. */
struct leaving {
    uint64_t counted; /* that the dead have, by their counts */
    uint64_t seen;    /* to the dead, that the dead have been seen to hold */
    uint64_t trusted; /* of objects that have not been looked into: to the dead, or to what lives */
};

static void leave_one(struct wr_trace *trace, uint32_t place, void *object, void *arg)
{
    struct leaving *leaving = arg;
    const struct wr_kind *kind = trace->line[place >> WR_LINE_SHIFT].pool->kind;
    const struct wr_header *header = wr_header_of(object);
    for (unsigned i = 0; i < kind->nrefs; i++) {
        void *other = *(void **)(void *)((char *)object + kind->refs[i]);
        if (other != NULL && !wr_trace_is_white(trace, wr_trace_place(trace, other)))
            wr_object_unref(other);
        else
            leaving->seen += other != NULL;
    }
    wr_assert((wr_state(header) & WR_STATE_WEAK) == 0); /* nothing of the program's runs before they are freed */
    if (wr_unlikely((wr_state(header) & WR_STATE_SITE) != 0))
        wr_site_remove(object);
}

/** Whether the notes tell of a line's objects what leave_one() would find, if none refers to what lives. */
static bool is_trusted(const struct wr_trace *trace, uint32_t l)
{
    const struct wr_line *line = &trace->line[l];
    return !line->leaves && !line->special && line->refs < WR_REFS_MANY &&
           wr_bits_count(wr_trace_white_of(trace, l)) == line->counted;
}

static void leave_line(struct wr_trace *trace, uint32_t l, void *arg)
{
    struct leaving *leaving = arg;
    for (uint64_t white = wr_trace_white_of(trace, l); white != 0; white &= white - 1) {
        uint32_t place = (l << WR_LINE_SHIFT) + wr_bits_first(white);
        unsigned count = trace->own[place];
        leaving->counted += count < 255 ? count : wr_count_own(wr_header_of(wr_trace_object(trace, place)));
    }
    if (is_trusted(trace, l))
        leaving->trusted += trace->line[l].refs;
    else
        wr_trace_white_line(trace, l, leave_one, leaving);
}

static void leave_trusted(struct wr_trace *trace, uint32_t l, void *leaving)
{
    if (is_trusted(trace, l))
        wr_trace_white_line(trace, l, leave_one, leaving);
}

/** Drops what the dead refer to outside. All that refers to the dead is dead; so where they hold as many references as
 *  they have, all of these are to the dead. */
static void leave_plain(struct pass *pass)
{
    struct leaving leaving = {0, 0, 0};
    if (pass->called) {
        wr_trace_white(pass->trace, leave_one, &leaving); /* the notes are outdated */
        return;
    }
    wr_trace_white_lines(pass->trace, leave_line, &leaving);
    if (leaving.counted != leaving.seen + leaving.trusted)
        wr_trace_white_lines(pass->trace, leave_trusted, &leaving);
}

static void free_one(struct wr_trace *trace, uint32_t place, void *object, void *arg WR_UNUSED)
{
    wr_object_free(trace->line[place >> WR_LINE_SHIFT].pool, wr_header_of(object));
}

/** Frees the page of a line, its pool's first, as a whole, if all that is alive there is white. */
static void free_page(struct wr_trace *trace, uint32_t l)
{
    struct wr_typed *pool = trace->line[l].pool;
    unsigned white = 0;
    if (pool == NULL || trace->line[l].first != 0 || pool == pool->kind->current)
        return;
    for (uint32_t i = l; i < trace->big_line && trace->line[i].pool == pool; i++)
        white += wr_bits_count(wr_trace_white_of(trace, i));
    if (white == pool->live)
        wr_typed_discard(pool); /* and its lines are struck out */
}

static void free_line(struct wr_trace *trace, uint32_t l, void *arg)
{
    free_page(trace, l);
    wr_trace_white_line(trace, l, free_one, arg);
}

static void free_plain(struct wr_trace *trace)
{
    struct wr_heap *heap = wr_enter();
    wr_trace_white_lines(trace, free_line, NULL);
    if (heap != NULL)
        wr_leave(heap);
}

/** Keeps one of the dead, with the reference of the pass. There is room: bury() has made it. */
static void save(struct wr_trace *trace WR_UNUSED, uint32_t place WR_UNUSED, void *object, void *arg)
{
    struct wr_gc *gc = &((struct pass *)arg)->domain->gc;
    gc->garbage[gc->garbage_count++] = object;
}

/** Looks whether something is to be called for one of the dead. */
static void survey(struct wr_trace *trace, uint32_t place, void *object, void *arg)
{
    struct pass *pass = arg;
    uint32_t state = wr_state(wr_header_of(object));
    pass->careful |= (state & WR_STATE_WEAK) != 0 ||
                     (wr_trace_type(trace, place)->finalize != NULL && (state & WR_STATE_FINALIZED) == 0);
    if (wr_unlikely((pass->debug & WEIR_GC_DEBUG_COLLECTABLE) != 0))
        say("collectable", object, wr_trace_type(trace, place));
}

/** Counts the dead of a line. */
static void survey_line(struct wr_trace *trace, uint32_t l, void *arg)
{
    struct pass *pass = arg;
    const struct wr_line *line = &trace->line[l];
    pass->dead += wr_bits_count(wr_trace_white_of(trace, l));
    pass->plain &= line->pool != NULL && is_plain(trace->kind[line->kind].type);
    if (line->pool == NULL || line->special || trace->kind[line->kind].type->finalize != NULL ||
        (pass->debug & WEIR_GC_DEBUG_COLLECTABLE) != 0)
        wr_trace_white_line(trace, l, survey, pass);
}

struct special {
    void (*fn)(struct wr_trace *trace, uint32_t place, void *object, void *pass);
    struct pass *pass;
};

static void white_special_line(struct wr_trace *trace, uint32_t l, void *arg)
{
    const struct special *special = arg;
    if (trace->line[l].special || trace->line[l].pool == NULL)
        wr_trace_white_line(trace, l, special->fn, special->pass);
}

/** Calls fn for the white objects of lines where one has a state. */
static void white_special(struct pass *pass, void (*fn)(struct wr_trace *, uint32_t place, void *object, void *pass))
{
    struct special special = {fn, pass};
    wr_trace_white_lines(pass->trace, white_special_line, &special);
}

/** Weak references to the dead are cleared, and callbacks called; whether there were any. */
static bool clear_weak(struct pass *pass)
{
    pass->calls = false;
    white_special(pass, detach_weak);
    if (pass->calls)
        white_special(pass, call_weak);
    return pass->calls;
}

/** Weak references to the dead are cleared, the dead finalized; who still is dead after that stays white. Weak
 *  references that finalizers and callbacks have made to these are cleared, too, and what the callbacks of those make
 *  in turn is cleared without any. */
static void prepare(struct pass *pass)
{
    pass->called = clear_weak(pass);
    wr_trace_white(pass->trace, finalize, pass);
    if (!pass->called)
        return;
    look_again(pass);
    if (clear_weak(pass))
        look_again(pass);
    white_special(pass, drop_weak);
}

/** The white objects of the trace are dead: sees them off. -ENOMEM: nothing has been changed. */
static int bury(struct pass *pass)
{
    struct wr_trace *trace = pass->trace;
    struct wr_burial burial, *outer;
    bool save_all = (pass->debug & WEIR_GC_DEBUG_SAVEALL) != 0;
    if (save_all && !make_garbage_room(&pass->domain->gc, trace->whites))
        return -ENOMEM;
    outer = wr_burial_begin(&burial);
    pass->plain = !save_all && !trace->shared;
    wr_trace_white_lines(trace, survey_line, pass);
    if (!pass->plain || pass->careful) {
        wr_trace_white(trace, hold, pass);
        prepare(pass);
    }
    if (pass->plain) {
        leave_plain(pass);
        free_plain(trace);
    } else if (save_all) {
        wr_trace_white(trace, save, pass);
    } else {
        pass->domain->gc.clears = trace;
        wr_trace_white(trace, clear, pass);
        wr_burial_end(NULL);
        pass->domain->gc.clears = NULL;
        wr_trace_white(trace, let_go, pass);
        wr_burial_begin(&burial);
    }
    wr_burial_end(outer);
    return 0;
}

/* ---- passes ------------------------------------------------------------------------------------------------------ */

void wr_gc_forget(struct wr_owner *owner, const struct wr_typed *pool)
{
    struct wr_domain *domain = (struct wr_domain *)owner;
    if (domain->gc.trace != NULL)
        wr_trace_forget(domain->gc.trace, pool);
}

void wr_gc_drop_search(struct wr_domain *domain)
{
    if (domain->gc.trace != NULL)
        wr_trace_end(domain->gc.trace);
    domain->gc.trace = NULL;
}

/** The trace's pools have been looked at: they are young no more, but for those that still receive objects. Of these it
 *  is noted that the round of polls is done with them. */
static void grow_up(struct wr_trace *trace, size_t round)
{
    struct wr_heap *heap = NULL;
    for (uint32_t l = 1; l < trace->lines; l++) {
        struct wr_typed *pool = trace->line[l].pool;
        if (pool == NULL || trace->line[l].first != 0)
            continue;
        if (pool->kind->current == pool) {
            pool->kind->round = round;
            continue;
        }
        if (pool->kind->heap != heap) { /* seldom: pools of a kind follow each other */
            if (heap != NULL)
                wr_heap_unlock(heap);
            heap = pool->kind->heap;
            wr_heap_lock(heap);
        }
        wr_typed_span(pool)->young &= (uint16_t)~wr_typed_bit(pool);
    }
    if (heap != NULL)
        wr_heap_unlock(heap);
    for (uint32_t i = 0; i < trace->bigs; i++)
        trace->big[i]->young = false;
}

/** Pages of large objects and of what containers have. */
static size_t pages_elsewhere(const struct wr_domain *domain)
{
    struct wr_domain *d = (struct wr_domain *)(uintptr_t)domain;
    size_t storage = LOAD(d->storage);
    return LOAD(d->big_pages) + (storage <= PTRDIFF_MAX ? storage >> WR_PAGE_SHIFT : 0);
}

static size_t pages_of(const struct wr_domain *domain) { return domain->owner.pages + pages_elsewhere(domain); }

/** The least that they have been since the last pass; of those elsewhere, at the looks since. */
static size_t low_of(const struct wr_domain *domain) { return domain->owner.low + domain->gc.low_elsewhere; }

/** Growth, in pages, that a pass of the generation waits for; SIZE_MAX: none comes. */
static size_t due_at(const struct wr_domain *domain, int generation)
{
    const struct wr_gc *gc = &domain->gc;
    size_t young = LOAD(settings.young), percent = LOAD(settings.percent), growth;
    if (LOAD(settings.disabled) || (generation == WEIR_GC_YOUNG ? young : percent) == 0)
        return SIZE_MAX;
    if (generation == WEIR_GC_YOUNG)
        growth = wr_max(young >> WR_PAGE_SHIFT, low_of(domain) / YOUNG_SHARE);
    else
        growth = wr_max(FULL_LEAST >> WR_PAGE_SHIFT, gc->full_pages * percent / 100);
    return wr_max(growth, 1) * gc->patience[generation];
}

/** Sets when weir_new() is to look again. */
static void set_step(struct wr_domain *domain)
{
    struct wr_gc *gc = &domain->gc;
    size_t pages = pages_of(domain), grown = pages > gc->full_pages ? pages - gc->full_pages : 0;
    size_t young = due_at(domain, WEIR_GC_YOUNG), full = due_at(domain, WEIR_GC_FULL);
    domain->owner.low = domain->owner.pages;
    gc->low_elsewhere = pages_elsewhere(domain);
    gc->step = wr_min(young, full == SIZE_MAX ? full : full > grown ? full - grown : 0);
}

static void judge(struct wr_gc *gc, int generation, uint64_t visited, long collected)
{
    bool paid = (uint64_t)collected * 8 >= visited;
    gc->patience[generation] = paid ? 1 : (unsigned)wr_min(gc->patience[generation] * 2, PATIENCE_MOST);
}

static void keep_books(const struct pass *pass, struct weir_gc_info *info, uint64_t start_ns)
{
    struct wr_gc *gc = &pass->domain->gc;
    struct weir_gc_stats *stats = &gc->stats;
    uint64_t ns = wr_os_now_ns() - start_ns, visited = pass->trace->visited;
    info->collected = pass->dead - pass->revived - pass->kept;
    info->uncollectable = pass->kept;
    info->time_ns = ns;
    *(info->generation == WEIR_GC_FULL ? &stats->full : &stats->young) += 1;
    stats->visited += visited;
    stats->collected += (uint64_t)info->collected;
    stats->revived += (uint64_t)pass->revived;
    stats->uncollectable += (uint64_t)pass->kept;
    stats->time_ns += ns;
    stats->longest_ns = wr_max(stats->longest_ns, ns);
    stats->last_ns = ns;
    stats->last_visited = visited;
    stats->last_collected = (uint64_t)info->collected;
    if (visited >= 1000)
        gc->ns_per_object = (unsigned)((gc->ns_per_object * 3 + wr_min(ns / visited, 1000) + 3) / 4);
    if ((pass->debug & WEIR_GC_DEBUG_STATS) != 0)
        wr_message("gc: %s pass%s: %lu objects looked at, %ld collected, %ld revived, %ld uncollectable, %lu.%03lu ms",
                   info->generation == WEIR_GC_FULL ? "full" : "young", info->polled ? " (polled)" : "",
                   (unsigned long)visited, info->collected, pass->revived, info->uncollectable,
                   (unsigned long)(ns / 1000000), (unsigned long)(ns / 1000 % 1000));
}

/* Young pages are polled in rounds, of several passes if need be. A pool that still receives objects stays young, so
 * within a round it is passed over once it has been looked at; what it receives later is left to the next round, which
 * comes when one of them is full. */

static void begin_round(struct wr_domain *domain)
{
    struct wr_gc *gc = &domain->gc;
    if (gc->in_round)
        return;
    gc->in_round = true;
    gc->round++;
    gc->round_refills = domain->owner.refills;
}

/** All pages that were young at `refills` have been looked at. */
static void end_round(struct wr_gc *gc, size_t refills)
{
    gc->in_round = false;
    gc->refills = refills;
}

/** The dead among what is wanted are found and buried. pre: not running. */
static long run(struct wr_domain *domain, const struct wr_trace_want *want, bool polled)
{
    struct wr_gc *gc = &domain->gc;
    struct weir_gc_info info = {.generation = want->generation, .polled = polled};
    struct pass pass = {.domain = domain, .debug = LOAD(settings.debug)};
    long result = -ENOMEM;
    gc->running = true;
    tell(WEIR_GC_START, &info);
    wr_gc_drop_search(domain);
    uint64_t start_ns = wr_os_now_ns();
    size_t refills = domain->owner.refills;
    struct wr_trace *trace = pass.trace = wr_trace_begin(want);
    if (trace != NULL) {
        gc->trace = trace;
        wr_trace_count_all(trace);
        if (!trace->failed) {
            pass.kept += wr_trace_compare(trace, 1, trace->lines);
            pass.dead += pass.kept;
            wr_trace_mark_all(trace);
            wr_trace_list_white(trace, 1, trace->lines);
            grow_up(trace, gc->round);
            if (!trace->partial)
                end_round(gc, polled ? gc->round_refills : refills);
            result = bury(&pass);
        }
        if (result == 0) {
            keep_books(&pass, &info, start_ns);
            judge(gc, want->generation, trace->visited, info.collected);
            result = info.collected + info.uncollectable;
        }
        gc->trace = NULL;
        wr_trace_end(trace);
    }
    if (want->generation == WEIR_GC_FULL)
        gc->full_pages = pages_of(domain);
    gc->since_full = want->generation == WEIR_GC_FULL ? 0 : gc->since_full + 1;
    set_step(domain);
    tell(WEIR_GC_STOP, &info);
    gc->running = false;
    return result;
}

/** What an exited thread has left of its own belongs to a thread that knows of it. A pass that nobody has asked for may
 *  run in any, and takes it only where no other thread can be meant. */
static long collect(struct wr_domain *domain, int generation, bool asked)
{
    struct wr_trace_want want = {.domain = domain, .generation = generation, .most = SIZE_MAX};
    if (generation == WEIR_GC_FULL && wr_domain_has_left())
        wr_domain_adopt(domain, asked || wr_helper_others() == 1);
    wr_domain_tidy(domain, false);
    return run(domain, &want, false);
}

/** pre: not running. */
static long collect_and_trim(struct wr_domain *domain, bool asked)
{
    long found = collect(domain, WEIR_GC_FULL, asked);
    wr_domain_tidy(domain, true);
    weir_trim(0);
    return found;
}

long weir_gc_collect(int generation)
{
    if (generation != WEIR_GC_YOUNG && generation != WEIR_GC_FULL)
        return -EINVAL;
    if (wr_thread.domain == &wr_domain_none && !wr_domain_has_left())
        return 0;
    struct wr_domain *domain = wr_domain_get();
    if (domain == NULL)
        return -ENOMEM;
    if (domain->gc.running)
        return -EBUSY;
    return generation == WEIR_GC_FULL ? collect_and_trim(domain, true) : collect(domain, generation, true);
}

long wr_gc_when_short(struct wr_domain *domain)
{
    return domain->gc.running ? -EBUSY : collect_and_trim(domain, false);
}

void wr_gc_before_new(struct wr_domain *domain)
{
    struct wr_gc *gc = &domain->gc;
    gc->low_elsewhere = wr_min(gc->low_elsewhere, pages_elsewhere(domain));
    size_t pages = pages_of(domain), low = low_of(domain);
    if (wr_unlikely(wr_gc_is_stressed()) && !gc->running && weir_gc_is_enabled()) {
        collect(domain, WEIR_GC_FULL, false);
        return;
    }
    if (wr_likely(pages < low + gc->step) || gc->running)
        return;
    gc->full_pages = wr_min(gc->full_pages, low);
    size_t full = due_at(domain, WEIR_GC_FULL), young = due_at(domain, WEIR_GC_YOUNG);
    if (full != SIZE_MAX && pages - gc->full_pages >= full)
        collect(domain, WEIR_GC_FULL, false);
    else if (young != SIZE_MAX && pages - low >= young)
        collect(domain, WEIR_GC_YOUNG, false);
    else
        gc->step = wr_min(young, full);
}

void wr_gc_at_exit(struct wr_domain *domain)
{
    struct wr_trace_want want = {.domain = domain, .generation = WEIR_GC_FULL, .most = SIZE_MAX};
    if (!domain->gc.running && pages_of(domain) > 0)
        run(domain, &want, false);
    wr_gc_drop_search(domain);
}

/* ---- shared objects ---------------------------------------------------------------------------------------------- */

static void set_trace(struct wr_domain *domain, void *trace)
{
    if (trace != NULL)
        wr_gc_drop_search(domain);
    domain->gc.trace = trace;
}

static void drain(struct wr_domain *domain, void *arg WR_UNUSED)
{
    if (LOAD(domain->status) != WR_DOMAIN_LOST)
        wr_owner_drain(&domain->owner);
}

long weir_gc_collect_shared(void)
{
    struct wr_domain *domain = wr_domain_get();
    struct wr_trace_want want = {.generation = WEIR_GC_FULL, .shared = true, .frozen = true, .most = SIZE_MAX};
    struct pass pass = {.domain = domain, .debug = LOAD(settings.debug)};
    struct weir_gc_info info = {.generation = WEIR_GC_FULL};
    long result = -ENOMEM;
    if (domain == NULL)
        return -ENOMEM;
    if (domain->gc.running)
        return -EBUSY;
    domain->gc.running = true;
    tell(WEIR_GC_START, &info);
    wr_domain_each(drain, NULL);
    uint64_t start_ns = wr_os_now_ns();
    wr_domain_each(set_trace, NULL);
    wr_gc_drop_search(domain);
    struct wr_trace *trace = pass.trace = wr_trace_begin(&want);
    if (trace != NULL) {
        wr_domain_each(set_trace, trace);
        wr_trace_count_all(trace);
        if (!trace->failed) {
            pass.kept += wr_trace_compare(trace, 1, trace->lines);
            pass.dead += pass.kept;
            wr_trace_mark_all(trace);
            wr_trace_list_white(trace, 1, trace->lines);
            result = bury(&pass);
        }
        if (result == 0) {
            keep_books(&pass, &info, start_ns);
            result = info.collected + info.uncollectable;
        }
        wr_domain_each(set_trace, NULL);
        wr_trace_end(trace);
    }
    wr_domain_each(drain, NULL);
    tell(WEIR_GC_STOP, &info);
    domain->gc.running = false;
    weir_trim(0);
    return result;
}

/* ---- polling ----------------------------------------------------------------------------------------------------- */

enum {
    PIECE = 64,             /* lines, or an eighth of the objects in grey lines, between looks at the clock */
    PROOF_SHARE = 2,        /* to prove and release an object takes as long as passes take for so many */
    UNKNOWN_NS = 100,       /* taken for that before there has been one */
    SEARCH_AGAIN_MS = 1000, /* a search begins so long after the last where no page has been taken since */
};

/** Objects that a budget is good for. */
static size_t affordable(const struct wr_gc *gc, uint64_t ns)
{
    return (size_t)(ns / (gc->ns_per_object > 0 ? gc->ns_per_object : UNKNOWN_NS));
}

static bool young_is_due(const struct wr_domain *domain) { return domain->gc.refills != domain->owner.refills; }

/** Passes over some young pools at a time, at least one; 1 if the time was up before all were done. */
static long poll_young(struct wr_domain *domain, uint64_t end_ns)
{
    struct wr_gc *gc = &domain->gc;
    for (uint64_t now = wr_os_now_ns(); young_is_due(domain);) {
        begin_round(domain);
        size_t most = wr_max(affordable(gc, end_ns > now ? (end_ns - now) / 2 : 0) / 128, 1);
        struct wr_trace_want want = {
            .domain = domain, .generation = WEIR_GC_YOUNG, .most = most, .round = gc->round};
        long result = run(domain, &want, true);
        if (result < 0)
            return result;
        now = wr_os_now_ns();
        if (now >= end_ns && young_is_due(domain))
            return 1;
    }
    return 0;
}

static bool search_is_due(const struct wr_domain *domain)
{
    const struct wr_gc *gc = &domain->gc;
    return pages_of(domain) > 0 &&
           (gc->search_refills != domain->owner.refills || wr_os_now_ms() - gc->search_ms >= SEARCH_AGAIN_MS);
}

/** One piece of the search for candidates. */
static void search_on(struct wr_trace *trace)
{
    uint32_t to = (uint32_t)wr_min(trace->cursor + PIECE, trace->lines);
    switch (trace->search) {
    case WR_SEARCH_COUNT:
        wr_trace_count(trace, trace->cursor, to);
        break;
    case WR_SEARCH_COMPARE:
        wr_trace_guess(trace, trace->cursor, to);
        break;
    case WR_SEARCH_LIST:
        wr_trace_list_white(trace, trace->cursor, to);
        break;
    default:
        trace->search += !wr_trace_mark(trace, PIECE * 8);
        return;
    }
    trace->cursor = to;
    if (to == trace->lines) {
        trace->cursor = 1;
        trace->search++;
    }
}

/** What the search has left white is asked about again, at one go, and what is dead is buried. */
static long prove(struct wr_domain *domain, struct wr_trace *trace)
{
    struct weir_gc_info info = {.generation = WEIR_GC_FULL, .polled = true};
    struct pass pass = {.domain = domain, .trace = trace, .debug = LOAD(settings.debug)};
    long result = 0;
    tell(WEIR_GC_START, &info);
    uint64_t start_ns = wr_os_now_ns();
    wr_trace_recount(trace);
    if (trace->failed) {
        result = -ENOMEM;
    } else {
        pass.kept = wr_trace_compare_again(trace, 0);
        pass.dead = pass.kept;
        while (wr_trace_mark(trace, SIZE_MAX))
            continue;
        result = bury(&pass);
    }
    if (result == 0)
        keep_books(&pass, &info, start_ns);
    tell(WEIR_GC_STOP, &info);
    return result;
}

static long poll_search(struct wr_domain *domain, uint64_t end_ns, uint64_t budget_ns)
{
    struct wr_gc *gc = &domain->gc;
    struct wr_trace_want want = {.domain = domain, .generation = WEIR_GC_FULL, .most = SIZE_MAX};
    long result = 0;
    if (gc->trace == NULL) {
        if (!search_is_due(domain))
            return 0;
        gc->trace = wr_trace_begin(&want);
        if (gc->trace == NULL)
            return -ENOMEM;
        gc->trace->cursor = 1;
        gc->search_refills = domain->owner.refills;
    }
    bool waited = gc->trace->search == WR_SEARCH_DONE;
    while (gc->trace->search != WR_SEARCH_DONE && !gc->trace->failed) {
        search_on(gc->trace); /* first, so that the search gets on however little time there is */
        if (gc->trace->search != WR_SEARCH_DONE && !gc->trace->failed && wr_os_now_ns() >= end_ns)
            return 1;
    }
    size_t white = gc->trace->whites;
    uint64_t now_ns = wr_os_now_ns();
    if (gc->trace->failed)
        result = -ENOMEM;
    else if (white > affordable(gc, budget_ns) / PROOF_SHARE)
        gc->step = 0;
    else if (!waited && white > affordable(gc, end_ns > now_ns ? end_ns - now_ns : 0) / PROOF_SHARE)
        return 1; /* the next call has time for it */
    else if (white > 0)
        result = prove(domain, gc->trace);
    wr_gc_drop_search(domain);
    gc->search_ms = wr_os_now_ms();
    return result;
}

int weir_gc_poll(uint64_t budget_ns)
{
    struct wr_domain *domain = wr_thread.domain;
    struct wr_gc *gc = &domain->gc;
    uint64_t start_ns = wr_os_now_ns(), end_ns = start_ns + wr_min(budget_ns, UINT64_MAX - start_ns);
    if (domain == &wr_domain_none)
        return 0;
    if (gc->running)
        return -EBUSY;
    wr_domain_tidy(domain, false);
    gc->stats.polls += gc->trace != NULL || young_is_due(domain) || search_is_due(domain);
    long result = gc->trace == NULL ? poll_young(domain, end_ns) : 0;
    if (result == 0) {
        gc->running = true;
        result = poll_search(domain, end_ns, budget_ns);
        gc->running = false;
    }
    gc->stats.longest_ns = wr_max(gc->stats.longest_ns, wr_os_now_ns() - start_ns);
    return (int)result;
}

/* ---- settings, figures ------------------------------------------------------------------------------------------- */

void weir_gc_set_threshold(const struct weir_gc_threshold *threshold)
{
    STORE(settings.young, threshold->young);
    STORE(settings.percent, threshold->percent);
    wr_thread.domain->gc.step = 0; /* others find out at their next look */
}

void weir_gc_get_threshold(struct weir_gc_threshold *out)
{
    *out = (struct weir_gc_threshold){.young = LOAD(settings.young), .percent = LOAD(settings.percent)};
}

static size_t to_bytes(size_t pages) { return pages > SIZE_MAX >> WR_PAGE_SHIFT ? SIZE_MAX : pages << WR_PAGE_SHIFT; }

void weir_gc_get_count(struct weir_gc_count *out)
{
    const struct wr_domain *domain = wr_thread.domain;
    const struct wr_gc *gc = &domain->gc;
    size_t pages = pages_of(domain), low = wr_min(low_of(domain), pages), full = wr_min(gc->full_pages, low);
    *out = (struct weir_gc_count){.young = to_bytes(pages - low), .full = to_bytes(pages - full)};
    if (domain == &wr_domain_none)
        return;
    out->young_due = to_bytes(due_at(domain, WEIR_GC_YOUNG));
    out->full_due = to_bytes(due_at(domain, WEIR_GC_FULL));
    out->passes = gc->since_full;
}
