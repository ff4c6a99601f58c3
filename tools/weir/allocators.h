/* SPDX-License-Identifier: MIT
 * The allocators that a comparison runs a program under: which there are, where, and how a program comes to use one. */
#ifndef WEIR_TOOL_ALLOCATORS_H
#define WEIR_TOOL_ALLOCATORS_H

#include "tool.h"

struct allocator {
    char *name;    /* for people and for --only: "jemalloc" */
    char *library; /* absolute path of what is preloaded; NULL: glibc's own malloc */
    char *version; /* of the package that the library is from, or its file's full name */
    bool pymalloc; /* CPython with its own allocator of small objects, on glibc */
};

struct allocators {
    struct allocator *item; /* the first is what the others are compared with */
    size_t count;
    struct strings absent; /* names of known allocators that are not on this machine */
};

/** What the user said of them; each string is as after the option's "=". */
struct choice {
    const char *weir;       /* path of libweir-preload.so; NULL: found by itself */
    struct strings with;    /* NAME=PATH */
    struct strings only;    /* names, several with commas; empty: all */
    struct strings without; /* the same */
};

/** Finds all that `choice` allows: glibc, Weir, those of other makers in the order of their names, then the user's own.
 *  `python` adds pymalloc. Complains and ends where a name is unknown, or a named library is no allocator. */
void allocators_find(struct allocators *list, const struct choice *choice, bool python);

/** The library of the one allocator that the user names with --allocator: a name, or a path. NULL for glibc. Complains
 *  and ends where there is none. The caller frees. */
char *allocator_choose(const char *name);

/** LD_PRELOAD's value that puts a program on `library` (NULL: glibc's own malloc), and else has what this process has,
 *  less allocators. `linked`: the program is linked with another allocator's library, so the C library must go before
 *  that where its malloc is wanted. The caller frees. */
char *allocator_preload(const char *library, bool linked);

/** Adds to `change` the entries, "NAME=VALUE" or "NAME=" for none, that put a program on `a`. `python`: also tell
 *  CPython to leave all to malloc, unless `a` is pymalloc. `linked`: as above. */
void allocator_environment(const struct allocator *a, bool python, bool linked, struct strings *change);

#endif
