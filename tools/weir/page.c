/* SPDX-License-Identifier: MIT
 * The page of results; see page.h. */
#include "page.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <weir/alloc.h>

#include "machine.h"
#include "means.h"
#include "plot.h"
#include "stats.h"
#include "table.h"

static const enum figure figure_of_page[] = {FIGURE_WALL, FIGURE_PEAK, FIGURE_END, FIGURE_INTEGRAL};
/* The directory of all that the page shows. */
#define BELOW "benchmarks"

enum { PAGE_FIGURES = sizeof figure_of_page / sizeof *figure_of_page };

static void need_directory(const char *path)
{
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        tool_die("cannot make %s: %m", path);
    if (access(path, W_OK | X_OK) != 0)
        tool_die("cannot write into %s: %m", path);
}

void page_check(const char *directory)
{
    char *below = text_format("%s/" BELOW, directory);
    need_directory(directory);
    need_directory(below);
    free(below);
    if (!plot_possible())
        tool_die("--page needs gnuplot, which is not in PATH; on Debian: apt-get install gnuplot-nox");
}

static void write_file(const char *directory, const char *name, char *text)
{
    char *path = text_format("%s/%s", directory, name);
    FILE *stream = fopen(path, "we");
    bool good = stream != NULL && text != NULL && fputs(text, stream) >= 0;
    good = stream != NULL && fclose(stream) == 0 && good;
    if (!good)
        tool_die(text == NULL ? "cannot draw %s: gnuplot failed" : "cannot write %s: %m", path);
    free(path);
    free(text);
}

/* ---- text ------------------------------------------------------------------------------------------------------- */

/** In a table "|" would end a cell, and "<" begin a tag. */
static void put(const char *text, FILE *stream)
{
    for (; *text != '\0'; text++) {
        if (strchr("|<*_`\\", *text) != NULL)
            fputc('\\', stream);
        fputc(*text == '\n' ? ' ' : *text, stream);
    }
}

static void put_means(const struct results *list, FILE *stream)
{
    struct means m = means_of(list);
    fprintf(stream, "## Geometric means\n\nOf the ratios to %s in all benchmarks below; less is better.\n\n| |",
            m.reference);
    for (size_t i = 0; i < PAGE_FIGURES; i++)
        fprintf(stream, " %s |", figure_name[figure_of_page[i]].title);
    fputs(" benchmarks |\n|---|", stream);
    for (size_t i = 0; i <= PAGE_FIGURES; i++)
        fputs("---:|", stream);
    for (size_t k = 0; k < m.count; k++) {
        fprintf(stream, "\n| %s |", m.item[k].allocator);
        for (size_t i = 0; i < PAGE_FIGURES; i++)
            fprintf(stream, " %.2f |", m.item[k].ratio[figure_of_page[i]]);
        fprintf(stream, " %zu |", m.item[k].count[FIGURE_WALL]);
    }
    fputs("\n\n![Geometric means](" BELOW "/means.svg)\n\n", stream);
    free(m.item);
}

/** Where Weir is behind: the losses, the largest first. */
struct loss {
    const char *name, *title, *best;
    double ratio;
};

static int compare_losses(const void *a, const void *b)
{
    double x = ((const struct loss *)a)->ratio, y = ((const struct loss *)b)->ratio;
    return (x < y) - (x > y);
}

static const struct row *row_of(const struct result *r, const char *allocator)
{
    for (size_t i = 0; i < r->rows; i++)
        if (strcmp(r->row[i].allocator, allocator) == 0 && r->row[i].runs > 0)
            return &r->row[i];
    return NULL;
}

/** Weir against the best of the others in one figure. @return whether it is behind by more than noise. */
static bool find_loss(const struct result *r, enum figure figure, struct loss *loss)
{
    const struct row *weir = row_of(r, "weir");
    if (weir == NULL)
        return false;
    double least = 0;
    const struct row *best = NULL;
    for (size_t i = 0; i < r->rows; i++) {
        struct cell cell = stats_cell(r, &r->row[i], figure);
        if (&r->row[i] == weir || cell.runs == 0 || cell.median <= 0 || (best != NULL && cell.median >= least))
            continue;
        least = cell.median;
        best = &r->row[i];
    }
    if (best == NULL)
        return false;
    struct ratio ratio = stats_between(weir, best, figure);
    loss->best = best->allocator;
    loss->name = r->name;
    loss->title = figure_name[figure].title;
    loss->ratio = ratio.median;
    return ratio.beyond && ratio.median > 1.05;
}

/** Whether there are rounds enough to mark anything. */
static bool can_tell(const struct results *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->item[i]->rounds >= STATS_ROUNDS_LEAST)
            return true;
    return false;
}

static void put_losses(const struct results *list, FILE *stream)
{
    struct loss *loss = calloc(list->count * PAGE_FIGURES + 1, sizeof *loss);
    size_t count = 0;
    if (loss == NULL)
        tool_die("out of memory");
    for (size_t i = 0; i < list->count; i++)
        for (size_t f = 0; f < PAGE_FIGURES; f++)
            count += find_loss(list->item[i], figure_of_page[f], &loss[count]);
    qsort(loss, count, sizeof *loss, compare_losses);
    fputs("## Where Weir is behind\n\nBy more than noise and 5 %, of the best of the others; the largest first.\n\n"
          "| benchmark | figure | Weir to the best | the best is |\n|---|---|---:|---|\n",
          stream);
    for (size_t i = 0; i < count; i++)
        fprintf(stream, "| %s | %s | %.2f | %s |\n", loss[i].name, loss[i].title, loss[i].ratio, loss[i].best);
    if (count == 0)
        fprintf(stream, "| %s | | | |\n",
                can_tell(list) ? "nowhere" : "the rounds are too few to tell a difference from noise");
    fputc('\n', stream);
    free(loss);
}

