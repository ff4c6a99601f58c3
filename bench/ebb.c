/* SPDX-License-Identifier: MIT
 * ebb: does memory go back? Builds and frees blocks in the patterns of ebb_patterns.c and reports what stays resident,
 * beside the limits that Weir promises. It calls malloc, free and, where it exists, malloc_trim, so that it runs on any
 * allocator by LD_PRELOAD. Here: arguments, processes, verdicts, output. */
#include "ebb.h"

#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { OVER = 1, FAILED = 2, SAMPLE_MS = 5, SOAK_MINUTES = 10 };

static const char measure_flag[] = "--measure=";

/* ---- the promise ----------------------------------------------------------------------------------------------- */

enum { LIMIT_FREED, LIMIT_IDLE, LIMIT_AGAIN, LIMIT_TRIMMED, LIMIT_MAPPINGS, LIMIT_DRIFT, LIMITS };

static const char *const limit_name[LIMITS] = {"freed", "idle", "again", "trimmed", "mappings", "drift"};

/** One figure beside its limit. */
struct limit {
    bool applies;
    double figure, most; /* bytes over the start; for mappings a number, for drift a ratio */
};

/** Right after frees: a quarter over the floor, the bound of slack, and a MiB for what is not blocks. */
static double freed_limit(uint64_t floor, uint64_t live)
{
    double slack = (double)live / 8 > 4.0 * EBB_MIB ? (double)live / 8 : 4.0 * EBB_MIB;
    return 1.25 * (double)floor + slack + EBB_MIB;
}

/** After trim, or a while of quiet where a thread can look after it. */
static double quiet_limit(uint64_t floor) { return 1.1 * (double)floor + 2.0 * EBB_MIB; }

static double over_start(const struct ebb_report *r, enum ebb_step step)
{
    return (double)r->resident[step] - (double)r->resident[EBB_START];
}

static void find_limits(const struct ebb_report *r, struct limit limit[LIMITS])
{
    bool threaded = ebb_pattern[r->pattern].threaded;
    double freed = freed_limit(r->floor_freed, r->live_freed);
    limit[LIMIT_FREED] = (struct limit){true, over_start(r, EBB_FREE), freed};
    limit[LIMIT_IDLE] = (struct limit){true, over_start(r, EBB_IDLE), threaded ? quiet_limit(r->floor_freed) : freed};
    limit[LIMIT_AGAIN] =
        (struct limit){true, over_start(r, EBB_FREE_AGAIN), freed_limit(r->floor_again, r->live_again)};
    limit[LIMIT_TRIMMED] = (struct limit){r->can_trim, over_start(r, EBB_TRIM), quiet_limit(r->floor_again)};
    limit[LIMIT_MAPPINGS] = (struct limit){true, (double)r->mappings, 2000};
    limit[LIMIT_DRIFT] = (struct limit){r->ratio_later > 0, r->ratio_later / r->ratio_first, 1.3};
}

static bool is_over(const struct limit *limit) { return limit->applies && limit->figure > limit->most; }

/* ---- output ---------------------------------------------------------------------------------------------------- */

static double mib(double bytes) { return bytes / EBB_MIB; }
static double seconds(uint64_t ns) { return (double)ns / 1e9; }

static void print_head(const struct ebb_report *first)
{
    printf("malloc of %s; MiB, resident sizes less the size at start; seconds\n", first->library);
    printf("%-13s%8s%8s%8s%8s%8s%8s%8s%8s%8s%8s%8s%8s  %s\n", "pattern", "live", "floor", "start", "built", "freed",
           "idle", "again", "trim", "maps", "build", "free", "rebuild", "limits");
}

/** The limits that are broken, and by how much; those that are not asked for in brackets. */
static void print_verdict(const struct limit limit[LIMITS], unsigned asked)
{
    bool any = false;
    for (unsigned i = 0; i < LIMITS; i++)
        if (is_over(&limit[i])) {
            bool size = i < LIMIT_MAPPINGS;
            double figure = size ? mib(limit[i].figure) : limit[i].figure;
            double most = size ? mib(limit[i].most) : limit[i].most;
            bool counts = (asked & 1u << i) != 0;
            printf("%s%s%s %.*f > %.*f%s", any ? ", " : "  ", counts ? "" : "(", limit_name[i],
                   i == LIMIT_MAPPINGS ? 0 : 2, figure, i == LIMIT_MAPPINGS ? 0 : 2, most, counts ? "" : ")");
            any = true;
        }
    puts(any ? "" : "  kept");
}

