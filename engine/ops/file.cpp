// Files.
#include "ops/registry.hpp"
#include "ops/waits.hpp"

namespace ferry::ops {

Operation file_load(Op *op) {
    driver::FileLoad load;
    load.path = op->params.load.path;
    load.size_max = op->params.load.size_max != 0 ? op->params.load.size_max : UINT64_MAX;
    co_await LoadWait(op, load);
    const driver::Outcome &outcome = load.outcome;
    if (outcome.status != FERRY_OK || outcome.result == 0)
        co_return failure(op, outcome);
    auto size = static_cast<size_t>(outcome.result);
    uint64_t buffer = op->shard().buffers().lend_block(load.data, size);
    if (buffer == 0) {
        op->shard().free_load(load.data, size);
        co_return Ending{.status = FERRY_E_LIMIT};
    }
    co_return Ending{
        .result = outcome.result, .data = load.data, .buffer = buffer, .flags = FERRY_BUFFER};
}

} // namespace ferry::ops
