// Operations on no noun in particular: nop, close.
#include "ops/registry.hpp"
#include "ops/waits.hpp"

namespace ferry::ops {

Operation nop(Op *) {
    co_return Ending{};
}

Operation handle_close(Op *op) {
    HandleSlot *slot;
    int32_t status = op->shard().look_up(op->target, &slot);
    if (status == FERRY_E_STALE)
        co_return Ending{}; // Closing what is closed is fine.
    if (status != FERRY_OK)
        co_return Ending{.status = status};
    CloseWait close(op, *slot);
    co_await close;
    co_return Ending{.status = close.status, .os_error = close.os_error};
}

} // namespace ferry::ops