static void print_row(const struct ebb_report *r, const struct limit limit[LIMITS], unsigned asked)
{
    printf("%-13s%8.1f%8.1f%8.1f%8.1f%8.1f%8.1f%8.1f", ebb_pattern[r->pattern].name, mib((double)r->live_freed),
           mib((double)r->floor_freed), mib((double)r->resident[EBB_START]), mib(over_start(r, EBB_BUILD)),
           mib(over_start(r, EBB_FREE)), mib(over_start(r, EBB_IDLE)), mib(over_start(r, EBB_FREE_AGAIN)));
    if (r->can_trim)
        printf("%8.1f", mib(over_start(r, EBB_TRIM)));
    else
        printf("%8s", "-");
    printf("%8ju%8.3f%8.3f%8.3f", (uintmax_t)r->mappings, seconds(r->build_ns), seconds(r->free_ns),
           seconds(r->rebuild_ns));
    print_verdict(limit, asked);
    fflush(stdout);
}

static json_t *limits_json(const struct limit limit[LIMITS])
{
    json_t *all = json_object();
    for (unsigned i = 0; i < LIMITS; i++)
        if (limit[i].applies)
            json_object_set_new(all, limit_name[i],
                                json_pack("{s:f, s:f, s:b}", "figure", limit[i].figure, "most", limit[i].most, "kept",
                                          !is_over(&limit[i])));
    return all;
}

static void add_count(json_t *object, const char *key, uint64_t value)
{
    json_object_set_new(object, key, json_integer((json_int_t)value));
}

static void add_seconds(json_t *object, const char *key, uint64_t ns)
{
    json_object_set_new(object, key, json_real(seconds(ns)));
}

static json_t *row_json(const struct ebb_report *r, const struct limit limit[LIMITS])
{
    json_t *row = json_pack("{s:s, s:s}", "pattern", ebb_pattern[r->pattern].name, "library", r->library);
    json_t *resident = json_object(), *time = json_object();
    for (unsigned i = 0; i < EBB_STEPS; i++)
        if (i != EBB_TRIM || r->can_trim)
            add_count(resident, ebb_step_name[i], r->resident[i]);
    json_object_set_new(row, "resident", resident);
    add_count(row, "peak", r->peak);
    add_count(row, "page", r->page);
    add_count(row, "live_built", r->live_built);
    add_count(row, "live", r->live_freed);
    add_count(row, "live_again", r->live_again);
    add_count(row, "floor_built", r->floor_built);
    add_count(row, "floor", r->floor_freed);
    add_count(row, "floor_again", r->floor_again);
    add_count(row, "blocks", r->blocks_freed);
    add_count(row, "mappings", r->mappings);
    add_count(row, "operations", r->operations);
    add_seconds(time, "build", r->build_ns);
    add_seconds(time, "free", r->free_ns);
    add_seconds(time, "rebuild", r->rebuild_ns);
    add_seconds(time, "free_again", r->free_again_ns);
    add_seconds(time, "trim", r->trim_ns);
    json_object_set_new(row, "seconds", time);
    if (r->ratio_later > 0)
        json_object_set_new(row, "ratio", json_pack("{s:f, s:f}", "first", r->ratio_first, "later", r->ratio_later));
    json_object_set_new(row, "limits", limits_json(limit));
    return row;
}

static void list_patterns(void)
{
    for (unsigned i = 0; i < ebb_patterns; i++)
        printf("%-13s %s\n", ebb_pattern[i].name, ebb_pattern[i].help);
}

/** Ends the output: what could not be written must not pass for done. */
static int finish(int status)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        ebb_die("cannot write the output: %s", strerror(errno));
    return status;
}

/* ---- arguments ------------------------------------------------------------------------------------------------- */

struct arguments {
    double scale, idle, seconds;
    uint64_t seed;
    bool json, list, check, soak;
    unsigned asked; /* bits of limits that --check is about */
    const char *timeline;
    bool chosen[64];
    unsigned number; /* of patterns chosen */
};

