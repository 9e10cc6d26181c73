/*
 * Receiving up to a delimiter: pieces whole and in order however they arrive, and not a byte lost
 * whatever comes between, compared with a reference that has the whole stream in memory.
 */
#include "fixture.h"

#include <sys/socket.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MEGABYTE = 1024 * 1024, STREAM_MAX = 400 * 1000, SMALL_RING = 16 };

static ferry_op start(fixture *f, ferry_handle stream, void *memory, size_t size,
                      const char *delimiter) {
    ferry_request request;
    ferry_prepare_stream_receive_until(&request, stream, memory, size, delimiter,
                                       strlen(delimiter));
    request.flags = memory == NULL ? FERRY_LEND : 0;
    return fixture_submit(f, &request);
}

static ferry_op start_all(fixture *f, ferry_handle stream, size_t size, const char *delimiter) {
    ferry_request request;
    ferry_prepare_stream_receive_until(&request, stream, NULL, size, delimiter, strlen(delimiter));
    request.flags = FERRY_LEND | FERRY_MULTISHOT;
    return fixture_submit(f, &request);
}

static void expect_text(const ferry_completion *got, const void *data, const char *text) {
    assert_status(got->status, FERRY_OK);
    assert_int_equal(got->result, strlen(text));
    assert_memory_equal(data, text, strlen(text));
}

/* Lent, and then given back. */
static void expect_lent(fixture *f, const ferry_completion *got, uint32_t flags, const char *text) {
    assert_int_equal(got->flags, flags | FERRY_BUFFER);
    expect_text(got, got->data, text);
    fixture_release(f, got);
}

static void receives_piece_by_piece(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    char *memory = fixture_memory(f, 16);
    memset(memory, '-', 16);
    peer_send(peer, "one\r\ntwo\r\n\r\nrest", 16);
    ferry_completion got = fixture_final(f, start(f, stream, memory, 16, "\r\n"));
    expect_text(&got, memory, "one\r\n");
    assert_memory_equal(memory + 5, "-----------", 11);
    got = fixture_final(f, start(f, stream, NULL, 16, "\r\n"));
    expect_lent(f, &got, 0, "two\r\n");
    got = fixture_final(f, start(f, stream, memory, 16, "\r\n"));
    expect_text(&got, memory, "\r\n");
    /* What is left over comes first in a receive of any kind. */
    ferry_request request;
    ferry_prepare_stream_receive(&request, stream, memory, 3);
    got = fixture_do(f, &request);
    expect_text(&got, memory, "res");
    ferry_prepare_stream_receive_multishot(&request, stream);
    ferry_op all = fixture_submit(f, &request);
    got = fixture_next(f, all);
    expect_lent(f, &got, FERRY_MORE, "t");
    peer_send(peer, "more", 4);
    got = fixture_next(f, all);
    expect_lent(f, &got, FERRY_MORE, "more");
    assert_info(f, buffers_lent, 0);
}

static void delimiters_may_come_in_parts(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    char *memory = fixture_memory(f, 32);
    static const char *const parts[] = {"ab", "--", "-b", "ound", "ary--bo", "undary", "tail"};
    ferry_op op = start(f, stream, memory, 32, "--boundary");
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        assert_false(fixture_has(f, op));
        peer_send(peer, parts[i], strlen(parts[i]));
        fixture_linger(f, 2 * MS);
        if (i == 4) {
            ferry_completion got = fixture_final(f, op);
            expect_text(&got, memory, "ab---boundary");
            op = start(f, stream, memory, 32, "--boundary");
        }
        if (i == 5) {
            break;
        }
    }
    ferry_completion got = fixture_final(f, op);
    expect_text(&got, memory, "--boundary");
}

static void all_pieces_come_lent(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_op op = start_all(f, stream, 100, "\n");
    peer_send(peer, "a\nbc\n\nd", 7);
    ferry_completion first = fixture_next(f, op);
    ferry_completion second = fixture_next(f, op);
    ferry_completion third = fixture_next(f, op);
    /* All from where they were received: each can be given back on its own. */
    assert_info(f, buffers_lent, 3);
    expect_lent(f, &second, FERRY_MORE, "bc\n");
    expect_lent(f, &first, FERRY_MORE, "a\n");
    expect_lent(f, &third, FERRY_MORE, "\n");
    peer_send(peer, "e\n", 2);
    ferry_completion fourth = fixture_next(f, op);
    expect_lent(f, &fourth, FERRY_MORE, "de\n");
    shutdown(peer, SHUT_WR);
    ferry_completion final = fixture_next(f, op);
    assert_status(final.status, FERRY_OK);
    assert_int_equal(final.flags, 0);
    assert_int_equal(final.result, 0);
    assert_info(f, buffers_lent, 0);
}

