# SPDX-License-Identifier: MIT
"""Builds rows as a report or an import does, drops all but one in 200 of them, and works on with what is left: what
stays resident is what the allocator did not give back."""

import sys
import time

SIZE = int(sys.argv[1])


def build(start, count):
    return [
        {"id": i, "key": f"row-{i:09}", "value": i * 2654435761 % 1000003 / 7, "text": f"{i * 7919 % 100003} of {i}"}
        for i in range(start, start + count)
    ]


kept = []
for batch in range(4):
    rows = build(batch * SIZE, SIZE)
    kept += rows[batch::200]
    del rows
    index = {row["key"]: row for row in kept}
    time.sleep(0.02)  # as a program that waits for its next work
print(len(kept), len(index), round(sum(row["value"] for row in kept), 3))
