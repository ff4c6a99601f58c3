/* SPDX-License-Identifier: MIT
 * Chunks: a window of at most `most` bytes over what is read. What is in the window and has not been given yet moves to
 * its front before more is read behind it. A buffer is a window by itself: it is all there. Of lines the window has one
 * byte more: what follows on `most` bytes tells whether the line is longer. Takes no locks. */
#include "weir/chunks.h"

#include <errno.h>
#include <string.h>

#include "base/base.h"
#include "os/os.h"
#include "weir/alloc.h"

enum { MOST = 64 * 1024 };

struct weir_chunks {
    struct weir_chunks_how how;
    weir_chunks_read_fn source; /* NULL: all is in the window */
    void *arg;
    int fd;
    bool ended; /* nothing more can be read */
    int error;
    size_t room;        /* bytes of the block */
    char *block;        /* that the window lies in; NULL: a buffer's, or freed */
    const char *window; /* what has been read and not been given */
    size_t size;        /* bytes of it */
    size_t seen;        /* of these the first, which hold no separator */
    struct weir_chunk chunk;
    uint64_t offset; /* of the window */
    uint64_t number; /* the next chunk's */
};

static void end_reading(struct weir_chunks *chunks)
{
    weir_free(chunks->block);
    chunks->block = NULL;
    chunks->window = NULL;
    chunks->size = 0;
    chunks->ended = true;
}

static void dealloc(void *object) { end_reading(object); }

static const struct weir_type chunks_type = {
    .name = "chunks", .size = sizeof(struct weir_chunks), .flags = WEIR_ACYCLIC, .dealloc = dealloc};

/* ---- beginning ------------------------------------------------------------------------------------------------- */

/** Fills in what `how` leaves open; false if it asks for what there is not. */
static bool complete(struct weir_chunks_how *how)
{
    bool records = how->split == WEIR_CHUNKS_RECORDS;
    if (how->most == 0)
        how->most = records ? wr_max(MOST, how->record) : MOST;
    if (how->separator == 0 && !how->zero)
        how->separator = '\n';
    else if (how->zero)
        how->separator = 0;
    return (unsigned)how->split <= WEIR_CHUNKS_RECORDS && (!records || (how->record > 0 && how->record <= how->most));
}

/** An iteration, with a block of its own if it is to read into that. */
static struct weir_chunks *begin(const struct weir_chunks_how *how, bool reads)
{
    struct weir_chunks_how full = how != NULL ? *how : (struct weir_chunks_how){.split = WEIR_CHUNKS_BYTES};
    if (!complete(&full)) {
        errno = EINVAL;
        return NULL;
    }
    struct weir_chunks *chunks = weir_new(&chunks_type);
    if (chunks == NULL)
        return NULL;
    chunks->how = full;
    chunks->fd = -1;
    chunks->room = full.most + (full.split == WEIR_CHUNKS_LINES && full.most < SIZE_MAX);
    if (reads && (chunks->window = chunks->block = weir_malloc(chunks->room)) == NULL)
        weir_clear(&chunks);
    return chunks;
}

static ssize_t read_fd(void *arg, void *buffer, size_t size)
{
    return wr_os_read(((struct weir_chunks *)arg)->fd, buffer, size);
}

struct weir_chunks *weir_chunks_fd(int fd, const struct weir_chunks_how *how)
{
    struct weir_chunks *chunks = weir_chunks_call(read_fd, NULL, how);
    if (chunks != NULL) {
        chunks->fd = fd;
        chunks->arg = chunks;
    }
    return chunks;
}

struct weir_chunks *weir_chunks_call(weir_chunks_read_fn source, void *arg, const struct weir_chunks_how *how)
{
    struct weir_chunks *chunks = begin(how, true);
    if (chunks != NULL) {
        chunks->source = source;
        chunks->arg = arg;
    }
    return chunks;
}

struct weir_chunks *weir_chunks_buffer(const void *data, size_t size, const struct weir_chunks_how *how)
{
    struct weir_chunks *chunks = begin(how, false);
    if (chunks != NULL) {
        chunks->window = data;
        chunks->size = size;
        chunks->ended = true;
    }
    return chunks;
}

/* ---- steps ----------------------------------------------------------------------------------------------------- */

/** Reads once behind what is in the window. False on an error. pre: there is room. */
static bool read_more(struct weir_chunks *chunks)
{
    if (chunks->window != chunks->block)
        chunks->window = memmove(chunks->block, chunks->window, chunks->size);
    ssize_t got = chunks->source(chunks->arg, chunks->block + chunks->size, chunks->room - chunks->size);
    if (got < 0) {
        chunks->error = (int)got;
        if (got != -EAGAIN)
            end_reading(chunks);
        return false;
    }
    chunks->ended = got == 0;
    chunks->size += (size_t)got;
    return true;
}

/** Makes `size` bytes and `skip` behind them the next chunk. */
static const struct weir_chunk *give(struct weir_chunks *chunks, size_t size, size_t skip, bool partial)
{
    bool goes_on = partial && chunks->how.split == WEIR_CHUNKS_LINES;
    chunks->chunk = (struct weir_chunk){
        .data = chunks->window, .size = size, .offset = chunks->offset, .number = chunks->number, .partial = partial};
    chunks->number += !goes_on;
    chunks->seen = 0;
    chunks->window += size + skip;
    chunks->size -= size + skip;
    chunks->offset += size + skip;
    return &chunks->chunk;
}

/** Has `want` bytes in the window, or all that there are. False on an error. */
static bool fill(struct weir_chunks *chunks, size_t want)
{
    while (chunks->size < want && !chunks->ended)
        if (!read_more(chunks))
            return false;
    return true;
}

static const struct weir_chunk *next_line(struct weir_chunks *chunks)
{
    for (;;) {
        bool more = chunks->size > chunks->how.most;
        size_t look = more ? chunks->how.most + 1 : chunks->size;
        size_t seen = chunks->seen; /* not 0 after -EAGAIN, too */
        const char *end = look > seen ? memchr(chunks->window + seen, chunks->how.separator, look - seen) : NULL;
        if (end != NULL)
            return give(chunks, (size_t)(end - chunks->window), 1, false);
        if (more)
            return give(chunks, chunks->how.most, 0, true);
        if (chunks->ended) /* nothing behind the last separator is no line */
            return look > 0 ? give(chunks, look, 0, false) : NULL;
        chunks->seen = look;
        if (!read_more(chunks))
            return NULL;
    }
}

static const struct weir_chunk *next_of_size(struct weir_chunks *chunks, size_t size)
{
    if (!fill(chunks, size) || chunks->size == 0)
        return NULL;
    bool partial = chunks->how.split == WEIR_CHUNKS_RECORDS && chunks->size < size;
    return give(chunks, wr_min(chunks->size, size), 0, partial);
}

static const struct weir_chunk *next(struct weir_chunks *chunks)
{
    if (chunks->how.split == WEIR_CHUNKS_LINES)
        return next_line(chunks);
    return next_of_size(chunks, chunks->how.split == WEIR_CHUNKS_RECORDS ? chunks->how.record : chunks->how.most);
}

const struct weir_chunk *weir_chunks_next(struct weir_chunks *chunks)
{
    if (chunks == NULL)
        return NULL;
    if (chunks->error == -EAGAIN)
        chunks->error = 0;
    const struct weir_chunk *chunk = chunks->error == 0 ? next(chunks) : NULL;
    if (chunk == NULL && chunks->error == 0)
        end_reading(chunks);
    return chunk;
}

int weir_chunks_error(const struct weir_chunks *chunks) { return chunks != NULL ? chunks->error : -ENOMEM; }