static void the_end_within_a_piece_is_told(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    char *memory = fixture_memory(f, 16);
    peer_send(peer, "one\ntwo", 7);
    shutdown(peer, SHUT_WR);
    ferry_op op = start_all(f, stream, 100, "\n");
    ferry_completion got = fixture_next(f, op);
    expect_lent(f, &got, FERRY_MORE, "one\n");
    got = fixture_next(f, op);
    assert_status(got.status, FERRY_E_END);
    assert_int_equal(got.result, 0);
    got = fixture_final(f, start(f, stream, memory, 16, "\n"));
    assert_status(got.status, FERRY_E_END);
    ferry_request request;
    ferry_prepare_stream_receive_exactly(&request, stream, memory, 16);
    got = fixture_do(f, &request);
    assert_status(got.status, FERRY_E_END);
    assert_int_equal(got.result, 3);
    assert_memory_equal(memory, "two", 3);
    got = fixture_final(f, start(f, stream, memory, 16, "\n"));
    assert_status(got.status, FERRY_OK);
    assert_int_equal(got.result, 0);
}

static void too_long_a_piece_stays_in_the_stream(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    char *memory = fixture_memory(f, 16);
    peer_send(peer, "0123456789\n", 11);
    for (int lend = 0; lend < 2; lend++) {
        ferry_completion got = fixture_final(f, start(f, stream, lend ? NULL : memory, 10, "\n"));
        assert_status(got.status, FERRY_E_LIMIT);
        assert_int_equal(got.flags, FERRY_REUSABLE);
        assert_int_equal(got.result, 0);
    }
    ferry_op op = start_all(f, stream, 10, "\n");
    assert_status(fixture_final(f, op).status, FERRY_E_LIMIT);
    /* Just as long as it may be. */
    ferry_completion got = fixture_final(f, start(f, stream, memory, 11, "\n"));
    expect_text(&got, memory, "0123456789\n");
}

static void an_ended_one_loses_no_byte(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    char *memory = fixture_memory(f, 64);
    peer_send(peer, "half", 4);
    ferry_op op = start(f, stream, memory, 64, "\n");
    fixture_linger(f, 3 * MS);
    ferry_op second = start(f, stream, memory, 64, "\n");
    assert_status(fixture_final(f, second).status, FERRY_E_BUSY);
    fixture_cancel(f, op);
    ferry_completion got = fixture_final(f, op);
    assert_status(got.status, FERRY_E_CANCELED);
    assert_int_equal(got.flags, FERRY_REUSABLE);
    ferry_request request;
    ferry_prepare_stream_receive_until(&request, stream, NULL, 64, "\n", 1);
    request.flags = FERRY_LEND | FERRY_MULTISHOT;
    request.deadline_ns = 5 * MS;
    got = fixture_do(f, &request);
    assert_status(got.status, FERRY_E_TIMED_OUT);
    assert_int_equal(got.flags, FERRY_REUSABLE);
    peer_send(peer, " a line\n", 8);
    got = fixture_final(f, start(f, stream, memory, 64, "\n"));
    expect_text(&got, memory, "half a line\n");
    op = start_all(f, stream, 64, "\n");
    peer_send(peer, "rest", 4);
    fixture_linger(f, 2 * MS);
    fixture_close_handle(f, stream);
    got = fixture_final(f, op);
    assert_status(got.status, FERRY_E_CLOSED);
    assert_info(f, buffers_lent, 0);
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
    ferry_op op = start_all(f, stream, 16, "\n");
    fixture_linger(f, 2 * MS);
    peer_reset(peer);
    ferry_completion got = fixture_final(f, op);
    assert_status(got.status, FERRY_E_CONNECTION_RESET);
    assert_int_equal(got.os_error, ECONNRESET);
}

