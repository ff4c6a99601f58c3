/* SPDX-License-Identifier: MIT
 * flat: whether an operation costs the same with much in use as with little. A table of blocks grows in steps; at each
 * its blocks are replaced at random, each once on average, and then a number of replacements is timed: a free and a
 * malloc, and a write to the new block. Beside it the same walk without them, since with more in use each step also
 * meets more memory that no cache holds. Prints nanoseconds, the median of several stretches.
 *
 *   LD_PRELOAD=$PWD/.libs/libweir-preload.so bench/flat --live=10,100,1000,8000 */
#include <time.h>

#include "bench.h"

enum { STEPS_MOST = 32, MIB = 1 << 20, STRETCHES = 7, LIVE_MOST = 1 << 20, BLOCK_MOST = 1 << 20 };

struct flat {
    size_t step[STEPS_MOST]; /* MiB live */
    unsigned steps;
    size_t replacements; /* to be timed */
    size_t least, most;  /* bytes of a block */
    uint64_t random;
    void **block;
    size_t blocks;
};

/* ---- arguments ------------------------------------------------------------------------------------------------- */

static const char name[] = "flat";

static void help(void)
{
    puts("Usage: flat [-l MIB[,MIB...]] [-r REPLACEMENTS] [-b LEAST-MOST] [-s SEED]\n"
         "Replaces blocks at random with more and more of them live: nanoseconds for each.\n\n"
         "  -l, --live=MIB[,MIB...]  live at each step, rising (default 1,10,50)\n"
         "  -r, --replacements=N     to be timed at each (default 700000)\n"
         "  -b, --blocks=LEAST-MOST  bytes of a block (default 16-512)\n"
         "  -s, --seed=SEED          another sequence of random numbers (default 1)\n"
         "  -h, --help               this text\n\n"
         "Columns: MiB live, blocks, ns to make one, ns to replace one, ns to read and write one.");
}

static void read_steps(struct flat *flat, char *list)
{
    flat->steps = 0;
    for (char *word, *rest = list; (word = strsep(&rest, ",")) != NULL;) {
        size_t least = flat->steps > 0 ? flat->step[flat->steps - 1] + 1 : 1;
        if (flat->steps == STEPS_MOST) {
            fprintf(stderr, "%s: at most %d steps\n", name, STEPS_MOST);
            exit(2);
        }
        flat->step[flat->steps++] = (size_t)bench_number(name, "what is live, in rising MiB,", word, least, LIVE_MOST);
    }
}

static void read_sizes(struct flat *flat, char *range)
{
    char *least = strsep(&range, "-");
    flat->least = (size_t)bench_number(name, "the least block", least, sizeof(uint64_t), BLOCK_MOST);
    flat->most = flat->least;
    if (range != NULL)
        flat->most = (size_t)bench_number(name, "the largest block", range, flat->least, BLOCK_MOST);
}

static void read_arguments(struct flat *flat, int argc, char **argv)
{
    static const struct option option[] = {{"live", required_argument, NULL, 'l'},
                                           {"replacements", required_argument, NULL, 'r'},
                                           {"blocks", required_argument, NULL, 'b'},
                                           {"seed", required_argument, NULL, 's'},
                                           {"help", no_argument, NULL, 'h'},
                                           {NULL, 0, NULL, 0}};
    for (int key; (key = getopt_long(argc, argv, "l:r:b:s:h", option, NULL)) != -1;)
        switch (key) {
        case 'l':
            read_steps(flat, optarg);
            break;
        case 'r':
            flat->replacements = (size_t)bench_number(name, "the number of replacements", optarg, STRETCHES, INT32_MAX);
            break;
        case 'b':
            read_sizes(flat, optarg);
            break;
        case 's':
            flat->random = bench_mix(bench_number(name, "the seed", optarg, 0, UINT64_MAX));
            break;
        case 'h':
            help();
            exit(0);
        default:
            bench_no_option(name);
        }
    bench_no_words(name, argc, argv);
}

/* ---- the work -------------------------------------------------------------------------------------------------- */

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void *make(struct flat *flat)
{
    uint64_t *block = (uint64_t *)bench_malloc(bench_between(&flat->random, flat->least, flat->most));
    *block = flat->random;
    return block;
}

static void replace(struct flat *flat, size_t times)
{
    for (; times > 0; times--) {
        void **at = &flat->block[bench_below(&flat->random, flat->blocks)];
        free(*at);
        *at = make(flat);
    }
}

static void walk(struct flat *flat, size_t times)
{
    for (; times > 0; times--) {
        uint64_t *block = (uint64_t *)flat->block[bench_below(&flat->random, flat->blocks)];
        *block += bench_between(&flat->random, flat->least, flat->most);
    }
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/** Nanoseconds for each of `times`, the median of some stretches. */
static double time_of(struct flat *flat, void (*work)(struct flat *, size_t), size_t times)
{
    double took[STRETCHES];
    for (unsigned i = 0; i < STRETCHES; i++) {
        double start = seconds();
        work(flat, times / STRETCHES);
        took[i] = (seconds() - start) * 1e9 / (double)(times / STRETCHES);
    }
    qsort(took, STRETCHES, sizeof *took, compare);
    return took[STRETCHES / 2];
}

/** Fills the table until it has so many blocks; nanoseconds for each. */
static double grow(struct flat *flat, size_t blocks)
{
    size_t more = blocks - flat->blocks;
    double start = seconds();
    while (flat->blocks < blocks)
        flat->block[flat->blocks++] = make(flat);
    return more > 0 ? (seconds() - start) * 1e9 / (double)more : 0;
}

int main(int argc, char **argv)
{
    struct flat flat = {{1, 10, 50}, 3, 700000, 16, 512, bench_mix(1), NULL, 0};
    read_arguments(&flat, argc, argv);
    size_t average = (flat.least + flat.most) / 2, last = flat.step[flat.steps - 1];
    flat.block = (void **)bench_need(calloc(last * MIB / average + 1, sizeof *flat.block));
    printf("%8s %10s %8s %8s %8s\n", "MiB", "blocks", "make", "replace", "walk");
    for (unsigned i = 0; i < flat.steps; i++) {
        double made = grow(&flat, flat.step[i] * MIB / average + 1);
        replace(&flat, flat.blocks);
        double replaced = time_of(&flat, replace, flat.replacements);
        double walked = time_of(&flat, walk, flat.replacements);
        printf("%8zu %10zu %8.1f %8.1f %8.1f\n", flat.step[i], flat.blocks, made, replaced, walked);
        fflush(stdout);
    }
    while (flat.blocks > 0)
        free(flat.block[--flat.blocks]);
    free(flat.block);
}
