/* SPDX-License-Identifier: MIT
 * What a user writes in C++: types by name where the language has that (C++20), else field by field. Compiled with
 * every warning in each standard, with WEIR_DEBUG and without; and it runs. */
#include <cstddef>
#include <cstdio>
#include <string>

#include <weir/weir.h>

namespace {

struct node {
    node *left, *right;
    std::string *name;
};

void node_dealloc(void *object)
{
    delete static_cast<node *>(object)->name;
}

#if __cplusplus >= 202002L
const weir_type node_type = {
    .name = "node", .size = sizeof(node), .flags = 0, WEIR_REFS(node, left, right), .traverse = nullptr,
    .clear = nullptr, .finalize = nullptr, .dealloc = node_dealloc, .hash = nullptr, .equal = nullptr,
};
#else
const uint16_t node_refs[] = {offsetof(node, left), offsetof(node, right)};
const weir_type node_type = {"node", sizeof(node), 0, 2, node_refs, nullptr, nullptr, nullptr, node_dealloc, nullptr,
                             nullptr};
#endif

node *make(const char *name)
{
    node *fresh = static_cast<node *>(weir_new(&node_type));
    if (fresh != nullptr)
        fresh->name = new std::string(name);
    return fresh;
}

bool use_containers()
{
    WEIR_AUTO weir_map *map = weir_map_new(&weir_strings, WEIR_VALUES(long));
    WEIR_AUTO weir_vec *vec = weir_vec_new(nullptr);
    if (map == nullptr || vec == nullptr || weir_vec_take(vec, make("held")) != 0)
        return false;
    const char *word = "weir";
    long *count = static_cast<long *>(weir_map_slot(map, &word));
    if (count == nullptr)
        return false;
    ++*count;
    weir_cursor at = {};
    node *item;
    while (weir_vec_next(vec, &at, &item))
        std::printf("%s, %ld\n", item->name->c_str(), *count);
    return true;
}

} // namespace

int main()
{
    WEIR_AUTO node *root = make("root");
    if (root == nullptr || !use_containers())
        return 1;
    weir_take(&root->left, make("child"));
    if (root->left == nullptr)
        return 1;
    weir_set(&root->left->right, root);
    weir_weak weak;
    weir_weak_init(&weak, root->left, nullptr, nullptr);
    weir_share(root);
    weir_clear(&root);
    long collected = weir_gc_collect_shared();
    void *got = weir_weak_get(&weak);
    std::printf("collected %ld, %s\n", collected, got == nullptr ? "gone" : "there");
    weir_unref(got);
    weir_weak_fini(&weak);
    return 0;
}
