/* SPDX-License-Identifier: MIT
 * The C++ library on top: containers, shared pointers across threads, memory resources, locales and streams,
 * exceptions. */
#include "case.h"

#include <deque>
#include <future>
#include <list>
#include <map>
#include <memory>
#include <memory_resource>
#include <regex>
#include <sstream>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace {

void containers()
{
    std::map<std::string, std::vector<int>> map;
    std::unordered_map<int, std::deque<std::string>> hash;
    std::list<std::string> list;

    for (int i = 0; i < 20000; i++) {
        map[std::to_string(i % 500)].push_back(i);
        hash[i % 300].emplace_back(static_cast<size_t>(i % 200), 'x');
        list.push_back(std::string(static_cast<size_t>(i % 90), 'y'));
        if (i % 3 == 0)
            list.pop_front();
    }
    size_t sum = 0;
    for (auto &entry : map)
        sum += entry.second.size();
    CHECK(sum == 20000);
    for (auto &entry : hash)
        for (auto &string : entry.second)
            CHECK(string.find_first_not_of('x') == std::string::npos);
}

void across_threads()
{
    std::vector<std::future<std::shared_ptr<std::vector<std::string>>>> results;

    for (int i = 0; i < 8; i++)
        results.push_back(std::async(std::launch::async, [i] {
            auto made = std::make_shared<std::vector<std::string>>();
            for (int j = 0; j < 2000; j++)
                made->emplace_back(static_cast<size_t>(j % 100), static_cast<char>('a' + i));
            return made;
        }));
    for (auto &result : results)
        CHECK(result.get()->size() == 2000);
}

void resources()
{
    std::pmr::synchronized_pool_resource pools;
    std::pmr::monotonic_buffer_resource buffer(&pools);
    std::pmr::vector<std::pmr::string> strings(&buffer);
    std::pmr::map<int, std::pmr::string> map(&pools);

    for (int i = 0; i < 5000; i++) {
        strings.emplace_back(static_cast<size_t>(i % 300), 'z');
        map.emplace(i, std::pmr::string(static_cast<size_t>(i % 70), 'q'));
        if (i % 2 == 1)
            map.erase(i - 1);
    }
    CHECK(strings.size() == 5000 && map.size() == 2500);
    void *block = std::pmr::new_delete_resource()->allocate(1000, 512);
    CHECK(reinterpret_cast<uintptr_t>(block) % 512 == 0);
    std::pmr::new_delete_resource()->deallocate(block, 1000, 512);
}

void library()
{
    std::ostringstream out;

    for (int i = 0; i < 1000; i++)
        out << i << ' ' << std::string(50, 'w') << '\n';
    CHECK(out.str().size() == 1000 * 52 + 2890);
    CHECK(std::regex_search(out.str(), std::regex("777 w{50}")));
    for (int i = 0; i < 500; i++)
        try {
            throw std::runtime_error(std::string(300, 'e'));
        } catch (const std::exception &error) {
            CHECK(std::string(error.what()).size() == 300);
        }
}

} // namespace

int main()
{
    containers();
    across_threads();
    resources();
    library();
    return 0;
}
