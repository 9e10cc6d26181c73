/*
 * Metrics: each count is what the host has done and seen; names and values are those of the record.
 */
#include "pending.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static ferry_metrics metrics_of(fixture *f) {
    ferry_metrics metrics = {.struct_size = sizeof metrics};
    assert_status(ferry_engine_get_metrics(f->engine, &metrics), FERRY_OK);
    assert_int_equal(metrics.struct_size, sizeof metrics);
    return metrics;
}

/* Counts are momentary: this one, now or soon. */
#define assert_metric(f, field, wanted)                                                            \
    do {                                                                                           \
        for (int turns_ = 0; turns_ < 1000 && metrics_of(f).field != (wanted); turns_++) {         \
            fixture_turn(f, MS);                                                                   \
        }                                                                                          \
        assert_int_equal(metrics_of(f).field, wanted);                                             \
    } while (0)

static void what_ends_is_counted_by_how(void **state) {
    fixture *f = fixture_open(state);
    ferry_request request;
    for (int i = 0; i < 5; i++) {
        ferry_prepare_nop(&request);
        assert_status(fixture_do(f, &request).status, FERRY_OK);
    }
    ferry_prepare_timer(&request, HOUR, 0);
    ferry_op op = fixture_submit(f, &request);
    fixture_cancel(f, op);
    assert_status(fixture_final(f, op).status, FERRY_E_CANCELED);
    for (int i = 0; i < 2; i++) {
        request.deadline_ns = MS;
        assert_status(fixture_do(f, &request).status, FERRY_E_TIMED_OUT);
    }
    for (int i = 0; i < 3; i++) {
        ferry_prepare_file_load(&request, fixture_path(f, "nowhere"), 0);
        assert_status(fixture_do(f, &request).status, FERRY_E_NOT_FOUND);
    }
    assert_metric(f, ended, 11);
    assert_metric(f, failed, 3);
    ferry_metrics metrics = metrics_of(f);
    assert_int_equal(metrics.submitted, 11);
    assert_int_equal(metrics.completions, 11);
    assert_int_equal(metrics.canceled, 1);
    assert_int_equal(metrics.timed_out, 2);
    assert_int_equal(metrics.failed, 3);
    assert_int_equal(metrics.refused, 0);
    assert_int_equal(metrics.queues, 1);
    assert_int_equal(metrics.shards, f->drive->shards == 0 ? 1 : f->drive->shards);
    assert_true(metrics.turns > 0);
    assert_int_equal(metrics.turn_ns, 0);
    assert_int_equal(metrics.stalls, 0);
}

static void a_composition_counts_once(void **state) {
    fixture *f = fixture_open(state);
    ferry_request children[2];
    ferry_request request;
    ferry_prepare_nop(&children[0]);
    ferry_prepare_file_load(&children[1], fixture_path(f, "nowhere"), 0);
    ferry_prepare_all(&request, children, 2);
    ferry_completion whole = fixture_do(f, &request);
    assert_status(whole.status, FERRY_E_NOT_FOUND);
    fixture_release(f, &whole);
    assert_metric(f, ended, 1);
    assert_metric(f, failed, 1);
    assert_int_equal(metrics_of(f).submitted, 1);
}

static void what_is_refused_is_counted(void **state) {
    ferry_engine_options options = {.ops_max = 4};
    fixture *f = fixture_open_with(state, &options, NULL);
    ferry_request requests[200];
    size_t accepted;
    for (int i = 0; i < 200; i++) {
        ferry_prepare_timer(&requests[i], HOUR, 0);
    }
    assert_status(fixture_try(f, requests, 200, NULL, &accepted), FERRY_E_FULL);
    assert_int_equal(metrics_of(f).refused_full, 1);
    requests[0].opcode = UINT16_MAX;
    assert_status(fixture_try(f, requests, 1, NULL, &accepted), FERRY_E_UNSUPPORTED);
    ferry_metrics metrics = metrics_of(f);
    assert_int_equal(metrics.refused, 2);
    assert_int_equal(metrics.refused_full, 1);
    assert_metric(f, submitted, 4);
    assert_int_equal(metrics_of(f).ops_in_flight, metrics.submitted);
}

