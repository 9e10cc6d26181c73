#include "steps.h"

ferry_queue *make_queue(fixture *f, uint32_t mode, uint32_t capacity) {
    ferry_queue_options options = {
        .struct_size = sizeof options, .mode = mode, .capacity = capacity};
    ferry_queue *queue = NULL;
    assert_status(ferry_queue_create(f->engine, &options, &queue), FERRY_OK);
    assert_non_null(queue);
    return queue;
}

void submit_nops(fixture *f, ferry_queue *queue, size_t count, ferry_op *ops_out) {
    for (size_t i = 0; i < count; i++) {
        ferry_request request;
        ferry_prepare_nop(&request);
        request.tag = i;
        assert_status(referee_submit(f->judge, queue, &request, 1, &ops_out[i], NULL), FERRY_OK);
    }
}

void complete_nops(fixture *f, ferry_queue *queue, size_t count) {
    for (size_t i = 0; i < count; i++) {
        ferry_request request;
        ferry_prepare_nop(&request);
        request.tag = i;
        assert_status(referee_submit(f->judge, queue, &request, 1, NULL, NULL), FERRY_OK);
        assert_status(ferry_engine_run(f->engine, 0, 0, NULL), FERRY_OK);
    }
}

void run_until_idle(fixture *f) {
    for (int i = 0; i < 10; i++) {
        assert_status(ferry_engine_run(f->engine, 0, 0, NULL), FERRY_OK);
    }
}

ferry_op start_receive(fixture *f, ferry_handle stream, void *memory, size_t size) {
    ferry_request request;
    ferry_prepare_stream_receive(&request, stream, memory, size);
    return fixture_submit(f, &request);
}

ferry_op start_receive_all(fixture *f, ferry_handle stream) {
    ferry_request request;
    ferry_prepare_stream_receive_multishot(&request, stream);
    return fixture_submit(f, &request);
}

void expect_pattern(fixture *f, ferry_op op, size_t position, size_t size) {
    size_t done = 0;
    while (done < size) {
        ferry_completion some = fixture_next(f, op);
        assert_status(some.status, FERRY_OK);
        assert_int_equal(some.flags, FERRY_MORE | FERRY_BUFFER);
        assert_true(pattern_matches(some.data, (size_t)some.result, position + done));
        done += (size_t)some.result;
        fixture_release(f, &some);
    }
    assert_int_equal(done, size);
}