/* More than a chunk of the engine's, in one piece, twice too long and then as it may be. */
static void a_piece_may_be_large(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    unsigned char *data = fixture_memory(f, MEGABYTE + 5);
    unsigned char *memory = fixture_memory(f, 2 * MEGABYTE);
    memset(data, 'x', MEGABYTE);
    memcpy(data + MEGABYTE, "\n1234", 5);
    size_t sent = 0;
    static const size_t sizes[] = {70 * 1000, 600 * 1000, 2 * MEGABYTE};
    for (size_t i = 0; i < 3; i++) {
        ferry_op op = start(f, stream, memory, sizes[i], "\n");
        while (!fixture_has(f, op)) {
            sent += peer_send_what_fits(peer, data + sent, MEGABYTE + 5 - sent);
            fixture_turn(f, MS);
        }
        ferry_completion got = fixture_final(f, op);
        assert_status(got.status, i < 2 ? FERRY_E_LIMIT : FERRY_OK);
        if (i == 1) {
            /* The first pieces of it lent, out of a block that is no chunk. */
            ferry_request request;
            ferry_prepare_stream_receive_until(&request, stream, NULL, FERRY_UNTIL_LEND_MAX, "xx",
                                               2);
            request.flags = FERRY_LEND;
            got = fixture_do(f, &request);
            expect_lent(f, &got, 0, "xx");
        } else if (i == 2) {
            assert_int_equal(got.result, MEGABYTE - 2 + 1);
            assert_memory_equal(memory, data + 2, MEGABYTE - 2 + 1);
        }
    }
    peer_send(peer, "\n", 1);
    ferry_completion got = fixture_final(f, start(f, stream, memory, 100, "\n"));
    expect_text(&got, memory, "1234\n");
    assert_info(f, buffer_bytes_lent, 0);
}

static void a_full_ring_holds_it_up(void **state) {
    ferry_queue_options small = {.capacity = SMALL_RING};
    fixture *f = fixture_open_with(state, NULL, &small);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    enum { LINES = 5000 };
    char line[16];
    ferry_op op = start_all(f, stream, 100, "\n");
    for (int i = 0; i < LINES; i++) {
        snprintf(line, sizeof line, "%d\n", i);
        peer_send(peer, line, strlen(line));
    }
    for (int i = 0; i < LINES; i++) {
        snprintf(line, sizeof line, "%d\n", i);
        ferry_completion got = fixture_next(f, op);
        expect_lent(f, &got, FERRY_MORE, line);
    }
    fixture_cancel(f, op);
    assert_status(fixture_final(f, op).status, FERRY_E_CANCELED);
    assert_info(f, buffers_lent, 0);
}

/* Canceled while the ring is full: the pieces that found no place are still in the stream. */
static void ended_while_held_up_it_loses_nothing(void **state) {
    ferry_queue_options small = {.capacity = SMALL_RING};
    fixture *f = fixture_open_with(state, NULL, &small);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    char text[200];
    for (int i = 0; i < 100; i++) {
        memcpy(text + 2 * i, i % 2 == 0 ? "a\n" : "b\n", 2);
    }
    peer_send(peer, text, sizeof text);
    int seen = 0;
    while (seen < 100) {
        ferry_op op = start_all(f, stream, 100, "\n");
        if (f->drive->shards > 0) {
            sleep_ns(2 * MS);
        } else {
            assert_status(ferry_engine_run(f->engine, MS, 0, NULL), FERRY_OK);
        }
        fixture_cancel(f, op);
        ferry_completion got = fixture_next(f, op);
        for (; (got.flags & FERRY_MORE) != 0; got = fixture_next(f, op)) {
            expect_lent(f, &got, FERRY_MORE, seen % 2 == 0 ? "a\n" : "b\n");
            seen++;
        }
        assert_status(got.status, FERRY_E_CANCELED);
        assert_int_equal(got.flags, FERRY_REUSABLE);
    }
    assert_int_equal(seen, 100);
}

/* One chunk for all: a piece that has to move cannot wait for itself. */
static void one_chunk_is_enough(void **state) {
    ferry_engine_options little = {.buffer_bytes_max = 65536};
    fixture *f = fixture_open_with(state, &little, NULL);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    enum { PIECE = 20000 };
    unsigned char *piece = fixture_memory(f, PIECE);
    memset(piece, 'p', PIECE);
    piece[PIECE - 1] = '\n';
    ferry_op op = start_all(f, stream, PIECE, "\n");
    for (int i = 0; i < 20; i++) {
        peer_send(peer, piece, PIECE - 10);
        fixture_linger(f, MS);
        peer_send(peer, piece + PIECE - 10, 10);
        ferry_completion got = fixture_next(f, op);
        assert_status(got.status, FERRY_OK);
        assert_int_equal(got.result, PIECE);
        assert_memory_equal(got.data, piece, PIECE);
        fixture_release(f, &got);
    }
}

