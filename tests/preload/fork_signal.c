/* SPDX-License-Identifier: MIT
 * A signal handler forks while the program allocates, perhaps inside malloc; the child ends after a call of its
 * own. The parent never hangs. */
#include "case.h"

#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

enum { FORKS = 100 };

static volatile sig_atomic_t forks;

static void handler(int number)
{
    const int error = errno;

    (void)number;
    if (forks >= FORKS)
        return;
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    CHECK(pid > 0);
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    forks++;
    errno = error;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    struct itimerval every = {{0, 2000}, {0, 2000}}, never = {{0, 0}, {0, 0}};
    char *blocks[512] = {NULL};
    uint64_t state = 1;

    CHECK(sigaction(SIGALRM, &action, NULL) == 0 && setitimer(ITIMER_REAL, &every, NULL) == 0);
    while (forks < FORKS) {
        unsigned i = draw(&state) % 512;
        free(blocks[i]);
        size_t size = draw_size(&state, 400000);
        blocks[i] = malloc(size);
        CHECK(blocks[i] != NULL);
        blocks[i][0] = blocks[i][size - 1] = 1;
    }
    CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
    for (unsigned i = 0; i < 512; i++)
        free(blocks[i]);
    return 0;
}
