// The handles of one shard: slots with a generation that point to sockets, files and channels.
#pragma once

#include "base/allocator.hpp"
#include "base/counter.hpp"
#include "base/id.hpp"
#include "driver/resource.hpp"
#include "runtime/wish.hpp"

#include <atomic>
#include <cstdint>

namespace ferry {

struct HandleSlot {
    driver::Resource *resource; // Null when free.
    HandleSlot *next_discard;
    uint32_t next_free;
    std::atomic<uint32_t> generation;
    [[no_unique_address]] Wish discard;
    std::atomic<uint8_t> kind; // Of the present generation: any thread that discards looks.
};
static_assert(sizeof(HandleSlot) == 32);

class Handles {
  public:
    Handles(const Allocator &allocator, uint32_t engine, uint32_t shard)
        : allocator_(allocator), engine_(engine), shard_(shard) {}
    ~Handles() { allocator_.free_array(slots_, capacity_); }
    Handles(const Handles &) = delete;
    Handles &operator=(const Handles &) = delete;

    bool open(uint32_t capacity) noexcept {
        capacity_ = capacity;
        slots_ = allocator_.allocate_array<HandleSlot>(capacity);
        return slots_ != nullptr;
    }

    bool full() const noexcept { return free_ == UINT32_MAX && made_.get() == capacity_; }
    uint32_t capacity() const noexcept { return capacity_; }
    uint64_t open_count() const noexcept { return open_.get(); }

    // Not when full.
    uint64_t add(driver::Resource *resource, Kind kind) noexcept {
        uint32_t index = free_;
        if (index != UINT32_MAX) {
            free_ = slots_[index].next_free;
        } else {
            index = static_cast<uint32_t>(made_.get());
            made_.add(1);
        }
        HandleSlot &slot = slots_[index];
        slot.resource = resource;
        slot.kind.store(static_cast<uint8_t>(kind), std::memory_order_relaxed);
        open_.add(1);
        uint32_t generation = slot.generation.load(std::memory_order_relaxed);
        return resource->handle = Id::make(kind, engine_, shard_, generation, index).value;
    }

    // From now on the handle is stale; its slot is still in use.
    void outdate(HandleSlot &slot) noexcept {
        uint32_t generation = slot.generation.load(std::memory_order_relaxed);
        slot.generation.store((generation + 1) & kGenerationMask, std::memory_order_release);
    }

    void remove(HandleSlot &slot) noexcept {
        slot.resource = nullptr;
        slot.next_free = free_;
        free_ = static_cast<uint32_t>(&slot - slots_);
        open_.subtract(1);
    }

    // The slot of a handle of this shard, or null if there never was one. Any thread.
    HandleSlot *slot(Id id) noexcept {
        return id.slot() < made_.get() ? &slots_[id.slot()] : nullptr;
    }
    static Age age(const HandleSlot &slot, Id id) noexcept {
        return age_of(id.generation(), slot.generation.load(std::memory_order_acquire));
    }

    template <class Each> void for_each(Each &&each) noexcept {
        for (uint64_t i = 0; i < made_.get(); ++i) {
            if (slots_[i].resource != nullptr)
                each(slots_[i]);
        }
    }

  private:
    const Allocator &allocator_;
    const uint32_t engine_;
    const uint32_t shard_;
    uint32_t capacity_ = 0;
    HandleSlot *slots_ = nullptr;
    Counter made_;
    Counter open_;
    uint32_t free_ = UINT32_MAX;
};

} // namespace ferry
