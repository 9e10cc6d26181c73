/* An engine's options: sizes older and newer than ours, values out of range and at their ends. */
#include "allocator.h"
#include "check.h"

#include <string.h>

enum { OPTIONS_LONGER = 16, FIRST_SIZE = offsetof(ferry_engine_options, trace) };

static void destroy_engine(ferry_engine *engine) {
    assert_status(ferry_engine_shutdown(engine, FERRY_FOREVER), FERRY_OK);
    assert_status(ferry_engine_destroy(engine), FERRY_OK);
}

typedef struct longer_options {
    ferry_engine_options known;
    unsigned char tail[OPTIONS_LONGER];
} longer_options;

static ferry_status try_options(const ferry_engine_options *options) {
    ferry_engine *engine = (ferry_engine *)&engine;
    ferry_status status = ferry_engine_create(options, &engine);
    if (status == FERRY_OK) {
        assert_non_null(engine);
        destroy_engine(engine);
    } else {
        assert_null(engine);
    }
    return status;
}

static void options_of_another_size(void **state) {
    (void)state;
    longer_options options;
    memset(&options, 0, sizeof options);
    assert_status(try_options(&options.known), FERRY_E_INVALID);
    for (uint32_t size = 1; size < FIRST_SIZE; size++) {
        options.known.struct_size = size;
        assert_status(try_options(&options.known), FERRY_E_INVALID);
    }
    for (uint32_t size = FIRST_SIZE; size < sizeof(ferry_engine_options); size++) {
        options.known.struct_size = size;
        assert_status(try_options(&options.known), FERRY_OK);
    }
    options.known.struct_size = sizeof options;
    assert_status(try_options(&options.known), FERRY_OK);
    for (size_t i = 0; i < OPTIONS_LONGER; i++) {
        options.tail[i] = 1;
        assert_status(try_options(&options.known), FERRY_E_UNSUPPORTED);
        options.tail[i] = 0;
    }
    /* What lies behind the size that was said is nobody's business. */
    options.tail[OPTIONS_LONGER - 1] = 1;
    options.known.struct_size = sizeof options - 1;
    assert_status(try_options(&options.known), FERRY_OK);
}

static void count_event(const ferry_trace_event *event, void *user_data) {
    (void)event;
    ++*(int *)user_data;
}

/* How often the hook is called for one nop. */
static int events_of_a_nop(const ferry_engine_options *options) {
    int *events = options->trace_user_data;
    ferry_engine *engine;
    ferry_queue *queue;
    ferry_request request;
    ferry_completion completion;
    *events = 0;
    assert_status(ferry_engine_create(options, &engine), FERRY_OK);
    assert_status(ferry_queue_create(engine, NULL, &queue), FERRY_OK);
    ferry_prepare_nop(&request);
    assert_status(ferry_queue_submit(queue, &request, 1, NULL, NULL), FERRY_OK);
    assert_status(ferry_engine_run(engine, FERRY_FOREVER, 0, NULL), FERRY_OK);
    assert_int_equal(ferry_queue_reap(queue, &completion, 1), 1);
    destroy_engine(engine);
    return *events;
}

/* A program of before the trace hook has something else where the hook lies now. */
static void an_older_struct_has_no_trace_hook(void **state) {
    (void)state;
    int events;
    ferry_engine_options options = {
        .struct_size = sizeof options, .trace = count_event, .trace_user_data = &events};
    assert_int_equal(events_of_a_nop(&options), 2);
    options.struct_size = FIRST_SIZE;
    assert_int_equal(events_of_a_nop(&options), 0);
}

static void *refuse(size_t size, void *user_data) {
    (void)size;
    (void)user_data;
    return NULL;
}

static void options_out_of_range(void **state) {
    (void)state;
    const ferry_engine_options good = {.struct_size = sizeof good};
    ferry_engine_options bad = good;
    bad.flags = 2;
    assert_status(try_options(&bad), FERRY_E_UNSUPPORTED);
    bad.flags = 1u << 31;
    assert_status(try_options(&bad), FERRY_E_UNSUPPORTED);
    bad.flags = FERRY_ENGINE_ANY_THREAD;
    bad.shards = 1;
    assert_status(try_options(&bad), FERRY_E_INVALID);
    bad = good;
    bad.shards = 65;
    assert_status(try_options(&bad), FERRY_E_INVALID);
    bad.shards = UINT32_MAX;
    assert_status(try_options(&bad), FERRY_E_INVALID);
    bad = good;
    bad.ops_max = 4194304;
    assert_status(try_options(&bad), FERRY_E_INVALID);
    bad = good;
    bad.handles_max = 4194304;
    assert_status(try_options(&bad), FERRY_E_INVALID);
    bad = good;
    bad.workers_max = 257;
    assert_status(try_options(&bad), FERRY_E_INVALID);
    bad = good;
    bad.name_workers_max = 257;
    assert_status(try_options(&bad), FERRY_E_INVALID);
    bad.name_workers_max = UINT32_MAX;
    assert_status(try_options(&bad), FERRY_E_INVALID);
    bad = good;
    bad.driver = FERRY_DRIVER_SIM + 1;
    assert_status(try_options(&bad), FERRY_E_UNSUPPORTED);
    bad.driver = UINT32_MAX;
    assert_status(try_options(&bad), FERRY_E_UNSUPPORTED);
    bad = good;
    bad.ring_without = UINT64_C(1) << 63;
    assert_status(try_options(&bad), FERRY_E_UNSUPPORTED);
    bad = good;
    bad.buffer_bytes_max = 64 * 1024 - 1;
    assert_status(try_options(&bad), FERRY_E_INVALID);
    bad = good;
    bad.allocate = refuse;
    assert_status(try_options(&bad), FERRY_E_INVALID);
    bad = good;
    bad.free = counting_free;
    assert_status(try_options(&bad), FERRY_E_INVALID);
    assert_status(ferry_engine_create(&good, NULL), FERRY_E_INVALID);
}

static void options_at_their_ends(void **state) {
    (void)state;
    ferry_engine_options options = {.struct_size = sizeof options,
                                    .ops_max = 1,
                                    .handles_max = 1,
                                    .workers_max = 1,
                                    .buffer_bytes_max = 64 * 1024,
                                    .name_workers_max = 1};
    assert_status(try_options(&options), FERRY_OK);
    options = (ferry_engine_options){.struct_size = sizeof options,
                                     .ops_max = 4194303,
                                     .handles_max = 4194303,
                                     .workers_max = 256,
                                     .buffer_bytes_max = UINT64_C(1) << 40,
                                     .name_workers_max = 256};
    assert_status_either(try_options(&options), FERRY_OK, FERRY_E_NO_MEMORY);
    options = (ferry_engine_options){.struct_size = sizeof options, .shards = 64};
    assert_status(try_options(&options), FERRY_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        PLAIN(options_of_another_size),
        PLAIN(an_older_struct_has_no_trace_hook),
        PLAIN(options_out_of_range),
        PLAIN(options_at_their_ends),
    };
    return RUN_SUITE(tests);
}
