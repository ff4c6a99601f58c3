/* SPDX-License-Identifier: MIT
 * `weir trace`: runs a program under libweir-trace.so, then makes traces of what the library left. */
#include "tool.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "allocators.h"
#include "launch.h"
#include "preload.h"
#include "program.h"
#include "rawtrace.h"
#include "relay.h"

enum { KEY_NO_FOLLOW = 256, KEY_CONVERT };

#define SUFFIX ".raw"

struct settings {
    const char *output, *allocator; /* NULL if not given */
    bool no_follow, quiet, convert;
    char **command; /* or the recordings to convert */
};

static const struct argp_option option[] = {
    {"output", 'o', "FILE", 0, "write the trace to FILE, not to PROGRAM.trace", 1},
    {"allocator", 'a', "NAME", 0, "record on top of this allocator, by its name or its library's path", 1},
    {"no-follow", KEY_NO_FOLLOW, NULL, 0, "do not record programs that the program starts", 1},
    {"quiet", 'q', NULL, 0, "say nothing of the traces made", 2},
    {"convert", KEY_CONVERT, NULL, 0, "make traces of recordings, FILE.PID.raw, that were left behind; runs nothing",
     2},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct settings *s = state->input;
    switch (key) {
    case 'o':
        s->output = arg;
        return 0;
    case 'a':
        s->allocator = arg;
        return 0;
    case 'q':
        s->quiet = true;
        return 0;
    case KEY_NO_FOLLOW:
        s->no_follow = true;
        return 0;
    case KEY_CONVERT:
        s->convert = true;
        return 0;
    case ARGP_KEY_ARG:
        s->command = state->argv + state->next - 1;
        state->next = state->argc;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, s->convert ? "which recordings? for instance `weir trace --convert app.trace.*.raw`"
                                     : "which program? for instance `weir trace python3 app.py`");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = option,
    .parser = parse,
    .args_doc = "PROGRAM [ARGUMENT...]\n--convert RECORDING...",
    .doc =
        "Runs PROGRAM and records its calls of malloc, free and their kind, of all its threads, on whatever allocator "
        "it runs. The trace is made when it has ended; `weir replay` runs it under any allocator.\v"
        "Options end at the first word that is none, or at --. A program that PROGRAM starts, or a process that it "
        "forks, gets a trace of its own, FILE.PID. CPython is told to use malloc (PYTHONMALLOC=malloc) unless you have "
        "set PYTHONMALLOC.\n\n"
        "--allocator takes weir, glibc, jemalloc, mimalloc, tcmalloc and other names that `weir replay --help` has, or "
        "the path of a library; without it the program keeps the allocator that it has.\n\n"
        "The exit status is the program's, as with `weir run`. weir-trace(1) says more.",
};

/* ---- the recordings -------------------------------------------------------------------------------------------- */

/** The process, and which of its programs, of a recording's name: "BASE.PID.raw" or "BASE.PID-N.raw". */
static bool parse_name(const char *name, const char *base, long *pid, long *program)
{
    char *end;
    size_t length = strlen(base);
    if (strncmp(name, base, length) != 0 || name[length] != '.')
        return false;
    *pid = strtol(name + length + 1, &end, 10);
    *program = *end == '-' ? strtol(end + 1, &end, 10) : 1;
    return *pid > 0 && *program > 0 && strcmp(end, SUFFIX) == 0;
}

/** The recordings beside `output`, and which of them is of the program that process `root` was last. */
static void find_recordings(const char *output, pid_t root, struct strings *list, size_t *main)
{
    char *directory = text_format("%s", output);
    *strrchr(directory, '/') = '\0';
    DIR *dir = opendir(*directory != '\0' ? directory : "/");
    if (dir == NULL)
        tool_die("cannot look for recordings in %s: %m", directory);
    long pid, program, last = 0;
    *main = SIZE_MAX;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (!parse_name(entry->d_name, text_basename(output), &pid, &program))
            continue;
        if (pid == root && program > last) {
            last = program;
            *main = list->count;
        }
        strings_add(list, "%s/%s", directory, entry->d_name);
    }
    closedir(dir);
    free(directory);
}

