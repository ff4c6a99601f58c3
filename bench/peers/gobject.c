/* SPDX-License-Identifier: MIT
 * Objects of GLib's GObject: counts are atomic. */
#include <glib-object.h>
#include <stdbool.h>
#include <stdint.h>

struct node {
    GObject parent;
    struct node *left, *right;
    uint64_t value;
};
struct node_class {
    GObjectClass parent;
};
typedef struct node Node;
typedef struct node_class NodeClass;

GType node_get_type(void);
G_DEFINE_TYPE(Node, node, G_TYPE_OBJECT)

static void node_dispose(GObject *object)
{
    struct node *node = (struct node *)object;
    g_clear_object(&node->left);
    g_clear_object(&node->right);
    G_OBJECT_CLASS(node_parent_class)->dispose(object);
}

static void node_class_init(NodeClass *class) { G_OBJECT_CLASS(class)->dispose = node_dispose; }
static void node_init(Node *node) { (void)node; }

#define NODE struct node *
#define NONE NULL
#define GET(ref) (ref)
#define GIVE(slot, owned) ((slot) = (owned))
#define SET(slot, ref) ((slot) = (g_object_ref)(ref))
#define DROP(ref) g_object_unref(ref)
#define COUNTS 1
#define ATOMIC 1
#define SHARES 0
#define COLLECTS 0

static struct node *make(void) { return g_object_new(node_get_type(), NULL); }
static void *make_array(size_t size) { return g_malloc0(size); }
static void drop_array(void *array) { g_free(array); }

#include "objects.h"

int main(int argc, char **argv) { return measure_all(argc, argv); }
