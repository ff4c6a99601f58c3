/* SPDX-License-Identifier: MIT
 * Looking at objects: walks, referrers, figures, graphs, what has leaked. Nothing here changes an object.
 * Walks gather the thread's pools first (trace.h), then go without a lock; what is released meanwhile is buried when
 * the walk ends, so no pool goes while it is being walked. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/option.h"
#include "base/text.h"
#include "object/trace.h"

/* ---- walks ------------------------------------------------------------------------------------------------------- */

/** A walk under way: passes are held off, the dead wait. */
struct walk {
    struct wr_domain *domain;
    struct wr_trace *trace;
    struct wr_burial burial, *outer;
};

/** @return 0, -EBUSY, -ENOMEM. */
static int begin(struct walk *walk, struct wr_trace_want want)
{
    walk->domain = want.domain = wr_domain_get();
    want.most = SIZE_MAX;
    if (walk->domain == NULL)
        return -ENOMEM;
    if (walk->domain->gc.running)
        return -EBUSY;
    wr_domain_tidy(walk->domain, false);
    wr_gc_drop_search(walk->domain);
    walk->trace = wr_trace_begin(&want);
    if (walk->trace == NULL)
        return -ENOMEM;
    walk->domain->gc.trace = walk->trace;
    walk->domain->gc.running = true;
    walk->outer = wr_burial_begin(&walk->burial);
    return 0;
}

static void end(struct walk *walk)
{
    wr_burial_end(walk->outer);
    walk->domain->gc.running = false;
    wr_gc_drop_search(walk->domain);
}

static uint32_t places(const struct wr_trace *trace) { return trace->lines << WR_LINE_SHIFT; }

/** The object at a place, if it is alive and not shared; immortal ones if `immortal`. */
static void *alive_at(const struct wr_trace *trace, uint32_t place, bool immortal)
{
    if ((place & (WR_LINE - 1)) >= trace->line[place >> WR_LINE_SHIFT].objects)
        return NULL;
    void *object = wr_trace_object(trace, place);
    if (object == NULL)
        return NULL;
    const struct wr_header *header = wr_header_of(object);
    return wr_count_own(header) > 0 || (immortal && wr_count_sort(wr_count(header)) == WR_SORT_IMMORTAL) ? object
                                                                                                         : NULL;
}

int weir_gc_each(int generation, weir_gc_each_fn fn, void *arg)
{
    struct walk walk;
    if (generation < WEIR_GC_YOUNG || generation > WEIR_GC_OLD)
        return -EINVAL;
    int result = begin(&walk, (struct wr_trace_want){.generation = generation});
    if (result != 0)
        return result;
    /* Which are there is written down first: those that fn makes are not visited. */
    for (uint32_t p = WR_LINE; p < places(walk.trace); p++)
        walk.trace->own[p] = alive_at(walk.trace, p, false) != NULL;
    for (uint32_t p = WR_LINE; p < places(walk.trace) && result == 0; p++) {
        void *object = walk.trace->own[p] != 0 ? alive_at(walk.trace, p, false) : NULL;
        if (object != NULL)
            result = fn(object, arg);
    }
    end(&walk);
    return result;
}

struct search {
    const void *object;
    uint64_t found;
};

static void compare(void *object, void *arg)
{
    struct search *search = arg;
    search->found += object == search->object;
}

/** How many references of an object are to another. */
static uint64_t refers(void *from, const struct weir_type *type, const void *to)
{
    struct search search = {to, 0};
    wr_object_visit(from, type, compare, &search);
    return search.found;
}

int weir_gc_referrers(const void *object, weir_gc_each_fn fn, void *arg)
{
    struct walk walk;
    int result = begin(&walk, (struct wr_trace_want){.generation = WEIR_GC_FULL, .all_types = true, .frozen = true});
    if (result != 0)
        return result;
    for (uint32_t p = WR_LINE; p < places(walk.trace) && result == 0; p++) {
        void *from = alive_at(walk.trace, p, true);
        if (from != NULL && refers(from, wr_trace_type(walk.trace, p), object) > 0)
            result = fn(from, arg);
    }
    end(&walk);
    return result;
}

/** References of one object. */
struct referents {
    void **list; /* NULL: only counted */
    size_t count;
};

