/* SPDX-License-Identifier: MIT
 * From raw file to trace; see rawtrace.h, and src/trace/raw.h for what is read here.
 *
 * Streams are merged by time. The clock may be coarse, and records of a thread that was alone carry few times, so the
 * merge also minds what must be so: a block is freed after it was made, and an address is given again after it was
 * freed. A record that comes too early by that waits, and its stream with it, until another stream brings the record
 * it needs; if none does within PATIENCE, the needed call was never seen. */
#include "rawtrace.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "json.h"
#include "libc.h"
#include "map.h"
#include "trace/raw.h"
#include "tracefile.h"

/* Units of WR_RAW_TICK ticks, some milliseconds: how long a record waits for one of another stream. */
#define PATIENCE (UINT64_C(1) << 20)

enum { PROGRESS = 1 << 22 }; /* records between looks at the progress shown */

/** A record with what came before it. */
struct event {
    unsigned op;
    bool failed;
    uint64_t address, size, time; /* time: since the recording's start */
    uint32_t thread;              /* the recorder's number */
};

struct stream {
    const struct wr_raw_chunk **chunk; /* in order */
    size_t chunks, current;
    const uint32_t *unit; /* the next */
    uint64_t address, time;
    uint32_t thread;
    struct event event; /* read and not yet applied */
    bool waits;         /* for another stream's */
};

/** What a thread's call of realloc gave up before it got its block. */
struct pending {
    struct map_entry old; /* key 0: nothing that is known */
    uint32_t shown;       /* the thread's number in the trace, plus 1; 0 before its first call */
};

struct merge {
    const char *path;
    const struct wr_raw_header *header;
    size_t size; /* of the file, mapped at header */
    struct stream *stream;
    size_t streams;
    struct stream **heap; /* those with an event that do not wait, earliest first */
    size_t in_heap;
    struct stream **waiting;
    size_t in_waiting;
    struct map live; /* by address */
    struct pending *thread;
    uint32_t threads, shown;
    uint64_t blocks, bytes;
    double units; /* of time, to a microsecond */
    struct trace_writer *writer;
    const char *to;
    uint64_t seen; /* records */
    struct raw_result *result;
};

/* ---- the file -------------------------------------------------------------------------------------------------- */

/** Maps the file. @return NULL with a message if it is no raw trace. */
static const struct wr_raw_header *map_file(const char *path, size_t *size)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0) {
        tool_say("cannot open the recording %s: %m", path);
        return NULL;
    }
    *size = (size_t)status.st_size;
    const struct wr_raw_header *header = MAP_FAILED;
    if (S_ISREG(status.st_mode) && *size >= WR_RAW_CHUNK)
        header = mmap(NULL, *size, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (header != MAP_FAILED && memcmp(header->magic, WR_RAW_MAGIC, sizeof header->magic) == 0 &&
        header->chunk == WR_RAW_CHUNK)
        return header;
    if (header != MAP_FAILED)
        munmap((void *)(uintptr_t)header, *size);
    tool_say("%s is no recording that this weir made", path);
    return NULL;
}

/** Whether the process of that number runs the program at `path` (both as when it was recorded). */
static bool is_running(const struct wr_raw_header *header)
{
    char link[48], path[WR_RAW_PATH] = "";
    snprintf(link, sizeof link, "/proc/%u/exe", header->pid);
    return readlink(link, path, sizeof path - 1) > 0 && strncmp(path, header->program, sizeof path) == 0;
}

/** Why recording ended early; NULL: it did not. */
static const char *stopped(const struct wr_raw_header *header)
{
    const char *why = header->stopped < INT_MAX ? libc_errno_text((int)header->stopped) : NULL;
    return header->stopped == 0 ? NULL : why != NULL ? why : "for a reason that cannot be read";
}

bool raw_look(const char *path, struct raw_about *about)
{
    size_t size;
    const struct wr_raw_header *header = map_file(path, &size);
    if (header == NULL)
        return false;
    *about = (struct raw_about){(pid_t)header->pid, is_running(header), stopped(header)};
    munmap((void *)(uintptr_t)header, size);
    return true;
}

static const uint32_t *first_unit(const struct wr_raw_chunk *chunk) { return (const uint32_t *)(chunk + 1); }

/** The units of the record that begins at `unit`; 0 where none does. */
static size_t record_units(const struct wr_raw_chunk *chunk, const uint32_t *unit)
{
    const uint32_t *end = (const uint32_t *)((const char *)chunk + WR_RAW_CHUNK);
    if (unit >= end || *unit == 0)
        return 0;
    if ((*unit & WR_RAW_SHORT) != 0)
        return 1;
    return end - unit >= 2 ? 2 : 0;
}

