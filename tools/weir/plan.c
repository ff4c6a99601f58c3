/* SPDX-License-Identifier: MIT
 * From trace to plan. The trace is read three times, so that little of it is ever in memory: to see which blocks change
 * hands, to count what each thread's list takes, and to write the lists. */
#include "plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BUFFER = 2048,        /* words of a thread's list that wait to be written */
    CELLS_RESTING = 4096, /* emptied cells that are left alone, so that nobody waits for one to be emptied */
};

/** Numbers to be used again: the latest first for slots, the oldest first for cells. */
struct pool {
    uint32_t *item;
    size_t first, count, size; /* a ring */
    uint32_t made;
};

struct list {
    uint64_t words, written; /* in all; of them in the file */
    uint64_t start;          /* bytes in the file */
    uint32_t *buffer;        /* BUFFER words; NULL until needed */
    size_t filled;
    struct pool slots;
    uint32_t slot_count; /* as counted */
    uint32_t first_window, window;
    bool seen;
    uint64_t last_call; /* of the trace; where the list ends */
};

struct planner {
    const char *path;
    bool timed, writing;
    int file;
    unsigned char *handed; /* a bit for each block: another thread frees it */
    struct list *list;
    uint32_t threads, windows;
    struct pool cells;
    uint32_t *turn; /* of each cell, the next */
    size_t turns;   /* room for them */
    uint32_t *expected;
    struct plan_sample *sample;
    uint32_t samples;
    uint64_t time; /* of the last wait, microseconds */
    struct trace_sum sum;
};

/* ---- numbers --------------------------------------------------------------------------------------------------- */

static void pool_put(struct pool *p, uint32_t item)
{
    if (p->count == p->size) {
        size_t size = p->size > 0 ? 2 * p->size : 64;
        uint32_t *bigger = tool_need(malloc(size * sizeof *bigger));
        for (size_t i = 0; i < p->count; i++)
            bigger[i] = p->item[(p->first + i) % p->size];
        free(p->item);
        *p = (struct pool){.item = bigger, .count = p->count, .size = size, .made = p->made};
    }
    p->item[(p->first + p->count++) % p->size] = item;
}

static uint32_t take_slot(struct pool *p)
{
    return p->count > 0 ? p->item[(p->first + --p->count) % p->size] : p->made++;
}

static uint32_t take_cell(struct pool *p)
{
    if (p->count <= CELLS_RESTING)
        return p->made++;
    uint32_t cell = p->item[p->first];
    p->first = (p->first + 1) % p->size;
    p->count--;
    return cell;
}

static bool is_handed(const struct planner *p, uint64_t block) { return p->handed[block / 8] >> block % 8 & 1; }

/* ---- the file -------------------------------------------------------------------------------------------------- */

static void write_at(struct planner *p, const void *data, size_t size, uint64_t at)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pwrite(p->file, (const char *)data + done, size - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            tool_die("cannot write the plan of the replay to a temporary file: %s; TMPDIR names another directory",
                     n < 0 ? strerror(errno) : "no space left");
        done += (size_t)n;
    }
}

/** A file without a name, on disk where TMPDIR has room, else in memory. */
static int open_temporary(void)
{
    const char *directory = getenv("TMPDIR");
    int fd = open(directory != NULL && *directory != '\0' ? directory : "/tmp", O_TMPFILE | O_RDWR, 0600);
    if (fd < 0)
        fd = memfd_create("weir-replay", 0);
    if (fd < 0)
        tool_die("cannot make a temporary file for the plan of the replay: %m");
    return fd;
}

static void flush(struct planner *p, struct list *l)
{
    write_at(p, l->buffer, l->filled * sizeof(uint32_t), l->start + l->written * sizeof(uint32_t));
    l->written += l->filled;
    l->filled = 0;
}

static void put(struct planner *p, struct list *l, const uint32_t *word, size_t count)
{
    l->words += count;
    if (!p->writing)
        return;
    if (l->buffer == NULL)
        l->buffer = tool_need(malloc(BUFFER * sizeof *l->buffer));
    if (l->filled + count > BUFFER)
        flush(p, l);
    memcpy(l->buffer + l->filled, word, count * sizeof *word);
    l->filled += count;
}

/* ---- one call -------------------------------------------------------------------------------------------------- */

/** An operation being put together. */
struct operation {
    uint32_t word[PLAN_LONGEST];
    size_t count;
};

static void add(struct operation *o, uint64_t value) { o->word[o->count++] = (uint32_t)value; }

static void add_size(struct operation *o, uint64_t size)
{
    add(o, size);
    if (o->word[0] & PLAN_WIDE)
        add(o, size >> 32);
}

