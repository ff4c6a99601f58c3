# SPDX-License-Identifier: MIT
"""Command-line tools: a database, version control, compilers, compression, text."""

import hashlib
import random
import shutil

from harness import PROGRAMS, SOURCE, Failure, case


def digest(data):
    return hashlib.sha256(data).hexdigest()[:32]


# ---- sqlite3 ----

TABLES = """
CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, size INT, note TEXT);
CREATE TABLE tag(item INT REFERENCES item, word TEXT);
INSERT INTO item WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
    SELECT i, 'item ' || hex(i * 7919 % 65536), i * 31 % 977, substr('a note, longer or shorter', 1, i % 26) FROM n;
INSERT INTO tag SELECT id, 'w' || (id * 13 % 500) FROM item UNION ALL SELECT id, 'w' || (id * 29 % 700) FROM item;
CREATE INDEX item_name ON item(name, size);
CREATE INDEX tag_word ON tag(word);
CREATE TRIGGER grow AFTER UPDATE ON item BEGIN UPDATE item SET note = note || '+' WHERE id = new.id + 1; END;
"""

QUERIES = """
SELECT count(*), sum(size), total(length(note)) FROM item;
SELECT word, count(*), sum(size) FROM tag JOIN item ON item = id GROUP BY word ORDER BY 3 DESC, 1 LIMIT 20;
SELECT id, size, sum(size) OVER (ORDER BY id ROWS 100 PRECEDING) s FROM item ORDER BY s DESC, id LIMIT 10;
SELECT group_concat(name, ',') FROM (SELECT name FROM item ORDER BY name DESC, id LIMIT 2000);
SELECT json_group_array(json_object('id', id, 'name', name)) FROM (SELECT * FROM item WHERE id % 100 = 3 ORDER BY id);
UPDATE item SET size = size + 1 WHERE id % 3 = 0;
DELETE FROM tag WHERE word LIKE '%7';
DELETE FROM item WHERE id % 5 <> 0;
PRAGMA integrity_check;
VACUUM;
PRAGMA integrity_check;
"""


@case("sqlite3", needs=["sqlite3"])
def sqlite(side):
    side.run(["sqlite3", "t.db"], stdin=TABLES.encode())
    answers = side.run(["sqlite3", "-cmd", "PRAGMA cache_size = 500", "t.db"], stdin=QUERIES.encode())
    if answers.count(b"ok\n") != 2:
        raise Failure(f"on {side.name}: integrity_check does not say ok")
    dump = side.run(["sqlite3", "t.db", ".dump"])
    memory = side.run(["sqlite3", ":memory:"], stdin=(TABLES + QUERIES).encode())
    again = side.run(["sqlite3", "again.db"], stdin=dump)
    return answers, digest(dump), digest(memory), again, digest(side.run(["sqlite3", "again.db", ".dump"]))


# ---- git ----

GIT = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org",
       "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@example.org", "GIT_TERMINAL_PROMPT": "0"}


def history(commits=250):
    """A repository of a few folders whose files change, as a stream for fast-import."""
    chance = random.Random(1)
    files = {}
    for number in range(1, commits + 1):
        yield f"commit refs/heads/main\nmark :{number}\n"
        yield f"committer A <a@example.org> {1700000000 + number * 3600} +0000\n"
        message = f"Change {number}\n\n" + "word " * chance.randrange(40)
        yield f"data {len(message)}\n{message}\n"
        for _ in range(chance.randrange(1, 9)):
            name = f"folder{chance.randrange(12)}/file{chance.randrange(25)}.txt"
            lines = files.setdefault(name, [f"line {i} of {name}" for i in range(chance.randrange(20, 400))])
            for _ in range(chance.randrange(1, 12)):
                lines[chance.randrange(len(lines))] = f"changed in {number}: {chance.getrandbits(64):x}"
            text = "\n".join(lines) + "\n"
            yield f"M 100644 inline {name}\ndata {len(text)}\n{text}\n"


@case("git", needs=["git"])
def git(side):
    def run(*words, **more):
        return side.run(["git", *words], env=GIT, **more)

    run("init", "-q", "--bare", "-b", "main", "origin.git")
    # Its report goes to standard error, as all progress of git does.
    run("-C", "origin.git", "fast-import", "--quiet", stdin="".join(history()).encode())
    run("clone", "-q", "--no-local", "origin.git", "clone")
    run("-C", "clone", "repack", "-adfq", "--threads=2", "--window=50", "--depth=50")
    run("-C", "clone", "fsck", "--full", "--strict", "--no-progress")
    run("-C", "clone", "gc", "-q", "--prune=now")
    return [run("-C", "clone", "rev-parse", "HEAD", "HEAD^{tree}"),
            digest(run("-C", "clone", "log", "-p", "--stat", "-M", "main")),
            digest(run("-C", "clone", "archive", "main")),
            digest(run("-C", "clone", "blame", "folder1/file1.txt")),
            run("-C", "clone", "grep", "-c", "changed in 2", "main"),
            digest(run("-C", "clone", "cat-file", "--batch-all-objects", "--batch-check")),
            run("-C", "clone", "status", "--porcelain")]


