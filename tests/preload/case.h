/* SPDX-License-Identifier: MIT
 * What the programs of these tests share: checks, patterns in blocks, figures of the process. A program says on
 * standard output what went wrong and exits with 1; with 77 where it cannot test. Nothing here allocates. */
#ifndef CASE_H
#define CASE_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CASE_UNUSED __attribute__((unused))
#define KIB ((size_t)1024)
#define MIB (KIB * 1024)

/** The condition must hold, in whichever thread or process. */
#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            case_fail(__FILE__, __LINE__, #condition);                                                                 \
    } while (0)

CASE_UNUSED static void say(const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    int length = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (length > (int)sizeof(text) - 1)
        length = sizeof(text) - 1;
    if (write(STDOUT_FILENO, text, (size_t)length) != length)
        _exit(1);
}

CASE_UNUSED static void case_fail(const char *file, int line, const char *condition)
{
    const int error = errno;

    say("%s:%d: failed: %s (errno %d, pid %d)\n", file, line, condition, error, (int)getpid());
    _exit(1);
}

#define SKIP_CASE(...) (say(__VA_ARGS__), say("\n"), _exit(77))

/** The byte of a pattern that depends on seed and place, so that two blocks which overlap show it. */
CASE_UNUSED static unsigned char pattern(unsigned seed, size_t i)
{
    return (unsigned char)(seed * 31u + (unsigned)i * 7u + (unsigned)(i >> 8));
}

CASE_UNUSED static void fill(void *block, size_t size, unsigned seed)
{
    unsigned char *bytes = (unsigned char *)block;

    for (size_t i = 0; i < size; i++)
        bytes[i] = pattern(seed, i);
}

/** Looks at all of it: a loop without a way out is one that compilers make a few times faster. */
CASE_UNUSED static bool filled(const void *block, size_t size, unsigned seed)
{
    const unsigned char *bytes = (const unsigned char *)block;
    unsigned char wrong = 0;

    for (size_t i = 0; i < size; i++)
        wrong |= bytes[i] ^ pattern(seed, i);
    return wrong == 0;
}

CASE_UNUSED static bool all_zero(const void *block, size_t size)
{
    const unsigned char *bytes = (const unsigned char *)block;
    unsigned char any = 0;

    for (size_t i = 0; i < size; i++)
        any |= bytes[i];
    return any == 0;
}

/** The next number of a sequence that is the same on every run. */
CASE_UNUSED static uint32_t draw(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/** Sizes from 1 byte to `most`, each order of magnitude equally often. */
CASE_UNUSED static size_t draw_size(uint64_t *state, size_t most)
{
    size_t limit = 16;

    while (limit < most && draw(state) % 4 != 0)
        limit *= 2;
    return 1 + draw(state) % (limit < most ? limit : most);
}

/** Bytes of a page as the library has it: it may have been built for larger ones than the system's. */
CASE_UNUSED static size_t page_size(void)
{
    const char *told = getenv("CASE_PAGE");

    return told != NULL ? (size_t)strtoul(told, NULL, 10) : (size_t)sysconf(_SC_PAGESIZE);
}

/** One line of a file of /proc: the number behind `key`. */
CASE_UNUSED static size_t number_in(const char *path, const char *key)
{
    static __thread char text[8192];
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t length = 0;
    ssize_t n = -1;

    while (fd >= 0 && (n = read(fd, text + length, sizeof(text) - 1 - length)) > 0)
        length += (size_t)n; /* long files come in parts */
    CHECK(n >= 0);
    close(fd);
    text[length] = '\0';
    const char *found = strstr(text, key);
    CHECK(found != NULL);
    found += strlen(key);
    while (*found == ' ' || *found == '\t')
        found++;
    size_t number = 0;
    for (; *found >= '0' && *found <= '9'; found++)
        number = number * 10 + (size_t)(*found - '0');
    return number;
}

/** Resident bytes now, without files: the exact sum, where the kernel gives it. */
CASE_UNUSED static size_t resident(void)
{
    return number_in("/proc/self/smaps_rollup", "Anonymous:") * KIB;
}

/** After so many looks: whether to wait a little and look again. A purger may be in the midst of its work, hold a lock
 *  and not get to run; with WEIR_PURGER=off there is none, and what must be true is true at once. */
CASE_UNUSED static bool case_waits(unsigned looks)
{
    const char *purger = getenv("WEIR_PURGER");

    if (looks >= 2400 || (purger != NULL && strcmp(purger, "off") == 0))
        return false;
    usleep(50000);
    return true;
}

/** Whether the condition is true now, or becomes so in two minutes if a purger may keep it from being so. */
#define HOLDS_SOON(condition)                                                                                          \
    ({                                                                                                                 \
        bool holds;                                                                                                    \
        for (unsigned looks = 0; !(holds = (condition)) && case_waits(looks); looks++)                                 \
            ;                                                                                                          \
        holds;                                                                                                         \
    })

/** Whether a file whose path has `name` in it is mapped. */
CASE_UNUSED static bool map_has(const char *name)
{
    char text[4096 + 1];
    const int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    const size_t keep = strlen(name);
    size_t kept = 0;
    bool found = false;

    while (fd >= 0 && !found) {
        ssize_t length = read(fd, text + kept, sizeof(text) - 1 - kept);
        if (length <= 0)
            break;
        size_t total = kept + (size_t)length;
        found = memmem(text, total, name, keep) != NULL;
        kept = total < keep ? total : keep;
        memmove(text, text + total - kept, kept);
    }
    if (fd >= 0)
        close(fd);
    return found;
}

/** No program here runs without the library, unless CASE_NATIVE says that it shall. */
__attribute__((constructor)) CASE_UNUSED static void case_start(void)
{
    if (getenv("CASE_NATIVE") == NULL && !map_has("libweir-preload.so")) {
        say("libweir-preload.so is not mapped\n");
        _exit(99);
    }
}

#endif
