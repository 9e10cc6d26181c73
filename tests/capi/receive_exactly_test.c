/*
 * Receiving exactly so many bytes: it takes as many receives as it needs, and says how many bytes it
 * had when it could not go on.
 */
#include "fixture.h"

#include <sys/socket.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LARGE = 4 * 1024 * 1024 };

static ferry_op start(fixture *f, ferry_handle stream, void *memory, size_t size) {
    ferry_request request;
    ferry_prepare_stream_receive_exactly(&request, stream, memory, size);
    return fixture_submit(f, &request);
}

static void waits_until_all_has_come(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    char *memory = fixture_memory(f, 16);
    memset(memory, '-', 16);
    ferry_op op = start(f, stream, memory, 10);
    for (int i = 0; i < 3; i++) {
        peer_send(peer, "abc", 3);
        fixture_linger(f, 2 * MS);
        assert_false(fixture_has(f, op));
    }
    peer_send(peer, "defg", 4);
    ferry_completion got = fixture_final(f, op);
    assert_status(got.status, FERRY_OK);
    assert_int_equal(got.result, 10);
    assert_int_equal(got.flags, 0);
    assert_memory_equal(memory, "abcabcabcd------", 16);
    assert_int_equal(fixture_final(f, start(f, stream, memory, 3)).result, 3);
    assert_memory_equal(memory, "efg", 3);
}

static void receives_much(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    unsigned char *memory = fixture_memory(f, LARGE);
    unsigned char *data = fixture_memory(f, LARGE);
    pattern_fill(data, LARGE, 0);
    ferry_op op = start(f, stream, memory, LARGE);
    for (size_t sent = 0; sent < LARGE;) {
        sent += peer_send_what_fits(peer, data + sent, LARGE - sent);
        fixture_turn(f, MS);
    }
    ferry_completion got = fixture_final(f, op);
    assert_status(got.status, FERRY_OK);
    assert_int_equal(got.result, LARGE);
    assert_true(pattern_matches(memory, LARGE, 0));
}

static void an_early_end_is_told_with_its_bytes(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    char *memory = fixture_memory(f, 16);
    peer_send(peer, "abc", 3);
    shutdown(peer, SHUT_WR);
    ferry_completion got = fixture_final(f, start(f, stream, memory, 4));
    assert_status(got.status, FERRY_E_END);
    assert_int_equal(got.result, 3);
    assert_memory_equal(memory, "abc", 3);
    got = fixture_final(f, start(f, stream, memory, 4));
    assert_status(got.status, FERRY_E_END);
    assert_int_equal(got.result, 0);
}

static void a_canceled_one_tells_its_bytes(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    char *memory = fixture_memory(f, 16);
    ferry_op op = start(f, stream, memory, 4);
    fixture_cancel(f, op);
    ferry_completion got = fixture_final(f, op);
    assert_status(got.status, FERRY_E_CANCELED);
    assert_int_equal(got.result, 0);
    assert_int_equal(got.flags, FERRY_REUSABLE);
    peer_send(peer, "abc", 3);
    op = start(f, stream, memory, 4);
    fixture_linger(f, 5 * MS);
    fixture_cancel(f, op);
    got = fixture_final(f, op);
    assert_status(got.status, FERRY_E_CANCELED);
    /* On a slow machine the bytes may not have been taken yet. */
    assert_true(got.result == 3 || got.result == 0);
    assert_int_equal(got.flags, got.result == 0 ? FERRY_REUSABLE : 0);
}

static void a_deadline_and_a_close_end_it(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    char *memory = fixture_memory(f, 16);
    ferry_request request;
    ferry_prepare_stream_receive_exactly(&request, stream, memory, 4);
    request.deadline_ns = 5 * MS;
    ferry_completion got = fixture_do(f, &request);
    assert_status(got.status, FERRY_E_TIMED_OUT);
    assert_int_equal(got.flags, FERRY_REUSABLE);
    ferry_op op = start(f, stream, memory, 4);
    ferry_op second = start(f, stream, memory + 8, 4);
    assert_status(fixture_final(f, second).status, FERRY_E_BUSY);
    fixture_close_handle(f, stream);
    assert_status(fixture_final(f, op).status, FERRY_E_CLOSED);
    assert_status(fixture_final(f, start(f, stream, memory, 4)).status, FERRY_E_STALE);
}

static void a_reset_fails_it(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    int listener = fixture_keep(f, peer_listen(&port));
    ferry_address address = loopback(port);
    ferry_request request;
    ferry_prepare_tcp_connect(&request, &address);
    ferry_handle stream = fixture_do(f, &request).handle;
    int peer = peer_accept(listener);
    ferry_op op = start(f, stream, fixture_memory(f, 16), 16);
    fixture_linger(f, 2 * MS);
    peer_reset(peer);
    ferry_completion got = fixture_final(f, op);
    assert_status(got.status, FERRY_E_CONNECTION_RESET);
    assert_int_equal(got.os_error, ECONNRESET);
}

static void bad_sizes_are_refused(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_request request;
    ferry_prepare_stream_receive_exactly(&request, stream, NULL, 16);
    assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_INVALID);
    ferry_prepare_stream_receive_exactly(&request, stream, &request, 0);
    assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_INVALID);
    ferry_prepare_stream_receive_exactly(&request, stream, &request, SIZE_MAX);
    assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_INVALID);
    ferry_prepare_stream_receive_exactly(&request, stream, &request, 8);
    request.flags = FERRY_LEND;
    assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_UNSUPPORTED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EVERY_DRIVE(waits_until_all_has_come),
        ON_EVERY_DRIVE(receives_much),
        ON_EVERY_DRIVE(an_early_end_is_told_with_its_bytes),
        ON_EVERY_DRIVE(a_canceled_one_tells_its_bytes),
        ON_EVERY_DRIVE(a_deadline_and_a_close_end_it),
        ON_EVERY_DRIVE(a_reset_fails_it),
        ON_EACH_SHARDS(bad_sizes_are_refused),
    };
    return RUN_SUITE(tests);
}
