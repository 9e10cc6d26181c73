/*
 * Channels: messages come once, in order and to one receiver, whoever waits, gives up or closes on the way.
 */
#include "fixture.h"

#include <stdatomic.h>
#include <string.h>

enum { ROOMY = 1000, RACES = 300 };

static const uint32_t capacities[] = {0, 1, 7, ROOMY};
enum { CAPACITIES = sizeof capacities / sizeof capacities[0] };

/* --- Helpers ------------------------------------------------------------------------------- */

static ferry_handle open_channel(fixture *f, uint32_t capacity) {
    ferry_request request;
    ferry_prepare_channel_open(&request, capacity);
    ferry_completion opened = fixture_do(f, &request);
    assert_status(opened.status, FERRY_OK);
    return opened.handle;
}

static ferry_op start_send(fixture *f, ferry_handle channel, int64_t message) {
    ferry_request request;
    ferry_prepare_channel_send(&request, channel, message, (uint64_t)message * 3);
    request.tag = (uint64_t)message;
    return fixture_submit(f, &request);
}

static ferry_op start_receive_all(fixture *f, ferry_handle channel) {
    ferry_request request;
    ferry_prepare_channel_receive(&request, channel);
    return fixture_submit(f, &request);
}

static ferry_op start_receive(fixture *f, ferry_handle channel) {
    ferry_request request;
    ferry_prepare_channel_receive(&request, channel);
    request.flags = 0;
    return fixture_submit(f, &request);
}

static ferry_status finish(fixture *f, ferry_handle channel) {
    ferry_request request;
    ferry_prepare_channel_finish(&request, channel);
    return fixture_do(f, &request).status;
}

static ferry_status final_status(fixture *f, ferry_op op) {
    return fixture_final(f, op).status;
}

static void expect_message(const ferry_completion *c, int64_t message) {
    assert_status(c->status, FERRY_OK);
    assert_int_equal(c->result, message);
    assert_int_equal(c->data_u64, (uint64_t)message * 3);
    assert_int_equal(c->buffer, FERRY_NONE);
}

static void expect_next(fixture *f, ferry_op receiving, int64_t message) {
    ferry_completion next = fixture_next(f, receiving);
    assert_int_equal(next.flags, FERRY_MORE);
    expect_message(&next, message);
}

static void expect_only(fixture *f, ferry_op receiving, int64_t message) {
    ferry_completion only = fixture_next(f, receiving);
    assert_int_equal(only.flags, 0);
    expect_message(&only, message);
}

/* Nothing that the op waits for has happened, and nothing is under way. */
static void expect_waiting(fixture *f, ferry_op op) {
    fixture_linger(f, 3 * MS);
    assert_false(fixture_has(f, op));
}

/* --- It works ------------------------------------------------------------------------------ */

static void both_words_cross(void **state) {
    fixture *f = fixture_open(state);
    static const struct {
        int64_t result;
        uint64_t data;
    } words[] = {{0, 0}, {INT64_MIN, UINT64_MAX}, {INT64_MAX, 1}, {-1, UINT64_C(1) << 63}};
    for (size_t i = 0; i < CAPACITIES; i++) {
        ferry_handle channel = open_channel(f, capacities[i]);
        for (size_t j = 0; j < sizeof words / sizeof words[0]; j++) {
            ferry_request request;
            ferry_op receiving = j % 2 == 0 ? start_receive(f, channel) : FERRY_NONE;
            ferry_prepare_channel_send(&request, channel, words[j].result, words[j].data);
            ferry_op sending = fixture_submit(f, &request);
            receiving = j % 2 == 0 ? receiving : start_receive(f, channel);
            ferry_completion got = fixture_next(f, receiving);
            assert_status(got.status, FERRY_OK);
            assert_int_equal(got.flags, 0);
            assert_int_equal(got.handle, channel);
            assert_true(got.result == words[j].result && got.data_u64 == words[j].data);
            assert_status(final_status(f, sending), FERRY_OK);
        }
        fixture_close_handle(f, channel);
    }
    assert_info(f, handles_open, 0);
}

static void messages_come_in_order(void **state) {
    enum { MESSAGES = 400 };
    fixture *f = fixture_open(state);
    for (size_t i = 0; i < CAPACITIES; i++) {
        ferry_handle channel = open_channel(f, capacities[i]);
        ferry_request requests[MESSAGES];
        ferry_op ops[MESSAGES];
        for (size_t j = 0; j < MESSAGES; j++) {
            ferry_prepare_channel_send(&requests[j], channel, (int64_t)j, j * 3);
        }
        fixture_submit_all(f, requests, MESSAGES / 2, ops);
        ferry_op receiving = start_receive_all(f, channel);
        fixture_submit_all(f, requests + MESSAGES / 2, MESSAGES / 2, ops + MESSAGES / 2);
        for (int64_t j = 0; j < MESSAGES; j++) {
            expect_next(f, receiving, j);
        }
        for (size_t j = 0; j < MESSAGES; j++) {
            assert_status(final_status(f, ops[j]), FERRY_OK);
        }
        expect_waiting(f, receiving);
        fixture_cancel(f, receiving);
        assert_status(final_status(f, receiving), FERRY_E_CANCELED);
        fixture_close_handle(f, channel);
    }
}

