/* SPDX-License-Identifier: MIT
 * Reads suites; see suite.h. */
#include "suite.h"

#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "program.h"

/* Where `make install` puts the suite and its workloads; the build says. */
#ifndef WEIR_SUITE_DIR
#define WEIR_SUITE_DIR "/usr/local/share/weir/bench"
#endif
#ifndef WEIR_LIBEXECDIR
#define WEIR_LIBEXECDIR "/usr/local/libexec"
#endif

enum { FORMAT = 1 };

/* ---- where it is ------------------------------------------------------------------------------------------------ */

/** The first of the places, below the directory of this tool or absolute, that has `file`; its directory, for the
 *  caller to free. NULL if there is none. */
static char *find_directory(const char *const *place, const char *file)
{
    char own[PATH_MAX] = "";
    ssize_t length = readlink("/proc/self/exe", own, sizeof own - 1);
    char *slash = length > 0 ? strrchr(own, '/') : NULL;
    if (slash != NULL)
        *slash = '\0';
    for (; *place != NULL; place++) {
        char *path = **place == '/' ? text_format("%s/%s", *place, file) : text_format("%s/%s/%s", own, *place, file);
        char *real = realpath(path, NULL);
        free(path);
        if (real != NULL) {
            *strrchr(real, '/') = '\0';
            return real;
        }
    }
    return NULL;
}

/* A build tree, which has a link to the sources; an installation that was moved; the installation. */
static char *find_suite(void)
{
    static const char *const place[] = {"bench", "../share/weir/bench", WEIR_SUITE_DIR, NULL};
    char *directory = find_directory(place, "suite.json");
    if (directory == NULL)
        tool_die("cannot find the suite of benchmarks: it is not in %s, nor beside this tool; --suite=FILE names one",
                 WEIR_SUITE_DIR);
    return text_format("%s/suite.json", directory);
}

/* The workload programs: the same places. NULL if they are not built. */
static char *find_workloads(void)
{
    static const char *const place[] = {"bench", "../libexec/weir/bench", WEIR_LIBEXECDIR "/weir/bench", NULL};
    return find_directory(place, "handoff");
}

/* ---- reading it ------------------------------------------------------------------------------------------------- */

static const char *text_at(const struct suite *s, const json_t *o, const char *key, bool needed)
{
    const json_t *value = json_object_get(o, key);
    const char *name = json_string_value(json_object_get(o, "name"));
    if (value == NULL && !needed)
        return NULL;
    if (!json_is_string(value) || *json_string_value(value) == '\0')
        tool_die("%s: benchmark '%s' has no text for \"%s\"", s->path, name != NULL ? name : "?", key);
    return json_string_value(value);
}

static void check_keys(const struct suite *s, const json_t *o, const char *name)
{
    static const char *const known[] = {"name",   "kind",  "about",   "command", "load",   "stop", "ready",
                                        "settle", "setup", "prepare", "size",    "output", "end",  "needs",
                                        "seconds"};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)o, key, value)
    {
        bool found = false;
        for (size_t i = 0; i < TOOL_COUNT(known); i++)
            found = found || strcmp(key, known[i]) == 0;
        if (!found)
            tool_die("%s: benchmark '%s' has \"%s\", which means nothing; weir-bench(1) has what can stand there",
                     s->path, name, key);
    }
}

/** Names become those of files and of places in a page. */
static void check_name(const struct suite *s, const char *name)
{
    if (name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")] != '\0')
        tool_die("%s: the name '%s' has more than letters, digits, _ and -", s->path, name);
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->item[i].name, name) == 0)
            tool_die("%s: there are two benchmarks '%s'", s->path, name);
}

