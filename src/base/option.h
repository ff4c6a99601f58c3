/* SPDX-License-Identifier: MIT
 * The WEIR_* environment options: one table, read once at start, without allocating. In a process that is more
 * privileged than its caller (setuid, file capabilities) the environment is ignored. */
#ifndef WR_OPTION_H
#define WR_OPTION_H

#include "base/base.h"

/** Values in force; written only by wr_option_read(). */
extern struct wr_options {
    size_t slack; /* least slack bound, bytes */
    int check;    /* index of the option's words, as are all below */
    int deepbind;
    int purge;
    int purger;
    int stats;
    int strict;
    int thp;
    int verbose;
    int inherit;
    int leaks;
    int gc_debug;     /* of its words, a bit each */
    char report[512]; /* a path, or empty. A copy: programs write over their environment */
} wr_options WR_HIDDEN;

/* Indices into the options' words. */
enum { WR_DEEPBIND_DROP, WR_DEEPBIND_KEEP };
enum { WR_STATS_OFF, WR_STATS_TEXT, WR_STATS_JSON };
enum { WR_PURGE_DONTNEED, WR_PURGE_FREE, WR_PURGE_NEVER };
enum { WR_PURGER_AUTO, WR_PURGER_ON, WR_PURGER_OFF };
enum { WR_THP_SYSTEM, WR_THP_AUTO, WR_THP_NEVER, WR_THP_ALWAYS };

/** Reads the environment, silently; what it does not understand stays at its default. Once, at start. */
void wr_option_read(void);

/** Warns of names and values in the environment that are no options, naming the nearest. */
void wr_option_warn(void);

/** One row of the table, for people. `current` is written into buf. */
struct wr_option_row {
    const char *name, *values, *initial, *help;
    char current[256];
};

/** Fills *row with the option at `index` in alphabetical order; false past the end. */
bool wr_option_row(unsigned index, struct wr_option_row *row);

#endif
