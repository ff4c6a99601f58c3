/* SPDX-License-Identifier: MIT
 * Relaying signals; see relay.h. */
#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* How long a signal to the group may be on its way from one process to the next; how long the witness may take to say
 * that it got it, where it has one or runs; and how long what it said counts. Seconds. */
static const double patience = 0.01, patience_busy = 10, memory = 0.1;

double relay_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/** The signals that are passed on. Not those that the tool may cause itself by what it does. */
static void relayed_set(sigset_t *set)
{
    static const int number[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGUSR1,
                                 SIGUSR2, SIGALRM, SIGTSTP, SIGCONT, SIGWINCH};
    sigemptyset(set);
    for (size_t i = 0; i < TOOL_COUNT(number); i++)
        sigaddset(set, number[i]);
    for (int n = SIGRTMIN; n <= SIGRTMAX; n++)
        sigaddset(set, n);
}

/** The witness's life; it ends with the tool. */
static void witness(int out, pid_t tool)
{
    sigset_t set;
    relayed_set(&set);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (getppid() == tool) {
        int number = sigwaitinfo(&set, NULL);
        unsigned char byte = (unsigned char)number;
        if (number > 0 && write(out, &byte, 1) < 0 && errno == EPIPE)
            break;
    }
    _exit(0);
}

static void start_witness(struct relay *r)
{
    int end[2];
    pid_t tool = getpid();
    r->witness_fd = -1;
    if (pipe2(end, O_CLOEXEC | O_NONBLOCK) != 0)
        return;
    r->witness = fork();
    if (r->witness == 0)
        witness(end[1], tool);
    close(end[1]);
    r->witness_fd = end[0];
    if (r->witness < 0) {
        close(end[0]);
        r->witness_fd = -1;
        r->witness = 0;
    }
}

void relay_start(struct relay *r)
{
    *r = (struct relay){0};
    sigset_t set;
    relayed_set(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, &r->mask);
    sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_DFL}, &r->on_child);
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, &r->on_pipe);
    r->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (r->signal_fd < 0)
        tool_die("cannot watch signals: %m");
    start_witness(r);
}

void relay_restore(const struct relay *r)
{
    sigaction(SIGCHLD, &r->on_child, NULL);
    sigaction(SIGPIPE, &r->on_pipe, NULL);
    sigprocmask(SIG_SETMASK, &r->mask, NULL);
}

static void hear_witness(struct relay *r)
{
    unsigned char byte[64];
    ssize_t n = -1;
    while (r->witness_fd >= 0 && (n = read(r->witness_fd, byte, sizeof byte)) > 0)
        for (ssize_t i = 0; i < n; i++)
            r->witnessed[byte[i] % NSIG] = relay_now();
    if (n == 0) { /* somebody killed it: go on without */
        close(r->witness_fd);
        r->witness_fd = -1;
    }
}

static void poll_fds(const struct relay *r, bool signals, double seconds)
{
    struct pollfd fd[] = {{.fd = signals ? r->signal_fd : -1, .events = POLLIN},
                          {.fd = r->witness_fd, .events = POLLIN}};
    struct timespec t = {.tv_sec = (time_t)seconds};
    t.tv_nsec = (long)((seconds - (double)t.tv_sec) * 1e9);
    ppoll(fd, TOOL_COUNT(fd), &t, NULL);
}

/** Whether the witness may have signal `number` and has not said so yet, because it does not get to run. What it has
 *  said before it sleeps again is in the pipe. */
static bool is_witness_busy(const struct relay *r, int number)
{
    char path[48], line[128], state = 'S';
    unsigned long long pending = 0, shared = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)r->witness);
    FILE *status = fopen(path, "re");
    if (status == NULL)
        return false;
    while (fgets(line, sizeof line, status) != NULL)
        if (sscanf(line, "State: %c", &state) != 1 && sscanf(line, "SigPnd: %llx", &pending) != 1 &&
            sscanf(line, "ShdPnd: %llx", &shared) == 1)
            break;
    fclose(status);
    return state == 'R' || state == 'D' || (state == 'S' && ((pending | shared) >> (number - 1) & 1) != 0);
}

/** Whether the whole process group got signal `number`, and the child with it. */
static bool reached_group(struct relay *r, pid_t child, int number)
{
    if (r->witness_fd < 0 || getpgid(child) != getpgrp())
        return false;
    double start = relay_now();
    for (;;) {
        double waited = relay_now() - start;
        bool late = waited >= patience && (waited >= patience_busy || !is_witness_busy(r, number));
        hear_witness(r);
        bool heard = r->witnessed[number] != 0 && r->witnessed[number] > start - memory;
        if (heard)
            r->witnessed[number] = 0;
        if (heard || late)
            return heard;
        poll_fds(r, false, patience);
    }
}

static void pass_on(struct relay *r, pid_t child, const struct signalfd_siginfo *info)
{
    int number = (int)info->ssi_signo;
    bool from_child = info->ssi_code <= 0 && (pid_t)info->ssi_pid == child;
    if (number == SIGCHLD || from_child || reached_group(r, child, number))
        return;
    if (info->ssi_code == SI_QUEUE)
        sigqueue(child, number, (union sigval){.sival_ptr = (void *)(uintptr_t)info->ssi_ptr});
    else
        kill(child, number);
}

void relay_wait(struct relay *r, pid_t child, double seconds)
{
    struct signalfd_siginfo info;
    poll_fds(r, true, seconds);
    hear_witness(r);
    while (read(r->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
        pass_on(r, child, &info);
}

void relay_stop(struct relay *r)
{
    if (r->witness > 0) {
        kill(r->witness, SIGKILL);
        waitpid(r->witness, NULL, 0);
    }
    if (r->witness_fd >= 0)
        close(r->witness_fd);
    close(r->signal_fd);
}

void relay_die_by(int number)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    prctl(PR_SET_DUMPABLE, 0);
    sigaction(number, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    raise(number);
}
