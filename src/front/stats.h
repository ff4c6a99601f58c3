/* SPDX-License-Identifier: MIT
 * What Weir says about itself. */
#ifndef WR_STATS_H
#define WR_STATS_H

#include <stdint.h>

/** Pointers passed to free that Weir never gave, number; relaxed. */
extern _Atomic uint64_t wr_foreign_frees __attribute__((visibility("hidden")));

/** At exit: the reports that WEIR_STATS and WEIR_REPORT ask for. */
void wr_stats_at_exit(void);

#endif
