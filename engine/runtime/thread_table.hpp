// Which shard runs on a thread: found in the same time however many shards there are.
//
// A thread looks for nobody but itself, so all that an entry says was written by the thread that reads it.
#pragma once

#include "base/allocator.hpp"
#include "base/assert.hpp"

#include <atomic>
#include <bit>
#include <cstdint>

namespace ferry {

class Shard;

class ThreadTable {
  public:
    explicit ThreadTable(const Allocator &allocator) : allocator_(allocator) {}
    ~ThreadTable() { allocator_.free_array(places_, count_); }
    ThreadTable(const ThreadTable &) = delete;
    ThreadTable &operator=(const ThreadTable &) = delete;

    // For so many threads.
    bool open(uint32_t threads) noexcept {
        count_ = std::bit_ceil(2 * threads); // Half of it stays free: each search ends soon.
        places_ = allocator_.allocate_array<Place>(count_);
        return places_ != nullptr;
    }

    void add(uintptr_t self, Shard *shard) noexcept {
        for (uint32_t i = first(self);; i = next(i)) {
            uintptr_t none = 0;
            if (!places_[i].thread.compare_exchange_strong(none, self))
                continue;
            places_[i].shard = shard;
            return;
        }
    }
    // The thread's identity may be given to another one. The place stays taken: others may lie behind it.
    void remove(uintptr_t self) noexcept {
        if (Place *place = find_place(self))
            place->thread.store(kGone, std::memory_order_relaxed);
    }
    Shard *find(uintptr_t self) const noexcept {
        const Place *place = find_place(self);
        return place != nullptr ? place->shard : nullptr;
    }

  private:
    static constexpr uintptr_t kGone = 1; // No thread's identity.

    struct Place {
        std::atomic<uintptr_t> thread; // 0 = free.
        Shard *shard;
    };

    // Threads' identities differ in the middle bits.
    uint32_t first(uintptr_t self) const noexcept {
        return static_cast<uint32_t>(self * 0x9e3779b97f4a7c15u >> 32) & (count_ - 1);
    }
    uint32_t next(uint32_t index) const noexcept { return (index + 1) & (count_ - 1); }

    Place *find_place(uintptr_t self) const noexcept {
        for (uint32_t i = first(self);; i = next(i)) {
            uintptr_t thread = places_[i].thread.load(std::memory_order_relaxed);
            if (thread == self)
                return &places_[i];
            if (thread == 0)
                return nullptr;
        }
    }

    const Allocator &allocator_;
    uint32_t count_ = 0;
    Place *places_ = nullptr;
};

} // namespace ferry
