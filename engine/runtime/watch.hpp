// What holds a thread just now, and since when: written by that thread, read by the watchdog and by the dump.
#pragma once

#include "base/counter.hpp"

#include <atomic>
#include <cstdint>

namespace ferry {

// One coroutine's step, or one callback of the host's.
struct Task {
    enum class What : uint16_t { coroutine, callback, dispatched };

    uint64_t since_ns = 0;
    uint64_t op = 0;
    uint64_t tag = 0;
    uint16_t opcode = 0;
    What what = What::coroutine;
    uint32_t child = 0; // As ferry_trace_event.child.
};

class Watch {
  public:
    // The thread itself. Between the two the number is odd, and each task has another.
    void begin(const Task &task) noexcept {
        // Release: who reads one of these and then the number notices that it is another task's.
        since_ns_.store(task.since_ns, std::memory_order_release);
        op_.store(task.op, std::memory_order_release);
        tag_.store(task.tag, std::memory_order_release);
        kind_.store(task.opcode | static_cast<uint32_t>(task.what) << 16,
                    std::memory_order_release);
        child_.store(task.child, std::memory_order_release);
        number_.store(number_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    }
    void end() noexcept {
        number_.store(number_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    }

    // Any thread. 0: nothing holds it; else which number this task has.
    uint64_t look(Task *task) const noexcept {
        uint64_t number = number_.load(std::memory_order_acquire);
        if (number % 2 == 0)
            return 0;
        task->since_ns = since_ns_.load(std::memory_order_acquire);
        task->op = op_.load(std::memory_order_acquire);
        task->tag = tag_.load(std::memory_order_acquire);
        uint32_t kind = kind_.load(std::memory_order_acquire);
        task->opcode = static_cast<uint16_t>(kind);
        task->what = static_cast<Task::What>(kind >> 16);
        task->child = child_.load(std::memory_order_acquire);
        return number_.load(std::memory_order_relaxed) == number ? number : 0;
    }

    Counter stalls;        // Tasks that took longer than they may.
    uint64_t reported = 0; // The watchdog's: the last task that it has told of.

  private:
    std::atomic<uint64_t> number_{0};
    std::atomic<uint64_t> since_ns_{0};
    std::atomic<uint64_t> op_{0};
    std::atomic<uint64_t> tag_{0};
    std::atomic<uint32_t> kind_{0};
    std::atomic<uint32_t> child_{0};
};

} // namespace ferry
