/* SPDX-License-Identifier: MIT
 * Test(suite, name): Criterion's. ThreadSanitizer leaves no room in the address space for Criterion's arena, so in its
 * builds a small runner of our own (runner.c) takes the same words: a process for each test, and TAP. */
#ifndef UNIT_SUITE_H
#define UNIT_SUITE_H

#include "base/base.h"

#if WR_TSAN

#include <stdio.h>

/** A test, in a list that constructors make. */
struct unit_test {
    const char *suite, *name;
    void (*run)(void);
    struct unit_test *next;
};

void unit_test_add(struct unit_test *test);

/** Ends the test's process; the rest is a printf format that says why it cannot run. */
WR_NORETURN void unit_skip(const char *format, ...) WR_PRINTF(1, 2);

#define TestSuite(suite, ...) _Static_assert(1, #suite " has no timeout of its own here")

#define Test(suite, name, ...)                                                                                         \
    static void suite##_##name(void);                                                                                  \
    static struct unit_test suite##_##name##_test = {#suite, #name, suite##_##name, NULL};                             \
    __attribute__((constructor)) static void suite##_##name##_add(void) { unit_test_add(&suite##_##name##_test); }     \
    static void suite##_##name(void)

#define cr_skip_test(...) unit_skip(__VA_ARGS__)

#define cr_assert_fail(...) fprintf(stderr, __VA_ARGS__)

#else
#include <criterion/criterion.h>
#endif

#endif
