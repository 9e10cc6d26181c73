#include "engine_support.h"

#include "support.h"

#include <stdlib.h>
#include <string.h>

// The driver that the benchmark is to use, "uv" or "uring"; what Ferry chooses if there is none.
static uint32_t wanted_driver(void) {
    const char *name = getenv("FERRY_BENCH_DRIVER");
    if (name == NULL || strcmp(name, "") == 0) {
        return FERRY_DRIVER_AUTO;
    }
    if (strcmp(name, "uv") == 0) {
        return FERRY_DRIVER_UV;
    }
    if (strcmp(name, "uring") == 0) {
        return FERRY_DRIVER_URING;
    }
    bench_die("FERRY_BENCH_DRIVER is uv or uring, not %s", name);
}

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
    options.driver = wanted_driver();
    ferry_engine *engine = NULL;
    ferry_status status = ferry_engine_create(&options, &engine);
    if (status == FERRY_E_UNSUPPORTED && options.driver == FERRY_DRIVER_URING) {
        bench_skip("this Ferry has no io_uring driver, or the kernel allows none");
    }
    bench_check(status, "engine_create");
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
