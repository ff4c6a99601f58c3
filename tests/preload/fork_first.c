/* SPDX-License-Identifier: MIT
 * fork() comes before the first malloc: in the earliest code that a program can run, and the child makes the heap. */
#include "case.h"

#include <pthread.h>
#include <sys/wait.h>

static int child_status = -1;

static void *work(void *arg)
{
    free(malloc(1000));
    return arg;
}

static void before_constructors(int argc, char **argv, char **environment)
{
    (void)argc, (void)argv, (void)environment;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid > 0) {
        CHECK(waitpid(pid, &child_status, 0) == pid);
        return;
    }
    char *block = malloc(100);
    CHECK(block != NULL);
    fill(block, 100, 1);
    free(malloc(30 * MIB));
    CHECK(filled(block, 100, 1));
    free(block);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, work, NULL) == 0 && pthread_join(thread, NULL) == 0);
    _exit(0);
}

__attribute__((section(".preinit_array"), used)) static void (*const entry)(int, char **, char **) =
    before_constructors;

int main(void)
{
    CHECK(child_status == 0);
    work(NULL);
    return 0;
}
