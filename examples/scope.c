/* SPDX-License-Identifier: MIT
 * `with`: what was opened is closed on every way out, also on an error, also where longjmp jumps over it. */
#include <setjmp.h>
#include <stdio.h>
#include <weir/weir.h>

#include "example.h"

struct file {
    const char *name;
};

static void file_dealloc(void *object) { printf("closed %s\n", ((struct file *)object)->name); }

static const struct weir_type file_type = {
    .name = "file", .size = sizeof(struct file), .flags = WEIR_ACYCLIC, .dealloc = file_dealloc};

static struct file *file_open(const char *name)
{
    struct file *file = weir_example_need(weir_new(&file_type));
    file->name = name;
    printf("opened %s\n", name);
    return file;
}

/** Both are closed, whichever return is taken. */
static int convert(int fails)
{
    WEIR_AUTO struct file *in = file_open("input");
    WEIR_AUTO struct file *out = file_open("output");
    if (fails) {
        printf("cannot write to %s\n", out->name);
        return -1;
    }
    printf("copied %s to %s\n", in->name, out->name);
    return 0;
}

static jmp_buf back;

static void deep(void)
{
    weir_scope_own(file_open("scratch"));
    longjmp(back, 1);
}

int main(void)
{
    convert(0);
    convert(1);
    size_t mark = weir_scope_enter();
    if (setjmp(back) == 0)
        deep();
    else
        printf("came back\n");
    weir_scope_leave(mark);
    weir_example_print_resident("end");
    return 0;
}
