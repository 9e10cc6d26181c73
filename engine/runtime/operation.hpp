// The coroutine type of operations.
//
// An operation is a function `Operation name(Op *op)`. It runs when the scheduler starts it, waits with
// co_await, and ends with `co_return Ending{...}`, which sends its final completion. Its frame comes
// from the shard's pool and is freed when it ends.
#pragma once

#include "runtime/op.hpp"

#include <coroutine>
#include <cstddef>
#include <cstdlib>

namespace ferry {

class Operation {
  public:
    struct promise_type {
        explicit promise_type(Op *op) noexcept : op_(op) {}

        static void *operator new(size_t size, Op *op) noexcept;
        static void operator delete(void *frame, size_t size) noexcept;

        Operation get_return_object() noexcept { return Operation(true); }
        static Operation get_return_object_on_allocation_failure() noexcept {
            return Operation(false);
        }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_value(const Ending &ending) noexcept;
        void unhandled_exception() noexcept { std::abort(); } // Built without exceptions.

      private:
        Op *op_;
    };

    // False: there was no memory for the frame, and nothing ran.
    bool started() const noexcept { return started_; }

  private:
    explicit Operation(bool started) noexcept : started_(started) {}
    bool started_;
};

// What the runtime must know of an operation without knowing its name; see ops/registry.hpp.
struct OpSpec {
    Operation (*start)(Op *op) = nullptr;
    uint32_t flags = 0;      // Those a request may have.
    uint32_t targets = 0;    // Bits 1 << Kind; 0: the request must name no target.
    uint32_t words = 0;      // Parameter words in use; those behind must be zero.
    bool timed = false;      // words[0] is a time from submit on, to be made absolute.
    bool opens = false;      // Success brings a new handle.
    bool once = false;       // What it does cannot be done again or undone: not below a retry.
    bool group = false;      // A composition: words[0] points to its children.
    int8_t handle_word = -1; // A parameter word that is a handle, too, of handle_targets' kinds.
    uint32_t handle_targets = 0; // As targets.
    // What the request alone shows to be wrong; null = nothing can be.
    ferry_status (*check)(const ferry_request &request) = nullptr;
    // Copy what is only borrowed: where it lies and how long it is; null or size 0 = nothing to copy.
    const void *(*borrowed)(const ferry_request &request, size_t *size) = nullptr;
};

constexpr uint32_t target_bit(Kind kind) {
    return 1u << static_cast<uint32_t>(kind);
}

constexpr size_t kOpcodes = 128;

// By opcode; an entry without start is unknown.
using OpTable = OpSpec[kOpcodes];

// Opcode, flags and unused bytes of a request.
ferry_status check_record(const ferry_request &request, const OpTable &operations) noexcept;

} // namespace ferry
