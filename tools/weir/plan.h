/* SPDX-License-Identifier: MIT
 * Makes the plan that weir-replay carries out; see ../replay/plan.h. */
#ifndef WEIR_TOOL_PLAN_H
#define WEIR_TOOL_PLAN_H

#include "tool.h"

#include "../replay/plan.h"
#include "tracefile.h"

/** Writes the plan of the trace at `path` to a new temporary file, and fills what of *header follows from the trace.
 *  The caller fills the rest and writes the header to the file's start. `timed`: with the pauses of the recording.
 *  @return the file's descriptor, which exec keeps. Ends the tool with a message where it cannot. *sum is
 *  what trace_sum() says at the end. */
int plan_make(const char *path, bool timed, struct plan_header *header, struct trace_sum *sum);

#endif
