/* SPDX-License-Identifier: MIT
 * The slow paths of recording; see record.h. One lock, never held while a program's code runs: a signal handler that
 * calls malloc in the midst of this is turned away before it comes to the lock, by `inside`. */
#include "trace/record.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/text.h"
#include "trace/interpose.h"
#include "trace/store.h"

enum { RECORDERS = 1 << 16 }; /* threads that live at the same time */

/* In memory that fork wipes. */
static struct shared {
    atomic_flag lock;
    bool started;              /* guarded by the lock, as is the rest */
    _Atomic bool off;          /* recording has ended, or was not asked for */
    uint32_t threads, used;    /* numbers given to threads; recorders made */
    struct wr_recorder *spare; /* without a thread, with a chunk */
    struct wr_store store;
    struct wr_recorder recorder[RECORDERS];
} *shared;

/* In memory that fork copies. */
static struct wr_store parents; /* the store last opened */
static bool unavailable, forked;
static char wanted[WR_RAW_PATH]; /* where traces go; empty: not looked for, or nowhere */
static pthread_key_t key;

static struct wr_recorder none;
WR_TLS struct wr_recorder *wr_recorder = &none;
static WR_TLS bool inside, ended;
static WR_TLS uint32_t ended_thread; /* its number */

/* ---- stopping -------------------------------------------------------------------------------------------------- */

static void lock(void)
{
    while (atomic_flag_test_and_set_explicit(&shared->lock, memory_order_acquire))
        wr_os_yield();
}

static void unlock(void) { atomic_flag_clear_explicit(&shared->lock, memory_order_release); }

/** Recording ends, with one line; the program goes on. */
static void stop(int error)
{
    if (atomic_exchange(&shared->off, true))
        return;
    if (shared->store.header != NULL)
        shared->store.header->stopped = (uint32_t)error;
    wr_message("recording stopped: cannot write to %s: %s (error %d); the program goes on", shared->store.path,
               error == ENOSPC   ? "no space left on the disk"
               : error == EDQUOT ? "the disk quota is used up"
               : error == EFBIG  ? "it would exceed the limit for files (ulimit -f)"
                                 : "the system refuses",
               error);
}

/** A call that a signal handler made while this thread was here. */
static void count_lost(void)
{
    if (shared != NULL && shared->store.header != NULL)
        __atomic_fetch_add(&shared->store.header->lost, 1, __ATOMIC_RELAXED);
}

/* ---- recorders ------------------------------------------------------------------------------------------------- */

/** Begins r's chunk anew. */
static void begin_chunk(struct wr_recorder *r)
{
    *(struct wr_raw_chunk *)(void *)r->chunk = (struct wr_raw_chunk){
        .magic = WR_RAW_CHUNK_MAGIC,
        .stream = (uint32_t)(r - shared->recorder),
        .sequence = ++r->sequence,
        .thread = r->thread,
        .time = r->time,
        .address = r->address,
    };
    r->pos = (uint32_t *)(void *)(r->chunk + sizeof(struct wr_raw_chunk));
    r->full = (uint32_t *)(void *)(r->chunk + WR_RAW_CHUNK) - WR_TRACE_LONGEST;
    r->limit = r->pos;
}

/** Maps a chunk for r, which has none. */
static bool map_chunk(struct wr_recorder *r)
{
    int error;

    r->chunk = wr_store_map(&shared->store, &error);
    if (r->chunk == NULL) {
        stop(error);
        return false;
    }
    begin_chunk(r);
    return true;
}

/** Puts r's full chunk away. Needs no lock but that r is the caller's. */
static bool refill(struct wr_recorder *r)
{
    uint8_t *records = r->chunk + sizeof(struct wr_raw_chunk);
    int error = shared->off ? ECANCELED : wr_store_append(&shared->store, r->chunk);

    if (error != 0) {
        if (error != ECANCELED)
            stop(error);
        return false;
    }
    memset(records, 0, sizeof *r->pos); /* if the process ends now the copy has more records */
    atomic_signal_fence(memory_order_seq_cst);
    memset(records, 0, WR_RAW_CHUNK - sizeof(struct wr_raw_chunk));
    atomic_signal_fence(memory_order_seq_cst);
    begin_chunk(r);
    wr_store_note_time(&shared->store);
    return true;
}

