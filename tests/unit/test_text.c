/* SPDX-License-Identifier: MIT
 * Text without allocation: formatting beside the C library's, buffers that are too small, sizes and words from
 * strings. */
#include "base/text.h"

#include "support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The same format through both; the formats are literals, so the compiler checks the arguments. */
#define must_print_alike(...)                                                                                          \
    do {                                                                                                               \
        char expected[200], got[200] = "";                                                                             \
        struct wr_text text = WR_TEXT(got);                                                                            \
        snprintf(expected, sizeof expected, __VA_ARGS__);                                                              \
        wr_text_add(&text, __VA_ARGS__);                                                                               \
        must(strcmp(expected, got) == 0 && text.len == strlen(got) && !text.full, "'%s', not '%s'", got, expected);    \
    } while (0)

Test(text, formats_as_printf_does)
{
    static const int numbers[] = {0, 1, -1, 9, 10, -10, 12345, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < WR_COUNT(numbers); i++) {
        int n = numbers[i];
        must_print_alike("%d|%8d|%-8d|", n, n, n);
        must_print_alike("%u|%x|%08x|%10u", (unsigned)n, (unsigned)n, (unsigned)n, (unsigned)n);
        must_print_alike("%ld %lu %zu %zx %llu", (long)n, (unsigned long)(long)n, (size_t)(long)n, (size_t)(long)n,
                         (unsigned long long)(long)n);
    }
    must_print_alike("%ld %lu", INT64_MIN, UINT64_MAX);
    must_print_alike("%s|%10s|%-10s|%c|%%", "word", "word", "word", 'c');
    must_print_alike("%s", "");
    must_print_alike("%p", (void *)0x1234abcd);
    must_print_alike("plain");
}

Test(text, what_does_not_fit_is_dropped)
{
    for (size_t size = 1; size < 20; size++) {
        char buf[32];
        memset(buf, '#', sizeof buf);
        buf[0] = '\0';
        struct wr_text text = {.buf = buf, .size = size};
        wr_text_add(&text, "%s-%d", "12345", 67890);
        must(strlen(buf) == text.len && text.len == wr_min(size - 1, 11), "size %zu: '%s'", size, buf);
        must(strncmp(buf, "12345-67890", text.len) == 0, "size %zu: '%s'", size, buf);
        must(text.full == (size <= 11), "size %zu: full is %d", size, text.full);
        must(buf[size] == '#', "size %zu: written past the end", size);
    }
}

Test(text, appends)
{
    char buf[64];
    struct wr_text text = WR_TEXT(buf);
    for (int i = 0; i < 5; i++)
        wr_text_add(&text, "%d,", i);
    must(strcmp(buf, "0,1,2,3,4,") == 0, "'%s'", buf);
}

Test(text, bytes_as_people_read_them)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } row[] = {
        {0, "0 B"},
        {1023, "1023 B"},
        {1024, "1.0 KiB"},
        {1536, "1.5 KiB"},
        {1024 * 1024, "1.0 MiB"},
        {UINT64_C(5) << 30, "5.0 GiB"},
        {UINT64_C(3) << 40, "3.0 TiB"},
    };
    for (size_t i = 0; i < WR_COUNT(row); i++) {
        char buf[64];
        struct wr_text text = WR_TEXT(buf);
        wr_text_add_bytes(&text, row[i].bytes);
        must(strcmp(buf, row[i].text) == 0, "%llu: '%s', not '%s'", (unsigned long long)row[i].bytes, buf, row[i].text);
    }
}

Test(text, strings_inside_json)
{
    char buf[200];
    struct wr_text text = WR_TEXT(buf);
    wr_text_add_json(&text, "a\"b\\c\n\t\x01z");
    must(strcmp(buf, "a\\\"b\\\\c\\u000a\\u0009\\u0001z") == 0, "'%s'", buf);
}