static void who_waits_first_receives_first(void **state) {
    enum { RECEIVERS = 50 };
    fixture *f = fixture_open(state);
    for (size_t i = 0; i < CAPACITIES; i++) {
        ferry_handle channel = open_channel(f, capacities[i]);
        ferry_op receiving[RECEIVERS];
        ferry_op sending[RECEIVERS];
        for (size_t j = 0; j < RECEIVERS; j++) {
            receiving[j] = start_receive(f, channel);
        }
        expect_waiting(f, receiving[0]);
        for (int64_t j = 0; j < RECEIVERS; j++) {
            sending[j] = start_send(f, channel, j);
        }
        for (int64_t j = 0; j < RECEIVERS; j++) {
            expect_only(f, receiving[j], j);
            assert_status(final_status(f, sending[j]), FERRY_OK);
        }
    }
}

static void receivers_take_turns(void **state) {
    enum { RECEIVERS = 3, EACH = 40, MESSAGES = RECEIVERS * EACH };
    fixture *f = fixture_open(state);
    for (size_t i = 0; i < CAPACITIES; i++) {
        ferry_handle channel = open_channel(f, capacities[i]);
        ferry_op receiving[RECEIVERS];
        ferry_request requests[MESSAGES];
        ferry_op sending[MESSAGES];
        for (size_t j = 0; j < RECEIVERS; j++) {
            receiving[j] = start_receive_all(f, channel);
        }
        for (size_t j = 0; j < MESSAGES; j++) {
            ferry_prepare_channel_send(&requests[j], channel, (int64_t)j, j * 3);
        }
        fixture_submit_all(f, requests, MESSAGES, sending);
        for (int64_t j = 0; j < MESSAGES; j++) {
            expect_next(f, receiving[j % RECEIVERS], j);
        }
        fixture_close_handle(f, channel);
        fixture_drain(f);
    }
}

/* --- Backpressure -------------------------------------------------------------------------- */

static void senders_wait_for_room_in_order(void **state) {
    enum { CAPACITY = 3, SENDS = 7 };
    fixture *f = fixture_open(state);
    ferry_handle channel = open_channel(f, CAPACITY);
    ferry_op sending[SENDS];
    for (int64_t i = 0; i < SENDS; i++) {
        sending[i] = start_send(f, channel, i);
    }
    for (size_t i = 0; i < CAPACITY; i++) {
        assert_status(final_status(f, sending[i]), FERRY_OK);
    }
    for (size_t i = CAPACITY; i < SENDS; i++) {
        expect_waiting(f, sending[i]);
    }
    for (int64_t i = 0; i < SENDS; i++) {
        expect_only(f, start_receive(f, channel), i);
        if (i + CAPACITY < SENDS) {
            assert_status(final_status(f, sending[i + CAPACITY]), FERRY_OK);
        }
        for (int64_t j = i + CAPACITY + 1; j < SENDS; j++) {
            assert_false(fixture_has(f, sending[j]));
        }
    }
}

/* Room for two at once: who waits for it must go before one that comes just then. */
static void a_new_sender_does_not_overtake(void **state) {
    fixture *f = fixture_open(state);
    ferry_handle channel = open_channel(f, 2);
    ferry_request requests[4];
    ferry_op ops[4];
    ferry_op first[3];
    for (int64_t i = 0; i < 3; i++) {
        first[i] = start_send(f, channel, i);
    }
    assert_status(final_status(f, first[0]), FERRY_OK);
    assert_status(final_status(f, first[1]), FERRY_OK);
    expect_waiting(f, first[2]);
    for (size_t i = 0; i < 2; i++) {
        ferry_prepare_channel_receive(&requests[i], channel);
        requests[i].flags = 0;
        ferry_prepare_channel_send(&requests[i + 2], channel, (int64_t)i + 3, 0);
        requests[i].tag = 100;
        requests[i + 2].tag = i + 3;
    }
    fixture_submit_all(f, requests, 4, ops);
    for (uint64_t expected = 2; expected < 4;) {
        ferry_completion next = fixture_next_any(f);
        assert_status(next.status, FERRY_OK);
        if (next.tag != 100) {
            assert_int_equal(next.tag, expected++);
        }
    }
}

static void without_capacity_both_must_be_there(void **state) {
    fixture *f = fixture_open(state);
    ferry_handle channel = open_channel(f, 0);
    ferry_op sending = start_send(f, channel, 1);
    expect_waiting(f, sending);
    expect_only(f, start_receive(f, channel), 1);
    assert_status(final_status(f, sending), FERRY_OK);
    ferry_op receiving = start_receive(f, channel);
    expect_waiting(f, receiving);
    assert_status(final_status(f, start_send(f, channel, 2)), FERRY_OK);
    expect_only(f, receiving, 2);
}

static ferry_op submit_to(fixture *f, ferry_queue *queue, const ferry_request *request) {
    ferry_op op = FERRY_NONE;
    assert_status(referee_submit(f->judge, queue, request, 1, &op, NULL), FERRY_OK);
    return op;
}

