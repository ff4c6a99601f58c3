/* SPDX-License-Identifier: MIT
 * Reads the library's lines and writes the report as text or JSON; see report.h. */
#include "report.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <weir/alloc.h>

#include "json.h"

/* ---- the library's lines --------------------------------------------------------------------------------------- */

static uint64_t number_of(const json_t *object, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(object, key));
    return value > 0 ? (uint64_t)value : 0;
}

static void add_line(struct lines *lines, const char *text, size_t length, pid_t pid)
{
    json_t *line = json_loadb(text, length, JSON_DISABLE_EOF_CHECK, NULL);
    if (!json_is_object(line)) {
        json_decref(line);
        return;
    }
    lines->processes++;
    lines->returned += number_of(line, "returned");
    if (number_of(line, "pid") == (uint64_t)pid) {
        json_decref(lines->own);
        lines->own = json_incref(line);
    }
    json_decref(line);
}

void lines_read(struct lines *lines, const char *path, pid_t pid)
{
    *lines = (struct lines){0};
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return;
    char *text = NULL;
    size_t size = 0;
    ssize_t length;
    while ((length = getline(&text, &size, file)) > 0)
        add_line(lines, text, (size_t)length, pid);
    free(text);
    fclose(file);
}

/* ---- figures --------------------------------------------------------------------------------------------------- */

static double seconds(struct timeval t) { return (double)t.tv_sec + (double)t.tv_usec * 1e-6; }

/** Bytes resident at the end as far as known, else 0. */
static uint64_t resident(const struct report *r)
{
    return r->lines->own != NULL ? number_of(r->lines->own, "resident") : r->end->resident;
}

/** Linux counts a peak less exactly than it answers for the present, so the size at the end may exceed it. */
static uint64_t peak(const struct report *r)
{
    uint64_t counted = (uint64_t)r->end->usage.ru_maxrss * 1024;
    return counted > resident(r) ? counted : resident(r);
}

/** Why the program left no line of its own. */
static const char *why_silent(const struct report *r)
{
    if (WIFSIGNALED(r->end->status))
        return "a signal ended it before it could write them";
    if (r->program->notes.count > 0 && r->end->mapped != MAPPED_YES)
        return "it does not run on Weir, see above";
    switch (r->end->mapped) {
    case MAPPED_YES:
        return "it left by _exit(), or could not write to the file WEIR_REPORT names";
    case MAPPED_NO:
        return "Weir was not loaded into it, or no longer when it ended";
    default:
        return "it ended before it could be seen whether Weir was loaded";
    }
}

/* ---- text ------------------------------------------------------------------------------------------------------ */

/** Takes off the end of `text` the character of UTF-8 that it lacks bytes of. */
static void drop_cut_character(char *text)
{
    char *end = text + strlen(text), *c = end;
    while (c > text && ((unsigned char)c[-1] & 0xc0) == 0x80) /* a byte that goes on with a character */
        c--;
    if (c == text || (unsigned char)*--c < 0xc0)
        return;
    int bytes = (unsigned char)*c >= 0xf0 ? 4 : (unsigned char)*c >= 0xe0 ? 3 : 2;
    if (end - c < bytes)
        *c = '\0';
}

