/* SPDX-License-Identifier: MIT
 * What a trace holds, for people and programs. */
#ifndef WEIR_TOOL_TRACEINFO_H
#define WEIR_TOOL_TRACEINFO_H

#include "tool.h"

enum traceinfo_form { TRACEINFO_TEXT, TRACEINFO_JSON, TRACEINFO_CSV };

/** Prints, on standard output, what the trace holds: program, calls, threads, sizes, lifetimes. */
void traceinfo_print(const char *path, enum traceinfo_form form);

/** Prints the calls, one a line, with tabs between: thread, time in microseconds, function, size, alignment, block
 *  given up, block got. "-" stands for what is not there. */
void traceinfo_list(const char *path);

/** Says so, on standard error, if a trace has no end. */
void traceinfo_warn(const char *path, bool whole, uint64_t calls);

#endif
