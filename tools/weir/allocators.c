/* SPDX-License-Identifier: MIT
 * Finds allocators by the names that their libraries usually have; see allocators.h. */
#include "allocators.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "binary.h"
#include "child.h"
#include "libc.h"
#include "preload.h"

/* Paths that the build found; "" where it found none, "no" where its user wants none. */
#ifndef WEIR_JEMALLOC
#define WEIR_JEMALLOC ""
#endif
#ifndef WEIR_MIMALLOC
#define WEIR_MIMALLOC ""
#endif
#ifndef WEIR_TCMALLOC
#define WEIR_TCMALLOC ""
#endif

/* File names as patterns of glob(7), the better first. */
static const struct known {
    const char *name, *built, *file[4];
} known[] = {
    {"hardened_malloc", "", {"libhardened_malloc.so*"}},
    {"jemalloc", WEIR_JEMALLOC, {"libjemalloc.so*"}},
    {"mesh", "", {"libmesh.so*"}},
    {"mimalloc", WEIR_MIMALLOC, {"libmimalloc.so*", "mimalloc-*/libmimalloc.so*"}},
    {"rpmalloc", "", {"librpmallocwrap.so*", "librpmalloc.so*"}},
    {"snmalloc", "", {"libsnmallocshim.so*", "libsnmallocshim-*.so*"}},
    {"tbbmalloc", "", {"libtbbmalloc_proxy.so*"}},
    {"tcmalloc", WEIR_TCMALLOC, {"libtcmalloc_minimal.so*", "libtcmalloc.so*"}},
};

#define NAME_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-"
enum { NAME_MOST = 20 };

/* ---- one library ----------------------------------------------------------------------------------------------- */

/** Why `path` cannot be preloaded as an allocator; NULL if it can. */
static const char *refusal(const char *path)
{
    struct binary b;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return strerror(errno);
    bool elf = binary_read(fd, &b);
    const char *why = NULL;
    /* Libraries built by hand may lack a name of their own; programs ask for a loader, or for no library. */
    if (!elf || !b.native || (b.soname == NULL && (*b.loader != '\0' || b.needed.count == 0)))
        why = "it is no shared library for this machine";
    else if (!b.own_malloc)
        why = "it defines no malloc";
    else if (strpbrk(path, " :") != NULL)
        why = "LD_PRELOAD takes no path with a blank or colon";
    if (elf)
        binary_free(&b);
    close(fd);
    return why;
}

/** Asks the package manager for the version of the package that the file is from. NULL where it does not know. */
static char *package_version(const char *file)
{
    static const char script[] = "p=$(dpkg-query -S \"$1\" 2>/dev/null) && p=${p%%: *} && p=${p%%,*} &&"
                                 " exec dpkg-query -W -f '${Package} ${Version}' \"$p\" 2>/dev/null;"
                                 " rpm -qf \"$1\" 2>/dev/null";
    char *text =
        child_output((char *[]){(char *)"/bin/sh", (char *)"-c", (char *)script, (char *)"sh", (char *)file, NULL});
    if (text != NULL && (*text == '\0' || strchr(text, '\n') != NULL)) {
        free(text);
        text = NULL;
    }
    return text;
}

static char *version_of(const char *library)
{
    char *real = realpath(library, NULL);
    char *version = package_version(real != NULL ? real : library);
    if (version == NULL)
        version = text_format("%s", text_basename(real != NULL ? real : library));
    free(real);
    return version;
}

/* ---- where they are -------------------------------------------------------------------------------------------- */

/** Where libraries can be. */
struct places {
    struct strings directory; /* patterns, the loader's first */
    char *cache;              /* what the loader knows, in ldconfig's words; NULL if that is not to be had */
};

static struct strings directories(void)
{
    static const char *const usual[] = {"/usr/local/lib",
                                        "/usr/local/lib64",
                                        "/usr/lib/*-linux-gnu*",
                                        "/lib/*-linux-gnu*",
                                        "/usr/lib64",
                                        "/lib64",
                                        "/usr/lib",
                                        "/lib"};
    struct strings list = {0};
    const char *path = getenv("LD_LIBRARY_PATH");
    char *copy = text_format("%s", path != NULL ? path : ""), *rest = copy;
    for (char *entry = strtok_r(copy, ":;", &rest); entry != NULL; entry = strtok_r(NULL, ":;", &rest))
        strings_add(&list, "%s", entry);
    free(copy);
    for (size_t i = 0; i < TOOL_COUNT(usual); i++)
        strings_add(&list, "%s", usual[i]);
    const char *home = getenv("HOME");
    if (home != NULL)
        strings_add(&list, "%s/.local/lib", home);
    strings_add(&list, "/opt/*/lib");
    return list;
}

