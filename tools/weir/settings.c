/* SPDX-License-Identifier: MIT
 * Options of both commands that compare; see settings.h. */
#include "settings.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEY_WITH = 0x200,
    KEY_ONLY,
    KEY_WITHOUT,
    KEY_LIBRARY,
    KEY_WARM_UP,
    KEY_TIMEOUT,
    KEY_INTERVAL,
    KEY_JSON,
    KEY_CSV,
    KEY_PLOT,
    KEY_HTML,
    KEY_LIST,
};

static const struct argp_option option[] = {
    {"rounds", 'n', "N", 0, "run each allocator N times", 1},
    {"warm-up", KEY_WARM_UP, "N", 0, "rounds before, that do not count (1)", 1},
    {"timeout", KEY_TIMEOUT, "SECONDS", 0, "give a run up after this time", 1},
    {"interval", KEY_INTERVAL, "MS", 0, "look at the resident size this often, in milliseconds (10)", 1},
    {"with", KEY_WITH, "NAME=PATH", 0, "compare with this library, too; may be given again", 2},
    {"only", KEY_ONLY, "NAMES", 0, "compare these allocators alone, as in glibc,weir,jemalloc", 2},
    {"without", KEY_WITHOUT, "NAMES", 0, "leave these allocators out", 2},
    {"library", KEY_LIBRARY, "PATH", 0, "use this libweir-preload.so", 2},
    {"list", KEY_LIST, NULL, 0, "say what there is, and run nothing", 2},
    {"json", KEY_JSON, "FILE", 0, "write all figures as JSON; - is standard output, in place of the table", 3},
    {"csv", KEY_CSV, "FILE", 0, "write a line for each run; - as before", 3},
    {"plot", KEY_PLOT, "FILE", 0, "draw resident size over time, and time, as .svg or .png (needs gnuplot)", 3},
    {"html", KEY_HTML, "FILE", 0, "write a page with table, plots and all that was done", 3},
    {"quiet", 'q', NULL, 0, "no progress on standard error", 3},
    {0},
};

double settings_seconds(const char *name, const char *text, double least)
{
    char *end;
    double value = strtod(text, &end);
    if (*text == '\0' || *end != '\0' || !isfinite(value) || value < least)
        tool_die("%s takes a number from %g on, not '%s'", name, least, text);
    return value;
}

unsigned settings_number(const char *name, const char *text, unsigned least, unsigned most)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value < (long)least || value > (long)most)
        tool_die("%s takes a whole number from %u to %u, not '%s'", name, least, most, text);
    return (unsigned)value;
}

/** The options that say how runs are done. */
static error_t parse_runs(struct settings *s, int key, const char *arg)
{
    switch (key) {
    case 'n':
        s->rounds = settings_number("--rounds", arg, 1, 10000);
        return 0;
    case KEY_WARM_UP:
        s->warm_up = settings_number("--warm-up", arg, 0, 1000);
        return 0;
    case KEY_TIMEOUT:
        s->timeout = settings_seconds("--timeout", arg, 0.001);
        return 0;
    case KEY_INTERVAL:
        s->interval = settings_seconds("--interval", arg, 0.1) / 1000;
        return 0;
    case 'q':
        s->quiet = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct settings *s = state->input;
    switch (key) {
    case KEY_WITH:
        strings_add(&s->choice.with, "%s", arg);
        return 0;
    case KEY_ONLY:
        strings_add(&s->choice.only, "%s", arg);
        return 0;
    case KEY_WITHOUT:
        strings_add(&s->choice.without, "%s", arg);
        return 0;
    case KEY_LIBRARY:
        s->choice.weir = arg;
        return 0;
    case KEY_LIST:
        s->list = true;
        return 0;
    case KEY_JSON:
        s->reports.json = arg;
        return 0;
    case KEY_CSV:
        s->reports.csv = arg;
        return 0;
    case KEY_PLOT:
        s->reports.plot = arg;
        return 0;
    case KEY_HTML:
        s->reports.html = arg;
        return 0;
    default:
        return parse_runs(s, key, arg);
    }
}

const struct argp settings_argp = {.options = option, .parser = parse};

void settings_start(struct settings *s) { *s = (struct settings){.warm_up = 1, .interval = 0.01}; }

void settings_list(const struct allocators *list, FILE *stream)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct allocator *a = &list->item[i];
        fprintf(stream, "%-15s %s%s%s%s\n", a->name, a->library != NULL ? a->library : a->version,
                a->library != NULL ? " (" : "", a->library != NULL ? a->version : "", a->library != NULL ? ")" : "");
    }
    for (size_t i = 0; i < list->absent.count; i++)
        fprintf(stream, "%-15s not found\n", list->absent.item[i]);
}
