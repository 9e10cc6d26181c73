/*
 * Budgets: a run whose time is used up leaves the rest to the next one. With a budget of a nanosecond
 * each run does a step or so; whatever there is to do, it all ends, once, and nobody is forgotten for
 * others that always have something to do.
 */
#include "fixture.h"

#include <pthread.h>

enum {
    TINY_NS = 1,
    MANY = 500,
    BUSY = 20,       /* operations that follow each other for ever */
    STREAMS = 6,     /* for the test of fairness */
    PATIENCE = 20000 /* runs after which something counts as forgotten */
};

static void run_a_little(fixture *f) {
    assert_status(ferry_engine_run(f->engine, 0, TINY_NS, NULL), FERRY_OK);
}

/* Run in steps and collect, until an op has completed. */
static ferry_completion next_in_steps(fixture *f, ferry_op op) {
    while (!fixture_has(f, op)) {
        run_a_little(f);
        fixture_collect(f);
    }
    return fixture_next(f, op);
}

static void all_end_in_steps(fixture *f, const ferry_op *ops, size_t count, ferry_status status) {
    for (size_t i = 0; i < count; i++) {
        ferry_completion final = next_in_steps(f, ops[i]);
        assert_status(final.status, status);
        assert_int_equal(final.flags & FERRY_MORE, 0);
        fixture_release(f, &final);
    }
}

/* --- All of it ends ------------------------------------------------------------------------ */

static void timers_end_in_steps(void **state) {
    fixture *f = fixture_open(state);
    ferry_op ops[MANY];
    for (uint64_t i = 0; i < MANY; i++) {
        ferry_request request;
        ferry_prepare_timer(&request, 1 + i % 7 * MS, 0);
        ops[i] = fixture_submit(f, &request);
    }
    fixture_turn(f, 0); /* they are in the wheel */
    sleep_ns(10 * MS);
    all_end_in_steps(f, ops, MANY, FERRY_OK);
}

static void deadlines_end_in_steps(void **state) {
    fixture *f = fixture_open(state);
    ferry_op ops[MANY];
    for (size_t i = 0; i < MANY; i++) {
        ferry_request request;
        ferry_prepare_timer(&request, 1000 * SECOND, 0);
        request.deadline_ns = MS;
        ops[i] = fixture_submit(f, &request);
    }
    all_end_in_steps(f, ops, MANY, FERRY_E_TIMED_OUT);
}

typedef struct elsewhere {
    fixture *f;
    ferry_op ops[MANY];
    bool cancel;
} elsewhere;

static void *submit_elsewhere(void *argument) {
    elsewhere *e = argument;
    for (size_t i = 0; i < MANY; i++) {
        ferry_request request;
        ferry_prepare_timer(&request, e->cancel ? 1000 * SECOND : 0, 0);
        REQUIRE(referee_submit(e->f->judge, e->f->queue, &request, 1, &e->ops[i], NULL) ==
                FERRY_OK);
    }
    for (size_t i = 0; e->cancel && i < MANY; i++) {
        REQUIRE(referee_cancel(e->f->judge, e->f->queue, e->ops[i]) == FERRY_OK);
    }
    return NULL;
}

static void submit_on_a_thread(elsewhere *e) {
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, submit_elsewhere, e) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
}

static void what_other_threads_send_ends_in_steps(void **state) {
    fixture *f = fixture_open(state);
    elsewhere e = {.f = f};
    run_a_little(f); /* the engine is this thread's */
    submit_on_a_thread(&e);
    all_end_in_steps(f, e.ops, MANY, FERRY_OK);
}

static void cancels_of_other_threads_end_in_steps(void **state) {
    fixture *f = fixture_open(state);
    elsewhere e = {.f = f, .cancel = true};
    run_a_little(f);
    submit_on_a_thread(&e);
    all_end_in_steps(f, e.ops, MANY, FERRY_E_CANCELED);
}

static void cancels_end_in_steps(void **state) {
    fixture *f = fixture_open(state);
    ferry_op ops[MANY];
    for (size_t i = 0; i < MANY; i++) {
        ferry_request request;
        ferry_prepare_timer(&request, 1000 * SECOND, 0);
        ops[i] = fixture_submit(f, &request);
    }
    fixture_turn(f, 0);
    for (size_t i = 0; i < MANY; i++) {
        fixture_cancel(f, ops[i]);
    }
    all_end_in_steps(f, ops, MANY, FERRY_E_CANCELED);
}

