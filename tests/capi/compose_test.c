/* Requests made of requests: what each composition does, and what it does when it is cut short. */
#include "steps.h"

#include <string.h>

static const ferry_completion *child(const ferry_completion *whole, size_t index) {
    assert_true(whole->flags & FERRY_BUFFER || whole->buffer == FERRY_NONE);
    assert_true((size_t)whole->result >= (index + 1) * sizeof(ferry_completion));
    return (const ferry_completion *)whole->data + index;
}

/* What is cut short before it began has nothing to tell of its children. */
static bool had_begun(const ferry_completion *whole) {
    if (whole->result == 0) {
        assert_null(whole->data);
        assert_int_equal(whole->flags & FERRY_BUFFER, 0);
    }
    return whole->result != 0;
}

static void timer_after(ferry_request *request, uint64_t delay_ns, uint64_t tag) {
    ferry_prepare_timer(request, delay_ns, 0);
    request->tag = tag;
}

/* Cannot succeed. */
static void failing(fixture *f, ferry_request *request) {
    ferry_prepare_file_load(request, fixture_path(f, "nowhere"), 0);
}

static void a_chain_runs_one_after_the_other(void **state) {
    fixture *f = fixture_open(state);
    ferry_request steps[3];
    ferry_request request;
    for (uint64_t i = 0; i < 3; i++) {
        timer_after(&steps[i], MS, 10 + i);
    }
    ferry_prepare_chain(&request, steps, 3);
    ferry_completion whole = fixture_do(f, &request);
    assert_status(whole.status, FERRY_OK);
    assert_int_equal(whole.result, 3 * sizeof(ferry_completion));
    for (size_t i = 0; i < 3; i++) {
        assert_status(child(&whole, i)->status, FERRY_OK);
        assert_int_equal(child(&whole, i)->tag, 10 + i);
        assert_int_equal(child(&whole, i)->opcode, FERRY_OP_TIMER);
        assert_int_equal(child(&whole, i)->op, FERRY_NONE);
    }
    fixture_release(f, &whole);
    assert_info(f, buffers_lent, 0);
}

static void a_chain_stops_at_the_first_failure(void **state) {
    fixture *f = fixture_open(state);
    ferry_request steps[3];
    ferry_request request;
    timer_after(&steps[0], 0, 0);
    failing(f, &steps[1]);
    timer_after(&steps[2], HOUR, 2);
    ferry_prepare_chain(&request, steps, 3);
    ferry_completion whole = fixture_do(f, &request);
    assert_status(whole.status, FERRY_E_NOT_FOUND);
    assert_int_not_equal(whole.os_error, 0);
    assert_status(child(&whole, 0)->status, FERRY_OK);
    assert_status(child(&whole, 1)->status, FERRY_E_NOT_FOUND);
    assert_status(child(&whole, 2)->status, FERRY_E_CANCELED);
    assert_int_equal(child(&whole, 2)->tag, 2);
    fixture_release(f, &whole);
}

/* Connect, send, receive, close: each works on what the first one opened. */
static void a_handle_is_passed_on(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    int listener = fixture_keep(f, peer_listen(&port));
    ferry_address address = loopback(port);
    char *answer = fixture_memory(f, 4);
    ferry_request steps[4];
    ferry_request request;
    ferry_prepare_tcp_connect(&steps[0], &address);
    ferry_prepare_stream_send(&steps[1], ferry_child_handle(0, 0), "ping", 4);
    ferry_prepare_stream_receive(&steps[2], ferry_child_handle(0, 0), answer, 4);
    ferry_prepare_handle_close(&steps[3], ferry_child_handle(0, 0));
    ferry_prepare_chain(&request, steps, 4);
    ferry_op op = fixture_submit(f, &request);
    fixture_turn(f, MS);
    int peer = fixture_keep(f, peer_accept(listener));
    char got[4];
    fixture_until_readable(f, peer);
    peer_receive(peer, got, 4);
    assert_memory_equal(got, "ping", 4);
    peer_send(peer, "pong", 4);
    ferry_completion whole = fixture_final(f, op);
    assert_status(whole.status, FERRY_OK);
    assert_memory_equal(answer, "pong", 4);
    fixture_release(f, &whole);
    assert_info(f, handles_open, 0);
}

