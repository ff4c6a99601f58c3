/* SPDX-License-Identifier: MIT
 * free() keeps errno for every kind of block, also when every call that gives memory back fails underneath. */
#include "seccomp.h"

#include <malloc.h>

static void free_all_kinds(void)
{
    static const size_t sizes[] = {0, 16, 200, 1000, 3000, 30000, 100000, 1000000, 3000000, 40000000};
    enum { COUNT = sizeof(sizes) / sizeof(sizes[0]), COPIES = 40 };
    static char *blocks[COUNT][COPIES];

    for (unsigned i = 0; i < COUNT; i++)
        for (unsigned j = 0; j < COPIES; j++) {
            CHECK((blocks[i][j] = malloc(sizes[i])) != NULL);
            if (sizes[i] > 0)
                blocks[i][j][0] = blocks[i][j][sizes[i] - 1] = 1;
        }
    for (unsigned j = 0; j < COPIES; j++)
        for (unsigned i = 0; i < COUNT; i++) {
            errno = 123;
            free(blocks[i][j * 7 % COPIES]);
            CHECK(errno == 123);
        }
    errno = 124;
    free(NULL);
    CHECK(errno == 124);
}

int main(void)
{
    static const int calls[] = {SYS_munmap, SYS_madvise, SYS_process_madvise};

    free_all_kinds();
    malloc_trim(0);
    forbid(calls, 3, ENOMEM);
    free_all_kinds();
    return 0;
}
