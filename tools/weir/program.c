/* SPDX-License-Identifier: MIT
 * Finds a program and judges it; see program.h. It reads files only; what it cannot read it leaves unjudged. */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "binary.h"
#include "libc.h"

enum { SCRIPTS_DEEP = 4 }; /* the kernel follows as many */

/* ---- finding it ------------------------------------------------------------------------------------------------ */

/** 0 if `path` is a file that may be executed, else an errno. */
static int can_run(const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return errno;
    if (S_ISDIR(status.st_mode))
        return EISDIR;
    return access(path, X_OK) == 0 ? 0 : errno;
}

/** The file that execvp(3) would run for `name`, for the caller to free; NULL with *error set where there is none. */
static char *find_file(const char *name, const char *path, int *error)
{
    if (strchr(name, '/') != NULL || *name == '\0') {
        *error = *name != '\0' ? can_run(name) : ENOENT;
        return *error == 0 ? text_format("%s", name) : NULL;
    }
    *error = ENOENT;
    for (const char *dir = path;; dir++) {
        int length = (int)strcspn(dir, ":");
        char *file = length > 0 ? text_format("%.*s/%s", length, dir, name) : text_format("%s", name);
        int why = can_run(file);
        if (why == 0)
            return file;
        if (why == EACCES)
            *error = EACCES;
        free(file);
        dir += length;
        if (*dir == '\0')
            return NULL;
    }
}

/* ---- CPython --------------------------------------------------------------------------------------------------- */

/** Whether `name` is that of a CPython executable: python, python3, python3.13, python3.13t, python3.11d. */
static bool is_python_name(const char *name, bool *free_threaded)
{
    if (strncmp(name, "python", 6) != 0)
        return false;
    name += 6;
    name += strspn(name, "0123456789.");
    size_t flags = strspn(name, "tdmu");
    if (name[flags] != '\0' && strcmp(name + flags, "-dbg") != 0)
        return false;
    if (memchr(name, 't', flags) != NULL)
        *free_threaded = true;
    return true;
}

static void judge_python_file(struct program *p, const char *path)
{
    char *real = realpath(path, NULL);
    if (is_python_name(text_basename(path), &p->free_threaded))
        p->python = true;
    if (real != NULL && is_python_name(text_basename(real), &p->free_threaded))
        p->python = true;
    free(real);
}

static void judge_python_library(struct program *p, const char *soname)
{
    if (strncmp(soname, "libpython", 9) != 0)
        return;
    p->python = true;
    const char *version = soname + 9;
    if (version[strspn(version, "0123456789.")] == 't')
        p->free_threaded = true;
}

/** Whether CPython's options at `arg` (up to the script) include -E or -I, which make it ignore PYTHONMALLOC. */
static bool ignores_environment(char *const *arg)
{
    for (; *arg != NULL && (*arg)[0] == '-' && (*arg)[1] != '-' && (*arg)[1] != '\0'; arg++) {
        const char *letter = *arg + 1;
        for (; *letter != '\0' && strchr("cmWX", *letter) == NULL; letter++)
            if (*letter == 'E' || *letter == 'I')
                return true;
        if (*letter == 'c' || *letter == 'm')
            return false;
        if (*letter != '\0' && letter[1] == '\0' && arg[1] != NULL)
            arg++; /* the option's argument is the next word */
    }
    return false;
}

static void judge_python_options(struct program *p, char *const *arg)
{
    if (ignores_environment(arg))
        strings_add(&p->notes, "Python's options -E and -I make it ignore PYTHONMALLOC: "
                               "its small objects stay with its own allocator");
}

void program_note_python(struct program *p, const char *pythonmalloc)
{
    if (!p->python)
        return;
    if (p->free_threaded)
        strings_add(&p->notes, "this Python is free-threaded and takes no allocator but its own for its objects; "
                               "only what its C libraries allocate comes to Weir");
    else if (pythonmalloc != NULL && *pythonmalloc != '\0' && strncmp(pythonmalloc, "malloc", 6) != 0)
        strings_add(&p->notes,
                    "PYTHONMALLOC=%s is kept as you set it: Python's small objects do not come to Weir "
                    "(unset it, or set it to malloc)",
                    pythonmalloc);
}

/* ---- files of machine code ------------------------------------------------------------------------------------- */