static size_t count_units(const struct wr_raw_chunk *chunk)
{
    const uint32_t *unit = first_unit(chunk);
    for (size_t more; (more = record_units(chunk, unit)) != 0;)
        unit += more;
    return (size_t)(unit - first_unit(chunk));
}

static int by_place(const void *a, const void *b)
{
    const struct wr_raw_chunk *x = *(const struct wr_raw_chunk *const *)a, *y = *(const struct wr_raw_chunk *const *)b;
    if (x->stream != y->stream)
        return x->stream < y->stream ? -1 : 1;
    if (x->sequence != y->sequence)
        return x->sequence < y->sequence ? -1 : 1;
    size_t first = count_units(x), second = count_units(y);
    return first > second ? -1 : first < second;
}

static void begin_chunk(struct stream *s, const struct wr_raw_chunk *chunk)
{
    s->unit = first_unit(chunk);
    s->thread = chunk->thread;
    s->time = chunk->time;
    s->address = chunk->address;
}

static void add_stream(struct merge *m, const struct wr_raw_chunk **chunk, size_t chunks)
{
    struct stream *s = &m->stream[m->streams++];
    *s = (struct stream){.chunk = chunk, .chunks = chunks};
    begin_chunk(s, chunk[0]);
}

/** Finds the streams' chunks. A chunk that is there twice is taken once, where it has more. */
static void find_streams(struct merge *m)
{
    size_t count = m->size / WR_RAW_CHUNK, kept = 0;
    const struct wr_raw_chunk **chunk = tool_need(calloc(count + 1, sizeof *chunk));
    for (size_t i = 1; i < count; i++) {
        chunk[kept] = (const void *)((const char *)m->header + i * WR_RAW_CHUNK);
        kept += chunk[kept]->magic == WR_RAW_CHUNK_MAGIC;
    }
    qsort(chunk, kept, sizeof(const struct wr_raw_chunk *), by_place);
    size_t single = 0;
    for (size_t i = 0; i < kept; i++)
        if (single == 0 || chunk[i]->stream != chunk[single - 1]->stream ||
            chunk[i]->sequence != chunk[single - 1]->sequence)
            chunk[single++] = chunk[i];
    m->stream = tool_need(calloc(single + 1, sizeof *m->stream));
    for (size_t i = 0, first = 0; i < single; i++)
        if (i + 1 == single || chunk[i + 1]->stream != chunk[i]->stream) {
            add_stream(m, chunk + first, i + 1 - first);
            first = i + 1;
        }
    m->heap = tool_need(calloc(m->streams + 1, sizeof *m->heap));
    m->waiting = tool_need(calloc(m->streams + 1, sizeof *m->waiting));
}

/* ---- a stream -------------------------------------------------------------------------------------------------- */

/** The next record of s: a word, or a unit; 0 after the last. A chunk that is not the last's next is a gap: what
 *  follows is left out. */
static uint64_t next_record(struct stream *s)
{
    for (;;) {
        const struct wr_raw_chunk *chunk = s->chunk[s->current];
        size_t units = record_units(chunk, s->unit);
        if (units > 0) {
            uint64_t high = units > 1 ? s->unit[1] : 0;
            s->unit += units;
            return high << 32 | s->unit[-(ptrdiff_t)units];
        }
        if (s->current + 1 == s->chunks || s->chunk[s->current + 1]->sequence != chunk->sequence + 1)
            return 0;
        begin_chunk(s, s->chunk[++s->current]);
    }
}

/** Takes a record of one unit. @return its op. */
static unsigned take_short(struct stream *s, uint32_t unit, uint64_t *size)
{
    if ((unit & WR_RAW_SHORT_FREE) != 0) {
        s->address += ((uint64_t)unit >> WR_RAW_SHORT_SIZE_AT << 4) - WR_RAW_NEAR_FREE;
        return WR_RAW_FREE;
    }
    *size = unit >> WR_RAW_SHORT_SIZE_AT & (WR_RAW_SHORT_SIZE_END - 1);
    s->address += ((uint64_t)unit >> WR_RAW_SHORT_ADDRESS_AT << 4) - WR_RAW_NEAR_MALLOC;
    return WR_RAW_MALLOC;
}

