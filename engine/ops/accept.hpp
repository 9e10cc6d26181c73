// Accepting: what an accept on one shard and one that spreads over all have in common.
#pragma once

#include "runtime/operation.hpp"
#include "runtime/tree.hpp"

#include <ferry/opcode.h>
#include <ferry/status.h>

#include <cstdint>

namespace ferry::ops {

// How long an accept waits before it looks again for a descriptor or a handle.
constexpr uint64_t kAcceptPauseNs = 10'000'000;

// An obstacle that may pass.
inline bool passes(int32_t status) {
    return status == FERRY_E_NO_DESCRIPTORS || status == FERRY_E_NO_HANDLES ||
           status == FERRY_E_NO_MEMORY;
}

// A child that accept_spread() has started.
inline bool is_part_of_accept(const Op &op) {
    return op.child && static_cast<const Child &>(op).parent->opcode == FERRY_OP_TCP_ACCEPT;
}

// See spread.cpp.
Operation accept_spread(Op *op);
Operation accept_next(Op *op);

} // namespace ferry::ops
