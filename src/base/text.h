/* SPDX-License-Identifier: MIT
 * Text without allocation: formatting into a caller's buffer, whole lines to a file descriptor, numbers from strings.
 * Usable in signal handlers and before constructors; keeps errno. */
#ifndef WR_TEXT_H
#define WR_TEXT_H

#include <stdarg.h>

#include "base/base.h"

/** A buffer being filled; what does not fit is dropped, and `full` says so. `buf` stays NUL-terminated. */
struct wr_text {
    char *buf;
    size_t size; /* of buf, the NUL included */
    size_t len;
    bool full;
};

#define WR_TEXT(array) ((struct wr_text){.buf = (array), .size = sizeof(array)})

/** Appends; understands %s %c %d %u %x %zu %zx %ld %lu %llu %p %% and a minimum width (`%8zu`, `%-8s`, `%08x`). */
void wr_text_add(struct wr_text *text, const char *format, ...) WR_PRINTF(2, 3);
void wr_text_vadd(struct wr_text *text, const char *format, va_list args);

/** Appends bytes as people read them: "512 B", "17.3 MiB". */
void wr_text_add_bytes(struct wr_text *text, uint64_t bytes);

/** Appends as the inside of a JSON string. */
void wr_text_add_json(struct wr_text *text, const char *string);

/** Writes all of text to fd, over interruptions and short writes. No point of cancellation. @return 0, or an errno. */
int wr_text_write(const struct wr_text *text, int fd);

/** One line "weir: PID: …" on standard error, in one write. */
void wr_message(const char *format, ...) WR_PRINTF(1, 2);

/** Bytes from "64", "64k", "4M", "1GiB"; false if it is anything else or overflows. */
bool wr_text_parse_bytes(const char *string, size_t *bytes);

/** Changes (insert, delete, replace, swap of neighbours) that turn one into the other, capped at 9; case is ignored. */
unsigned wr_text_distance(const char *a, const char *b);

#endif
