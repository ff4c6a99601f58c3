/* SPDX-License-Identifier: MIT
 * `del x` and `x = None`: a name lets go. The object goes with the last of its names, at once. */
#include <stdio.h>
#include <weir/weir.h>

#include "example.h"

struct buffer {
    size_t size;
    char *bytes;
};

static void buffer_dealloc(void *object)
{
    struct buffer *buffer = object;
    printf("freed %zu bytes\n", buffer->size);
    weir_free(buffer->bytes);
}

static const struct weir_type buffer_type = {
    .name = "buffer", .size = sizeof(struct buffer), .flags = WEIR_ACYCLIC, .dealloc = buffer_dealloc};

static struct buffer *buffer_new(size_t size)
{
    struct buffer *buffer = weir_example_need(weir_new(&buffer_type));
    buffer->size = size;
    buffer->bytes = weir_example_need(weir_calloc(size, 1));
    for (size_t i = 0; i < size; i += 4096)
        buffer->bytes[i] = 1;
    return buffer;
}

int main(void)
{
    struct buffer *x = buffer_new(50000000);
    struct buffer *alias = weir_ref(x); /* alias = x */
    weir_example_print_resident("full");
    printf("names: %zu\n", weir_refcount(x));
    weir_clear(&x); /* del x */
    printf("x is gone, names: %zu\n", weir_refcount(alias));
    weir_clear(&alias); /* alias = None: the last */
    printf("alias is gone\n");
    weir_trim(0);
    weir_example_print_resident("end");
    return 0;
}
