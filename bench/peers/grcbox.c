/* SPDX-License-Identifier: MIT
 * Objects of GLib's GRcBox: a count before a block of malloc's. */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct node {
    struct node *left, *right;
    uint64_t value;
};

#define NODE struct node *
#define NONE NULL
#define GET(ref) (ref)
#define GIVE(slot, owned) ((slot) = (owned))
#define SET(slot, ref) ((slot) = g_rc_box_acquire(ref))
#define DROP(ref) g_rc_box_release_full((ref), clear)
#define COUNTS 1
#define ATOMIC 0
#define SHARES 0
#define COLLECTS 0

static void clear(void *object)
{
    struct node *node = object;
    if (node->left != NULL)
        DROP(node->left);
    if (node->right != NULL)
        DROP(node->right);
}

static struct node *make(void) { return g_rc_box_new0(struct node); }
static void *make_array(size_t size) { return g_malloc0(size); }
static void drop_array(void *array) { g_free(array); }

#include "objects.h"

int main(int argc, char **argv) { return measure_all(argc, argv); }
