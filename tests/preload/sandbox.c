/* SPDX-License-Identifier: MIT
 * A sandbox denies madvise, process_madvise, mremap, membarrier, the files of /proc and /sys and new threads:
 * the program works on, only less memory goes back. Argument: eperm or enosys. */
#include "seccomp.h"

#include <malloc.h>
#include <pthread.h>
#include <sys/mman.h>

static void *work(void *arg)
{
    enum { COUNT = 2000 };
    static __thread char *blocks[COUNT];
    static __thread size_t sizes[COUNT];
    uint64_t state = 1;

    for (unsigned round = 0; round < 10; round++) {
        for (unsigned i = 0; i < COUNT; i++) {
            sizes[i] = draw_size(&state, i % 100 == 0 ? 3000000 : 20000);
            blocks[i] = round % 2 == 0 ? malloc(sizes[i]) : calloc(1, sizes[i]);
            CHECK(blocks[i] != NULL);
            CHECK(round % 2 == 0 || all_zero(blocks[i], sizes[i]));
            fill(blocks[i], sizes[i], i);
        }
        for (unsigned i = 0; i < COUNT; i += 3) {
            blocks[i] = realloc(blocks[i], sizes[i] * 3);
            CHECK(blocks[i] != NULL && filled(blocks[i], sizes[i], i));
        }
        for (unsigned i = 0; i < COUNT; i++) {
            CHECK(filled(blocks[i], sizes[i], i));
            free(blocks[i]);
        }
        malloc_trim(0);
    }
    return arg;
}

int main(int argc, char **argv)
{
    static const int calls[] = {SYS_madvise,    SYS_process_madvise, SYS_mremap, SYS_membarrier, SYS_openat,
#ifdef SYS_open
                                SYS_open,
#endif
                                SYS_clone,      SYS_clone3,          SYS_sched_getaffinity};
    const bool enosys = argc > 1 && strcmp(argv[1], "enosys") == 0;
    pthread_t thread, denied;

    CHECK(pthread_create(&thread, NULL, work, NULL) == 0 && pthread_join(thread, NULL) == 0);
    forbid(calls, sizeof(calls) / sizeof(calls[0]), enosys ? ENOSYS : EPERM);
    CHECK(madvise((void *)0x10000, 4096, MADV_DONTNEED) != 0 && errno == (enosys ? ENOSYS : EPERM));
    work(NULL);
    CHECK(pthread_create(&denied, NULL, work, NULL) != 0);
    work(NULL);
    return 0;
}
