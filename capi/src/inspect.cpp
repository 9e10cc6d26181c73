// Seeing inside: the dump, the metrics, the writer of traces.
#include "objects.hpp"
#include "options.hpp"
#include "runtime/trace_writer.hpp"

#include <ferry/inspect.h>

using namespace ferry;

ferry_status ferry_engine_dump(ferry_engine *engine, uint64_t timeout_ns, char *text,
                               size_t capacity, size_t *size_out) {
    if (size_out == nullptr)
        return FERRY_E_INVALID;
    *size_out = 0;
    if (text == nullptr && capacity != 0)
        return FERRY_E_INVALID;
    ferry_status status = capi::check(engine);
    if (status != FERRY_OK)
        return status;
    Text dump(text, capacity);
    engine->engine.dump(timeout_ns, dump);
    *size_out = dump.size();
    dump.add("", 1);
    if (dump.fits())
        return FERRY_OK;
    if (capacity != 0)
        text[capacity - 1] = 0;
    return FERRY_E_LIMIT;
}

ferry_status ferry_engine_get_metrics(ferry_engine *engine, ferry_metrics *metrics) {
    if (metrics == nullptr)
        return FERRY_E_INVALID;
    ferry_status status = capi::check(engine);
    if (status != FERRY_OK)
        return status;
    ferry_metrics filled;
    engine->engine.metrics(&filled);
    return capi::write_output(metrics, sizeof filled, filled);
}

ferry_status ferry_engine_walk_metrics(ferry_engine *engine, ferry_metric_fn each,
                                       void *user_data) {
    if (each == nullptr)
        return FERRY_E_INVALID;
    ferry_status status = capi::check(engine);
    if (status == FERRY_OK)
        engine->engine.walk_metrics(each, user_data);
    return status;
}

// ---- the writer of traces -----------------------------------------------------------------------

struct ferry_trace_writer final {
    explicit ferry_trace_writer(const ferry_trace_writer_options &options) : writer(options) {}

    static constexpr uint64_t kMagic = 0x727465746972772e; // ".writetr"
    uint64_t magic = kMagic;
    TraceWriter writer;
};

static ferry_status check_options(ferry_trace_writer_options *options) {
    if (options->buffer_size == 0)
        options->buffer_size = 65536;
    if (options->write == nullptr || options->buffer_size < 1024 ||
        options->buffer_size > uint32_t{1} << 30 ||
        (options->allocate != nullptr) != (options->free != nullptr))
        return FERRY_E_INVALID;
    return FERRY_OK;
}

ferry_status ferry_trace_writer_create(const ferry_trace_writer_options *given,
                                       ferry_trace_writer **writer_out) {
    if (writer_out == nullptr)
        return FERRY_E_INVALID;
    *writer_out = nullptr;
    ferry_trace_writer_options options;
    ferry_status status = capi::read_options(given, sizeof options, &options);
    if (status == FERRY_OK)
        status = check_options(&options);
    if (status != FERRY_OK)
        return status;
    Allocator allocator(options.allocate, options.free, options.user_data);
    auto *writer = allocator.create<ferry_trace_writer>(options);
    if (writer == nullptr)
        return FERRY_E_NO_MEMORY;
    status = writer->writer.open();
    if (status != FERRY_OK) {
        allocator.destroy(writer);
        return status;
    }
    *writer_out = writer;
    return FERRY_OK;
}

void ferry_trace_writer_event(const ferry_trace_event *event, void *user_data) {
    auto *writer = static_cast<ferry_trace_writer *>(user_data);
    if (event != nullptr && writer != nullptr && writer->magic == ferry_trace_writer::kMagic)
        writer->writer.write(*event);
}

ferry_status ferry_trace_writer_destroy(ferry_trace_writer *writer) {
    if (writer == nullptr)
        return FERRY_OK;
    if (writer->magic != ferry_trace_writer::kMagic)
        return FERRY_E_INVALID;
    writer->writer.finish();
    Allocator allocator = writer->writer.allocator();
    writer->magic = 0;
    allocator.destroy(writer);
    return FERRY_OK;
}
