/* SPDX-License-Identifier: MIT
 * Containers, strings, smart pointers, exceptions and threads of C++: every form of operator new and delete that its
 * library uses. Prints counts and checksums. */
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <functional>
#include <future>
#include <list>
#include <map>
#include <memory>
#include <new>
#include <numeric>
#include <regex>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

struct Random {
    std::uint32_t state;
    unsigned operator()(unsigned limit)
    {
        state = state * 1103515245u + 12345u;
        return (state >> 8) % limit;
    }
};

std::uint64_t checksum(const std::string &text)
{
    return std::accumulate(text.begin(), text.end(), std::uint64_t{7},
                           [](std::uint64_t sum, char c) { return sum * 31 + static_cast<unsigned char>(c); });
}

std::string word(Random &random)
{
    std::string text;
    for (unsigned n = 2 + random(30); n > 0; n--)
        text += static_cast<char>('a' + random(26));
    return text;
}

std::uint64_t containers(std::uint32_t seed)
{
    Random random{seed};
    std::map<std::string, std::vector<int>> tree;
    std::unordered_map<std::string, std::list<int>> table;
    std::deque<std::string> queue;
    std::set<std::string> set;
    for (int i = 0; i < 60000; i++) {
        std::string key = word(random);
        tree[key.substr(0, 3)].push_back(i);
        table[key.substr(0, 2)].push_front(i);
        queue.push_back(key);
        if (queue.size() > 5000)
            queue.pop_front();
        set.insert(std::move(key));
        if (i % 3 == 0)
            set.erase(set.begin());
    }
    std::ostringstream out;
    for (const auto &[key, list] : tree)
        out << key << list.size() << ' ' << list.back() << '\n';
    for (const auto &key : queue)
        out << key;
    std::uint64_t sum = checksum(out.str()) + set.size();
    for (const auto &[key, list] : table)
        sum += checksum(key) * list.size();
    return sum;
}

struct Node {
    std::shared_ptr<Node> left, right;
    std::weak_ptr<Node> parent;
    int value = 0;
};

std::shared_ptr<Node> grow(Random &random, unsigned depth)
{
    auto node = std::make_shared<Node>();
    node->value = static_cast<int>(random(1000));
    if (depth > 0) {
        node->left = grow(random, depth - 1);
        node->right = grow(random, depth - 1);
        node->left->parent = node->right->parent = node;
    }
    return node;
}

int total(const std::shared_ptr<Node> &node)
{
    return node ? node->value + total(node->left) + total(node->right) : 0;
}

struct alignas(256) Wide {
    std::uint64_t lane[40];
};

bool aligned_blocks()
{
    std::vector<std::unique_ptr<Wide>> one;
    std::vector<std::unique_ptr<Wide[]>> many;
    bool good = true;
    for (unsigned i = 0; i < 500; i++) {
        one.push_back(std::make_unique<Wide>());
        many.push_back(std::make_unique<Wide[]>(1 + i % 7));
        good &= reinterpret_cast<std::uintptr_t>(one.back().get()) % 256 == 0;
        good &= reinterpret_cast<std::uintptr_t>(many.back().get()) % 256 == 0;
    }
    return good;
}

unsigned exceptions()
{
    unsigned caught = 0;
    std::function<void(unsigned)> sink = [&](unsigned depth) {
        std::vector<std::string> ballast(depth, std::string(100, 'x'));
        if (depth == 0)
            throw std::runtime_error("the bottom " + std::string(50, 'y'));
        sink(depth - 1);
    };
    for (unsigned i = 0; i < 200; i++)
        try {
            sink(i % 30);
        } catch (const std::exception &error) {
            caught += std::string(error.what()).size() == 61;
        }
    volatile std::size_t too_much = SIZE_MAX / 4;
    try {
        void *all = ::operator new(too_much); /* the function: a new-expression may be optimized away */
        caught += 1000000;
        ::operator delete(all);
    } catch (const std::bad_alloc &) {
        caught++;
    }
    return caught;
}

} // namespace

int main()
{
    Random random{1};
    std::printf("containers %llu\n", static_cast<unsigned long long>(containers(1)));
    std::printf("tree %d\n", total(grow(random, 14)));
    std::printf("aligned %d\n", aligned_blocks());
    std::printf("exceptions %u\n", exceptions());
    std::string text = "one1 two22 three333 ";
    for (int i = 0; i < 6; i++)
        text += text;
    std::printf("regex %llu\n", static_cast<unsigned long long>(
                                    checksum(std::regex_replace(text, std::regex("([a-z]+)([0-9]+)"), "$2$1"))));
    std::vector<std::future<std::uint64_t>> results;
    for (std::uint32_t seed = 2; seed < 8; seed++)
        results.push_back(std::async(std::launch::async, containers, seed));
    for (auto &result : results)
        std::printf("thread %llu\n", static_cast<unsigned long long>(result.get()));
}
