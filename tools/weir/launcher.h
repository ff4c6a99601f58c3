/* SPDX-License-Identifier: MIT
 * A process of its own between the tool and a program that it measures: what the system counts for a child begins
 * with what its parent was at the fork, and this parent is as small as can be. It is this tool again, called with
 * LAUNCHER_COMMAND. It forks the program, waits for it and tells the tool what there was. Processes whose parent ends
 * before they do become its children, so that it finds and ends what the program leaves behind, daemons too. */
#ifndef WEIR_TOOL_LAUNCHER_H
#define WEIR_TOOL_LAUNCHER_H

#include "tool.h"

#include <sys/resource.h>
#include <sys/types.h>

#include "launch.h"

/** Arguments: descriptor of a pipe for messages; part of a path to look for among the program's mappings when it
 *  ends, or "" not to trace it; then NAME=VALUE for its environment (NAME= removes NAME), "--", the file, its argv. */
#define LAUNCHER_COMMAND "launcher-of-compare"

enum launched { LAUNCHED_NOT, LAUNCHED_RUNS, LAUNCHED_STOPPED, LAUNCHED_GOES_ON, LAUNCHED_ENDED, LAUNCHED_LEFT };

struct launched_message {
    enum launched what;
    int error;           /* of LAUNCHED_NOT: why, an errno */
    pid_t pid;           /* the program's; of LAUNCHED_LEFT: one of those that it left behind, */
    char name[16];       /* and its name */
    double time;         /* on the monotonic clock: of what the message is about */
    int status;          /* of wait(2); of LAUNCHED_STOPPED: the signal that stopped it */
    struct rusage usage; /* of the program and the children that it waited for */
    enum mapped mapped;  /* at its end; unknown where it was not traced */
    uint64_t resident;   /* bytes at its end, exactly; 0 where it was not traced */
};

int launcher_main(int argc, char **argv);

#endif