static const char doc[] =
    "Builds and frees blocks in many patterns, each in a process of its own, and reports what stays resident.\v"
    "PATTERN is a name of --list, or the beginning of several; without one, all run.\n\n"
    "Each pattern builds 128 MiB of blocks (times --scale), frees, sits idle, rebuilds, frees again and calls "
    "malloc_trim(0). The columns: live bytes that are left; floor, the pages that hold them, found from their "
    "addresses; "
    "resident at start; and less that, when built, right after the frees, after the idle time, after the second frees, "
    "after the trim; mappings of the process; seconds. The last column has the limits of Weir's promise that were "
    "broken:\n"
    "  freed, again  1.25 floor + max(4 MiB, live / 8) + 1 MiB\n"
    "  idle          1.1 floor + 2 MiB in a pattern with threads, else as freed\n"
    "  trimmed       1.1 floor + 2 MiB\n"
    "  mappings      2,000\n"
    "  drift         resident to live is, in a later cycle, 1.3 times what it was in the first\n\n"
    "--soak runs the pattern drift alone, for minutes, and tells each minute how resident and live sizes stand. "
    "Another allocator: LD_PRELOAD=libjemalloc.so.2 ebb. The status is 0, 1 if --check found a limit broken, 2 if "
    "something failed.";

static const struct argp_option option[] = {
    {"check", 'c', "LIMIT,...", OPTION_ARG_OPTIONAL, "Exit with 1 if a limit is broken, of these or of all", 0},
    {"idle", 'i', "SECONDS", 0, "How long to sit idle (default 1)", 0},
    {"json", 'j', NULL, 0, "Print one JSON array; sizes in bytes, resident as the system counts it", 0},
    {"list", 'l', NULL, 0, "Print the patterns", 0},
    {"scale", 's', "FACTOR", 0, "Times 128 MiB (default 1)", 0},
    {"seconds", 'S', "SECONDS", 0, "Keep queue, drift and large going so long, twice (default: a fixed amount)", 0},
    {"soak", 'k', "MINUTES", OPTION_ARG_OPTIONAL, "Run drift so long (default 10 minutes)", 0},
    {"seed", 'r', "NUMBER", 0, "Another sequence of random numbers (default 1)", 0},
    {"timeline", 't', "FILE", 0, "Write the resident size over time as CSV, a line each 5 milliseconds", 0},
    {0},
};

static double need_number(struct argp_state *state, const char *name, const char *text, double least, double most)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != 0 || !(value >= least && value <= most))
        argp_error(state, "--%s takes a number from %g to %g, not '%s'", name, least, most, text);
    return value;
}

static void choose_limits(struct arguments *a, struct argp_state *state, const char *list)
{
    for (a->asked = 0; *list != 0; list += strspn(list, ",")) {
        size_t length = strcspn(list, ","), i = 0;
        while (i < LIMITS && (strlen(limit_name[i]) != length || strncmp(limit_name[i], list, length) != 0))
            i++;
        if (i == LIMITS)
            argp_error(state, "there is no limit '%.*s'; there are freed, idle, again, trimmed, mappings, drift",
                       (int)length, list);
        a->asked |= 1u << i;
        list += length;
    }
}

