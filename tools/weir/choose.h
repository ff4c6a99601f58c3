/* SPDX-License-Identifier: MIT
 * Finds the allocator that the user names with --allocator. */
#ifndef WEIR_TOOL_CHOOSE_H
#define WEIR_TOOL_CHOOSE_H

#include "tool.h"

/** The library to preload for `name`: that of weir, jemalloc and the like where it is installed, or a path. NULL for
 *  glibc. Complains and ends where there is none. The caller frees. */
char *choose_allocator(const char *name);

/** The names that are known, with commas. */
const char *choose_names(void);

#endif
