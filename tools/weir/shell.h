/* SPDX-License-Identifier: MIT
 * Command lines as the shell has them: to words and back, and the names of signals. */
#ifndef WEIR_TOOL_SHELL_H
#define WEIR_TOOL_SHELL_H

#include "tool.h"

/** The words of `line`, which may have quotes, $VARIABLES and ~ but starts nothing: a list ending with NULL, kept to
 *  the end of the process. A line with more of the shell's language (;, |, <, a newline...) becomes `sh -c 'line'`.
 *  NULL if it is empty or a quote is not closed. */
char **shell_words(const char *line);

/** Words as one line that can be typed, in a shell that knows $'...' where there are control characters; the caller
 *  frees. */
char *shell_line(char *const argv[]);

/** The number of "TERM", "SIGTERM" or "15"; 0 if there is none. */
int shell_signal(const char *name);

#endif
