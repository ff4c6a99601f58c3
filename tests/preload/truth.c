/* SPDX-License-Identifier: MIT
 * What Weir says it holds is what the system says is resident: used pages, slack and metadata together grow as the
 * process does, to within 2 %, whatever the program has been doing. The program touches all that it asks for. */
#include "case.h"

#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <weir/alloc.h>

enum { BLOCKS = 200000, THREADS = 4 };

static char **blocks; /* not from the heap that is looked at */
static void (*get)(struct weir_stats *);
static size_t first_resident, first_held;

static size_t held(void)
{
    struct weir_stats stats;

    get(&stats);
    CHECK(stats.live <= stats.used + MIB && stats.mapped + MIB >= stats.used + stats.slack);
    return stats.used + stats.slack + stats.metadata;
}

/** Both have grown by as much. A little is the C library's: stacks of threads, buffers. The purger may be at work
 *  between the two looks, so they are repeated. Of its own data Weir counts what is mapped, touched or not. */
static void compare(const char *state)
{
    ptrdiff_t really = 0, said = 0, allowed = 0, apart = 1;

    for (unsigned i = 0; i < 1200 && apart > allowed; i++) {
        if (i > 0)
            usleep(50000);
        really = (ptrdiff_t)(resident() - first_resident);
        said = (ptrdiff_t)(held() - first_held);
        allowed = (really > 0 ? really / 50 : 0) + (ptrdiff_t)(256 * KIB);
        apart = said > really ? said - really : really - said;
    }
    say("%s: %td KiB resident, %td KiB said\n", state, really / (ptrdiff_t)KIB, said / (ptrdiff_t)KIB);
    CHECK(apart <= allowed);
}

static void make(unsigned from, unsigned to, size_t most)
{
    uint64_t state = from + 1;

    for (unsigned i = from; i < to; i++) {
        const size_t size = 1 + draw(&state) % most;
        CHECK((blocks[i] = malloc(size)) != NULL);
        memset(blocks[i], 1, malloc_usable_size(blocks[i]));
    }
}

/** Frees all but one in `keep`, 0: all. */
static void drop(unsigned from, unsigned to, unsigned keep)
{
    for (unsigned i = from; i < to; i++)
        if (keep == 0 || i % keep != 0) {
            free(blocks[i]);
            blocks[i] = NULL;
        }
}

static struct share {
    unsigned from, to;
    sem_t made, go;
} shares[THREADS];

static void *own(void *arg)
{
    struct share *share = arg;

    make(share->from, share->to, 3000);
    drop(share->from, share->to, 20);
    sem_post(&share->made);
    while (sem_wait(&share->go) != 0)
        ;
    return NULL;
}

static void by_threads(void)
{
    pthread_t threads[THREADS];

    for (unsigned i = 0; i < THREADS; i++) {
        shares[i].from = i * (BLOCKS / THREADS), shares[i].to = (i + 1) * (BLOCKS / THREADS);
        CHECK(sem_init(&shares[i].made, 0, 0) == 0 && sem_init(&shares[i].go, 0, 0) == 0);
        CHECK(pthread_create(&threads[i], NULL, own, &shares[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        while (sem_wait(&shares[i].made) != 0)
            ;
    compare("threads that sleep");
    for (unsigned i = 0; i < THREADS; i++)
        sem_post(&shares[i].go);
    for (unsigned i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    compare("threads that are gone");
    drop(0, BLOCKS, 0);
    compare("their blocks freed");
}

int main(void)
{
    *(void **)&get = dlsym(RTLD_DEFAULT, "weir_stats_get");
    CHECK(get != NULL);
    blocks = mmap(NULL, BLOCKS * sizeof *blocks, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1,
                  0);
    CHECK(blocks != MAP_FAILED);
    free(malloc(1));
    first_resident = resident();
    first_held = held();
    first_resident = resident();
    make(0, BLOCKS / 2, 1000);
    compare("grown by small blocks");
    make(BLOCKS / 2, BLOCKS / 2 + 2000, 60000);
    compare("and by medium and large ones");
    make(BLOCKS / 2 + 2000, BLOCKS / 2 + 2010, 9000000);
    compare("and by huge ones");
    drop(0, BLOCKS / 2 + 2010, 100);
    compare("freed, but for one in a hundred");
    make(BLOCKS / 2 + 3000, BLOCKS / 2 + 60000, 500);
    compare("built again");
    malloc_trim(0);
    compare("trimmed");
    drop(0, BLOCKS, 0);
    compare("freed");
    malloc_trim(0);
    compare("and trimmed");
    by_threads();
    malloc_trim(0);
    compare("trimmed at the end");
    return 0;
}
