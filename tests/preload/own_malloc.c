/* SPDX-License-Identifier: MIT
 * A program with an allocator of its own in it: its malloc comes before ours for everyone, its gaps fall through
 * to us. */
#include "case.h"

#include <pthread.h>

static char memory[4 * 1024 * 1024] __attribute__((aligned(16)));
static size_t taken;
static unsigned frees;

static bool is_mine(const void *block)
{
    return (const char *)block >= memory && (const char *)block < memory + sizeof(memory);
}

void *malloc(size_t size)
{
    size_t *head = (size_t *)(memory + __atomic_fetch_add(&taken, (size + 31) / 16 * 16, __ATOMIC_RELAXED));

    if (taken > sizeof(memory))
        return NULL;
    *head = size;
    return head + 2;
}

void free(void *block)
{
    CHECK(block == NULL || is_mine(block));
    __atomic_fetch_add(&frees, 1, __ATOMIC_RELAXED);
}

void *calloc(size_t count, size_t size)
{
    return malloc(count * size); /* never used twice, so zero */
}

void *realloc(void *block, size_t size)
{
    void *bigger = malloc(size);

    if (block != NULL && bigger != NULL)
        memcpy(bigger, block, ((size_t *)block)[-2] < size ? ((size_t *)block)[-2] : size);
    return bigger;
}

static void *work(void *arg)
{
    return strdup(arg);
}

int main(void)
{
    pthread_t thread;
    void *result, *array, *aligned = NULL;

    CHECK(pthread_create(&thread, NULL, work, "text") == 0 && pthread_join(thread, &result) == 0);
    CHECK(is_mine(result) && strcmp(result, "text") == 0);
    free(result);
    CHECK((array = reallocarray(NULL, 10, 30)) != NULL && is_mine(array)); /* by the program's realloc */
    fill(array, 300, 2);
    CHECK(reallocarray(array, SIZE_MAX / 2, 3) == NULL && errno == ENOMEM);
    CHECK((array = reallocarray(array, 20, 30)) != NULL && is_mine(array) && filled(array, 300, 2));
    free(array);
    CHECK(posix_memalign(&aligned, 4096, 100) == 0); /* a gap: whose it is we may not know, but it works */
    CHECK((uintptr_t)aligned % 4096 == 0);
    fill(aligned, 100, 1);
    CHECK(setvbuf(stdout, NULL, _IOFBF, 4096) == 0 && printf("buffered\n") == 9 && fflush(stdout) == 0);
    CHECK(filled(aligned, 100, 1) && frees > 0);
    return 0;
}