static void add_old(struct planner *p, struct list *l, struct operation *o, const struct trace_call *call)
{
    add(o, call->old_slot);
    if (is_handed(p, call->old)) {
        o->word[0] |= PLAN_FROM_CELL;
        add(o, p->turn[call->old_slot]++);
        pool_put(&p->cells, call->old_slot);
    } else {
        pool_put(&l->slots, call->old_slot);
    }
}

/** @return the place of the new block. */
static uint32_t add_new(struct planner *p, struct list *l, struct operation *o, const struct trace_call *call)
{
    if (!is_handed(p, call->block)) {
        uint32_t slot = take_slot(&l->slots);
        add(o, slot);
        return slot;
    }
    uint32_t cell = take_cell(&p->cells);
    if (cell >= p->turns) {
        size_t size = 2 * (size_t)cell + 64;
        p->turn = tool_need(realloc(p->turn, size * sizeof *p->turn));
        memset(p->turn + p->turns, 0, (size - p->turns) * sizeof *p->turn);
        p->turns = size;
    }
    o->word[0] |= PLAN_TO_CELL;
    add(o, cell);
    add(o, p->turn[cell]++);
    return cell;
}

static uint32_t op_of(const struct trace_call *call)
{
    static const uint32_t op[TRACE_OPS] = {
        [TRACE_FREE] = PLAN_FREE,
        [TRACE_MALLOC] = PLAN_MALLOC,
        [TRACE_CALLOC] = PLAN_CALLOC,
        [TRACE_REALLOC] = PLAN_REALLOC,
        [TRACE_REALLOCARRAY] = PLAN_REALLOC,
        [TRACE_POSIX_MEMALIGN] = PLAN_POSIX_MEMALIGN,
        [TRACE_ALIGNED_ALLOC] = PLAN_ALIGNED_ALLOC,
        [TRACE_MEMALIGN] = PLAN_MEMALIGN,
        [TRACE_VALLOC] = PLAN_VALLOC,
        [TRACE_PVALLOC] = PLAN_PVALLOC,
    };
    if (call->outcome == TRACE_RELEASED)
        return PLAN_RELEASE;
    if (trace_is_realloc(call->op) && call->old == 0)
        return PLAN_MALLOC;
    return op[call->op];
}

/** The operation of a call that did something. */
static void plan_call(struct planner *p, struct trace_reader *r, struct list *l, const struct trace_call *call)
{
    struct operation o = {.count = 1};
    uint32_t op = op_of(call);
    uint64_t kept = call->old_size < call->size ? call->old_size : call->size;
    o.word[0] = op | (call->size >> 32 != 0 ? PLAN_WIDE : 0) | call->log << PLAN_LOG_AT;
    if (call->old != 0)
        add_old(p, l, &o, call);
    if (call->block != 0) {
        trace_set_slot(r, add_new(p, l, &o, call));
        add_size(&o, call->size);
        if (op == PLAN_REALLOC)
            add_size(&o, kept);
    }
    put(p, l, o.word, o.count);
}

/* ---- windows, samples, waits ----------------------------------------------------------------------------------- */

/** Puts the thread in the window of the call that comes. */
static void plan_window(struct planner *p, struct list *l, uint32_t window)
{
    if (!l->seen) {
        l->seen = true;
        l->first_window = window;
    } else if (window == l->window) {
        return;
    } else {
        put(p, l, (uint32_t[]){PLAN_BEGIN, l->window, window}, 3);
    }
    l->window = window;
    if (!p->writing)
        p->expected[window]++;
}

static void plan_sample(struct planner *p, struct list *l, const struct trace_sum *sum)
{
    uint64_t each = p->sum.calls / PLAN_SAMPLES + 1;
    if (sum->calls % each != 0 && sum->calls != p->sum.peak_call && sum->calls != p->sum.calls)
        return;
    put(p, l, (uint32_t[]){PLAN_SAMPLE, p->samples}, 2);
    if (!p->writing) {
        p->sample = tool_need(realloc(p->sample, (p->samples + 1) * sizeof *p->sample));
        p->sample[p->samples] = (struct plan_sample){sum->calls, sum->live};
    }
    p->samples++;
}

static void plan_wait(struct planner *p, struct list *l, uint64_t time)
{
    if (!p->timed || time == p->time)
        return;
    p->time = time;
    put(p, l, (uint32_t[]){PLAN_WAIT, (uint32_t)time, (uint32_t)(time >> 32)}, 3);
}

