/* SPDX-License-Identifier: MIT
 * `weir replay`: makes a plan of a trace, then becomes weir-replay, which carries it out. */
#include "tool.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "allocators.h"
#include "json.h"
#include "plan.h"
#include "preload.h"
#include "traceinfo.h"

enum { KEY_REPEAT = 256, KEY_SPEED, KEY_TOUCH, KEY_INFO, KEY_LIST, KEY_CSV };

struct settings {
    const char *file, *allocator; /* NULL if not given */
    unsigned repeat;
    enum plan_touch touch;
    enum plan_form form;
    bool timed, info, list;
};

static const struct argp_option option[] = {
    {"allocator", 'a', "NAME", 0, "replay on this allocator, by its name or its library's path", 1},
    {"repeat", KEY_REPEAT, "N", 0, "make all calls N times in one process; times are medians", 1},
    {"speed", KEY_SPEED, "full|recorded", 0, "as fast as possible (the default), or with the pauses of the recording",
     1},
    {"touch", KEY_TOUCH, "none|first|all", 0,
     "write to blocks: not at all, the first byte and one in each 4 KiB (the default), or every byte", 1},
    {"info", KEY_INFO, NULL, 0, "replay nothing; print what the trace holds", 2},
    {"list", KEY_LIST, NULL, 0, "replay nothing; print the calls, one a line", 2},
    {"json", 'j', NULL, 0, "print one JSON object", 3},
    {"csv", KEY_CSV, NULL, 0, "print comma-separated values with a line of names", 3},
    {0},
};

/** The place of `word` among `words`, which NULL ends; complains where it is none of them. */
static unsigned pick(const char *name, const char *word, const char *const words[], struct argp_state *state)
{
    unsigned i = 0;
    while (words[i] != NULL && strcmp(words[i], word) != 0)
        i++;
    if (words[i] == NULL)
        argp_error(state, "--%s takes %s%s%s%s%s, not '%s'", name, words[0], words[2] != NULL ? ", " : "",
                   words[2] != NULL ? words[1] : "", " or ", words[2] != NULL ? words[2] : words[1], word);
    return i;
}

static unsigned parse_repeat(const char *text, struct argp_state *state)
{
    char *end;
    errno = 0;
    long count = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || count < 1 || count > PLAN_REPEAT_MOST)
        argp_error(state, "--repeat takes a number from 1 to %d, not '%s'", PLAN_REPEAT_MOST, text);
    return (unsigned)count;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    static const char *const speeds[] = {"full", "recorded", NULL}, *const touches[] = {"none", "first", "all", NULL};
    struct settings *s = state->input;
    switch (key) {
    case 'a':
        s->allocator = arg;
        return 0;
    case 'j':
        s->form = PLAN_FORM_JSON;
        return 0;
    case KEY_CSV:
        s->form = PLAN_FORM_CSV;
        return 0;
    case KEY_INFO:
        s->info = true;
        return 0;
    case KEY_LIST:
        s->list = true;
        return 0;
    case KEY_REPEAT:
        s->repeat = parse_repeat(arg, state);
        return 0;
    case KEY_SPEED:
        s->timed = pick("speed", arg, speeds, state) == 1;
        return 0;
    case KEY_TOUCH:
        s->touch = (enum plan_touch)pick("touch", arg, touches, state);
        return 0;
    case ARGP_KEY_ARG:
        if (s->file != NULL)
            argp_error(state, "it replays one trace, but there is '%s' too", arg);
        s->file = arg;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which trace? for instance `weir replay app.trace`");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = option,
    .parser = parse,
    .args_doc = "TRACE",
    .doc =
        "Makes the calls of malloc, free and their kind that `weir trace` recorded, without the program, with as many "
        "threads as it had; then says what they took: time, resident size, and how that compares to what was alive.\v"
        "Allocators that --allocator knows: weir, glibc, jemalloc, mimalloc, tcmalloc, tbbmalloc, mesh, snmalloc, "
        "rpmalloc, hardened_malloc; or the path of a library. Without it the calls go to the malloc that this command "
        "itself runs on, so that `weir run weir replay TRACE` works too.\n\n"
        "Figures go to standard error, and with --json and --csv to standard output. weir-replay(1) explains them.",
};

