#include "runtime/tree.hpp"

#include "base/allocator.hpp"
#include "base/saturating.hpp"
#include "runtime/engine.hpp"
#include "runtime/shard.hpp"

#include <ferry/opcode.h>
#include <ferry/status.h>

#include <cstring>
#include <new>

namespace ferry {

// ---- at submit ----------------------------------------------------------------------------------

// What the record alone shows; the same for every request.
static ferry_status check_child(const ferry_request &request, const OpTable &operations) {
    ferry_status status = check_record(request, operations);
    if (status != FERRY_OK)
        return status;
    bool whole = (request.flags & FERRY_MULTISHOT) == 0 && request.callback == nullptr;
    return whole ? FERRY_OK : FERRY_E_INVALID;
}

static uint64_t children_count(const ferry_request &group) {
    return group.opcode == FERRY_OP_RETRY ? 1 : group.params.children.count;
}

ferry_status TreeDraft::gather_children(const ferry_request &group, uint8_t parent,
                                        const OpTable &operations) noexcept {
    const ferry_request *children = group.params.children.children;
    uint64_t count = children_count(group);
    if (children == nullptr || count == 0)
        return FERRY_E_INVALID;
    uint32_t depth = parent == kRoot ? 1 : depth_[parent] + 1u;
    if (depth > FERRY_DEPTH_MAX || count > FERRY_CHILDREN_MAX - count_)
        return FERRY_E_LIMIT;
    for (uint32_t i = 0; i < count; ++i) {
        // A copy first: what is checked is what runs.
        ferry_request &node = nodes_[count_];
        node = children[i];
        ferry_status status = check_child(node, operations);
        if (status != FERRY_OK)
            return status;
        parent_[count_] = parent;
        position_[count_] = static_cast<uint8_t>(i);
        depth_[count_] = static_cast<uint8_t>(depth);
        if (operations[node.opcode].once && below_retry(count_))
            return FERRY_E_INVALID;
        ++count_;
    }
    return FERRY_OK;
}

bool TreeDraft::below_retry(uint32_t index) const noexcept {
    uint8_t at = parent_[index];
    while (at != kRoot && nodes_[at].opcode != FERRY_OP_RETRY)
        at = parent_[at];
    return at != kRoot || root_opcode_ == FERRY_OP_RETRY;
}

ferry_status TreeDraft::gather(const ferry_request &root, const OpTable &operations) noexcept {
    count_ = 0;
    root_opcode_ = root.opcode;
    ferry_status status = gather_children(root, kRoot, operations);
    for (uint32_t i = 0; i < count_ && status == FERRY_OK; ++i) {
        if (!operations[nodes_[i].opcode].group)
            continue;
        first_[i] = static_cast<uint8_t>(count_);
        status = gather_children(nodes_[i], static_cast<uint8_t>(i), operations);
    }
    return status;
}

bool TreeDraft::names_earlier(uint32_t index, uint64_t handle,
                              const OpTable &operations) const noexcept {
    Id id{handle};
    if (id.engine() != 0 || id.shard() != 0)
        return false;
    uint32_t level = id.generation();
    for (auto at = static_cast<uint8_t>(index); at != kRoot; at = parent_[at]) {
        uint8_t parent = parent_[at];
        uint16_t opcode = parent == kRoot ? root_opcode_ : nodes_[parent].opcode;
        if (opcode != FERRY_OP_CHAIN)
            continue;
        if (level-- != 0)
            continue;
        if (id.slot() >= position_[at])
            return false;
        const OpSpec &named = operations[nodes_[at - position_[at] + id.slot()].opcode];
        return named.opens || named.group;
    }
    return false;
}

static size_t rounded(size_t size) {
    return (size + 15) & ~size_t{15};
}

Tree *TreeDraft::build(const OpTable &operations, BlockCache &memory, size_t *size) const noexcept {
    size_t borrowed[FERRY_CHILDREN_MAX] = {};
    const void *bytes[FERRY_CHILDREN_MAX] = {};
    *size = sizeof(Tree) + count_ * sizeof(Child);
    for (uint32_t i = 0; i < count_; ++i) {
        const OpSpec &spec = operations[nodes_[i].opcode];
        if (spec.borrowed != nullptr)
            bytes[i] = spec.borrowed(nodes_[i], &borrowed[i]);
        *size += rounded(borrowed[i]);
    }
    void *block = memory.allocate(*size);
    if (block == nullptr)
        return nullptr;
    auto *tree = ::new (block) Tree{count_};
    Child *children = tree->children();
    auto *behind = reinterpret_cast<char *>(children + count_);
    for (uint32_t i = 0; i < count_; ++i) {
        // NOLINTNEXTLINE(clang-analyzer-cplusplus.PlacementNew): the block is larger than a class of it.
        auto *child = ::new (static_cast<void *>(&children[i])) Child();
        child->child = true;
        child->number = i + 1;
        child->request = nodes_[i];
        child->parent = parent_[i] == kRoot ? nullptr : &children[parent_[i]];
        if (operations[nodes_[i].opcode].group)
            child->request.params.words[0] = reinterpret_cast<uintptr_t>(&children[first_[i]]);
        if (bytes[i] == nullptr || borrowed[i] == 0)
            continue;
        std::memcpy(behind, bytes[i], borrowed[i]);
        child->request.params.words[0] = reinterpret_cast<uintptr_t>(behind);
        behind += rounded(borrowed[i]);
    }
    return tree;
}

// ---- running ------------------------------------------------------------------------------------

Children children_of(const Op &op) noexcept {
    if (op.child) {
        const ferry_request &request = static_cast<const Child &>(op).request;
        return {reinterpret_cast<Child *>(request.params.words[0]),
                static_cast<uint32_t>(children_count(request))};
    }
    auto &tree = *reinterpret_cast<Tree *>(op.params.words[0]);
    auto count = op.opcode == FERRY_OP_RETRY ? 1 : op.params.children.count;
    return {tree.children(), static_cast<uint32_t>(count)};
}

void Group::start(Child &child, Shard *place) noexcept {
    child.parent = op_;
    child.group = this;
    child.running = true;
    ++running_;
    op_->shard().begin(child, place);
}

void Group::interrupt(int32_t status) noexcept {
    for (uint32_t i = 0; i < children_.count; ++i) {
        Child &child = children_.first[i];
        if (child.running)
            op_->shard().interrupt_child(child, status);
    }
}

void Group::ended(Child &child) noexcept {
    child.running = false;
    --running_;
    ended_.push(&child);
    // It may have been woken by something else already.
    if (waiter_ == nullptr || op_->waiting != waiter_)
        return;
    op_->shard().end_sleep(op_); // Its time may be over before it comes to its turn.
    waiter_->wake();
}

void GroupWait::await_suspend(std::coroutine_handle<> frame) noexcept {
    suspend(frame);
    group_.waiter_ = this;
    if (until_ns_ != UINT64_MAX)
        op()->shard().set_sleep(op(), until_ns_);
}

Child *GroupWait::await_resume() noexcept {
    group_.waiter_ = nullptr;
    op()->shard().end_sleep(op());
    return group_.ended_.pop();
}

void GroupWait::interrupt() noexcept {
    group_.interrupt(fiber().interrupted);
}

// ---- the shard's part ---------------------------------------------------------------------------

// The handle that ferry_child_handle() stands for: submit made sure that there is one.
static uint64_t handle_of(const Child &child, Id named) {
    uint32_t level = named.generation();
    const Child *at = &child;
    for (;;) {
        const Op *parent = at->parent;
        if (parent->opcode == FERRY_OP_CHAIN && level-- == 0)
            return children_of(*parent).first[named.slot()].completion->handle;
        at = static_cast<const Child *>(parent);
    }
}

// Puts real handles in place of names; FERRY_OK and where it must run, or why it cannot.
ferry_status Shard::settle_handles(Child &child, Shard **place) noexcept {
    const OpSpec &operation = spec(child);
    uint64_t *words[2] = {&child.target, nullptr};
    uint32_t kinds[2] = {operation.targets, operation.handle_targets};
    if (operation.handle_word >= 0)
        words[1] = &child.params.words[operation.handle_word];
    bool named = false;
    for (int i = 0; i < 2; ++i) {
        if (words[i] == nullptr || kinds[i] == 0 || Id{*words[i]}.kind() != Kind::child)
            continue;
        *words[i] = handle_of(child, Id{*words[i]});
        Id id{*words[i]};
        if (!is_handle(id.kind()) || id.engine() != engine_.tag())
            return FERRY_E_BAD_HANDLE;
        if ((kinds[i] & target_bit(id.kind())) == 0)
            return FERRY_E_WRONG_KIND;
        named = true;
    }
    if (named && words[1] != nullptr) {
        // What submit could not know of the two.
        ferry_request request = child.request;
        request.target = child.target;
        request.params = child.params;
        if (Id{*words[1]}.shard() != Id{child.target}.shard())
            return FERRY_E_WRONG_SHARD;
        if (ferry_status status = operation.check(request))
            return status;
    }
    *place = child.target != FERRY_NONE ? &engine_.shard(Id{child.target}.shard()) : this;
    return FERRY_OK;
}

void Shard::begin(Child &child, Shard *place) noexcept {
    describe(&child, child.request);
    if (child.deadline_ns != 0)
        child.deadline_ns = add_saturating(now_ns(), child.deadline_ns);
    if (spec(child).timed && child.params.words[0] != 0)
        child.params.words[0] = add_saturating(now_ns(), child.params.words[0]);
    child.place = this;
    ferry_status status = settle_handles(child, &child.place);
    if (place != nullptr)
        child.place = place;
    if (status != FERRY_OK) {
        child.live = true;
        ++active_;
        trace(FERRY_TRACE_BEGIN, &child);
        finish(&child, Ending{.status = status, .flags = FERRY_REUSABLE});
        return;
    }
    if (stopping_)
        child.place = this;
    if (child.place == this) {
        admit(child);
        return;
    }
    child.away.store(Child::Away::running, std::memory_order_relaxed);
    children_away_.store(children_away_.load(std::memory_order_relaxed) + 1,
                         std::memory_order_relaxed);
    Shard &there = *child.place;
    there.arrivals_.push(&child);
    knock_later(there);
}

// It runs here from now on.
void Shard::admit(Child &child) noexcept {
    child.scheduler = this;
    child.live = true;
    child.born = stamp();
    ++active_;
    if (child.deadline_ns != 0)
        set_alarm(&child, child.deadline_ns);
    trace(FERRY_TRACE_BEGIN, &child);
    if (stopping_)
        child.interrupted = FERRY_E_SHUTDOWN;
    push(&child);
}

// Nobody but its parent, on another shard, knows it: for those who look on.
void Shard::welcome(Child &child) noexcept {
    child.next_guest = guests_;
    child.guest_link = &guests_;
    if (guests_ != nullptr)
        guests_->guest_link = &child.next_guest;
    guests_ = &child;
}

void Shard::interrupt_child(Child &child, int32_t status) noexcept {
    if (child.place == this) {
        interrupt(child, status);
        return;
    }
    auto expected = Child::Away::running;
    if (child.away.load(std::memory_order_relaxed) != expected)
        return; // It has ended, or has been asked before, and may be read there now.
    child.wanted = status;
    if (!child.away.compare_exchange_strong(expected, Child::Away::cancel_sent))
        return;
    Shard &place = *child.place; // Once it is pushed, it may be on its way back.
    place.cancels_.push(&child);
    knock_later(place);
}

void Shard::take_children() noexcept {
    Child *child = arrivals_.take_all();
    while (child != nullptr) {
        Child *next = child->next_hop;
        ++progress_;
        if (&child->parent->shard() != this) {
            welcome(*child);
            admit(*child);
        } else {
            child->group->ended(*child);
            uint64_t away = children_away_.load(std::memory_order_relaxed) - 1;
            // In one order with the look at who is stopping: the last of all is noticed.
            children_away_.store(away, std::memory_order_seq_cst);
            if (away == 0)
                engine_.children_back();
        }
        child = next;
    }
}

void Shard::cancel_child(Child &child) noexcept {
    auto expected = Child::Away::cancel_sent;
    if (child.away.compare_exchange_strong(expected, Child::Away::cancel_taken))
        interrupt(child, child.wanted);
    else
        leave(child); // It had ended and waited for this cancel to be taken out of the mailbox.
}

void Shard::finish_child(Child &child, const ferry_completion &completion) noexcept {
    *child.completion = completion;
    if (&child.parent->shard() == this) {
        child.group->ended(child);
        return;
    }
    *child.guest_link = child.next_guest;
    if (child.next_guest != nullptr)
        child.next_guest->guest_link = child.guest_link;
    if (child.away.exchange(Child::Away::ended) != Child::Away::cancel_sent)
        leave(child);
}

// Home with the end of the turn: its coroutine's frame is gone by then.
void Shard::leave(Child &child) noexcept {
    child.next_hop = leaving_;
    leaving_ = &child;
}

void Shard::send_home() noexcept {
    while (Child *child = leaving_) {
        leaving_ = child->next_hop;
        Shard &home = child->parent->shard(); // Once it is pushed, it is no longer ours.
        home.arrivals_.push(child);
        knock_later(home);
    }
}

} // namespace ferry
