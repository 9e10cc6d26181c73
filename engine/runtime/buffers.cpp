#include "runtime/buffers.hpp"

#include "base/assert.hpp"

#include <ferry/status.h>

namespace ferry {

bool Buffers::open(uint64_t bytes_max) noexcept {
    // More than any machine has is no ceiling: 64 GiB of chunks.
    uint64_t chunks = bytes_max / kChunkSize;
    chunks_max_ = static_cast<size_t>(chunks < (1u << 20) ? chunks : (1u << 20));
    chunks_ = allocator_.allocate_array<Chunk>(chunks_max_);
    // Enough for chunks cut into pieces of 4 KiB, and for as many loaded files as one expects at once.
    size_t slots = chunks_max_ * 16 + 16384;
    slots_max_ = static_cast<uint32_t>(slots < (1u << 20) ? slots : (1u << 20));
    slots_ = allocator_.allocate_array<Slot>(slots_max_);
    return chunks_ != nullptr && slots_ != nullptr;
}

Buffers::~Buffers() {
    while (take_back()) {
    }
    for (uint32_t i = 0; i < slots_made_; ++i) {
        Slot &slot = slots_[i];
        if (slot.size != 0 && slot.owner != nullptr) { // Lent, or reserved in a fork's child.
            blocks_.free(slot.owner, slot.size);
            loads_.give(slot.size);
        }
    }
    for (size_t i = 0; i < chunks_made_; ++i)
        allocator_.free(chunks_[i].memory, kChunkSize);
    allocator_.free_array(slots_, slots_max_);
    allocator_.free_array(chunks_, chunks_max_);
}

ferry_status Buffers::next_chunk(Chunk *&place) noexcept {
    Chunk *chunk = free_chunks_;
    if (chunk != nullptr) {
        free_chunks_ = chunk->next_free;
    } else {
        if (chunks_made_ == chunks_max_)
            return FERRY_E_FULL;
        chunk = &chunks_[chunks_made_];
        chunk->memory = static_cast<char *>(allocator_.allocate(kChunkSize));
        if (chunk->memory == nullptr)
            return lent() != 0 ? FERRY_E_FULL : FERRY_E_NO_MEMORY;
        ++chunks_made_;
    }
    chunk->used = 0;
    // The old one, if any, comes back when the last piece of it is released.
    place = chunk;
    return FERRY_OK;
}

ferry_status Buffers::space(driver::Span *span, size_t least) noexcept {
    if (out_of_slots())
        return FERRY_E_FULL;
    if (current_ != nullptr)
        current_->used = (current_->used + 63) & ~size_t{63}; // Each piece on its own cache line.
    if (current_ == nullptr || kChunkSize - current_->used < least) {
        ferry_status status = next_chunk(current_);
        if (status != FERRY_OK)
            return status;
    }
    *span = {current_->memory + current_->used, kChunkSize - current_->used};
    return FERRY_OK;
}

driver::Host::Piece Buffers::take_piece() noexcept {
    constexpr size_t kSize = driver::Host::kPieceSize;
    static_assert(kChunkSize % kSize == 0);
    if ((in_pieces_ == nullptr || in_pieces_->used == kChunkSize) &&
        next_chunk(in_pieces_) != FERRY_OK)
        return {};
    Chunk *chunk = in_pieces_;
    driver::Host::Piece piece{chunk->memory + chunk->used, chunk};
    chunk->used += kSize;
    ++chunk->users;
    return piece;
}

uint64_t Buffers::lend(size_t used) noexcept {
    return lend_slot(fill_slot(keep(used), 0));
}

void *Buffers::keep(size_t used) noexcept {
    FERRY_ASSERT(current_ != nullptr && used <= kChunkSize - current_->used);
    current_->used += used;
    ++current_->users;
    return current_;
}

// What can still be received right behind the kept bytes that end here.
driver::Span Buffers::behind(const void *chunk, const char *end) const noexcept {
    if (chunk != current_ || end != current_->memory + current_->used)
        return {};
    return {current_->memory + current_->used, kChunkSize - current_->used};
}

void Buffers::grow(size_t used) noexcept {
    current_->used += used;
}

uint64_t Buffers::lend_block(void *memory, size_t size) noexcept {
    if (out_of_slots())
        return 0;
    return lend_slot(fill_slot(memory, size));
}

uint64_t Buffers::reserve_block(void *memory, size_t size) noexcept {
    if (out_of_slots())
        return 0;
    uint32_t index = fill_slot(memory, size);
    uint32_t word = slots_[index].word.load(std::memory_order_relaxed);
    return Id::make(Kind::buffer, engine_, shard_, word >> 1, index).value;
}

void Buffers::lend_reserved(Id id) noexcept {
    lend_slot(id.slot());
}

bool Buffers::take_back(uint32_t max) noexcept {
    if (coming_back_ == nullptr)
        coming_back_ = handed_back_.take_all();
    if (coming_back_ == nullptr)
        return false;
    for (; coming_back_ != nullptr && max != 0; --max) {
        Slot *slot = coming_back_;
        coming_back_ = slot->next_back;
        reclaim_slot(static_cast<uint32_t>(slot - slots_));
    }
    return true;
}

} // namespace ferry
