/* SPDX-License-Identifier: MIT
 * The thread that gives back what nobody comes by to give back; see purger.h. Takes no lock of its own.
 *
 * Without it the bound holds at all times, since it is kept by whoever frees; but a process that falls quiet keeps what
 * the bound allows, and its sleeping threads their caches. In a process that has threads already one more does no harm,
 * and this one sees to it that slack is near zero within a second of quiet.
 *
 * It looks every TICK_MS. Slack that was there all the time since the last look nobody has needed: that goes back
 * (core/purge.c has the law). A heap that nothing has happened in since the last look is emptied, once. When nothing is
 * left to do and nothing happens the thread ends, so an idle process has none; who makes slack or use grow starts the
 * next. In a process with rights that it may drop the thread is replaced by a new one, made with the rights that its
 * maker has then, every LIFE looks: see os/helper.c.
 *
 *   state           next
 *   0               ASKED                 somebody has work; RUNNING by whoever of them is first
 *   RUNNING         ASKED                 the same: it may not end before it has looked once more
 *   RUNNING         0                     by the purger, when it ends
 *   RUNNING | OLD   RUNNING               by whoever then starts the successor */
#include "core/purger.h"

#include "base/option.h"
#include "core/account.h"
#include "core/purge.h"
#include "core/registry.h"
#include "os/helper.h"

enum { TICK_MS = 250, LIFE = 20, FLOOR_BYTES = 256 * 1024 };
enum {
    RETRY_MS = 1000, /* where it could not be made */
    LONELY_MS = 10,  /* where the process had one thread */
    RETRY_MOST_MS = 64000,
};
enum { RUNNING = 1, ASKED = 2, OLD = 4 };

static _Atomic uint32_t state;
static _Atomic uint32_t generation; /* of purgers; one that is not the newest ends. relaxed */
static _Atomic uint64_t retry_ms;   /* not started before then. relaxed */
static _Atomic uint64_t pause_ms;   /* how long the next failure puts it off, at least. relaxed */
static _Atomic bool lonely;         /* it was last put off because the process had one thread. relaxed */
static _Atomic uint32_t home;       /* the process whose memory this is: see is_wanted(). relaxed */
/* Pages used, and bytes in the mail, when the last purger had nothing left to do. relaxed */
static _Atomic size_t settled;
static _Atomic int64_t undelivered;

static size_t used_pages(void) { return wr_account_used() >> WR_PAGE_SHIFT; }
static size_t floor_pages(void) { return (size_t)FLOOR_BYTES >> WR_PAGE_SHIFT; }
static int64_t mail(void) { return atomic_load_explicit(&wr_account.mail, memory_order_relaxed); }

/** Slack worth a thread; or so much newly used that some of it will lie in the caches of threads that sleep; or so much
 *  on its way to such threads. */
static bool has_work(void)
{
    return wr_account_slack() > floor_pages() ||
           used_pages() > atomic_load_explicit(&settled, memory_order_relaxed) + 4 * floor_pages() ||
           mail() > atomic_load_explicit(&undelivered, memory_order_relaxed) + FLOOR_BYTES;
}

/* ---- the thread ------------------------------------------------------------------------------------------------ */

struct look {
    bool active, emptied; /* some heap was in use since the last look; some heap is emptied in this */
    bool stuck;           /* there is slack that nobody has used, and it does not go: the system refuses */
};

/** Whether the heap is to be emptied: nothing has happened in it since the last look, but since it was last emptied. */
static bool is_idle(struct wr_heap *heap, void *arg)
{
    struct look *look = arg;
    uint32_t changes = atomic_load_explicit(&heap->changes, memory_order_relaxed);
    bool active = changes != atomic_exchange_explicit(&heap->seen, changes, memory_order_relaxed);
    look->active |= active;
    if (active || changes == atomic_exchange_explicit(&heap->emptied, changes, memory_order_relaxed))
        return false;
    look->emptied = true;
    return true;
}

/** One look. False when there is nothing to look again for. */
static bool goes_on(struct look *look)
{
    size_t before = wr_account_slack();
    *look = (struct look){0};
    wr_purge_heaps(is_idle, look, NULL);
    size_t after = wr_account_slack();
    size_t gone = wr_purge_unused(after > before ? after - before : 0);
    look->stuck = gone == 0 && before > floor_pages();
    return look->active || look->emptied || gone > 0 || wr_purge_waits();
}

/** Ends, unless somebody has asked since the last look. */
static bool may_end(const struct look *look)
{
    uint32_t running = RUNNING, old = RUNNING | OLD;
    atomic_store_explicit(&settled, used_pages(), memory_order_relaxed);
    atomic_store_explicit(&undelivered, mail(), memory_order_relaxed);
    if (look->stuck)
        atomic_store_explicit(&retry_ms, wr_os_now_ms() + RETRY_MOST_MS, memory_order_relaxed);
    /* Release and acquire: who asks after this sees that nobody runs; who has asked before, his slack is seen at the
     * next look. */
    return atomic_compare_exchange_strong_explicit(&state, &running, 0, memory_order_acq_rel, memory_order_relaxed) ||
           atomic_compare_exchange_strong_explicit(&state, &old, 0, memory_order_acq_rel, memory_order_relaxed);
}

