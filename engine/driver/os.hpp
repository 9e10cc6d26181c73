// What the engine needs of the system beside IO: threads, a wake-up descriptor, a page that tells a
// forked child from its parent.
#pragma once

#include <ferry/status.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace ferry::os {

// Monotonic nanoseconds.
uint64_t now_ns() noexcept;
// The same clock as of its last tick, some milliseconds ago; a fraction of the cost.
uint64_t coarse_ns() noexcept;

// A value that differs between any two live threads; never 0.
inline uintptr_t thread_self() noexcept {
    return reinterpret_cast<uintptr_t>(__builtin_thread_pointer());
}

// A thread with all signals blocked, so that the host's handlers never run on it.
class Thread {
  public:
    // Its name in debuggers; at most 15 characters.
    bool start(const char *name, void (*run)(void *), void *argument) noexcept;
    bool started() const noexcept { return started_; }
    void join() noexcept;

  private:
    static void *entry(void *self);

    void (*run_)(void *) = nullptr;
    void *argument_ = nullptr;
    uint64_t handle_ = 0;
    bool started_ = false;
};

// A descriptor that is readable between signal() and clear().
class Event {
  public:
    ~Event() { close(); }
    // FERRY_OK, FERRY_E_NO_DESCRIPTORS or FERRY_E_NO_MEMORY.
    ferry_status open() noexcept;
    void close() noexcept;
    int descriptor() const noexcept { return descriptor_; }
    void signal() noexcept;
    void clear() noexcept;
    // True when readable, false when the time is over.
    bool wait(uint64_t timeout_ns) noexcept;

  private:
    int descriptor_ = -1;
};

// A word that reads 1 in the process that made it and 0 in a forked child, at no cost.
class ForkMark {
  public:
    ~ForkMark() { close(); }
    bool open() noexcept;
    void close() noexcept;
    bool forked() const noexcept {
        return word_ == nullptr || word_->load(std::memory_order_relaxed) == 0;
    }

  private:
    std::atomic<uint32_t> *word_ = nullptr;
};

// While it lives, writing to a broken stream raises no SIGPIPE on this thread: for calls that cannot be told.
class NoSigpipe {
  public:
    NoSigpipe() noexcept;
    ~NoSigpipe();
    NoSigpipe(const NoSigpipe &) = delete;
    NoSigpipe &operator=(const NoSigpipe &) = delete;

  private:
    bool blocked_ = false; // By us.
};

// Big tables walked at random: fewer, larger pages save most of the address translation.
void hint_large_pages(void *memory, size_t size) noexcept;

// One that no driver has.
void close_descriptor(int64_t descriptor) noexcept;

// Whether the process can still open this many descriptors: libuv aborts where it finds none.
bool descriptors_left(int count) noexcept;

} // namespace ferry::os
