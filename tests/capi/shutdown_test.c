/*
 * Shutdown: all that is pending ends, all that is open is closed, and nothing is lost that waits to
 * be reaped. A worker that hangs is file_load_test's matter.
 */
#include "pending.h"

enum { EACH = 3 };

static void ends_whatever_is_pending(void **state) {
    fixture *f = fixture_open(state);
    ferry_op ops[PENDING_KINDS];
    for (pending_kind kind = 0; kind < PENDING_LOAD; kind++) {
        ferry_request request;
        pending_prepare(f, kind, &request);
        ops[kind] = fixture_submit(f, &request);
    }
    fixture_linger(f, 5 * MS);
    assert_info(f, ops_in_flight, PENDING_LOAD);
    assert_status(ferry_engine_shutdown(f->engine, FERRY_FOREVER), FERRY_OK);
    ferry_engine_info info = fixture_info(f);
    assert_int_equal(info.state, FERRY_ENGINE_STOPPED);
    assert_int_equal(info.handles_open, 0);
    assert_int_equal(info.workers, 0);
    fixture_collect(f);
    for (pending_kind kind = 0; kind < PENDING_LOAD; kind++) {
        assert_true(fixture_has(f, ops[kind]));
        pending_expect(kind, fixture_final(f, ops[kind]).status, FERRY_E_SHUTDOWN);
    }
    assert_info(f, ops_in_flight, 0);
}

static void ends_what_has_not_begun(void **state) {
    fixture *f = fixture_open(state);
    ferry_request request;
    ferry_prepare_timer(&request, HOUR, 0);
    ferry_op op = fixture_submit(f, &request);
    assert_status(ferry_engine_shutdown(f->engine, FERRY_FOREVER), FERRY_OK);
    fixture_collect(f);
    assert_true(fixture_has(f, op));
    assert_status(fixture_final(f, op).status, FERRY_E_SHUTDOWN);
}

static void an_idle_engine_stops_too(void **state) {
    fixture *f = fixture_open(state);
    assert_int_equal(fixture_info(f).state, FERRY_ENGINE_RUNNING);
    assert_status(ferry_engine_shutdown(f->engine, FERRY_FOREVER), FERRY_OK);
    assert_int_equal(fixture_info(f).state, FERRY_ENGINE_STOPPED);
    /* Again is fine. */
    assert_status(ferry_engine_shutdown(f->engine, 0), FERRY_OK);
}

static void a_small_ring_loses_nothing(void **state) {
    ferry_queue_options small = {.capacity = 2};
    fixture *f = fixture_open_with(state, NULL, &small);
    enum { COUNT = 100 };
    ferry_op ops[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        ferry_request request;
        ferry_prepare_timer(&request, HOUR, 0);
        ops[i] = fixture_submit(f, &request);
    }
    assert_status(ferry_engine_shutdown(f->engine, FERRY_FOREVER), FERRY_OK);
    fixture_collect(f);
    for (size_t i = 0; i < COUNT; i++) {
        assert_true(fixture_has(f, ops[i]));
        assert_status(fixture_final(f, ops[i]).status, FERRY_E_SHUTDOWN);
    }
}

static void what_was_done_before_stays_done(void **state) {
    fixture *f = fixture_open(state);
    ferry_request request;
    ferry_prepare_nop(&request);
    ferry_op op = fixture_submit(f, &request);
    /* Armed, the queue says that the completion waits in it; nobody reaps it yet. */
    while (ferry_queue_arm(f->queue) == 0) {
        if (f->drive->shards == 0) {
            assert_status(ferry_engine_run(f->engine, MS, 0, NULL), FERRY_OK);
        }
    }
    assert_status(ferry_engine_shutdown(f->engine, FERRY_FOREVER), FERRY_OK);
    assert_status(fixture_final(f, op).status, FERRY_OK);
}

static void refuses_from_then_on(void **state) {
    fixture *f = fixture_open(state);
    ferry_request requests[2];
    ferry_queue *queue = (ferry_queue *)&requests;
    size_t accepted = 9;
    ferry_prepare_nop(&requests[0]);
    ferry_prepare_nop(&requests[1]);
    assert_status(ferry_engine_shutdown(f->engine, FERRY_FOREVER), FERRY_OK);
    assert_status(fixture_try(f, requests, 2, NULL, &accepted), FERRY_E_SHUTDOWN);
    assert_int_equal(accepted, 0);
    assert_status(ferry_queue_create(f->engine, NULL, &queue), FERRY_E_SHUTDOWN);
    assert_null(queue);
    if (f->drive->shards == 0) {
        int32_t fd;
        assert_status(ferry_engine_run(f->engine, 0, 0, NULL), FERRY_E_SHUTDOWN);
        assert_status(ferry_engine_fd(f->engine, &fd), FERRY_E_SHUTDOWN);
        assert_int_equal(fd, -1);
    }
}

static void destroy_waits_for_shutdown(void **state) {
    fixture *f = fixture_open(state);
    ferry_request request;
    ferry_prepare_nop(&request);
    assert_status(ferry_engine_destroy(f->engine), FERRY_E_BUSY);
    /* Nothing has happened by that. */
    assert_status(fixture_do(f, &request).status, FERRY_OK);
    assert_status(ferry_engine_destroy(NULL), FERRY_OK);
}

static void connections_nobody_reaped_are_closed(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    ferry_handle listener = fixture_listen(f, &port);
    ferry_request request;
    ferry_prepare_tcp_accept(&request, listener);
    fixture_submit(f, &request);
    int peers[EACH];
    for (int i = 0; i < EACH; i++) {
        peers[i] = fixture_keep(f, peer_connect(port));
    }
    while (fixture_info(f).handles_open < 1 + EACH) {
        if (f->drive->shards == 0) {
            assert_status(ferry_engine_run(f->engine, MS, 0, NULL), FERRY_OK);
        }
    }
    assert_status(ferry_engine_shutdown(f->engine, FERRY_FOREVER), FERRY_OK);
    for (int i = 0; i < EACH; i++) {
        assert_true(peer_sees_end(peers[i]));
    }
    assert_info(f, handles_open, 0);
}

