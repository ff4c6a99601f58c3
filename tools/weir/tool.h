/* SPDX-License-Identifier: MIT
 * What every file of the weir command shares: its commands, its way to complain, text and lists. Single-threaded; what
 * is allocated for a whole run is left to the end of the process. Only public headers of Weir are used here. */
#ifndef WEIR_TOOL_H
#define WEIR_TOOL_H

#ifdef HAVE_CONFIG_H
#include <config.h>
#endif
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define TOOL_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define TOOL_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/** Exit statuses of the tool itself, those of env(1) and timeout(1). */
enum tool_status { TOOL_FAILED = 125, TOOL_NOT_EXECUTABLE = 126, TOOL_NOT_FOUND = 127 };

/** One `weir NAME`. main.c has the table; a command lives in a file of its name. */
struct command {
    const char *name;
    const char *summary;                /* one line for `weir --help` */
    int (*main)(int argc, char **argv); /* argv[0] is "weir NAME"; returns the exit status; knows --help */
};

extern const struct command command_run, command_compare, command_bench, command_options, command_trace, command_replay;

/** "weir: TEXT\n" on standard error. */
void tool_say(const char *format, ...) TOOL_PRINTF(1, 2);

/** tool_say(), then exit(TOOL_FAILED). */
void tool_die(const char *format, ...) TOOL_PRINTF(1, 2) __attribute__((noreturn));

/** Writes out what standard output's buffer has; says once that it cannot. @return whether all so far got out. */
bool tool_flush(void);

/** `memory`, or tool_die() if it is NULL. */
void *tool_need(void *memory);

/** A growing list of strings; `item` is NULL or ends with NULL. The list owns its strings. */
struct strings {
    char **item;
    size_t count;
};

void strings_add(struct strings *list, const char *format, ...) TOOL_PRINTF(2, 3);
void strings_free(struct strings *list);

/** The strings as a list for people: "a, b and c". Kept to the end of the process. */
const char *strings_join(const struct strings *list);

/** A list of "NAME=VALUE", as an environment: value of `name` or NULL; set replaces or adds. */
/** The entries of this process's own environment. */
struct strings strings_env_own(void);

const char *strings_env_get(const struct strings *list, const char *name);
void strings_env_set(struct strings *list, const char *name, const char *value);

/** printf into memory of its own; never NULL, the caller frees. */
char *text_format(const char *format, ...) TOOL_PRINTF(1, 2);

/** Bytes for people, "812 KiB" or "1.4 GiB", in a buffer that four calls in a row may use. */
const char *text_bytes(uint64_t bytes);

/** Writes `text` with blanks for control characters: a line stays one, and no terminal does what a file says. */
void text_put(const char *text, FILE *stream);

/** How many letters must be added, dropped, changed or swapped to make one of the other. */
unsigned text_distance(const char *a, const char *b);

/** The part of `path` after its last slash. */
const char *text_basename(const char *path);

#endif
