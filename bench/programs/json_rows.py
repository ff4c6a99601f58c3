# SPDX-License-Identifier: MIT
"""A service's work with JSON: builds records, writes them, reads them back, changes some, again and again."""

import json
import sys

SIZE = int(sys.argv[1])


def record(i):
    return {
        "id": i,
        "name": f"customer {i * 7919 % 100003}",
        "tags": [f"t{i * k % 97}" for k in range(1, 6)],
        "address": {"street": f"{i % 300} Mill Lane", "city": f"city {i % 811}", "zip": f"{i * 31 % 99999:05}"},
        "orders": [{"sku": f"{i * k % 65521:x}", "count": k, "price": i * k % 1000 / 100} for k in range(1, 4)],
    }


total = 0
for batch in range(10):
    text = json.dumps([record(i) for i in range(batch * SIZE, batch * SIZE + SIZE)], sort_keys=True)
    rows = json.loads(text)
    for row in rows[::3]:
        row["name"] = row["name"].upper()
        row["orders"].append({"sku": "extra", "count": len(row["tags"]), "price": 1.0})
    total = (total * 31 + len(json.dumps(rows)) + len(text)) % 1000000007
print(total)
