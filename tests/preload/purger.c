/* SPDX-License-Identifier: MIT
 * The purger in the life of a process. Argument: what to try; see main(). Waits for what must come, up to a minute. */
#include "seccomp.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

static sem_t go;

static void nap(void)
{
    const struct timespec time = {0, 10000000};

    nanosleep(&time, NULL);
}

/** Threads of the process whose name is `name`, or all if that is NULL. */
static unsigned threads(const char *name)
{
    char path[64], text[64];
    unsigned count = 0;
    DIR *task = opendir("/proc/self/task");

    CHECK(task != NULL);
    for (struct dirent *entry; (entry = readdir(task)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "/proc/self/task/%.20s/comm", entry->d_name);
        const int fd = open(path, O_RDONLY | O_CLOEXEC);
        const ssize_t length = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
        if (fd >= 0)
            close(fd);
        text[length > 0 ? length : 0] = '\0';
        count += name == NULL || strncmp(text, name, strlen(name)) == 0;
    }
    closedir(task);
    return count;
}

static unsigned purgers(void)
{
    return threads("weir-purger");
}

static void *sleeper(void *arg)
{
    while (sem_wait(&go) != 0)
        ;
    return arg;
}

/** Leaves slack, but less than the bound: nobody but a purger gives that back. */
static void leave_slack(void)
{
    enum { COUNT = 3000 };
    static char *blocks[COUNT];

    for (unsigned i = 0; i < COUNT; i++) {
        CHECK((blocks[i] = malloc(1000)) != NULL);
        fill(blocks[i], 1000, i);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        CHECK(filled(blocks[i], 1000, i));
        free(blocks[i]);
    }
}

static void wait_for_purger(void)
{
    unsigned found;

    for (unsigned i = 0; i < 6000 && (found = purgers()) == 0; i++) {
        leave_slack();
        nap();
    }
    CHECK(found == 1);
}

static void quiet(void)
{
    pthread_t thread;
    sigset_t all, before;

    CHECK(pthread_create(&thread, NULL, sleeper, NULL) == 0);
    const size_t start = resident();
    sigemptyset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    leave_slack();
    /* It may not have given itself its name yet, or have come and gone. */
    for (unsigned i = 0; i < 6000 && purgers() == 0 && resident() > start + MIB; i++)
        nap();
    CHECK(purgers() <= 1);
    sigset_t now;
    pthread_sigmask(SIG_SETMASK, NULL, &now);
    CHECK(!sigismember(&now, SIGTERM)); /* the maker's own mask came back */
    for (unsigned i = 0; i < 6000 && resident() > start + MIB; i++)
        nap();
    CHECK(resident() <= start + MIB);
    for (unsigned i = 0; i < 30 && purgers() > 0; i++) /* to count them allocates, so it is not done too often */
        sleep(2);
    CHECK(purgers() == 0);
    sem_post(&go);
    CHECK(pthread_join(thread, NULL) == 0);
}

/** A process of one thread stays that, and may do what only such a process may. */
static void alone(void)
{
    for (unsigned i = 0; i < 100; i++) {
        leave_slack();
        nap();
        CHECK(threads(NULL) == 1);
    }
    CHECK(unshare(CLONE_VM) == 0);
}

/** So does one whose other threads have ended. */
static void joined(void)
{
    pthread_t thread;

    CHECK(pthread_create(&thread, NULL, sleeper, NULL) == 0);
    wait_for_purger();
    sem_post(&go);
    CHECK(pthread_join(thread, NULL) == 0);
    for (unsigned i = 0; i < 6000 && unshare(CLONE_VM) != 0; i++)
        nap();
    CHECK(unshare(CLONE_VM) == 0);
}

static void *last(void *arg)
{
    wait_for_purger();
    return arg;
}

/** The main thread leaves, then the last of the others: that ends the process, with a purger or without. */
static void main_exits(void)
{
    pthread_t thread;

    CHECK(pthread_create(&thread, NULL, last, NULL) == 0);
    pthread_exit(NULL);
}

/** The process ends while the purger is in the midst of it. */
static void ends(void)
{
    for (unsigned i = 0; i < 60; i++) {
        int status;
        const pid_t pid = fork();
        if (pid == 0) {
            pthread_t thread;
            CHECK(pthread_create(&thread, NULL, sleeper, NULL) == 0);
            leave_slack();
            if (i % 3 == 0)
                usleep(240000 + i * 500);
            if (i % 2 == 0)
                exit(7);
            _exit(7);
        }
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    }
}

/** A child has no purger, and makes its own when it has threads. */
static void forks(void)
{
    pthread_t thread;
    int status;

    CHECK(pthread_create(&thread, NULL, sleeper, NULL) == 0);
    wait_for_purger();
    for (unsigned i = 0; i < 20; i++) {
        leave_slack();
        const pid_t pid = fork();
        if (pid == 0) {
            CHECK(threads(NULL) == 1);
            leave_slack();
            CHECK(threads(NULL) == 1);
            CHECK(pthread_create(&thread, NULL, sleeper, NULL) == 0);
            if (i == 0) {
                usleep(1100000); /* it has been seen that there was one thread: that is asked again after a second */
                wait_for_purger();
            }
            exit(0);
        }
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    }
    sem_post(&go);
    CHECK(pthread_join(thread, NULL) == 0);
}

/** A child of vfork() is in its parent's memory until it ends: it makes none there, which would end with it, and the
 *  parent has its own afterwards. Run with WEIR_PURGER=on: else a process of one thread has none anyway. */
static void vforks(void)
{
    int status;
    const pid_t pid = vfork();

    if (pid == 0) {
        leave_slack();
        _exit(threads(NULL) == 1 ? 0 : 1);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    wait_for_purger();
}

/** No threads can be made: all else goes on. */
static void denied(void)
{
    static const int calls[] = {SYS_clone, SYS_clone3};
    pthread_t thread;

    CHECK(pthread_create(&thread, NULL, sleeper, NULL) == 0);
    forbid(calls, 2, EAGAIN);
    for (unsigned i = 0; i < 50; i++) {
        errno = 33;
        leave_slack();
        CHECK(errno == 33 && purgers() == 0);
        CHECK(resident() < 32 * MIB);
    }
    sem_post(&go);
    CHECK(pthread_join(thread, NULL) == 0);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } tries[] = {{"quiet", quiet}, {"alone", alone}, {"joined", joined}, {"main_exits", main_exits},
                 {"ends", ends},   {"forks", forks}, {"vforks", vforks}, {"denied", denied}};

    CHECK(argc == 2 && sem_init(&go, 0, 0) == 0);
    for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++)
        if (strcmp(argv[1], tries[i].name) == 0) {
            tries[i].run();
            return 0;
        }
    return 2;
}
