/* SPDX-License-Identifier: MIT
 * A crash handler allocates, as those that print a trace do: after a bad access (argument segv), and after a
 * double free that Weir itself stops (argument 0 to 3, the block's kind). It must come to its end; only large
 * blocks may be refused. */
#include "case.h"

#include <execinfo.h>
#include <signal.h>

static void handler(int number)
{
    void *frames[20];

    char **names = backtrace_symbols(frames, backtrace(frames, 20));
    CHECK(names != NULL);
    free(names);
    for (size_t size = 1; size < 10000000; size *= 3) {
        char *block = malloc(size);
        CHECK(block != NULL || (size > 10000 && errno == ENOMEM));
        if (block != NULL)
            memset(block, 1, size);
        free(block);
    }
    say("handled %d\n", number);
    _exit(0);
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = handler};
    static const size_t sizes[] = {64, 5000, 100000, 5000000};

    CHECK(argc > 1 && sigaction(SIGSEGV, &action, NULL) == 0 && sigaction(SIGABRT, &action, NULL) == 0);
    char *volatile blocks[4];
    for (int i = 0; i < 4; i++)
        blocks[i] = malloc(sizes[i]);
    if (strcmp(argv[1], "segv") == 0)
        *(volatile int *)16 = 1;
    const size_t which = (size_t)atoi(argv[1]);
    free(blocks[which]);
    free(blocks[which]);
    return 2;
}
