// The way into a shard: free operation slots and, for other threads, the inbox.
//
// A submitter takes the ids of free slots and as many places in the inbox in one short lock, copies its
// requests there without it, and publishes each by storing its id. The shard drains the inbox in order.
// The inbox has a place for every slot, so whoever got an id has a place. A submitter never touches the
// slots themselves: they are the shard's memory.
#pragma once

#include "base/allocator.hpp"
#include "base/prefetch.hpp"
#include "base/spin_lock.hpp"
#include "runtime/op.hpp"

#include <ferry/request.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace ferry {

// A request on its way, and who sent it.
struct InboxEntry {
    ferry_request request; // reserved = Copy, deadline and timer absolute.
    Queue *queue;
};

class Intake {
  public:
    explicit Intake(const Allocator &allocator) : allocator_(allocator) {}
    ~Intake();
    Intake(const Intake &) = delete;
    Intake &operator=(const Intake &) = delete;

    bool open(uint32_t slots) noexcept;
    uint32_t capacity() const noexcept { return capacity_; }

    // Ids are generation << kSlotBits | slot. Take up to count; 0 when there is none or it is closed.
    uint32_t take(uint64_t *ids, uint32_t count) noexcept;
    void give(const uint64_t *ids, uint32_t count) noexcept;

    // As take(), with places in the inbox from *position on; each must be filled and published.
    uint32_t reserve(uint64_t *ids, uint32_t count, uint64_t *position) noexcept;
    InboxEntry &entry(uint64_t position) noexcept { return ring_[position & mask_]; }
    // last: the submitter looks next whether the shard sleeps, which needs the total order.
    void publish(uint64_t position, uint64_t id, bool last) noexcept {
        published_[position & mask_].store(id + 1, last ? std::memory_order_seq_cst
                                                        : std::memory_order_release);
    }

    // The shard's thread: the next published entry, or null; pop() when done with it.
    InboxEntry *front(uint64_t *id) noexcept {
        uint64_t stamp = published_[head_ & mask_].load(std::memory_order_seq_cst);
        if (stamp == 0)
            return nullptr;
        *id = stamp - 1;
        // Written by another core: on its way here while this one is worked on.
        prefetch(&ring_[(head_ + kAhead) & mask_], sizeof(InboxEntry));
        return &ring_[head_ & mask_];
    }
    void pop() noexcept {
        published_[head_ & mask_].store(0, std::memory_order_relaxed);
        ++head_;
    }
    bool inbox_empty() noexcept {
        return published_[head_ & mask_].load(std::memory_order_seq_cst) == 0;
    }

    // The shard's thread: each published entry, with its id.
    template <class Each> void for_each(Each &&each) const noexcept {
        for (uint64_t at = head_; at - head_ < mask_ + 1; ++at) {
            uint64_t stamp = published_[at & mask_].load(std::memory_order_seq_cst);
            if (stamp == 0)
                return;
            each(stamp - 1, ring_[at & mask_]);
        }
    }

    // From now on nothing is taken.
    void close() noexcept;
    bool closed() const noexcept { return closed_.load(std::memory_order_relaxed); }
    // The shard's thread: closed, and all that was reserved has been popped.
    bool drained() noexcept;

    uint32_t free_hint() const noexcept { return free_hint_.load(std::memory_order_relaxed); }
    uint32_t taken() noexcept;
    uint32_t made() const noexcept { return made_.load(std::memory_order_acquire); }

  private:
    static constexpr uint64_t kAhead = 6;

    uint32_t take_locked(uint64_t *ids, uint32_t count) noexcept;

    const Allocator &allocator_;
    uint32_t capacity_ = 0;
    uint64_t mask_ = 0;

    SpinLock lock_;
    uint64_t *free_ = nullptr; // A stack: the slot freed last is the one still in the cache.
    uint32_t free_count_ = 0;
    uint64_t tail_ = 0;
    std::atomic<uint32_t> made_{0}; // Slots that were ever taken: the rest has generation 0.
    std::atomic<uint32_t> free_hint_{0};
    std::atomic<bool> closed_{false};

    InboxEntry *ring_ = nullptr;
    std::atomic<uint64_t> *published_ = nullptr; // id + 1, 0 = not yet.
    alignas(64) uint64_t head_ = 0;              // The shard's.
};

} // namespace ferry
