/* SPDX-License-Identifier: MIT
 * Every size beside every alignment: what a block promises, alone and next to its neighbours, through malloc, calloc,
 * aligned allocation and realloc. Deterministic; one thread. */
#include "support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <weir/alloc.h>

TestSuite(alloc_grid, .timeout = 300);

enum {
    MOST_FILLED = 256 * 1024, /* larger blocks are written at their ends and in places between */
    MOST_SIZE = 64 * 1024 * 1024,
    MOST_SHIFT = 22, /* alignments up to 4 MiB must succeed */
};

/* ---- patterns over whole blocks, or over enough of large ones -------------------------------------------------- */

/** The `i`th of the places of a block of `size` bytes that are written, as a range; false past the last. */
static bool place(size_t size, size_t i, size_t *from, size_t *to)
{
    enum { PLACES = 18, BYTES = 4096 + 24 };
    if (size <= MOST_FILLED) {
        *from = 0;
        *to = size;
        return i == 0;
    }
    *from = i + 1 < PLACES ? size / (PLACES - 1) * i : size - BYTES;
    *to = wr_min(*from + BYTES, size);
    return i < PLACES;
}

static void fill(void *block, size_t size, uint64_t id)
{
    size_t from, to;
    for (size_t i = 0; place(size, i, &from, &to); i++)
        unit_fill(block, from, to, id);
}

static void check(const void *block, size_t size, uint64_t id, const char *what)
{
    size_t from, to;
    for (size_t i = 0; place(size, i, &from, &to); i++) {
        size_t at = unit_filled(block, from, to, id);
        must(at == UNIT_INTACT, "%s: block %p of %zu bytes differs at byte %zu", what, block, size, at);
    }
}

/* ---- sizes ----------------------------------------------------------------------------------------------------- */

struct sizes {
    size_t *size;
    size_t count, capacity;
};

static void add_size(struct sizes *list, size_t size)
{
    if (list->count == list->capacity) {
        list->capacity = 2 * list->capacity + 64;
        list->size = realloc(list->size, list->capacity * sizeof *list->size);
        must(list->size != NULL, "no memory for the test's own list");
    }
    list->size[list->count++] = size;
}

/** The sizes around `middle` where rounding goes one way or the other. */
static void add_around(struct sizes *list, size_t middle, size_t most)
{
    static const long step[] = {-33, -17, -16, -15, -9, -8, -1, 0, 1, 8, 9, 15, 16, 17, 33};
    for (size_t i = 0; i < WR_COUNT(step); i++)
        if ((long)middle + step[i] >= 0 && (size_t)((long)middle + step[i]) <= most)
            add_size(list, (size_t)((long)middle + step[i]));
}

/** Every size to 1.1 KiB, then in steps that grow with the size to 40 KiB. */
static struct sizes small_sizes(void)
{
    struct sizes list = {0};
    size_t step_after = UNIT_SANITIZED || WR_DEBUG >= 2 ? 8 : 1;
    for (size_t size = 0; size <= 40 * 1024; size += size < 160    ? 1
                                                     : size < 1100 ? step_after
                                                                   : size / 128 * step_after)
        add_size(&list, size);
    for (size_t power = 16; power <= 32 * 1024; power *= 2)
        add_around(&list, power, 40 * 1024);
    return list;
}

/** Around every power of two to `most`, its middle, and small and larger multiples of the page. */
static struct sizes large_sizes(size_t least, size_t most)
{
    struct sizes list = {0};
    for (size_t power = least; power <= most; power *= 2) {
        add_around(&list, power, most);
        add_around(&list, power + power / 2, most);
        add_around(&list, power + unit_page_size(), most);
        add_around(&list, power - unit_page_size(), most);
    }
    return list;
}

/* ---- one block ------------------------------------------------------------------------------------------------- */

static void *aligned_block(size_t size, size_t alignment)
{
    void *block = alignment <= 16 && size % 2 == 0 ? weir_malloc(size) : weir_aligned_alloc(alignment, size);
    must(block != NULL, "size %zu, alignment %zu: errno %d", size, alignment, errno);
    must(unit_is_aligned(block, wr_max(alignment, 16)), "size %zu, alignment %zu gave %p", size, alignment, block);
    must(weir_usable_size(block) >= size, "size %zu, alignment %zu: usable %zu", size, alignment,
         weir_usable_size(block));
    return block;
}

