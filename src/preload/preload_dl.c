/* SPDX-License-Identifier: MIT
 * dlopen without RTLD_DEEPBIND. A library opened with that flag looks for each name in what it depends on before it
 * looks in the program: malloc and free would be the C library's for it alone. A block of ours that it frees then ends
 * the process in the C library, which takes it for one of its own; so does one of its blocks in realloc. PHP opens all
 * of its extensions that way. Without the flag such a library gets a name that the program defines too from the
 * program, as any other library does. WEIR_DEEPBIND=keep is for one that must not, and that keeps its blocks to itself.
 *
 * State: where the next dlopen is, and whether it was said that the flag is left out. Takes no lock. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/base.h"

#include <dlfcn.h>
#include <stdatomic.h>

#include "base/assert.h"
#include "base/option.h"
#include "base/text.h"

#ifdef RTLD_DEEPBIND

/* The next dlopen has to be jumped to, not called: it looks for libraries by the run path of whom it returns to. */
#if defined(__has_attribute) && __has_attribute(musttail)
#define TAIL_CALLER
#define TAIL_CALL __attribute__((musttail))
#else
#define TAIL_CALLER __attribute__((optimize("O2"))) /* whatever the rest is compiled with */
#define TAIL_CALL
#endif

static void *(*find_next(void))(const char *, int)
{
    static void *(*_Atomic known)(const char *, int); /* relaxed: who asks at the same time gets the same answer */
    void *(*next)(const char *, int) = atomic_load_explicit(&known, memory_order_relaxed);
    if (next == NULL) {
        next = (void *(*)(const char *, int))dlsym(RTLD_NEXT, "dlopen");
        if (next == NULL)
            wr_fatal("the C library has no dlopen");
        atomic_store_explicit(&known, next, memory_order_relaxed);
    }
    return next;
}

/** Looks for the next dlopen; says, the first time, that a flag is `dropped`. */
static WR_NOINLINE void *(*prepare(const char *name, bool dropped))(const char *, int)
{
    static _Atomic bool said;
    if (dropped && wr_options.verbose && name != NULL && !atomic_exchange_explicit(&said, true, memory_order_relaxed))
        wr_message("RTLD_DEEPBIND is left out where %s is opened, so that it allocates here, and wherever else it is "
                   "asked for; WEIR_DEEPBIND=keep leaves it in",
                   name);
    return find_next();
}

WR_EXPORT TAIL_CALLER void *dlopen(const char *name, int flags)
{
    int left = wr_options.deepbind == WR_DEEPBIND_KEEP ? flags : flags & ~RTLD_DEEPBIND;
    void *(*next)(const char *, int) = prepare(name, left != flags);
    TAIL_CALL return next(name, left);
}

#endif
