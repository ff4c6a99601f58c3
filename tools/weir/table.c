/* SPDX-License-Identifier: MIT
 * The table and the CSV of results; see table.h. */
#include "table.h"

#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "means.h"
#include "stats.h"

enum { SPARKS = 12, TEXT_MOST = 48 };

/* In the order of the table; the others are in the JSON, the CSV and the page. */
static const struct column {
    enum figure figure;
    const char *title;
    int width;
    bool ratio, deviation;
} column[] = {
    {FIGURE_WALL, "time s", 7, true, true},     {FIGURE_USER, "user s", 7, false, false},
    {FIGURE_SYSTEM, "sys s", 7, false, false},  {FIGURE_MINOR, "faults", 8, false, false},
    {FIGURE_PEAK, "peak MiB", 8, true, false},  {FIGURE_END, "end MiB", 8, true, false},
    {FIGURE_INTEGRAL, "MiB s", 7, true, false},
};

/* ---- numbers ---------------------------------------------------------------------------------------------------- */

static char *next_buffer(void)
{
    static char buffer[4][TEXT_MOST];
    static unsigned next;
    return buffer[next++ % TOOL_COUNT(buffer)];
}

/** As short as it can be said: "1.234", "12.3", "12345". */
static const char *short_number(double value)
{
    char *text = next_buffer();
    int digits = value >= 1000 || value == 0 ? 0 : value >= 100 ? 1 : value >= 10 ? 2 : 3;
    snprintf(text, TEXT_MOST, "%.*f", digits, value);
    return text;
}

const char *table_figure(enum figure figure, double value)
{
    char *text = next_buffer();
    if (figure == FIGURE_END && value <= 0)
        snprintf(text, TEXT_MOST, "-");
    else if (figure == FIGURE_MINOR || figure == FIGURE_MAJOR)
        snprintf(text, TEXT_MOST, "%.0f", value);
    else
        return short_number(value / figure_name[figure].scale);
    return text;
}

/* ---- the terminal ----------------------------------------------------------------------------------------------- */

struct style {
    bool colour, utf8;
};

static struct style style_of(FILE *stream)
{
    const char *none = getenv("NO_COLOR"), *terminal = getenv("TERM");
    setlocale(LC_CTYPE, "");
    return (struct style){.colour = isatty(fileno(stream)) == 1 && (none == NULL || *none == '\0') &&
                                    (terminal == NULL || strcmp(terminal, "dumb") != 0),
                          .utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0};
}

/** The resident size over the time of the run, as blocks of different height; `most` is the full height. */
static void print_sparks(const struct row *row, uint64_t most, struct style style, FILE *stream)
{
    static const char *const block[] = {"\u2581", "\u2582", "\u2583", "\u2584", "\u2585", "\u2586", "\u2587", "\u2588"};
    static const char ascii[] = "._-~=+*#";
    double end = row->points > 0 ? row->curve[row->points - 1].time : 0;
    size_t at = 0;
    for (int i = 0; i < SPARKS && row->points > 0 && most > 0; i++) {
        double until = end * (i + 1) / SPARKS;
        uint64_t highest = row->curve[at].resident;
        for (; at + 1 < row->points && row->curve[at].time < until; at++)
            if (row->curve[at].resident > highest)
                highest = row->curve[at].resident;
        size_t level = (size_t)((double)highest / (double)most * 7.999);
        level = level > 7 ? 7 : level;
        if (style.utf8)
            fputs(block[level], stream);
        else
            fputc(ascii[level], stream);
    }
}

/* ---- the table -------------------------------------------------------------------------------------------------- */

static int name_width(const struct result *r)
{
    size_t width = strlen("allocator");
    for (size_t i = 0; i < r->rows; i++)
        if (strlen(r->row[i].allocator) > width)
            width = strlen(r->row[i].allocator);
    return (int)width;
}

static void print_heading(const struct result *r, FILE *stream)
{
    fprintf(stream, "%-*s", name_width(r), "allocator");
    for (size_t i = 0; i < TOOL_COUNT(column); i++)
        fprintf(stream, " %*s%s%s", column[i].width, column[i].title, column[i].deviation ? "     +-" : "",
                column[i].ratio ? "  ratio" : "");
    fputs("  size over time\n", stream);
}

/** " 0.93*": less is better in all figures, so green is below 1. */
static void print_ratio(const struct cell *cell, struct style style, FILE *stream)
{
    if (cell->ratio.pairs == 0) {
        fprintf(stream, "%7s", "");
        return;
    }
    const char *colour = cell->ratio.median < 1 ? "\033[32m" : "\033[31m";
    bool show = style.colour && cell->ratio.beyond;
    int digits = cell->ratio.median < 9.995 ? 2 : 1;
    fprintf(stream, "%s%6.*f%s%s", show ? colour : "", digits, cell->ratio.median, cell->ratio.beyond ? "*" : " ",
            show ? "\033[0m" : "");
}

static void print_row(const struct result *r, const struct row *row, uint64_t most, struct style style, FILE *stream)
{
    fprintf(stream, "%-*s", name_width(r), row->allocator);
    if (row->runs == 0) {
        fputc(' ', stream);
        text_put(row->problem != NULL ? row->problem : "no run was done", stream);
        fputc('\n', stream);
        return;
    }
    for (size_t i = 0; i < TOOL_COUNT(column); i++) {
        const struct column *c = &column[i];
        struct cell cell = stats_cell(r, row, c->figure);
        fprintf(stream, " %*s", c->width, table_figure(c->figure, cell.median));
        if (c->deviation)
            fprintf(stream, " %6s", table_figure(c->figure, cell.deviation));
        if (c->ratio)
            print_ratio(&cell, style, stream);
    }
    fputs("  ", stream);
    print_sparks(row, most, style, stream);
    fputc('\n', stream);
}

