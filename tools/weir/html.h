/* SPDX-License-Identifier: MIT
 * Results as one page that needs no other file: tables, plots, the machine, the exact commands. */
#ifndef WEIR_TOOL_HTML_H
#define WEIR_TOOL_HTML_H

#include "result.h"

/** Writes the page. Without gnuplot it has no plots, and says so. */
void html_write(const struct results *list, FILE *stream);

#endif
