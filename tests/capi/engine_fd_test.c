/*
 * The descriptor of a host-driven engine: a host that sleeps on it alone misses nothing.
 *
 * A lost wake-up shows as a sleep without end, so these tests fail by the watchdog.
 */
#include "fixture.h"

#include <poll.h>

enum { BATCH = 16 };

typedef struct producer {
    fixture *f;
    size_t messages;
    uint64_t pause_ns;
} producer;

static void sleep_until_readable(int32_t fd) {
    struct pollfd watched = {.fd = fd, .events = POLLIN};
    REQUIRE(poll(&watched, 1, -1) == 1);
}

static void *submit_elsewhere(void *argument) {
    producer *p = argument;
    for (size_t i = 0; i < p->messages; i++) {
        ferry_request request;
        ferry_prepare_nop(&request);
        request.tag = i;
        while (referee_submit(p->f->judge, p->f->queue, &request, 1, NULL, NULL) == FERRY_E_FULL) {
            sleep_ns(100 * US);
        }
        if (p->pause_ns > 0) {
            sleep_ns(p->pause_ns);
        }
    }
    return NULL;
}

/* Sleep on the engine's descriptor alone, run, and reap, until so many completions have come. */
static void drive_by_descriptor(fixture *f, size_t count) {
    ferry_completion out[BATCH];
    int32_t fd;
    assert_status(ferry_engine_fd(f->engine, &fd), FERRY_OK);
    assert_true(fd >= 0);
    while (count > 0) {
        sleep_until_readable(fd);
        assert_status(ferry_engine_run(f->engine, 0, 0, NULL), FERRY_OK);
        int32_t reaped;
        do {
            reaped = referee_reap(f->judge, f->queue, out, BATCH);
            assert_true(reaped >= 0);
            count -= (size_t)reaped;
        } while (reaped == BATCH);
    }
}

static void the_engines_descriptor_tells_of_timers(void **state) {
    fixture *f = fixture_open(state);
    static const uint64_t delays[] = {0, 10 * US, MS, 5 * MS, 20 * MS};
    for (size_t i = 0; i < sizeof delays / sizeof delays[0]; i++) {
        ferry_request request;
        ferry_prepare_timer(&request, delays[i], 0);
        assert_status(referee_submit(f->judge, f->queue, &request, 1, NULL, NULL), FERRY_OK);
        drive_by_descriptor(f, 1);
    }
}

static void the_engines_descriptor_tells_of_other_threads(void **state) {
    fixture *f = fixture_open(state);
    for (uint64_t pause = 0; pause <= 1; pause++) {
        producer p = {.f = f, .messages = pause == 0 ? 5000 : 20, .pause_ns = pause * MS};
        pthread_t thread;
        REQUIRE(pthread_create(&thread, NULL, submit_elsewhere, &p) == 0);
        drive_by_descriptor(f, p.messages);
        pthread_join(thread, NULL);
    }
}

static void *post_elsewhere(void *argument) {
    producer *p = argument;
    for (size_t i = 0; i < p->messages; i++) {
        while (referee_post(p->f->judge, p->f->queue, i, 0, 0) == FERRY_E_FULL)
            sleep_ns(100 * US);
        if (p->pause_ns > 0)
            sleep_ns(p->pause_ns);
    }
    return NULL;
}

/* A message is no work for the engine, but its host must look at the queue. */
static void the_engines_descriptor_tells_of_messages(void **state) {
    fixture *f = fixture_open(state);
    for (uint64_t pause = 0; pause <= 1; pause++) {
        producer p = {.f = f, .messages = pause == 0 ? 5000 : 20, .pause_ns = pause * MS};
        pthread_t thread;
        REQUIRE(pthread_create(&thread, NULL, post_elsewhere, &p) == 0);
        drive_by_descriptor(f, p.messages);
        pthread_join(thread, NULL);
    }
    assert_status(referee_post(f->judge, f->queue, 0, 0, 0), FERRY_OK); /* From its own thread. */
    drive_by_descriptor(f, 1);
}

static void a_message_ends_the_wait_of_a_run(void **state) {
    fixture *f = fixture_open(state);
    producer p = {.f = f, .messages = 200, .pause_ns = 100 * US};
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, post_elsewhere, &p) == 0);
    for (size_t count = 0; count < p.messages;) {
        ferry_completion out[BATCH];
        assert_status(ferry_engine_run(f->engine, FERRY_FOREVER, 0, NULL), FERRY_OK);
        int32_t reaped;
        do {
            reaped = referee_reap(f->judge, f->queue, out, BATCH);
            assert_true(reaped >= 0);
            count += (size_t)reaped;
        } while (reaped == BATCH);
    }
    pthread_join(thread, NULL);
    assert_status(referee_post(f->judge, f->queue, 0, 0, 0), FERRY_OK); /* From its own thread. */
    assert_status(ferry_engine_run(f->engine, FERRY_FOREVER, 0, NULL), FERRY_OK);
    ferry_completion out;
    assert_int_equal(referee_reap(f->judge, f->queue, &out, 1), 1);
}

