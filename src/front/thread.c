/* SPDX-License-Identifier: MIT
 * Heaps for threads; see thread.h.
 *
 * wr_self goes through: &wr_heap_none -> a heap of the registry -> &wr_heap_none. The latter is static and empty, so
 * the fast paths fail on it; `stage` says whether the thread has yet to get its heap, or had it. A thread that
 * allocates after its heap has been abandoned (in destructors that run after ours, in the C library's own teardown)
 * shares the orphan heap, under a lock. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "front/thread.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/option.h"
#include "base/text.h"
#include "core/check.h"
#include "core/purge.h"
#include "core/purger.h"
#include "front/fast.h"
#include "front/stats.h"
#include "weir/weir.h"

/* `inside` keeps it from being entered, `special` from being used without. */
struct wr_heap wr_heap_none = {
    .slot = {[0 ... WR_SMALL_SLOTS - 1] = &wr_stash_none}, .inside = true, .special = true};
WR_TLS struct wr_heap *wr_self = &wr_heap_none;

/* Of a thread whose heap is wr_heap_none. */
static WR_TLS enum stage {
    STAGE_NEW,  /* it has not allocated yet */
    STAGE_BUSY, /* it is about to get its heap, or to lose it: nobody enters, signal handlers neither */
    STAGE_GONE  /* it has lost it */
} stage;

static struct wr_heap orphan; /* serves threads that have no heap of their own any more; guarded by: orphan_lock */
static bool orphan_listed;    /* in the registry; guarded by: orphan_lock */
static struct wr_lock orphan_lock;

static struct wr_lock start_lock;
static _Atomic bool started; /* release after everything is set up */
static pthread_key_t exit_key;
static bool have_exit_key;
static _Atomic bool constructed; /* the library's constructor has run: messages can be written */

static const struct wr_thread_hooks *_Atomic hooks; /* the layer of objects', once it is used */

void wr_thread_hook(const struct wr_thread_hooks *hook) { atomic_store_explicit(&hooks, hook, memory_order_release); }

/* ---- emergencies ------------------------------------------------------------------------------------------------- */

enum { EMERGENCY_SIZE = 64 * 1024 };
static _Alignas(WR_CACHE_LINE) char emergency[EMERGENCY_SIZE];
static _Atomic uint64_t emergency_state; /* blocks in use << 32 | bytes handed out; all free: 0 */
static _Atomic(void *) deferred;         /* stack through the blocks' first words; push and take-all only, so no ABA */

void *wr_emergency_alloc(size_t size, size_t align)
{
    /* A block is preceded by its size. */
    align = wr_max(align, WR_MIN_ALIGN);
    if (size > EMERGENCY_SIZE || align > 4096)
        return NULL;
    size = wr_round_up(wr_max(size, 1), WR_MIN_ALIGN);
    uint64_t state = atomic_load_explicit(&emergency_state, memory_order_relaxed), next;
    size_t start;
    do {
        start = wr_round_up((uintptr_t)emergency + (uint32_t)state + WR_MIN_ALIGN, align) - (uintptr_t)emergency;
        if (start + size > EMERGENCY_SIZE)
            return NULL;
        next = ((state >> 32) + 1) << 32 | (start + size);
    } while (!atomic_compare_exchange_weak_explicit(&emergency_state, &state, next, memory_order_acquire,
                                                    memory_order_relaxed));
    memcpy(emergency + start - sizeof size, &size, sizeof size);
    return emergency + start;
}

bool wr_emergency_free(const void *block)
{
    if (wr_emergency_size(block) == 0)
        return false;
    uint64_t state = atomic_load_explicit(&emergency_state, memory_order_relaxed), next;
    do
        next = state >> 32 <= 1 ? 0 : state - (UINT64_C(1) << 32);
    while (!atomic_compare_exchange_weak_explicit(&emergency_state, &state, next, memory_order_release,
                                                  memory_order_relaxed));
    return true;
}

size_t wr_emergency_size(const void *block)
{
    size_t offset = (uintptr_t)block - (uintptr_t)emergency, size = 0;
    if (offset >= WR_MIN_ALIGN && offset < EMERGENCY_SIZE && offset % WR_MIN_ALIGN == 0)
        memcpy(&size, (const char *)block - sizeof size, sizeof size);
    return size;
}

void wr_defer_free(void *block)
{
    void *first = atomic_load_explicit(&deferred, memory_order_relaxed);
    do
        *(void **)block = first;
    while (
        !atomic_compare_exchange_weak_explicit(&deferred, &first, block, memory_order_release, memory_order_relaxed));
}

