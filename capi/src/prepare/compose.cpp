// Prepare functions: compositions.
#include "base/id.hpp"
#include "begin.hpp"

#include <ferry/compose.h>

using ferry::Prepared;
using ferry::word;

// Of an index out of bounds nothing is left that could be taken for a child.
ferry_handle ferry_child_handle(uint32_t index, uint32_t level) {
    if (index >= FERRY_CHILDREN_MAX || level >= FERRY_DEPTH_MAX)
        return FERRY_NONE;
    return ferry::Id::make(ferry::Kind::child, 0, 0, level, index).value;
}

static void prepare_children(ferry_request *request, uint16_t opcode, const ferry_request *children,
                             uint32_t count) {
    Prepared group(request, opcode);
    group->children.children_u64 = word(children);
    group->children.count = count;
}

void ferry_prepare_chain(ferry_request *request, const ferry_request *children, uint32_t count) {
    prepare_children(request, FERRY_OP_CHAIN, children, count);
}

void ferry_prepare_all(ferry_request *request, const ferry_request *children, uint32_t count) {
    prepare_children(request, FERRY_OP_ALL, children, count);
}

void ferry_prepare_race(ferry_request *request, const ferry_request *children, uint32_t count) {
    prepare_children(request, FERRY_OP_RACE, children, count);
}

void ferry_prepare_retry(ferry_request *request, const ferry_request *child, uint64_t attempts_max,
                         uint64_t delay_ns, uint64_t delay_max_ns) {
    Prepared retry(request, FERRY_OP_RETRY);
    retry->retry.child_u64 = word(child);
    retry->retry.attempts_max = attempts_max;
    retry->retry.delay_ns = delay_ns;
    retry->retry.delay_max_ns = delay_max_ns;
}