static void connections_left_open_are_closed(void **state) {
    fixture *f = fixture_open(state);
    int peers[EACH];
    for (int i = 0; i < EACH; i++) {
        fixture_stream(f, &peers[i]);
    }
    assert_status(ferry_engine_shutdown(f->engine, FERRY_FOREVER), FERRY_OK);
    for (int i = 0; i < EACH; i++) {
        assert_true(peer_sees_end(peers[i]));
    }
}

static void lent_buffers_stay_readable(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_request request;
    ferry_prepare_stream_receive_multishot(&request, stream);
    ferry_op op = fixture_submit(f, &request);
    peer_send(peer, "kept", 4);
    ferry_completion some = fixture_next(f, op);
    ferry_prepare_file_load(&request, fixture_file(f, "file", 1000), 0);
    ferry_completion loaded = fixture_do(f, &request);
    assert_status(ferry_engine_shutdown(f->engine, FERRY_FOREVER), FERRY_OK);
    assert_memory_equal(some.data, "kept", 4);
    assert_true(pattern_matches(loaded.data, 1000, 0));
    assert_info(f, buffers_lent, 2);
    fixture_release(f, &some);
    fixture_release(f, &loaded);
    assert_info(f, buffers_lent, 0);
}

static void wakes_a_sleeping_consumer(void **state) {
    fixture *f = fixture_open(state);
    ferry_request request;
    ferry_prepare_timer(&request, HOUR, 0);
    ferry_op op = fixture_submit(f, &request);
    fixture_turn(f, MS);
    assert_status(ferry_engine_shutdown(f->engine, FERRY_FOREVER), FERRY_OK);
    /* By the drive's own way of sleeping: it must not sleep for what is there. */
    fixture_turn(f, HOUR);
    assert_true(fixture_has(f, op));
}

static void *shut_down_elsewhere(void *argument) {
    fixture *f = argument;
    return ferry_engine_shutdown(f->engine, FERRY_FOREVER) == FERRY_E_WRONG_THREAD ? f : NULL;
}

static void the_wrong_thread_is_told_so(void **state) {
    fixture *f = fixture_open(state);
    pthread_t thread;
    void *refused = NULL;
    assert_status(ferry_engine_run(f->engine, 0, 0, NULL), FERRY_OK);
    REQUIRE(pthread_create(&thread, NULL, shut_down_elsewhere, f) == 0);
    pthread_join(thread, &refused);
    assert_ptr_equal(refused, f);
    assert_int_equal(fixture_info(f).state, FERRY_ENGINE_RUNNING);
}

typedef struct rival {
    fixture *f;
    ferry_status status;
} rival;

static void *shut_down_as_well(void *argument) {
    rival *r = argument;
    r->status = ferry_engine_shutdown(r->f->engine, FERRY_FOREVER);
    return NULL;
}

static void two_at_once_do_it_once(void **state) {
    fixture *f = fixture_open(state);
    rival rivals[4];
    pthread_t threads[4];
    ferry_request request;
    ferry_prepare_timer(&request, HOUR, 0);
    fixture_submit(f, &request);
    for (int i = 0; i < 4; i++) {
        rivals[i] = (rival){.f = f, .status = FERRY_E_INTERNAL};
        REQUIRE(pthread_create(&threads[i], NULL, shut_down_as_well, &rivals[i]) == 0);
    }
    int done = 0;
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_status_either(rivals[i].status, FERRY_OK, FERRY_E_BUSY);
        done += rivals[i].status == FERRY_OK ? 1 : 0;
    }
    assert_true(done >= 1);
    assert_int_equal(fixture_info(f).state, FERRY_ENGINE_STOPPED);
}

static void threads_and_descriptors_are_gone(void **state) {
    size_t threads = count_threads();
    fixture *f = fixture_open(state);
    char *path = fixture_file(f, "file", 10);
    int peer;
    fixture_stream(f, &peer);
    ferry_request request;
    ferry_prepare_file_load(&request, path, 0);
    ferry_completion loaded = fixture_do(f, &request);
    fixture_release(f, &loaded);
    assert_status(ferry_engine_shutdown(f->engine, FERRY_FOREVER), FERRY_OK);
    assert_true(threads_fall_to(threads));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EVERY_DRIVE(ends_whatever_is_pending),
        ON_EVERY_DRIVE(ends_what_has_not_begun),
        ON_EACH_SHARDS(an_idle_engine_stops_too),
        ON_EACH_SHARDS(a_small_ring_loses_nothing),
        TEST_ON(a_small_ring_loses_nothing, host_mapped),
        TEST_ON(a_small_ring_loses_nothing, one_mapped),
        ON_EACH_SHARDS(what_was_done_before_stays_done),
        ON_EACH_SHARDS(refuses_from_then_on),
        ON_EACH_SHARDS(destroy_waits_for_shutdown),
        ON_EACH_SHARDS(connections_nobody_reaped_are_closed),
        ON_EACH_SHARDS(connections_left_open_are_closed),
        ON_EACH_SHARDS(lent_buffers_stay_readable),
        ON_THREADS(wakes_a_sleeping_consumer),
        ON_HOST(the_wrong_thread_is_told_so),
        ON_THREADS(two_at_once_do_it_once),
        ON_EACH_SHARDS(threads_and_descriptors_are_gone),
    };
    return RUN_SUITE(tests);
}
