# SPDX-License-Identifier: MIT
"""Sorts objects by keys that are computed, groups them and sorts the groups."""

import random
import sys

SIZE = int(sys.argv[1])


class Entry:
    def __init__(self, number, name, weight):
        self.number, self.name, self.weight = number, name, weight


draw = random.Random(1)
entries = [Entry(draw.randrange(SIZE), f"name-{draw.randrange(SIZE):06}", draw.random()) for _ in range(SIZE)]
total = 0
for key in (
    lambda e: (e.name, -e.weight),
    lambda e: e.weight,
    lambda e: str(e.number)[::-1],
    lambda e: (e.number % 97, e.name.upper()),
):
    entries = sorted(entries, key=key)
    groups = {}
    for entry in entries:
        groups.setdefault(entry.name[-3:], []).append(entry)
    ranked = sorted(groups.items(), key=lambda item: (len(item[1]), item[0]))
    ranks = sum(i * len(group) for i, (_, group) in enumerate(ranked))
    total = (total * 31 + ranks + entries[SIZE // 2].number) % 1000003
print(total)
