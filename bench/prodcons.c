/* SPDX-License-Identifier: MIT
 * prodcons: producers make messages, consumers read and free them, in pairs with a short queue between the two.
 * Blocks are never freed by the thread that took them, the case in which E. Berger et al., "Hoard: a scalable memory
 * allocator for multithreaded applications", ASPLOS 2000, found allocators whose memory grows without bound. */
#include "bench.h"

#include <sched.h>
#include <stdatomic.h>

enum { QUEUE = 4096, SIZE_LEAST = 16, SIZE_MOST = 1024, MESSAGES = 20000 };

/** One pair's queue; head counts messages made, tail those taken. */
struct queue {
    _Alignas(128) _Atomic size_t head;
    _Alignas(128) _Atomic size_t tail;
    _Alignas(128) struct message {
        void *block;
        size_t size;
    } message[QUEUE];
};

static void produce(struct bench_thread *thread, struct queue *queue, size_t messages)
{
    for (size_t i = 0; i < messages; i++) {
        size_t size = bench_between(&thread->random, SIZE_LEAST, SIZE_MOST);
        void *block = bench_stamped(size, thread->random);
        while (i - atomic_load_explicit(&queue->tail, memory_order_acquire) == QUEUE)
            sched_yield();
        queue->message[i % QUEUE] = (struct message){block, size};
        atomic_store_explicit(&queue->head, i + 1, memory_order_release);
    }
}

static void consume(struct bench_thread *thread, struct queue *queue, size_t messages)
{
    for (size_t i = 0; i < messages; i++) {
        while (atomic_load_explicit(&queue->head, memory_order_acquire) == i)
            sched_yield();
        struct message message = queue->message[i % QUEUE];
        atomic_store_explicit(&queue->tail, i + 1, memory_order_release);
        thread->sum += bench_check(message.block, message.size);
        free(message.block);
    }
}

static void work(struct bench_thread *thread)
{
    struct queue *queue = (struct queue *)thread->arg + thread->index / 2;
    size_t messages = thread->bench->work * MESSAGES;
    if (thread->index % 2 == 0)
        produce(thread, queue, messages);
    else
        consume(thread, queue, messages);
}

int main(int argc, char **argv)
{
    struct bench bench =
        bench_options(argc, argv, 2, "Producers and consumers in pairs, so the number of threads is even.");
    bench.threads += bench.threads % 2;
    struct queue *queue = (struct queue *)bench_need(aligned_alloc(128, bench.threads / 2 * sizeof *queue));
    memset(queue, 0, bench.threads / 2 * sizeof *queue);
    bench_print(bench_run(&bench, work, queue));
    free(queue);
}
