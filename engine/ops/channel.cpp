// Channels: open, send, receive, finish.
#include "runtime/channel.hpp"

#include "ops/registry.hpp"
#include "ops/waits.hpp"

namespace ferry::ops {

// After so many messages in one go a receive lets others run.
static constexpr uint32_t kInOneGo = 64;

Operation channel_open(Op *op) {
    if (op->shard().handles().full())
        co_return Ending{.status = FERRY_E_NO_HANDLES};
    const Allocator &allocator = op->shard().allocator();
    auto *channel =
        allocator.create<Channel>(allocator, static_cast<uint32_t>(op->params.channel.capacity));
    if (channel == nullptr || !channel->open()) {
        allocator.destroy(channel);
        co_return Ending{.status = FERRY_E_NO_MEMORY};
    }
    co_return Ending{.handle = op->shard().handles().add(channel, Kind::channel)};
}

Operation channel_send(Op *op) {
    SharedHold<Channel> channel(op, op->target);
    if (channel.status() != FERRY_OK)
        co_return Ending{.status = channel.status()};
    const ferry_message_params &message = op->params.message;
    Channel::Sender sender(*op, *channel, {message.result, message.data_u64});
    if (co_await sender)
        co_return Ending{}; // Whatever came after: it was taken.
    if (op->interrupted != 0)
        co_return interrupted(op);
    co_return Ending{.status = FERRY_E_BROKEN_PIPE};
}

static Ending telling(const Message &message) {
    return {.result = message.result, .data = reinterpret_cast<const void *>(message.data_u64)};
}

// Once, or until the channel is finished and empty. A message for which it was called is told even if
// the operation is to end by now; where the queue has no room for that, it stays in the channel.
Operation channel_receive(Op *op) {
    SharedHold<Channel> channel(op, op->target);
    if (channel.status() != FERRY_OK)
        co_return Ending{.status = channel.status()};
    for (uint32_t looks = 1;; ++looks) {
        Channel::Receiver receiver(*op, *channel, looks % kInOneGo == 0);
        if (!co_await receiver)
            co_return op->interrupted != 0 ? interrupted(op) : Ending{.status = FERRY_E_END};
        if (channel->empty())
            continue;
        Channel::Taken taken = channel->take();
        if ((op->flags & FERRY_MULTISHOT) == 0) {
            channel->settle(taken);
            co_return telling(taken.message);
        }
        if (op->shard().emit(op, telling(taken.message))) {
            channel->settle(taken);
            continue;
        }
        channel->put_back(taken);
        co_await room(op);
    }
}

Operation channel_finish(Op *op) {
    SharedHold<Channel> channel(op, op->target);
    if (channel.status() == FERRY_OK)
        channel->finish();
    co_return Ending{.status = channel.status()};
}

} // namespace ferry::ops
