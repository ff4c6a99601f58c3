/* SPDX-License-Identifier: MIT
 * Trace files; see tracefile.h. The reader trusts nothing: numbers, blocks and lengths are checked as they come. */
#include "tracefile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "map.h"

static const char magic[8] = "WEIRTRC\n";

enum {
    FORMAT = 1,
    HEAD = 16,            /* bytes: magic, version, length of the text */
    ABOUT_MOST = 1 << 20, /* bytes of the text */
    BUFFER = 1 << 20,     /* bytes */
    RECORD_MOST = 40,     /* bytes */
    NOTE_TIME = 100,      /* microseconds that pass between records of the time, at least */
    LEVEL = 9,
    OUTCOME_AT = 6, /* the outcome's place in a record's first byte */
    LOG_MOST = 63,
};

#define TIME_MOST (UINT64_C(1) << 53)

static const char *const op_name[TRACE_OPS] = {
    [TRACE_FREE] = "free",
    [TRACE_MALLOC] = "malloc",
    [TRACE_CALLOC] = "calloc",
    [TRACE_REALLOC] = "realloc",
    [TRACE_REALLOCARRAY] = "reallocarray",
    [TRACE_POSIX_MEMALIGN] = "posix_memalign",
    [TRACE_ALIGNED_ALLOC] = "aligned_alloc",
    [TRACE_MEMALIGN] = "memalign",
    [TRACE_VALLOC] = "valloc",
    [TRACE_PVALLOC] = "pvalloc",
};

const char *trace_name(enum trace_op op) { return op_name[op]; }

bool trace_is_aligned(enum trace_op op)
{
    return op == TRACE_POSIX_MEMALIGN || op == TRACE_ALIGNED_ALLOC || op == TRACE_MEMALIGN;
}

bool trace_is_realloc(enum trace_op op) { return op == TRACE_REALLOC || op == TRACE_REALLOCARRAY; }

static void put32(unsigned char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (unsigned char)(value >> 8 * i);
}

static uint32_t get32(const unsigned char *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* ---- writing --------------------------------------------------------------------------------------------------- */

struct trace_writer {
    char *path;
    int fd;
    ZSTD_CCtx *zstd;
    unsigned char *in, *out; /* BUFFER bytes each */
    size_t filled;           /* of `in` */
    uint64_t calls, blocks, size, time;
    uint32_t thread;
};

void trace_discard(const char *path)
{
    struct stat status;
    if (stat(path, &status) == 0 && S_ISREG(status.st_mode))
        unlink(path);
}

static void write_out(struct trace_writer *w, const void *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = write(w->fd, (const char *)data + done, size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            int error = n < 0 ? errno : ENOSPC;
            trace_discard(w->path);
            tool_die("cannot write the trace %s: %s", w->path, strerror(error));
        }
        done += (size_t)n;
    }
    w->size += size;
}

/** Compresses what is in the buffer. */
static void squeeze(struct trace_writer *w, ZSTD_EndDirective how)
{
    ZSTD_inBuffer in = {w->in, w->filled, 0};
    size_t left;
    do {
        ZSTD_outBuffer out = {w->out, BUFFER, 0};
        left = ZSTD_compressStream2(w->zstd, &out, &in, how);
        if (ZSTD_isError(left))
            tool_die("cannot compress the trace %s: %s", w->path, ZSTD_getErrorName(left));
        write_out(w, w->out, out.pos);
    } while (left > 0 || in.pos < in.size);
    w->filled = 0;
}

struct trace_writer *trace_create(const char *path, const json_t *about)
{
    struct trace_writer *w = tool_need(calloc(1, sizeof *w));
    unsigned char head[HEAD];
    char *text = tool_need(json_dumps(about, JSON_COMPACT | JSON_SORT_KEYS));
    w->path = text_format("%s", path);
    w->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (w->fd < 0)
        tool_die("cannot make the trace %s: %m", path);
    w->in = tool_need(malloc(BUFFER));
    w->out = tool_need(malloc(BUFFER));
    w->zstd = tool_need(ZSTD_createCCtx());
    ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_compressionLevel, LEVEL);
    ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_checksumFlag, 1);
    memcpy(head, magic, sizeof magic);
    put32(head + 8, FORMAT);
    put32(head + 12, (uint32_t)strlen(text));
    write_out(w, head, sizeof head);
    write_out(w, text, strlen(text));
    free(text);
    return w;
}