static void a_failed_chain_closes_what_it_opened(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    int listener = fixture_keep(f, peer_listen(&port));
    ferry_address address = loopback(port);
    ferry_request steps[2];
    ferry_request request;
    ferry_prepare_tcp_connect(&steps[0], &address);
    failing(f, &steps[1]);
    ferry_prepare_chain(&request, steps, 2);
    ferry_completion whole = fixture_do(f, &request);
    assert_status(whole.status, FERRY_E_NOT_FOUND);
    assert_status(child(&whole, 0)->status, FERRY_OK);
    assert_int_equal(child(&whole, 0)->handle, FERRY_NONE);
    fixture_release(f, &whole);
    assert_info(f, handles_open, 0);
    int peer = fixture_keep(f, peer_accept(listener));
    assert_true(peer_sees_end(peer));
}

/* Two connections open, one per chain: each send goes to the one of the chain that it names. */
static void a_child_handle_names_its_level(void **state) {
    fixture *f = fixture_open(state);
    uint16_t ports[2];
    int listeners[2];
    ferry_request inner[4];
    ferry_request chain;
    ferry_request outer[3];
    ferry_request request;
    for (int i = 0; i < 2; i++) {
        listeners[i] = fixture_keep(f, peer_listen(&ports[i]));
    }
    ferry_address near = loopback(ports[0]);
    ferry_address far = loopback(ports[1]);
    ferry_prepare_tcp_connect(&inner[0], &near);
    ferry_prepare_stream_send(&inner[1], ferry_child_handle(0, 0), "near", 4);
    ferry_prepare_stream_send(&inner[2], ferry_child_handle(0, 1), "far ", 4);
    ferry_prepare_handle_close(&inner[3], ferry_child_handle(0, 0));
    ferry_prepare_chain(&chain, inner, 4);
    ferry_prepare_tcp_connect(&outer[0], &far);
    /* What is no chain is no level. */
    ferry_prepare_all(&outer[1], &chain, 1);
    ferry_prepare_handle_close(&outer[2], ferry_child_handle(0, 0));
    ferry_prepare_chain(&request, outer, 3);
    ferry_completion whole = fixture_do(f, &request);
    assert_status(whole.status, FERRY_OK);
    fixture_release(f, &whole);
    assert_info(f, handles_open, 0);
    for (int i = 0; i < 2; i++) {
        char got[4];
        int peer = fixture_keep(f, peer_accept(listeners[i]));
        peer_receive(peer, got, 4);
        assert_memory_equal(got, i == 0 ? "near" : "far ", 4);
        assert_true(peer_sees_end(peer));
    }
}

/* Its delay and its deadline, both: what went before costs it nothing. */
static void a_childs_time_begins_with_its_start(void **state) {
    fixture *f = fixture_open(state);
    ferry_request steps[3];
    ferry_request request;
    timer_after(&steps[0], 20 * MS, 0);
    timer_after(&steps[1], 20 * MS, 1);
    timer_after(&steps[2], HOUR, 2);
    steps[2].deadline_ns = 40 * MS;
    ferry_prepare_chain(&request, steps, 3);
    uint64_t begin = now_ns();
    ferry_completion whole = fixture_do(f, &request);
    assert_true(now_ns() - begin >= 80 * MS);
    assert_status(whole.status, FERRY_E_TIMED_OUT);
    assert_status(child(&whole, 1)->status, FERRY_OK);
    assert_status(child(&whole, 2)->status, FERRY_E_TIMED_OUT);
    fixture_release(f, &whole);
}

