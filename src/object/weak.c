/* SPDX-License-Identifier: MIT
 * Weak references: a table from objects to those that refer to them weakly. An object in it has WR_STATE_WEAK; one that
 * is not costs nothing.
 *
 * Those that are to have their callback called stay in the table until that begins, marked as dying: whoever finishes
 * one finds it there, and it is not called any more. Callbacks that run are in a list, so that who finishes a weak
 * reference in another thread can wait.
 *
 * The table is in stripes by the object's address, each with a lock (WR_RANK_WEAK) and buckets of struct weir_weak,
 * which are the callers' memory. Buckets double when there is memory for it; where there is none chains get longer, so
 * nothing here can fail. A dying object is severed before its block is freed, under the same lock under which a weak
 * reference is upgraded: an upgrade never reads a freed header, and fails once the count is none. */
#include "core/meta.h"
#include "object/domain.h"

#define STRIPES 16u
enum { FIRST_BUCKETS = 16 };

static struct stripe {
    _Alignas(WR_CACHE_LINE) struct wr_lock lock;
    struct weir_weak **bucket; /* guarded by: lock, as are all below */
    size_t buckets;            /* a power of two */
    size_t count;
    struct weir_weak *first[FIRST_BUCKETS]; /* what `bucket` is at the start */
} stripes[STRIPES];

/** Weak references in the table that are dying. */
static _Atomic size_t dying;

/** Callbacks of a dead object, that a thread calls; on its stack. */
struct call {
    struct call *next;              /* guarded by: calls.lock */
    uint64_t thread;                /* as wr_lock_me() */
    struct weir_weak *_Atomic weak; /* the one whose callback runs; NULL: none, or the callback has finished it */
};

static struct {
    _Alignas(WR_CACHE_LINE) struct wr_lock lock; /* never held together with a stripe's, but in fork */
    struct call *first;                          /* guarded by: lock */
    unsigned waiting;                            /* threads; guarded by: lock */
    _Atomic unsigned count;                      /* written under the lock */
    _Atomic uint64_t turn;                       /* callbacks that have been waited for */
} calls;

static uint64_t hash(const void *object) { return (uintptr_t)object * UINT64_C(0x9e3779b97f4a7c15); }

static struct stripe *lock(const void *object)
{
    struct stripe *stripe = &stripes[hash(object) >> 60];
    wr_lock(&stripe->lock, WR_RANK_WEAK);
    if (wr_unlikely(stripe->bucket == NULL)) {
        stripe->bucket = stripe->first;
        stripe->buckets = FIRST_BUCKETS;
    }
    return stripe;
}

static void unlock(struct stripe *stripe) { wr_unlock(&stripe->lock, WR_RANK_WEAK); }

static struct weir_weak **bucket_of(const struct stripe *stripe, const void *object)
{
    return &stripe->bucket[(hash(object) >> 20) & (stripe->buckets - 1)];
}

/* What a weak reference has for its object: NULL, the object, or that with this added: the object is dead, and the
 * callback is to be called. */
enum { DYING = 1 };

static void *mark_dying(const void *object) { return (char *)(uintptr_t)object + DYING; }
static bool is_dying(const void *object) { return ((uintptr_t)object & DYING) != 0; }
static void *unmark(const void *object) { return (char *)(uintptr_t)object - ((uintptr_t)object & DYING); }

static void set_object(struct weir_weak *weak, void *object)
{
    __atomic_store_n(&weak->object, object, __ATOMIC_RELEASE);
}
static void *get_object(const struct weir_weak *weak) { return __atomic_load_n(&weak->object, __ATOMIC_ACQUIRE); }

/** Doubles the buckets of a stripe that has many; memory is taken outside the lock. */
static void grow(struct stripe *stripe)
{
    size_t buckets = stripe->buckets * 2, old_buckets = stripe->buckets;
    unlock(stripe);
    struct weir_weak **fresh = weir_calloc(buckets, sizeof *fresh), **old = NULL;
    wr_lock(&stripe->lock, WR_RANK_WEAK);
    if (fresh != NULL && stripe->buckets == old_buckets) {
        old = stripe->bucket;
        stripe->bucket = fresh;
        stripe->buckets = buckets;
        for (size_t i = 0; i < old_buckets; i++)
            for (struct weir_weak *weak = old[i], *next; weak != NULL; weak = next) {
                struct weir_weak **at = bucket_of(stripe, unmark(weak->object));
                next = weak->next;
                weak->next = *at;
                *at = weak;
            }
        fresh = old != stripe->first ? old : NULL;
    }
    unlock(stripe);
    weir_free(fresh);
}

/** Takes the weak reference out of the chain that *at leads to. pre: lock. */
static void take_out(struct stripe *stripe, struct weir_weak **at)
{
    struct weir_weak *weak = *at;
    *at = weak->next;
    weak->next = NULL;
    stripe->count--;
    if (is_dying(weak->object))
        atomic_fetch_sub_explicit(&dying, 1, memory_order_relaxed);
}

