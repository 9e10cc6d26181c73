#include "engine_support.h"

#include "support.h"

void bench_check(ferry_status status, const char *what) {
    if (status != FERRY_OK) {
        bench_die("%s: %s", what, ferry_status_name(status));
    }
}

ferry_engine *bench_engine(uint32_t shards, uint32_t ops_max) {
    return bench_engine_with((ferry_engine_options){.shards = shards, .ops_max = ops_max});
}

ferry_engine *bench_engine_with(ferry_engine_options options) {
    options.struct_size = sizeof(options);
    ferry_engine *engine = NULL;
    bench_check(ferry_engine_create(&options, &engine), "engine_create");
    if (options.shards == 0) {
        bench_run(engine, 0);
    }
    return engine;
}

ferry_queue *bench_queue(ferry_engine *engine, uint32_t mode, uint32_t capacity) {
    ferry_queue_options options = {
        .struct_size = sizeof(options), .mode = mode, .capacity = capacity};
    ferry_queue *queue = NULL;
    bench_check(ferry_queue_create(engine, &options, &queue), "queue_create");
    return queue;
}

void bench_submit(ferry_queue *queue, const ferry_request *requests, size_t count) {
    if (count != 0) {
        bench_check(ferry_queue_submit(queue, requests, count, NULL, NULL), "queue_submit");
    }
}

void bench_run(ferry_engine *engine, uint64_t wait_ns) {
    bench_check(ferry_engine_run(engine, wait_ns, 0, NULL), "engine_run");
}

void bench_end(ferry_engine *engine) {
    bench_check(ferry_engine_shutdown(engine, UINT64_C(5000000000)), "engine_shutdown");
    bench_check(ferry_engine_destroy(engine), "engine_destroy");
}
