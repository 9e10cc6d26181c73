// Blocks of up to 64 KiB that any thread takes and gives, kept for the next of about that size.
//
// For bytes that are copied at submit (taken by the submitter, given back by the shard) and for loaded
// files (taken by a worker, given back by the host). The C library would hand the end of its heap back
// to the system between a burst and the next, and fault it in again: that made copied sends of 16 KiB
// cost two and a half times as much.
#pragma once

#include "base/allocator.hpp"
#include "base/spin_lock.hpp"

#include <bit>
#include <cstddef>

namespace ferry {

class BlockCache {
  public:
    explicit BlockCache(const Allocator &allocator) : allocator_(allocator) {}
    ~BlockCache() {
        for (size_t index = 0; index < kClasses; ++index) {
            while (Block *block = kept_[index]) {
                kept_[index] = block->next;
                allocator_.free(block, block_size(index));
            }
        }
    }
    BlockCache(const BlockCache &) = delete;
    BlockCache &operator=(const BlockCache &) = delete;

    // Null when the allocator refuses. Aligned to 16 bytes.
    void *allocate(size_t size) noexcept {
        size_t index = class_of(size);
        if (index >= kClasses)
            return allocator_.allocate(size);
        if (Block *block = take(index))
            return block;
        return allocator_.allocate(block_size(index));
    }

    void free(void *memory, size_t size) noexcept {
        size_t index = class_of(size);
        if (index >= kClasses)
            allocator_.free(memory, size);
        else if (!keep(static_cast<Block *>(memory), index))
            allocator_.free(memory, block_size(index));
    }

#ifdef __SANITIZE_ADDRESS__
    static constexpr size_t kKeptMax = 0; // So that a use after the free is seen.
#else
    static constexpr size_t kKeptMax = size_t{4} << 20;
#endif

  private:
    struct Block {
        Block *next;
    };

    // Up to 128 bytes, then four classes to each doubling, so that at most a fifth is wasted: 160, 192,
    // 224, 256, 320, ... 64 KiB.
    static constexpr size_t kSmallest = 128;
    static constexpr size_t kClasses = 37;

    static size_t class_of(size_t size) {
        if (size <= kSmallest)
            return 0;
        size_t bits = static_cast<size_t>(std::bit_width(size - 1));
        return (bits - 8) * 4 + (((size - 1) >> (bits - 3)) & 3) + 1;
    }
    static size_t block_size(size_t index) {
        if (index == 0)
            return kSmallest;
        return ((index - 1) % 4 + 5) << ((index - 1) / 4 + 5);
    }

    Block *take(size_t index) noexcept {
        SpinGuard guard(lock_);
        Block *block = kept_[index];
        if (block != nullptr) {
            kept_[index] = block->next;
            kept_bytes_ -= block_size(index);
        }
        return block;
    }

    bool keep(Block *block, size_t index) noexcept {
        SpinGuard guard(lock_);
        if (kept_bytes_ + block_size(index) > kKeptMax)
            return false;
        block->next = kept_[index];
        kept_[index] = block;
        kept_bytes_ += block_size(index);
        return true;
    }

    const Allocator &allocator_;
    SpinLock lock_;
    Block *kept_[kClasses] = {};
    size_t kept_bytes_ = 0;
};

} // namespace ferry
