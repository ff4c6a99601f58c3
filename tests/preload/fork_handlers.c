/* SPDX-License-Identifier: MIT
 * The program's own pthread_atfork handlers allocate and free. One set is registered before any constructor, so before
 * Weir can have registered: its prepare handler runs after ours, its parent and child handlers before ours. */
#include "case.h"

#include <pthread.h>
#include <sys/wait.h>

static void *early[3], *late[3];
static _Atomic bool stop;

static void step(void **kept, unsigned seed)
{
    for (unsigned i = 0; i < 3; i++) {
        static const size_t sizes[3] = {40, 20000, 500000};
        if (kept[i] != NULL)
            CHECK(filled(kept[i], 40, i));
        free(kept[i]);
        kept[i] = malloc(sizes[i]);
        CHECK(kept[i] != NULL);
        fill(kept[i], 40, i);
        free(realloc(malloc(seed + 1), sizes[i]));
    }
}

static void early_step(void)
{
    step(early, 1);
}

static void late_step(void)
{
    step(late, 2);
}

static void before_constructors(int argc, char **argv, char **environment)
{
    (void)argc, (void)argv, (void)environment;
    CHECK(pthread_atfork(early_step, early_step, early_step) == 0);
}

__attribute__((section(".preinit_array"), used)) static void (*const entry)(int, char **, char **) =
    before_constructors;

static void *churn(void *arg)
{
    uint64_t state = 1;

    while (!stop)
        free(malloc(draw_size(&state, 600000)));
    return arg;
}

int main(void)
{
    pthread_t thread;

    CHECK(pthread_atfork(late_step, late_step, late_step) == 0);
    for (int threads = 0; threads < 2; threads++) {
        if (threads == 1)
            CHECK(pthread_create(&thread, NULL, churn, NULL) == 0);
        for (int i = 0; i < 50; i++) {
            pid_t pid = fork();
            CHECK(pid >= 0);
            if (pid == 0) {
                late_step();
                _exit(0);
            }
            int status;
            CHECK(waitpid(pid, &status, 0) == pid && status == 0);
        }
    }
    stop = true;
    CHECK(pthread_join(thread, NULL) == 0);
    return 0;
}
