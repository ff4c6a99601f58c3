/* SPDX-License-Identifier: MIT
 * `weir run`: runs a program under libweir-preload.so and reports what it took. */
#include "tool.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weir/alloc.h>

#include "launch.h"
#include "preload.h"
#include "program.h"
#include "relay.h"
#include "report.h"

enum { KEY_LIBRARY = 256, KEY_OUTPUT, KEY_NO_INHERIT, KEY_STATS };

struct settings {
    const char *library, *output; /* paths, NULL if not given */
    bool quiet, json, no_inherit, stats;
    struct strings set; /* options for the library, as an environment */
    char **command;
};

/* ---- the command line ------------------------------------------------------------------------------------------ */

struct search {
    const char *name;
    bool found;
    char nearest[64];
    unsigned distance;
};

static void compare_option(const struct weir_option *o, void *arg)
{
    struct search *s = arg;
    unsigned distance = text_distance(s->name, o->name);
    if (strcmp(s->name, o->name) == 0)
        s->found = true;
    if (s->nearest[0] != '\0' && distance >= s->distance)
        return;
    s->distance = distance;
    snprintf(s->nearest, sizeof s->nearest, "%s", o->name);
}

/** "purge", "WEIR_PURGE" or "weir-purge" -> "WEIR_PURGE". */
static char *option_name(const char *name, size_t length)
{
    bool prefixed = strncasecmp(name, "WEIR", 4) == 0 && (name[4] == '_' || name[4] == '-');
    char *full = text_format("%s%.*s", prefixed ? "" : "WEIR_", (int)length, name);
    for (char *c = full; *c != '\0'; c++)
        *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    return full;
}

/** Takes the NAME=VALUE of -o. */
static void parse_set(struct settings *s, const char *text, struct argp_state *state)
{
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text)
        argp_error(state, "-o takes NAME=VALUE, not '%s'; `weir options` lists the names", text);
    struct search search = {.name = option_name(text, (size_t)(equals - text))};
    weir_option_each(compare_option, &search);
    if (!search.found && search.distance <= 2)
        argp_error(state, "there is no option %s; did you mean %s? `weir options` lists them", search.name,
                   search.nearest);
    if (!search.found)
        argp_error(state, "there is no option %s; `weir options` lists them", search.name);
    strings_env_set(&s->set, search.name, equals + 1);
    free((char *)search.name);
}