/** A block between two like it: all of its usable size is written, and theirs stays as it was. */
static void check_with_neighbours(size_t size, size_t alignment)
{
    void *block[3];
    size_t usable[3];
    for (unsigned i = 0; i < 3; i++) {
        block[i] = aligned_block(size, alignment);
        usable[i] = weir_usable_size(block[i]);
        fill(block[i], usable[i], i);
    }
    fill(block[1], usable[1], 3);
    check(block[0], usable[0], 0, "neighbour below");
    check(block[1], usable[1], 3, "written block");
    check(block[2], usable[2], 2, "neighbour above");
    for (unsigned i = 0; i < 3; i++)
        must(weir_usable_size(block[i]) == usable[i], "size %zu: usable was %zu, is %zu", size, usable[i],
             weir_usable_size(block[i]));
    unsigned first = (unsigned)(size + alignment) % 3; /* the orders of freeing take turns */
    for (unsigned i = 0; i < 3; i++)
        weir_free(block[(first + i) % 3]);
}

Test(alloc_grid, small_sizes_by_alignments)
{
    struct sizes list = small_sizes();
    for (unsigned shift = 0; shift <= MOST_SHIFT; shift++)
        for (size_t i = 0; i<list.count; i += shift> 16 ? 7 : 1)
            check_with_neighbours(list.size[i], (size_t)1 << shift);
    free(list.size);
}

Test(alloc_grid, large_sizes_by_alignments)
{
    struct sizes list = large_sizes(64 * WR_KIB, MOST_SIZE);
    unsigned step = UNIT_SANITIZED || WR_DEBUG >= 2 ? 3 : 1;
    for (unsigned shift = 0; shift <= MOST_SHIFT; shift += step)
        for (size_t i = shift % step; i < list.count; i += step)
            check_with_neighbours(list.size[i], (size_t)1 << shift);
    free(list.size);
}

Test(alloc_grid, every_byte_of_large_blocks)
{
    static const size_t size[] = {300 * WR_KIB, WR_MIB + 1, 2 * WR_MIB, 3 * WR_MIB, 5 * WR_MIB + 17, 33 * WR_MIB};
    for (size_t i = 0; i < WR_COUNT(size); i++) {
        void *block = weir_malloc(size[i]);
        must(block != NULL, "size %zu", size[i]);
        size_t usable = weir_usable_size(block);
        must(usable >= size[i], "size %zu: usable %zu", size[i], usable);
        unit_fill(block, 0, usable, i);
        must(unit_filled(block, 0, usable, i) == UNIT_INTACT, "size %zu", size[i]);
        weir_free(block);
    }
}

/** Blocks of one size fill several pools, each with its own pattern; the odd ones are freed and taken again. */
static void check_many(size_t size, size_t count)
{
    void **block = calloc(count, sizeof *block);
    must(block != NULL, "no memory for the test's own list");
    for (size_t round = 0; round < 2; round++) {
        for (size_t i = round; i < count; i += round + 1) {
            block[i] = aligned_block(size, 1);
            unit_fill(block[i], 0, weir_usable_size(block[i]), i);
        }
        for (size_t i = 0; i < count; i++) {
            size_t at = unit_filled(block[i], 0, weir_usable_size(block[i]), i);
            must(at == UNIT_INTACT, "size %zu: block %zu of %zu differs at byte %zu", size, i, count, at);
        }
        for (size_t i = 1 - round; i < count; i += 2 - round)
            weir_free(block[i]);
    }
    free(block);
}

Test(alloc_grid, many_of_each_size)
{
    size_t bytes = UNIT_SANITIZED || WR_DEBUG >= 2 ? 32 * WR_KIB : 160 * WR_KIB;
    for (size_t size = 0; size <= 40 * WR_KIB; size += size < 1100 ? 8 : size / 32)
        check_many(size, wr_max(bytes / wr_max(size, 16), 6));
}

/* ---- alignments that are wrong, or too much -------------------------------------------------------------------- */

