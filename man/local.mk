# SPDX-License-Identifier: MIT
dist_man_MANS += \
    man/weir.1 \
    man/weir-bench.1 \
    man/weir-compare.1 \
    man/weir-replay.1 \
    man/weir-trace.1 \
    man/weir.7 \
    man/weir_aligned_alloc.3 \
    man/weir_calloc.3 \
    man/weir_free.3 \
    man/weir_free_aligned_sized.3 \
    man/weir_free_sized.3 \
    man/weir_malloc.3 \
    man/weir_option_each.3 \
    man/weir_posix_memalign.3 \
    man/weir_realloc.3 \
    man/weir_reallocarray.3 \
    man/weir_stats_get.3 \
    man/weir_stats_print.3 \
    man/weir_trim.3 \
    man/weir_usable_size.3 \
    man/weir_version.3
