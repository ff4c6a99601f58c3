/* SPDX-License-Identifier: MIT
 * What the weir command needs of JSON beyond jansson. */
#ifndef WEIR_TOOL_JSON_H
#define WEIR_TOOL_JSON_H

#include <jansson.h>
#include <stdio.h>

/** A JSON string; bytes that are no UTF-8 (file names may have them) become '?'. */
json_t *json_text(const char *text);

/** Writes `value` and a newline. */
void json_print(const json_t *value, FILE *stream);

#endif
