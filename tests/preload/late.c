/* SPDX-License-Identifier: MIT
 * The library is opened by a program that runs already: there is little static thread-local storage left,
 * threads exist, and the program's own malloc stays the C library's. It is closed again while blocks and threads
 * live on. */
#include "case.h"

#include <dlfcn.h>
#include <pthread.h>

static void *(*w_malloc)(size_t);
static void (*w_free)(void *);
static void *(*w_realloc)(void *, size_t);
static pthread_barrier_t opened, closed;

static void use(unsigned seed)
{
    char *blocks[100];

    for (unsigned i = 0; i < 100; i++) {
        blocks[i] = w_malloc(i * 50 + 1);
        CHECK(blocks[i] != NULL);
        fill(blocks[i], i * 50 + 1, seed + i);
    }
    for (unsigned i = 0; i < 100; i++) {
        CHECK(filled(blocks[i], i * 50 + 1, seed + i));
        blocks[i] = w_realloc(blocks[i], i * 70 + 1);
        CHECK(filled(blocks[i], i * 50 + 1, seed + i));
        w_free(blocks[i]);
    }
}

static void *old_thread(void *arg)
{
    pthread_barrier_wait(&opened);
    use(1);
    pthread_barrier_wait(&closed);
    use(2);
    return arg;
}

static void *new_thread(void *arg)
{
    use(3);
    return arg;
}

int main(int argc, char **argv)
{
    pthread_t before, after;

    pthread_barrier_init(&opened, NULL, 2);
    pthread_barrier_init(&closed, NULL, 2);
    CHECK(pthread_create(&before, NULL, old_thread, NULL) == 0);
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        say("%s\n", dlerror());
    CHECK(argc == 2 && library != NULL);
    w_malloc = dlsym(library, "weir_malloc");
    w_free = dlsym(library, "weir_free");
    w_realloc = dlsym(library, "weir_realloc");
    CHECK(w_malloc != NULL && w_free != NULL && w_realloc != NULL);
    char *ours = w_malloc(1000), *theirs = malloc(1000);
    CHECK(ours != NULL && theirs != NULL);
    pthread_barrier_wait(&opened);
    CHECK(pthread_create(&after, NULL, new_thread, NULL) == 0 && pthread_join(after, NULL) == 0);
    CHECK(dlclose(library) == 0);
    pthread_barrier_wait(&closed);
    CHECK(pthread_join(before, NULL) == 0);
    use(4);
    w_free(ours);
    free(theirs);
    return 0;
}
