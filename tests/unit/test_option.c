/* SPDX-License-Identifier: MIT
 * The WEIR_* options: defaults, values, and the warnings for what is misspelt. Each test reads an environment of its
 * own. */
#include "base/option.h"

#include "support.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weir/alloc.h>

/** Reads the options with `assignments` (NAME=value…, NULL at the end) as all that there is of WEIR_*, and returns what
 *  was written to standard error. */
static const char *read_with(const char *const *assignments)
{
    static char got[4000];
    int ends[2], saved = dup(STDERR_FILENO);
    must(pipe(ends) == 0, "no pipe");
    clearenv();
    setenv("PATH", "/usr/bin:/bin", 1);
    for (; *assignments != NULL; assignments++)
        must(putenv((char *)(uintptr_t)*assignments) == 0, "putenv");
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    wr_option_read();
    wr_option_warn();
    dup2(saved, STDERR_FILENO);
    close(saved);
    ssize_t n = read(ends[0], got, sizeof got - 1);
    got[n > 0 ? n : 0] = '\0';
    close(ends[0]);
    return got;
}

#define reading(...) read_with((const char *const[]){__VA_ARGS__, NULL})

static size_t lines(const char *text)
{
    size_t count = 0;
    for (; (text = strchr(text, '\n')) != NULL; text++)
        count++;
    return count;
}

Test(option, defaults_without_a_word)
{
    const char *said = reading("HOME=/");
    must(*said == '\0', "said: %s", said);
    must(wr_options.slack == 4 * WR_MIB && wr_options.purge == WR_PURGE_DONTNEED && wr_options.stats == WR_STATS_OFF &&
             wr_options.strict == 0 && wr_options.verbose == 0 && wr_options.deepbind == WR_DEEPBIND_DROP &&
             wr_options.report[0] == '\0',
         "defaults differ from the manual's");
}

Test(option, values)
{
    const char *said = reading("WEIR_SLACK=12M", "WEIR_PURGE=never", "WEIR_STATS=json", "WEIR_STRICT=1",
                               "WEIR_VERBOSE=1", "WEIR_REPORT=/tmp/report", "WEIR_DEEPBIND=keep");
    must(*said == '\0', "said: %s", said);
    must(wr_options.slack == 12 * WR_MIB, "slack %zu", wr_options.slack);
    must(wr_options.purge == WR_PURGE_NEVER && wr_options.stats == WR_STATS_JSON, "words");
    must(wr_options.strict == 1 && wr_options.verbose == 1, "switches");
    must(wr_options.deepbind == WR_DEEPBIND_KEEP, "deepbind");
    must(strcmp(wr_options.report, "/tmp/report") == 0, "report");
}

Test(option, an_empty_value_is_the_default)
{
    const char *said = reading("WEIR_SLACK=", "WEIR_PURGE=", "WEIR_STATS=", "WEIR_REPORT=");
    must(*said == '\0' && wr_options.slack == 4 * WR_MIB && wr_options.report[0] == '\0', "said: %s", said);
}

Test(option, a_bad_value_gets_a_warning_and_the_default)
{
    static const char *const bad[][3] = {
        /* assignment, what the warning must name, and the nearest word */
        {"WEIR_PURGE=nevre", "WEIR_PURGE=nevre", "never"}, {"WEIR_PURGE=dontned", "WEIR_PURGE=dontned", "dontneed"},
        {"WEIR_STATS=jsn", "WEIR_STATS=jsn", "json"},      {"WEIR_STRICT=yes", "WEIR_STRICT=yes", "0|1"},
        {"WEIR_SLACK=12Q", "WEIR_SLACK=12Q", "BYTES"},     {"WEIR_SLACK=lots", "WEIR_SLACK=lots", "BYTES"},
    };
    for (size_t i = 0; i < WR_COUNT(bad); i++) {
        const char *said = reading(bad[i][0]);
        must(lines(said) == 1 && strstr(said, "warning") != NULL, "%s: said: %s", bad[i][0], said);
        must(strstr(said, bad[i][1]) != NULL && strstr(said, bad[i][2]) != NULL, "%s: said: %s", bad[i][0], said);
        must(wr_options.slack == 4 * WR_MIB, "%s: slack is %zu", bad[i][0], wr_options.slack);
        must(wr_options.purge == WR_PURGE_DONTNEED && wr_options.stats == WR_STATS_OFF && wr_options.strict == 0,
             "%s: not the default", bad[i][0]);
    }
}

