/* SPDX-License-Identifier: MIT
 * Says on standard error how far a long work is: a line that changes on a terminal, a line for each round elsewhere. */
#ifndef WEIR_TOOL_PROGRESS_H
#define WEIR_TOOL_PROGRESS_H

#include "tool.h"

struct progress {
    bool quiet, terminal;
    size_t length;      /* of what stands on the terminal's line */
    double outer_start; /* monotonic: of a work of several parts, */
    double outer_done;  /* and the share of it that was done before this part */
    double outer_share; /* and the share that this part is; 0: there are no parts */
    double outer_guess; /* seconds that the whole was said to take, until there is something to tell from; 0: unknown */
};

void progress_start(struct progress *p, bool quiet);

/** `left` is in seconds, less than 0 if unknown. A `milestone` is said without a terminal, too. */
void progress_say(struct progress *p, bool milestone, double left, const char *format, ...) TOOL_PRINTF(4, 5);

/** Makes place for other lines on standard error. */
void progress_clear(struct progress *p);

#endif
