// Descriptors: adopt, release.
#include "ops/accept.hpp"
#include "ops/registry.hpp"
#include "ops/waits.hpp"

#include <ferry/descriptor.h>

namespace ferry::ops {

static Kind kind_of(uint64_t descriptor_kind) {
    switch (descriptor_kind) {
    case FERRY_DESCRIPTOR_STREAM:
    case driver::kAcceptedStream:
        return Kind::stream;
    case FERRY_DESCRIPTOR_LISTENER:
        return Kind::listener;
    default:
        return Kind::file;
    }
}

Operation descriptor_adopt(Op *op) {
    Handles &handles = op->shard().handles();
    if (handles.full())
        co_return Ending{.status = FERRY_E_NO_HANDLES};
    const ferry_adopt_params &adopt = op->params.adopt;
    driver::Resource *resource;
    driver::Outcome outcome = op->shard().driver().adopt(adopt.descriptor, adopt.kind, &resource);
    if (outcome.status != FERRY_OK)
        co_return failure(op, outcome);
    if ((op->flags & FERRY_SPREAD) != 0)
        static_cast<driver::Socket *>(resource)->accept.spread = true;
    if (is_part_of_accept(*op))
        op->shard().note_accepted();
    co_return Ending{.handle = handles.add(resource, kind_of(adopt.kind))};
}

Operation descriptor_release(Op *op) {
    Shard &shard = op->shard();
    HandleSlot *slot;
    if (int32_t status = shard.look_up(op->target, &slot))
        co_return Ending{.status = status};
    driver::Resource &resource = *slot->resource;
    bool file = Id{op->target}.kind() == Kind::file;
    if (resource.holds != 0 ||
        (!file && Shard::rest(static_cast<driver::Socket &>(resource)).size != 0))
        co_return Ending{.status = FERRY_E_BUSY, .flags = FERRY_REUSABLE};
    driver::Outcome outcome = shard.release_resource(*slot);
    co_return Ending{
        .status = outcome.status, .os_error = outcome.os_error, .result = outcome.result};
}

} // namespace ferry::ops
