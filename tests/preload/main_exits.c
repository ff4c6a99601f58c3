/* SPDX-License-Identifier: MIT
 * The main thread ends by pthread_exit; another goes on with the main thread's blocks and ends the process. */
#include "case.h"

#include <pthread.h>

static char *kept[100];

static void *go_on(void *main_thread)
{
    CHECK(pthread_join(*(pthread_t *)main_thread, NULL) == 0);
    for (unsigned i = 0; i < 100; i++) {
        CHECK(filled(kept[i], 1000, i));
        kept[i] = realloc(kept[i], 3000);
        CHECK(filled(kept[i], 1000, i));
        free(kept[i]);
    }
    exit(0);
}

int main(void)
{
    static pthread_t self;
    pthread_t thread;

    for (unsigned i = 0; i < 100; i++) {
        kept[i] = malloc(1000);
        fill(kept[i], 1000, i);
    }
    self = pthread_self();
    CHECK(pthread_create(&thread, NULL, go_on, &self) == 0);
    pthread_exit(NULL);
}