void *wr_deferred_frees(void)
{
    if (wr_likely(atomic_load_explicit(&deferred, memory_order_relaxed) == NULL))
        return NULL;
    return atomic_exchange_explicit(&deferred, NULL, memory_order_acquire);
}

/* ---- fork -------------------------------------------------------------------------------------------------------- */

/* fork runs these in the thread that forks; in the child it is the only one. The handlers are registered at the first
 * allocation, so they are nearly always the last before the fork and the first after it; handlers of others that run in
 * between may allocate all the same, since the locks nest meanwhile.
 *
 * A process of one thread, as shells and build tools are, takes no lock: there is nobody whose work the fork could cut
 * in two. Each page that is written while both live is copied, so nothing is written that does not change: to take all
 * locks and let go of them cost six page faults in the parent and as many in the child. */

/** Whether this thread is the only one, and Weir will not start another before the fork. */
static bool stays_alone(void) { return wr_os_alone() && wr_options.purger != WR_PURGER_ON; }

static void before_fork(void)
{
    const struct wr_thread_hooks *hook = atomic_load_explicit(&hooks, memory_order_acquire);
    if (hook == NULL && stays_alone())
        return;
    wr_lock_ranks |= WR_RANK_FORK; /* locks of one rank are held together, and any may be already: a signal handler */
    if (hook != NULL)
        hook->fork_prepare();
    wr_lock_fork_prepare(&start_lock, WR_RANK_START);
    wr_lock_fork_prepare(&orphan_lock, WR_RANK_ORPHAN);
    wr_registry_fork_prepare();
}

static void after_fork_in_parent(void)
{
    const struct wr_thread_hooks *hook = atomic_load_explicit(&hooks, memory_order_acquire);
    wr_registry_fork_done();
    wr_lock_fork_done(&orphan_lock, WR_RANK_ORPHAN);
    wr_lock_fork_done(&start_lock, WR_RANK_START);
    if (hook != NULL)
        hook->fork_done();
    if ((wr_lock_ranks & WR_RANK_FORK) != 0)
        wr_lock_ranks &= ~WR_RANK_FORK;
}

