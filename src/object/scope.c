/* SPDX-License-Identifier: MIT
 * Scopes: a stack of calls to be made, for each thread. No lock. */
#include <errno.h>
#include <string.h>

#include "object/domain.h"

/** What is deferred; the mark of a scope is the number of calls before it. */
struct call {
    void (*fn)(void *arg);
    void *arg;
};

static WR_TLS struct stack {
    struct call *calls; /* from weir_malloc() */
    size_t count, room;
} * stack;

static struct call *push(void)
{
    if (stack == NULL && (stack = weir_calloc(1, sizeof *stack)) == NULL)
        return NULL;
    if (stack->count == stack->room) {
        size_t room = wr_max(stack->room * 2, 16);
        struct call *calls = weir_reallocarray(stack->calls, room, sizeof *calls);
        if (calls == NULL)
            return NULL;
        stack->calls = calls;
        stack->room = room;
    }
    return &stack->calls[stack->count++];
}

size_t weir_scope_enter(void)
{
    (void)wr_domain_get(); /* so that the thread's exit frees the stack */
    return stack != NULL ? stack->count : 0;
}

int weir_scope_defer(void (*fn)(void *arg), void *arg)
{
    struct call *call = push();
    if (call == NULL) {
        fn(arg);
        return -ENOMEM;
    }
    *call = (struct call){fn, arg};
    return 0;
}

static void release(void *object) { weir_unref(object); }

void *weir_scope_own(void *owned) { return owned == NULL || weir_scope_defer(release, owned) != 0 ? NULL : owned; }

void weir_scope_leave(size_t mark)
{
    while (stack != NULL && stack->count > mark) {
        struct call call = stack->calls[--stack->count];
        call.fn(call.arg); /* may defer more: that is called next */
    }
    if (mark == 0)
        wr_scope_end_thread();
}

void wr_scope_end_thread(void)
{
    if (stack == NULL)
        return;
    weir_free(stack->calls);
    weir_free(stack);
    stack = NULL;
}
