/* SPDX-License-Identifier: MIT
 * What a command will run: the file, found as the shell finds it, and what in it concerns a preloaded allocator. */
#ifndef WEIR_TOOL_PROGRAM_H
#define WEIR_TOOL_PROGRAM_H

#include "tool.h"

struct program {
    char *path;             /* the file for execve; NULL if there is none that can be run */
    int error;              /* why not, an errno */
    bool elf;               /* an ELF file, no script */
    bool python;            /* CPython, itself or as a script's interpreter */
    bool free_threaded;     /* CPython without the GIL: it refuses PYTHONMALLOC=malloc */
    bool shell;             /* a shell, itself or as a script's interpreter */
    const char *linked;     /* the allocator whose library it is linked with: "jemalloc"; NULL if none */
    bool foreign;           /* a preloaded library would be refused or break it: run it without */
    char *interpreter;      /* for a script with "#!…env NAME": the file of NAME; else NULL */
    struct strings command; /* with interpreter: what env would give it, up to the script's name */
    struct strings notes;   /* one sentence each: what cannot or will not come to Weir, and why */
};

/** Finds argv[0] in PATH and looks into the file; follows scripts to their interpreters. */
void program_inspect(struct program *p, char *const argv[]);

/** Adds to p->notes what the environment decides: a PYTHONMALLOC that the user set, NULL if none. */
void program_note_python(struct program *p, const char *pythonmalloc);

/** Lets CPython leave all to malloc, in an environment for p: sets PYTHONMALLOC, which for other programs means
 *  nothing, unless the user did or p would refuse it. `children`: programs that p starts are meant too. */
void program_set_python(const struct program *p, struct strings *env, bool children);

/** The words, and the file, that execve takes for p, called by `argv`. `alone`: what p starts runs without the library,
 *  so env(1) must not stand between: it would be the last that has it. */
struct strings program_words(const struct program *p, char *const argv[], bool alone);
const char *program_file(const struct program *p, bool alone);

/** Says why p cannot be run. @return the tool's exit status, 126 or 127. */
int program_complain(const struct program *p, const char *name);

#endif
