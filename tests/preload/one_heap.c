/* SPDX-License-Identifier: MIT
 * Linked with libweir.so and run with libweir-preload.so preloaded: one heap. Blocks of either family go to the
 * other, and both see the same figures. */
#include "case.h"

#include <dlfcn.h>
#include <malloc.h>
#include <weir/alloc.h>

static const char *file_of(void *symbol)
{
    Dl_info info;

    return dladdr(symbol, &info) != 0 ? info.dli_fname : "?";
}

static size_t live(void)
{
    struct weir_stats stats;

    weir_stats_get(&stats);
    return stats.live;
}

int main(void)
{
    CHECK(map_has("libweir.so"));
    CHECK(strstr(file_of((void *)weir_malloc), "libweir-preload.so") != NULL);
    for (size_t size = 1; size < 20000000; size = size * 3 + 1) {
        char *ours = weir_malloc(size), *theirs = malloc(size);
        CHECK(ours != NULL && theirs != NULL);
        CHECK(malloc_usable_size(ours) >= size && weir_usable_size(theirs) >= size);
        fill(ours, size, 1);
        theirs = weir_realloc(theirs, 2 * size);
        ours = realloc(ours, 2 * size);
        CHECK(ours != NULL && theirs != NULL && filled(ours, size, 1));
        weir_free(theirs);
        free(ours);
    }
    const size_t before = live();
    char *block = malloc(5000000);
    CHECK(block != NULL && live() >= before + 5000000);
    weir_free(block);
    CHECK(live() < before + 1000000);
    block = weir_malloc(5000000);
    const struct mallinfo2 info = mallinfo2();
    CHECK(info.uordblks + info.hblkhd >= 5000000);
    free(block);
    return 0;
}
