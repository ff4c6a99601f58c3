/* SPDX-License-Identifier: MIT
 * What the unit tests share; see support.h. Owns the seed of this run. */
#include "support.h"

#include "base/option.h"
#include "core/geometry.h"
#include "front/thread.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <weir/alloc.h>
#include <weir/gc.h>

/* Blocks that only other blocks of Weir point to would look leaked to LeakSanitizer. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "detect_leaks=0"; }

static pid_t first_process;          /* the process that Criterion made for this test */
static _Atomic uint64_t seed_in_use; /* 0 until unit_seed() was called */

__attribute__((constructor)) static void remember_process(void) { first_process = getpid(); }

/* ---- assertions ------------------------------------------------------------------------------------------------ */

WR_NORETURN void unit_fail(const char *file, int line, const char *condition, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof text - 64, format, args);
    va_end(args);
    uint64_t seed = atomic_load(&seed_in_use);
    if (seed != 0 && length >= 0 && (size_t)length < sizeof text - 64)
        snprintf(text + length, 64, " (WEIR_TEST_SEED=%llu)", (unsigned long long)seed);
    bool criterion_listens = getpid() == first_process && syscall(SYS_gettid) == first_process;
    if (criterion_listens)
        cr_assert_fail("%s:%d: %s: %s", file, line, condition, text);
    fprintf(stderr, "%s:%d: %s: %s\n", file, line, condition, text);
    abort();
}

/* ---- how much, and where to begin ------------------------------------------------------------------------------ */

size_t unit_scale(size_t n)
{
    size_t percent = UNIT_SANITIZED ? 10 : WR_DEBUG >= 2 ? 20 : 100;
    const char *wanted = getenv("WEIR_TEST_SCALE");
    if (wanted != NULL && atol(wanted) > 0)
        percent = (size_t)atol(wanted);
    return wr_max(n * percent / 100, 1);
}

/** A crash inside the library shall name the seed too. */
static void name_seed(int signal)
{
    char text[64];
    int length = snprintf(text, sizeof text, "WEIR_TEST_SEED=%llu\n", (unsigned long long)atomic_load(&seed_in_use));
    if (length > 0 && write(STDERR_FILENO, text, (size_t)length) == length)
        raise(signal);
}

static void name_seed_at(int signal)
{
    struct sigaction action = {.sa_handler = name_seed, .sa_flags = (int)SA_RESETHAND};
    sigaction(signal, &action, NULL);
}

uint64_t unit_seed(void)
{
    uint64_t seed = atomic_load(&seed_in_use);
    if (seed != 0)
        return seed;
    const char *wanted = getenv("WEIR_TEST_SEED");
    if (wanted != NULL)
        seed = strtoull(wanted, NULL, 0);
    else if (getrandom(&seed, sizeof seed, 0) == sizeof seed)
        seed %= 1000000000; /* short enough to type */
    seed += seed == 0;
    atomic_store(&seed_in_use, seed);
    name_seed_at(SIGABRT);
    if (!UNIT_SANITIZED) /* they report this one themselves */
        name_seed_at(SIGSEGV);
    return seed;
}

uint64_t unit_random(struct unit_rng *rng)
{
    uint64_t z = rng->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t unit_below(struct unit_rng *rng, uint64_t limit) { return limit == 0 ? 0 : unit_random(rng) % limit; }

uint64_t unit_log_uniform(struct unit_rng *rng, uint64_t low, uint64_t high)
{
    unsigned bits_low = low == 0 ? 0 : 64 - (unsigned)__builtin_clzll(low);
    unsigned bits_high = high == 0 ? 0 : 64 - (unsigned)__builtin_clzll(high);
    for (;;) {
        unsigned bits = bits_low + (unsigned)unit_below(rng, bits_high - bits_low + 1);
        uint64_t half = bits == 0 ? 0 : UINT64_C(1) << (bits - 1);
        uint64_t n = half + unit_below(rng, half);
        if (n >= low && n <= high)
            return n;
    }
}

/* ---- content of blocks ----------------------------------------------------------------------------------------- */

/* Byte i of id's pattern is byte i % 8 of word i / 8, and words differ from their neighbours, so that shifted content
 * shows as well as foreign one. */
#define PATTERN_STEP UINT64_C(0x0101010101010101)

static uint64_t pattern_word(uint64_t id, size_t index)
{
    return (id * 2 + 1) * UINT64_C(0x9e3779b97f4a7c15) + index * PATTERN_STEP;
}

static unsigned char pattern_byte(uint64_t id, size_t i)
{
    uint64_t word = pattern_word(id, i / 8);
    return ((unsigned char *)&word)[i % 8];
}

WR_NOINLINE void unit_fill(void *block, size_t from, size_t to, uint64_t id)
{
    unsigned char *bytes = block;
    size_t i = from;
    for (; i < to && i % 8 != 0; i++)
        bytes[i] = pattern_byte(id, i);
    for (uint64_t word = pattern_word(id, i / 8); i + 8 <= to; i += 8, word += PATTERN_STEP)
        memcpy(bytes + i, &word, 8);
    for (; i < to; i++)
        bytes[i] = pattern_byte(id, i);
}

WR_NOINLINE size_t unit_filled(const void *block, size_t from, size_t to, uint64_t id)
{
    enum { STRIDE = 256 }; /* bytes that are compared without looking at the result */
    const unsigned char *bytes = block;
    size_t i = wr_min(wr_round_up(from, 8), to);
    uint64_t differs = 0, word = pattern_word(id, i / 8);
    for (; i + STRIDE <= to && differs == 0; i += STRIDE)
        for (size_t k = 0; k < STRIDE; k += 8, word += PATTERN_STEP) {
            uint64_t seen;
            memcpy(&seen, bytes + i + k, 8);
            differs |= seen ^ word;
        }
    size_t vouched = differs == 0 ? i : i - STRIDE; /* from the first whole word to here all is well */
    for (i = from; i < to; i++) {
        if (bytes[i] != pattern_byte(id, i))
            return i;
        if (i % 8 == 7 && i < vouched)
            i = vouched - 1;
    }
    return UNIT_INTACT;
}

WR_NOINLINE size_t unit_zeroed(const void *block, size_t size)
{
    const unsigned char *bytes = block;
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, sizeof word);
        if (word != 0)
            break;
    }
    for (; i < size; i++) {
        if (bytes[i] != 0)
            return i;
    }
    return UNIT_INTACT;
}

