/* SPDX-License-Identifier: MIT
 * What a user writes: a small library of books with most of what the headers have. It is compiled with every warning
 * and by analyzers, which must have nothing to say, with WEIR_DEBUG and without; and it runs. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <weir/weir.h>

/* ---- types ------------------------------------------------------------------------------------------------------- */

struct text {
    size_t size;
    char bytes[];
};

struct author {
    struct text *name;
    struct weir_vec *books; /* of books, which refer back: a cycle */
};

struct book {
    struct text *title;
    struct author *author, *editor;
    struct weir_weak sequel;
};

static uint64_t text_hash(const void *object)
{
    const struct text *text = (const struct text *)object;
    return weir_hash_bytes(text->bytes, text->size);
}

static bool text_equal(const void *a, const void *b)
{
    const struct text *one = (const struct text *)a, *other = (const struct text *)b;
    return one->size == other->size && memcmp(one->bytes, other->bytes, one->size) == 0;
}

static int finalized;
static void book_finalize(void *object)
{
    (void)object;
    finalized++;
}
static void book_dealloc(void *object) { weir_weak_fini(&((struct book *)object)->sequel); }

static const struct weir_type text_type = {
    .name = "text", .size = sizeof(struct text), .flags = WEIR_ACYCLIC | WEIR_VARSIZE, .hash = text_hash,
    .equal = text_equal,
};
static const struct weir_type author_type = {
    .name = "author", .size = sizeof(struct author), WEIR_REFS(struct author, name, books),
};
static const struct weir_type book_type = {
    .name = "book", .size = sizeof(struct book), .finalize = book_finalize, .dealloc = book_dealloc,
    WEIR_REFS(struct book, title, author, editor),
};

/* ---- making ------------------------------------------------------------------------------------------------------ */

static struct text *text_new(const char *string)
{
    size_t size = strlen(string);
    struct text *text = (struct text *)weir_new_var(&text_type, size + 1);
    if (text == NULL)
        return NULL;
    text->size = size;
    memcpy(text->bytes, string, size);
    return text;
}

static struct author *author_new(const char *name)
{
    WEIR_AUTO struct author *author = (struct author *)weir_new(&author_type);
    if (author == NULL)
        return NULL;
    weir_take(&author->name, text_new(name));
    weir_take(&author->books, weir_vec_new(NULL));
    if (author->name == NULL || author->books == NULL)
        return NULL;
    return weir_steal(&author);
}

static struct book *book_new(const char *title, struct author *author)
{
    WEIR_AUTO struct book *book = (struct book *)weir_new(&book_type);
    if (book == NULL || (book->title = text_new(title)) == NULL)
        return NULL;
    weir_set(&book->author, author);
    weir_set(&book->editor, author);
    weir_clear(&book->editor);
    if (weir_vec_push(author->books, book) != 0)
        return NULL;
    return weir_steal(&book);
}

static void note_call(struct weir_weak *weak, void *count)
{
    (void)weak;
    ++*(int *)count;
}

/* ---- using ------------------------------------------------------------------------------------------------------- */

static int use_books(struct weir_map *index)
{
    WEIR_AUTO struct author *author = author_new("Boehm");
    if (author == NULL)
        return -ENOMEM;
    WEIR_AUTO struct book *first = book_new("One", author);
    WEIR_AUTO struct book *second = book_new("Two", author);
    if (first == NULL || second == NULL)
        return -ENOMEM;
    weir_weak_init(&first->sequel, second, NULL, NULL);
    struct book *found = (struct book *)weir_weak_get(&first->sequel);
    if (found != second)
        return -EINVAL;
    weir_unref(found);
    int result = weir_map_set(index, first->title, first);
    if (result == 0)
        result = weir_map_set(index, second->title, second);
    struct weir_cursor at = {0};
    const struct text *title;
    const struct book *book;
    while (weir_map_next(index, &at, &title, &book))
        printf("%s by %s\n", title->bytes, book->author->name->bytes);
    return result;
}

static int use_values(void)
{
    static const char *const words[] = {"a", "b", "a"};
    WEIR_AUTO struct weir_map *counts = weir_map_new(&weir_strings, WEIR_VALUES(long));
    WEIR_AUTO struct weir_set *seen = weir_set_new(WEIR_VALUES(int));
    WEIR_AUTO struct weir_deque *queue = weir_deque_new(WEIR_VALUES(double));
    if (counts == NULL || seen == NULL || queue == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        long *count = (long *)weir_map_slot(counts, &words[i]);
        if (count == NULL)
            return -errno;
        ++*count;
    }
    const char *key = "a";
    const long *count = (const long *)weir_map_at(counts, &key);
    int number = 7, added = weir_set_add(seen, &number), again = weir_set_add(seen, &number);
    double half = 0.5;
    int pushed = weir_deque_push_back(queue, &half);
    printf("a: %ld, added %d %d, pushed %d\n", count != NULL ? *count : 0, added, again, pushed);
    weir_deque_clear(queue);
    return 0;
}

static void give_back(void *block) { weir_free(block); }

static int use_scopes(void)
{
    size_t mark = weir_scope_enter();
    void *block = weir_malloc(100);
    int result = block != NULL ? weir_scope_defer(give_back, block) : -ENOMEM;
    const struct text *text = (const struct text *)weir_scope_own(text_new("scoped"));
    if (result == 0 && text != NULL)
        printf("%s\n", text->bytes);
    weir_scope_leave(mark);
    return result;
}

static int use_chunks(void)
{
    static const char data[] = "one\ntwo\n\nlast";
    const struct weir_chunks_how how = {.split = WEIR_CHUNKS_LINES};
    WEIR_AUTO struct weir_chunks *lines = weir_chunks_buffer(data, sizeof data - 1, &how);
    const struct weir_chunk *line;
    while ((line = weir_chunks_next(lines)) != NULL)
        printf("%u: %.*s\n", (unsigned)line->number, (int)line->size, line->data);
    return weir_chunks_error(lines);
}

static int count_object(void *object, void *arg)
{
    ++*(int *)arg;
    return weir_typeof(object)->size == 0;
}

int main(void)
{
    WEIR_AUTO struct weir_map *index = weir_map_new(NULL, NULL);
    int objects = 0, called = 0;
    struct weir_weak weak;
    if (index == NULL || use_books(index) != 0 || use_values() != 0 || use_scopes() != 0 || use_chunks() != 0)
        return 1;
    WEIR_AUTO struct text *title = text_new("One");
    WEIR_AUTO struct book *book = title != NULL ? (struct book *)weir_map_get(index, title) : NULL;
    if (book == NULL)
        return 1;
    weir_weak_init(&weak, book, note_call, &called);
    weir_map_clear(index);
    book = (struct book *)weir_renew(weir_steal(&book), &book_type);
    if (weir_gc_each(WEIR_GC_FULL, count_object, &objects) != 0)
        return 1;
    weir_clear(&book);
    long collected = weir_gc_collect(WEIR_GC_FULL);
    weir_weak_fini(&weak);
    printf("%d finalized, collected %ld, called %d, objects before: %d\n", finalized, collected, called, objects);
    return 0;
}
