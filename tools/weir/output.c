/* SPDX-License-Identifier: MIT
 * Compares what two runs wrote; see output.h. */
#include "output.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 1 << 16, SHOWN = 40 };

static size_t read_at(int fd, char *buffer, size_t size, off_t offset)
{
    size_t length = 0;
    ssize_t n;
    while (length < size && (n = pread(fd, buffer + length, size - length, offset + (off_t)length)) > 0)
        length += (size_t)n;
    return length;
}

/** The line around `offset`: its text from there on for people, without control characters. */
static char *line_at(int fd, off_t offset)
{
    char text[SHOWN + 1];
    size_t length = read_at(fd, text, SHOWN, offset);
    text[length] = '\0';
    if (length == 0)
        return text_format("ended there");
    bool more = strchr(text, '\n') == NULL && length == SHOWN;
    text[strcspn(text, "\n")] = '\0';
    for (char *c = text; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '.';
    return text_format("wrote '%s%s'", text, more ? "..." : "");
}

/** The place of the first difference; *line is its line, from 1, and *start where that begins. -1: there is none. */
static off_t first_difference(int a, int b, unsigned long *line, off_t *start)
{
    static char x[CHUNK], y[CHUNK];
    *line = 1;
    *start = 0;
    for (off_t offset = 0;; offset += CHUNK) {
        size_t m = read_at(a, x, CHUNK, offset), n = read_at(b, y, CHUNK, offset), least = m < n ? m : n;
        for (size_t i = 0; i < least; i++) {
            if (x[i] != y[i])
                return offset + (off_t)i;
            if (x[i] == '\n') {
                ++*line;
                *start = offset + (off_t)i + 1;
            }
        }
        if (m != n)
            return offset + (off_t)least;
        if (m < CHUNK)
            return -1;
    }
}

char *output_difference(const char *what, int a, const char *a_name, int b, const char *b_name)
{
    unsigned long line;
    off_t start, at = first_difference(a, b, &line, &start);
    if (at < 0)
        return NULL;
    off_t from = at - start > SHOWN / 2 ? at - SHOWN / 4 : start;
    char *x = line_at(a, from), *y = line_at(b, from);
    char *text = text_format("%s differs in line %lu: %s %s, %s %s", what, line, a_name, x, b_name, y);
    free(x);
    free(y);
    return text;
}

char *output_last_line(int fd)
{
    enum { LAST = 160 };
    char text[LAST + 1];
    struct stat status;
    if (fstat(fd, &status) != 0)
        return text_format("%s", "");
    size_t length = read_at(fd, text, LAST, status.st_size > LAST ? status.st_size - LAST : 0);
    while (length > 0 && (unsigned char)text[length - 1] <= ' ')
        length--;
    text[length] = '\0';
    char *line = strrchr(text, '\n');
    line = line != NULL ? line + 1 : text;
    for (char *c = line; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '.';
    return text_format("%s", line);
}
