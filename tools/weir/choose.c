/* SPDX-License-Identifier: MIT
 * Allocators by name; see choose.h. */
#include "choose.h"

#include <dlfcn.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "preload.h"

/* By the names that their libraries have in distributions; the first that is there counts. */
static const struct known {
    const char *name, *library[4];
} known[] = {
    {"jemalloc", {"libjemalloc.so.2", "libjemalloc.so"}},
    {"mimalloc", {"libmimalloc.so.2", "libmimalloc.so.2.0", "libmimalloc.so.3", "libmimalloc.so"}},
    {"tcmalloc", {"libtcmalloc_minimal.so.4", "libtcmalloc.so.4", "libtcmalloc_minimal.so", "libtcmalloc.so"}},
    {"tbbmalloc", {"libtbbmalloc_proxy.so.2", "libtbbmalloc_proxy.so"}},
    {"mesh", {"libmesh.so"}},
    {"snmalloc", {"libsnmallocshim.so"}},
    {"rpmalloc", {"librpmallocwrap.so", "librpmalloc.so"}},
    {"hardened_malloc", {"libhardened_malloc.so"}},
};

const char *choose_names(void)
{
    return "weir, glibc, jemalloc, mimalloc, tcmalloc, tbbmalloc, mesh, snmalloc, rpmalloc, hardened_malloc";
}

static char *try_file(const char *directory, const char *name)
{
    char *path = text_format("%s/%s", directory, name);
    if (access(path, R_OK) == 0)
        return path;
    free(path);
    return NULL;
}

/** Looks where the loader looks for libraries, and where `make install` puts them. */
static char *find_library(const char *name)
{
    Dl_serinfo size, *places;
    char *found = NULL;
    void *self = dlopen(NULL, RTLD_LAZY);
    if (self != NULL && dlinfo(self, RTLD_DI_SERINFOSIZE, &size) == 0) {
        places = tool_need(malloc(size.dls_size));
        dlinfo(self, RTLD_DI_SERINFOSIZE, places);
        unsigned count = dlinfo(self, RTLD_DI_SERINFO, places) == 0 ? places->dls_cnt : 0;
        for (unsigned i = 0; found == NULL && i < count; i++)
            found = try_file(places->dls_serpath[i].dls_name, name);
        free(places);
    }
    return found != NULL ? found : try_file("/usr/local/lib", name);
}

char *choose_allocator(const char *name)
{
    if (strchr(name, '/') != NULL)
        return preload_named(name);
    if (strcmp(name, "glibc") == 0 || strcmp(name, "system") == 0)
        return NULL;
    if (strcmp(name, "weir") == 0)
        return preload_find(NULL);
    for (size_t i = 0; i < TOOL_COUNT(known); i++) {
        char *found = NULL;
        if (strcmp(name, known[i].name) != 0)
            continue;
        for (size_t j = 0; found == NULL && j < TOOL_COUNT(known[i].library) && known[i].library[j] != NULL; j++)
            found = find_library(known[i].library[j]);
        if (found == NULL)
            tool_die("cannot find %s: no %s where the loader looks; install it, or give --allocator its library's path",
                     name, known[i].library[0]);
        char *named = preload_named(found);
        free(found);
        return named;
    }
    tool_die("there is no allocator '%s'; give one of %s, or the path of a library", name, choose_names());
}
