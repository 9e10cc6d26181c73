// What the simulation leaves to chance: one sequence of numbers, decided by the seed.
//
// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014): every seed is a
// good one, also 0, 1, 2 ...
#pragma once

#include <cstdint>

namespace ferry::driver::sim {

class Random {
  public:
    explicit Random(uint64_t seed) noexcept : state_(seed) {}

    uint64_t next() noexcept {
        uint64_t mixed = state_ += 0x9e3779b97f4a7c15;
        mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
        mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
        return mixed ^ mixed >> 31;
    }

    // From 0 to count - 1; 0 for a count of 0. The lowest numbers are the likelier by count / 2^64.
    uint64_t below(uint64_t count) noexcept { return count != 0 ? next() % count : 0; }

    bool chance(uint32_t ppm) noexcept { return below(1'000'000) < ppm; }
    bool coin() noexcept { return (next() & 1) != 0; }

  private:
    uint64_t state_;
};

} // namespace ferry::driver::sim
