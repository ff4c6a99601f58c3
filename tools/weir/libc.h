/* SPDX-License-Identifier: MIT
 * The C library that the tool is built for, and what only glibc of them has. */
#ifndef WEIR_TOOL_LIBC_H
#define WEIR_TOOL_LIBC_H

#include <stdbool.h>

/** What the C library's own malloc is called: "glibc" or "musl". */
extern const char libc_name[];

/** The C library and, where it tells, its version, as in "glibc 2.36". The caller frees it. */
char *libc_version(void);

/** The path of the C library that this tool runs with; NULL if unknown. Not to be freed. */
const char *libc_path(void);

/** Whether the program that names this loader is for the same C library. */
bool libc_is_for(const char *loader);

/** A signal's name without SIG, as in "TERM"; NULL if it has none. Not to be freed. */
const char *libc_signal_name(int number);

/** What an errno says, as in "No such file or directory"; NULL if it is none. Not to be freed. */
const char *libc_errno_text(int number);

/** Calls `function` at exit with the status, or with 0 where the C library does not tell. */
void libc_at_exit(void (*function)(int status, void *unused));

#endif
