/* SPDX-License-Identifier: MIT
 * C++ operators new and delete in every form, under their mangled names and in C: a C program that preloads a library
 * with them needs no C++ runtime. To be included once in such a library, after definitions of what they stand on:
 * operator_malloc(size), operator_aligned(alignment, size), operator_free(block), operator_fatal(format, ...). Owns no
 * state and takes no lock. Built with -fexceptions, so that what a new_handler throws passes through these frames.
 *
 * When memory is short, the forms that throw call the new_handler until it frees enough, throws or is taken away, and
 * then throw std::bad_alloc. C can neither throw nor catch: for both this file asks the C++ runtime of the process,
 * which every program that could catch has. It is found by weak references, or, where only a plugin brought it
 * (an interpreter's extension module), by dlopen of what is loaded already; that happens after an allocation failed
 * and nowhere else. */
#include "base/base.h"

#include <dlfcn.h>

/* The C++ runtime's: std::get_new_handler() and std::__throw_bad_alloc(). */
__attribute__((weak)) void (*_ZSt15get_new_handlerv(void))(void);
__attribute__((weak)) void _ZSt17__throw_bad_allocv(void);

/* std::nothrow_t const & is a pointer and std::align_val_t a size_t, as the C++ ABI passes them. */
void *_Znwm(size_t size);
void *_Znam(size_t size);
void *_ZnwmRKSt9nothrow_t(size_t size, const void *tag);
void *_ZnamRKSt9nothrow_t(size_t size, const void *tag);
void *_ZnwmSt11align_val_t(size_t size, size_t alignment);
void *_ZnamSt11align_val_t(size_t size, size_t alignment);
void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment, const void *tag);
void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment, const void *tag);
void _ZdlPv(void *block);
void _ZdaPv(void *block);
void _ZdlPvm(void *block, size_t size);
void _ZdaPvm(void *block, size_t size);
void _ZdlPvRKSt9nothrow_t(void *block, const void *tag);
void _ZdaPvRKSt9nothrow_t(void *block, const void *tag);
void _ZdlPvSt11align_val_t(void *block, size_t alignment);
void _ZdaPvSt11align_val_t(void *block, size_t alignment);
void _ZdlPvmSt11align_val_t(void *block, size_t size, size_t alignment);
void _ZdaPvmSt11align_val_t(void *block, size_t size, size_t alignment);
void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *block, size_t alignment, const void *tag);
void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *block, size_t alignment, const void *tag);

/* ---- when memory is short -------------------------------------------------------------------------------------- */

/** A function of the C++ runtime that only a dlopened library brought in; NULL if there is none. */
static void (*find_in_runtime(const char *name))(void)
{
    static const char *const runtimes[] = {"libstdc++.so.6", "libc++.so.1"};

    for (size_t i = 0; i < WR_COUNT(runtimes); i++) {
        void *library = dlopen(runtimes[i], RTLD_LAZY | RTLD_NOLOAD);
        if (library != NULL)
            return (void (*)(void))dlsym(library, name);
    }
    return NULL;
}

/** The new_handler in force, or NULL. */
static void (*get_handler(void))(void)
{
    void (*(*get)(void))(void) = _ZSt15get_new_handlerv;

    if (get == NULL)
        get = (void (*(*)(void))(void))find_in_runtime("_ZSt15get_new_handlerv");
    return get != NULL ? get() : NULL;
}

static WR_NORETURN void throw_bad_alloc(size_t size)
{
    void (*throw)(void) = _ZSt17__throw_bad_allocv;

    if (throw == NULL)
        throw = find_in_runtime("_ZSt17__throw_bad_allocv");
    if (throw != NULL)
        throw();
    operator_fatal("out of memory: operator new of %zu bytes, and no C++ runtime to throw std::bad_alloc", size);
}

/** Calls the new_handler and tries again, as often as there is one. `alignment` 0: as malloc aligns. */
static WR_COLD void *new_slow(size_t size, size_t alignment)
{
    for (;;) {
        void (*handler)(void) = get_handler();
        if (handler == NULL || (alignment != 0 && !wr_is_pow2(alignment)))
            throw_bad_alloc(size);
        handler();
        void *block = alignment == 0 ? operator_malloc(size) : operator_aligned(alignment, size);
        if (block != NULL)
            return block;
    }
}

/** A new_handler may throw, and nothrow forms catch: that takes the C++ runtime's own form, which allocates by the
 *  throwing one above and so loops over the handler. Without a handler there is nothing to try. */
