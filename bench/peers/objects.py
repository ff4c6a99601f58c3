#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The measurements of objects.h in Python."""

import gc
import sys
import time


class Node:
    __slots__ = ("left", "right", "value")

    def __init__(self):
        self.left = self.right = None
        self.value = 0


def status_kib(key):
    with open("/proc/self/status", encoding="ascii") as file:
        return next((int(line.split()[1]) for line in file if line.startswith(key)), 0)


START = status_kib("VmRSS:")
state = 88172645463325252


def random_below(limit):
    global state
    state ^= (state << 13) & 0xffffffffffffffff
    state ^= state >> 7
    state ^= (state << 17) & 0xffffffffffffffff
    return state % limit


def show(name, value, unit):
    print(f"{name:24} {value:12.2f} {unit}", flush=True)


def show_peak(what):
    show(f"{what}-peak", (status_kib("VmHWM:") - START) / 1024, "MiB")


def tree(depth):
    node = Node()
    if depth > 0:
        node.left = tree(depth - 1)
        node.right = tree(depth - 1)
    return node


def count_nodes(node):
    return 1 if node.left is None else 1 + count_nodes(node.left) + count_nodes(node.right)


def measure_trees(n):
    best = float("inf")
    for _ in range(4):
        start = time.perf_counter_ns()
        for _ in range(n):
            tree(16)
        best = min(best, time.perf_counter_ns() - start)
    show("trees", best / ((2 << 16) - 1) / n, "ns/node")
    show_peak("trees")


def measure_binary_trees(most):
    start = time.perf_counter_ns()
    nodes = count_nodes(tree(most + 1))
    lasting = tree(most)
    for depth in range(4, most + 1, 2):
        for _ in range(1 << (most - depth + 4)):
            nodes += count_nodes(tree(depth))
    nodes += count_nodes(lasting)
    del lasting
    show("binary-trees", (time.perf_counter_ns() - start) / 1e6, "ms")
    show("binary-trees-made", nodes, "nodes")
    show_peak("binary-trees")


def populate(node, depth):
    if depth > 0:
        node.left = Node()
        node.right = Node()
        populate(node.left, depth - 1)
        populate(node.right, depth - 1)


def tree_size(depth):
    return (1 << (depth + 1)) - 1


def measure_gcbench(most):
    start = time.perf_counter_ns()
    tree(most + 2)
    lasting = Node()
    populate(lasting, most)
    array = [0.0] * 500000
    for i in range(1, 250000):
        array[i] = 1.0 / i
    for depth in range(4, most + 1, 2):
        times = 2 * tree_size(most + 2) // tree_size(depth)
        for _ in range(times):
            populate(Node(), depth)
        for _ in range(times):
            tree(depth)
    assert count_nodes(lasting) == tree_size(most) and array[1000] == 1.0 / 1000
    del lasting, array
    show("gcbench", (time.perf_counter_ns() - start) / 1e6, "ms")
    show_peak("gcbench")


def graph(n):
    nodes = [Node() for _ in range(n)]
    for i in range(n - 1, 0, -1):
        j = random_below(i + 1)
        nodes[i], nodes[j] = nodes[j], nodes[i]
    for i, node in enumerate(nodes):
        node.left = nodes[i + 1] if i + 1 < n else None
        node.right = nodes[random_below(n)]
    return nodes[0]


def measure_full(n):
    gc.disable()
    root = graph(n)
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter_ns()
        gc.collect()
        best = min(best, time.perf_counter_ns() - start)
    show("full-live", best / n, "ns/object")
    show_peak("full")
    del root
    start = time.perf_counter_ns()
    gc.collect()
    show("full-dead", (time.perf_counter_ns() - start) / n, "ns/object")
    show("full-rest", (status_kib("VmRSS:") - START) / 1024, "MiB")


def measure_churn(n):
    gc.disable()
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter_ns()
        for i in range(1, n + 1):
            a, b = Node(), Node()
            b.left = a
            a.left = b
            if i % 100000 == 0:
                gc.collect(0)
        best = min(best, time.perf_counter_ns() - start)
    show("churn", best / n, "ns/pair")
    show_peak("churn")


def measure_pauses(n):
    """Nothing to poll: passes come by themselves."""
    gc.disable()
    root = graph(n)
    ring = []
    for _ in range(100000):
        ring.append(Node())
        ring[-1].left = ring[-1]
    gc.collect()
    gc.enable()
    longest = busiest = total = 0
    for _ in range(500):
        start, start_busy = time.perf_counter_ns(), time.thread_time_ns()
        for _ in range(1000):
            fresh = Node()
            fresh.left = fresh
            ring[random_below(100000)] = fresh
        took, busy = time.perf_counter_ns() - start, time.thread_time_ns() - start_busy
        longest = max(longest, took)
        busiest = max(busiest, busy)
        total += took
    show("pauses-longest", longest / 1e6, "ms")
    show("pauses-busiest", busiest / 1e6, "ms")
    show("pauses-total", total / 1e6, "ms")
    show_peak("pauses")
    del root


MEASUREMENTS = {"trees": (measure_trees, 2), "binary-trees": (measure_binary_trees, 14),
                "gcbench": (measure_gcbench, 14), "full": (measure_full, 1000000), "churn": (measure_churn, 300000),
                "pauses": (measure_pauses, 1000000)}

for name, (run, size) in MEASUREMENTS.items():
    if len(sys.argv) < 2 or sys.argv[1] == name:
        run(int(sys.argv[2]) if len(sys.argv) > 2 else size)
