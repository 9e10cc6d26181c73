/*
 * Ceilings: operations, handles, lent bytes. To reach one is an answer, no accident, and everything
 * goes on when there is room again. Descriptors are descriptors_test's matter, memory is
 * memory_test's.
 */
#include "fixture.h"

enum { FEW = 8, LENT_MAX = 64 * 1024, MUCH = 1024 * 1024 };

/* --- Operations ---------------------------------------------------------------------------- */

static void operations_are_counted(void **state) {
    ferry_engine_options few = {.ops_max = FEW};
    fixture *f = fixture_open_with(state, &few, NULL);
    ferry_request requests[4 * FEW];
    ferry_op ops[4 * FEW];
    size_t accepted = 0;
    size_t shards = f->drive->shards == 0 ? 1 : f->drive->shards;
    for (size_t i = 0; i < 4 * FEW; i++) {
        ferry_prepare_timer(&requests[i], HOUR, 0);
    }
    assert_status(fixture_try(f, requests, 4 * FEW, ops, &accepted), FERRY_E_FULL);
    assert_in_range(accepted, FEW, FEW * shards);
    fixture_turn(f, MS);
    /* With several shards the next one's turn may find room. */
    assert_status_either(fixture_try(f, requests, 1, NULL, NULL), FERRY_E_FULL,
                         shards == 1 ? FERRY_E_FULL : FERRY_OK);
}

/* Submit into the slot of what has just ended: an engine thread may still be about to free it. */
static ferry_op submit_again(fixture *f, const ferry_request *request) {
    ferry_op op = FERRY_NONE;
    ferry_status status = fixture_try(f, request, 1, &op, NULL);
    while (f->drive->shards > 0 && status == FERRY_E_FULL) {
        fixture_turn(f, MS);
        status = fixture_try(f, request, 1, &op, NULL);
    }
    assert_status(status, FERRY_OK);
    return op;
}

static void a_slot_is_free_again_after_the_end(void **state) {
    ferry_engine_options few = {.ops_max = FEW};
    fixture *f = fixture_open_with(state, &few, NULL);
    ferry_request request;
    ferry_op ops[FEW];
    ferry_prepare_timer(&request, HOUR, 0);
    for (int round = 0; round < 10; round++) {
        for (size_t i = 0; i < FEW; i++) {
            ops[i] = submit_again(f, &request);
        }
        assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_FULL);
        for (size_t i = 0; i < FEW; i++) {
            /* A full table must not keep anybody from canceling. */
            fixture_cancel(f, ops[i]);
            assert_status(fixture_final(f, ops[i]).status, FERRY_E_CANCELED);
        }
    }
}

static void one_operation_at_a_time_is_enough(void **state) {
    ferry_engine_options one = {.ops_max = 1};
    fixture *f = fixture_open_with(state, &one, NULL);
    ferry_request request;
    for (int i = 0; i < 100; i++) {
        ferry_prepare_nop(&request);
        assert_status(fixture_final(f, submit_again(f, &request)).status, FERRY_OK);
    }
}

static void a_held_final_keeps_its_slot(void **state) {
    ferry_engine_options few = {.ops_max = FEW};
    ferry_queue_options small = {.capacity = 2};
    fixture *f = fixture_open_with(state, &few, &small);
    ferry_request request;
    size_t accepted = 0;
    ferry_prepare_nop(&request);
    /* Two fit into the ring; the others wait in their slots until there are no more slots. */
    for (int i = 0; i < 10 * FEW; i++) {
        accepted += fixture_try(f, &request, 1, NULL, NULL) == FERRY_OK ? 1 : 0;
        assert_status(ferry_engine_run(f->engine, 0, 0, NULL), FERRY_OK);
    }
    assert_int_equal(accepted, 2 + FEW);
    for (size_t i = 0; i < accepted; i++) {
        assert_status(fixture_next_any(f).status, FERRY_OK);
    }
    assert_status(fixture_do(f, &request).status, FERRY_OK);
}

/* --- Handles ------------------------------------------------------------------------------- */

static void handles_are_counted(void **state) {
    ferry_engine_options few = {.handles_max = 3};
    fixture *f = fixture_open_with(state, &few, NULL);
    uint16_t port;
    fixture_listen(f, &port);
    int peer;
    ferry_handle first = fixture_stream(f, &peer);
    fixture_stream(f, &peer);
    int listener = fixture_keep(f, peer_listen(&port));
    assert_true(listener >= 0);
    ferry_address address = loopback(port);
    ferry_request request;
    for (int round = 0; round < 3; round++) {
        ferry_prepare_tcp_connect(&request, &address);
        assert_status(fixture_do(f, &request).status, FERRY_E_NO_HANDLES);
        ferry_address anywhere = loopback(0);
        ferry_prepare_tcp_listen(&request, &anywhere, 0);
        assert_status(fixture_do(f, &request).status, FERRY_E_NO_HANDLES);
        fixture_close_handle(f, first);
        ferry_prepare_tcp_connect(&request, &address);
        ferry_completion connected = fixture_do(f, &request);
        assert_status(connected.status, FERRY_OK);
        first = connected.handle;
    }
}

