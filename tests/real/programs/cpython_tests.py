# SPDX-License-Identifier: MIT
"""cpython_tests.py LIBRARY RESULTS MODULE: runs a module of CPython's own tests. The file RESULTS gets a line "mapped"
or "not mapped" for LIBRARY in this process, and one for each test with its outcome, sorted.

Some of these tests fail where their threads or children get no turn in time: those that fail are tried again."""

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


def tests_of(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from tests_of(test)
        else:
            yield test


def load(module, wanted=None):
    """The module's tests, or those whose names are wanted."""
    suite = unittest.defaultTestLoader.loadTestsFromName("test." + module)
    return suite if wanted is None else unittest.TestSuite(test for test in tests_of(suite) if test.id() in wanted)


def main():
    library, results, module = sys.argv[1:]
    with open("/proc/self/maps", encoding="utf-8") as maps:
        mapped = library in maps.read()
    support.use_resources = []  # neither network nor gigabytes
    support.SHORT_TIMEOUT = support.LONG_TIMEOUT = 300.0
    outcomes = Outcomes()
    load(module).run(outcomes)
    for _ in range(3):
        failed = {name for name, outcome in outcomes.outcome.items() if outcome == "failed"}
        if failed:
            again = Outcomes()
            load(module, failed).run(again)
            outcomes.outcome.update(again.outcome)
    with open(results, "w", encoding="utf-8") as file:
        print("mapped" if mapped else "not mapped", file=file)
        for name, outcome in sorted(outcomes.outcome.items()):
            print(name, outcome, file=file)


if __name__ == "__main__":
    main()