/** Whether running the file gives it rights that its caller has not; the loader then ignores LD_PRELOAD. */
static bool gains_rights(int fd)
{
    struct stat status;
    struct statvfs mount;
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 || fstat(fd, &status) != 0)
        return false;
    if (fstatvfs(fd, &mount) == 0 && (mount.f_flag & ST_NOSUID) != 0)
        return false;
    if ((status.st_mode & S_ISUID) != 0 && status.st_uid != getuid())
        return true;
    if ((status.st_mode & S_ISGID) != 0 && (status.st_mode & S_IXGRP) != 0 && status.st_gid != getgid())
        return true;
    return getuid() != 0 && fgetxattr(fd, "security.capability", NULL, 0) > 0;
}

static bool is_shell(const char *name)
{
    static const char *const shell[] = {"sh", "bash", "dash", "zsh", "ksh", "mksh", "busybox", "fish"};
    for (size_t i = 0; i < TOOL_COUNT(shell); i++)
        if (strcmp(name, shell[i]) == 0)
            return true;
    return false;
}

/** What linked libraries say: where malloc is, and which Python it is. */
static void judge_libraries(struct program *p, const char *name, const struct binary *b)
{
    for (size_t i = 0; i < b->needed.count; i++) {
        const char *soname = b->needed.item[i], *allocator = binary_allocator_of(soname);
        judge_python_library(p, soname);
        if (allocator == NULL)
            continue;
        p->linked = allocator;
        strings_add(&p->notes,
                    "%s is linked with %s; Weir goes before it, so malloc comes to Weir, but calls that only %s has do "
                    "not",
                    name, soname, allocator);
    }
}

static const char *sanitizer_of(const struct binary *b)
{
    const char *sanitizer = b->sanitizer;
    for (size_t i = 0; sanitizer == NULL && i < b->needed.count; i++)
        sanitizer = binary_sanitizer_of(b->needed.item[i]);
    return sanitizer;
}

/** Notes why the loader, or the lack of one, keeps Weir out. @return whether anything of the program can come to it. */
static bool judge_loading(struct program *p, const char *name, const struct binary *b)
{
    const char *sanitizer = sanitizer_of(b);
    p->foreign = true;
    if (!b->native)
        strings_add(&p->notes, "%s is %s and this Weir is not: it runs without Weir", name, b->architecture);
    else if (!libc_is_for(b->loader))
        strings_add(&p->notes, "%s uses the C library %s and Weir is built for %s: it runs without Weir", name,
                    strcmp(libc_name, "glibc") == 0 ? "musl" : "glibc", libc_name);
    else if (sanitizer != NULL)
        strings_add(&p->notes, "%s is built with %s, which needs its own malloc: it runs without Weir", name,
                    sanitizer);
    else
        p->foreign = false;
    if (p->foreign)
        return false;
    if (b->dynamic || (b->soname != NULL && strncmp(b->soname, "ld-", 3) == 0)) /* the loader itself can be run too */
        return true;
    strings_add(&p->notes,
                b->go ? "%s is a static Go program: nothing can be loaded into it, and Go has its own heap"
                      : "%s is statically linked: nothing can be loaded into it, so its own malloc stays",
                name);
    return false;
}

static void judge_binary(struct program *p, const char *path, int fd, const struct binary *b)
{
    const char *name = text_basename(path);
    judge_python_file(p, path);
    p->shell = is_shell(name);
    if (!judge_loading(p, name, b))
        return;
    if (gains_rights(fd))
        strings_add(&p->notes,
                    "%s is set-user-ID, set-group-ID or has file capabilities: the system ignores LD_PRELOAD "
                    "for it",
                    name);
    if (b->go)
        strings_add(&p->notes,
                    "%s is a Go program: Go's own heap stays, only what C code in it allocates comes to Weir", name);
    if (b->own_malloc)
        strings_add(&p->notes, "%s brings its own malloc%s%s, which is found before Weir's", name,
                    b->allocator != NULL ? ", " : "", b->allocator != NULL ? b->allocator : "");
    else if (b->allocator != NULL)
        strings_add(&p->notes, "%s has %s inside; what it takes from there does not come to Weir", name, b->allocator);
    judge_libraries(p, name, b);
}

/* ---- scripts --------------------------------------------------------------------------------------------------- */

/** What a "#!" line asks for. */
struct script {
    struct strings command; /* the interpreter's argv, up to the script's name */
    bool env;               /* env finds the interpreter, and does nothing else */
};