/* The next completion of an accept that is not the report of a ceiling. */
static ferry_completion next_connection(fixture *f, ferry_op op, ferry_status report,
                                        int *reports) {
    ferry_completion next = fixture_next(f, op);
    while (next.status == report) {
        assert_int_equal(next.flags, FERRY_MORE);
        (*reports)++;
        next = fixture_next(f, op);
    }
    assert_status(next.status, FERRY_OK);
    assert_int_equal(next.flags, FERRY_MORE);
    return next;
}

static void accept_pauses_without_handles(void **state) {
    ferry_engine_options few = {.handles_max = 2};
    fixture *f = fixture_open_with(state, &few, NULL);
    uint16_t port;
    ferry_handle listener = fixture_listen(f, &port);
    ferry_request request;
    ferry_prepare_tcp_accept(&request, listener);
    ferry_op op = fixture_submit(f, &request);
    for (int i = 0; i < 4; i++) {
        fixture_keep(f, peer_connect(port));
    }
    int reports = 0;
    ferry_handle stream = next_connection(f, op, FERRY_E_NO_HANDLES, &reports).handle;
    assert_int_equal(reports, 0);
    for (int i = 0; i < 3; i++) {
        ferry_completion report = fixture_next(f, op);
        assert_status(report.status, FERRY_E_NO_HANDLES);
        assert_int_equal(report.flags, FERRY_MORE);
        assert_int_equal(report.handle, listener);
        /* Said once, and then there is silence. */
        fixture_linger(f, 20 * MS);
        assert_false(fixture_has(f, op));
        fixture_close_handle(f, stream);
        stream = next_connection(f, op, FERRY_OK + 1, &reports).handle;
    }
}

/* The last handle goes to somebody else while the accept waits for a connection. */
static void accept_without(fixture *f, bool multishot) {
    uint16_t port;
    ferry_handle listener = fixture_listen(f, &port);
    uint16_t other_port;
    int other = fixture_keep(f, peer_listen(&other_port));
    ferry_request request;
    ferry_prepare_tcp_accept(&request, listener);
    request.flags = multishot ? FERRY_MULTISHOT : 0;
    ferry_op op = fixture_submit(f, &request);
    fixture_linger(f, 2 * MS);
    ferry_address address = loopback(other_port);
    ferry_prepare_tcp_connect(&request, &address);
    ferry_completion connected = fixture_do(f, &request);
    assert_status(connected.status, FERRY_OK);
    fixture_keep(f, peer_accept(other));
    int peer = fixture_keep(f, peer_connect(port));
    ferry_completion report = fixture_next(f, op);
    assert_status(report.status, FERRY_E_NO_HANDLES);
    if (!multishot) {
        assert_int_equal(report.flags, FERRY_REUSABLE);
        assert_true(peer_sees_end(peer));
        return;
    }
    assert_int_equal(report.flags, FERRY_MORE);
    /* It was not lost. */
    fixture_close_handle(f, connected.handle);
    ferry_completion accepted = fixture_next(f, op);
    assert_status(accepted.status, FERRY_OK);
    peer_send(peer, "x", 1);
    char *byte = fixture_memory(f, 1);
    ferry_prepare_stream_receive(&request, accepted.handle, byte, 1);
    assert_int_equal(fixture_do(f, &request).result, 1);
    assert_int_equal(*byte, 'x');
    /* A second one finds no handle when it ends. */
    fixture_keep(f, peer_connect(port));
    fixture_linger(f, 2 * MS);
    fixture_cancel(f, op);
    assert_status(fixture_final(f, op).status, FERRY_E_CANCELED);
    assert_info(f, handles_open, 2);
}

static void the_last_handle_may_go_to_another(void **state) {
    ferry_engine_options few = {.handles_max = 2};
    accept_without(fixture_open_with(state, &few, NULL), true);
}

static void the_last_handle_may_go_to_another_than_a_single_accept(void **state) {
    ferry_engine_options few = {.handles_max = 2};
    accept_without(fixture_open_with(state, &few, NULL), false);
}

/* --- Lent bytes ---------------------------------------------------------------------------- */

