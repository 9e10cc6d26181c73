// A number that one thread changes and any thread may read.
#pragma once

#include <atomic>
#include <cstdint>

namespace ferry {

class Counter {
  public:
    void add(uint64_t amount) noexcept { set(get() + amount); }
    void subtract(uint64_t amount) noexcept { set(get() - amount); }
    void set(uint64_t value) noexcept { value_.store(value, std::memory_order_relaxed); }
    uint64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }

  private:
    std::atomic<uint64_t> value_{0};
};

} // namespace ferry
