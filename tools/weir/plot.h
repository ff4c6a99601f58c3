/* SPDX-License-Identifier: MIT
 * Pictures of results, drawn by gnuplot. */
#ifndef WEIR_TOOL_PLOT_H
#define WEIR_TOOL_PLOT_H

#include "result.h"

/** Whether there is a gnuplot. */
bool plot_possible(void);

/** Complains and ends where there is no gnuplot, or `path` ends neither in .svg nor in .png. */
void plot_check(const char *path);

/** Draws into the file at `path`: above, resident size over time, a line for each allocator; below, bars of time, with
 *  the median absolute deviation. Complains and ends where it cannot. */
void plot_file(const struct result *r, const char *path);

/** Figures that stand side by side in a picture: of `series` allocators, in each of `groups`. */
struct plot_bars {
    const char *unit; /* "ratio to glibc" */
    const char *const *series;
    size_t series_count;
    const char *const *group;
    size_t groups;
    const double *value;     /* of series s in group g at [s * groups + g]; 0: there is none */
    const double *deviation; /* the same for lines that show the spread; NULL: none */
    double line;             /* where a line across is drawn, as at a ratio of 1; 0: none */
};

/** The same as <svg> elements for a page or a file, which take the colour of the text around them, or that of the
 *  reader's scheme, light or dark. NULL where gnuplot fails. The caller frees. */
char *plot_resident_svg(const struct result *r);
char *plot_time_svg(const struct result *r);
char *plot_bars_svg(const struct plot_bars *bars);

#endif
