/* SPDX-License-Identifier: MIT
 * Geometric means over results; see means.h. */
#include "means.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plot.h"
#include "stats.h"

static struct mean *find(struct means *m, const char *allocator)
{
    for (size_t i = 0; i < m->count; i++)
        if (strcmp(m->item[i].allocator, allocator) == 0)
            return &m->item[i];
    m->item = realloc(m->item, (m->count + 1) * sizeof *m->item);
    if (m->item == NULL)
        tool_die("out of memory");
    m->item[m->count] = (struct mean){.allocator = allocator};
    return &m->item[m->count++];
}

/** Until all is added, `ratio` holds sums of logarithms. */
static void add_row(struct means *m, const struct result *r, const struct row *row)
{
    struct mean *mean = find(m, row->allocator);
    for (int f = 0; f < FIGURE_COUNT && row->runs > 0; f++) {
        struct cell cell = stats_cell(r, row, f);
        if (row != r->row && (cell.ratio.pairs == 0 || cell.ratio.median <= 0))
            continue;
        mean->ratio[f] += row == r->row ? 0 : log(cell.ratio.median);
        mean->count[f]++;
    }
}

struct means means_of(const struct results *list)
{
    struct means m = {.reference = list->count > 0 ? list->item[0]->row[0].allocator : ""};
    for (size_t i = 0; i < list->count; i++)
        for (size_t k = 0; k < list->item[i]->rows; k++)
            if (strcmp(list->item[i]->row[0].allocator, m.reference) == 0)
                add_row(&m, list->item[i], &list->item[i]->row[k]);
    for (size_t i = 0; i < m.count; i++)
        for (int f = 0; f < FIGURE_COUNT; f++)
            m.item[i].ratio[f] = m.item[i].count[f] > 0 ? exp(m.item[i].ratio[f] / (double)m.item[i].count[f]) : 0;
    return m;
}

char *means_svg(const struct means *m, const enum figure *figure, size_t count)
{
    const char **series = calloc(m->count + 1, sizeof *series), **group = calloc(count + 1, sizeof *group);
    double *value = calloc(m->count * count + 1, sizeof *value);
    if (series == NULL || group == NULL || value == NULL)
        tool_die("out of memory");
    size_t shown = 0, most = 0;
    for (size_t i = 0; i < m->count; i++)
        most = m->item[i].count[FIGURE_WALL] > most ? m->item[i].count[FIGURE_WALL] : most;
    for (size_t g = 0; g < count; g++)
        group[g] = figure_name[figure[g]].title;
    for (size_t i = 0; i < m->count; i++) {
        if (2 * m->item[i].count[FIGURE_WALL] < most) /* a mean of other things, as pymalloc's of Python alone */
            continue;
        series[shown] = m->item[i].allocator;
        for (size_t g = 0; g < count; g++)
            value[shown * count + g] = m->item[i].ratio[figure[g]];
        shown++;
    }
    char *svg = plot_bars_svg(&(struct plot_bars){.unit = "ratio, less is better",
                                                  .series = series,
                                                  .series_count = shown,
                                                  .group = group,
                                                  .groups = count,
                                                  .value = value,
                                                  .line = 1});
    free(series);
    free(group);
    free(value);
    return svg;
}
