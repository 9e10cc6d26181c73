// Compositions: operations that are made of others.
//
// At submit a request's whole tree is copied into one block: an array of Child in which the children of
// each composition lie side by side. A composition is an operation like any other; its coroutine starts
// children in a Group and waits for the next of them to end. A child has no slot, no op id and no queue: its
// final completion goes into the array that the tree's own completion carries.
//
// A child whose target lives on another shard runs there and comes back. Between the two its memory
// belongs to one shard at a time, and `away` says what the other may still want of it.
#pragma once

#include "base/block_cache.hpp"
#include "base/lists.hpp"
#include "coro/fiber.hpp"
#include "runtime/op.hpp"
#include "runtime/operation.hpp"

#include <ferry/completion.h>
#include <ferry/compose.h>
#include <ferry/request.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace ferry {

class Engine;
class Group;

struct Child : Op {
    enum class Away : uint8_t { running, cancel_sent, cancel_taken, ended };

    ferry_request request;        // As submitted: the Op is filled from it at every start.
    Op *parent;                   // The composition it belongs to.
    Group *group;                 // While it runs.
    Shard *place;                 // Where it runs.
    ferry_completion *completion; // Where its final completion goes.
    Child *next_ended;            // In its group.
    Child *next_hop;              // On its way between shards.
    Child *next_guest; // Of those that run on a shard which is not their parent's; that shard's.
    Child **guest_link;
    uint32_t number; // In its tree, from 1, or own_child_number(); for those who trace.
    int32_t wanted;  // The status that a cancel from its parent's shard asks for.
    bool running;    // Started and not yet back. Its parent's shard only.
    std::atomic<Away> away;
};

// The number of the index-th child that an operation makes for itself. The operation may be a child, too: then it
// is none that its tree has, and of none of its siblings'.
inline uint32_t own_child_number(const Op &op, uint32_t index) noexcept {
    uint32_t base = op.child ? static_cast<const Child &>(op).number * (FERRY_CHILDREN_MAX + 1) : 0;
    return base + index + 1;
}

// What a request's words[0] points to once it is submitted.
struct Tree {
    uint64_t count; // All children, those of children included.

    Child *children() noexcept { return reinterpret_cast<Child *>(this + 1); }
};
static_assert(sizeof(Tree) % alignof(Child) == 0);

// The direct children of a composition.
struct Children {
    Child *first;
    uint32_t count;
};
Children children_of(const Op &op) noexcept;

class GroupWait;

// The children that a composition's coroutine has started. Lives in its frame; none may run when it goes.
class Group {
  public:
    Group(Op *op, Children children) : op_(op), children_(children) {}
    Group(const Group &) = delete;
    Group &operator=(const Group &) = delete;

    Child &operator[](uint32_t index) const noexcept { return children_.first[index]; }
    uint32_t count() const noexcept { return children_.count; }
    uint32_t running() const noexcept { return running_; }
    // Whether next() has one at once.
    bool any_ended() const noexcept { return !ended_.empty(); }

    // It runs with the next turn of its shard: where its target lives, or, without any, here or there.
    void start(Child &child, Shard *place = nullptr) noexcept;
    // Those that run are to end early.
    void interrupt(int32_t status) noexcept;

    // co_await: the next child that has ended; null when none runs any more, or the time is over. What
    // interrupts the operation meanwhile interrupts those that run.
    GroupWait next(uint64_t until_ns = UINT64_MAX) noexcept;

    // It has ended and is back.
    void ended(Child &child) noexcept;

  private:
    friend class GroupWait;

    Op *op_;
    Children children_;
    uint32_t running_ = 0;
    Fifo<Child, &Child::next_ended> ended_;
    coro::Wait *waiter_ = nullptr;
};

class GroupWait final : public coro::Wait {
  public:
    GroupWait(Op *op, Group &group, uint64_t until_ns)
        : Wait(*op), group_(group), until_ns_(until_ns) {}

    bool await_ready() const noexcept {
        if (interrupted())
            group_.interrupt(fiber().interrupted);
        return !group_.ended_.empty() || group_.running_ == 0;
    }
    void await_suspend(std::coroutine_handle<> frame) noexcept;
    Child *await_resume() noexcept;
    void interrupt() noexcept override;
    const char *what() const noexcept override { return kWhat; }

    // By which one knows it among waits.
    static constexpr char kWhat[] = "child operations";
    const Group &group() const noexcept { return group_; }

  private:
    Op *op() const noexcept { return static_cast<Op *>(&fiber()); }

    Group &group_;
    const uint64_t until_ns_;
};

inline GroupWait Group::next(uint64_t until_ns) noexcept {
    return {op_, *this, until_ns};
}

// A request's tree as it is submitted, the requests of each level after those of the level above: first it
// is gathered and looked at, then built.
class TreeDraft {
  public:
    // Copies the records of all children. FERRY_E_INVALID, FERRY_E_UNSUPPORTED, FERRY_E_LIMIT.
    ferry_status gather(const ferry_request &root, const OpTable &operations) noexcept;
    uint32_t count() const noexcept { return count_; }
    const ferry_request &operator[](uint32_t index) const noexcept { return nodes_[index]; }
    // Whether what a child's ferry_child_handle() stands for is an earlier one that opens a handle.
    bool names_earlier(uint32_t index, uint64_t handle, const OpTable &operations) const noexcept;
    // The block for what was gathered; null = no memory.
    Tree *build(const OpTable &operations, BlockCache &memory, size_t *size) const noexcept;

  private:
    static constexpr uint8_t kRoot = 0xff;

    bool below_retry(uint32_t index) const noexcept;

    ferry_status gather_children(const ferry_request &group, uint8_t parent,
                                 const OpTable &operations) noexcept;

    ferry_request nodes_[FERRY_CHILDREN_MAX];
    uint8_t parent_[FERRY_CHILDREN_MAX];
    uint8_t position_[FERRY_CHILDREN_MAX]; // Among its siblings.
    uint8_t depth_[FERRY_CHILDREN_MAX];
    uint8_t first_[FERRY_CHILDREN_MAX]; // Of a composition's children.
    uint16_t root_opcode_;
    uint32_t count_;
};

} // namespace ferry
