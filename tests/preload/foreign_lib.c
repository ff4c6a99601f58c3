/* SPDX-License-Identifier: MIT
 * A library that was opened with RTLD_DEEPBIND behind Weir's back takes malloc from the C library; its blocks come to
 * our free and leave it whole. */
#include "case.h"

#include <dlfcn.h>
#include <gnu/lib-names.h>
#include <malloc.h>

int main(int argc, char **argv)
{
    void *libc = dlopen(LIBC_SO, RTLD_LAZY | RTLD_NOLOAD);
    void *(*open)(const char *, int) = libc != NULL ? dlsym(libc, "dlopen") : NULL;

    if (open == NULL)
        SKIP_CASE("the C library has no dlopen of its own");
    void *library = open(argv[1], RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
    CHECK(argc == 2 && library != NULL);
    void *(*lib_malloc)(size_t) = dlsym(library, "lib_malloc");
    void (*lib_free)(void *) = dlsym(library, "lib_free");

    for (int i = 0; i < 100; i++) {
        char *theirs = lib_malloc(100);
        CHECK(theirs != NULL && malloc_usable_size(theirs) == 0);
        fill(theirs, 100, (unsigned)i);
        free(theirs); /* not ours: ignored, one warning in all */
        CHECK(filled(theirs, 100, (unsigned)i));
        lib_free(theirs);
        char *ours = malloc(100);
        CHECK(ours != NULL && malloc_usable_size(ours) >= 100);
        free(ours);
    }
    return 0;
}
