/* Requests made of requests: what each composition does, and what it does when it is cut short. */
#include "fixture.h"

#include <string.h>

static const ferry_completion *child(const ferry_completion *whole, size_t index) {
    assert_true(whole->flags & FERRY_BUFFER || whole->buffer == FERRY_NONE);
    assert_true((size_t)whole->result >= (index + 1) * sizeof(ferry_completion));
    return (const ferry_completion *)whole->data + index;
}

/* What is cut short before it began has nothing to tell of its children. */
static bool had_begun(const ferry_completion *whole) {
    if (whole->result == 0) {
        assert_null(whole->data);
        assert_int_equal(whole->flags & FERRY_BUFFER, 0);
    }
    return whole->result != 0;
}

static void timer_after(ferry_request *request, uint64_t delay_ns, uint64_t tag) {
    ferry_prepare_timer(request, delay_ns, 0);
    request->tag = tag;
}

/* Cannot succeed. */
static void failing(fixture *f, ferry_request *request) {
    ferry_prepare_file_load(request, fixture_path(f, "nowhere"), 0);
}

static void a_chain_runs_one_after_the_other(void **state) {
    fixture *f = fixture_open(state);
    ferry_request steps[3];
    ferry_request request;
    for (uint64_t i = 0; i < 3; i++) {
        timer_after(&steps[i], MS, 10 + i);
    }
    ferry_prepare_chain(&request, steps, 3);
    ferry_completion whole = fixture_do(f, &request);
    assert_status(whole.status, FERRY_OK);
    assert_int_equal(whole.result, 3 * sizeof(ferry_completion));
    for (size_t i = 0; i < 3; i++) {
        assert_status(child(&whole, i)->status, FERRY_OK);
        assert_int_equal(child(&whole, i)->tag, 10 + i);
        assert_int_equal(child(&whole, i)->opcode, FERRY_OP_TIMER);
        assert_int_equal(child(&whole, i)->op, FERRY_NONE);
    }
    fixture_release(f, &whole);
    assert_info(f, buffers_lent, 0);
}

static void a_chain_stops_at_the_first_failure(void **state) {
    fixture *f = fixture_open(state);
    ferry_request steps[3];
    ferry_request request;
    timer_after(&steps[0], 0, 0);
    failing(f, &steps[1]);
    timer_after(&steps[2], HOUR, 2);
    ferry_prepare_chain(&request, steps, 3);
    ferry_completion whole = fixture_do(f, &request);
    assert_status(whole.status, FERRY_E_NOT_FOUND);
    assert_int_not_equal(whole.os_error, 0);
    assert_status(child(&whole, 0)->status, FERRY_OK);
    assert_status(child(&whole, 1)->status, FERRY_E_NOT_FOUND);
    assert_status(child(&whole, 2)->status, FERRY_E_CANCELED);
    assert_int_equal(child(&whole, 2)->tag, 2);
    fixture_release(f, &whole);
}

/* Connect, send, receive, close: each works on what the first one opened. */
static void a_handle_is_passed_on(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    int listener = fixture_keep(f, peer_listen(&port));
    ferry_address address = loopback(port);
    char *answer = fixture_memory(f, 4);
    ferry_request steps[4];
    ferry_request request;
    ferry_prepare_tcp_connect(&steps[0], &address);
    ferry_prepare_stream_send(&steps[1], ferry_child_handle(0, 0), "ping", 4);
    ferry_prepare_stream_receive(&steps[2], ferry_child_handle(0, 0), answer, 4);
    ferry_prepare_handle_close(&steps[3], ferry_child_handle(0, 0));
    ferry_prepare_chain(&request, steps, 4);
    ferry_op op = fixture_submit(f, &request);
    fixture_turn(f, MS);
    int peer = fixture_keep(f, peer_accept(listener));
    char got[4];
    fixture_until_readable(f, peer);
    peer_receive(peer, got, 4);
    assert_memory_equal(got, "ping", 4);
    peer_send(peer, "pong", 4);
    ferry_completion whole = fixture_final(f, op);
    assert_status(whole.status, FERRY_OK);
    assert_memory_equal(answer, "pong", 4);
    fixture_release(f, &whole);
    assert_info(f, handles_open, 0);
}

