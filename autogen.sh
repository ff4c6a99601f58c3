#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes configure and what it needs from configure.ac and Makefile.am; once after a clone.
set -e
cd "$(dirname "$0")"
exec autoreconf --install "$@"