static void note_referent(void *object, void *arg)
{
    struct referents *referents = arg;
    if (object == NULL)
        return;
    if (referents->list != NULL)
        referents->list[referents->count] = object;
    referents->count++;
}

/** Whether an object lives that did when the walk began: what has died since is yet to be buried. */
static bool still_lives(const void *object)
{
    enum wr_sort sort = wr_count_sort(wr_count(wr_header_of(object)));
    return sort != WR_SORT_PENDING && sort != WR_SORT_NONE;
}

/** Calls fn for those of the list. As in other walks passes are held off meanwhile, and the dead wait. */
static int each_of(const struct referents *referents, weir_gc_each_fn fn, void *arg)
{
    struct wr_domain *domain = wr_domain_get(); /* NULL: no pass starts, since no object can be made */
    bool was_running = domain != NULL && domain->gc.running;
    struct wr_burial burial, *outer = wr_burial_begin(&burial);
    int result = 0;
    if (domain != NULL)
        domain->gc.running = true;
    for (size_t i = 0; i < referents->count && result == 0; i++)
        if (still_lives(referents->list[i]))
            result = fn(referents->list[i], arg);
    if (domain != NULL)
        domain->gc.running = was_running;
    wr_burial_end(outer);
    return result;
}

int weir_gc_referents(const void *object, weir_gc_each_fn fn, void *arg)
{
    enum { FEW = 64 };
    void *few[FEW], *from = (void *)(uintptr_t)object;
    const struct weir_type *type = weir_typeof(object);
    struct referents referents = {NULL, 0};
    wr_object_visit(from, type, note_referent, &referents);
    /* They are written down first: fn may change what they are found in. */
    referents.list = referents.count <= FEW ? few : weir_reallocarray(NULL, referents.count, sizeof(void *));
    if (referents.list == NULL)
        return -ENOMEM;
    referents.count = 0;
    wr_object_visit(from, type, note_referent, &referents);
    int result = each_of(&referents, fn, arg);
    if (referents.list != few)
        weir_free(referents.list);
    return result;
}

bool weir_gc_is_tracked(const void *object)
{
    struct wr_place place;
    if (!wr_place_find(object, &place) || (wr_place_type(place)->flags & WEIR_ACYCLIC) != 0 ||
        wr_count_own(wr_header_of(object)) == 0 || wr_place_domain(place) != wr_thread.domain)
        return false;
    return place.pool != NULL ? (wr_typed_span(place.pool)->frozen & wr_typed_bit(place.pool)) == 0
                              : !place.big->frozen;
}

bool weir_gc_is_finalized(const void *object) { return (wr_state(wr_header_of(object)) & WR_STATE_FINALIZED) != 0; }

/* ---- freezing, figures ------------------------------------------------------------------------------------------- */

static void freeze_big(struct wr_big *big, void *frozen) { big->frozen = *(bool *)frozen; }

static void freeze(bool frozen)
{
    struct wr_domain *domain = wr_thread.domain;
    if (domain == &wr_domain_none)
        return;
    wr_domain_tidy(domain, false);
    domain->frozen = frozen;
    for (unsigned b = 0; b < WR_BUCKETS; b++)
        for (struct wr_kind *kind = domain->bucket[b]; kind != &wr_kind_none; kind = kind->next)
            wr_kind_freeze(kind, frozen);
    wr_big_each(domain, freeze_big, &frozen);
}

void weir_gc_freeze(void) { freeze(true); }
void weir_gc_unfreeze(void) { freeze(false); }

static void count_pool(struct wr_typed *pool, struct wr_span *span, void *arg)
{
    struct weir_gc_stats *stats = arg;
    unsigned remote = atomic_load_explicit(&pool->remote, memory_order_relaxed) >> 16, live = pool->live - remote;
    stats->objects += live;
    stats->bytes += (uint64_t)live * pool->kind->size;
    stats->pages += WR_PAGE_SIZE;
    stats->frozen += (span->frozen & wr_typed_bit(pool)) != 0 ? live : 0;
}

static void count_big(struct wr_big *big, void *arg)
{
    struct weir_gc_stats *stats = arg;
    stats->objects++;
    stats->bytes += big->size + 2 * sizeof(struct wr_header);
    stats->pages += wr_round_up(big->size + 2 * sizeof(struct wr_header), WR_PAGE_SIZE);
    stats->frozen += big->frozen;
}