static void put_number(struct trace_writer *w, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        w->in[w->filled++] = (unsigned char)(value | 0x80);
    w->in[w->filled++] = (unsigned char)value;
}

static void put_op(struct trace_writer *w, enum trace_op op, enum trace_outcome outcome)
{
    if (w->filled + 2 * RECORD_MOST > BUFFER)
        squeeze(w, ZSTD_e_flush);
    w->in[w->filled++] = (unsigned char)(op | outcome << OUTCOME_AT);
}

void trace_put(struct trace_writer *w, const struct trace_call *call)
{
    if (call->thread != w->thread) {
        put_op(w, TRACE_THREAD, 0);
        put_number(w, call->thread);
        w->thread = call->thread;
    }
    if (call->time >= w->time + NOTE_TIME) {
        put_op(w, TRACE_TIME, 0);
        put_number(w, call->time - w->time);
        w->time = call->time;
    }
    put_op(w, call->op, call->outcome);
    if (call->op == TRACE_FREE || trace_is_realloc(call->op))
        put_number(w, call->old == 0 ? 0 : w->blocks + 1 - call->old);
    if (trace_is_aligned(call->op))
        w->in[w->filled++] = (unsigned char)call->log;
    if (call->op != TRACE_FREE)
        put_number(w, call->size);
    if (call->op != TRACE_FREE && call->outcome == TRACE_DONE)
        w->blocks++;
    w->calls++;
}

uint64_t trace_close(struct trace_writer *w)
{
    put_op(w, TRACE_END, 0);
    put_number(w, w->calls);
    squeeze(w, ZSTD_e_end);
    uint64_t size = w->size;
    if (close(w->fd) != 0) {
        int error = errno;
        trace_discard(w->path);
        tool_die("cannot write the trace %s: %s", w->path, strerror(error));
    }
    ZSTD_freeCCtx(w->zstd);
    free(w->in);
    free(w->out);
    free(w->path);
    free(w);
    return size;
}

/* ---- reading --------------------------------------------------------------------------------------------------- */

struct trace_reader {
    char *path;
    FILE *file;
    json_t *about;
    ZSTD_DCtx *zstd;
    unsigned char *in, *out; /* BUFFER bytes each */
    ZSTD_inBuffer from;
    size_t next, filled; /* of `out`: what was read, what there is */
    bool dry;            /* the file has no more */
    bool complete;       /* and the compressed data ended where it should, its checksum right */
    uint64_t at;         /* bytes of records before `out` */
    struct map live;
    uint64_t last_block; /* that the last call made; 0 if none */
    uint32_t thread;
    struct trace_sum sum;
};

static void damaged(const struct trace_reader *r, const char *what) __attribute__((noreturn));

static void damaged(const struct trace_reader *r, const char *what)
{
    tool_die("the trace %s is damaged: %s, after %llu calls (byte %llu of the records); record it again", r->path, what,
             (unsigned long long)r->sum.calls, (unsigned long long)(r->at + r->next));
}

/** Reads the head. */
static void read_about(struct trace_reader *r)
{
    unsigned char head[HEAD];
    json_error_t error;
    size_t got = fread(head, 1, sizeof head, r->file);
    if (ferror(r->file))
        tool_die("cannot read the trace %s: %m", r->path);
    if (got < sizeof magic || memcmp(head, magic, sizeof magic) != 0)
        tool_die("%s is no trace: `weir trace -o FILE PROGRAM` makes one", r->path);
    if (got < sizeof head)
        tool_die("the trace %s is cut off in its head; record it again", r->path);
    if (get32(head + 8) != FORMAT)
        tool_die(
            "the trace %s has version %u of the format, and this weir reads version %d; use the weir that made it, "
            "or a later one",
            r->path, get32(head + 8), FORMAT);
    uint32_t length = get32(head + 12);
    if (length > ABOUT_MOST)
        tool_die("the trace %s is damaged: its head says that it is %u bytes long", r->path, length);
    char *text = tool_need(malloc(length + 1));
    if (fread(text, 1, length, r->file) != length)
        tool_die("the trace %s is cut off in its head; record it again", r->path);
    r->about = json_loadb(text, length, 0, &error);
    if (!json_is_object(r->about))
        tool_die("the trace %s is damaged: its head is no JSON object (%s)", r->path, error.text);
    free(text);
}

