/* SPDX-License-Identifier: MIT
 * Chunks: of descriptors, buffers and functions, cut by size, by line and by record; 4 GiB in constant memory. */
#include "support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <weir/weir.h>

TestSuite(chunks, .timeout = 300);

/** Gives `text` a few bytes at a time, then fails with `error`, if that is not 0. */
struct source {
    const char *text;
    size_t size, step;
    int error;
    bool waits, waited; /* has nothing yet at every other call */
};

static ssize_t read_source(void *arg, void *buffer, size_t size)
{
    struct source *source = arg;
    if (source->waits && (source->waited = !source->waited))
        return -EAGAIN;
    size_t n = wr_min(wr_min(size, source->step), source->size);
    if (n == 0)
        return source->error;
    memcpy(buffer, source->text, n);
    source->text += n;
    source->size -= n;
    return (ssize_t)n;
}

/** The next chunk, however often there is none yet. */
static const struct weir_chunk *next_at_last(struct weir_chunks *it)
{
    const struct weir_chunk *c;
    do
        c = weir_chunks_next(it);
    while (c == NULL && weir_chunks_error(it) == -EAGAIN);
    return c;
}

/** Reads `text` from a buffer, a function with small steps, one that waits, and a pipe; must give what `expect` says:
 *  chunks in brackets, partial ones with a +. */
static void must_give(const char *text, size_t size, struct weir_chunks_how how, const char *expect)
{
    for (int way = 0; way < 5; way++) {
        struct source source = {text, size, way == 1 ? 1 : 3, .waits = way == 4};
        int fd[2] = {-1, -1};
        if (way == 3) {
            must(pipe(fd) == 0 && write(fd[1], text, size) == (ssize_t)size && close(fd[1]) == 0, "pipe");
        }
        struct weir_chunks *it = way == 0   ? weir_chunks_buffer(text, size, &how)
                                 : way == 3 ? weir_chunks_fd(fd[0], &how)
                                            : weir_chunks_call(read_source, &source, &how);
        must(it != NULL, "no iteration");
        char seen[1024];
        size_t length = 0;
        const struct weir_chunk *c;
        while ((c = next_at_last(it))) {
            must(c->size == 0 || memcmp(text + c->offset, c->data, c->size) == 0, "offset %lu is wrong", c->offset);
            length += (size_t)snprintf(seen + length, sizeof seen - length, "[%lu:%.*s%s]", c->number, (int)c->size,
                                       c->data, c->partial ? "+" : "");
        }
        seen[length] = '\0';
        must(strcmp(seen, expect) == 0, "way %d gives %s, not %s", way, seen, expect);
        must(weir_chunks_error(it) == 0 && next_at_last(it) == NULL, "after the end");
        weir_unref(it);
        if (way == 3)
            close(fd[0]);
    }
}

#define MUST_GIVE(text, expect, ...) must_give(text, sizeof text - 1, (struct weir_chunks_how){__VA_ARGS__}, expect)

Test(chunks, by_size)
{
    MUST_GIVE("", "", .most = 4);
    MUST_GIVE("abcdefgh", "[0:abcd][1:efgh]", .most = 4);
    MUST_GIVE("abcdefghi", "[0:abcd][1:efgh][2:i]", .most = 4);
    MUST_GIVE("abc", "[0:abc]", .most = 0);
}

Test(chunks, by_line)
{
    MUST_GIVE("", "", .split = WEIR_CHUNKS_LINES);
    MUST_GIVE("\n", "[0:]", .split = WEIR_CHUNKS_LINES);
    MUST_GIVE("one\ntwo\n\nfour", "[0:one][1:two][2:][3:four]", .split = WEIR_CHUNKS_LINES);
    MUST_GIVE("one\ntwo\n", "[0:one][1:two]", .split = WEIR_CHUNKS_LINES, .most = 4);
    MUST_GIVE("longer\nx\n", "[0:long+][0:er][1:x]", .split = WEIR_CHUNKS_LINES, .most = 4);
    MUST_GIVE("four\nfour", "[0:four][1:four]", .split = WEIR_CHUNKS_LINES, .most = 4);
    MUST_GIVE("four\n\nfour\n", "[0:four][1:][2:four]", .split = WEIR_CHUNKS_LINES, .most = 4);
    MUST_GIVE("fourfour\nx\nfivex", "[0:four+][0:four][1:x][2:five+][2:x]", .split = WEIR_CHUNKS_LINES, .most = 4);
    MUST_GIVE("a\nbc", "[0:a][1:b+][1:c]", .split = WEIR_CHUNKS_LINES, .most = 1);
    MUST_GIVE("a,b", "[0:a][1:b]", .split = WEIR_CHUNKS_LINES, .separator = ',');
    MUST_GIVE("a\0b\0", "[0:a][1:b]", .split = WEIR_CHUNKS_LINES, .zero = true);
}

Test(chunks, by_record)
{
    MUST_GIVE("abcdef", "[0:ab][1:cd][2:ef]", .split = WEIR_CHUNKS_RECORDS, .record = 2);
    MUST_GIVE("abcdefg", "[0:abc][1:def][2:g+]", .split = WEIR_CHUNKS_RECORDS, .record = 3, .most = 4);
}