/** Takes a weak reference out of the chain of its object, if it is there. pre: lock. */
static void find_and_take_out(struct stripe *stripe, const void *object, const struct weir_weak *weak)
{
    for (struct weir_weak **at = bucket_of(stripe, object); *at != NULL; at = &(*at)->next)
        if (*at == weak) {
            take_out(stripe, at);
            return;
        }
}

/** A weak reference whose callback is yet to be called is made anew: it is not called. The memory may be fresh: nothing
 *  is concluded from what it says but where to look. */
static WR_NOINLINE void forget_dying(struct weir_weak *weak)
{
    void *object = get_object(weak);
    if (!is_dying(object))
        return;
    struct stripe *stripe = lock(unmark(object));
    find_and_take_out(stripe, unmark(object), weak);
    unlock(stripe);
}

void weir_weak_init(struct weir_weak *weak, void *object, weir_weak_fn callback, void *arg)
{
    if (wr_unlikely(atomic_load_explicit(&dying, memory_order_relaxed) > 0))
        forget_dying(weak);
    *weak = (struct weir_weak){.object = object, .callback = callback, .arg = arg};
    if (object == NULL)
        return;
    if (weir_is_immortal(object))
        return; /* it will never be severed, and its header is not to be written to */
    struct wr_header *header = wr_header_of(object);
    if (wr_count_sort(wr_count(header)) == WR_SORT_NONE || wr_count_sort(wr_count(header)) == WR_SORT_PENDING)
        wr_object_misuse(header, "weak reference");
    struct stripe *stripe = lock(object);
    struct weir_weak **at = bucket_of(stripe, object);
    weak->next = *at;
    *at = weak;
    wr_state_set(header, WR_STATE_WEAK);
    if (++stripe->count > stripe->buckets * 2)
        grow(stripe);
    else
        unlock(stripe);
}

/** One reference more, if there is one yet. pre: the object's stripe is locked, or it is the caller's own. */
static bool upgrade(struct wr_header *header)
{
    struct wr_header now, next;
    do {
        next = now = wr_header_now(header);
        switch (wr_count_sort(now.count)) {
        case WR_SORT_OWN:
            next.count = (int32_t)((uint32_t)now.count + 1);
            break;
        case WR_SORT_SHARED:
            if (now.state == 0)
                return false;
            if ((int32_t)now.state < 0) { /* more than are counted */
                wr_shared_immortalize(header);
                return true;
            }
            next.state++;
            break;
        case WR_SORT_IMMORTAL:
            return true;
        default:
            return false;
        }
    } while (!wr_header_replace(header, now, next));
    return true;
}

void *weir_weak_get(struct weir_weak *weak)
{
    for (;;) {
        void *object = get_object(weak);
        if (object == NULL || is_dying(object))
            return NULL;
        struct stripe *stripe = lock(object);
        bool same = get_object(weak) == object, alive = same && upgrade(wr_header_of(object));
        unlock(stripe);
        if (same)
            return alive ? object : NULL;
    }
}

/** Has the weak reference refer to nothing; its callback will not begin any more. */
static void leave_table(struct weir_weak *weak)
{
    for (void *object; (object = get_object(weak)) != NULL;) {
        struct stripe *stripe = lock(unmark(object));
        if (get_object(weak) == object) {
            find_and_take_out(stripe, unmark(object), weak);
            set_object(weak, NULL);
        }
        unlock(stripe);
    }
}

/** Whether the callback of a weak reference is running in another thread. What runs in this one no longer concerns it.
 *  pre: calls.lock. */
static bool runs_elsewhere(const struct weir_weak *weak)
{
    bool elsewhere = false;
    for (struct call *call = calls.first; call != NULL; call = call->next)
        if (atomic_load_explicit(&call->weak, memory_order_relaxed) == weak) {
            if (call->thread == wr_lock_me())
                atomic_store_explicit(&call->weak, NULL, memory_order_relaxed);
            else
                elsewhere = true;
        }
    return elsewhere;
}

/** Waits until the callback has returned, if it is running in another thread; whether it was. */
static bool wait_for_callback(const struct weir_weak *weak)
{
    bool waited = false;
    if (wr_likely(atomic_load_explicit(&calls.count, memory_order_relaxed) == 0))
        return false;
    wr_lock(&calls.lock, WR_RANK_WEAK);
    while (runs_elsewhere(weak)) {
        uint64_t turn = atomic_load_explicit(&calls.turn, memory_order_relaxed);
        calls.waiting++;
        wr_unlock(&calls.lock, WR_RANK_WEAK);
        wr_os_wait(&calls.turn, turn);
        wr_lock(&calls.lock, WR_RANK_WEAK);
        calls.waiting--;
        waited = true;
    }
    wr_unlock(&calls.lock, WR_RANK_WEAK);
    return waited;
}

void weir_weak_fini(struct weir_weak *weak)
{
    do
        leave_table(weak);
    while (wait_for_callback(weak)); /* which may have made it refer to something again */
}

