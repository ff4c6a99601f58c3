/* SPDX-License-Identifier: MIT
 * New results against old ones: what got better or worse beyond noise. */
#ifndef WEIR_TOOL_AGAINST_H
#define WEIR_TOOL_AGAINST_H

#include "result.h"

/** Prints for each allocator the geometric means of new to old, and each figure that differs by more than noise. What
 *  is compared are the ratios to the reference of the same round, so that a slower or faster day cancels out; of the
 *  reference itself, and where the references are not the same, the figures as they are. */
void against_print(const struct results *now, const struct results *before, const char *path, FILE *stream);

#endif
