/*
 * The ring's bound: finals that find it full wait in their slots, multishot operations pause,
 * posted messages are refused. Nothing is lost, and the order stays.
 */
#include "steps.h"

#include <stdatomic.h>

enum { SMALL = 4 };

/* --- The ring is full ---------------------------------------------------------------------- */

static void finals_wait_in_their_slots_and_keep_their_order(void **state) {
    fixture *f = fixture_open(state);
    ferry_queue *queue = make_queue(f, FERRY_QUEUE_REAP, SMALL);
    enum { COUNT = 5 * SMALL + 1 };
    ferry_completion out[3];
    complete_nops(f, queue, COUNT);
    uint64_t expected = 0;
    while (expected < COUNT) {
        int32_t count = referee_reap(f->judge, queue, out, 3);
        assert_true(count > 0);
        for (int32_t i = 0; i < count; i++) {
            assert_int_equal(out[i].tag, expected++);
        }
    }
    assert_int_equal(referee_reap(f->judge, queue, out, 3), 0);
}

static void held_finals_arrive_without_another_turn(void **state) {
    ferry_queue_options small = {.capacity = 1};
    fixture *f = fixture_open_with(state, NULL, &small);
    enum { COUNT = 50 };
    ferry_op ops[COUNT];
    submit_nops(f, f->queue, COUNT, ops);
    for (size_t i = 0; i < COUNT; i++) {
        assert_status(fixture_final(f, ops[i]).status, FERRY_OK);
    }
}

static void a_mapped_ring_says_that_finals_are_held(void **state) {
    fixture *f = fixture_open(state);
    ferry_queue *queue = make_queue(f, FERRY_QUEUE_MAPPED, SMALL);
    ferry_queue_mapping mapping = {.struct_size = sizeof mapping};
    assert_status(ferry_queue_map(queue, &mapping), FERRY_OK);
    uint32_t head = *mapping.head;
    complete_nops(f, queue, SMALL + 2);
    assert_int_equal(*mapping.tail - head, SMALL);
    assert_int_equal(*mapping.flags & FERRY_QUEUE_HELD, FERRY_QUEUE_HELD);
    for (uint64_t tag = 0; tag < SMALL + 2; tag++) {
        const ferry_completion *next = &mapping.records[head & (mapping.capacity - 1)];
        assert_int_equal(next->tag, tag);
        referee_note_completion(f->judge, next);
        __atomic_store_n(mapping.head, ++head, __ATOMIC_RELEASE);
        assert_int_equal(ferry_queue_arm(queue), tag + 1 < SMALL + 2 ? 1 : 0);
    }
    assert_int_equal(*mapping.flags & FERRY_QUEUE_HELD, 0);
    assert_int_equal(*mapping.tail, head);
}

static void held_finals_are_not_overtaken(void **state) {
    fixture *f = fixture_open(state);
    ferry_queue *queue = make_queue(f, FERRY_QUEUE_MAPPED, SMALL);
    ferry_queue_mapping mapping = {.struct_size = sizeof mapping};
    assert_status(ferry_queue_map(queue, &mapping), FERRY_OK);
    uint32_t head = *mapping.head;
    complete_nops(f, queue, SMALL + 2);
    for (uint64_t tag = 0; tag < SMALL + 3; tag++) {
        const ferry_completion *next = &mapping.records[head & (mapping.capacity - 1)];
        assert_int_equal(next->tag, tag);
        referee_note_completion(f->judge, next);
        __atomic_store_n(mapping.head, ++head, __ATOMIC_RELEASE);
        if (tag == 0) {
            /* A newcomer finds room that belongs to those who wait: no arm has moved them up. */
            ferry_request request;
            ferry_prepare_nop(&request);
            request.tag = SMALL + 2;
            assert_status(referee_submit(f->judge, queue, &request, 1, NULL, NULL), FERRY_OK);
            assert_status(ferry_engine_run(f->engine, 0, 0, NULL), FERRY_OK);
        }
        assert_int_equal(ferry_queue_arm(queue), tag + 1 < SMALL + 3 ? 1 : 0);
    }
}

static void a_full_ring_pauses_a_receive(void **state) {
    ferry_queue_options small = {.capacity = SMALL};
    fixture *f = fixture_open_with(state, NULL, &small);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_request request;
    ferry_prepare_stream_receive_multishot(&request, stream);
    ferry_op op = fixture_submit(f, &request);

    /* Send without reaping until the peer's socket takes no more for a good while. */
    static unsigned char piece[64 * 1024];
    size_t sent = 0;
    for (int idle = 0; idle < 50;) {
        pattern_fill(piece, sizeof piece, sent);
        size_t took = peer_send_what_fits(peer, piece, sizeof piece);
        sent += took;
        idle = took == 0 ? idle + 1 : 0;
        assert_true(sent < 256 * 1024 * 1024);
        assert_status(ferry_engine_run(f->engine, MS, 0, NULL), FERRY_OK);
        assert_true(fixture_info(f).buffers_lent <= SMALL + 1);
    }

    /* Everything comes, in order, as soon as it is asked for. */
    size_t received = 0;
    while (received < sent) {
        ferry_completion some = fixture_next(f, op);
        assert_status(some.status, FERRY_OK);
        assert_true(pattern_matches(some.data, (size_t)some.result, received));
        received += (size_t)some.result;
        fixture_release(f, &some);
    }
    assert_int_equal(received, sent);
}

