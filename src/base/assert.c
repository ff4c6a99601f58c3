/* SPDX-License-Identifier: MIT
 * How the library ends a process that it cannot let go on; see assert.h. */
#include "base/assert.h"

#include <stdlib.h>

#include "base/text.h"

void wr_fatal(const char *format, ...)
{
    char buf[500];
    struct wr_text text = WR_TEXT(buf);
    va_list args;
    va_start(args, format);
    wr_text_vadd(&text, format, args);
    va_end(args);
    wr_message("fatal: %s", buf);
    abort();
}

void wr_assert_fail(const char *what, const char *file, int line)
{
    wr_fatal("assertion failed at %s:%d: %s", file, line, what);
}
