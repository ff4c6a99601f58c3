/* SPDX-License-Identifier: MIT
 * One run under one allocator; see trial.h. */
#include "trial.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "libc.h"
#include "measure.h"
#include "relay.h"

enum { CURVE_MOST = 150 };

/* How long a server may take to be ready, and to end after its signal; and between two tries of its port. Seconds. */
static const double ready_patience = 60, end_patience = 20, ready_step = 0.01;

static const double for_ever = 1e9;

/* ---- files ------------------------------------------------------------------------------------------------------ */

/** A file without a name, for output. */
static int open_scratch(void)
{
    const char *directory = getenv("TMPDIR");
    if (directory == NULL || *directory != '/')
        directory = "/tmp";
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0)
        return fd;
    char *path = text_format("%s/weir-XXXXXX", directory);
    fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        tool_die("cannot make a file for the program's output, %s: %m (TMPDIR names another directory)", path);
    unlink(path);
    free(path);
    return fd;
}

static int open_input(const struct subject *s)
{
    int fd = open(s->input != NULL ? s->input : "/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        tool_die("cannot read %s, the program's input: %m", s->input);
    return fd;
}

/* ---- what it was ------------------------------------------------------------------------------------------------ */

char *trial_ending(int status)
{
    if (WIFSIGNALED(status))
        return text_format("ended by signal %d, %s", WTERMSIG(status), strsignal(WTERMSIG(status)));
    return text_format("exit status %d", WEXITSTATUS(status));
}

static double seconds(struct timeval t) { return (double)t.tv_sec + (double)t.tv_usec * 1e-6; }

/** Takes over what is known of process p; `wall` in seconds. */
static void take_figures(struct trial *t, struct process *p, double wall)
{
    const struct rusage *u = &p->last.usage;
    double counted = (double)u->ru_maxrss * 1024, seen = (double)p->sampler.peak;
    t->status = p->last.status;
    t->figure[FIGURE_WALL] = wall;
    t->figure[FIGURE_USER] = seconds(u->ru_utime);
    t->figure[FIGURE_SYSTEM] = seconds(u->ru_stime);
    t->figure[FIGURE_MINOR] = (double)u->ru_minflt;
    t->figure[FIGURE_MAJOR] = (double)u->ru_majflt;
    t->figure[FIGURE_PEAK] = seen > counted ? seen : counted;
    t->figure[FIGURE_END] = (double)p->sampler.last.resident;
    t->figure[FIGURE_INTEGRAL] = p->sampler.integral;
    t->mapped = p->last.mapped != MAPPED_UNKNOWN ? p->last.mapped : p->sampler.mapped;
    t->points = sample_thin(p->sampler.sample, p->sampler.count, CURVE_MOST);
    t->curve = p->sampler.sample;
    p->sampler.sample = NULL;
    memcpy(t->left, p->left, sizeof t->left);
    if (p->last.what != LAUNCHED_ENDED && t->problem == NULL)
        t->problem = text_format("lost: its end could not be seen");
}

/* ---- programs --------------------------------------------------------------------------------------------------- */

static struct job make_job(const struct trial *t, const struct subject *s, const struct allocator *a,
                           const struct strings *change)
{
    return (struct job){.path = s->program.path,
                        .argv = s->argv,
                        .change = change,
                        .directory = s->directory,
                        .in = open_input(s),
                        .out = t->out,
                        .err = t->err,
                        .library = a->library != NULL ? text_basename(a->library) : NULL,
                        .interval = s->interval};
}

/** Starts it. @return false, with the trial's problem set, if it cannot be. */
static bool start(struct trial *t, struct process *p, const struct job *job)
{
    int error = process_start(p, job);
    if (error == ENOENT)
        t->problem = text_format("cannot run %s: the interpreter or loader that it names is not there", job->path);
    else if (error != 0)
        t->problem = text_format("cannot run %s: %s", job->path, strerror(error));
    return error == 0;
}

static double deadline(const struct subject *s) { return relay_now() + (s->timeout > 0 ? s->timeout : for_ever); }

/** Sets the trial's problem, if there is none and p is stuck. */
static void note_stuck(struct trial *t, const char *what, const struct process *p)
{
    if (t->problem != NULL || !process_is_stuck(p) || measure_interrupted() != 0)
        return;
    bool terminal = p->stopped == SIGTTIN || p->stopped == SIGTTOU;
    t->problem = text_format("%sstopped by SIG%s and not continued within %g s%s", what, libc_signal_name(p->stopped),
                             process_stop_patience, terminal ? ": it asks for the terminal" : "");
}

static void run_program(struct trial *t, const struct subject *s, struct job *job)
{
    struct process p;
    if (!start(t, &p, job))
        return;
    process_wait(&p, NULL, deadline(s));
    note_stuck(t, "", &p);
    if (t->problem == NULL && p.running && measure_interrupted() == 0)
        t->problem = text_format("not done after %g s", s->timeout);
    process_finish(&p);
    take_figures(t, &p, p.end - p.start);
    sampler_free(&p.sampler);
}

/* ---- servers ---------------------------------------------------------------------------------------------------- */

static bool answers(unsigned port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bool yes = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    if (fd >= 0)
        close(fd);
    return yes;
}

/** Waits until the server can be used. */
static void await_ready(struct trial *t, const struct subject *s, struct process *server)
{
    double end = relay_now() + (s->port != 0 ? ready_patience : s->ready);
    while (server->running && !process_is_stuck(server) && relay_now() < end && measure_interrupted() == 0) {
        if (s->port != 0 && answers(s->port))
            return;
        double next = relay_now() + ready_step;
        process_wait(server, NULL, next < end ? next : end);
    }
    note_stuck(t, "the server was ", server);
    if (!server->running)
        t->problem = text_format("the server did not stay: ");
    else if (t->problem == NULL && s->port != 0 && measure_interrupted() == 0)
        t->problem = text_format("the server did not answer on port %u within %g s", s->port, ready_patience);
}

/** Runs the load, on glibc whatever the server is on. @return its time in seconds. */
static double run_load(struct trial *t, const struct subject *s, struct process *server)
{
    char *const argv[] = {(char *)"sh", (char *)"-c", (char *)s->load, NULL};
    struct strings change = {0};
    strings_add(&change, "LD_PRELOAD=");
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct process load;
    struct job job = {.path = "/bin/sh",
                      .argv = argv,
                      .change = &change,
                      .directory = s->directory,
                      .in = null,
                      .out = null,
                      .err = t->err};
    bool started = start(t, &load, &job);
    strings_free(&change);
    close(null);
    if (!started)
        return 0;
    process_wait(server, &load, deadline(s));
    note_stuck(t, "the server was ", server);
    note_stuck(t, "the load was ", &load);
    if (!server->running)
        t->problem = text_format("the server ended under its load: ");
    else if (t->problem == NULL && load.running && measure_interrupted() == 0)
        t->problem = text_format("the load was not done after %g s", s->timeout);
    process_finish(&load);
    if (t->problem == NULL && load.last.status != 0 && measure_interrupted() == 0) {
        char *ending = trial_ending(load.last.status);
        t->problem = text_format("the load failed, %s", ending);
        free(ending);
    }
    return load.end - load.start;
}

static void stop_server(struct trial *t, const struct subject *s, struct process *server)
{
    struct sample last = server->sampler.last;
    double integral = server->sampler.integral;
    size_t count = server->sampler.count;
    if (server->running)
        kill(server->pid, s->stop);
    process_wait(server, NULL, relay_now() + end_patience);
    note_stuck(t, "the server was ", server);
    if (server->running && t->problem == NULL && measure_interrupted() == 0)
        t->problem = text_format("the server was still there %g s after its signal", end_patience);
    process_finish(server);
    /* What it does while it ends is not what is compared. */
    server->sampler.last = last;
    server->sampler.integral = integral;
    if (server->sampler.count > count)
        server->sampler.count = count;
}

static void run_server(struct trial *t, const struct subject *s, struct job *job)
{
    struct process server;
    double wall = 0;
    if (s->port != 0 && answers(s->port))
        t->problem = text_format("something answers on port %u already: stop it, or use another port", s->port);
    if (t->problem != NULL || !start(t, &server, job))
        return;
    await_ready(t, s, &server);
    sampler_restart(&server.sampler, relay_now());
    if (t->problem == NULL && measure_interrupted() == 0)
        wall = run_load(t, s, &server);
    if (t->problem == NULL && measure_interrupted() == 0)
        process_wait(&server, NULL, relay_now() + s->settle);
    bool stayed = server.running;
    stop_server(t, s, &server);
    take_figures(t, &server, wall);
    if (t->problem != NULL && !stayed) {
        char *ending = trial_ending(t->status), *text = text_format("%s%s", t->problem, ending);
        free(ending);
        free(t->problem);
        t->problem = text;
    }
    sampler_free(&server.sampler);
}

/* ---- both ------------------------------------------------------------------------------------------------------- */

int subject_inspect(struct subject *s)
{
    program_inspect(&s->program, s->argv);
    if (s->program.path == NULL)
        return program_complain(&s->program, s->argv[0]);
    s->python = !s->program.free_threaded;
    return 0;
}

void trial_run(struct trial *t, const struct subject *s, const struct allocator *a, bool trace)
{
    struct strings change = {0};
    *t = (struct trial){.out = open_scratch(), .err = open_scratch()};
    if (s->prepare != NULL && child_shell(s->prepare, s->directory) != 0)
        t->problem = text_format("the command to prepare a run failed: %s", s->prepare);
    allocator_environment(a, s->python, s->program.linked != NULL, &change);
    struct job job = make_job(t, s, a, &change);
    job.trace = trace;
    if (t->problem == NULL && s->load != NULL)
        run_server(t, s, &job);
    else if (t->problem == NULL)
        run_program(t, s, &job);
    if (s->ignore_end)
        t->figure[FIGURE_END] = 0;
    close(job.in);
    strings_free(&change);
}

void trial_free(struct trial *t)
{
    free(t->problem);
    free(t->curve);
    close(t->out);
    close(t->err);
    *t = (struct trial){0};
}
