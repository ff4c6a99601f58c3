/* SPDX-License-Identifier: MIT
 * fork() in a process of one thread writes to no memory of Weir's in the parent: a page that both processes have is
 * copied when it is written. Beside it a fork that runs no handlers, by the system call. */
#include "case.h"

#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { FORKS = 100 };

static pid_t by_library(void)
{
    return fork();
}

static pid_t by_system(void)
{
    return (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
}

/** Page faults of this process while it forks. */
static long count_faults(pid_t (*make)(void))
{
    struct rusage before, after;

    CHECK(getrusage(RUSAGE_SELF, &before) == 0);
    for (int i = 0; i < FORKS; i++) {
        int status;
        pid_t pid = make();
        CHECK(pid >= 0);
        if (pid == 0)
            _exit(0);
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    }
    CHECK(getrusage(RUSAGE_SELF, &after) == 0);
    return after.ru_minflt - before.ru_minflt;
}

/** The best of three rounds: the system may add faults of its own. */
static long faults(pid_t (*make)(void))
{
    long least = count_faults(make);

    for (int i = 0; i < 2; i++) {
        const long count = count_faults(make);
        least = count < least ? count : least;
    }
    return least;
}

int main(void)
{
    for (unsigned i = 0; i < 1000; i++) { /* all of Weir that a program uses is resident */
        void *block = malloc(i * 100 + 1);
        CHECK(block != NULL);
        if (i % 2 == 0)
            free(block);
    }
    const long library = faults(by_library), system = faults(by_system);
    say("%ld faults in %d forks, %ld without handlers\n", library, FORKS, system);
    CHECK(library < system + 3 * FORKS);
    return 0;
}
