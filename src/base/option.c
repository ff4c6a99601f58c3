/* SPDX-License-Identifier: MIT
 * The table of options and its reader; see option.h. To add an option: a field in struct wr_options and a row here. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/option.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

struct wr_options wr_options;

enum kind { WORD, WORDS, BYTES, PATH };

static const struct option {
    const char *name;
    enum kind kind;
    void *value;        /* int for WORD and WORDS, size_t for BYTES, char[] for PATH */
    const char *values; /* WORD, WORDS: the words it takes, in the order of their numbers; else a description */
    const char *initial;
    const char *help;
} option[] = {
    {"WEIR_CHECK", WORD, &wr_options.check, "0|1", "0",
     "1: check every free and every list in full, at several times the cost, to find misuse of blocks"},
    {"WEIR_DEEPBIND", WORD, &wr_options.deepbind, "drop|keep", "drop",
     "RTLD_DEEPBIND of dlopen(): left out, so that the library has the program's heap; kept, for one that needs it"},
    {"WEIR_GC_DEBUG", WORDS, &wr_options.gc_debug, "stats|collectable|uncollectable|saveall|stress|leak", "",
     "what the collector of objects says and does, words with commas: see weir_gc_set_debug()"},
    {"WEIR_INHERIT", WORD, &wr_options.inherit, "0|1", "1",
     "0: take Weir out of LD_PRELOAD for the programs that this one starts"},
    {"WEIR_LEAKS", WORD, &wr_options.leaks, "0|1", "0",
     "1: collect once more at exit, and list the objects that are still alive, by type"},
    {"WEIR_PURGE", WORD, &wr_options.purge, "dontneed|free|never", "dontneed",
     "how free memory goes back: at once, under memory pressure (MADV_FREE), or not at all, even when asked"},
    {"WEIR_PURGER", WORD, &wr_options.purger, "auto|on|off", "auto",
     "a thread that gives back what a quiet process keeps: auto, only where the program has threads; on, always; off"},
    {"WEIR_REPORT", PATH, wr_options.report, "PATH", "",
     "append the statistics as one line of JSON to this file at exit"},
    {"WEIR_SLACK", BYTES, &wr_options.slack, "BYTES[K|M|G]", "4M",
     "free memory that may stay resident: this or an eighth of what is used; in small programs less"},
    {"WEIR_STATS", WORD, &wr_options.stats, "0|1|json", "0",
     "write statistics to standard error at exit, as text or JSON; counts every call, so the program runs slower"},
    {"WEIR_STRICT", WORD, &wr_options.strict, "0|1", "0", "1: freeing a pointer that Weir never gave is fatal"},
    {"WEIR_THP", WORD, &wr_options.thp, "system|auto|never|always", "auto",
     "huge pages: where the system gives them unasked; and asked for where large blocks come again; not; always"},
    {"WEIR_VERBOSE", WORD, &wr_options.verbose, "0|1", "0",
     "1: say at start that Weir is active and how, and why memory was refused"},
};

/** Copies the word at `index` of "a|b|c" to buf; false past the last. */
static bool word_at(const char *words, unsigned index, char *buf, size_t size)
{
    for (; index > 0; index--) {
        words = strchr(words, '|');
        if (words == NULL)
            return false;
        words++;
    }
    size_t length = strcspn(words, "|");
    length = wr_min(length, size - 1);
    memcpy(buf, words, length);
    buf[length] = '\0';
    return true;
}

/* What is further from a name or word than by so many letters was not meant to be it. */
enum { MISSPELT_MOST = 2, NO_WORD = 99 };

/** The number of `value` among the option's words, or -1; *nearest is then the number of the one that is most like it,
 *  NO_WORD if none is. */
static int find_word(const struct option *o, const char *value, unsigned *nearest)
{
    char word[32];
    unsigned best = MISSPELT_MOST + 1;
    *nearest = NO_WORD;
    for (unsigned i = 0; word_at(o->values, i, word, sizeof word); i++) {
        unsigned distance = wr_text_distance(value, word);
        if (distance == 0)
            return (int)i;
        if (distance < best && distance < strlen(word)) {
            best = distance;
            *nearest = i;
        }
    }
    return -1;
}

/** The bits of words with commas, -1 if one of them is none; *wrong is then that one, *nearest as in find_word(). */
static int find_words(const struct option *o, const char *value, char wrong[static 32], unsigned *nearest)
{
    int bits = 0;
    *nearest = NO_WORD;
    while (*value != '\0') {
        size_t length = strcspn(value, ",");
        memcpy(wrong, value, wr_min(length, 31));
        wrong[wr_min(length, 31)] = '\0';
        int word = find_word(o, wrong, nearest);
        if (word < 0)
            return -1;
        bits |= 1 << word;
        value += length + (value[length] == ',');
    }
    return bits;
}

/** Parses `value` and, if `keep`, puts it in force. False if it is none that the option takes. */
static bool parse(const struct option *o, const char *value, bool keep)
{
    unsigned nearest;
    size_t bytes;
    char wrong[32];
    int word;
    switch (o->kind) {
    case WORD:
    case WORDS:
        word = o->kind == WORD ? find_word(o, value, &nearest) : find_words(o, value, wrong, &nearest);
        if (word >= 0 && keep)
            *(int *)o->value = word;
        return word >= 0;
    case BYTES:
        if (!wr_text_parse_bytes(value, &bytes))
            return false;
        if (keep)
            *(size_t *)o->value = bytes;
        return true;
    default:
        if (strlen(value) >= sizeof wr_options.report)
            return false;
        if (keep)
            strcpy(o->value, value);
        return true;
    }
}

