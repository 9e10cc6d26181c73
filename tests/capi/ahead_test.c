/*
 * What comes while a multishot operation waits for room in its queue: a driver may have taken it from the
 * system already. No byte and no connection of it is lost, nothing changes places, it is not
 * taken without end, and whatever ends the wait, the handle is as if nothing had been taken.
 */
#include "fixture.h"
#include "steps.h"

#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    ROOM = 4,
    PEERS = 24,
    ROUNDS = 12,
    PIECE = 100 * 1000,
    MUCH = 6 * 1024 * 1024,
    /* More than a sender and a receiver may buffer together, by far. */
    TOO_MUCH = 64 * 1024 * 1024,
};

/* --- A multishot operation on a small queue of its own ------------------------------------- */

static ferry_op start_on(ferry_queue *queue, const ferry_request *request) {
    ferry_op op;
    assert_status(ferry_queue_submit(queue, request, 1, &op, NULL), FERRY_OK);
    return op;
}

static ferry_op receive_on(ferry_queue *queue, ferry_handle stream) {
    ferry_request request;
    ferry_prepare_stream_receive_multishot(&request, stream);
    return start_on(queue, &request);
}

static ferry_op accept_on(ferry_queue *queue, ferry_handle listener) {
    ferry_request request;
    ferry_prepare_tcp_accept(&request, listener);
    assert_int_equal(request.flags, FERRY_MULTISHOT);
    return start_on(queue, &request);
}

static ferry_completion next_on(fixture *f, ferry_queue *queue) {
    ferry_completion completion;
    while (ferry_queue_reap(queue, &completion, 1) == 0) {
        fixture_turn(f, MS);
    }
    return completion;
}

/* Takes the bytes of one completion; returns where the next begin. */
static size_t take(fixture *f, const ferry_completion *got, size_t position) {
    if ((got->flags & FERRY_BUFFER) == 0) {
        return position;
    }
    assert_true(pattern_matches(got->data, (size_t)got->result, position));
    assert_status(ferry_buffer_release(f->engine, got->buffer), FERRY_OK);
    return position + (size_t)got->result;
}

/* Takes everything up to the final completion, which must be this one. */
static size_t take_to_end(fixture *f, ferry_queue *queue, size_t position, ferry_status status) {
    for (;;) {
        ferry_completion got = next_on(f, queue);
        position = take(f, &got, position);
        if ((got.flags & FERRY_MORE) == 0) {
            assert_status(got.status, status);
            return position;
        }
    }
}

/* --- Somebody who goes on sending ----------------------------------------------------------- */

typedef struct sender {
    pthread_t thread;
    int fd;
    size_t size;
} sender;

static void *send_pattern(void *argument) {
    sender *s = argument;
    unsigned char *piece = malloc(PIECE);
    REQUIRE(piece != NULL);
    for (size_t done = 0; done < s->size;) {
        size_t size = s->size - done < PIECE ? s->size - done : PIECE;
        pattern_fill(piece, size, done);
        peer_send(s->fd, piece, size);
        done += size;
    }
    free(piece);
    return NULL;
}

static void start_sender(sender *s, int fd, size_t size) {
    s->fd = fd;
    s->size = size;
    REQUIRE(pthread_create(&s->thread, NULL, send_pattern, s) == 0);
}

/* Sends the pattern until nobody takes any more for a while; returns the bytes that went. */
static size_t send_what_is_taken(fixture *f, int peer) {
    enum { STEP = 256 * 1024, PATIENCE = 20 };
    unsigned char *step = fixture_memory(f, STEP);
    size_t sent = 0;
    for (int idle = 0; idle < PATIENCE && sent < TOO_MUCH;) {
        pattern_fill(step, STEP, sent);
        size_t some = peer_send_what_fits(peer, step, STEP);
        sent += some;
        idle = some == 0 ? idle + 1 : 0;
        fixture_turn(f, MS);
    }
    return sent;
}

static size_t receive_some(fixture *f, ferry_handle stream, size_t size, size_t position) {
    unsigned char *memory = fixture_memory(f, size);
    ferry_request request;
    ferry_prepare_stream_receive_exactly(&request, stream, memory, size);
    ferry_completion got = fixture_do(f, &request);
    assert_status(got.status, FERRY_OK);
    assert_int_equal(got.result, size);
    assert_true(pattern_matches(memory, size, position));
    return position + size;
}

