/* SPDX-License-Identifier: MIT
 * Medians and noise; see stats.h. */
#include "stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What is closer to 1 than this is no difference, whatever the spread. */
static const double least_difference = 0.01, least_confidence = 0.93;

static int compare_numbers(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double *sorted(const double *value, size_t count)
{
    double *copy = malloc((count + 1) * sizeof *copy);
    if (copy == NULL)
        tool_die("out of memory");
    memcpy(copy, value, count * sizeof *copy);
    qsort(copy, count, sizeof *copy, compare_numbers);
    return copy;
}

double stats_median(const double *value, size_t count)
{
    if (count == 0)
        return 0;
    double *v = sorted(value, count);
    double median = (v[(count - 1) / 2] + v[count / 2]) / 2;
    free(v);
    return median;
}

double stats_deviation(const double *value, size_t count, double center)
{
    double *distance = sorted(value, count);
    for (size_t i = 0; i < count; i++)
        distance[i] = fabs(distance[i] - center);
    double deviation = stats_median(distance, count);
    free(distance);
    return deviation;
}

/** How many of `count` sorted values may be cut off at each end so that the median of what they are drawn from still
 *  lies between the outermost left, with the confidence asked for: by the binomial distribution. */
static size_t interval_cut(size_t count)
{
    double term = pow(0.5, (double)count), below = term; /* the chance that none is below the median */
    size_t cut = 0;
    while (cut + 1 < (count + 1) / 2) {
        term *= (double)(count - cut) / (double)(cut + 1);
        if (1 - 2 * (below + term) < least_confidence)
            break;
        below += term;
        cut++;
    }
    return cut;
}

struct ratio stats_ratio(const double *ratio, size_t count)
{
    struct ratio r = {.pairs = count};
    if (count == 0)
        return r;
    double *v = sorted(ratio, count);
    size_t cut = interval_cut(count);
    r.median = stats_median(ratio, count);
    r.deviation = stats_deviation(ratio, count, r.median);
    r.low = v[cut];
    r.high = v[count - 1 - cut];
    double noise = r.deviation > least_difference ? r.deviation : least_difference;
    r.beyond = count >= STATS_ROUNDS_LEAST && (r.low > 1 || r.high < 1) && fabs(r.median - 1) > noise;
    free(v);
    return r;
}

/** The ratio of two figures; two of nothing are alike. @return false if it means nothing. */
static bool divide(double a, double b, double *ratio)
{
    if (b <= 0 && a > 0)
        return false;
    *ratio = b <= 0 ? 1 : a / b;
    return true;
}

static struct ratio paired(const struct row *row, const struct row *reference, enum figure figure)
{
    double *ratio = calloc(row->runs + 1, sizeof *ratio);
    size_t count = 0;
    if (ratio == NULL)
        tool_die("out of memory");
    for (size_t i = 0; i < row->runs; i++)
        for (size_t k = 0; k < reference->runs; k++)
            if (row->run[i].round == reference->run[k].round &&
                divide(row->run[i].figure[figure], reference->run[k].figure[figure], &ratio[count]))
                count++;
    struct ratio r = stats_ratio(ratio, count);
    free(ratio);
    return r;
}

static double *values(const struct row *row, enum figure figure)
{
    double *value = calloc(row->runs + 1, sizeof *value);
    if (value == NULL)
        tool_die("out of memory");
    for (size_t i = 0; i < row->runs; i++)
        value[i] = row->run[i].figure[figure];
    return value;
}

struct cell stats_cell(const struct result *r, const struct row *row, enum figure figure)
{
    struct cell cell = {.runs = row->runs};
    if (row->runs == 0)
        return cell;
    double *value = values(row, figure);
    cell.median = stats_median(value, row->runs);
    cell.deviation = stats_deviation(value, row->runs, cell.median);
    if (row != r->row)
        cell.ratio = paired(row, r->row, figure);
    free(value);
    return cell;
}

struct ratio stats_against(const struct row *now, const struct row *before, enum figure figure)
{
    double *new_value = values(now, figure), *old_value = values(before, figure);
    size_t pairs = now->runs < before->runs ? now->runs : before->runs;
    struct ratio r = {0};
    double old_median = stats_median(old_value, before->runs), new_median = stats_median(new_value, now->runs);
    if (pairs > 0 && divide(new_median, old_median, &r.median)) {
        double *n = sorted(new_value, now->runs), *o = sorted(old_value, before->runs);
        size_t n_cut = interval_cut(now->runs), o_cut = interval_cut(before->runs);
        double scale = old_median > 0 ? old_median : 1;
        r.pairs = pairs;
        r.deviation =
            (stats_deviation(n, now->runs, new_median) + stats_deviation(o, before->runs, old_median)) / scale;
        r.low = o[before->runs - 1 - o_cut] > 0 ? n[n_cut] / o[before->runs - 1 - o_cut] : 1;
        r.high = o[o_cut] > 0 ? n[now->runs - 1 - n_cut] / o[o_cut] : 1;
        double noise = r.deviation > least_difference ? r.deviation : least_difference;
        r.beyond = pairs >= STATS_ROUNDS_LEAST && (r.low > 1 || r.high < 1) && fabs(r.median - 1) > noise;
        free(n);
        free(o);
    }
    free(new_value);
    free(old_value);
    return r;
}