static void bytes_are_those_of_the_completions(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_metrics before = metrics_of(f);
    char out[1000];
    memset(out, 'a', sizeof out);
    out[99] = '\n';
    ferry_request request;
    ferry_prepare_stream_send(&request, stream, out, sizeof out);
    assert_int_equal(fixture_do(f, &request).result, sizeof out);
    assert_metric(f, bytes_sent, before.bytes_sent + sizeof out);

    /* A line, what was left over, what comes exactly, what comes lent. */
    REQUIRE(write(peer, out, sizeof out) == sizeof out);
    char in[1000];
    ferry_prepare_stream_receive_until(&request, stream, in, sizeof in, "\n", 1);
    assert_int_equal(fixture_do(f, &request).result, 100);
    assert_metric(f, bytes_received, before.bytes_received + 100);
    ferry_prepare_stream_receive_exactly(&request, stream, in, 400);
    assert_int_equal(fixture_do(f, &request).result, 400);
    assert_metric(f, bytes_received, before.bytes_received + 500);
    ferry_prepare_stream_receive_exactly(&request, stream, in, 500);
    assert_int_equal(fixture_do(f, &request).result, 500);
    assert_metric(f, bytes_received, before.bytes_received + 1000);
    REQUIRE(write(peer, "1\n2\n3\n", 6) == 6);
    ferry_prepare_stream_receive_until(&request, stream, NULL, 100, "\n", 1);
    request.flags = FERRY_LEND | FERRY_MULTISHOT;
    ferry_op lines = fixture_submit(f, &request);
    for (int i = 0; i < 3; i++) {
        ferry_completion line = fixture_next(f, lines);
        assert_int_equal(line.result, 2);
        fixture_release(f, &line);
    }
    fixture_cancel(f, lines);
    fixture_final(f, lines);
    assert_metric(f, bytes_received, before.bytes_received + 1006);
    ferry_prepare_stream_receive_multishot(&request, stream);
    ferry_op multi = fixture_submit(f, &request);
    REQUIRE(write(peer, out, 17) == 17);
    uint64_t got = 0;
    while (got < 17) {
        ferry_completion more = fixture_next(f, multi);
        got += (uint64_t)more.result;
        fixture_release(f, &more);
    }
    assert_int_equal(got, 17);
    assert_metric(f, bytes_received, before.bytes_received + 1023);
    assert_int_equal(metrics_of(f).bytes_sent, before.bytes_sent + sizeof out);
    assert_int_equal(metrics_of(f).bytes_read + metrics_of(f).bytes_written, 0);
}

static void files_are_counted_apart(void **state) {
    fixture *f = fixture_open(state);
    ferry_request request;
    char *bytes = fixture_memory(f, 5000);
    memset(bytes, 'b', 5000);
    char *path = fixture_path(f, "file");
    ferry_prepare_file_store(&request, path, bytes, 5000, 0600);
    assert_status(fixture_do(f, &request).status, FERRY_OK);
    assert_metric(f, bytes_written, 5000);
    ferry_prepare_file_load(&request, path, 0);
    ferry_completion whole = fixture_do(f, &request);
    assert_int_equal(whole.result, 5000);
    assert_metric(f, bytes_read, 5000);
    assert_int_equal(metrics_of(f).buffer_bytes_lent, 5000);
    fixture_release(f, &whole);
    ferry_prepare_file_open(&request, path, FERRY_OPEN_READ | FERRY_OPEN_WRITE, 0);
    ferry_handle file = fixture_do(f, &request).handle;
    ferry_prepare_file_read(&request, file, bytes, 100, 0);
    assert_int_equal(fixture_do(f, &request).result, 100);
    ferry_prepare_file_write(&request, file, bytes, 70, 0);
    assert_int_equal(fixture_do(f, &request).result, 70);
    assert_metric(f, bytes_read, 5100);
    assert_metric(f, bytes_written, 5070);
    int peer;
    ferry_handle stream = fixture_stream_beside(f, file, &peer);
    uint64_t sent = metrics_of(f).bytes_sent;
    ferry_prepare_handle_copy(&request, file, stream, 300, 0, 0);
    assert_int_equal(fixture_do(f, &request).result, 300);
    assert_metric(f, bytes_read, 5400);
    assert_metric(f, bytes_sent, sent + 300);
    assert_int_equal(metrics_of(f).bytes_received, 0);
}

