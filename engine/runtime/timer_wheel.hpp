// A hierarchical timer wheel: insert and remove in constant time, never early.
//
// Nine levels of 64 slots. A tick is 2^14 ns (16 us); level n's slots are 64^n ticks wide. A node goes
// into the level of the highest bit in which its tick differs from the present one, so whatever is in
// level 0 is due before anything in level 1, and so on; when time reaches a slot of a higher level, its
// nodes are dealt out to the levels below. A bitmap per level finds the next occupied slot at once.
#pragma once

#include "base/prefetch.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>

namespace ferry {

class TimerWheel {
  public:
    static constexpr uint64_t kNever = UINT64_MAX;

    struct Node {
        Node *next = nullptr;
        Node **link = nullptr; // What points to this node; null when it is in no list.
        uint64_t expiry_ns = 0;

        bool linked() const noexcept { return link != nullptr; }
    };

    explicit TimerWheel(uint64_t now_ns = 0) noexcept : now_tick_(now_ns >> kTickBits) {}

    bool empty() const noexcept { return count_ == 0; }
    size_t count() const noexcept { return count_; }

    // While it is empty nobody advances it; tell it the time before the first insert.
    void catch_up(uint64_t now_ns) noexcept {
        if (empty() && now_ns >> kTickBits > now_tick_)
            now_tick_ = now_ns >> kTickBits;
    }

    // Rounded up to a tick: never early. Fires in the order of expiry, equals in that of insertion.
    void insert(Node *node, uint64_t expiry_ns) noexcept {
        node->expiry_ns = expiry_ns;
        ++count_;
        place(node);
    }

    // Before an insert of that expiry: fetch the node that it will be linked to.
    void prepare(uint64_t expiry_ns) const noexcept {
        size_t level;
        size_t slot;
        find(tick_of(expiry_ns), &level, &slot);
        prefetch_to_write(slots_[level][slot]);
    }

    void remove(Node *node) noexcept {
        *node->link = node->next;
        if (node->next != nullptr)
            node->next->link = node->link;
        node->link = nullptr;
        // The slot's bit stays: an empty slot is noticed when its time comes, or by next_ns().
        --count_;
    }

    // Call fire(Node *) for all that are due; it may insert and remove.
    template <class Fire> void advance(uint64_t now_ns, Fire &&fire) noexcept {
        advance(now_ns, fire, [] { return true; });
    }

    // The same, but every few nodes go_on() is asked. False: it said no, and the rest waits for the next
    // call.
    template <class Fire, class GoOn>
    bool advance(uint64_t now_ns, Fire &&fire, GoOn &&go_on) noexcept {
        uint64_t target = now_ns >> kTickBits;
        size_t level;
        uint64_t tick;
        uint32_t step = 0;
        for (;;) {
            while (Node *node = detached_) {
                detached_ = node->next;
                if (detached_ != nullptr)
                    detached_->link = &detached_;
                node->link = nullptr;
                if (detached_level_ > 0) {
                    place(node);
                } else {
                    --count_;
                    fire(node);
                }
                if (++step % kStep == 0 && !go_on())
                    return false;
            }
            if (!next_slot(&level, &tick) || tick > target)
                break;
            now_tick_ = tick;
            detach(level, tick);
        }
        if (target > now_tick_)
            now_tick_ = target;
        return true;
    }

    // When advance() has something to do next: not later than the earliest expiry (rounded up to a
    // tick), maybe earlier. kNever when the wheel is empty.
    uint64_t next_ns() noexcept {
        if (detached_ != nullptr)
            return now_tick_ << kTickBits; // An advance was cut short.
        size_t level;
        uint64_t tick;
        if (!next_slot(&level, &tick))
            return kNever;
        return tick <= kNever >> kTickBits ? tick << kTickBits : kNever - 1;
    }

  private:
    static constexpr uint32_t kTickBits = 14;
    static constexpr uint32_t kLevelBits = 6;
    static constexpr size_t kLevels = 9; // 54 bits: every time there is, in ticks.
    static constexpr uint64_t kSlots = 1u << kLevelBits;
    static constexpr uint32_t kStep = 8;

