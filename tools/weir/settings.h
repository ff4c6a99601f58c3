/* SPDX-License-Identifier: MIT
 * The options that `weir compare` and `weir bench` have in common. */
#ifndef WEIR_TOOL_SETTINGS_H
#define WEIR_TOOL_SETTINGS_H

#include "tool.h"

#include "allocators.h"
#include "reports.h"

struct settings {
    struct choice choice;
    unsigned rounds, warm_up; /* rounds: 0 if not given */
    double timeout, interval; /* seconds; timeout: 0 if not given */
    bool quiet, list;
    struct reports reports;
};

/** A child for argp; its input is a struct settings that settings_start() has set. */
extern const struct argp settings_argp;

void settings_start(struct settings *s);

/** A number of seconds from the text of an option, from `least` on; else says so and ends. */
double settings_seconds(const char *option, const char *text, double least);

/** The same for whole numbers. */
unsigned settings_number(const char *option, const char *text, unsigned least, unsigned most);

/** For --list: the allocators with their libraries, and those that are not there. */
void settings_list(const struct allocators *list, FILE *stream);

#endif
