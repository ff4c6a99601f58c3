/* SPDX-License-Identifier: MIT
 * What the recorder asks of the interposed functions. */
#ifndef WR_TRACE_INTERPOSE_H
#define WR_TRACE_INTERPOSE_H

#include <stddef.h>

/** Writes the path of the file that the program's malloc is from, "" if unknown. */
void wr_trace_name_allocator(char *path, size_t size);

#endif