static void all_wait_for_the_last(void **state) {
    fixture *f = fixture_open(state);
    ferry_request steps[3];
    ferry_request request;
    timer_after(&steps[0], 3 * MS, 0);
    failing(f, &steps[1]);
    timer_after(&steps[2], MS, 2);
    ferry_prepare_all(&request, steps, 3);
    ferry_completion whole = fixture_do(f, &request);
    assert_status(whole.status, FERRY_E_NOT_FOUND);
    assert_status(child(&whole, 0)->status, FERRY_OK);
    assert_status(child(&whole, 1)->status, FERRY_E_NOT_FOUND);
    assert_status(child(&whole, 2)->status, FERRY_OK);
    fixture_release(f, &whole);
}

static void a_race_ends_with_the_first(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_request steps[3];
    ferry_request request;
    timer_after(&steps[0], HOUR, 0);
    timer_after(&steps[1], MS, 1);
    ferry_prepare_stream_receive(&steps[2], stream, fixture_memory(f, 8), 8);
    ferry_prepare_race(&request, steps, 3);
    ferry_completion whole = fixture_do(f, &request);
    assert_status(whole.status, FERRY_OK);
    assert_status(child(&whole, 0)->status, FERRY_E_CANCELED);
    assert_status(child(&whole, 1)->status, FERRY_OK);
    assert_int_equal(child(&whole, 1)->flags, FERRY_WINNER);
    assert_status(child(&whole, 2)->status, FERRY_E_CANCELED);
    assert_int_equal(child(&whole, 2)->flags, FERRY_REUSABLE);
    fixture_release(f, &whole);
}

/* The loser has opened a connection, and said so to its peer, before the winner wins. */
static void a_race_closes_what_a_loser_opened(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    int listener = fixture_keep(f, peer_listen(&port));
    ferry_address address = loopback(port);
    int winning;
    ferry_handle stream = fixture_stream(f, &winning);
    ferry_request greeting[2];
    ferry_request losing[2];
    ferry_request steps[2];
    ferry_request request;
    ferry_prepare_tcp_connect(&greeting[0], &address);
    ferry_prepare_stream_send(&greeting[1], ferry_child_handle(0, 0), "x", 1);
    ferry_prepare_chain(&losing[0], greeting, 2);
    timer_after(&losing[1], HOUR, 0);
    ferry_prepare_all(&steps[0], losing, 2);
    ferry_prepare_stream_receive(&steps[1], stream, fixture_memory(f, 8), 8);
    ferry_prepare_race(&request, steps, 2);
    ferry_op op = fixture_submit(f, &request);
    fixture_until_readable(f, listener);
    int peer = fixture_keep(f, peer_accept(listener));
    fixture_until_readable(f, peer);
    char got;
    peer_receive(peer, &got, 1);
    peer_send(winning, "y", 1);
    ferry_completion whole = fixture_final(f, op);
    assert_status(whole.status, FERRY_OK);
    assert_int_equal(child(&whole, 1)->flags & FERRY_WINNER, FERRY_WINNER);
    const ferry_completion *greeted = child(child(&whole, 0), 0);
    assert_status(child(greeted, 0)->status, FERRY_OK);
    assert_int_equal(child(greeted, 0)->handle, FERRY_NONE);
    fixture_release(f, &whole);
    assert_info(f, handles_open, 1);
    fixture_until_readable(f, peer);
    assert_true(peer_sees_end(peer));
}

