/* SPDX-License-Identifier: MIT
 * The raw file: its system calls. Nothing here allocates; unless it says otherwise the caller has
 * the lock. */
#ifndef WR_TRACE_STORE_H
#define WR_TRACE_STORE_H

#include "base/base.h"
#include "trace/raw.h"

struct wr_store {
    int fd;                       /* moved out of the way of programs that close all they know */
    uint64_t device, inode;       /* what it is, if it still is */
    _Atomic uint64_t size;        /* bytes */
    _Atomic uint64_t promised;    /* up to here the disk has been asked to make room, ahead of what is written */
    struct wr_raw_header *header; /* mapped */
    char path[WR_RAW_PATH];
};

/** Zeroed memory of the process that a child of fork finds zeroed again; NULL if the system refuses. */
void *wr_store_wiped(size_t size);

/** Where the environment says that the trace goes (WEIR_TRACE); false if it does not. Works before environ is set. */
bool wr_store_wanted(char *path, size_t size);

/** With WEIR_TRACE_FOLLOW=0, takes WEIR_TRACE and the library's name in LD_PRELOAD out of the environment, for programs
 *  that this one starts. */
void wr_store_unfollow(void);

/** Makes the file PATH.PID.raw, or PATH.PID-2.raw and so on where a program before this one in the same process made
 *  it. @return 0 or an errno. */
int wr_store_open(struct wr_store *store, const char *path);

/** Maps another chunk, zeroed, which the disk has promised to hold. NULL with *error set where it has not. */
void *wr_store_map(struct wr_store *store, int *error);

/** Appends a copy of a chunk. No lock is needed. @return 0 or an errno. */
int wr_store_append(struct wr_store *store, const void *chunk);

/** Notes in the header what the clocks say, so that ticks can be told in seconds. */
void wr_store_note_time(struct wr_store *store);

/** Closes the descriptor of the parent's file in a child. */
void wr_store_forget(const struct wr_store *parents);

#endif