static struct places find_places(void)
{
    return (struct places){directories(), child_output((char *[]){(char *)"/sbin/ldconfig", (char *)"-p", NULL})};
}

static void places_free(struct places *p)
{
    strings_free(&p->directory);
    free(p->cache);
}

/** The last usable match of the pattern, so that of several versions the newest counts; NULL if there is none. */
static char *match(const char *pattern)
{
    glob_t found;
    char *best = NULL;
    if (glob(pattern, 0, NULL, &found) != 0)
        return NULL;
    for (size_t i = found.gl_pathc; best == NULL && i-- > 0;)
        if (refusal(found.gl_pathv[i]) == NULL)
            best = realpath(found.gl_pathv[i], NULL);
    globfree(&found);
    return best;
}

/** Libraries that the loader's cache knows, in any directory. */
static char *match_in_cache(const char *cache, const char *pattern)
{
    size_t stem = strcspn(pattern, "*");
    char *start = text_format("/%.*s", (int)stem, pattern), *best = NULL;
    for (const char *line = cache; best == NULL && line != NULL && *line != '\0';) {
        size_t length = strcspn(line, "\n");
        char *copy = text_format("%.*s", (int)length, line), *path = strstr(copy, "=> ");
        if (path != NULL && strstr(path, start) != NULL && refusal(path + 3) == NULL)
            best = realpath(path + 3, NULL);
        free(copy);
        line += length + (line[length] == '\n');
    }
    free(start);
    return best;
}

static char *find_known(const struct known *k, const struct places *places)
{
    if (strcmp(k->built, "no") == 0)
        return NULL;
    if (*k->built != '\0' && refusal(k->built) == NULL)
        return realpath(k->built, NULL);
    for (size_t f = 0; f < TOOL_COUNT(k->file) && k->file[f] != NULL; f++) {
        for (size_t d = 0; d < places->directory.count; d++) {
            char *pattern = text_format("%s/%s", places->directory.item[d], k->file[f]);
            char *path = match(pattern);
            free(pattern);
            if (path != NULL)
                return path;
        }
        char *path = match_in_cache(places->cache, k->file[f]);
        if (path != NULL)
            return path;
    }
    return NULL;
}

/* ---- the list -------------------------------------------------------------------------------------------------- */

static bool among(const struct strings *names, const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < names->count; i++)
        for (const char *word = names->item[i]; *word != '\0'; word += strcspn(word, ","), word += *word == ',')
            if (strncmp(word, name, length) == 0 && (word[length] == ',' || word[length] == '\0'))
                return true;
    return false;
}

static bool wanted(const struct choice *choice, const char *name)
{
    return (choice->only.count == 0 || among(&choice->only, name)) && !among(&choice->without, name);
}

static struct allocator *add(struct allocators *list, const char *name, char *library)
{
    list->item = realloc(list->item, (list->count + 1) * sizeof *list->item);
    if (list->item == NULL)
        tool_die("out of memory");
    struct allocator *a = &list->item[list->count++];
    *a = (struct allocator){.name = text_format("%s", name), .library = library};
    if (library != NULL)
        a->version = version_of(library);
    return a;
}

static bool is_there(const struct allocators *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->item[i].name, name) == 0)
            return true;
    return false;
}

static void add_known(struct allocators *list, const struct choice *choice)
{
    struct places places = find_places();
    for (size_t i = 0; i < TOOL_COUNT(known); i++) {
        if (!wanted(choice, known[i].name))
            continue;
        char *path = find_known(&known[i], &places);
        if (path != NULL)
            add(list, known[i].name, path);
        else
            strings_add(&list->absent, "%s", known[i].name);
    }
    places_free(&places);
}

/** The user's NAME=PATH. A name that is known already means another library in its place. */
static void add_given(struct allocators *list, const struct choice *choice)
{
    for (size_t i = 0; i < choice->with.count; i++) {
        const char *text = choice->with.item[i], *equals = strchr(text, '=');
        if (equals == NULL || equals == text || equals[1] == '\0')
            tool_die("--with takes NAME=PATH, as in --with mine=/opt/mine/libmine.so, not '%s'", text);
        char *name = text_format("%.*s", (int)(equals - text), text), *path = realpath(equals + 1, NULL);
        const char *why = path == NULL ? strerror(errno) : refusal(path);
        if (strlen(name) > NAME_MOST || name[strspn(name, NAME_LETTERS)] != '\0')
            tool_die("--with: a name has up to %d letters, digits and any of ._+-, which '%s' is not", NAME_MOST, name);
        if (why != NULL)
            tool_die("cannot compare with %s: %s: %s", name, equals + 1, why);
        if (strcmp(name, libc_name) == 0 || strcmp(name, "pymalloc") == 0)
            tool_die("--with cannot give %s another library; choose another name for %s", name, path);
        for (size_t k = 0; k < list->count; k++)
            if (strcmp(list->item[k].name, name) == 0) {
                memmove(&list->item[k], &list->item[k + 1], (list->count - k - 1) * sizeof *list->item);
                list->count--;
            }
        if (wanted(choice, name))
            add(list, name, path);
        free(name);
    }
}

