/* SPDX-License-Identifier: MIT
 * malloc and free are no points at which a thread is cancelled: one that is to be gives memory back, takes it again,
 * and ends only where it asks for it; the others go on. With the argument "messages" it does what Weir has a word to
 * say about: a free of what Weir never gave, and a block that there is no memory for. */
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

static void *provoke(void *arg)
{
    static char never_given[64];
    void *volatile foreign = never_given + 16;

    pthread_cancel(pthread_self());
    free(foreign);
    steps++;
    CHECK(malloc((size_t)1 << 46) == NULL);
    steps++;
    pthread_testcancel();
    steps++;
    return arg;
}

static void cancel(void *(*fn)(void *), int steps_wanted)
{
    void *result = NULL;
    pthread_t thread;

    steps = 0;
    CHECK(pthread_create(&thread, NULL, fn, NULL) == 0 && pthread_join(thread, &result) == 0);
    CHECK(result == PTHREAD_CANCELED && steps == steps_wanted);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "messages") == 0)
        cancel(provoke, 2);
    else
        for (unsigned i = 0; i < 3; i++)
            cancel(work, 4);
    use_huge();
    use_small();
    malloc_trim(0);
    return 0;
}
