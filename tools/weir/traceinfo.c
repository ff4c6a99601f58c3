/* SPDX-License-Identifier: MIT
 * What a trace holds; see traceinfo.h. */
#include "traceinfo.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "shell.h"
#include "tracefile.h"

enum {
    CLASSES = 64, /* powers of two: class n has what is up to 2^n, and more than 2^(n-1) */
    BAR = 40,     /* columns of the longest */
    THREADS_SHOWN = 16,
};

struct share {
    uint64_t count, bytes;
};

struct thread {
    uint64_t calls, blocks, bytes;
    uint64_t handed; /* blocks of this thread that others freed */
};

struct info {
    struct trace_sum sum;
    const json_t *about;
    struct share op[TRACE_OPS];
    struct share size[CLASSES]; /* by bytes asked for */
    struct share life[CLASSES]; /* by calls between a block's making and its end */
    struct thread *thread;
    uint32_t threads; /* room in `thread` */
    uint64_t handed, asked;
};

static unsigned class_of(uint64_t value)
{
    unsigned class = value < 2 ? 0 : 64 - (unsigned)__builtin_clzll(value - 1);
    return class < CLASSES ? class : CLASSES - 1;
}

static void add(struct share *s, uint64_t bytes)
{
    s->count++;
    s->bytes += bytes;
}

static struct thread *thread_of(struct info *i, uint32_t number)
{
    if (number >= i->threads) {
        uint32_t more = 2 * number + 16;
        i->thread = tool_need(realloc(i->thread, more * sizeof *i->thread));
        memset(i->thread + i->threads, 0, (more - i->threads) * sizeof *i->thread);
        i->threads = more;
    }
    return &i->thread[number];
}

static void count_call(struct info *i, const struct trace_call *call, uint64_t calls)
{
    struct thread *t = thread_of(i, call->thread);
    t->calls++;
    add(&i->op[call->op], call->outcome == TRACE_DONE ? call->size : 0);
    if (call->block != 0) {
        t->blocks++;
        t->bytes += call->size;
        i->asked += call->size;
        add(&i->size[class_of(call->size)], call->size);
    }
    if (call->old == 0 || call->outcome == TRACE_REFUSED)
        return;
    add(&i->life[class_of(calls - call->old_born)], call->old_size);
    if (call->old_thread != call->thread) {
        i->handed++;
        thread_of(i, call->old_thread)->handed++;
    }
}

void traceinfo_warn(const char *path, bool whole, uint64_t calls)
{
    if (!whole)
        tool_say("the trace %s has no end, as if it was cut off; these are its first %" PRIu64 " calls", path, calls);
}

/* ---- text ------------------------------------------------------------------------------------------------------ */

static const char *about_text(const struct info *i, const char *key)
{
    const char *text = json_string_value(json_object_get(i->about, key));
    return text != NULL ? text : "unknown";
}

/** "program      /bin/ls\n". */
static void print_about(const char *name, const char *text)
{
    printf("%-13s", name);
    text_put(text, stdout);
    printf("\n");
}

/** As it can be typed. */
static void print_command(const struct info *i)
{
    size_t n;
    json_t *word;
    struct strings words = {0};
    json_array_foreach(json_object_get(i->about, "command"), n, word)
        strings_add(&words, "%s", json_string_value(word) != NULL ? json_string_value(word) : "?");
    char *line = words.count > 0 ? shell_line(words.item) : text_format("%s", "");
    print_about("command", line);
    free(line);
    strings_free(&words);
}

