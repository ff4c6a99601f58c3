/* SPDX-License-Identifier: MIT
 * supervise CALL WHEN ERROR PROGRAM [ARGUMENT...]: runs a program some of whose system calls fail.
 *
 * CALL is mmap, munmap, mremap, madvise, process_madvise, clone, membarrier, or populate, which is madvise as far as it
 * makes pages resident; that is left out of madvise. Calls are counted from 1, in all threads, from the time the
 * program asks for its personality(0xffffffff) on. WHEN is N (that one fails), N+ (it and all later ones) or 0 (none).
 * ERROR is a number. At the end the last line of output says how many calls there were and how many of them failed; the
 * status is the program's. A user notification of seccomp does it, so no tracer is needed. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct {
    const char *name;
    int number;
} calls[] = {
    {"mmap", SYS_mmap},       {"munmap", SYS_munmap},       {"mremap", SYS_mremap},
    {"madvise", SYS_madvise}, {"process_madvise", 440},     {"clone", SYS_clone},
    {"populate", SYS_madvise}, {"membarrier", SYS_membarrier},
};

enum { POPULATE_WRITE = 23 }; /* MADV_POPULATE_WRITE */

static void die(const char *what)
{
    const int error = errno;

    dprintf(STDOUT_FILENO, "%s: %s\n", what, strerror(error));
    _exit(error == ENOSYS || error == EINVAL || error == EPERM || error == EACCES ? 77 : 78);
}

static int find_call(const char *name)
{
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        if (strcmp(calls[i].name, name) == 0)
            return calls[i].number;
    fprintf(stderr, "no call %s\n", name);
    exit(78);
}

/** Installs the filter in this process; the descriptor on which it notifies. */
static int install(const char *name)
{
    const int call = find_call(name);
    const bool populates = strcmp(name, "populate") == 0;
    const uint16_t low = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0; /* half of an argument */
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_personality, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2]) + low),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, POPULATE_WRITE, call == SYS_madvise && !populates, populates),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        die("no_new_privs");
    int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
    if (fd < 0)
        die("seccomp");
    return fd;
}

/** One byte and a descriptor over a socket: sends `fd`, or receives one if it is negative. */
static int pass(int socket, int fd)
{
    char byte = 0, control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec vector = {&byte, 1};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control,
                             .msg_controllen = sizeof(control)};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);

    if (fd < 0) {
        if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1 || CMSG_FIRSTHDR(&message) == NULL)
            return -1;
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
        return fd;
    }
    head->cmsg_level = SOL_SOCKET, head->cmsg_type = SCM_RIGHTS, head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &fd, sizeof(fd));
    if (sendmsg(socket, &message, 0) != 1)
        die("sendmsg");
    return fd;
}

struct plan {
    unsigned long first, last; /* these calls fail */
    int error;
    unsigned long seen, failed;
    bool started;
};

/** Answers one notification. False if there was none. */
static bool answer(int listener, struct plan *plan)
{
    struct seccomp_notif request;
    struct seccomp_notif_resp response;

    memset(&request, 0, sizeof(request));
    memset(&response, 0, sizeof(response));
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request) != 0)
        return errno == EINTR || errno == ENOENT; /* the call was interrupted, and comes again */
    response.id = request.id;
    response.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    if (request.data.nr == SYS_personality) {
        plan->started |= request.data.args[0] == 0xffffffff;
    } else if (plan->started) {
        plan->seen++;
        if (plan->seen >= plan->first && plan->seen <= plan->last) {
            response.flags = 0;
            response.error = -plan->error;
            plan->failed++;
        }
    }
    return ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response) == 0 || errno == ENOENT || errno == EINTR;
}

static struct plan read_plan(const char *when, const char *error)
{
    struct plan plan = {.error = atoi(error)};
    char *end;

    plan.first = strtoul(when, &end, 10);
    plan.last = *end == '+' ? (unsigned long)-1 : plan.first;
    return plan;
}

int main(int argc, char **argv)
{
    int sockets[2], status;

    if (argc < 5 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
        return 78;
    struct plan plan = read_plan(argv[2], argv[3]);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        personality(ADDR_NO_RANDOMIZE); /* the same addresses, so the same calls; where it is refused, nearly so */
        pass(sockets[1], install(argv[1]));
        execvp(argv[4], argv + 4);
        die(argv[4]);
    }
    close(sockets[1]);
    int listener = pass(sockets[0], -1);
    struct pollfd ready = {.fd = listener, .events = POLLIN};
    while (listener >= 0 && poll(&ready, 1, -1) > 0 && (ready.revents & POLLIN) != 0 && answer(listener, &plan))
        ;
    if (waitpid(pid, &status, 0) != pid)
        return 78;
    if (listener >= 0)
        printf("calls %lu failed %lu\n", plan.seen, plan.failed);
    fflush(stdout);
    if (WIFSIGNALED(status)) {
        signal(WTERMSIG(status), SIG_DFL);
        raise(WTERMSIG(status));
    }
    return WEXITSTATUS(status);
}
