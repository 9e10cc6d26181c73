/* Closing: what was pending ends first, closing again is fine, and the handle never lives again. */
#include "steps.h"

#include <string.h>
#include <unistd.h>

static ferry_op start_close(fixture *f, ferry_handle handle) {
    ferry_request request;
    ferry_prepare_handle_close(&request, handle);
    return fixture_submit(f, &request);
}

static ferry_op start_accept(fixture *f, ferry_handle listener) {
    ferry_request request;
    ferry_prepare_tcp_accept(&request, listener);
    return fixture_submit(f, &request);
}

static void the_peer_sees_it(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_completion closed = fixture_final(f, start_close(f, stream));
    assert_status(closed.status, FERRY_OK);
    assert_int_equal(closed.result, 0);
    assert_int_equal(closed.handle, stream);
    assert_true(peer_sees_end(peer));
    assert_info(f, handles_open, 0);
}

static void what_is_pending_ends_first(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_narrow_stream(f, &peer);
    ferry_op receiving = start_receive_all(f, stream);
    ferry_op sending = fixture_stuck_send(f, stream, 0);
    ferry_request request;
    ferry_prepare_stream_send(&request, stream, "waiting", 7);
    ferry_op waiting = fixture_submit(f, &request);
    fixture_until_readable(f, peer);

    ferry_op closing = start_close(f, stream);
    bool seen[3] = {false, false, false};
    ferry_completion next = fixture_next_any(f);
    while (next.op != closing) {
        seen[0] = seen[0] || next.op == receiving;
        seen[1] = seen[1] || next.op == sending;
        seen[2] = seen[2] || next.op == waiting;
        assert_status(next.status, FERRY_E_CLOSED);
        next = fixture_next_any(f);
    }
    assert_true(seen[0] && seen[1] && seen[2]);
    assert_status(next.status, FERRY_OK);
}

static void a_listener_ends_its_accept_first(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    ferry_handle listener = fixture_listen(f, &port);
    ferry_op accepting = start_accept(f, listener);
    fixture_linger(f, 2 * MS);
    ferry_op closing = start_close(f, listener);
    ferry_completion first = fixture_next_any(f);
    ferry_completion second = fixture_next_any(f);
    assert_int_equal(first.op, accepting);
    assert_status(first.status, FERRY_E_CLOSED);
    assert_int_equal(second.op, closing);
    assert_status(second.status, FERRY_OK);
    assert_false(peer_can_connect(port));
}

static void connections_outlive_their_listener(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    ferry_handle listener = fixture_listen(f, &port);
    ferry_op accepting = start_accept(f, listener);
    int peer = fixture_keep(f, peer_connect(port));
    ferry_handle stream = fixture_next(f, accepting).handle;
    fixture_close_handle(f, listener);
    char got[2];
    ferry_request request;
    ferry_prepare_stream_send(&request, stream, "ok", 2);
    assert_status(fixture_do(f, &request).status, FERRY_OK);
    peer_receive(peer, got, 2);
}

static void closing_again_is_fine(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_op first = start_close(f, stream);
    ferry_op second = start_close(f, stream);
    assert_status(fixture_final(f, first).status, FERRY_OK);
    assert_status(fixture_final(f, second).status, FERRY_OK);
    assert_status(fixture_final(f, start_close(f, stream)).status, FERRY_OK);
    assert_status(referee_discard(f->judge, f->engine, stream), FERRY_OK);
}

static void a_closed_handle_is_stale(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    uint16_t port;
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_handle listener = fixture_listen(f, &port);
    fixture_close_handle(f, stream);
    fixture_close_handle(f, listener);
    char *memory = fixture_memory(f, 4);
    ferry_request requests[4];
    ferry_op ops[4];
    memset(memory, 0, 4);
    ferry_prepare_stream_receive(&requests[0], stream, memory, 4);
    ferry_prepare_stream_receive_multishot(&requests[1], stream);
    ferry_prepare_stream_send(&requests[2], stream, memory, 4);
    ferry_prepare_tcp_accept(&requests[3], listener);
    fixture_submit_all(f, requests, 4, ops);
    for (size_t i = 0; i < 4; i++) {
        assert_status(fixture_final(f, ops[i]).status, FERRY_E_STALE);
    }
}