static const char *plural(uint64_t count) { return count == 1 ? "" : "s"; }

static void tell(const char *to, const struct raw_result *r, const struct raw_about *about)
{
    tool_say("%s: %llu call%s in %u thread%s, at most %s live; %s on disk", to, (unsigned long long)r->calls,
             plural(r->calls), r->threads, plural(r->threads), text_bytes(r->peak), text_bytes(r->size));
    if (about->stopped != NULL)
        tool_say("%s: it lacks the end, because recording stopped: %s", to, about->stopped);
    if (r->lost > 0)
        tool_say("%s: it lacks %llu call%s of signal handlers that came in the midst of another call", to,
                 (unsigned long long)r->lost, plural(r->lost));
    if (r->mended > 0)
        tool_say("%s: %llu block%s had no end that was seen; the trace frees %s when the address is given again", to,
                 (unsigned long long)r->mended, plural(r->mended), r->mended == 1 ? "it" : "them");
}

/** What convert_inside() ends with. */
enum { MADE, EMPTY };

/* So many processes beside the program itself are told of one by one. */
enum { TOLD = 5 };

/** The life of the process that converts: a failure to write ends it with a message and TOOL_FAILED. */
static int convert_inside(const char *path, const char *to, const struct raw_about *about, bool told)
{
    struct raw_result result;
    sigset_t none;
    sigemptyset(&none); /* the tool itself still keeps back what it passed on, and goes on to say what is left */
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (!raw_convert(path, to, &result))
        return TOOL_FAILED;
    unlink(path);
    if (result.calls > 0 && told)
        tell(to, &result, about);
    return result.calls > 0 ? MADE : EMPTY;
}

/** Makes a trace of one recording, tells of it if that is wanted, and removes the recording; where it cannot, says why
 *  and leaves it.
 *  @return MADE, EMPTY or TOOL_FAILED. */
static int convert(const struct settings *s, const char *path, const char *to, bool told)
{
    struct raw_about about;
    int status;
    if (!raw_look(path, &about))
        return TOOL_FAILED;
    if (about.running) {
        tool_say("process %d still runs and is recorded; when it has ended, `weir trace --convert %s` makes its trace",
                 (int)about.pid, path);
        return TOOL_FAILED;
    }
    pid_t child = fork();
    if (child == 0)
        exit(convert_inside(path, to, &about, told && !s->quiet));
    if (child < 0 || waitpid(child, &status, 0) != child)
        tool_die("cannot make the trace %s: %m", to);
    if (WIFEXITED(status) && WEXITSTATUS(status) != TOOL_FAILED)
        return WEXITSTATUS(status);
    tool_say("the recording is still there: `weir trace -o TRACE --convert %s` makes a trace of it elsewhere", path);
    return TOOL_FAILED;
}

/** A recording's path without ".raw". */
static char *trace_path(const char *recording)
{
    size_t length = strlen(recording);
    size_t cut =
        length > strlen(SUFFIX) && strcmp(recording + length - strlen(SUFFIX), SUFFIX) == 0 ? strlen(SUFFIX) : 0;
    return text_format("%.*s%s", (int)(length - cut), recording, cut == 0 ? ".trace" : "");
}

static int convert_main(const struct settings *s)
{
    int status = 0;
    if (s->output != NULL && s->command[1] != NULL)
        tool_die("--output names one trace, but there are several recordings; without it each gets a name of its own");
    for (char **path = s->command; *path != NULL; path++) {
        char *to = s->output != NULL ? text_format("%s", s->output) : trace_path(*path);
        if (convert(s, *path, to, true) == TOOL_FAILED)
            status = TOOL_FAILED;
        free(to);
    }
    return status;
}