/** Takes a word, of which *size is what words before it said. @return its op where it is a call, else 0. */
static unsigned take_word(struct stream *s, uint64_t word, uint64_t *size)
{
    unsigned op = word >> WR_RAW_OP_AT & ((1 << (WR_RAW_TIME_AT - WR_RAW_OP_AT)) - 1);
    if (op == WR_RAW_TIME) {
        s->time += word >> WR_RAW_VALUE_AT;
        return 0;
    }
    if (op == WR_RAW_ADDRESS) {
        s->address = word >> WR_RAW_VALUE_AT << 3;
        return 0;
    }
    if (op == WR_RAW_SIZE) {
        *size = word >> WR_RAW_VALUE_AT;
        return 0;
    }
    s->time += word >> WR_RAW_TIME_AT & (WR_RAW_TIME_END - 1);
    s->address += (word >> WR_RAW_ADDRESS_AT << 3) - WR_RAW_NEAR;
    *size += word >> WR_RAW_SIZE_AT & (WR_RAW_SIZE_END - 1);
    if (op != WR_RAW_THREAD)
        return op;
    s->thread = (uint32_t)*size;
    *size = 0;
    return 0;
}

/** Reads s's next event. @return false at its end. */
static bool read_event(struct merge *m, struct stream *s)
{
    uint64_t record, size = 0, start = m->header->clock.ticks / WR_RAW_TICK;
    while ((record = next_record(s)) != 0) {
        bool one = (record & WR_RAW_SHORT) != 0;
        unsigned op = one ? take_short(s, (uint32_t)record, &size) : take_word(s, record, &size);
        if (op == 0)
            continue;
        s->event = (struct event){op & (WR_RAW_FAILED - 1u),
                                  (op & WR_RAW_FAILED) != 0,
                                  s->address,
                                  size,
                                  s->time > start ? s->time - start : 0,
                                  s->thread};
        m->seen++;
        return true;
    }
    return false;
}

/* ---- the streams, earliest first ------------------------------------------------------------------------------- */

static void sift_down(struct merge *m, size_t i)
{
    struct stream *s = m->heap[i];
    for (size_t child; (child = 2 * i + 1) < m->in_heap; i = child) {
        if (child + 1 < m->in_heap && m->heap[child + 1]->event.time < m->heap[child]->event.time)
            child++;
        if (m->heap[child]->event.time >= s->event.time)
            break;
        m->heap[i] = m->heap[child];
    }
    m->heap[i] = s;
}

static void heap_add(struct merge *m, struct stream *s)
{
    size_t i = m->in_heap++;
    for (; i > 0 && m->heap[(i - 1) / 2]->event.time > s->event.time; i = (i - 1) / 2)
        m->heap[i] = m->heap[(i - 1) / 2];
    m->heap[i] = s;
}

/** Takes the earliest off the heap. */
static struct stream *heap_take(struct merge *m)
{
    struct stream *s = m->heap[0];
    m->heap[0] = m->heap[--m->in_heap];
    if (m->in_heap > 0)
        sift_down(m, 0);
    return s;
}

/** Of the streams that wait, the earliest. */
static size_t earliest_waiting(const struct merge *m)
{
    size_t best = 0;
    for (size_t i = 1; i < m->in_waiting; i++)
        if (m->waiting[i]->event.time < m->waiting[best]->event.time)
            best = i;
    return best;
}

/** Lets streams go on that wait for something about `address`. */
static void wake(struct merge *m, uint64_t address)
{
    for (size_t i = 0; i < m->in_waiting;) {
        if (m->waiting[i]->event.address != address) {
            i++;
            continue;
        }
        heap_add(m, m->waiting[i]);
        m->waiting[i] = m->waiting[--m->in_waiting];
    }
}

/* ---- applying events ------------------------------------------------------------------------------------------- */

static struct pending *thread_of(struct merge *m, uint32_t number)
{
    if (number >= m->threads) {
        uint32_t more = number + 64;
        if (more < number || more > 1u << 30)
            tool_die("the recording %s is damaged: a thread's number is %u", m->path, number);
        m->thread = tool_need(realloc(m->thread, more * sizeof *m->thread));
        memset(m->thread + m->threads, 0, (more - m->threads) * sizeof *m->thread);
        m->threads = more;
    }
    return &m->thread[number];
}

