/* SPDX-License-Identifier: MIT
 * The contract with the operating system. Only src/os makes system calls that concern memory, threads or time.
 *
 * Every function keeps errno unless it says otherwise, takes no lock, allocates nothing, and may be called at any time.
 * Sizes are bytes and multiples of the page; addresses are page-aligned. A failure is a return value, never a message.
 */
#ifndef WR_OS_H
#define WR_OS_H

#include <stdatomic.h>
#include <sys/types.h>

#include "base/base.h"

/** A range of whole pages. */
struct wr_range {
    void *start;
    size_t size;
};

/** How pages are given back. */
enum wr_discard {
    WR_DISCARD_NOW,   /* MADV_DONTNEED: gone at once, read as zero afterwards */
    WR_DISCARD_LAZY,  /* MADV_FREE: gone under pressure, content undefined afterwards */
    WR_DISCARD_NEVER, /* not at all */
};

/** Bytes of a page, a power of two. */
size_t wr_os_page_size(void);

/** Zeroed private memory, reserved but not resident; at `hint` if that is free, else anywhere. NULL if refused. */
void *wr_os_map(void *hint, size_t size);

/** Gives a range of address space back. False if refused (the map-count limit, when it would split a mapping). */
bool wr_os_unmap(void *start, size_t size);

/* Places for wr_os_remap() to choose. */
#define WR_REMAP_HERE ((void *)0)     /* where it is */
#define WR_REMAP_ANYWHERE ((void *)1) /* where it is, else where there is room */

/** Resizes a mapping of wr_os_map(), at `to`: an address, which the caller has mapped for it, or one of the above.
 *  @param several set to whether it is refused because the range is several mappings to the kernel; may be NULL
 *  @return where it is now. NULL if refused; then it is as it was, but what was mapped at the address may be gone. */
void *wr_os_remap(void *start, size_t size, size_t new_size, void *to, bool *several);

/** Discards the content of `count` ranges of resident memory, in as few calls as the kernel allows. The size of a range
 *  that it refuses (locked memory, a sandbox) is set to 0.
 *  @return the number of ranges that are certainly discarded. */
size_t wr_os_discard(struct wr_range *range, size_t count, enum wr_discard how);

/** Makes all pages of the range resident, writable, at once. False if the kernel does not (before Linux 5.14, in a
 *  sandbox, short of memory); some of them may be resident then. */
bool wr_os_populate(void *start, size_t size);

/** Advises that huge pages back the range, or that they do not. False if refused, or if the kernel has none. */
bool wr_os_advise_huge(void *start, size_t size, bool huge);

/** Has the huge page that backs the page at `start`, if one does, be small ones from here on. Without that the system
 *  frees no part of it, however much of it is discarded, until it is short of memory. What the pages hold stays. */
void wr_os_split_huge(void *start);

/** What the system's setting says of huge pages: it has none, backs those ranges with them for which they are asked for
 *  by wr_os_advise_huge(), or every range, unasked. Where it does not tell: the last. Asked once. */
enum wr_huge { WR_HUGE_NONE, WR_HUGE_ASKED, WR_HUGE_UNASKED };
enum wr_huge wr_os_huge(void);

/** Which pages of the range are resident, or swapped out: bit 0 of a byte for each. False if the system does not tell:
 *  no descriptor is left, or the process has changed its user. */
bool wr_os_look_resident(void *start, size_t size, unsigned char *pages);

/** Looks at some pages of a range, spread evenly: how many, and how many of these were never written to. What a
 *  process shares with its parent or child, and what is swapped out, counts as such. False if the system does not tell.
 *  pre: the range has 32 pages. */
bool wr_os_sample_untouched(void *start, size_t size, unsigned *looked, unsigned *untouched);

/** Whether discarded pages have been seen to read as zero (not under every emulator). Asked once, at start. */
bool wr_os_discard_zeroes(void);

/** True while the process certainly has one thread: then atomics are not needed. It changes only by what that thread
 *  itself does outside Weir (pthread_create, pthread_join), or outside of any lock by wr_os_not_alone(). */
WR_INLINE bool wr_os_alone(void);

/** The same as the C library has it, for code that is not a part of Weir's allocator. */
WR_INLINE bool wr_os_single_threaded(void);

/** Makes wr_os_alone() false from here on: there will be a thread that the C library does not know. */
void wr_os_not_alone(void);

/** Sleeps until *word is no longer `value` (its low 32 bits), a wake comes, or for no reason. */
void wr_os_wait(_Atomic uint64_t *word, uint64_t value);
void wr_os_wake_all(_Atomic uint64_t *word);
/** Sleeps for about so long, or less. False if the system lets nobody sleep. */
bool wr_os_nap(unsigned ms);
/** Lets another thread run. */
void wr_os_yield(void);

/** Has every thread of the process pass a full memory barrier: what each wrote before is then seen by all, and what the
 *  caller wrote before is seen by all that they read after. False if the system cannot. */
bool wr_os_barrier(void);

/** Milliseconds of a monotonic clock that is cheap and coarse (some 4 ms). */
uint64_t wr_os_now_ms(void);

/** Whether the process has rights that it may drop: it runs as root, or was given more rights than its caller has. */
bool wr_os_privileged(void);

/** Nanoseconds of a monotonic clock that is exact. */
uint64_t wr_os_now_ns(void);

/** The ids of the calling thread and of its process as tools show them. */
uint32_t wr_os_thread_id(void);
uint32_t wr_os_process_id(void);

/** Resident bytes of the process now and at most so far; 0 where the system does not tell. */
size_t wr_os_resident(void);
size_t wr_os_peak_resident(void);

/** The program's name, "?" if unknown; writes at most `size` bytes to `buf`. */
const char *wr_os_program(char *buf, size_t size);

/** Appends `size` bytes to the file at `path` in one write, creating it. False if it cannot. */
bool wr_os_append(const char *path, const void *data, size_t size);

/** Reads from a descriptor, again where a signal interrupted it. Bytes read, 0 at the end, or -errno. */
ssize_t wr_os_read(int fd, void *data, size_t size);

#if defined(__has_include)
#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#define WR_HAVE_SINGLE_THREADED 1
#endif
#endif

extern _Atomic bool wr_os_has_company WR_HIDDEN; /* relaxed: written before the other thread is made */

WR_INLINE bool wr_os_single_threaded(void)
{
#ifdef WR_HAVE_SINGLE_THREADED
    return __libc_single_threaded;
#else
    return false;
#endif
}

WR_INLINE bool wr_os_alone(void)
{
    return wr_os_single_threaded() && !atomic_load_explicit(&wr_os_has_company, memory_order_relaxed);
}

#endif