struct trace_reader *trace_open(const char *path)
{
    struct stat status;
    struct trace_reader *r = tool_need(calloc(1, sizeof *r));
    r->path = text_format("%s", path);
    r->file = fopen(path, "re");
    if (r->file == NULL)
        tool_die("cannot open the trace %s: %m", path);
    if (fstat(fileno(r->file), &status) == 0 && S_ISDIR(status.st_mode))
        tool_die("cannot read the trace %s: it is a directory", path);
    read_about(r);
    r->in = tool_need(malloc(BUFFER));
    r->out = tool_need(malloc(BUFFER));
    r->zstd = tool_need(ZSTD_createDCtx());
    r->from = (ZSTD_inBuffer){r->in, 0, 0};
    return r;
}

/** Fills the rest of `out`, as far as there is anything. */
static void refill(struct trace_reader *r)
{
    memmove(r->out, r->out + r->next, r->filled - r->next);
    r->at += r->next;
    r->filled -= r->next;
    r->next = 0;
    ZSTD_outBuffer out = {r->out, BUFFER, r->filled};
    while (!r->dry && out.pos < out.size) {
        if (r->from.pos == r->from.size) {
            r->from.size = fread(r->in, 1, BUFFER, r->file);
            r->from.pos = 0;
            if (ferror(r->file))
                tool_die("cannot read the trace %s: %m", r->path);
            if (r->from.size == 0) {
                r->dry = true;
                break;
            }
        }
        size_t left = ZSTD_decompressStream(r->zstd, &out, &r->from);
        r->filled = out.pos;
        if (ZSTD_isError(left))
            damaged(r, ZSTD_getErrorName(left));
        if (left == 0) {
            r->dry = r->complete = true;
            if (r->from.pos < r->from.size || fgetc(r->file) != EOF)
                damaged(r, "there is something behind its end");
        }
    }
    r->filled = out.pos;
}

static bool is_cut(const struct trace_reader *r) { return r->next > r->filled; }

/** The next byte; past the end of what there is, 0, and is_cut() then holds. */
static unsigned get_byte(struct trace_reader *r)
{
    r->next++;
    return is_cut(r) ? 0 : r->out[r->next - 1];
}

static uint64_t get_number(struct trace_reader *r)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint64_t byte = get_byte(r);
        if (shift == 63 && byte > 1)
            break;
        value |= (byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
    damaged(r, "a number is too long");
}

/** Takes the block that a call gives up out of those that live. `back` is how many blocks ago it was made. */
static void give_up(struct trace_reader *r, struct trace_call *call, uint64_t back)
{
    if (back > r->sum.blocks)
        damaged(r, "a call frees a block that was never made");
    call->old = r->sum.blocks + 1 - back;
    struct map_entry *entry = map_find(&r->live, call->old);
    if (entry == NULL)
        damaged(r, "a call frees a block that was freed before");
    call->old_size = entry->size;
    call->old_born = entry->born;
    call->old_thread = entry->thread;
    call->old_slot = entry->slot;
    if (call->outcome == TRACE_REFUSED)
        return;
    map_remove(&r->live, entry);
    r->sum.live -= call->old_size;
    r->sum.live_blocks--;
}

static void make_block(struct trace_reader *r, struct trace_call *call)
{
    struct trace_sum *sum = &r->sum;
    if (call->size > INT64_MAX || sum->live + call->size > INT64_MAX)
        damaged(r, "a block is larger than any memory");
    call->block = ++sum->blocks;
    map_add(&r->live, &(struct map_entry){call->block, call->block, call->size, sum->calls, call->thread, 0});
    r->last_block = call->block;
    sum->live += call->size;
    sum->live_blocks++;
    if (call->size > sum->largest)
        sum->largest = call->size;
    if (sum->live > sum->peak) {
        sum->peak = sum->live;
        sum->peak_blocks = sum->live_blocks;
        sum->peak_call = sum->calls;
    }
}