Test(alloc_grid, alignment_that_is_no_power_of_two)
{
    static const size_t wrong[] = {0, 3, 5, 6, 7, 12, 24, 48, 4095, 4097, 6144, SIZE_MAX, SIZE_MAX / 2, SIZE_MAX - 1};
    for (size_t i = 0; i < WR_COUNT(wrong); i++)
        for (size_t size = 0; size <= 2 * WR_MIB; size = 3 * size + 8) {
            volatile size_t alignment = wrong[i];
            errno = 0;
            must(weir_aligned_alloc(alignment, size) == NULL && errno == EINVAL,
                 "aligned_alloc(%zu, %zu) must fail with EINVAL, errno %d", wrong[i], size, errno);
            void *out = &errno;
            must(weir_posix_memalign(&out, alignment, size) == EINVAL && out == &errno,
                 "posix_memalign(%zu, %zu) must give EINVAL and leave its result", wrong[i], size);
        }
}

Test(alloc_grid, posix_memalign_wants_a_multiple_of_a_pointer)
{
    for (size_t alignment = 1; alignment < sizeof(void *); alignment *= 2) {
        void *out = &errno;
        must(weir_posix_memalign(&out, alignment, 100) == EINVAL && out == &errno, "alignment %zu", alignment);
    }
    for (size_t alignment = sizeof(void *); alignment <= (size_t)1 << MOST_SHIFT; alignment *= 2) {
        void *out = NULL;
        int error = weir_posix_memalign(&out, alignment, 100);
        must(error == 0 && unit_is_aligned(out, alignment), "alignment %zu: %d, %p", alignment, error, out);
        weir_free(out);
    }
}

/** Alignments past what an arena has: a block that keeps the promise, or NULL and ENOMEM. */
Test(alloc_grid, alignments_to_the_end_of_the_address_space)
{
    for (unsigned shift = MOST_SHIFT + 1; shift < 64; shift++)
        for (size_t size = 0; size <= 8 * WR_MIB; size = 5 * size + 1) {
            volatile size_t alignment = (size_t)1 << shift;
            errno = 0;
            void *block = weir_aligned_alloc(alignment, size);
            must(block != NULL || errno == ENOMEM, "aligned_alloc(2^%u, %zu): errno %d", shift, size, errno);
            must(block == NULL || unit_is_aligned(block, alignment), "aligned_alloc(2^%u, %zu) gave %p", shift, size,
                 block);
            if (block != NULL) {
                fill(block, weir_usable_size(block), shift);
                check(block, weir_usable_size(block), shift, "far aligned block");
            }
            weir_free(block);
        }
}

Test(alloc_grid, size_and_alignment_that_overflow_together)
{
    for (unsigned shift = 4; shift < 64; shift++)
        for (unsigned off = 0; off < 3; off++) {
            volatile size_t alignment = (size_t)1 << shift, size = PTRDIFF_MAX - (size_t)off * 4095;
            errno = 0;
            must(weir_aligned_alloc(alignment, size) == NULL && errno == ENOMEM, "2^%u, %zu: errno %d", shift, size,
                 errno);
            size = SIZE_MAX - off * ((size_t)1 << (shift - 1));
            errno = 0;
            must(weir_aligned_alloc(alignment, size) == NULL && errno == ENOMEM, "2^%u, %zu: errno %d", shift, size,
                 errno);
        }
}

/* ---- realloc --------------------------------------------------------------------------------------------------- */

/** `from` to `to` and back to where it began: content kept as far as both reach, the rest usable. */
static void check_realloc(size_t from, size_t to, size_t alignment)
{
    void *block = aligned_block(from, alignment);
    size_t usable = weir_usable_size(block);
    fill(block, usable, from);
    void *guard = aligned_block(from, 1);
    size_t guard_usable = weir_usable_size(guard);
    fill(guard, guard_usable, 7);
    block = weir_realloc(block, to);
    must(block != NULL && unit_is_aligned(block, 16), "realloc %zu to %zu gave %p", from, to, block);
    size_t now = weir_usable_size(block);
    must(now >= to, "realloc %zu to %zu: usable %zu", from, to, now);
    size_t at, start, end;
    for (size_t i = 0; place(usable, i, &start, &end); i++) {
        end = wr_min(end, wr_min(to, now));
        at = start < end ? unit_filled(block, start, end, from) : UNIT_INTACT;
        must(at == UNIT_INTACT, "realloc %zu to %zu lost byte %zu", from, to, at);
    }
    fill(block, now, to);
    check(guard, guard_usable, 7, "neighbour of a reallocated block");
    block = weir_realloc(block, from);
    must(block != NULL && weir_usable_size(block) >= from, "realloc back to %zu", from);
    for (size_t i = 0; place(now, i, &start, &end); i++) {
        end = wr_min(end, wr_min(from, now));
        at = start < end ? unit_filled(block, start, end, to) : UNIT_INTACT;
        must(at == UNIT_INTACT, "realloc %zu back to %zu lost byte %zu", to, from, at);
    }
    check(guard, guard_usable, 7, "neighbour of a block reallocated back");
    weir_free(block);
    weir_free(guard);
}

