/* SPDX-License-Identifier: MIT
 * A process whose threads all allocate forks, over and over. The child allocates at once, frees what other threads had
 * made, starts a thread, forks again; parent and child go on with their content intact. */
#include "case.h"

#include <pthread.h>
#include <sys/wait.h>

enum { THREADS = 3, FORKS = 150, SLOTS = 64 };

static char *_Atomic shared[SLOTS]; /* blocks on their way from one thread to another: length in the first word */
static _Atomic bool stop;

static char *make(uint64_t *state)
{
    const size_t size = sizeof(size_t) + draw_size(state, 100000);
    char *block = malloc(size);

    CHECK(block != NULL);
    memcpy(block, &size, sizeof(size));
    block[size - 1] = block[sizeof(size) % size] = 42;
    return block;
}

static void check_and_free(char *block)
{
    size_t size;

    if (block == NULL)
        return;
    memcpy(&size, block, sizeof(size));
    CHECK(size > sizeof(size) && size < 200000 && block[size - 1] == 42);
    free(block);
}

static void *churn(void *arg)
{
    uint64_t state = (uintptr_t)arg;

    while (!stop)
        check_and_free(__atomic_exchange_n(&shared[draw(&state) % SLOTS], make(&state), __ATOMIC_ACQ_REL));
    return NULL;
}

static void *allocate_some(void *arg)
{
    uint64_t state = 9;

    for (int i = 0; i < 200; i++)
        check_and_free(make(&state));
    return arg;
}

static void child(int depth)
{
    pthread_t thread;

    for (int i = 0; i < SLOTS; i++)
        check_and_free(__atomic_exchange_n(&shared[i], NULL, __ATOMIC_ACQ_REL));
    allocate_some(NULL);
    free(malloc(20 * MIB));
    CHECK(pthread_create(&thread, NULL, allocate_some, NULL) == 0 && pthread_join(thread, NULL) == 0);
    if (depth == 0) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0)
            child(1);
        int status;
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    }
    _exit(0);
}

int main(void)
{
    pthread_t threads[THREADS];

    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, churn, (void *)(i + 1)) == 0);
    for (int i = 0; i < FORKS; i++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0)
            child(i % 10 == 0 ? 0 : 1);
        int status;
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK(status == 0);
    }
    stop = true;
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    for (int i = 0; i < SLOTS; i++)
        check_and_free(shared[i]);
    return 0;
}
