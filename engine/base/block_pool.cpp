#include "base/block_pool.hpp"

namespace ferry {

BlockPool::~BlockPool() {
    while (slabs_ != nullptr) {
        Slab *next = slabs_->next;
        allocator_.free(slabs_, slabs_->size);
        slabs_ = next;
    }
}

void *BlockPool::carve(size_t index) noexcept {
    size_t size = (index + 1) * kGrain;
    if (static_cast<size_t>(unused_end_ - unused_) < size) {
        // What is left of the old slab is less than one block: not worth a list of its own.
        size_t wanted = slab_bytes_ < kSlabMin   ? kSlabMin
                        : slab_bytes_ < kSlabMax ? slab_bytes_
                                                 : kSlabMax;
        void *memory = allocator_.allocate(wanted);
        if (memory == nullptr)
            return nullptr;
        Slab *slab = static_cast<Slab *>(memory);
        slab->next = slabs_;
        slab->size = wanted;
        slabs_ = slab;
        slab_bytes_ += wanted;
        unused_ = static_cast<char *>(memory) + sizeof(Slab);
        unused_end_ = static_cast<char *>(memory) + wanted;
    }
    void *block = unused_;
    unused_ += size;
    return block;
}

} // namespace ferry
