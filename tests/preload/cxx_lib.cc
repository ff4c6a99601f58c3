/* SPDX-License-Identifier: MIT
 * A C++ library that asks for too much, catches what comes of it, and works on. */
#include "case.h"

#include <memory>
#include <new>
#include <string>
#include <vector>

extern "C" int try_all()
{
    const size_t too_much = static_cast<size_t>(1) << 50;
    int caught = 0;

    try {
        std::vector<char> v(too_much);
    } catch (const std::bad_alloc &) {
        caught++;
    }
    try {
        void *volatile result = ::operator new(too_much, std::align_val_t(64));
        CHECK(result == nullptr);
    } catch (const std::bad_alloc &) {
        caught++;
    }
    caught += ::operator new(too_much, std::nothrow) == nullptr;
    std::set_new_handler([] { throw std::bad_alloc(); });
    caught += ::operator new(too_much, std::nothrow) == nullptr;
    std::set_new_handler(nullptr);
    auto strings = std::make_unique<std::vector<std::string>>(1000, std::string(100, 'x'));
    return strings->back().size() == 100 ? caught : -1;
}
