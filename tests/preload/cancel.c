/* SPDX-License-Identifier: MIT
 * malloc and free are no points at which a thread is cancelled: one that is to be gives memory back, takes it again,
 * and ends only where it asks for it; the others go on. */
#include "case.h"

#include <malloc.h>
#include <pthread.h>

enum { SMALL = 200000 };

static int steps;

static void use_huge(void)
{
    char *block = malloc(64 * MIB);

    CHECK(block != NULL);
    memset(block, 1, 64 * MIB);
    free(block);
}

static void use_small(void)
{
    static char *blocks[SMALL];

    for (unsigned i = 0; i < SMALL; i++) {
        CHECK((blocks[i] = malloc(400)) != NULL);
        memset(blocks[i], 1, 400);
    }
    for (unsigned i = 0; i < SMALL; i++)
        free(blocks[i]);
}

static void *work(void *arg)
{
    pthread_cancel(pthread_self());
    use_huge();
    steps++;
    use_huge();
    steps++;
    use_small();
    steps++;
    malloc_trim(0);
    steps++;
    pthread_testcancel();
    steps++;
    return arg;
}

int main(void)
{
    void *result = NULL;
    pthread_t thread;

    for (unsigned i = 0; i < 3; i++) {
        steps = 0;
        CHECK(pthread_create(&thread, NULL, work, NULL) == 0 && pthread_join(thread, &result) == 0);
        CHECK(result == PTHREAD_CANCELED && steps == 4);
    }
    use_huge();
    use_small();
    malloc_trim(0);
    return 0;
}
