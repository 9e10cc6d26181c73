// Compositions: chain, all, race, retry. Four coroutines over starting children and waiting for them.
#include "base/saturating.hpp"
#include "ops/registry.hpp"
#include "ops/waits.hpp"
#include "runtime/engine.hpp"
#include "runtime/tree.hpp"

#include <ferry/opcode.h>

namespace ferry::ops {

namespace {

// A composition's children and what became of them.
class Family {
  public:
    explicit Family(Op *op) : group(op, children_of(*op)), op_(op), engine_(op->shard().engine()) {
        if (!op->child)
            status_ = make_results();
    }

    // Not FERRY_OK: there was no place for the results, and nothing may be started.
    int32_t status() const noexcept { return status_; }
    ferry_completion &result(uint32_t index) const noexcept { return *group[index].completion; }

    // Whatever these children opened is closed.
    void close_opened(uint32_t begin, uint32_t end) noexcept {
        for (uint32_t i = begin; i < end; ++i)
            close_opened(group[i]);
    }

    // An attempt that nobody will hear of: what it opened is closed, what it lent is given back.
    void forget(Child &child) noexcept {
        close_opened(child);
        engine_.release_all(*child.completion);
        reset(child);
    }

    // The end of the whole; the children's completions go with it.
    Ending ending(int32_t status) const noexcept {
        if (buffer_ != 0)
            op_->shard().buffers().lend_reserved(Id{buffer_});
        return {.status = status,
                .result = static_cast<int64_t>(group.count() * sizeof(ferry_completion)),
                .data = group[0].completion,
                .buffer = buffer_,
                .flags = buffer_ != 0 ? uint32_t{FERRY_BUFFER} : 0};
    }
    // The same when one child's end is that of the whole.
    Ending ending_as(const ferry_completion &child) const noexcept {
        const OpSpec &spec = engine_.operations()[child.opcode];
        Ending what = ending(child.status);
        what.os_error = child.os_error;
        if (spec.opens || spec.group)
            what.handle = child.handle;
        return what;
    }

    Group group;

  private:
    int32_t make_results() noexcept;
    void close_opened(Child &child) noexcept;
    void reset(Child &child) noexcept;
    static void never_ran(Child &child) noexcept;

