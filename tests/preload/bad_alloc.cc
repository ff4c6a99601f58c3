/* SPDX-License-Identifier: MIT
 * When memory is short: std::bad_alloc is thrown and caught, nothrow forms give null, a new_handler is called again and
 * again until it frees enough, throws, or takes itself away; what it throws passes through or is caught as the form
 * says. */
#include "case.h"

#include <new>
#include <stdexcept>
#include <string>
#include <sys/resource.h>
#include <vector>

namespace {

const size_t too_much = static_cast<size_t>(1) << 50;
const std::align_val_t aligned{64};
unsigned calls;
void *volatile result; /* a call whose result is not used may be left out */

template <class F> bool throws_bad_alloc(F f)
{
    try {
        f();
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

void three_times()
{
    if (++calls == 3)
        std::set_new_handler(nullptr);
}

void with_text()
{
    calls++;
    throw std::bad_alloc();
}

struct own_bad_alloc : std::bad_alloc {};

void with_own()
{
    calls++;
    throw own_bad_alloc();
}

struct destroyed {
    bool *flag;
    ~destroyed() { *flag = true; }
};

/** Its frames are unwound through those of the library. */
void unwound(bool *flag)
{
    destroyed object{flag};
    result = ::operator new(too_much);
}

void no_handler()
{
    bool flag = false;

    CHECK(throws_bad_alloc([] { result = ::operator new(too_much); }));
    CHECK(throws_bad_alloc([] { result = ::operator new[](too_much); }));
    CHECK(throws_bad_alloc([] { result = ::operator new(too_much, aligned); }));
    CHECK(throws_bad_alloc([] { result = ::operator new[](too_much, aligned); }));
    CHECK(throws_bad_alloc([] { std::vector<char> v(too_much); }));
    CHECK(throws_bad_alloc([&] { unwound(&flag); }) && flag);
    CHECK(::operator new(too_much, std::nothrow) == nullptr);
    CHECK(::operator new[](too_much, std::nothrow) == nullptr);
    CHECK(::operator new(too_much, aligned, std::nothrow) == nullptr);
    CHECK(::operator new[](too_much, aligned, std::nothrow) == nullptr);
}

void with_handler()
{
    std::set_new_handler(three_times);
    calls = 0;
    CHECK(throws_bad_alloc([] { result = ::operator new(too_much); }) && calls == 3);
    std::set_new_handler(three_times);
    calls = 0;
    CHECK(throws_bad_alloc([] { result = ::operator new[](too_much, aligned); }) && calls == 3);
    std::set_new_handler(three_times);
    calls = 0;
    CHECK(::operator new(too_much, std::nothrow) == nullptr && calls == 3);
    std::set_new_handler(three_times);
    calls = 0;
    CHECK(::operator new(too_much, aligned, std::nothrow) == nullptr && calls == 3);
}

void with_throwing_handler()
{
    calls = 0;
    std::set_new_handler(with_text);
    CHECK(throws_bad_alloc([] { result = ::operator new(too_much); }) && calls == 1);
    CHECK(::operator new(too_much, std::nothrow) == nullptr && calls == 2);
    CHECK(::operator new[](too_much, std::nothrow) == nullptr && calls == 3);
    CHECK(::operator new(too_much, aligned, std::nothrow) == nullptr && calls == 4);
    std::set_new_handler(with_own);
    try {
        result = ::operator new(too_much);
        CHECK(false);
    } catch (const own_bad_alloc &) {
        CHECK(calls == 5);
    }
    std::set_new_handler(nullptr);
}

char *reserve;

void give_reserve()
{
    CHECK(reserve != nullptr);
    free(reserve);
    reserve = nullptr;
    calls++;
}

/** The handler frees what it kept back, and the allocation that failed succeeds. */
void with_reserve()
{
    struct rlimit limit, lifted;

    reserve = static_cast<char *>(malloc(64 * MIB));
    CHECK(getrlimit(RLIMIT_AS, &lifted) == 0);
    limit = lifted;
    limit.rlim_cur = number_in("/proc/self/status", "VmSize:") * KIB + 8 * MIB;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    std::set_new_handler(give_reserve);
    calls = 0;
    char *block = static_cast<char *>(::operator new(40 * MIB));
    CHECK(calls == 1 && block != nullptr);
    block[0] = block[40 * MIB - 1] = 1;
    ::operator delete(block);
    std::set_new_handler(nullptr);
    CHECK(setrlimit(RLIMIT_AS, &lifted) == 0);
}

} // namespace

int main()
{
    no_handler();
    with_handler();
    with_throwing_handler();
    with_reserve();
    return 0;
}
