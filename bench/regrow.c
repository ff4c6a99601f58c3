/* SPDX-License-Identifier: MIT
 * regrow: buffers that grow by realloc, in turn, so that none finds free memory behind it: arrays that grow by half of
 * their size each time, texts that grow by a few bytes at each call, and now and then one is cut to its length. The
 * case against moving blocks at every call is in D. Lea, "A memory allocator", 1996. */
#include "bench.h"

enum { BUFFERS = 24, TEXTS = 16, ARRAY_MOST = 200000, TEXT_MOST = 6000 };

struct buffer {
    unsigned char *byte;
    size_t used, room;
};

static void resize(struct buffer *buffer, size_t room)
{
    buffer->byte = (unsigned char *)bench_need(realloc(buffer->byte, room));
    buffer->room = room;
}

/** Adds `size` bytes; where `exact` the block is just as long as its content. */
static void append(struct buffer *buffer, size_t size, unsigned char byte, bool exact)
{
    if (buffer->used + size > buffer->room)
        resize(buffer, exact ? buffer->used + size : (buffer->used + size) * 3 / 2);
    memset(buffer->byte + buffer->used, byte, size);
    buffer->used += size;
}

static void end_buffer(struct bench_thread *thread, struct buffer *buffer)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < buffer->used; i += 61)
        sum = sum * 31 + buffer->byte[i];
    thread->sum += bench_mix(sum + buffer->used);
    free(buffer->byte);
    *buffer = (struct buffer){NULL, 0, 0};
}

static void work(struct bench_thread *thread)
{
    struct buffer buffer[BUFFERS] = {{NULL, 0, 0}};
    for (size_t step = 0; step < thread->bench->work * 36000; step++) {
        size_t i = bench_below(&thread->random, BUFFERS);
        bool text = i < TEXTS;
        append(&buffer[i], bench_between(&thread->random, 1, text ? 60 : 600), (unsigned char)step, text);
        if (buffer[i].used > (text ? TEXT_MOST : ARRAY_MOST)) {
            resize(&buffer[i], buffer[i].used); /* gives back what it does not need */
            end_buffer(thread, &buffer[i]);
        }
    }
    for (unsigned i = 0; i < BUFFERS; i++)
        end_buffer(thread, &buffer[i]);
}

int main(int argc, char **argv)
{
    struct bench bench = bench_options(argc, argv, 1, "Arrays and texts that grow by realloc.");
    bench_print(bench_run(&bench, work, NULL));
}
