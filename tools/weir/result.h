/* SPDX-License-Identifier: MIT
 * What came of comparing allocators by one program: every run's figures, kept as JSON and read again from it. */
#ifndef WEIR_TOOL_RESULT_H
#define WEIR_TOOL_RESULT_H

#include "tool.h"

#include <jansson.h>

#include "sample.h"

/** What is measured in a run, in the order of the reports. */
enum figure {
    FIGURE_WALL,     /* seconds; of a server, the load's */
    FIGURE_USER,     /* seconds of CPU, with children waited for */
    FIGURE_SYSTEM,   /* the same */
    FIGURE_MINOR,    /* page faults without input or output */
    FIGURE_MAJOR,    /* page faults with */
    FIGURE_PEAK,     /* bytes resident at most */
    FIGURE_END,      /* bytes resident when last seen before the end */
    FIGURE_INTEGRAL, /* byte seconds resident */
    FIGURE_COUNT,
};

struct figure_name {
    const char *key;   /* in JSON and CSV */
    const char *title; /* for people */
    const char *unit;  /* for people, of value / scale */
    double scale;
};

extern const struct figure_name figure_name[FIGURE_COUNT];

struct run {
    unsigned round; /* runs of one round belong together, the first is 1 */
    double figure[FIGURE_COUNT];
};

/** One allocator. */
struct row {
    char *allocator;
    char *version;     /* of its library, "" if unknown */
    char *environment; /* what put the program on it, as one would type it: "LD_PRELOAD=/usr/lib/libx.so" */
    char *problem; /* why it has no more runs, NULL if nothing went wrong: "ended by signal 11, Segmentation fault" */
    char *differs; /* how its output differs from the reference's, NULL if it does not */
    struct run *run;
    size_t runs;
    struct sample *curve; /* resident over time of a typical run */
    size_t points;
};

struct result {
    char *name;      /* "" for a command of the user's */
    char *kind;      /* workload, program or server */
    char *about;     /* a sentence, or "" */
    char *command;   /* as one would type it */
    char *set;       /* "quick", "full", or "" for a command of the user's */
    char *date;      /* of its end, UTC, as in 2025-01-31T12:00:00Z */
    struct row *row; /* the first is the reference */
    size_t rows;
    unsigned rounds;       /* wanted */
    bool partial;          /* interrupted before all rounds were done */
    struct strings absent; /* allocators that were not found */
    struct strings notes;  /* one sentence each */
};

/** A file of results: the machine and one or more of them. */
struct results {
    json_t *machine; /* object of strings and numbers, see machine.h */
    struct result **item;
    size_t count;
};

void row_add_run(struct row *row, const struct run *run);
void result_free(struct result *r);

/** Puts r, which `list` then owns, in the place of the one with its name, or at the end. */
void results_put(struct results *list, struct result *r);

json_t *results_to_json(const struct results *list);

/** Reads the file at `path`. Complains and ends if it cannot be read or holds no results. */
void results_read(struct results *list, const char *path);

/** Writes `list` so that at every moment the file is whole, the old or the new. Complains and ends where it cannot. */
void results_write(const struct results *list, const char *path);

#endif
