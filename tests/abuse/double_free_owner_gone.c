/* SPDX-License-Identifier: MIT
 * The thread that made a block is gone; the block is freed twice. Argument: its size. */
#include "abuse.h"

static void *work(void *size)
{
    return among_others((size_t)size);
}

int main(int argc, char **argv)
{
    pthread_t thread;
    void *block;

    CHECK(pthread_create(&thread, NULL, work, (void *)number(argc, argv, 1, 64)) == 0);
    CHECK(pthread_join(thread, &block) == 0);
    at(block);
    free(block);
    free(launder(block));
    malloc_trim(0);
    return survived();
}
