// A completion queue.
//
// Shards write records under the queue's lock and make a whole turn's worth visible by one store of the
// tail. One consumer reads from head to tail without the lock. A final completion that finds the ring
// full waits in its operation's slot, in order, and moves up when there is room; a completion with
// FERRY_MORE is refused then, and its operation waits.
//
// Sleeping and waking. armed_ is 1 while the consumer may sleep. Whoever publishes takes it to 0 and
// signals, once; the consumer sets it again when it has found the queue empty:
//
//     consumer:  clear fd, armed_ = 1, look at tail again      producer:  store tail, take armed_, signal
//
// All four in one total order (seq_cst), so that one of them sees the other.
#pragma once

#include "base/allocator.hpp"
#include "base/counter.hpp"
#include "base/lists.hpp"
#include "base/spin_lock.hpp"
#include "driver/os.hpp"
#include "runtime/op.hpp"
#include "runtime/watch.hpp"

#include <ferry/completion.h>
#include <ferry/queue.h>

#include <atomic>
#include <cstdint>

namespace ferry {

class Engine;

class Queue {
  public:
    // What one shard and one queue have to do with each other; written by the shard's thread, but for
    // what other threads submit.
    struct Link {
        Link *next_touched = nullptr; // In the shard's list of queues to publish.
        Queue *queue = nullptr;
        bool touched = false;
        Counter accepted;
        Counter ended;
        char apart[88]; // Written with every completion: no other shard's may share its cache line.
    };
    static_assert(sizeof(Link) == 128);

    Queue(Engine &engine, const ferry_queue_options &options);
    ~Queue();
    Queue(const Queue &) = delete;
    Queue &operator=(const Queue &) = delete;

    ferry_status open() noexcept;

    Engine &engine() const noexcept { return engine_; }
    bool alive() const noexcept { return alive_.load(std::memory_order_acquire); }
    bool is_inline() const noexcept { return mode_ == FERRY_QUEUE_INLINE; }
    bool is_mapped() const noexcept { return mode_ == FERRY_QUEUE_MAPPED; }
    bool is_reaped() const noexcept { return mode_ == FERRY_QUEUE_REAP; }
    // What its dispatch() is at, if the engine watches.
    Watch &watch() noexcept { return watch_; }
    // In the engine, from 0.
    void set_number(uint32_t number) noexcept { number_ = number; }
    uint32_t number() const noexcept { return number_; }
    uint32_t capacity() const noexcept { return capacity_; }
    const char *mode_name() const noexcept;
    // Any thread, and of the moment.
    uint32_t depth() const noexcept;
    uint64_t accepted() const noexcept;
    uint64_t ended(uint32_t shard) const noexcept { return links_[shard].ended.get(); }
    uint64_t held() const noexcept { return held_count_.get(); }
    uint64_t in_flight() const noexcept;
    // The shard of requests without a target, plus one; 0 = by turns.
    uint32_t home() const noexcept { return home_; }
    Link &link(uint32_t shard) noexcept { return links_[shard]; }
    void count_remote(uint64_t accepted) noexcept {
        accepted_remote_.fetch_add(accepted, std::memory_order_relaxed);
    }

    // Producers. False: no room; the shard is remembered and nudged when there is.
    bool write_more(const ferry_completion &completion, const Op &op, uint32_t shard) noexcept;
    // True: written. False: held; the op's slot carries it and is freed when it has moved up.
    bool write_final(Op *op, uint64_t id, const Ending &how, uint32_t shard) noexcept;
    ferry_status post(const ferry_completion &completion) noexcept;
    void publish() noexcept;

    // The consumer.
    int32_t reap(ferry_completion *out, uint32_t capacity) noexcept;
    int32_t wait(ferry_completion *out, uint32_t capacity, uint64_t timeout_ns) noexcept;
    int32_t dispatch(uint32_t max, uint64_t budget_ns) noexcept;
    int32_t arm() noexcept;
    ferry_status open_fd(int32_t *fd) noexcept;
    void map(ferry_queue_mapping *mapping) noexcept;

    // Whether this thread is inside one of its callbacks.
    bool dispatching_here() const noexcept {
        return dispatcher_.load(std::memory_order_relaxed) == os::thread_self();
    }

    // Retire: from now on calls answer FERRY_E_STALE. FERRY_E_BUSY while something is in flight.
    ferry_status retire(bool stopped) noexcept;
    // In a fork's child.
    void abandon() noexcept { event_.close(); }

  private:
    struct Delivery {
        ferry_completion_fn callback;
        void *user_data;
    };

    bool room() const noexcept {
        return written_ - head_.load(std::memory_order_seq_cst) < capacity_;
    }
    void free_ring() noexcept;
    ferry_completion *next_record(ferry_completion_fn callback, void *user_data) noexcept;
    void put(const ferry_completion &completion, ferry_completion_fn callback,
             void *user_data) noexcept;
    bool move_up_locked(uint32_t max) noexcept;
    void signal() noexcept;
    void tell() noexcept;
    bool dispatching() const noexcept { return dispatcher_.load(std::memory_order_relaxed) != 0; }
    uint32_t waiting() const noexcept;
    void advance_head(uint32_t head) noexcept;
    void nudge_starved() noexcept;
    void call_observed(const Delivery &delivery, const ferry_completion &completion) noexcept;
    bool signals() const noexcept { return wake_ != nullptr || event_.descriptor() >= 0; }

    Engine &engine_;
    uint32_t number_ = 0;
    const uint32_t mode_;
    const uint32_t home_;
    const ferry_wake_fn wake_;
    void *const user_data_;
    std::atomic<bool> alive_{true};
    uint32_t capacity_;
    ferry_completion *records_ = nullptr;
    Delivery *deliveries_ = nullptr;
    Link *links_ = nullptr;
    os::Event event_;
    std::atomic<uintptr_t> dispatcher_{0}; // The thread that is inside dispatch(), 0 = none.

    // Submitters write this, and all above is read with every completion.
    alignas(64) std::atomic<uint64_t> accepted_remote_{0};
    alignas(64) std::atomic<uint32_t> head_{0}; // The consumer's.
    alignas(64) std::atomic<uint32_t> tail_{0};
    std::atomic<uint32_t> flags_{0}; // FERRY_QUEUE_HELD.
    std::atomic<uint32_t> armed_{0};
    std::atomic<uint32_t> signaled_{0};
    std::atomic<uint64_t> starved_{0}; // Shards with operations that wait for room.

    alignas(64) SpinLock lock_;
    uint32_t written_ = 0;                             // Tail, published or not.
    Fifo<coro::Fiber, &coro::Fiber::next_ready> held_; // Ended, so never ready again.
    Counter held_count_;
    Watch watch_;

  public:
    Queue *next = nullptr; // In the engine's list.
};

// Where a held final waits in its slot.
ferry_completion &held_completion(Op &op) noexcept;

} // namespace ferry
