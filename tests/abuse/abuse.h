/* SPDX-License-Identifier: MIT
 * What the abusive programs share. Each has one bug; it first prints the address that the message must name. The
 * compiler must not see the bug: blocks go through launder(). A program that reaches the end prints "survived". */
#ifndef ABUSE_H
#define ABUSE_H

#include "case.h"

#include <malloc.h>
#include <pthread.h>

CASE_UNUSED static void *launder(void *block)
{
    void *volatile hidden = block;

    return hidden;
}

/** The pointer that is about to be misused. */
CASE_UNUSED static void *at(void *block)
{
    say("%p\n", block);
    return (char *)launder(block);
}

/** Argument n as a number, or `otherwise`. */
CASE_UNUSED static size_t number(int argc, char **argv, int n, size_t otherwise)
{
    return argc > n ? (size_t)strtoull(argv[n], NULL, 0) : otherwise;
}

/** Blocks of the same size on every side, so that the one in question is neither the first nor the last of its pool. */
CASE_UNUSED static char *among_others(size_t size)
{
    char *block = NULL;

    for (int i = 0; i < 21; i++) {
        char *one = (char *)malloc(size);
        CHECK(one != NULL);
        memset(one, 1, size < MIB ? size : MIB);
        if (i == 10)
            block = one;
    }
    return (char *)launder(block);
}

/** A thread that frees one block. It is there before the bug: starting it would allocate, perhaps in the very place. */
struct helper {
    pthread_t thread;
    pthread_barrier_t ready, go;
    void *block;
};

CASE_UNUSED static void *help(void *arg)
{
    struct helper *helper = (struct helper *)arg;

    free(malloc(40));
    pthread_barrier_wait(&helper->ready);
    pthread_barrier_wait(&helper->go);
    free(launder(helper->block));
    return NULL;
}

CASE_UNUSED static void start(struct helper *helper)
{
    pthread_barrier_init(&helper->ready, NULL, 2);
    pthread_barrier_init(&helper->go, NULL, 2);
    CHECK(pthread_create(&helper->thread, NULL, help, helper) == 0);
    pthread_barrier_wait(&helper->ready);
}

CASE_UNUSED static void free_there(struct helper *helper, void *block)
{
    helper->block = block;
    pthread_barrier_wait(&helper->go);
    CHECK(pthread_join(helper->thread, NULL) == 0);
}

CASE_UNUSED static int survived(void)
{
    say("survived\n");
    return 0;
}

#endif
