/* Engines: made by the thousand, side by side, run under a budget, looked into, gone again. */
#include "fixture.h"

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TIMES = 1000, TIMES_WITH_THREADS = 100 };

static void destroy_engine(ferry_engine *engine) {
    assert_status(ferry_engine_shutdown(engine, FERRY_FOREVER), FERRY_OK);
    assert_status(ferry_engine_destroy(engine), FERRY_OK);
}

static ferry_engine *make_engine(uint32_t shards) {
    ferry_engine_options options = {.struct_size = sizeof options, .shards = shards};
    ferry_engine *engine = NULL;
    assert_status(ferry_engine_create(&options, &engine), FERRY_OK);
    assert_non_null(engine);
    return engine;
}

/* --- Creation ------------------------------------------------------------------------------ */

static void come_and_go_without_a_trace(void **state) {
    (void)state;
    /* What the process keeps after its first engine, it keeps once. */
    destroy_engine(make_engine(1));
    size_t descriptors = count_descriptors();
    size_t threads = count_threads();
    for (int i = 0; i < TIMES; i++) {
        destroy_engine(make_engine(0));
    }
    for (int i = 0; i < TIMES_WITH_THREADS; i++) {
        destroy_engine(make_engine(1 + (uint32_t)i % 3));
    }
    assert_int_equal(count_descriptors(), descriptors);
    assert_true(threads_fall_to(threads));
}

static void all_defaults_will_do(void **state) {
    (void)state;
    ferry_engine_options zero = {.struct_size = sizeof zero};
    ferry_engine *engine = NULL;
    assert_status(ferry_engine_create(NULL, &engine), FERRY_OK);
    destroy_engine(engine);
    assert_status(ferry_engine_create(&zero, &engine), FERRY_OK);
    destroy_engine(engine);
}

static void two_engines_do_not_know_each_other(void **state) {
    fixture *f = fixture_open(state);
    ferry_engine *other = make_engine(1);
    ferry_queue *queue = NULL;
    ferry_completion out;
    ferry_request request;
    assert_status(ferry_queue_create(other, NULL, &queue), FERRY_OK);
    ferry_prepare_nop(&request);
    assert_status(referee_submit(f->judge, queue, &request, 1, NULL, NULL), FERRY_OK);
    assert_status(fixture_do(f, &request).status, FERRY_OK);
    assert_int_equal(referee_wait(f->judge, queue, &out, 1, FERRY_FOREVER), 1);
    destroy_engine(other);
    assert_status(fixture_do(f, &request).status, FERRY_OK);
}

/* --- What it does to the process ----------------------------------------------------------- */

static void handlers_of(struct sigaction *actions) {
    for (int i = 1; i < NSIG; i++) {
        memset(&actions[i], 0, sizeof actions[i]);
        sigaction(i, NULL, &actions[i]);
    }
}

static void signals_stay_the_hosts(void **state) {
    static struct sigaction before[NSIG];
    static struct sigaction after[NSIG];
    sigset_t mask_before;
    sigset_t mask_after;
    handlers_of(before);
    REQUIRE(pthread_sigmask(SIG_SETMASK, NULL, &mask_before) == 0);
    fixture *f = fixture_open(state);
    ferry_request request;
    ferry_prepare_nop(&request);
    assert_status(fixture_do(f, &request).status, FERRY_OK);
    ferry_prepare_file_load(&request, fixture_path(f, "missing"), 0);
    assert_status(fixture_do(f, &request).status, FERRY_E_NOT_FOUND);
    fixture_shutdown(f);
    REQUIRE(pthread_sigmask(SIG_SETMASK, NULL, &mask_after) == 0);
    handlers_of(after);
    for (int i = 1; i < NSIG; i++) {
        assert_ptr_equal(before[i].sa_handler, after[i].sa_handler);
        assert_int_equal(sigismember(&mask_before, i), sigismember(&mask_after, i));
    }
}

/* The blocked signals of a thread, as /proc tells them. */
static uint64_t blocked_in(const char *task) {
    char path[64];
    char line[128];
    uint64_t mask = 0;
    snprintf(path, sizeof path, "/proc/self/task/%.20s/status", task);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return UINT64_MAX;
    }
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "SigBlk:", 7) == 0) {
            mask = strtoull(line + 7, NULL, 16);
        }
    }
    fclose(file);
    return mask;
}

