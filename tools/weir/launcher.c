/* SPDX-License-Identifier: MIT
 * The small process that starts a measured program; see launcher.h. */
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "relay.h"

/* How long what the program left behind may take to end by itself, as helpers do that see their pipe closed; after
 * SIGTERM; and after SIGKILL. Seconds. */
static const double by_itself = 0.1, by_request = 1, by_force = 1;

struct orders {
    int out;
    const char *library; /* "" : do not trace */
    const char *path;
    char **argv;
};

static void tell(const struct orders *o, const struct launched_message *m)
{
    if (write(o->out, m, sizeof *m) != (ssize_t)sizeof *m)
        _exit(TOOL_FAILED);
}

/** Puts the changes up to "--" into the environment. @return the word after it. */
static char **change_environment(char **word)
{
    for (; *word != NULL && strcmp(*word, "--") != 0; word++) {
        char *equals = strchr(*word, '=');
        if (equals == NULL)
            continue;
        *equals = '\0';
        if (equals[1] != '\0')
            setenv(*word, equals + 1, 1);
        else
            unsetenv(*word);
    }
    return *word != NULL ? word + 1 : word;
}

/** The child: waits until it is let go, and becomes the program. `error` takes an errno if it cannot. */
static void become(const struct orders *o, int go, int error)
{
    char byte;
    setpgid(0, 0); /* a program that signals its group must not reach the launcher */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (read(go, &byte, 1) != 1)
        _exit(TOOL_FAILED);
    execve(o->path, o->argv, environ);
    if (errno == ENOEXEC)
        launch_by_shell(o->path, o->argv, environ);
    int why = errno;
    if (write(error, &why, sizeof why) < 0)
        _exit(TOOL_FAILED);
    _exit(TOOL_NOT_FOUND);
}