static void a_stale_handle_never_means_its_successor(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle old = fixture_stream(f, &peer);
    fixture_close_handle(f, old);
    /* Slots are few and soon used again; the old name must stay dead. */
    for (int i = 0; i < 200; i++) {
        ferry_handle next = fixture_stream(f, &peer);
        ferry_request request;
        ferry_prepare_stream_send(&request, old, "x", 1);
        assert_status(fixture_fate(f, &request), FERRY_E_STALE);
        assert_status(fixture_final(f, start_close(f, old)).status, FERRY_OK);
        ferry_prepare_stream_send(&request, next, "y", 1);
        assert_status(fixture_fate(f, &request), FERRY_OK);
        fixture_close_handle(f, next);
        assert_true(peer_sees_end(peer));
    }
}

static void work_submitted_before_close_is_not_lost(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_request requests[2];
    ferry_op ops[2];
    ferry_prepare_stream_send(&requests[0], stream, "bye", 3);
    ferry_prepare_handle_close(&requests[1], stream);
    fixture_submit_all(f, requests, 2, ops);
    ferry_completion sent = fixture_final(f, ops[0]);
    assert_status(fixture_final(f, ops[1]).status, FERRY_OK);
    /* Close discards what was not sent; but what the result counts has arrived. */
    assert_status_either(sent.status, FERRY_OK, FERRY_E_CLOSED);
    char got[4];
    assert_int_equal(peer_receive_all(peer, got, sizeof got), sent.result);
}

static void discard_needs_no_slot(void **state) {
    ferry_engine_options few = {.ops_max = 4};
    fixture *f = fixture_open_with(state, &few, NULL);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_request request;
    ferry_prepare_timer(&request, HOUR, 0);
    while (fixture_try(f, &request, 1, NULL, NULL) == FERRY_OK) {
    }
    assert_status(referee_discard(f->judge, f->engine, stream), FERRY_OK);
    assert_status(referee_discard(f->judge, f->engine, stream), FERRY_OK);
    while (fixture_info(f).handles_open != 0) {
        fixture_turn(f, MS);
    }
    assert_true(peer_sees_end(peer));
}

static void discard_ends_what_is_pending(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_op op = start_receive_all(f, stream);
    fixture_linger(f, 2 * MS);
    assert_status(referee_discard(f->judge, f->engine, stream), FERRY_OK);
    assert_status(fixture_final(f, op).status, FERRY_E_CLOSED);
    fixture_linger(f, MS);
    assert_true(peer_sees_end(peer));
}

static void descriptors_are_given_back(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    ferry_handle listener = fixture_listen(f, &port);
    ferry_op accepting = start_accept(f, listener);
    size_t before = count_descriptors();
    for (int i = 0; i < 20; i++) {
        int peer = peer_connect(port);
        ferry_handle stream = fixture_next(f, accepting).handle;
        fixture_close_handle(f, stream);
        assert_true(peer_sees_end(peer));
        close(peer);
    }
    assert_int_equal(count_descriptors(), before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EVERY_DRIVE(the_peer_sees_it),
        ON_EVERY_DRIVE(what_is_pending_ends_first),
        ON_EVERY_DRIVE(a_listener_ends_its_accept_first),
        ON_EACH_SHARDS(connections_outlive_their_listener),
        ON_EVERY_DRIVE(closing_again_is_fine),
        ON_EVERY_DRIVE(a_closed_handle_is_stale),
        ON_EACH_SHARDS(a_stale_handle_never_means_its_successor),
        ON_EACH_SHARDS(work_submitted_before_close_is_not_lost),
        ON_EACH_SHARDS(discard_needs_no_slot),
        ON_EVERY_DRIVE(discard_ends_what_is_pending),
        ON_EACH_SHARDS(descriptors_are_given_back),
    };
    return RUN_SUITE(tests);
}
