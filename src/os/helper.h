/* SPDX-License-Identifier: MIT
 * A thread of the library's own, and one that may take its place. helper.c says why the C library does not know it. */
#ifndef WR_HELPER_H
#define WR_HELPER_H

#include <stdatomic.h>

#include "base/base.h"

/** Starts a thread that runs fn() once and ends. It has every signal blocked, 32 KiB of stack and no more of the C
 *  library than src/os: fn() may use Weir's own code and nothing else. False if there are two already, or the system
 *  refuses. Any thread, any time, whatever locks the program holds. Keeps errno. */
bool wr_helper_start(void (*fn)(void));

/** In a forked child, where threads other than the caller's are gone. */
void wr_helper_fork_child(void);

/** Threads of the process, helpers not counted, but for one that just comes or goes: never less than there are. 0 where
 *  the system does not tell. Keeps errno. */
size_t wr_helper_others(void);

#endif