WR_NOINLINE void *unit_opaque(const void *pointer)
{
    __asm__ volatile("" : "+r"(pointer) : : "memory");
    return (void *)(uintptr_t)pointer;
}

bool unit_is_aligned(const void *block, size_t alignment)
{
    return ((uintptr_t)unit_opaque(block) & (alignment - 1)) == 0;
}

/* ---- pages ----------------------------------------------------------------------------------------------------- */

size_t unit_page_size(void) { return (size_t)sysconf(_SC_PAGESIZE); }

void unit_need_small_pages(void)
{
    weir_free(weir_malloc(1)); /* geometry is set up with the first block */
    if (WR_PAGE_SIZE != 4096)
        cr_skip_test("the sizes here are those of pages of 4 KiB");
}

void unit_no_purger(void)
{
    wr_start();
    wr_options.purger = WR_PURGER_OFF;
}

/** A figure of /proc/self/statm, in bytes: the first or the second. */
static size_t statm(unsigned index)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long pages[2] = {0};
    must(file != NULL && fscanf(file, "%lu %lu", &pages[0], &pages[1]) == 2, "/proc/self/statm cannot be read");
    fclose(file);
    return pages[index] * unit_page_size();
}

size_t unit_mapped(void) { return statm(0); }
size_t unit_resident(void) { return statm(1); }

size_t unit_mappings(void)
{
    FILE *file = fopen("/proc/self/maps", "re");
    size_t count = 0;
    must(file != NULL, "/proc/self/maps cannot be read");
    for (int c; (c = getc(file)) != EOF;)
        count += c == '\n';
    fclose(file);
    return count;
}

void unit_pages_add(struct unit_pages *set, const void *block, size_t size)
{
    uintptr_t first = (uintptr_t)block / unit_page_size();
    uintptr_t last = ((uintptr_t)block + wr_max(size, 1) - 1) / unit_page_size();
    for (uintptr_t page = first; page <= last; page++) {
        if (set->count == set->capacity) {
            set->capacity = wr_max(2 * set->capacity, 1024);
            set->pages = realloc(set->pages, set->capacity * sizeof *set->pages);
            must(set->pages != NULL, "no memory for the test's own list of pages");
        }
        if (set->count == 0 || set->pages[set->count - 1] != page)
            set->pages[set->count++] = page;
    }
}

static int compare_pages(const void *a, const void *b)
{
    uintptr_t left = *(const uintptr_t *)a, right = *(const uintptr_t *)b;
    return (left > right) - (left < right);
}

void unit_pages_seal(struct unit_pages *set)
{
    if (set->count == 0)
        return;
    qsort(set->pages, set->count, sizeof *set->pages, compare_pages);
    size_t kept = 1;
    for (size_t i = 1; i < set->count; i++) {
        if (set->pages[i] != set->pages[kept - 1])
            set->pages[kept++] = set->pages[i];
    }
    set->count = kept;
}

static bool is_resident(uintptr_t page)
{
    unsigned char state = 0;
    if (mincore((void *)(page * unit_page_size()), unit_page_size(), &state) != 0) {
        must(errno == ENOMEM, "mincore: %s", strerror(errno));
        return false;
    }
    return (state & 1) != 0;
}

size_t unit_pages_resident(const struct unit_pages *set)
{
    size_t resident = 0;
    for (size_t i = 0; i < set->count; i++)
        resident += is_resident(set->pages[i]);
    return resident * unit_page_size();
}

size_t unit_pages_bytes(const struct unit_pages *set) { return set->count * unit_page_size(); }

void unit_pages_clear(struct unit_pages *set)
{
    free(set->pages);
    *set = (struct unit_pages){0};
}

/* ---- threads --------------------------------------------------------------------------------------------------- */

void unit_on_thread(void *(*fn)(void *), void *arg)
{
    pthread_t thread;
    must(pthread_create(&thread, NULL, fn, arg) == 0, "no thread");
    pthread_join(thread, NULL);
}

void *unit_on_stack(size_t size, void *(*fn)(void *), void *arg)
{
    pthread_attr_t attr;
    pthread_t thread;
    void *result = NULL;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, size);
    must(pthread_create(&thread, &attr, fn, arg) == 0, "no thread with a stack of %zu bytes", size);
    pthread_join(thread, &result);
    return result;
}

/* ---- what is alive --------------------------------------------------------------------------------------------- */

uint64_t unit_alive(void)
{
    struct weir_gc_stats stats;
    weir_gc_get_stats(&stats);
    return stats.objects;
}

uint64_t unit_live_bytes(void)
{
    struct weir_stats stats;
    weir_stats_get(&stats);
    return stats.live;
}

void unit_must_collect(long expected)
{
    long found = weir_gc_collect(WEIR_GC_FULL);
    must(found == expected, "%ld were found unreachable, not %ld", found, expected);
}
