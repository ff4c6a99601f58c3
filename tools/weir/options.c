/* SPDX-License-Identifier: MIT
 * `weir options`: prints the library's table of WEIR_* options, as text or JSON. */
#include "tool.h"

#include <jansson.h>
#include <string.h>

#include <weir/alloc.h>

#include "json.h"

static const struct argp_option option[] = {
    {"json", 'j', NULL, 0, "print one JSON array of objects", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    bool *json = state->input;
    switch (key) {
    case 'j':
        *json = true;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "it takes no arguments, but there is '%s'", arg);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = option,
    .parser = parse,
    .doc = "Lists the environment options of the Weir allocator: what they accept, the default, and the value in force "
           "here.\vSet one for a program with `weir run -o NAME=VALUE`, or in the environment. "
           "weir(7) says more about each.",
};

static void print_text(const struct weir_option *o, void *arg)
{
    (void)arg;
    printf("%s=%s\n    default %s", o->name, o->values, *o->initial != '\0' ? o->initial : "(none)");
    if (strcmp(o->current, o->initial) != 0)
        printf(", now %s", *o->current != '\0' ? o->current : "(none)");
    printf("\n    %s\n", o->help);
}

static void add_json(const struct weir_option *o, void *arg)
{
    json_t *row = json_object();
    json_object_set_new(row, "name", json_text(o->name));
    json_object_set_new(row, "values", json_text(o->values));
    json_object_set_new(row, "default", json_text(o->initial));
    json_object_set_new(row, "current", json_text(o->current));
    json_object_set_new(row, "help", json_text(o->help));
    json_array_append_new(arg, row);
}

static int options_main(int argc, char **argv)
{
    bool json = false;
    argp_parse(&argp, argc, argv, 0, NULL, &json);
    if (json) {
        json_t *rows = json_array();
        weir_option_each(add_json, rows);
        json_print(rows, stdout);
        json_decref(rows);
    } else {
        weir_option_each(print_text, NULL);
    }
    if (fflush(stdout) != 0 || ferror(stdout))
        tool_die("cannot write the list: %m");
    return 0;
}

const struct command command_options = {"options", "list the allocator's options and their values", options_main};
