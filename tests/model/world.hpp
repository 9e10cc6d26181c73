// What the engine stands on in the model: a system without descriptors and threads, a driver that only sleeps
// and is woken, and operations of the model's own.
#pragma once

#include "runtime/engine.hpp"
#include "runtime/queue.hpp"
#include "runtime/shard.hpp"

#include <cstdint>

namespace model {

enum Opcode : uint16_t {
    kNothing = 1, // Ends at once.
    kStand = 2,   // Waits until it is cancelled.
    kLend = 3,    // Lends all there is; waits for that to come back, first.
    kSay = 4,     // Two completions with FERRY_MORE, with room in the queue, and the last one.
};

// One shard, driven by whichever fiber runs it first.
ferry::Engine *make_engine(uint32_t operations_max);
ferry::Queue *make_queue(ferry::Engine &engine, uint32_t mode, uint32_t capacity);

ferry_request request(Opcode opcode, uint64_t tag);
// An accepted one's id; 0: there is no free slot.
ferry_op submit(ferry::Engine &engine, ferry::Queue &queue, const ferry_request &request);

} // namespace model
