/* SPDX-License-Identifier: MIT
 * Small programs that the tool runs for its own purposes. */
#ifndef WEIR_TOOL_CHILD_H
#define WEIR_TOOL_CHILD_H

#include "tool.h"

/** What argv[0], an absolute path, writes to standard output, at most 4 MiB of it; NULL unless it succeeds. Its errors
 *  are thrown away, its input is empty, and no allocator is preloaded into it. The caller frees. */
char *child_output(char *const argv[]);

/** The same, with `input` as its standard input. */
char *child_filter(char *const argv[], const char *input);

/** Runs `line` by the shell, in `directory` (NULL: here), its output on the tool's standard error, no allocator
 *  preloaded. @return its exit status, 128 and more after a signal. */
int child_shell(const char *line, const char *directory);

#endif
