// Lent buffers of one shard.
//
// Received bytes go into 64 KiB chunks, one behind the other: a receive is offered what is left of the
// current chunk and takes only as much of it as arrived, so small messages lie close together and an
// idle stream holds nothing. A chunk is used again when all that was lent from it has come back; when
// that is the current one it starts over at once, while it is in the cache. Loaded files are blocks of
// their own. Each lent piece has a slot with a generation: a release is exact, from any thread.
#pragma once

#include "base/allocator.hpp"
#include "base/assert.hpp"
#include "base/block_cache.hpp"
#include "base/counter.hpp"
#include "base/id.hpp"
#include "base/lists.hpp"
#include "driver/driver.hpp"

#include <ferry/status.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace ferry {

// Bytes of loaded files lent by one engine, against its ceiling. Any thread.
class LoadBudget {
  public:
    explicit LoadBudget(uint64_t bytes_max) : bytes_max_(bytes_max) {}
    bool take(uint64_t bytes) noexcept {
        uint64_t taken = bytes_.load(std::memory_order_relaxed);
        do {
            if (bytes > bytes_max_ - taken)
                return false;
        } while (!bytes_.compare_exchange_weak(taken, taken + bytes, std::memory_order_relaxed));
        return true;
    }
    void give(uint64_t bytes) noexcept { bytes_.fetch_sub(bytes, std::memory_order_relaxed); }
    uint64_t taken() const noexcept { return bytes_.load(std::memory_order_relaxed); }

  private:
    const uint64_t bytes_max_;
    std::atomic<uint64_t> bytes_{0};
};

class Buffers {
  public:
    Buffers(const Allocator &allocator, BlockCache &blocks, LoadBudget &loads, uint32_t engine,
            uint32_t shard)
        : allocator_(allocator), blocks_(blocks), loads_(loads), engine_(engine), shard_(shard) {}
    ~Buffers();
    Buffers(const Buffers &) = delete;
    Buffers &operator=(const Buffers &) = delete;

    bool open(uint64_t bytes_max) noexcept;

    // The shard's thread: room for a receive, and lending what arrived at its beginning. FERRY_E_FULL
    // when everything is lent, FERRY_E_NO_MEMORY when the allocator refuses and nothing is.
    ferry_status space(driver::Span *span) noexcept { return space(span, kSpaceMin); }
    uint64_t lend(size_t used) noexcept;

    // The shard's thread: received bytes that stay with their stream. Room for so much at least; keep() counts
    // its beginning on the chunk, which lives until drop(). While nothing else has come behind them, they
    // can grow(); parts of them can be lent: 0 when there is no slot.
    ferry_status space(driver::Span *span, size_t least) noexcept;
    void *keep(size_t used) noexcept;
    driver::Span behind(const void *chunk, const char *end) const noexcept;
    void grow(size_t used) noexcept;
    uint64_t lend_kept(void *chunk) noexcept;
    void drop(void *chunk) noexcept;

    // The shard's thread: room that is given away before anything has come into it, kept as keep() does. They
    // lie in chunks of their own: they stay for long.
    driver::Host::Piece take_piece() noexcept;

    // The shard's thread: lend a loaded file; 0 when there is no slot.
    uint64_t lend_block(void *memory, size_t size) noexcept;
    // In two steps: an id that nobody can release before it is lent, not even by a guess.
    uint64_t reserve_block(void *memory, size_t size) noexcept;
    void lend_reserved(Id id) noexcept;

    // Any thread. FERRY_OK: the caller must call reclaim (on the shard's thread) or hand_back
    // (elsewhere) once. A loaded file's memory is freed at once.
    ferry_status release(Id id) noexcept;
    void reclaim(Id id) noexcept {
        released_here_.add(1);
        reclaim_slot(id.slot());
    }
    void hand_back(Id id) noexcept {
        released_elsewhere_.fetch_add(1, std::memory_order_relaxed);
        handed_back_.push(&slots_[id.slot()]);
    }

    // The shard's thread: take in some of what other threads handed back. True if anything was.
    bool take_back(uint32_t max = UINT32_MAX) noexcept;
    bool handed_back() const noexcept { return coming_back_ != nullptr || !handed_back_.empty(); }

    uint64_t lent() const noexcept {
        uint64_t released =
            released_here_.get() + released_elsewhere_.load(std::memory_order_relaxed);
        uint64_t lent = lent_.get();
        return lent > released ? lent - released : 0;
    }

    // The shard's thread: what it has of the system for what is received, in use or not.
    uint64_t chunk_bytes() const noexcept { return chunks_made_ * kChunkSize; }

