/* SPDX-License-Identifier: MIT
 * Runs one subject under all allocators, in rounds, and collects what came of it. */
#ifndef WEIR_TOOL_CONTEST_H
#define WEIR_TOOL_CONTEST_H

#include "tool.h"

#include "progress.h"
#include "trial.h"

struct contest {
    const struct subject *subject;
    const struct allocators *allocators;
    unsigned rounds, warm_up;
    struct progress *progress;
};

/** Runs them: first the rounds to warm up, the very first under a closer watch, then those that count. Within a round
 *  each allocator runs once, and each round begins with another. An allocator under which the subject fails has no more
 *  runs. What has been done by the time of an interruption (measure.h) is in the result. The caller fills in the
 *  result's kind, about and command, and frees it. */
struct result *contest_run(const struct contest *c, const char *name);

/** Whether under some allocator something was wrong that was right under the first. */
bool contest_wrong(const struct result *r);

#endif
