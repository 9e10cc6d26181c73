/* The operation that does nothing: the shortest way there and back, in every way to drive it. */
#include "fixture.h"

#include <string.h>

enum { MANY = 300 };

static void completes_once(void **state) {
    fixture *f = fixture_open(state);
    ferry_request request;
    ferry_prepare_nop(&request);
    request.tag = UINT64_C(0xfeedfacecafebeef);
    ferry_completion completion = fixture_do(f, &request);
    assert_status(completion.status, FERRY_OK);
    assert_int_equal(completion.tag, UINT64_C(0xfeedfacecafebeef));
    assert_int_equal(completion.opcode, FERRY_OP_NOP);
    assert_int_equal(completion.result, 0);
    assert_int_equal(completion.flags, 0);
}

static void many_in_one_submit_complete_once_each(void **state) {
    fixture *f = fixture_open(state);
    ferry_request requests[MANY];
    ferry_op ops[MANY];
    for (size_t i = 0; i < MANY; i++) {
        ferry_prepare_nop(&requests[i]);
        requests[i].tag = i;
    }
    fixture_submit_all(f, requests, MANY, ops);
    for (size_t i = 0; i < MANY; i++) {
        ferry_completion completion = fixture_final(f, ops[i]);
        assert_status(completion.status, FERRY_OK);
        assert_int_equal(completion.tag, i);
    }
}

static void requests_may_change_after_submit(void **state) {
    fixture *f = fixture_open(state);
    ferry_request *request = fixture_memory(f, sizeof *request);
    ferry_prepare_nop(request);
    request->tag = 1;
    ferry_op op = fixture_submit(f, request);
    memset(request, 0xff, sizeof *request);
    assert_int_equal(fixture_final(f, op).tag, 1);
}

static void nothing_runs_inside_submit(void **state) {
    fixture *f = fixture_open(state);
    ferry_request request;
    ferry_prepare_nop(&request);
    /* The first turn binds the engine to this thread; what is submitted after it goes straight in. */
    for (int bound = 0; bound < 2; bound++) {
        ferry_op op = fixture_submit(f, &request);
        fixture_collect(f);
        assert_false(fixture_has(f, op));
        assert_int_equal(fixture_info(f).ops_in_flight, 1);
        fixture_turn(f, 0);
        assert_true(fixture_has(f, op));
        assert_info(f, ops_in_flight, 0);
        fixture_final(f, op);
    }
}

static void ids_and_counts_are_optional(void **state) {
    fixture *f = fixture_open(state);
    ferry_request request;
    ferry_completion out[2];
    ferry_prepare_nop(&request);
    /* Past the referee, who needs the ids. */
    assert_status(ferry_queue_submit(f->queue, &request, 1, NULL, NULL), FERRY_OK);
    assert_status(ferry_engine_run(f->engine, 0, 0, NULL), FERRY_OK);
    assert_int_equal(ferry_queue_reap(f->queue, out, 2), 1);
}

static void submitting_none_is_fine(void **state) {
    fixture *f = fixture_open(state);
    ferry_request request;
    size_t accepted = 7;
    ferry_prepare_nop(&request);
    assert_status(fixture_try(f, &request, 0, NULL, &accepted), FERRY_OK);
    assert_int_equal(accepted, 0);
    fixture_linger(f, 2 * MS);
    assert_int_equal(referee_seen(f->judge), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EVERY_DRIVE(completes_once),
        ON_EVERY_DRIVE(many_in_one_submit_complete_once_each),
        ON_EVERY_DRIVE(requests_may_change_after_submit),
        ON_HOST(nothing_runs_inside_submit),
        TEST_ON(nothing_runs_inside_submit, host_inline),
        TEST_ON(nothing_runs_inside_submit, host_mapped),
        ON_HOST(ids_and_counts_are_optional),
        ON_EACH_SHARDS(submitting_none_is_fine),
    };
    return RUN_SUITE(tests);
}