static void loads_end_in_steps(void **state) {
    fixture *f = fixture_open(state);
    enum { FILES = 40 };
    ferry_op ops[FILES];
    const char *path = fixture_file(f, "file", 1000);
    for (size_t i = 0; i < FILES; i++) {
        ferry_request request;
        ferry_prepare_file_load(&request, path, 0);
        ops[i] = fixture_submit(f, &request);
    }
    all_end_in_steps(f, ops, FILES, FERRY_OK);
}

static void sends_and_receives_end_in_steps(void **state) {
    fixture *f = fixture_open(state);
    int peers[STREAMS];
    ferry_op sends[STREAMS];
    ferry_op receives[STREAMS];
    for (size_t i = 0; i < STREAMS; i++) {
        ferry_handle stream = fixture_stream(f, &peers[i]);
        ferry_request request;
        ferry_prepare_stream_send(&request, stream, "ping", 4);
        sends[i] = fixture_submit(f, &request);
        ferry_prepare_stream_receive(&request, stream, fixture_memory(f, 4), 4);
        receives[i] = fixture_submit(f, &request);
        peer_send(peers[i], "pong", 4);
    }
    all_end_in_steps(f, sends, STREAMS, FERRY_OK);
    all_end_in_steps(f, receives, STREAMS, FERRY_OK);
    for (size_t i = 0; i < STREAMS; i++) {
        char got[4];
        peer_receive(peers[i], got, sizeof got);
        assert_memory_equal(got, "ping", 4);
    }
}

static void streams_close_in_steps(void **state) {
    fixture *f = fixture_open(state);
    ferry_op receives[STREAMS];
    for (size_t i = 0; i < STREAMS; i++) {
        int peer;
        ferry_handle stream = fixture_stream(f, &peer);
        ferry_request request;
        ferry_prepare_stream_receive(&request, stream, fixture_memory(f, 4), 4);
        receives[i] = fixture_submit(f, &request);
        fixture_turn(f, 0);
        peer_send(peer, "late", 4); /* ready and discarded: either may come first */
        assert_status(referee_discard(f->judge, f->engine, stream), FERRY_OK);
    }
    for (size_t i = 0; i < STREAMS; i++) {
        assert_status_either(next_in_steps(f, receives[i]).status, FERRY_OK, FERRY_E_CLOSED);
    }
    for (int runs = 0; runs < PATIENCE && fixture_info(f).handles_open != 0; runs++) {
        run_a_little(f);
    }
    assert_int_equal(fixture_info(f).handles_open, 0);
}

static void paused_receives_go_on_in_steps(void **state) {
    ferry_queue_options small = {.capacity = 2};
    fixture *f = fixture_open_with(state, NULL, &small);
    ferry_op ops[STREAMS];
    int peers[STREAMS];
    for (size_t i = 0; i < STREAMS; i++) {
        ferry_request request;
        ferry_prepare_stream_receive_multishot(&request, fixture_stream(f, &peers[i]));
        ops[i] = fixture_submit(f, &request);
    }
    for (size_t i = 0; i < STREAMS; i++) {
        peer_send(peers[i], "some", 4);
    }
    for (size_t i = 0; i < STREAMS; i++) {
        ferry_completion some = next_in_steps(f, ops[i]);
        assert_int_equal(some.result, 4);
        fixture_release(f, &some);
    }
}

static void a_run_tells_of_what_it_left_in_the_inbox(void **state) {
    fixture *f = fixture_open(state);
    elsewhere e = {.f = f};
    run_a_little(f);
    submit_on_a_thread(&e);
    ferry_run_report report = {.struct_size = sizeof report};
    uint64_t completed = 0;
    while (completed < MANY) {
        assert_status(ferry_engine_run(f->engine, 0, TINY_NS, &report), FERRY_OK);
        completed += report.completed;
        assert_true(completed == MANY || report.left > 0);
        fixture_collect(f);
    }
}

/* --- Nobody is forgotten ------------------------------------------------------------------- */

/* Operations without end: each that has ended is followed by the next, so there is always one ready. */
typedef struct busy {
    fixture *f;
    ferry_op ops[BUSY];
} busy;

