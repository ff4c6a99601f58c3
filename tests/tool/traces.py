# SPDX-License-Identifier: MIT
"""What the tests of weir trace and weir replay share: a program that makes known calls, and what a trace lists."""

import os

from harness import compile_c, scratch, weir

# Sizes that are this large are not told apart.
LARGEST = (1 << 58) - 1

# Every function once or more, calls that fail, and a block that is never freed.
CALLS = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
volatile size_t huge = SIZE_MAX / 2 + 1000, many = SIZE_MAX / 4;
void *reallocarray(void *, size_t, size_t);
void *volatile sink;
int main(void)
{
    void *out;
    char *block = malloc(70001);
    block = realloc(block, 70002);
    block = realloc(block, 70003);
    block = reallocarray(block, 10, 7001);
    free(block);
    sink = calloc(7, 10001);
    sink = realloc(sink, 0);
    if (sink != NULL)
        free(sink);
    sink = realloc(NULL, 70004);
    free(sink);
    free(NULL);
    if (posix_memalign(&out, 256, 70005) != 0)
        return 1;
    free(out);
    free(sink = aligned_alloc(512, 71680));
    free(sink = memalign(1024, 70006));
    free(sink = valloc(70007));
    free(sink = pvalloc(70008));
    if (malloc(huge) != NULL || errno != ENOMEM || calloc(many, 70009) != NULL)
        return 2;
    block = malloc(70010);
    if (realloc(block, huge) != NULL || reallocarray(block, many, 70011) != NULL)
        return 3;
    if (posix_memalign(&out, 24, 70012) != EINVAL)
        return 4;
    free(block);
    sink = malloc(70013);
    return 0;
}
"""


def trace(*command, flags=(), name="t.trace", env=None, **more):
    """Records a command. Returns the process and the path of the trace."""
    path = os.path.join(scratch.name, name)
    return weir("trace", "-o", path, *flags, *command, env=env, **more), path


def rows(path):
    """The calls of a trace: (thread, function, outcome, size, alignment, old, new), numbers or None."""
    done = weir("replay", "--list", path)
    found = []
    for line in done.stdout.splitlines():
        thread, _time, what, size, alignment, old, new = line.split("\t")
        function, _, outcome = what.partition(" ")
        numbers = [None if word == "-" else int(word) for word in (size, alignment, old, new)]
        found.append((int(thread), function, outcome, *numbers))
    return found


def lives(calls):
    """Checks the order of a list of calls. Returns complaints, and sizes of the blocks that live at the end."""
    live, wrong, made = {}, [], 0
    for number, (_, function, outcome, size, _, old, new) in enumerate(calls, 1):
        if old is not None and old not in live:
            wrong.append(f"call {number}: {function} gives up {old}, which does not live")
        elif old is not None and outcome != "refused":
            del live[old]
        if new is not None:
            made += 1
            if new != made or outcome:
                wrong.append(f"call {number}: {function} gives block {new}, not {made}")
            live[new] = size
    return wrong, live


def program(name, source, *flags):
    path = compile_c(name, source, "-O1", "-pthread", "-fno-builtin", *flags)
    if path is None:
        raise SystemExit(f"1..0 # SKIP {name} cannot be compiled")
    return path
