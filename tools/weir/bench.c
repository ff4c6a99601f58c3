/* SPDX-License-Identifier: MIT
 * `weir bench`: a suite of benchmarks under every allocator of this machine. */
#include "tool.h"

#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "against.h"
#include "child.h"
#include "contest.h"
#include "machine.h"
#include "measure.h"
#include "page.h"
#include "relay.h"
#include "settings.h"
#include "shell.h"
#include "suite.h"
#include "table.h"

enum { KEY_QUICK = 256, KEY_FULL, KEY_SUITE, KEY_AGAINST, KEY_RESUME, KEY_PAGE, KEY_FROM };

enum { QUICK_ROUNDS = 5, FULL_ROUNDS = 10, EXIT_WRONG = 1 };

/* A run of a benchmark that takes longer than this hangs; seconds. */
static const double usual_timeout = 600;

struct bench {
    struct settings settings;
    bool full, resume;
    const char *suite_path, *against, *page, *from;
    char **name; /* patterns, NULL: all */
    struct suite suite;
    struct allocators allocators; /* all there are; pymalloc, the last, is for Python alone */
    struct results results, before; /* before: of --against */
    struct progress progress;
    double planned, done; /* seconds: of all benchmarks to come when it began, and of those that are behind */
    bool wrong;
};

/* ---- the command line ------------------------------------------------------------------------------------------- */

static const struct argp_option option[] = {
    {"quick", KEY_QUICK, NULL, 0, "small sizes, 5 rounds: minutes (the default)", 0},
    {"full", KEY_FULL, NULL, 0, "sizes for measuring, 10 rounds: hours", 0},
    {"suite", KEY_SUITE, "FILE", 0, "run the benchmarks of FILE", 0},
    {"resume", KEY_RESUME, NULL, 0, "leave out what the file of --json has already, whole", 0},
    {"against", KEY_AGAINST, "FILE", 0, "say what is better or worse than in FILE, an earlier --json", 3},
    {"from", KEY_FROM, "FILE", 0, "run nothing; report what is in FILE, an earlier --json", 3},
    {"page", KEY_PAGE, "DIR", 0, "write DIR/benchmarks.md, its plots and its JSON (needs gnuplot)", 3},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct bench *b = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &b->settings;
        return 0;
    case KEY_QUICK:
        b->full = false;
        return 0;
    case KEY_FULL:
        b->full = true;
        return 0;
    case KEY_SUITE:
        b->suite_path = arg;
        return 0;
    case KEY_RESUME:
        b->resume = true;
        return 0;
    case KEY_AGAINST:
        b->against = arg;
        return 0;
    case KEY_FROM:
        b->from = arg;
        return 0;
    case KEY_PAGE:
        b->page = arg;
        return 0;
    case ARGP_KEY_ARGS:
        b->name = state->argv + state->next;
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
    .args_doc = "[NAME...]",
    .doc =
        "Runs the project's benchmarks, or those that a NAME is for, under glibc, Weir and every other allocator that "
        "this machine has, as `weir compare` does.\v"
        "NAME is a name or a kind (workload, program, server), or a pattern like 'python-*'. A benchmark whose program "
        "is "
        "not installed is skipped, and says what is missing. After each one the file of --json is brought up to date: "
        "what it has of others stays.\n\n"
        "Exit status: 0 done, 1 done and something was wrong under an allocator, 125 it failed itself; after Ctrl-C "
        "that of the signal.\n\n"
        "weir-bench(1) explains the suite, weir-compare(1) the tables.",
};

static const char *set_name(const struct bench *b) { return b->full ? "full" : "quick"; }

static const char *size_of(const struct bench *b, const struct benchmark *m) { return b->full ? m->full : m->quick; }

static bool is_chosen(const struct bench *b, const struct benchmark *m)
{
    return size_of(b, m) != NULL && suite_wants(m, b->name);
}

