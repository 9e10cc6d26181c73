// Fibers and what they wait for.
//
// A fiber is one operation's coroutine as the scheduler sees it: something that can be ready, and
// something that may be waiting. Fibers are resumed by the scheduler's loop only (a trampoline): g++ 12
// turns symmetric transfer into recursion below -O2 and under sanitizers. One thread: no atomics.
#pragma once

#include "base/assert.hpp"
#include "base/lists.hpp"

#include <coroutine>
#include <cstdint>

namespace ferry::coro {

class Wait;
class Scheduler;

struct Fiber {
    Fiber *next_ready = nullptr;
    Scheduler *scheduler = nullptr;
    std::coroutine_handle<> frame; // Null until the coroutine has suspended for the first time.
    Wait *waiting = nullptr;       // What the coroutine is suspended on.
    int32_t interrupted = 0;       // The status it must end with early, once somebody asked.
};

class Scheduler {
  public:
    bool empty() const noexcept { return ready_.empty(); }
    Fiber *front() const noexcept { return ready_.front(); }
    void push(Fiber *fiber) noexcept {
        ready_.push(fiber);
        ++ready_count_;
    }
    Fiber *pop() noexcept {
        Fiber *fiber = ready_.pop();
        if (fiber != nullptr)
            --ready_count_;
        return fiber;
    }
    uint32_t ready_count() const noexcept { return ready_count_; }

  private:
    Fifo<Fiber, &Fiber::next_ready> ready_;
    uint32_t ready_count_ = 0;
};

// The base of everything a coroutine can co_await. Small: it lies in the frame of every idle connection.
//
// Life of a wait:   begin --> [suspended] --> wake() --> [ready] --> resumed
//                     \--> done at once: no suspension
// interrupt() asks a suspended wait to end early; it answers with wake(), now or later.
class Wait {
  public:
    explicit Wait(Fiber &fiber) : fiber_(fiber) {}
    Wait(const Wait &) = delete;
    Wait &operator=(const Wait &) = delete;

    // The operation is to end early. Called at most once, while suspended.
    virtual void interrupt() noexcept = 0;

    // What is waited for, in a word or two: for those who look on.
    virtual const char *what() const noexcept = 0;

    // What was waited for has happened. Called exactly once for every suspension.
    void wake() noexcept {
        FERRY_ASSERT(fiber_.waiting == this);
        fiber_.waiting = nullptr;
        fiber_.scheduler->push(&fiber_);
    }

  protected:
    ~Wait() = default;

    void suspend(std::coroutine_handle<> frame) noexcept {
        FERRY_ASSERT(fiber_.waiting == nullptr);
        fiber_.frame = frame;
        fiber_.waiting = this;
    }
    // It has happened within await_suspend(), which then returns false.
    void wake_now() noexcept { fiber_.waiting = nullptr; }
    bool interrupted() const noexcept { return fiber_.interrupted != 0; }
    Fiber &fiber() const noexcept { return fiber_; }

  private:
    Fiber &fiber_;
};

class ListWait;

// Fibers that wait for the same event, e.g. room in a queue. Woken in the order of their coming; each
// looks again.
class WaitList {
  public:
    explicit WaitList(const char *what) noexcept : what_(what) {}
    bool empty() const noexcept;
    uint32_t count() const noexcept { return count_; }
    void wake(uint32_t max) noexcept;

  private:
    friend class ListWait;
    const char *const what_;
    uint32_t count_ = 0;
    ListWait *first_ = nullptr;
    ListWait **end_ = &first_;
};

// co_await ListWait(...): until the list is woken or the operation is interrupted.
class ListWait final : public Wait {
  public:
    ListWait(Fiber &fiber, WaitList &list) : Wait(fiber), list_(list) {}

    bool await_ready() const noexcept { return interrupted(); }
    void await_suspend(std::coroutine_handle<> frame) noexcept {
        suspend(frame);
        next_ = nullptr;
        *list_.end_ = this;
        list_.end_ = &next_;
        ++list_.count_;
    }
    void await_resume() const noexcept {}
    const char *what() const noexcept override { return list_.what_; }
    void interrupt() noexcept override {
        ListWait **link = &list_.first_;
        while (*link != this)
            link = &(*link)->next_;
        *link = next_;
        if (next_ == nullptr)
            list_.end_ = link;
        --list_.count_;
        wake();
    }

  private:
    friend class WaitList;
    WaitList &list_;
    ListWait *next_ = nullptr;
};

inline bool WaitList::empty() const noexcept {
    return first_ == nullptr;
}

inline void WaitList::wake(uint32_t max) noexcept {
    for (; first_ != nullptr && max != 0; --max) {
        ListWait *at = first_;
        first_ = at->next_;
        if (first_ == nullptr)
            end_ = &first_;
        --count_;
        at->wake();
    }
}

} // namespace ferry::coro