void weir_gc_get_stats(struct weir_gc_stats *out)
{
    struct wr_domain *domain = wr_thread.domain;
    *out = domain->gc.stats;
    for (unsigned b = 0; b < WR_BUCKETS; b++)
        for (struct wr_kind *kind = domain->bucket[b]; kind != &wr_kind_none; kind = kind->next)
            wr_kind_each(kind, count_pool, out);
    wr_big_each(domain, count_big, out);
}

size_t weir_gc_freeze_count(void)
{
    struct weir_gc_stats stats;
    weir_gc_get_stats(&stats);
    return stats.frozen;
}

/* ---- lines to a file descriptor ---------------------------------------------------------------------------------- */

/** Text on its way to a descriptor; `failed` is the errno of the first write that did. */
struct out {
    int fd, failed;
    size_t length;
    char buf[4096];
};

static void flush(struct out *out)
{
    if (out->failed == 0)
        out->failed = wr_text_write(&(struct wr_text){.buf = out->buf, .len = out->length}, out->fd);
    out->length = 0;
}

static void WR_PRINTF(2, 3) put(struct out *out, const char *format, ...)
{
    char line[512];
    struct wr_text text = WR_TEXT(line);
    va_list args;
    va_start(args, format);
    wr_text_vadd(&text, format, args);
    va_end(args);
    if (out->length + text.len > sizeof out->buf)
        flush(out);
    memcpy(out->buf + out->length, line, text.len);
    out->length += text.len;
}

/* ---- the graph --------------------------------------------------------------------------------------------------- */

/** What is written of it: `found` has the references found, then `own` tells which nodes have been written. The object
 *  that a path is asked for may be shared, and lie in another thread's pages: then it has a place behind all others. */
struct graph {
    struct wr_trace *trace;
    struct out *out;
    uint32_t *from; /* by place: what the search came from; 0: not reached, itself: a root. Then: NODE or LEFT_OUT */
    uint32_t *queue, head, tail;
    const void *source;
    void *target;    /* NULL: all are asked for */
    uint32_t goal;   /* its place */
    uint64_t others; /* references to the target, if it is shared, that are not from objects of the thread's own */
    size_t most, chosen, left;
    long nodes;
};

enum { NODE = 1, LEFT_OUT };

/** The object at a place, NULL if it is none of the graph's. */
static void *object_at(const struct graph *graph, uint32_t place)
{
    return place == graph->goal && place != 0 ? graph->target : alive_at(graph->trace, place, true);
}

static uint32_t place_in(const struct graph *graph, const void *object)
{
    return object == graph->target ? graph->goal : wr_trace_place(graph->trace, object);
}

static const struct weir_type *type_at(const struct graph *graph, uint32_t place, const void *object)
{
    return place == graph->goal ? weir_typeof(object) : wr_trace_type(graph->trace, place);
}

/** The first place behind all that there are. */
static uint32_t end_of(const struct graph *graph) { return wr_max(places(graph->trace), graph->goal + 1); }

/** References to the object at `place` that are not from objects. */
static uint64_t outside(const struct graph *graph, uint32_t place, void *object)
{
    if (weir_is_shared(object))
        return graph->others;
    if (weir_is_immortal(object))
        return 0;
    uint64_t found = wr_trace_found(graph->trace, place), count = wr_count_own(wr_header_of(object));
    return count > found ? count - found : 0;
}

static void put_node(struct graph *graph, uint32_t place, void *object)
{
    char name[128];
    struct wr_text text = WR_TEXT(name);
    wr_text_add_json(&text, type_at(graph, place, object)->name);
    graph->nodes++;
    if (weir_is_immortal(object)) {
        put(graph->out, "  \"%p\" [label=\"%s\\n%p\\nimmortal\", style=bold];\n", object, name, object);
        return;
    }
    const char *shared = weir_is_shared(object) ? ", shared" : "";
    uint64_t held = outside(graph, place, object);
    if (held > 0)
        put(graph->out, "  \"%p\" [label=\"%s\\n%p\\n%zu references, %lu from outside%s\", style=bold];\n", object,
            name, object, weir_refcount(object), (unsigned long)held, shared);
    else
        put(graph->out, "  \"%p\" [label=\"%s\\n%p\\n%zu references%s\"];\n", object, name, object,
            weir_refcount(object), shared);
}

