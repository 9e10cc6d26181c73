/*
 * Queues: the ways to get completions out, and the end of a queue.
 *
 * A full ring is ring_test's matter, callbacks are callback_test's, sleep and wake wake_test's.
 */
#include "steps.h"

#include <stdatomic.h>

enum { SMALL = 4 };

/* --- Modes --------------------------------------------------------------------------------- */

static void each_mode_refuses_the_calls_of_the_others(void **state) {
    fixture *f = fixture_open(state);
    ferry_queue *reaped = make_queue(f, FERRY_QUEUE_REAP, 0);
    ferry_queue *mapped = make_queue(f, FERRY_QUEUE_MAPPED, 0);
    ferry_queue *called = make_queue(f, FERRY_QUEUE_INLINE, 0);
    ferry_queue *unpulled[] = {mapped, called};
    ferry_completion out;
    ferry_queue_mapping mapping = {.struct_size = sizeof mapping};
    int32_t fd;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(ferry_queue_reap(unpulled[i], &out, 1), FERRY_E_UNSUPPORTED);
        assert_int_equal(ferry_queue_dispatch(unpulled[i], 0, 0), FERRY_E_UNSUPPORTED);
    }
    assert_status(ferry_queue_map(reaped, &mapping), FERRY_E_UNSUPPORTED);
    assert_status(ferry_queue_map(called, &mapping), FERRY_E_UNSUPPORTED);
    assert_status(ferry_queue_fd(called, &fd), FERRY_E_UNSUPPORTED);
    assert_int_equal(fd, -1);
    assert_int_equal(ferry_queue_arm(called), FERRY_E_UNSUPPORTED);
    assert_status(ferry_queue_post(called, 1, 2, 3), FERRY_E_UNSUPPORTED);
    assert_status(ferry_queue_destroy(reaped), FERRY_OK);
    assert_status(ferry_queue_destroy(mapped), FERRY_OK);
    assert_status(ferry_queue_destroy(called), FERRY_OK);
}

static void wait_is_for_queues_that_are_reaped(void **state) {
    fixture *f = fixture_open(state);
    ferry_completion out;
    ferry_queue *mapped = make_queue(f, FERRY_QUEUE_MAPPED, 0);
    ferry_queue *called = make_queue(f, FERRY_QUEUE_INLINE, 0);
    assert_int_equal(ferry_queue_wait(mapped, &out, 1, MS), FERRY_E_UNSUPPORTED);
    assert_int_equal(ferry_queue_wait(called, &out, 1, MS), FERRY_E_UNSUPPORTED);
}

static void capacity_is_rounded_up(void **state) {
    fixture *f = fixture_open(state);
    static const uint32_t asked[] = {0, 1, 2, 3, 4, 5, 1000, 1024, 1025};
    static const uint32_t given[] = {1024, 1, 2, 4, 4, 8, 1024, 1024, 2048};
    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        ferry_queue *queue = make_queue(f, FERRY_QUEUE_MAPPED, asked[i]);
        ferry_queue_mapping mapping = {.struct_size = sizeof mapping};
        assert_status(ferry_queue_map(queue, &mapping), FERRY_OK);
        assert_int_equal(mapping.capacity, given[i]);
        assert_non_null(mapping.records);
        assert_int_equal((uintptr_t)mapping.records % 8, 0);
        assert_int_equal(*mapping.head, *mapping.tail);
        assert_int_equal(*mapping.flags, 0);
        assert_status(ferry_queue_destroy(queue), FERRY_OK);
    }
}

static void each_queue_gets_its_own(void **state) {
    fixture *f = fixture_open(state);
    ferry_queue *other = make_queue(f, FERRY_QUEUE_REAP, 0);
    ferry_op own_op;
    ferry_op other_op;
    ferry_completion out[2];
    submit_nops(f, f->queue, 1, &own_op);
    submit_nops(f, other, 1, &other_op);
    int32_t count = 0;
    while (count == 0) {
        fixture_turn(f, MS);
        count = referee_reap(f->judge, other, out, 2);
    }
    assert_int_equal(count, 1);
    assert_int_equal(out[0].op, other_op);
    assert_status(fixture_final(f, own_op).status, FERRY_OK);
}

/* --- Reap and wait ------------------------------------------------------------------------- */

