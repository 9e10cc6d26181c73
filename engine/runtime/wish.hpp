// Other threads' wish that something in a slot should end: cancel an operation, discard a handle.
//
// The wish names a generation, so one that comes too late hits nothing. The slot lies in the shard's
// mailbox at most once, whoever and however many ask.
#pragma once

#include "base/id.hpp"

#include <atomic>
#include <cstdint>

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

    // The shard, having taken the slot from the mailbox, which is the slot's present generation: was it
    // meant? A wish for a slot that is still on its way in stays, to be found by claim().
    bool taken(uint32_t generation, bool live) noexcept {
        // First this: who asks from here on mails the slot again.
        mailed_.store(false, std::memory_order_seq_cst);
        uint32_t seen = wanted_.load(std::memory_order_seq_cst);
        bool meant = seen == generation + 1;
        // Not left behind: after half of all generations it would look like a new one.
        if (live || !meant)
            wanted_.compare_exchange_strong(seen, 0, std::memory_order_seq_cst);
        return meant && live;
    }

    // The shard, as the slot becomes live: has it been asked for already?
    bool claim(uint32_t generation) noexcept {
        uint32_t seen = wanted_.load(std::memory_order_relaxed);
        if (seen != generation + 1)
            return false;
        wanted_.compare_exchange_strong(seen, 0, std::memory_order_seq_cst);
        return true;
    }

  private:
    std::atomic<uint32_t> wanted_; // Generation + 1; 0 = none yet.
    std::atomic<bool> mailed_;
};

} // namespace ferry
