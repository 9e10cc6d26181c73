// Copying from one stream or file to another.
#include "ops/registry.hpp"
#include "ops/waits.hpp"

#include <optional>

namespace ferry::ops {

namespace {

// The hold on one end.
class End {
  public:
    End(Op *op, uint64_t handle) {
        if (Id{handle}.kind() == Kind::file)
            file_.emplace(op, handle);
        else
            stream_.emplace(op, handle);
    }
    int32_t status() const { return file_ ? file_->status() : stream_->status(); }
    // A stream has one receive at a time.
    int32_t read(Op *op) { return file_ ? file_->status() : stream_->read(op); }
    driver::Resource &resource() const {
        if (file_)
            return **file_;
        return stream_->socket();
    }
    driver::Socket *stream() const { return stream_ ? &stream_->socket() : nullptr; }

  private:
    std::optional<Hold> stream_;
    std::optional<SharedHold<driver::File>> file_;
};

} // namespace

static void describe(driver::Transfer &transfer, const ferry_copy_params &copy, const End &from,
                     const End &to) {
    transfer.from = &from.resource();
    transfer.to = &to.resource();
    transfer.size = copy.size;
    transfer.from_offset = copy.from_offset;
    transfer.to_offset = copy.to_offset;
    if (from.stream() == nullptr)
        return;
    driver::Span rest = Shard::rest(*from.stream());
    transfer.head = rest.data;
    transfer.head_size = rest.size < copy.size ? rest.size : static_cast<size_t>(copy.size);
}

static Ending copied(Op *op, const driver::Transfer &transfer, const End &from) {
    const driver::Outcome &outcome = transfer.outcome;
    auto moved = static_cast<uint64_t>(outcome.result);
    if (transfer.head_size != 0)
        op->shard().drop_rest(*from.stream(),
                              moved < transfer.head_size ? moved : transfer.head_size);
    bool whole = outcome.status == FERRY_E_CANCELED && moved == 0 && !transfer.torn;
    return failure(op, outcome, whole ? FERRY_REUSABLE : 0);
}

Operation handle_copy(Op *op) {
    End from(op, op->target);
    if (int32_t status = from.read(op))
        co_return Ending{.status = status};
    End to(op, op->params.copy.to);
    if (int32_t status = to.status())
        co_return Ending{.status = status};
    std::optional<TurnWait> turn;
    if (to.stream() != nullptr) {
        TurnWait &wait = turn.emplace(op, *to.stream());
        co_await wait;
        driver::Outcome outcome = wait.outcome();
        if (outcome.status != FERRY_OK) {
            outcome.result = 0;
            co_return failure(op, outcome, outcome.os_error == 0 ? FERRY_REUSABLE : 0);
        }
    }
    driver::Transfer transfer;
    describe(transfer, op->params.copy, from, to);
    co_await TransferWait(op, transfer);
    co_return copied(op, transfer, from);
}

} // namespace ferry::ops
