/* SPDX-License-Identifier: MIT
 * Looks at the resident size of a program and its children, again and again. */
#ifndef WEIR_TOOL_SAMPLE_H
#define WEIR_TOOL_SAMPLE_H

#include "tool.h"

#include <sys/types.h>

#include "launch.h"

struct sample {
    double time;       /* seconds since the sampler's start */
    uint64_t resident; /* bytes */
};

/** Every look counts in peak, last and integral; `sample` keeps an even choice of them. */
struct sampler {
    pid_t root;          /* the program; its children and theirs count too */
    const char *library; /* part of the path to look for among its mappings; NULL: none */
    double interval;     /* the longest between two looks, seconds */
    double start, due;   /* on the monotonic clock */
    struct sample *sample;
    size_t count;
    double spacing; /* between two samples that are kept: at least this, seconds */
    struct sample last;
    uint64_t peak;   /* bytes */
    double integral; /* byte seconds */
    unsigned looks;
    enum mapped mapped;
    pid_t *tree; /* the processes when last counted, */
    size_t tree_count;
    double tree_due; /* and when they are to be counted again */
};

void sampler_start(struct sampler *s, pid_t root, const char *library, double interval, double now);

/** Begins the record anew at `now`; what is known of processes and mappings stays. */
void sampler_restart(struct sampler *s, double now);

/** Looks, if it is time. @return seconds until the next look. */
double sampler_look(struct sampler *s, double now);

/** Closes the record: what was seen last holds until `now`. */
void sampler_end(struct sampler *s, double now);
void sampler_free(struct sampler *s);

/** An even choice of at most `most` samples, in place. @return how many are left. */
size_t sample_thin(struct sample *sample, size_t count, size_t most);

#endif
