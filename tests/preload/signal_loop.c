/* SPDX-License-Identifier: MIT
 * A timer's handler allocates and frees while the program does, in one thread and in two. POSIX promises nothing; Weir
 * that no call hangs: it gives a block or, inside a call that was interrupted, NULL and ENOMEM for a large one. The
 * handler may interrupt a fast path, and then the program may end with a message of corruption; it may not hang. */
#include "case.h"

#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

enum { CALLS = 3000 };

static volatile sig_atomic_t calls;

static void handler(int number)
{
    static uint64_t state = 5;
    const int error = errno;

    (void)number;
    for (int i = 0; i < 5; i++) {
        const size_t size = draw_size(&state, 300000);
        char *block = malloc(size);
        CHECK(block != NULL || (size > 1000 && errno == ENOMEM));
        if (block == NULL)
            continue;
        block[0] = block[size - 1] = 1;
        free(block);
    }
    calls++;
    errno = error;
}

static void *churn(void *arg)
{
    char *blocks[256] = {NULL};
    uint64_t state = (uintptr_t)arg;

    while (calls < CALLS) {
        const unsigned i = draw(&state) % 256;
        free(blocks[i]);
        const size_t size = draw_size(&state, 500000);
        blocks[i] = malloc(size);
        CHECK(blocks[i] != NULL);
        blocks[i][0] = blocks[i][size - 1] = 1;
    }
    for (unsigned i = 0; i < 256; i++)
        free(blocks[i]);
    return NULL;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    struct itimerval every = {{0, 200}, {0, 200}}, never = {{0, 0}, {0, 0}};
    pthread_t thread;

    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    if (argc > 1)
        CHECK(pthread_create(&thread, NULL, churn, (void *)2) == 0);
    CHECK(setitimer(ITIMER_REAL, &every, NULL) == 0);
    churn((void *)1);
    CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
    if (argc > 1)
        CHECK(pthread_join(thread, NULL) == 0);
    return 0;
}