/* A tree with lent buffers on every level, dispatched or called inline without a callback. */
static void what_nobody_is_told_of_is_given_back(void **state) {
    fixture *f = fixture_open(state);
    ferry_queue *called = make_queue(f, FERRY_QUEUE_INLINE, 0);
    const char *file = fixture_file(f, "file", 1000);
    ferry_request leaves[2];
    ferry_request branches[2];
    ferry_request request;
    ferry_prepare_file_load(&leaves[0], file, 0);
    ferry_prepare_file_load(&leaves[1], file, 0);
    ferry_prepare_chain(&branches[0], leaves, 2);
    ferry_prepare_file_load(&branches[1], file, 0);
    ferry_prepare_all(&request, branches, 2);
    /* Both past the referee, who cannot see what is dropped. */
    assert_status(ferry_queue_submit(called, &request, 1, NULL, NULL), FERRY_OK);
    assert_status(ferry_queue_submit(f->queue, &request, 1, NULL, NULL), FERRY_OK);
    while (ferry_queue_dispatch(f->queue, 0, 0) == 0) {
        assert_status(ferry_engine_run(f->engine, MS, 0, NULL), FERRY_OK);
    }
    assert_info(f, ops_in_flight, 0);
    assert_info(f, buffers_lent, 0);
    assert_info(f, buffer_bytes_lent, 0);
}

static void a_retry_ends_with_the_last_attempt(void **state) {
    fixture *f = fixture_open(state);
    ferry_request attempt;
    ferry_request request;
    failing(f, &attempt);
    ferry_prepare_retry(&request, &attempt, 4, MS, 2 * MS);
    ferry_completion whole = fixture_do(f, &request);
    assert_status(whole.status, FERRY_E_NOT_FOUND);
    assert_int_equal(whole.result, sizeof(ferry_completion));
    assert_status(child(&whole, 0)->status, FERRY_E_NOT_FOUND);
    fixture_release(f, &whole);
}

static void a_tree_is_cut_short_as_a_whole(void **state) {
    fixture *f = fixture_open(state);
    ferry_request leaves[2];
    ferry_request branches[2];
    ferry_request request;
    timer_after(&leaves[0], HOUR, 0);
    timer_after(&leaves[1], HOUR, 1);
    ferry_prepare_race(&branches[0], leaves, 2);
    timer_after(&branches[1], HOUR, 3);
    ferry_prepare_all(&request, branches, 2);
    ferry_op op = fixture_submit(f, &request);
    fixture_turn(f, MS);
    fixture_cancel(f, op);
    ferry_completion whole = fixture_final(f, op);
    assert_status(whole.status, FERRY_E_CANCELED);
    if (had_begun(&whole)) {
        assert_status(child(&whole, 0)->status, FERRY_E_CANCELED);
        assert_int_equal(child(&whole, 0)->flags & FERRY_BUFFER, 0);
        assert_status(child(child(&whole, 0), 1)->status, FERRY_E_CANCELED);
        fixture_release(f, &whole);
    }

    request.deadline_ns = 5 * MS;
    whole = fixture_do(f, &request);
    assert_status(whole.status, FERRY_E_TIMED_OUT);
    if (had_begun(&whole)) {
        assert_status(child(&whole, 1)->status, FERRY_E_TIMED_OUT);
        fixture_release(f, &whole);
    }

    branches[1].deadline_ns = MS;
    request.deadline_ns = 0;
    leaves[0].deadline_ns = 2 * MS;
    whole = fixture_do(f, &request);
    assert_status(whole.status, FERRY_E_TIMED_OUT);
    fixture_release(f, &whole);
    branches[1].deadline_ns = 0;
    leaves[0].deadline_ns = 0;
    op = fixture_submit(f, &request);
    fixture_turn(f, MS);
    fixture_shutdown(f);
    whole = fixture_final(f, op);
    assert_status(whole.status, FERRY_E_SHUTDOWN);
    if (had_begun(&whole)) {
        fixture_release(f, &whole);
    }
}