    static constexpr size_t kChunkSize = 65536;
    // A receive is not offered less than this: better a fresh chunk than a short read.
    static constexpr size_t kSpaceMin = 16384;

  private:
    struct Chunk {
        char *memory = nullptr;
        size_t used = 0;
        uint32_t users = 0; // Pieces lent and rests kept.
        Chunk *next_free = nullptr;
    };

    // generation << 1 | lent
    struct Slot {
        std::atomic<uint32_t> word;
        uint32_t next_free;
        void *owner; // The chunk, or a loaded file's memory.
        size_t size; // Of a loaded file; 0 for a piece of a chunk.
        Slot *next_back;
    };

    ferry_status next_chunk(Chunk *&place) noexcept;
    uint32_t fill_slot(void *owner, size_t size) noexcept;
    uint64_t lend_slot(uint32_t index) noexcept;
    void reclaim_slot(uint32_t index) noexcept;
    bool out_of_slots() const noexcept {
        return free_slots_ == UINT32_MAX && slots_made_ == slots_max_;
    }

    const Allocator &allocator_;
    BlockCache &blocks_; // Loaded files.
    LoadBudget &loads_;
    const uint32_t engine_;
    const uint32_t shard_;

    Chunk *chunks_ = nullptr;
    size_t chunks_max_ = 0;
    size_t chunks_made_ = 0;
    Chunk *free_chunks_ = nullptr;
    Chunk *current_ = nullptr;
    Chunk *in_pieces_ = nullptr; // The one that take_piece() cuts.

    Slot *slots_ = nullptr;
    uint32_t slots_max_ = 0;
    uint32_t slots_made_ = 0;
    uint32_t free_slots_ = UINT32_MAX;
    std::atomic<uint32_t> slots_given_{0}; // slots_made_ for other threads.
    Mailbox<Slot, &Slot::next_back> handed_back_;
    Slot *coming_back_ = nullptr; // Taken from the mailbox, not taken in yet.
    Counter lent_;                // Ever; less those released it is how many are now.
    Counter released_here_;
    std::atomic<uint64_t> released_elsewhere_{0};
};

// ---- lending and releasing a small piece: in here because every line of a stream pays for it ------

inline void Buffers::drop(void *owner) noexcept {
    auto *chunk = static_cast<Chunk *>(owner);
    FERRY_ASSERT(chunk->users > 0);
    if (--chunk->users != 0)
        return;
    if (chunk == current_ || chunk == in_pieces_) {
        chunk->used = 0;
    } else {
        chunk->next_free = free_chunks_;
        free_chunks_ = chunk;
    }
}

inline uint32_t Buffers::fill_slot(void *owner, size_t size) noexcept {
    uint32_t index = free_slots_;
    if (index != UINT32_MAX) {
        free_slots_ = slots_[index].next_free;
    } else {
        index = slots_made_++;
        slots_given_.store(slots_made_, std::memory_order_release);
    }
    Slot &slot = slots_[index];
    slot.owner = owner;
    slot.size = size;
    return index;
}

inline uint64_t Buffers::lend_slot(uint32_t index) noexcept {
    Slot &slot = slots_[index];
    uint32_t word = slot.word.load(std::memory_order_relaxed);
    slot.word.store(word | 1, std::memory_order_release);
    lent_.add(1);
    return Id::make(Kind::buffer, engine_, shard_, word >> 1, index).value;
}

inline uint64_t Buffers::lend_kept(void *chunk) noexcept {
    if (out_of_slots())
        return 0;
    ++static_cast<Chunk *>(chunk)->users;
    return lend_slot(fill_slot(chunk, 0));
}

inline ferry_status Buffers::release(Id id) noexcept {
    if (id.slot() >= slots_given_.load(std::memory_order_acquire))
        return FERRY_E_BAD_HANDLE;
    Slot &slot = slots_[id.slot()];
    uint32_t lent = id.generation() << 1 | 1;
    uint32_t after = ((id.generation() + 1) & kGenerationMask) << 1;
    uint32_t word = lent;
    if (slot.word.compare_exchange_strong(word, after, std::memory_order_acq_rel)) {
        // The slot is ours until it is reclaimed.
        if (slot.size != 0) {
            blocks_.free(slot.owner, slot.size);
            loads_.give(slot.size);
            slot.owner = nullptr;
        }
        return FERRY_OK;
    }
    Age age = age_of(id.generation(), word >> 1);
    return age == Age::passed ? FERRY_E_STALE : FERRY_E_BAD_HANDLE;
}

inline void Buffers::reclaim_slot(uint32_t index) noexcept {
    Slot &slot = slots_[index];
    if (slot.size == 0)
        drop(slot.owner);
    slot.next_free = free_slots_;
    free_slots_ = index;
}

} // namespace ferry
