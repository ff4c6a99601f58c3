/* SPDX-License-Identifier: MIT
 * A set of address ranges that must not overlap: the tests' own account of which memory is a live block. */
#ifndef UNIT_INTERVALS_H
#define UNIT_INTERVALS_H

#include "support.h"

/** Zero it to begin. Not locked. */
struct unit_intervals {
    struct unit_interval *root; /* a treap by start; its nodes are the C library's memory */
    uint64_t state;             /* of the priorities' random numbers */
    size_t count;
};

/** Adds start..start+size-1. The set is unchanged and the result false if that overlaps one of its ranges; *clash is
 *  then the start of that one. pre: size > 0. */
bool unit_intervals_add(struct unit_intervals *set, const void *start, size_t size, const void **clash);

/** Takes out the range that begins at `start`; its size, or 0 if there is none. */
size_t unit_intervals_remove(struct unit_intervals *set, const void *start);

#endif
