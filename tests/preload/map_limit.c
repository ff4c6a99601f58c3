/* SPDX-License-Identifier: MIT
 * The process has as many mappings as it may: munmap itself fails where it would split one. free() keeps errno and the
 * program goes on, the pages go back all the same, and what was freed can be had again. */
#include "case.h"

#include <malloc.h>
#include <sys/mman.h>

enum { BLOCKS = 24 };
static const size_t block_size = 3 * 1024 * 1024;

/** Takes every mapping that is left: pages of a mapping that cannot merge with their neighbours. */
static void use_up_mappings(size_t most)
{
    char *region = mmap(NULL, most * 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    CHECK(region != MAP_FAILED);
    for (size_t i = 0; i < most; i++)
        if (mprotect(region + i * 8192 + 4096, 4096, PROT_READ) != 0) {
            CHECK(errno == ENOMEM);
            return;
        }
    SKIP_CASE("the limit of mappings is not where vm.max_map_count says");
}

int main(void)
{
    const size_t most = number_in("/proc/sys/vm/max_map_count", "");
    char *blocks[BLOCKS], *small[2000];

    if (most > 300000)
        SKIP_CASE("vm.max_map_count is %zu, too many to use up", most);
    for (unsigned i = 0; i < BLOCKS; i++) {
        CHECK((blocks[i] = malloc(block_size + i * 4096)) != NULL);
        memset(blocks[i], (int)i + 1, block_size);
    }
    for (unsigned i = 0; i < 2000; i++) {
        CHECK((small[i] = malloc(4000)) != NULL);
        memset(small[i], 1, 4000);
    }
    const size_t full = resident();
    use_up_mappings(most);
    for (unsigned i = 1; i < BLOCKS; i += 2) {
        errno = 77;
        free(blocks[i]);
        CHECK(errno == 77);
    }
    for (unsigned i = 0; i < 2000; i++) {
        errno = 77;
        free(small[i]);
        CHECK(errno == 77);
    }
    malloc_trim(0);
    const size_t after = resident();
    say("%zu KiB full, %zu KiB after half of the blocks were freed\n", full / KIB, after / KIB);
    CHECK(after + BLOCKS / 2 * block_size * 3 / 4 < full);
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 1; i < BLOCKS; i += 2) {
            errno = 0;
            blocks[i] = calloc(1, block_size - round * 4096);
            CHECK(blocks[i] != NULL || errno == ENOMEM);
            if (blocks[i] != NULL) {
                CHECK(all_zero(blocks[i], block_size - round * 4096));
                memset(blocks[i], 9, block_size - round * 4096);
            }
            CHECK(blocks[0][0] == 1 && blocks[i - 1][block_size - 1] == (char)i);
            if (round < 2)
                free(blocks[i]);
        }
    for (unsigned i = 0; i < 2000; i++) {
        errno = 0;
        small[i] = malloc(4000);
        CHECK(small[i] != NULL || errno == ENOMEM);
    }
    CHECK(small[0] != NULL);
    for (unsigned i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    return 0;
}
