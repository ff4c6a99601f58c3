/* SPDX-License-Identifier: MIT
 * Objects of std::shared_ptr, and of boost::intrusive_ptr with a plain count where INTRUSIVE is 1. libstdc++
 * counts without atomics until there is a second thread, so there is one. */
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <pthread.h>
#include <utility>

#ifndef INTRUSIVE
#define INTRUSIVE 0
#endif

#if INTRUSIVE
#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>
#define NODE boost::intrusive_ptr<node>
#define BASE : boost::intrusive_ref_counter<node, boost::thread_unsafe_counter>
#define MAKE() NODE(new node())
#else
#define NODE std::shared_ptr<node>
#define BASE
#define MAKE() std::make_shared<node>()
#endif

struct node BASE {
    NODE left, right;
    uint64_t value = 0;
};

#define NONE NODE()
#define GET(ref) ((ref).get())
#define GIVE(slot, owned) ((slot) = (owned))
#define SET(slot, ref) ((slot) = (ref))
#define DROP(ref) ((ref).reset())
#define COUNTS 1
#define ATOMIC !INTRUSIVE
#define SHARES 0
#define COLLECTS 0

static NODE make() { return MAKE(); }
static void *make_array(size_t size) { return calloc(1, size); }
static void drop_array(void *array) { free(array); }

#include "objects.h"

static void *wait_for_ever(void *lock)
{
    pthread_mutex_lock(static_cast<pthread_mutex_t *>(lock));
    return nullptr;
}

int main(int argc, char **argv)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_t thread;
    pthread_mutex_lock(&lock);
    if (pthread_create(&thread, nullptr, wait_for_ever, &lock) != 0)
        return 1;
    int status = measure_all(argc, argv);
    pthread_mutex_unlock(&lock);
    pthread_join(thread, nullptr);
    return status;
}