static void turn_without_reaping(fixture *f) {
    for (int i = 0; i < 3; i++) {
        assert_status(ferry_engine_run(f->engine, 0, 0, NULL), FERRY_OK);
    }
}

/* The receiver's ring holds two; what is more waits in the channel, where others may take it. */
static void a_full_ring_leaves_messages_in_the_channel(void **state) {
    enum { SENDS = 8 };
    ferry_queue_options small = {.capacity = 2};
    ferry_queue_options other = {.struct_size = sizeof other};
    fixture *f = fixture_open_with(state, NULL, &small);
    ferry_queue *queue = NULL;
    assert_status(ferry_queue_create(f->engine, &other, &queue), FERRY_OK);
    for (size_t i = 0; i < CAPACITIES; i++) {
        ferry_handle channel = open_channel(f, capacities[i]);
        ferry_op receiving = start_receive_all(f, channel);
        ferry_request request;
        ferry_completion out[SENDS];
        for (uint64_t j = 0; j < SENDS; j++) {
            ferry_prepare_channel_send(&request, channel, (int64_t)j, j * 3);
            submit_to(f, queue, &request);
        }
        turn_without_reaping(f);
        int32_t taken = 2 + (int32_t)capacities[i] < SENDS ? 2 + (int32_t)capacities[i] : SENDS;
        assert_int_equal(referee_reap(f->judge, queue, out, SENDS), taken);

        ferry_prepare_channel_receive(&request, channel);
        request.flags = 0;
        ferry_op single = submit_to(f, queue, &request);
        turn_without_reaping(f);
        int32_t count = referee_reap(f->judge, queue, out, SENDS);
        assert_int_equal(count, taken < SENDS ? 2 : 1);
        for (int32_t j = 0; j < count; j++) {
            if (out[j].op == single) {
                expect_message(&out[j], 2);
            }
        }
        expect_next(f, receiving, 0);
        expect_next(f, receiving, 1);
        for (int64_t j = 3; j < SENDS - 1; j++) {
            expect_next(f, receiving, j);
        }
        fixture_cancel(f, receiving);
        fixture_final(f, receiving);
        fixture_close_handle(f, channel);
        while (referee_reap(f->judge, queue, out, SENDS) > 0) {
        }
    }
}

/* The same, and it is cancelled while it finds no room: the next one goes on where it was. */
static void an_interrupted_receive_leaves_its_message(void **state) {
    ferry_queue_options small = {.capacity = 2};
    ferry_queue_options other = {.struct_size = sizeof other};
    fixture *f = fixture_open_with(state, NULL, &small);
    ferry_queue *queue = NULL;
    assert_status(ferry_queue_create(f->engine, &other, &queue), FERRY_OK);
    for (size_t i = 0; i < CAPACITIES; i++) {
        ferry_handle channel = open_channel(f, capacities[i]);
        ferry_op receiving = start_receive_all(f, channel);
        ferry_request request;
        ferry_completion out[8];
        for (uint64_t j = 0; j < 4; j++) {
            ferry_prepare_channel_send(&request, channel, (int64_t)j, j * 3);
            submit_to(f, queue, &request);
        }
        turn_without_reaping(f);
        fixture_cancel(f, receiving);
        turn_without_reaping(f);
        expect_next(f, receiving, 0);
        expect_next(f, receiving, 1);
        ferry_completion final = fixture_next(f, receiving);
        assert_status(final.status, FERRY_E_CANCELED);
        assert_int_equal(final.flags, FERRY_REUSABLE);
        expect_only(f, start_receive(f, channel), 2);
        receiving = start_receive_all(f, channel);
        expect_next(f, receiving, 3);
        fixture_close_handle(f, channel);
        assert_status(final_status(f, receiving), FERRY_E_CLOSED);
        assert_int_equal(referee_reap(f->judge, queue, out, 8), 4);
    }
}

/* --- Ended early --------------------------------------------------------------------------- */

static void a_canceled_send_is_not_received(void **state) {
    fixture *f = fixture_open(state);
    for (size_t i = 0; i < 2; i++) {
        ferry_handle channel = open_channel(f, capacities[i]);
        ferry_op sending[4];
        for (int64_t j = 0; j < 4; j++) {
            sending[j] = start_send(f, channel, j);
        }
        fixture_linger(f, 2 * MS);
        fixture_cancel(f, sending[2]);
        ferry_completion final = fixture_final(f, sending[2]);
        assert_status(final.status, FERRY_E_CANCELED);
        assert_int_equal(final.flags, FERRY_REUSABLE);
        fixture_cancel(f, sending[3]);
        assert_status(final_status(f, sending[3]), FERRY_E_CANCELED);
        /* The end of the line must still be its end. */
        sending[2] = start_send(f, channel, 2);
        ferry_op receiving = start_receive_all(f, channel);
        for (int64_t j = 0; j < 3; j++) {
            expect_next(f, receiving, j);
            assert_status(final_status(f, sending[j]), FERRY_OK);
        }
        expect_waiting(f, receiving);
        assert_status(referee_cancel(f->judge, f->queue, sending[0]), FERRY_E_TOO_LATE);
    }
}

