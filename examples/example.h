/* SPDX-License-Identifier: MIT
 * What the examples share: the resident size of the process, and the end of a program that has no memory. */
#ifndef WEIR_EXAMPLE_H
#define WEIR_EXAMPLE_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/** Resident bytes of the process. */
static inline size_t weir_example_resident(void)
{
    unsigned long all = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%lu %lu", &all, &resident) != 2)
        resident = 0;
    fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

/** Prints the resident size to standard error, where the tests read it: "resident WHEN: N KiB". */
static inline void weir_example_print_resident(const char *when)
{
    fprintf(stderr, "resident %s: %zu KiB\n", when, weir_example_resident() / 1024);
}

/** Ends the program if there is no memory; else returns what was made. */
static inline void *weir_example_need(void *made)
{
    if (made == NULL) {
        perror("no memory");
        exit(1);
    }
    return made;
}

#endif
