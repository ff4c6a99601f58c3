/* SPDX-License-Identifier: MIT
 * What the workloads share: their arguments, random numbers, threads and the checksum. A workload is a program that
 * calls malloc and free (or new and delete) as programs of some kind do; its opening comment says which, and whom it
 * follows. What it does follows from -t, -n and -s alone, and so does its checksum, whatever the allocator and the
 * order in which threads run. -n 100 takes about a second, -n 600 is for measuring. */
#ifndef BENCH_H
#define BENCH_H

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BENCH_THREADS_MOST = 256 };

/** How much to do. */
struct bench {
    unsigned threads;
    size_t work; /* 100 is about a second of it */
    uint64_t seed;
};

/** One thread of bench_run(). */
struct bench_thread {
    const struct bench *bench;
    unsigned index;  /* from 0 */
    uint64_t random; /* state for bench_random(), another for each thread */
    uint64_t sum;    /* added to the checksum at the end */
    void *arg;
    void (*function)(struct bench_thread *);
    pthread_t thread;
};

/* ---- arguments ------------------------------------------------------------------------------------------------- */

static inline void bench_help(const char *name, const char *about, const struct bench *initial)
{
    printf("Usage: %s [-t THREADS] [-n WORK] [-s SEED]\n%s\n\n"
           "  -t, --threads=THREADS  threads (default %u)\n"
           "  -n, --work=WORK        how much to do; 100 takes about a second (default %zu)\n"
           "  -s, --seed=SEED        another sequence of random numbers (default %" PRIu64 ")\n"
           "  -h, --help             this text\n\n"
           "Prints a checksum that is the same on every allocator.\n",
           name, about, initial->threads, initial->work, initial->seed);
}

static inline uint64_t bench_number(const char *name, const char *what, const char *text, uint64_t least, uint64_t most)
{
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (end == text || *end != 0 || *text == '-' || errno != 0 || value < least || value > most) {
        fprintf(stderr, "%s: %s is a number from %" PRIu64 " to %" PRIu64 ", not '%s'\n", name, what, least, most,
                text);
        exit(2);
    }
    return value;
}

/** Ends the program, which was given an option that it does not have, or one without its value. */
static inline void bench_no_option(const char *name)
{
    fprintf(stderr, "Try `%s --help'.\n", name);
    exit(2);
}

/** Ends the program if words are left over when getopt_long() has read the options. */
static inline void bench_no_words(const char *name, int argc, char **argv)
{
    if (optind == argc)
        return;
    fprintf(stderr, "%s: '%s' is no option\n", name, argv[optind]);
    bench_no_option(name);
}

/** Reads the arguments; ends the program where they are wrong or ask for help. */
static inline struct bench bench_options(int argc, char **argv, unsigned threads, const char *about)
{
    static const struct option option[] = {{"threads", required_argument, NULL, 't'},
                                           {"work", required_argument, NULL, 'n'},
                                           {"seed", required_argument, NULL, 's'},
                                           {"help", no_argument, NULL, 'h'},
                                           {NULL, 0, NULL, 0}};
    struct bench bench = {threads, 100, 1};
    const struct bench initial = bench;
    const char *name = strrchr(argv[0], '/') != NULL ? strrchr(argv[0], '/') + 1 : argv[0];
    for (int key; (key = getopt_long(argc, argv, "t:n:s:h", option, NULL)) != -1;)
        switch (key) {
        case 't':
            bench.threads = (unsigned)bench_number(name, "the number of threads", optarg, 1, BENCH_THREADS_MOST);
            break;
        case 'n':
            bench.work = (size_t)bench_number(name, "the work", optarg, 1, 1000000);
            break;
        case 's':
            bench.seed = bench_number(name, "the seed", optarg, 0, UINT64_MAX);
            break;
        case 'h':
            bench_help(name, about, &initial);
            exit(0);
        default:
            bench_no_option(name);
        }
    bench_no_words(name, argc, argv);
    return bench;
}

/* ---- random numbers, checksums
 * ------------------------------------------------------------------------------------ */

/** A well mixed function of `value`: the finish of splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom
 *  number generators", OOPSLA 2014). */
static inline uint64_t bench_mix(uint64_t value)
{
    value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
    return value ^ value >> 31;
}

static inline uint64_t bench_random(uint64_t *state) { return bench_mix(*state += UINT64_C(0x9e3779b97f4a7c15)); }

/** From 0 to n - 1; n is less than 2^32. */
static inline size_t bench_below(uint64_t *state, size_t n) { return (size_t)((bench_random(state) >> 32) * n >> 32); }

static inline size_t bench_between(uint64_t *state, size_t least, size_t most)
{
    return least + bench_below(state, most - least + 1);
}

static inline void bench_print(uint64_t sum) { printf("checksum %016" PRIx64 "\n", sum); }

/* ---- blocks ---------------------------------------------------------------------------------------------------- */

/** Ends the program, with a line that says what went wrong. */
static inline void bench_fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static inline void *bench_need(void *block)
{
    if (block == NULL)
        bench_fail("out of memory");
    return block;
}

static inline void *bench_malloc(size_t size) { return bench_need(malloc(size)); }

/* A block that can be checked: its first 8 bytes are a value, its last byte follows from that. size >= 9. */
static inline void *bench_stamped(size_t size, uint64_t value)
{
    char *block = (char *)bench_malloc(size);
    memcpy(block, &value, sizeof value);
    block[size - 1] = (char)value;
    return block;
}

/** What is added to the checksum for such a block; ends the program if it was written over. */
static inline uint64_t bench_check(const void *block, size_t size)
{
    uint64_t value;
    memcpy(&value, block, sizeof value);
    if (((const char *)block)[size - 1] != (char)value)
        bench_fail("a block does not hold what was written to it");
    return bench_mix(value + size);
}

/* ---- threads --------------------------------------------------------------------------------------------------- */

static inline void *bench_thread_main(void *arg)
{
    struct bench_thread *thread = (struct bench_thread *)arg;
    thread->function(thread);
    return NULL;
}

static inline void bench_start(struct bench_thread *thread)
{
    if (pthread_create(&thread->thread, NULL, bench_thread_main, thread) != 0)
        bench_fail("cannot start a thread");
}

static inline void bench_join(struct bench_thread *thread) { pthread_join(thread->thread, NULL); }

/** Runs `function` in so many threads, each with a random state of its own that follows from `salt` too; one alone runs
 *  in the caller. Returns the sum of their sums. */
static inline uint64_t bench_run_salted(const struct bench *bench, void (*function)(struct bench_thread *), void *arg,
                                        uint64_t salt)
{
    static struct bench_thread thread[BENCH_THREADS_MOST];
    uint64_t sum = 0;
    for (unsigned i = 0; i < bench->threads; i++) {
        thread[i].bench = bench;
        thread[i].index = i;
        thread[i].random = bench_mix(bench->seed + bench_mix(salt * BENCH_THREADS_MOST + i));
        thread[i].sum = 0;
        thread[i].arg = arg;
        thread[i].function = function;
        if (bench->threads > 1)
            bench_start(&thread[i]);
        else
            function(&thread[i]);
    }
    for (unsigned i = 0; i < bench->threads; i++) {
        if (bench->threads > 1)
            bench_join(&thread[i]);
        sum += thread[i].sum;
    }
    return sum;
}

static inline uint64_t bench_run(const struct bench *bench, void (*function)(struct bench_thread *), void *arg)
{
    return bench_run_salted(bench, function, arg, 0);
}

#endif
