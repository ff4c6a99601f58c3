/* SPDX-License-Identifier: MIT
 * Results as a page in Markdown, with plots beside it. */
#ifndef WEIR_TOOL_PAGE_H
#define WEIR_TOOL_PAGE_H

#include "result.h"

/** Before the work: complains and ends where `directory` cannot be written to, or there is no gnuplot. */
void page_check(const char *directory);

/** Writes into `directory` benchmarks.md, and into its directory benchmarks what that shows: results.json, means.svg
 *  and a plot of each benchmark, NAME.svg. */
void page_write(const struct results *list, const char *directory);

#endif
