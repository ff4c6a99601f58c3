# SPDX-License-Identifier: MIT
weirincludedir = $(includedir)/weir
weirinclude_HEADERS = \
    include/weir/alloc.h \
    include/weir/weir.h
