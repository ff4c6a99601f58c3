/* SPDX-License-Identifier: MIT
 * The contract of os.h on Linux. State: what has been learnt of the kernel (does process_madvise work for oneself). */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* From Linux 6.15 a process may name itself without a descriptor (PIDFD_SELF_THREAD_GROUP of linux/pidfd.h). */
#define PIDFD_SELF_GROUP (-10001)

#ifndef MADV_COLD
#define MADV_COLD 20
#endif

#define POPULATE_WRITE 23 /* MADV_POPULATE_WRITE, which older C libraries do not name */

_Static_assert(sizeof(struct wr_range) == sizeof(struct iovec) &&
                   offsetof(struct wr_range, size) == offsetof(struct iovec, iov_len),
               "a range is an iovec");

enum { BATCH = 512 }; /* ranges in one process_madvise; the kernel takes up to 1,024 */

/* Not open(), read() and their like: a thread that is cancelled would leave malloc or free there, with their locks. */

static int open_file(const char *path, int flags)
{
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0600);
}

static ssize_t read_file(int fd, void *data, size_t size) { return syscall(SYS_read, fd, data, size); }
static void close_file(int fd) { syscall(SYS_close, fd); }

size_t wr_os_page_size(void)
{
    size_t size = getauxval(AT_PAGESZ);
    return size != 0 ? size : 4096;
}

/* From this size on the kernel judges whether it can be meant (vm.overcommit_memory): as a rule it refuses more than
 * the machine has memory and swap. */
#define RESERVED_FROM ((size_t)64 << 30)

void *wr_os_map(void *hint, size_t size)
{
    int saved = errno, how = MAP_PRIVATE | MAP_ANONYMOUS | (size < RESERVED_FROM ? MAP_NORESERVE : 0);
    void *start = mmap(hint, size, PROT_READ | PROT_WRITE, how, -1, 0);
    errno = saved;
    return start == MAP_FAILED ? NULL : start;
}

bool wr_os_unmap(void *start, size_t size)
{
    int saved = errno;
    bool done = munmap(start, size) == 0;
    errno = saved;
    return done;
}

void *wr_os_remap(void *start, size_t size, size_t new_size, void *to, bool *several)
{
    int saved = errno;
    void *now = to == WR_REMAP_HERE       ? mremap(start, size, new_size, 0)
                : to == WR_REMAP_ANYWHERE ? mremap(start, size, new_size, MREMAP_MAYMOVE)
                                          : mremap(start, size, new_size, MREMAP_MAYMOVE | MREMAP_FIXED, to);
    if (several != NULL)
        *several = now == MAP_FAILED && errno == EFAULT;
    errno = saved;
    return now == MAP_FAILED ? NULL : now;
}

static bool discard_one(const struct wr_range *range, int advice)
{
    for (unsigned tries = 0; tries < 3; tries++) {
        if (madvise(range->start, range->size, advice) == 0)
            return true;
        if (errno != EAGAIN)
            return false;
    }
    return false;
}

static size_t discard_each(struct wr_range *range, size_t count, int advice)
{
    size_t done = 0;
    for (size_t i = 0; i < count; i++)
        if (discard_one(&range[i], advice))
            done++;
        else
            range[i].size = 0;
    return done;
}

/** Discards up to BATCH ranges in one call. False if any is refused, or the call is; some may be discarded then. */
static bool discard_batch(const struct wr_range *range, size_t count, int advice)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += range[i].size;
    return syscall(SYS_process_madvise, PIDFD_SELF_GROUP, range, count, advice, 0) == (long)total;
}

size_t wr_os_discard(struct wr_range *range, size_t count, enum wr_discard how)
{
    static _Atomic bool batch_unknown; /* learnt once; relaxed, a stale answer costs one system call */
    int saved = errno, advice = how == WR_DISCARD_LAZY ? MADV_FREE : MADV_DONTNEED;
    size_t at = 0, done = 0;
    if (how == WR_DISCARD_NEVER)
        return 0;
    while (count - at > 1 && !atomic_load_explicit(&batch_unknown, memory_order_relaxed)) {
        size_t n = wr_min(count - at, BATCH);
        if (discard_batch(range + at, n, advice)) {
            done += n;
        } else {
            /* Either the kernel does not know how (ENOSYS, EINVAL, EPERM, EBADF of old ones), or one range is refused:
             * only if all of them go one by one was it the kernel. */
            size_t singly = discard_each(range + at, n, advice);
            if (singly == n)
                atomic_store_explicit(&batch_unknown, true, memory_order_relaxed);
            done += singly;
        }
        at += n;
    }
    done += discard_each(range + at, count - at, advice);
    errno = saved;
    return done;
}

/** madvise() that keeps errno; 0, or what it would be. */
static int advise(void *start, size_t size, int advice)
{
    int saved = errno, error = madvise(start, size, advice) == 0 ? 0 : errno;
    errno = saved;
    return error;
}

