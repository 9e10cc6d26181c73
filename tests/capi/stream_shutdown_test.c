/* Ending the sending side: after what was sent before, for good, and without harm to receiving. */
#include "fixture.h"

#include <sys/socket.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>

static ferry_op start(fixture *f, ferry_handle stream) {
    ferry_request request;
    ferry_prepare_stream_shutdown(&request, stream);
    return fixture_submit(f, &request);
}

static void the_peer_sees_the_end(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_request requests[3];
    ferry_op ops[3];
    ferry_prepare_stream_send(&requests[0], stream, "last words", 10);
    ferry_prepare_stream_shutdown(&requests[1], stream);
    ferry_prepare_stream_send(&requests[2], stream, "too late", 8);
    fixture_submit_all(f, requests, 3, ops);
    assert_status(fixture_final(f, ops[0]).status, FERRY_OK);
    ferry_completion ended = fixture_final(f, ops[1]);
    assert_status(ended.status, FERRY_OK);
    assert_int_equal(ended.flags, 0);
    ferry_completion late = fixture_final(f, ops[2]);
    assert_status(late.status, FERRY_E_BROKEN_PIPE);
    assert_int_equal(late.result, 0);
    char got[32];
    assert_int_equal(peer_receive_all(peer, got, sizeof got), 10);
    assert_memory_equal(got, "last words", 10);
    /* The other direction goes on. */
    peer_send(peer, "answer", 6);
    char *memory = fixture_memory(f, 16);
    ferry_prepare_stream_receive(&requests[0], stream, memory, 16);
    assert_int_equal(fixture_do(f, &requests[0]).result, 6);
    /* Again is fine. */
    assert_status(fixture_final(f, start(f, stream)).status, FERRY_OK);
}

static void *read_all(void *argument) {
    static unsigned char piece[65536];
    int fd = *(int *)argument;
    while (recv(fd, piece, sizeof piece, 0) > 0) {
    }
    return NULL;
}

static void it_waits_for_the_sends_before_it(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_narrow_stream(f, &peer);
    ferry_op stuck = fixture_stuck_send(f, stream, 0);
    ferry_op op = start(f, stream);
    fixture_until_readable(f, peer);
    fixture_linger(f, 3 * MS);
    assert_false(fixture_has(f, op));
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, read_all, &peer) == 0);
    assert_status(fixture_final(f, stuck).status, FERRY_OK);
    assert_status(fixture_final(f, op).status, FERRY_OK);
    pthread_join(thread, NULL);
}

static void a_waiting_one_can_be_ended(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_narrow_stream(f, &peer);
    ferry_op stuck = fixture_stuck_send(f, stream, 0);
    ferry_op op = start(f, stream);
    fixture_until_readable(f, peer);
    fixture_cancel(f, op);
    ferry_completion ended = fixture_final(f, op);
    assert_status(ended.status, FERRY_E_CANCELED);
    assert_int_equal(ended.flags, FERRY_REUSABLE);
    ferry_request request;
    ferry_prepare_stream_shutdown(&request, stream);
    request.deadline_ns = 5 * MS;
    assert_status(fixture_do(f, &request).status, FERRY_E_TIMED_OUT);
    op = start(f, stream);
    fixture_turn(f, MS);
    fixture_close_handle(f, stream);
    assert_status(fixture_final(f, op).status, FERRY_E_CLOSED);
    assert_status(fixture_final(f, stuck).status, FERRY_E_CLOSED);
    assert_status(fixture_final(f, start(f, stream)).status, FERRY_E_STALE);
}

/* What takes the sends before it down takes it along; without any, there is nothing to end. */
static void a_reset_stream_cannot_be_ended(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    int listener = fixture_keep(f, peer_listen_small(&port));
    for (int with_send = 0; with_send < 2; with_send++) {
        ferry_address address = loopback(port);
        ferry_request request;
        ferry_prepare_tcp_connect(&request, &address);
        ferry_handle stream = fixture_do(f, &request).handle;
        int peer = peer_accept(listener);
        ferry_op op = FERRY_NONE;
        if (with_send) {
            fixture_stuck_send(f, stream, 0);
            op = start(f, stream);
            fixture_until_readable(f, peer);
            peer_reset(peer);
        } else {
            peer_reset(peer);
            char *memory = fixture_memory(f, 8);
            ferry_prepare_stream_receive(&request, stream, memory, 8);
            assert_status(fixture_do(f, &request).status, FERRY_E_CONNECTION_RESET);
            op = start(f, stream);
        }
        ferry_completion ended = fixture_final(f, op);
        if (with_send) {
            assert_status_either(ended.status, FERRY_E_CONNECTION_RESET, FERRY_E_BROKEN_PIPE);
        } else {
            assert_status(ended.status, FERRY_E_NOT_CONNECTED);
            assert_int_equal(ended.os_error, ENOTCONN);
        }
        fixture_close_handle(f, stream);
    }
}

static void kinds_and_parameters_are_looked_at(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    ferry_request request;
    ferry_prepare_stream_shutdown(&request, fixture_listen(f, &port));
    assert_status(fixture_fate(f, &request), FERRY_E_WRONG_KIND);
    ferry_prepare_stream_shutdown(&request, FERRY_NONE);
    assert_status(fixture_fate(f, &request), FERRY_E_BAD_HANDLE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EVERY_DRIVE(the_peer_sees_the_end),
        ON_EVERY_DRIVE(it_waits_for_the_sends_before_it),
        ON_EVERY_DRIVE(a_waiting_one_can_be_ended),
        ON_EACH_SHARDS(a_reset_stream_cannot_be_ended),
        ON_EACH_SHARDS(kinds_and_parameters_are_looked_at),
    };
    return RUN_SUITE(tests);
}