/** A recorder for the thread of that number, with room for two records; NULL where there is none. */
static struct wr_recorder *take(uint32_t thread)
{
    struct wr_recorder *r = shared->spare;

    if (r != NULL) {
        shared->spare = r->next;
    } else {
        if (shared->used == RECORDERS)
            return NULL;
        r = &shared->recorder[shared->used++];
    }
    r->thread = thread;
    if (r->chunk == NULL)
        return map_chunk(r) ? r : NULL;
    r->limit = r->pos;
    if (r->pos + WR_TRACE_LONGEST >= r->full)
        return refill(r) ? r : NULL;
    wr_trace_write(r, WR_RAW_THREAD, 0, thread);
    return r;
}

static void give_back(struct wr_recorder *r)
{
    r->next = shared->spare;
    shared->spare = r;
}

/** A thread's destructor. What it calls after this is recorded one by one. */
static void leave(void *arg)
{
    (void)arg;
    inside = true;
    if (wr_recorder->thread != 0) {
        lock();
        ended_thread = wr_recorder->thread;
        give_back(wr_recorder);
        unlock();
    }
    ended = true;
    wr_recorder = &none;
    inside = false;
}

/* ---- records with more than a word ---------------------------------------------------------------------------- */

/** Looks at the clock. @return the time since r last did, now the last. */
static uint64_t look(struct wr_recorder *r)
{
    uint64_t now = wr_raw_ticks() / WR_RAW_TICK, passed = now > r->time ? now - r->time : 0;

    r->time += passed;
    return passed;
}

/** Puts a word down at `at`. @return where the next goes. */
static uint32_t *put_word(uint32_t *at, uint64_t word)
{
    at[1] = (uint32_t)(word >> 32);
    atomic_signal_fence(memory_order_seq_cst);
    at[0] = (uint32_t)word;
    return at + 2;
}

/** Puts down a record that does not fit a word. @return where the next goes. */
static WR_COLD uint32_t *write_long(struct wr_recorder *r, unsigned op, uintptr_t address, uint64_t size,
                                    uint64_t passed)
{
    uint32_t *at = r->pos;

    if (passed >= WR_RAW_TIME_END) {
        at = put_word(at, WR_RAW_TIME << WR_RAW_OP_AT | passed << WR_RAW_VALUE_AT);
        passed = 0;
    }
    if (size >= WR_RAW_SIZE_END) {
        at = put_word(at, WR_RAW_SIZE << WR_RAW_OP_AT | (size < WR_RAW_HUGE ? size : WR_RAW_HUGE) << WR_RAW_VALUE_AT);
        size = 0;
    }
    /* What is no multiple of 8 is no block: a free of it is one of a block that nobody knows. */
    address &= ~(uintptr_t)7;
    if (address != r->address)
        at = put_word(at, WR_RAW_ADDRESS << WR_RAW_OP_AT | (uint64_t)address >> 3 << WR_RAW_VALUE_AT);
    r->address = address;
    return put_word(at, op << WR_RAW_OP_AT | passed << WR_RAW_TIME_AT | size << WR_RAW_SIZE_AT |
                            WR_RAW_NEAR << (WR_RAW_ADDRESS_AT - 3));
}

void wr_trace_write(struct wr_recorder *r, unsigned op, uintptr_t address, uint64_t size)
{
    uint32_t *at = r->pos, *limit = r->limit, *full = r->full;
    uint64_t passed = 0;

    r->limit = NULL;
    atomic_signal_fence(memory_order_seq_cst);
    if (!wr_os_single_threaded()) {
        passed = look(r);
        limit = at;
    } else if (at >= limit) {
        passed = look(r);
        limit = full - at > WR_TRACE_UNTIMED ? at + WR_TRACE_UNTIMED : full;
    }
    uint64_t distance = address - r->address + WR_RAW_NEAR;
    if (wr_likely(((distance & ~(2 * WR_RAW_NEAR - 8)) | size / WR_RAW_SIZE_END | passed / WR_RAW_TIME_END) == 0)) {
        at = put_word(at, op << WR_RAW_OP_AT | passed << WR_RAW_TIME_AT | size << WR_RAW_SIZE_AT |
                              distance << (WR_RAW_ADDRESS_AT - 3));
        r->address = address;
    } else {
        at = write_long(r, op, address, size, passed);
    }
    atomic_signal_fence(memory_order_seq_cst);
    if (wr_likely(r->full == full)) { /* as in wr_trace_put() */
        r->pos = at;
        atomic_signal_fence(memory_order_seq_cst);
        r->limit = limit;
    }
}

