// Streams: receive, send.
#include "ops/registry.hpp"
#include "ops/waits.hpp"

namespace ferry::ops {

// As a receive's result: nothing is left to tell of it, receive again.
static constexpr int64_t kHandedOver = -1;

// Tell of a multishot receive's bytes. Null when that is done, or when the receive is over; else what must
// come first: room in the queue, or a buffer.
static coro::WaitList *deliver(Op *op, driver::Receive &receive) {
    if (receive.outcome.status == FERRY_E_FULL) {
        receive.outcome = {.result = kHandedOver};
        op->shard().note_hunger();
        return &op->shard().memory();
    }
    if ((op->flags & FERRY_MULTISHOT) == 0 || receive.buffer == 0)
        return nullptr;
    if (!op->shard().emit(op, Ending{.result = receive.outcome.result,
                                     .data = receive.memory,
                                     .buffer = receive.buffer,
                                     .flags = FERRY_BUFFER}))
        return &op->shard().room();
    receive.buffer = 0;
    receive.outcome.result = kHandedOver;
    return nullptr;
}

// The final completion: the last bytes, the end, or why there is no more. Bytes that an interrupted
// multishot receive still had are in it.
static Ending last(const Op *op, const driver::Receive &receive) {
    if (receive.outcome.result == kHandedOver)
        return interrupted(op);
    Ending what = failure(op, receive.outcome);
    if (receive.outcome.status == FERRY_E_CANCELED)
        what.flags = FERRY_REUSABLE;
    if (receive.buffer != 0) {
        what.data = receive.memory;
        what.buffer = receive.buffer;
        what.flags |= FERRY_BUFFER;
        if ((op->flags & FERRY_MULTISHOT) != 0) {
            what.status = op->interrupted;
            what.flags |= FERRY_REUSABLE;
        }
    }
    return what;
}

// Once, into the host's buffer or a lent one; or, multishot, into lent ones until the stream ends. Every
// idle connection has one of these: nothing but the hold lives across a wait.
Operation stream_receive(Op *op) {
    Hold hold(op);
    if (int32_t status = hold.read(op))
        co_return Ending{.status = status};
    driver::Receive &receive = hold.socket().receive;
    do {
        receive.memory = op->params.receive.buffer;
        receive.size = op->params.receive.size;
        receive.buffer = 0;
        co_await ReceiveWait(op, hold.socket());
        while (coro::WaitList *obstacle = deliver(op, receive)) {
            co_await coro::ListWait(*op, *obstacle);
            if (op->interrupted != 0)
                break;
        }
    } while (op->interrupted == 0 && receive.outcome.result == kHandedOver);
    co_return last(op, receive);
}

Operation stream_send(Op *op) {
    Hold hold(op);
    if (hold.status() != FERRY_OK)
        co_return Ending{.status = hold.status()};
    SendWait send(op, hold.socket(), op->params.send.data, op->params.send.size);
    co_await send;
    driver::Outcome outcome = send.outcome();
    // Nothing taken: the stream is as it was before.
    bool whole = outcome.status == FERRY_E_CANCELED && outcome.result == 0;
    co_return failure(op, outcome, whole ? FERRY_REUSABLE : 0);
}

} // namespace ferry::ops
