/* SPDX-License-Identifier: MIT
 * The patterns of ebb: how a table of blocks is built and what of it is freed. */
#include "ebb.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* ---- blocks ---------------------------------------------------------------------------------------------------- */

/** splitmix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014. */
static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/** Below `n`, which is less than 2^32. */
static size_t below(uint64_t *state, size_t n) { return (size_t)((next(state) >> 32) * n >> 32); }

static size_t between(uint64_t *state, size_t least, size_t most) { return least + below(state, most - least + 1); }

/** Adds to what the parent sees of live bytes; not each time, because the hands share it. */
static void say_live(struct ebb_hand *hand, int64_t bytes)
{
    hand->unsaid += bytes;
    if (hand->unsaid > 65536 || hand->unsaid < -65536) {
        atomic_fetch_add_explicit(&hand->run->report->live, hand->unsaid, memory_order_relaxed);
        hand->unsaid = 0;
    }
}

static void say_all(struct ebb_hand *hand)
{
    struct ebb_report *report = hand->run->report;
    atomic_fetch_add_explicit(&report->live, hand->unsaid, memory_order_relaxed);
    report->damaged += hand->damaged;
    report->operations += hand->operations;
    hand->unsaid = 0;
    hand->damaged = hand->operations = 0;
}

/** What the first and the last byte of a block of this size are. */
static char stamp(size_t size) { return (char)(size % 251 + 1); }

static char *take(struct ebb_hand *hand, size_t size)
{
    char *block = malloc(size);
    if (block == NULL)
        ebb_die("malloc(%zu): %s", size, strerror(errno));
    hand->operations++;
    say_live(hand, (int64_t)size);
    return block;
}

/** Puts a new block, written in full, into an empty slot. */
static void put(struct ebb_hand *hand, struct ebb_slot *slot, size_t size)
{
    slot->block = memset(take(hand, size), stamp(size), size);
    slot->size = size;
}

static void drop(struct ebb_hand *hand, struct ebb_slot *slot)
{
    hand->damaged += slot->block[0] != stamp(slot->size) || slot->block[slot->size - 1] != stamp(slot->size);
    free(slot->block);
    hand->operations++;
    say_live(hand, -(int64_t)slot->size);
    *slot = (struct ebb_slot){NULL, 0};
}

/** Puts blocks of random sizes into the hand's empty slots until it holds `bytes`. */
static void fill(struct ebb_hand *hand, size_t least, size_t most, size_t bytes)
{
    struct ebb_slot *slot = hand->run->slot;
    size_t held = 0;
    for (size_t i = hand->first; i < hand->end; i++)
        held += slot[i].size;
    for (size_t i = hand->first; i < hand->end && held < bytes; i++)
        if (slot[i].block == NULL) {
            put(hand, &slot[i], between(&hand->random, least, most));
            held += slot[i].size;
        }
}

static void fill_timed(struct ebb_run *run, size_t least, size_t most)
{
    uint64_t start = ebb_now_ns();
    fill(&run->main, least, most, run->report->bytes);
    *run->fill_ns += ebb_now_ns() - start;
    say_all(&run->main);
}

/* ---- what is to be freed, and in which order ------------------------------------------------------------------- */

enum order { FIFO, LIFO, SHUFFLED };

static void arrange(struct ebb_hand *hand, uint32_t *todo, size_t count, enum order order)
{
    for (size_t i = 0; order == LIFO && i < count / 2; i++) {
        uint32_t other = todo[i];
        todo[i] = todo[count - 1 - i];
        todo[count - 1 - i] = other;
    }
    for (size_t i = count; order == SHUFFLED && i > 1; i--) {
        size_t j = below(&hand->random, i);
        uint32_t other = todo[i - 1];
        todo[i - 1] = todo[j];
        todo[j] = other;
    }
}

/** The hand is to free its blocks but one in `keep`, chosen at random; 0: all. Its list goes behind those that are
 *  there. */
static void plan(struct ebb_hand *hand, size_t keep, enum order order)
{
    struct ebb_run *run = hand->run;
    hand->todo_first = run->todos;
    for (size_t i = hand->first; i < hand->end; i++)
        if (run->slot[i].block != NULL && (keep == 0 || below(&hand->random, keep) != 0))
            run->todo[run->todos++] = (uint32_t)i;
    hand->todo_end = run->todos;
    arrange(hand, run->todo + hand->todo_first, hand->todo_end - hand->todo_first, order);
}