/* Children whose targets live on different shards run there. */
static void children_go_to_their_targets(void **state) {
    fixture *f = fixture_open(state);
    enum { STREAMS = 6 };
    int peers[STREAMS];
    ferry_request steps[STREAMS];
    ferry_request request;
    char *buffers = fixture_memory(f, STREAMS);
    for (int i = 0; i < STREAMS; i++) {
        ferry_handle stream = fixture_stream(f, &peers[i]);
        ferry_prepare_stream_receive(&steps[i], stream, buffers + i, 1);
    }
    ferry_prepare_all(&request, steps, STREAMS);
    ferry_op op = fixture_submit(f, &request);
    for (int i = 0; i < STREAMS; i++) {
        fixture_turn(f, MS);
        assert_false(fixture_has(f, op));
        peer_send(peers[i], "x", 1);
    }
    ferry_completion whole = fixture_final(f, op);
    assert_status(whole.status, FERRY_OK);
    for (size_t i = 0; i < STREAMS; i++) {
        assert_int_equal(child(&whole, i)->result, 1);
        assert_int_equal(child(&whole, i)->handle, steps[i].target);
    }
    fixture_release(f, &whole);
    for (int i = 0; i < 200; i++) {
        op = fixture_submit(f, &request);
        if (i % 3 != 0) {
            fixture_turn(f, 0);
        }
        fixture_cancel(f, op);
        whole = fixture_final(f, op);
        assert_status(whole.status, FERRY_E_CANCELED);
        if (had_begun(&whole)) {
            fixture_release(f, &whole);
        }
    }
    ferry_prepare_race(&request, steps, STREAMS);
    for (int i = 0; i < 200; i++) {
        op = fixture_submit(f, &request);
        peer_send(peers[i % STREAMS], "y", 1);
        if (i % 2 == 0) {
            peer_send(peers[(i + 1) % STREAMS], "y", 1);
        }
        whole = fixture_final(f, op);
        assert_status(whole.status, FERRY_OK);
        fixture_release(f, &whole);
    }
}

/* A copy's two ends must live on one shard, also where a name stands for one of them. */
static void a_child_cannot_copy_between_shards(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    int peer;
    ferry_handle listener = fixture_listen(f, &port);
    ferry_handle here = fixture_stream(f, &peer);
    ferry_handle there;
    ferry_request steps[2];
    ferry_request request;
    do {
        there = fixture_stream(f, &peer);
        ferry_prepare_handle_copy(&request, here, there, 1, 0, 0);
    } while (fixture_try(f, &request, 1, NULL, NULL) != FERRY_E_WRONG_SHARD);
    ferry_prepare_handle_copy(&steps[0], here, there, 1, 0, 0);
    ferry_prepare_all(&request, steps, 1);
    assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_WRONG_SHARD);

    int fitting = 0;
    for (int i = 0; i < 4; i++) {
        ferry_handle other = i % 2 == 0 ? here : there;
        ferry_handle opened = ferry_child_handle(0, 0);
        ferry_prepare_tcp_accept(&steps[0], listener);
        steps[0].flags = 0; /* One connection. */
        ferry_prepare_handle_copy(&steps[1], i < 2 ? opened : other, i < 2 ? other : opened, 0, 0,
                                  0);
        ferry_prepare_chain(&request, steps, 2);
        ferry_op op = fixture_submit(f, &request);
        fixture_keep(f, peer_connect(port));
        ferry_completion whole = fixture_final(f, op);
        fitting += whole.status == FERRY_OK;
        if (whole.status != FERRY_OK) {
            assert_status(whole.status, FERRY_E_WRONG_SHARD);
            assert_status(child(&whole, 1)->status, FERRY_E_WRONG_SHARD);
            assert_int_equal(child(&whole, 1)->flags, FERRY_REUSABLE);
        }
        fixture_release(f, &whole);
    }
    assert_int_equal(fitting, 2);
}