/** An edge, if both ends are nodes. */
static void put_edge(void *object, void *arg)
{
    struct graph *graph = arg;
    uint32_t place = place_in(graph, object);
    if (place != 0 && graph->from[place] == NODE)
        put(graph->out, "  \"%p\" -> \"%p\";\n", graph->source, object);
}

/** Makes an object a node, if there may be one more. */
static void choose(struct graph *graph, uint32_t place)
{
    if (graph->from[place] != 0)
        return;
    bool fits = graph->chosen < graph->most;
    graph->from[place] = fits ? NODE : LEFT_OUT;
    graph->chosen += fits;
    graph->left += !fits;
}

static void put_chosen(struct graph *graph)
{
    for (uint32_t p = WR_LINE; p < end_of(graph); p++) {
        void *object = graph->from[p] == NODE ? object_at(graph, p) : NULL;
        if (object == NULL)
            continue;
        put_node(graph, p, object);
        if (object == graph->target)
            put(graph->out, "  \"%p\" [color=red];\n", object);
    }
    for (uint32_t p = WR_LINE; p < end_of(graph); p++) {
        void *object = graph->from[p] == NODE ? object_at(graph, p) : NULL;
        graph->source = object;
        if (object != NULL)
            wr_object_visit(object, type_at(graph, p, object), put_edge, graph);
    }
    if (graph->left > 0)
        put(graph->out, "  note [shape=note, label=\"%zu more objects are left out\"];\n", graph->left);
}

static void choose_all(struct graph *graph)
{
    for (uint32_t p = WR_LINE; p < places(graph->trace); p++)
        if (object_at(graph, p) != NULL)
            choose(graph, p);
}

static void reach(void *object, void *arg)
{
    struct graph *graph = arg;
    uint32_t place = place_in(graph, object);
    if (place == 0 || graph->from[place] != 0)
        return;
    graph->from[place] = place_in(graph, graph->source);
    graph->queue[graph->tail++] = place;
}

/** Finds the shortest path to the target from an object that is held from outside. */
static void search_path(struct graph *graph)
{
    for (uint32_t p = WR_LINE; p < end_of(graph); p++) {
        void *object = object_at(graph, p);
        if (object == NULL || (outside(graph, p, object) == 0 && !weir_is_immortal(object)))
            continue;
        graph->from[p] = p;
        graph->queue[graph->tail++] = p;
    }
    while (graph->head < graph->tail && graph->from[graph->goal] == 0) {
        uint32_t p = graph->queue[graph->head++];
        void *object = object_at(graph, p);
        graph->source = object;
        if (object != NULL)
            wr_object_visit(object, type_at(graph, p, object), reach, graph);
    }
}

/** Follows it back before places are chosen as nodes, which takes the same words. */
static void choose_path(struct graph *graph)
{
    uint32_t length = 0;
    if (graph->from[graph->goal] == 0)
        put(graph->out, "  note [shape=note, label=\"nothing outside the objects holds this: it is garbage\"];\n");
    for (uint32_t p = graph->goal; graph->from[graph->goal] != 0; p = graph->from[p]) {
        graph->queue[length++] = p;
        if (graph->from[p] == p)
            break;
    }
    memset(graph->from, 0, end_of(graph) * sizeof *graph->from);
    choose(graph, graph->goal);
    for (uint32_t i = 0; i < length; i++)
        choose(graph, graph->queue[i]);
}

static void choose_referrers(struct graph *graph)
{
    for (uint32_t p = WR_LINE; p < places(graph->trace); p++) {
        void *object = object_at(graph, p);
        if (object != NULL && refers(object, type_at(graph, p, object), graph->target) > 0)
            choose(graph, p);
    }
}

/** How many references a shared object has from elsewhere than the thread's own objects. */
static uint64_t count_others(const struct graph *graph, const void *shared)
{
    uint64_t found = 0, count = weir_refcount(shared);
    for (uint32_t p = WR_LINE; p < places(graph->trace); p++) {
        void *object = alive_at(graph->trace, p, false);
        if (object != NULL)
            found += refers(object, wr_trace_type(graph->trace, p), shared);
    }
    return count > found ? count - found : 0;
}