bool wr_os_populate(void *start, size_t size)
{
    static _Atomic bool none; /* learnt once: the kernel cannot; relaxed, a stale answer costs a call */
    if (atomic_load_explicit(&none, memory_order_relaxed))
        return false;
    int error = advise(start, size, POPULATE_WRITE);
    if (error == EINVAL || error == EPERM || error == ENOSYS)
        atomic_store_explicit(&none, true, memory_order_relaxed);
    return error == 0;
}

bool wr_os_advise_huge(void *start, size_t size, bool huge)
{
    static _Atomic bool none; /* learnt once: the kernel has no huge pages; relaxed, a stale answer costs a call */
    if (atomic_load_explicit(&none, memory_order_relaxed))
        return false;
    int error = advise(start, size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    if (error == EINVAL)
        atomic_store_explicit(&none, true, memory_order_relaxed);
    return error == 0;
}

/* Pages that are marked as cold may be the first to go when memory is short, and for that a huge page of which only a
 * part is marked is split, at once. That one small page is cold for a moment does no harm. */
void wr_os_split_huge(void *start) { advise(start, wr_os_page_size(), MADV_COLD); }

enum wr_huge wr_os_huge(void)
{
    enum { UNKNOWN = -1 };
    static _Atomic int known = UNKNOWN; /* relaxed: two that ask at once get the same answer */
    char buf[64] = "";
    int huge = atomic_load_explicit(&known, memory_order_relaxed);
    if (huge != UNKNOWN)
        return (enum wr_huge)huge;
    int saved = errno, fd = open_file("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY);
    ssize_t n = fd >= 0 ? read_file(fd, buf, sizeof buf - 1) : 0;
    if (fd >= 0)
        close_file(fd);
    errno = saved;
    huge = n <= 0 || strstr(buf, "[always]") != NULL ? WR_HUGE_UNASKED
           : strstr(buf, "[madvise]") != NULL        ? WR_HUGE_ASKED
                                                     : WR_HUGE_NONE;
    atomic_store_explicit(&known, huge, memory_order_relaxed);
    return (enum wr_huge)huge;
}

/* What the kernel says of a page in the pagemap of a process. */
#define PAGE_PRESENT (UINT64_C(3) << 62) /* in memory, or swapped out */
#define PAGE_OWN (UINT64_C(1) << 56)     /* this process's alone: not the page of zeroes that a mere reader gets */

/** The entries of `count` pages from `page` on. */
static bool read_pagemap(int fd, uintptr_t page, uint64_t *entry, size_t count)
{
    size_t bytes = count * sizeof entry[0];
    return syscall(SYS_pread64, fd, entry, bytes, page * sizeof entry[0]) == (long)bytes;
}

static int open_pagemap(void) { return open_file("/proc/thread-self/pagemap", O_RDONLY); }

/* Not by mincore(): what systemd lets a service call (@system-service) has files and all that malloc needs, and not
 * that, and whoever calls what is not in it is killed. */
bool wr_os_look_resident(void *start, size_t size, unsigned char *pages)
{
    enum { AT_A_TIME = 64 };
    uint64_t entry[AT_A_TIME];
    size_t page = wr_os_page_size(), first = (uintptr_t)start / page, count = size / page, at = 0;
    int saved = errno, fd = open_pagemap();
    while (fd >= 0 && at < count) {
        size_t n = wr_min(count - at, AT_A_TIME);
        if (!read_pagemap(fd, first + at, entry, n))
            break;
        for (size_t i = 0; i < n; i++)
            pages[at++] = (entry[i] & PAGE_PRESENT) != 0;
    }
    if (fd >= 0)
        close_file(fd);
    errno = saved;
    return at == count;
}

bool wr_os_sample_untouched(void *start, size_t size, unsigned *looked, unsigned *untouched)
{
    enum { AT_A_TIME = 32, EVERY = 256, PLACES_MOST = 8 };
    uint64_t entry[AT_A_TIME];
    size_t page = wr_os_page_size(), first = (uintptr_t)start / page, room = size / page - AT_A_TIME;
    size_t places = wr_min(size / page / EVERY + 1, PLACES_MOST), place = 0;
    int saved = errno, fd = open_pagemap();
    *looked = *untouched = 0;
    for (; fd >= 0 && place < places; place++) {
        if (!read_pagemap(fd, first + room * (place + 1) / (places + 1), entry, AT_A_TIME))
            break;
        for (size_t i = 0; i < AT_A_TIME; i++)
            *untouched += (entry[i] & PAGE_PRESENT) == 0 || (entry[i] & PAGE_OWN) == 0;
        *looked += AT_A_TIME;
    }
    if (fd >= 0)
        close_file(fd);
    errno = saved;
    return place == places;
}

bool wr_os_discard_zeroes(void)
{
    size_t size = wr_os_page_size();
    volatile char *page = wr_os_map(NULL, size);
    if (page == NULL)
        return false;
    *page = 1;
    struct wr_range range = {(void *)page, size};
    bool zeroes = wr_os_discard(&range, 1, WR_DISCARD_NOW) == 1 && *page == 0;
    wr_os_unmap((void *)page, size);
    return zeroes;
}

/** The half of a 64-bit word that holds its low bits: what a futex can watch. */
static uint32_t *futex_word(_Atomic uint64_t *word)
{
    return (uint32_t *)word + (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
}

void wr_os_wait(_Atomic uint64_t *word, uint64_t value)
{
    int saved = errno;
    if (syscall(SYS_futex, futex_word(word), FUTEX_WAIT_PRIVATE, (uint32_t)value, NULL, NULL, 0) != 0 &&
        errno != EAGAIN && errno != EINTR)
        sched_yield(); /* a sandbox that denies it: at least who is waited for can run */
    errno = saved;
}

void wr_os_wake_all(_Atomic uint64_t *word)
{
    int saved = errno;
    syscall(SYS_futex, futex_word(word), FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
    errno = saved;
}

bool wr_os_nap(unsigned ms)
{
    /* On a word of its own that nobody wakes: sandboxes allow futexes, where they may not allow other ways to sleep. */
    static uint32_t word;
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    int saved = errno;
    bool slept = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &time, NULL, 0) == 0 || errno == ETIMEDOUT ||
                 errno == EINTR ||
                 syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &time, NULL) == 0; /* not a point of cancellation */
    errno = saved;
    return slept;
}

void wr_os_yield(void) { sched_yield(); }

_Atomic bool wr_os_has_company;

void wr_os_not_alone(void) { atomic_store_explicit(&wr_os_has_company, true, memory_order_relaxed); }

bool wr_os_barrier(void)
{
    int saved = errno;
    bool done = syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
    if (!done && errno == EPERM && syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0)
        done = syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
    errno = saved;
    return done;
}

uint64_t wr_os_now_ms(void)
{
    struct timespec now;
    int saved = errno;
    if (clock_gettime(CLOCK_MONOTONIC_COARSE, &now) != 0)
        now = (struct timespec){0};
    errno = saved;
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

bool wr_os_privileged(void) { return geteuid() == 0 || getauxval(AT_SECURE) != 0; }

uint64_t wr_os_now_ns(void)
{
    struct timespec now;
    int saved = errno;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
        now = (struct timespec){0};
    errno = saved;
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint32_t wr_os_thread_id(void) { return (uint32_t)syscall(SYS_gettid); }
uint32_t wr_os_process_id(void) { return (uint32_t)syscall(SYS_getpid); }

size_t wr_os_resident(void)
{
    char buf[128] = "";
    int saved = errno, fd = open_file("/proc/thread-self/statm", O_RDONLY);
    size_t pages = 0;
    if (fd >= 0) {
        ssize_t n = read_file(fd, buf, sizeof buf - 1);
        close_file(fd);
        const char *at = n > 0 ? strchr(buf, ' ') : NULL; /* the second number */
        for (at = at != NULL ? at + 1 : ""; *at >= '0' && *at <= '9'; at++)
            pages = pages * 10 + (size_t)(*at - '0');
    }
    errno = saved;
    return pages * wr_os_page_size();
}

size_t wr_os_peak_resident(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (size_t)usage.ru_maxrss * 1024 : 0;
}

const char *wr_os_program(char *buf, size_t size)
{
    int saved = errno;
    ssize_t n = readlink("/proc/self/exe", buf, size - 1);
    errno = saved;
    if (n <= 0)
        return "?";
    buf[n] = '\0';
    return buf;
}

/** Whether RLIMIT_FSIZE lets so much be appended: who writes past it gets a signal that ends the process. */
static bool may_grow(int fd, size_t size)
{
    struct rlimit most;
    off_t end = lseek(fd, 0, SEEK_END);
    return end < 0 || getrlimit(RLIMIT_FSIZE, &most) != 0 || most.rlim_cur == RLIM_INFINITY ||
           (uint64_t)end + size <= most.rlim_cur;
}

bool wr_os_append(const char *path, const void *data, size_t size)
{
    int saved = errno, fd = open_file(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW);
    bool done = fd >= 0 && may_grow(fd, size) && syscall(SYS_write, fd, data, size) == (ssize_t)size;
    if (fd >= 0)
        close_file(fd);
    errno = saved;
    return done;
}

ssize_t wr_os_read(int fd, void *data, size_t size)
{
    int saved = errno;
    ssize_t n;
    do {
        n = read(fd, data, size);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        n = -errno;
    errno = saved;
    return n;
}
