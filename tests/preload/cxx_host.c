/* SPDX-License-Identifier: MIT
 * A C program opens a C++ library for itself alone, as an interpreter does with its extension modules: the C++ runtime
 * comes with it and is in nobody's scope. The library must still be able to catch std::bad_alloc. */
#include "case.h"

#include <dlfcn.h>

int main(int argc, char **argv)
{
    CHECK(!map_has("libstdc++") && !map_has("libc++"));
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    CHECK(argc == 2 && library != NULL);
    int (*try_all)(void) = dlsym(library, "try_all");
    CHECK(try_all != NULL && try_all() == 4);
    return 0;
}