static void engine_threads_block_all_signals(void **state) {
    char known[8][24];
    size_t known_count = process_threads(known, 8);
    fixture *f = fixture_open(state);
    ferry_request request;
    ferry_prepare_file_load(&request, fixture_path(f, "missing"), 0);
    assert_status(fixture_do(f, &request).status, FERRY_E_NOT_FOUND);
    char all[32][24];
    size_t count = process_threads(all, 32);
    for (size_t i = 0; i < count; i++) {
        bool old = false;
        for (size_t j = 0; j < known_count; j++) {
            old = old || strcmp(all[i], known[j]) == 0;
        }
        if (!old) {
            /* Signals 1 to 31 but SIGKILL and SIGSTOP, which nobody can block. */
            const uint64_t wanted = 0x7fffffff & ~(1u << (SIGKILL - 1)) & ~(1u << (SIGSTOP - 1));
            uint64_t blocked = blocked_in(all[i]);
            if ((blocked & wanted) != wanted) {
                fail_msg("a thread of the engine blocks only %llx", (unsigned long long)blocked);
            }
        }
    }
}

/* --- Running ------------------------------------------------------------------------------- */

typedef struct elsewhere {
    fixture *f;
    ferry_status run;
    ferry_status descriptor;
    ferry_status submit;
} elsewhere;

static void *try_elsewhere(void *argument) {
    elsewhere *e = argument;
    ferry_request request;
    int32_t fd;
    ferry_prepare_nop(&request);
    e->run = ferry_engine_run(e->f->engine, 0, 0, NULL);
    e->descriptor = ferry_engine_fd(e->f->engine, &fd);
    e->submit = referee_submit(e->f->judge, e->f->queue, &request, 1, NULL, NULL);
    return NULL;
}

static void the_first_run_binds_the_engine(void **state) {
    fixture *f = fixture_open(state);
    elsewhere e = {.f = f};
    pthread_t thread;
    assert_status(ferry_engine_run(f->engine, 0, 0, NULL), FERRY_OK);
    REQUIRE(pthread_create(&thread, NULL, try_elsewhere, &e) == 0);
    pthread_join(thread, NULL);
    assert_status(e.run, FERRY_E_WRONG_THREAD);
    assert_status(e.descriptor, FERRY_E_WRONG_THREAD);
    assert_status(e.submit, FERRY_OK);
    assert_status(fixture_next_any(f).status, FERRY_OK);
}

typedef struct runner {
    ferry_engine *engine;
    ferry_queue *queue;
    ferry_status run;
    int32_t reaped;
    atomic_bool submitted;
} runner;

/* Runs until a completion has come, and takes it. */
static void *run_and_reap(void *argument) {
    runner *r = argument;
    ferry_completion done;
    do {
        r->run = ferry_engine_run(r->engine, 10 * MS, 0, NULL);
        r->reaped = ferry_queue_reap(r->queue, &done, 1);
    } while (r->run == FERRY_OK && r->reaped == 0);
    return NULL;
}

/* Until there was something to run for; the other thread's runs may be in the way at first. */
static void *run_for_long(void *argument) {
    runner *r = argument;
    do {
        r->run = ferry_engine_run(r->engine, FERRY_FOREVER, 0, NULL);
    } while (r->run == FERRY_E_BUSY || !atomic_load(&r->submitted));
    return NULL;
}

static void any_thread_may_run_if_wanted(void **state) {
    (void)state;
    ferry_engine_options options = {.struct_size = sizeof options,
                                    .flags = FERRY_ENGINE_ANY_THREAD};
    runner r = {0};
    int32_t fd;
    ferry_request request;
    pthread_t thread;
    assert_status(ferry_engine_create(&options, &r.engine), FERRY_OK);
    assert_status(ferry_queue_create(r.engine, NULL, &r.queue), FERRY_OK);
    assert_status(ferry_engine_fd(r.engine, &fd), FERRY_OK);
    for (int i = 0; i < 10; i++) {
        ferry_prepare_timer(&request, MS, 0);
        assert_status(ferry_queue_submit(r.queue, &request, 1, NULL, NULL), FERRY_OK);
        assert_status(ferry_engine_run(r.engine, 0, 0, NULL), FERRY_OK);
        REQUIRE(pthread_create(&thread, NULL, run_and_reap, &r) == 0);
        pthread_join(thread, NULL);
        assert_status(r.run, FERRY_OK);
        assert_int_equal(r.reaped, 1);
    }
    /* One at a time: while another thread is within a run, this one is told so, until a message
       ends it. */
    REQUIRE(pthread_create(&thread, NULL, run_for_long, &r) == 0);
    while (ferry_engine_run(r.engine, 0, 0, NULL) != FERRY_E_BUSY) {
        sched_yield();
    }
    assert_status(ferry_engine_fd(r.engine, &fd), FERRY_E_BUSY);
    assert_status(ferry_engine_shutdown(r.engine, 0), FERRY_E_BUSY);
    ferry_prepare_nop(&request);
    atomic_store(&r.submitted, true);
    assert_status(ferry_queue_submit(r.queue, &request, 1, NULL, NULL), FERRY_OK);
    pthread_join(thread, NULL);
    assert_status(r.run, FERRY_OK);
    assert_status(ferry_engine_shutdown(r.engine, FERRY_FOREVER), FERRY_OK);
    assert_status(ferry_engine_run(r.engine, 0, 0, NULL), FERRY_E_SHUTDOWN);
    assert_status(ferry_engine_destroy(r.engine), FERRY_OK);
}

