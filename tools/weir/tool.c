/* SPDX-License-Identifier: MIT
 * Messages, lists of strings and small text helpers of the weir command. */
#include "tool.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *format_text(const char *format, va_list args) TOOL_PRINTF(1, 0);

static char *format_text(const char *format, va_list args)
{
    char *text;
    if (vasprintf(&text, format, args) < 0)
        tool_die("out of memory");
    return text;
}

char *text_format(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = format_text(format, args);
    va_end(args);
    return text;
}

/* One write for the whole line, so that it stays whole among those of other processes. */
static void say(const char *format, va_list args) TOOL_PRINTF(1, 0);

static void say(const char *format, va_list args)
{
    char text[1024];
    vsnprintf(text, sizeof text, format, args);
    fprintf(stderr, "weir: %s\n", text);
    fflush(stderr);
}

void tool_say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(format, args);
    va_end(args);
}

void tool_die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(format, args);
    va_end(args);
    exit(TOOL_FAILED);
}

bool tool_flush(void)
{
    static bool lost;
    bool failed = fflush(stdout) != 0 || ferror(stdout) != 0;
    if (failed && !lost)
        tool_say("cannot write to standard output: %m");
    lost = lost || failed;
    return !lost;
}

void *tool_need(void *memory)
{
    if (memory == NULL)
        tool_die("out of memory");
    return memory;
}

void strings_add(struct strings *list, const char *format, ...)
{
    char **item = realloc(list->item, (list->count + 2) * sizeof *item);
    if (item == NULL)
        tool_die("out of memory");
    va_list args;
    va_start(args, format);
    item[list->count++] = format_text(format, args);
    va_end(args);
    item[list->count] = NULL;
    list->item = item;
}

void strings_free(struct strings *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->item[i]);
    free(list->item);
    *list = (struct strings){0};
}

const char *strings_join(const struct strings *list)
{
    char *text = text_format("%s", "");
    for (size_t i = 0; i < list->count; i++) {
        char *longer = text_format("%s%s%s", text, i == 0 ? "" : i + 1 == list->count ? " and " : ", ", list->item[i]);
        free(text);
        text = longer;
    }
    return text;
}

/** The place of "NAME=…" in list, or list->count. */
static size_t env_find(const struct strings *list, const char *name)
{
    size_t length = strlen(name), i = 0;
    while (i < list->count && (strncmp(list->item[i], name, length) != 0 || list->item[i][length] != '='))
        i++;
    return i;
}

struct strings strings_env_own(void)
{
    struct strings list = {0};
    for (char **entry = environ; *entry != NULL; entry++)
        strings_add(&list, "%s", *entry);
    return list;
}

const char *strings_env_get(const struct strings *list, const char *name)
{
    size_t i = env_find(list, name);
    return i < list->count ? list->item[i] + strlen(name) + 1 : NULL;
}

void strings_env_set(struct strings *list, const char *name, const char *value)
{
    size_t i = env_find(list, name);
    if (i == list->count) {
        strings_add(list, "%s=%s", name, value);
        return;
    }
    char *entry = text_format("%s=%s", name, value);
    free(list->item[i]);
    list->item[i] = entry;
}

const char *text_bytes(uint64_t bytes)
{
    static char buffer[4][32];
    static unsigned next;
    static const char *const unit[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    char *text = buffer[next++ % TOOL_COUNT(buffer)];
    double value = (double)bytes;
    size_t u = 0;
    while (value >= 1023.95 && u + 1 < TOOL_COUNT(unit)) {
        value /= 1024;
        u++;
    }
    snprintf(text, sizeof buffer[0], "%.*f %s", u > 1 ? 1 : 0, value, unit[u]);
    return text;
}

void text_put(const char *text, FILE *stream)
{
    for (; *text != '\0'; text++)
        fputc((unsigned char)*text < ' ' || *text == 0x7f ? ' ' : *text, stream);
}

static unsigned least(unsigned a, unsigned b) { return a < b ? a : b; }

unsigned text_distance(const char *a, const char *b)
{
    enum { LONGEST = 40 };
    unsigned row[3][LONGEST + 1]; /* of the table of distances between beginnings: two before, one before, this one */
    size_t rows = strnlen(a, LONGEST), columns = strnlen(b, LONGEST);
    unsigned *old = row[0], *last = row[1], *now = row[2];
    for (size_t j = 0; j <= columns; j++)
        now[j] = (unsigned)j;
    for (size_t i = 1; i <= rows; i++) {
        unsigned *spare = old;
        old = last;
        last = now;
        now = spare;
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= columns; j++) {
            now[j] = least(least(last[j], now[j - 1]) + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = least(now[j], old[j - 2] + 1);
        }
    }
    return now[columns];
}

const char *text_basename(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}