Test(option, a_misspelt_name_gets_the_nearest)
{
    static const char *const misspelt[][2] = {
        {"WEIR_VERBOS=1", "WEIR_VERBOSE"}, {"WEIR_STAT=1", "WEIR_STATS"},       {"WEIR_SLAKC=1M", "WEIR_SLACK"},
        {"WEIR_STICT=1", "WEIR_STRICT"},   {"WEIR_PURGEE=never", "WEIR_PURGE"},
    };
    for (size_t i = 0; i < WR_COUNT(misspelt); i++) {
        const char *said = reading(misspelt[i][0]);
        must(lines(said) == 1 && strstr(said, "warning") != NULL && strstr(said, misspelt[i][1]) != NULL,
             "%s: said: %s", misspelt[i][0], said);
    }
}

Test(option, what_is_like_nothing_gets_no_guess)
{
    static const char *const unlike[] = {
        "WEIR_STRICT=true",          "WEIR_STRICT=2", "WEIR_PURGER=1", "WEIR_THP=madvise", "WEIR_GC_DEBUG=everything",
        "WEIR_GC_DEBUG=stats,,leak", "WEIR_FOO=1",    "WEIR_MEMORY=1"};
    for (size_t i = 0; i < WR_COUNT(unlike); i++) {
        const char *said = reading(unlike[i]);
        must(lines(said) == 1 && strstr(said, "warning") != NULL && strstr(said, "mean") == NULL, "%s: said: %s",
             unlike[i], said);
    }
}

Test(option, a_long_value_leaves_room_for_what_is_wrong)
{
    char path[2000] = "WEIR_REPORT=/", word[1000] = "WEIR_PURGE=";
    memset(path + strlen(path), 'x', sizeof path - 1 - strlen(path));
    memset(word + strlen(word), 'x', sizeof word - 1 - strlen(word));
    path[sizeof path - 1] = word[sizeof word - 1] = '\0';
    const char *said = reading(path);
    must(lines(said) == 1 && strstr(said, "longer than 511 bytes") != NULL, "said: %s", said);
    must(wr_options.report[0] == '\0', "the path is used");
    said = reading(word);
    must(lines(said) == 1 && strstr(said, "is none of dontneed|free|never; using the default") != NULL, "said: %s",
         said);
}

Test(option, names_of_others_are_passed_over)
{
    const char *said = reading("WEIRD=1", "WEIRDNESS_LEVEL=2", "WEIR=1", "XWEIR_STATS=1", "WEIR_PRELOAD=/lib/x.so",
                               "WEIR_TEST_SCALE=10");
    must(*said == '\0', "said: %s", said);
}

Test(option, every_mistake_gets_its_line)
{
    const char *said = reading("WEIR_VERBOS=1", "WEIR_PURGE=sometimes", "WEIR_SLACK=much", "WEIR_STATS=1");
    must(lines(said) == 3, "said: %s", said);
    must(wr_options.stats == WR_STATS_TEXT, "the good value among them was lost");
}

Test(option, table_is_sorted_and_complete)
{
    struct wr_option_row row, last = {.name = ""};
    unsigned count = 0;
    reading("WEIR_SLACK=8M", "WEIR_PURGE=free", "WEIR_REPORT=/tmp/x");
    for (; wr_option_row(count, &row); count++) {
        must(strncmp(row.name, "WEIR_", 5) == 0 && strcmp(last.name, row.name) < 0, "%s after %s", row.name, last.name);
        must(strlen(row.help) > 10 && strlen(row.values) > 0, "%s is not explained", row.name);
        if (strcmp(row.name, "WEIR_SLACK") == 0)
            must(strcmp(row.current, "8388608") == 0 || strcmp(row.current, "8M") == 0, "slack is '%s'", row.current);
        if (strcmp(row.name, "WEIR_PURGE") == 0)
            must(strcmp(row.current, "free") == 0, "purge is '%s'", row.current);
        if (strcmp(row.name, "WEIR_REPORT") == 0)
            must(strcmp(row.current, "/tmp/x") == 0, "report is '%s'", row.current);
        last = row;
    }
    must(count >= 6, "%u options", count);
    must(!wr_option_row(count + 1, &row), "a row past the end");
}

struct seen {
    unsigned count;
    char last[64];
};

static void see(const struct weir_option *option, void *arg)
{
    struct seen *seen = arg;
    must(strcmp(seen->last, option->name) < 0, "%s after %s", option->name, seen->last);
    must(option->values != NULL && option->initial != NULL && option->current != NULL && option->help != NULL, "%s",
         option->name);
    snprintf(seen->last, sizeof seen->last, "%s", option->name);
    seen->count++;
}

Test(option, each_calls_for_every_row)
{
    struct wr_option_row row;
    struct seen seen = {0};
    weir_option_each(see, &seen);
    must(seen.count > 0 && wr_option_row(seen.count - 1, &row) && !wr_option_row(seen.count, &row), "%u options",
         seen.count);
}
