#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Programs with one bug each: the library must end them by SIGABRT, with one line that names the address.

../preload/harness.py says how to run this by hand."""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "preload"))
from harness import Skip, NATIVE, build, case, describe, expect, main, messages, run, scaled  # noqa: E402

HERE = Path(__file__).parent
SMALL = (16, 64, 1000)
MEDIUM = tuple(map(scaled, (2000, 20000)))
LARGE = tuple(map(scaled, (100000, 1000000)))
HUGE = scaled(5000000)
PAGE = scaled(4096)
SIZES = {"small": SMALL, "medium": MEDIUM, "large": LARGE, "huge": (HUGE,)}
KINDS = {size: kind for kind, sizes in SIZES.items() for size in sizes}
ALL = tuple(KINDS)
NOT_SMALL = tuple(size for size in ALL if size not in SMALL)
CHECK = {"WEIR_CHECK": 1}

DOUBLE = r"double free of {address}\b|invalid free of {address}\b"
INVALID = r"invalid (free|realloc) of (interior pointer )?{address}\b|interior pointer {address}\b"
ANY = DOUBLE + "|" + INVALID
REALLOC = r"(invalid realloc|double free) of {address}\b|realloc of {address}\b"
CORRUPTED = r"corrupted|double free"


def abuse(name, *args, env=None):
    if NATIVE:
        raise Skip("asks for more than the C library gives")
    source = next(HERE.glob(f"{name}.c*"))
    result = run(build(source), *args, env=env)
    lines = result.out.splitlines()
    expect(lines and re.fullmatch(r"0x[0-9a-f]+", lines[0]), "the program did not reach its bug", result)
    return result, lines[0]


def fatal(name, *args, words, env=None):
    """The program ends by SIGABRT with one fatal line that has the words, with {address} as it printed it."""
    result, address = abuse(name, *args, env=env)
    expect(result.status == -6, f"{describe(result.status)}, not SIGABRT", result)
    lines = messages(result)
    expect(len(lines) == 1 and re.match(r"weir: \d+: fatal: ", lines[0]), "not one fatal line", result)
    words = words.replace("{address}", address)
    expect(re.search(words, lines[0]), f"the line has none of {words}", result)


def ignored(name, *args, lines):
    """The program goes on, and has got so many warnings."""
    result, address = abuse(name, *args)
    expect(result.status == 0 and result.out.endswith("survived\n"), "it did not go on", result)
    expect(len(messages(result)) == lines == result.err.count("\n"), f"not {lines} lines", result)
    expect(all(" warning: " in line and address in line for line in messages(result)), "no warning of it", result)


def each_size(title, name, *, words, sizes=ALL, env=None):
    for size in sizes:
        @case(f"{title}: {KINDS.get(size, 'small')} block of {size} bytes")
        def _(size=size):
            fatal(name, size, words=words, env=env)


def one(title, name, *args, words, env=None):
    @case(title)
    def _():
        fatal(name, *args, words=words, env=env)


# ---- double free ----

each_size("double free", "double_free", words=DOUBLE)
each_size("double free of the only block", "double_free_only", words=DOUBLE)
# A small block's free is a push on a list, and the fast path looks at the last one pushed only: what it does not see is
# found by WEIR_CHECK=1, below.
each_size("double free, another block in between", "double_free_aba", words=DOUBLE, sizes=NOT_SMALL)
each_size("double free, much later", "double_free_later", words=DOUBLE, sizes=NOT_SMALL)
each_size("double free of what calloc and realloc gave", "double_free_calloc", words=DOUBLE)
each_size("double free when the page has gone back", "double_free_purged", words=ANY, sizes=SMALL + MEDIUM)
each_size("double free, the second by another thread", "double_free_by_thread", words=DOUBLE, sizes=NOT_SMALL)
each_size("double free, the first by another thread", "double_free_after_thread", words=DOUBLE, sizes=NOT_SMALL)
each_size("double free by owner and another thread, sent home", "double_free_by_mail", words=DOUBLE,
          sizes=MEDIUM[:1])
each_size("double free by two other threads", "double_free_by_threads", words=DOUBLE)
each_size("double free when the owner is gone", "double_free_owner_gone", words=DOUBLE)
each_size("double free, the second in a forked child", "double_free_in_child", words=DOUBLE,
          sizes=(64, MEDIUM[1], HUGE))

for alignment, size in ((64, 40), (PAGE, 100), (PAGE, MEDIUM[1]), (16 * PAGE, 100), (256 * PAGE, 3 * LARGE[0]),
                        (2048 * PAGE, HUGE)):
    one(f"double free of {size} bytes aligned to {alignment}", "double_free_aligned", alignment, size, words=ANY)


one("delete twice", "delete_twice", words=DOUBLE)

for name in ("double_free", "double_free_aba", "double_free_later", "double_free_by_thread",
             "double_free_after_thread"):
    each_size(f"WEIR_CHECK=1: {name.replace('_', ' ')}", name, words=DOUBLE, sizes=SIZES["small"],
              env=CHECK)


# ---- pointers that are no block ----

for size, offset in ((64, 16), (64, 1), (64, 8), (1000, 16), (1000, 500), (MEDIUM[0], 16), (MEDIUM[1], 16),
                     (MEDIUM[1], PAGE), (MEDIUM[1], 1), (LARGE[0], 16), (LARGE[0], PAGE), (LARGE[1], 16 * PAGE),
                     (LARGE[1], 32 * PAGE), (HUGE, 1), (HUGE, PAGE), (HUGE, 1024 * PAGE)):
    check = size in SMALL
    one(f"{'WEIR_CHECK=1: ' if check else ''}free of a pointer {offset} bytes into a {KINDS[size]} block of {size}",
        "interior", size, offset, words=ANY, env=CHECK if check else None)
    if offset in (16, PAGE):
        one(f"free by another thread of a pointer {offset} bytes into a {KINDS[size]} block of {size}",
            "interior_by_thread", size, offset, words=ANY)

for alignment, size, offset in ((PAGE, MEDIUM[1] // 2, PAGE), (16 * PAGE, LARGE[0], 16 * PAGE),
                                (1024 * PAGE, LARGE[0], PAGE), (2048 * PAGE, HUGE, PAGE)):
    one(f"free of a pointer {offset} bytes into {size} bytes aligned to {alignment}", "interior_aligned", alignment,
        size, offset, words=ANY)

one("free of a part of an arena that nobody has used", "never_given", words=ANY)
one("free of Weir's own descriptors", "descriptors", words=ANY)
each_size("free of a neighbour that was never allocated", "not_yet_given", words=ANY, sizes=(512, 1024, MEDIUM[1]))


# ---- pointers that Weir never gave ----

for what in ("object", "stack", "mapped", "wild", "code", "one"):
    @case(f"free of a foreign pointer, {what}: ignored with a warning")
    def _(what=what):
        ignored("foreign", "free", what, lines=1)

    @case(f"realloc of a foreign pointer, {what}: fails with a warning")
    def _(what=what):
        ignored("foreign", "realloc", what, lines=1)

    @case(f"usable size of a foreign pointer, {what}: 0")
    def _(what=what):
        ignored("foreign", "usable", what, lines=0)

    one(f"WEIR_STRICT=1: free of a foreign pointer, {what}", "foreign", "free", what, words=INVALID,
        env={"WEIR_STRICT": 1})
    one(f"WEIR_STRICT=1: realloc of a foreign pointer, {what}", "foreign", "realloc", what, words=INVALID,
        env={"WEIR_STRICT": 1})


# ---- realloc, sizes ----

each_size("realloc of a freed block", "realloc_freed", words=REALLOC)

for size, offset in ((64, 16), (MEDIUM[1], PAGE), (LARGE[0], PAGE), (HUGE, PAGE)):
    one(f"realloc of a pointer {offset} bytes into a {KINDS[size]} block of {size}", "realloc_interior", size, offset,
        words=INVALID)

for size, wrong in ((64, MEDIUM[1] // 2), (MEDIUM[0], 2 * MEDIUM[1]), (MEDIUM[1], scaled(64000)), LARGE,
                    (HUGE, 10 * HUGE), (64, 1 << 62)):
    one(f"free_sized of {size} bytes as {wrong}", "wrong_size", size, wrong, words=INVALID)

one("free_aligned_sized with an alignment that the block has not", "wrong_alignment", words=INVALID)


# ---- writes where nothing may be written ----

for size in SIZES["small"]:
    one(f"WEIR_CHECK=1: a freed block of {size} bytes is written to", "write_after_free", size, words=CORRUPTED,
        env=CHECK)
    one(f"WEIR_CHECK=1: a block of {size} bytes is written beyond its end, into a free one", "overflow", size,
        words=CORRUPTED, env=CHECK)

    @case(f"WEIR_CHECK=1: freed blocks of {size} bytes are written to before their pool goes back: fatal, or harmless")
    def _(size=size):
        result, _address = abuse("corrupted_trim", size, env=CHECK)
        if result.status == 0:
            expect(result.out.endswith("survived\n") and result.err == "", "not as it should be", result)
        else:
            expect(result.status == -6 and re.search(CORRUPTED, result.err), "neither", result)


if __name__ == "__main__":
    main()