static void print_shares(const char *title, const struct share *share, bool bytes)
{
    uint64_t most = 1, all = 0;
    unsigned first = CLASSES, last = 0;
    for (unsigned n = 0; n < CLASSES; n++) {
        if (share[n].count == 0)
            continue;
        first = first < n ? first : n;
        last = n;
        all += share[n].count;
        most = most > share[n].count ? most : share[n].count;
    }
    if (first == CLASSES)
        return;
    printf("\n%s\n", title);
    for (unsigned n = first; n <= last; n++) {
        char label[32];
        if (bytes)
            snprintf(label, sizeof label, "%s", text_bytes(UINT64_C(1) << n));
        else
            snprintf(label, sizeof label, "%" PRIu64, UINT64_C(1) << n);
        int columns = (int)((double)share[n].count / (double)most * BAR + 0.5);
        printf("  up to %11s  %11" PRIu64 "  %5.1f %%  %.*s\n", label, share[n].count,
               (double)share[n].count * 100 / (double)all, columns, "########################################");
    }
}

static void print_text(const struct info *i, const char *path)
{
    const struct trace_sum *s = &i->sum;
    printf("trace        %s%s\n", path, s->whole ? "" : " (cut off)");
    print_about("program", about_text(i, "program"));
    print_command(i);
    char *recorded = text_format("%s, on %s", about_text(i, "date"), about_text(i, "allocator"));
    print_about("recorded", recorded);
    free(recorded);
    printf("calls        %" PRIu64 " in %.3f s; %" PRIu64 " gave no block\n", s->calls, (double)s->time * 1e-6,
           s->refused);
    printf("threads      %u; %" PRIu64 " blocks freed by another than their maker\n", s->threads, i->handed);
    printf("blocks       %" PRIu64 ", %s asked for; the largest %s\n", s->blocks, text_bytes(i->asked),
           text_bytes(s->largest));
    printf("live         at most %s in %" PRIu64 " blocks, after %" PRIu64 " calls; at the end %s in %" PRIu64
           " blocks\n",
           text_bytes(s->peak), s->peak_blocks, s->peak_call, text_bytes(s->live), s->live_blocks);
    printf("\ncalls by function\n");
    for (enum trace_op op = TRACE_FREE; op < TRACE_OPS; op++)
        if (i->op[op].count > 0)
            printf("  %-17s  %11" PRIu64 "  %5.1f %%\n", trace_name(op), i->op[op].count,
                   (double)i->op[op].count * 100 / (double)s->calls);
    print_shares("blocks by size, bytes", i->size, true);
    print_shares("blocks that were freed, by lifetime, calls", i->life, false);
    if (s->threads < 2)
        return;
    printf("\nthreads\n");
    for (uint32_t t = 0; t < s->threads && t < THREADS_SHOWN; t++)
        printf("  %-5u  %11" PRIu64 " calls, %11" PRIu64 " blocks, %" PRIu64 " of them freed by others\n", t,
               i->thread[t].calls, i->thread[t].blocks, i->thread[t].handed);
    if (s->threads > THREADS_SHOWN)
        printf("  and %u more\n", s->threads - THREADS_SHOWN);
}

/* ---- JSON and CSV ---------------------------------------------------------------------------------------------- */

static json_t *shares_json(const struct share *share)
{
    json_t *rows = json_array();
    for (unsigned n = 0; n < CLASSES; n++)
        if (share[n].count > 0)
            json_array_append_new(rows, json_pack("{s:f, s:I, s:I}", "up_to", (double)(UINT64_C(1) << n), "count",
                                                  (json_int_t)share[n].count, "bytes", (json_int_t)share[n].bytes));
    return rows;
}

