# SPDX-License-Identifier: MIT
# Two libraries of the same objects. Their flags are AM_CFLAGS: with flags of their own all would be compiled twice.

weir_sources = \
    src/base/assert.c \
    src/base/assert.h \
    src/base/base.h \
    src/base/bits.h \
    src/base/option.c \
    src/base/option.h \
    src/base/text.c \
    src/base/text.h \
    src/os/helper.c \
    src/os/helper.h \
    src/os/lock.c \
    src/os/lock.h \
    src/os/os.h \
    src/os/os_linux.c \
    src/core/account.c \
    src/core/account.h \
    src/core/arena.c \
    src/core/arena.h \
    src/core/block.c \
    src/core/block.h \
    src/core/check.c \
    src/core/check.h \
    src/core/geometry.c \
    src/core/geometry.h \
    src/core/heap.c \
    src/core/heap.h \
    src/core/extent.c \
    src/core/extent.h \
    src/core/huge.c \
    src/core/huge.h \
    src/core/map.c \
    src/core/map.h \
    src/core/meta.c \
    src/core/meta.h \
    src/core/order.c \
    src/core/order.h \
    src/core/pool.c \
    src/core/pool.h \
    src/core/poolset.c \
    src/core/poolset.h \
    src/core/purge.c \
    src/core/purge.h \
    src/core/purger.c \
    src/core/purger.h \
    src/core/registry.c \
    src/core/registry.h \
    src/core/typed.c \
    src/core/typed.h \
    src/core/space.c \
    src/core/space.h \
    src/front/alloc.c \
    src/front/fast.h \
    src/front/stats.c \
    src/front/stats.h \
    src/front/thread.c \
    src/front/thread.h \
    src/object/domain.c \
    src/object/domain.h \
    src/object/chunks.c \
    src/object/deque.c \
    src/object/gc.c \
    src/object/item.h \
    src/object/log.c \
    src/object/look.c \
    src/object/map.c \
    src/object/mark.c \
    src/object/object.c \
    src/object/scope.c \
    src/object/set.c \
    src/object/share.c \
    src/object/table.c \
    src/object/table.h \
    src/object/trace.c \
    src/object/trace.h \
    src/object/vec.c \
    src/object/weak.c

library_ldflags = $(SANITIZER_FLAGS) -Wl,-z,defs -Wl,-z,now -Wl,-z,relro -Wl,-z,nodelete

# The API. libtool's -version-info is CURRENT:REVISION:AGE; see CONTRIBUTING.md.
lib_LTLIBRARIES += libweir.la
libweir_la_SOURCES = $(weir_sources)
libweir_la_LDFLAGS = $(library_ldflags) -version-info 0:0:0

# The same, and the names of the C and C++ libraries. No static archive: it is made to be preloaded, or linked first.
# No version script: a malloc with a version node would not stand for malloc@GLIBC_2.2.5.
preload_sources = \
    src/preload/operators.h \
    src/preload/preload.c \
    src/preload/preload_array.c \
    src/preload/preload_cxx.c \
    src/preload/preload_dl.c \
    src/preload/preload_glibc.c

if PRELOAD
lib_LTLIBRARIES += libweir-preload.la
libweir_preload_la_SOURCES = $(weir_sources) $(preload_sources)
libweir_preload_la_LDFLAGS = $(library_ldflags) -module -avoid-version -shared
endif

if PRELOAD
if TOOLS
# Records the calls of any allocator, for `weir trace`; not a part of Weir's own.
pkglib_LTLIBRARIES += libweir-trace.la
libweir_trace_la_SOURCES = \
    src/base/base.h \
    src/base/text.c \
    src/base/text.h \
    src/os/os.h \
    src/os/os_linux.c \
    src/preload/operators.h \
    src/trace/interpose.c \
    src/trace/interpose.h \
    src/trace/operators.c \
    src/trace/raw.h \
    src/trace/record.c \
    src/trace/record.h \
    src/trace/store.c \
    src/trace/store.h
libweir_trace_la_LDFLAGS = $(library_ldflags) -module -avoid-version -shared
endif
endif
