/* SPDX-License-Identifier: MIT
 * Children by vfork, posix_spawn, system, popen and exec, from a process with threads that allocate: each child
 * inherits LD_PRELOAD and finds the library mapped (case.h looks), and the parent's heap is untouched. */
#include "case.h"

#include <pthread.h>
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;
static _Atomic bool stop;

static void *churn(void *arg)
{
    uint64_t state = 1;

    while (!stop)
        free(malloc(draw_size(&state, 100000)));
    return arg;
}

static void wait_for(pid_t pid)
{
    int status;

    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
}

static void by_vfork(char *self)
{
    char *const arguments[] = {self, "child", NULL};
    pid_t pid = vfork();

    if (pid == 0) {
        execv(self, arguments);
        _exit(127);
    }
    wait_for(pid);
}

static void by_spawn(char *self)
{
    char *const arguments[] = {self, "child", NULL};
    pid_t pid;

    CHECK(posix_spawn(&pid, self, NULL, NULL, arguments, environ) == 0);
    wait_for(pid);
}

static void by_shell(char *self)
{
    char command[4200], line[100];

    snprintf(command, sizeof(command), "exec '%s' child", self);
    CHECK(system(command) == 0);
    FILE *pipe = popen(command, "r");
    CHECK(pipe != NULL && fgets(line, sizeof(line), pipe) != NULL && strcmp(line, "child\n") == 0);
    CHECK(pclose(pipe) == 0);
}

static void *exec_from_thread(void *self)
{
    char *const arguments[] = {self, "child", NULL};

    execv(self, arguments);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    char *kept = malloc(100);

    if (argc > 1) {
        free(kept);
        say("%s\n", argv[1]);
        return 0;
    }
    fill(kept, 100, 1);
    CHECK(pthread_create(&thread, NULL, churn, NULL) == 0);
    for (int i = 0; i < 10; i++) {
        by_vfork(argv[0]);
        by_spawn(argv[0]);
        by_shell(argv[0]);
        CHECK(filled(kept, 100, 1));
    }
    /* The last: exec in this very process, from another thread than main. */
    CHECK(pthread_create(&thread, NULL, exec_from_thread, argv[0]) == 0);
    pthread_join(thread, NULL);
    return 1;
}
