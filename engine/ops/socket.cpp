// Sockets: options, addresses.
#include "ops/registry.hpp"
#include "ops/waits.hpp"

namespace ferry::ops {

Operation socket_set(Op *op) {
    Hold hold(op);
    if (hold.status() != FERRY_OK)
        co_return Ending{.status = hold.status()};
    const ferry_socket_set_params &set = op->params.socket_set;
    co_return failure(op, op->shard().driver().set(hold.socket(), set.option, set.value));
}

Operation socket_address(Op *op) {
    Hold hold(op);
    if (hold.status() != FERRY_OK)
        co_return Ending{.status = hold.status()};
    ferry_address address = {};
    bool peer = op->params.socket_address.peer != 0;
    driver::Outcome outcome = op->shard().driver().address(hold.socket(), peer, &address);
    Ending what = failure(op, outcome);
    if (outcome.status == FERRY_OK)
        op->shard().lend_record(&address, sizeof address, &what);
    co_return what;
}

} // namespace ferry::ops
