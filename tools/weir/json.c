/* SPDX-License-Identifier: MIT
 * JSON helpers; see json.h. */
#include "tool.h"

#include "json.h"

#include <stdlib.h>

/** How many bytes the character at `c` has, 0 where none begins: neither a longer form than need be nor half of a pair
 *  is one. */
static size_t character(const unsigned char *c)
{
    size_t length = c[0] < 0x80 ? 1 : c[0] < 0xc2 ? 0 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : c[0] < 0xf5 ? 4 : 0;
    for (size_t i = 1; i < length; i++)
        if ((c[i] & 0xc0) != 0x80)
            return 0;
    bool longer = (c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xf0 && c[1] < 0x90);
    bool none = (c[0] == 0xed && c[1] >= 0xa0) || (c[0] == 0xf4 && c[1] >= 0x90);
    return longer || none ? 0 : length;
}

json_t *json_text(const char *text)
{
    char *copy = text_format("%s", text);
    for (char *c = copy; *c != '\0';) {
        size_t length = character((const unsigned char *)c);
        if (length == 0)
            *c = '?';
        c += length > 0 ? length : 1;
    }
    json_t *value = json_string(copy);
    free(copy);
    return value;
}

void json_print(const json_t *value, FILE *stream)
{
    json_dumpf(value, stream, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    fputc('\n', stream);
}
