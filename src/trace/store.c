/* SPDX-License-Identifier: MIT
 * The raw file of a trace; see store.h. A chunk's blocks are allocated on the disk before it is mapped, so a full disk
 * is an error here, not a SIGBUS in the program. Chunks that are full are written, not mapped: that costs a third.
 * Room for many of them is asked for at once, ahead of the writes, which saves each a good part of its time. */
#include "trace/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

enum { AHEAD = 1 << 22, HIGH_FD = 512, SAME_PID = 1000, ENVIRONMENT = 1 << 20 };

void *wr_store_wiped(size_t size)
{
    void *start = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (start == MAP_FAILED)
        return NULL;
    return madvise(start, size, MADV_WIPEONFORK) == 0 ? start : NULL;
}

/* ---- the environment ------------------------------------------------------------------------------------------- */

/** Reads as much of a small file as fits. @return its bytes. */
static size_t read_file(const char *path, char *buf, size_t size)
{
    size_t length = 0;
    ssize_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    while (fd >= 0 && length < size && (n = read(fd, buf + length, size - length)) > 0)
        length += (size_t)n;
    if (fd >= 0)
        close(fd);
    return length;
}

/** Copies the value of WEIR_TRACE among the strings of `list`. */
static bool find_variable(const char *list, size_t size, char *path, size_t room)
{
    static const char name[] = "WEIR_TRACE=";
    const char *end = list + size;

    for (const char *entry = list; entry < end; entry += strnlen(entry, (size_t)(end - entry)) + 1) {
        size_t length = strnlen(entry, (size_t)(end - entry));
        if (length < sizeof name || length - (sizeof name - 1) >= room || strncmp(entry, name, sizeof name - 1) != 0)
            continue;
        memcpy(path, entry + sizeof name - 1, length - (sizeof name - 1));
        path[length - (sizeof name - 1)] = '\0';
        return true;
    }
    return false;
}

/** The loader's own calls come before environ is set. */
static bool find_in_process(char *path, size_t room)
{
    char *text = mmap(NULL, ENVIRONMENT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (text == MAP_FAILED)
        return false;
    bool found = find_variable(text, read_file("/proc/self/environ", text, ENVIRONMENT), path, room);
    munmap(text, ENVIRONMENT);
    return found;
}

bool wr_store_wanted(char *path, size_t size)
{
    if (environ == NULL)
        return find_in_process(path, size);
    const char *value = secure_getenv("WEIR_TRACE");
    if (value == NULL || strlen(value) >= size)
        return false;
    strcpy(path, value);
    return true;
}

/** Takes the entry that names the trace library out of `list`, a value of LD_PRELOAD, in place. */
static void drop_entry(char *list)
{
    char *name = strstr(list, "libweir-trace.so"), *start = name;

    if (name == NULL)
        return;
    while (start > list && start[-1] != ':' && start[-1] != ' ')
        start--;
    name += strcspn(name, ": ");
    name += *name != '\0';
    memmove(start, name, strlen(name) + 1);
}

void wr_store_unfollow(void)
{
    const char *follow = secure_getenv("WEIR_TRACE_FOLLOW");
    char *list = getenv("LD_PRELOAD");

    if (follow == NULL || strcmp(follow, "0") != 0)
        return;
    if (list != NULL)
        drop_entry(list);
    char **to = environ;
    for (char **from = environ; *from != NULL; from++)
        if (strncmp(*from, "WEIR_TRACE", 10) != 0)
            *to++ = *from;
    *to = NULL;
}

/* ---- the file -------------------------------------------------------------------------------------------------- */

/** Whether the store's descriptor is still its file's. */
static bool is_own(const struct wr_store *store)
{
    struct stat status;

    return fstat(store->fd, &status) == 0 && status.st_dev == store->device && status.st_ino == store->inode;
}

/** A descriptor for the file: the one kept, or another where the program closed it. Threads may do this at once; then a
 *  descriptor is left over. @return -1 with errno set if the file is out of reach. */
static int need_fd(struct wr_store *store)
{
    if (is_own(store))
        return store->fd;
    int fd = open(store->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -1;
    store->fd = fd;
    if (is_own(store))
        return fd;
    close(fd);
    store->fd = -1;
    errno = ESTALE;
    return -1;
}

/** Whether the file may grow so far: to try would be SIGXFSZ, the end of the program. */
static bool may_grow(uint64_t size)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_FSIZE, &limit) != 0 || size <= limit.rlim_cur;
}