static struct benchmark read_benchmark(const struct suite *s, const json_t *o)
{
    const json_t *size = json_object_get(o, "size"), *seconds = json_object_get(o, "seconds");
    struct benchmark b = {.name = text_at(s, o, "name", true)};
    check_name(s, b.name);
    check_keys(s, o, b.name);
    b.kind = text_at(s, o, "kind", true);
    b.about = text_at(s, o, "about", true);
    b.command = text_at(s, o, "command", true);
    bool server = strcmp(b.kind, "server") == 0;
    if (!server && strcmp(b.kind, "workload") != 0 && strcmp(b.kind, "program") != 0)
        tool_die("%s: benchmark '%s': the kind is workload, program or server, not '%s'", s->path, b.name, b.kind);
    b.load = text_at(s, o, "load", server);
    if (b.load != NULL && !server)
        tool_die("%s: benchmark '%s' has a load and is no server", s->path, b.name);
    b.stop = text_at(s, o, "stop", false);
    json_int_t port = json_integer_value(json_object_get(o, "ready"));
    if (server && (port < 1 || port > 65535))
        tool_die("%s: benchmark '%s' lacks \"ready\", the port where the server answers", s->path, b.name);
    b.port = (unsigned)port;
    b.settle = json_number_value(json_object_get(o, "settle"));
    b.setup = text_at(s, o, "setup", false);
    b.prepare = text_at(s, o, "prepare", false);
    b.quick = text_at(s, size, "quick", false);
    b.full = text_at(s, size, "full", false);
    b.quick_seconds = json_number_value(json_object_get(seconds, "quick"));
    b.full_seconds = json_number_value(json_object_get(seconds, "full"));
    if (b.quick == NULL && b.full == NULL)
        tool_die("%s: benchmark '%s' is in no set: \"size\" has texts for \"quick\" and \"full\"", s->path, b.name);
    b.ignore_output = json_is_false(json_object_get(o, "output"));
    b.ignore_end = json_is_false(json_object_get(o, "end"));
    b.needs = json_object_get(o, "needs");
    return b;
}

void suite_read(struct suite *s, const char *given)
{
    json_error_t error;
    *s = (struct suite){.path = given != NULL ? realpath(given, NULL) : find_suite()};
    if (s->path == NULL)
        tool_die("cannot read the suite %s: %m", given);
    s->json = json_load_file(s->path, JSON_REJECT_DUPLICATES, &error);
    if (s->json == NULL)
        tool_die("cannot read the suite %s: line %d: %s", s->path, error.line, error.text);
    if (json_integer_value(json_object_get(s->json, "weir_suite")) != FORMAT)
        tool_die("%s is no suite of this weir: it lacks \"weir_suite\": %d", s->path, FORMAT);
    s->directory = text_format("%.*s", (int)(strrchr(s->path, '/') - s->path), s->path);
    s->workloads = find_workloads();
    const json_t *array = json_object_get(s->json, "benchmarks");
    s->item = calloc(json_array_size(array) + 1, sizeof *s->item);
    if (s->item == NULL)
        tool_die("out of memory");
    for (size_t i = 0; i < json_array_size(array); i++) {
        struct benchmark b = read_benchmark(s, json_array_get(array, i));
        s->item[s->count++] = b;
    }
}

/* ---- asking it -------------------------------------------------------------------------------------------------- */

/** Whether the shell would find `name`. */
static bool is_there(const char *name)
{
    char *copy = text_format("%s", name);
    struct program p;
    program_inspect(&p, (char *[]){copy, NULL});
    free(copy);
    return p.path != NULL;
}

char *suite_lacks(const struct suite *s, const struct benchmark *b)
{
    const char *name;
    json_t *package;
    static const char workloads[] = "$BENCH_WORKLOADS/";
    const char *command = b->command + (*b->command == '"');
    if (strncmp(command, workloads, strlen(workloads)) == 0) {
        const char *file = command + strlen(workloads);
        int length = (int)strcspn(file, "\" ");
        char *path = text_format("%s/%.*s", s->workloads != NULL ? s->workloads : "", length, file);
        bool there = s->workloads != NULL && access(path, X_OK) == 0;
        free(path);
        if (!there)
            return text_format("the workload %.*s is neither built nor in %s/weir/bench (`make install` puts it there)",
                               length, file, WEIR_LIBEXECDIR);
    }
    json_object_foreach((json_t *)b->needs, name, package) if (!is_there(name)) return text_format(
        "%s is missing (package %s)", name, json_string_value(package));
    return NULL;
}

bool suite_wants(const struct benchmark *b, char *const *pattern)
{
    if (pattern == NULL || *pattern == NULL)
        return true;
    for (; *pattern != NULL; pattern++)
        if (fnmatch(*pattern, b->name, 0) == 0 || fnmatch(*pattern, b->kind, 0) == 0)
            return true;
    return false;
}