static void bad_requests_are_refused(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    char memory[16];
    static const struct {
        bool memory;
        size_t size;
        size_t delimiter_size;
        uint32_t flags;
        ferry_status status;
    } bad[] = {
        {false, 16, 1, 0, FERRY_E_INVALID},
        {true, 16, 1, FERRY_LEND, FERRY_E_INVALID},
        {true, 16, 1, FERRY_MULTISHOT, FERRY_E_INVALID},
        {true, 0, 1, 0, FERRY_E_INVALID},
        {true, SIZE_MAX, 1, 0, FERRY_E_INVALID},
        {true, 16, 0, 0, FERRY_E_INVALID},
        {true, 16, 17, 0, FERRY_E_INVALID},
        {false, 0, 1, FERRY_LEND, FERRY_E_INVALID},
        {false, FERRY_UNTIL_LEND_MAX + 1, 1, FERRY_LEND, FERRY_E_LIMIT},
        {true, 16, 1, FERRY_COPY, FERRY_E_UNSUPPORTED},
    };
    ferry_request request;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ferry_prepare_stream_receive_until(&request, stream, bad[i].memory ? memory : NULL,
                                           bad[i].size, "0123456789abcdefg", bad[i].delimiter_size);
        request.flags = bad[i].flags;
        assert_status(fixture_try(f, &request, 1, NULL, NULL), bad[i].status);
    }
    ferry_prepare_stream_receive_until(&request, stream, memory, 16, NULL, 1);
    assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_INVALID);
    ferry_prepare_stream_receive_until(&request, stream, memory, 16, "a", 1);
    request.params.receive_until.delimiter[3] = 1;
    assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_UNSUPPORTED);
}

/* --- A random stream, cut at random, received at random, and a reference -------------------- */

typedef struct world {
    fixture *f;
    ferry_handle stream;
    int peer;
    uint32_t random;
    unsigned char *data;
    size_t size;
    size_t sent;
    size_t received;
    unsigned char *memory;
    char delimiter[17];
    bool ended; /* The peer has said that there is no more. */
} world;

static uint32_t random_below(world *w, uint32_t limit) {
    w->random = w->random * UINT32_C(1664525) + UINT32_C(1013904223);
    return (uint32_t)(((uint64_t)w->random * limit) >> 32);
}

/* Where the first delimiter at or after the received bytes ends, within so many; 0 = nowhere. */
static size_t reference(const world *w, size_t limit) {
    size_t length = strlen(w->delimiter);
    for (size_t end = length; end <= limit && w->received + end <= w->size; end++) {
        if (memcmp(w->data + w->received + end - length, w->delimiter, length) == 0) {
            return end;
        }
    }
    return 0;
}

static void send_some(world *w) {
    if (w->sent < w->size) {
        uint32_t most = random_below(w, 4) == 0 ? 60000 : 200;
        size_t size = 1 + random_below(w, most);
        size = size < w->size - w->sent ? size : w->size - w->sent;
        w->sent += peer_send_what_fits(w->peer, w->data + w->sent, size);
    } else if (!w->ended) {
        shutdown(w->peer, SHUT_WR);
        w->ended = true;
    }
}

static void take_piece(world *w, const ferry_completion *got, const void *data) {
    size_t size = (size_t)got->result;
    assert_true(w->received + size <= w->size);
    assert_memory_equal(data, w->data + w->received, size);
    w->received += size;
}

/* Let it come, while more is sent; a cancel now and then. */
static ferry_completion await(world *w, ferry_op op, bool cancel) {
    while (!fixture_has(w->f, op)) {
        send_some(w);
        if (cancel && random_below(w, 8) == 0) {
            fixture_cancel(w->f, op);
        }
        fixture_turn(w->f, MS);
    }
    return fixture_next(w->f, op);
}

static void receive_a_piece(world *w) {
    bool lend = random_below(w, 2) == 0;
    size_t limit = 1 + random_below(w, random_below(w, 2) == 0 ? 300 : 65536);
    ferry_op op = start(w->f, w->stream, lend ? NULL : w->memory, limit, w->delimiter);
    ferry_completion got = await(w, op, random_below(w, 3) == 0);
    size_t expected = reference(w, limit);
    if (got.status == FERRY_OK && got.result > 0) {
        assert_int_equal(got.result, expected);
        take_piece(w, &got, lend ? got.data : w->memory);
        fixture_release(w->f, &got);
    } else if (got.status == FERRY_OK) {
        assert_int_equal(w->received, w->size);
    } else if (got.status == FERRY_E_LIMIT) {
        assert_int_equal(expected, 0);
        assert_true(w->size - w->received >= limit);
    } else if (got.status == FERRY_E_END) {
        assert_int_equal(expected, 0);
        assert_true(w->received < w->size);
    } else {
        assert_status(got.status, FERRY_E_CANCELED);
    }
}