static void after_fork_in_child(void)
{
    const struct wr_thread_hooks *hook = atomic_load_explicit(&hooks, memory_order_acquire);
    wr_registry_fork_child(wr_self != &wr_heap_none ? wr_self : NULL);
    wr_purger_fork_child();
    if (hook != NULL)
        hook->fork_child();
    after_fork_in_parent();
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

static void announce(void)
{
    char program[256], buf[512] = "";
    struct wr_text text = WR_TEXT(buf);
    struct wr_option_row row;
    const char *preload = getenv("LD_PRELOAD");
    bool preloaded = preload != NULL && strstr(preload, "libweir-preload") != NULL;
    for (unsigned i = 0; wr_option_row(i, &row); i++)
        if (strcmp(row.current, row.initial) != 0)
            wr_text_add(&text, " %s=%s", row.name, row.current);
    wr_message("weir %s active in %s, %s, page %zu, options:%s", weir_version(), wr_os_program(program, sizeof program),
               preloaded ? "preloaded" : "linked", WR_PAGE_SIZE, buf[0] != '\0' ? buf : " defaults");
}

void wr_warn_of_options(void)
{
    static _Atomic bool warned;
    if (!atomic_exchange_explicit(&warned, true, memory_order_relaxed))
        wr_option_warn();
}

/** Says once, when Weir is in use, what there is to say. */
static void speak(void)
{
    static _Atomic bool spoken;
    if (atomic_exchange_explicit(&spoken, true, memory_order_relaxed))
        return;
    wr_warn_of_options();
    if (wr_options.verbose)
        announce();
}

/* ---- threads come and go ----------------------------------------------------------------------------------------- */

/** Signal handlers of this thread see it before what follows. */
static void set_stage(enum stage now)
{
    stage = now;
    atomic_signal_fence(memory_order_seq_cst);
}

/** Destructor of exit_key. What runs later in this thread, other destructors and the C library's own teardown, shares
 * the orphan heap. */
static void thread_exit(void *heap)
{
    const struct wr_thread_hooks *hook = atomic_load_explicit(&hooks, memory_order_acquire);
    if (hook != NULL)
        hook->exit();
    set_stage(STAGE_BUSY);
    wr_self = &wr_heap_none;
    wr_registry_abandon(heap);
    set_stage(STAGE_GONE);
}

/** Whether a mode is on that must see every call. */
static bool wants_special(void) { return wr_options.stats != WR_STATS_OFF || wr_options.check != 0; }

/** Gives the thread its heap. NULL when memory is short. */
static WR_NOINLINE struct wr_heap *thread_start(void)
{
    set_stage(STAGE_BUSY);
    wr_start();
    struct wr_heap *heap = wr_registry_acquire(wants_special());
    if (heap != NULL)
        wr_self = heap;
    else
        set_stage(STAGE_NEW);
    if (heap != NULL && have_exit_key)
        pthread_setspecific(exit_key, heap); /* may allocate, and can: the thread has its heap */
    if (atomic_load_explicit(&constructed, memory_order_relaxed))
        speak();
    return heap;
}

static WR_NOINLINE struct wr_heap *enter_unusual(void)
{
    if (wr_self != &wr_heap_none)
        return NULL;
    if (stage == STAGE_NEW) {
        struct wr_heap *heap = thread_start();
        if (heap != NULL)
            wr_heap_set_inside(heap, true);
        return heap;
    }
    if (stage != STAGE_GONE || wr_lock_is_mine(&orphan_lock))
        return NULL;
    wr_lock(&orphan_lock, WR_RANK_ORPHAN);
    if (!orphan_listed) {
        wr_heap_init(&orphan, wants_special());
        wr_registry_list(&orphan);
    }
    orphan_listed = true;
    return &orphan;
}

struct wr_heap *wr_enter(void)
{
    struct wr_heap *heap = wr_self;
    if (wr_unlikely(heap->inside))
        return enter_unusual();
    wr_heap_set_inside(heap, true);
    atomic_signal_fence(memory_order_seq_cst);
    return heap;
}

void wr_leave(struct wr_heap *heap)
{
    atomic_signal_fence(memory_order_seq_cst);
    if (wr_unlikely(heap == &orphan))
        wr_unlock(&orphan_lock, WR_RANK_ORPHAN);
    else
        wr_heap_set_inside(heap, false);
}

bool wr_check_all(void)
{
    struct wr_heap *heap = wr_enter();
    bool sound = heap != NULL && wr_check_heaps(heap);
    if (heap != NULL)
        wr_leave(heap);
    return sound;
}

/* ---- the process ------------------------------------------------------------------------------------------------- */

/** Takes this library out of the LD_PRELOAD that programs started from here will see. */
static void leave_preload(void)
{
    char *list = getenv("LD_PRELOAD"), *out = list;
    if (list == NULL)
        return;
    for (char *at = list; *at != '\0';) {
        size_t length = strcspn(at, ": ");
        char *after = at + length;
        if (memmem(at, length, "libweir-preload", 15) == NULL) {
            if (out != list)
                *out++ = ':';
            memmove(out, at, length);
            out += length;
        }
        at = after + strspn(after, ": ");
    }
    *out = '\0';
    if (out == list)
        unsetenv("LD_PRELOAD");
}

void wr_start(void)
{
    if (wr_likely(atomic_load_explicit(&started, memory_order_acquire)))
        return;
    wr_lock(&start_lock, WR_RANK_START);
    if (!atomic_load_explicit(&started, memory_order_relaxed)) {
        wr_option_read();
        wr_geometry_init(wr_os_page_size());
        wr_purge_init();
        wr_purger_init();
        pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
        have_exit_key = pthread_key_create(&exit_key, thread_exit) == 0;
        atomic_store_explicit(&started, true, memory_order_release);
    }
    wr_unlock(&start_lock, WR_RANK_START);
}

/* Defined by the preload library only: there the program did not ask for Weir by name, so Weir speaks for itself from
 * the start. A program that links libweir hears of it once it allocates. */
extern const bool wr_is_preload __attribute__((weak)) WR_HIDDEN;

static bool is_in_use(void)
{
    uint64_t heaps, abandoned;
    wr_registry_count(&heaps, &abandoned);
    return heaps > 0;
}

/** What needs the C library to be up. The heap may have served for long by now. */
static __attribute__((constructor)) void library_start(void)
{
    wr_start();
    atomic_store_explicit(&constructed, true, memory_order_relaxed);
    if (&wr_is_preload != NULL || is_in_use())
        speak();
    if (!wr_options.inherit)
        leave_preload();
}

static __attribute__((destructor)) void library_end(void)
{
    if (&wr_is_preload != NULL || is_in_use())
        wr_stats_at_exit();
}