/** The graph of all, or of what keeps an object: nothing, if that is another thread's own. */
static void put_graph(struct graph *graph, const void *object)
{
    bool common = object != NULL && (weir_is_shared(object) || weir_is_immortal(object));
    uint32_t place = object != NULL ? wr_trace_place(graph->trace, object) : 0;
    if (object == NULL) {
        choose_all(graph);
    } else if (place != 0 || common) {
        graph->others = weir_is_shared(object) ? count_others(graph, object) : 0;
        graph->target = (void *)(uintptr_t)object;
        graph->goal = place != 0 ? place : places(graph->trace);
        search_path(graph);
        choose_path(graph);
        choose_referrers(graph);
    }
    put_chosen(graph);
}

long weir_gc_dump(int fd, const void *object, size_t most)
{
    struct walk walk;
    struct out out = {.fd = fd};
    struct wr_place place;
    if (object != NULL && !wr_place_find(object, &place))
        return -EINVAL;
    int result = begin(&walk, (struct wr_trace_want){.generation = WEIR_GC_FULL, .all_types = true, .frozen = true});
    if (result != 0)
        return result;
    struct graph graph = {.trace = walk.trace, .out = &out, .most = most != 0 ? most : 1000};
    graph.from = weir_calloc(places(walk.trace) + 1, sizeof *graph.from);
    graph.queue = weir_calloc(places(walk.trace) + 1, sizeof *graph.queue);
    wr_trace_count(walk.trace, 1, walk.trace->lines);
    if (graph.from != NULL && graph.queue != NULL && !walk.trace->failed) {
        put(&out, "digraph weir {\n  node [shape=box, fontname=monospace];\n");
        put_graph(&graph, object);
        put(&out, "}\n");
        flush(&out);
    } else {
        out.failed = ENOMEM;
    }
    weir_free(graph.from);
    weir_free(graph.queue);
    end(&walk);
    return out.failed != 0 ? -out.failed : graph.nodes;
}

/* ---- leaks ------------------------------------------------------------------------------------------------------- */

/** What is alive of a type, or what a line of the source has made. */
struct row {
    const struct weir_type *type;
    const char *file;
    int line;
    uint64_t objects, bytes;
};

struct census {
    struct row *row; /* from weir_malloc() */
    size_t rows, room;
    uint64_t immortal, missed; /* objects; those for whose row there was no memory */
};

static struct row *row_of(struct census *census, const struct weir_type *type, const char *file, int line)
{
    for (size_t i = 0; i < census->rows; i++)
        if (census->row[i].type == type && census->row[i].file == file && census->row[i].line == line)
            return &census->row[i];
    if (census->rows == census->room) {
        size_t room = wr_max(census->room * 2, 64);
        struct row *row = weir_reallocarray(census->row, room, sizeof *row);
        if (row == NULL)
            return NULL;
        census->row = row;
        census->room = room;
    }
    census->row[census->rows] = (struct row){.type = type, .file = file, .line = line};
    return &census->row[census->rows++];
}

static void add(struct census *census, const struct row *what)
{
    struct row *row = what->objects > 0 ? row_of(census, what->type, what->file, what->line) : NULL;
    if (row == NULL) {
        census->missed += what->objects;
        return;
    }
    row->objects += what->objects;
    row->bytes += what->bytes;
}

struct tally {
    struct row row;
    uint64_t immortal;
};

/** Counts an object that may be another thread's: what is read is a guess. */
static WR_RACY void tally(struct tally *tally, const struct wr_header *header, size_t size)
{
    enum wr_sort sort = wr_count_sort(wr_count(header));
    bool alive = sort == WR_SORT_OWN || sort == WR_SORT_SHARED;
    tally->row.objects += alive;
    tally->row.bytes += alive ? size : 0;
    tally->immortal += sort == WR_SORT_IMMORTAL;
}

static void tally_pool(struct wr_typed *pool, struct wr_span *span WR_UNUSED, void *arg)
{
    for (unsigned i = 0; i < pool->kind->blocks; i++)
        tally(arg, wr_typed_at(pool, i), pool->kind->size);
}