static void print_legend(const struct result *r, FILE *stream)
{
    const char *first = r->row[0].allocator;
    unsigned fewest = r->row[0].runs > 0 ? (unsigned)r->row[0].runs : 0;
    fprintf(stream, "\nMedians of %u round%s; +- is the median absolute deviation, a ratio that to %s.", fewest,
            fewest == 1 ? "" : "s", first);
    if (fewest >= STATS_ROUNDS_LEAST)
        fputs(" *: more than noise.\n", stream);
    else
        fprintf(stream, "\nFewer than %d rounds cannot tell a difference from noise, so none is marked.\n",
                STATS_ROUNDS_LEAST);
}

/** What went wrong, and what there is to say. */
static void print_remarks(const struct result *r, FILE *stream)
{
    struct strings line = {0};
    for (size_t i = 0; i < r->rows; i++) {
        if (r->row[i].problem != NULL && r->row[i].runs > 0)
            strings_add(&line, "%s: after %zu rounds %s", r->row[i].allocator, r->row[i].runs, r->row[i].problem);
        if (r->row[i].differs != NULL)
            strings_add(&line, "%s: %s", r->row[i].allocator, r->row[i].differs);
    }
    for (size_t i = 0; i < r->notes.count; i++)
        strings_add(&line, "Note: %s.", r->notes.item[i]);
    if (r->absent.count > 0)
        strings_add(&line, "Not on this machine: %s.", strings_join(&r->absent));
    if (r->partial)
        strings_add(&line, "INTERRUPTED: of %u rounds only what was done is here.", r->rounds);
    for (size_t i = 0; i < line.count; i++) {
        text_put(line.item[i], stream);
        fputc('\n', stream);
    }
    strings_free(&line);
}

void table_print(const struct result *r, FILE *stream)
{
    struct style style = style_of(stream);
    uint64_t most = 0;
    for (size_t i = 0; i < r->rows; i++)
        for (size_t k = 0; k < r->row[i].points; k++)
            most = r->row[i].curve[k].resident > most ? r->row[i].curve[k].resident : most;
    text_put(r->name, stream);
    fputs(*r->name != '\0' ? ": " : "", stream);
    text_put(r->command, stream);
    fputs("\n\n", stream);
    print_heading(r, stream);
    for (size_t i = 0; i < r->rows; i++)
        print_row(r, &r->row[i], most, style, stream);
    print_legend(r, stream);
    print_remarks(r, stream);
}

void table_means(const struct results *list, FILE *stream)
{
    static const enum figure figure[] = {FIGURE_WALL, FIGURE_PEAK, FIGURE_END, FIGURE_INTEGRAL};
    struct means m = means_of(list);
    fprintf(stream, "Geometric means of the ratios to %s, less is better\n\n%-15s", m.reference, "allocator");
    for (size_t i = 0; i < TOOL_COUNT(figure); i++)
        fprintf(stream, " %10s", figure_name[figure[i]].title);
    fputs(" benchmarks\n", stream);
    for (size_t k = 0; k < m.count; k++) {
        fprintf(stream, "%-15s", m.item[k].allocator);
        for (size_t i = 0; i < TOOL_COUNT(figure); i++)
            if (m.item[k].count[figure[i]] > 0)
                fprintf(stream, " %10.3f", m.item[k].ratio[figure[i]]);
            else
                fprintf(stream, " %10s", "");
        fprintf(stream, " %10zu\n", m.item[k].count[FIGURE_WALL]);
    }
    free(m.item);
}

/* ---- CSV -------------------------------------------------------------------------------------------------------- */

/** As RFC 4180 has it. */
static void print_field(const char *text, FILE *stream)
{
    if (strpbrk(text, ",\"\r\n") == NULL) {
        fputs(text, stream);
        return;
    }
    fputc('"', stream);
    for (; *text != '\0'; text++) {
        if (*text == '"')
            fputc('"', stream);
        fputc(*text, stream);
    }
    fputc('"', stream);
}

static void print_line(const struct result *r, const struct row *row, const struct run *run, FILE *stream)
{
    print_field(r->name, stream);
    fputc(',', stream);
    print_field(row->allocator, stream);
    if (run != NULL)
        fprintf(stream, ",%u", run->round);
    else
        fputc(',', stream);
    for (int f = 0; f < FIGURE_COUNT; f++)
        if (run == NULL)
            fputc(',', stream);
        else
            fprintf(stream, ",%.*f", f >= FIGURE_MINOR ? 0 : 6, run->figure[f]);
    fputc(',', stream);
    print_field(row->problem != NULL ? row->problem : row->differs != NULL ? row->differs : "", stream);
    fputc('\n', stream);
}

void table_csv(const struct results *list, FILE *stream)
{
    fputs("name,allocator,round", stream);
    for (int f = 0; f < FIGURE_COUNT; f++)
        fprintf(stream, ",%s", figure_name[f].key);
    fputs(",problem\n", stream);
    for (size_t i = 0; i < list->count; i++)
        for (size_t k = 0; k < list->item[i]->rows; k++) {
            const struct row *row = &list->item[i]->row[k];
            for (size_t n = 0; n < row->runs; n++)
                print_line(list->item[i], row, &row->run[n], stream);
            if (row->runs == 0)
                print_line(list->item[i], row, NULL, stream);
        }
}