    static uint64_t tick_of(uint64_t expiry_ns) noexcept {
        uint64_t tick = expiry_ns >> kTickBits;
        return tick + ((tick << kTickBits) != expiry_ns ? 1 : 0);
    }

    void find(uint64_t tick, size_t *level, size_t *slot) const noexcept {
        if (tick < now_tick_)
            tick = now_tick_;
        // The lowest bit changes nothing, and with one that is set zeros are counted in one step.
        uint64_t differs = (tick ^ now_tick_) | 1;
        *level = (63 - static_cast<size_t>(std::countl_zero(differs))) / kLevelBits;
        *slot = (tick >> (*level * kLevelBits)) & (kSlots - 1);
    }

    void place(Node *node) noexcept {
        size_t level;
        size_t slot;
        find(tick_of(node->expiry_ns), &level, &slot);
        Node **head = &slots_[level][slot];
        node->next = *head;
        if (node->next != nullptr)
            node->next->link = &node->next;
        node->link = head;
        *head = node;
        occupied_[level] |= uint64_t{1} << slot;
    }

    // The next occupied slot and the tick at which it begins.
    bool next_slot(size_t *level_out, uint64_t *tick_out) noexcept {
        for (size_t level = 0; level < kLevels; ++level) {
            uint32_t shift = static_cast<uint32_t>(level) * kLevelBits;
            uint64_t here = (now_tick_ >> shift) & (kSlots - 1);
            uint64_t ahead = occupied_[level] & (~uint64_t{0} << here);
            while (ahead != 0) {
                auto slot = static_cast<uint64_t>(std::countr_zero(ahead));
                if (slots_[level][slot] != nullptr) {
                    uint64_t base = now_tick_ >> shift & ~(kSlots - 1);
                    uint64_t tick = (base | slot) << shift;
                    *level_out = level;
                    *tick_out = tick > now_tick_ ? tick : now_tick_;
                    return true;
                }
                occupied_[level] &= ~(uint64_t{1} << slot);
                ahead &= ahead - 1;
            }
        }
        return false;
    }

    // Take a slot's list, in the order in which it was built: lists grow at the front.
    void detach(size_t level, uint64_t tick) noexcept {
        size_t slot = (tick >> (level * kLevelBits)) & (kSlots - 1);
        occupied_[level] &= ~(uint64_t{1} << slot);
        Node *node = slots_[level][slot];
        slots_[level][slot] = nullptr;
        detached_ = nullptr;
        detached_level_ = level;
        bool ordered = true;
        while (node != nullptr) {
            Node *next = node->next;
            ordered = ordered && (detached_ == nullptr || node->expiry_ns <= detached_->expiry_ns);
            node->next = detached_;
            detached_ = node;
            node = next;
        }
        // Within a tick, and among those that came late, what is due first fires first.
        if (level == 0 && !ordered)
            detached_ = sorted(detached_);
        for (Node **link = &detached_; *link != nullptr; link = &(*link)->next)
            (*link)->link = link;
    }

    // By expiry; equals keep their order.
    static Node *sorted(Node *list) noexcept {
        if (list == nullptr || list->next == nullptr)
            return list;
        Node *middle = list;
        for (Node *end = list->next; end != nullptr && end->next != nullptr; end = end->next->next)
            middle = middle->next;
        Node *right = sorted(middle->next);
        middle->next = nullptr;
        Node *left = sorted(list);
        Node *first = nullptr;
        Node **last = &first;
        while (left != nullptr && right != nullptr) {
            Node *&smaller = right->expiry_ns < left->expiry_ns ? right : left;
            *last = smaller;
            last = &smaller->next;
            smaller = smaller->next;
        }
        *last = left != nullptr ? left : right;
        return first;
    }

    uint64_t now_tick_;
    size_t count_ = 0;
    uint64_t occupied_[kLevels] = {};
    Node *slots_[kLevels][kSlots] = {};
    Node *detached_ = nullptr; // Nodes of the slot that is being dealt out.
    size_t detached_level_ = 0;
};

} // namespace ferry