static void print_json(const struct info *i, const char *path)
{
    const struct trace_sum *s = &i->sum;
    json_t *all = json_object(), *functions = json_object(), *threads = json_array();
    for (enum trace_op op = TRACE_FREE; op < TRACE_OPS; op++)
        if (i->op[op].count > 0)
            json_object_set_new(functions, trace_name(op), json_integer((json_int_t)i->op[op].count));
    for (uint32_t t = 0; t < s->threads; t++)
        json_array_append_new(threads,
                              json_pack("{s:I, s:I, s:I, s:I}", "calls", (json_int_t)i->thread[t].calls, "blocks",
                                        (json_int_t)i->thread[t].blocks, "bytes", (json_int_t)i->thread[t].bytes,
                                        "freed_by_others", (json_int_t)i->thread[t].handed));
    const struct {
        const char *name;
        uint64_t value;
    } figure[] = {
        {"calls", s->calls},
        {"refused", s->refused},
        {"microseconds", s->time},
        {"blocks", s->blocks},
        {"bytes_asked", i->asked},
        {"largest", s->largest},
        {"peak_live", s->peak},
        {"peak_live_blocks", s->peak_blocks},
        {"peak_call", s->peak_call},
        {"live_at_end", s->live},
        {"live_blocks_at_end", s->live_blocks},
        {"freed_by_others", i->handed},
    };
    json_object_set_new(all, "trace", json_text(path));
    json_object_set_new(all, "whole", json_boolean(s->whole));
    json_object_set_new(all, "about", json_deep_copy(i->about));
    for (size_t n = 0; n < TOOL_COUNT(figure); n++)
        json_object_set_new(all, figure[n].name, json_integer((json_int_t)figure[n].value));
    json_object_set_new(all, "functions", functions);
    json_object_set_new(all, "threads", threads);
    json_object_set_new(all, "sizes", shares_json(i->size));
    json_object_set_new(all, "lifetimes", shares_json(i->life));
    json_print(all, stdout);
    json_decref(all);
}

static void print_rows(const char *kind, const struct share *share)
{
    for (unsigned n = 0; n < CLASSES; n++)
        if (share[n].count > 0)
            printf("%s,%" PRIu64 ",%" PRIu64 ",%" PRIu64 "\n", kind, UINT64_C(1) << n, share[n].count, share[n].bytes);
}

static void print_csv(const struct info *i)
{
    printf("kind,key,count,bytes\n");
    for (enum trace_op op = TRACE_FREE; op < TRACE_OPS; op++)
        if (i->op[op].count > 0)
            printf("function,%s,%" PRIu64 ",%" PRIu64 "\n", trace_name(op), i->op[op].count, i->op[op].bytes);
    print_rows("size up to", i->size);
    print_rows("lifetime up to", i->life);
    for (uint32_t t = 0; t < i->sum.threads; t++)
        printf("thread,%u,%" PRIu64 ",%" PRIu64 "\n", t, i->thread[t].calls, i->thread[t].bytes);
}

static void end_output(void)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        tool_die("cannot write what the trace holds: %m");
}

void traceinfo_print(const char *path, enum traceinfo_form form)
{
    struct info i = {0};
    struct trace_call call;
    struct trace_reader *r = trace_open(path);
    while (trace_next(r, &call) == TRACE_ONE)
        count_call(&i, &call, trace_sum(r)->calls);
    i.sum = *trace_sum(r);
    i.about = trace_about(r);
    traceinfo_warn(path, i.sum.whole, i.sum.calls);
    if (form == TRACEINFO_JSON)
        print_json(&i, path);
    else if (form == TRACEINFO_CSV)
        print_csv(&i);
    else
        print_text(&i, path);
    end_output();
    free(i.thread);
    trace_free(r);
}

static void print_number(uint64_t number, const char *end)
{
    if (number != 0)
        printf("%" PRIu64 "%s", number, end);
    else
        printf("-%s", end);
}

void traceinfo_list(const char *path)
{
    static const char *const outcome[] = {"", " refused", " released"};
    struct trace_call call;
    struct trace_reader *r = trace_open(path);
    while (trace_next(r, &call) == TRACE_ONE) {
        printf("%u\t%" PRIu64 "\t%s%s\t", call.thread, call.time, trace_name(call.op), outcome[call.outcome]);
        if (call.op == TRACE_FREE)
            printf("-\t");
        else
            printf("%" PRIu64 "\t", call.size);
        print_number(trace_is_aligned(call.op) ? UINT64_C(1) << call.log : 0, "\t");
        print_number(call.old, "\t");
        print_number(call.block, "\n");
    }
    traceinfo_warn(path, trace_sum(r)->whole, trace_sum(r)->calls);
    end_output();
    trace_free(r);
}
