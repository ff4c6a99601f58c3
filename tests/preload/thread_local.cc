/* SPDX-License-Identifier: MIT
 * C++ thread_local objects whose destructors allocate and free, of the main thread too. */
#include "case.h"

#include <string>
#include <thread>
#include <vector>

namespace {

struct keeper {
    std::vector<std::string> strings;
    ~keeper()
    {
        for (auto &string : strings)
            CHECK(string.size() >= 100);
        std::vector<int> more(10000, 7);
        strings.emplace_back(more.size(), 'x');
        delete[] new char[300000];
    }
};

thread_local keeper first;
thread_local std::vector<std::unique_ptr<keeper>> second;

void use()
{
    second.emplace_back(new keeper);
    for (int i = 0; i < 50; i++) {
        first.strings.emplace_back(100 + i, 'a');
        second.back()->strings.emplace_back(2000 + i, 'b');
    }
}

} // namespace

int main()
{
    for (int i = 0; i < 50; i++)
        std::thread(use).join();
    use();
    std::thread([] {
        use();
        std::thread(use).join();
    }).join();
    return 0;
}
