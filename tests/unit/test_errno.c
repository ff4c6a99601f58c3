/* SPDX-License-Identifier: MIT
 * What calls do to errno, and what they return when they cannot do what is asked. */
#include "base/option.h"
#include "support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <weir/alloc.h>

TestSuite(errno_rules, .timeout = 60);

enum { MARK = 4242 }; /* an errno that no call sets */

/* Sizes that no block can have; volatile, so that the compiler does not warn of them. */
static const volatile size_t too_much[] = {
    (size_t)PTRDIFF_MAX + 1, (size_t)PTRDIFF_MAX - 1, PTRDIFF_MAX,     SIZE_MAX,     SIZE_MAX - 1,
    SIZE_MAX - 15,           SIZE_MAX - 4095,         SIZE_MAX - 4096, SIZE_MAX / 2, SIZE_MAX - 4 * 1024 * 1024,
    (size_t)1 << 62,         (size_t)1 << 48,
};

#define must_fail_with(call, error)                                                                                    \
    do {                                                                                                               \
        errno = MARK;                                                                                                  \
        void *got = (call);                                                                                            \
        must(got == NULL && errno == (error), "%s gave %p, errno %d", #call, got, errno);                              \
    } while (0)

Test(errno_rules, sizes_that_cannot_be)
{
    for (size_t i = 0; i < WR_COUNT(too_much); i++) {
        must_fail_with(weir_malloc(too_much[i]), ENOMEM);
        must_fail_with(weir_calloc(1, too_much[i]), ENOMEM);
        must_fail_with(weir_calloc(too_much[i], 1), ENOMEM);
        must_fail_with(weir_realloc(NULL, too_much[i]), ENOMEM);
        must_fail_with(weir_reallocarray(NULL, 1, too_much[i]), ENOMEM);
        must_fail_with(weir_aligned_alloc(64, too_much[i]), ENOMEM);
        must_fail_with(weir_aligned_alloc(1, too_much[i]), ENOMEM);
        must_fail_with(weir_aligned_alloc(WR_MIB, too_much[i]), ENOMEM);
    }
}

Test(errno_rules, products_that_overflow)
{
    static const volatile size_t count[] = {SIZE_MAX, SIZE_MAX / 2 + 1, (size_t)1 << 32, SIZE_MAX / 3 + 1, 3};
    static const volatile size_t size[] = {2, 3, (size_t)1 << 32, SIZE_MAX, SIZE_MAX / 3 + 1};
    for (size_t i = 0; i < WR_COUNT(count); i++)
        for (size_t k = 0; k < WR_COUNT(size); k++) {
            size_t product;
            if (!__builtin_mul_overflow(count[i], size[k], &product))
                continue;
            must_fail_with(weir_calloc(count[i], size[k]), ENOMEM);
            must_fail_with(weir_reallocarray(NULL, count[i], size[k]), ENOMEM);
        }
}

Test(errno_rules, a_failed_realloc_leaves_the_block)
{
    static const size_t size[] = {0, 1, 100, 1024, 5000, 100000, 3 * WR_MIB, 9 * WR_MIB};
    for (size_t i = 0; i < WR_COUNT(size); i++) {
        void *block = weir_malloc(size[i]);
        must(block != NULL, "malloc of %zu", size[i]);
        size_t usable = weir_usable_size(block);
        unit_fill(block, 0, usable, i);
        for (size_t k = 0; k < WR_COUNT(too_much); k++) {
            must_fail_with(weir_realloc(block, too_much[k]), ENOMEM);
            must_fail_with(weir_reallocarray(block, too_much[k], 2), ENOMEM);
        }
        must(weir_usable_size(block) == usable && unit_filled(block, 0, usable, i) == UNIT_INTACT,
             "a block of %zu has changed", size[i]);
        weir_free(block);
    }
}

Test(errno_rules, posix_memalign_leaves_errno_and_result)
{
    void *mark = &errno, *out = mark;
    errno = MARK;
    for (size_t i = 0; i < WR_COUNT(too_much); i++)
        for (size_t alignment = 8; alignment <= WR_MIB; alignment *= 4)
            must(weir_posix_memalign(&out, alignment, too_much[i]) == ENOMEM && out == mark && errno == MARK,
                 "alignment %zu, size %zu: result %p, errno %d", alignment, too_much[i], out, errno);
    must(weir_posix_memalign(&out, 3, 100) == EINVAL && out == mark && errno == MARK, "result %p, errno %d", out,
         errno);
    must(weir_posix_memalign(&out, 0, 100) == EINVAL && out == mark && errno == MARK, "result %p, errno %d", out,
         errno);
    for (size_t size = 0; size <= 20 * WR_MIB; size = size * 4 + 1) {
        must(weir_posix_memalign(&out, 64, size) == 0 && errno == MARK, "size %zu: errno %d", size, errno);
        weir_free(out);
    }
}

Test(errno_rules, free_keeps_errno)
{
    static const size_t size[] = {0, 1, 16, 100, 1000, 5000, 30000, 100000, WR_MIB, 3 * WR_MIB, 30 * WR_MIB};
    enum { BLOCKS = 200 };
    for (size_t i = 0; i < WR_COUNT(size); i++) {
        void *block[BLOCKS];
        size_t count = wr_max(wr_min(BLOCKS, 200 * WR_MIB / wr_max(size[i], 1)), 1);
        for (size_t k = 0; k < count; k++) {
            block[k] = weir_malloc(size[i]);
            must(block[k] != NULL, "malloc of %zu", size[i]);
            memset(unit_opaque(block[k]), 1, wr_min(size[i], 20000));
        }
        for (size_t k = 0; k < count; k++) {
            errno = MARK;
            if (k % 3 == 0)
                weir_free_sized(block[k], size[i]);
            else
                weir_free(block[k]);
            must(errno == MARK, "free of a block of %zu set errno to %d", size[i], errno);
        }
    }
    errno = MARK;
    weir_free(NULL);
    must(errno == MARK, "free(NULL) set errno to %d", errno);
    static char not_ours[32];
    weir_free(unit_opaque(not_ours));
    must(errno == MARK, "free of a foreign pointer set errno to %d", errno);
    weir_trim(0);
    must(errno == MARK, "a trim set errno to %d", errno);
}

/** Every way to memory, with an errno before it: success leaves it. C does not ask for that; programs rely on it. */
Test(errno_rules, success_leaves_errno)
{
    errno = MARK;
    for (size_t size = 0; size < 40 * WR_MIB; size = size * 2 + 3) {
        void *block[] = {weir_malloc(size), weir_calloc(1, size), weir_aligned_alloc(4096, size),
                         weir_realloc(NULL, size), weir_reallocarray(NULL, 1, size)};
        for (size_t i = 0; i < WR_COUNT(block); i++) {
            must(block[i] != NULL && errno == MARK, "size %zu, way %zu: %p, errno %d", size, i, block[i], errno);
            block[i] = weir_realloc(block[i], size * 2);
            must(block[i] != NULL && errno == MARK, "realloc to %zu, way %zu: errno %d", size * 2, i, errno);
            must(weir_usable_size(block[i]) >= size * 2 && errno == MARK, "usable_size, errno %d", errno);
            weir_free(block[i]);
        }
    }
}

/* ---- foreign pointers ------------------------------------------------------------------------------------------ */

Test(errno_rules, pointers_that_weir_never_gave)
{
    static char in_data[128] = "data";
    char on_stack[128] = "stack";
    char *from_libc = malloc(128);
    must(from_libc != NULL, "no memory");
    strcpy(from_libc, "libc");
    void *foreign[] = {in_data,
                       in_data + 1,
                       on_stack,
                       on_stack + 64,
                       from_libc,
                       (void *)(uintptr_t)&weir_free,
                       (void *)8,
                       (void *)4096,
                       (void *)(UINTPTR_MAX & ~(uintptr_t)15),
                       (void *)((uintptr_t)1 << 47),
                       (void *)((uintptr_t)1 << 48),
                       (void *)((uintptr_t)1 << 63)};
    for (size_t i = 0; i < WR_COUNT(foreign); i++) {
        void *pointer = unit_opaque(foreign[i]);
        must(weir_usable_size(pointer) == 0, "%p has a usable size", pointer);
        must(weir_realloc(pointer, 100) == NULL, "realloc of %p succeeded", pointer);
        weir_free(pointer);
        weir_free_sized(pointer, 10);
        if (unit_is_aligned(pointer, 64)) /* else the alignment is a lie, and lies are fatal */
            weir_free_aligned_sized(pointer, 64, 10);
    }
    must(strcmp(in_data, "data") == 0 && strcmp(on_stack, "stack") == 0 && strcmp(from_libc, "libc") == 0,
         "foreign memory was written to");
    free(from_libc);
    must(weir_usable_size(NULL) == 0, "NULL has a usable size");
}

/* ---- memory that runs out -------------------------------------------------------------------------------------- */

static void limit_address_space(size_t more)
{
    struct rlimit limit;
    getrlimit(RLIMIT_AS, &limit);
    limit.rlim_cur = more == 0 ? limit.rlim_max : unit_mapped() + more;
    must(setrlimit(RLIMIT_AS, &limit) == 0, "setrlimit: %s", strerror(errno));
}

/** Takes blocks of `size` until none is left; they are chained. NULL and ENOMEM is how it ends. */
static void **exhaust(size_t size, size_t *count)
{
    void **chain = NULL, **block;
    errno = MARK;
    for (*count = 0; (block = weir_malloc(size)) != NULL; ++*count) {
        must(errno == MARK, "malloc succeeded and set errno to %d", errno);
        *block = chain;
        chain = block;
    }
    must(errno == ENOMEM, "malloc of %zu failed with errno %d", size, errno);
    return chain;
}

static void free_chain(void **chain)
{
    while (chain != NULL) {
        void **next = *chain;
        errno = MARK;
        weir_free(chain);
        must(errno == MARK, "free set errno to %d", errno);
        chain = next;
    }
}

Test(errno_rules, limited_address_space)
{
    unit_need_small_pages();
    if (UNIT_SANITIZED)
        cr_skip_test("a sanitizer needs address space of its own");
    /* WEIR_CHECK looks at all blocks that are at hand with each that is taken. */
    const size_t least = wr_options.check ? 100 : 16;
    const size_t size[] = {least, 500, 3000, 30000, 200000, 3 * WR_MIB, 7 * WR_MIB};
    size_t limit = (wr_options.check ? 32 : 64) * WR_MIB;
    for (size_t i = 0; i < WR_COUNT(size); i++) {
        size_t first, second, third;
        weir_trim(0);
        limit_address_space(limit);
        void **chain = exhaust(size[i], &first);
        must(first * size[i] >= limit / 3, "%zu blocks of %zu within %zu bytes", first, size[i], limit);
        free_chain(chain);
        chain = exhaust(size[i], &second);
        must(second >= first - first / 8, "%zu blocks of %zu fitted, now %zu", first, size[i], second);
        limit_address_space(0);
        void *more = weir_malloc(20 * WR_MIB);
        must(more != NULL, "no memory though the limit is lifted");
        weir_free(more);
        free_chain(chain);
        limit_address_space(limit);
        chain = exhaust(size[WR_COUNT(size) - 1 - i], &third); /* what was freed serves other sizes */
        must(third * size[WR_COUNT(size) - 1 - i] >= limit / 3, "%zu blocks of %zu after blocks of %zu", third,
             size[WR_COUNT(size) - 1 - i], size[i]);
        limit_address_space(0);
        free_chain(chain);
    }
}

/** Cached memory must not stand in the way of a request that needs the address space. */
Test(errno_rules, what_is_kept_is_given_up_when_memory_is_short)
{
    unit_need_small_pages();
    if (UNIT_SANITIZED)
        cr_skip_test("a sanitizer needs address space of its own");
    weir_free(weir_malloc(1));
    limit_address_space(40 * WR_MIB);
    for (unsigned round = 0; round < 20; round++) {
        void *first = weir_malloc(25 * WR_MIB);
        must(first != NULL, "round %u: no block of 25 MiB within 40", round);
        weir_free(first);
        void *other = weir_malloc((20 - round % 4) * WR_MIB);
        must(other != NULL, "round %u: no other block after the first was freed", round);
        weir_free(other);
    }
    limit_address_space(0);
}
