#!/bin/sh
# SPDX-License-Identifier: MIT
# Stands for the unit tests where they could not be built.
here=$(dirname "$0")
exec sh "$here/skip.sh" 'needs Criterion (libcriterion-dev) and the static library' "$here"/unit/test_*.c
