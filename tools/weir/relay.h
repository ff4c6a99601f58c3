/* SPDX-License-Identifier: MIT
 * Passes the signals that this tool gets on to the program it runs, once each.
 *
 * The program stays in the tool's process group, so what a terminal, a shell's `kill %1` or a service manager sends to
 * the whole group reaches it anyway. To tell such a signal from one sent to the tool alone there is a witness: a small
 * process in the same group that gets nothing but the former, and says so through a pipe. */
#ifndef WEIR_TOOL_RELAY_H
#define WEIR_TOOL_RELAY_H

#include "tool.h"

#include <signal.h>
#include <sys/types.h>

struct relay {
    int signal_fd;             /* reads the signals relayed, and SIGCHLD */
    int witness_fd;            /* one byte for each signal that the witness got; -1 without a witness */
    pid_t witness;             /* 0 without one */
    double witnessed[NSIG];    /* when a byte for this signal came last, seconds; 0 if spent */
    sigset_t mask;             /* the tool's at its start, */
    struct sigaction on_child; /* what SIGCHLD did then, */
    struct sigaction on_pipe;  /* and SIGPIPE: all three are the program's again */
};

/** Blocks the signals, ignores SIGPIPE and starts the witness. Ends the tool where the system refuses. */
void relay_start(struct relay *r);

/** In the forked child, before it becomes the program: gives signals back the state they had. */
void relay_restore(const struct relay *r);

/** Waits up to `seconds` for a signal, and passes what came on to `child`. */
void relay_wait(struct relay *r, pid_t child, double seconds);

/** Ends the witness. Signals stay blocked. */
void relay_stop(struct relay *r);

/** Ends this process as signal `number` does, without a core file. Returns if that cannot be. */
void relay_die_by(int number);

/** Seconds on the monotonic clock. */
double relay_now(void);

#endif