static void receive_pieces(world *w) {
    size_t limit = 1 + random_below(w, 65536);
    ferry_op op = start_all(w->f, w->stream, limit, w->delimiter);
    uint32_t pieces = random_below(w, 50);
    for (;;) {
        ferry_completion got = await(w, op, true);
        if ((got.flags & FERRY_MORE) == 0) {
            assert_int_equal(got.result, 0);
            return;
        }
        assert_int_equal(got.result, reference(w, limit));
        take_piece(w, &got, got.data);
        fixture_release(w->f, &got);
        if (pieces-- == 0) {
            fixture_cancel(w->f, op);
        }
    }
}

static void receive_some(world *w) {
    ferry_request request;
    size_t size = 1 + random_below(w, 3000);
    uint32_t kind = random_below(w, 3);
    if (kind == 0) {
        ferry_prepare_stream_receive(&request, w->stream, w->memory, size);
    } else if (kind == 1) {
        ferry_prepare_stream_receive_exactly(&request, w->stream, w->memory, size);
    } else {
        ferry_prepare_stream_receive_multishot(&request, w->stream);
        request.flags = FERRY_LEND;
    }
    ferry_op op = fixture_submit(w->f, &request);
    ferry_completion got = await(w, op, random_below(w, 3) == 0);
    if (got.result > 0) {
        take_piece(w, &got, kind == 2 ? got.data : w->memory);
    }
    fixture_release(w->f, &got);
}

static void make_stream(world *w) {
    static const char *const delimiters[] = {"\n",  "\r\n",       "aa",  "aab",
                                             "aba", "--boundary", "abc", "aaaaaaaaaaaaaaab"};
    strcpy(w->delimiter, delimiters[random_below(w, 8)]);
    w->size = random_below(w, STREAM_MAX);
    size_t length = strlen(w->delimiter);
    uint32_t letters = random_below(w, 4) == 0 ? 2 : 20;
    for (size_t i = 0; i < w->size; i++) {
        w->data[i] = (unsigned char)('a' + random_below(w, letters));
    }
    for (size_t i = 0; i + length < w->size; i += 1 + random_below(w, 3000)) {
        memcpy(w->data + i, w->delimiter, length);
    }
    w->sent = 0;
    w->received = 0;
    w->ended = false;
}

static void any_stream_in_any_parts(void **state) {
    fixture *f = fixture_open(state);
    world w = {.f = f, .random = 4711};
    w.data = fixture_memory(f, STREAM_MAX);
    w.memory = fixture_memory(f, 65536);
    int rounds = sanitized() ? 4 : 12;
    for (int round = 0; round < rounds; round++) {
        watchdog_restart();
        make_stream(&w);
        w.stream = fixture_stream(f, &w.peer);
        while (w.received < w.size) {
            switch (random_below(&w, 4)) {
            case 0:
                receive_some(&w);
                break;
            case 1:
                receive_pieces(&w);
                break;
            default:
                receive_a_piece(&w);
                break;
            }
        }
        ferry_completion end = await(&w, start(f, w.stream, w.memory, 16, w.delimiter), false);
        assert_status(end.status, FERRY_OK);
        assert_int_equal(end.result, 0);
        fixture_close_handle(f, w.stream);
        assert_info(f, buffers_lent, 0);
    }
    assert_info(f, buffer_bytes_lent, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EVERY_DRIVE(receives_piece_by_piece),
        ON_EVERY_DRIVE(delimiters_may_come_in_parts),
        ON_EVERY_DRIVE(all_pieces_come_lent),
        ON_EVERY_DRIVE(the_end_within_a_piece_is_told),
        ON_EVERY_DRIVE(too_long_a_piece_stays_in_the_stream),
        ON_EVERY_DRIVE(an_ended_one_loses_no_byte),
        ON_EVERY_DRIVE(a_reset_fails_it),
        ON_EVERY_DRIVE(a_piece_may_be_large),
        ON_EVERY_DRIVE(a_full_ring_holds_it_up),
        ON_EACH_SHARDS(ended_while_held_up_it_loses_nothing),
        ON_EVERY_DRIVE(one_chunk_is_enough),
        ON_EACH_SHARDS(bad_requests_are_refused),
        ON_EVERY_DRIVE(any_stream_in_any_parts),
    };
    return RUN_SUITE(tests);
}