/** Each NAME must be for something. */
static void check_names(const struct bench *b)
{
    for (char **name = b->name; name != NULL && *name != NULL; name++) {
        bool found = false;
        for (size_t i = 0; i < b->suite.count; i++)
            found = found || suite_wants(&b->suite.item[i], (char *[]){*name, NULL});
        if (!found)
            tool_die("there is no benchmark '%s'; `weir bench --list` lists them", *name);
    }
}

/* ---- one benchmark ---------------------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
    (void)status, (void)type, (void)ftw;
    return remove(path);
}

/** A directory for what a benchmark makes; ends where there can be none. */
static char *make_directory(void)
{
    const char *parent = getenv("TMPDIR");
    char *path = text_format("%s/weir-bench-XXXXXX", parent != NULL && *parent == '/' ? parent : "/tmp");
    if (mkdtemp(path) == NULL)
        tool_die("cannot make a directory for benchmarks, %s: %m", path);
    return path;
}

/** Fills in what to run. @return false after saying why not. */
static bool make_subject(const struct bench *b, const struct benchmark *m, const char *directory, struct subject *s)
{
    *s = (struct subject){.load = m->load,
                          .port = m->port,
                          .settle = m->settle,
                          .prepare = m->prepare,
                          .directory = directory,
                          .timeout = b->settings.timeout > 0 ? b->settings.timeout : usual_timeout,
                          .interval = b->settings.interval,
                          .ignore_output = m->ignore_output,
                          .ignore_end = m->ignore_end};
    s->stop = shell_signal(m->stop != NULL ? m->stop : "TERM");
    s->argv = shell_words(m->command);
    if (s->argv == NULL || s->stop <= 0) {
        tool_say("%s: skipped: its command or signal cannot be understood", m->name);
        return false;
    }
    if (m->setup != NULL && child_shell(m->setup, directory) != 0) {
        tool_say("%s: skipped: its setup failed: %s", m->name, m->setup);
        return false;
    }
    return subject_inspect(s) == 0;
}

/** `line` with the size in it. */
static char *with_size(const char *line, const char *size)
{
    static const char variable[] = "$BENCH_SIZE";
    char *text = text_format("%s", line);
    for (char *at; (at = strstr(text, variable)) != NULL;) {
        char *longer = text_format("%.*s%s%s", (int)(at - text), text, size, at + strlen(variable));
        free(text);
        text = longer;
    }
    return text;
}

/** As in the suite: it holds on any machine, where the suite's directories are elsewhere. */
static char *command_text(const struct benchmark *m, const char *size)
{
    char *text = m->load == NULL ? text_format("%s", m->command) : text_format("%s; load: %s", m->command, m->load);
    char *whole = with_size(text, size);
    free(text);
    return whole;
}

static void keep(struct bench *b, struct result *r)
{
    b->wrong = b->wrong || contest_wrong(r);
    if (!reports_take_output(&b->settings.reports)) {
        table_print(r, stdout);
        fputc('\n', stdout);
        tool_flush();
    }
    if (r->partial && r->row[0].runs < r->rounds) { /* it would go over a whole one */
        result_free(r);
        return;
    }
    results_put(&b->results, r);
    if (b->settings.reports.json != NULL && !reports_is_output(b->settings.reports.json))
        results_write(&b->results, b->settings.reports.json);
}

static unsigned rounds(const struct bench *b)
{
    return b->settings.rounds > 0 ? b->settings.rounds : b->full ? FULL_ROUNDS : QUICK_ROUNDS;
}

/** The allocators for a program that is Python, or not. */
static struct allocators allocators_for(const struct bench *b, bool python)
{
    struct allocators some = b->allocators;
    if (!python && some.count > 0 && some.item[some.count - 1].pymalloc)
        some.count--;
    return some;
}

