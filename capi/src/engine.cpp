#include "base/id.hpp"
#include "objects.hpp"
#include "ops/registry.hpp"
#include "options.hpp"

#include <ferry/buffer.h>
#include <ferry/engine.h>
#include <ferry/version.h>

#include <cstddef>

using namespace ferry;

static constexpr uint64_t kRingAll = FERRY_RING_LOAD * 2 - 1;

static ferry_status check_options(ferry_engine_options *options) {
    if ((options->flags & ~uint32_t{FERRY_ENGINE_ANY_THREAD}) != 0 ||
        options->driver > FERRY_DRIVER_SIM || (options->ring_without & ~kRingAll) != 0)
        return FERRY_E_UNSUPPORTED;
    if (options->flags != 0 && options->shards != 0)
        return FERRY_E_INVALID;
    bool simulated = options->driver == FERRY_DRIVER_SIM;
    if (simulated ? options->shards != 0 || options->flags != 0 : options->seed != 0)
        return FERRY_E_INVALID;
    bool hook = options->allocate != nullptr;
    if (options->shards > kShardsMax || options->ops_max > kSlotsMax ||
        options->handles_max > kSlotsMax || options->workers_max > 256 ||
        options->name_workers_max > 256 || hook != (options->free != nullptr))
        return FERRY_E_INVALID;
    if (options->buffer_bytes_max != 0 && options->buffer_bytes_max < 65536)
        return FERRY_E_INVALID;
    if (options->ops_max == 0)
        options->ops_max = 16384;
    if (options->handles_max == 0)
        options->handles_max = 65536;
    if (options->workers_max == 0)
        options->workers_max = 4;
    if (options->name_workers_max == 0)
        options->name_workers_max = 4;
    if (options->buffer_bytes_max == 0)
        options->buffer_bytes_max = uint64_t{256} << 20;
    return FERRY_OK;
}

ferry_status ferry_engine_create(const ferry_engine_options *given, ferry_engine **engine_out) {
    if (engine_out == nullptr)
        return FERRY_E_INVALID;
    *engine_out = nullptr;
    ferry_engine_options options;
    ferry_status status =
        capi::read_options(given, offsetof(ferry_engine_options, trace), &options);
    if (status == FERRY_OK)
        status = check_options(&options);
    if (status != FERRY_OK)
        return status;
    Allocator allocator(options.allocate, options.free, options.user_data);
    auto *engine = allocator.create<ferry_engine>(options, ops::table());
    if (engine == nullptr)
        return FERRY_E_NO_MEMORY;
    status = engine->engine.open();
    if (status != FERRY_OK) {
        allocator.destroy(engine);
        return status;
    }
    *engine_out = engine;
    return FERRY_OK;
}

ferry_status ferry_engine_destroy(ferry_engine *engine) {
    if (engine == nullptr)
        return FERRY_OK;
    if (engine->magic != ferry_engine::kMagic)
        return FERRY_E_INVALID;
    ferry_status status = engine->engine.can_destroy();
    if (status != FERRY_OK)
        return status;
    Allocator allocator = engine->engine.allocator();
    engine->magic = 0;
    allocator.destroy(engine);
    return FERRY_OK;
}

ferry_status ferry_engine_run(ferry_engine *engine, uint64_t wait_ns, uint64_t budget_ns,
                              ferry_run_report *report) {
    ferry_status status = capi::check(engine);
    if (status != FERRY_OK)
        return status;
    if (report == nullptr)
        return engine->engine.run(wait_ns, budget_ns, nullptr);
    if (report->struct_size < sizeof *report)
        return FERRY_E_INVALID;
    ferry_run_report filled = {};
    status = engine->engine.run(wait_ns, budget_ns, &filled);
    return status == FERRY_OK ? capi::write_output(report, sizeof filled, filled) : status;
}

ferry_status ferry_engine_fd(ferry_engine *engine, int32_t *fd_out) {
    if (fd_out == nullptr)
        return FERRY_E_INVALID;
    *fd_out = -1;
    ferry_status status = capi::check(engine);
    return status == FERRY_OK ? engine->engine.descriptor(fd_out) : status;
}

ferry_status ferry_engine_shutdown(ferry_engine *engine, uint64_t timeout_ns) {
    ferry_status status = capi::check(engine);
    return status == FERRY_OK ? engine->engine.shut_down(timeout_ns) : status;
}

ferry_status ferry_engine_get_info(ferry_engine *engine, ferry_engine_info *info) {
    if (info == nullptr)
        return FERRY_E_INVALID;
    ferry_status status = capi::check(engine);
    if (status != FERRY_OK)
        return status;
    ferry_engine_info filled = {};
    engine->engine.info(&filled);
    return capi::write_output(info, sizeof filled, filled);
}

ferry_status ferry_engine_get_shard_info(ferry_engine *engine, uint32_t index,
                                         ferry_shard_info *info) {
    if (info == nullptr)
        return FERRY_E_INVALID;
    ferry_status status = capi::check(engine);
    ferry_shard_info filled = {};
    if (status == FERRY_OK)
        status = engine->engine.shard_info(index, &filled);
    return status == FERRY_OK ? capi::write_output(info, sizeof filled, filled) : status;
}

ferry_status ferry_handle_discard(ferry_engine *engine, ferry_handle handle) {
    ferry_status status = capi::check(engine);
    return status == FERRY_OK ? engine->engine.discard(handle) : status;
}

ferry_status ferry_buffer_release(ferry_engine *engine, ferry_buffer buffer) {
    ferry_status status = capi::check(engine);
    return status == FERRY_OK ? engine->engine.release(buffer) : status;
}

ferry_status ferry_buffers_release(ferry_engine *engine, const ferry_buffer *buffers,
                                   size_t count) {
    ferry_status status = capi::check(engine);
    if (status != FERRY_OK)
        return status;
    if (buffers == nullptr)
        return count == 0 ? FERRY_OK : FERRY_E_INVALID;
    for (size_t i = 0; i < count; ++i) {
        ferry_status one = buffers[i] == FERRY_NONE ? FERRY_OK : engine->engine.release(buffers[i]);
        if (status == FERRY_OK)
            status = one;
    }
    return status;
}

uint32_t ferry_version(void) {
    return FERRY_VERSION_MAJOR * 1000000u + FERRY_VERSION_MINOR * 1000u + FERRY_VERSION_PATCH;
}

uint32_t ferry_api_level(void) {
    return FERRY_API_LEVEL;
}
