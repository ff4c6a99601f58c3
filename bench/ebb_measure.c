/* SPDX-License-Identifier: MIT
 * The measured process of ebb: its bookkeeping, its steps and its figures. */
#include "ebb.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

const char *const ebb_step_name[EBB_STEPS] = {"start", "build", "free", "idle", "rebuild", "free_again", "trim"};

void ebb_die(const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof text - 1, format, args);
    va_end(args);
    if (length > (int)sizeof text - 2)
        length = (int)sizeof text - 2;
    text[length] = '\n';
    if (write(STDERR_FILENO, "ebb: ", 5) < 0 || write(STDERR_FILENO, text, (size_t)length + 1) < 0)
        _exit(2);
    _exit(2);
}

uint64_t ebb_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- what /proc says ------------------------------------------------------------------------------------------- */

/** Reads a file into `text`, as far as it fits, and ends it with 0; returns its length, 0 if it cannot be read. */
static size_t read_text(const char *path, char *text, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = 0;
    size_t length = 0;
    while (length < room - 1 && (n = read(fd, text + length, room - 1 - length)) > 0)
        length += (size_t)n;
    close(fd);
    text[length] = 0;
    return length;
}

/** The figure of a line "NAME: 123 kB", in bytes; 0 where there is none. */
static uint64_t field(const char *text, const char *name)
{
    const char *line = strstr(text, name);
    return line != NULL ? strtoull(line + strlen(name), NULL, 10) * 1024 : 0;
}

uint64_t ebb_resident_quickly(void)
{
    char text[128];
    if (read_text("/proc/self/statm", text, sizeof text) == 0)
        ebb_die("cannot read /proc/self/statm; is /proc mounted?");
    char *second = strchr(text, ' ');
    return second != NULL ? strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

uint64_t ebb_resident(void)
{
    /* The counters of statm lag behind by some pages for each thread; the sum over the page tables does not. */
    char text[2048];
    uint64_t exact = read_text("/proc/self/smaps_rollup", text, sizeof text) > 0 ? field(text, "\nRss:") : 0;
    return exact > 0 ? exact : ebb_resident_quickly();
}

static uint64_t peak(void)
{
    char text[4096];
    return read_text("/proc/self/status", text, sizeof text) > 0 ? field(text, "\nVmHWM:") : 0;
}

static uint64_t mappings(void)
{
    char text[16384];
    uint64_t lines = 0;
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    for (ssize_t n; fd >= 0 && (n = read(fd, text, sizeof text)) > 0;)
        for (ssize_t i = 0; i < n; i++)
            lines += text[i] == '\n';
    if (fd >= 0)
        close(fd);
    return lines;
}

/* ---- the floor ------------------------------------------------------------------------------------------------- */

/** Sorts by address, in place, bit by bit from the highest: qsort may call malloc. */
static void sort(struct ebb_place *place, size_t count, int bit)
{
    while (count > 1 && bit >= 0) {
        size_t low = 0, high = count;
        while (low < high)
            if ((place[low].address >> bit & 1) == 0) {
                low++;
            } else {
                struct ebb_place other = place[--high];
                place[high] = place[low];
                place[low] = other;
            }
        bit--;
        sort(place, low, bit);
        place += low;
        count -= low;
    }
}

size_t ebb_sort(struct ebb_run *run)
{
    size_t count = 0;
    for (size_t i = 0; i < run->slots; i++)
        if (run->slot[i].block != NULL)
            run->place[count++] = (struct ebb_place){(uintptr_t)run->slot[i].block, i};
    sort(run->place, count, 8 * (int)sizeof(uintptr_t) - 1);
    return count;
}

/** Bytes of the pages that hold a live byte; also the number of live blocks and their bytes. */
static uint64_t find_floor(struct ebb_run *run, uint64_t *blocks, uint64_t *live)
{
    uint64_t page = run->report->page, pages = 0, next = 0; /* next: first page not counted yet */
    *blocks = ebb_sort(run);
    *live = 0;
    for (size_t i = 0; i < *blocks; i++) {
        size_t size = run->slot[run->place[i].index].size;
        uint64_t first = run->place[i].address / page, last = (run->place[i].address + size - 1) / page;
        if (first < next)
            first = next;
        if (first <= last) {
            pages += last - first + 1;
            next = last + 1;
        }
        *live += size;
    }
    return pages * page;
}

/* ---- the steps ------------------------------------------------------------------------------------------------- */

/** Memory of our own, resident from now on. */
static void *own_memory(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED)
        ebb_die("no memory for the bookkeeping (%zu bytes): %s; a smaller --scale needs less", bytes, strerror(errno));
    return memory;
}