/* An offset fits a name that stands for a file, and no other. */
static void a_copy_by_name_has_an_offset(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    uint16_t port;
    int listener = fixture_keep(f, peer_listen(&port));
    ferry_address address = loopback(port);
    ferry_request steps[3];
    ferry_request request;
    char got[100];
    ferry_prepare_file_open(&steps[0], fixture_file(f, "file", 1000), FERRY_OPEN_READ, 0);
    ferry_prepare_tcp_connect(&steps[1], &address);
    ferry_prepare_handle_copy(&steps[2], ferry_child_handle(0, 0), ferry_child_handle(1, 0), 100,
                              500, 0);
    ferry_prepare_chain(&request, steps, 3);
    ferry_completion whole = fixture_do(f, &request);
    assert_status(whole.status, FERRY_OK);
    assert_int_equal(child(&whole, 2)->result, 100);
    peer = fixture_keep(f, peer_accept(listener));
    peer_receive(peer, got, sizeof got);
    assert_true(pattern_matches(got, sizeof got, 500));
    fixture_close_handle(f, child(&whole, 0)->handle);
    fixture_close_handle(f, child(&whole, 1)->handle);
    fixture_release(f, &whole);

    ferry_prepare_handle_copy(&steps[2], ferry_child_handle(0, 0), ferry_child_handle(1, 0), 100, 0,
                              500);
    whole = fixture_do(f, &request);
    assert_status(whole.status, FERRY_E_INVALID);
    assert_status(child(&whole, 2)->status, FERRY_E_INVALID);
    fixture_release(f, &whole);
    assert_info(f, handles_open, 0);
}

static void what_is_wrong_is_refused(void **state) {
    fixture *f = fixture_open(state);
    ferry_request steps[70];
    ferry_request request;
    for (int i = 0; i < 70; i++) {
        ferry_prepare_nop(&steps[i]);
    }
    ferry_prepare_chain(&request, NULL, 1);
    assert_status(fixture_fate(f, &request), FERRY_E_INVALID);
    ferry_prepare_chain(&request, steps, 0);
    assert_status(fixture_fate(f, &request), FERRY_E_INVALID);
    ferry_prepare_all(&request, steps, FERRY_CHILDREN_MAX + 1);
    assert_status(fixture_fate(f, &request), FERRY_E_LIMIT);
    ferry_prepare_timer(&steps[1], 1, 1);
    ferry_prepare_race(&request, steps, 2);
    assert_status(fixture_fate(f, &request), FERRY_E_INVALID);
    ferry_prepare_handle_close(&steps[1], ferry_child_handle(1, 0));
    assert_status(fixture_fate(f, &request), FERRY_E_INVALID);
    ferry_prepare_chain(&request, steps, 2);
    assert_status(fixture_fate(f, &request), FERRY_E_INVALID);
    steps[1].target = ferry_child_handle(0, 1);
    assert_status(fixture_fate(f, &request), FERRY_E_INVALID);
    /* A nop opens nothing that could be closed. */
    steps[1].target = ferry_child_handle(0, 0);
    assert_status(fixture_fate(f, &request), FERRY_E_INVALID);
    ferry_prepare_all(&steps[0], &steps[5], 1);
    assert_status(fixture_fate(f, &request), FERRY_E_BAD_HANDLE);
    ferry_prepare_nop(&steps[0]);
    steps[0].callback_u64 = 1;
    assert_status(fixture_fate(f, &request), FERRY_E_INVALID);
    ferry_prepare_handle_close(&request, ferry_child_handle(0, 0));
    assert_status(fixture_fate(f, &request), FERRY_E_BAD_HANDLE);
    ferry_prepare_retry(&request, NULL, 1, 0, 0);
    assert_status(fixture_fate(f, &request), FERRY_E_INVALID);
    /* A descriptor that changes its owner does so once. */
    ferry_prepare_descriptor_adopt(&steps[0], 1 << 20, FERRY_DESCRIPTOR_STREAM);
    ferry_prepare_chain(&steps[1], steps, 1);
    ferry_prepare_retry(&request, &steps[1], 1, 0, 0);
    assert_status(fixture_fate(f, &request), FERRY_E_INVALID);
    ferry_prepare_retry(&steps[1], &steps[0], 1, 0, 0);
    ferry_prepare_all(&request, &steps[1], 1);
    assert_status(fixture_fate(f, &request), FERRY_E_INVALID);
    ferry_prepare_all(&request, &steps[0], 1);
    assert_status(fixture_fate(f, &request), FERRY_E_INVALID); /* No such descriptor. */
    ferry_prepare_nop(&steps[0]);
    assert_int_equal(ferry_child_handle(FERRY_CHILDREN_MAX, 0), FERRY_NONE);
    assert_int_equal(ferry_child_handle(0, FERRY_DEPTH_MAX), FERRY_NONE);
}

