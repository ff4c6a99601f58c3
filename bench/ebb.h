/* SPDX-License-Identifier: MIT
 * What the files of ebb share. ebb.c is a parent that reads arguments, judges and prints; for each pattern it starts a
 * fresh process of itself, which does nothing but the pattern (ebb_patterns.c) and measure itself (ebb_measure.c). The
 * two have one struct ebb_report in shared memory. The measured process allocates nothing with malloc but the pattern's
 * blocks; what it notes about them lies in mappings that are resident before it starts to count. */
#ifndef EBB_H
#define EBB_H

#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EBB_MIB ((size_t)1 << 20)

enum { EBB_HANDS = 4 };

/** Where the measured process is; ebb_step_name[] has them as text. */
enum ebb_step { EBB_START, EBB_BUILD, EBB_FREE, EBB_IDLE, EBB_REBUILD, EBB_FREE_AGAIN, EBB_TRIM, EBB_STEPS };

extern const char *const ebb_step_name[EBB_STEPS];

/** Shared by parent and measured process. */
struct ebb_report {
    /* what is to be done; written by the parent before it starts the other */
    unsigned pattern;     /* index into ebb_pattern[] */
    size_t bytes;         /* live bytes to build */
    double idle, seconds; /* to sit idle; to keep a pattern going that can go on, 0: a fixed amount */
    uint64_t seed;
    /* where it is; relaxed */
    _Atomic int step;
    _Atomic int64_t live; /* bytes asked for and not freed; a little late */
    /* what was found; bytes unless said otherwise, valid when `finished` */
    bool finished, can_trim;
    char library[256];                              /* the file that malloc comes from */
    uint64_t damaged;                               /* blocks whose content was not what had been written, number */
    uint64_t page;                                  /* size of a page */
    uint64_t resident[EBB_STEPS];                   /* at the end of each step */
    uint64_t peak;                                  /* VmHWM, bookkeeping included */
    uint64_t live_built;                            /* bytes live after the build */
    uint64_t live_freed, live_again;                /* after the frees, after those that followed the rebuild */
    uint64_t floor_built, floor_freed, floor_again; /* pages that hold a live byte, at the same times */
    uint64_t blocks_freed;                          /* blocks live after the frees, number */
    uint64_t mappings;                              /* most lines in /proc/self/maps, number */
    uint64_t build_ns, free_ns, rebuild_ns, free_again_ns, trim_ns;
    uint64_t operations;             /* calls of malloc and free, number */
    double ratio_first, ratio_later; /* `drift`: most of (resident - start) / live in its first cycle, and after it */
};

/** One live or empty place of the pattern's table. */
struct ebb_slot {
    char *block; /* NULL: empty */
    size_t size; /* 0 where empty */
};

/** A live block, where blocks must be looked through in the order of their addresses. */
struct ebb_place {
    uintptr_t address;
    size_t index; /* of its slot */
};

struct ebb_run;

/** A thread, or main itself, with its share of the table. */
struct ebb_hand {
    struct ebb_run *run;
    size_t first, end;           /* slots */
    size_t todo_first, todo_end; /* of run->todo, what it is to free */
    uint64_t random;
    int64_t unsaid; /* bytes to be added to report->live */
    uint64_t damaged, operations;
    void (*job)(struct ebb_hand *);
    sem_t go, done;
};

/** All that the measured process knows. */
struct ebb_run {
    struct ebb_report *report;
    struct ebb_slot *slot;
    size_t slots;
    uint32_t *todo; /* slots to be freed, in this order */
    size_t todos;
    struct ebb_place *place;     /* room for as many as there are slots */
    uint64_t *fill_ns, *drop_ns; /* where time goes now */
    size_t live_slots;           /* of patterns whose live slots are the first ones */
    struct ebb_hand main, hand[EBB_HANDS];
    _Atomic size_t head, tail, stop; /* of prodcons: blocks made, blocks freed, blocks to be made or SIZE_MAX */
};

/** One pattern. build fills the table up to report->bytes and release frees; both add to the clocks, and both are
 *  called twice. */
struct ebb_pattern {
    const char *name, *help;
    size_t least;  /* smallest mean size of its blocks, bytes: gives the number of slots */
    bool threaded; /* the process has threads */
    void (*build)(struct ebb_run *);
    void (*release)(struct ebb_run *);
};

extern const struct ebb_pattern ebb_pattern[];
extern const unsigned ebb_patterns;

/** Does report->pattern and fills in the report; the measured process's whole life. */
void ebb_measure(struct ebb_report *report);

/** Bytes resident now: exact; and nearly, but in a microsecond. */
uint64_t ebb_resident(void);
uint64_t ebb_resident_quickly(void);

/** Fills run->place with the live slots in the order of their addresses; returns their number. */
size_t ebb_sort(struct ebb_run *run);

uint64_t ebb_now_ns(void);

/** Writes "ebb: TEXT" to standard error without allocating, and ends with status 2. */
void ebb_die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