/** Exact figures, while the program is held at its very end. */
static void look_at_end(const struct orders *o, struct launched_message *m)
{
    char path[48];
    unsigned long long pages;
    m->mapped = launch_mapped(m->pid, o->library);
    snprintf(path, sizeof path, "/proc/%d/statm", (int)m->pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return;
    if (fscanf(file, "%*u %llu", &pages) == 1)
        m->resident = pages * (uint64_t)sysconf(_SC_PAGESIZE);
    fclose(file);
}

static bool stops(int number)
{
    return number == SIGSTOP || number == SIGTSTP || number == SIGTTIN || number == SIGTTOU;
}

/** Tells that the program has stopped, by signal `number`, or, 0, that it goes on. */
static void tell_stop(const struct orders *o, const struct launched_message *m, int number)
{
    struct launched_message stop = {.pid = m->pid, .time = relay_now(), .status = number};
    stop.what = number != 0 ? LAUNCHED_STOPPED : LAUNCHED_GOES_ON;
    tell(o, &stop);
}

/** Lets a traced program go on after any stop but its last, and those that it would be in if it were not traced. */
static void follow(const struct orders *o, struct launched_message *m)
{
    int event = m->status >> 16, number = WSTOPSIG(m->status);
    if (event == PTRACE_EVENT_EXIT) {
        look_at_end(o, m);
        ptrace(PTRACE_CONT, m->pid, 0, 0);
    } else if (event != PTRACE_EVENT_STOP) {
        ptrace(PTRACE_CONT, m->pid, 0, (long)number);
    } else if (stops(number)) {
        tell_stop(o, m, number);
        ptrace(PTRACE_LISTEN, m->pid, 0, 0);
    } else {
        tell_stop(o, m, 0);
        ptrace(PTRACE_CONT, m->pid, 0, 0);
    }
}

static void wait_for(const struct orders *o, struct launched_message *m, bool traced)
{
    for (;;) {
        int status, stops_too = traced ? 0 : WUNTRACED | WCONTINUED;
        struct rusage usage;
        pid_t pid = wait4(-1, &status, __WALL | stops_too, &usage);
        if (pid < 0 && errno != EINTR)
            _exit(TOOL_FAILED);
        if (pid != m->pid) /* what it left behind has ended */
            continue;
        m->status = status;
        m->usage = usage;
        if (WIFSTOPPED(status) && traced)
            follow(o, m);
        else if (WIFSTOPPED(status))
            tell_stop(o, m, WSTOPSIG(status));
        else if (WIFCONTINUED(status))
            tell_stop(o, m, 0);
        else
            return;
    }
}

/* ---- what the program leaves behind ----------------------------------------------------------------------------- */

/** Sends `number` to all children; 0 sends nothing. @return one of them, 0 if there is none. */
static pid_t signal_children(int number)
{
    char path[64];
    int child, last = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *file = fopen(path, "re");
    while (file != NULL && fscanf(file, "%d", &child) == 1) {
        last = child;
        kill(child, number);
    }
    if (file != NULL)
        fclose(file);
    return last;
}

/** Takes what ends. @return whether there is nothing more within `seconds`. */
static bool all_gone(double seconds)
{
    double end = relay_now() + seconds;
    for (;;) {
        pid_t pid = waitpid(-1, NULL, __WALL | WNOHANG);
        if (pid < 0)
            return errno == ECHILD;
        if (pid == 0 && relay_now() >= end)
            return false;
        if (pid == 0)
            nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
}

static void tell_left(const struct orders *o, pid_t pid)
{
    char path[48];
    struct launched_message m = {.what = LAUNCHED_LEFT, .pid = pid, .time = relay_now()};
    snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return;
    if (fgets(m.name, sizeof m.name, file) != NULL)
        m.name[strcspn(m.name, "\n")] = '\0';
    fclose(file);
    tell(o, &m);
}

/** Ends it: the next run must have the machine, its files and ports for itself. A daemon gets the chance to tidy up. */
static void end_left(const struct orders *o)
{
    if (all_gone(by_itself))
        return;
    tell_left(o, signal_children(SIGTERM));
    if (all_gone(by_request))
        return;
    double end = relay_now() + by_force;
    do /* each time children of those that ended */
        signal_children(SIGKILL);
    while (!all_gone(0.01) && relay_now() < end);
}

/** Starts the program and tells so; *traced: whether it is traced. @return whether it runs. */
static bool start(const struct orders *o, struct launched_message *m, bool *traced)
{
    int go[2], error[2];
    if (pipe2(go, O_CLOEXEC) != 0 || pipe2(error, O_CLOEXEC) != 0)
        _exit(TOOL_FAILED);
    m->pid = fork();
    if (m->pid < 0)
        _exit(TOOL_FAILED);
    if (m->pid == 0)
        become(o, go[0], error[1]);
    close(error[1]);
    /* Where that is refused, what was seen while it ran has to do. */
    *traced = *o->library != '\0' && ptrace(PTRACE_SEIZE, m->pid, 0, PTRACE_O_TRACEEXIT) == 0;
    m->time = relay_now();
    if (write(go[1], "", 1) != 1)
        _exit(TOOL_FAILED);
    ssize_t n = read(error[0], &m->error, sizeof m->error);
    m->what = n == (ssize_t)sizeof m->error ? LAUNCHED_NOT : LAUNCHED_RUNS;
    tell(o, m);
    return m->what == LAUNCHED_RUNS;
}

int launcher_main(int argc, char **argv)
{
    struct orders o = {.out = argc > 4 ? atoi(argv[1]) : -1, .library = argc > 4 ? argv[2] : ""};
    struct launched_message m = {0};
    if (o.out < 3)
        tool_die("%s is for the tool's own use; see `weir help compare`", LAUNCHER_COMMAND);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    fcntl(o.out, F_SETFD, FD_CLOEXEC);
    char **rest = change_environment(argv + 3);
    if (rest[0] == NULL || rest[1] == NULL)
        tool_die("%s lacks a program", LAUNCHER_COMMAND);
    o.path = rest[0];
    o.argv = rest + 1;
    bool traced;
    if (start(&o, &m, &traced)) {
        wait_for(&o, &m, traced);
        m.time = relay_now();
        m.what = LAUNCHED_ENDED;
        tell(&o, &m);
        end_left(&o);
    }
    return 0;
}