/** Writes the event as a call. `old`: the block that it gives up, 0 for none. */
static void emit(struct merge *m, const struct event *e, uint64_t old, enum trace_outcome outcome)
{
    static const enum trace_op op[] = {
        [WR_RAW_FREE] = TRACE_FREE,
        [WR_RAW_MALLOC] = TRACE_MALLOC,
        [WR_RAW_CALLOC] = TRACE_CALLOC,
        [WR_RAW_REALLOC] = TRACE_REALLOC,
        [WR_RAW_REALLOCARRAY] = TRACE_REALLOCARRAY,
        [WR_RAW_POSIX_MEMALIGN] = TRACE_POSIX_MEMALIGN,
        [WR_RAW_ALIGNED_ALLOC] = TRACE_ALIGNED_ALLOC,
        [WR_RAW_MEMALIGN] = TRACE_MEMALIGN,
        [WR_RAW_VALLOC] = TRACE_VALLOC,
        [WR_RAW_PVALLOC] = TRACE_PVALLOC,
    };
    struct pending *thread = thread_of(m, e->thread);
    if (thread->shown == 0)
        thread->shown = ++m->shown;
    bool aligned = wr_raw_aligned(e->op) != 0;
    struct trace_call call = {
        .op = op[e->op],
        .outcome = outcome,
        .thread = thread->shown - 1,
        .time = (uint64_t)((double)e->time / m->units),
        .size = aligned ? e->size >> 6 : e->size,
        .log = aligned ? e->size & 63 : 0,
        .old = old,
    };
    trace_put(m->writer, &call);
    m->result->calls++;
}

static void remove_block(struct merge *m, struct map_entry *entry)
{
    m->bytes -= entry->size;
    map_remove(&m->live, entry);
}

/** The block that e's call gave; `old` is what it gave up. */
static void add_block(struct merge *m, const struct event *e, uint64_t old)
{
    uint64_t size = wr_raw_aligned(e->op) ? e->size >> 6 : e->size;
    emit(m, e, old, TRACE_DONE);
    map_add(&m->live, &(struct map_entry){.key = e->address, .block = ++m->blocks, .size = size});
    m->bytes += size;
    if (m->bytes > m->result->peak)
        m->result->peak = m->bytes;
}

/** The end of a realloc that gave nothing: it freed the block if it was to, else the block is as it was. */
static void end_failed(struct merge *m, const struct event *e, struct map_entry *old)
{
    bool released = e->size == 0 && old->key != 0;
    emit(m, e, old->block, released ? TRACE_RELEASED : TRACE_REFUSED);
    if (!released && old->key != 0 && map_find(&m->live, old->key) == NULL) {
        map_add(&m->live, old);
        m->bytes += old->size;
    }
    *old = (struct map_entry){0};
}

/** An event that gives a block up, or that begins to. */
static void give_up(struct merge *m, const struct event *e, struct map_entry *entry)
{
    if (entry == NULL) {
        m->result->unknown++;
        return;
    }
    if (e->op == WR_RAW_FREE)
        emit(m, e, entry->block, TRACE_DONE);
    else
        thread_of(m, e->thread)->old = *entry;
    remove_block(m, entry);
}

/** An event that gets a block. `old_owner`: the block that has its address, whose end was not seen. */
static void get_block(struct merge *m, const struct event *e, struct map_entry *old_owner)
{
    struct map_entry *old = &thread_of(m, e->thread)->old;
    if (old_owner != NULL) {
        struct event end = {.op = WR_RAW_FREE, .thread = e->thread, .time = e->time};
        emit(m, &end, old_owner->block, TRACE_DONE);
        m->result->mended++;
        remove_block(m, old_owner);
    }
    uint64_t block = 0;
    if (e->op == WR_RAW_REALLOC || e->op == WR_RAW_REALLOCARRAY) {
        block = old->block;
        *old = (struct map_entry){0};
    }
    add_block(m, e, block);
}

/** Applies s's event. With `patient`, one that comes too early is not. @return whether it was. */
static bool apply(struct merge *m, struct stream *s, bool patient)
{
    const struct event *e = &s->event;
    bool gives = e->op == WR_RAW_FREE || e->op == WR_RAW_REALLOC_BEGIN;
    if (e->op < WR_RAW_FREE || e->op > WR_RAW_PVALLOC || (!gives && !e->failed && e->address == 0))
        tool_die("the recording %s is damaged: there is an unknown record", m->path);
    if (!gives && e->failed) {
        struct map_entry none = {0};
        bool resizes = e->op == WR_RAW_REALLOC || e->op == WR_RAW_REALLOCARRAY;
        end_failed(m, e, resizes ? &thread_of(m, e->thread)->old : &none);
        return true;
    }
    struct map_entry *entry = map_find(&m->live, e->address);
    if (patient && gives != (entry != NULL))
        return false;
    uint64_t address = e->address;
    if (gives)
        give_up(m, e, entry);
    else
        get_block(m, e, entry);
    if (m->in_waiting > 0)
        wake(m, address);
    return true;
}

/* ---- the merge ------------------------------------------------------------------------------------------------- */

