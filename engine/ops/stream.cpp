// Streams: receive, send.
#include "ops/registry.hpp"
#include "ops/waits.hpp"

namespace ferry::ops {

// Once, into the host's buffer or a lent one; or, multishot, into lent ones until the stream ends.
Operation stream_receive(Op *op) {
    Hold hold(op);
    if (int32_t status = hold.read(op))
        co_return Ending{.status = status};
    bool multishot = (op->flags & FERRY_MULTISHOT) != 0;
    driver::Receive &receive = hold.socket().receive;
    for (;;) {
        receive.memory = op->params.receive.buffer;
        receive.size = op->params.receive.size;
        receive.buffer = 0;
        driver::Outcome outcome = co_await ReceiveWait(op, hold.socket());
        if (outcome.status == FERRY_E_FULL) {
            co_await memory(op); // Every buffer is lent.
            if (op->interrupted != 0)
                co_return interrupted(op);
            continue;
        }
        Ending what = failure(op, outcome);
        if (outcome.status == FERRY_E_CANCELED)
            what.flags = FERRY_REUSABLE;
        if (receive.buffer != 0) {
            what.data = receive.memory;
            what.buffer = receive.buffer;
            what.flags |= FERRY_BUFFER;
        }
        if (!multishot || receive.buffer == 0)
            co_return what;
        // Bytes that find the queue full wait here; if the receive ends meanwhile, its final
        // completion brings them.
        while (!op->shard->emit(op, what)) {
            co_await room(op);
            if (op->interrupted == 0)
                continue;
            what.status = op->interrupted;
            what.flags |= FERRY_REUSABLE;
            co_return what;
        }
    }
}

Operation stream_send(Op *op) {
    Hold hold(op);
    if (hold.status() != FERRY_OK)
        co_return Ending{.status = hold.status()};
    SendWait send(op, hold.socket(), op->params.send.data, op->params.send.size);
    driver::Outcome outcome = co_await send;
    // Nothing taken: the stream is as it was before.
    bool whole = outcome.status == FERRY_E_CANCELED && outcome.result == 0;
    co_return failure(op, outcome, whole ? FERRY_REUSABLE : 0);
}

} // namespace ferry::ops