/** One line that is the same for each replay of a trace. */
static void print_line(const struct settings *s, const struct trace_sum *sum)
{
    printf("%s: %llu calls in %u thread%s, %llu blocks, at most %llu bytes live, %llu at the end\n",
           text_basename(s->file), (unsigned long long)sum->calls, sum->threads, sum->threads == 1 ? "" : "s",
           (unsigned long long)sum->blocks, (unsigned long long)sum->peak, (unsigned long long)sum->live);
    if (fflush(stdout) != 0)
        tool_die("cannot write to standard output: %m");
}

/** The beginning of what weir-replay prints as JSON. */
static char *json_beginning(const struct settings *s, const struct trace_sum *sum)
{
    static const char *const touch[] = {"none", "first", "all"};
    json_t *all = json_object();
    json_object_set_new(all, "trace", json_text(s->file));
    json_object_set_new(all, "whole", json_boolean(sum->whole));
    json_object_set_new(all, "speed", json_string(s->timed ? "recorded" : "full"));
    json_object_set_new(all, "touch", json_string(touch[s->touch]));
    json_object_set_new(all, "rounds", json_integer(s->repeat));
    json_object_set_new(all, "calls", json_integer((json_int_t)sum->calls));
    json_object_set_new(all, "threads", json_integer(sum->threads));
    json_object_set_new(all, "blocks", json_integer((json_int_t)sum->blocks));
    json_object_set_new(all, "peak_live", json_integer((json_int_t)sum->peak));
    json_object_set_new(all, "live_at_end", json_integer((json_int_t)sum->live));
    char *text = tool_need(json_dumps(all, JSON_INDENT(2)));
    json_decref(all);
    *strrchr(text, '\n') = '\0'; /* and with it the closing brace */
    return text;
}

static char *csv_beginning(const struct settings *s, const struct trace_sum *sum)
{
    char *name = text_format("%s", s->file);
    for (char *c = name; *c != '\0'; c++)
        if (*c == '"' || *c == '\n')
            *c = '?';
    char *text = text_format("\"%s\",%llu,%u,%llu,%llu", name, (unsigned long long)sum->calls, sum->threads,
                             (unsigned long long)sum->peak, (unsigned long long)sum->live);
    free(name);
    return text;
}

static void put_text(struct plan_header *h, const struct settings *s, const struct trace_sum *sum)
{
    if (s->form == PLAN_FORM_TEXT)
        return;
    char *text = s->form == PLAN_FORM_JSON ? json_beginning(s, sum) : csv_beginning(s, sum);
    if (strlen(text) >= sizeof h->text)
        tool_die("the trace's name is too long: %s", s->file);
    h->text_size = (uint32_t)strlen(text);
    memcpy(h->text, text, h->text_size);
    free(text);
}

static void set_allocator(const char *name)
{
    char *library = allocator_choose(name);
    if (library == NULL)
        unsetenv("LD_PRELOAD");
    else
        setenv("LD_PRELOAD", library, 1);
    free(library);
}

static int replay(const struct settings *s)
{
    static struct plan_header header;
    struct trace_sum sum;
    char *replayer = preload_find_replayer(), number[16];
    if (s->allocator != NULL)
        set_allocator(s->allocator);
    int plan = plan_make(s->file, s->timed, &header, &sum);
    traceinfo_warn(s->file, sum.whole, sum.calls);
    header.repeat = s->repeat;
    header.touch = s->touch;
    header.form = s->form;
    put_text(&header, s, &sum);
    if (pwrite(plan, &header, sizeof header, 0) != (ssize_t)sizeof header)
        tool_die("cannot write the plan of the replay: %m");
    if (s->form == PLAN_FORM_TEXT)
        print_line(s, &sum);
    snprintf(number, sizeof number, "%d", plan);
    execv(replayer, (char *[]){replayer, number, NULL});
    tool_die("cannot run %s: %m", replayer);
}

static int replay_main(int argc, char **argv)
{
    struct settings s = {.repeat = 1, .touch = PLAN_TOUCH_FIRST};
    argp_parse(&argp, argc, argv, 0, NULL, &s);
    if (s.list)
        traceinfo_list(s.file);
    else if (s.info)
        traceinfo_print(s.file, (enum traceinfo_form)s.form);
    else
        return replay(&s);
    return 0;
}

const struct command command_replay = {"replay", "run the recorded calls on any allocator", replay_main};
