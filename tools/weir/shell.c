/* SPDX-License-Identifier: MIT
 * Command lines and words; see shell.h. */
#include "shell.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <wordexp.h>

#include "libc.h"

char **shell_words(const char *line)
{
    wordexp_t words;
    int error = wordexp(line, &words, WRDE_NOCMD | WRDE_UNDEF);
    if (error == 0)
        return words.we_wordc > 0 ? words.we_wordv : NULL;
    if (error != WRDE_BADCHAR && error != WRDE_CMDSUB)
        return NULL;
    struct strings list = {0};
    strings_add(&list, "sh");
    strings_add(&list, "-c");
    strings_add(&list, "%s", line);
    return list.item;
}

/** Whether the shell takes the word as it is. */
static bool is_plain(const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./=:,+@%^";
    return *word != '\0' && word[strspn(word, plain)] == '\0';
}

static bool is_control(char c) { return (unsigned char)c < ' ' || c == 0x7f; }

/** The word as $'...', which has control characters on one line, and none that a terminal would obey. */
static char *quote_controls(const char *word)
{
    char *text = text_format("$'");
    for (; *word != '\0'; word++) {
        const char *before = *word == '\'' || *word == '\\' ? "\\" : "";
        char *longer = *word == '\n'       ? text_format("%s\\n", text)
                       : *word == '\t'     ? text_format("%s\\t", text)
                       : is_control(*word) ? text_format("%s\\%03o", text, (unsigned)*word)
                                           : text_format("%s%s%c", text, before, *word);
        free(text);
        text = longer;
    }
    char *whole = text_format("%s'", text);
    free(text);
    return whole;
}

/** The word in single quotes; one within becomes '\''. */
static char *quote(const char *word)
{
    for (const char *c = word; *c != '\0'; c++)
        if (is_control(*c))
            return quote_controls(word);
    char *text = text_format("'");
    for (; *word != '\0'; word++) {
        char *longer = *word == '\'' ? text_format("%s'\\''", text) : text_format("%s%c", text, *word);
        free(text);
        text = longer;
    }
    char *whole = text_format("%s'", text);
    free(text);
    return whole;
}

char *shell_line(char *const argv[])
{
    char *line = text_format("%s", "");
    for (size_t i = 0; argv[i] != NULL; i++) {
        char *word = is_plain(argv[i]) ? text_format("%s", argv[i]) : quote(argv[i]);
        char *longer = text_format("%s%s%s", line, i > 0 ? " " : "", word);
        free(word);
        free(line);
        line = longer;
    }
    return line;
}

int shell_signal(const char *name)
{
    char *end;
    long number = strtol(name, &end, 10);
    if (*name != '\0' && *end == '\0')
        return number > 0 && number < NSIG ? (int)number : 0;
    if (strncmp(name, "SIG", 3) == 0)
        name += 3;
    for (int i = 1; i < NSIG; i++) {
        const char *known = libc_signal_name(i);
        if (known != NULL && strcmp(known, name) == 0)
            return i;
    }
    return 0;
}
