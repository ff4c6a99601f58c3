/* SPDX-License-Identifier: MIT
 * Allocation inside the destructors of thread-specific data, in every round that the C library grants,
 * registered before and after the thread's first call, and in threads that are cancelled or exit by
 * pthread_exit. */
#include "case.h"

#include <pthread.h>

enum { KEYS = 8, THREADS = 60 };

static pthread_key_t keys[KEYS];
static _Atomic unsigned destroyed;

static void destroy(void *value)
{
    unsigned *rounds = value;
    const unsigned left = rounds[0], key = rounds[1];

    CHECK(filled(rounds + 2, 100, left));
    free(rounds);
    free(malloc(70000));
    free(realloc(calloc(1, 10), 3000));
    destroyed++;
    if (left > 0) {
        rounds = malloc(200);
        CHECK(rounds != NULL);
        rounds[0] = left - 1, rounds[1] = key;
        fill(rounds + 2, 100, left - 1);
        CHECK(pthread_setspecific(keys[key], rounds) == 0);
    }
}

static void set_all(void)
{
    for (unsigned i = 0; i < KEYS; i++) {
        unsigned *rounds = malloc(200);
        CHECK(rounds != NULL);
        rounds[0] = 2, rounds[1] = i;
        fill(rounds + 2, 100, 2);
        CHECK(pthread_setspecific(keys[i], rounds) == 0);
    }
}

static void *work(void *arg)
{
    set_all();
    switch ((uintptr_t)arg % 3) {
    case 0:
        pthread_exit(NULL);
    case 1:
        pthread_cancel(pthread_self());
        pthread_testcancel();
    }
    return NULL;
}

int main(void)
{
    for (unsigned i = 0; i < KEYS; i++)
        CHECK(pthread_key_create(&keys[i], destroy) == 0);
    for (uintptr_t i = 0; i < THREADS; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, work, (void *)i) == 0 && pthread_join(thread, NULL) == 0);
    }
    CHECK(destroyed == THREADS * KEYS * 3);
    return 0;
}
