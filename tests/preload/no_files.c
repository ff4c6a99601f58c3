/* SPDX-License-Identifier: MIT
 * Where no file can be opened Weir does not see which of its pages are resident: memory goes back all the same. */
#include "case.h"

#include <malloc.h>
#include <sys/resource.h>

enum { BLOCKS = 60000, BLOCK = 1000, KEPT = 400 };

static size_t resident_by(int statm)
{
    char text[128] = "";

    CHECK(pread(statm, text, sizeof(text) - 1, 0) > 0);
    return strtoul(strchr(text, ' '), NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

int main(void)
{
    static char *blocks[BLOCKS];
    const struct rlimit few = {32, 32};
    const int statm = open("/proc/self/statm", O_RDONLY);

    CHECK(statm >= 0 && setrlimit(RLIMIT_NOFILE, &few) == 0);
    while (dup(statm) >= 0)
        continue;
    const size_t start = resident_by(statm);
    for (unsigned i = 0; i < BLOCKS; i++) {
        CHECK((blocks[i] = malloc(BLOCK)) != NULL);
        memset(blocks[i], 1, BLOCK);
    }
    const size_t built = resident_by(statm) - start;
    for (unsigned i = 0; i < BLOCKS; i++)
        if (i % KEPT != 0)
            free(blocks[i]);
    malloc_trim(0);
    const size_t left = resident_by(statm) - start;
    say("%zu KiB built, %zu left\n", built / KIB, left / KIB);
    CHECK(built > 50 * MIB && left < 4 * MIB);
    return 0;
}
