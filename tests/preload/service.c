/* SPDX-License-Identifier: MIT
 * A service that systemd runs with SystemCallFilter=@system-service is killed when it makes a call that is not in that
 * set. Of the set only those are allowed here that Weir, the C library and this program have a reason to make. With the
 * argument "least" they are those of which weir(7) says that options leave no others. */
#include "seccomp.h"

#include <malloc.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

static const int calls[] = {
    /* @default */
    SYS_brk, SYS_clock_gettime, SYS_clock_nanosleep, SYS_exit, SYS_exit_group, SYS_futex, SYS_getegid, SYS_geteuid,
    SYS_getgid, SYS_getpid, SYS_getrandom, SYS_gettid, SYS_getuid, SYS_membarrier, SYS_mmap, SYS_mprotect, SYS_munmap,
    SYS_nanosleep, SYS_prlimit64, SYS_restart_syscall, SYS_rt_sigreturn, SYS_sched_getaffinity, SYS_sched_yield,
    SYS_set_robust_list, SYS_set_tid_address,
#ifdef SYS_rseq
    SYS_rseq,
#endif
    /* @basic-io, @file-system */
    SYS_close, SYS_fstat, SYS_lseek, SYS_newfstatat, SYS_openat, SYS_pread64, SYS_read, SYS_readlinkat, SYS_write,
#ifdef SYS_open
    SYS_open, SYS_readlink, SYS_stat,
#endif
    /* @ipc, @process, @resources, @signal */
    SYS_process_madvise, SYS_clone, SYS_clone3, SYS_getrusage, SYS_kill, SYS_prctl, SYS_tgkill, SYS_wait4,
    SYS_sched_setscheduler, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_sigaltstack,
    /* @system-service */
    SYS_getcpu, SYS_madvise, SYS_mremap, SYS_sched_getparam, SYS_sched_getscheduler, SYS_sysinfo, SYS_uname};

static const int least[] = {SYS_brk,    SYS_clock_gettime, SYS_exit_group, SYS_futex,      SYS_getpid,
                            SYS_gettid, SYS_madvise,       SYS_mmap,       SYS_mprotect,   SYS_mremap,
                            SYS_munmap, SYS_membarrier,    SYS_write};

static void small(size_t total)
{
    enum { COUNT = 400000 };
    static char *blocks[COUNT];
    uint64_t state = total;
    unsigned count = 0;

    for (size_t size, sum = 0; sum < total && count < COUNT; sum += size) {
        size = draw_size(&state, 2000);
        CHECK((blocks[count] = malloc(size)) != NULL);
        fill(blocks[count], size, count);
        count++;
    }
    for (unsigned i = 0; i < count; i++)
        if (i % 50 != 0)
            free(blocks[i]);
    for (unsigned i = 0; i < count; i += 50)
        free(blocks[i]);
}

static void large(void)
{
    for (size_t i = 0; i < 40; i++) {
        const size_t size = (3 + i % 5) * 7 * MIB;
        char *block = i % 2 == 0 ? malloc(size) : calloc(size, 1), *longer;
        CHECK(block != NULL);
        for (size_t at = 0; at < size; at += 4 * KIB)
            block[at] = 1;
        CHECK((longer = realloc(block, size + size / 2)) != NULL && longer[0] == 1);
        free(longer);
    }
}

static void *work(void *arg)
{
    large();
    if (arg == NULL)
        small(96 * MIB);
    malloc_trim(0);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    int status = 0;

    if (argc > 1 && strcmp(argv[1], "least") == 0) {
        allow_only(least, sizeof(least) / sizeof(least[0]));
        work(NULL);
        return 0;
    }
    allow_only(calls, sizeof(calls) / sizeof(calls[0]));
    work(NULL);
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        work(NULL);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    for (unsigned i = 0; i < 4; i++)
        CHECK(pthread_create(&thread, NULL, work, &status) == 0 && pthread_join(thread, NULL) == 0);
    work(NULL);
    sleep(2); /* the purger's looks */
    work(NULL);
    return 0;
}
