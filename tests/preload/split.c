/* SPDX-License-Identifier: MIT
 * What goes back of huge pages is the system's again, and not only off the process's account: of a huge page that is
 * left in parts the system frees nothing before it is short of memory, unless the page is split. It counts that. */
#include "case.h"

#include <malloc.h>

enum { BLOCKS = 600000, BLOCK = 200, KEPT = 300 };

static size_t huge_pages(void) { return number_in("/proc/self/smaps_rollup", "AnonHugePages:") / 2048; }
static size_t splits(void) { return number_in("/proc/vmstat", "thp_split_page "); }

int main(void)
{
    static char *blocks[BLOCKS];

    for (unsigned i = 0; i < BLOCKS; i++) {
        CHECK((blocks[i] = malloc(BLOCK)) != NULL);
        memset(blocks[i], 1, BLOCK);
    }
    const size_t huge = huge_pages(), built = resident();
    if (huge < 8)
        SKIP_CASE("%zu huge pages are all that the system gives", huge);
    const size_t before = splits();
    for (unsigned i = 0; i < BLOCKS; i++)
        if (i % KEPT != 0)
            free(blocks[i]);
    malloc_trim(0);
    CHECK(resident() < built / 3);
    say("%zu huge pages, %zu left, %zu split\n", huge, huge_pages(), splits() - before);
    CHECK(splits() - before + huge_pages() + 1 >= huge);
    for (unsigned i = 0; i < BLOCKS; i += KEPT)
        CHECK(blocks[i][0] == 1 && blocks[i][BLOCK - 1] == 1);
    return 0;
}