static void put_row(const struct result *r, const struct row *row, FILE *stream)
{
    fprintf(stream, "\n| %s |", row->allocator);
    if (row->runs == 0) {
        fputc(' ', stream);
        put(row->problem != NULL ? row->problem : "no run was done", stream);
        fputs(" | | | |", stream);
        return;
    }
    for (size_t f = 0; f < PAGE_FIGURES; f++) {
        struct cell cell = stats_cell(r, row, figure_of_page[f]);
        fprintf(stream, " %s ± %s", table_figure(figure_of_page[f], cell.median),
                table_figure(figure_of_page[f], cell.deviation));
        if (cell.ratio.pairs > 0)
            fprintf(stream, cell.ratio.beyond ? ", **%.2f**" : ", %.2f", cell.ratio.median);
        fputs(" |", stream);
    }
}

static void put_result(const struct result *r, FILE *stream)
{
    fprintf(stream, "### %s\n\n%s\n\n`", r->name, r->about);
    for (const char *c = r->command; *c != '\0'; c++)
        fputc(*c == '`' ? '\'' : *c == '\n' ? ' ' : *c, stream);
    fprintf(stream, "`, %u round%s\n\n| |", r->rounds, r->rounds == 1 ? "" : "s");
    for (size_t f = 0; f < PAGE_FIGURES; f++)
        fprintf(stream, " %s %s |", figure_name[figure_of_page[f]].title, figure_name[figure_of_page[f]].unit);
    fputs("\n|---|---:|---:|---:|---:|", stream);
    for (size_t i = 0; i < r->rows; i++)
        put_row(r, &r->row[i], stream);
    fputs("\n\n", stream);
    for (size_t i = 0; i < r->rows; i++)
        if (r->row[i].differs != NULL)
            fprintf(stream, "- %s: %s\n", r->row[i].allocator, r->row[i].differs);
    for (size_t i = 0; i < r->notes.count; i++)
        fprintf(stream, "- %s\n", r->notes.item[i]);
    fprintf(stream, "\n![Resident size over time: %s](" BELOW "/%s.svg)\n\n", r->name, r->name);
}

static void put_method(const struct results *list, FILE *stream)
{
    struct strings machine = machine_lines(list->machine), seen = {0};
    fputs("## Machine and allocators\n\n", stream);
    for (size_t i = 0; i < machine.count; i++)
        fprintf(stream, "- %s\n", machine.item[i]);
    for (size_t i = 0; i < list->count; i++)
        for (size_t k = 0; k < list->item[i]->rows; k++) {
            const struct row *row = &list->item[i]->row[k];
            if (strings_env_get(&seen, row->allocator) == NULL)
                fprintf(stream, "- %s: %s\n", row->allocator, row->version);
            strings_env_set(&seen, row->allocator, "");
        }
    fputs(
        "\n## Method\n\n"
        "Each round runs every allocator once and begins with another than the last, after a round to warm up. A cell\n"
        "has the median of the rounds, the median absolute deviation, and the median of the ratios to the reference "
        "in\n"
        "the same round: bold where the difference is larger than the noise, that is, where the distribution-free\n"
        "interval of the median (93 % confidence or more) does not hold 1 and the difference exceeds 1 % and the "
        "ratios'\n"
        "own deviation. Peak is what the system counts; at end is what was seen last before the end; over time is the\n"
        "resident size integrated over the run. Outputs were the same under all allocators, and each library was seen\n"
        "in the program, where nothing else is said. Raw figures: [results.json](" BELOW "/results.json).\n\n",
        stream);
    strings_free(&machine);
    strings_free(&seen);
}

/* ---- the page --------------------------------------------------------------------------------------------------- */

void page_write(const struct results *list, const char *directory)
{
    char *text, *below = text_format("%s/" BELOW, directory), *json = text_format("%s/results.json", below);
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    if (stream == NULL)
        tool_die("out of memory");
    if (list->count == 0)
        tool_die("there are no results to make a page of");
    fprintf(stream,
            "# Benchmarks\n\n"
            "`weir bench --%s` of weir %s, under every allocator there was: %u round%s, %.10s.\n"
            "Made by `weir bench --page` from [results.json](" BELOW "/results.json); nothing here is written by "
            "hand.\n\n",
            list->item[0]->set, weir_version(), list->item[0]->rounds,
            list->item[0]->rounds == 1 ? "" : "s", list->item[0]->date);
    put_means(list, stream);
    put_losses(list, stream);
    put_method(list, stream);
    fputs("## Benchmarks\n\n", stream);
    for (size_t i = 0; i < list->count; i++) {
        put_result(list->item[i], stream);
        char *name = text_format("%s.svg", list->item[i]->name);
        write_file(below, name, plot_resident_svg(list->item[i]));
        free(name);
    }
    fclose(stream);
    struct means means = means_of(list);
    write_file(below, "means.svg", means_svg(&means, figure_of_page, PAGE_FIGURES));
    write_file(directory, "benchmarks.md", text);
    results_write(list, json);
    free(means.item);
    free(json);
    free(below);
}
