# SPDX-License-Identifier: MIT
"""Takes a log apart with regular expressions, and puts a report together."""

import re
import sys

SIZE = int(sys.argv[1])
LINE = re.compile(
    r"(?P<ip>\d+\.\d+\.\d+\.\d+) - (?P<user>\w+|-) \[(?P<time>[^]]+)\] "
    r"\"(?P<verb>[A-Z]+) (?P<path>\S+)\" (?P<status>\d{3}) (?P<bytes>\d+)"
)
NUMBER = re.compile(r"\d+")
WORD = re.compile(r"\b([a-z])([a-z]*)\b")

log = "\n".join(
    f"10.{i % 7}.{i % 31}.{i % 251} - {'user%d' % (i % 53) if i % 3 else '-'} "
    f"[{i % 28 + 1:02}/Jan/2020:{i % 24:02}:00] "
    f"\"{'GET' if i % 4 else 'POST'} /shop/item{i * 7919 % 5003}/view?page={i % 17}\" "
    f"{200 if i % 11 else 404} {i * 37 % 90001}"
    for i in range(SIZE)
)
hits, users = {}, {}
for match in LINE.finditer(log):
    fields = match.groupdict()
    hits.setdefault(NUMBER.sub("N", fields["path"]), []).append(int(fields["bytes"]))
    users.setdefault(fields["user"], set()).add(fields["ip"])
report = WORD.sub(lambda m: m.group(1).upper() + m.group(2), log)
pieces = re.split(r"[\s/?=]+", report)
print(len(hits), sum(map(sum, hits.values())), len(users), len(pieces), len(set(pieces)))