static void reap_takes_what_fits(void **state) {
    fixture *f = fixture_open(state);
    ferry_completion out[8];
    complete_nops(f, f->queue, 5);
    assert_int_equal(referee_reap(f->judge, f->queue, out, 2), 2);
    assert_int_equal(out[0].tag, 0);
    assert_int_equal(out[1].tag, 1);
    assert_int_equal(referee_reap(f->judge, f->queue, out, 8), 3);
    assert_int_equal(out[0].tag, 2);
    assert_int_equal(out[2].tag, 4);
    assert_int_equal(referee_reap(f->judge, f->queue, out, 8), 0);
}

static void wait_returns_when_something_comes(void **state) {
    fixture *f = fixture_open(state);
    ferry_completion out[4];
    ferry_request request;
    ferry_prepare_timer(&request, 10 * MS, 0);
    uint64_t begin = now_ns();
    assert_status(referee_submit(f->judge, f->queue, &request, 1, NULL, NULL), FERRY_OK);
    assert_int_equal(referee_wait(f->judge, f->queue, out, 4, FERRY_FOREVER), 1);
    assert_true(now_ns() - begin >= 10 * MS);
    begin = now_ns();
    assert_int_equal(referee_wait(f->judge, f->queue, out, 4, 10 * MS), 0);
    assert_true(now_ns() - begin >= 10 * MS);
    assert_int_equal(referee_wait(f->judge, f->queue, out, 4, 0), 0);
}

static void wait_would_hang_the_thread_that_runs_the_loop(void **state) {
    fixture *f = fixture_open(state);
    ferry_completion out;
    assert_status(ferry_engine_run(f->engine, 0, 0, NULL), FERRY_OK);
    assert_int_equal(ferry_queue_wait(f->queue, &out, 1, MS), FERRY_E_WRONG_THREAD);
}

typedef struct waiter {
    fixture *f;
    ferry_queue *queue;
    atomic_int count;
    ferry_completion out;
} waiter;

static void *wait_elsewhere(void *argument) {
    waiter *w = argument;
    int32_t count = referee_wait(w->f->judge, w->queue, &w->out, 1, FERRY_FOREVER);
    atomic_store(&w->count, count);
    return NULL;
}

static void another_thread_may_wait_for_a_host_driven_engine(void **state) {
    fixture *f = fixture_open(state);
    waiter w = {.f = f, .queue = make_queue(f, FERRY_QUEUE_REAP, 0)};
    ferry_op op;
    pthread_t thread;
    atomic_init(&w.count, 0);
    assert_status(ferry_engine_run(f->engine, 0, 0, NULL), FERRY_OK);
    REQUIRE(pthread_create(&thread, NULL, wait_elsewhere, &w) == 0);
    submit_nops(f, w.queue, 1, &op);
    while (atomic_load(&w.count) == 0) {
        fixture_turn(f, MS);
    }
    pthread_join(thread, NULL);
    assert_int_equal(atomic_load(&w.count), 1);
    assert_int_equal(w.out.op, op);
}

/* --- The end of a queue -------------------------------------------------------------------- */

static void a_queue_in_use_is_not_destroyed(void **state) {
    fixture *f = fixture_open(state);
    ferry_queue *queue = make_queue(f, FERRY_QUEUE_REAP, 0);
    ferry_request request;
    ferry_op op;
    ferry_completion out;
    ferry_prepare_timer(&request, HOUR, 0);
    assert_status(referee_submit(f->judge, queue, &request, 1, &op, NULL), FERRY_OK);
    assert_status(ferry_queue_destroy(queue), FERRY_E_BUSY);
    assert_status(referee_cancel(f->judge, queue, op), FERRY_OK);
    run_until_idle(f);
    /* Nothing flies any more, but a completion waits. */
    assert_status(ferry_queue_destroy(queue), FERRY_E_BUSY);
    assert_int_equal(referee_reap(f->judge, queue, &out, 1), 1);
    assert_status(ferry_queue_destroy(queue), FERRY_OK);
}

