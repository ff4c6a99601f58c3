/* SPDX-License-Identifier: MIT */
/** @file weir.h
 *  All of Weir's public headers. */
#ifndef WEIR_WEIR_H
#define WEIR_WEIR_H

#include <weir/alloc.h>
#include <weir/chunks.h>
#include <weir/containers.h>
#include <weir/gc.h>
#include <weir/object.h>

#endif