static void engines_with_threads_run_themselves(void **state) {
    fixture *f = fixture_open(state);
    int32_t fd = 5;
    assert_status(ferry_engine_run(f->engine, 0, 0, NULL), FERRY_E_UNSUPPORTED);
    assert_status(ferry_engine_fd(f->engine, &fd), FERRY_E_UNSUPPORTED);
    assert_int_equal(fd, -1);
}

typedef struct from_callback {
    fixture *f;
    ferry_status run;
    ferry_status shutdown;
    ferry_status destroy;
    bool called;
} from_callback;

static void try_all_that_is_forbidden(const ferry_completion *completion, void *user_data) {
    from_callback *c = user_data;
    referee_note_completion(c->f->judge, completion);
    c->run = ferry_engine_run(c->f->engine, 0, 0, NULL);
    c->shutdown = ferry_engine_shutdown(c->f->engine, 0);
    if (c->shutdown != FERRY_OK) {
        c->destroy = ferry_engine_destroy(c->f->engine);
    }
    c->called = true;
}

static void callbacks_may_not_run_or_end_the_engine(void **state) {
    fixture *f = fixture_open(state);
    from_callback *c = fixture_memory(f, sizeof *c);
    *c = (from_callback){.f = f};
    ferry_request request;
    ferry_prepare_nop(&request);
    request.callback = try_all_that_is_forbidden;
    request.user_data = c;
    assert_status(referee_submit(f->judge, f->queue, &request, 1, NULL, NULL), FERRY_OK);
    ferry_prepare_nop(&request);
    assert_status(fixture_do(f, &request).status, FERRY_OK);
    assert_status(ferry_engine_run(f->engine, 0, 0, NULL), FERRY_OK);
    assert_true(c->called);
    assert_status(c->run, FERRY_E_BUSY);
    assert_status_either(c->shutdown, FERRY_E_BUSY, FERRY_E_WRONG_THREAD);
    assert_status(c->destroy, FERRY_E_BUSY);
    assert_int_equal(fixture_info(f).state, FERRY_ENGINE_RUNNING);
}

static void dispatched_callbacks_may_not_either(void **state) {
    fixture *f = fixture_open(state);
    from_callback *c = fixture_memory(f, sizeof *c);
    *c = (from_callback){.f = f};
    ferry_request request;
    ferry_prepare_nop(&request);
    request.callback = try_all_that_is_forbidden;
    request.user_data = c;
    assert_status(referee_submit(f->judge, f->queue, &request, 1, NULL, NULL), FERRY_OK);
    while (!c->called) {
        assert_status(ferry_engine_run(f->engine, MS, 0, NULL), FERRY_OK);
        assert_true(ferry_queue_dispatch(f->queue, 0, 0) >= 0);
    }
    assert_status(c->run, FERRY_E_BUSY);
    assert_status_either(c->shutdown, FERRY_E_BUSY, FERRY_E_WRONG_THREAD);
    assert_status(c->destroy, FERRY_E_BUSY);
}

static void the_report_counts(void **state) {
    fixture *f = fixture_open(state);
    ferry_run_report report = {.struct_size = sizeof report};
    ferry_request request;
    memset((char *)&report + 4, 0xff, sizeof report - 4);
    assert_status(ferry_engine_run(f->engine, 0, 0, &report), FERRY_OK);
    assert_int_equal(report.completed, 0);
    assert_int_equal(report.left, 0);
    assert_int_equal(report.oldest_age_ns, 0);
    assert_int_equal(report.overrun_ns, 0);
    ferry_prepare_nop(&request);
    for (int i = 0; i < 10; i++) {
        fixture_submit(f, &request);
    }
    uint64_t completed = 0;
    for (int i = 0; i < 3; i++) {
        assert_status(ferry_engine_run(f->engine, 0, 0, &report), FERRY_OK);
        completed += report.completed;
    }
    assert_int_equal(completed, 10);
    report.struct_size = 0;
    assert_status(ferry_engine_run(f->engine, 0, 0, &report), FERRY_E_INVALID);
}

