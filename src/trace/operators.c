/* SPDX-License-Identifier: MIT
 * C++ operators new and delete on the recorded malloc. Most allocators bring operators of their own, which would pass
 * by it; so the trace has a malloc where the program has a new, whatever the allocator. */
#include "base/base.h"

#include <malloc.h>
#include <stdlib.h>

#include "base/text.h"

WR_INLINE void *operator_malloc(size_t size) { return malloc(size); }
WR_INLINE void *operator_aligned(size_t alignment, size_t size) { return memalign(alignment, size); }
WR_INLINE void operator_free(void *block) { free(block); }

#define operator_fatal(...) (wr_message(__VA_ARGS__), abort())

#include "preload/operators.h"