# ---- compilers ----

def library_sources():
    return sorted(SOURCE.glob("src/*/*.c"))


def compile_library(side, compiler, *flags):
    """Compiles Weir itself, file by file; digests of the objects. The working folder is part of what they hold."""
    objects = {}
    for source in library_sources():
        name = f"{source.parent.name}-{source.stem}.o"
        side.run([compiler, "-std=gnu11", "-w", "-O2", "-g", "-fPIC", "-D_GNU_SOURCE", "-Isrc", "-Iinclude", *flags,
                  "-c", source.relative_to(SOURCE), "-o", side.dir / name], cwd=SOURCE)
        objects[name] = digest((side.dir / name).read_bytes())
    if len(objects) < 10:
        raise Failure(f"{len(objects)} source files found")
    return objects


def build_and_run(side, compiler, source, *flags):
    """Compiles and links a program, runs it; digest of its object file, and its output."""
    shutil.copy(PROGRAMS / source, side.dir)
    side.run([compiler, "-w", "-O2", *flags, "-c", source, "-o", "program.o"])
    side.run([compiler, *flags, "program.o", "-o", "program"])
    side.expected = {"no memory for"}  # the program sees to it that operator new throws
    return digest((side.dir / "program.o").read_bytes()), side.run(["./program"])


@case("gcc builds Weir", needs=["gcc"], active=["gcc", "cc1"])
def gcc(side):
    return compile_library(side, "gcc")


@case("clang builds Weir", needs=["clang"])
def clang(side):
    return compile_library(side, "clang")


@case("g++ and a C++ program", needs=["g++"], active=["cc1plus", "ld", "program"])
def gxx(side):
    return build_and_run(side, "g++", "work.cc", "-std=c++17", "-pthread")


@case("clang++ and a C++ program", needs=["clang++"], active=["clang", "program"])
def clangxx(side):
    return build_and_run(side, "clang++", "work.cc", "-std=c++17", "-pthread")


# ---- compression and text ----

def lines_of_text(count):
    chance = random.Random(2)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randrange(2, 9))) for _ in range(5000)]
    return "".join(f"{chance.randrange(10 ** 6)} {' '.join(chance.choices(words, k=chance.randrange(1, 12)))}\n"
                   for _ in range(count)).encode()


def round_trip(side, program, *levels):
    """Packs and unpacks; digests of what was packed, by level."""
    data = lines_of_text(80000)
    packed = {}
    for level in levels:
        out = side.run([program, *level.split(), "-c"], stdin=data)
        packed[level] = digest(out)
        if side.run([program, "-d", "-c"], stdin=out) != data:
            raise Failure(f"on {side.name}: {program} {level} does not give back what it was given")
    return packed


@case("xz", needs=["xz"])
def xz(side):
    return round_trip(side, "xz", "-0 -T2 --block-size=1MiB", "-4 -T2 --block-size=2MiB", "-6 -T1")


@case("gzip", needs=["gzip"])
def gzip(side):
    return round_trip(side, "gzip", "-1 -n", "-9 -n")


@case("sort", needs=["sort"])
def sort(side):
    data = lines_of_text(200000)
    return [digest(side.run(["sort", *words.split()], stdin=data))
            for words in ("", "-n", "-k2,2 -k1,1n", "--parallel=2 -S 4M -r", "-u -S 1M --batch-size=4")]


@case("tar, grep, sed", needs=["tar", "grep", "sed"], active=["tar", "grep", "sed"])
def texts(side):
    data = lines_of_text(100000)
    folder = side.dir / "many"
    folder.mkdir()
    for number in range(400):
        (folder / f"file{number}").write_bytes(data[number * 999:number * 4321])
    archive = side.run(["tar", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "-cf", "-", "many"])
    return [digest(archive), digest(side.run(["tar", "-tvf", "-"], stdin=archive)),
            digest(side.run(["grep", "-E", "(a[b-k]+l|m.*n){2}", "-"], stdin=data)),
            sorted(side.run(["grep", "-rc", "-F", "-e", "ab", "-e", "cd", "many"]).splitlines())[:50],
            digest(side.run(["sed", "-E", r"s/([a-z]+) ([a-z]+)/\2 \1/g; $!N; P; D"], stdin=data))]
