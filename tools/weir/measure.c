/* SPDX-License-Identifier: MIT
 * One run of a program; see measure.h. */
#include "measure.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "relay.h"

/* How long the launcher may take to end what a program left behind; seconds. */
static const double launcher_patience = 10;

/* ---- signals ---------------------------------------------------------------------------------------------------- */

static const int interrupting[] = {SIGINT, SIGTERM, SIGHUP};
static volatile sig_atomic_t interrupted;
static sigset_t mask; /* the tool's own: signals come only while it waits */

static void on_signal(int number) { interrupted = number; }

void measure_start(void)
{
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < TOOL_COUNT(interrupting); i++) {
        sigaddset(&set, interrupting[i]);
        sigaction(interrupting[i], &(struct sigaction){.sa_handler = on_signal}, NULL);
    }
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    sigprocmask(SIG_BLOCK, &set, &mask);
}

int measure_interrupted(void)
{
    sigset_t pending;
    sigpending(&pending);
    for (size_t i = 0; interrupted == 0 && i < TOOL_COUNT(interrupting); i++)
        if (sigismember(&pending, interrupting[i]))
            interrupted = interrupting[i];
    return interrupted;
}

void measure_stop(void)
{
    for (size_t i = 0; i < TOOL_COUNT(interrupting); i++) {
        sigaction(interrupting[i], &(struct sigaction){.sa_handler = SIG_IGN}, NULL); /* drops one that is pending */
        sigaction(interrupting[i], &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    }
    sigprocmask(SIG_SETMASK, &mask, NULL);
}

/* ---- starting --------------------------------------------------------------------------------------------------- */

/** The words that tell the launcher what to do. */
static struct strings orders(const struct job *j, int out)
{
    struct strings word = {0};
    strings_add(&word, "weir");
    strings_add(&word, LAUNCHER_COMMAND);
    strings_add(&word, "%d", out);
    strings_add(&word, "%s", j->trace && j->library != NULL ? j->library : "");
    for (size_t i = 0; j->change != NULL && i < j->change->count; i++)
        strings_add(&word, "%s", j->change->item[i]);
    strings_add(&word, "--");
    strings_add(&word, "%s", j->path);
    for (char *const *arg = j->argv; *arg != NULL; arg++)
        strings_add(&word, "%s", *arg);
    return word;
}

/** The forked child: becomes the launcher. */
static void become(const struct job *j, struct strings *word, int out)
{
    static const int usual[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    setpgid(0, 0);
    for (size_t i = 0; i < TOOL_COUNT(usual); i++)
        sigaction(usual[i], &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    fcntl(out, F_SETFD, 0);
    unsetenv("LD_PRELOAD"); /* the program gets its own from `change` */
    if (dup2(j->in, 0) >= 0 && dup2(j->out, 1) >= 0 && dup2(j->err, 2) >= 0 &&
        (j->directory == NULL || chdir(j->directory) == 0))
        execv("/proc/self/exe", word->item);
    _exit(TOOL_FAILED);
}

/** Takes the launcher's next message. @return false if there is none. */
static bool hear(struct process *p)
{
    struct launched_message m;
    ssize_t n;
    do
        n = read(p->fd, &m, sizeof m);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof m) {
        p->running = false;
        return false;
    }
    if (m.what == LAUNCHED_STOPPED || m.what == LAUNCHED_GOES_ON) {
        p->stopped = m.status;
        p->stopped_since = m.time;
    } else {
        p->last = m;
    }
    return true;
}

int process_start(struct process *p, const struct job *j)
{
    int end[2];
    *p = (struct process){.fd = -1};
    if (pipe2(end, O_CLOEXEC) != 0)
        return errno;
    struct strings word = orders(j, end[1]);
    p->launcher = fork();
    if (p->launcher == 0)
        become(j, &word, end[1]);
    int error = p->launcher < 0 ? errno : 0;
    close(end[1]);
    strings_free(&word);
    p->fd = end[0];
    if (error != 0) {
        close(p->fd);
        return error;
    }
    setpgid(p->launcher, p->launcher);
    if (!hear(p) || p->last.what != LAUNCHED_RUNS) {
        error = p->last.error != 0 ? p->last.error : ECHILD;
        process_finish(p);
        return error;
    }
    p->running = true;
    p->pid = p->last.pid;
    p->start = p->last.time;
    p->sampled = j->interval > 0;
    if (p->sampled)
        sampler_start(&p->sampler, p->pid, j->library, j->interval, p->start);
    return 0;
}

/* ---- waiting ---------------------------------------------------------------------------------------------------- */

static void end(struct process *p)
{
    p->running = false;
    p->end = relay_now();
    if (p->last.what == LAUNCHED_ENDED)
        p->end = p->last.time;
    if (p->sampled && p->last.resident > 0) /* traced */
        p->sampler.last.resident = p->last.resident;
    if (p->sampled)
        sampler_end(&p->sampler, p->end);
}

const double process_stop_patience = 5;

static double stuck_from(const struct process *p) { return p->stopped_since + process_stop_patience; }

bool process_is_stuck(const struct process *p)
{
    return p->running && p->stopped != 0 && relay_now() >= stuck_from(p);
}

/** One wait, no longer than until the next look is due. @return whether to go on. */
static bool turn(struct process **list, size_t count, double until)
{
    struct pollfd fd[2];
    double now = relay_now(), wait = until - now;
    for (size_t i = 0; i < count; i++) {
        fd[i] = (struct pollfd){.fd = list[i]->fd, .events = POLLIN};
        if (!list[i]->running || process_is_stuck(list[i]))
            return false;
        if (list[i]->stopped != 0 && stuck_from(list[i]) - now < wait)
            wait = stuck_from(list[i]) - now;
        if (!list[i]->sampled)
            continue;
        double due = sampler_look(&list[i]->sampler, now);
        wait = due < wait ? due : wait;
    }
    if (until <= now || interrupted != 0)
        return false;
    struct timespec t = {.tv_sec = (time_t)wait};
    t.tv_nsec = (long)((wait - (double)t.tv_sec) * 1e9);
    ppoll(fd, (nfds_t)count, &t, &mask);
    bool all = true;
    for (size_t i = 0; i < count; i++) {
        if (fd[i].revents != 0 && (!hear(list[i]) || list[i]->last.what == LAUNCHED_ENDED))
            end(list[i]);
        all = all && list[i]->running;
    }
    return all;
}

void process_wait(struct process *p, struct process *other, double until)
{
    struct process *list[] = {p, other};
    while (turn(list, other != NULL ? 2 : 1, until))
        ;
}

/** Until the launcher has ended what the program left behind, and is gone; or for as long as that may take. */
static void await_launcher(struct process *p)
{
    double end = relay_now() + launcher_patience;
    struct launched_message m;
    for (double left; (left = end - relay_now()) > 0;) {
        struct pollfd fd = {.fd = p->fd, .events = POLLIN};
        if (poll(&fd, 1, (int)(left * 1000) + 1) <= 0)
            continue;
        ssize_t n = read(p->fd, &m, sizeof m);
        if (n == (ssize_t)sizeof m && m.what == LAUNCHED_LEFT)
            memcpy(p->left, m.name, sizeof p->left);
        else if (n == 0 || (n < 0 && errno != EINTR))
            return;
    }
}

void process_finish(struct process *p)
{
    if (p->running) {
        kill(-p->pid, SIGKILL);
        kill(p->pid, SIGKILL); /* it may have left its group */
    }
    if (p->launcher > 0) {
        await_launcher(p);
        kill(p->launcher, SIGKILL);
        while (waitpid(p->launcher, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    if (p->running)
        end(p);
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
    p->launcher = 0;
}