static WR_COLD void *new_nothrow_slow(size_t size, const void *tag)
{
    void *(*catching)(size_t, const void *) = NULL;

    if (get_handler() != NULL)
        catching = (void *(*)(size_t, const void *))find_in_runtime("_ZnwmRKSt9nothrow_t");
    return catching != NULL ? catching(size, tag) : NULL;
}

static WR_COLD void *new_aligned_nothrow_slow(size_t size, size_t alignment, const void *tag)
{
    const char *name = "_ZnwmSt11align_val_tRKSt9nothrow_t";
    void *(*catching)(size_t, size_t, const void *) = NULL;

    if (get_handler() != NULL)
        catching = (void *(*)(size_t, size_t, const void *))find_in_runtime(name);
    return catching != NULL ? catching(size, alignment, tag) : NULL;
}

/* ---- new ------------------------------------------------------------------------------------------------------- */

WR_INLINE void *new_plain(size_t size)
{
    void *block = operator_malloc(size);

    return wr_likely(block != NULL) ? block : new_slow(size, 0);
}

WR_INLINE void *new_nothrow(size_t size, const void *tag)
{
    void *block = operator_malloc(size);

    return wr_likely(block != NULL) ? block : new_nothrow_slow(size, tag);
}

WR_INLINE void *new_aligned(size_t size, size_t alignment)
{
    void *block = operator_aligned(alignment, size);

    return wr_likely(block != NULL) ? block : new_slow(size, alignment);
}

WR_INLINE void *new_aligned_nothrow(size_t size, size_t alignment, const void *tag)
{
    void *block = operator_aligned(alignment, size);

    return wr_likely(block != NULL) ? block : new_aligned_nothrow_slow(size, alignment, tag);
}

WR_EXPORT void *_Znwm(size_t size)
{
    return new_plain(size);
}

WR_EXPORT void *_Znam(size_t size)
{
    return new_plain(size);
}

WR_EXPORT void *_ZnwmRKSt9nothrow_t(size_t size, const void *tag)
{
    return new_nothrow(size, tag);
}

WR_EXPORT void *_ZnamRKSt9nothrow_t(size_t size, const void *tag)
{
    return new_nothrow(size, tag);
}

WR_EXPORT void *_ZnwmSt11align_val_t(size_t size, size_t alignment)
{
    return new_aligned(size, alignment);
}

WR_EXPORT void *_ZnamSt11align_val_t(size_t size, size_t alignment)
{
    return new_aligned(size, alignment);
}

WR_EXPORT void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment, const void *tag)
{
    return new_aligned_nothrow(size, alignment, tag);
}

WR_EXPORT void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment, const void *tag)
{
    return new_aligned_nothrow(size, alignment, tag);
}

/* ---- delete: the block knows its size and alignment ------------------------------------------------------------ */

WR_EXPORT void _ZdlPv(void *block)
{
    operator_free(block);
}

WR_EXPORT void _ZdaPv(void *block)
{
    operator_free(block);
}

WR_EXPORT void _ZdlPvm(void *block, size_t size)
{
    (void)size;
    operator_free(block);
}

WR_EXPORT void _ZdaPvm(void *block, size_t size)
{
    (void)size;
    operator_free(block);
}

WR_EXPORT void _ZdlPvRKSt9nothrow_t(void *block, const void *tag)
{
    (void)tag;
    operator_free(block);
}

WR_EXPORT void _ZdaPvRKSt9nothrow_t(void *block, const void *tag)
{
    (void)tag;
    operator_free(block);
}

WR_EXPORT void _ZdlPvSt11align_val_t(void *block, size_t alignment)
{
    (void)alignment;
    operator_free(block);
}

WR_EXPORT void _ZdaPvSt11align_val_t(void *block, size_t alignment)
{
    (void)alignment;
    operator_free(block);
}

WR_EXPORT void _ZdlPvmSt11align_val_t(void *block, size_t size, size_t alignment)
{
    (void)size;
    (void)alignment;
    operator_free(block);
}

WR_EXPORT void _ZdaPvmSt11align_val_t(void *block, size_t size, size_t alignment)
{
    (void)size;
    (void)alignment;
    operator_free(block);
}

WR_EXPORT void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *block, size_t alignment, const void *tag)
{
    (void)alignment;
    (void)tag;
    operator_free(block);
}

WR_EXPORT void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *block, size_t alignment, const void *tag)
{
    (void)alignment;
    (void)tag;
    operator_free(block);
}