static void a_canceled_receive_takes_nothing(void **state) {
    fixture *f = fixture_open(state);
    for (size_t i = 0; i < CAPACITIES; i++) {
        ferry_handle channel = open_channel(f, capacities[i]);
        ferry_op receiving[4];
        for (size_t j = 0; j < 4; j++) {
            receiving[j] = j % 2 == 0 ? start_receive(f, channel) : start_receive_all(f, channel);
        }
        fixture_linger(f, 2 * MS);
        for (size_t j = 0; j < 2; j++) {
            fixture_cancel(f, receiving[j]);
            ferry_completion final = fixture_next(f, receiving[j]);
            assert_status(final.status, FERRY_E_CANCELED);
            assert_int_equal(final.flags, FERRY_REUSABLE);
        }
        fixture_cancel(f, receiving[3]);
        assert_status(final_status(f, receiving[3]), FERRY_E_CANCELED);
        start_send(f, channel, 5);
        expect_only(f, receiving[2], 5);
    }
}

static void deadlines_end_both_sides(void **state) {
    fixture *f = fixture_open(state);
    ferry_handle channel = open_channel(f, 0);
    ferry_request request;
    for (int multishot = 0; multishot < 2; multishot++) {
        ferry_prepare_channel_receive(&request, channel);
        request.flags = multishot != 0 ? FERRY_MULTISHOT : 0;
        request.deadline_ns = 5 * MS;
        uint64_t begin = now_ns();
        ferry_completion final = fixture_do(f, &request);
        assert_true(now_ns() - begin >= 5 * MS);
        assert_status(final.status, FERRY_E_TIMED_OUT);
        assert_int_equal(final.flags, FERRY_REUSABLE);
    }
    ferry_prepare_channel_send(&request, channel, 1, 3);
    request.deadline_ns = 5 * MS;
    ferry_completion final = fixture_do(f, &request);
    assert_status(final.status, FERRY_E_TIMED_OUT);
    assert_int_equal(final.flags, FERRY_REUSABLE);
    /* It is gone; and a deadline that is not reached changes nothing. */
    request.params.message.result = 2;
    request.params.message.data_u64 = 6;
    request.deadline_ns = HOUR;
    ferry_op sending = fixture_submit(f, &request);
    expect_only(f, start_receive(f, channel), 2);
    assert_status(final_status(f, sending), FERRY_OK);
}

/* A receive and a send meet a cancel of either: the message is received once or not at all. */
static void races_with_cancel(void **state) {
    fixture *f = fixture_open(state);
    for (int64_t i = 0; i < RACES; i++) {
        ferry_handle channel = open_channel(f, capacities[i % 2]);
        bool multishot = i % 4 < 2;
        bool cancels_send = i % 8 < 4;
        ferry_op receiving = multishot ? start_receive_all(f, channel) : start_receive(f, channel);
        ferry_op sending = start_send(f, channel, i);
        for (volatile int spin = 0; spin < i * 20; spin++) {
        }
        fixture_cancel(f, cancels_send ? sending : receiving);
        bool received = false;
        ferry_completion sent;
        if (cancels_send) {
            sent = fixture_final(f, sending);
            assert_status_either(sent.status, FERRY_OK, FERRY_E_CANCELED);
            fixture_linger(f, MS);
            received = fixture_has(f, receiving);
            assert_true(received == (sent.status == FERRY_OK));
            if (received) {
                ferry_completion got = fixture_next(f, receiving);
                expect_message(&got, i);
            }
        } else {
            ferry_completion got = fixture_next(f, receiving);
            received = got.status == FERRY_OK;
            if (received) {
                expect_message(&got, i);
            } else {
                assert_status(got.status, FERRY_E_CANCELED);
                expect_only(f, start_receive(f, channel), i);
            }
            assert_status(final_status(f, sending), FERRY_OK);
        }
        fixture_close_handle(f, channel);
        fixture_drain(f);
    }
}

static void close_ends_who_waits(void **state) {
    fixture *f = fixture_open(state);
    ferry_handle channel = open_channel(f, 1);
    ferry_op sending[3];
    for (int64_t i = 0; i < 3; i++) {
        sending[i] = start_send(f, channel, i);
    }
    assert_status(final_status(f, sending[0]), FERRY_OK);
    fixture_close_handle(f, channel);
    assert_true(fixture_has(f, sending[1]) && fixture_has(f, sending[2]));
    assert_status(final_status(f, sending[1]), FERRY_E_CLOSED);
    assert_status(final_status(f, sending[2]), FERRY_E_CLOSED);

    channel = open_channel(f, 1);
    ferry_op one = start_receive(f, channel);
    ferry_op all = start_receive_all(f, channel);
    fixture_linger(f, 2 * MS);
    fixture_close_handle(f, channel);
    assert_status(final_status(f, one), FERRY_E_CLOSED);
    assert_status(final_status(f, all), FERRY_E_CLOSED);
    fixture_close_handle(f, channel);
    assert_info(f, handles_open, 0);
}

