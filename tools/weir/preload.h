/* SPDX-License-Identifier: MIT
 * Finds libweir-preload.so and makes the environment that loads it into a program. */
#ifndef WEIR_TOOL_PRELOAD_H
#define WEIR_TOOL_PRELOAD_H

#include "tool.h"

/** The absolute path of the preload library: `given` (the user's --library), else $WEIR_PRELOAD, else beside this tool,
 *  else where it was installed. Complains and ends where there is none that LD_PRELOAD could take. The caller frees. */
char *preload_find(const char *given);

/** The absolute path of libweir-trace.so, and of the program that replays traces: beside this tool, else where they
 *  were installed. Complain and end where there is none. The caller frees. */
char *preload_find_recorder(void);
char *preload_find_replayer(void);

/** LD_PRELOAD with `library` (NULL: none) first and then what `old` (NULL: nothing) had, less allocators. The caller
 *  frees. */
char *preload_list(const char *library, const char *old);

#endif
