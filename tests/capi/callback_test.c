/*
 * Callbacks: dispatched on the host's thread, or inline on the engine's; what they may do, and what
 * becomes of a completion that has none.
 */
#include "steps.h"

#include <stdatomic.h>

typedef struct calls {
    fixture *f;
    ferry_queue *queue;
    pthread_t thread;
    atomic_int begun;
    atomic_int depth;
    atomic_int deepest;
    int left_to_submit;
    int32_t nested;
    uint64_t rest_ns;
} calls;

static void count_call(const ferry_completion *completion, void *user_data) {
    calls *c = user_data;
    referee_note_completion(c->f->judge, completion);
    c->thread = pthread_self();
    if (c->rest_ns > 0) {
        sleep_ns(c->rest_ns);
    }
    atomic_fetch_add(&c->begun, 1);
}

static void submit_calls(calls *c, size_t count, ferry_completion_fn callback) {
    for (size_t i = 0; i < count; i++) {
        ferry_request request;
        ferry_prepare_nop(&request);
        request.callback = callback;
        request.user_data = c;
        assert_status(referee_submit(c->f->judge, c->queue, &request, 1, NULL, NULL), FERRY_OK);
    }
}

static void dispatch_calls_on_this_thread(void **state) {
    fixture *f = fixture_open(state);
    calls c = {.f = f, .queue = f->queue};
    submit_calls(&c, 5, count_call);
    run_until_idle(f);
    assert_int_equal(atomic_load(&c.begun), 0);
    assert_int_equal(ferry_queue_dispatch(f->queue, 2, 0), 2);
    assert_int_equal(atomic_load(&c.begun), 2);
    assert_true(pthread_equal(c.thread, pthread_self()));
    assert_int_equal(ferry_queue_dispatch(f->queue, 0, 0), 3);
    assert_int_equal(ferry_queue_dispatch(f->queue, 0, 0), 0);
    assert_int_equal(atomic_load(&c.begun), 5);
}

static void dispatch_keeps_its_budget(void **state) {
    fixture *f = fixture_open(state);
    calls c = {.f = f, .queue = f->queue, .rest_ns = 2 * MS};
    submit_calls(&c, 5, count_call);
    run_until_idle(f);
    int32_t first = ferry_queue_dispatch(f->queue, 0, MS);
    assert_in_range(first, 0, 1);
    assert_int_equal(atomic_load(&c.begun), first);
    while (atomic_load(&c.begun) < 5) {
        assert_true(ferry_queue_dispatch(f->queue, 0, 0) > 0);
    }
}

static void the_longest_budget_is_none(void **state) {
    fixture *f = fixture_open(state);
    calls c = {.f = f, .queue = f->queue};
    submit_calls(&c, 5, count_call);
    run_until_idle(f);
    assert_int_equal(ferry_queue_dispatch(f->queue, 0, FERRY_FOREVER), 5);
}

static void dispatch_drops_what_has_no_callback(void **state) {
    fixture *f = fixture_open(state);
    ferry_completion out;
    ferry_request request;
    ferry_prepare_nop(&request);
    /* Past the referee, who cannot see what is dropped. */
    assert_status(ferry_queue_submit(f->queue, &request, 1, NULL, NULL), FERRY_OK);
    run_until_idle(f);
    assert_status(ferry_queue_post(f->queue, 1, 2, 3), FERRY_OK);
    assert_int_equal(ferry_queue_dispatch(f->queue, 0, 0), 2);
    assert_int_equal(ferry_queue_reap(f->queue, &out, 1), 0);
}

