/* SPDX-License-Identifier: MIT
 * weir-replay: makes the calls of a plan on the malloc that it runs with, and says what they took. Started by
 * `weir replay` with the plan's file descriptor as its argument.
 *
 * Nothing here allocates but the calls of the plan: tables are mapped and touched before the start, operations are read
 * from the file by a piece at a time, output is formatted on the stack. So the malloc's share of the resident size is
 * what was added to it since the start. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "plan.h"

enum {
    FAILED = 125, /* exit status, as of `weir replay` */
    PIECE = 4096, /* words read at once */
    STACK = 128 << 10,
    SPINS = 100, /* looks before a thread that waits lets others run */
    YIELDS = 1000,
    START_TRIES = 10000, /* milliseconds */
    ENDING_MOST = 100,   /* milliseconds */
    PAGE_LEAST = 4096,
};

struct cell {
    void *_Atomic block;
    _Atomic uint32_t turn;
};

struct figures {
    double wall, user, system; /* seconds */
    uint64_t faults;
};

static struct {
    int file, statm;
    struct plan_header *plan;
    const struct plan_thread *thread;
    const struct plan_sample *sample;
    const uint32_t *expected; /* threads in each window */
    void **slot;
    struct cell *cell;
    uint64_t *resident;                   /* at each sample, bytes; the most of all rounds */
    _Atomic uint32_t *left;               /* threads that are not done with the window */
    _Atomic uint32_t completed, sleepers; /* windows that all are done with; threads that wait for that */
    _Atomic uint64_t refused;             /* calls that gave no block */
    uint64_t base;                        /* resident before the start, bytes */
    struct timespec start;
    size_t page;
    void *(*valloc)(size_t);  /* the allocator's; NULL: it has none, posix_memalign stands in */
    void *(*pvalloc)(size_t); /* the same */
} run;

static void die(const char *what) __attribute__((noreturn));

