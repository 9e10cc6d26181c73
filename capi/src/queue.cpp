#include "objects.hpp"
#include "options.hpp"

#include <ferry/queue.h>

using namespace ferry;
using capi::queue_of;

ferry_status ferry_queue_create(ferry_engine *engine, const ferry_queue_options *given,
                                ferry_queue **queue_out) {
    if (queue_out == nullptr)
        return FERRY_E_INVALID;
    *queue_out = nullptr;
    ferry_status status = capi::check(engine);
    if (status != FERRY_OK)
        return status;
    ferry_queue_options options;
    status = capi::read_options(given, sizeof options, &options);
    if (status != FERRY_OK)
        return status;
    if (options.flags != 0 || options.reserved != 0)
        return FERRY_E_UNSUPPORTED;
    if (options.mode > FERRY_QUEUE_INLINE || options.capacity > 1048576 ||
        options.shard > engine->engine.shard_count())
        return FERRY_E_INVALID;
    Queue *queue;
    status = engine->engine.create_queue(options, &queue);
    if (status == FERRY_OK)
        *queue_out = capi::handle_of(queue);
    return status;
}

ferry_status ferry_queue_destroy(ferry_queue *handle) {
    if (handle == nullptr)
        return FERRY_OK;
    Queue *queue = queue_of(handle);
    ferry_status status = capi::check(queue);
    if (status != FERRY_OK)
        return status;
    return queue->retire(queue->engine().state() == FERRY_ENGINE_STOPPED);
}

ferry_status ferry_queue_submit(ferry_queue *handle, const ferry_request *requests, size_t count,
                                ferry_op *ops_out, size_t *accepted_out) {
    size_t accepted = 0;
    Queue *queue = queue_of(handle);
    ferry_status status = capi::check(queue);
    if (status == FERRY_OK && requests == nullptr && count != 0)
        status = FERRY_E_INVALID;
    if (status == FERRY_OK)
        status = queue->engine().submit(*queue, requests, count, ops_out, &accepted);
    if (accepted_out != nullptr)
        *accepted_out = accepted;
    return status;
}

ferry_status ferry_queue_cancel(ferry_queue *handle, ferry_op op) {
    Queue *queue = queue_of(handle);
    ferry_status status = capi::check(queue);
    return status == FERRY_OK ? queue->engine().cancel(op) : status;
}

ferry_status ferry_queue_post(ferry_queue *handle, uint64_t tag, int64_t result,
                              uint64_t data_u64) {
    Queue *queue = queue_of(handle);
    ferry_status status = capi::check(queue);
    if (status != FERRY_OK)
        return status;
    if (queue->is_inline())
        return FERRY_E_UNSUPPORTED;
    ferry_completion message = {};
    message.tag = tag;
    message.result = result;
    message.opcode = FERRY_OP_POST;
    message.data_u64 = data_u64;
    return queue->post(message);
}

static ferry_status check_reap(Queue *queue, const ferry_completion *out, uint32_t capacity) {
    ferry_status status = capi::check(queue);
    if (status != FERRY_OK)
        return status;
    if (!queue->is_reaped())
        return FERRY_E_UNSUPPORTED;
    return out == nullptr || capacity == 0 ? FERRY_E_INVALID : FERRY_OK;
}

int32_t ferry_queue_reap(ferry_queue *handle, ferry_completion *out, uint32_t capacity) {
    Queue *queue = queue_of(handle);
    ferry_status status = check_reap(queue, out, capacity);
    return status == FERRY_OK ? queue->reap(out, capacity) : status;
}

int32_t ferry_queue_wait(ferry_queue *handle, ferry_completion *out, uint32_t capacity,
                         uint64_t timeout_ns) {
    Queue *queue = queue_of(handle);
    ferry_status status = check_reap(queue, out, capacity);
    if (status != FERRY_OK)
        return status;
    // Nobody else makes progress while this thread sleeps.
    if (timeout_ns != 0 && queue->engine().shard_here() != nullptr)
        return FERRY_E_WRONG_THREAD;
    return queue->wait(out, capacity, timeout_ns);
}

int32_t ferry_queue_dispatch(ferry_queue *handle, uint32_t max, uint64_t budget_ns) {
    Queue *queue = queue_of(handle);
    ferry_status status = capi::check(queue);
    if (status != FERRY_OK)
        return status;
    return queue->is_reaped() ? queue->dispatch(max, budget_ns) : FERRY_E_UNSUPPORTED;
}

ferry_status ferry_queue_fd(ferry_queue *handle, int32_t *fd_out) {
    if (fd_out == nullptr)
        return FERRY_E_INVALID;
    *fd_out = -1;
    Queue *queue = queue_of(handle);
    ferry_status status = capi::check(queue);
    if (status != FERRY_OK)
        return status;
    return queue->is_inline() ? FERRY_E_UNSUPPORTED : queue->open_fd(fd_out);
}

int32_t ferry_queue_arm(ferry_queue *handle) {
    Queue *queue = queue_of(handle);
    ferry_status status = capi::check(queue);
    if (status != FERRY_OK)
        return status;
    return queue->is_inline() ? FERRY_E_UNSUPPORTED : queue->arm();
}

ferry_status ferry_queue_map(ferry_queue *handle, ferry_queue_mapping *mapping) {
    Queue *queue = queue_of(handle);
    ferry_status status = capi::check(queue);
    if (status != FERRY_OK)
        return status;
    if (!queue->is_mapped())
        return FERRY_E_UNSUPPORTED;
    if (mapping == nullptr)
        return FERRY_E_INVALID;
    ferry_queue_mapping filled = {};
    queue->map(&filled);
    return capi::write_output(mapping, sizeof filled, filled);
}
