/* SPDX-License-Identifier: MIT
 * Results as text: a table for people, lines of CSV for programs. */
#ifndef WEIR_TOOL_TABLE_H
#define WEIR_TOOL_TABLE_H

#include "result.h"

/** A table with a line for each allocator, and below it what there is to say. Colours where `stream` is a terminal and
 *  NO_COLOR is not set. */
void table_print(const struct result *r, FILE *stream);

/** A table of geometric means over all results. */
void table_means(const struct results *list, FILE *stream);

/** One line for each run of each allocator; a line of headings first. */
void table_csv(const struct results *list, FILE *stream);

/** A figure in its unit, as short as it can be said: "1.234", "12.35", "12345"; "-" for an end that was not
 *  seen. In one of four buffers in turn. */
const char *table_figure(enum figure figure, double value);

#endif