/* What was sent to a waiting receiver before the close is received. */
static void close_comes_after_what_was_sent(void **state) {
    fixture *f = fixture_open(state);
    for (size_t i = 1; i < CAPACITIES; i++) {
        for (int multishot = 0; multishot < 2; multishot++) {
            ferry_handle channel = open_channel(f, capacities[i]);
            ferry_op receiving =
                multishot != 0 ? start_receive_all(f, channel) : start_receive(f, channel);
            fixture_linger(f, MS);
            ferry_request requests[2];
            ferry_op ops[2];
            ferry_prepare_channel_send(&requests[0], channel, 4, 12);
            ferry_prepare_handle_close(&requests[1], channel);
            fixture_submit_all(f, requests, 2, ops);
            ferry_completion got = fixture_next(f, receiving);
            expect_message(&got, 4);
            if (multishot != 0) {
                assert_status(final_status(f, receiving), FERRY_E_CLOSED);
            }
            assert_status(final_status(f, ops[0]), FERRY_OK);
            assert_status(final_status(f, ops[1]), FERRY_OK);
        }
    }
}

static void discard_drops_messages(void **state) {
    fixture *f = fixture_open(state);
    ferry_handle channel = open_channel(f, ROOMY);
    assert_status(final_status(f, start_send(f, channel, 1)), FERRY_OK);
    assert_status(referee_discard(f->judge, f->engine, channel), FERRY_OK);
    assert_info(f, handles_open, 0);
}

static void shutdown_ends_who_waits(void **state) {
    fixture *f = fixture_open(state);
    ferry_handle full = open_channel(f, 1);
    ferry_handle empty = open_channel(f, ROOMY);
    assert_status(final_status(f, start_send(f, full, 1)), FERRY_OK);
    ferry_op waiting[] = {start_send(f, full, 2), start_receive(f, empty),
                          start_receive_all(f, empty)};
    fixture_linger(f, 2 * MS);
    fixture_shutdown(f);
    for (size_t i = 0; i < 3; i++) {
        assert_status(final_status(f, waiting[i]), FERRY_E_SHUTDOWN);
    }
}

/* --- Finish -------------------------------------------------------------------------------- */

static void finish_of_an_empty_one(void **state) {
    fixture *f = fixture_open(state);
    for (size_t i = 0; i < CAPACITIES; i++) {
        ferry_handle channel = open_channel(f, capacities[i]);
        ferry_op one = start_receive(f, channel);
        ferry_op all = start_receive_all(f, channel);
        fixture_linger(f, MS);
        assert_status(finish(f, channel), FERRY_OK);
        assert_status(final_status(f, one), FERRY_E_END);
        assert_status(final_status(f, all), FERRY_E_END);
        assert_status(final_status(f, start_receive(f, channel)), FERRY_E_END);
        assert_status(final_status(f, start_send(f, channel, 1)), FERRY_E_BROKEN_PIPE);
        assert_status(finish(f, channel), FERRY_OK);
        fixture_close_handle(f, channel);
        assert_status(finish(f, channel), FERRY_E_STALE);
    }
}

static void finish_of_a_full_one(void **state) {
    fixture *f = fixture_open(state);
    ferry_handle channel = open_channel(f, 2);
    ferry_op sending[4];
    for (int64_t i = 0; i < 4; i++) {
        sending[i] = start_send(f, channel, i);
    }
    fixture_linger(f, MS);
    assert_status(finish(f, channel), FERRY_OK);
    for (size_t i = 0; i < 4; i++) {
        ferry_completion sent = fixture_final(f, sending[i]);
        assert_status(sent.status, i < 2 ? FERRY_OK : FERRY_E_BROKEN_PIPE);
        assert_int_equal(sent.flags, 0);
    }
    assert_status(final_status(f, start_send(f, channel, 9)), FERRY_E_BROKEN_PIPE);
    assert_status(finish(f, channel), FERRY_OK);
    expect_only(f, start_receive(f, channel), 0);
    ferry_op receiving = start_receive_all(f, channel);
    expect_next(f, receiving, 1);
    ferry_completion end = fixture_next(f, receiving);
    assert_status(end.status, FERRY_E_END);
    assert_int_equal(end.flags, 0);
}

/* All in one turn: the message goes to the first, and each of the others learns of the end. */
static void finish_just_after_a_message(void **state) {
    fixture *f = fixture_open(state);
    for (size_t i = 1; i < CAPACITIES; i++) {
        ferry_handle channel = open_channel(f, capacities[i]);
        ferry_op receiving[3];
        for (size_t j = 0; j < 3; j++) {
            receiving[j] = start_receive_all(f, channel);
        }
        fixture_linger(f, MS);
        ferry_request requests[2];
        ferry_op ops[2];
        ferry_prepare_channel_send(&requests[0], channel, 4, 12);
        ferry_prepare_channel_finish(&requests[1], channel);
        fixture_submit_all(f, requests, 2, ops);
        expect_next(f, receiving[0], 4);
        for (size_t j = 0; j < 3; j++) {
            assert_status(final_status(f, receiving[j]), FERRY_E_END);
        }
        assert_status(final_status(f, ops[0]), FERRY_OK);
        assert_status(final_status(f, ops[1]), FERRY_OK);
    }
}

/* --- Bad handles and limits ---------------------------------------------------------------- */

static void prepare_each(ferry_request requests[3], ferry_handle channel) {
    ferry_prepare_channel_send(&requests[0], channel, 1, 1);
    ferry_prepare_channel_receive(&requests[1], channel);
    ferry_prepare_channel_finish(&requests[2], channel);
}

