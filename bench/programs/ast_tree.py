# SPDX-License-Identifier: MIT
"""Parses and compiles source as linters and code generators do: trees of many small objects that go at once."""

import ast
import sys

SIZE = int(sys.argv[1])

FUNCTION = '''
def function_{i}(items, limit={i}, *rest, **options):
    """Does what number {i} does."""
    found = {{}}
    for index, item in enumerate(items):
        if item.weight > limit and not options.get("all_{i}", index % 3 == 0):
            found.setdefault(item.name.lower(), []).append((index, item.weight * {i} + 1))
        elif item.name in rest:
            raise ValueError(f"item {{item.name}} at {{index}} is in {{rest!r}}")
    return [value for key, values in sorted(found.items()) for value in values if value[0] != {i}]
'''


class Rename(ast.NodeTransformer):
    def visit_Name(self, node):
        return ast.copy_location(ast.Name(id=node.id + "_", ctx=node.ctx), node)


total = 0
for module in range(6):
    source = "".join(FUNCTION.format(i=module * SIZE + i) for i in range(SIZE))
    tree = ast.parse(source)
    total += sum(1 for _ in ast.walk(tree))
    tree = ast.fix_missing_locations(Rename().visit(tree))
    code = compile(tree, "generated", "exec")
    total += len(code.co_consts) + len(ast.dump(tree))
print(total)
