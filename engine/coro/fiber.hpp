// Fibers and what they wait for.
//
// A fiber is one operation's coroutine as the scheduler sees it: something that can be ready, and
// something that may be waiting. Fibers are resumed by the scheduler's loop only (a trampoline): g++ 12
// turns symmetric transfer into recursion below -O2 and under sanitizers. One thread: no atomics.
#pragma once

#include <coroutine>
#include <cstdint>

#include "base/assert.hpp"
#include "base/lists.hpp"

namespace ferry::coro {

class Wait;

struct Fiber {
    Fiber *next_ready = nullptr;
    std::coroutine_handle<> frame; // Null until the coroutine has suspended for the first time.
    Wait *waiting = nullptr;       // What the coroutine is suspended on.
    int32_t interrupted = 0;       // The status it must end with early, once somebody asked.
};

class Scheduler {
  public:
    bool empty() const noexcept { return ready_.empty(); }
    Fiber *front() const noexcept { return ready_.front(); }
    void push(Fiber *fiber) noexcept { ready_.push(fiber); }
    Fiber *pop() noexcept { return ready_.pop(); }

  private:
    Fifo<Fiber, &Fiber::next_ready> ready_;
};

// The base of everything a coroutine can co_await.
//
// Life of a wait:   begin() --> [suspended] --> wake() --> [ready] --> resumed, finish()
//                      \--> done at once: no suspension
// interrupt() asks a suspended wait to end early; it answers with wake(), now or later.
class Wait {
  public:
    Wait(Scheduler &scheduler, Fiber &fiber) : scheduler_(scheduler), fiber_(fiber) {}
    Wait(const Wait &) = delete;
    Wait &operator=(const Wait &) = delete;

    // The operation is to end early. Called at most once, while suspended.
    virtual void interrupt() noexcept = 0;

    // What was waited for has happened. Called exactly once for every suspension.
    void wake() noexcept {
        FERRY_ASSERT(fiber_.waiting == this);
        fiber_.waiting = nullptr;
        scheduler_.push(&fiber_);
    }

    bool suspended() const noexcept { return fiber_.waiting == this; }

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

  private:
    Scheduler &scheduler_;
    Fiber &fiber_;
};

// Fibers that wait for the same event, e.g. room in a queue. Woken all at once; each looks again.
class WaitList {
  public:
    struct Entry {
        Entry *next = nullptr;
        Wait *wait = nullptr;
    };

    bool empty() const noexcept { return entries_.empty(); }
    void add(Entry *entry) noexcept { entries_.push(entry); }
    void remove(Entry *entry) noexcept { entries_.remove(entry); }
    void wake_all() noexcept {
        while (Entry *entry = entries_.pop())
            entry->wait->wake();
    }

  private:
    Fifo<Entry, &Entry::next> entries_;
};

// co_await ListWait(...): until the list is woken or the operation is interrupted.
class ListWait final : public Wait {
  public:
    ListWait(Scheduler &scheduler, Fiber &fiber, WaitList &list)
        : Wait(scheduler, fiber), list_(list) {
        entry_.wait = this;
    }

    bool await_ready() const noexcept { return interrupted(); }
    void await_suspend(std::coroutine_handle<> frame) noexcept {
        suspend(frame);
        list_.add(&entry_);
    }
    void await_resume() const noexcept {}
    void interrupt() noexcept override {
        list_.remove(&entry_);
        wake();
    }

  private:
    WaitList &list_;
    WaitList::Entry entry_;
};

} // namespace ferry::coro
