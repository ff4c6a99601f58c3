/* SPDX-License-Identifier: MIT
 * Each name that Weir takes over resolves to it, for this program and for the libraries beneath it. */
#include "case.h"

#include <dlfcn.h>

static const char *const names[] = {
    "malloc", "free", "calloc", "realloc", "reallocarray", "memalign", "aligned_alloc", "posix_memalign",
    "valloc", "pvalloc", "cfree", "malloc_usable_size", "free_sized", "free_aligned_sized", "malloc_trim",
    "malloc_stats", "malloc_info", "mallopt", "mallinfo", "mallinfo2", "__libc_malloc", "__libc_free",
    "__libc_calloc", "__libc_realloc", "__libc_memalign", "__libc_valloc", "__libc_pvalloc", "__posix_memalign",
    "_Znwm", "_Znam", "_ZnwmRKSt9nothrow_t", "_ZnamRKSt9nothrow_t", "_ZnwmSt11align_val_t",
    "_ZnamSt11align_val_t", "_ZnwmSt11align_val_tRKSt9nothrow_t", "_ZnamSt11align_val_tRKSt9nothrow_t",
    "_ZdlPv", "_ZdaPv", "_ZdlPvm", "_ZdaPvm", "_ZdlPvRKSt9nothrow_t", "_ZdaPvRKSt9nothrow_t",
    "_ZdlPvSt11align_val_t", "_ZdaPvSt11align_val_t", "_ZdlPvmSt11align_val_t", "_ZdaPvmSt11align_val_t",
    "_ZdlPvSt11align_val_tRKSt9nothrow_t", "_ZdaPvSt11align_val_tRKSt9nothrow_t", "weir_malloc", "weir_free",
    "weir_stats_get",
};

int main(void)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        void *symbol = dlsym(RTLD_DEFAULT, names[i]);
        Dl_info info = {0};
        if (symbol == NULL || dladdr(symbol, &info) == 0 || strstr(info.dli_fname, "libweir-preload.so") == NULL) {
            say("%s is in %s\n", names[i], info.dli_fname == NULL ? "no library" : info.dli_fname);
            return 1;
        }
    }
    /* What the C library itself hands out is ours: it calls malloc like anyone else. */
    size_t (*usable)(const void *) = dlsym(RTLD_DEFAULT, "weir_usable_size");
    char *line = NULL;
    CHECK(usable(strdup("text")) >= 5);
    CHECK(asprintf(&line, "%d", 5) == 1 && usable(line) >= 2);
    return 0;
}