static void the_engines_descriptor_tells_of_sockets_and_files(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    char *memory = fixture_memory(f, 8);
    ferry_request request;
    ferry_prepare_stream_receive(&request, stream, memory, 8);
    assert_status(referee_submit(f->judge, f->queue, &request, 1, NULL, NULL), FERRY_OK);
    peer_send(peer, "x", 1);
    drive_by_descriptor(f, 1);
    ferry_prepare_file_load(&request, fixture_path(f, "missing"), 0);
    assert_status(referee_submit(f->judge, f->queue, &request, 1, NULL, NULL), FERRY_OK);
    drive_by_descriptor(f, 1);
}

static void the_engines_descriptor_tells_of_what_a_budget_left(void **state) {
    fixture *f = fixture_open(state);
    ferry_completion out[BATCH];
    ferry_request request;
    int32_t fd;
    size_t left = 500;
    assert_status(ferry_engine_fd(f->engine, &fd), FERRY_OK);
    ferry_prepare_nop(&request);
    for (size_t i = 0; i < left; i++) {
        assert_status(referee_submit(f->judge, f->queue, &request, 1, NULL, NULL), FERRY_OK);
    }
    while (left > 0) {
        sleep_until_readable(fd);
        assert_status(ferry_engine_run(f->engine, 0, 1, NULL), FERRY_OK);
        int32_t count;
        do {
            count = referee_reap(f->judge, f->queue, out, BATCH);
            assert_true(count >= 0);
            left -= (size_t)count;
        } while (count == BATCH);
    }
}

static void the_engines_descriptor_tells_of_its_threads_own_cancels(void **state) {
    fixture *f = fixture_open(state);
    ferry_completion out[BATCH];
    ferry_request request;
    ferry_op op;
    int32_t fd;
    ferry_prepare_timer(&request, 3600 * 1000 * MS, 0);
    assert_status(referee_submit(f->judge, f->queue, &request, 1, &op, NULL), FERRY_OK);
    assert_status(ferry_engine_fd(f->engine, &fd), FERRY_OK);
    assert_status(ferry_engine_run(f->engine, 0, 0, NULL), FERRY_OK);
    assert_status(ferry_queue_cancel(f->queue, op), FERRY_OK);
    sleep_until_readable(fd);
    assert_status(ferry_engine_run(f->engine, 0, 0, NULL), FERRY_OK);
    assert_int_equal(referee_reap(f->judge, f->queue, out, BATCH), 1);
    assert_status(out[0].status, FERRY_E_CANCELED);
}

typedef struct reentry {
    fixture *f;
    int calls;
    ferry_status run;
    ferry_status shutdown;
    ferry_status descriptor;
} reentry;

static void enter_again(const ferry_completion *completion, void *user_data) {
    reentry *r = user_data;
    int32_t fd;
    referee_note_completion(r->f->judge, completion);
    r->calls++;
    r->run = ferry_engine_run(r->f->engine, 0, 0, NULL);
    r->shutdown = ferry_engine_shutdown(r->f->engine, 0);
    r->descriptor = ferry_engine_fd(r->f->engine, &fd);
}

static void a_callback_within_it_is_within_a_turn(void **state) {
    fixture *f = fixture_open(state);
    reentry r = {.f = f};
    ferry_request request;
    int32_t fd;
    /* The thread is the engine's from here on. */
    assert_status(ferry_engine_run(f->engine, 0, 0, NULL), FERRY_OK);
    ferry_prepare_nop(&request);
    request.callback = enter_again;
    request.user_data = &r;
    assert_status(referee_submit(f->judge, f->queue, &request, 1, NULL, NULL), FERRY_OK);
    assert_status(ferry_engine_fd(f->engine, &fd), FERRY_OK);
    assert_status(ferry_engine_run(f->engine, 0, 0, NULL), FERRY_OK);
    assert_int_equal(r.calls, 1);
    assert_status(r.run, FERRY_E_BUSY);
    assert_status(r.shutdown, FERRY_E_BUSY);
    assert_status(r.descriptor, FERRY_E_BUSY);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_HOST(the_engines_descriptor_tells_of_timers),
        ON_HOST(the_engines_descriptor_tells_of_other_threads),
        ON_HOST(the_engines_descriptor_tells_of_messages),
        ON_HOST(a_message_ends_the_wait_of_a_run),
        ON_HOST(the_engines_descriptor_tells_of_sockets_and_files),
        ON_HOST(the_engines_descriptor_tells_of_what_a_budget_left),
        ON_HOST(the_engines_descriptor_tells_of_its_threads_own_cancels),
        TEST_ON(a_callback_within_it_is_within_a_turn, host_inline),
    };
    return RUN_SUITE(tests);
}
