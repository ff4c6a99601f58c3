/* SPDX-License-Identifier: MIT
 * Describes the machine that figures were taken on. */
#ifndef WEIR_TOOL_MACHINE_H
#define WEIR_TOOL_MACHINE_H

#include "tool.h"

#include <jansson.h>

/** An object: cpu, architecture, system, kernel, libc, transparent_huge_pages, governor (strings), cpus, memory_bytes,
 *  page_bytes (integers), virtual (a boolean). What is not known is null. */
json_t *machine_describe(void);

/** "cpu: …" and so on, a line for each of the object's members. */
struct strings machine_lines(const json_t *machine);

#endif
