// Files and paths.
#include "ops/registry.hpp"
#include "ops/waits.hpp"

namespace ferry::ops {

using driver::FileCall;
using FileHold = SharedHold<driver::File>;

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

// The end of a call that leaves everything as it was if no worker had begun with it.
static Ending ended(const Op *op, const FileCall &call) {
    bool untouched = call.outcome.status == FERRY_E_CANCELED && call.outcome.result == 0;
    return failure(op, call.outcome, untouched ? FERRY_REUSABLE : 0);
}

// ---- opening and storing ------------------------------------------------------------------------

Operation file_open(Op *op) {
    Handles &handles = op->shard().handles();
    if (handles.full())
        co_return Ending{.status = FERRY_E_NO_HANDLES};
    FileCall call;
    call.what = FileCall::What::open;
    call.path = op->params.open.path;
    call.open_flags = op->params.open.open_flags;
    call.mode = op->params.open.mode;
    co_await FileWait(op, call);
    if (call.outcome.status != FERRY_OK)
        co_return failure(op, call.outcome);
    if (handles.full()) {
        op->shard().driver().close(*call.file); // It has no handle: nobody hears of it again.
        co_return Ending{.status = FERRY_E_NO_HANDLES};
    }
    co_return Ending{.handle = handles.add(call.file, Kind::file)};
}

Operation file_store(Op *op) {
    const ferry_store_params &store = op->params.store;
    ferry_slice whole = {{const_cast<void *>(store.data)}, store.size};
    FileCall call;
    call.what = FileCall::What::store;
    call.path = store.path;
    call.mode = static_cast<uint32_t>(store.mode);
    call.slices = &whole;
    call.slice_count = 1;
    co_await FileWait(op, call);
    co_return ended(op, call);
}

// ---- reading and writing ------------------------------------------------------------------------

static FileCall transfer(FileCall::What what, driver::File &file, const ferry_slice *slices,
                         uint64_t count, uint64_t offset) {
    FileCall call;
    call.what = what;
    call.file = &file;
    call.slices = slices;
    call.slice_count = static_cast<size_t>(count);
    call.offset = offset;
    return call;
}

static ferry_slice piece_of(const Op *op) {
    return {{op->params.file.buffer}, op->params.file.size};
}

Operation file_read(Op *op) {
    FileHold file(op, op->target);
    if (file.status() != FERRY_OK)
        co_return Ending{.status = file.status()};
    ferry_slice piece = piece_of(op);
    FileCall call = transfer(FileCall::What::read, *file, &piece, 1, op->params.file.offset);
    co_await FileWait(op, call);
    co_return ended(op, call);
}

Operation file_write(Op *op) {
    FileHold file(op, op->target);
    if (file.status() != FERRY_OK)
        co_return Ending{.status = file.status()};
    ferry_slice piece = piece_of(op);
    FileCall call = transfer(FileCall::What::write, *file, &piece, 1, op->params.file.offset);
    co_await FileWait(op, call);
    co_return ended(op, call);
}

Operation file_read_vectored(Op *op) {
    FileHold file(op, op->target);
    if (file.status() != FERRY_OK)
        co_return Ending{.status = file.status()};
    const ferry_slices_params &slices = op->params.slices;
    FileCall call =
        transfer(FileCall::What::read, *file, slices.slices, slices.count, slices.offset);
    co_await FileWait(op, call);
    co_return ended(op, call);
}

Operation file_write_vectored(Op *op) {
    FileHold file(op, op->target);
    if (file.status() != FERRY_OK)
        co_return Ending{.status = file.status()};
    const ferry_slices_params &slices = op->params.slices;
    FileCall call =
        transfer(FileCall::What::write, *file, slices.slices, slices.count, slices.offset);
    co_await FileWait(op, call);
    co_return ended(op, call);
}

// ---- asking -------------------------------------------------------------------------------------

static Ending told(Op *op, const FileCall &call) {
    Ending what = failure(op, call.outcome);
    if (what.status == FERRY_OK)
        op->shard().lend_record(call.info, sizeof *call.info, &what);
    return what;
}

Operation file_stat(Op *op) {
    FileHold file(op, op->target);
    if (file.status() != FERRY_OK)
        co_return Ending{.status = file.status()};
    ferry_file_info info;
    FileCall call;
    call.what = FileCall::What::stat;
    call.file = &*file;
    call.info = &info;
    co_await FileWait(op, call);
    co_return told(op, call);
}

Operation path_stat(Op *op) {
    ferry_file_info info;
    FileCall call;
    call.what = FileCall::What::path_stat;
    call.path = op->params.path.path;
    call.no_follow = op->params.path.no_follow != 0;
    call.info = &info;
    co_await FileWait(op, call);
    co_return told(op, call);
}

// ---- changing -----------------------------------------------------------------------------------

Operation file_sync(Op *op) {
    FileHold file(op, op->target);
    if (file.status() != FERRY_OK)
        co_return Ending{.status = file.status()};
    FileCall call;
    call.what = FileCall::What::sync;
    call.file = &*file;
    call.data_only = op->params.sync.data_only != 0;
    co_await FileWait(op, call);
    co_return ended(op, call);
}

Operation file_truncate(Op *op) {
    FileHold file(op, op->target);
    if (file.status() != FERRY_OK)
        co_return Ending{.status = file.status()};
    FileCall call;
    call.what = FileCall::What::truncate;
    call.file = &*file;
    call.offset = op->params.truncate.size;
    co_await FileWait(op, call);
    co_return ended(op, call);
}

} // namespace ferry::ops
