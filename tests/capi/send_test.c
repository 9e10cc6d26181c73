/*
 * Sending on streams: all of it, in order, to peers that read slowly, not at all, or are gone.
 *
 * The other end is a plain socket of the test's: what a completion says was sent is compared with
 * what has arrived there.
 */
#include "steps.h"

#include <sys/socket.h>

#include <pthread.h>
#include <string.h>

enum { SENDS = 200, BIG = 8 * 1024 * 1024 };

/* --- Sending ------------------------------------------------------------------------------- */

static void sends(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    char got[5];
    ferry_request request;
    ferry_prepare_stream_send(&request, stream, "hello", 5);
    ferry_completion sent = fixture_do(f, &request);
    assert_status(sent.status, FERRY_OK);
    assert_int_equal(sent.result, 5);
    assert_int_equal(sent.handle, stream);
    assert_int_equal(sent.flags, 0);
    peer_receive(peer, got, 5);
    assert_memory_equal(got, "hello", 5);
}

static void copied_data_may_change_after_submit(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    unsigned char *data = fixture_memory(f, FERRY_COPY_MAX);
    unsigned char *got = fixture_memory(f, FERRY_COPY_MAX);
    static const size_t sizes[] = {1, 48, 100, 4096, FERRY_COPY_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        ferry_request request;
        pattern_fill(data, sizes[i], i);
        ferry_prepare_stream_send(&request, stream, data, sizes[i]);
        request.flags |= FERRY_COPY;
        ferry_op op = fixture_submit(f, &request);
        memset(data, 0xee, sizes[i]);
        ferry_completion sent = fixture_final(f, op);
        assert_status(sent.status, FERRY_OK);
        assert_int_equal(sent.result, sizes[i]);
        peer_receive(peer, got, sizes[i]);
        assert_true(pattern_matches(got, sizes[i], i));
    }
}

static void too_much_to_copy_is_refused(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    unsigned char *data = fixture_memory(f, FERRY_COPY_MAX + 1);
    ferry_request request;
    ferry_prepare_stream_send(&request, stream, data, FERRY_COPY_MAX + 1);
    request.flags |= FERRY_COPY;
    assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_LIMIT);
}

/* The i-th of many sends: sizes from a byte to more than a segment, some of them copied. */
static size_t size_of_send(size_t i) {
    return 1 + (i * 977) % 5000;
}

static void many_sends_arrive_in_order(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_request requests[SENDS];
    ferry_op ops[SENDS];
    size_t total = 0;
    for (size_t i = 0; i < SENDS; i++) {
        size_t size = size_of_send(i);
        unsigned char *data = fixture_memory(f, size);
        pattern_fill(data, size, total);
        ferry_prepare_stream_send(&requests[i], stream, data, size);
        requests[i].flags = i % 3 == 0 ? FERRY_COPY : 0;
        requests[i].tag = i;
        total += size;
    }
    fixture_submit_all(f, requests, SENDS, ops);
    for (size_t i = 0; i < SENDS; i++) {
        ferry_completion sent = fixture_next_any(f);
        assert_status(sent.status, FERRY_OK);
        assert_int_equal(sent.tag, i);
    }
    unsigned char *got = fixture_memory(f, total);
    peer_receive(peer, got, total);
    assert_true(pattern_matches(got, total, 0));
}

typedef struct reader {
    int fd;
    size_t size;
    bool matches;
} reader;

/* Reads little at a time and rests, so that the sender finds the socket full again and again. */
static void *read_slowly(void *argument) {
    reader *r = argument;
    static unsigned char piece[64 * 1024];
    size_t done = 0;
    r->matches = true;
    while (done < r->size) {
        size_t size = r->size - done < sizeof piece ? r->size - done : sizeof piece;
        peer_receive(r->fd, piece, size);
        r->matches = r->matches && pattern_matches(piece, size, done);
        done += size;
        if (done % (1024 * 1024) == 0) {
            sleep_ns(2 * MS);
        }
    }
    return NULL;
}

static void a_large_send_reaches_a_slow_reader(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_narrow_stream(f, &peer);
    unsigned char *data = fixture_memory(f, BIG);
    pattern_fill(data, BIG, 0);
    reader slow = {.fd = peer, .size = BIG};
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, read_slowly, &slow) == 0);
    ferry_request request;
    ferry_prepare_stream_send(&request, stream, data, BIG);
    ferry_completion sent = fixture_do(f, &request);
    pthread_join(thread, NULL);
    assert_status(sent.status, FERRY_OK);
    assert_int_equal(sent.result, BIG);
    assert_true(slow.matches);
}

static void *echo_all(void *argument) {
    int fd = *(int *)argument;
    char piece[16 * 1024];
    ssize_t got = recv(fd, piece, sizeof piece, 0);
    while (got > 0) {
        peer_send(fd, piece, (size_t)got);
        got = recv(fd, piece, sizeof piece, 0);
    }
    return NULL;
}

static void both_directions_flow_at_once(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    unsigned char *data = fixture_memory(f, BIG);
    pattern_fill(data, BIG, 0);
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, echo_all, &peer) == 0);
    ferry_op receiving = start_receive_all(f, stream);
    ferry_request request;
    ferry_prepare_stream_send(&request, stream, data, BIG);
    ferry_op sending = fixture_submit(f, &request);
    expect_pattern(f, receiving, 0, BIG);
    assert_status(fixture_final(f, sending).status, FERRY_OK);
    fixture_close_handle(f, stream);
    assert_status(fixture_final(f, receiving).status, FERRY_E_CLOSED);
    pthread_join(thread, NULL);
}