static void a_destroyed_queue_is_stale(void **state) {
    fixture *f = fixture_open(state);
    ferry_queue *queue = make_queue(f, FERRY_QUEUE_REAP, 0);
    ferry_request request;
    ferry_completion out;
    ferry_queue_mapping mapping = {.struct_size = sizeof mapping};
    ferry_op op = FERRY_NONE;
    size_t accepted = 9;
    int32_t fd;
    ferry_prepare_nop(&request);
    assert_status(ferry_queue_destroy(queue), FERRY_OK);
    assert_status(ferry_queue_submit(queue, &request, 1, &op, &accepted), FERRY_E_STALE);
    assert_int_equal(accepted, 0);
    assert_status(ferry_queue_cancel(queue, 1), FERRY_E_STALE);
    assert_status(ferry_queue_post(queue, 1, 2, 3), FERRY_E_STALE);
    assert_int_equal(ferry_queue_reap(queue, &out, 1), FERRY_E_STALE);
    assert_int_equal(ferry_queue_wait(queue, &out, 1, MS), FERRY_E_STALE);
    assert_int_equal(ferry_queue_dispatch(queue, 0, 0), FERRY_E_STALE);
    assert_status(ferry_queue_fd(queue, &fd), FERRY_E_STALE);
    assert_int_equal(ferry_queue_arm(queue), FERRY_E_STALE);
    assert_status(ferry_queue_map(queue, &mapping), FERRY_E_STALE);
    assert_status(ferry_queue_destroy(queue), FERRY_E_STALE);
    assert_status(ferry_queue_destroy(NULL), FERRY_OK);
}

static void completions_may_be_left_behind_after_shutdown(void **state) {
    fixture *f = fixture_open(state);
    ferry_queue *queue = make_queue(f, FERRY_QUEUE_REAP, 0);
    ferry_request request;
    ferry_prepare_timer(&request, HOUR, 0);
    /* Past the referee, who would miss the completion. */
    assert_status(ferry_queue_submit(queue, &request, 1, NULL, NULL), FERRY_OK);
    fixture_shutdown(f);
    assert_status(ferry_queue_destroy(queue), FERRY_OK);
}

static void what_was_held_back_is_not_in_flight_for_ever(void **state) {
    fixture *f = fixture_open(state);
    ferry_queue *queue = make_queue(f, FERRY_QUEUE_REAP, 1);
    ferry_request request;
    ferry_prepare_timer(&request, HOUR, 0);
    for (int i = 0; i < 3; i++) {
        assert_status(ferry_queue_submit(queue, &request, 1, NULL, NULL), FERRY_OK);
    }
    fixture_shutdown(f);
    assert_int_equal(fixture_info(f).ops_in_flight, 2);
    assert_status(ferry_queue_destroy(queue), FERRY_OK);
    assert_int_equal(fixture_info(f).ops_in_flight, 0);
}

static void many_queues_come_and_go(void **state) {
    fixture *f = fixture_open(state);
    ferry_op op;
    ferry_completion out[2];
    /* The fixture's own way to sleep may want a descriptor at its first time. */
    fixture_turn(f, MS);
    size_t descriptors = count_descriptors();
    for (int i = 0; i < 200; i++) {
        ferry_queue *queue = make_queue(f, FERRY_QUEUE_REAP, SMALL);
        int32_t fd;
        assert_status(ferry_queue_fd(queue, &fd), FERRY_OK);
        submit_nops(f, queue, 1, &op);
        int32_t count = 0;
        while (count == 0) {
            fixture_turn(f, MS);
            count = referee_reap(f->judge, queue, out, 2);
        }
        assert_int_equal(count, 1);
        assert_status(ferry_queue_destroy(queue), FERRY_OK);
    }
    assert_int_equal(count_descriptors(), descriptors);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EACH_SHARDS(each_mode_refuses_the_calls_of_the_others),
        ON_THREADS(wait_is_for_queues_that_are_reaped),
        ON_HOST(capacity_is_rounded_up),
        ON_EACH_SHARDS(each_queue_gets_its_own),
        ON_HOST(reap_takes_what_fits),
        ON_THREADS(wait_returns_when_something_comes),
        ON_HOST(wait_would_hang_the_thread_that_runs_the_loop),
        ON_HOST(another_thread_may_wait_for_a_host_driven_engine),
        ON_HOST(a_queue_in_use_is_not_destroyed),
        ON_EACH_SHARDS(a_destroyed_queue_is_stale),
        ON_EACH_SHARDS(completions_may_be_left_behind_after_shutdown),
        ON_EACH_SHARDS(what_was_held_back_is_not_in_flight_for_ever),
        ON_EACH_SHARDS(many_queues_come_and_go),
    };
    return RUN_SUITE(tests);
}
