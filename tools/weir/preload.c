/* SPDX-License-Identifier: MIT
 * Where the preload library is, and LD_PRELOAD; see preload.h. */
#include "preload.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "binary.h"

#define LIBRARY "libweir-preload.so"
#define RECORDER "libweir-trace.so"
#define REPLAYER "weir-replay"

/* Where `make install` puts the library; the build says. */
#ifndef WEIR_LIBDIR
#define WEIR_LIBDIR "/usr/local/lib"
#endif
#ifndef WEIR_LIBEXECDIR
#define WEIR_LIBEXECDIR "/usr/local/libexec"
#endif

/** Ends, naming the cause, if the loader would refuse `path` in LD_PRELOAD. */
static void check_library(const char *path, const char *origin)
{
    struct binary b;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        tool_die("cannot use the library %s (%s): %m", path, origin);
    if (strpbrk(path, " :") != NULL)
        tool_die("cannot use the library %s: LD_PRELOAD takes no path with a blank or colon; put it elsewhere", path);
    if (!binary_read(fd, &b) || !b.native || b.soname == NULL)
        tool_die("cannot use the library %s (%s): it is no shared library for this machine", path, origin);
    binary_free(&b);
    close(fd);
}

/** The absolute path of `path`, so that it holds in any directory; ends where there is no such library. */
static char *named_library(const char *path, const char *origin)
{
    char *found = realpath(path, NULL);
    if (found == NULL)
        tool_die("cannot use the library %s (%s): %m", path, origin);
    check_library(found, origin);
    return found;
}

static char *try_place(const char *directory, const char *below, const char *name)
{
    char *path = text_format("%s%s/%s", directory, below, name);
    char *found = realpath(path, NULL);
    free(path);
    return found;
}

/** Removes the last part of `path`. @return false at the root. */
static bool go_up(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash == NULL || slash == path)
        return false;
    *slash = '\0';
    return true;
}

/** In a build tree this tool is DIR/weir or DIR/.libs/weir, and the library in .libs of DIR or of a directory above. */
static char *find_in_build(const char *own, const char *below, const char *name)
{
    enum { LEVELS = 4 };
    char directory[PATH_MAX];
    char *found = NULL;
    snprintf(directory, sizeof directory, "%s", own);
    for (int level = 0; found == NULL && level < LEVELS && go_up(directory); level++)
        found = try_place(directory, below, name);
    return found;
}

/** A file of Weir's: below the build tree, below where this tool is installed, or at `installed`; NULL if nowhere. */
static char *find_own(const char *name, const char *in_build, const char *below, const char *installed)
{
    char own[PATH_MAX] = "";
    ssize_t length = readlink("/proc/self/exe", own, sizeof own - 1);
    char *found = length > 0 ? find_in_build(own, in_build, name) : NULL;
    if (found == NULL && go_up(own) && go_up(own))
        found = try_place(own, below, name); /* an installation that was moved */
    if (found == NULL)
        found = try_place(installed, "", name);
    return found;
}

char *preload_find(const char *given)
{
    const char *variable = getenv("WEIR_PRELOAD");
    if (given != NULL)
        return named_library(given, "from --library");
    if (variable != NULL && *variable != '\0')
        return named_library(variable, "from WEIR_PRELOAD");
    char *found = find_own(LIBRARY, "/.libs", "/lib", WEIR_LIBDIR);
    if (found == NULL)
        tool_die("cannot find " LIBRARY ": it is not in %s, nor beside this tool; `make install` puts it there, "
                 "--library=PATH or WEIR_PRELOAD=PATH names another",
                 WEIR_LIBDIR);
    check_library(found, "found by itself");
    return found;
}

/** The same for what no option names another of. */
static char *need_own(const char *name, const char *in_build, const char *below, const char *installed)
{
    char *found = find_own(name, in_build, below, installed);
    if (found == NULL)
        tool_die("cannot find %s: not in %s, nor beside this tool; `make install` puts it there", name, installed);
    return found;
}

char *preload_find_recorder(void)
{
    char *found = need_own(RECORDER, "/.libs", "/lib/weir", WEIR_LIBDIR "/weir");
    check_library(found, "found by itself");
    return found;
}

char *preload_find_replayer(void) { return need_own(REPLAYER, "", "/libexec/weir", WEIR_LIBEXECDIR "/weir"); }

/** Whether the entry of LD_PRELOAD is the library, or another allocator that would only lie in memory behind it. */
static bool gives_way(const char *entry, const char *library)
{
    const char *file = text_basename(entry);
    return (library != NULL && strcmp(entry, library) == 0) || strncmp(file, LIBRARY, strlen(LIBRARY)) == 0 ||
           binary_allocator_of(file) != NULL;
}

char *preload_list(const char *library, const char *old)
{
    char *list = text_format("%s", library != NULL ? library : "");
    char *copy = text_format("%s", old != NULL ? old : "");
    char *rest = copy;
    for (char *entry = strtok_r(copy, " :", &rest); entry != NULL; entry = strtok_r(NULL, " :", &rest)) {
        if (gives_way(entry, library))
            continue;
        char *longer = text_format("%s%s%s", list, *list != '\0' ? ":" : "", entry);
        free(list);
        list = longer;
    }
    free(copy);
    return list;
}