/* --- A peer that does not read ------------------------------------------------------------- */

/* What an ended send says it has sent must be what the peer finds, no byte more or less. */
static void expect_as_sent(fixture *f, int peer, const ferry_completion *ended) {
    assert_true(ended->result > 0 && ended->result < FIXTURE_STUCK_SIZE);
    assert_int_equal(ended->flags & FERRY_REUSABLE, 0);
    unsigned char *got = fixture_memory(f, FIXTURE_STUCK_SIZE);
    size_t size = peer_receive_all(peer, got, FIXTURE_STUCK_SIZE);
    assert_int_equal(size, ended->result);
    assert_true(pattern_matches(got, size, 0));
}

static void a_stuck_send_can_be_canceled(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_narrow_stream(f, &peer);
    ferry_op op = fixture_stuck_send(f, stream, 0);
    fixture_until_readable(f, peer);
    assert_false(fixture_has(f, op));
    fixture_cancel(f, op);
    ferry_completion ended = fixture_final(f, op);
    assert_status(ended.status, FERRY_E_CANCELED);
    fixture_close_handle(f, stream);
    expect_as_sent(f, peer, &ended);
}

static void a_stuck_send_has_a_deadline(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_narrow_stream(f, &peer);
    uint64_t begin = now_ns();
    ferry_completion ended = fixture_final(f, fixture_stuck_send(f, stream, 200 * MS));
    assert_true(now_ns() - begin >= 200 * MS);
    assert_status(ended.status, FERRY_E_TIMED_OUT);
    fixture_close_handle(f, stream);
    expect_as_sent(f, peer, &ended);
}

static void a_stuck_send_ends_with_its_stream(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_narrow_stream(f, &peer);
    ferry_op op = fixture_stuck_send(f, stream, 0);
    fixture_until_readable(f, peer);
    fixture_close_handle(f, stream);
    ferry_completion ended = fixture_final(f, op);
    assert_status(ended.status, FERRY_E_CLOSED);
    expect_as_sent(f, peer, &ended);
}

static void a_waiting_send_can_be_taken_back(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_narrow_stream(f, &peer);
    ferry_op stuck = fixture_stuck_send(f, stream, 0);
    ferry_request request;
    ferry_prepare_stream_send(&request, stream, "never sent", 10);
    ferry_op waiting = fixture_submit(f, &request);
    ferry_prepare_stream_send(&request, stream, "last", 4);
    ferry_op last = fixture_submit(f, &request);
    fixture_until_readable(f, peer);
    fixture_cancel(f, waiting);
    ferry_completion ended = fixture_final(f, waiting);
    assert_status(ended.status, FERRY_E_CANCELED);
    assert_int_equal(ended.result, 0);
    assert_int_equal(ended.flags, FERRY_REUSABLE);
    assert_false(fixture_has(f, stuck));

    /* The others go on as if it had never been. */
    reader r = {.fd = peer, .size = FIXTURE_STUCK_SIZE};
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, read_slowly, &r) == 0);
    assert_status(fixture_final(f, stuck).status, FERRY_OK);
    assert_status(fixture_final(f, last).status, FERRY_OK);
    pthread_join(thread, NULL);
    assert_true(r.matches);
    char got[4];
    peer_receive(peer, got, 4);
    assert_memory_equal(got, "last", 4);
}

static void a_stuck_send_does_not_stop_receives(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_narrow_stream(f, &peer);
    ferry_op stuck = fixture_stuck_send(f, stream, 0);
    char *memory = fixture_memory(f, 8);
    peer_send(peer, "ping", 4);
    assert_int_equal(fixture_final(f, start_receive(f, stream, memory, 8)).result, 4);
    assert_false(fixture_has(f, stuck));
}

static void a_reset_fails_the_stuck_send(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    int listener = fixture_keep(f, peer_listen_small(&port));
    ferry_address address = loopback(port);
    ferry_request request;
    ferry_prepare_tcp_connect(&request, &address);
    ferry_handle stream = fixture_do(f, &request).handle;
    int peer = peer_accept(listener);
    ferry_op op = fixture_stuck_send(f, stream, 0);
    fixture_until_readable(f, peer);
    peer_reset(peer);
    ferry_completion ended = fixture_final(f, op);
    assert_status_either(ended.status, FERRY_E_CONNECTION_RESET, FERRY_E_BROKEN_PIPE);
    assert_int_not_equal(ended.os_error, 0);
    assert_int_equal(ended.flags & FERRY_REUSABLE, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EVERY_DRIVE(sends),
        ON_EVERY_DRIVE(copied_data_may_change_after_submit),
        ON_EACH_SHARDS(too_much_to_copy_is_refused),
        ON_EVERY_DRIVE(many_sends_arrive_in_order),
        ON_EVERY_DRIVE(a_large_send_reaches_a_slow_reader),
        ON_EVERY_DRIVE(both_directions_flow_at_once),
        ON_EACH_SHARDS(a_stuck_send_can_be_canceled),
        ON_EACH_SHARDS(a_stuck_send_has_a_deadline),
        ON_EACH_SHARDS(a_stuck_send_ends_with_its_stream),
        ON_EACH_SHARDS(a_waiting_send_can_be_taken_back),
        ON_EACH_SHARDS(a_stuck_send_does_not_stop_receives),
        ON_EACH_SHARDS(a_reset_fails_the_stuck_send),
    };
    return RUN_SUITE(tests);
}