static void expect_fate(fixture *f, ferry_handle channel, ferry_status expected) {
    ferry_request requests[3];
    prepare_each(requests, channel);
    for (size_t i = 0; i < 3; i++) {
        assert_status(fixture_fate(f, &requests[i]), expected);
    }
}

static void bad_handles(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    int peer;
    char byte = 0;
    ferry_handle channel = open_channel(f, 1);
    expect_fate(f, FERRY_NONE, FERRY_E_BAD_HANDLE);
    expect_fate(f, channel + 1, FERRY_E_BAD_HANDLE);
    expect_fate(f, fixture_listen(f, &port), FERRY_E_WRONG_KIND);
    ferry_handle stream = fixture_stream(f, &peer);
    expect_fate(f, stream, FERRY_E_WRONG_KIND);

    ferry_request request;
    ferry_prepare_stream_send(&request, channel, &byte, 1);
    assert_status(fixture_fate(f, &request), FERRY_E_WRONG_KIND);
    ferry_prepare_stream_receive(&request, channel, &byte, 1);
    assert_status(fixture_fate(f, &request), FERRY_E_WRONG_KIND);
    ferry_prepare_tcp_accept(&request, channel);
    assert_status(fixture_fate(f, &request), FERRY_E_WRONG_KIND);

    ferry_engine_options options = {.struct_size = sizeof options};
    ferry_engine *stranger = NULL;
    assert_status(ferry_engine_create(&options, &stranger), FERRY_OK);
    ferry_queue *queue = NULL;
    assert_status(ferry_queue_create(stranger, NULL, &queue), FERRY_OK);
    ferry_request requests[3];
    prepare_each(requests, channel);
    for (size_t i = 0; i < 3; i++) {
        assert_status(ferry_queue_submit(queue, &requests[i], 1, NULL, NULL), FERRY_E_FOREIGN);
    }
    assert_status(ferry_engine_shutdown(stranger, FERRY_FOREVER), FERRY_OK);
    assert_status(ferry_engine_destroy(stranger), FERRY_OK);

    fixture_close_handle(f, channel);
    expect_fate(f, channel, FERRY_E_STALE);
    open_channel(f, 1);
    expect_fate(f, channel, FERRY_E_STALE);
}

static void handles_run_out(void **state) {
    ferry_engine_options few = {.handles_max = 2};
    fixture *f = fixture_open_with(state, &few, NULL);
    ferry_request request;
    ferry_handle first = FERRY_NONE;
    int opened = 0;
    /* With two shards there may be two of them each. */
    ferry_prepare_channel_open(&request, 1);
    for (int i = 0; i < 8; i++) {
        ferry_completion completion = fixture_do(f, &request);
        assert_status_either(completion.status, FERRY_OK, FERRY_E_NO_HANDLES);
        opened += completion.status == FERRY_OK ? 1 : 0;
        first = first == FERRY_NONE ? completion.handle : first;
    }
    assert_int_equal(opened, f->drive->shards == 2 ? 4 : 2);
    fixture_close_handle(f, first);
}

static void memory_runs_out(void **state) {
    counting_allocator *allocator = fixture_memory(*state, sizeof *allocator);
    memset(allocator, 0, sizeof *allocator);
    ferry_engine_options options = {.struct_size = sizeof options};
    allocator_install(allocator, &options);
    fixture *f = fixture_open_with(state, &options, NULL);
    fixture_close_handle(f, open_channel(f, ROOMY)); /* Frames are pooled from here on. */
    size_t bytes = atomic_load(&allocator->bytes);
    ferry_request request;
    ferry_prepare_channel_open(&request, ROOMY);
    for (size_t nth = 1; nth <= 2; nth++) {
        allocator_refuse(allocator, nth, nth);
        assert_status(fixture_do(f, &request).status, FERRY_E_NO_MEMORY);
        assert_int_equal(atomic_load(&allocator->refused), nth);
        assert_int_equal(atomic_load(&allocator->bytes), bytes);
        allocator_refuse_nothing(allocator);
    }
    assert_info(f, handles_open, 0);
    ferry_handle channel = open_channel(f, ROOMY);
    assert_true(atomic_load(&allocator->bytes) >= bytes + (size_t)ROOMY * 16);
    fixture_close_handle(f, channel);
    assert_int_equal(atomic_load(&allocator->bytes), bytes);
}

static void the_largest(void **state) {
    fixture *f = fixture_open(state);
    ferry_handle channel = open_channel(f, FERRY_CHANNEL_CAPACITY_MAX);
    assert_status(final_status(f, start_send(f, channel, 1)), FERRY_OK);
    expect_only(f, start_receive(f, channel), 1);
}

/* --- Callbacks ----------------------------------------------------------------------------- */

enum { CROWD = 100 };

typedef struct crowd {
    ferry_queue *queue;
    ferry_op sending[CROWD];
    ferry_status sent[CROWD];
    int ended;
    int received[CROWD];
} crowd;

static void on_crowd_sent(const ferry_completion *completion, void *user_data) {
    crowd *c = user_data;
    c->sent[completion->tag] = completion->status;
    c->ended++;
}

