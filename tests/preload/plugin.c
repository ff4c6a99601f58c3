/* SPDX-License-Identifier: MIT
 * Libraries that allocate are opened and closed again and again; their blocks outlive them, and memory does not
 * grow. */
#include "case.h"

#include <dlfcn.h>
#include <pthread.h>

static const char *path;

static void *round_trip(void *arg)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);

    CHECK(library != NULL);
    void *(*lib_malloc)(size_t) = dlsym(library, "lib_malloc");
    void (*lib_free)(void *) = dlsym(library, "lib_free");
    void *(*lib_keep)(void *) = dlsym(library, "lib_keep");
    char *block = lib_malloc(10000);
    CHECK(block != NULL);
    fill(block, 10000, 5);
    CHECK(lib_keep(block) == NULL && lib_keep(NULL) == block);
    lib_free(malloc(300));
    CHECK(dlclose(library) == 0);
    CHECK(filled(block, 10000, 5));
    free(block);
    return arg;
}

int main(int argc, char **argv)
{
    size_t start = 0;

    CHECK(argc == 2);
    path = argv[1];
    for (int i = 0; i < 300; i++) {
        pthread_t thread;
        round_trip(NULL);
        CHECK(pthread_create(&thread, NULL, round_trip, NULL) == 0 && pthread_join(thread, NULL) == 0);
        if (i == 30)
            start = resident();
    }
    CHECK(HOLDS_SOON(resident() < start + 2 * MIB));
    return 0;
}
