/* SPDX-License-Identifier: MIT
 * The runner that stands in for Criterion where there is no room for it; see suite.h. Arguments: words; only tests with
 * one of them in their name run. Owns the list of tests; single-threaded. */
#include "suite.h"

#if WR_TSAN

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TIMEOUT = 600 /* seconds for a test */, SKIPPED = 77 /* exit status */, REASON = 256 /* bytes */ };

static struct unit_test *tests;
static char *reason; /* why the test was skipped: shared with its process */

void unit_test_add(struct unit_test *test)
{
    struct unit_test **at = &tests;
    while (*at != NULL)
        at = &(*at)->next;
    *at = test;
}

WR_NORETURN void unit_skip(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(reason, REASON, format, args);
    va_end(args);
    _exit(SKIPPED);
}

static bool is_wanted(const struct unit_test *test, char *const *words)
{
    char name[200];
    snprintf(name, sizeof name, "%s::%s", test->suite, test->name);
    bool wanted = false, any = false;
    for (; *words != NULL; words++) {
        any |= **words != '-'; /* options are Criterion's */
        wanted |= strstr(name, *words) != NULL;
    }
    return wanted || !any;
}

/** The status of a process that runs the test, as waitpid gives it. */
static int run(const struct unit_test *test)
{
    int status = -1;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(TIMEOUT);
        test->run();
        exit(0);
    }
    return child > 0 && waitpid(child, &status, 0) == child ? status : -1;
}

/** Runs a test and prints its line; whether it passed or was skipped. */
static bool attempt(const struct unit_test *test, unsigned number)
{
    int status = run(test);
    bool skipped = WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED, passed = status == 0 || skipped;
    printf("%sok %u - %s::%s%s%s\n", passed ? "" : "not ", number, test->suite, test->name, skipped ? " # SKIP " : "",
           skipped ? reason : "");
    if (!passed)
        printf("# exit status %d, signal %d\n", WEXITSTATUS(status), WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    return passed;
}

int main(int argc, char **argv)
{
    unsigned count = 0, failed = 0;
    (void)argc;
    reason = mmap(NULL, REASON, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (reason == MAP_FAILED)
        abort();
    for (const struct unit_test *test = tests; test != NULL; test = test->next)
        if (is_wanted(test, argv + 1))
            failed += !attempt(test, ++count);
    printf("1..%u\n", count);
    return failed != 0;
}

#endif
