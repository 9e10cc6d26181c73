// One operation: its slot in the shard's table, from submit until its final completion is published.
//
// A slot is where the request lies while the coroutine works on it, and the reserved place of its final
// completion: when the queue's ring is full, the completion waits in the slot's parameters, which the
// coroutine needs no more.
#pragma once

#include "base/id.hpp"
#include "coro/fiber.hpp"
#include "runtime/timer_wheel.hpp"
#include "runtime/wish.hpp"

#include <ferry/request.h>

#include <atomic>
#include <cstdint>

namespace ferry {

class Queue;
class Shard;

// How a coroutine ends: what its final completion says.
struct Ending {
    int32_t status = 0;
    int32_t os_error = 0;
    int64_t result = 0;
    uint64_t handle = 0; // 0 = the request's target.
    const void *data = nullptr;
    uint64_t buffer = 0;
    uint32_t flags = 0;
};

// What became of the bytes that a request only borrowed, at words[0] of its parameters. In
// InboxEntry.request.reserved and Op::copy. "Behind" is the first parameter word that the operation does not use.
enum Copy : uint16_t {
    kCopyNone = 0,
    kCopyInline = 1, // They lie behind; words[0] must point there.
    kCopyOwned = 2,  // They are allocated; their size lies behind.
};
constexpr uint32_t kWords = 10;

// The node in the timer wheel is its alarm: the deadline, or what it sleeps for if that is sooner.
struct Op : TimerWheel::Node, coro::Fiber {
    // These lie in the base's padding.
    bool started;
    bool live;     // Admitted and not ended.
    bool sleeping; // The alarm is set for what it sleeps for, not for its deadline.
    bool child;    // A Child, see tree.hpp.

    // The request, less what only submit needs. Deadlines and timers are absolute from here on.
    uint16_t opcode;
    uint16_t copy;
    uint32_t flags;
    uint64_t tag;
    uint64_t target;
    ferry_completion_fn callback;
    void *user_data;
    decltype(ferry_request::params) params;

    Queue *queue;
    uint64_t deadline_ns; // 0 = none.
    Op *next_cancel;      // In the shard's mailbox of cancels.
    [[no_unique_address]] Wish cancel;
    std::atomic<bool> held; // It has ended; its completion waits here for room in the ring.
    std::atomic<uint32_t> generation; // Written by the shard, read by any thread that cancels.
    uint32_t born;                    // When it was taken in, by Shard::stamp().

    Shard &shard() const noexcept;
};

static_assert(sizeof(Op) == 224);

// What an operation has to say, written where it will be read.
inline void write_completion(const Op &op, uint64_t id, const Ending &what, uint32_t flags,
                             ferry_completion *out) noexcept {
    out->tag = op.tag;
    out->op = id;
    out->result = what.result;
    out->status = what.status;
    out->os_error = what.os_error;
    out->opcode = op.opcode;
    out->reserved = 0;
    out->flags = what.flags | flags;
    out->handle = what.handle != 0 ? what.handle : op.target;
    out->data_u64 = reinterpret_cast<uintptr_t>(what.data);
    out->buffer = what.buffer;
}

} // namespace ferry