static void depths_are_of_this_moment(void **state) {
    fixture *f = fixture_open_with(state, NULL, &(ferry_queue_options){.capacity = 4});
    ferry_request requests[10];
    ferry_op ops[10];
    for (int i = 0; i < 10; i++) {
        ferry_prepare_nop(&requests[i]);
    }
    size_t accepted;
    assert_status(referee_submit(f->judge, f->queue, requests, 10, ops, &accepted), FERRY_OK);
    for (int i = 0; i < 1000 && metrics_of(f).queue_held != 6; i++) {
        if (f->drive->shards == 0) {
            assert_status(ferry_engine_run(f->engine, 0, 0, NULL), FERRY_OK);
        }
        sleep_ns(MS);
    }
    ferry_metrics metrics = metrics_of(f);
    assert_int_equal(metrics.queue_depth, 4);
    assert_int_equal(metrics.queue_held, 6);
    assert_int_equal(metrics.ended, 10);
    for (int i = 0; i < 10; i++) {
        fixture_final(f, ops[i]);
    }
    assert_metric(f, queue_depth, 0);
    assert_int_equal(metrics_of(f).queue_held, 0);
}

static void a_missed_budget_is_counted(void **state) {
    fixture *f = fixture_open(state);
    assert_status(ferry_engine_run(f->engine, 0, 0, NULL), FERRY_OK);
    assert_status(ferry_engine_run(f->engine, 0, SECOND, NULL), FERRY_OK);
    assert_int_equal(metrics_of(f).budget_overruns, 0);
    ferry_run_report report = {.struct_size = sizeof report};
    assert_status(ferry_engine_run(f->engine, 0, 1, &report), FERRY_OK);
    assert_int_equal(metrics_of(f).budget_overruns, 1);
    uint64_t worst = metrics_of(f).budget_overrun_worst_ns;
    assert_true(worst > 0 && worst <= report.overrun_ns);
}

/* --- Names ---------------------------------------------------------------------------------- */

typedef struct walked {
    size_t count;
    uint64_t ended, shards_ended, first;
    char names[256][48];
} walked;

static void collect(const char *name, uint64_t value, void *user_data) {
    walked *w = user_data;
    assert_true(w->count < 256 && strlen(name) < 48);
    assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_"), strlen(name));
    for (size_t i = 0; i < w->count; i++) {
        assert_string_not_equal(w->names[i], name);
    }
    strcpy(w->names[w->count], name);
    if (w->count++ == 0) {
        w->first = value;
    }
    if (strcmp(name, "ended") == 0) {
        w->ended = value;
    }
    if (strcmp(name, "shard_0_ended") == 0 || strcmp(name, "shard_1_ended") == 0) {
        w->shards_ended += value;
    }
}

static void names_and_values_are_those_of_the_record(void **state) {
    fixture *f = fixture_open(state);
    ferry_request request;
    for (int i = 0; i < 7; i++) {
        ferry_prepare_nop(&request);
        assert_status(fixture_do(f, &request).status, FERRY_OK);
    }
    assert_metric(f, ended, 7);
    walked w = {0};
    assert_status(ferry_engine_walk_metrics(f->engine, collect, &w), FERRY_OK);
    assert_string_equal(w.names[0], "submitted");
    assert_int_equal(w.first, 7);
    assert_int_equal(w.ended, 7);
    assert_int_equal(w.shards_ended, 7);
    size_t fields = (sizeof(ferry_metrics) - 8) / sizeof(uint64_t);
    assert_true(w.count > fields);
    assert_int_equal((w.count - fields) % metrics_of(f).shards, 0);
    for (size_t i = 0; i < fields; i++) {
        assert_true(ferry_layout_offset("ferry_metrics", w.names[i]) == (int64_t)(8 + 8 * i));
    }
}

static void nothing(const char *name, uint64_t value, void *user_data) {
    (void)name;
    (void)value;
    (void)user_data;
}

static void bad_arguments_are_refused(void **state) {
    fixture *f = fixture_open(state);
    _Alignas(64) uint64_t none[64] = {0};
    ferry_metrics metrics = {.struct_size = sizeof metrics};
    assert_status(ferry_engine_get_metrics(NULL, &metrics), FERRY_E_INVALID);
    assert_status(ferry_engine_get_metrics((ferry_engine *)none, &metrics), FERRY_E_INVALID);
    assert_status(ferry_engine_get_metrics(f->engine, NULL), FERRY_E_INVALID);
    assert_status(ferry_engine_walk_metrics(NULL, nothing, NULL), FERRY_E_INVALID);
    assert_status(ferry_engine_walk_metrics(f->engine, NULL, NULL), FERRY_E_INVALID);
    metrics.struct_size = 0;
    assert_status(ferry_engine_get_metrics(f->engine, &metrics), FERRY_E_INVALID);
    struct {
        ferry_metrics known;
        uint64_t unknown;
    } newer = {.known = {.struct_size = sizeof newer}, .unknown = 77};
    assert_status(ferry_engine_get_metrics(f->engine, &newer.known), FERRY_OK);
    assert_int_equal(newer.unknown, 77);
    assert_int_equal(newer.known.struct_size, sizeof newer);
}

