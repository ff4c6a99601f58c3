/* SPDX-License-Identifier: MIT
 * Geometric means of an allocator's ratios over several results. */
#ifndef WEIR_TOOL_MEANS_H
#define WEIR_TOOL_MEANS_H

#include "result.h"

struct mean {
    const char *allocator;
    double ratio[FIGURE_COUNT]; /* to the reference; 1 for itself */
    size_t count[FIGURE_COUNT]; /* of the results in which both have the figure; 0: no mean */
};

struct means {
    struct mean *item; /* in the order of their first appearance */
    size_t count;
    const char *reference;
};

/** Over all results that begin with the same reference as the first one. Strings are those of `list`. The caller frees
 *  item. */
struct means means_of(const struct results *list);

/** A picture of them as <svg>, see plot.h, of those allocators that have at least half of the results; the caller
 *  frees. NULL where there is no gnuplot. */
char *means_svg(const struct means *m, const enum figure *figure, size_t count);

#endif
