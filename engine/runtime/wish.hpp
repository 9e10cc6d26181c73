// Other threads' wish that something in a slot should end: cancel an operation, discard a handle.
//
// The wish names a generation, so one that comes too late hits nothing. The slot lies in the shard's
// mailbox at most once, whoever and however many ask.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/id.hpp"

namespace ferry {

class Wish {
  public:
    // Any thread. True: the caller must put the slot into the mailbox.
    bool ask(uint32_t generation) noexcept {
        uint32_t seen = wanted_.load(std::memory_order_seq_cst);
        do {
            // A caller that was slow must not undo the wish for the slot's next user.
            if (seen != 0 && age_of(generation, seen - 1) == Age::passed)
                return false;
        } while (!wanted_.compare_exchange_weak(seen, generation + 1, std::memory_order_seq_cst));
        return !mailed_.exchange(true, std::memory_order_seq_cst);
    }

    // The shard, having taken the slot from the mailbox. Before is_for(): what is asked for afterwards
    // mails the slot again.
    void taken() noexcept { mailed_.store(false, std::memory_order_seq_cst); }

    // The shard: does the wish mean this generation?
    bool is_for(uint32_t generation) const noexcept {
        return wanted_.load(std::memory_order_seq_cst) == generation + 1;
    }

  private:
    std::atomic<uint32_t> wanted_; // Generation + 1; 0 = none yet.
    std::atomic<bool> mailed_;
};

} // namespace ferry
