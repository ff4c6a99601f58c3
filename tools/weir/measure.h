/* SPDX-License-Identifier: MIT
 * Runs a program once, from its start to its end, and measures it from outside. The program has a process group of its
 * own, so that what a terminal sends reaches the tool alone. */
#ifndef WEIR_TOOL_MEASURE_H
#define WEIR_TOOL_MEASURE_H

#include "tool.h"

#include <sys/types.h>

#include "launcher.h"
#include "sample.h"

struct job {
    const char *path; /* the file */
    char *const *argv;
    const struct strings *change; /* of the environment; "NAME=" removes NAME */
    const char *directory;        /* NULL: here */
    int in, out, err;             /* descriptors */
    const char *library;          /* part of a path that must be among its mappings; NULL: nothing to look for */
    bool trace;                   /* hold it at its end and look closely: slower, exact */
    double interval;              /* between two looks at its size, seconds; 0: do not look */
};

struct process {
    int fd; /* the launcher's messages; -1 once it has ended */
    pid_t launcher, pid;
    bool running;
    int stopped;                  /* the signal that has stopped it, 0: it goes on; */
    double stopped_since;         /* and when that was, on the monotonic clock, as are: */
    double start, end;
    struct launched_message last; /* LAUNCHED_NOT: it never ran */
    char left[16];                /* after process_finish(): the name of one that it left behind, "" if it left none */
    struct sampler sampler;
    bool sampled;
};

/** From now on SIGINT, SIGTERM and SIGHUP do not end the tool, but measure_interrupted() says which came. */
void measure_start(void);
int measure_interrupted(void);

/** After the last run: a second signal ends the tool as usual. */
void measure_stop(void);

/** Starts j. @return 0, or an errno with nothing left running. */
int process_start(struct process *p, const struct job *j);

/** Waits until one of the processes ends or is stuck, a signal comes, or `until` (monotonic clock) is reached, and
 *  samples them meanwhile. `other` may be NULL. */
void process_wait(struct process *p, struct process *other, double until);

/** How long a process may be stopped before it counts as stuck, seconds. */
extern const double process_stop_patience;

/** Whether it has stopped, and nobody has had it go on for that long. It would stay so for ever: whoever would do that
 *  in a shell cannot here. */
bool process_is_stuck(const struct process *p);

/** Ends it by SIGKILL if it runs, and what it left behind, and frees all but what struct process itself holds. */
void process_finish(struct process *p);

#endif
