/* SPDX-License-Identifier: MIT
 * `weir`: finds the command among its table and hands over; --help, --version and help live here. */
#include "tool.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <weir/alloc.h>

#include "launcher.h"
#include "libc.h"

static int help_main(int argc, char **argv);

static const struct argp help_argp = {
    .args_doc = "[COMMAND]",
    .doc = "Says what COMMAND does and which options it takes; without COMMAND, which commands there are.",
};

static const struct command command_help = {"help", "say more about a command", help_main};

/* In the order of `weir --help`. */
static const struct command *const command[] = {&command_run,    &command_compare, &command_bench, &command_trace,
                                                &command_replay, &command_options, &command_help};

static void print_version(FILE *stream, struct argp_state *state)
{
    (void)state;
    fprintf(stream, "weir %s\n", weir_version());
}

static void print_help(FILE *stream)
{
    fputs("Usage: weir COMMAND [ARGUMENT...]\n"
          "Runs programs on the Weir allocator, which gives freed memory back to the system.\n\n"
          "Commands:\n",
          stream);
    for (size_t i = 0; i < TOOL_COUNT(command); i++)
        fprintf(stream, "  %-10s %s\n", command[i]->name, command[i]->summary);
    fputs("\nOptions:\n"
          "  -h, --help     this text\n"
          "  -V, --version  the version of Weir\n\n"
          "Examples:\n"
          "  weir run python3 app.py                 run a program on Weir; a short report at the end\n"
          "  weir run -o purge=never -- make -j4     the same with an option of the allocator\n\n"
          "`weir help COMMAND` says more; so do the manual pages weir(1) and weir(7).\n",
          stream);
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < TOOL_COUNT(command); i++)
        if (strcmp(name, command[i]->name) == 0)
            return command[i];
    return NULL;
}

/** The command called `name`; where there is none, names the nearest and ends. */
static const struct command *need_command(const char *name)
{
    const struct command *found = find_command(name);
    if (found != NULL)
        return found;
    const struct command *nearest = command[0];
    for (size_t i = 1; i < TOOL_COUNT(command); i++)
        if (text_distance(name, command[i]->name) < text_distance(name, nearest->name))
            nearest = command[i];
    if (text_distance(name, nearest->name) <= 2)
        tool_die("there is no command '%s'; did you mean '%s'? `weir --help` lists the commands", name, nearest->name);
    tool_die("there is no command '%s'; `weir --help` lists the commands, `weir run %s` runs a program", name, name);
}

static char *full_name(const struct command *c) { return text_format("weir %s", c->name); }

static int help_main(int argc, char **argv)
{
    int first;
    argp_parse(&help_argp, argc, argv, ARGP_NO_ARGS, &first, NULL);
    if (first == argc) {
        print_help(stdout);
        return 0;
    }
    const struct command *c = need_command(argv[first]);
    static char flag[] = "--help";
    return c->main(2, (char *[]){full_name(c), flag, NULL});
}

static const struct argp_option main_option[] = {
    {"help", 'h', NULL, 0, NULL, 0},
    {"version", 'V', NULL, 0, NULL, 0},
    {"usage", '?', NULL, OPTION_HIDDEN, NULL, 0},
    {0},
};

static error_t parse_main(int key, char *arg, struct argp_state *state)
{
    int *first = state->input;
    switch (key) {
    case 'h':
    case '?':
        print_help(stdout);
        exit(0);
    case 'V':
        print_version(stdout, state);
        exit(0);
    case ARGP_KEY_ARG:
        (void)arg;
        *first = state->next - 1;
        state->next = state->argc;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/** At exit: what did not get out is a failure, unless one has been told of already. */
static void check_output(int status, void *unused)
{
    (void)unused;
    if (status != TOOL_FAILED && !tool_flush())
        _exit(TOOL_FAILED);
}

/** Opens standard input, output and error where they are closed: else what is opened next would stand in for them. The
 *  program that is run finds them closed all the same. */
static void hold_standard_files(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

int main(int argc, char **argv)
{
    hold_standard_files();
    libc_at_exit(check_output);
    static const struct argp argp = {.options = main_option, .parser = parse_main};
    static char name[] = "weir";
    int first = argc;
    if (argc > 0)
        argv[0] = name; /* messages begin with it */
    argp_err_exit_status = TOOL_FAILED;
    argp_program_version_hook = print_version;
    error_t error = argp_parse(&argp, argc, argv, ARGP_IN_ORDER | ARGP_NO_HELP, NULL, &first);
    if (error != 0)
        tool_die("%s; `weir --help` says what can be given", strerror(error));
    if (first == argc) {
        print_help(stderr);
        return TOOL_FAILED;
    }
    if (strcmp(argv[first], LAUNCHER_COMMAND) == 0)
        return launcher_main(argc - first, argv + first);
    const struct command *c = need_command(argv[first]);
    argv[first] = full_name(c);
    return c->main(argc - first, argv + first);
}
