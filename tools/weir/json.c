/* SPDX-License-Identifier: MIT
 * JSON helpers; see json.h. */
#include "tool.h"

#include "json.h"

#include <stdlib.h>

json_t *json_text(const char *text)
{
    json_t *value = json_string(text);
    if (value != NULL)
        return value;
    char *ascii = text_format("%s", text);
    for (char *c = ascii; *c != '\0'; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    value = json_string(ascii);
    free(ascii);
    return value;
}

void json_print(const json_t *value, FILE *stream)
{
    json_dumpf(value, stream, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    fputc('\n', stream);
}
