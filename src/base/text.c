/* SPDX-License-Identifier: MIT
 * Text without allocation; see text.h. */
#include "base/text.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/syscall.h>
#include <unistd.h>

static void add_char(struct wr_text *text, char c)
{
    if (text->len + 1 >= text->size) {
        text->full = true;
        return;
    }
    text->buf[text->len++] = c;
    text->buf[text->len] = '\0';
}

/** Appends `string` padded to `width` with `pad` before it, or with spaces after it if `left`. */
static void add_padded(struct wr_text *text, const char *string, unsigned width, char pad, bool left)
{
    size_t length = strlen(string);
    for (size_t i = length; !left && i < width; i++)
        add_char(text, pad);
    for (size_t i = 0; i < length; i++)
        add_char(text, string[i]);
    for (size_t i = length; left && i < width; i++)
        add_char(text, ' ');
}

/** Writes `value` in `base` at the end of the 24 bytes of `buf`; returns its start. */
static char *digits(char *buf, uint64_t value, unsigned base)
{
    char *at = buf + 23;
    *at = '\0';
    do
        *--at = "0123456789abcdef"[value % base];
    while ((value /= base) != 0);
    return at;
}

void wr_text_vadd(struct wr_text *text, const char *format, va_list args)
{
    for (const char *f = format; *f != '\0'; f++) {
        if (*f != '%') {
            add_char(text, *f);
            continue;
        }
        bool left = *++f == '-';
        f += left;
        char pad = *f == '0' ? '0' : ' ';
        unsigned width = 0;
        for (; *f >= '0' && *f <= '9'; f++)
            width = width * 10 + (unsigned)(*f - '0');
        unsigned longs = 0;
        for (; *f == 'l' || *f == 'z'; f++)
            longs++;
        char buf[24], one[2] = {0};
        char *at = buf;
        if (*f == 's') {
            const char *string = va_arg(args, const char *);
            add_padded(text, string != NULL ? string : "(none)", width, ' ', left);
            continue;
        }
        switch (*f) {
        case 'd': {
            int64_t value = longs > 0 ? va_arg(args, long) : va_arg(args, int);
            at = digits(buf, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 10);
            if (value < 0)
                *--at = '-';
            break;
        }
        case 'u':
        case 'x':
            at = digits(buf, longs > 0 ? va_arg(args, unsigned long) : va_arg(args, unsigned), *f == 'x' ? 16 : 10);
            break;
        case 'p':
            at = digits(buf, (uintptr_t)va_arg(args, void *), 16);
            *--at = 'x';
            *--at = '0';
            break;
        case 'c':
            one[0] = (char)va_arg(args, int);
            at = one;
            break;
        default:
            one[0] = *f;
            at = one;
            if (*f == '\0')
                return;
        }
        add_padded(text, at, width, pad, left);
    }
}

void wr_text_add(struct wr_text *text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    wr_text_vadd(text, format, args);
    va_end(args);
}

void wr_text_add_bytes(struct wr_text *text, uint64_t bytes)
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    unsigned u = 0;
    uint64_t tenths = bytes * 10;
    for (; u + 1 < WR_COUNT(unit) && tenths >= 10240; u++)
        tenths = (tenths + 512) / 1024;
    if (u == 0)
        wr_text_add(text, "%lu B", (unsigned long)bytes);
    else
        wr_text_add(text, "%lu.%lu %s", (unsigned long)(tenths / 10), (unsigned long)(tenths % 10), unit[u]);
}

void wr_text_add_json(struct wr_text *text, const char *string)
{
    for (; *string != '\0'; string++) {
        unsigned char c = (unsigned char)*string;
        if (c == '"' || c == '\\')
            wr_text_add(text, "\\%c", c);
        else if (c < 0x20 || c >= 0x7f)
            wr_text_add(text, "\\u%04x", c);
        else
            add_char(text, (char)c);
    }
}

int wr_text_write(const struct wr_text *text, int fd)
{
    int saved = errno, error = 0;
    for (size_t done = 0; done < text->len && error == 0;) {
        /* Not write(): a thread that is cancelled would end there, in the midst of malloc, free or a walk. */
        ssize_t n = syscall(SYS_write, fd, text->buf + done, text->len - done);
        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || errno != EINTR)
            error = n == 0 ? EIO : errno;
    }
    errno = saved;
    return error;
}

void wr_message(const char *format, ...)
{
    char buf[600];
    struct wr_text text = WR_TEXT(buf);
    va_list args;
    wr_text_add(&text, "weir: %d: ", (int)getpid());
    va_start(args, format);
    wr_text_vadd(&text, format, args);
    va_end(args);
    if (text.full)
        text.len--;
    add_char(&text, '\n');
    wr_text_write(&text, STDERR_FILENO);
}

bool wr_text_parse_bytes(const char *string, size_t *bytes)
{
    static const char suffix[] = "kmgt";
    size_t value = 0;
    const char *s = string;
    for (; *s >= '0' && *s <= '9'; s++)
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, (size_t)(*s - '0'), &value))
            return false;
    if (s == string)
        return false;
    if (*s != '\0') {
        const char *unit = strchr(suffix, *s | 0x20);
        if (unit != NULL && *unit != '\0') {
            unsigned shift = 10 * (unsigned)(unit - suffix + 1);
            if (value > SIZE_MAX >> shift)
                return false;
            value <<= shift;
            s++;
        }
        if (strcasecmp(s, "ib") == 0 || strcasecmp(s, "b") == 0)
            s += strlen(s);
    }
    *bytes = value;
    return *s == '\0';
}

unsigned wr_text_distance(const char *a, const char *b)
{
    /* Damerau-Levenshtein, restricted to swaps of neighbours; three rows of the table at a time. */
    enum { MOST = 32 };
    size_t la = strlen(a), lb = strlen(b);
    unsigned row[3][MOST + 1];
    if (la > MOST || lb > MOST)
        return 9;
    for (size_t j = 0; j <= lb; j++)
        row[0][j] = (unsigned)j;
    for (size_t i = 1; i <= la; i++) {
        unsigned *now = row[i % 3], *up = row[(i + 2) % 3], *up2 = row[(i + 1) % 3];
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= lb; j++) {
            int ca = a[i - 1] | 0x20, cb = b[j - 1] | 0x20;
            size_t best = wr_min(wr_min(up[j] + 1u, now[j - 1] + 1u), up[j - 1] + (ca != cb));
            if (i > 1 && j > 1 && ca == (b[j - 2] | 0x20) && cb == (a[i - 2] | 0x20))
                best = wr_min(best, up2[j - 2] + 1u);
            now[j] = (unsigned)best;
        }
    }
    return (unsigned)wr_min(row[la % 3][lb], 9);
}