Test(text, sizes_from_strings)
{
    static const struct {
        const char *string;
        bool valid;
        size_t bytes;
    } row[] = {
        {"0", true, 0},
        {"64", true, 64},
        {"64k", true, 64 * 1024},
        {"64K", true, 64 * 1024},
        {"4M", true, 4 * 1024 * 1024},
        {"4MiB", true, 4 * 1024 * 1024},
        {"4mb", true, 4 * 1024 * 1024},
        {"1GiB", true, (size_t)1 << 30},
        {"2T", true, (size_t)2 << 40},
        {"100B", true, 100},
        {"18446744073709551615", true, SIZE_MAX},
        {"18446744073709551616", false, 0},
        {"99999999999999999999999", false, 0},
        {"16777216T", false, 0},
        {"", false, 0},
        {"M", false, 0},
        {"-1", false, 0},
        {"+1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1x", false, 0},
        {"1Mx", false, 0},
        {"1MM", false, 0},
        {"0x10", false, 0},
        {"1.5M", false, 0},
    };
    for (size_t i = 0; i < WR_COUNT(row); i++) {
        size_t bytes = 77;
        bool valid = wr_text_parse_bytes(row[i].string, &bytes);
        must(valid == row[i].valid, "'%s' is %s", row[i].string, valid ? "accepted" : "refused");
        must(!valid || bytes == row[i].bytes, "'%s' is %zu", row[i].string, bytes);
    }
}

Test(text, distance_between_words)
{
    static const struct {
        const char *a, *b;
        unsigned distance;
    } row[] = {
        {"", "", 0},
        {"abc", "abc", 0},
        {"abc", "ABC", 0},
        {"", "abc", 3},
        {"abc", "", 3},
        {"WEIR_VERBOS", "WEIR_VERBOSE", 1},
        {"WIER_STATS", "WEIR_STATS", 1}, /* neighbours swapped */
        {"free", "fre", 1},
        {"never", "nevre", 1},
        {"free", "tree", 1},
        {"kitten", "sitting", 3},
        {"abcdefghijklmnop", "qrstuvwxyz", 9}, /* no more is told */
        {"a long name that is more than thirty-two characters", "x", 9},
    };
    for (size_t i = 0; i < WR_COUNT(row); i++) {
        unsigned there = wr_text_distance(row[i].a, row[i].b), back = wr_text_distance(row[i].b, row[i].a);
        must(there == row[i].distance && back == there, "'%s' and '%s': %u, and %u back", row[i].a, row[i].b, there,
             back);
    }
}

/** Redirects standard error into a pipe; returns the end to read. */
static int catch_errors(void)
{
    int ends[2];
    must(pipe(ends) == 0 && dup2(ends[1], STDERR_FILENO) == STDERR_FILENO, "no pipe");
    close(ends[1]);
    return ends[0];
}

Test(text, a_message_is_one_line_and_keeps_errno)
{
    int saved = dup(STDERR_FILENO), from = catch_errors();
    errno = 4242;
    wr_message("%s is %d", "six", 6);
    int after = errno;
    char got[200] = "", expected[200];
    ssize_t n = read(from, got, sizeof got - 1);
    dup2(saved, STDERR_FILENO);
    snprintf(expected, sizeof expected, "weir: %d: six is 6\n", (int)getpid());
    must(after == 4242, "errno %d", after);
    must(n > 0 && strcmp(got, expected) == 0, "'%s', not '%s'", got, expected);
}

Test(text, a_message_that_is_too_long_is_still_a_line)
{
    char word[2000], got[4000] = "";
    memset(word, 'x', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    int saved = dup(STDERR_FILENO), from = catch_errors();
    wr_message("%s", word);
    ssize_t n = read(from, got, sizeof got - 1);
    dup2(saved, STDERR_FILENO);
    must(n > 100 && got[n - 1] == '\n' && strchr(got, '\n') == got + n - 1, "%zd bytes", n);
}

Test(text, writing_to_nobody_is_no_error)
{
    char buf[16];
    struct wr_text text = WR_TEXT(buf);
    wr_text_add(&text, "lost");
    errno = 4242;
    int error = wr_text_write(&text, -1);
    must(errno == 4242 && error == EBADF, "errno %d, error %d", errno, error);
}

Test(text, fatal_says_so_and_aborts)
{
    int from = catch_errors(), status = 0;
    pid_t child = fork();
    if (child == 0)
        wr_fatal("the end of %s", "it");
    char got[200] = "", expected[200];
    must(waitpid(child, &status, 0) == child, "waitpid");
    ssize_t n = read(from, got, sizeof got - 1);
    snprintf(expected, sizeof expected, "weir: %d: fatal: the end of it\n", (int)child);
    must(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "status %#x", (unsigned)status);
    must(n > 0 && strcmp(got, expected) == 0, "'%s', not '%s'", got, expected);
}
