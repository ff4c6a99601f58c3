/* SPDX-License-Identifier: MIT
 * Threads, a fork, and much memory taken and freed; for a program of musl's. Says how much is resident in the end, and
 * how many threads there are. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BLOCKS = 2000, ROUNDS = 50, MOST = 5000, THREADS = 4 };

static void *work(void *arg)
{
    uint64_t state = (uintptr_t)arg;
    static __thread unsigned char *block[BLOCKS];

    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < BLOCKS; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            const size_t size = 1 + (state >> 33) % MOST;
            if ((block[i] = malloc(size)) == NULL)
                abort();
            memset(block[i], (int)i, size);
        }
        for (unsigned i = 0; i < BLOCKS; i++) {
            if (*block[i] != (unsigned char)i)
                abort();
            free(block[i]);
        }
    }
    return NULL;
}

static void print_status(const char *name)
{
    char line[256];
    FILE *file = fopen("/proc/self/status", "r");

    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            fputs(line, stdout);
    if (file != NULL)
        fclose(file);
}

int main(int argc, char **argv)
{
    pthread_t thread[THREADS];
    const unsigned threads = argc > 1 && strcmp(argv[1], "threads") == 0 ? THREADS : 0;
    int status = 0;

    for (uintptr_t i = 0; i < threads; i++)
        if (pthread_create(&thread[i], NULL, work, (void *)i) != 0)
            abort();
    work((void *)(uintptr_t)THREADS);
    const pid_t child = fork();
    if (child == 0) {
        work((void *)(uintptr_t)7);
        _exit(7);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 7)
        abort();
    for (unsigned i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    char *large = malloc(100 << 20);
    if (large == NULL)
        abort();
    memset(large, 1, 100 << 20);
    free(large);
    print_status("VmRSS:");
    print_status("Threads:");
    return 0;
}
