/* SPDX-License-Identifier: MIT
 * A generator over a large file: read a chunk at a time, in constant memory. Usage: chunks FILE */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <weir/weir.h>

#include "example.h"

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: chunks FILE\n");
        return 2;
    }
    int fd = open(argv[1], O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
        return 2;
    }
    const struct weir_chunks_how how = {.most = 1024 * 1024};
    WEIR_AUTO struct weir_chunks *it = weir_chunks_fd(fd, &how);
    const struct weir_chunk *chunk;
    unsigned long long bytes = 0, chunks = 0;
    while ((chunk = weir_chunks_next(it))) {
        bytes += chunk->size;
        chunks++;
    }
    close(fd);
    if (weir_chunks_error(it) != 0) {
        fprintf(stderr, "%s: %s\n", argv[1], strerror(-weir_chunks_error(it)));
        return 1;
    }
    printf("%llu bytes in %llu chunks\n", bytes, chunks);
    weir_example_print_resident("end");
    return 0;
}
