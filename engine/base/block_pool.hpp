// Small blocks of one shard (coroutine frames, sockets): size classes with free lists over slabs.
//
// Used by the shard's thread only. A freed block is the next to be given, while it is still in the
// cache. Slabs go back when the pool does.
#pragma once

#include "base/allocator.hpp"
#include "base/prefetch.hpp"

#include <cstddef>
#include <cstdint>

namespace ferry {

class BlockPool {
  public:
    explicit BlockPool(const Allocator &allocator) : allocator_(allocator) {}
    ~BlockPool();
    BlockPool(const BlockPool &) = delete;
    BlockPool &operator=(const BlockPool &) = delete;

    // Null when the allocator refuses. Aligned to 16 bytes.
    void *allocate(size_t size) noexcept {
        size_t index = class_of(size);
        if (index >= kClasses)
            return allocator_.allocate(size);
        Block *block = free_[index];
        if (block == nullptr)
            return carve(index);
        free_[index] = block->next;
        // The next caller's, most likely of the same size.
        prefetch(block->next, (index + 1) * kGrain);
        return block;
    }

    void free(void *memory, size_t size) noexcept {
        size_t index = class_of(size);
        if (index >= kClasses) {
            allocator_.free(memory, size);
            return;
        }
        Block *block = static_cast<Block *>(memory);
        block->next = free_[index];
        free_[index] = block;
    }

  private:
    struct Block {
        Block *next;
    };
    struct alignas(16) Slab {
        Slab *next;
        size_t size;
    };

    static constexpr size_t kGrain = 16;
    static constexpr size_t kClasses = 128;
    // As large as all before it together, within these bounds.
    static constexpr size_t kSlabMin = 65536 - 64;
    static constexpr size_t kSlabMax = size_t{8} << 20;

    static size_t class_of(size_t size) { return (size - 1) / kGrain; }
    void *carve(size_t index) noexcept;

    const Allocator &allocator_;
    Block *free_[kClasses] = {};
    Slab *slabs_ = nullptr;
    size_t slab_bytes_ = 0;
    char *unused_ = nullptr;
    char *unused_end_ = nullptr;
};

} // namespace ferry
