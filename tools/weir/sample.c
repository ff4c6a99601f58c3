/* SPDX-License-Identifier: MIT
 * Resident size over time, from /proc; see sample.h. */
#include "sample.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SAMPLES_MOST = 2048, TREE_MOST = 4096 };

/* The first look comes soon, for short programs; then looks are a hundredth of the run's age apart, up to the longest
 * interval. The tree of processes takes more files to read, so it is read less often. Seconds. */
static const double first_look = 0.0005, age_share = 0.01, tree_interval = 0.02;

/* ---- the tree of processes -------------------------------------------------------------------------------------- */

static void tree_add(struct sampler *s, pid_t pid)
{
    if (s->tree_count == TREE_MOST)
        return;
    pid_t *tree = realloc(s->tree, (s->tree_count + 1) * sizeof *tree);
    if (tree == NULL)
        tool_die("out of memory");
    tree[s->tree_count++] = pid;
    s->tree = tree;
}

/** Adds the children of one thread. */
static void add_children(struct sampler *s, pid_t pid, const char *thread)
{
    char *path = text_format("/proc/%d/task/%s/children", (int)pid, thread);
    FILE *file = fopen(path, "re");
    int child;
    while (file != NULL && fscanf(file, "%d", &child) == 1)
        tree_add(s, child);
    if (file != NULL)
        fclose(file);
    free(path);
}

/** A child belongs to the thread that forked it, so all threads are asked. */
static void read_tree(struct sampler *s, double now)
{
    s->tree_count = 0;
    tree_add(s, s->root);
    for (size_t i = 0; i < s->tree_count; i++) {
        char *path = text_format("/proc/%d/task", (int)s->tree[i]);
        DIR *threads = opendir(path);
        struct dirent *thread;
        while (threads != NULL && (thread = readdir(threads)) != NULL)
            if (thread->d_name[0] != '.')
                add_children(s, s->tree[i], thread->d_name);
        if (threads != NULL)
            closedir(threads);
        free(path);
    }
    double step = tree_interval > 2 * s->interval ? tree_interval : 2 * s->interval;
    s->tree_due = now + (s->looks < 20 ? first_look : step);
}

/* ---- looking ---------------------------------------------------------------------------------------------------- */

static uint64_t resident_of(pid_t pid)
{
    char path[48];
    unsigned long long pages = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%*u %llu", &pages) != 1)
        pages = 0;
    fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

enum { LOOKS_FOR_NO = 8 };

static void look_for_library(struct sampler *s)
{
    if (s->library == NULL || s->mapped == MAPPED_YES || (s->looks & (s->looks - 1)) != 0)
        return;
    enum mapped mapped = launch_mapped(s->root, s->library);
    /* The first looks may come before the loader has mapped anything: they can say yes, but not no. */
    if (mapped == MAPPED_YES || (mapped == MAPPED_NO && s->looks >= LOOKS_FOR_NO))
        s->mapped = mapped;
}

size_t sample_thin(struct sample *sample, size_t count, size_t most)
{
    if (count <= most)
        return count;
    for (size_t i = 0; i < most; i++)
        sample[i] = sample[i * (count - 1) / (most - 1)];
    return most;
}

static void keep(struct sampler *s, struct sample seen)
{
    if (s->count > 0 && seen.time < s->sample[s->count - 1].time + s->spacing)
        return;
    if (s->count == SAMPLES_MOST) {
        s->count = sample_thin(s->sample, s->count, SAMPLES_MOST / 2);
        s->spacing = seen.time / (SAMPLES_MOST / 2);
    }
    s->sample[s->count++] = seen;
}

/** The integral goes by trapezoids from look to look. */
static void note(struct sampler *s, struct sample seen)
{
    double before = s->last.time > 0 || s->count > 0 ? (double)s->last.resident : (double)seen.resident;
    s->integral += (before + (double)seen.resident) / 2 * (seen.time - s->last.time);
    if (seen.resident > s->peak)
        s->peak = seen.resident;
    s->last = seen;
    keep(s, seen);
}

double sampler_look(struct sampler *s, double now)
{
    if (now < s->due)
        return s->due - now;
    if (now >= s->tree_due)
        read_tree(s, now);
    s->looks++;
    uint64_t resident = 0;
    for (size_t i = 0; i < s->tree_count; i++)
        resident += resident_of(s->tree[i]);
    if (resident > 0)
        note(s, (struct sample){now - s->start, resident});
    look_for_library(s);
    double wait = (now - s->start) * age_share;
    wait = wait < first_look ? first_look : wait < s->interval ? wait : s->interval;
    s->due = now + wait;
    return wait;
}

void sampler_start(struct sampler *s, pid_t root, const char *library, double interval, double now)
{
    *s = (struct sampler){.root = root, .library = library, .interval = interval};
    s->sample = calloc(SAMPLES_MOST, sizeof *s->sample);
    if (s->sample == NULL)
        tool_die("out of memory");
    sampler_restart(s, now);
}

void sampler_restart(struct sampler *s, double now)
{
    s->start = now;
    s->due = now + first_look;
    s->count = 0;
    s->spacing = 0;
    s->last = (struct sample){0};
    s->peak = 0;
    s->integral = 0;
}

void sampler_end(struct sampler *s, double now)
{
    if (s->count > 0 && now - s->start > s->last.time)
        note(s, (struct sample){now - s->start, s->last.resident});
}

void sampler_free(struct sampler *s)
{
    free(s->sample);
    free(s->tree);
    *s = (struct sampler){0};
}
