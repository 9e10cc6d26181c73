// TCP by name: look the name up, then try its addresses until one answers (happy eyeballs, RFC 8305).
#include "base/saturating.hpp"
#include "ops/address_order.hpp"
#include "ops/registry.hpp"
#include "ops/waits.hpp"
#include "runtime/tree.hpp"

#include <ferry/opcode.h>

#include <new>

namespace ferry::ops {

namespace {

constexpr uint64_t kAttemptDelayNs = 250'000'000; // RFC 8305 section 8.

// One child for each address, in the order in which they are tried.
class Attempts {
  public:
    explicit Attempts(Op *op) : op_(op), shard_(op->shard()) {}
    ~Attempts() {
        if (first_ != nullptr)
            shard_.blocks().free(first_, size());
    }
    Attempts(const Attempts &) = delete;
    Attempts &operator=(const Attempts &) = delete;

    // False: no memory.
    bool prepare(const ferry_address *addresses, size_t count) noexcept;
    Children children() const noexcept { return {first_, count_}; }

  private:
    size_t size() const noexcept { return count_ * (sizeof(Child) + sizeof(ferry_completion)); }

    const Op *op_;
    Shard &shard_;
    Child *first_ = nullptr; // The completions lie behind.
    uint32_t count_ = 0;
};

bool Attempts::prepare(const ferry_address *addresses, size_t count) noexcept {
    ferry_address order[FERRY_CHILDREN_MAX];
    count_ = static_cast<uint32_t>(interleave(addresses, count, order, FERRY_CHILDREN_MAX));
    void *block = shard_.blocks().allocate(size());
    if (block == nullptr)
        return false;
    first_ = static_cast<Child *>(block);
    auto *completions = reinterpret_cast<ferry_completion *>(first_ + count_);
    for (uint32_t i = 0; i < count_; ++i) {
        auto *child = ::new (static_cast<void *>(&first_[i])) Child();
        child->child = true;
        child->number = own_child_number(*op_, i);
        child->request.opcode = FERRY_OP_TCP_CONNECT;
        child->request.params.connect.address = order[i];
        child->completion = &completions[i];
    }
    return true;
}

// Shutdown, or a host that guessed its handle, may have closed it already.
void close_stream(Shard &shard, uint64_t handle) {
    HandleSlot *slot;
    if (shard.look_up(handle, &slot) == FERRY_OK)
        shard.close(*slot, nullptr);
}

} // namespace

// One after the other, the next when one has failed or its time is over; earlier ones go on meanwhile.
Operation tcp_connect_name(Op *op) {
    driver::Resolve resolve;
    resolve.name = op->params.connect_name.name;
    resolve.port = static_cast<uint16_t>(op->params.connect_name.port);
    co_await ResolveWait(op, resolve);
    if (resolve.outcome.status != FERRY_OK)
        co_return failure(op, resolve.outcome);
    Shard &shard = op->shard();
    Attempts attempts(op);
    auto bytes = static_cast<size_t>(resolve.outcome.result);
    bool prepared = attempts.prepare(static_cast<const ferry_address *>(resolve.data),
                                     bytes / sizeof(ferry_address));
    shard.free_load(resolve.data, bytes);
    if (!prepared)
        co_return Ending{.status = FERRY_E_NO_MEMORY};

    uint64_t delay = op->params.connect_name.attempt_delay_ns;
    if (delay == 0)
        delay = kAttemptDelayNs;
    Group group(op, attempts.children());
    uint32_t started = 0;
    const ferry_completion *last =
        nullptr; // Of those that have ended; the winner's once there is one.
    while (last == nullptr || last->status != FERRY_OK) {
        if (started < group.count() && op->interrupted == 0)
            group.start(group[started++]);
        bool more = started < group.count() && op->interrupted == 0;
        uint64_t until = more ? add_saturating(shard.now_ns(), delay) : UINT64_MAX;
        Child *ended = co_await group.next(until);
        if (ended != nullptr)
            last = ended->completion;
        else if (!more && group.running() == 0)
            break;
    }
    // What the others connect to nevertheless is nobody's.
    group.interrupt(FERRY_E_CANCELED);
    while (const Child *late = co_await group.next()) {
        if (late->completion->status == FERRY_OK)
            close_stream(shard, late->completion->handle);
    }
    if (last != nullptr && last->status == FERRY_OK)
        co_return Ending{.handle = last->handle};
    if (op->interrupted != 0)
        co_return Ending{.status = op->interrupted};
    co_return Ending{.status = last->status, .os_error = last->os_error};
}

} // namespace ferry::ops