static void a_failed_chain_closes_what_it_opened(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    int listener = fixture_keep(f, peer_listen(&port));
    ferry_address address = loopback(port);
    ferry_request steps[2];
    ferry_request request;
    ferry_prepare_tcp_connect(&steps[0], &address);
    failing(f, &steps[1]);
    ferry_prepare_chain(&request, steps, 2);
    ferry_completion whole = fixture_do(f, &request);
    assert_status(whole.status, FERRY_E_NOT_FOUND);
    assert_status(child(&whole, 0)->status, FERRY_OK);
    assert_int_equal(child(&whole, 0)->handle, FERRY_NONE);
    fixture_release(f, &whole);
    assert_info(f, handles_open, 0);
    int peer = fixture_keep(f, peer_accept(listener));
    assert_true(peer_sees_end(peer));
}

static void all_wait_for_the_last(void **state) {
    fixture *f = fixture_open(state);
    ferry_request steps[3];
    ferry_request request;
    timer_after(&steps[0], 3 * MS, 0);
    failing(f, &steps[1]);
    timer_after(&steps[2], MS, 2);
    ferry_prepare_all(&request, steps, 3);
    ferry_completion whole = fixture_do(f, &request);
    assert_status(whole.status, FERRY_E_NOT_FOUND);
    assert_status(child(&whole, 0)->status, FERRY_OK);
    assert_status(child(&whole, 1)->status, FERRY_E_NOT_FOUND);
    assert_status(child(&whole, 2)->status, FERRY_OK);
    fixture_release(f, &whole);
}

static void a_race_ends_with_the_first(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_request steps[3];
    ferry_request request;
    timer_after(&steps[0], HOUR, 0);
    timer_after(&steps[1], MS, 1);
    ferry_prepare_stream_receive(&steps[2], stream, fixture_memory(f, 8), 8);
    ferry_prepare_race(&request, steps, 3);
    ferry_completion whole = fixture_do(f, &request);
    assert_status(whole.status, FERRY_OK);
    assert_status(child(&whole, 0)->status, FERRY_E_CANCELED);
    assert_status(child(&whole, 1)->status, FERRY_OK);
    assert_int_equal(child(&whole, 1)->flags, FERRY_WINNER);
    assert_status(child(&whole, 2)->status, FERRY_E_CANCELED);
    assert_int_equal(child(&whole, 2)->flags, FERRY_REUSABLE);
    fixture_release(f, &whole);
}

static void a_retry_ends_with_the_last_attempt(void **state) {
    fixture *f = fixture_open(state);
    ferry_request attempt;
    ferry_request request;
    failing(f, &attempt);
    ferry_prepare_retry(&request, &attempt, 4, MS, 2 * MS);
    ferry_completion whole = fixture_do(f, &request);
    assert_status(whole.status, FERRY_E_NOT_FOUND);
    assert_int_equal(whole.result, sizeof(ferry_completion));
    assert_status(child(&whole, 0)->status, FERRY_E_NOT_FOUND);
    fixture_release(f, &whole);
}