/** All but the first block of each 64 KiB of address space. */
static void plan_per_64k(struct ebb_run *run)
{
    size_t count = ebb_sort(run);
    run->todos = 0;
    for (size_t i = 1; i < count; i++)
        if (run->place[i].address >> 16 == run->place[i - 1].address >> 16)
            run->todo[run->todos++] = (uint32_t)run->place[i].index;
    run->main.todo_first = 0;
    run->main.todo_end = run->todos;
    arrange(&run->main, run->todo, run->todos, SHUFFLED);
}

static void drop_planned(struct ebb_hand *hand)
{
    struct ebb_run *run = hand->run;
    for (size_t i = hand->todo_first; i < hand->todo_end; i++)
        drop(hand, &run->slot[run->todo[i]]);
    say_all(hand);
}

static void drop_timed(struct ebb_run *run)
{
    uint64_t start = ebb_now_ns();
    drop_planned(&run->main);
    *run->drop_ns += ebb_now_ns() - start;
}

static void plan_and_drop(struct ebb_run *run, size_t keep, enum order order)
{
    run->todos = 0;
    plan(&run->main, keep, order);
    drop_timed(run);
}

/* ---- one thread, sizes as they come ---------------------------------------------------------------------------- */

static void build_small(struct ebb_run *run) { fill_timed(run, 16, 256); }
static void build_medium(struct ebb_run *run) { fill_timed(run, 1024, 32768); }
static void free_fifo(struct ebb_run *run) { plan_and_drop(run, 0, FIFO); }
static void free_lifo(struct ebb_run *run) { plan_and_drop(run, 0, LIFO); }
static void free_all(struct ebb_run *run) { plan_and_drop(run, 0, SHUFFLED); }
static void keep_1_in_10(struct ebb_run *run) { plan_and_drop(run, 10, SHUFFLED); }
static void keep_1_in_20(struct ebb_run *run) { plan_and_drop(run, 20, SHUFFLED); }
static void keep_1_in_50(struct ebb_run *run) { plan_and_drop(run, 50, SHUFFLED); }
static void keep_1_in_200(struct ebb_run *run) { plan_and_drop(run, 200, SHUFFLED); }
static void keep_1_in_1000(struct ebb_run *run) { plan_and_drop(run, 1000, SHUFFLED); }

static void keep_1_per_64k(struct ebb_run *run)
{
    plan_per_64k(run);
    drop_timed(run);
}

/* ---- phases of sizes ------------------------------------------------------------------------------------------- */

enum { PHASES = 6, PHASE_LEAST = 32 };

/** Each phase fills up with blocks of one size; between two of them all but one block in 100 is freed. */
static void build_phases(struct ebb_run *run, bool growing)
{
    for (unsigned phase = 0; phase < PHASES; phase++) {
        size_t size = (size_t)PHASE_LEAST << (growing ? phase : PHASES - 1 - phase);
        if (phase > 0)
            plan_and_drop(run, 100, SHUFFLED);
        fill_timed(run, size, size);
    }
}

static void build_growing(struct ebb_run *run) { build_phases(run, true); }
static void build_shrinking(struct ebb_run *run) { build_phases(run, false); }

/* ---- hands: threads that do a job and wait for the next, all their life ------------------------------------------ */

static void *hand_main(void *arg)
{
    struct ebb_hand *hand = arg;
    for (;;) {
        while (sem_wait(&hand->go) != 0)
            continue;
        hand->job(hand);
        sem_post(&hand->done);
    }
    return NULL;
}

/** Starts a thread with a stack too small for a huge page, which would count as the allocator's. */
static pthread_t start_thread(void *(*function)(void *), void *arg)
{
    pthread_attr_t attr;
    pthread_t thread;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 256 * 1024);
    int error = pthread_create(&thread, &attr, function, arg);
    if (error != 0)
        ebb_die("cannot start a thread: %s", strerror(error));
    pthread_attr_destroy(&attr);
    return thread;
}

/** Makes all hands, each with its part of the table; at the first call. */
static void need_hands(struct ebb_run *run)
{
    if (run->hand[0].run != NULL)
        return;
    for (unsigned i = 0; i < EBB_HANDS; i++) {
        struct ebb_hand *hand = &run->hand[i];
        *hand = (struct ebb_hand){.run = run, .random = run->report->seed + i};
        hand->first = run->slots * i / EBB_HANDS;
        hand->end = run->slots * (i + 1) / EBB_HANDS;
        sem_init(&hand->go, 0, 0);
        sem_init(&hand->done, 0, 0);
    }
}