/*
 * More cancels than the engine puts off: some senders are interrupted while the receive is still at work,
 * the one whose message this is among them.
 */
static void on_crowd_received(const ferry_completion *completion, void *user_data) {
    crowd *c = user_data;
    if ((completion->flags & FERRY_MORE) != 0) {
        c->received[completion->result]++;
        for (size_t i = 0; i < CROWD; i++) {
            ferry_queue_cancel(c->queue, c->sending[i]);
        }
    }
}

static void a_callback_cancels_the_senders(void **state) {
    fixture *f = fixture_open(state);
    for (uint32_t capacity = 0; capacity < 3; capacity++) {
        crowd c = {.queue = f->queue};
        ferry_handle channel = open_channel(f, capacity);
        ferry_request request;
        for (int64_t i = 0; i < CROWD; i++) {
            ferry_prepare_channel_send(&request, channel, i, 0);
            request.callback = on_crowd_sent;
            request.user_data = &c;
            request.tag = (uint64_t)i;
            assert_status(ferry_queue_submit(f->queue, &request, 1, &c.sending[i], NULL), FERRY_OK);
        }
        fixture_linger(f, MS);
        ferry_prepare_channel_receive(&request, channel);
        request.callback = on_crowd_received;
        request.user_data = &c;
        assert_status(ferry_queue_submit(f->queue, &request, 1, NULL, NULL), FERRY_OK);
        fixture_linger(f, 5 * MS);
        assert_int_equal(c.ended, CROWD);
        assert_status(c.sent[0], FERRY_OK);
        assert_status(c.sent[CROWD / 2], FERRY_E_CANCELED);
        for (size_t i = 0; i < CROWD; i++) {
            assert_status(c.sent[i], c.received[i] != 0 ? FERRY_OK : FERRY_E_CANCELED);
            assert_in_range(c.received[i], 0, 1);
        }
        fixture_close_handle(f, channel);
    }
}

/* A turn of the host's loop has a budget, however much there is to receive. */
static void a_long_channel_keeps_the_budget(void **state) {
    enum { MESSAGES = 10000 };
    ferry_engine_options options = {.ops_max = 2 * MESSAGES};
    fixture *f = fixture_open_with(state, &options, NULL);
    ferry_handle channel = open_channel(f, MESSAGES);
    for (int64_t i = 0; i < MESSAGES; i++) {
        start_send(f, channel, i);
    }
    while (referee_outstanding(f->judge) > 0) {
        fixture_turn(f, 0);
    }
    fixture_drain(f);
    ferry_op receiving = start_receive_all(f, channel);
    ferry_run_report report = {.struct_size = sizeof report};
    size_t seen = referee_seen(f->judge);
    assert_status(ferry_engine_run(f->engine, 0, 1, &report), FERRY_OK);
    assert_true(referee_seen(f->judge) - seen < MESSAGES);
    for (int64_t i = 0; i < MESSAGES; i++) {
        expect_next(f, receiving, i);
    }
}

/* --- Eight threads ------------------------------------------------------------------------- */

enum {
    SENDERS = 4,
    RECEIVERS = 4,
    THREADS = SENDERS + RECEIVERS,
    EACH = 87500, /* Under three drives: more than a million messages. */
    BATCH = 32
};

typedef struct market {
    fixture *f;
    ferry_handle channel;
    atomic_uchar *seen; /* One for each message. */
    atomic_size_t received;
    atomic_size_t wrong;
    atomic_int trading;
} market;

typedef struct trader {
    market *market;
    size_t number;
    ferry_queue *queue;
} trader;

static void complain(market *m, bool wrong) {
    atomic_fetch_add(&m->wrong, wrong ? 1 : 0);
}

/* All messages of one sender, in order; their completions must come in order, too. */
static void *sell(void *argument) {
    trader *t = argument;
    market *m = t->market;
    uint64_t submitted = 0;
    uint64_t ended = 0;
    while (ended < EACH && atomic_load(&m->wrong) == 0) {
        ferry_request requests[BATCH];
        ferry_completion out[BATCH];
        size_t count = 0;
        size_t accepted = 0;
        for (; count < BATCH && submitted + count < EACH; count++) {
            uint64_t next = submitted + count;
            ferry_prepare_channel_send(&requests[count], m->channel, (int64_t)t->number, next);
            requests[count].tag = next;
        }
        if (count > 0 && submitted - ended < 8 * (uint64_t)BATCH) {
            ferry_status status = ferry_queue_submit(t->queue, requests, count, NULL, &accepted);
            complain(m, status != FERRY_OK && status != FERRY_E_FULL);
            submitted += accepted;
        }
        int32_t got = ferry_queue_wait(t->queue, out, BATCH, accepted > 0 ? 0 : MS);
        complain(m, got < 0);
        for (int32_t i = 0; i < got; i++) {
            complain(m, out[i].status != FERRY_OK || out[i].tag != ended);
            ended++;
        }
    }
    atomic_fetch_sub(&m->trading, 1);
    return NULL;
}

