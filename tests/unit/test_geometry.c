/* SPDX-License-Identifier: MIT
 * The tables of sizes: every class, every size, every offset. */
#include "core/geometry.h"

#include "os/os.h"
#include "support.h"

#include <criterion/criterion.h>

static void set_up(void) { wr_geometry_init(wr_os_page_size()); }

TestSuite(geometry, .init = set_up);

static const struct wr_class *class_at(unsigned c) { return &wr_geometry.class[c]; }

/** Bytes of a pool of the class. */
static size_t pool_size(unsigned c) { return wr_geometry_is_small(c) ? WR_PAGE_SIZE : WR_SPAN_SIZE; }

Test(geometry, the_classes_are_those_of_the_design)
{
    static const unsigned designed[] = {16,  32,  48,  64,  80,  96,  112, 128, 144, 160, 176, 192,
                                        224, 256, 288, 336, 368, 400, 448, 512, 576, 672, 816, 1024};
    if (WR_PAGE_SIZE != 4096)
        cr_skip_test("the list is that of pages of 4 KiB");
    must(wr_geometry.small_classes == WR_COUNT(designed), "%u small classes", wr_geometry.small_classes);
    for (unsigned c = 0; c < WR_COUNT(designed); c++)
        must(class_at(c)->size == designed[c], "class %u is %u, not %u", c, class_at(c)->size, designed[c]);
}

Test(geometry, classes_grow_and_fill_their_pools)
{
    must(wr_geometry.classes <= WR_CLASS_LIMIT, "%u classes", wr_geometry.classes);
    for (unsigned c = 0; c < wr_geometry.classes; c++) {
        const struct wr_class *class = class_at(c);
        must(c == 0 || class->size > class_at(c - 1)->size, "class %u is no larger than the one before", c);
        must(class->size % WR_MIN_ALIGN == 0, "class %u: size %u", c, class->size);
        must(class->blocks == pool_size(c) / class->size, "class %u: %u blocks", c, class->blocks);
        size_t left = pool_size(c) - (size_t) class->blocks * class->size;
        must(!wr_geometry_is_small(c) || left < 16 * (size_t) class->blocks || class->size <= 128,
             "class %u (%u bytes) leaves %zu bytes of its page over", c, class->size, left);
        must(left < class->size, "class %u leaves room for another block", c);
    }
    must(class_at(wr_geometry.small_classes - 1)->size == WR_SMALL_MAX, "the largest small class");
    must(class_at(wr_geometry.classes - 1)->size == WR_MEDIUM_MAX, "the largest medium class");
}

/** A full pool sleeps until an eighth of its blocks, and at least one, is free. */
Test(geometry, full_pools_wake_at_an_eighth)
{
    for (unsigned c = 0; c < wr_geometry.small_classes; c++) {
        const struct wr_class *class = class_at(c);
        unsigned free = class->blocks - class->wake;
        must(free >= 1 && (free == 1 || free * 8 <= class->blocks) && (free + 1) * 8 > class->blocks,
             "class %u of %u blocks wakes when %u are free", c, class->blocks, free);
    }
}

Test(geometry, each_size_has_the_smallest_class_that_holds_it)
{
    unsigned expected = 0;
    for (size_t size = 0; size <= WR_MEDIUM_MAX; size++) {
        while (class_at(expected)->size < size)
            expected++;
        unsigned c = wr_geometry_class(size);
        must(c == expected, "size %zu: class %u, not %u", size, c, expected);
        must(size > WR_SMALL_MAX || wr_geometry_small_class(size) == c, "size %zu: the small table differs", size);
        must(size <= WR_SMALL_MAX || class_at(c)->size <= size + size / 8, "size %zu wastes more than an eighth in %u",
             size, class_at(c)->size);
    }
}

Test(geometry, aligned_sizes_have_the_smallest_class_that_is_aligned)
{
    for (size_t align = 1; align <= 2 * WR_MEDIUM_MAX; align *= 2)
        for (size_t size = 0; size <= WR_MEDIUM_MAX + 100; size += size < 2048 ? 1 : 61) {
            int expected = -1;
            for (unsigned c = 0; c < wr_geometry.classes && expected < 0; c++)
                if (class_at(c)->size >= wr_max(size, align) && class_at(c)->size % align == 0)
                    expected = (int)c;
            int c = wr_geometry_aligned_class(size, align);
            must(c == expected, "size %zu aligned to %zu: class %d, not %d", size, align, c, expected);
        }
}

Test(geometry, every_offset_names_its_block)
{
    for (unsigned c = 0; c < wr_geometry.classes; c++) {
        const struct wr_class *class = class_at(c);
        for (size_t offset = 0; offset < pool_size(c); offset++) {
            bool exact;
            unsigned index = wr_geometry_block(class, offset, &exact);
            must(index == offset / class->size, "class %u, offset %zu: block %u", c, offset, index);
            must(exact == (offset % class->size == 0 && index < class->blocks), "class %u, offset %zu: exact is %d", c,
                 offset, exact);
        }
    }
}

Test(geometry, medium_blocks_know_their_pages_and_pages_their_blocks)
{
    for (unsigned c = wr_geometry.small_classes; c < wr_geometry.classes; c++) {
        const struct wr_class *class = class_at(c);
        const struct wr_medium *medium = wr_geometry_medium(c);
        must(class->blocks <= WR_POOL_BLOCKS_MEDIUM, "class %u: %u blocks", c, class->blocks);
        for (unsigned block = 0; block < class->blocks; block++)
            for (unsigned page = 0; page < WR_SPAN_PAGES; page++) {
                size_t start = (size_t)block * class->size, end = start + class->size;
                bool touches = start < (page + 1) * WR_PAGE_SIZE && end > page * WR_PAGE_SIZE;
                must((medium->page_blocks[page] >> block & 1) == touches, "class %u, page %u, block %u", c, page,
                     block);
                must((medium->block_pages[block] >> page & 1) == touches, "class %u, block %u, page %u", c, block,
                     page);
            }
    }
}
