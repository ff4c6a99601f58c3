/* SPDX-License-Identifier: MIT
 * Freed once before fork and once in the child. Argument: its size. */
#include "abuse.h"

#include <signal.h>
#include <sys/wait.h>

int main(int argc, char **argv)
{
    char *block = at(among_others(number(argc, argv, 1, 64)));
    int status;

    free(block);
    pid_t pid = fork();
    if (pid == 0) {
        free(launder(block));
        _exit(survived());
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    if (WIFSIGNALED(status))
        raise(WTERMSIG(status));
    return 0;
}