/** Reads the rest of a call. @return false where the file ends in the midst of it. */
static bool read_call(struct trace_reader *r, struct trace_call *call)
{
    uint64_t back = 0;
    if (call->op == TRACE_FREE || trace_is_realloc(call->op))
        back = get_number(r);
    if (trace_is_aligned(call->op))
        call->log = get_byte(r);
    if (call->op != TRACE_FREE)
        call->size = get_number(r);
    if (is_cut(r))
        return false;
    if (call->log > LOG_MOST)
        damaged(r, "an alignment is none");
    if ((call->op == TRACE_FREE && (back == 0 || call->outcome != TRACE_DONE)) ||
        (call->outcome == TRACE_RELEASED && back == 0))
        damaged(r, "a call frees nothing");
    if (call->outcome > TRACE_RELEASED)
        damaged(r, "a call has no outcome that there is");
    if (r->thread == r->sum.threads)
        r->sum.threads++;
    r->sum.calls++;
    r->sum.refused += call->outcome == TRACE_REFUSED;
    if (back > 0)
        give_up(r, call, back);
    if (call->op != TRACE_FREE && call->outcome == TRACE_DONE)
        make_block(r, call);
    return true;
}

/** Reads a record that is no call. @return false where the file ends in the midst of it. */
static bool read_note(struct trace_reader *r, enum trace_op op)
{
    uint64_t value = get_number(r);
    if (is_cut(r))
        return false;
    if (op == TRACE_TIME) {
        r->sum.time += value;
        if (value > TIME_MOST || r->sum.time > TIME_MOST)
            damaged(r, "a time is out of range");
    } else {
        if (value > r->sum.threads)
            damaged(r, "a thread's number is out of order");
        r->thread = (uint32_t)value;
    }
    return true;
}

static enum trace_status finish(struct trace_reader *r)
{
    uint64_t calls = get_number(r);
    if (is_cut(r))
        return TRACE_CUT;
    refill(r);
    if (calls != r->sum.calls || r->filled > r->next)
        damaged(r, "its end is not where it should be");
    if (!r->complete)
        return TRACE_CUT;
    r->sum.whole = true;
    return TRACE_OVER;
}

enum trace_status trace_next(struct trace_reader *r, struct trace_call *call)
{
    r->last_block = 0;
    for (;;) {
        if (r->filled - r->next < RECORD_MOST)
            refill(r);
        unsigned byte = get_byte(r);
        if (is_cut(r))
            return TRACE_CUT;
        unsigned op = byte & ((1 << OUTCOME_AT) - 1);
        if (op >= TRACE_OPS || (op < TRACE_FREE && byte != op))
            damaged(r, "there is an unknown record");
        if (op == TRACE_END)
            return finish(r);
        if (op < TRACE_FREE) {
            if (!read_note(r, op))
                return TRACE_CUT;
            continue;
        }
        *call = (struct trace_call){.op = op, .outcome = byte >> OUTCOME_AT, .thread = r->thread, .time = r->sum.time};
        return read_call(r, call) ? TRACE_ONE : TRACE_CUT;
    }
}

void trace_set_slot(struct trace_reader *r, uint32_t slot)
{
    struct map_entry *entry = r->last_block != 0 ? map_find(&r->live, r->last_block) : NULL;
    if (entry != NULL)
        entry->slot = slot;
}

const struct trace_sum *trace_sum(const struct trace_reader *r) { return &r->sum; }

const json_t *trace_about(const struct trace_reader *r) { return r->about; }

void trace_free(struct trace_reader *r)
{
    fclose(r->file);
    json_decref(r->about);
    ZSTD_freeDCtx(r->zstd);
    map_free(&r->live);
    free(r->in);
    free(r->out);
    free(r->path);
    free(r);
}
