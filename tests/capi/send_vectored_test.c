/*
 * Sending several pieces as one: in order among other sends, continued at the right byte of the
 * right piece, and counted exactly when it cannot go on.
 */
#include "fixture.h"

#include <sys/socket.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { MANY = 1000 };

static ferry_op start(fixture *f, ferry_handle stream, const ferry_slice *slices, size_t count) {
    ferry_request request;
    ferry_prepare_stream_send_vectored(&request, stream, slices, count);
    return fixture_submit(f, &request);
}

static void sends_all_pieces(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_slice slices[] = {{.data = "one ", .size = 4},   {.data = NULL, .size = 0},
                            {.data = "two", .size = 3},    {.data = "unused", .size = 0},
                            {.data = " three", .size = 6}, {.data = "", .size = 0}};
    ferry_op op = start(f, stream, slices, 6);
    memset(slices, 0xee, sizeof slices); /* Only what they point to is pinned. */
    ferry_completion sent = fixture_final(f, op);
    assert_status(sent.status, FERRY_OK);
    assert_int_equal(sent.result, 13);
    char got[13];
    peer_receive(peer, got, 13);
    assert_memory_equal(got, "one two three", 13);
}

static void it_keeps_its_place_among_sends(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_slice slices[3] = {
        {.data = "b", .size = 1}, {.data = "cc", .size = 2}, {.data = "d", .size = 1}};
    ferry_request requests[30];
    ferry_op ops[30];
    for (size_t i = 0; i < 30; i++) {
        if (i % 2 == 0) {
            ferry_prepare_stream_send(&requests[i], stream, "aa", 2);
        } else {
            ferry_prepare_stream_send_vectored(&requests[i], stream, slices, 3);
        }
        requests[i].tag = i;
    }
    fixture_submit_all(f, requests, 30, ops);
    for (size_t i = 0; i < 30; i++) {
        ferry_completion sent = fixture_next_any(f);
        assert_status(sent.status, FERRY_OK);
        assert_int_equal(sent.tag, i);
    }
    for (size_t i = 0; i < 15; i++) {
        char got[6];
        peer_receive(peer, got, 6);
        assert_memory_equal(got, "aabccd", 6);
    }
}

typedef struct reader {
    int fd;
    size_t size;
    bool matches;
} reader;

static void *read_slowly(void *argument) {
    reader *r = argument;
    static unsigned char piece[7777];
    r->matches = true;
    for (size_t done = 0; done < r->size;) {
        size_t size = r->size - done < sizeof piece ? r->size - done : sizeof piece;
        peer_receive(r->fd, piece, size);
        r->matches = r->matches && pattern_matches(piece, size, done);
        done += size;
        if (done % 64 == 0) {
            sleep_ns(MS);
        }
    }
    return NULL;
}

static void many_pieces_reach_a_slow_reader(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_narrow_stream(f, &peer);
    ferry_slice *slices = fixture_memory(f, MANY * sizeof *slices);
    size_t total = 0;
    for (size_t i = 0; i < MANY; i++) {
        slices[i].size = (i * 7919) % 9000;
        slices[i].data = fixture_memory(f, slices[i].size + 1);
        pattern_fill(slices[i].data, slices[i].size, total);
        total += slices[i].size;
    }
    reader slow = {.fd = peer, .size = total};
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, read_slowly, &slow) == 0);
    ferry_completion sent = fixture_final(f, start(f, stream, slices, MANY));
    pthread_join(thread, NULL);
    assert_status(sent.status, FERRY_OK);
    assert_int_equal(sent.result, total);
    assert_true(slow.matches);
}

/* Three pieces, the second larger than any socket buffers: it is stuck within it. */
static ferry_op start_stuck(fixture *f, ferry_handle stream, uint64_t deadline_ns) {
    ferry_slice slices[3];
    size_t position = 0;
    for (size_t i = 0; i < 3; i++) {
        slices[i].size = i == 1 ? FIXTURE_STUCK_SIZE : 1000;
        slices[i].data = fixture_memory(f, slices[i].size);
        pattern_fill(slices[i].data, slices[i].size, position);
        position += slices[i].size;
    }
    ferry_request request;
    ferry_prepare_stream_send_vectored(&request, stream, slices, 3);
    request.deadline_ns = deadline_ns;
    return fixture_submit(f, &request);
}