static void run_benchmark(struct bench *b, const struct benchmark *m)
{
    struct subject s;
    char *directory = make_directory();
    setenv("BENCH_SIZE", size_of(b, m), 1);
    bool runs = make_subject(b, m, directory, &s);
    struct allocators allocators = allocators_for(b, runs && s.python && s.program.python);
    if (runs && allocators.count == 0) {
        tool_say("%s: skipped: it is no Python program", m->name);
    } else if (runs) {
        struct contest contest = {.subject = &s,
                                  .allocators = &allocators,
                                  .rounds = rounds(b),
                                  .warm_up = b->settings.warm_up,
                                  .progress = &b->progress};
        struct result *r = contest_run(&contest, m->name);
        r->kind = text_format("%s", m->kind);
        r->about = text_format("%s", m->about);
        r->command = command_text(m, size_of(b, m));
        free(r->set);
        r->set = text_format("%s", set_name(b));
        for (size_t i = 0; i < s.program.notes.count; i++)
            strings_add(&r->notes, "%s", s.program.notes.item[i]);
        keep(b, r);
    } else {
        b->wrong = true;
    }
    nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(directory);
}

/* ---- all of them ------------------------------------------------------------------------------------------------ */

static bool is_done(const struct bench *b, const struct benchmark *m)
{
    for (size_t i = 0; b->resume && i < b->results.count; i++) {
        const struct result *r = b->results.item[i];
        if (strcmp(r->name, m->name) == 0 && strcmp(r->set, set_name(b)) == 0 && !r->partial)
            return true;
    }
    return false;
}

/** Seconds that a benchmark will take, as the suite has it. */
static double cost(const struct bench *b, const struct benchmark *m)
{
    double once = b->full ? m->full_seconds : m->quick_seconds;
    size_t runs = (rounds(b) + b->settings.warm_up) * allocators_for(b, false).count;
    return (once > 0 ? once : 1) * (double)runs;
}

/** Adds up what is to come, and says so. */
static void plan(struct bench *b)
{
    size_t count = 0;
    for (size_t i = 0; i < b->suite.count; i++) {
        const struct benchmark *m = &b->suite.item[i];
        char *lack = is_chosen(b, m) && !is_done(b, m) ? suite_lacks(&b->suite, m) : NULL;
        if (is_chosen(b, m) && !is_done(b, m) && lack == NULL) {
            b->planned += cost(b, m);
            count++;
        }
        free(lack);
    }
    if (count == 0 || b->settings.quiet)
        return;
    char *names = text_format("%s", "");
    struct allocators all = allocators_for(b, false);
    for (size_t i = 0; i < all.count; i++) {
        char *longer = text_format("%s%s%s", names, i > 0 ? ", " : "", all.item[i].name);
        free(names);
        names = longer;
    }
    unsigned runs = rounds(b) + b->settings.warm_up;
    char *time = b->planned < 60       ? text_format("less than a minute")
                 : b->planned < 2 * 3600 ? text_format("about %.0f min", b->planned / 60)
                                         : text_format("about %.1f h", b->planned / 3600);
    tool_say("%zu benchmark%s, %u run%s of each under %s: %s on a quiet machine", count, count == 1 ? "" : "s", runs,
             runs == 1 ? "" : "s", names, time);
    free(time);
    free(names);
}

static void run_all(struct bench *b)
{
    progress_start(&b->progress, b->settings.quiet);
    b->progress.outer_start = relay_now();
    plan(b);
    b->progress.outer_guess = b->planned;
    measure_start();
    for (size_t i = 0; i < b->suite.count && measure_interrupted() == 0 && ferror(stdout) == 0; i++) {
        const struct benchmark *m = &b->suite.item[i];
        if (!is_chosen(b, m))
            continue;
        char *lack = suite_lacks(&b->suite, m);
        if (lack != NULL) {
            tool_say("%s: skipped: %s", m->name, lack);
        } else if (is_done(b, m)) {
            tool_say("%s: in %s already", m->name, b->settings.reports.json);
        } else {
            b->progress.outer_done = b->done / b->planned;
            b->progress.outer_share = cost(b, m) / b->planned;
            run_benchmark(b, m);
            b->done += cost(b, m);
        }
        free(lack);
    }
}