static void set_up(struct ebb_run *run, struct ebb_report *report)
{
    const struct ebb_pattern *pattern = &ebb_pattern[report->pattern];
    run->report = report;
    run->slots = report->bytes / pattern->least + 256;
    run->slot = own_memory(run->slots * sizeof *run->slot);
    run->todo = own_memory(run->slots * sizeof *run->todo);
    run->place = own_memory(run->slots * sizeof *run->place);
    run->main = (struct ebb_hand){.run = run, .end = run->slots, .random = report->seed};
    report->page = (uint64_t)sysconf(_SC_PAGESIZE);
}

static void note_library(struct ebb_report *report)
{
    Dl_info info;
    void *function = dlsym(RTLD_DEFAULT, "malloc");
    if (function != NULL && dladdr(function, &info) != 0 && info.dli_fname != NULL)
        snprintf(report->library, sizeof report->library, "%s", info.dli_fname);
}

/** Ends a step: its resident size. */
static void note(struct ebb_report *report, enum ebb_step step)
{
    report->resident[step] = ebb_resident();
    uint64_t now = mappings();
    if (now > report->mappings)
        report->mappings = now;
}

static void step_begins(struct ebb_report *report, enum ebb_step step)
{
    atomic_store_explicit(&report->step, step, memory_order_relaxed);
}

static void sit_idle(double seconds)
{
    struct timespec left = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        continue;
}

static void trim(struct ebb_report *report)
{
    int (*function)(size_t) = (int (*)(size_t))dlsym(RTLD_DEFAULT, "malloc_trim");
    report->can_trim = function != NULL;
    uint64_t start = ebb_now_ns();
    if (function != NULL)
        function(0);
    report->trim_ns = ebb_now_ns() - start;
}

void ebb_measure(struct ebb_report *report)
{
    static struct ebb_run run;
    const struct ebb_pattern *pattern = &ebb_pattern[report->pattern];
    uint64_t ignored;
    note_library(report);
    set_up(&run, report);
    note(report, EBB_START); /* once more below: now all that measuring touches is resident */
    peak();
    note(report, EBB_START);

    run.fill_ns = &report->build_ns, run.drop_ns = &report->free_ns;
    step_begins(report, EBB_BUILD);
    pattern->build(&run);
    note(report, EBB_BUILD);
    report->floor_built = find_floor(&run, &ignored, &report->live_built);
    step_begins(report, EBB_FREE);
    pattern->release(&run);
    note(report, EBB_FREE);
    report->floor_freed = find_floor(&run, &report->blocks_freed, &report->live_freed);
    step_begins(report, EBB_IDLE);
    sit_idle(report->idle);
    note(report, EBB_IDLE);

    run.fill_ns = &report->rebuild_ns, run.drop_ns = &report->free_again_ns;
    step_begins(report, EBB_REBUILD);
    pattern->build(&run);
    note(report, EBB_REBUILD);
    step_begins(report, EBB_FREE_AGAIN);
    pattern->release(&run);
    note(report, EBB_FREE_AGAIN);
    report->floor_again = find_floor(&run, &ignored, &report->live_again);
    step_begins(report, EBB_TRIM);
    trim(report);
    note(report, EBB_TRIM);
    report->peak = peak();
    sit_idle(report->idle / 4); /* so that a timeline shows it */
    report->finished = true;
}
