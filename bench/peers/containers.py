#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The measurements of containers.h in Python. Keys are there beforehand: to compute one takes longer than all else."""

import collections
import sys
import time

MASK = 0xffffffffffffffff


def key(i):
    x = (i + 1) * 0x9e3779b97f4a7c15 & MASK
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9 & MASK
    return x ^ x >> 31


def resident_kib():
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))


def show(name, value, unit):
    print(f"{name:24} {value:12.2f} {unit}", flush=True)


class Steps:
    def __init__(self, n):
        self.n, self.kib, self.start = n, resident_kib(), time.perf_counter_ns()

    def end(self, step):
        show(step, (time.perf_counter_ns() - self.start) / self.n, "ns/item")
        self.start = time.perf_counter_ns()

    def end_size(self, step):
        show(step, (resident_kib() - self.kib) * 1024 / self.n, "bytes")
        self.start = time.perf_counter_ns()


def measure_vec(n):
    steps, vec, total = Steps(n), [], 0
    for i in range(n):
        vec.append(i)
    steps.end("vec-push")
    for item in vec:
        total += item
    steps.end("vec-iterate")
    return total


def measure_map(n):
    keys = [key(i) for i in range(n)]
    steps, table, total = Steps(n), {}, 0
    for i, number in enumerate(keys):
        table[number] = i
    steps.end("map-insert")
    steps.end_size("map-bytes")
    for number in keys:
        total += table[number]
    steps.end("map-find")
    for value in table.values():
        total += value
    steps.end("map-iterate")
    for number in keys:
        del table[number]
    steps.end("map-remove")
    return total + n


def measure_set(n):
    keys = [key(i) for i in range(n)]
    asked = [key(i * 2) for i in range(n)]
    steps, table, total = Steps(n), set(), 0
    for number in keys:
        table.add(number)
    steps.end("set-add")
    for number in asked:
        total += number in table
    steps.end("set-has")
    return total


def measure_deque(n):
    steps, deque, total = Steps(n), collections.deque(), 0
    for i in range(n):
        deque.append(i)
    for i in range(n):
        total += deque.popleft()
        deque.append(i)
    steps.end("deque-queue")
    return total


for name, run in {"vec": measure_vec, "map": measure_map, "set": measure_set, "deque": measure_deque}.items():
    if len(sys.argv) < 2 or sys.argv[1] == name:
        show(f"{name}-sum", run(int(sys.argv[2]) if len(sys.argv) > 2 else 1000000) % 1000003, "")
