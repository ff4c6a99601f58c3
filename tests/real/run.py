#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Real programs on Weir: what they compute must be what they compute on the C library's allocator.

run.py [-l] [WORD...]; see harness.py for the environment. Prints TAP.
"""

import sys

import harness
import languages  # each of these declares its cases
import servers
import tools

if __name__ == "__main__":
    assert languages and servers and tools
    sys.exit(harness.main())
