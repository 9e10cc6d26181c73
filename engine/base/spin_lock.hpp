// A lock for critical sections of a few dozen nanoseconds in which nothing can block.
#pragma once

#include <atomic>
#include <thread>

namespace ferry {

class SpinLock {
  public:
    void lock() noexcept {
        while (locked_.exchange(true, std::memory_order_acquire)) {
            // The holder may have lost its core: give ours away rather than burn it.
            for (int spins = 0; locked_.load(std::memory_order_relaxed); ++spins) {
                if (spins > 64)
                    std::this_thread::yield();
            }
        }
    }

    void unlock() noexcept { locked_.store(false, std::memory_order_release); }

  private:
    std::atomic<bool> locked_{false};
};

class SpinGuard {
  public:
    explicit SpinGuard(SpinLock &lock) noexcept : lock_(lock) { lock_.lock(); }
    ~SpinGuard() { lock_.unlock(); }
    SpinGuard(const SpinGuard &) = delete;
    SpinGuard &operator=(const SpinGuard &) = delete;

  private:
    SpinLock &lock_;
};

} // namespace ferry