static void list(const struct bench *b)
{
    for (size_t i = 0; i < b->suite.count; i++) {
        const struct benchmark *m = &b->suite.item[i];
        char *lack = suite_lacks(&b->suite, m);
        if (suite_wants(m, b->name))
            printf("%-16s %-9s %s%s%s%s\n", m->name, m->kind, m->about, lack != NULL ? " [" : "",
                   lack != NULL ? lack : "", lack != NULL ? "]" : "");
        free(lack);
    }
}

/** What was measured before and stays in the file. */
static void read_results(struct bench *b)
{
    const char *path = b->from != NULL ? b->from : b->settings.reports.json;
    json_t *machine = machine_describe();
    b->results.machine = machine;
    if (path == NULL || (b->from == NULL && (reports_is_output(path) || access(path, F_OK) != 0)))
        return;
    results_read(&b->results, path);
    for (size_t i = 0; b->from == NULL && i < b->results.count; i++)
        if (strcmp(b->results.item[i]->set, set_name(b)) != 0)
            tool_die("%s has results of another set: name another file for --%s", path, set_name(b));
    if (b->from != NULL || json_equal(b->results.machine, machine)) {
        json_decref(machine);
        return;
    }
    if (b->results.count > 0)
        tool_die("%s has results of another machine, or of another system on this one: name another file", path);
    b->results.machine = machine;
}

static void check(struct bench *b)
{
    if (b->from != NULL && (b->resume || b->name[0] != NULL))
        tool_die("--from runs nothing: give it no NAME and no --resume");
    if (b->resume && (b->settings.reports.json == NULL || reports_is_output(b->settings.reports.json)))
        tool_die("--resume goes on with a file of results: name it by --json=FILE");
    if (b->page != NULL)
        page_check(b->page);
    if (b->against != NULL)
        results_read(&b->before, b->against);
    reports_check(&b->settings.reports);
}

/** The reports at the end. */
static void report(struct bench *b)
{
    bool table = !reports_take_output(&b->settings.reports);
    for (size_t i = 0; b->from != NULL && table && i < b->results.count; i++) {
        table_print(b->results.item[i], stdout);
        fputc('\n', stdout);
    }
    if (table && b->results.count > 1)
        table_means(&b->results, stdout);
    if (b->against != NULL)
        against_print(&b->results, &b->before, b->against, table ? stdout : stderr);
    tool_flush();
    reports_write(&b->settings.reports, &b->results);
    if (b->page != NULL)
        page_write(&b->results, b->page);
}

static int bench_main(int argc, char **argv)
{
    static char *none[] = {NULL};
    struct bench b = {.name = none};
    settings_start(&b.settings);
    argp_parse(&argp, argc, argv, 0, NULL, &b);
    check(&b);
    read_results(&b);
    if (b.from == NULL) {
        suite_read(&b.suite, b.suite_path);
        check_names(&b);
        setenv("BENCH_SUITE", b.suite.directory, 1);
        setenv("BENCH_WORKLOADS", b.suite.workloads != NULL ? b.suite.workloads : "", 1);
    }
    if (b.settings.list) {
        list(&b);
        return 0;
    }
    if (b.from == NULL) {
        allocators_find(&b.allocators, &b.settings.choice, true);
        run_all(&b);
    }
    int interrupted = b.from == NULL ? measure_interrupted() : 0;
    measure_stop();
    report(&b);
    if (interrupted != 0)
        relay_die_by(interrupted);
    return b.wrong ? EXIT_WRONG : 0;
}

const struct command command_bench = {"bench", "run the project's benchmarks under every allocator there is",
                                      bench_main};
