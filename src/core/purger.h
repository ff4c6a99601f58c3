/* SPDX-License-Identifier: MIT
 * The purger: a thread that gives back what a process with threads has stopped using, when nobody comes by to do it.
 * WEIR_PURGER says when there is one. See purger.c for what it does and when it lives. */
#ifndef WR_PURGER_H
#define WR_PURGER_H

#include "base/base.h"

/** Notes which process this is. Once, at start. */
void wr_purger_init(void);

/** Starts the purger if there is something for it to do and none lives. Call when slack or use has grown.
 *  pre: no lock is held. Keeps errno. */
void wr_purger_call(void);

/** Says that a thread has come that uses the heap: a process that was found to have but one may have a purger now. */
void wr_purger_thread_comes(void);

/** Whether none runs and none will be made for what there is to do: the process has one thread, as far as is known, or
 *  WEIR_PURGER is off. */
bool wr_purger_is_absent(void);

/** In a forked child: there is none. */
void wr_purger_fork_child(void);

#endif