static const size_t realloc_sizes[] = {
    0,     1,     15,    16,    17,    24,     32,     48,     63,     64,     65,     100,     128,     129,
    200,   256,   257,   336,   400,   512,    576,    672,    816,    1000,   1024,   1025,    1152,    1500,
    2048,  2049,  3000,  4095,  4096,  4097,   5000,   8192,   8193,   12288,  16384,  20000,   32767,   32768,
    32769, 40960, 65535, 65536, 65537, 100000, 131072, 200000, 262144, 300000, 524288, 1000000, 1048576, 1048577,
};

Test(alloc_grid, realloc_from_each_size_to_each)
{
    for (size_t from = 0; from < WR_COUNT(realloc_sizes); from++)
        for (size_t to = 0; to < WR_COUNT(realloc_sizes); to++)
            check_realloc(realloc_sizes[from], realloc_sizes[to], 1);
}

Test(alloc_grid, realloc_of_aligned_blocks)
{
    for (size_t alignment = 32; alignment <= WR_MIB; alignment *= 8)
        for (size_t from = 0; from < WR_COUNT(realloc_sizes); from += 3)
            for (size_t to = 1; to < WR_COUNT(realloc_sizes); to += 4)
                check_realloc(realloc_sizes[from], realloc_sizes[to], alignment);
}

Test(alloc_grid, realloc_among_huge_sizes)
{
    static const size_t size[] = {100,        65536,      WR_MIB,     2 * WR_MIB - 1, 2 * WR_MIB,  2 * WR_MIB + 1,
                                  3 * WR_MIB, 4 * WR_MIB, 5 * WR_MIB, 8 * WR_MIB + 5, 16 * WR_MIB, 17 * WR_MIB,
                                  40 * WR_MIB};
    for (size_t from = 0; from < WR_COUNT(size); from++)
        for (size_t to = 0; to < WR_COUNT(size); to++)
            check_realloc(size[from], size[to], from % 2 == 0 ? 1 : 8192);
}

Test(alloc_grid, realloc_of_nothing_and_to_nothing)
{
    void *block = weir_realloc(NULL, 100);
    must(block != NULL && weir_usable_size(block) >= 100, "realloc(NULL, 100) gave %p", block);
    void *smallest = weir_realloc(block, 0);
    must(smallest != NULL, "realloc(p, 0) gave NULL");
    void *other = weir_malloc(0);
    must(other != NULL && other != smallest, "malloc(0) gave %p beside %p", other, smallest);
    void *array = weir_reallocarray(NULL, 10, 7);
    must(array != NULL && weir_usable_size(array) >= 70, "reallocarray(NULL, 10, 7) gave %p", array);
    weir_free(smallest);
    weir_free(other);
    weir_free(array);
}

/** A block that grows by small steps: the pattern of an appending program. */
Test(alloc_grid, realloc_step_by_step)
{
    static const size_t step[] = {1, 16, 100, 4096, 70000};
    for (size_t i = 0; i < WR_COUNT(step); i++) {
        char *block = NULL;
        size_t size = 0, most = step[i] * unit_scale(i == 0 ? 20000 : 500);
        while (size < most) {
            block = weir_realloc(block, size + step[i]);
            must(block != NULL, "realloc to %zu", size + step[i]);
            unit_fill(block, size, size + step[i], i);
            size += step[i];
        }
        must(unit_filled(block, 0, size, i) == UNIT_INTACT, "grown by %zu", step[i]);
        for (; size > step[i]; size /= 2) {
            block = weir_realloc(block, size / 2);
            must(unit_filled(block, 0, size / 2, i) == UNIT_INTACT, "shrunk to %zu", size / 2);
        }
        weir_free(block);
    }
}

/* ---- calloc ---------------------------------------------------------------------------------------------------- */

