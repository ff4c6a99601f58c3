/* SPDX-License-Identifier: MIT
 * A program that forgets some of what it makes; what it does is its argument. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <weir/weir.h>

struct session {
    struct session *peer;
    struct request *last;
};
struct request {
    struct session *owner;
    char body[200];
};

static const struct weir_type session_type = {
    .name = "session", .size = sizeof(struct session), WEIR_REFS(struct session, peer, last)};
static const struct weir_type request_type = {
    .name = "request", .size = sizeof(struct request), WEIR_REFS(struct request, owner)};

static struct session *forgotten[3];

/** Three sessions that nobody releases, each with a request; seven that are cycles, and are no leak. */
static void leak(void)
{
    for (int i = 0; i < 3; i++) {
        forgotten[i] = weir_new(&session_type); /* line: forgotten */
        forgotten[i]->last = weir_new(&request_type); /* line: request */
    }
    for (int i = 0; i < 7; i++) {
        struct session *session = weir_new(&session_type);
        session->peer = session;
    }
    (void)weir_immortalize(weir_new(&request_type));
}

static void collect(void)
{
    for (int i = 0; i < 5; i++) {
        struct session *session = weir_new(&session_type);
        session->peer = weir_new(&session_type);
        session->peer->peer = session;
    }
    printf("found %ld\n", weir_gc_collect(WEIR_GC_FULL));
    printf("kept %zu\n", weir_gc_garbage_count());
}

/** Too many of the references that a traverse function claims: what WEIR_GC_DEBUG=uncollectable is for. */
static struct session *claimed;
static void visit_claimed(void *object, weir_visit_fn visit, void *arg)
{
    visit(((struct session *)object)->peer, arg);
    visit(claimed, arg);
    visit(claimed, arg);
}
static void clear_peer(void *object) { weir_clear(&((struct session *)object)->peer); }
static const struct weir_type liar_type = {
    .name = "liar", .size = sizeof(struct session), .traverse = visit_claimed, .clear = clear_peer};

static void lie(void)
{
    claimed = weir_new(&session_type);
    struct session *liar = weir_new(&liar_type);
    printf("found %ld\n", weir_gc_collect(WEIR_GC_FULL));
    weir_unref(liar);
    weir_unref(claimed);
}

/** An index holds a chain of sessions, one of which refers back. */
static void dump(const char *file)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct session *root = weir_new(&session_type);
    root->peer = weir_new(&session_type);
    root->peer->last = weir_new(&request_type);
    root->peer->last->owner = weir_ref(root->peer);
    struct session *other = weir_new(&session_type);
    printf("all %ld\n", weir_gc_dump(fd, NULL, 0));
    printf("path %ld\n", weir_gc_dump(fd, root->peer->last, 0));
    printf("few %ld\n", weir_gc_dump(fd, NULL, 2));
    close(fd);
    weir_unref(other);
    weir_unref(root);
    weir_gc_collect(WEIR_GC_FULL);
}

static void follow(void)
{
    struct session *session = weir_new(&session_type);
    weir_log(session, true);
    struct session *again = weir_ref(session); /* line: ref */
    weir_unref(again); /* line: unref */
    weir_unref(session); /* line: last */
}

/* Mistakes. */
static struct session *released(void)
{
    struct session *keep = weir_new(&session_type), *gone = weir_new(&session_type);
    weir_unref(gone);
    return keep != NULL ? gone : NULL; /* so that the page stays */
}
static void over_release(void) { weir_unref(released()); /* line: over */ }
static void use_after(void)
{
    struct session *gone = released();
    weir_ref(gone); /* line: after */
}
static void stress(void)
{
    for (int i = 0; i < 50; i++) {
        struct session *session = weir_new(&session_type);
        session->peer = session;
    }
    struct weir_gc_stats stats;
    weir_gc_get_stats(&stats);
    printf("passes %d\n", stats.full >= 49);
}

/* A cycle of a thread's, which only the main one drops; then that makes objects until a full pass starts by itself. */
static void *make_cycle(void *out)
{
    struct session *session = weir_new(&session_type);
    session->peer = weir_ref(session);
    *(struct session **)out = session;
    return NULL;
}

static void outlive(void)
{
    pthread_t thread;
    struct session *left;
    struct weir_gc_stats stats;
    pthread_create(&thread, NULL, make_cycle, &left);
    pthread_join(thread, NULL);
    weir_unref(left);
    struct session *list = NULL;
    do {
        for (int i = 0; i < 10000; i++) {
            struct session *session = weir_new(&session_type);
            session->peer = list;
            list = session;
        }
        weir_gc_get_stats(&stats);
    } while (stats.full == 0);
    printf("collected %lu\n", (unsigned long)stats.collected);
    weir_unref(list);
}

/** What another thread forgets, in a program whose first one makes no object. */
static void *forget(void *arg)
{
    for (int i = 0; i < 5; i++)
        forgotten[0] = weir_new(&session_type);
    return arg;
}

static void forget_elsewhere(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, forget, NULL);
    pthread_join(thread, NULL);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "leak") == 0)
        leak();
    else if (strcmp(what, "collect") == 0)
        collect();
    else if (strcmp(what, "lie") == 0)
        lie();
    else if (strcmp(what, "dump") == 0 && argc > 2)
        dump(argv[2]);
    else if (strcmp(what, "follow") == 0)
        follow();
    else if (strcmp(what, "over-release") == 0)
        over_release();
    else if (strcmp(what, "use-after") == 0)
        use_after();
    else if (strcmp(what, "stress") == 0)
        stress();
    else if (strcmp(what, "forget-elsewhere") == 0)
        forget_elsewhere();
    else if (strcmp(what, "nothing") == 0)
        weir_free(weir_malloc(100));
    else if (strcmp(what, "outlive") == 0)
        outlive();
    else
        return 2;
    return 0;
}
