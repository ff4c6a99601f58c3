/* SPDX-License-Identifier: MIT
 * The operators work in a C program, without any C++ runtime in the process; too much memory ends it with a
 * message, for nobody could catch. */
#include "case.h"

#include <dlfcn.h>

int main(int argc, char **argv)
{
    void *(*new)(size_t) = dlsym(RTLD_DEFAULT, "_Znwm");
    void *(*new_nothrow)(size_t, const void *) = dlsym(RTLD_DEFAULT, "_ZnwmRKSt9nothrow_t");
    void (*delete)(void *) = dlsym(RTLD_DEFAULT, "_ZdlPv");
    char tag;

    CHECK(!map_has("libstdc++") && new != NULL && new_nothrow != NULL && delete != NULL);
    char *block = new(1000);
    CHECK(block != NULL);
    fill(block, 1000, 1);
    delete(block);
    CHECK(new_nothrow((size_t)1 << 50, &tag) == NULL);
    if (argc > 1)
        new((size_t)1 << 50);
    return 0;
}
