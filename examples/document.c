/* SPDX-License-Identifier: MIT
 * A document: a tree whose nodes know their parents, a cache that keeps nothing alive, and a graph of links with
 * cycles. docs/objects.md builds it step by step. */
#include <stdio.h>
#include <string.h>
#include <weir/weir.h>

#include "example.h"

/* [text] */
struct text {
    size_t size;
    char bytes[];
};

static uint64_t text_hash(const void *object)
{
    const struct text *text = object;
    return weir_hash_bytes(text->bytes, text->size);
}

static bool text_equal(const void *a, const void *b)
{
    const struct text *one = a, *other = b;
    return one->size == other->size && memcmp(one->bytes, other->bytes, one->size) == 0;
}

static const struct weir_type text_type = {.name = "text",
                                           .size = sizeof(struct text),
                                           .flags = WEIR_ACYCLIC | WEIR_VARSIZE,
                                           .hash = text_hash,
                                           .equal = text_equal};

static struct text *text_new(const char *string)
{
    size_t size = strlen(string);
    struct text *text = weir_new_var(&text_type, size + 1);
    if (text == NULL)
        return NULL;
    text->size = size;
    memcpy(text->bytes, string, size); /* the byte behind is zero already */
    return text;
}
/* [text] */

/* [node] */
struct node {
    struct text *title;
    struct node *parent;       /* borrowed: a parent outlives its children's place in it */
    struct weir_vec *children; /* of nodes, owned */
    struct weir_vec *links;    /* of nodes anywhere, owned: here are the cycles */
};

static void node_finalize(void *object);

static const struct weir_type node_type = {.name = "node",
                                           .size = sizeof(struct node),
                                           .finalize = node_finalize,
                                           WEIR_REFS(struct node, title, children, links)};

static void node_finalize(void *object)
{
    struct node *node = object;
    struct weir_cursor at = {0};
    struct node *child;
    while (node->children != NULL && weir_vec_next(node->children, &at, &child))
        child->parent = NULL; /* somebody may hold the child longer */
}

/** A node below `parent`, or a root. Borrowed from the parent; a root is owned. NULL when memory is short. */
static struct node *node_new(struct node *parent, const char *title)
{
    WEIR_AUTO struct node *node = weir_new(&node_type);
    if (node == NULL || (node->title = text_new(title)) == NULL || (node->children = weir_vec_new(NULL)) == NULL ||
        (node->links = weir_vec_new(NULL)) == NULL)
        return NULL;
    if (parent == NULL)
        return weir_steal(&node);
    node->parent = parent;
    return weir_vec_push(parent->children, node) == 0 ? node : NULL;
}
/* [node] */

/* [index] */
/** A cache from titles to nodes: an entry holds its node weakly. */
struct entry {
    struct weir_weak node;
};

static void entry_dealloc(void *object) { weir_weak_fini(&((struct entry *)object)->node); }

static const struct weir_type entry_type = {
    .name = "entry", .size = sizeof(struct entry), .flags = WEIR_ACYCLIC, .dealloc = entry_dealloc};

static int index_add(struct weir_map *index, struct node *node)
{
    struct entry *entry = weir_new(&entry_type);
    if (entry != NULL)
        weir_weak_init(&entry->node, node, NULL, NULL);
    return weir_map_take(index, node->title, entry);
}

/** The node with this title, owned, or NULL. */
static struct node *index_find(struct weir_map *index, const char *title)
{
    WEIR_AUTO struct text *key = text_new(title);
    struct entry *entry = key != NULL ? weir_map_at(index, key) : NULL;
    return entry != NULL ? weir_weak_get(&entry->node) : NULL;
}
/* [index] */

static void print(const struct node *node, int depth)
{
    printf("%*s%s (links: %zu)\n", depth * 2, "", node->title->bytes, weir_vec_count(node->links));
    struct weir_cursor at = {0};
    struct node *child;
    while (weir_vec_next(node->children, &at, &child))
        print(child, depth + 1);
}

/* [main] */
int main(void)
{
    WEIR_AUTO struct weir_map *index = weir_example_need(weir_map_new(NULL, NULL));
    struct node *manual = weir_example_need(node_new(NULL, "Manual"));
    struct node *start = weir_example_need(node_new(manual, "Start"));
    struct node *build = weir_example_need(node_new(start, "Build"));
    struct node *usage = weir_example_need(node_new(manual, "Usage"));
    if (index_add(index, start) != 0 || index_add(index, usage) != 0 || weir_vec_push(build->links, usage) != 0 ||
        weir_vec_push(usage->links, start) != 0 || weir_vec_push(usage->links, usage) != 0)
        weir_example_need(NULL);
    print(manual, 0);
    printf("%s is in %s\n", build->title->bytes, build->parent->title->bytes);

    struct node *found = weir_example_need(index_find(index, "Usage"));
    printf("found: %s\n", found->title->bytes);
    weir_clear(&found);

    weir_clear(&manual); /* its sections link in a circle, and stay */
    found = index_find(index, "Usage");
    printf("after the release: %s\n", found != NULL ? "still there" : "gone");
    weir_clear(&found);
    printf("collected: %ld\n", weir_gc_collect(WEIR_GC_FULL));
    found = index_find(index, "Usage");
    printf("after the collection: %s\n", found != NULL ? "still there" : "gone");
    weir_example_print_resident("end");
    return 0;
}
/* [main] */