bool wr_weak_detach(void *object, bool (*dies_too)(const void *address, void *arg), void *arg)
{
    struct stripe *stripe = lock(object);
    struct weir_weak **chain = bucket_of(stripe, object), **at = chain, *weak, *first = NULL, **last = NULL;
    while ((weak = *at) != NULL) {
        if (weak->object != object) {
            at = &weak->next;
        } else if (weak->callback != NULL && !dies_too(weak, arg)) {
            set_object(weak, mark_dying(object));
            atomic_fetch_add_explicit(&dying, 1, memory_order_relaxed);
            *at = weak->next; /* to the front of the chain: where wr_weak_call() finds it, the oldest first */
            weak->next = first;
            last = first == NULL ? &weak->next : last;
            first = weak;
        } else {
            take_out(stripe, at);
            set_object(weak, NULL);
        }
    }
    bool to_call = first != NULL;
    if (to_call) {
        *last = *chain;
        *chain = first;
    } else { /* else wr_weak_call() does this */
        wr_state_clear(wr_header_of(object), WR_STATE_WEAK);
    }
    unlock(stripe);
    return to_call;
}

/** Takes a dying weak reference out of the table, whose callback begins; a copy of it. None is left: `callback` is
 *  NULL. */
static struct weir_weak begin_callback(void *object, struct call *call)
{
    struct weir_weak now = {.callback = NULL};
    struct stripe *stripe = lock(object);
    bool others = false;
    for (struct weir_weak **at = bucket_of(stripe, object), *weak; (weak = *at) != NULL; at = &weak->next) {
        others |= weak->object == object;
        if (weak->object == mark_dying(object)) {
            now = *weak;
            atomic_store_explicit(&call->weak, weak, memory_order_relaxed);
            take_out(stripe, at);
            set_object(weak, NULL);
            break;
        }
    }
    if (now.callback == NULL && !others)
        wr_state_clear(wr_header_of(object), WR_STATE_WEAK);
    unlock(stripe);
    return now;
}

static void end_callback(struct call *call)
{
    wr_lock(&calls.lock, WR_RANK_WEAK);
    atomic_store_explicit(&call->weak, NULL, memory_order_relaxed);
    bool wake = calls.waiting > 0;
    atomic_fetch_add_explicit(&calls.turn, wake, memory_order_relaxed);
    wr_unlock(&calls.lock, WR_RANK_WEAK);
    if (wake)
        wr_os_wake_all(&calls.turn);
}

static void list_call(struct call *call)
{
    wr_lock(&calls.lock, WR_RANK_WEAK);
    call->next = calls.first;
    calls.first = call;
    atomic_fetch_add_explicit(&calls.count, 1, memory_order_relaxed);
    wr_unlock(&calls.lock, WR_RANK_WEAK);
}

static void unlist_call(struct call *call)
{
    wr_lock(&calls.lock, WR_RANK_WEAK);
    struct call **at = &calls.first;
    while (*at != call)
        at = &(*at)->next;
    *at = call->next;
    atomic_fetch_sub_explicit(&calls.count, 1, memory_order_relaxed);
    wr_unlock(&calls.lock, WR_RANK_WEAK);
}

void wr_weak_call(void *object)
{
    struct call call = {.thread = wr_lock_me()};
    list_call(&call);
    for (struct weir_weak now; (now = begin_callback(object, &call)).callback != NULL;) {
        now.callback(atomic_load_explicit(&call.weak, memory_order_relaxed), now.arg);
        end_callback(&call); /* the memory of the weak reference may be gone */
    }
    unlist_call(&call);
}

static bool lies_in_cleared(const void *weak, void *arg WR_UNUSED) { return wr_gc_clears(weak); }

/* What a pass clears may keep an object that the pass did not look at; it dies together with those that refer to it. */
void wr_weak_sever(void *object)
{
    if (wr_weak_detach(object, lies_in_cleared, NULL))
        wr_weak_call(object);
}

void wr_weak_fork_prepare(void)
{
    for (unsigned i = 0; i < STRIPES; i++)
        wr_lock_fork_prepare(&stripes[i].lock, WR_RANK_WEAK);
    wr_lock_fork_prepare(&calls.lock, WR_RANK_WEAK);
}

void wr_weak_fork_done(void)
{
    wr_lock_fork_done(&calls.lock, WR_RANK_WEAK);
    for (unsigned i = STRIPES; i-- > 0;)
        wr_lock_fork_done(&stripes[i].lock, WR_RANK_WEAK);
}

void wr_weak_fork_child(void)
{
    unsigned count = 0;
    for (struct call **at = &calls.first; *at != NULL;)
        if ((*at)->thread == wr_lock_me()) {
            count++;
            at = &(*at)->next;
        } else {
            *at = (*at)->next;
        }
    atomic_store_explicit(&calls.count, count, memory_order_relaxed);
    calls.waiting = 0;
}
