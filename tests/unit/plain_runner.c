/* SPDX-License-Identifier: MIT
 * A runner for Criterion's tests that is this file and no more, for builds with ThreadSanitizer: it takes the addresses
 * at which Criterion's own runner keeps what its processes share. Each test in a process of its own, one at a time; TAP
 * on standard output. It stands in for main() and what else of libcriterion a test calls. */
#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SKIPPED = 77, DEFAULT_TIMEOUT = 600 };

/* What Test and TestSuite leave in the program; the linker names the ends of a section. */
extern struct criterion_test *__start_cr_tst[], *__stop_cr_tst[];
extern struct criterion_suite *__start_cr_sts[] __attribute__((weak)), *__stop_cr_sts[] __attribute__((weak));

static int reasons[2]; /* a pipe: why a test was skipped */

void criterion_skip_test(const char *format, ...) __attribute__((format(printf, 1, 2)));

void criterion_internal_test_setup(void) {}

void criterion_internal_test_main(void (*fn)(void)) { fn(); }

void criterion_internal_test_teardown(void) {}

void criterion_abort_test(void) { abort(); }

void criterion_skip_test(const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (length < 0 || write(reasons[1], text, strnlen(text, sizeof text)) < 0)
        abort();
    _exit(SKIPPED);
}

static const struct criterion_test_extra_data *suite_of(const struct criterion_test *test)
{
    static const struct criterion_test_extra_data none;
    for (struct criterion_suite **suite = __start_cr_sts; suite < __stop_cr_sts; suite++)
        if (strcmp((*suite)->name, test->category) == 0)
            return (*suite)->data;
    return &none;
}

/** The life of a child. */
static void run(const struct criterion_test *test, const struct criterion_test_extra_data *suite)
{
    double seconds = test->data->timeout > 0 ? test->data->timeout : suite->timeout;
    alarm(seconds > 0 ? (unsigned)seconds : DEFAULT_TIMEOUT);
    void (*around[])(void) = {suite->init, test->data->init, test->test, test->data->fini, suite->fini};
    for (size_t i = 0; i < sizeof around / sizeof around[0]; i++)
        if (around[i] != NULL)
            around[i]();
    exit(0);
}

/** Runs one test and prints its line. @return whether it passed or was skipped. */
static bool attempt(const struct criterion_test *test)
{
    char why[256] = "";
    int status;
    fflush(NULL);
    if (pipe(reasons) != 0)
        abort();
    pid_t child = fork();
    if (child == 0)
        run(test, suite_of(test));
    close(reasons[1]);
    if (child < 0 || waitpid(child, &status, 0) != child || read(reasons[0], why, sizeof why - 1) < 0)
        abort();
    close(reasons[0]);
    bool skipped = WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED;
    int wanted_signal = test->data->signal;
    bool passed = wanted_signal != 0 ? WIFSIGNALED(status) && WTERMSIG(status) == wanted_signal
                                     : WIFEXITED(status) && WEXITSTATUS(status) == test->data->exit_code;
    printf("%s - %s::%s%s%s\n", passed || skipped ? "ok" : "not ok", test->category, test->name,
           skipped ? " # SKIP " : "", why);
    if (!passed && !skipped)
        printf("# %s %d\n", WIFSIGNALED(status) ? "killed by signal" : "exit status",
               WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return passed || skipped;
}

int main(void)
{
    bool all = true;
    printf("1..%d\n", (int)(__stop_cr_tst - __start_cr_tst));
    for (struct criterion_test **test = __start_cr_tst; test < __stop_cr_tst; test++)
        all &= attempt(*test);
    return all ? 0 : 1;
}