static void after_the_shutdown_they_stay(void **state) {
    fixture *f = fixture_open(state);
    ferry_request request;
    ferry_prepare_timer(&request, HOUR, 0);
    fixture_submit(f, &request);
    fixture_shutdown(f);
    fixture_drain(f);
    ferry_metrics metrics = metrics_of(f);
    assert_int_equal(metrics.submitted, 1);
    assert_int_equal(metrics.ended, 1);
    assert_int_equal(metrics.failed, 1);
    assert_int_equal(metrics.ops_in_flight, 0);
    size_t accepted;
    assert_status(ferry_queue_submit(f->queue, &request, 1, NULL, &accepted), FERRY_E_SHUTDOWN);
    assert_int_equal(metrics_of(f).refused, 1);
}

typedef struct look {
    ferry_engine *engine;
    ferry_metrics metrics;
    bool called;
} look;

static void ask_in_callback(const ferry_completion *completion, void *user_data) {
    look *l = user_data;
    REQUIRE(completion->status == FERRY_E_NOT_FOUND);
    l->metrics.struct_size = sizeof l->metrics;
    REQUIRE(ferry_engine_get_metrics(l->engine, &l->metrics) == FERRY_OK);
    l->called = true;
}

/* From within a callback on the loop: its own operation has not ended yet, so nor has it failed. */
static void what_failed_is_a_part_of_what_ended(void **state) {
    (void)state;
    ferry_queue_options options = {.struct_size = sizeof options, .mode = FERRY_QUEUE_INLINE};
    ferry_queue *queue;
    ferry_request request;
    look l = {0};
    assert_status(ferry_engine_create(NULL, &l.engine), FERRY_OK);
    assert_status(ferry_queue_create(l.engine, &options, &queue), FERRY_OK);
    ferry_prepare_file_load(&request, "/nowhere/at/all", 0);
    request.callback = ask_in_callback;
    request.user_data = &l;
    assert_status(ferry_queue_submit(queue, &request, 1, NULL, NULL), FERRY_OK);
    while (!l.called) {
        assert_status(ferry_engine_run(l.engine, MS, 0, NULL), FERRY_OK);
    }
    assert_int_equal(l.metrics.completions, 1);
    assert_int_equal(l.metrics.ended, 0);
    assert_int_equal(l.metrics.failed, 0);
    assert_status(ferry_engine_get_metrics(l.engine, &l.metrics), FERRY_OK);
    assert_int_equal(l.metrics.ended, 1);
    assert_int_equal(l.metrics.failed, 1);
    assert_status(ferry_engine_shutdown(l.engine, FERRY_FOREVER), FERRY_OK);
    assert_status(ferry_engine_destroy(l.engine), FERRY_OK);
}

static int ask_in_child(void *argument) {
    ferry_metrics metrics = {.struct_size = sizeof metrics};
    CHILD_CHECK(ferry_engine_get_metrics(argument, &metrics) == FERRY_E_FORKED);
    CHILD_CHECK(ferry_engine_walk_metrics(argument, nothing, NULL) == FERRY_E_FORKED);
    return 0;
}

static void a_forked_child_is_refused(void **state) {
    fixture *f = fixture_open(state);
    assert_int_equal(run_in_child(ask_in_child, f->engine), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EVERY_DRIVE(what_ends_is_counted_by_how),
        ON_EVERY_DRIVE(a_composition_counts_once),
        TEST_ON(what_is_refused_is_counted, host),
        TEST_ON(what_is_refused_is_counted, one),
        ON_EVERY_DRIVE(bytes_are_those_of_the_completions),
        ON_EVERY_DRIVE(files_are_counted_apart),
        TEST_ON(depths_are_of_this_moment, host),
        TEST_ON(depths_are_of_this_moment, one),
        ON_HOST(a_missed_budget_is_counted),
        ON_EACH_SHARDS(names_and_values_are_those_of_the_record),
        ON_EACH_SHARDS(bad_arguments_are_refused),
        ON_EVERY_DRIVE(after_the_shutdown_they_stay),
        PLAIN(what_failed_is_a_part_of_what_ended),
        ON_EACH_SHARDS(a_forked_child_is_refused),
    };
    return RUN_SUITE(tests);
}
