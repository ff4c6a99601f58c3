/* SPDX-License-Identifier: MIT
 * Starts a program, waits, and looks at its size now and then; see launch.h. */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "relay.h"

/* The first look comes soon, for short programs; then each interval is twice the last up to the longest. Seconds. */
static const double first_look = 0.001, longest_interval = 0.05;

struct watch {
    pid_t pid;
    int statm; /* /proc/PID/statm, open all the time */
    double interval, due;
    unsigned looks;
    double looked; /* time of the last look that saw anything */
    const char *library;
    struct ending *end;
};

/* ---- looking at it --------------------------------------------------------------------------------------------- */

static uint64_t read_resident(int statm)
{
    char text[128];
    unsigned long long pages;
    ssize_t n = pread(statm, text, sizeof text - 1, 0);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    return sscanf(text, "%*u %llu", &pages) == 1 ? pages * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

enum mapped launch_mapped(pid_t pid, const char *library)
{
    char path[48], *line = NULL;
    size_t size = 0;
    enum mapped mapped = MAPPED_UNKNOWN;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(path, "re");
    if (maps == NULL)
        return mapped;
    while (mapped != MAPPED_YES && getline(&line, &size, maps) > 0)
        mapped = strstr(line, library) != NULL ? MAPPED_YES : MAPPED_NO;
    free(line);
    fclose(maps);
    return mapped;
}

static void look(struct watch *w, double now)
{
    uint64_t resident = read_resident(w->statm);
    if (resident > 0) {
        w->end->resident = resident;
        w->looked = now;
    }
    /* The list of mappings may be long, and execve changes it at any time: read it at looks 1, 2, 4, 8... */
    w->looks++;
    if ((w->looks & (w->looks - 1)) == 0) {
        enum mapped mapped = launch_mapped(w->pid, w->library);
        if (mapped != MAPPED_UNKNOWN)
            w->end->mapped = mapped;
    }
    w->due = now + w->interval;
    w->interval = w->interval * 2 < longest_interval ? w->interval * 2 : longest_interval;
}

/* ---- its life -------------------------------------------------------------------------------------------------- */

void launch_by_shell(const char *path, char *const argv[], char *const env[])
{
    size_t count = 0;
    while (argv[count] != NULL)
        count++;
    char **shell = calloc(count + 3, sizeof *shell);
    if (shell == NULL)
        return;
    shell[0] = text_format("sh");
    shell[1] = text_format("%s", path);
    for (size_t i = 1; i < count; i++)
        shell[i + 1] = argv[i];
    execve("/bin/sh", shell, env);
}

/** The child's way to become the program; tells the parent through `out` if it cannot. */
static void become(const struct launch *l, const struct relay *r, int out)
{
    relay_restore(r);
    execve(l->path, l->argv, l->env);
    if (errno == ENOEXEC && !l->elf)
        launch_by_shell(l->path, l->argv, l->env); /* a script without "#!", as execvp(3) does */
    int error = errno;
    if (write(out, &error, sizeof error) < 0)
        _exit(TOOL_FAILED);
    _exit(TOOL_NOT_FOUND);
}

/** Forks and executes. @return 0 once the program runs, else an errno with the child gone. */
static int start(const struct launch *l, const struct relay *r, pid_t *pid)
{
    int end[2], error = 0;
    if (pipe2(end, O_CLOEXEC) != 0)
        tool_die("cannot start %s: %m", l->path);
    *pid = fork();
    if (*pid < 0)
        tool_die("cannot start %s: %m", l->path);
    if (*pid == 0)
        become(l, r, end[1]);
    close(end[1]);
    if (read(end[0], &error, sizeof error) != (ssize_t)sizeof error)
        error = 0;
    close(end[0]);
    if (error != 0)
        waitpid(*pid, NULL, 0);
    return error;
}

/** Whether the terminal is the program's: its process group is ours, or, for a shell, one of its own. */
static bool has_terminal(pid_t program)
{
    int terminal = open("/dev/tty", O_RDONLY | O_CLOEXEC | O_NOCTTY);
    pid_t group = terminal >= 0 ? tcgetpgrp(terminal) : -1;
    if (terminal >= 0)
        close(terminal);
    return group > 0 && (group == getpgrp() || group == getpgid(program));
}

/** The program has stopped: stop too, where a shell waits to see that and take its terminal back. */
static void follow_stop(pid_t program, int number)
{
    if (number == SIGTSTP || number == SIGTTIN || number == SIGTTOU || (number == SIGSTOP && has_terminal(program)))
        raise(SIGSTOP);
}

/** Takes what wait(2) has. @return whether the program has ended. */
static bool has_ended(struct watch *w)
{
    pid_t pid = wait4(w->pid, &w->end->status, WNOHANG | WUNTRACED, &w->end->usage);
    if (pid < 0 && errno != EINTR)
        tool_die("cannot wait for the program: %m");
    if (pid == w->pid && WIFSTOPPED(w->end->status)) {
        follow_stop(pid, WSTOPSIG(w->end->status));
        return false;
    }
    return pid == w->pid;
}

static void watch_over(struct watch *w, struct relay *r)
{
    while (!has_ended(w)) {
        double now = relay_now();
        if (now >= w->due)
            look(w, now);
        relay_wait(r, w->pid, w->due - now);
    }
}

/** Complains that l could not be started. @return the exit status that says so. */
static int complain(const struct launch *l, int error)
{
    if (error == ENOENT)
        tool_say("cannot run %s: it is there, but the interpreter or loader that it names is not "
                 "(see its first line, or what `file` says)",
                 l->path);
    else
        tool_say("cannot run %s: %s", l->path, strerror(error));
    return error == ENOENT ? TOOL_NOT_FOUND : TOOL_NOT_EXECUTABLE;
}

int launch(const struct launch *l, struct ending *end)
{
    char path[48];
    struct relay relay;
    struct watch w = {.interval = first_look, .library = l->library, .end = end};
    *end = (struct ending){0};
    relay_start(&relay);
    double began = relay_now();
    int error = start(l, &relay, &w.pid);
    if (error != 0) {
        relay_stop(&relay);
        return complain(l, error);
    }
    end->pid = w.pid;
    w.due = began + w.interval;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)w.pid);
    w.statm = open(path, O_RDONLY | O_CLOEXEC);
    watch_over(&w, &relay);
    double now = relay_now();
    end->wall = now - began;
    end->age = now - w.looked;
    if (w.statm >= 0)
        close(w.statm);
    relay_stop(&relay);
    return 0;
}

int launch_pass_on(const struct ending *end)
{
    if (!WIFSIGNALED(end->status))
        return WEXITSTATUS(end->status);
    relay_die_by(WTERMSIG(end->status));
    return 128 + WTERMSIG(end->status);
}