/* ---- starting -------------------------------------------------------------------------------------------------- */

/** At the first call of a process. */
static void start(void)
{
    shared->started = true;
    if (*wanted == '\0' && !wr_store_wanted(wanted, sizeof wanted)) {
        shared->off = true;
        return;
    }
    if (forked)
        wr_store_forget(&parents);
    int error = wr_store_open(&shared->store, wanted);
    if (error != 0) {
        stop(error);
        return;
    }
    shared->store.header->forked = forked;
    wr_trace_name_allocator(shared->store.header->allocator, WR_RAW_PATH);
    parents = shared->store;
    forked = true;
}

void wr_trace_begin(void)
{
    if (*wanted == '\0')
        wr_store_wanted(wanted, sizeof wanted);
    wr_store_unfollow();
}

/** Makes the shared memory, once in the process's first life. */
static bool prepare(void)
{
    if (shared != NULL || unavailable)
        return shared != NULL;
    shared = wr_store_wiped(sizeof *shared);
    unavailable = shared == NULL || pthread_key_create(&key, leave) != 0;
    if (unavailable)
        wr_message("recording is not possible here: the kernel has no MADV_WIPEONFORK");
    return !unavailable;
}

/** A recorder for a thread that has none, or for a child of fork; NULL if there is none. Locked. */
static struct wr_recorder *need_recorder(void)
{
    struct wr_recorder *r = take(++shared->threads);

    shared->store.header->threads = shared->threads;
    wr_recorder = r != NULL ? r : &none;
    if (r != NULL)
        pthread_setspecific(key, r);
    return r;
}

/** Of a thread that is past its destructor. */
static void record_late(unsigned op, uintptr_t address, uint64_t size)
{
    struct wr_recorder *r = take(ended_thread != 0 ? ended_thread : ++shared->threads);

    if (r == NULL)
        return;
    wr_trace_write(r, op, address, size);
    give_back(r);
}

static void record_locked(unsigned op, uintptr_t address, uint64_t size)
{
    if (!shared->started)
        start();
    if (shared->off)
        return;
    if (ended) {
        record_late(op, address, size);
    } else {
        struct wr_recorder *r = wr_recorder->full != NULL ? wr_recorder : need_recorder();
        if (r != NULL && r->limit != NULL && r->pos < r->full)
            wr_trace_write(r, op, address, size);
    }
}

static void record_inside(unsigned op, uintptr_t address, uint64_t size)
{
    struct wr_recorder *r = wr_recorder;

    if (r->full != NULL && r->pos >= r->full) {
        if (refill(r))
            wr_trace_write(r, op, address, size);
        return;
    }
    lock();
    record_locked(op, address, size);
    unlock();
}

static WR_COLD void record_slow(unsigned op, uintptr_t address, uint64_t size)
{
    struct wr_recorder *r = wr_recorder;
    int saved = errno, state;

    if (inside || (r->limit == NULL && r->full != NULL)) {
        count_lost();
        return;
    }
    inside = true;
    /* What writes to files is a point of cancellation, and malloc must be none. */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    atomic_signal_fence(memory_order_seq_cst);
    if (prepare())
        record_inside(op, address, size);
    atomic_signal_fence(memory_order_seq_cst);
    inside = false;
    pthread_setcancelstate(state, NULL);
    errno = saved;
}

void *wr_trace_record(unsigned op, uintptr_t address, uint64_t size)
{
    struct wr_recorder *r = wr_recorder;

    if (wr_likely(r->limit != NULL && r->pos < r->full))
        wr_trace_write(r, op, address, size);
    else
        record_slow(op, address, size);
    return wr_hide((void *)address);
}