static void need_threads(struct ebb_run *run)
{
    if (run->hand[0].run != NULL)
        return;
    need_hands(run);
    for (unsigned i = 0; i < EBB_HANDS; i++)
        pthread_detach(start_thread(hand_main, &run->hand[i]));
}

static void begin_job(struct ebb_hand *hand, void (*job)(struct ebb_hand *))
{
    hand->job = job;
    sem_post(&hand->go);
}

static void end_job(struct ebb_hand *hand)
{
    while (sem_wait(&hand->done) != 0)
        continue;
    say_all(hand);
}

static void fill_part(struct ebb_hand *hand) { fill(hand, 16, 256, hand->run->report->bytes / EBB_HANDS); }

static void drop_part(struct ebb_hand *hand)
{
    for (size_t i = hand->todo_first; i < hand->todo_end; i++)
        drop(hand, &hand->run->slot[hand->run->todo[i]]);
}

/** All hands at the same job. */
static void all_hands(struct ebb_run *run, void (*job)(struct ebb_hand *), uint64_t *ns)
{
    uint64_t start = ebb_now_ns();
    for (unsigned i = 0; i < EBB_HANDS; i++)
        begin_job(&run->hand[i], job);
    for (unsigned i = 0; i < EBB_HANDS; i++)
        end_job(&run->hand[i]);
    *ns += ebb_now_ns() - start;
}

static void build_by_hands(struct ebb_run *run)
{
    need_threads(run);
    all_hands(run, fill_part, run->fill_ns);
}

/** Each hand frees its own, and sleeps. */
static void free_by_hands(struct ebb_run *run)
{
    run->todos = 0;
    for (unsigned i = 0; i < EBB_HANDS; i++)
        plan(&run->hand[i], 200, SHUFFLED);
    all_hands(run, drop_part, run->drop_ns);
}

/** Main's blocks, freed by a thread that frees and no more. */
static void free_by_another(struct ebb_run *run)
{
    need_threads(run);
    run->todos = 0;
    plan(&run->main, 200, SHUFFLED);
    struct ebb_hand *hand = &run->hand[0];
    hand->todo_first = run->main.todo_first;
    hand->todo_end = run->main.todo_end;
    uint64_t start = ebb_now_ns();
    begin_job(hand, drop_part);
    end_job(hand);
    *run->drop_ns += ebb_now_ns() - start;
}

static void *fill_and_exit(void *arg)
{
    fill_part(arg);
    return NULL;
}

/** Threads that build and are gone. */
static void build_and_exit(struct ebb_run *run)
{
    pthread_t thread[EBB_HANDS];
    need_hands(run);
    uint64_t start = ebb_now_ns();
    for (unsigned i = 0; i < EBB_HANDS; i++)
        thread[i] = start_thread(fill_and_exit, &run->hand[i]);
    for (unsigned i = 0; i < EBB_HANDS; i++)
        pthread_join(thread[i], NULL);
    *run->fill_ns += ebb_now_ns() - start;
    for (unsigned i = 0; i < EBB_HANDS; i++)
        say_all(&run->hand[i]);
}

/* ---- programs that go on --------------------------------------------------------------------------------------- */

/** Moves the live slots to the front; returns their number. */
static size_t compact(struct ebb_run *run)
{
    size_t live = 0;
    for (size_t i = 0; i < run->slots; i++)
        if (run->slot[i].block != NULL) {
            struct ebb_slot slot = run->slot[i];
            run->slot[i] = (struct ebb_slot){NULL, 0};
            run->slot[live++] = slot;
        }
    return live;
}

/** Until when a pattern that can go on goes on; 0: as long as its fixed amount takes. */
static uint64_t end_ns(struct ebb_run *run)
{
    double seconds = run->report->seconds;
    return seconds > 0 ? ebb_now_ns() + (uint64_t)(seconds * 1e9) : 0;
}

/* A producer and a consumer with a queue between them: the slots behind the live ones, as a ring. The consumer stays
 * half a ring behind, so that the queue always holds something. */
enum { MESSAGE_LEAST = 16, MESSAGE_MOST = 512, ROUNDS = 8 };

static size_t ring_size(struct ebb_run *run) { return 2 * run->report->bytes / (MESSAGE_LEAST + MESSAGE_MOST); }

