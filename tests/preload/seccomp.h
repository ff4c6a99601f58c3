/* SPDX-License-Identifier: MIT
 * Makes system calls fail, or kill, from now on, in this process and all that it starts. */
#ifndef SECCOMP_H
#define SECCOMP_H

#include "case.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif
#ifndef SYS_clone3
#define SYS_clone3 435
#endif

/** Has the system do `listed` with each of `count` calls, and `other` with all others. */
static void put_on(const int *calls, unsigned count, unsigned listed, unsigned other)
{
    struct sock_filter filter[256];
    unsigned short length = 0;

    CHECK(count < 120);
    filter[length++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (unsigned i = 0; i < count; i++) {
        filter[length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i], 0, 1);
        filter[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, listed);
    }
    filter[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, other);
    struct sock_fprog program = {.len = length, .filter = filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        SKIP_CASE("no seccomp filters here");
}

/** Each of `count` calls gives `error` and does nothing. Skips the case where the kernel refuses. */
CASE_UNUSED static void forbid(const int *calls, unsigned count, int error)
{
    put_on(calls, count, SECCOMP_RET_ERRNO | (unsigned)error, SECCOMP_RET_ALLOW);
}

/** Any but these `count` calls kills the process. Skips the case where the kernel refuses. */
CASE_UNUSED static void allow_only(const int *calls, unsigned count)
{
    put_on(calls, count, SECCOMP_RET_ALLOW, SECCOMP_RET_KILL_PROCESS);
}

#endif
