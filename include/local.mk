# SPDX-License-Identifier: MIT
weirincludedir = $(includedir)/weir
weirinclude_HEADERS = \
    include/weir/alloc.h \
    include/weir/chunks.h \
    include/weir/containers.h \
    include/weir/gc.h \
    include/weir/object.h \
    include/weir/weir.h
