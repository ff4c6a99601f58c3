/* SPDX-License-Identifier: MIT
 * New results against old ones; see against.h. */
#include "against.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "stats.h"

static const enum figure figure_of_interest[] = {FIGURE_WALL, FIGURE_PEAK, FIGURE_END, FIGURE_INTEGRAL};
enum { INTERESTS = sizeof figure_of_interest / sizeof *figure_of_interest };

/** Sums of logarithms of one allocator. */
struct sum {
    const char *allocator;
    double logarithm[INTERESTS];
    size_t count[INTERESTS];
};

struct review {
    struct sum *sum;
    size_t sums;
    struct strings better, worse;
    size_t results; /* in both */
};

static struct sum *find_sum(struct review *v, const char *allocator)
{
    for (size_t i = 0; i < v->sums; i++)
        if (strcmp(v->sum[i].allocator, allocator) == 0)
            return &v->sum[i];
    v->sum = realloc(v->sum, (v->sums + 1) * sizeof *v->sum);
    if (v->sum == NULL)
        tool_die("out of memory");
    v->sum[v->sums] = (struct sum){.allocator = allocator};
    return &v->sum[v->sums++];
}

static const struct row *find_row(const struct result *r, const char *allocator)
{
    for (size_t i = 0; i < r->rows; i++)
        if (strcmp(r->row[i].allocator, allocator) == 0)
            return &r->row[i];
    return NULL;
}

static void review_row(struct review *v, const struct result *now, const struct row *row, const struct result *before,
                       const struct row *old)
{
    struct sum *sum = find_sum(v, row->allocator);
    for (size_t i = 0; i < INTERESTS; i++) {
        enum figure figure = figure_of_interest[i];
        struct ratio ratio = stats_against(now, row, before, old, figure);
        if (ratio.pairs == 0 || ratio.median <= 0)
            continue;
        sum->logarithm[i] += log(ratio.median);
        sum->count[i]++;
        if (ratio.beyond)
            strings_add(ratio.median < 1 ? &v->better : &v->worse, "%-16s %-15s %-9s %.3f", now->name, row->allocator,
                        figure_name[figure].title, ratio.median);
    }
}

static void review_result(struct review *v, const struct result *now, const struct result *before)
{
    v->results++;
    for (size_t i = 0; i < now->rows; i++) {
        const struct row *old = find_row(before, now->row[i].allocator);
        if (old != NULL && old->runs > 0 && now->row[i].runs > 0)
            review_row(v, now, &now->row[i], before, old);
    }
}

static void print_means(const struct review *v, FILE *stream)
{
    fprintf(stream, "\n%-15s", "new / old");
    for (size_t i = 0; i < INTERESTS; i++)
        fprintf(stream, " %10s", figure_name[figure_of_interest[i]].title);
    fputc('\n', stream);
    for (size_t k = 0; k < v->sums; k++) {
        fprintf(stream, "%-15s", v->sum[k].allocator);
        for (size_t i = 0; i < INTERESTS; i++)
            if (v->sum[k].count[i] > 0)
                fprintf(stream, " %10.3f", exp(v->sum[k].logarithm[i] / (double)v->sum[k].count[i]));
            else
                fprintf(stream, " %10s", "");
        fputc('\n', stream);
    }
}

static void print_list(const char *title, const struct strings *list, FILE *stream)
{
    fprintf(stream, "\n%s beyond noise: %s\n", title, list->count == 0 ? "nothing" : "");
    for (size_t i = 0; i < list->count; i++)
        fprintf(stream, "  %s\n", list->item[i]);
}

void against_print(const struct results *now, const struct results *before, const char *path, FILE *stream)
{
    struct review v = {0};
    for (size_t i = 0; i < now->count; i++)
        for (size_t k = 0; k < before->count; k++)
            if (strcmp(now->item[i]->name, before->item[k]->name) == 0 &&
                strcmp(now->item[i]->set, before->item[k]->set) == 0)
                review_result(&v, now->item[i], before->item[k]);
    fprintf(stream, "\nAgainst %s: geometric means over %zu benchmark%s, less is better.\n", path, v.results,
            v.results == 1 ? "" : "s");
    if (!json_equal(now->machine, before->machine))
        fputs("The machines, or their systems, are not the same.\n", stream);
    if (v.results == 0) {
        fputs("No benchmark of the same name and set is in both.\n", stream);
        return;
    }
    print_means(&v, stream);
    print_list("Better", &v.better, stream);
    print_list("Worse", &v.worse, stream);
    free(v.sum);
    strings_free(&v.better);
    strings_free(&v.worse);
}
