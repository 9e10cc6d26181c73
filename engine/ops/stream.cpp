// Streams: receive, send, shut down. Receiving up to a delimiter is in stream_until.cpp.
#include "ops/registry.hpp"
#include "ops/waits.hpp"

namespace ferry::ops {

// As a receive's result: nothing is left to tell of it, receive again.
static constexpr int64_t kHandedOver = -1;

static void prepare(driver::Receive &receive, void *memory, size_t size, bool again = false) {
    receive.gather = false;
    receive.again = again;
    receive.memory = memory;
    receive.size = size;
    receive.buffer = 0;
}

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
    bool multishot = (op->flags & FERRY_MULTISHOT) != 0;
    do {
        prepare(receive, op->params.receive.buffer, op->params.receive.size, multishot);
        co_await ReceiveWait(op, hold.socket());
        while (coro::WaitList *obstacle = deliver(op, receive)) {
            co_await coro::ListWait(*op, *obstacle);
            if (op->interrupted != 0)
                break;
        }
    } while (op->interrupted == 0 && receive.outcome.result == kHandedOver);
    if (multishot)
        co_await StopReceive(op, hold.socket());
    co_return last(op, receive);
}

// Again and again, until all of it has come. What was received before a failure is the host's.
Operation stream_receive_exactly(Op *op) {
    Hold hold(op);
    if (int32_t status = hold.read(op))
        co_return Ending{.status = status};
    driver::Receive &receive = hold.socket().receive;
    ferry_receive_params &left = op->params.receive;
    uint64_t size = left.size;
    do {
        prepare(receive, left.buffer, left.size);
        co_await ReceiveWait(op, hold.socket());
        if (receive.outcome.result > 0) {
            left.buffer = static_cast<char *>(left.buffer) + receive.outcome.result;
            left.size -= static_cast<uint64_t>(receive.outcome.result);
        }
    } while (left.size != 0 && receive.outcome.result > 0);
    Ending what = failure(op, receive.outcome);
    what.result = static_cast<int64_t>(size - left.size);
    if (what.status == FERRY_OK && left.size != 0)
        what.status = FERRY_E_END;
    if (receive.outcome.status == FERRY_E_CANCELED && what.result == 0)
        what.flags = FERRY_REUSABLE;
    co_return what;
}

static Ending sent(const Op *op, const driver::Outcome &outcome) {
    // Nothing taken: the stream is as it was before.
    bool whole = outcome.status == FERRY_E_CANCELED && outcome.result == 0;
    return failure(op, outcome, whole ? FERRY_REUSABLE : 0);
}

Operation stream_send(Op *op) {
    Hold hold(op);
    if (hold.status() != FERRY_OK)
        co_return Ending{.status = hold.status()};
    ferry_slice slice;
    slice.data = const_cast<void *>(op->params.send.data);
    slice.size = op->params.send.size;
    BytesWait send(op, hold.socket(), &slice, 1);
    co_await send;
    co_return sent(op, send.outcome());
}

Operation stream_send_vectored(Op *op) {
    Hold hold(op);
    if (hold.status() != FERRY_OK)
        co_return Ending{.status = hold.status()};
    BytesWait send(op, hold.socket(), op->params.slices.slices, op->params.slices.count);
    co_await send;
    co_return sent(op, send.outcome());
}

// After the sends before it; those behind find the stream ended.
Operation stream_shutdown(Op *op) {
    Hold hold(op);
    if (hold.status() != FERRY_OK)
        co_return Ending{.status = hold.status()};
    TurnWait turn(op, hold.socket());
    co_await turn;
    driver::Outcome outcome = turn.outcome();
    if (outcome.status == FERRY_OK)
        outcome = op->shard().driver().shut_down(hold.socket());
    outcome.result = 0;
    co_return sent(op, outcome);
}

} // namespace ferry::ops