/** Ends for a while, whoever has asked: with no pause between its looks the purger would have a processor to itself. */
static void give_up(void)
{
    atomic_store_explicit(&retry_ms, wr_os_now_ms() + RETRY_MOST_MS, memory_order_relaxed);
    atomic_store_explicit(&state, 0, memory_order_release);
}

static void run(void)
{
    uint32_t mine = atomic_fetch_add_explicit(&generation, 1, memory_order_relaxed) + 1;
    bool ages = wr_os_privileged();
    struct look look;
    wr_account_take_least();
    for (unsigned looks = 1;; looks++) {
        bool slept = wr_os_nap(TICK_MS);
        if (atomic_load_explicit(&generation, memory_order_relaxed) != mine)
            return;
        if (!slept) {
            give_up();
            return;
        }
        atomic_fetch_and_explicit(&state, ~(uint32_t)ASKED, memory_order_acq_rel);
        if (ages && looks % LIFE == 0)
            atomic_fetch_or_explicit(&state, OLD, memory_order_relaxed);
        if (!goes_on(&look) && may_end(&look))
            return;
    }
}

/* ---- its start ------------------------------------------------------------------------------------------------- */

static void note_home(void)
{
    uint32_t process = wr_os_process_id();
    if (atomic_load_explicit(&home, memory_order_relaxed) != process)
        atomic_store_explicit(&home, process, memory_order_relaxed);
}

void wr_purger_init(void) { note_home(); }

/** Whether the process is one that may have a purger. Asks the system. Not one that vfork() has made: it has its
 *  parent's memory, and a thread of its own would end with its exec(), in the midst of whatever it does, and be taken
 *  for the parent's for ever. */
static bool is_wanted(void)
{
    if (atomic_load_explicit(&home, memory_order_relaxed) != wr_os_process_id())
        return false;
    return wr_options.purger == WR_PURGER_ON || wr_helper_others() != 1;
}

/** Puts the next attempt off: by so much, the next time by twice as much, and so on up to a minute. */
static void put_off(uint64_t now_ms, uint64_t least_ms)
{
    uint64_t pause = wr_max(atomic_load_explicit(&pause_ms, memory_order_relaxed), least_ms);
    atomic_store_explicit(&retry_ms, now_ms + pause, memory_order_relaxed);
    atomic_store_explicit(&pause_ms, wr_min(pause * 2, RETRY_MOST_MS), memory_order_relaxed);
}

/* The C library says that there are threads just before it makes the first; who comes by in between finds none. */
void wr_purger_thread_comes(void)
{
    if (wr_os_thread_id() != wr_os_process_id())
        note_home(); /* of a child that was made without the handlers of fork() */
    if (!atomic_exchange_explicit(&lonely, false, memory_order_relaxed))
        return;
    atomic_store_explicit(&pause_ms, 0, memory_order_relaxed);
    atomic_store_explicit(&retry_ms, 0, memory_order_relaxed);
}

static WR_COLD void start(void)
{
    uint64_t now = wr_os_now_ms();
    if (now < atomic_load_explicit(&retry_ms, memory_order_relaxed))
        return;
    uint32_t seen = atomic_load_explicit(&state, memory_order_relaxed);
    do
        if ((seen & (RUNNING | OLD)) == RUNNING)
            return; /* somebody else was faster */
    while (!atomic_compare_exchange_weak_explicit(&state, &seen, (seen | RUNNING) & ~(uint32_t)OLD,
                                                  memory_order_acq_rel, memory_order_relaxed));
    wr_os_not_alone(); /* no lock is held, and no other thread could see one */
    bool wanted = is_wanted();
    if (wanted && wr_helper_start(run)) {
        atomic_store_explicit(&pause_ms, 0, memory_order_relaxed);
        return;
    }
    put_off(now, wanted ? RETRY_MS : LONELY_MS);
    atomic_store_explicit(&lonely, !wanted, memory_order_relaxed);
    if ((seen & RUNNING) == 0) /* else the old one goes on */
        atomic_store_explicit(&state, 0, memory_order_release);
}

bool wr_purger_is_absent(void)
{
    return wr_os_alone() || wr_options.purger == WR_PURGER_OFF || atomic_load_explicit(&lonely, memory_order_relaxed);
}

void wr_purger_call(void)
{
    if (wr_options.purger == WR_PURGER_OFF || wr_options.purge == WR_PURGE_NEVER || !has_work() ||
        (wr_options.purger == WR_PURGER_AUTO && wr_os_alone()))
        return;
    uint32_t was = atomic_fetch_or_explicit(&state, ASKED, memory_order_acq_rel);
    if (wr_unlikely((was & (RUNNING | OLD)) != RUNNING))
        start();
}

void wr_purger_fork_child(void)
{
    wr_helper_fork_child();
    note_home();
    if (atomic_load_explicit(&state, memory_order_relaxed) != 0)
        atomic_store_explicit(&state, 0, memory_order_relaxed);
    if (atomic_load_explicit(&settled, memory_order_relaxed) != 0)
        atomic_store_explicit(&settled, 0, memory_order_relaxed);
    if (atomic_load_explicit(&undelivered, memory_order_relaxed) != 0)
        atomic_store_explicit(&undelivered, 0, memory_order_relaxed);
}