static void what_nobody_is_told_of_is_given_back(void **state) {
    fixture *f = fixture_open(state);
    ferry_queue *called = make_queue(f, FERRY_QUEUE_INLINE, 0);
    ferry_request request;
    ferry_prepare_file_load(&request, fixture_file(f, "file", 1000), 0);
    /* Both past the referee: the one is called inline, the other dropped by dispatch. */
    assert_status(ferry_queue_submit(called, &request, 1, NULL, NULL), FERRY_OK);
    assert_status(ferry_queue_submit(f->queue, &request, 1, NULL, NULL), FERRY_OK);
    while (ferry_queue_dispatch(f->queue, 0, 0) == 0) {
        assert_status(ferry_engine_run(f->engine, MS, 0, NULL), FERRY_OK);
    }
    assert_info(f, ops_in_flight, 0);
    assert_info(f, buffers_lent, 0);
    assert_info(f, buffer_bytes_lent, 0);
}

static void dispatch_within(const ferry_completion *completion, void *user_data) {
    calls *c = user_data;
    referee_note_completion(c->f->judge, completion);
    c->nested = ferry_queue_dispatch(c->queue, 0, 0);
}

static void dispatch_within_a_callback_is_busy(void **state) {
    fixture *f = fixture_open(state);
    calls c = {.f = f, .queue = f->queue};
    submit_calls(&c, 2, dispatch_within);
    run_until_idle(f);
    assert_int_equal(ferry_queue_dispatch(f->queue, 0, 0), 2);
    assert_int_equal(c.nested, FERRY_E_BUSY);
}

static void submit_again(const ferry_completion *completion, void *user_data) {
    calls *c = user_data;
    referee_note_completion(c->f->judge, completion);
    int depth = atomic_fetch_add(&c->depth, 1) + 1;
    if (depth > atomic_load(&c->deepest)) {
        atomic_store(&c->deepest, depth);
    }
    c->thread = pthread_self();
    if (c->left_to_submit > 0) {
        ferry_request request;
        c->left_to_submit--;
        ferry_prepare_nop(&request);
        request.callback = submit_again;
        request.user_data = c;
        referee_submit(c->f->judge, c->queue, &request, 1, NULL, NULL);
    }
    atomic_fetch_sub(&c->depth, 1);
    atomic_fetch_add(&c->begun, 1);
}

static void inline_callbacks_may_submit_but_do_not_nest(void **state) {
    /* On one shard: two of them run two callbacks at once, which is not nesting. */
    ferry_queue_options options = {.shard = ((fixture *)*state)->drive->shards > 0 ? 1 : 0};
    fixture *f = fixture_open_with(state, NULL, &options);
    calls c = {.f = f, .queue = f->queue, .left_to_submit = 1000};
    submit_calls(&c, 1, submit_again);
    while (atomic_load(&c.begun) < 1001) {
        fixture_turn(f, MS);
    }
    assert_int_equal(atomic_load(&c.deepest), 1);
    bool own_thread = pthread_equal(c.thread, pthread_self()) != 0;
    assert_int_equal(own_thread, f->drive->shards == 0);
}

static void dispatched_callbacks_may_submit(void **state) {
    fixture *f = fixture_open(state);
    calls c = {.f = f, .queue = f->queue, .left_to_submit = 100};
    submit_calls(&c, 1, submit_again);
    while (atomic_load(&c.begun) < 101) {
        assert_status(ferry_engine_run(f->engine, MS, 0, NULL), FERRY_OK);
        assert_true(ferry_queue_dispatch(f->queue, 0, 0) >= 0);
    }
    assert_int_equal(atomic_load(&c.deepest), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_HOST(dispatch_calls_on_this_thread),
        ON_HOST(dispatch_keeps_its_budget),
        ON_HOST(the_longest_budget_is_none),
        ON_HOST(dispatch_drops_what_has_no_callback),
        ON_HOST(what_nobody_is_told_of_is_given_back),
        ON_HOST(dispatch_within_a_callback_is_busy),
        TEST_ON(inline_callbacks_may_submit_but_do_not_nest, host_inline),
        TEST_ON(inline_callbacks_may_submit_but_do_not_nest, two_inline),
        ON_HOST(dispatched_callbacks_may_submit),
    };
    return RUN_SUITE(tests);
}