/** All calls, to count or to write. */
static void plan_all(struct planner *p)
{
    struct trace_call call;
    struct trace_reader *r = trace_open(p->path);
    const struct trace_sum *sum = trace_sum(r);
    for (uint32_t before = 0; trace_next(r, &call) == TRACE_ONE; before = call.thread) {
        struct list *l = &p->list[call.thread];
        if (!l->seen && call.thread > 0)
            put(p, &p->list[before], (uint32_t[]){PLAN_START, call.thread}, 2);
        plan_window(p, l, (uint32_t)((sum->calls - 1) / PLAN_WINDOW));
        plan_wait(p, l, call.time);
        if (call.outcome != TRACE_REFUSED)
            plan_call(p, r, l, &call);
        plan_sample(p, l, sum);
    }
    trace_free(r);
    for (uint32_t i = 0; i < p->threads; i++)
        put(p, &p->list[i], (uint32_t[]){PLAN_END, p->list[i].window}, 2);
}

/* ---- the plan -------------------------------------------------------------------------------------------------- */

static void look_for_hands(struct planner *p)
{
    struct stat status;
    struct trace_call call;
    size_t size = 0;
    if (stat(p->path, &status) == 0 && S_ISFIFO(status.st_mode))
        tool_die("cannot replay %s: it is a pipe, and a trace is read twice; put it into a file", p->path);
    struct trace_reader *r = trace_open(p->path);
    const struct trace_sum *sum = trace_sum(r);
    while (trace_next(r, &call) == TRACE_ONE) {
        if (sum->blocks / 8 >= size) {
            size_t more = size > 0 ? 2 * size : 4096;
            p->handed = tool_need(realloc(p->handed, more));
            memset(p->handed + size, 0, more - size);
            size = more;
        }
        if (call.old != 0 && call.old_thread != call.thread && call.outcome != TRACE_REFUSED)
            p->handed[call.old / 8] |= (unsigned char)(1 << call.old % 8);
    }
    p->sum = *sum;
    p->threads = sum->threads;
    p->windows = (uint32_t)((sum->calls + PLAN_WINDOW - 1) / PLAN_WINDOW);
    trace_free(r);
}

/** After the counting: lays the file out, and begins again. */
static void lay_out(struct planner *p, struct plan_header *h)
{
    uint64_t at = sizeof *h;
    *h = (struct plan_header){.size = sizeof *h, .threads = p->threads, .windows = p->windows};
    h->cells = p->cells.made;
    h->samples = p->samples;
    h->calls = p->sum.calls;
    h->blocks = p->sum.blocks;
    h->peak = p->sum.peak;
    h->live_at_end = p->sum.live;
    h->threads_at = at;
    h->windows_at = h->threads_at + p->threads * sizeof(struct plan_thread);
    h->samples_at = (h->windows_at + p->windows * sizeof *p->expected + 7) / 8 * 8;
    at = h->samples_at + p->samples * sizeof *p->sample;
    for (uint32_t i = 0; i < p->threads; i++) {
        struct list *l = &p->list[i];
        struct plan_thread t = {at, l->words, h->slots, l->slots.made, l->first_window};
        write_at(p, &t, sizeof t, h->threads_at + i * sizeof t);
        l->start = at;
        at += l->words * sizeof(uint32_t);
        h->slots += l->slots.made;
        free(l->slots.item);
        l->slots = (struct pool){0};
        l->words = 0;
        l->seen = false;
    }
    write_at(p, p->expected, p->windows * sizeof *p->expected, h->windows_at);
    write_at(p, p->sample, p->samples * sizeof *p->sample, h->samples_at);
    if (p->cells.made > 0)
        memset(p->turn, 0, p->cells.made * sizeof *p->turn);
    free(p->cells.item);
    p->cells = (struct pool){0};
    p->samples = 0;
    p->time = 0;
    p->writing = true;
}

int plan_make(const char *path, bool timed, struct plan_header *header, struct trace_sum *sum)
{
    struct planner p = {.path = path, .timed = timed, .file = open_temporary()};
    look_for_hands(&p);
    *sum = p.sum;
    if (p.sum.calls == 0)
        tool_die("the trace %s holds no call", path);
    p.list = tool_need(calloc(p.threads, sizeof *p.list));
    p.expected = tool_need(calloc(p.windows, sizeof *p.expected));
    plan_all(&p);
    lay_out(&p, header);
    plan_all(&p);
    for (uint32_t i = 0; i < p.threads; i++) {
        flush(&p, &p.list[i]);
        free(p.list[i].buffer);
        free(p.list[i].slots.item);
    }
    free(p.list);
    free(p.expected);
    free(p.sample);
    free(p.turn);
    free(p.handed);
    free(p.cells.item);
    return p.file;
}
