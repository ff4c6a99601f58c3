/* SPDX-License-Identifier: MIT
 * Containers of the C++ library. */
#include <deque>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "containers.h"

static uint64_t vec(size_t n)
{
    std::vector<uint64_t> vec;
    uint64_t sum = 0;
    begin();
    for (uint64_t i = 0; i < n; i++)
        vec.push_back(i);
    end("vec-push", n);
    for (uint64_t item : vec)
        sum += item;
    end("vec-iterate", n);
    return sum;
}

static uint64_t map(size_t n)
{
    std::unordered_map<uint64_t, uint64_t> map;
    uint64_t sum = 0;
    begin();
    for (uint64_t i = 0; i < n; i++)
        map[key(i)] = i;
    end("map-insert", n);
    end_size("map-bytes", n);
    for (uint64_t i = 0; i < n; i++)
        sum += map.find(key(i))->second;
    end("map-find", n);
    for (const auto &entry : map)
        sum += entry.second;
    end("map-iterate", n);
    for (uint64_t i = 0; i < n; i++)
        sum += map.erase(key(i));
    end("map-remove", n);
    return sum;
}

static uint64_t set(size_t n)
{
    std::unordered_set<uint64_t> set;
    uint64_t sum = 0;
    begin();
    for (uint64_t i = 0; i < n; i++)
        set.insert(key(i));
    end("set-add", n);
    for (uint64_t i = 0; i < n; i++)
        sum += set.count(key(i * 2));
    end("set-has", n);
    return sum;
}

static uint64_t deque(size_t n)
{
    std::deque<uint64_t> deque;
    uint64_t sum = 0;
    begin();
    for (uint64_t i = 0; i < n; i++)
        deque.push_back(i);
    for (uint64_t i = 0; i < n; i++) {
        sum += deque.front();
        deque.pop_front();
        deque.push_back(i);
    }
    end("deque-queue", n);
    return sum;
}

int main(int argc, char **argv) { return measure_all(argc, argv); }
