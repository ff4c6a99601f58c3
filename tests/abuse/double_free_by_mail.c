/* SPDX-License-Identifier: MIT
 * The owner frees a block, then another thread does, which lives on and sends it home among others, before the owner
 * allocates again. Argument: its size, of which twice as much is of medium size too. */
#include "abuse.h"

/* So many are sent; where so many are in use, they wait until the owner takes them. */
enum { COUNT = 20, HELD = 512 };

static struct {
    char *block[COUNT], *twice;
    pthread_barrier_t go, sent, done;
} shared;

static void *send_home(void *unused)
{
    (void)unused;
    free(malloc(40));
    pthread_barrier_wait(&shared.go);
    free(shared.twice);
    for (int i = 0; i < COUNT; i++)
        free(shared.block[i]);
    pthread_barrier_wait(&shared.sent);
    pthread_barrier_wait(&shared.done);
    return NULL;
}

int main(int argc, char **argv)
{
    size_t size = number(argc, argv, 1, 3000);
    pthread_t thread;

    pthread_barrier_init(&shared.go, NULL, 2);
    pthread_barrier_init(&shared.sent, NULL, 2);
    pthread_barrier_init(&shared.done, NULL, 2);
    CHECK(pthread_create(&thread, NULL, send_home, NULL) == 0);
    for (int i = 0; i < HELD; i++)
        CHECK(launder(malloc(size)) != NULL);
    for (int i = 0; i < COUNT; i++)
        CHECK((shared.block[i] = (char *)malloc(size)) != NULL);
    shared.twice = at(among_others(size));
    free(shared.twice);
    pthread_barrier_wait(&shared.go);
    pthread_barrier_wait(&shared.sent);
    for (int i = 0; i < COUNT; i++) /* of the other size, so that what the owner has freed stays where it is */
        CHECK(launder(malloc(2 * size)) != NULL);
    pthread_barrier_wait(&shared.done);
    CHECK(pthread_join(thread, NULL) == 0);
    return survived();
}
