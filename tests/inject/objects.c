/* SPDX-License-Identifier: MIT
 * The same on every run: objects of several kinds, released in part, collected, in containers, left by a thread.
 * Whatever the system refuses, a call either works or gives NULL and ENOMEM (-ENOMEM), with nothing lost: each object
 * made goes once, and what it holds is verified. The last line of output counts what was refused. */
#include "case.h"

#include <pthread.h>
#include <sys/personality.h>
#include <weir/weir.h>

struct node {
    struct node *left, *right;
    unsigned number;
    char text[90];
};

static _Atomic unsigned made, gone;
static unsigned refused;

static void verify_and_count(void *object)
{
    const struct node *node = object;
    CHECK(filled(node->text, sizeof node->text, node->number));
    gone++;
}

static const struct weir_type node_type = {
    .name = "node", .size = sizeof(struct node), .dealloc = verify_and_count, WEIR_REFS(struct node, left, right)};
static const struct weir_type large_type = {
    .name = "large", .size = 300000, .dealloc = verify_and_count, WEIR_REFS(struct node, left, right)};

static struct node *make(const struct weir_type *type, unsigned number)
{
    errno = 0;
    struct node *node = weir_new(type);
    if (node == NULL) {
        CHECK(errno == ENOMEM);
        refused++;
        return NULL;
    }
    made++;
    node->number = number;
    fill(node->text, sizeof node->text, number);
    return node;
}

/** 0, or -ENOMEM, which is counted. */
static bool done(long result)
{
    CHECK(result >= 0 || result == -ENOMEM);
    refused += result < 0;
    return result >= 0;
}

/** 9 MiB of lists, of which most goes in between, and cycles. */
static void *lists_and_cycles(void *arg)
{
    struct node *list = NULL, *kept = NULL;
    for (unsigned i = 0; i < 60000; i++) {
        struct node *node = make(i % 6000 == 0 ? &large_type : &node_type, i);
        if (node == NULL)
            continue;
        if (i % 3 == 0) {
            node->left = node; /* our reference: a dead cycle */
        } else if (i % 500 == 1) {
            node->left = kept;
            kept = node;
        } else {
            node->left = list;
            list = node;
        }
        if (i % 20000 == 19999)
            weir_clear(&list);
    }
    weir_unref(list);
    if (arg == NULL)
        done(weir_gc_collect(WEIR_GC_FULL));
    else
        *(struct node **)arg = weir_ref(kept); /* for the next thread */
    for (const struct node *node = kept; node != NULL; node = node->left)
        CHECK(filled(node->text, sizeof node->text, node->number));
    weir_unref(kept);
    return NULL;
}

static void containers(void)
{
    struct weir_vec *vec = weir_vec_new(NULL);
    struct weir_map *map = weir_map_new(WEIR_VALUES(unsigned), NULL);
    size_t in_vec = 0, in_map = 0;
    for (unsigned i = 0; vec != NULL && map != NULL && i < 30000; i++) {
        struct node *node = make(&node_type, i);
        in_vec += node != NULL && done(weir_vec_push(vec, node));
        in_map += node != NULL && done(weir_map_set(map, &i, node));
        weir_unref(node);
    }
    refused += vec == NULL || map == NULL;
    CHECK(vec == NULL || weir_vec_count(vec) == in_vec);
    CHECK(map == NULL || weir_map_count(map) == in_map);
    struct weir_cursor at = {0};
    const unsigned *key;
    const struct node *node;
    while (map != NULL && weir_map_next(map, &at, &key, &node))
        CHECK(node->number == *key && filled(node->text, sizeof node->text, *key));
    weir_unref(vec);
    weir_unref(map);
}

int main(void)
{
    struct node *left = NULL;
    pthread_t thread;
    struct weir_gc_stats stats;

    personality(0xffffffff); /* calls are counted from here */
    lists_and_cycles(NULL);
    containers();
    if (pthread_create(&thread, NULL, lists_and_cycles, &left) == 0)
        CHECK(pthread_join(thread, NULL) == 0);
    weir_share(left);
    weir_unref(left);
    while (weir_gc_poll(1000000000) == 1)
        continue;
    done(weir_gc_collect(WEIR_GC_FULL));
    done(weir_gc_collect_shared());
    CHECK(weir_gc_collect(WEIR_GC_FULL) >= 0 || refused > 0);
    weir_gc_get_stats(&stats);
    CHECK(refused > 0 || (stats.objects == 0 && made == gone));
    CHECK(gone <= made && made - gone == stats.objects);
    say("verified, %u refused\n", refused);
    return 0;
}
