/* Deadlines: every operation has one if asked; it is never early and ends the operation once. */
#include "pending.h"

static const uint64_t deadline = 7 * MS;

static void ends_whatever_is_pending(void **state) {
    fixture *f = fixture_open(state);
    for (pending_kind kind = 0; kind < PENDING_KINDS; kind++) {
        ferry_request request;
        pending_prepare(f, kind, &request);
        request.deadline_ns = deadline;
        uint64_t begin = now_ns();
        ferry_completion final = fixture_do(f, &request);
        uint64_t passed = now_ns() - begin;
        pending_expect(kind, final.status, FERRY_E_TIMED_OUT);
        assert_true(passed >= deadline);
    }
}

static void all_at_once(void **state) {
    fixture *f = fixture_open(state);
    ferry_request requests[PENDING_KINDS];
    ferry_op ops[PENDING_KINDS];
    for (pending_kind kind = 0; kind < PENDING_KINDS; kind++) {
        pending_prepare(f, kind, &requests[kind]);
        requests[kind].deadline_ns = deadline;
    }
    uint64_t begin = now_ns();
    fixture_submit_all(f, requests, PENDING_KINDS, ops);
    for (pending_kind kind = 0; kind < PENDING_KINDS; kind++) {
        pending_expect(kind, fixture_final(f, ops[kind]).status, FERRY_E_TIMED_OUT);
        assert_true(now_ns() - begin >= deadline);
    }
}

/* Whatever step of a load or an open it meets, no further one is begun: nobody would end it. */
static void meets_each_step_of_what_hangs(void **state) {
    fixture *f = fixture_open(state);
    ferry_request requests[2];
    pending_prepare(f, PENDING_LOAD, &requests[0]);
    pending_prepare(f, PENDING_OPEN, &requests[1]);
    for (uint64_t us = 1; us <= 100; us++) {
        for (int i = 0; i < 2; i++) {
            requests[i].deadline_ns = us * 1000;
            assert_status(fixture_do(f, &requests[i]).status, FERRY_E_TIMED_OUT);
        }
    }
}

static void a_receive_can_be_tried_again(void **state) {
    fixture *f = fixture_open(state);
    static const pending_kind kinds[] = {PENDING_RECEIVE, PENDING_RECEIVE_LENT,
                                         PENDING_RECEIVE_ALL};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        ferry_request request;
        pending_prepare(f, kinds[i], &request);
        request.deadline_ns = MS;
        for (int again = 0; again < 3; again++) {
            ferry_completion final = fixture_do(f, &request);
            pending_expect(kinds[i], final.status, FERRY_E_TIMED_OUT);
            assert_int_equal(final.flags, FERRY_REUSABLE);
        }
    }
}

static void counts_from_submit(void **state) {
    fixture *f = fixture_open(state);
    ferry_request request;
    ferry_prepare_timer(&request, HOUR, 0);
    request.deadline_ns = deadline;
    ferry_op op = fixture_submit(f, &request);
    /* The engine does not run for longer than the deadline: its first turn finds it passed. */
    sleep_ns(2 * deadline);
    fixture_turn(f, 0);
    fixture_turn(f, 0);
    assert_true(fixture_has(f, op));
    assert_status(fixture_final(f, op).status, FERRY_E_TIMED_OUT);
}

static void a_short_one_races_with_the_end(void **state) {
    fixture *f = fixture_open(state);
    for (int i = 0; i < 200; i++) {
        ferry_request request;
        if (i % 2 == 0) {
            ferry_prepare_nop(&request);
        } else {
            ferry_prepare_timer(&request, 30 * US, 0);
        }
        request.deadline_ns = 1 + (uint64_t)(i % 4) * 10 * US;
        assert_status_either(fixture_do(f, &request).status, FERRY_OK, FERRY_E_TIMED_OUT);
    }
}

static void a_long_one_does_nothing(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    char *path = fixture_file(f, "file", 10);
    ferry_address address = loopback(0);
    ferry_request requests[5];
    ferry_op ops[5];
    ferry_prepare_nop(&requests[0]);
    ferry_prepare_timer(&requests[1], MS, 0);
    ferry_prepare_stream_send(&requests[2], stream, "x", 1);
    ferry_prepare_file_load(&requests[3], path, 0);
    ferry_prepare_tcp_listen(&requests[4], &address, 0);
    for (size_t i = 0; i < 5; i++) {
        requests[i].deadline_ns = i % 2 == 0 ? HOUR : UINT64_MAX;
    }
    fixture_submit_all(f, requests, 5, ops);
    for (size_t i = 0; i < 5; i++) {
        ferry_completion final = fixture_final(f, ops[i]);
        assert_status(final.status, FERRY_OK);
        fixture_release(f, &final);
    }
    ferry_prepare_handle_close(&requests[0], stream);
    requests[0].deadline_ns = HOUR;
    assert_status(fixture_do(f, &requests[0]).status, FERRY_OK);
}

static void a_late_one_does_not_hit_a_successor(void **state) {
    fixture *f = fixture_open(state);
    ferry_request request;
    /* An operation that ends before its deadline frees its slot; the next user of it is long. */
    for (int i = 0; i < 20; i++) {
        ferry_prepare_nop(&request);
        request.deadline_ns = 3 * MS;
        assert_status(fixture_do(f, &request).status, FERRY_OK);
        ferry_prepare_timer(&request, 5 * MS, 0);
        assert_status(fixture_do(f, &request).status, FERRY_OK);
    }
}

static void bounds_the_whole_of_a_multishot(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_request request;
    ferry_prepare_stream_receive_multishot(&request, stream);
    request.deadline_ns = 30 * MS;
    uint64_t begin = now_ns();
    ferry_op op = fixture_submit(f, &request);
    ferry_completion next;
    do {
        peer_send(peer, "x", 1);
        next = fixture_next(f, op);
        fixture_release(f, &next);
    } while ((next.flags & FERRY_MORE) != 0);
    assert_true(now_ns() - begin >= 30 * MS);
    assert_status(next.status, FERRY_E_TIMED_OUT);
    assert_int_equal(next.flags, FERRY_REUSABLE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EVERY_DRIVE(ends_whatever_is_pending),
        ON_EACH_SHARDS(all_at_once),
        ON_EACH_SHARDS(meets_each_step_of_what_hangs),
        ON_EACH_SHARDS(a_receive_can_be_tried_again),
        ON_HOST(counts_from_submit),
        ON_EVERY_DRIVE(a_short_one_races_with_the_end),
        ON_EACH_SHARDS(a_long_one_does_nothing),
        ON_EACH_SHARDS(a_late_one_does_not_hit_a_successor),
        ON_EACH_SHARDS(bounds_the_whole_of_a_multishot),
    };
    return RUN_SUITE(tests);
}
