/* SPDX-License-Identifier: MIT
 * The reports that `weir compare` and `weir bench` can write beside their table. */
#ifndef WEIR_TOOL_REPORTS_H
#define WEIR_TOOL_REPORTS_H

#include "result.h"

/** Paths, NULL where not asked for; "-" is standard output. */
struct reports {
    const char *json, *csv, *plot, *html;
};

/** Whether the path stands for standard output. */
bool reports_is_output(const char *path);

/** Before the work: complains and ends if a report could not be written, or needs a program that is not there. */
void reports_check(const struct reports *r);

/** Whether one of them goes to standard output, so that no table can. */
bool reports_take_output(const struct reports *r);

/** Writes them; complains and ends where the system refuses. */
void reports_write(const struct reports *r, const struct results *list);

#endif