static void a_tree_is_cut_short_as_a_whole(void **state) {
    fixture *f = fixture_open(state);
    ferry_request leaves[2];
    ferry_request branches[2];
    ferry_request request;
    timer_after(&leaves[0], HOUR, 0);
    timer_after(&leaves[1], HOUR, 1);
    ferry_prepare_race(&branches[0], leaves, 2);
    timer_after(&branches[1], HOUR, 3);
    ferry_prepare_all(&request, branches, 2);
    ferry_op op = fixture_submit(f, &request);
    fixture_turn(f, MS);
    fixture_cancel(f, op);
    ferry_completion whole = fixture_final(f, op);
    assert_status(whole.status, FERRY_E_CANCELED);
    if (had_begun(&whole)) {
        assert_status(child(&whole, 0)->status, FERRY_E_CANCELED);
        assert_int_equal(child(&whole, 0)->flags & FERRY_BUFFER, 0);
        assert_status(child(child(&whole, 0), 1)->status, FERRY_E_CANCELED);
        fixture_release(f, &whole);
    }

    request.deadline_ns = 5 * MS;
    whole = fixture_do(f, &request);
    assert_status(whole.status, FERRY_E_TIMED_OUT);
    if (had_begun(&whole)) {
        assert_status(child(&whole, 1)->status, FERRY_E_TIMED_OUT);
        fixture_release(f, &whole);
    }

    branches[1].deadline_ns = MS;
    request.deadline_ns = 0;
    leaves[0].deadline_ns = 2 * MS;
    whole = fixture_do(f, &request);
    assert_status(whole.status, FERRY_E_TIMED_OUT);
    fixture_release(f, &whole);
    branches[1].deadline_ns = 0;
    leaves[0].deadline_ns = 0;
    op = fixture_submit(f, &request);
    fixture_turn(f, MS);
    fixture_shutdown(f);
    whole = fixture_final(f, op);
    assert_status(whole.status, FERRY_E_SHUTDOWN);
    if (had_begun(&whole)) {
        fixture_release(f, &whole);
    }
}

/* Children whose targets live on different shards run there. */
static void children_go_to_their_targets(void **state) {
    fixture *f = fixture_open(state);
    enum { STREAMS = 6 };
    int peers[STREAMS];
    ferry_request steps[STREAMS];
    ferry_request request;
    char *buffers = fixture_memory(f, STREAMS);
    for (int i = 0; i < STREAMS; i++) {
        ferry_handle stream = fixture_stream(f, &peers[i]);
        ferry_prepare_stream_receive(&steps[i], stream, buffers + i, 1);
    }
    ferry_prepare_all(&request, steps, STREAMS);
    ferry_op op = fixture_submit(f, &request);
    for (int i = 0; i < STREAMS; i++) {
        fixture_turn(f, MS);
        assert_false(fixture_has(f, op));
        peer_send(peers[i], "x", 1);
    }
    ferry_completion whole = fixture_final(f, op);
    assert_status(whole.status, FERRY_OK);
    for (size_t i = 0; i < STREAMS; i++) {
        assert_int_equal(child(&whole, i)->result, 1);
        assert_int_equal(child(&whole, i)->handle, steps[i].target);
    }
    fixture_release(f, &whole);
    for (int i = 0; i < 200; i++) {
        op = fixture_submit(f, &request);
        if (i % 3 != 0) {
            fixture_turn(f, 0);
        }
        fixture_cancel(f, op);
        whole = fixture_final(f, op);
        assert_status(whole.status, FERRY_E_CANCELED);
        if (had_begun(&whole)) {
            fixture_release(f, &whole);
        }
    }
    ferry_prepare_race(&request, steps, STREAMS);
    for (int i = 0; i < 200; i++) {
        op = fixture_submit(f, &request);
        peer_send(peers[i % STREAMS], "y", 1);
        if (i % 2 == 0) {
            peer_send(peers[(i + 1) % STREAMS], "y", 1);
        }
        whole = fixture_final(f, op);
        assert_status(whole.status, FERRY_OK);
        fixture_release(f, &whole);
    }
}

