/*
 * Receiving on streams: into the host's memory or lent buffers, once or all that comes, and what is
 * told when it is cancelled or the peer goes.
 */
#include "steps.h"

#include <sys/socket.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SOME = 300 * 1000 };

static void peer_sends_pattern(int peer, size_t position, size_t size) {
    void *data = malloc(size);
    REQUIRE(data != NULL);
    pattern_fill(data, size, position);
    peer_send(peer, data, size);
    free(data);
}

static void receives_what_has_come(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    char *memory = fixture_memory(f, 16);
    memset(memory, '-', 16);
    peer_send(peer, "hello", 5);
    ferry_completion got = fixture_final(f, start_receive(f, stream, memory, 16));
    assert_status(got.status, FERRY_OK);
    assert_int_equal(got.result, 5);
    assert_int_equal(got.handle, stream);
    assert_memory_equal(memory, "hello-----------", 16);
}

static void receives_no_more_than_fits(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    char *memory = fixture_memory(f, 16);
    memset(memory, '-', 16);
    peer_send(peer, "0123456789", 10);
    assert_int_equal(fixture_final(f, start_receive(f, stream, memory, 4)).result, 4);
    assert_memory_equal(memory, "0123------------", 16);
    assert_int_equal(fixture_final(f, start_receive(f, stream, memory, 16)).result, 6);
    assert_memory_equal(memory, "456789", 6);
}

static void a_receive_waits_for_data(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    char *memory = fixture_memory(f, 16);
    ferry_op op = start_receive(f, stream, memory, 16);
    fixture_linger(f, 5 * MS);
    assert_false(fixture_has(f, op));
    peer_send(peer, "late", 4);
    assert_int_equal(fixture_final(f, op).result, 4);
}

static void a_second_receive_is_busy(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    char *memory = fixture_memory(f, 32);
    ferry_op first = start_receive(f, stream, memory, 16);
    ferry_op second = start_receive(f, stream, memory + 16, 16);
    assert_status(fixture_final(f, second).status, FERRY_E_BUSY);
    ferry_op third = start_receive_all(f, stream);
    assert_status(fixture_final(f, third).status, FERRY_E_BUSY);
    peer_send(peer, "first", 5);
    assert_int_equal(fixture_final(f, first).result, 5);
    assert_memory_equal(memory, "first", 5);
}

static void receives_all_in_lent_buffers(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_op op = start_receive_all(f, stream);
    for (size_t position = 0; position < SOME; position += SOME / 10) {
        peer_sends_pattern(peer, position, SOME / 10);
        expect_pattern(f, op, position, SOME / 10);
    }
    shutdown(peer, SHUT_WR);
    ferry_completion final = fixture_next(f, op);
    assert_status(final.status, FERRY_OK);
    assert_int_equal(final.flags, 0);
    assert_int_equal(final.result, 0);
    assert_info(f, buffers_lent, 0);
}

static void lent_data_stays_while_more_comes(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_op op = start_receive_all(f, stream);
    ferry_completion kept[8];
    for (size_t i = 0; i < 8; i++) {
        peer_sends_pattern(peer, i * 100, 100);
        kept[i] = fixture_next(f, op);
        assert_int_equal(kept[i].result, 100);
    }
    assert_info(f, buffers_lent, 8);
    for (size_t i = 0; i < 8; i++) {
        assert_true(pattern_matches(kept[i].data, 100, i * 100));
        fixture_release(f, &kept[i]);
    }
}

static void receives_once_into_a_lent_buffer(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_request request;
    ferry_prepare_stream_receive_multishot(&request, stream);
    request.flags &= ~(uint32_t)FERRY_MULTISHOT;
    ferry_op op = fixture_submit(f, &request);
    peer_send(peer, "one", 3);
    ferry_completion got = fixture_next(f, op);
    assert_int_equal(got.flags, FERRY_BUFFER);
    assert_int_equal(got.result, 3);
    assert_memory_equal(got.data, "one", 3);
    fixture_release(f, &got);
    op = fixture_submit(f, &request);
    shutdown(peer, SHUT_WR);
    got = fixture_next(f, op);
    assert_status(got.status, FERRY_OK);
    assert_int_equal(got.flags, 0);
    assert_int_equal(got.result, 0);
}

