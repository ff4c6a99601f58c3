/* SPDX-License-Identifier: MIT
 * A suite of benchmarks: a file of JSON that says what can be run, how, and what that needs. */
#ifndef WEIR_TOOL_SUITE_H
#define WEIR_TOOL_SUITE_H

#include "tool.h"

#include <jansson.h>

/** Strings are NULL where the file has none, and belong to the suite. */
struct benchmark {
    const char *name, *kind, *about;
    const char *command;     /* words; of a server: what starts it */
    const char *load, *stop; /* of a server */
    unsigned port;
    double settle;                  /* seconds */
    const char *setup;              /* a line for the shell, once before all runs, not measured */
    const char *prepare;            /* the same before each run */
    const char *quick, *full;       /* the value of BENCH_SIZE in these sets; NULL: the set has it not */
    double quick_seconds, full_seconds; /* that a run of them takes on a usual machine; 0: nobody knows */
    bool ignore_output, ignore_end; /* as in struct subject */
    const json_t *needs;            /* object: name of a program -> the package that has it */
};

struct suite {
    char *path;      /* of the file */
    char *directory; /* in which it is, absolute: BENCH_SUITE */
    char *workloads; /* of the workload programs, absolute: BENCH_WORKLOADS; NULL if they are not built */
    struct benchmark *item;
    size_t count;
    json_t *json; /* owns the strings */
};

/** Reads `given`, else the suite beside this tool in a build tree, else the installed one. Complains and ends where
 *  there is none, or it is not sound. */
void suite_read(struct suite *s, const char *given);

/** What keeps `b` from running here, as "redis-server is missing (package redis-server)"; NULL if nothing does. The
 *  caller frees. */
char *suite_lacks(const struct suite *s, const struct benchmark *b);

/** Whether one of the patterns of fnmatch(3) is for the benchmark's name or kind; none at all is for every one. */
bool suite_wants(const struct benchmark *b, char *const *pattern);

#endif
