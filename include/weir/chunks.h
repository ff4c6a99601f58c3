/* SPDX-License-Identifier: MIT */
/**
 * @file chunks.h
 * Reading what is large in chunks, in constant memory: from a descriptor, a buffer, or a function.
 *
 *     WEIR_AUTO struct weir_chunks *it = weir_chunks_fd(fd, &(struct weir_chunks_how){.split = WEIR_CHUNKS_LINES});
 *     const struct weir_chunk *c;
 *     while ((c = weir_chunks_next(it)))
 *         use(c->data, c->size);
 *     if (weir_chunks_error(it) != 0) ...
 *
 * One chunk is alive at a time: the next takes its place, and at the end its memory is freed. So a whole file takes as
 * much memory as the largest chunk may. An iteration is an object (weir/object.h): of its thread, released by
 * weir_unref().
 */
#ifndef WEIR_CHUNKS_H
#define WEIR_CHUNKS_H

#include <sys/types.h>

#include <weir/object.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Where one chunk ends and the next begins. */
enum weir_chunks_split {
    WEIR_CHUNKS_BYTES = 0,   /**< each has `most` bytes, but the last */
    WEIR_CHUNKS_LINES = 1,   /**< at separators, which belong to no chunk; behind the last one there need be none */
    WEIR_CHUNKS_RECORDS = 2, /**< each has `record` bytes */
};

/** How to read. All zero: 64 KiB at a time. */
struct weir_chunks_how {
    enum weir_chunks_split split;
    size_t most;    /**< bytes of a chunk at most, and of the memory taken, but for a byte of lines'; 0: 64 KiB, or a
                         record if that is more */
    size_t record;  /**< bytes of a record */
    char separator; /**< of lines; 0: a newline. With `zero`: a zero byte */
    bool zero;
};

struct weir_chunk {
    const char *data; /**< borrowed, until the next step */
    size_t size;      /**< bytes; a line may be empty */
    uint64_t offset;  /**< of the chunk's first byte in what is read */
    uint64_t number;  /**< of the chunk, line or record, from 0; parts of a line have one number */
    bool partial;     /**< a line longer than `most` comes in parts: all but the last, which is not empty, are
                           marked. A record, where the end came too early */
};

struct weir_chunks;

/** Reads up to `size` bytes to `buffer`. @return bytes read, 0 at the end, -errno. */
typedef ssize_t (*weir_chunks_read_fn)(void *arg, void *buffer, size_t size);

/** Begin an iteration; `how` may be NULL and is copied. Owned. NULL with errno: ENOMEM; EINVAL for a split that there
 *  is not, and for a record of 0 bytes or more than `most`.
 *  The descriptor stays the caller's, and must be open as long as it is read from. Of a buffer nothing is copied. */
WEIR_API struct weir_chunks *weir_chunks_fd(int fd, const struct weir_chunks_how *how) WEIR_ATTR_USE_RESULT;
WEIR_API struct weir_chunks *weir_chunks_buffer(const void *data, size_t size, const struct weir_chunks_how *how)
    WEIR_ATTR_USE_RESULT;
WEIR_API struct weir_chunks *weir_chunks_call(weir_chunks_read_fn source, void *arg, const struct weir_chunks_how *how)
    WEIR_ATTR_USE_RESULT;

/** The next chunk, borrowed until the next step; NULL at the end, on an error, and for NULL. After -EAGAIN of a
 *  descriptor that does not block, another call goes on where it stopped; after other errors none comes, and what had
 *  been read of the next chunk is lost. */
WEIR_API const struct weir_chunk *weir_chunks_next(struct weir_chunks *chunks);

/** Why there was no next chunk: 0 at the end, else -errno. -ENOMEM for NULL. */
WEIR_API int weir_chunks_error(const struct weir_chunks *chunks);

#ifdef __cplusplus
}
#endif
#endif
