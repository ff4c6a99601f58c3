# SPDX-License-Identifier: MIT
"""Small objects of many kinds: python_mix.py PROGRAM N. Prints a checksum."""
import asyncio
import csv
import dataclasses
import decimal
import io
import pickle
import random
import sys
import zlib


def million(n):
    """Tuples, dicts and objects, all alive at once, then all dropped."""
    class Row:
        def __init__(self, a, b):
            self.a, self.b = a, b

    total = 0
    for make in (lambda i: (i, i + 0.5, str(i)), lambda i: {"id": i, "v": 2 * i}, lambda i: Row(i, float(i))):
        rows = [make(i) for i in range(n)]
        total += len(rows)
        del rows
    return total


def pickles(n):
    """A structure of lists, dicts and strings, written and read."""
    rows = [{"id": i, "name": f"name {i}", "tags": [str(i % 7), i / 3], "next": (i, None)} for i in range(n)]
    sum_ = 0
    for protocol in (2, 4, 5):
        text = pickle.dumps(rows, protocol)
        sum_ = zlib.crc32(text, sum_)
        rows = pickle.loads(text)
    return sum_


@dataclasses.dataclass
class Node:
    key: int
    left: "Node" = None
    right: "Node" = None


def trees(n):
    """Search trees of dataclasses: filled, copied with changes, searched."""
    randoms = random.Random(1)

    def insert(node, key):
        if node is None:
            return Node(key)
        if key < node.key:
            return dataclasses.replace(node, left=insert(node.left, key))
        return dataclasses.replace(node, right=insert(node.right, key))

    def depth(node):
        return 0 if node is None else 1 + max(depth(node.left), depth(node.right))

    root = None
    for _ in range(n):
        root = insert(root, randoms.randrange(1 << 30))
    return depth(root)


def tables(n):
    """Text of comma-separated values, written, read and grouped."""
    out = io.StringIO()
    writer = csv.writer(out)
    for i in range(n):
        writer.writerow((i, f"customer {i % 911}", i * 7 % 1009 / 8, "some, quoted text", i % 13))
    sums = {}
    for _, name, amount, _, group in csv.reader(io.StringIO(out.getvalue())):
        sums.setdefault((name, group), []).append(float(amount))
    return round(sum(max(amounts) for amounts in sums.values()))


def decimals(n):
    """Decimal numbers: sums, products, roots."""
    decimal.getcontext().prec = 40
    total, numbers = decimal.Decimal(0), [decimal.Decimal(i) / 7 for i in range(1, n)]
    for number in numbers:
        total += number * number - number.sqrt()
    return total.quantize(decimal.Decimal("0.001"))


def echo(n):
    """An echo server and its clients, in one process, over connections of loopback."""
    async def serve(reader, writer):
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    async def ask(port, lines):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        got = 0
        for i in range(lines):
            writer.write(b"line %d of the client\n" % i)
            got += len(await reader.readline())
        writer.close()
        return got

    async def all_of_it():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        got = await asyncio.gather(*(ask(port, n) for _ in range(20)))
        server.close()
        return sum(got)

    return asyncio.run(all_of_it())


PROGRAMS = {"million": million, "pickles": pickles, "trees": trees, "tables": tables, "decimals": decimals,
            "echo": echo}


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in PROGRAMS or not sys.argv[2].isdigit():
        sys.exit(f"usage: {sys.argv[0]} {'|'.join(PROGRAMS)} N")
    print(PROGRAMS[sys.argv[1]](int(sys.argv[2])))


main()
