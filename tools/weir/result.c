/* SPDX-License-Identifier: MIT
 * Results as JSON; see result.h. */
#include "result.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <weir/alloc.h>

#include "json.h"
#include "stats.h"

enum { FORMAT = 1 };

const struct figure_name figure_name[FIGURE_COUNT] = {
    [FIGURE_WALL] = {"wall_seconds", "time", "s", 1},
    [FIGURE_USER] = {"user_seconds", "user", "s", 1},
    [FIGURE_SYSTEM] = {"system_seconds", "system", "s", 1},
    [FIGURE_MINOR] = {"minor_faults", "faults", "", 1},
    [FIGURE_MAJOR] = {"major_faults", "major faults", "", 1},
    [FIGURE_PEAK] = {"peak_resident", "peak", "MiB", 1 << 20},
    [FIGURE_END] = {"resident_at_end", "at end", "MiB", 1 << 20},
    [FIGURE_INTEGRAL] = {"resident_byte_seconds", "over time", "MiB s", 1 << 20},
};

/* ---- making them ------------------------------------------------------------------------------------------------ */

void row_add_run(struct row *row, const struct run *run)
{
    row->run = realloc(row->run, (row->runs + 1) * sizeof *row->run);
    if (row->run == NULL)
        tool_die("out of memory");
    row->run[row->runs++] = *run;
}

void result_free(struct result *r)
{
    for (size_t i = 0; i < r->rows; i++) {
        struct row *row = &r->row[i];
        free(row->allocator);
        free(row->version);
        free(row->environment);
        free(row->problem);
        free(row->differs);
        free(row->run);
        free(row->curve);
    }
    free(r->row);
    free(r->name);
    free(r->kind);
    free(r->about);
    free(r->command);
    free(r->set);
    free(r->date);
    strings_free(&r->absent);
    strings_free(&r->notes);
    free(r);
}

void results_put(struct results *list, struct result *r)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->item[i]->name, r->name) == 0) {
            result_free(list->item[i]);
            list->item[i] = r;
            return;
        }
    list->item = realloc(list->item, (list->count + 1) * sizeof *list->item);
    if (list->item == NULL)
        tool_die("out of memory");
    list->item[list->count++] = r;
}

/* ---- to JSON ---------------------------------------------------------------------------------------------------- */

static json_t *maybe_text(const char *text) { return text != NULL ? json_text(text) : json_null(); }

static json_t *texts(const struct strings *list)
{
    json_t *array = json_array();
    for (size_t i = 0; i < list->count; i++)
        json_array_append_new(array, json_text(list->item[i]));
    return array;
}

/** Whole numbers stay whole: counts and bytes. */
static json_t *figure_json(enum figure figure, double value)
{
    bool whole = figure >= FIGURE_MINOR && figure <= FIGURE_END;
    return whole ? json_integer((json_int_t)(value + 0.5)) : json_real(value);
}

static json_t *runs_json(const struct row *row)
{
    json_t *array = json_array();
    for (size_t i = 0; i < row->runs; i++) {
        json_t *run = json_object();
        json_object_set_new(run, "round", json_integer(row->run[i].round));
        for (int f = 0; f < FIGURE_COUNT; f++)
            json_object_set_new(run, figure_name[f].key, figure_json(f, row->run[i].figure[f]));
        json_array_append_new(array, run);
    }
    return array;
}

static json_t *ratio_json(const struct ratio *ratio)
{
    if (ratio->pairs == 0)
        return json_null();
    return json_pack("{s:f, s:f, s:f, s:f, s:I, s:b}", "median", ratio->median, "deviation", ratio->deviation, "low",
                     ratio->low, "high", ratio->high, "pairs", (json_int_t)ratio->pairs, "beyond_noise", ratio->beyond);
}

/** For readers of the file; this tool computes them again. */
static json_t *summary_json(const struct result *r, const struct row *row)
{
    json_t *object = json_object();
    for (int f = 0; f < FIGURE_COUNT && row->runs > 0; f++) {
        struct cell cell = stats_cell(r, row, f);
        json_t *o = json_object();
        json_object_set_new(o, "median", json_real(cell.median));
        json_object_set_new(o, "deviation", json_real(cell.deviation));
        json_object_set_new(o, "ratio", ratio_json(&cell.ratio));
        json_object_set_new(object, figure_name[f].key, o);
    }
    return object;
}

static json_t *curve_json(const struct row *row)
{
    json_t *array = json_array();
    for (size_t i = 0; i < row->points; i++)
        json_array_append_new(array, json_pack("[f, I]", row->curve[i].time, (json_int_t)row->curve[i].resident));
    return array;
}

static json_t *row_json(const struct result *r, const struct row *row)
{
    json_t *o = json_object();
    json_object_set_new(o, "allocator", json_text(row->allocator));
    json_object_set_new(o, "version", json_text(row->version));
    json_object_set_new(o, "environment", json_text(row->environment));
    json_object_set_new(o, "problem", maybe_text(row->problem));
    json_object_set_new(o, "output_differs", maybe_text(row->differs));
    json_object_set_new(o, "summary", summary_json(r, row));
    json_object_set_new(o, "runs", runs_json(row));
    json_object_set_new(o, "resident_over_time", curve_json(row));
    return o;
}

