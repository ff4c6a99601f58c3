/* SPDX-License-Identifier: MIT
 * handoff: a server that hands its objects from thread to thread. Each thread replaces objects of a set at random, then
 * ends, and a new thread goes on with the set: it frees what the one before has made. The sets go round among the
 * threads. After P. Larson and M. Krishnan, "Memory allocation for long-running server applications", ISMM 1998. */
#include "bench.h"

enum { SLOTS = 1000, SIZE_LEAST = 16, SIZE_MOST = 500, REPLACED = 20000 };

struct set {
    struct object {
        void *block;
        size_t size;
    } object[SLOTS];
};

struct server {
    struct set *set;
    size_t round;
};

static void serve(struct bench_thread *thread)
{
    const struct server *server = (const struct server *)thread->arg;
    struct set *set = &server->set[(thread->index + server->round) % thread->bench->threads];
    for (unsigned i = 0; i < REPLACED; i++) {
        struct object *object = &set->object[bench_below(&thread->random, SLOTS)];
        if (object->block != NULL)
            thread->sum += bench_check(object->block, object->size);
        free(object->block);
        object->size = bench_between(&thread->random, SIZE_LEAST, SIZE_MOST);
        object->block = bench_stamped(object->size, thread->random);
    }
}

int main(int argc, char **argv)
{
    struct bench bench = bench_options(argc, argv, 2, "A server whose objects pass from thread to thread.");
    struct server server = {(struct set *)bench_need(calloc(bench.threads, sizeof *server.set)), 0};
    uint64_t sum = 0;
    for (; server.round < bench.work * 4; server.round++)
        sum += bench_run_salted(&bench, serve, &server, server.round);
    for (unsigned i = 0; i < bench.threads; i++)
        for (unsigned j = 0; j < SLOTS; j++)
            free(server.set[i].object[j].block);
    free(server.set);
    bench_print(sum);
}