static WR_COLD void warn_value(const struct option *o, const char *value)
{
    char word[32], wrong[32], buf[64] = "", start[80];
    struct wr_text guess = WR_TEXT(buf), shown = WR_TEXT(start);
    wr_text_add(&shown, "%s", value); /* as far as there is room: what is wrong with it is to be read, too */
    unsigned nearest = NO_WORD;
    int found = o->kind == WORDS ? find_words(o, value, wrong, &nearest) : 0;
    if (o->kind == WORD)
        found = find_word(o, value, &nearest);
    if (nearest != NO_WORD && word_at(o->values, nearest, word, sizeof word))
        wr_text_add(&guess, "; did you mean %s?", word);
    const char *end = nearest != NO_WORD ? " Using" : "; using";
    if (o->kind == WORDS && found < 0)
        wr_message("warning: %s=%s: \"%s\" is none of %s%s%s the default, none", o->name, value, wrong, o->values, buf,
                   end);
    else if (o->kind == WORD && found < 0)
        wr_message("warning: %s=%s is none of %s%s%s the default, %s", o->name, start, o->values, buf, end, o->initial);
    else if (o->kind == BYTES)
        wr_message("warning: %s=%s is not of the form %s; using the default, %s", o->name, start, o->values,
                   o->initial);
    else
        wr_message("warning: %s=%s... is longer than %zu bytes, and not used", o->name, start,
                   sizeof wr_options.report - 1);
}

/** Names that the weir command or the build's tests use for themselves. */
static bool is_ours_elsewhere(const char *name)
{
    return strcmp(name, "WEIR_PRELOAD") == 0 || strncmp(name, "WEIR_TEST_", 10) == 0 ||
           strcmp(name, "WEIR_LIBDIR") == 0 || strncmp(name, "WEIR_TRACE", 10) == 0;
}

/** Warns if `entry`, "WEIR_…=…" of the environment, is no option of ours. */
static void check_name(const char *entry)
{
    char name[40];
    size_t length = strcspn(entry, "=");
    if (length >= sizeof name)
        return;
    memcpy(name, entry, length);
    name[length] = '\0';
    const struct option *nearest = NULL;
    unsigned best = MISSPELT_MOST + 1;
    for (size_t i = 0; i < WR_COUNT(option); i++) {
        unsigned distance = wr_text_distance(name, option[i].name);
        if (strcmp(name, option[i].name) == 0)
            return;
        if (distance < best) {
            best = distance;
            nearest = &option[i];
        }
    }
    if (is_ours_elsewhere(name))
        return;
    if (nearest != NULL)
        wr_message("warning: %s is not an option; did you mean %s? (`weir options` lists them)", name, nearest->name);
    else
        wr_message("warning: %s is not an option; `weir options` lists them", name);
}

void wr_option_read(void)
{
    for (size_t i = 0; i < WR_COUNT(option); i++) {
        const char *value = secure_getenv(option[i].name);
        if (value == NULL || *value == '\0' || !parse(&option[i], value, true))
            parse(&option[i], option[i].initial, true);
    }
}

void wr_option_warn(void)
{
    for (size_t i = 0; i < WR_COUNT(option); i++) {
        const char *value = secure_getenv(option[i].name);
        if (value != NULL && *value != '\0' && !parse(&option[i], value, false))
            warn_value(&option[i], value);
    }
    if (environ == NULL || secure_getenv("PATH") == NULL)
        return; /* a process without PATH is either privileged or bare; nobody misspelt anything for it */
    for (char **entry = environ; *entry != NULL; entry++)
        if (strncmp(*entry, "WEIR_", 5) == 0)
            check_name(*entry);
}

/** Bytes with the largest suffix that loses nothing. */
static void add_short_bytes(struct wr_text *text, size_t bytes)
{
    unsigned u = 0;
    for (; u < 3 && bytes != 0 && bytes % 1024 == 0; u++)
        bytes /= 1024;
    wr_text_add(text, "%zu", bytes);
    if (u > 0)
        wr_text_add(text, "%c", " KMG"[u]);
}

static void add_words(struct wr_text *text, const struct option *o)
{
    char word[32];
    for (unsigned i = 0; word_at(o->values, i, word, sizeof word); i++)
        if ((*(unsigned *)o->value >> i & 1) != 0)
            wr_text_add(text, "%s%s", text->len > 0 ? "," : "", word);
}

bool wr_option_row(unsigned index, struct wr_option_row *row)
{
    if (index >= WR_COUNT(option))
        return false;
    const struct option *o = &option[index];
    *row = (struct wr_option_row){.name = o->name, .values = o->values, .initial = o->initial, .help = o->help};
    struct wr_text text = WR_TEXT(row->current);
    if (o->kind == WORD)
        word_at(o->values, *(unsigned *)o->value, row->current, sizeof row->current);
    else if (o->kind == WORDS)
        add_words(&text, o);
    else if (o->kind == BYTES)
        add_short_bytes(&text, *(size_t *)o->value);
    else
        wr_text_add(&text, "%s", (const char *)o->value);
    return true;
}
