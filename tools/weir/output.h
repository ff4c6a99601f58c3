/* SPDX-License-Identifier: MIT
 * Compares what two runs of a program wrote. */
#ifndef WEIR_TOOL_OUTPUT_H
#define WEIR_TOOL_OUTPUT_H

#include "tool.h"

/** Where the files open at `a` and `b` first differ, in words that call what is in them "NAME wrote '…'"; NULL if they
 *  are the same. `what` is what they hold: "output" or "errors". The caller frees. */
char *output_difference(const char *what, int a, const char *a_name, int b, const char *b_name);

/** The last line of the file open at `fd` that is not empty, cut to what a message bears; "" if there is none. The
 *  caller frees. */
char *output_last_line(int fd);

#endif
