// A condition variable that is never destroyed: what is destroyed in a fork's child would wait for the threads
// that waited in its parent. It holds nothing but its own memory.
#pragma once

#include <condition_variable>

namespace ferry {

class Condition {
  public:
    Condition() noexcept : value_() {}
    ~Condition() {}
    Condition(const Condition &) = delete;
    Condition &operator=(const Condition &) = delete;

    std::condition_variable *operator->() noexcept { return &value_; }

  private:
    union {
        std::condition_variable value_;
    };
};

} // namespace ferry