static void depth_is_bounded(void **state) {
    fixture *f = fixture_open(state);
    ferry_request levels[FERRY_DEPTH_MAX + 2];
    ferry_prepare_nop(&levels[0]);
    for (size_t i = 1; i <= FERRY_DEPTH_MAX + 1; i++) {
        ferry_prepare_chain(&levels[i], &levels[i - 1], 1);
    }
    ferry_completion whole = fixture_do(f, &levels[FERRY_DEPTH_MAX]);
    assert_status(whole.status, FERRY_OK);
    const ferry_completion *at = &whole;
    for (size_t i = 0; i < FERRY_DEPTH_MAX; i++) {
        at = child(at, 0);
        assert_status(at->status, FERRY_OK);
    }
    assert_int_equal(at->opcode, FERRY_OP_NOP);
    fixture_release(f, &whole);
    assert_status(fixture_fate(f, &levels[FERRY_DEPTH_MAX + 1]), FERRY_E_LIMIT);
}

/* Where a composition puts its children's completions is nobody's before it ends, not even a guesser's. */
static void a_guess_frees_no_results(void **state) {
    enum { GENERATION = 22 }; /* Where an id's generation begins. */
    fixture *f = fixture_open(state);
    ferry_request child;
    ferry_request request;
    ferry_prepare_nop(&child);
    ferry_prepare_all(&request, &child, 1);
    ferry_completion first = fixture_do(f, &request);
    ferry_buffer next = first.buffer + (UINT64_C(1) << GENERATION);
    fixture_release(f, &first);
    ferry_prepare_timer(&child, HOUR, 0);
    ferry_prepare_all(&request, &child, 1);
    ferry_op op = fixture_submit(f, &request);
    fixture_linger(f, MS);
    assert_status(ferry_buffer_release(f->engine, next), FERRY_E_BAD_HANDLE);
    fixture_cancel(f, op);
    ferry_completion second = fixture_final(f, op);
    assert_status(second.status, FERRY_E_CANCELED);
    assert_int_equal(second.buffer, next); /* Or it was no good guess. */
    fixture_release(f, &second);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EVERY_DRIVE(a_chain_runs_one_after_the_other),
        ON_EVERY_DRIVE(a_chain_stops_at_the_first_failure),
        ON_EVERY_DRIVE(a_handle_is_passed_on),
        ON_EACH_SHARDS(a_failed_chain_closes_what_it_opened),
        ON_EVERY_DRIVE(a_child_handle_names_its_level),
        ON_EVERY_DRIVE(a_childs_time_begins_with_its_start),
        ON_EVERY_DRIVE(all_wait_for_the_last),
        ON_EVERY_DRIVE(a_race_ends_with_the_first),
        ON_EACH_SHARDS(a_race_closes_what_a_loser_opened),
        ON_HOST(what_nobody_is_told_of_is_given_back),
        ON_EACH_SHARDS(a_retry_ends_with_the_last_attempt),
        ON_HOST(a_guess_frees_no_results),
        ON_EVERY_DRIVE(a_tree_is_cut_short_as_a_whole),
        ON_EVERY_DRIVE(children_go_to_their_targets),
        ON_EACH_SHARDS(what_is_wrong_is_refused),
        ON_EVERY_DRIVE(a_copy_by_name_has_an_offset),
        TEST_ON(a_child_cannot_copy_between_shards, two),
        ON_EACH_SHARDS(depth_is_bounded),
    };
    return RUN_SUITE(tests);
}