static void what_is_wrong_is_refused(void **state) {
    fixture *f = fixture_open(state);
    ferry_request steps[70];
    ferry_request request;
    for (int i = 0; i < 70; i++) {
        ferry_prepare_nop(&steps[i]);
    }
    ferry_prepare_chain(&request, NULL, 1);
    assert_status(fixture_fate(f, &request), FERRY_E_INVALID);
    ferry_prepare_chain(&request, steps, 0);
    assert_status(fixture_fate(f, &request), FERRY_E_INVALID);
    ferry_prepare_all(&request, steps, FERRY_CHILDREN_MAX + 1);
    assert_status(fixture_fate(f, &request), FERRY_E_LIMIT);
    ferry_prepare_timer(&steps[1], 1, 1);
    ferry_prepare_race(&request, steps, 2);
    assert_status(fixture_fate(f, &request), FERRY_E_INVALID);
    ferry_prepare_handle_close(&steps[1], ferry_child_handle(1, 0));
    assert_status(fixture_fate(f, &request), FERRY_E_INVALID);
    ferry_prepare_chain(&request, steps, 2);
    assert_status(fixture_fate(f, &request), FERRY_E_INVALID);
    steps[1].target = ferry_child_handle(0, 1);
    assert_status(fixture_fate(f, &request), FERRY_E_INVALID);
    /* A nop opens nothing that could be closed. */
    steps[1].target = ferry_child_handle(0, 0);
    assert_status(fixture_fate(f, &request), FERRY_E_INVALID);
    ferry_prepare_all(&steps[0], &steps[5], 1);
    assert_status(fixture_fate(f, &request), FERRY_E_BAD_HANDLE);
    ferry_prepare_nop(&steps[0]);
    steps[0].callback_u64 = 1;
    assert_status(fixture_fate(f, &request), FERRY_E_INVALID);
    ferry_prepare_handle_close(&request, ferry_child_handle(0, 0));
    assert_status(fixture_fate(f, &request), FERRY_E_BAD_HANDLE);
    ferry_prepare_retry(&request, NULL, 1, 0, 0);
    assert_status(fixture_fate(f, &request), FERRY_E_INVALID);
    assert_int_equal(ferry_child_handle(FERRY_CHILDREN_MAX, 0), FERRY_NONE);
    assert_int_equal(ferry_child_handle(0, FERRY_DEPTH_MAX), FERRY_NONE);
}

static void depth_is_bounded(void **state) {
    fixture *f = fixture_open(state);
    ferry_request levels[FERRY_DEPTH_MAX + 2];
    ferry_prepare_nop(&levels[0]);
    for (size_t i = 1; i <= FERRY_DEPTH_MAX + 1; i++) {
        ferry_prepare_chain(&levels[i], &levels[i - 1], 1);
    }
    ferry_completion whole = fixture_do(f, &levels[FERRY_DEPTH_MAX]);
    assert_status(whole.status, FERRY_OK);
    const ferry_completion *at = &whole;
    for (size_t i = 0; i < FERRY_DEPTH_MAX; i++) {
        at = child(at, 0);
        assert_status(at->status, FERRY_OK);
    }
    assert_int_equal(at->opcode, FERRY_OP_NOP);
    fixture_release(f, &whole);
    assert_status(fixture_fate(f, &levels[FERRY_DEPTH_MAX + 1]), FERRY_E_LIMIT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EVERY_DRIVE(a_chain_runs_one_after_the_other),
        ON_EVERY_DRIVE(a_chain_stops_at_the_first_failure),
        ON_EVERY_DRIVE(a_handle_is_passed_on),
        ON_EACH_SHARDS(a_failed_chain_closes_what_it_opened),
        ON_EVERY_DRIVE(all_wait_for_the_last),
        ON_EVERY_DRIVE(a_race_ends_with_the_first),
        ON_EACH_SHARDS(a_retry_ends_with_the_last_attempt),
        ON_EVERY_DRIVE(a_tree_is_cut_short_as_a_whole),
        ON_EVERY_DRIVE(children_go_to_their_targets),
        ON_EACH_SHARDS(what_is_wrong_is_refused),
        ON_EACH_SHARDS(depth_is_bounded),
    };
    return RUN_SUITE(tests);
}
