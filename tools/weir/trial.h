/* SPDX-License-Identifier: MIT
 * One run of what is compared under one allocator: a program, or a server with its load. */
#ifndef WEIR_TOOL_TRIAL_H
#define WEIR_TOOL_TRIAL_H

#include "tool.h"

#include "allocators.h"
#include "launcher.h"
#include "program.h"
#include "result.h"

/** What to run. Lines are for the shell. */
struct subject {
    char *const *argv;      /* the program, or with `load` the server */
    struct program program; /* what argv[0] is */
    bool python;            /* tell every CPython to use malloc */
    const char *load;       /* a server's load, a line; NULL: no server */
    int stop;               /* the signal that ends the server */
    unsigned port;          /* of the server on loopback: it is ready when this answers; 0: */
    double ready;           /* seconds that it needs to be ready */
    double settle;          /* seconds that the server is watched, idle, after its load */
    const char *prepare;    /* a line to run before each run; NULL: none */
    const char *input;      /* a file for standard input; NULL: empty */
    const char *directory;  /* in which all is run; NULL: here */
    double timeout;         /* seconds that a run may take; 0: for ever */
    double interval;        /* between two looks at its size, seconds */
    bool ignore_output;
    bool ignore_end; /* its size at the end means nothing: only one of its processes is left then */
};

/** What came of it. */
struct trial {
    char *problem; /* why the figures do not count; NULL if they do */
    double figure[FIGURE_COUNT];
    int status;           /* of wait(2), the program's or the server's */
    int out, err;         /* its output, files without a name; the load's are thrown away */
    enum mapped mapped;   /* the library */
    struct sample *curve; /* its resident size */
    size_t points;
    char left[16]; /* the name of a process that the program left behind; "" if there was none */
};

/** Finds s->argv[0] and sets what follows from it. @return 0, or after a complaint the tool's exit status. */
int subject_inspect(struct subject *s);

/** Runs it; `trace` for the exact look that takes time. After an interruption (measure.h) the trial means nothing. */
void trial_run(struct trial *t, const struct subject *s, const struct allocator *a, bool trace);
void trial_free(struct trial *t);

/** "exit status 3", "ended by signal 11, Segmentation fault". The caller frees. */
char *trial_ending(int status);

#endif