/** Fills `count` blocks of `size` with ones, frees them, perhaps returns their pages, and takes them zeroed. */
static void check_calloc(size_t size, size_t count, bool trim)
{
    void **block = calloc(count, sizeof *block);
    must(block != NULL, "no memory for the test's own list");
    for (size_t i = 0; i < count; i++) {
        block[i] = aligned_block(size, 1);
        unit_fill(block[i], 0, weir_usable_size(block[i]), i * 2 + 1);
    }
    for (size_t i = 0; i < count; i++)
        weir_free(block[i]);
    if (trim)
        weir_trim(0);
    for (size_t i = 0; i < count; i++) {
        size_t wide = size % 8 == 0 ? 8 : 1;
        block[i] = weir_calloc(size / wide, wide);
        must(block[i] != NULL && unit_is_aligned(block[i], 16), "calloc of %zu gave %p", size, block[i]);
        size_t at = unit_zeroed(block[i], size);
        must(at == UNIT_INTACT, "calloc of %zu, block %zu: byte %zu is not zero", size, i, at);
        unit_fill(block[i], 0, weir_usable_size(block[i]), i);
    }
    for (size_t i = 0; i < count; i++)
        must(unit_filled(block[i], 0, weir_usable_size(block[i]), i) == UNIT_INTACT, "calloc of %zu, block %zu", size,
             i);
    for (size_t i = 0; i < count; i++)
        weir_free(block[i]);
    free(block);
}

Test(alloc_grid, calloc_after_dirty_blocks)
{
    for (size_t i = 0; i < WR_COUNT(realloc_sizes); i++)
        for (unsigned trim = 0; trim < 2; trim++)
            check_calloc(realloc_sizes[i], wr_max(unit_scale(300 * WR_KIB) / wr_max(realloc_sizes[i], 64), 3), trim);
}

Test(alloc_grid, calloc_of_huge_blocks)
{
    static const size_t size[] = {2 * WR_MIB, 2 * WR_MIB + 4096, 4 * WR_MIB - 8, 6 * WR_MIB, 9 * WR_MIB + 1};
    for (size_t i = 0; i < WR_COUNT(size); i++)
        for (unsigned trim = 0; trim < 2; trim++)
            check_calloc(size[i], 2, trim);
}

/** A dirty run is cut into small blocks, and dirty small blocks grow together into a run. */
Test(alloc_grid, calloc_across_kinds_of_blocks)
{
    static const size_t size[] = {48, 1024, 3000, 30000, 200000, 1500000, 5000000};
    for (size_t dirty = 0; dirty < WR_COUNT(size); dirty++)
        for (size_t clean = 0; clean < WR_COUNT(size); clean++) {
            enum { BYTES = 8000000, MOST = BYTES / 48 };
            static void *block[MOST];
            size_t step = UNIT_SANITIZED ? 8 : 1, count = wr_max(BYTES / size[dirty] / step, 1);
            for (size_t i = 0; i < count; i++) {
                block[i] = aligned_block(size[dirty], 1);
                unit_fill(block[i], 0, weir_usable_size(block[i]), i);
            }
            for (size_t i = 0; i < count; i++)
                weir_free(block[i]);
            count = wr_max(BYTES / size[clean] / step, 1);
            for (size_t i = 0; i < count; i++) {
                block[i] = weir_calloc(1, size[clean]);
                must(block[i] != NULL && unit_zeroed(block[i], size[clean]) == UNIT_INTACT,
                     "calloc of %zu after dirty blocks of %zu", size[clean], size[dirty]);
            }
            for (size_t i = 0; i < count; i++)
                weir_free(block[i]);
        }
}

/* ---- sized frees ----------------------------------------------------------------------------------------------- */

Test(alloc_grid, sized_frees_take_what_was_asked_for)
{
    for (size_t i = 0; i < WR_COUNT(realloc_sizes); i++) {
        size_t size = realloc_sizes[i];
        void *plain = weir_malloc(size);
        must(plain != NULL, "size %zu", size);
        weir_free_sized(plain, size);
        for (size_t alignment = 1; alignment <= WR_MIB; alignment *= 4) {
            void *block = weir_aligned_alloc(alignment, size);
            must(block != NULL, "size %zu, alignment %zu", size, alignment);
            weir_free_aligned_sized(block, alignment, size);
        }
    }
    weir_free_sized(NULL, 10);
    weir_free_aligned_sized(NULL, 16, 10);
    weir_free_aligned_sized(NULL, 0, 0);
}
