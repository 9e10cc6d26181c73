// The trace hook: out of the way of those who do not trace.
#include "runtime/engine.hpp"
#include "runtime/shard.hpp"

namespace ferry {

[[gnu::noinline, gnu::cold]] void Shard::tell(uint16_t kind, const Op *op,
                                              const Ending *what) const noexcept {
    ferry_trace_event event = {};
    event.time_ns = now_ns();
    // A child is told of by its place in the tree of the operation that has an id.
    if (op->child) {
        const Op *parent = static_cast<const Child *>(op)->parent;
        event.child = static_cast<const Child *>(op)->number;
        event.parent = parent->child ? static_cast<const Child *>(parent)->number : 0;
    }
    const Op &root = root_of(*op);
    event.op = root.shard().id_of(root);
    event.tag = op->tag;
    event.target = op->target;
    event.opcode = op->opcode;
    event.kind = kind;
    event.shard = index_;
    if (what != nullptr) {
        if (what->handle != 0)
            event.target = what->handle;
        event.result = what->result;
        event.status = what->status;
    }
    trace_(&event, trace_user_data_);
}

// The world's own trace tells of operations, too; then the host's hook.
void Shard::tell_world(const ferry_trace_event *event, void *shard) {
    auto &self = *static_cast<Shard *>(shard);
    self.driver_->note(*event);
    const ferry_engine_options &options = self.engine_.options();
    if (options.trace != nullptr)
        options.trace(event, options.trace_user_data);
}

[[gnu::noinline, gnu::cold]] void
Shard::tell_more(const Op *op, const ferry_completion &completion) const noexcept {
    Ending what = {
        .status = completion.status, .result = completion.result, .handle = completion.handle};
    tell(FERRY_TRACE_MORE, op, &what);
}

} // namespace ferry