    Op *op_;
    Engine &engine_;
    int32_t status_ = FERRY_OK;
    uint64_t buffer_ = 0;
};

// A place for the completion of every child of the tree, kept from the beginning: the end needs no memory.
int32_t Family::make_results() noexcept {
    Shard &shard = op_->shard();
    Tree &tree = *reinterpret_cast<Tree *>(op_->params.words[0]);
    size_t size = tree.count * sizeof(ferry_completion);
    void *memory;
    int32_t status = shard.allocate_load(size, &memory).status;
    if (status != FERRY_OK)
        return status;
    buffer_ = shard.buffers().reserve_block(memory, size);
    if (buffer_ == 0) {
        shard.free_load(memory, size);
        return FERRY_E_LIMIT;
    }
    for (uint64_t i = 0; i < tree.count; ++i) {
        tree.children()[i].completion = static_cast<ferry_completion *>(memory) + i;
        never_ran(tree.children()[i]);
    }
    return FERRY_OK;
}

void Family::never_ran(Child &child) noexcept {
    *child.completion = {};
    child.completion->tag = child.request.tag;
    child.completion->opcode = child.request.opcode;
    child.completion->status = FERRY_E_CANCELED;
}

void Family::reset(Child &child) noexcept {
    never_ran(child);
    child.group = nullptr; // It has not been started, for those who look on.
    if (!engine_.operations()[child.request.opcode].group)
        return;
    Children children = children_of(child);
    for (uint32_t i = 0; i < children.count; ++i)
        reset(children.first[i]);
}

void Family::close_opened(Child &child) noexcept {
    const OpSpec &spec = engine_.operations()[child.request.opcode];
    ferry_completion &completion = *child.completion;
    if (spec.opens && completion.status == FERRY_OK)
        engine_.discard(completion.handle);
    if (spec.opens || spec.group)
        completion.handle = FERRY_NONE;
    if (!spec.group || completion.data == nullptr)
        return;
    Children children = children_of(child);
    for (uint32_t i = 0; i < children.count; ++i)
        close_opened(children.first[i]);
}

} // namespace

Operation chain(Op *op) {
    Family family(op);
    if (family.status() != FERRY_OK)
        co_return Ending{.status = family.status(), .flags = FERRY_REUSABLE};
    Group &group = family.group;
    for (uint32_t i = 0; i < group.count(); ++i) {
        int32_t status = op->interrupted;
        if (status == FERRY_OK) {
            group.start(group[i]);
            co_await group.next();
            status = family.result(i).status;
        }
        if (status != FERRY_OK) {
            family.close_opened(0, i);
            Ending what = family.ending(status);
            what.os_error = family.result(i).os_error;
            co_return what;
        }
    }
    co_return family.ending(FERRY_OK);
}

Operation all(Op *op) {
    Family family(op);
    if (family.status() != FERRY_OK)
        co_return Ending{.status = family.status(), .flags = FERRY_REUSABLE};
    Group &group = family.group;
    for (uint32_t i = 0; i < group.count(); ++i)
        group.start(group[i]);
    while (co_await group.next() != nullptr) {
    }
    for (uint32_t i = 0; i < group.count(); ++i) {
        const ferry_completion &result = family.result(i);
        if (result.status == FERRY_OK)
            continue;
        Ending what = family.ending(op->interrupted != 0 ? op->interrupted : result.status);
        what.os_error = result.os_error;
        co_return what;
    }
    co_return family.ending(FERRY_OK);
}

Operation race(Op *op) {
    Family family(op);
    if (family.status() != FERRY_OK)
        co_return Ending{.status = family.status(), .flags = FERRY_REUSABLE};
    Group &group = family.group;
    for (uint32_t i = 0; i < group.count(); ++i)
        group.start(group[i]);
    Child *winner = co_await group.next();
    group.interrupt(FERRY_E_CANCELED);
    while (co_await group.next() != nullptr) {
    }
    auto won = static_cast<uint32_t>(winner - &group[0]);
    family.close_opened(0, won);
    family.close_opened(won + 1, group.count());
    winner->completion->flags |= FERRY_WINNER;
    co_return family.ending_as(*winner->completion);
}

static uint64_t doubled(uint64_t delay, uint64_t delay_max) {
    delay = delay < UINT64_MAX / 2 ? delay * 2 : UINT64_MAX;
    return delay_max != 0 && delay > delay_max ? delay_max : delay;
}

Operation retry(Op *op) {
    Family family(op);
    if (family.status() != FERRY_OK)
        co_return Ending{.status = family.status(), .flags = FERRY_REUSABLE};
    Child &child = family.group[0];
    uint64_t delay_max = op->params.retry.delay_max_ns;
    uint64_t delay = op->params.retry.delay_ns;
    if (delay_max != 0 && delay > delay_max)
        delay = delay_max;
    for (uint64_t attempts = 1;; ++attempts) {
        family.group.start(child);
        co_await family.group.next();
        const ferry_completion &result = *child.completion;
        if (result.status == FERRY_OK || attempts == op->params.retry.attempts_max)
            co_return family.ending_as(result);
        // The last attempt may have failed by itself in this very moment: it would have been tried again.
        if (op->interrupted != 0)
            co_return family.ending(op->interrupted);
        co_await SleepWait(op, add_saturating(op->shard().now_ns(), delay));
        if (op->interrupted != 0)
            co_return family.ending(op->interrupted);
        family.forget(child);
        delay = doubled(delay, delay_max);
    }
}

} // namespace ferry::ops
