/* SPDX-License-Identifier: MIT
 * One thread drops most of a table and builds it again, over and over. The first drops go back; a loop that goes on so
 * is learnt, and what it drops stays, as page faults tell. When all is freed, that goes too. */
#include "case.h"

#include <limits.h>
#include <sys/resource.h>

enum { COUNT = 20000, SIZE = 1000, KEPT = COUNT / 5, TURNS = 300, FAULTS_MOST = 200 };

static char *blocks[COUNT];

static void build(void)
{
    for (unsigned i = 0; i < COUNT; i++)
        if (blocks[i] == NULL) {
            CHECK((blocks[i] = malloc(SIZE)) != NULL);
            memset(blocks[i], (int)i, SIZE);
        }
}

static void drop(unsigned from)
{
    for (unsigned i = from; i < COUNT; i++) {
        CHECK(blocks[i][0] == (char)i && blocks[i][SIZE - 1] == (char)i);
        free(blocks[i]);
        blocks[i] = NULL;
    }
}

static long faults(void)
{
    struct rusage usage;

    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    return usage.ru_minflt;
}

int main(void)
{
    const size_t start = resident();
    long last = LONG_MAX;

    build();
    for (unsigned turn = 0; turn < TURNS && last > FAULTS_MOST; turn++) {
        drop(KEPT);
        CHECK(turn > 0 || resident() < start + KEPT * SIZE + 6 * MIB);
        const long before = faults();
        build();
        last = faults() - before;
    }
    CHECK(last <= FAULTS_MOST);
    CHECK(resident() < start + COUNT * SIZE * 5 / 4 + 5 * MIB);
    drop(0);
    CHECK(resident() < start + 6 * MIB);
    return 0;
}