static void a_budget_leaves_work_and_says_so(void **state) {
    fixture *f = fixture_open(state);
    enum { COUNT = 2000 };
    ferry_run_report report = {.struct_size = sizeof report};
    ferry_request request;
    ferry_prepare_nop(&request);
    for (int i = 0; i < COUNT; i++) {
        fixture_submit(f, &request);
    }
    assert_status(ferry_engine_run(f->engine, 0, 1, &report), FERRY_OK);
    /* No machine does two thousand operations in a nanosecond. */
    assert_true(report.completed < COUNT);
    assert_in_range(report.left, 1, COUNT);
    assert_true(report.overrun_ns > 0);
    uint64_t completed = report.completed;
    int turns = 0;
    while (completed < COUNT) {
        assert_status(ferry_engine_run(f->engine, 0, 20 * US, &report), FERRY_OK);
        completed += report.completed;
        assert_true(report.left <= COUNT - completed);
        assert_true(report.left == 0 || report.oldest_age_ns > 0);
        assert_true(++turns <= 10 * COUNT);
    }
    assert_status(ferry_engine_run(f->engine, 0, 0, &report), FERRY_OK);
    assert_int_equal(report.left, 0);
}

static void the_longest_budget_is_none(void **state) {
    fixture *f = fixture_open(state);
    static const uint64_t budgets[] = {FERRY_FOREVER, FERRY_FOREVER - 1, (uint64_t)INT64_MAX + 1};
    ferry_run_report report = {.struct_size = sizeof report};
    ferry_request request;
    ferry_prepare_nop(&request);
    for (size_t i = 0; i < sizeof budgets / sizeof budgets[0]; i++) {
        for (int j = 0; j < 10; j++) {
            fixture_submit(f, &request);
        }
        assert_status(ferry_engine_run(f->engine, 0, budgets[i], &report), FERRY_OK);
        assert_int_equal(report.completed, 10);
        assert_int_equal(report.left, 0);
        assert_int_equal(report.overrun_ns, 0);
    }
}

/* --- Looking inside ------------------------------------------------------------------------ */

static void info_tells_what_there_is(void **state) {
    fixture *f = fixture_open(state);
    ferry_engine_info info = fixture_info(f);
    uint32_t shards = f->drive->shards;
    assert_int_equal(info.shards, shards == 0 ? 1 : shards);
    assert_int_equal(info.host_driven, shards == 0 ? 1 : 0);
    assert_int_equal(info.state, FERRY_ENGINE_RUNNING);
    assert_int_equal(info.ops_in_flight, 0);
    assert_int_equal(info.handles_open, 0);
    assert_int_equal(info.buffers_lent, 0);
    assert_int_equal(info.buffer_bytes_lent, 0);
    assert_int_equal(info.workers_detached, 0);
    assert_true(strcmp(info.driver, "uv") == 0 || strcmp(info.driver, "uring") == 0);

    ferry_request request;
    ferry_prepare_timer(&request, HOUR, 0);
    for (int i = 0; i < 10; i++) {
        fixture_submit(f, &request);
    }
    assert_info(f, ops_in_flight, 10);
    fixture_turn(f, MS);
    assert_info(f, ops_in_flight, 10);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    assert_info(f, handles_open, 1);
    fixture_close_handle(f, stream);
    assert_info(f, handles_open, 0);
}

static void info_wants_a_size(void **state) {
    fixture *f = fixture_open(state);
    ferry_engine_info info = {.struct_size = 0};
    assert_status(ferry_engine_get_info(f->engine, &info), FERRY_E_INVALID);
    assert_status(ferry_engine_get_info(f->engine, NULL), FERRY_E_INVALID);
    info.struct_size = sizeof info;
    assert_status(ferry_engine_get_info(NULL, &info), FERRY_E_INVALID);
}

static void info_stays_within_its_size(void **state) {
    fixture *f = fixture_open(state);
    struct {
        ferry_engine_info info;
        unsigned char behind[16];
    } place;
    memset(&place, 0x77, sizeof place);
    place.info.struct_size = sizeof place.info;
    assert_status(ferry_engine_get_info(f->engine, &place.info), FERRY_OK);
    for (size_t i = 0; i < sizeof place.behind; i++) {
        assert_int_equal(place.behind[i], 0x77);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        PLAIN(come_and_go_without_a_trace),
        PLAIN(all_defaults_will_do),
        ON_EACH_SHARDS(two_engines_do_not_know_each_other),
        ON_EACH_SHARDS(signals_stay_the_hosts),
        ON_EACH_SHARDS(engine_threads_block_all_signals),
        ON_HOST(the_first_run_binds_the_engine),
        cmocka_unit_test(any_thread_may_run_if_wanted),
        ON_THREADS(engines_with_threads_run_themselves),
        TEST_ON(callbacks_may_not_run_or_end_the_engine, host_inline),
        ON_HOST(dispatched_callbacks_may_not_either),
        ON_HOST(the_report_counts),
        ON_HOST(a_budget_leaves_work_and_says_so),
        ON_HOST(the_longest_budget_is_none),
        ON_EVERY_DRIVE(info_tells_what_there_is),
        ON_EACH_SHARDS(info_wants_a_size),
        ON_EACH_SHARDS(info_stays_within_its_size),
    };
    return RUN_SUITE(tests);
}
