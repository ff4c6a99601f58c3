/* SPDX-License-Identifier: MIT
 * Handlers of atexit and on_exit and a destructor allocate and free, also what exited threads left, while
 * detached threads still run; standard output is buffered until the very end. */
#include "case.h"

#include <pthread.h>

static char *kept[3];

static void use(int from)
{
    CHECK(filled(kept[from], 3000, (unsigned)from));
    free(kept[from]);
    char *block = calloc(1, 200000);
    CHECK(block != NULL && all_zero(block, 200000));
    free(block);
}

static void by_atexit(void)
{
    use(0);
}

static void by_on_exit(int status, void *arg)
{
    (void)arg;
    CHECK(status == 3);
    use(1);
}

__attribute__((destructor)) static void by_destructor(void)
{
    if (kept[2] != NULL)
        use(2);
}

static void *churn(void *arg)
{
    uint64_t state = 1;

    for (;;)
        free(malloc(draw_size(&state, 100000)));
    return arg;
}

static void *make(void *arg)
{
    for (unsigned i = 0; i < 3; i++) {
        kept[i] = malloc(3000);
        CHECK(kept[i] != NULL);
        fill(kept[i], 3000, i);
    }
    return arg;
}

int main(void)
{
    pthread_t thread;

    CHECK(pthread_create(&thread, NULL, make, NULL) == 0 && pthread_join(thread, NULL) == 0);
    CHECK(atexit(by_atexit) == 0 && on_exit(by_on_exit, NULL) == 0);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&thread, NULL, churn, NULL) == 0 && pthread_detach(thread) == 0);
    printf("written at exit\n");
    exit(3);
}
