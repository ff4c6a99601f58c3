/* SPDX-License-Identifier: MIT
 * Reads damaged traces, each in a process of its own: fuzz_trace TRACE SCRATCH COUNT SEED. The bytes of the file are
 * changed, or those of its records, which are then compressed again: so what is behind the checksum is reached too.
 * Every reader must end with 0 or with TOOL_FAILED and a message. Linked with the tool's own files. */
#include "tool.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zstd.h>

#include "plan.h"
#include "traceinfo.h"

enum { MOST = 1 << 22, HEAD = 16, SECONDS = 20 };

struct bytes {
    unsigned char *data;
    size_t size;
};

static uint64_t state;

static uint64_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static size_t below(size_t end) { return end > 0 ? (size_t)(next_random() % end) : 0; }

static struct bytes new_bytes(void) { return (struct bytes){tool_need(malloc(MOST)), 0}; }

static struct bytes read_file(const char *path)
{
    struct bytes b = new_bytes();
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        tool_die("cannot read %s", path);
    b.size = fread(b.data, 1, MOST, file);
    fclose(file);
    return b;
}

static void write_file(const char *path, const struct bytes *b)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(b->data, 1, b->size, file) != b->size || fclose(file) != 0)
        tool_die("cannot write %s", path);
}

/** Where the records begin. */
static size_t body_of(const struct bytes *file)
{
    uint32_t length;
    memcpy(&length, file->data + 12, sizeof length);
    return HEAD + length;
}

/** Changes, drops or doubles some bytes from `start` on. */
static void damage(struct bytes *b, size_t start)
{
    static const unsigned char special[] = {0, 1, 0x7f, 0x80, 0xff, 3, 6, 0x43, 0x83};
    size_t changes = 1 + below(4);
    for (size_t i = 0; i < changes && b->size > start + 8; i++) {
        size_t at = start + below(b->size - start), length = 1 + below(8);
        switch (below(5)) {
        case 0:
            b->data[at] ^= (unsigned char)(1 << below(8));
            break;
        case 1:
            b->data[at] = special[below(TOOL_COUNT(special))];
            break;
        case 2:
            b->size = start + below(b->size - start);
            break;
        case 3:
            if (at + length < b->size) {
                memmove(b->data + at, b->data + at + length, b->size - at - length);
                b->size -= length;
            }
            break;
        default:
            if (at + length < b->size && b->size + length < MOST) {
                memmove(b->data + at + length, b->data + at, b->size - at);
                b->size += length;
            }
        }
    }
}

/** The file with damaged records in a frame that is sound. */
static struct bytes damage_records(const struct bytes *file)
{
    size_t body = body_of(file);
    struct bytes records = new_bytes(), made = new_bytes();
    ZSTD_DCtx *from = ZSTD_createDCtx();
    ZSTD_outBuffer out = {records.data, MOST, 0};
    ZSTD_inBuffer in = {file->data + body, file->size - body, 0};
    while (in.pos < in.size && !ZSTD_isError(ZSTD_decompressStream(from, &out, &in)))
        ;
    ZSTD_freeDCtx(from);
    records.size = out.pos;
    damage(&records, 0);
    memcpy(made.data, file->data, body);
    size_t size = ZSTD_compress(made.data + body, MOST - body, records.data, records.size, 1);
    if (ZSTD_isError(size))
        tool_die("cannot compress");
    made.size = body + size;
    free(records.data);
    return made;
}

/** Reads the file in a child. @return whether it ended as it should. */
static bool try_reader(const char *path, unsigned which)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        struct plan_header header;
        struct trace_sum sum;
        int null = open("/dev/null", O_WRONLY);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        alarm(SECONDS);
        if (which == 0)
            traceinfo_list(path);
        else if (which == 1)
            traceinfo_print(path, TRACEINFO_JSON);
        else
            plan_make(path, true, &header, &sum);
        exit(0);
    }
    if (waitpid(child, &status, 0) != child)
        tool_die("cannot wait");
    return WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == TOOL_FAILED);
}

int main(int argc, char **argv)
{
    if (argc != 5)
        tool_die("fuzz_trace TRACE SCRATCH COUNT SEED");
    struct bytes file = read_file(argv[1]);
    int count = atoi(argv[3]), wrong = 0;
    state = strtoull(argv[4], NULL, 10) * UINT64_C(0x9e3779b97f4a7c15) + 1;
    for (int i = 0; i < count; i++) {
        struct bytes one = new_bytes();
        memcpy(one.data, file.data, file.size);
        one.size = file.size;
        if (i % 3 == 0) {
            damage(&one, 0);
        } else {
            free(one.data);
            one = damage_records(&file);
        }
        write_file(argv[2], &one);
        free(one.data);
        for (unsigned which = 0; which < 3; which++)
            if (!try_reader(argv[2], which)) {
                char *kept = text_format("%s.%d", argv[2], i);
                printf("mutation %d, reader %u\n", i, which);
                rename(argv[2], kept);
                wrong++;
                break;
            }
    }
    printf("%d of %d wrong\n", wrong, count);
    return wrong > 0;
}
