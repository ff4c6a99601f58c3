/* SPDX-License-Identifier: MIT
 * `weir compare`: one program under every allocator of this machine. */
#include "tool.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "contest.h"
#include "machine.h"
#include "measure.h"
#include "relay.h"
#include "settings.h"
#include "shell.h"
#include "table.h"

enum {
    KEY_START = 256,
    KEY_LOAD,
    KEY_STOP,
    KEY_READY,
    KEY_SETTLE,
    KEY_PREPARE,
    KEY_INPUT,
    KEY_IGNORE_OUTPUT,
    KEY_FROM
};

enum { USUAL_ROUNDS = 5, EXIT_WRONG = 1 };

struct compare {
    struct settings settings;
    struct subject subject;
    const char *start, *stop, *ready, *from;
    char **command;
};

/* ---- the command line ------------------------------------------------------------------------------------------- */

static const struct argp_option option[] = {
    {"prepare", KEY_PREPARE, "COMMAND", 0, "run COMMAND by the shell before each run, not measured", 1},
    {"input", KEY_INPUT, "FILE", 0, "standard input of each run (empty)", 1},
    {"ignore-output", KEY_IGNORE_OUTPUT, NULL, 0, "outputs may differ", 1},
    {"from", KEY_FROM, "FILE", 0, "run nothing; report what is in FILE, an earlier --json", 3},
    {"start", KEY_START, "COMMAND", 0, "a server, which is what is compared", 4},
    {"load", KEY_LOAD, "COMMAND", 0, "what the server has to do; its time is measured", 4},
    {"stop", KEY_STOP, "SIGNAL", 0, "what ends the server (TERM)", 4},
    {"ready", KEY_READY, "PORT|SECONDSs", 0, "the server is ready when this port answers, or after this time: 6379, 2s",
     4},
    {"settle", KEY_SETTLE, "SECONDS", 0, "how long the server is watched, idle, after its load (0)", 4},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct compare *c = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &c->settings;
        return 0;
    case KEY_START:
        c->start = arg;
        return 0;
    case KEY_LOAD:
        c->subject.load = arg;
        return 0;
    case KEY_STOP:
        c->stop = arg;
        return 0;
    case KEY_READY:
        c->ready = arg;
        return 0;
    case KEY_SETTLE:
        c->subject.settle = settings_seconds("--settle", arg, 0);
        return 0;
    case KEY_PREPARE:
        c->subject.prepare = arg;
        return 0;
    case KEY_INPUT:
        c->subject.input = arg;
        return 0;
    case KEY_IGNORE_OUTPUT:
        c->subject.ignore_output = true;
        return 0;
    case KEY_FROM:
        c->from = arg;
        return 0;
    case ARGP_KEY_ARG:
        c->command = state->argv + state->next - 1;
        state->next = state->argc;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child child[] = {{&settings_argp, 0, NULL, 0}, {0}};

static const struct argp argp = {
    .options = option,
    .parser = parse,
    .children = child,
    .args_doc = "PROGRAM [ARGUMENT...]\n--start COMMAND --load COMMAND --ready PORT",
    .doc = "Runs PROGRAM under glibc, Weir and every other allocator that this machine has, in turn, and tells time, "
           "page faults and resident size.\v"
           "Options end at the first word that is none, or at --. All allocators run in each round, and each round "
           "begins with another. Output and exit status must be the same under all, and each library must have been "
           "loaded; what is wrong with one is said, and the others go on. Ctrl-C ends the work and reports what was "
           "done.\n\n"
           "Exit status: 0 done, 1 done and something was wrong under an allocator, 125 it failed itself, 126 the "
           "program cannot be executed, 127 there is no such program; after Ctrl-C that of the signal.\n\n"
           "weir-compare(1) explains the table and how a difference is told from noise.",
};

/** What contradicts itself, or lacks something. */
static void check(const struct compare *c)
{
    bool server = c->start != NULL || c->subject.load != NULL;
    if (c->from != NULL && (server || c->command != NULL))
        tool_die("--from runs nothing: give it no program");
    if (c->from != NULL || c->settings.list)
        return;
    if (server && (c->start == NULL || c->subject.load == NULL))
        tool_die("a server needs both --start and --load: what to start, and what it has to do");
    if (server && c->command != NULL)
        tool_die("'%s' beside --start: a server is given by --start alone", c->command[0]);
    if (server && c->ready == NULL)
        tool_die("when is the server ready? --ready=PORT waits until it answers there, --ready=2s two seconds");
    if (!server && (c->stop != NULL || c->ready != NULL || c->subject.settle > 0))
        tool_die("--stop, --ready and --settle are for servers, with --start and --load");
    if (!server && c->command == NULL)
        tool_die("which program? for instance `weir compare python3 app.py`; `weir help compare` says more");
}

/* ---- the subject ------------------------------------------------------------------------------------------------ */

static void set_ready(struct subject *s, const char *text)
{
    size_t length = strlen(text);
    if (length > 1 && text[length - 1] == 's') {
        char *number = text_format("%.*s", (int)length - 1, text);
        s->ready = settings_seconds("--ready", number, 0);
        free(number);
    } else {
        s->port = settings_number("--ready", text, 1, 65535);
    }
}

/** Fills in the rest of the subject. @return 0, or after a complaint the exit status. */
static int make_subject(struct compare *c)
{
    struct subject *s = &c->subject;
    s->timeout = c->settings.timeout;
    s->interval = c->settings.interval;
    s->stop = shell_signal(c->stop != NULL ? c->stop : "TERM");
    if (s->stop <= 0)
        tool_die("--stop: there is no signal '%s'", c->stop);
    if (c->ready != NULL)
        set_ready(s, c->ready);
    s->argv = c->start != NULL ? shell_words(c->start) : c->command;
    if (s->argv == NULL)
        tool_die("--start: cannot take '%s' apart; is a quote not closed?", c->start);
    return subject_inspect(s);
}

static char *command_text(const struct compare *c)
{
    if (c->start == NULL)
        return shell_line(c->command);
    return text_format("%s; load: %s", c->start, c->subject.load);
}

static void add_notes(struct result *r, const struct program *p)
{
    for (size_t i = 0; i < p->notes.count; i++)
        strings_add(&r->notes, "%s", p->notes.item[i]);
}

/* ---- the work --------------------------------------------------------------------------------------------------- */

static int run(struct compare *c)
{
    struct allocators allocators;
    struct progress progress;
    allocators_find(&allocators, &c->settings.choice, c->subject.python && c->subject.program.python);
    struct contest contest = {.subject = &c->subject,
                              .allocators = &allocators,
                              .rounds = c->settings.rounds > 0 ? c->settings.rounds : USUAL_ROUNDS,
                              .warm_up = c->settings.warm_up,
                              .progress = &progress};
    progress_start(&progress, c->settings.quiet);
    measure_start();
    struct result *result = contest_run(&contest, "");
    int interrupted = measure_interrupted();
    measure_stop();
    result->kind = text_format("%s", c->start != NULL ? "server" : "program");
    result->about = text_format("%s", "");
    result->command = command_text(c);
    add_notes(result, &c->subject.program);
    struct results list = {.machine = machine_describe()};
    results_put(&list, result);
    if (!reports_take_output(&c->settings.reports))
        table_print(result, stdout);
    tool_flush();
    reports_write(&c->settings.reports, &list);
    if (interrupted != 0)
        relay_die_by(interrupted);
    return contest_wrong(result) ? EXIT_WRONG : 0;
}

static int report_again(const struct compare *c)
{
    struct results list;
    results_read(&list, c->from);
    for (size_t i = 0; i < list.count && !reports_take_output(&c->settings.reports); i++)
        table_print(list.item[i], stdout);
    reports_write(&c->settings.reports, &list);
    return 0;
}

static int compare_main(int argc, char **argv)
{
    struct compare c = {0};
    settings_start(&c.settings);
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &c);
    check(&c);
    reports_check(&c.settings.reports);
    if (c.from != NULL)
        return report_again(&c);
    if (c.settings.list) {
        struct allocators allocators;
        allocators_find(&allocators, &c.settings.choice, false);
        settings_list(&allocators, stdout);
        return 0;
    }
    int failed = make_subject(&c);
    return failed != 0 ? failed : run(&c);
}

const struct command command_compare = {"compare", "run a program under every allocator there is, and compare",
                                        compare_main};
