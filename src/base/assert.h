/* SPDX-License-Identifier: MIT
 * Three levels of checking. WR_DEBUG (configure --enable-debug=N) chooses the first two with `if`, so that all code
 * always compiles. */
#ifndef WR_ASSERT_H
#define WR_ASSERT_H

#include "base/base.h"

#ifndef WR_DEBUG
#define WR_DEBUG 0
#endif

/** Ends the process: "weir: PID: fatal: …" on standard error, then SIGABRT. For misuse and corruption, in every build.
 */
void wr_fatal(const char *format, ...) WR_NORETURN WR_COLD WR_PRINTF(1, 2);

void wr_assert_fail(const char *what, const char *file, int line) WR_NORETURN WR_COLD;

/** Debug 1: cheap, local. What looks at whole structures stands behind `if (WR_DEBUG >= 2)`. */
#define wr_assert(condition)                                                                                           \
    do {                                                                                                               \
        if (WR_DEBUG >= 1 && wr_unlikely(!(condition)))                                                                \
            wr_assert_fail(#condition, __FILE__, __LINE__);                                                            \
    } while (0)

#endif
