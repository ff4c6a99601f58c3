/* SPDX-License-Identifier: MIT
 * Address space with alignment: what the system's map call does not give. Mappings are placed side by side, downwards,
 * so that neighbours merge and their number stays small. */
#ifndef WR_SPACE_H
#define WR_SPACE_H

#include "base/base.h"

/** `size` zeroed bytes at a multiple of `align`, not resident; NULL when the system refuses. Keeps errno.
 *  pre: size is a multiple of the page, align a power of two and at least a page. */
void *wr_space_map(size_t size, size_t align);

/** `size` bytes at `start`, or nothing: false if something is mapped there, or the system refuses. */
bool wr_space_map_at(void *start, size_t size);

/** Whether nothing was mapped below `start`, as far as is known. */
bool wr_space_is_lowest(const void *start);

/** Gives the range back. False if the system refuses: then it is as it was. */
bool wr_space_try_unmap(void *start, size_t size);

/** Gives the range back. Where the system refuses to unmap, the content is discarded and the range stays reserved (and
 *  is lost: it happens only at the limit of the number of mappings). */
void wr_space_unmap(void *start, size_t size);

/** Makes a mapping longer, moving it (to a multiple of `align`) if it must; its new start, or NULL if it stays as it
 *  was. The map is prepared for where it is then. *several: it stays because the kernel does not move more than one
 *  mapping at once, as what had different advice or was touched apart is to it. */
void *wr_space_remap(void *start, size_t size, size_t new_size, size_t align, bool *several);

#endif