Test(chunks, what_there_is_not)
{
    const struct weir_chunks_how wrong[] = {{.split = (enum weir_chunks_split)3},
                                            {.split = WEIR_CHUNKS_RECORDS},
                                            {.split = WEIR_CHUNKS_RECORDS, .record = 9, .most = 8}};
    for (size_t i = 0; i < WR_COUNT(wrong); i++) {
        errno = 0;
        cr_assert(weir_chunks_fd(0, &wrong[i]) == NULL && errno == EINVAL);
    }
    cr_assert_null(weir_chunks_next(NULL));
    cr_assert_eq(weir_chunks_error(NULL), -ENOMEM);
    if (UNIT_SANITIZED)
        return;
    setrlimit(RLIMIT_AS, &(struct rlimit){WR_MIB, RLIM_INFINITY});
    struct weir_chunks *it = weir_chunks_fd(0, &(struct weir_chunks_how){.most = 64 * WR_MIB});
    int error = errno;
    setrlimit(RLIMIT_AS, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
    must(it == NULL && error == ENOMEM, "memory was not refused");
    struct weir_gc_stats stats;
    weir_gc_get_stats(&stats);
    cr_assert_eq(stats.objects, 0);
}

Test(chunks, errors)
{
    struct weir_chunks *it = weir_chunks_fd(-1, NULL);
    cr_assert(weir_chunks_next(it) == NULL && weir_chunks_error(it) == -EBADF);
    cr_assert(weir_chunks_next(it) == NULL && weir_chunks_error(it) == -EBADF);
    weir_unref(it);
    struct source source = {"abc", 3, 3, .error = -EIO};
    it = weir_chunks_call(read_source, &source, &(struct weir_chunks_how){.most = 2});
    cr_assert_eq(weir_chunks_next(it)->size, 2);
    cr_assert(weir_chunks_next(it) == NULL && weir_chunks_error(it) == -EIO);
    weir_unref(it);
    int fd[2];
    cr_assert_eq(pipe2(fd, O_NONBLOCK), 0);
    it = weir_chunks_fd(fd[0], &(struct weir_chunks_how){.split = WEIR_CHUNKS_LINES});
    cr_assert(write(fd[1], "a\nb", 3) == 3 && weir_chunks_next(it)->size == 1);
    cr_assert(weir_chunks_next(it) == NULL && weir_chunks_error(it) == -EAGAIN);
    cr_assert_eq(write(fd[1], "c\n", 2), 2);
    const struct weir_chunk *c = weir_chunks_next(it);
    cr_assert(c != NULL && c->size == 2 && memcmp(c->data, "bc", 2) == 0 && c->number == 1);
    weir_unref(it);
}

/** What has been looked through is not again: else this would go on until the time is up. */
Test(chunks, a_long_line_in_many_waits)
{
    enum { SIZE = 16 << 20 };
    char *text = malloc(SIZE);
    must(text != NULL, "no memory");
    memset(text, 'x', SIZE);
    struct source source = {text, SIZE, 8, .waits = true};
    struct weir_chunks *it =
        weir_chunks_call(read_source, &source, &(struct weir_chunks_how){.split = WEIR_CHUNKS_LINES, .most = SIZE});
    const struct weir_chunk *line = next_at_last(it);
    cr_assert(line != NULL && line->size == SIZE && !line->partial);
    cr_assert(next_at_last(it) == NULL && weir_chunks_error(it) == 0);
    weir_unref(it);
    free(text);
}

Test(chunks, memory_goes_back_at_the_end)
{
    struct weir_stats before, during, after;
    weir_stats_get(&before);
    struct weir_chunks *it = weir_chunks_call(read_source, &(struct source){"abc", 3, 3, .error = 0},
                                              &(struct weir_chunks_how){.most = 8 * WR_MIB});
    cr_assert_not_null(weir_chunks_next(it));
    weir_stats_get(&during);
    cr_assert_null(weir_chunks_next(it));
    weir_stats_get(&after);
    cr_assert(during.live >= before.live + 8 * WR_MIB && after.live < before.live + WR_MIB);
    weir_unref(it);
}

/** 4 GiB without a block on the disk, read by size and by line, in less than 8 MiB more than before. */
Test(chunks, four_gib_in_constant_memory)
{
    const off_t size = (off_t)4 << 30;
    char path[] = "/tmp/weir-chunks-XXXXXX";
    int fd = mkstemp(path);
    must(fd >= 0 && unlink(path) == 0, "no file in /tmp");
    if (ftruncate(fd, size) != 0 || pwrite(fd, "\nend", 4, size - 4) != 4)
        cr_skip_test("no sparse file of 4 GiB in /tmp");
    for (int split = WEIR_CHUNKS_BYTES; split <= WEIR_CHUNKS_LINES; split++) {
        const struct weir_chunks_how how = {.split = (enum weir_chunks_split)split, .most = WR_MIB};
        must(lseek(fd, 0, SEEK_SET) == 0, "lseek");
        size_t start = unit_resident(), most = 0;
        uint64_t sum = 0, last = 0;
        WEIR_AUTO struct weir_chunks *it = weir_chunks_fd(fd, &how);
        for (const struct weir_chunk *c; (c = weir_chunks_next(it));) {
            sum += c->size;
            last = c->number;
            if (c->offset % (64 * WR_MIB) == 0)
                most = wr_max(most, unit_resident());
        }
        must(weir_chunks_error(it) == 0, "error %d", weir_chunks_error(it));
        must(sum == (uint64_t)size - (split == WEIR_CHUNKS_LINES), "%lu bytes", sum);
        must(last == (split == WEIR_CHUNKS_LINES ? 1 : 4095), "the last is number %lu", last);
        must(most > 0 && most < start + 8 * WR_MIB, "%zu KiB resident, %zu KiB before", most / 1024, start / 1024);
    }
    close(fd);
}