/** Writes all of it. @return 0 or an errno. */
static int write_all(int fd, const char *data, size_t size, uint64_t start)
{
    while (size > 0) {
        ssize_t n = pwrite(fd, data, size, (off_t)start);
        if (n == 0 || (n < 0 && errno != EINTR))
            return n == 0 ? ENOSPC : errno;
        if (n > 0) {
            data += n;
            start += (uint64_t)n;
            size -= (size_t)n;
        }
    }
    return 0;
}

/** Makes the disk hold a chunk at `start`. @return 0 or an errno. */
static int reserve(int fd, uint64_t start)
{
    static const char zero[WR_RAW_CHUNK];

    if (fallocate(fd, 0, (off_t)start, WR_RAW_CHUNK) == 0)
        return 0;
    if (errno != EOPNOTSUPP && errno != ENOSYS)
        return errno;
    return write_all(fd, zero, sizeof zero, start);
}

void *wr_store_map(struct wr_store *store, int *error)
{
    uint64_t start = atomic_load(&store->size);
    int fd = need_fd(store);

    *error = fd < 0 ? errno : may_grow(start + WR_RAW_CHUNK) ? reserve(fd, start) : EFBIG;
    if (*error != 0)
        return NULL;
    void *chunk = mmap(NULL, WR_RAW_CHUNK, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, (off_t)start);
    if (chunk == MAP_FAILED) {
        *error = errno;
        return NULL;
    }
    atomic_store(&store->size, start + WR_RAW_CHUNK);
    return chunk;
}

/** Has the disk make room behind `start`. Where it cannot, the write will tell. The file's size stays as it is. */
static void ask_ahead(struct wr_store *store, int fd, uint64_t start)
{
    if (start + WR_RAW_CHUNK <= atomic_load(&store->promised))
        return;
    atomic_store(&store->promised, start + AHEAD);
    (void)!fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)start, AHEAD);
}

int wr_store_append(struct wr_store *store, const void *chunk)
{
    int fd = need_fd(store);

    if (fd < 0)
        return errno;
    if (!may_grow(atomic_load(&store->size) + WR_RAW_CHUNK))
        return EFBIG;
    uint64_t start = atomic_fetch_add(&store->size, WR_RAW_CHUNK);
    ask_ahead(store, fd, start);
    return write_all(fd, chunk, WR_RAW_CHUNK, start);
}

void wr_store_forget(const struct wr_store *parents)
{
    if (is_own(parents))
        close(parents->fd);
}

/** Opens a new file for this process and program. */
static int open_new(struct wr_store *store, const char *path)
{
    for (unsigned n = 1; n < SAME_PID; n++) {
        struct wr_text name = WR_TEXT(store->path);
        wr_text_add(&name, n == 1 ? "%s.%u.raw" : "%s.%u-%u.raw", path, (unsigned)getpid(), n);
        if (name.full)
            return ENAMETOOLONG;
        store->fd = open(store->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (store->fd >= 0)
            return 0;
        if (errno != EEXIST)
            return errno;
    }
    return EEXIST;
}

static struct wr_raw_clock read_clock(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (struct wr_raw_clock){wr_raw_ticks(), (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec};
}

void wr_store_note_time(struct wr_store *store) { store->header->later = read_clock(); }

static void fill_header(struct wr_raw_header *header)
{
    struct timespec t;

    memcpy(header->magic, WR_RAW_MAGIC, sizeof header->magic);
    header->chunk = WR_RAW_CHUNK;
    header->pid = (uint32_t)getpid();
    header->parent = (uint32_t)getppid();
    clock_gettime(CLOCK_REALTIME, &t);
    header->started = (uint64_t)t.tv_sec;
    header->clock = read_clock();
    if (readlink("/proc/self/exe", header->program, sizeof header->program - 1) < 0)
        header->program[0] = '\0';
    header->command_size = (uint32_t)read_file("/proc/self/cmdline", header->command, sizeof header->command);
}

int wr_store_open(struct wr_store *store, const char *path)
{
    struct stat status;
    int error = open_new(store, path);

    if (error != 0)
        return error;
    int high = fcntl(store->fd, F_DUPFD_CLOEXEC, HIGH_FD);
    if (high >= 0) {
        close(store->fd);
        store->fd = high;
    }
    if (fstat(store->fd, &status) != 0)
        return errno;
    store->device = status.st_dev;
    store->inode = status.st_ino;
    store->header = wr_store_map(store, &error);
    if (store->header == NULL)
        unlink(store->path);
    else
        fill_header(store->header);
    return error;
}
