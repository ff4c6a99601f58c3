/* SPDX-License-Identifier: MIT
 * RLIMIT_AS: allocation ends in NULL and ENOMEM, for every kind of block; what is freed can be had again under
 * the limit; when the limit is lifted all works as before. */
#include "case.h"

#include <malloc.h>
#include <pthread.h>
#include <sys/resource.h>

enum { ROOM = 96 * 1024 * 1024 };

struct item {
    struct item *next;
    size_t size;
};

static size_t address_space(void)
{
    return number_in("/proc/self/status", "VmSize:") * KIB;
}

/** Allocates blocks until none is left; their number. */
static size_t exhaust(struct item **list, size_t size)
{
    size_t count = 0;

    for (;;) {
        errno = 0;
        struct item *item = malloc(size);
        if (item == NULL)
            break;
        item->next = *list, item->size = size;
        memset(item + 1, 1, (size < 4096 ? size : 4096) - sizeof(*item));
        *list = item;
        count++;
    }
    CHECK(errno == ENOMEM);
    errno = 0;
    CHECK(calloc(1, ROOM) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(aligned_alloc(MIB, ROOM) == NULL && errno == ENOMEM);
    void *unset = list;
    CHECK(posix_memalign(&unset, MIB, ROOM) == ENOMEM && unset == (void *)list);
    if (*list != NULL) {
        errno = 0;
        CHECK(realloc(*list, ROOM) == NULL && errno == ENOMEM);
        CHECK((*list)->size == size);
    }
    return count;
}

static void drop(struct item **list)
{
    while (*list != NULL) {
        struct item *item = *list;
        *list = item->next;
        free(item);
    }
}

static pthread_barrier_t limited;

static void *in_thread(void *arg)
{
    struct item *list = NULL;

    pthread_barrier_wait(&limited);
    CHECK(exhaust(&list, 3000) > 100);
    drop(&list);
    return arg;
}

int main(void)
{
    static const size_t sizes[] = {64, 1000, 20000, 200000, 1500000, 8000000};
    struct item *list = NULL;
    struct rlimit limit, lifted;
    pthread_t thread;

    pthread_barrier_init(&limited, NULL, 2);
    CHECK(pthread_create(&thread, NULL, in_thread, NULL) == 0);
    CHECK(getrlimit(RLIMIT_AS, &lifted) == 0);
    limit = lifted;
    limit.rlim_cur = address_space() + ROOM;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            const size_t count = exhaust(&list, sizes[i]);
            say("%zu blocks of %zu bytes\n", count, sizes[i]);
            CHECK(count * sizes[i] > ROOM / 2);
            drop(&list);
        }
    pthread_barrier_wait(&limited);
    CHECK(pthread_join(thread, NULL) == 0);
    exhaust(&list, 64);
    CHECK(setrlimit(RLIMIT_AS, &lifted) == 0);
    char *huge = malloc(2 * (size_t)ROOM);
    CHECK(huge != NULL);
    huge[0] = huge[2 * (size_t)ROOM - 1] = 1;
    free(huge);
    for (int i = 0; i < 10000; i++)
        CHECK((huge = malloc(1000)) != NULL);
    drop(&list);
    return 0;
}