static void a_full_ring_pauses_an_accept(void **state) {
    ferry_queue_options small = {.capacity = SMALL};
    fixture *f = fixture_open_with(state, NULL, &small);
    uint16_t port;
    ferry_handle listener = fixture_listen(f, &port);
    ferry_request request;
    ferry_prepare_tcp_accept(&request, listener);
    ferry_op op = fixture_submit(f, &request);
    for (int i = 0; i < 3 * SMALL; i++) {
        fixture_keep(f, peer_connect(port));
        run_until_idle(f);
    }
    assert_true(fixture_info(f).handles_open <= 1 + SMALL + 1);
    for (int i = 0; i < 3 * SMALL; i++) {
        assert_status(fixture_next(f, op).status, FERRY_OK);
    }
    assert_info(f, handles_open, 1 + 3 * SMALL);
}

/* It holds a connection that nobody has been told of. */
static void a_paused_accept_ends_with_the_engine(void **state) {
    ferry_queue_options small = {.capacity = 1};
    fixture *f = fixture_open_with(state, NULL, &small);
    uint16_t port;
    ferry_request request;
    ferry_prepare_tcp_accept(&request, fixture_listen(f, &port));
    fixture_submit(f, &request);
    for (int i = 0; i < 4; i++) {
        fixture_keep(f, peer_connect(port));
    }
    while (fixture_info(f).handles_open < 3) {
        if (f->drive->shards == 0) {
            assert_status(ferry_engine_run(f->engine, MS, 0, NULL), FERRY_OK);
        } else {
            sleep_ns(MS);
        }
    }
    fixture_shutdown(f);
    assert_int_equal(fixture_info(f).handles_open, 0);
}

static void a_paused_receive_can_be_canceled(void **state) {
    ferry_queue_options small = {.capacity = 1};
    fixture *f = fixture_open_with(state, NULL, &small);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_request request;
    ferry_prepare_stream_receive_multishot(&request, stream);
    ferry_op op = fixture_submit(f, &request);
    for (int i = 0; i < 5; i++) {
        peer_send(peer, "x", 1);
        run_until_idle(f);
    }
    fixture_cancel(f, op);
    run_until_idle(f);
    ferry_completion some = fixture_next(f, op);
    assert_int_equal(some.flags, FERRY_MORE | FERRY_BUFFER);
    fixture_release(f, &some);
    assert_status(fixture_final(f, op).status, FERRY_E_CANCELED);
}

/* --- Posted messages ----------------------------------------------------------------------- */

static void a_posted_message_arrives(void **state) {
    fixture *f = fixture_open(state);
    for (uint64_t i = 0; i < 10; i++) {
        assert_status(referee_post(f->judge, f->queue, i, -(int64_t)i, ~i), FERRY_OK);
    }
    for (uint64_t i = 0; i < 10; i++) {
        ferry_completion message = fixture_next(f, FERRY_NONE);
        assert_int_equal(message.opcode, FERRY_OP_POST);
        assert_int_equal(message.tag, i);
        assert_int_equal(message.result, -(int64_t)i);
        assert_int_equal(message.data_u64, ~i);
        assert_status(message.status, FERRY_OK);
    }
}

static void *post_elsewhere(void *argument) {
    fixture *f = argument;
    for (uint64_t i = 0; i < 1000; i++) {
        while (referee_post(f->judge, f->queue, i, 0, 0) == FERRY_E_FULL) {
            sleep_ns(100 * US);
        }
    }
    return NULL;
}

static void any_thread_may_post(void **state) {
    ferry_queue_options small = {.capacity = SMALL};
    fixture *f = fixture_open_with(state, NULL, &small);
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, post_elsewhere, f) == 0);
    for (uint64_t i = 0; i < 1000; i++) {
        assert_int_equal(fixture_next(f, FERRY_NONE).tag, i);
    }
    pthread_join(thread, NULL);
}

static void a_full_ring_takes_no_message(void **state) {
    fixture *f = fixture_open(state);
    ferry_queue *queue = make_queue(f, FERRY_QUEUE_REAP, SMALL);
    ferry_completion out[2 * SMALL];
    for (int round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < SMALL; i++) {
            assert_status(referee_post(f->judge, queue, i, 0, 0), FERRY_OK);
        }
        assert_status(referee_post(f->judge, queue, 99, 0, 0), FERRY_E_FULL);
        assert_int_equal(referee_reap(f->judge, queue, out, 2 * SMALL), SMALL);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_HOST(finals_wait_in_their_slots_and_keep_their_order),
        ON_EACH_SHARDS(held_finals_arrive_without_another_turn),
        TEST_ON(held_finals_arrive_without_another_turn, host_mapped),
        TEST_ON(held_finals_arrive_without_another_turn, one_mapped),
        ON_HOST(a_mapped_ring_says_that_finals_are_held),
        ON_HOST(held_finals_are_not_overtaken),
        ON_HOST(a_full_ring_pauses_a_receive),
        ON_HOST(a_full_ring_pauses_an_accept),
        ON_EACH_SHARDS(a_paused_accept_ends_with_the_engine),
        ON_HOST(a_paused_receive_can_be_canceled),
        ON_EACH_SHARDS(a_posted_message_arrives),
        TEST_ON(a_posted_message_arrives, host_mapped),
        TEST_ON(a_posted_message_arrives, one_mapped),
        ON_EACH_SHARDS(any_thread_may_post),
        TEST_ON(any_thread_may_post, one_mapped),
        ON_HOST(a_full_ring_takes_no_message),
    };
    return RUN_SUITE(tests);
}
