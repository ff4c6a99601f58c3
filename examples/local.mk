# SPDX-License-Identifier: MIT
# Small programs, one for each way of giving memory back. tests/examples runs them; they are installed as documents.

examples = \
    examples/chunks \
    examples/clear \
    examples/cycle \
    examples/debug \
    examples/del \
    examples/document \
    examples/scope \
    examples/squares

check_PROGRAMS += $(examples)
examples_chunks_SOURCES = examples/chunks.c examples/example.h
examples_chunks_LDADD = libweir.la
examples_clear_SOURCES = examples/clear.c examples/example.h
examples_clear_LDADD = libweir.la
examples_cycle_SOURCES = examples/cycle.c examples/example.h
examples_cycle_LDADD = libweir.la
examples_debug_SOURCES = examples/debug.c examples/example.h
examples_debug_LDADD = libweir.la
examples_del_SOURCES = examples/del.c examples/example.h
examples_del_LDADD = libweir.la
examples_document_SOURCES = examples/document.c examples/example.h
examples_document_LDADD = libweir.la
examples_scope_SOURCES = examples/scope.c examples/example.h
examples_scope_LDADD = libweir.la
examples_squares_SOURCES = examples/squares.c examples/example.h
examples_squares_LDADD = libweir.la

examplesdir = $(docdir)/examples
dist_examples_DATA = \
    examples/example.h \
    examples/chunks.c \
    examples/clear.c \
    examples/cycle.c \
    examples/debug.c \
    examples/del.c \
    examples/document.c \
    examples/scope.c \
    examples/squares.c
