/* SPDX-License-Identifier: MIT
 * Sets of bits, against loops that look at one bit at a time. */
#include "base/bits.h"

#include "support.h"

#include <criterion/criterion.h>

static bool has(uint64_t set, unsigned i) { return (set >> i & 1) != 0; }

/** Sets of several densities, the empty and the full one among them. */
static uint64_t random_set(struct unit_rng *rng)
{
    uint64_t a = unit_random(rng), b = unit_random(rng);
    switch (unit_below(rng, 8)) {
    case 0:
        return a & b & unit_random(rng);
    case 1:
        return a | b | unit_random(rng);
    case 2:
        return ~UINT64_C(0) << unit_below(rng, 64);
    case 3:
        return ~UINT64_C(0) >> unit_below(rng, 64);
    case 4:
        return UINT64_C(1) << unit_below(rng, 64);
    case 5:
        return unit_below(rng, 2) == 0 ? 0 : ~UINT64_C(0);
    default:
        return a;
    }
}

Test(bits, ends_and_count)
{
    struct unit_rng rng = {unit_seed()};
    for (size_t n = 0; n < unit_scale(100000); n++) {
        uint64_t set = random_set(&rng);
        unsigned count = 0, first = 64, last = 64;
        for (unsigned i = 0; i < 64; i++)
            if (has(set, i)) {
                count++;
                first = first == 64 ? i : first;
                last = i;
            }
        must(wr_bits_count(set) == count, "%#llx", (unsigned long long)set);
        must(set == 0 || (wr_bits_first(set) == first && wr_bits_last(set) == last), "%#llx", (unsigned long long)set);
    }
}

Test(bits, runs_are_made_of_their_bits)
{
    for (unsigned first = 0; first < 64; first++)
        for (unsigned count = 0; count <= 64 - first; count++) {
            uint64_t run = wr_bits_run(first, count);
            for (unsigned i = 0; i < 64; i++)
                must(has(run, i) == (i >= first && i < first + count), "run of %u from %u: bit %u", count, first, i);
        }
}

static bool is_run(uint64_t set, unsigned first, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (first + i >= 64 || !has(set, first + i))
            return false;
    return true;
}

Test(bits, aligned_runs_are_found)
{
    struct unit_rng rng = {unit_seed()};
    for (size_t n = 0; n < unit_scale(100000); n++) {
        uint64_t set = random_set(&rng);
        unsigned count = 1 + (unsigned)unit_below(&rng, n % 2 == 0 ? 64 : 6), align = 1u << unit_below(&rng, 7);
        uint64_t expected = 0, found = wr_bits_runs(set, count, align);
        for (unsigned i = 0; i < 64; i += align)
            if (is_run(set, i, count))
                expected |= UINT64_C(1) << i;
        must(found == expected, "runs of %u aligned to %u in %#llx: %#llx, not %#llx", count, align,
             (unsigned long long)set, (unsigned long long)found, (unsigned long long)expected);
    }
}

Test(bits, length_of_a_run)
{
    struct unit_rng rng = {unit_seed()};
    for (size_t n = 0; n < unit_scale(100000); n++) {
        uint64_t set = random_set(&rng);
        unsigned first = (unsigned)unit_below(&rng, 64), length = 0;
        while (is_run(set, first, length + 1))
            length++;
        must(wr_bits_run_length(set, first) == length, "run from %u in %#llx: %u, not %u", first,
             (unsigned long long)set, wr_bits_run_length(set, first), length);
    }
}
