# SPDX-License-Identifier: MIT
"""cpython_tests.py LIBRARY RESULTS MODULE: runs a module of CPython's own tests. The file RESULTS gets a line "mapped"
or "not mapped" for LIBRARY in this process, and one for each test with its outcome, sorted."""

import sys
import traceback
import unittest

from test import support


class Outcomes(unittest.TestResult):
    """Remembers the outcome of each test by its name; a test whose subtests differ has the worst of theirs."""

    def __init__(self):
        super().__init__()
        self.outcome = {}

    def note(self, test, outcome, error=None):
        name = getattr(test, "test_case", test).id()
        if self.outcome.get(name, "ok") == "ok":
            self.outcome[name] = outcome
        if error:
            print(name, outcome, file=sys.stderr)
            traceback.print_exception(*error)

    def addSuccess(self, test):
        self.note(test, "ok")

    def addFailure(self, test, err):
        self.note(test, "failed", err)

    def addError(self, test, err):
        self.note(test, "failed", err)

    def addSkip(self, test, reason):
        self.note(test, "skipped")

    def addExpectedFailure(self, test, err):
        self.note(test, "ok")

    def addUnexpectedSuccess(self, test):
        self.note(test, "failed")

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.note(test, "failed", err)


def main():
    library, results, module = sys.argv[1:]
    with open("/proc/self/maps", encoding="utf-8") as maps:
        mapped = library in maps.read()
    support.use_resources = []  # neither network nor gigabytes
    outcomes = Outcomes()
    unittest.defaultTestLoader.loadTestsFromName("test." + module).run(outcomes)
    with open(results, "w", encoding="utf-8") as file:
        print("mapped" if mapped else "not mapped", file=file)
        for name, outcome in sorted(outcomes.outcome.items()):
            print(name, outcome, file=file)


if __name__ == "__main__":
    main()