static const struct argp_option option[] = {
    {"set", 'o', "NAME=VALUE", 0, "set an option of the allocator, as in -o purge=never (see `weir options`)", 1},
    {"stats", KEY_STATS, NULL, 0, "let each process print the allocator's statistics at its end; -o stats=1", 1},
    {"no-inherit", KEY_NO_INHERIT, NULL, 0, "programs that the program starts do not run on Weir", 1},
    {"library", KEY_LIBRARY, "PATH", 0, "use this libweir-preload.so", 1},
    {"quiet", 'q', NULL, 0, "no report and no notes", 2},
    {"json", 'j', NULL, 0, "report as one JSON object", 2},
    {"output", KEY_OUTPUT, "FILE", 0, "write the report to FILE, not to standard error", 2},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct settings *s = state->input;
    switch (key) {
    case 'o':
        parse_set(s, arg, state);
        return 0;
    case 'q':
        s->quiet = true;
        return 0;
    case 'j':
        s->json = true;
        return 0;
    case KEY_LIBRARY:
        s->library = arg;
        return 0;
    case KEY_OUTPUT:
        s->output = arg;
        return 0;
    case KEY_NO_INHERIT:
        s->no_inherit = true;
        return 0;
    case KEY_STATS:
        s->stats = true;
        return 0;
    case ARGP_KEY_ARG:
        s->command = state->argv + state->next - 1;
        state->next = state->argc;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which program? for instance `weir run python3 app.py`");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = option,
    .parser = parse,
    .args_doc = "PROGRAM [ARGUMENT...]",
    .doc = "Runs PROGRAM with its malloc on Weir and reports at the end on standard error: time, peak resident size, "
           "resident size at the end, memory given back to the system.\v"
           "Options end at the first word that is none, or at --. CPython is told to use malloc (PYTHONMALLOC=malloc) "
           "unless you have set PYTHONMALLOC.\n\n"
           "The exit status is the program's; if a signal ended it, the same signal ends weir. Weir's own: 125 it "
           "failed itself, 126 the program cannot be executed, 127 there is no such program.\n\n"
           "weir(1) explains the report, weir(7) the allocator's options.",
};

/* ---- the program's environment --------------------------------------------------------------------------------- */

static void add_preload(struct strings *env, const struct settings *s, const char *library, const char *report)
{
    char *list = preload_list(library, strings_env_get(env, "LD_PRELOAD"));
    strings_env_set(env, "LD_PRELOAD", list);
    free(list);
    if (report != NULL)
        strings_env_set(env, "WEIR_REPORT", report);
    if (s->stats)
        strings_env_set(env, "WEIR_STATS", "1");
    if (s->no_inherit)
        strings_env_set(env, "WEIR_INHERIT", "0");
    for (size_t i = 0; i < s->set.count; i++) {
        char *name = text_format("%.*s", (int)strcspn(s->set.item[i], "="), s->set.item[i]);
        if (strcmp(name, "WEIR_REPORT") != 0)
            strings_env_set(env, name, strings_env_get(&s->set, name));
        free(name);
    }
}

static struct strings make_environment(const struct settings *s, const struct program *p, const char *library,
                                       const char *report)
{
    struct strings env = strings_env_own();
    if (!p->foreign)
        add_preload(&env, s, library, report);
    program_set_python(p, &env, !s->no_inherit);
    return env;
}

/* ---- the library's report -------------------------------------------------------------------------------------- */

/** The name of an empty file for the library's lines, or NULL with a note; for drop_report_file(). It has a directory
 *  of its own, because processes that outlive us would make it again in one that stays. */
static char *make_report_file(void)
{
    const char *parent = getenv("TMPDIR");
    char *directory = text_format("%s/weir-XXXXXX", parent != NULL && *parent == '/' ? parent : "/tmp");
    char *path = NULL;
    int fd = -1;
    if (mkdtemp(directory) != NULL) {
        path = text_format("%s/report", directory);
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    }
    if (fd < 0) {
        tool_say("cannot make %s, so the report will lack the allocator's own figures: %m",
                 path != NULL ? path : directory);
        if (path != NULL)
            rmdir(directory);
        free(path);
        path = NULL;
    } else
        close(fd);
    free(directory);
    return path;
}

/** Removes the file and its directory, though a process that ends now make the file anew. */
static void drop_report_file(char *path)
{
    char *slash = strrchr(path, '/');
    bool again = true;
    for (int tries = 0; again && tries < 100; tries++) {
        unlink(path);
        *slash = '\0';
        again = rmdir(path) != 0 && errno == ENOTEMPTY;
        *slash = '/';
    }
    free(path);
}

/** Appends the lines to the file that the user named by WEIR_REPORT, which our own file stood in for. */
static void forward_lines(const char *from, const char *to)
{
    char buffer[8192];
    ssize_t n = 0;
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (in < 0 || out < 0)
        tool_say("cannot append to %s, the file named by WEIR_REPORT: %m", to);
    while (in >= 0 && out >= 0 && (n = read(in, buffer, sizeof buffer)) > 0)
        if (write(out, buffer, (size_t)n) != n)
            tool_say("cannot append to %s, the file named by WEIR_REPORT: %m", to);
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
}

/* ---- the run --------------------------------------------------------------------------------------------------- */

/** Where the report goes; opened before the run, so that a mistake costs no run. */
static FILE *open_output(const struct settings *s)
{
    if (s->output == NULL)
        return stderr;
    FILE *stream = fopen(s->output, "we");
    if (stream == NULL)
        tool_die("cannot write the report to %s: %m", s->output);
    return stream;
}

static void write_report(const struct settings *s, const struct report *r, FILE *stream)
{
    if (s->quiet)
        return;
    if (s->json)
        report_json(r, stream);
    else
        report_text(r, stream);
    if (fflush(stream) != 0 && stream != stderr)
        tool_say("cannot write the report to %s: %m", s->output);
}

static void add_notes(const struct settings *s, struct program *p)
{
    const char *pythonmalloc = getenv("PYTHONMALLOC");
    program_note_python(p, pythonmalloc);
    if (s->no_inherit && p->shell && !p->foreign)
        strings_add(&p->notes,
                    "%s is a shell or its script: with --no-inherit the programs that it runs are not on Weir",
                    text_basename(p->path));
    if (!s->quiet && !s->json)
        for (size_t i = 0; i < p->notes.count; i++)
            tool_say("note: %s", p->notes.item[i]);
}

static int run(const struct settings *s, struct program *p, const char *library)
{
    FILE *stream = open_output(s);
    const char *user_report = strings_env_get(&s->set, "WEIR_REPORT");
    if (user_report == NULL)
        user_report = getenv("WEIR_REPORT");
    add_notes(s, p);
    char *report_file = make_report_file();
    struct strings env = make_environment(s, p, library, report_file);
    struct strings words = program_words(p, s->command, s->no_inherit);
    struct ending end;
    int failed = launch(&(struct launch){program_file(p, s->no_inherit), words.item, env.item, p->elf,
                                         text_basename(library)},
                        &end);
    struct lines lines = {0};
    if (failed == 0 && report_file != NULL)
        lines_read(&lines, report_file, end.pid);
    if (failed == 0 && report_file != NULL && user_report != NULL && *user_report != '\0')
        forward_lines(report_file, user_report);
    if (report_file != NULL)
        drop_report_file(report_file);
    if (failed != 0)
        return failed;
    write_report(s, &(struct report){s->command, library, p, &end, &lines}, stream);
    return launch_pass_on(&end);
}

static int run_main(int argc, char **argv)
{
    struct settings s = {0};
    struct program p;
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &s);
    char *library = preload_find(s.library);
    program_inspect(&p, s.command);
    if (p.path == NULL)
        return program_complain(&p, s.command[0]);
    return run(&s, &p, library);
}

const struct command command_run = {"run", "run a program on Weir and report what it took", run_main};