static void show_progress(const struct merge *m, bool last)
{
    static bool shown;
    if (!isatty(STDERR_FILENO) || m->seen < PROGRESS)
        return;
    if (last && shown)
        fputs("\r\033[K", stderr);
    else if (!last)
        fprintf(stderr, "\rweir: making %s: %llu million records of %llu at most", text_basename(m->to),
                (unsigned long long)m->seen / 1000000, (unsigned long long)m->size / 8000000);
    fflush(stderr);
    shown = !last;
}

static void go_on(struct merge *m, struct stream *s)
{
    if (read_event(m, s))
        heap_add(m, s);
    if ((m->seen & (PROGRESS - 1)) == 0)
        show_progress(m, false);
}

static void merge(struct merge *m)
{
    for (size_t i = 0; i < m->streams; i++)
        go_on(m, &m->stream[i]);
    while (m->in_heap > 0 || m->in_waiting > 0) {
        size_t i = earliest_waiting(m);
        if (m->in_waiting > 0 && (m->in_heap == 0 || m->heap[0]->event.time > m->waiting[i]->event.time + PATIENCE)) {
            struct stream *s = m->waiting[i];
            m->waiting[i] = m->waiting[--m->in_waiting];
            apply(m, s, false);
            go_on(m, s);
            continue;
        }
        struct stream *s = heap_take(m);
        if (apply(m, s, m->in_heap > 0 || m->in_waiting > 0))
            go_on(m, s);
        else
            m->waiting[m->in_waiting++] = s;
    }
    show_progress(m, true);
}

/** Units of the records' time in a microsecond: by the head's two looks at both clocks, or by one now. */
static double find_units(const struct wr_raw_header *header)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    struct wr_raw_clock now = {wr_raw_ticks(), (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec};
    const struct wr_raw_clock *then = &header->clock, *later = header->later.ns > then->ns ? &header->later : &now;
    if (later->ns <= then->ns || later->ticks <= then->ticks)
        return 1000.0 / WR_RAW_TICK;
    return (double)(later->ticks - then->ticks) / (double)(later->ns - then->ns) * 1000 / WR_RAW_TICK;
}

/** Text that may lack its NUL. */
static json_t *bounded_text(const char *text, size_t size)
{
    char *copy = text_format("%.*s", (int)size, text);
    json_t *value = json_text(copy);
    free(copy);
    return value;
}

/** What the trace's head tells. */
static json_t *make_about(const struct merge *m)
{
    const struct wr_raw_header *h = m->header;
    json_t *about = json_object(), *command = json_array();
    size_t size = h->command_size < sizeof h->command ? h->command_size : sizeof h->command;
    for (size_t at = 0; at < size;) {
        size_t length = strnlen(h->command + at, size - at);
        json_array_append_new(command, bounded_text(h->command + at, length));
        at += length + 1;
    }
    char date[32] = "";
    time_t started = (time_t)h->started;
    const struct tm *utc = gmtime(&started); /* NULL where the recording is damaged */
    if (utc != NULL)
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", utc);
    json_object_set_new(about, "program", bounded_text(h->program, sizeof h->program));
    json_object_set_new(about, "command", command);
    json_object_set_new(about, "allocator", bounded_text(h->allocator, sizeof h->allocator));
    json_object_set_new(about, "date", json_string(date));
    json_object_set_new(about, "pid", json_integer(h->pid));
    json_object_set_new(about, "parent", json_integer(h->parent));
    json_object_set_new(about, "forked", json_boolean(h->forked));
    json_object_set_new(about, "stopped", h->stopped != 0 ? json_string(stopped(h)) : json_null());
    return about;
}

static void merge_free(struct merge *m)
{
    map_free(&m->live);
    if (m->streams > 0)
        free(m->stream[0].chunk);
    free(m->stream);
    free(m->heap);
    free(m->waiting);
    free(m->thread);
    munmap((void *)(uintptr_t)m->header, m->size);
}

bool raw_convert(const char *path, const char *to, struct raw_result *result)
{
    struct merge m = {.path = path, .to = to, .result = result};
    *result = (struct raw_result){0};
    m.header = map_file(path, &m.size);
    if (m.header == NULL)
        return false;
    result->lost = m.header->lost;
    find_streams(&m);
    if (m.streams > 0) {
        json_t *about = make_about(&m);
        m.units = find_units(m.header);
        m.writer = trace_create(to, about);
        json_decref(about);
        merge(&m);
        result->size = trace_close(m.writer);
        result->threads = m.shown;
        if (result->calls == 0)
            trace_discard(to);
    }
    merge_free(&m);
    return true;
}