static void choose(struct arguments *a, struct argp_state *state, const char *name)
{
    unsigned before = a->number;
    bool exact = false;
    for (unsigned i = 0; i < ebb_patterns; i++)
        exact |= strcmp(ebb_pattern[i].name, name) == 0;
    for (unsigned i = 0; i < ebb_patterns; i++)
        if (exact ? strcmp(ebb_pattern[i].name, name) == 0 : strncmp(ebb_pattern[i].name, name, strlen(name)) == 0) {
            a->number++;
            a->chosen[i] = true;
        }
    if (a->number == before)
        argp_error(state, "there is no pattern '%s'; --list names them", name);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct arguments *a = state->input;
    switch (key) {
    case 'c':
        a->check = true;
        if (arg != NULL)
            choose_limits(a, state, arg);
        return 0;
    case 'i':
        a->idle = need_number(state, "idle", arg, 0, 86400);
        return 0;
    case 'j':
        a->json = true;
        return 0;
    case 'l':
        a->list = true;
        return 0;
    case 's':
        a->scale = need_number(state, "scale", arg, 0.01, 100);
        return 0;
    case 'S':
        a->seconds = need_number(state, "seconds", arg, 0, 86400);
        return 0;
    case 'r':
        a->seed = (uint64_t)need_number(state, "seed", arg, 0, 1e15);
        return 0;
    case 'k':
        a->soak = true;
        a->seconds = 30 * (arg != NULL ? need_number(state, "soak", arg, 0.01, 10080) : SOAK_MINUTES); /* twice */
        return 0;
    case 't':
        a->timeline = arg;
        return 0;
    case ARGP_KEY_ARG:
        choose(a, state, arg);
        return 0;
    case ARGP_KEY_END:
        if (a->soak && a->number > 0)
            argp_error(state, "--soak is the pattern drift; it takes no other");
        if (a->soak)
            choose(a, state, "drift");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- the measured process, seen from outside --------------------------------------------------------------------- */

static struct ebb_report *share(int *fd)
{
    *fd = memfd_create("ebb", 0); /* stays open across exec: so the measured process gets it */
    if (*fd < 0 || ftruncate(*fd, sizeof(struct ebb_report)) != 0)
        ebb_die("no shared memory: %s", strerror(errno));
    void *report = mmap(NULL, sizeof(struct ebb_report), PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    if (report == MAP_FAILED)
        ebb_die("no shared memory: %s", strerror(errno));
    return report;
}

static pid_t start(int fd)
{
    char flag[32];
    snprintf(flag, sizeof flag, "%s%d", measure_flag, fd);
    fflush(NULL);
    pid_t child = fork();
    if (child < 0)
        ebb_die("cannot start a process: %s", strerror(errno));
    if (child == 0) {
        execl("/proc/self/exe", "ebb", flag, (char *)NULL);
        ebb_die("cannot start itself again by /proc/self/exe: %s", strerror(errno));
    }
    return child;
}

/** Bytes resident in the child; 0 when it is about to be gone. */
static uint64_t look_at(int statm)
{
    char text[128];
    ssize_t length = pread(statm, text, sizeof text - 1, 0);
    text[length > 0 ? length : 0] = 0;
    char *second = strchr(text, ' ');
    return second != NULL ? strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static int64_t live_of(struct ebb_report *r) { return atomic_load_explicit(&r->live, memory_order_relaxed); }

/** Writes a line about the child: "PATTERN,SECONDS,RESIDENT,LIVE,STEP", sizes in KiB. */
static void sample(FILE *file, struct ebb_report *r, uint64_t resident, uint64_t ns)
{
    fprintf(file, "%s,%.4f,%ju,%jd,%s\n", ebb_pattern[r->pattern].name, seconds(ns), (uintmax_t)(resident / 1024),
            (intmax_t)(live_of(r) / 1024), ebb_step_name[atomic_load_explicit(&r->step, memory_order_relaxed)]);
}

/** Says how a soak stands. */
static void tell(struct ebb_report *r, uint64_t resident, uint64_t ns)
{
    double over = (double)resident - (double)r->resident[EBB_START], live = (double)live_of(r);
    printf("%8.0f s  live %6.1f  resident %6.1f MiB  ratio %.2f\n", seconds(ns), mib(live), mib(over),
           live > 0 ? over / live : 0);
    fflush(stdout);
}

static int watch(const struct arguments *a, FILE *timeline, struct ebb_report *r, pid_t child)
{
    char path[64];
    int status;
    bool tells = a->soak && !a->json, looks = timeline != NULL || tells;
    uint64_t start_ns = ebb_now_ns(), told = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)child);
    int statm = looks ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    while (waitpid(child, &status, looks ? WNOHANG : 0) != child) {
        uint64_t ns = ebb_now_ns() - start_ns, resident = statm >= 0 ? look_at(statm) : 0, minute = ns / 60000000000u;
        bool counts = resident > 0 && atomic_load_explicit(&r->step, memory_order_relaxed) != EBB_START;
        if (timeline != NULL && counts)
            sample(timeline, r, resident, ns);
        if (tells && counts && minute > told) {
            tell(r, resident, ns);
            told = minute;
        }
        nanosleep(&(struct timespec){0, SAMPLE_MS * 1000000L}, NULL);
    }
    if (statm >= 0)
        close(statm);
    return status;
}

/** Runs a pattern in a process of its own and fills in the report. */
static void run_pattern(const struct arguments *a, unsigned pattern, FILE *timeline, struct ebb_report *r)
{
    int fd;
    struct ebb_report *shared = share(&fd);
    shared->pattern = pattern;
    shared->bytes = (size_t)(a->scale * 128 * EBB_MIB);
    shared->idle = a->idle;
    shared->seconds = a->seconds;
    shared->seed = a->seed;
    int status = watch(a, timeline, shared, start(fd));
    close(fd);
    memcpy(r, shared, sizeof *r);
    munmap(shared, sizeof *shared);
    if (WIFSIGNALED(status))
        ebb_die("%s: killed by signal %d (%s)", ebb_pattern[pattern].name, WTERMSIG(status),
                strsignal(WTERMSIG(status)));
    if (!r->finished)
        ebb_die("%s: ended with status %d before its end", ebb_pattern[pattern].name, WEXITSTATUS(status));
    if (r->damaged > 0)
        ebb_die("%s: %ju blocks did not hold what had been written to them", ebb_pattern[pattern].name,
                (uintmax_t)r->damaged);
}

static int measure(const char *fd_text)
{
    void *report = mmap(NULL, sizeof(struct ebb_report), PROT_READ | PROT_WRITE, MAP_SHARED, atoi(fd_text), 0);
    if (report == MAP_FAILED)
        ebb_die("%s is for ebb's own use", measure_flag);
    ebb_measure(report);
    _exit(0); /* hands may sleep still */
}

static FILE *open_timeline(const char *path)
{
    if (path == NULL)
        return NULL;
    FILE *file = fopen(path, "we");
    if (file == NULL)
        ebb_die("cannot write %s: %s", path, strerror(errno));
    fputs("pattern,seconds,resident_kib,live_kib,step\n", file);
    return file;
}

/** Runs what was chosen; true if a limit that counts was broken. */
static bool run_all(const struct arguments *a, FILE *timeline, json_t *rows)
{
    bool broken = false, first = true;
    for (unsigned i = 0; i < ebb_patterns; i++) {
        struct ebb_report report;
        struct limit limit[LIMITS];
        if (a->number > 0 && !a->chosen[i])
            continue;
        run_pattern(a, i, timeline, &report);
        find_limits(&report, limit);
        for (unsigned j = 0; j < LIMITS; j++)
            broken |= (a->asked & 1u << j) != 0 && is_over(&limit[j]);
        if (a->json) {
            json_array_append_new(rows, row_json(&report, limit));
            continue;
        }
        if (first)
            print_head(&report);
        print_row(&report, limit, a->asked);
        if (a->soak)
            printf("resident to live: at most %.2f in the first cycle, %.2f later\n", report.ratio_first,
                   report.ratio_later);
        first = false;
    }
    return broken;
}

int main(int argc, char **argv)
{
    static const struct argp argp = {.options = option, .parser = parse, .args_doc = "[PATTERN...]", .doc = doc};
    struct arguments arguments = {.scale = 1, .idle = 1, .seed = 1, .asked = (1u << LIMITS) - 1};
    if (argc == 2 && strncmp(argv[1], measure_flag, strlen(measure_flag)) == 0)
        return measure(argv[1] + strlen(measure_flag));
    argp_err_exit_status = FAILED;
    argp_parse(&argp, argc, argv, 0, NULL, &arguments);
    if (arguments.list) {
        list_patterns();
        return finish(0);
    }
    FILE *timeline = open_timeline(arguments.timeline);
    json_t *rows = json_array();
    bool broken = run_all(&arguments, timeline, rows);
    if (timeline != NULL && fclose(timeline) != 0)
        ebb_die("cannot write %s: %s", arguments.timeline, strerror(errno));
    if (arguments.json && json_dumpf(rows, stdout, JSON_INDENT(2)) == 0)
        putchar('\n');
    json_decref(rows);
    return finish(arguments.check && broken ? OVER : 0);
}
