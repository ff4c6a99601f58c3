/* SPDX-License-Identifier: MIT
 * The compiler's vocabulary: attributes, branch hints, small arithmetic. No state, no calls. */
#ifndef WR_BASE_H
#define WR_BASE_H

#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define wr_likely(x) __builtin_expect(!!(x), 1)
#define wr_unlikely(x) __builtin_expect(!!(x), 0)

#define WR_NOINLINE __attribute__((noinline))
#define WR_INLINE static inline __attribute__((always_inline))
#define WR_COLD __attribute__((cold, noinline))
#define WR_NORETURN __attribute__((noreturn))
#define WR_HIDDEN __attribute__((visibility("hidden")))
#define WR_EXPORT __attribute__((visibility("default"), used))
#define WR_UNUSED __attribute__((unused))
#define WR_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define WR_TLS _Thread_local __attribute__((tls_model("initial-exec")))
#define WR_CACHE_LINE 64

#define WR_KIB ((size_t)1024)
#define WR_MIB (WR_KIB * 1024)

#define WR_COUNT(array) (sizeof(array) / sizeof((array)[0]))

WR_INLINE size_t wr_min(size_t a, size_t b) { return a < b ? a : b; }
WR_INLINE size_t wr_max(size_t a, size_t b) { return a > b ? a : b; }

/** n rounded up to a multiple of `to`, a power of two. pre: n + to - 1 does not overflow. */
WR_INLINE uintptr_t wr_round_up(uintptr_t n, uintptr_t to) { return (n + to - 1) & ~(to - 1); }
WR_INLINE uintptr_t wr_round_down(uintptr_t n, uintptr_t to) { return n & ~(to - 1); }
WR_INLINE bool wr_is_pow2(uintptr_t n) { return n != 0 && (n & (n - 1)) == 0; }

/** The same pointer, of whose origin the compiler knows nothing: it then computes an address once and keeps it. */
#define wr_hide(pointer)                                                                                               \
    ({                                                                                                                 \
        __typeof__(pointer) hidden_ = (pointer);                                                                       \
        __asm__("" : "+r"(hidden_));                                                                                   \
        hidden_;                                                                                                       \
    })

/** Tells the processor that this is a spin. */
WR_INLINE void wr_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

#if UINTPTR_MAX < UINT64_MAX
#error "Weir needs 64-bit addresses"
#endif

/* ThreadSanitizer understands no race that is harmless by argument; where a field has one writer and many readers, its
 * accesses are relaxed atomics there and plain (one instruction) elsewhere. */
#if defined(__SANITIZE_THREAD__)
#define WR_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WR_TSAN 1
#endif
#endif
#ifndef WR_TSAN
#define WR_TSAN 0
#endif

/* Whether a sanitizer with a runtime of its own, which must know every thread, is built in. */
#if WR_TSAN || defined(__SANITIZE_ADDRESS__)
#define WR_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WR_SANITIZED 1
#endif
#endif
#ifndef WR_SANITIZED
#define WR_SANITIZED 0
#endif

/* For functions that only look, for figures or for a guess, at what others may be writing. */
#if WR_TSAN
#define WR_RACY __attribute__((no_sanitize("thread"))) WR_NOINLINE
#else
#define WR_RACY
#endif

#endif