static void an_ended_receive_loses_no_byte(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    size_t position = 0;
    for (int round = 0; round < 10; round++) {
        ferry_op op = start_receive_all(f, stream);
        peer_sends_pattern(peer, (size_t)round * 5000, 5000);
        fixture_cancel(f, op);
        ferry_completion got = fixture_next(f, op);
        for (;;) {
            if ((got.flags & FERRY_BUFFER) != 0) {
                assert_true(pattern_matches(got.data, (size_t)got.result, position));
                position += (size_t)got.result;
                fixture_release(f, &got);
            }
            if ((got.flags & FERRY_MORE) == 0) {
                break;
            }
            got = fixture_next(f, op);
        }
        assert_status(got.status, FERRY_E_CANCELED);
        assert_int_equal(got.flags & FERRY_REUSABLE, FERRY_REUSABLE);
    }
    ferry_op op = start_receive_all(f, stream);
    expect_pattern(f, op, position, 50000 - position);
}

static void a_receive_in_time_out_loses_no_byte(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    char *memory = fixture_memory(f, 16);
    memset(memory, '-', 16);
    ferry_request request;
    ferry_prepare_stream_receive(&request, stream, memory, 8);
    request.deadline_ns = 6 * MS;
    uint64_t begin = now_ns();
    ferry_completion got = fixture_do(f, &request);
    assert_true(now_ns() - begin >= 6 * MS);
    assert_status(got.status, FERRY_E_TIMED_OUT);
    assert_int_equal(got.flags, FERRY_REUSABLE);
    assert_int_equal(got.result, 0);
    peer_send(peer, "still", 5);
    fixture_linger(f, 3 * MS);
    /* The memory of the ended receive is the test's again: nothing may be written into it. */
    assert_memory_equal(memory, "--------", 8);
    assert_int_equal(fixture_final(f, start_receive(f, stream, memory + 8, 8)).result, 5);
    assert_memory_equal(memory, "--------still---", 16);
}

static void the_end_of_the_stream_is_no_error(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    char *memory = fixture_memory(f, 16);
    peer_send(peer, "bye", 3);
    shutdown(peer, SHUT_WR);
    assert_int_equal(fixture_final(f, start_receive(f, stream, memory, 16)).result, 3);
    for (int i = 0; i < 2; i++) {
        ferry_completion end = fixture_final(f, start_receive(f, stream, memory, 16));
        assert_status(end.status, FERRY_OK);
        assert_int_equal(end.result, 0);
    }
    /* Half of it still works. */
    ferry_request request;
    ferry_prepare_stream_send(&request, stream, "answer", 6);
    assert_status(fixture_do(f, &request).status, FERRY_OK);
    peer_receive(peer, memory, 6);
    assert_memory_equal(memory, "answer", 6);
}

static void a_reset_fails_the_receive(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    int listener = fixture_keep(f, peer_listen(&port));
    for (int lend = 0; lend < 2; lend++) {
        ferry_address address = loopback(port);
        ferry_request request;
        ferry_prepare_tcp_connect(&request, &address);
        ferry_handle stream = fixture_do(f, &request).handle;
        int peer = peer_accept(listener);
        ferry_op op = lend ? start_receive_all(f, stream)
                           : start_receive(f, stream, fixture_memory(f, 16), 16);
        fixture_linger(f, 2 * MS);
        peer_reset(peer);
        ferry_completion got = fixture_final(f, op);
        assert_status(got.status, FERRY_E_CONNECTION_RESET);
        assert_int_equal(got.os_error, ECONNRESET);
        assert_int_equal(got.flags & FERRY_REUSABLE, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EVERY_DRIVE(receives_what_has_come),
        ON_EVERY_DRIVE(receives_no_more_than_fits),
        ON_EVERY_DRIVE(a_receive_waits_for_data),
        ON_EVERY_DRIVE(a_second_receive_is_busy),
        ON_EVERY_DRIVE(receives_all_in_lent_buffers),
        ON_EVERY_DRIVE(lent_data_stays_while_more_comes),
        ON_EVERY_DRIVE(receives_once_into_a_lent_buffer),
        ON_EVERY_DRIVE(an_ended_receive_loses_no_byte),
        ON_EVERY_DRIVE(a_receive_in_time_out_loses_no_byte),
        ON_EVERY_DRIVE(the_end_of_the_stream_is_no_error),
        ON_EVERY_DRIVE(a_reset_fails_the_receive),
    };
    return RUN_SUITE(tests);
}