/* ---- the run --------------------------------------------------------------------------------------------------- */

/** The trace's absolute path; ends, naming the cause, where no trace could be made. */
static char *output_path(const struct settings *s)
{
    struct stat status;
    char directory[PATH_MAX];
    char *name =
        s->output != NULL ? text_format("%s", s->output) : text_format("%s.trace", text_basename(s->command[0]));
    char *slash = strrchr(name, '/'), *given = slash != NULL ? text_format("%.*s/", (int)(slash - name), name) : NULL;
    if (realpath(given != NULL ? given : ".", directory) == NULL || access(directory, W_OK | X_OK) != 0)
        tool_die("cannot write the trace %s: %m", name);
    char *path = text_format("%s/%s", strcmp(directory, "/") != 0 ? directory : "", text_basename(name));
    if (*text_basename(name) == '\0' || (stat(path, &status) == 0 && S_ISDIR(status.st_mode)))
        tool_die("cannot write the trace %s: that is a directory", name);
    free(given);
    free(name);
    return path;
}

static struct strings make_environment(const struct settings *s, const struct program *p, const char *output,
                                       const char *recorder)
{
    struct strings env = strings_env_own();
    if (!p->foreign) {
        char *allocator = s->allocator != NULL ? allocator_choose(s->allocator) : NULL;
        const char *old = strings_env_get(&env, "LD_PRELOAD");
        char *list = s->allocator != NULL ? allocator_preload(allocator, p->linked != NULL)
                                          : text_format("%s", old != NULL ? old : "");
        char *whole = text_format("%s%s%s", recorder, *list != '\0' ? ":" : "", list);
        strings_env_set(&env, "LD_PRELOAD", whole);
        strings_env_set(&env, "WEIR_TRACE", output);
        if (s->no_follow)
            strings_env_set(&env, "WEIR_TRACE_FOLLOW", "0");
        free(whole);
        free(list);
        free(allocator);
    }
    program_set_python(p, &env, !s->no_follow);
    return env;
}

/** Makes the traces. The one of the program itself is `output`. */
static void make_traces(const struct settings *s, const struct program *p, const char *output, pid_t root)
{
    struct strings list = {0};
    size_t main;
    bool any = false; /* so not a word about why there is no trace */
    size_t others = 0;
    find_recordings(output, root, &list, &main);
    for (size_t i = 0; i < list.count; i++) {
        if (i == main)
            continue;
        char *to = trace_path(list.item[i]);
        int made = convert(s, list.item[i], to, others < TOLD);
        others += made == MADE;
        any = any || made != EMPTY;
        free(to);
    }
    if (others > TOLD && !s->quiet)
        tool_say("%s.*: traces of %zu more processes and programs", output, others - TOLD);
    if (main != SIZE_MAX)
        any = convert(s, list.item[main], output, true) != EMPTY || any;
    if (!any) {
        tool_say("%s: no call was recorded, so there is no trace", p->path);
        for (size_t i = 0; i < p->notes.count; i++)
            tool_say("note: %s", p->notes.item[i]);
    }
    strings_free(&list);
}

static int trace_main(int argc, char **argv)
{
    struct settings s = {0};
    struct program p;
    struct ending end;
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &s);
    if (s.convert)
        return convert_main(&s);
    program_inspect(&p, s.command);
    if (p.path == NULL)
        return program_complain(&p, s.command[0]);
    char *recorder = preload_find_recorder(), *output = output_path(&s);
    struct strings env = make_environment(&s, &p, output, recorder);
    struct strings words = program_words(&p, s.command, s.no_follow);
    int failed = launch(&(struct launch){program_file(&p, s.no_follow), words.item, env.item, p.elf,
                                         text_basename(recorder)},
                        &end);
    if (failed != 0)
        return failed;
    make_traces(&s, &p, output, end.pid);
    return launch_pass_on(&end);
}

const struct command command_trace = {"trace", "record a program's calls of malloc and free", trace_main};