static ferry_op one_nop(fixture *f) {
    ferry_request request;
    ferry_prepare_nop(&request);
    return fixture_submit(f, &request);
}

static void stay_busy(busy *b) {
    run_a_little(b->f);
    fixture_collect(b->f);
    for (size_t i = 0; i < BUSY; i++) {
        if (b->ops[i] == FERRY_NONE || fixture_has(b->f, b->ops[i])) {
            if (b->ops[i] != FERRY_NONE) {
                fixture_next(b->f, b->ops[i]);
            }
            b->ops[i] = one_nop(b->f);
        }
    }
}

static void comes_though_busy(busy *b, ferry_op op) {
    for (int runs = 0; !fixture_has(b->f, op); runs++) {
        assert_true(runs < PATIENCE);
        stay_busy(b);
    }
    ferry_completion final = fixture_next(b->f, op);
    assert_status(final.status, FERRY_OK);
    fixture_release(b->f, &final);
}

static void a_busy_host_hears_of_its_timers(void **state) {
    busy b = {.f = fixture_open(state)};
    ferry_request request;
    ferry_prepare_timer(&request, 1, 0);
    stay_busy(&b);
    comes_though_busy(&b, fixture_submit(b.f, &request));
}

static void a_busy_host_hears_of_its_sockets(void **state) {
    busy b = {.f = fixture_open(state)};
    int peer;
    ferry_request request;
    ferry_handle stream = fixture_stream(b.f, &peer);
    ferry_prepare_stream_receive(&request, stream, fixture_memory(b.f, 4), 4);
    ferry_op receive = fixture_submit(b.f, &request);
    ferry_prepare_stream_send(&request, stream, "ping", 4);
    ferry_op send = fixture_submit(b.f, &request);
    stay_busy(&b);
    peer_send(peer, "pong", 4);
    comes_though_busy(&b, send);
    comes_though_busy(&b, receive);
}

static void a_busy_host_hears_of_its_files(void **state) {
    busy b = {.f = fixture_open(state)};
    ferry_request request;
    ferry_prepare_file_load(&request, fixture_file(b.f, "file", 1000), 0);
    ferry_op op = fixture_submit(b.f, &request);
    fixture_turn(b.f, 0);
    sleep_ns(20 * MS); /* it has been loaded, most likely: what is asked is whether anybody hears */
    comes_though_busy(&b, op);
}

/* One stream always has something to receive: the others get their turn all the same. */
static void sockets_take_turns(void **state) {
    fixture *f = fixture_open(state);
    int peers[STREAMS];
    ferry_op ops[STREAMS];
    for (size_t i = 0; i < STREAMS; i++) {
        ferry_request request;
        ferry_prepare_stream_receive_multishot(&request, fixture_stream(f, &peers[i]));
        ops[i] = fixture_submit(f, &request);
    }
    fixture_turn(f, 0);
    for (size_t i = 0; i < STREAMS; i++) {
        peer_send(peers[i], "x", 1);
    }
    size_t served = 1;
    for (int runs = 0; served < STREAMS; runs++) {
        assert_true(runs < PATIENCE);
        run_a_little(f);
        fixture_collect(f);
        if (fixture_has(f, ops[0])) {
            ferry_completion some = fixture_next(f, ops[0]);
            fixture_release(f, &some);
            peer_send(peers[0], "x", 1);
        }
        while (served < STREAMS && fixture_has(f, ops[served])) {
            served++;
        }
    }
    fixture_drain(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_HOST(timers_end_in_steps),
        ON_HOST(deadlines_end_in_steps),
        ON_HOST(what_other_threads_send_ends_in_steps),
        ON_HOST(cancels_of_other_threads_end_in_steps),
        ON_HOST(cancels_end_in_steps),
        ON_HOST(loads_end_in_steps),
        ON_HOST(sends_and_receives_end_in_steps),
        ON_HOST(streams_close_in_steps),
        ON_HOST(paused_receives_go_on_in_steps),
        ON_HOST(a_run_tells_of_what_it_left_in_the_inbox),
        ON_HOST(a_busy_host_hears_of_its_timers),
        ON_HOST(a_busy_host_hears_of_its_sockets),
        ON_HOST(a_busy_host_hears_of_its_files),
        ON_HOST(sockets_take_turns),
    };
    return RUN_SUITE(tests);
}
