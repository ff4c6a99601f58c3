# SPDX-License-Identifier: MIT
"""Writes the input of a benchmark to standard output: make_input.py KIND SIZE. The same always, for the same words."""

import random
import sys


def c_source(size):
    """C with structures, loops and switches, as much as SIZE functions of it."""
    yield "#include <stddef.h>\nstruct item { int key; double weight; struct item *next; char name[16]; };\n"
    for i in range(size):
        cases = "".join(
            f"        case {k}: sum += it->weight * {k + i} - it->name[{k % 16}]; break;\n" for k in range(12)
        )
        yield (
            f"double work_{i}(struct item *list, int limit)\n{{\n    double sum = {i};\n"
            "    for (struct item *it = list; it != NULL; it = it->next) {\n"
            f"        for (int k = 0; k < limit; k++)\n            sum += it->key * k ^ {i * 37 % 1009};\n"
            f"        switch (it->key % 12) {{\n{cases}        default: sum /= 1.5; break;\n        }}\n    }}\n"
            f"    return sum > {i} ? sum : {f'work_{i - 1}(list, limit / 2)' if i else '0'};\n}}\n"
        )


def text(size):
    """SIZE kibibytes of words, some of them often."""
    draw = random.Random(2)
    words = ["".join(draw.choice("aeiounrtsldmkp") for _ in range(draw.randrange(2, 11))) for _ in range(4000)]
    length = 0
    while length < size << 10:
        line = " ".join(words[int(draw.paretovariate(0.6)) % 4000] for _ in range(12)) + f" {draw.randrange(10**6)}\n"
        length += len(line)
        yield line


def sql(size):
    """Rows, an index, a join, a change of many rows, and the removal of most."""
    yield (
        f"CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, owner INT, weight REAL);\n"
        f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {size})\n"
        "  INSERT INTO item SELECT i, 'name ' || (i * 7919 % 100003) || hex(i * 31), i % 997, i * 37 % 1009 / 7.0\n"
        "  FROM n;\n"
        "CREATE INDEX by_name ON item(name);\n"
        "SELECT count(*), sum(length(name)) FROM item;\n"
        "SELECT owner, count(*), max(name), total(weight) FROM item GROUP BY owner ORDER BY 4 DESC LIMIT 5;\n"
        "SELECT count(*) FROM item a JOIN item b ON a.name = b.name WHERE a.id < b.id;\n"
        "UPDATE item SET name = upper(name) || owner WHERE id % 3 = 0;\n"
        "SELECT group_concat(name) FROM (SELECT name FROM item ORDER BY weight, name LIMIT 50);\n"
        "DELETE FROM item WHERE id % 200 != 0;\n"
        "SELECT count(*), min(name) FROM item;\n"
    )


def smt2(size):
    """Bit vectors: a chain of SIZE mixing steps of which the end is known, and its start asked for."""
    yield "(set-logic QF_BV)\n"
    for i in range(size + 1):
        yield f"(declare-const x{i} (_ BitVec 16))\n"
    for i in range(size):
        yield (
            f"(assert (= x{i + 1} (bvxor (bvmul x{i} #x{(i * 7919 | 1) % 65536:04x}) (bvlshr x{i} #x0005)\n"
            f"    (bvadd x{max(0, i - 1)} #x{i * 40503 % 65536:04x}))))\n"
        )
    yield f"(assert (= (bvand x{size} #x00ff) #x0042))\n(assert (bvult x0 #x4000))\n(check-sat)\n"


def postscript(size):
    """SIZE pages of text, curves and shading."""
    yield "%!PS-Adobe-3.0\n/Times-Roman findfont 10 scalefont setfont\n"
    for page in range(size):
        yield f"%%Page: {page + 1} {page + 1}\n"
        for line in range(60):
            yield f"40 {780 - line * 12} moveto (Line {line} of page {page}: {page * 7919 + line * 31}) show\n"
        for k in range(40):
            yield (
                f"newpath {k * 13} {k * 17} moveto "
                f"{k * 3} {k * 31} {600 - k * 9} {k * 19} {k * 11} {700 - k * 5} curveto "
                f"{k / 40:.3f} {1 - k / 40:.3f} 0.5 setrgbcolor {'stroke' if k % 2 else 'fill'}\n"
            )
        yield "showpage\n"
    yield "%%EOF\n"


def history(size):
    """SIZE commits to 60 files, for git fast-import."""
    draw = random.Random(3)
    files = {f"dir{i % 6}/file{i}.txt": [f"line {k} of {i}\n" for k in range(80)] for i in range(60)}
    names = sorted(files)
    for commit in range(size):
        changed = draw.sample(names, 4)
        yield "commit refs/heads/main\n"
        yield f"committer A <a@example.org> {1500000000 + commit * 60} +0000\ndata 7\nchange\n\n"
        for name in changed:
            files[name][draw.randrange(len(files[name]))] = f"commit {commit} {draw.random()}\n"
            files[name].insert(draw.randrange(len(files[name])), f"new {draw.randrange(10**9)}\n")
            data = "".join(files[name])
            yield f"M 100644 inline {name}\ndata {len(data)}\n{data}\n"
    yield "done\n"


KINDS = {"c": c_source, "text": text, "sql": sql, "smt2": smt2, "postscript": postscript, "history": history}

if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in KINDS:
        sys.exit(f"usage: make_input.py {'|'.join(KINDS)} SIZE")
    sys.stdout.writelines(KINDS[sys.argv[1]](int(sys.argv[2])))
