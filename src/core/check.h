/* SPDX-License-Identifier: MIT
 * Every validator at once: for tests, and for whoever hunts a corruption. */
#ifndef WR_CHECK_H
#define WR_CHECK_H

#include "core/registry.h"

/** Checks arenas, extents, spans, lists and, of `self`'s heap, pools; ends the process with a message if something is
 * wrong, else returns true. Other threads may run. `self` is the calling thread's heap, or NULL. pre: no lock is held.
 */
bool wr_check_heaps(struct wr_heap *self);

#endif
