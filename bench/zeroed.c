/* SPDX-License-Identifier: MIT
 * zeroed: calloc of tables of many sizes, of which parts are used, as interpreters and servers do. What the system
 * has just given is zero already and need not be written again; what was used before must be. Half of each table is
 * read, to see that it is zero, and a part of it is written. ISO C11, 7.22.3.2. */
#include "bench.h"

enum { HELD = 256, STEPS = 2200, LARGE_ONE_IN = 64 };

struct held {
    uint64_t *word;
    size_t words;
};

static size_t choose_words(struct bench_thread *thread)
{
    if (bench_below(&thread->random, LARGE_ONE_IN) == 0)
        return bench_between(&thread->random, 4096, 131072);
    return bench_between(&thread->random, 2, (size_t)4 << bench_below(&thread->random, 10));
}

static void use(struct bench_thread *thread, const struct held *held)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < held->words; i += 2)
        sum |= held->word[i];
    if (sum != 0)
        bench_fail("calloc gave memory that is not zero");
    for (size_t i = 0; i < held->words; i += 3)
        held->word[i] = thread->random + i;
}

static void work(struct bench_thread *thread)
{
    struct held held[HELD] = {{NULL, 0}};
    for (size_t step = 0; step < thread->bench->work * STEPS; step++) {
        struct held *one = &held[bench_below(&thread->random, HELD)];
        if (one->word != NULL)
            thread->sum += bench_mix(one->word[0] + one->words);
        free(one->word);
        one->words = choose_words(thread);
        one->word = (uint64_t *)bench_need(calloc(one->words, sizeof *one->word));
        use(thread, one);
    }
    for (unsigned i = 0; i < HELD; i++)
        free(held[i].word);
}

int main(int argc, char **argv)
{
    struct bench bench = bench_options(argc, argv, 1, "Tables from calloc, replaced at random.");
    bench_print(bench_run(&bench, work, NULL));
}
