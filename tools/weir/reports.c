/* SPDX-License-Identifier: MIT
 * Writes reports; see reports.h. */
#include "reports.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "html.h"
#include "json.h"
#include "plot.h"
#include "table.h"

bool reports_is_output(const char *path) { return path != NULL && strcmp(path, "-") == 0; }

/** Ends where `path` cannot be written, before hours of work. What is there stays. */
static void check_path(const char *path)
{
    struct stat status;
    if (path == NULL || reports_is_output(path))
        return;
    bool fresh = lstat(path, &status) != 0;
    if (stat(path, &status) == 0 && S_ISFIFO(status.st_mode))
        return; /* who reads it would take this for the end */
    FILE *stream = fopen(path, "ae");
    if (stream == NULL)
        tool_die("cannot write %s: %m", path);
    fclose(stream);
    if (fresh)
        unlink(path);
}

void reports_check(const struct reports *r)
{
    if (reports_is_output(r->json) + reports_is_output(r->csv) + reports_is_output(r->html) > 1)
        tool_die("only one report can go to standard output");
    check_path(r->json);
    check_path(r->csv);
    check_path(r->plot);
    check_path(r->html);
    if (r->plot != NULL)
        plot_check(r->plot);
    if (r->html != NULL && !plot_possible())
        tool_say("note: the page of --html will have no plots: gnuplot is not in PATH (on Debian: apt-get install "
                 "gnuplot-nox)");
}

bool reports_take_output(const struct reports *r)
{
    return reports_is_output(r->json) || reports_is_output(r->csv) || reports_is_output(r->html);
}

static FILE *open_report(const char *path)
{
    FILE *stream = reports_is_output(path) ? stdout : fopen(path, "we");
    if (stream == NULL)
        tool_die("cannot write %s: %m", path);
    return stream;
}

static void close_report(FILE *stream, const char *path)
{
    bool good = fflush(stream) == 0 && ferror(stream) == 0;
    if (stream != stdout)
        good = fclose(stream) == 0 && good;
    if (!good)
        tool_die("cannot write %s: %m", reports_is_output(path) ? "to standard output" : path);
}

static void write_json(const struct results *list, const char *path)
{
    if (!reports_is_output(path)) {
        results_write(list, path);
        return;
    }
    json_t *o = results_to_json(list);
    json_print(o, stdout);
    json_decref(o);
    close_report(stdout, path);
}

void reports_write(const struct reports *r, const struct results *list)
{
    if (r->json != NULL)
        write_json(list, r->json);
    if (r->csv != NULL) {
        FILE *stream = open_report(r->csv);
        table_csv(list, stream);
        close_report(stream, r->csv);
    }
    if (r->html != NULL) {
        FILE *stream = open_report(r->html);
        html_write(list, stream);
        close_report(stream, r->html);
    }
    if (r->plot != NULL && list->count > 0)
        plot_file(list->item[0], r->plot);
}