static ferry_handle file_beside(fixture *f, ferry_handle stream, int fd) {
    ferry_request request;
    for (;;) {
        ferry_prepare_descriptor_adopt(&request, fd, FERRY_DESCRIPTOR_FILE);
        ferry_completion adopted = fixture_do(f, &request);
        assert_status(adopted.status, FERRY_OK);
        ferry_prepare_handle_copy(&request, adopted.handle, stream, 0, 0, 0);
        if (fixture_fate(f, &request) != FERRY_E_WRONG_SHARD) {
            return adopted.handle;
        }
        ferry_prepare_descriptor_release(&request, adopted.handle);
        assert_int_equal(fixture_do(f, &request).result, fd);
    }
}

static void copy_to_file(fixture *f, ferry_handle stream, size_t size, size_t position) {
    int fd = open(fixture_path(f, "rest"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    REQUIRE(fd >= 0);
    ferry_request request;
    ferry_prepare_handle_copy(&request, stream, file_beside(f, stream, fd), size, 0, 0);
    ferry_completion copied = fixture_do(f, &request);
    assert_status(copied.status, FERRY_OK);
    assert_int_equal(copied.result, size);
    unsigned char *data = fixture_memory(f, size);
    REQUIRE(pread(fd, data, size, 0) == (ssize_t)size);
    assert_true(pattern_matches(data, size, position));
}

/* --- Receiving ------------------------------------------------------------------------------ */

static void bytes_stay_in_order_whoever_takes_them(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_queue *queue = make_queue(f, FERRY_QUEUE_REAP, ROOM);
    sender s;
    start_sender(&s, peer, MUCH);
    size_t position = 0;
    for (int round = 0; round < ROUNDS && position < MUCH - 2 * PIECE; round++) {
        ferry_op op = receive_on(queue, stream);
        /* It is stopped at its first bytes, when its queue is full, and when it has gone on since. */
        for (int pauses = 0; pauses < round % 3; pauses++) {
            fixture_linger(f, (uint64_t)(round % 4) * MS);
            ferry_completion got = next_on(f, queue);
            assert_status(got.status, FERRY_OK);
            position = take(f, &got, position);
        }
        assert_status(ferry_queue_cancel(queue, op), FERRY_OK);
        position = take_to_end(f, queue, position, FERRY_E_CANCELED);
        position = receive_some(f, stream, 1 + (size_t)round * 999, position);
    }
    assert_true(position < MUCH);
    copy_to_file(f, stream, MUCH - position, position);
    pthread_join(s.thread, NULL);
    assert_info(f, buffers_lent, 0);
}

/* Cancelled while it waits for room and nothing more comes: who receives next gets all of it. */
static void one_that_waits_for_room_leaves_nothing_behind(void **state) {
    enum { NEXT = 16 };
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_queue *queue = make_queue(f, FERRY_QUEUE_REAP, ROOM);
    ferry_op waiting = receive_on(queue, stream);
    for (size_t i = 0; i <= ROOM; i++) {
        unsigned char byte;
        pattern_fill(&byte, 1, i);
        peer_send(peer, &byte, 1);
        fixture_linger(f, 5 * MS);
    }
    assert_status(ferry_queue_cancel(queue, waiting), FERRY_OK);
    size_t position = take_to_end(f, queue, 0, FERRY_E_CANCELED);
    assert_int_equal(position, ROOM + 1);
    unsigned char *memory = fixture_memory(f, NEXT);
    unsigned char next[NEXT];
    ferry_request request;
    ferry_prepare_stream_receive_exactly(&request, stream, memory, NEXT);
    ferry_op op = fixture_submit(f, &request);
    fixture_linger(f, 5 * MS);
    pattern_fill(next, NEXT, position);
    peer_send(peer, next, NEXT);
    assert_status(fixture_final(f, op).status, FERRY_OK);
    assert_memory_equal(memory, next, NEXT);
}

static void no_more_is_taken_than_a_little(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_queue *queue = make_queue(f, FERRY_QUEUE_REAP, ROOM);
    receive_on(queue, stream);
    size_t sent = send_what_is_taken(f, peer);
    assert_true(sent < TOO_MUCH);
    size_t position = 0;
    while (position < sent) {
        ferry_completion got = next_on(f, queue);
        assert_status(got.status, FERRY_OK);
        position = take(f, &got, position);
    }
    fixture_close_handle(f, stream);
    assert_int_equal(take_to_end(f, queue, position, FERRY_E_CLOSED), sent);
}

/* All of it lies there before anybody receives, and so the first call finds more than it may tell. */
static void what_lay_there_before_is_stopped_too(void **state) {
    fixture *f = fixture_open(state);
    for (int round = 0; round < ROUNDS; round++) {
        int peer;
        ferry_handle stream = fixture_stream(f, &peer);
        size_t sent = send_what_is_taken(f, peer);
        assert_true(sent < TOO_MUCH);
        ferry_queue *queue = make_queue(f, FERRY_QUEUE_REAP, ROOM);
        ferry_op op = receive_on(queue, stream);
        fixture_linger(f, (uint64_t)(round % 3) * MS);
        assert_status(ferry_queue_cancel(queue, op), FERRY_OK);
        size_t position = take_to_end(f, queue, 0, FERRY_E_CANCELED);
        receive_some(f, stream, sent - position, position);
        fixture_close_handle(f, stream);
    }
}

static void the_end_comes_after_what_was_kept(void **state) {
    fixture *f = fixture_open(state);
    ferry_queue *queue = make_queue(f, FERRY_QUEUE_REAP, ROOM);
    for (int canceled = 0; canceled < 2; canceled++) {
        int peer;
        ferry_handle stream = fixture_stream(f, &peer);
        ferry_op op = receive_on(queue, stream);
        sender s;
        start_sender(&s, peer, PIECE * 3);
        fixture_linger(f, 5 * MS);
        size_t position = 0;
        if (canceled) {
            assert_status(ferry_queue_cancel(queue, op), FERRY_OK);
            position = take_to_end(f, queue, position, FERRY_E_CANCELED);
        }
        pthread_join(s.thread, NULL);
        REQUIRE(shutdown(peer, SHUT_WR) == 0);
        fixture_linger(f, 2 * MS);
        if (canceled) {
            receive_on(queue, stream);
        }
        assert_int_equal(take_to_end(f, queue, position, FERRY_OK), PIECE * 3);
        char *memory = fixture_memory(f, 1);
        assert_int_equal(fixture_final(f, start_receive(f, stream, memory, 1)).result, 0);
        fixture_close_handle(f, stream);
    }
}

static void a_reset_ends_it(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_queue *queue = make_queue(f, FERRY_QUEUE_REAP, ROOM);
    receive_on(queue, stream);
    send_what_is_taken(f, peer);
    f->kept[f->kept_count - 1] = -1;
    peer_reset(peer);
    fixture_linger(f, 2 * MS);
    take_to_end(f, queue, 0, FERRY_E_CONNECTION_RESET);
}

static void a_closed_stream_keeps_nothing(void **state) {
    fixture *f = fixture_open(state);
    size_t descriptors = 0;
    for (int round = 0; round < ROUNDS; round++) {
        int peer;
        ferry_handle stream = fixture_stream(f, &peer);
        ferry_queue *queue = make_queue(f, FERRY_QUEUE_REAP, ROOM);
        receive_on(queue, stream);
        sender s;
        start_sender(&s, peer, PIECE);
        fixture_linger(f, (uint64_t)(round % 3) * MS);
        ferry_request request;
        ferry_prepare_handle_close(&request, stream);
        ferry_op closing = fixture_submit(f, &request);
        take_to_end(f, queue, 0, FERRY_E_CLOSED);
        assert_status(fixture_final(f, closing).status, FERRY_OK);
        pthread_join(s.thread, NULL);
        assert_info(f, handles_open, 0);
        assert_info(f, buffers_lent, 0);
        assert_status(ferry_queue_destroy(queue), FERRY_OK);
        f->kept[f->kept_count - 1] = -1;
        close(peer);
        descriptors = round == 0 ? count_descriptors() : descriptors;
    }
    assert_int_equal(count_descriptors(), descriptors);
}

/* The engine ends while the kernel still has it: nothing is left to the sanitizers. */
static void shutdown_finds_it_paused(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    uint16_t port;
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_handle listener = fixture_listen(f, &port);
    ferry_queue *queue = make_queue(f, FERRY_QUEUE_REAP, ROOM);
    ferry_queue *other = make_queue(f, FERRY_QUEUE_REAP, ROOM);
    receive_on(queue, stream);
    accept_on(other, listener);
    send_what_is_taken(f, peer);
    for (int i = 0; i < PEERS; i++) {
        fixture_keep(f, peer_connect(port));
    }
    fixture_linger(f, 2 * MS);
    fixture_shutdown(f);
    take_to_end(f, queue, 0, FERRY_E_SHUTDOWN);
}

/* --- Accepting ------------------------------------------------------------------------------ */

typedef struct crowd {
    int peers[PEERS];
    size_t accepted;
    bool canceled; /* Its accept had taken one that it could not tell of any more. */
} crowd;

static void connect_crowd(fixture *f, crowd *c, uint16_t port) {
    *c = (crowd){.accepted = 0};
    for (size_t i = 0; i < PEERS; i++) {
        c->peers[i] = fixture_keep(f, peer_connect(port));
        unsigned char name = (unsigned char)i;
        peer_send(c->peers[i], &name, 1);
    }
}

/* They come in the order in which they connected. A cancel costs one at most, which is closed. */
static void meet(fixture *f, crowd *c, ferry_handle stream) {
    unsigned char *name = fixture_memory(f, 1);
    ferry_completion got = fixture_final(f, start_receive(f, stream, name, 1));
    assert_status(got.status, FERRY_OK);
    assert_int_equal(got.result, 1);
    if (c->canceled && *name != c->accepted) {
        assert_true(peer_sees_end(c->peers[c->accepted++]));
        c->canceled = false;
    }
    assert_int_equal(*name, c->accepted);
    c->accepted++;
    fixture_close_handle(f, stream);
}

static void meet_to_end(fixture *f, crowd *c, ferry_queue *queue, ferry_handle listener,
                        ferry_status status) {
    for (;;) {
        ferry_completion got = next_on(f, queue);
        if ((got.flags & FERRY_MORE) == 0) {
            assert_status(got.status, status);
            assert_int_equal(got.handle, listener);
            return;
        }
        assert_status(got.status, FERRY_OK);
        meet(f, c, got.handle);
    }
}

static void connections_go_to_the_next_accept(void **state) {
    fixture *f = fixture_open(state);
    for (int multishot = 0; multishot < 2; multishot++) {
        uint16_t port;
        crowd c;
        ferry_handle listener = fixture_listen(f, &port);
        ferry_queue *queue = make_queue(f, FERRY_QUEUE_REAP, ROOM);
        ferry_op op = accept_on(queue, listener);
        connect_crowd(f, &c, port);
        fixture_linger(f, 5 * MS);
        assert_status(ferry_queue_cancel(queue, op), FERRY_OK);
        meet_to_end(f, &c, queue, listener, FERRY_E_CANCELED);
        assert_true(c.accepted >= ROOM);
        c.canceled = true;
        ferry_request request;
        ferry_prepare_tcp_accept(&request, listener);
        request.flags = multishot ? FERRY_MULTISHOT : 0;
        ferry_op next = 0;
        while (c.accepted < PEERS) {
            if (next == 0 || !multishot) {
                next = fixture_submit(f, &request);
            }
            ferry_completion got = fixture_next(f, next);
            assert_status(got.status, FERRY_OK);
            meet(f, &c, got.handle);
        }
        fixture_close_handle(f, listener);
    }
}

static void a_paused_accept_goes_on(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    crowd c;
    ferry_handle listener = fixture_listen(f, &port);
    ferry_queue *queue = make_queue(f, FERRY_QUEUE_REAP, ROOM);
    ferry_op op = accept_on(queue, listener);
    for (int round = 0; round < 3; round++) {
        connect_crowd(f, &c, port);
        fixture_linger(f, (uint64_t)round * MS);
        while (c.accepted < PEERS) {
            ferry_completion got = next_on(f, queue);
            assert_status(got.status, FERRY_OK);
            assert_int_equal(got.flags, FERRY_MORE);
            meet(f, &c, got.handle);
        }
    }
    assert_status(ferry_queue_cancel(queue, op), FERRY_OK);
    meet_to_end(f, &c, queue, listener, FERRY_E_CANCELED);
}

/* Whom nobody was told of is closed with the listener. */
static void expect_the_others_closed(crowd *c) {
    for (size_t i = c->accepted; i < PEERS; i++) {
        assert_true(peer_sees_end(c->peers[i]));
    }
}

static void a_closed_listener_closes_them(void **state) {
    fixture *f = fixture_open(state);
    for (int canceled = 0; canceled < 2; canceled++) {
        uint16_t port;
        crowd c;
        ferry_handle listener = fixture_listen(f, &port);
        ferry_queue *queue = make_queue(f, FERRY_QUEUE_REAP, ROOM);
        ferry_op op = accept_on(queue, listener);
        connect_crowd(f, &c, port);
        fixture_linger(f, 5 * MS);
        if (canceled) {
            assert_status(ferry_queue_cancel(queue, op), FERRY_OK);
            meet_to_end(f, &c, queue, listener, FERRY_E_CANCELED);
        }
        ferry_request request;
        ferry_prepare_handle_close(&request, listener);
        ferry_op closing = fixture_submit(f, &request);
        if (!canceled) {
            meet_to_end(f, &c, queue, listener, FERRY_E_CLOSED);
        }
        assert_status(fixture_final(f, closing).status, FERRY_OK);
        assert_true(c.accepted < PEERS);
        expect_the_others_closed(&c);
        assert_info(f, handles_open, 0);
    }
}

/* The descriptor works on for its new owner, and the engine accepts nothing from it any more. */
static void a_released_listener_is_its_owners(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    crowd c;
    ferry_handle listener = fixture_listen(f, &port);
    ferry_queue *queue = make_queue(f, FERRY_QUEUE_REAP, ROOM);
    ferry_op op = accept_on(queue, listener);
    connect_crowd(f, &c, port);
    fixture_linger(f, 5 * MS);
    assert_status(ferry_queue_cancel(queue, op), FERRY_OK);
    meet_to_end(f, &c, queue, listener, FERRY_E_CANCELED);
    ferry_request request;
    ferry_prepare_descriptor_release(&request, listener);
    ferry_completion released = fixture_do(f, &request);
    assert_status(released.status, FERRY_OK);
    int fd = fixture_keep(f, (int)released.result);
    int last = fixture_keep(f, peer_connect(port));
    peer_send(last, "L", 1);
    /* Those of the crowd that the kernel had not brought yet are before it. */
    char got = 0;
    while (got != 'L') {
        struct pollfd wanted = {.fd = fd, .events = POLLIN};
        REQUIRE(poll(&wanted, 1, -1) == 1);
        int accepted = accept(fd, NULL, NULL);
        REQUIRE(accepted >= 0);
        REQUIRE(recv(accepted, &got, 1, MSG_WAITALL) == 1);
        close(accepted);
    }
    expect_the_others_closed(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EACH_SHARDS(bytes_stay_in_order_whoever_takes_them),
        ON_EACH_SHARDS(one_that_waits_for_room_leaves_nothing_behind),
        ON_EACH_SHARDS(no_more_is_taken_than_a_little),
        ON_EACH_SHARDS(what_lay_there_before_is_stopped_too),
        ON_EACH_SHARDS(the_end_comes_after_what_was_kept),
        ON_EACH_SHARDS(a_reset_ends_it),
        ON_EACH_SHARDS(a_closed_stream_keeps_nothing),
        ON_EACH_SHARDS(shutdown_finds_it_paused),
        ON_EACH_SHARDS(connections_go_to_the_next_accept),
        ON_EACH_SHARDS(a_paused_accept_goes_on),
        ON_EACH_SHARDS(a_closed_listener_closes_them),
        ON_EACH_SHARDS(a_released_listener_is_its_owners),
    };
    return RUN_SUITE(tests);
}
