// The 64-bit value behind every handle, operation and buffer:
//
//     kind 5 | engine 9 | shard 6 | generation 22 | slot 22
//
// The generation of a slot grows each time the slot is given back, so an id is used for one thing only.
#pragma once

#include <cstdint>

namespace ferry {

enum class Kind : uint32_t {
    none = 0,
    op = 1,
    buffer = 2,
    listener = 3,
    stream = 4,
    file = 5,
    channel = 6,
    child = 7, // Within a composition: generation = level, slot = index.
};

constexpr bool is_handle(Kind kind) {
    return kind >= Kind::listener && kind <= Kind::channel;
}

constexpr uint32_t kSlotBits = 22;
constexpr uint32_t kGenerationBits = 22;
constexpr uint32_t kShardBits = 6;
constexpr uint32_t kEngineBits = 9;

constexpr uint32_t kSlotsMax = (1u << kSlotBits) - 1;
constexpr uint32_t kGenerationMask = (1u << kGenerationBits) - 1;
constexpr uint32_t kShardsMax = 1u << kShardBits;
constexpr uint32_t kEngineMask = (1u << kEngineBits) - 1;

struct Id {
    uint64_t value = 0;

    static constexpr Id make(Kind kind, uint32_t engine, uint32_t shard, uint32_t generation,
                             uint32_t slot) {
        uint64_t value = static_cast<uint64_t>(kind);
        value = value << kEngineBits | (engine & kEngineMask);
        value = value << kShardBits | shard;
        value = value << kGenerationBits | (generation & kGenerationMask);
        value = value << kSlotBits | slot;
        return Id{value};
    }

    constexpr Kind kind() const {
        return static_cast<Kind>(value >> (kEngineBits + kShardBits + kGenerationBits + kSlotBits));
    }
    constexpr uint32_t engine() const {
        return static_cast<uint32_t>(value >> (kShardBits + kGenerationBits + kSlotBits)) &
               kEngineMask;
    }
    constexpr uint32_t shard() const {
        return static_cast<uint32_t>(value >> (kGenerationBits + kSlotBits)) & (kShardsMax - 1);
    }
    constexpr uint32_t generation() const {
        return static_cast<uint32_t>(value >> kSlotBits) & kGenerationMask;
    }
    constexpr uint32_t slot() const { return static_cast<uint32_t>(value) & kSlotsMax; }
};

// How an id's generation relates to that of its slot.
enum class Age { current, passed, never_issued };

constexpr Age age_of(uint32_t generation, uint32_t current) {
    uint32_t behind = (current - generation) & kGenerationMask;
    if (behind == 0)
        return Age::current;
    return behind <= kGenerationMask / 2 ? Age::passed : Age::never_issued;
}

} // namespace ferry
