/* SPDX-License-Identifier: MIT
 * Every form of operator new and delete, called by name: aligned as asked, one heap with malloc. */
#include "case.h"

#include <malloc.h>
#include <new>

namespace {

size_t sizes[] = {0, 1, 16, 100, 1000, 5000, 100000, 3000000};

void *made(void *block, size_t size, size_t alignment, unsigned seed)
{
    CHECK(block != nullptr);
    CHECK(reinterpret_cast<uintptr_t>(block) % alignment == 0);
    CHECK(malloc_usable_size(block) >= size);
    fill(block, size, seed);
    CHECK(filled(block, size, seed));
    return block;
}

void plain(size_t n)
{
    ::operator delete(made(::operator new(n), n, 16, 1));
    ::operator delete(made(::operator new(n), n, 16, 2), n);
    ::operator delete(made(::operator new(n, std::nothrow), n, 16, 3), std::nothrow);
    ::operator delete[](made(::operator new[](n), n, 16, 4));
    ::operator delete[](made(::operator new[](n), n, 16, 5), n);
    ::operator delete[](made(::operator new[](n, std::nothrow), n, 16, 6), std::nothrow);
    ::operator delete(nullptr);
    ::operator delete[](nullptr, n);
}

void aligned(size_t n, size_t alignment)
{
    const std::align_val_t a{alignment};

    ::operator delete(made(::operator new(n, a), n, alignment, 1), a);
    ::operator delete(made(::operator new(n, a), n, alignment, 2), n, a);
    ::operator delete(made(::operator new(n, a, std::nothrow), n, alignment, 3), a, std::nothrow);
    ::operator delete[](made(::operator new[](n, a), n, alignment, 4), a);
    ::operator delete[](made(::operator new[](n, a), n, alignment, 5), n, a);
    ::operator delete[](made(::operator new[](n, a, std::nothrow), n, alignment, 6), a, std::nothrow);
}

struct alignas(256) wide {
    char bytes[300];
    ~wide() { CHECK(bytes[0] == 1); }
};

} // namespace

int main()
{
    for (size_t n : sizes) {
        plain(n);
        for (size_t alignment = 1; alignment <= 65536; alignment *= 2)
            aligned(n, alignment);
        free(::operator new(n)); /* one heap */
        ::operator delete(malloc(n));
    }
    wide *many = new wide[10];
    CHECK(reinterpret_cast<uintptr_t>(many) % 256 == 0);
    for (int i = 0; i < 10; i++)
        many[i].bytes[0] = 1;
    delete[] many;
    return 0;
}
