// Timers. params.timer.delay_ns is the absolute time of the first expiry here, 0 = at once.
#include "ops/registry.hpp"
#include "ops/waits.hpp"

namespace ferry::ops {

// The next expiry; one beyond all time never comes.
static uint64_t next_after(uint64_t expiry, uint64_t expiries, uint64_t interval) {
    if (expiries > (UINT64_MAX - expiry) / interval)
        return UINT64_MAX - 1;
    return expiry + expiries * interval;
}

Operation timer(Op *op) {
    uint64_t interval = op->params.timer.interval_ns;
    uint64_t expiry = op->params.timer.delay_ns;
    bool due = expiry == 0;
    if (due)
        expiry = op->shard().now_ns();
    for (;; due = false) {
        if (!due)
            co_await SleepWait(op, expiry);
        // What has expired has, whoever wants it to end by now.
        if (op->interrupted != 0 && op->shard().now_ns() < expiry)
            co_return interrupted(op);
        if (interval == 0)
            co_return Ending{.result = 1};
        // As often as it has expired by now, in one completion.
        for (;;) {
            uint64_t late = op->shard().now_ns() - expiry;
            auto expiries = static_cast<int64_t>(late / interval + 1);
            if (op->shard().emit(op, Ending{.result = expiries})) {
                expiry = next_after(expiry, static_cast<uint64_t>(expiries), interval);
                // An interval shorter than this takes would never let it end.
                if (op->interrupted != 0)
                    co_return interrupted(op);
                break;
            }
            co_await room(op);
            if (op->interrupted != 0)
                co_return interrupted(op);
        }
    }
}

} // namespace ferry::ops
