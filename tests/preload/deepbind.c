/* SPDX-License-Identifier: MIT
 * A library opened with RTLD_DEEPBIND allocates where the program does: each frees the other's blocks. It is found by
 * the run path of the program, as it would be without Weir's dlopen in between. With a second argument the flag has
 * been kept: the library has a heap of its own. */
#include "case.h"

#include <dlfcn.h>
#include <malloc.h>

int main(int argc, char **argv)
{
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);

    if (library == NULL)
        say("%s\n", dlerror());
    CHECK(argc >= 2 && strchr(argv[1], '/') == NULL && library != NULL);
    void *(*lib_malloc)(size_t) = dlsym(library, "lib_malloc");
    void (*lib_free)(void *) = dlsym(library, "lib_free");

    if (argc > 2) {
        lib_free(lib_malloc(100));
        free(lib_malloc(100)); /* warned of, and ignored */
        return 0;
    }

    for (size_t size = 1; size < 8 * MIB; size = size * 3 + 7) {
        char *theirs = lib_malloc(size), *ours = malloc(size);
        CHECK(theirs != NULL && malloc_usable_size(theirs) >= size && ours != NULL);
        fill(theirs, size, 1);
        fill(ours, size, 2);
        theirs = realloc(theirs, size + 100);
        CHECK(filled(theirs, size, 1) && filled(ours, size, 2));
        free(theirs);
        lib_free(ours);
    }
    CHECK(dlclose(library) == 0);
    CHECK(dlopen("libthere-is-none.so", RTLD_NOW) == NULL && strstr(dlerror(), "libthere-is-none.so") != NULL);
    CHECK(dlopen(NULL, RTLD_NOW) != NULL);
    return 0;
}