static void produce(struct ebb_hand *hand)
{
    struct ebb_run *run = hand->run;
    size_t ring = ring_size(run), made = 0;
    uint64_t end = end_ns(run);
    for (;; made++) {
        if (end == 0 ? made == ROUNDS * ring : made % 1024 == 0 && made >= ring && ebb_now_ns() >= end)
            break;
        while (made - atomic_load_explicit(&run->tail, memory_order_acquire) >= ring)
            sched_yield();
        put(hand, &run->slot[run->live_slots + made % ring], between(&hand->random, MESSAGE_LEAST, MESSAGE_MOST));
        atomic_store_explicit(&run->head, made + 1, memory_order_release);
    }
    atomic_store_explicit(&run->stop, made, memory_order_release);
}

static void consume(struct ebb_hand *hand)
{
    struct ebb_run *run = hand->run;
    size_t ring = ring_size(run);
    for (size_t done = 0; done != atomic_load_explicit(&run->stop, memory_order_acquire) - ring / 2; done++) {
        while (atomic_load_explicit(&run->head, memory_order_acquire) - done <= ring / 2) {
            if (done == atomic_load_explicit(&run->stop, memory_order_acquire) - ring / 2)
                return;
            sched_yield();
        }
        drop(hand, &run->slot[run->live_slots + done % ring]);
        atomic_store_explicit(&run->tail, done + 1, memory_order_release);
    }
}

static void build_queue(struct ebb_run *run)
{
    need_threads(run);
    run->live_slots = compact(run);
    atomic_store(&run->head, 0);
    atomic_store(&run->tail, 0);
    atomic_store(&run->stop, SIZE_MAX);
    uint64_t start = ebb_now_ns();
    begin_job(&run->hand[0], produce);
    begin_job(&run->hand[1], consume);
    end_job(&run->hand[0]);
    end_job(&run->hand[1]);
    *run->fill_ns += ebb_now_ns() - start;
}

/** The consumer empties the queue, but for one in 200. */
static void drain_queue(struct ebb_run *run)
{
    run->todos = 0;
    plan(&run->main, 200, FIFO);
    struct ebb_hand *consumer = &run->hand[1];
    consumer->todo_first = run->main.todo_first;
    consumer->todo_end = run->main.todo_end;
    uint64_t start = ebb_now_ns();
    begin_job(consumer, drop_part);
    end_job(consumer);
    *run->drop_ns += ebb_now_ns() - start;
}

/* A working set of constant size: any block goes, a new one comes, and the sizes drift up and down. Some memory must be
 * lost to holes (Robson, "Bounds for some functions concerning dynamic storage allocation", JACM 1974); that the loss
 * does not grow is what is asked here. */
static void note_ratio(struct ebb_run *run, size_t held, bool first)
{
    struct ebb_report *report = run->report;
    double ratio = ((double)ebb_resident_quickly() - (double)report->resident[EBB_START]) / (double)held;
    double *most = first ? &report->ratio_first : &report->ratio_later;
    if (ratio > *most)
        *most = ratio;
}

/** Replaces blocks until `bytes` have been allocated anew; returns what is held. */
static size_t replace(struct ebb_run *run, size_t held, size_t bytes, size_t mean)
{
    struct ebb_hand *hand = &run->main;
    for (size_t made = 0; made < bytes;) {
        size_t size = between(&hand->random, mean / 2, mean + mean / 2);
        while (run->live_slots > 0 && held + size > run->report->bytes) {
            size_t i = below(&hand->random, run->live_slots), last = --run->live_slots;
            struct ebb_slot other = run->slot[last];
            held -= run->slot[i].size;
            drop(hand, &run->slot[i]);
            run->slot[last] = (struct ebb_slot){NULL, 0};
            if (i != last)
                run->slot[i] = other;
        }
        put(hand, &run->slot[run->live_slots++], size);
        held += size;
        made += size;
    }
    return held;
}