static json_t *result_json(const struct result *r)
{
    json_t *o = json_object(), *rows = json_array();
    for (size_t i = 0; i < r->rows; i++)
        json_array_append_new(rows, row_json(r, &r->row[i]));
    json_object_set_new(o, "name", json_text(r->name));
    json_object_set_new(o, "kind", json_text(r->kind));
    json_object_set_new(o, "about", json_text(r->about));
    json_object_set_new(o, "command", json_text(r->command));
    json_object_set_new(o, "set", json_text(r->set));
    json_object_set_new(o, "date", json_text(r->date));
    json_object_set_new(o, "rounds", json_integer(r->rounds));
    json_object_set_new(o, "partial", json_boolean(r->partial));
    json_object_set_new(o, "absent", texts(&r->absent));
    json_object_set_new(o, "notes", texts(&r->notes));
    json_object_set_new(o, "allocators", rows);
    return o;
}

json_t *results_to_json(const struct results *list)
{
    json_t *o = json_object(), *array = json_array();
    for (size_t i = 0; i < list->count; i++)
        json_array_append_new(array, result_json(list->item[i]));
    json_object_set_new(o, "weir_results", json_integer(FORMAT));
    json_object_set_new(o, "weir", json_text(weir_version()));
    json_object_set(o, "machine", list->machine);
    json_object_set_new(o, "results", array);
    return o;
}

void results_write(const struct results *list, const char *path)
{
    json_t *o = results_to_json(list);
    struct stat status;
    char *real = realpath(path, NULL); /* so a link stays one */
    const char *target = real != NULL ? real : path;
    char *temporary = text_format("%s.new", target);
    bool file = strncmp(path, "/dev/", 5) != 0 && (lstat(target, &status) != 0 || S_ISREG(status.st_mode));
    FILE *stream = fopen(file ? temporary : path, "we");
    if (stream == NULL)
        tool_die("cannot write %s: %m", file ? temporary : path);
    json_dumpf(o, stream, JSON_COMPACT | JSON_REAL_PRECISION(8)); /* a hundred results are a megabyte or two */
    fputc('\n', stream);
    bool good = ferror(stream) == 0;
    good = fclose(stream) == 0 && good;
    if (!good || (file && rename(temporary, target) != 0))
        tool_die("cannot write %s: %m", path);
    free(temporary);
    free(real);
    json_decref(o);
}

/* ---- from JSON -------------------------------------------------------------------------------------------------- */

static char *text_of(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text_format("%s", text != NULL ? text : "");
}

static char *maybe_text_of(const json_t *o, const char *key)
{
    return json_is_string(json_object_get(o, key)) ? text_of(o, key) : NULL;
}

static struct strings texts_of(const json_t *o, const char *key)
{
    struct strings list = {0};
    size_t i;
    json_t *value;
    json_array_foreach(json_object_get(o, key), i, value) if (json_is_string(value))
        strings_add(&list, "%s", json_string_value(value));
    return list;
}

static void read_row(struct row *row, const json_t *o)
{
    size_t i;
    json_t *value;
    row->allocator = text_of(o, "allocator");
    row->version = text_of(o, "version");
    row->environment = text_of(o, "environment");
    row->problem = maybe_text_of(o, "problem");
    row->differs = maybe_text_of(o, "output_differs");
    json_array_foreach(json_object_get(o, "runs"), i, value)
    {
        struct run run = {.round = (unsigned)json_integer_value(json_object_get(value, "round"))};
        for (int f = 0; f < FIGURE_COUNT; f++)
            run.figure[f] = json_number_value(json_object_get(value, figure_name[f].key));
        row_add_run(row, &run);
    }
    const json_t *curve = json_object_get(o, "resident_over_time");
    row->curve = calloc(json_array_size(curve) + 1, sizeof *row->curve);
    if (row->curve == NULL)
        tool_die("out of memory");
    json_array_foreach(curve, i, value)
    {
        json_int_t resident = json_integer_value(json_array_get(value, 1));
        row->curve[row->points++] =
            (struct sample){json_number_value(json_array_get(value, 0)), resident > 0 ? (uint64_t)resident : 0};
    }
}

static struct result *read_result(const json_t *o)
{
    struct result *r = calloc(1, sizeof *r);
    const json_t *rows = json_object_get(o, "allocators");
    if (r == NULL || (r->row = calloc(json_array_size(rows) + 1, sizeof *r->row)) == NULL)
        tool_die("out of memory");
    r->name = text_of(o, "name");
    r->kind = text_of(o, "kind");
    r->about = text_of(o, "about");
    r->command = text_of(o, "command");
    r->set = text_of(o, "set");
    r->date = text_of(o, "date");
    r->rounds = (unsigned)json_integer_value(json_object_get(o, "rounds"));
    r->partial = json_is_true(json_object_get(o, "partial"));
    r->absent = texts_of(o, "absent");
    r->notes = texts_of(o, "notes");
    for (size_t i = 0; i < json_array_size(rows); i++)
        read_row(&r->row[r->rows++], json_array_get(rows, i));
    return r;
}

void results_read(struct results *list, const char *path)
{
    json_error_t error;
    json_t *o = json_load_file(path, JSON_REJECT_DUPLICATES, &error), *value;
    if (o == NULL)
        tool_die("cannot read results from %s: %s", path, error.line > 0 ? error.text : strerror(errno));
    json_int_t format = json_integer_value(json_object_get(o, "weir_results"));
    if (format == 0)
        tool_die("cannot read results from %s: the file has none of `weir compare` or `weir bench`", path);
    if (format != FORMAT)
        tool_die("cannot read results from %s: its format is %lld, this weir knows %d", path, (long long)format,
                 FORMAT);
    *list = (struct results){.machine = json_incref(json_object_get(o, "machine"))};
    size_t i;
    json_array_foreach(json_object_get(o, "results"), i,
                       value) if (json_array_size(json_object_get(value, "allocators")) > 0)
        results_put(list, read_result(value));
    json_decref(o);
}
