/* SPDX-License-Identifier: MIT
 * strings: text processing as C++ programs do it, with a string for each word: text is split into words, these are
 * counted, changed, joined and sorted. The words follow Zipf's law (G. K. Zipf, "Human Behavior and the Principle of
 * Least Effort", 1949), so a few are frequent and short and most are rare and long. */
#include "bench.h"

#include <algorithm>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace
{

constexpr size_t vocabulary = 5000, words_in_text = 15000, line_words = 12, work_per_text = 2;

/** A word that follows from its rank: the rarer, the longer. */
std::string word(size_t rank)
{
    std::string made;
    for (uint64_t rest = bench_mix(rank), length = 2; length < 4 + rank || made.empty(); length *= 2, rest >>= 5) {
        made += static_cast<char>('a' + rest % 26);
        made += "aeiou"[rest / 26 % 5];
    }
    return made;
}

/** A rank by Zipf's law, nearly: the density of 1 / rank, by its inverse. */
size_t choose_rank(uint64_t *random)
{
    size_t rank = bench_below(random, vocabulary) + 1;
    return vocabulary / rank - 1 + bench_below(random, rank) % (vocabulary / rank);
}

std::string make_text(uint64_t *random)
{
    std::string text;
    for (size_t i = 0; i < words_in_text; i++)
        text += word(choose_rank(random) % vocabulary) + (i % line_words == line_words - 1 ? "\n" : " ");
    return text;
}

std::vector<std::string> split(const std::string &text, const char *at)
{
    std::vector<std::string> parts;
    for (size_t start = 0, end; start < text.size(); start = end + 1) {
        end = std::min(text.find_first_of(at, start), text.size());
        parts.push_back(text.substr(start, end - start));
    }
    return parts;
}

std::string join(const std::vector<std::string> &parts, const std::string &between)
{
    std::string text;
    for (const std::string &part : parts)
        text = text.empty() ? part : std::move(text) + between + part;
    return text;
}

uint64_t digest(const std::string &text)
{
    uint64_t sum = text.size();
    for (char byte : text)
        sum = sum * 31 + static_cast<unsigned char>(byte);
    return bench_mix(sum);
}

/** The words and how often each is there, as lines, the most frequent first. */
std::string count(const std::vector<std::string> &words)
{
    std::unordered_map<std::string, size_t> times;
    for (const std::string &one : words)
        times[one]++;
    std::vector<std::pair<std::string, size_t>> sorted(times.begin(), times.end());
    std::sort(sorted.begin(), sorted.end(), [](const auto &a, const auto &b) {
        return a.second != b.second ? a.second > b.second : a.first < b.first;
    });
    std::string lines;
    for (const auto &[name, number] : sorted)
        lines += name + ": " + std::to_string(number) + "\n";
    return lines;
}

/** Each line with its words in the other order and the first one in quotes. */
std::string turn_lines(const std::string &text)
{
    std::vector<std::string> lines = split(text, "\n");
    for (std::string &line : lines) {
        std::vector<std::string> words = split(line, " ");
        std::reverse(words.begin(), words.end());
        words.front() = '"' + words.front() + '"';
        line = join(words, " ");
    }
    std::sort(lines.begin(), lines.end());
    return join(lines, "\n");
}

void process(bench_thread *thread)
{
    for (size_t i = 0; i < (thread->bench->work + work_per_text - 1) / work_per_text; i++) {
        std::string text = make_text(&thread->random);
        thread->sum += digest(count(split(text, " \n")));
        thread->sum += digest(turn_lines(text));
    }
}

} // namespace

int main(int argc, char **argv)
{
    bench bench = bench_options(argc, argv, 1, "Text processing with a string for each word, in C++.");
    bench_print(bench_run(&bench, process, nullptr));
}
