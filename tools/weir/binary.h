/* SPDX-License-Identifier: MIT
 * Reads from an ELF file what decides whether a preloaded allocator can serve it. */
#ifndef WEIR_TOOL_BINARY_H
#define WEIR_TOOL_BINARY_H

#include "tool.h"

/** What a malformed or truncated file leaves unsaid stays empty. */
struct binary {
    bool native;              /* 64-bit, byte order and machine as this tool's; the rest is read only then */
    const char *architecture; /* of a file that is not native, for people */
    bool dynamic;             /* asks for a dynamic loader */
    char loader[128];         /* its path, "" if none */
    bool go;                  /* made by the Go compiler */
    bool own_malloc;          /* defines malloc for itself and its libraries: found before any preloaded one */
    const char *allocator;    /* "jemalloc" if one is inside the file, NULL otherwise */
    const char *sanitizer;    /* "AddressSanitizer" if built with one that needs its own malloc, NULL otherwise */
    struct strings needed;    /* libraries that it asks for, DT_NEEDED */
    char *soname;             /* of a library; NULL if none */
};

/** Reads the file open at `fd`. @return false, with *b zeroed, if it is no ELF file. Any content is safe to read. */
bool binary_read(int fd, struct binary *b);
void binary_free(struct binary *b);

/** The name, as in struct binary, of the allocator or sanitizer whose library is called `soname`; NULL otherwise. */
const char *binary_allocator_of(const char *soname);
const char *binary_sanitizer_of(const char *soname);

#endif