/** Ends where --only or --without has a name that nothing has. */
static void check_names(const struct allocators *list, const struct choice *choice, const struct strings *names,
                        const char *option)
{
    for (size_t i = 0; i < names->count; i++) {
        char *copy = text_format("%s", names->item[i]), *rest = copy;
        for (char *word = strtok_r(copy, ",", &rest); word != NULL; word = strtok_r(NULL, ",", &rest)) {
            bool found = strcmp(word, libc_name) == 0 || strcmp(word, "weir") == 0 || strcmp(word, "pymalloc") == 0;
            for (size_t k = 0; k < TOOL_COUNT(known); k++)
                found = found || strcmp(word, known[k].name) == 0;
            for (size_t k = 0; k < choice->with.count; k++)
                found = found || strncmp(choice->with.item[k], word, strcspn(choice->with.item[k], "=")) == 0;
            if (!found)
                tool_die("%s: no allocator is called '%s'; `weir compare --list` lists them, --with %s=PATH adds one",
                         option, word, word);
            bool given = names == &choice->only;
            if (given && among(&list->absent, word))
                tool_die("%s: %s is not on this machine; install it, or name its library: --with %s=PATH", option, word,
                         word);
        }
        free(copy);
    }
}

void allocators_find(struct allocators *list, const struct choice *choice, bool python)
{
    *list = (struct allocators){0};
    if (wanted(choice, libc_name))
        add(list, libc_name, NULL)->version = libc_version();
    if (wanted(choice, "weir"))
        add(list, "weir", preload_find(choice->weir));
    add_known(list, choice);
    add_given(list, choice);
    if (python && wanted(choice, "pymalloc")) {
        struct allocator *a = add(list, "pymalloc", NULL);
        char *libc = libc_version();
        a->version = text_format("CPython's own, on %s", libc);
        free(libc);
        a->pymalloc = true;
    }
    for (size_t i = 0; i < list->absent.count;) {
        if (is_there(list, list->absent.item[i])) {
            free(list->absent.item[i]);
            memmove(&list->absent.item[i], &list->absent.item[i + 1],
                    (list->absent.count - i) * sizeof *list->absent.item);
            list->absent.count--;
        } else {
            i++;
        }
    }
    check_names(list, choice, &choice->only, "--only");
    check_names(list, choice, &choice->without, "--without");
    if (list->count == 0)
        tool_die("there is no allocator left to run under; --only and --without leave none");
}

/* ---- one of them ----------------------------------------------------------------------------------------------- */

/** Ends: there is no allocator of that name. */
static _Noreturn void die_unknown(const char *name)
{
    char *line = text_format("weir, %s", libc_name);
    for (size_t i = 0; i < TOOL_COUNT(known); i++) {
        char *longer = text_format("%s, %s", line, known[i].name);
        free(line);
        line = longer;
    }
    tool_die("there is no allocator '%s'; give one of %s, or the path of a library", name, line);
}

char *allocator_choose(const char *name)
{
    if (strcmp(name, libc_name) == 0 || strcmp(name, "system") == 0)
        return NULL;
    if (strcmp(name, "weir") == 0)
        return preload_find(NULL);
    if (strchr(name, '/') != NULL) {
        char *path = realpath(name, NULL);
        const char *why = path == NULL ? strerror(errno) : refusal(path);
        if (why != NULL)
            tool_die("cannot use the library %s (from --allocator): %s", name, why);
        return path;
    }
    for (size_t i = 0; i < TOOL_COUNT(known); i++) {
        if (strcmp(name, known[i].name) != 0)
            continue;
        struct places places = find_places();
        char *path = find_known(&known[i], &places);
        places_free(&places);
        if (path == NULL)
            tool_die("cannot find %s: there is no %s on this machine; install it, or give --allocator its library's "
                     "path",
                     name, known[i].file[0]);
        return path;
    }
    die_unknown(name);
}

/* ---- a program's environment ----------------------------------------------------------------------------------- */

char *allocator_preload(const char *library, bool linked)
{
    return preload_list(library == NULL && linked ? libc_path() : library, getenv("LD_PRELOAD"));
}

void allocator_environment(const struct allocator *a, bool python, bool linked, struct strings *change)
{
    char *preload = allocator_preload(a->library, linked);
    strings_env_set(change, "LD_PRELOAD", preload);
    free(preload);
    if (a->pymalloc)
        strings_env_set(change, "PYTHONMALLOC", "pymalloc");
    else if (python)
        strings_env_set(change, "PYTHONMALLOC", "malloc");
}
