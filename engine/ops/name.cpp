// Names.
#include "ops/registry.hpp"
#include "ops/waits.hpp"

namespace ferry::ops {

Operation name_resolve(Op *op) {
    driver::Resolve resolve;
    resolve.name = op->params.resolve.name;
    resolve.family = op->params.resolve.family;
    resolve.port = static_cast<uint16_t>(op->params.resolve.port);
    co_await ResolveWait(op, resolve);
    const driver::Outcome &outcome = resolve.outcome;
    if (outcome.status != FERRY_OK)
        co_return failure(op, outcome);
    auto size = static_cast<size_t>(outcome.result);
    uint64_t buffer = op->shard().buffers().lend_block(resolve.data, size);
    if (buffer == 0) {
        op->shard().free_load(resolve.data, size);
        co_return Ending{.status = FERRY_E_LIMIT};
    }
    co_return Ending{
        .result = outcome.result, .data = resolve.data, .buffer = buffer, .flags = FERRY_BUFFER};
}

} // namespace ferry::ops
