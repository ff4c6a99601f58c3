/* SPDX-License-Identifier: MIT
 * Makes a trace of the raw file that libweir-trace.so left: puts the calls of all threads into one order, and numbers
 * in place of addresses. */
#ifndef WEIR_TOOL_RAWTRACE_H
#define WEIR_TOOL_RAWTRACE_H

#include "tool.h"

#include <sys/types.h>

/** What a raw file's head says. */
struct raw_about {
    pid_t pid;
    bool running;        /* the process is still there, and this program in it */
    const char *stopped; /* why recording ended early; NULL: it did not */
};

/** What became of a raw file. */
struct raw_result {
    uint64_t calls, peak, size; /* bytes */
    uint32_t threads;
    uint64_t lost;    /* calls in signal handlers that came in the midst of another call */
    uint64_t unknown; /* frees and reallocs of blocks that were made before the recording or elsewhere */
    uint64_t mended;  /* blocks made where one was live: its free was not seen */
};

/** Reads the head. @return false, with a message, if the file is no raw trace. */
bool raw_look(const char *path, struct raw_about *about);

/** Converts the raw file at `path` to a trace at `to`; without a call in it there is no trace. Failures to write end
 *  the tool; the raw file stays. @return false, with a message, if it is no raw trace. */
bool raw_convert(const char *path, const char *to, struct raw_result *result);

#endif
