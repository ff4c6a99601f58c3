/* SPDX-License-Identifier: MIT
 * Medians, their spread, and whether a difference is larger than the noise. */
#ifndef WEIR_TOOL_STATS_H
#define WEIR_TOOL_STATS_H

#include "result.h"

/** The least rounds that can tell a difference from noise. */
enum { STATS_ROUNDS_LEAST = 5 };

double stats_median(const double *value, size_t count);

/** Median absolute deviation from `center`. */
double stats_deviation(const double *value, size_t count, double center);

/** A ratio of pairs of values. */
struct ratio {
    size_t pairs;     /* 0: there is none, and the rest means nothing */
    double median;    /* of the pairs' ratios */
    double deviation; /* their median absolute deviation */
    double low, high; /* between these lies the true median, with the confidence that the rule asks for */
    bool beyond;      /* the difference from 1 is larger than the noise */
};

/** The rule: the distribution-free interval of the median of the ratios, of at least 93 % confidence, does not hold 1;
 *  and the median is further from 1 than the ratios' median absolute deviation, and than 1 %. */
struct ratio stats_ratio(const double *ratio, size_t count);

/** One allocator to another, by the runs of the same rounds. */
struct ratio stats_between(const struct row *row, const struct row *reference, enum figure figure);

/** One cell of a report. */
struct cell {
    size_t runs; /* 0: there is none, and the rest means nothing */
    double median, deviation;
    struct ratio ratio; /* to the first row, of the runs of the same rounds; none in the first row itself */
};

struct cell stats_cell(const struct result *r, const struct row *row, enum figure figure);

/** Old against new, of runs that are no pairs: the ratio is that of the new median to the old. Compared are the rows'
 *  ratios to their references where these have the same name, else the figures. Beyond noise is what has intervals, as
 *  above, that do not overlap, and is further from 1 than 1 % and than both deviations together. */
struct ratio stats_against(const struct result *now, const struct row *now_row, const struct result *before,
                           const struct row *before_row, enum figure figure);

#endif
