/* SPDX-License-Identifier: MIT
 * What `weir run` says at the end: figures from outside (launch.h) and those that the library left in WEIR_REPORT. */
#ifndef WEIR_TOOL_REPORT_H
#define WEIR_TOOL_REPORT_H

#include "tool.h"

#include <jansson.h>

#include "launch.h"
#include "program.h"

/** The lines of a WEIR_REPORT file. */
struct lines {
    unsigned processes; /* that left a line */
    uint64_t returned;  /* bytes given back, by all of them */
    json_t *own;        /* the line of the program itself; NULL if it left none */
};

/** Reads the lines in the file at `path`, the one of process `pid` as the program's own. What is no JSON is passed
 *  over. */
void lines_read(struct lines *lines, const char *path, pid_t pid);

struct report {
    char *const *command;
    const char *library;
    const struct program *program;
    const struct ending *end;
    const struct lines *lines;
};

void report_text(const struct report *r, FILE *stream);
void report_json(const struct report *r, FILE *stream);

#endif