/** At each mean size the whole set is replaced once, in pieces; a cycle goes through all means. */
static void build_drifting(struct ebb_run *run)
{
    static const size_t mean[] = {64, 96, 144, 216, 324, 486, 729, 486, 324, 216, 144, 96};
    enum { MEANS = sizeof mean / sizeof *mean, PIECES = 8, CYCLE = MEANS * PIECES };
    bool first = run->report->ratio_first == 0;
    uint64_t end = end_ns(run);
    size_t held = 0;
    run->live_slots = compact(run);
    for (size_t i = 0; i < run->live_slots; i++)
        held += run->slot[i].size;
    for (size_t i = 0; i < PIECES + CYCLE || ebb_now_ns() < end; i++) {
        uint64_t start = ebb_now_ns();
        held = replace(run, held, run->report->bytes / PIECES + 1, mean[i / PIECES % MEANS]);
        *run->fill_ns += ebb_now_ns() - start;
        if (i >= PIECES) /* from then on the set is full */
            note_ratio(run, held, first && i < PIECES + CYCLE);
    }
    say_all(&run->main);
}

/* A loop over large blocks: a few are held, one of them is replaced by another each time. Of each page one byte is
 * written, as programs that read files or decode pictures into fresh buffers do at least. */
enum { LARGE_LEAST = 5 << 20, LARGE_MOST = 25 << 20, LARGE_ROUNDS = 25 };

static void put_large(struct ebb_hand *hand, struct ebb_slot *slot)
{
    size_t size = between(&hand->random, LARGE_LEAST, LARGE_MOST), page = hand->run->report->page;
    slot->block = take(hand, size);
    slot->size = size;
    for (size_t i = 0; i < size; i += page)
        slot->block[i] = 1;
    slot->block[0] = slot->block[size - 1] = stamp(size);
}

static void build_large(struct ebb_run *run)
{
    struct ebb_hand *hand = &run->main;
    size_t held = 2 * run->report->bytes / (LARGE_LEAST + LARGE_MOST) + 1;
    uint64_t start = ebb_now_ns(), end = end_ns(run);
    for (size_t i = 0; end == 0 ? i < LARGE_ROUNDS * held : i < held || ebb_now_ns() < end; i++) {
        struct ebb_slot *slot = &run->slot[below(&hand->random, held)];
        if (slot->block != NULL)
            drop(hand, slot);
        put_large(hand, slot);
    }
    *run->fill_ns += ebb_now_ns() - start;
    say_all(hand);
}

/* ---- the table ------------------------------------------------------------------------------------------------- */

#define SMALL "16 to 256 bytes"

const struct ebb_pattern ebb_pattern[] = {
    {"fifo", SMALL ", all freed, the oldest first", 120, false, build_small, free_fifo},
    {"lifo", SMALL ", all freed, the newest first", 120, false, build_small, free_lifo},
    {"random", SMALL ", all freed, in random order", 120, false, build_small, free_all},
    {"keep-10", SMALL ", one in 10 stays", 120, false, build_small, keep_1_in_10},
    {"keep-50", SMALL ", one in 50 stays", 120, false, build_small, keep_1_in_50},
    {"keep-200", SMALL ", one in 200 stays", 120, false, build_small, keep_1_in_200},
    {"keep-1000", SMALL ", one in 1,000 stays", 120, false, build_small, keep_1_in_1000},
    {"per-64k", SMALL ", one block stays in each 64 KiB", 120, false, build_small, keep_1_per_64k},
    {"medium", "1 to 32 KiB, one in 20 stays", 12288, false, build_medium, keep_1_in_20},
    {"other-thread", SMALL ", one in 200 stays; the frees by a thread that only frees", 120, true, build_small,
     free_by_another},
    {"owner-gone", SMALL ", one in 200 stays; built by threads that have exited", 120, true, build_and_exit,
     keep_1_in_200},
    {"asleep", SMALL ", one in 200 stays; built and freed by threads that sleep then", 120, true, build_by_hands,
     free_by_hands},
    {"growing", "six phases of 32 to 1,024 bytes, one in 100 stays after each, one in 200 at the end", 30, false,
     build_growing, keep_1_in_200},
    {"shrinking", "the same from 1,024 to 32 bytes", 30, false, build_shrinking, keep_1_in_200},
    {"queue", "producer and consumer, 16 to 512 bytes; drained but for one in 200; --seconds", 120, true, build_queue,
     drain_queue},
    {"drift", "blocks replaced at random while sizes drift from 64 to 729 and back; one in 200 stays; --seconds", 32,
     false, build_drifting, keep_1_in_200},
    {"large", "a loop over 5 to 25 MiB, all freed at its end; --seconds", 120, false, build_large, free_all},
};

const unsigned ebb_patterns = sizeof ebb_pattern / sizeof *ebb_pattern;