/** Takes from the words behind env on a "#!" line those of the command, not env's own options and assignments. */
static void parse_env(struct script *s, char *words)
{
    char *rest = words;
    s->env = true;
    for (char *word = strtok_r(words, " \t", &rest); word != NULL; word = strtok_r(NULL, " \t", &rest)) {
        bool first = s->command.count == 0;
        if (first && strncmp(word, "-S", 2) == 0)
            word += 2;
        if (first && (*word == '-' || strchr(word, '=') != NULL))
            s->env = false;
        else if (*word != '\0')
            strings_add(&s->command, "%s", word);
    }
}

/** Reads the "#!" line of the script at `path`. @return false if it names no interpreter. */
static bool parse_script(struct script *s, const char *path, char *line)
{
    line[strcspn(line, "\r\n")] = '\0';
    char *rest = line + strspn(line, " \t");
    char *file = strsep(&rest, " \t");
    if (rest != NULL)
        rest += strspn(rest, " \t");
    *s = (struct script){0};
    if (*file != '\0' && rest != NULL && strcmp(text_basename(file), "env") == 0) {
        parse_env(s, rest);
    } else if (*file != '\0') {
        strings_add(&s->command, "%s", file);
        if (rest != NULL && *rest != '\0')
            strings_add(&s->command, "%s", rest);
    }
    if (s->command.count == 0)
        return false;
    strings_add(&s->command, "%s", path);
    return true;
}

static void judge_file(struct program *p, const char *path, char *const *arg, const char *search, int depth);

static void judge_script(struct program *p, const char *path, char *line, const char *search, int depth)
{
    struct script s;
    if (depth == SCRIPTS_DEEP || !parse_script(&s, path, line))
        return;
    int error;
    char *file = find_file(s.command.item[0], search, &error);
    if (file != NULL)
        judge_file(p, file, s.command.item + 1, search, depth + 1);
    if (file != NULL && s.env && depth == 0) {
        p->interpreter = file;
        p->command = s.command;
        return;
    }
    strings_free(&s.command);
    free(file);
}

/** Judges the file at `path`, which will get the arguments at `arg`. */
static void judge_file(struct program *p, const char *path, char *const *arg, const char *search, int depth)
{
    char start[257] = "";
    struct binary b;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return;
    if (binary_read(fd, &b)) {
        p->elf = depth == 0;
        judge_binary(p, path, fd, &b);
        if (p->python)
            judge_python_options(p, arg);
        binary_free(&b);
    } else if (pread(fd, start, sizeof start - 1, 0) > 2 && memcmp(start, "#!", 2) == 0) {
        judge_python_file(p, path); /* a shim of pyenv or the like, which is a script of that name */
        judge_script(p, path, start + 2, search, depth);
    }
    close(fd);
}

void program_inspect(struct program *p, char *const argv[])
{
    const char *path = getenv("PATH");
    *p = (struct program){0};
    if (path == NULL)
        path = "/usr/local/bin:/usr/bin:/bin";
    p->path = find_file(argv[0], path, &p->error);
    if (p->path != NULL)
        judge_file(p, p->path, argv + 1, path, 0);
}

void program_set_python(const struct program *p, struct strings *env, bool children)
{
    const char *old = strings_env_get(env, "PYTHONMALLOC");
    if ((old == NULL || *old == '\0') && !p->free_threaded && !p->foreign && (p->python || children))
        strings_env_set(env, "PYTHONMALLOC", "malloc");
}

struct strings program_words(const struct program *p, char *const argv[], bool alone)
{
    struct strings words = {0};
    if (alone && p->interpreter != NULL) {
        for (size_t i = 0; i < p->command.count; i++)
            strings_add(&words, "%s", p->command.item[i]);
        argv++;
    }
    for (; *argv != NULL; argv++)
        strings_add(&words, "%s", *argv);
    return words;
}

const char *program_file(const struct program *p, bool alone)
{
    return alone && p->interpreter != NULL ? p->interpreter : p->path;
}

int program_complain(const struct program *p, const char *name)
{
    bool searched = strchr(name, '/') == NULL;
    if (p->error == ENOENT || p->error == ENOTDIR) {
        if (*name == '\0')
            tool_say("cannot run '': the name of the program is empty");
        else if (searched)
            tool_say("cannot run %s: there is no such program in PATH; give its path if it is elsewhere", name);
        else
            tool_say("cannot run %s: there is no such file", name);
        return TOOL_NOT_FOUND;
    }
    if (p->error == EISDIR)
        tool_say("cannot run %s: it is a directory", name);
    else if (p->error == EACCES)
        tool_say("cannot run %s: permission denied; `chmod +x` makes a file of yours executable", name);
    else
        tool_say("cannot run %s: %s", name, strerror(p->error));
    return TOOL_NOT_EXECUTABLE;
}
