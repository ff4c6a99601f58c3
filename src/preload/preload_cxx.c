/* SPDX-License-Identifier: MIT
 * C++ operators new and delete on Weir; operators.h has them. Owns no state and takes no lock. */
#include "base/base.h"

#include <weir/alloc.h>

#include "base/assert.h"
#include "front/fast.h"

WR_INLINE void *operator_malloc(size_t size) { return wr_fast_malloc(size); }
WR_INLINE void *operator_aligned(size_t alignment, size_t size) { return weir_aligned_alloc(alignment, size); }
WR_INLINE void operator_free(void *block) { wr_fast_free(block); }

#define operator_fatal(...) wr_fatal(__VA_ARGS__)

#include "preload/operators.h"
