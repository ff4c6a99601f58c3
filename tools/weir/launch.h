/* SPDX-License-Identifier: MIT
 * Runs one program to its end and measures it from outside. */
#ifndef WEIR_TOOL_LAUNCH_H
#define WEIR_TOOL_LAUNCH_H

#include "tool.h"

#include <sys/resource.h>
#include <sys/types.h>

struct launch {
    const char *path; /* the file */
    char **argv;
    char **env;
    bool elf;            /* not a script, so the shell is not asked to run it where the system refuses */
    const char *library; /* basename of the library to look for in the program's mappings */
};

enum mapped { MAPPED_UNKNOWN, MAPPED_NO, MAPPED_YES };

struct ending {
    pid_t pid;
    int status;          /* of wait(2) */
    double wall;         /* seconds */
    struct rusage usage; /* of the program and the children that it waited for */
    uint64_t resident;   /* bytes when last looked at; 0 if it never was */
    double age;          /* seconds between that look and the end */
    enum mapped mapped;  /* whether the library was there when last looked for */
};

/** Runs l to its end; signals are relayed (relay.h), stops followed. Standard input, output and error are left alone.
 *  @return 0, or after a complaint the exit status for a program that could not be started. */
int launch(const struct launch *l, struct ending *end);

/** Ends this process by the signal that ended the program. @return else the program's exit status. */
int launch_pass_on(const struct ending *end);

/** Whether a path with `library` in it is among the mappings of process `pid`; unknown where they cannot be read. */
enum mapped launch_mapped(pid_t pid, const char *library);

/** Executes the file at `path` as a script of the shell, as execvp(3) does with one that has no "#!". Returns if that
 *  cannot be. */
void launch_by_shell(const char *path, char *const argv[], char *const env[]);

#endif
