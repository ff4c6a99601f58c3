/* SPDX-License-Identifier: MIT
 * Progress on standard error; see progress.h. */
#include "progress.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

void progress_start(struct progress *p, bool quiet)
{
    *p = (struct progress){.quiet = quiet, .terminal = isatty(2) == 1};
}

/** "about 3 min left", "" if unknown. */
static void tell_left(char *text, size_t size, double left)
{
    *text = '\0';
    if (left >= 5400)
        snprintf(text, size, ", about %.1f h left", left / 3600);
    else if (left >= 90)
        snprintf(text, size, ", about %.0f min left", left / 60);
    else if (left >= 0)
        snprintf(text, size, ", about %.0f s left", left < 1 ? 1 : left);
}

static size_t terminal_width(void)
{
    struct winsize size = {0};
    return ioctl(2, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

void progress_say(struct progress *p, bool milestone, double left, const char *format, ...)
{
    char text[400], rest[64];
    if (p->quiet || (!p->terminal && !milestone))
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    tell_left(rest, sizeof rest, left);
    if (!p->terminal) {
        tool_say("%s%s", text, rest);
        return;
    }
    char line[sizeof text + sizeof rest + 8];
    snprintf(line, sizeof line, "weir: %s%s", text, rest);
    size_t width = terminal_width() - 1;
    if (strlen(line) > width)
        line[width] = '\0';
    fprintf(stderr, "\r%s\033[K", line);
    fflush(stderr);
    p->length = strlen(line);
}

void progress_clear(struct progress *p)
{
    if (p->terminal && p->length > 0)
        fputs("\r\033[K", stderr);
    fflush(stderr);
    p->length = 0;
}