/** Writes to `fd`; ends where that cannot be, with a message if there is somewhere left for it. */
static void say(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(int fd, const char *format, ...)
{
    char text[PLAN_TEXT + 3 * PATH_MAX];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    for (int done = 0; done < length && done < (int)sizeof text - 1;) {
        ssize_t n = write(fd, text + done, (size_t)(length - done));
        if (n < 0 && errno != EINTR && fd == STDOUT_FILENO)
            die("cannot write to standard output");
        if (n < 0 && errno != EINTR)
            _exit(FAILED);
        done += n > 0 ? (int)n : 0;
    }
}

static void die(const char *what)
{
    say(STDERR_FILENO, "weir replay: %s: %s\n", what, strerror(errno));
    _exit(FAILED);
}

static double seconds(const struct timespec *t) { return (double)t->tv_sec + (double)t->tv_nsec * 1e-9; }

/* ---- looking at the process ------------------------------------------------------------------------------------ */

static uint64_t read_resident(void)
{
    char text[96];
    ssize_t n = pread(run.statm, text, sizeof text - 1, 0);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    const char *blank = strchr(text, ' ');
    return blank != NULL ? strtoull(blank, NULL, 10) * run.page : 0;
}

/** A figure of /proc/self/status, 0 if there is none. */
static uint64_t read_status(const char *name)
{
    char text[4096];
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    const char *line = strstr(text, name);
    return line != NULL ? strtoull(line + strlen(name), NULL, 10) : 0;
}

static uint64_t since_base(uint64_t resident) { return resident > run.base ? resident - run.base : 0; }

static void look(uint32_t number)
{
    uint64_t resident = since_base(read_resident());
    if (resident > run.resident[number])
        run.resident[number] = resident;
}

/* ---- waiting --------------------------------------------------------------------------------------------------- */

/** Waits for a cell's turn. The thread whose turn it is may be without a processor. */
static void await_turn(struct cell *cell, uint32_t turn)
{
    for (unsigned looks = 0; atomic_load_explicit(&cell->turn, memory_order_acquire) != turn; looks++) {
        if (looks > SPINS + YIELDS)
            nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
        else if (looks > SPINS)
            sched_yield();
    }
}

static void await_windows(uint32_t count)
{
    for (uint32_t now; (now = atomic_load(&run.completed)) < count;) {
        atomic_fetch_add(&run.sleepers, 1);
        syscall(SYS_futex, &run.completed, FUTEX_WAIT_PRIVATE, now, NULL, NULL, 0);
        atomic_fetch_sub(&run.sleepers, 1);
    }
}

/** The calling thread is done with a window. */
static void leave_window(uint32_t window)
{
    if (atomic_fetch_sub(&run.left[window], 1) != 1)
        return;
    uint32_t done = atomic_load(&run.completed);
    while (done < run.plan->windows && atomic_load(&run.left[done]) == 0)
        if (atomic_compare_exchange_weak(&run.completed, &done, done + 1))
            done++;
    if (atomic_load(&run.sleepers) > 0)
        syscall(SYS_futex, &run.completed, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static void wait_until(uint64_t microseconds)
{
    struct timespec t = run.start;
    t.tv_sec += (time_t)(microseconds / 1000000);
    t.tv_nsec += (long)(microseconds % 1000000) * 1000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_nsec -= 1000000000;
        t.tv_sec++;
    }
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}

/* ---- the operations -------------------------------------------------------------------------------------------- */

struct reader {
    uint64_t at, end; /* bytes in the file */
    const uint32_t *next, *last;
    uint32_t words[PIECE];
};

/** Makes at least PLAN_LONGEST words, or all that are left, ready. */
static void refill(struct reader *r)
{
    size_t kept = (size_t)(r->last - r->next);
    memmove(r->words, r->next, kept * sizeof(uint32_t));
    size_t room = (PIECE - kept) * sizeof(uint32_t), left = (size_t)(r->end - r->at), got = 0;
    size_t wanted = room < left ? room : left;
    while (got < wanted) {
        ssize_t n = pread(run.file, (char *)(r->words + kept) + got, wanted - got, (off_t)(r->at + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            die("cannot read the plan");
        got += (size_t)n;
    }
    r->at += got;
    r->next = r->words;
    r->last = r->words + kept + got / sizeof(uint32_t);
}

static inline uint64_t take_size(struct reader *r, uint32_t word)
{
    uint64_t size = *r->next++;
    if (word & PLAN_WIDE)
        size |= (uint64_t)*r->next++ << 32;
    return size;
}

/** The block that an operation gives up; its place is empty then. */
static inline void *take_block(struct reader *r, uint32_t word, void **slot)
{
    uint32_t place = *r->next++;
    if ((word & PLAN_FROM_CELL) == 0) {
        void *block = slot[place];
        slot[place] = NULL;
        return block;
    }
    struct cell *cell = &run.cell[place];
    uint32_t turn = *r->next++;
    await_turn(cell, turn);
    void *block = atomic_load_explicit(&cell->block, memory_order_relaxed);
    atomic_store_explicit(&cell->block, NULL, memory_order_relaxed);
    atomic_store_explicit(&cell->turn, turn + 1, memory_order_release);
    return block;
}

/** Where an operation's block goes. */
struct target {
    uint32_t place, turn;
};

static inline struct target take_target(struct reader *r, uint32_t word)
{
    struct target t = {*r->next++, 0};
    if (word & PLAN_TO_CELL)
        t.turn = *r->next++;
    return t;
}

static inline void put_block(uint32_t word, struct target t, void **slot, void *block)
{
    if ((word & PLAN_TO_CELL) == 0) {
        slot[t.place] = block;
        return;
    }
    struct cell *cell = &run.cell[t.place];
    await_turn(cell, t.turn);
    atomic_store_explicit(&cell->block, block, memory_order_relaxed);
    atomic_store_explicit(&cell->turn, t.turn + 1, memory_order_release);
}

/** Writes to a block from `start` on as --touch says. */
static inline void touch(char *block, uint64_t start, uint64_t size)
{
    if (run.plan->touch == PLAN_TOUCH_NONE || start >= size)
        return;
    if (run.plan->touch == PLAN_TOUCH_ALL) {
        memset(block + start, 0x5a, size - start);
        return;
    }
    for (uint64_t i = start; i < size; i += PAGE_LEAST)
        *(volatile char *)(block + i) = 0x5a;
}

static void *aligned(size_t alignment, size_t size)
{
    void *block = NULL;
    return posix_memalign(&block, alignment < sizeof(void *) ? sizeof(void *) : alignment, size) == 0 ? block : NULL;
}

/** An operation that gets a block and gives up none. */
static inline void *allocate(uint32_t word, size_t size)
{
    size_t alignment = (size_t)1 << (word >> PLAN_LOG_AT & 63);
    switch (word & PLAN_OP) {
    case PLAN_MALLOC:
        return malloc(size);
    case PLAN_CALLOC:
        return calloc(1, size);
    case PLAN_ALIGNED_ALLOC:
        return aligned_alloc(alignment, size);
    case PLAN_MEMALIGN:
        return memalign(alignment, size);
    case PLAN_VALLOC:
        return run.valloc != NULL ? run.valloc(size) : aligned(run.page, size);
    case PLAN_PVALLOC:
        return run.pvalloc != NULL ? run.pvalloc(size) : aligned(run.page, (size + run.page - 1) & ~(run.page - 1));
    default:
        return aligned(alignment, size);
    }
}

static inline void get_block(struct reader *r, uint32_t word, void **slot)
{
    struct target to = take_target(r, word);
    uint64_t size = take_size(r, word);
    char *block = allocate(word, size);
    if (block != NULL)
        touch(block, 0, size);
    else
        atomic_fetch_add(&run.refused, 1);
    put_block(word, to, slot, block);
}

static inline void resize_block(struct reader *r, uint32_t word, void **slot)
{
    void *old = take_block(r, word, slot);
    struct target to = take_target(r, word);
    uint64_t size = take_size(r, word), kept = take_size(r, word);
    char *block = realloc(old, size);
    if (block != NULL) {
        touch(block, kept, size);
    } else if (size > 0) { /* realloc(old, 0) may free; else the old block is still there */
        atomic_fetch_add(&run.refused, 1);
        free(old);
    }
    put_block(word, to, slot, block);
}

static void *run_thread(void *arg);

/** Starts a thread of the plan. Where there are as many as the system allows, waits for some to end. */
static void start_thread(uint32_t number)
{
    pthread_attr_t attributes;
    pthread_t thread;
    int error = EAGAIN;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    for (unsigned tries = 0; error == EAGAIN && tries < START_TRIES; tries++) {
        error = pthread_create(&thread, &attributes, run_thread, (void *)(uintptr_t)&run.thread[number]);
        if (error == EAGAIN)
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    if (error != 0) {
        errno = error;
        die("cannot start a thread");
    }
}

/** What is no call. @return false at the end. */
static bool note(struct reader *r, uint32_t word)
{
    switch (word & PLAN_OP) {
    case PLAN_SAMPLE:
        look(*r->next++);
        return true;
    case PLAN_START:
        start_thread(*r->next++);
        return true;
    case PLAN_BEGIN:
        leave_window(r->next[0]);
        if (r->next[1] > 0)
            await_windows(r->next[1] - 1);
        r->next += 2;
        return true;
    case PLAN_WAIT:
        wait_until(r->next[0] | (uint64_t)r->next[1] << 32);
        r->next += 2;
        return true;
    default:
        leave_window(*r->next++);
        return false;
    }
}

static void *run_thread(void *arg)
{
    const struct plan_thread *t = arg;
    void **slot = run.slot + t->first_slot;
    struct reader r = {.at = t->start, .end = t->start + t->words * sizeof(uint32_t)};
    r.next = r.last = r.words;
    if (t->first_window > 0)
        await_windows(t->first_window - 1);
    for (bool more = true; more;) {
        if (r.last - r.next < PLAN_LONGEST && r.at < r.end)
            refill(&r);
        uint32_t word = *r.next++;
        switch (word & PLAN_OP) {
        case PLAN_FREE:
            free(take_block(&r, word, slot));
            break;
        case PLAN_RELEASE: {
            void *left = realloc(take_block(&r, word, slot), 0);
            free(left);
            break;
        }
        case PLAN_REALLOC:
            resize_block(&r, word, slot);
            break;
        case PLAN_END:
        case PLAN_SAMPLE:
        case PLAN_START:
        case PLAN_BEGIN:
        case PLAN_WAIT:
            more = note(&r, word);
            break;
        default:
            get_block(&r, word, slot);
        }
    }
    return NULL;
}

/* ---- rounds ---------------------------------------------------------------------------------------------------- */

/** All calls once. */
static void play(struct figures *f)
{
    struct rusage before, after;
    struct timespec end;
    for (uint32_t i = 0; i < run.plan->windows; i++)
        run.left[i] = run.expected[i];
    run.completed = 0;
    getrusage(RUSAGE_SELF, &before);
    clock_gettime(CLOCK_MONOTONIC, &run.start);
    run_thread((void *)(uintptr_t)&run.thread[0]);
    await_windows(run.plan->windows);
    clock_gettime(CLOCK_MONOTONIC, &end);
    getrusage(RUSAGE_SELF, &after);
    f->wall = seconds(&end) - seconds(&run.start);
    f->user = (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec) +
              (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec) * 1e-6;
    f->system = (double)(after.ru_stime.tv_sec - before.ru_stime.tv_sec) +
                (double)(after.ru_stime.tv_usec - before.ru_stime.tv_usec) * 1e-6;
    f->faults = (uint64_t)(after.ru_minflt - before.ru_minflt);
}

/** Waits, not for long, until threads that have made their last call are gone; an allocator's own may stay. */
static void let_threads_end(void)
{
    for (unsigned looks = 0; looks < ENDING_MOST && read_status("\nThreads:") > 1; looks++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/** Between rounds: what the trace leaves alive goes, and cells begin with their first turn. */
static void free_rest(void)
{
    for (uint64_t i = 0; i < run.plan->slots; i++) {
        free(run.slot[i]);
        run.slot[i] = NULL;
    }
    for (uint32_t i = 0; i < run.plan->cells; i++) {
        free(run.cell[i].block);
        run.cell[i].block = NULL;
        run.cell[i].turn = 0;
    }
}

/* ---- the report ------------------------------------------------------------------------------------------------ */

struct summary {
    struct figures median;
    double least, most; /* wall, seconds */
    uint64_t peak, end; /* resident, bytes */
    double mean, worst; /* resident / live */
    char allocator[PATH_MAX];
};

static int by_wall(const void *a, const void *b)
{
    double x = ((const struct figures *)a)->wall, y = ((const struct figures *)b)->wall;
    return (x > y) - (x < y);
}

/** The mean over the looks, by the sums of both; the worst of those with at least a tenth of the peak alive. */
static void compare_to_live(struct summary *s)
{
    double resident = 0, live = 0;
    for (uint32_t i = 0; i < run.plan->samples; i++) {
        double one = (double)run.resident[i], other = (double)run.sample[i].live;
        resident += one;
        live += other;
        if (other > 0 && other >= (double)run.plan->peak / 10 && one / other > s->worst)
            s->worst = one / other;
    }
    s->mean = live > 0 ? resident / live : 0;
}

/** Rounds are few, and this must not allocate: insertion. */
static void sort_rounds(struct figures *f, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++)
        for (uint32_t j = i; j > 0 && by_wall(&f[j - 1], &f[j]) > 0; j--) {
            struct figures other = f[j];
            f[j] = f[j - 1];
            f[j - 1] = other;
        }
}

/** `path` as the inside of a JSON string. */
static void escape(char *out, size_t size, const char *path)
{
    size_t length = 0;
    for (; *path != '\0' && length + 7 < size; path++) {
        unsigned char c = (unsigned char)*path;
        if (c == '"' || c == '\\' || c < 0x20 || c >= 0x7f)
            length += (size_t)snprintf(out + length, size - length, "\\u%04x", c);
        else
            out[length++] = *path;
    }
    out[length] = '\0';
}

static void print_json(const struct summary *s)
{
    char name[2 * PATH_MAX];
    escape(name, sizeof name, s->allocator);
    say(STDOUT_FILENO,
        "%.*s,\n  \"allocator\": \"%s\",\n  \"wall_seconds\": %.9f,\n  \"wall_seconds_least\": %.9f,\n"
        "  \"wall_seconds_most\": %.9f,\n  \"user_seconds\": %.6f,\n  \"system_seconds\": %.6f,\n"
        "  \"minor_faults\": %llu,\n  \"refused\": %llu,\n  \"peak_resident\": %llu,\n  \"resident_at_end\": %llu,\n"
        "  \"overhead_mean\": %.4f,\n  \"overhead_worst\": %.4f,\n",
        (int)run.plan->text_size, run.plan->text, name, s->median.wall, s->least, s->most, s->median.user,
        s->median.system, (unsigned long long)s->median.faults, (unsigned long long)run.refused,
        (unsigned long long)s->peak, (unsigned long long)s->end, s->mean, s->worst);
    say(STDOUT_FILENO, "  \"resident\": [");
    for (uint32_t i = 0; i < run.plan->samples; i++)
        say(STDOUT_FILENO, "%s[%llu, %llu, %llu]", i > 0 ? ", " : "", (unsigned long long)run.sample[i].call,
            (unsigned long long)run.sample[i].live, (unsigned long long)run.resident[i]);
    say(STDOUT_FILENO, "]\n}\n");
}

static void print_csv(const struct summary *s)
{
    say(STDOUT_FILENO,
        "trace,calls,threads,peak_live,live_at_end,allocator,wall_seconds,user_seconds,system_seconds,minor_faults,"
        "refused,peak_resident,resident_at_end,overhead_mean,overhead_worst\n"
        "%.*s,\"%s\",%.9f,%.6f,%.6f,%llu,%llu,%llu,%llu,%.4f,%.4f\n",
        (int)run.plan->text_size, run.plan->text, s->allocator, s->median.wall, s->median.user, s->median.system,
        (unsigned long long)s->median.faults, (unsigned long long)run.refused, (unsigned long long)s->peak,
        (unsigned long long)s->end, s->mean, s->worst);
}

static void print_text(const struct summary *s)
{
    const double mib = 1 << 20;
    say(STDERR_FILENO, "weir: replayed on %s\n", s->allocator);
    say(STDERR_FILENO, "weir:   time        %.3f s (user %.3f s, system %.3f s), %.1f ns a call\n", s->median.wall,
        s->median.user, s->median.system, run.plan->calls > 0 ? s->median.wall * 1e9 / (double)run.plan->calls : 0.0);
    if (run.plan->repeat > 1)
        say(STDERR_FILENO, "weir:               the median of %u rounds; %.3f s to %.3f s\n", run.plan->repeat,
            s->least, s->most);
    say(STDERR_FILENO, "weir:   resident    peak %.1f MiB, at the end %.1f MiB\n", (double)s->peak / mib,
        (double)s->end / mib);
    say(STDERR_FILENO, "weir:   overhead    resident is %.2f times what lives in the mean, %.2f at worst\n", s->mean,
        s->worst);
    say(STDERR_FILENO, "weir:   page faults %llu\n", (unsigned long long)s->median.faults);
    if (run.refused > 0)
        say(STDERR_FILENO, "weir:   refused     %llu calls gave no block that gave one when they were recorded\n",
            (unsigned long long)run.refused);
}

static void report(struct figures *f, struct summary *s)
{
    static void (*const print[])(const struct summary *) = {print_text, print_json, print_csv};
    uint32_t rounds = run.plan->repeat;
    sort_rounds(f, rounds);
    s->median = f[rounds / 2];
    s->least = f[0].wall;
    s->most = f[rounds - 1].wall;
    compare_to_live(s);
    print[run.plan->form](s);
}

/* ---- the start ------------------------------------------------------------------------------------------------- */

/** Memory that is resident from now on. */
static void *table(size_t size)
{
    if (size == 0)
        size = 1;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED)
        die("cannot map tables for the replay");
    memset(memory, 0, size);
    return memory;
}

static void *load(uint64_t at, size_t size)
{
    char *memory = table(size);
    for (size_t done = 0; done < size;) {
        ssize_t n = pread(run.file, memory + done, size - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            die("cannot read the plan");
        done += (size_t)n;
    }
    return memory;
}

/** The file that a function is from, "" if unknown. */
static const char *file_of(const char *function)
{
    Dl_info info;
    void *address = dlsym(RTLD_DEFAULT, function);
    return address != NULL && dladdr(address, &info) != 0 && info.dli_fname != NULL ? info.dli_fname : "";
}

/** The allocator's function of that name, NULL if it has none: then there is no other's but the C library's. */
static void *own(const char *allocator, const char *function)
{
    return strcmp(file_of(function), allocator) == 0 ? dlsym(RTLD_DEFAULT, function) : NULL;
}

static void load_plan(const char *fd)
{
    char *end;
    run.file = (int)strtol(fd, &end, 10);
    run.plan = load(0, sizeof *run.plan);
    if (*end != '\0' || run.plan->size != sizeof *run.plan || run.plan->repeat > PLAN_REPEAT_MOST) {
        errno = EINVAL;
        die("this program is started by `weir replay` alone");
    }
    const struct plan_header *p = run.plan;
    run.thread = load(p->threads_at, p->threads * sizeof *run.thread);
    run.expected = load(p->windows_at, p->windows * sizeof *run.expected);
    run.sample = load(p->samples_at, p->samples * sizeof *run.sample);
    run.slot = table(p->slots * sizeof *run.slot);
    run.cell = table(p->cells * sizeof *run.cell);
    run.left = table(p->windows * sizeof *run.left);
    run.resident = table(p->samples * sizeof *run.resident);
}

int main(int argc, char **argv)
{
    static struct summary summary;
    if (argc != 2) {
        errno = EINVAL;
        die("this program is started by `weir replay` alone");
    }
    run.page = (size_t)sysconf(_SC_PAGESIZE);
    load_plan(argv[1]);
    struct figures *figures = table(run.plan->repeat * sizeof *figures);
    snprintf(summary.allocator, sizeof summary.allocator, "%s", file_of("malloc"));
    run.valloc = (void *(*)(size_t))own(summary.allocator, "valloc");
    run.pvalloc = (void *(*)(size_t))own(summary.allocator, "pvalloc");
    run.statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (run.statm < 0)
        die("cannot look at the resident size in /proc");
    free(malloc(1)); /* the allocator's start is not what is measured */
    run.base = read_resident();
    for (uint32_t i = 0; i < run.plan->repeat; i++) {
        if (i > 0)
            free_rest();
        play(&figures[i]);
        let_threads_end();
    }
    summary.end = since_base(read_resident());
    summary.peak = since_base(read_status("\nVmHWM:") << 10);
    report(figures, &summary);
    return 0;
}