static void print_ending(const struct report *r, FILE *stream)
{
    enum { WIDEST = 60 };
    char name[WIDEST + 1] = "";
    size_t length = 0;
    for (char *const *arg = r->command; *arg != NULL && length < WIDEST; arg++)
        length += (size_t)snprintf(name + length, sizeof name - length, "%s%s", length > 0 ? " " : "", *arg);
    if (length > WIDEST)
        drop_cut_character(name);
    for (char *c = name; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = ' ';
    int status = r->end->status;
    fprintf(stream, "weir: %s%s: ", name, length > WIDEST ? "..." : "");
    if (WIFSIGNALED(status))
        fprintf(stream, "ended by signal %d, %s%s\n", WTERMSIG(status), strsignal(WTERMSIG(status)),
                WCOREDUMP(status) ? ", core dumped" : "");
    else
        fprintf(stream, "exit status %d\n", WEXITSTATUS(status));
}

static void print_resident(const struct report *r, FILE *stream)
{
    fprintf(stream, "weir:   resident    peak %s, at the end ", text_bytes(peak(r)));
    if (resident(r) == 0)
        fputs("unknown (too short to see)\n", stream);
    else if (r->lines->own != NULL)
        fprintf(stream, "%s\n", text_bytes(resident(r)));
    else
        fprintf(stream, "%s (seen %.0f ms before it)\n", text_bytes(resident(r)), r->end->age * 1e3);
}

static void print_library(const struct report *r, FILE *stream)
{
    const struct lines *lines = r->lines;
    if (lines->processes > 0) {
        fprintf(stream, "weir:   given back  %s", text_bytes(lines->returned));
        if (lines->processes > 1 || lines->own == NULL)
            fprintf(stream, " (%u processes)", lines->processes);
        fputc('\n', stream);
    }
    if (lines->own != NULL)
        fprintf(stream, "weir:   still live  %s in %llu blocks\n", text_bytes(number_of(lines->own, "live")),
                (unsigned long long)number_of(lines->own, "live_blocks"));
    else
        fprintf(stream, "weir:   no figures from inside the program: %s\n", why_silent(r));
}

void report_text(const struct report *r, FILE *stream)
{
    const struct rusage *usage = &r->end->usage;
    print_ending(r, stream);
    fprintf(stream, "weir:   time        %.3f s (user %.3f s, system %.3f s)\n", r->end->wall, seconds(usage->ru_utime),
            seconds(usage->ru_stime));
    print_resident(r, stream);
    print_library(r, stream);
}

/* ---- JSON ------------------------------------------------------------------------------------------------------ */

static json_t *json_texts(char *const *text)
{
    json_t *array = json_array();
    for (; text != NULL && *text != NULL; text++)
        json_array_append_new(array, json_text(*text));
    return array;
}

static json_t *json_number(bool known, uint64_t number)
{
    return known ? json_integer((json_int_t)number) : json_null();
}

static void add_outside(const struct report *r, json_t *o)
{
    const struct ending *end = r->end;
    int status = end->status;
    json_object_set_new(o, "exit_status", json_number(WIFEXITED(status), (uint64_t)WEXITSTATUS(status)));
    json_object_set_new(o, "signal", json_number(WIFSIGNALED(status), (uint64_t)WTERMSIG(status)));
    json_object_set_new(o, "wall_seconds", json_real(end->wall));
    json_object_set_new(o, "user_seconds", json_real(seconds(end->usage.ru_utime)));
    json_object_set_new(o, "system_seconds", json_real(seconds(end->usage.ru_stime)));
    json_object_set_new(o, "minor_faults", json_integer(end->usage.ru_minflt));
    json_object_set_new(o, "major_faults", json_integer(end->usage.ru_majflt));
    json_object_set_new(o, "peak_resident", json_integer((json_int_t)peak(r)));
    json_object_set_new(o, "resident_at_end", json_number(resident(r) > 0, resident(r)));
    json_object_set_new(o, "resident_age_seconds",
                        r->lines->own != NULL || resident(r) == 0 ? json_null() : json_real(end->age));
}

static void add_inside(const struct report *r, json_t *o)
{
    const struct lines *lines = r->lines;
    bool active = lines->own != NULL || r->end->mapped == MAPPED_YES;
    json_object_set_new(o, "active", active ? json_true() : r->end->mapped == MAPPED_NO ? json_false() : json_null());
    json_object_set_new(o, "processes", json_integer(lines->processes));
    json_object_set_new(o, "returned", json_number(lines->processes > 0, lines->returned));
    json_object_set_new(o, "inside", lines->own != NULL ? json_incref(lines->own) : json_null());
    json_object_set_new(o, "inside_missing", lines->own != NULL ? json_null() : json_text(why_silent(r)));
}

void report_json(const struct report *r, FILE *stream)
{
    json_t *o = json_object();
    json_object_set_new(o, "weir", json_text(weir_version()));
    json_object_set_new(o, "library", json_text(r->library));
    json_object_set_new(o, "command", json_texts(r->command));
    json_object_set_new(o, "program", json_text(r->program->path));
    json_object_set_new(o, "pid", json_integer(r->end->pid));
    json_object_set_new(o, "notes", json_texts(r->program->notes.item));
    add_outside(r, o);
    add_inside(r, o);
    json_print(o, stream);
    json_decref(o);
}