static void take_message(market *m, const ferry_completion *c, uint64_t next[SENDERS]) {
    uint64_t sender = (uint64_t)c->result;
    if (sender >= SENDERS || c->data_u64 >= EACH) {
        complain(m, true);
        return;
    }
    complain(m, atomic_fetch_add(&m->seen[sender * EACH + c->data_u64], 1) != 0);
    complain(m, c->data_u64 < next[sender]);
    next[sender] = c->data_u64 + 1;
    atomic_fetch_add(&m->received, 1);
}

/* Half of the receivers take what comes, half ask for each message. */
static void *buy(void *argument) {
    trader *t = argument;
    market *m = t->market;
    bool multishot = t->number % 2 == 0;
    uint64_t next[SENDERS] = {0};
    int32_t wanted = multishot ? 1 : BATCH / 2;
    int32_t asked = 0;
    bool ended = false;
    while ((!ended || asked > 0) && atomic_load(&m->wrong) == 0) {
        ferry_request request;
        ferry_completion out[BATCH];
        while (!ended && asked < wanted) {
            ferry_prepare_channel_receive(&request, m->channel);
            request.flags = multishot ? FERRY_MULTISHOT : 0;
            ferry_status status = ferry_queue_submit(t->queue, &request, 1, NULL, NULL);
            complain(m, status != FERRY_OK && status != FERRY_E_FULL);
            asked += status == FERRY_OK ? 1 : 0;
        }
        int32_t got = ferry_queue_wait(t->queue, out, BATCH, 100 * MS);
        complain(m, got < 0);
        for (int32_t i = 0; i < got; i++) {
            asked -= (out[i].flags & FERRY_MORE) == 0 ? 1 : 0;
            ended = ended || out[i].status == FERRY_E_END;
            if (out[i].status == FERRY_OK) {
                take_message(m, &out[i], next);
            } else {
                complain(m, out[i].status != FERRY_E_END);
            }
        }
    }
    atomic_fetch_sub(&m->trading, 1);
    return NULL;
}

static void eight_threads_trade(void **state) {
    fixture *f = fixture_open(state);
    market *m = fixture_memory(f, sizeof *m);
    size_t total = (size_t)SENDERS * EACH;
    *m = (market){.f = f, .channel = open_channel(f, 64)};
    atomic_store(&m->trading, THREADS);
    m->seen = fixture_memory(f, total * sizeof *m->seen);
    memset((void *)m->seen, 0, total * sizeof *m->seen);
    trader traders[THREADS];
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        /* One receiver's ring is soon full. */
        ferry_queue_options options = {.struct_size = sizeof options,
                                       .capacity = i == SENDERS ? 4 : 256};
        traders[i] = (trader){.market = m, .number = i};
        assert_status(ferry_queue_create(f->engine, &options, &traders[i].queue), FERRY_OK);
    }
    for (size_t i = 0; i < THREADS; i++) {
        REQUIRE(pthread_create(&threads[i], NULL, i < SENDERS ? sell : buy, &traders[i]) == 0);
    }
    while (atomic_load(&m->received) < total && atomic_load(&m->wrong) == 0) {
        fixture_turn(f, MS);
    }
    assert_status(finish(f, m->channel), FERRY_OK);
    while (atomic_load(&m->trading) > 0) {
        fixture_turn(f, MS);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(atomic_load(&m->wrong), 0);
    assert_int_equal(atomic_load(&m->received), total);
    for (size_t i = 0; i < total; i++) {
        assert_int_equal(atomic_load(&m->seen[i]), 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EVERY_DRIVE(both_words_cross),
        ON_EVERY_DRIVE(messages_come_in_order),
        ON_EVERY_DRIVE(who_waits_first_receives_first),
        ON_EVERY_DRIVE(receivers_take_turns),
        ON_EVERY_DRIVE(senders_wait_for_room_in_order),
        ON_EVERY_DRIVE(a_new_sender_does_not_overtake),
        ON_EACH_SHARDS(without_capacity_both_must_be_there),
        ON_HOST(a_full_ring_leaves_messages_in_the_channel),
        ON_HOST(an_interrupted_receive_leaves_its_message),
        ON_EVERY_DRIVE(a_canceled_send_is_not_received),
        ON_EVERY_DRIVE(a_canceled_receive_takes_nothing),
        ON_EVERY_DRIVE(deadlines_end_both_sides),
        ON_EACH_SHARDS(races_with_cancel),
        TEST_ON(races_with_cancel, two_inline),
        ON_EVERY_DRIVE(close_ends_who_waits),
        ON_EVERY_DRIVE(close_comes_after_what_was_sent),
        ON_EACH_SHARDS(discard_drops_messages),
        ON_EACH_SHARDS(shutdown_ends_who_waits),
        ON_EVERY_DRIVE(finish_of_an_empty_one),
        ON_EVERY_DRIVE(finish_of_a_full_one),
        ON_EVERY_DRIVE(finish_just_after_a_message),
        ON_EACH_SHARDS(bad_handles),
        ON_EACH_SHARDS(handles_run_out),
        ON_HOST(memory_runs_out),
        ON_EACH_SHARDS(the_largest),
        TEST_ON(a_callback_cancels_the_senders, host_inline),
        ON_HOST(a_long_channel_keeps_the_budget),
        ON_EACH_SHARDS(eight_threads_trade),
    };
    return RUN_SUITE(tests);
}