typedef struct sender {
    int fd;
    size_t size;
} sender;

static void *send_pattern(void *argument) {
    sender *s = argument;
    static unsigned char piece[16 * 1024];
    for (size_t done = 0; done < s->size; done += sizeof piece) {
        pattern_fill(piece, sizeof piece, done);
        peer_send(s->fd, piece, sizeof piece);
    }
    return NULL;
}

static void receives_pause_when_all_is_lent(void **state) {
    ferry_engine_options little = {.buffer_bytes_max = LENT_MAX};
    fixture *f = fixture_open_with(state, &little, NULL);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    sender s = {.size = MUCH};
    s.fd = peer;
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, send_pattern, &s) == 0);
    ferry_request request;
    ferry_prepare_stream_receive_multishot(&request, stream);
    ferry_op op = fixture_submit(f, &request);
    ferry_completion *lent = fixture_memory(f, 65536 * sizeof *lent);
    size_t position = 0;
    while (position < MUCH) {
        /* Take what comes until nothing comes any more, and only then give anything back. */
        size_t count = 0;
        size_t bytes = 0;
        lent[count++] = fixture_next(f, op);
        fixture_linger(f, 2 * MS);
        while (fixture_has(f, op)) {
            lent[count++] = fixture_next(f, op);
        }
        for (size_t i = 0; i < count; i++) {
            assert_status(lent[i].status, FERRY_OK);
            assert_true(pattern_matches(lent[i].data, (size_t)lent[i].result, position + bytes));
            bytes += (size_t)lent[i].result;
        }
        assert_true(bytes <= LENT_MAX);
        position += bytes;
        for (size_t i = 0; i < count; i++) {
            fixture_release(f, &lent[i]);
        }
    }
    pthread_join(thread, NULL);
    assert_int_equal(position, MUCH);
}

static void a_single_receive_waits_for_a_buffer(void **state) {
    ferry_engine_options little = {.buffer_bytes_max = LENT_MAX};
    fixture *f = fixture_open_with(state, &little, NULL);
    int greedy_peer;
    int peer;
    ferry_handle greedy = fixture_stream(f, &greedy_peer);
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_request request;
    ferry_prepare_stream_receive_multishot(&request, greedy);
    ferry_op op = fixture_submit(f, &request);
    static unsigned char much[4 * LENT_MAX];
    pattern_fill(much, sizeof much, 0);
    peer_send(greedy_peer, much, sizeof much);
    fixture_linger(f, 20 * MS);

    /* Memory of the host's own needs no buffer; a lent one has to wait. */
    char *memory = fixture_memory(f, 4);
    peer_send(peer, "12345678", 8);
    ferry_prepare_stream_receive(&request, stream, memory, 4);
    assert_int_equal(fixture_do(f, &request).result, 4);
    ferry_prepare_stream_receive_multishot(&request, stream);
    request.flags = FERRY_LEND;
    ferry_op waiting = fixture_submit(f, &request);
    fixture_cancel(f, op);
    ferry_completion got = {0};
    while (!fixture_has(f, waiting)) {
        if (fixture_has(f, op)) {
            ferry_completion some = fixture_next(f, op);
            fixture_release(f, &some);
        }
        fixture_turn(f, MS);
    }
    got = fixture_next(f, waiting);
    assert_status(got.status, FERRY_OK);
    assert_int_equal(got.result, 4);
    assert_memory_equal(got.data, "5678", 4);
    fixture_release(f, &got);
    fixture_drain(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EVERY_DRIVE(operations_are_counted),
        TEST_ON(a_slot_is_free_again_after_the_end, host),
        TEST_ON(a_slot_is_free_again_after_the_end, one),
        TEST_ON(a_slot_is_free_again_after_the_end, one_mapped),
        ON_EVERY_DRIVE(one_operation_at_a_time_is_enough),
        ON_HOST(a_held_final_keeps_its_slot),
        TEST_ON(handles_are_counted, host),
        TEST_ON(handles_are_counted, one),
        TEST_ON(accept_pauses_without_handles, host),
        TEST_ON(accept_pauses_without_handles, one),
        TEST_ON(the_last_handle_may_go_to_another, host),
        TEST_ON(the_last_handle_may_go_to_another, one),
        TEST_ON(the_last_handle_may_go_to_another_than_a_single_accept, host),
        TEST_ON(the_last_handle_may_go_to_another_than_a_single_accept, one),
        ON_EACH_SHARDS(receives_pause_when_all_is_lent),
        ON_EACH_SHARDS(a_single_receive_waits_for_a_buffer),
    };
    return RUN_SUITE(tests);
}
