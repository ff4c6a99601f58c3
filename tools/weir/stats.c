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

/** A median with all that tells how far it can be trusted. */
struct spread {
    size_t count;
    double median, deviation, low, high;
};

static struct spread spread_of(const double *value, size_t count)
{
    struct spread s = {.count = count};
    if (count > 0) {
        double *v = sorted(value, count);
        size_t cut = interval_cut(count);
        s.median = stats_median(v, count);
        s.deviation = stats_deviation(v, count, s.median);
        s.low = v[cut];
        s.high = v[count - 1 - cut];
        free(v);
    }
    return s;
}

static bool exceeds_noise(const struct ratio *r)
{
    double noise = r->deviation > least_difference ? r->deviation : least_difference;
    return r->pairs >= STATS_ROUNDS_LEAST && (r->low > 1 || r->high < 1) && fabs(r->median - 1) > noise;
}

struct ratio stats_ratio(const double *ratio, size_t count)
{
    struct spread s = spread_of(ratio, count);
    struct ratio r = {.pairs = count, .median = s.median, .deviation = s.deviation, .low = s.low, .high = s.high};
    r.beyond = exceeds_noise(&r);
    return r;
}

/** The ratio of two figures. @return false if it means nothing: there was nothing, or it was not seen. */
static bool divide(double a, double b, double *ratio)
{
    if (a <= 0 || b <= 0)
        return false;
    *ratio = a / b;
    return true;
}

static double *make_list(size_t count)
{
    double *list = calloc(count + 1, sizeof *list);
    if (list == NULL)
        tool_die("out of memory");
    return list;
}

/** The ratios of the runs of the same rounds; the caller frees. A file that was edited may have a round twice: a run is
 *  divided by one run at most. */
static double *ratios(const struct row *row, const struct row *reference, enum figure figure, size_t *count)
{
    double *ratio = make_list(row->runs);
    *count = 0;
    for (size_t i = 0; i < row->runs; i++)
        for (size_t k = 0; k < reference->runs; k++)
            if (row->run[i].round == reference->run[k].round &&
                divide(row->run[i].figure[figure], reference->run[k].figure[figure], &ratio[*count])) {
                ++*count;
                break;
            }
    return ratio;
}

static double *values(const struct row *row, enum figure figure)
{
    double *value = make_list(row->runs);
    for (size_t i = 0; i < row->runs; i++)
        value[i] = row->run[i].figure[figure];
    return value;
}

struct ratio stats_between(const struct row *row, const struct row *reference, enum figure figure)
{
    size_t count;
    double *ratio = ratios(row, reference, figure, &count);
    struct ratio r = stats_ratio(ratio, count);
    free(ratio);
    return r;
}

/** What is compared of a row: its ratios, or the figures themselves. */
static struct spread spread_of_row(const struct result *r, const struct row *row, enum figure figure, bool as_ratio)
{
    size_t count = row->runs;
    double *value = as_ratio ? ratios(row, r->row, figure, &count) : values(row, figure);
    struct spread s = spread_of(value, count);
    free(value);
    return s;
}

struct cell stats_cell(const struct result *r, const struct row *row, enum figure figure)
{
    struct cell cell = {.runs = row->runs};
    if (row->runs == 0)
        return cell;
    struct spread s = spread_of_row(r, row, figure, false);
    cell.median = s.median;
    cell.deviation = s.deviation;
    if (row != r->row)
        cell.ratio = stats_between(row, r->row, figure);
    return cell;
}

struct ratio stats_against(const struct result *now, const struct row *now_row, const struct result *before,
                           const struct row *before_row, enum figure figure)
{
    bool as_ratio =
        now_row != now->row && before_row != before->row && strcmp(now->row->allocator, before->row->allocator) == 0;
    struct spread n = spread_of_row(now, now_row, figure, as_ratio);
    struct spread o = spread_of_row(before, before_row, figure, as_ratio);
    struct ratio r = {0};
    if (n.count == 0 || o.count == 0 || o.low <= 0 || !divide(n.median, o.median, &r.median))
        return r;
    r.pairs = n.count < o.count ? n.count : o.count;
    r.deviation = (n.deviation + o.deviation) / o.median;
    r.low = n.low / o.high;
    r.high = n.high / o.low;
    r.beyond = exceeds_noise(&r);
    return r;
}