/** Large objects of one type: the first behind `after`, by address. Nothing can be allocated while they are walked, so
 *  there is a walk for each type. */
struct big_tally {
    uintptr_t after;
    struct tally tally;
};

static void tally_big(struct wr_big *big, void *arg)
{
    struct big_tally *one = arg;
    uintptr_t type = (uintptr_t)big->type, found = (uintptr_t)one->tally.row.type;
    if (type <= one->after || (found != 0 && type > found))
        return;
    if (type != found)
        one->tally = (struct tally){.row = {.type = big->type}};
    tally(&one->tally, wr_header_of(big->object), big->size);
}

static void take_census(struct wr_domain *domain, void *arg)
{
    struct census *census = arg;
    for (unsigned b = 0; b < WR_BUCKETS; b++)
        for (struct wr_kind *kind = domain->bucket[b]; kind != NULL && kind != &wr_kind_none; kind = kind->next) {
            struct tally kinds = {.row = {.type = wr_kind_type(kind)}};
            wr_kind_each(kind, tally_pool, &kinds);
            add(census, &kinds.row);
            census->immortal += kinds.immortal;
        }
    for (struct big_tally bigs = {0};; bigs = (struct big_tally){.after = (uintptr_t)bigs.tally.row.type}) {
        wr_big_each(domain, tally_big, &bigs);
        if (bigs.tally.row.type == NULL)
            break;
        add(census, &bigs.tally.row);
        census->immortal += bigs.tally.immortal;
    }
}

static void add_site(const void *object, const char *file, int line, void *arg)
{
    struct wr_place place;
    if (!wr_place_find(object, &place) || weir_is_immortal(object))
        return;
    size_t size = place.pool != NULL ? place.pool->kind->size : place.big->size;
    add(arg, &(struct row){.type = wr_place_type(place), .file = file, .line = line, .objects = 1, .bytes = size});
}

/** Writes the rows, those with most bytes first. */
static void put_rows(struct out *out, struct census *census)
{
    for (size_t i = 0; i < census->rows; i++) {
        size_t largest = i;
        for (size_t j = i + 1; j < census->rows; j++)
            if (census->row[j].bytes > census->row[largest].bytes)
                largest = j;
        struct row row = census->row[largest];
        census->row[largest] = census->row[i];
        census->row[i] = row;
        if (row.file != NULL)
            put(out, "weir: %12lu %14lu  %s at %s:%d\n", (unsigned long)row.objects, (unsigned long)row.bytes,
                row.type->name, row.file, row.line);
        else
            put(out, "weir: %12lu %14lu  %s\n", (unsigned long)row.objects, (unsigned long)row.bytes, row.type->name);
    }
}

long weir_gc_leaks(int fd)
{
    struct out out = {.fd = fd};
    struct census types = {0}, sites = {0};
    uint64_t objects = 0;
    wr_domain_each(take_census, &types);
    wr_site_each(add_site, &sites);
    for (size_t i = 0; i < types.rows; i++)
        objects += types.row[i].objects;
    objects += types.missed;
    put(&out, "weir: %d: %lu objects are alive, and %lu immortal ones\n", (int)getpid(), (unsigned long)objects,
        (unsigned long)types.immortal);
    if (types.rows > 0)
        put(&out, "weir: %12s %14s  type\n", "objects", "bytes");
    put_rows(&out, &types);
    if (sites.rows > 0)
        put(&out, "weir: %12s %14s  made at\n", "objects", "bytes");
    put_rows(&out, &sites);
    flush(&out);
    weir_free(types.row);
    weir_free(sites.row);
    return out.failed != 0 ? -out.failed : (long)objects;
}

static void note(struct wr_domain *domain WR_UNUSED, void *any) { *(bool *)any = true; }

/** At exit, with WEIR_LEAKS: the last words on what was never released, whichever thread made it. */
static __attribute__((destructor)) void report_leaks(void)
{
    bool any = false;
    if (wr_options.leaks)
        wr_domain_each(note, &any);
    if (!any)
        return;
    weir_gc_collect(WEIR_GC_FULL);
    weir_gc_leaks(STDERR_FILENO);
}