static void expect_as_sent(fixture *f, int peer, const ferry_completion *ended) {
    assert_true(ended->result > 0 && ended->result < FIXTURE_STUCK_SIZE);
    assert_int_equal(ended->flags & FERRY_REUSABLE, 0);
    unsigned char *got = fixture_memory(f, FIXTURE_STUCK_SIZE);
    size_t size = peer_receive_all(peer, got, FIXTURE_STUCK_SIZE);
    assert_int_equal(size, ended->result);
    assert_true(pattern_matches(got, size, 0));
}

static void a_stuck_one_tells_its_bytes(void **state) {
    fixture *f = fixture_open(state);
    for (int how = 0; how < 3; how++) {
        int peer;
        ferry_handle stream = fixture_narrow_stream(f, &peer);
        ferry_op op = start_stuck(f, stream, how == 0 ? 100 * MS : 0);
        fixture_until_readable(f, peer);
        if (how == 1) {
            fixture_cancel(f, op);
        } else if (how == 2) {
            fixture_close_handle(f, stream);
        }
        ferry_completion ended = fixture_final(f, op);
        static const ferry_status expected[] = {FERRY_E_TIMED_OUT, FERRY_E_CANCELED,
                                                FERRY_E_CLOSED};
        assert_status(ended.status, expected[how]);
        if (how < 2) {
            fixture_close_handle(f, stream);
        }
        expect_as_sent(f, peer, &ended);
    }
}

static void a_reset_fails_it(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    int listener = fixture_keep(f, peer_listen_small(&port));
    ferry_address address = loopback(port);
    ferry_request request;
    ferry_prepare_tcp_connect(&request, &address);
    ferry_handle stream = fixture_do(f, &request).handle;
    int peer = peer_accept(listener);
    ferry_op op = start_stuck(f, stream, 0);
    fixture_until_readable(f, peer);
    peer_reset(peer);
    ferry_completion ended = fixture_final(f, op);
    assert_status_either(ended.status, FERRY_E_CONNECTION_RESET, FERRY_E_BROKEN_PIPE);
    assert_int_not_equal(ended.os_error, 0);
    fixture_close_handle(f, stream);
    ferry_slice slice = {.data = "x", .size = 1};
    assert_status(fixture_final(f, start(f, stream, &slice, 1)).status, FERRY_E_STALE);
}

static void bad_slices_are_refused(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_request request;
    ferry_slice slices[2] = {{.data = "a", .size = 1}, {.data = "b", .size = 1}};
    ferry_prepare_stream_send_vectored(&request, stream, NULL, 1);
    assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_INVALID);
    ferry_prepare_stream_send_vectored(&request, stream, slices, 0);
    assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_INVALID);
    ferry_prepare_stream_send_vectored(&request, stream, slices, FERRY_SLICES_MAX + 1);
    assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_INVALID);
    ferry_prepare_stream_send_vectored(&request, stream, slices, 2);
    request.params.slices.offset = 1;
    assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_UNSUPPORTED);
    request.params.slices.offset = 0;
    slices[1].data = NULL;
    assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_INVALID);
    slices[0].size = slices[1].size = 0;
    assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_INVALID);
    slices[1].data = "b";
    slices[0].size = slices[1].size = (uint64_t)1 << 63;
    assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EVERY_DRIVE(sends_all_pieces),
        ON_EVERY_DRIVE(it_keeps_its_place_among_sends),
        ON_EVERY_DRIVE(many_pieces_reach_a_slow_reader),
        ON_EACH_SHARDS(a_stuck_one_tells_its_bytes),
        ON_EACH_SHARDS(a_reset_fails_it),
        ON_EACH_SHARDS(bad_slices_are_refused),
    };
    return RUN_SUITE(tests);
}
