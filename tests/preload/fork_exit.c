/* SPDX-License-Identifier: MIT
 * The child of a process with threads ends by exit(): its atexit handlers, destructors and buffered output run
 * on a heap whose other threads are gone. Each generation forks the next. */
#include "case.h"

#include <pthread.h>
#include <sys/wait.h>

static char *kept;

static void at_end(void)
{
    CHECK(filled(kept, 5000, 7));
    free(kept);
    free(malloc(100000));
}

static void *sleep_forever(void *arg)
{
    void *mine = malloc(2000);

    CHECK(mine != NULL);
    fill(mine, 2000, 1);
    pthread_barrier_wait(arg);
    for (;;)
        pause();
}

int main(void)
{
    pthread_barrier_t ready;
    pthread_t thread;

    kept = malloc(5000);
    fill(kept, 5000, 7);
    CHECK(atexit(at_end) == 0);
    for (int generation = 0; generation < 20; generation++) {
        pthread_barrier_init(&ready, NULL, 2);
        CHECK(pthread_create(&thread, NULL, sleep_forever, &ready) == 0);
        pthread_barrier_wait(&ready);
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid > 0) {
            int status;
            CHECK(waitpid(pid, &status, 0) == pid && status == 0);
            return 0;
        }
        printf("generation %d\n", generation);
    }
    return 0;
}
