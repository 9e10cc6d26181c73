#include "runtime/intake.hpp"

#include "base/assert.hpp"

namespace ferry {

Intake::~Intake() {
    allocator_.free_array(free_, capacity_);
    allocator_.free_array(ring_, mask_ + 1);
    allocator_.free_array(published_, mask_ + 1);
}

bool Intake::open(uint32_t slots) noexcept {
    uint64_t places = 1;
    while (places < slots)
        places <<= 1;
    capacity_ = slots;
    mask_ = places - 1;
    free_ = allocator_.allocate_array<uint64_t>(capacity_);
    ring_ = allocator_.allocate_array<InboxEntry>(places);
    published_ = allocator_.allocate_array<std::atomic<uint64_t>>(places);
    free_hint_.store(slots, std::memory_order_relaxed);
    return free_ != nullptr && ring_ != nullptr && published_ != nullptr;
}

uint32_t Intake::take_locked(uint64_t *ids, uint32_t count) noexcept {
    if (closed_.load(std::memory_order_relaxed))
        return 0;
    uint32_t taken = 0;
    while (taken < count && free_count_ > 0)
        ids[taken++] = free_[--free_count_];
    uint32_t made = made_.load(std::memory_order_relaxed);
    uint32_t fresh = made;
    while (taken < count && fresh < capacity_)
        ids[taken++] = fresh++;
    if (fresh != made)
        made_.store(fresh, std::memory_order_release);
    free_hint_.store(free_count_ + (capacity_ - fresh), std::memory_order_relaxed);
    return taken;
}

uint32_t Intake::take(uint64_t *ids, uint32_t count) noexcept {
    SpinGuard guard(lock_);
    return take_locked(ids, count);
}

uint32_t Intake::reserve(uint64_t *ids, uint32_t count, uint64_t *position) noexcept {
    SpinGuard guard(lock_);
    uint32_t taken = take_locked(ids, count);
    *position = tail_;
    tail_ += taken;
    return taken;
}

void Intake::give(const uint64_t *ids, uint32_t count) noexcept {
    SpinGuard guard(lock_);
    FERRY_ASSERT(free_count_ + count <= capacity_);
    for (uint32_t i = 0; i < count; ++i)
        free_[free_count_++] = ids[i];
    uint32_t made = made_.load(std::memory_order_relaxed);
    free_hint_.store(free_count_ + (capacity_ - made), std::memory_order_relaxed);
}

void Intake::close() noexcept {
    SpinGuard guard(lock_);
    closed_.store(true, std::memory_order_relaxed);
}

bool Intake::drained() noexcept {
    SpinGuard guard(lock_);
    return closed_.load(std::memory_order_relaxed) && tail_ == head_;
}

uint32_t Intake::taken() noexcept {
    SpinGuard guard(lock_);
    return made_.load(std::memory_order_relaxed) - free_count_;
}

} // namespace ferry
