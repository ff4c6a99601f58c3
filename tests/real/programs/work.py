# SPDX-License-Identifier: MIT
"""Objects of many kinds and sizes, made, linked, sorted, pickled, dropped; threads that do the same. Prints digests."""

import ast
import collections
import gc
import hashlib
import json
import pickle
import re
import threading
import zlib


def digest(value):
    return hashlib.sha256(value if isinstance(value, bytes) else repr(value).encode()).hexdigest()[:16]


class Node:
    def __init__(self, number):
        self.number = number
        self.name = f"node {number:x}"
        self.links = []


def rows(count):
    table = {i: {"id": i, "name": f"row {i * 7919 % count}", "tags": [str(i % k) for k in range(1, 6)]}
             for i in range(count)}
    text = json.dumps(table, sort_keys=True)
    again = json.loads(text)
    kept = {key: again[key] for key in list(again)[::50]}
    del table, again
    return digest(text), digest(sorted(kept.items()))


def cycles(count):
    nodes = [Node(i) for i in range(count)]
    for node in nodes:
        node.links = [nodes[(node.number * k + 1) % count] for k in (3, 5, 7)]
    total = sum(link.number for node in nodes for link in node.links)
    del nodes, node
    return total, gc.collect() >= count


def strings(count):
    words = [hashlib.md5(str(i).encode()).hexdigest()[:4 + i % 20] for i in range(count)]
    counts = collections.Counter(word[:2] for word in words)
    joined = " ".join(sorted(words))
    found = re.findall(r"\b[a-f]+[0-9]{2}\w*", joined)
    return digest(joined), digest(sorted(counts.items())), len(found), digest("".join(found))


def bytes_and_trees(count):
    blob = b"".join(i.to_bytes(4, "little") * (i % 9) for i in range(count))
    packed = zlib.compress(blob, 6)
    source = "\n".join(f"def f{i}(a, b={i}):\n    return [a + b * {i} for _ in range({i % 7})]"
                       for i in range(count // 100))
    tree = ast.dump(ast.parse(source))
    pickled = pickle.dumps([(i, str(i), [i] * (i % 5)) for i in range(count)])
    return digest(packed), zlib.decompress(packed) == blob, digest(tree), digest(pickle.loads(pickled)[::7])


def threads():
    results = [None] * 4

    def work(slot):
        results[slot] = rows(4000), strings(15000)

    running = [threading.Thread(target=work, args=(slot,)) for slot in range(len(results))]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return results


print(rows(30000))
print(cycles(60000))
print(strings(120000))
print(bytes_and_trees(120000))
print(threads())
