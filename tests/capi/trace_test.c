/*
 * The trace hook: every accepted operation begins once and ends once, and what is told of it agrees
 * with what the host sees.
 *
 * Each test ends with the verdict, after the shutdown: it goes over all events, those of operations
 * that the fixture made on its own included.
 */
#include "pending.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { EVENTS_MAX = 100000, SHARDS_MAX = 2, TAG = 0x7a6 };

typedef struct recorder {
    atomic_size_t count;
    ferry_trace_event events[EVENTS_MAX];
    pthread_t threads[EVENTS_MAX];
} recorder;

typedef struct traced {
    fixture *f;
    recorder *log;
} traced;

/* What a test knows of one operation when it has ended. */
typedef struct life {
    ferry_request request;
    ferry_op op;
    size_t mores;
    ferry_completion final;
} life;

static void record(const ferry_trace_event *event, void *user_data) {
    recorder *log = user_data;
    size_t place = atomic_fetch_add(&log->count, 1);
    REQUIRE(place < EVENTS_MAX);
    log->events[place] = *event;
    log->threads[place] = pthread_self();
}

static traced open_with(void **state, ferry_engine_options options,
                        const ferry_queue_options *queue_options) {
    /* The engine calls the hook to its end: the fixture's memory lives longer. */
    recorder *log = fixture_memory(*state, sizeof *log);
    atomic_init(&log->count, 0);
    options.trace = record;
    options.trace_user_data = log;
    return (traced){fixture_open_with(state, &options, queue_options), log};
}

static traced open_traced(void **state) {
    return open_with(state, (ferry_engine_options){0}, NULL);
}

static life begin(const traced *t, const ferry_request *request) {
    life begun = {.request = *request};
    begun.request.tag = TAG;
    begun.op = fixture_submit(t->f, &begun.request);
    return begun;
}

/* Until the final completion; MORE ones are counted. */
static void end(const traced *t, life *of) {
    for (;;) {
        of->final = fixture_next(t->f, of->op);
        fixture_release(t->f, &of->final);
        if ((of->final.flags & FERRY_MORE) == 0) {
            return;
        }
        of->mores++;
    }
}

static life whole(const traced *t, const ferry_request *request) {
    life of = begin(t, request);
    end(t, &of);
    return of;
}

/* Let it send so many completions with FERRY_MORE. */
static void await_mores(const traced *t, life *of, size_t count) {
    for (; of->mores < count; of->mores++) {
        ferry_completion more = fixture_next(t->f, of->op);
        assert_int_equal(more.flags & FERRY_MORE, FERRY_MORE);
        fixture_release(t->f, &more);
    }
}

/* --- The verdict ---------------------------------------------------------------------------- */

static size_t count_kind(const recorder *log, ferry_op op, uint16_t kind) {
    size_t count = 0;
    for (size_t i = 0; i < log->count; i++) {
        count += log->events[i].kind == kind && (op == FERRY_NONE || log->events[i].op == op);
    }
    return count;
}

static const ferry_trace_event *find(const recorder *log, ferry_op op, uint16_t kind) {
    for (size_t i = 0; i < log->count; i++) {
        if (log->events[i].op == op && log->events[i].kind == kind) {
            return &log->events[i];
        }
    }
    fail_msg("no event of kind %d", kind);
    return NULL;
}

static void check_shards(const traced *t) {
    const recorder *log = t->log;
    uint32_t shards = t->f->drive->shards == 0 ? 1 : t->f->drive->shards;
    size_t last[SHARDS_MAX];
    bool seen[SHARDS_MAX] = {false};
    for (size_t i = 0; i < log->count; i++) {
        const ferry_trace_event *event = &log->events[i];
        uint32_t shard = event->shard;
        assert_true(shard < shards);
        assert_int_equal(event->child, 0);
        assert_int_equal(event->reserved, 0);
        if (t->f->drive->shards == 0) {
            assert_true(pthread_equal(log->threads[i], pthread_self()));
        }
        if (seen[shard]) {
            assert_true(log->events[last[shard]].time_ns <= event->time_ns);
            assert_true(pthread_equal(log->threads[last[shard]], log->threads[i]));
        }
        seen[shard] = true;
        last[shard] = i;
    }
}

/* By operation, and in the order in which they were told. */
static int compare_events(const void *left, const void *right) {
    const ferry_trace_event *a = *(ferry_trace_event *const *)left;
    const ferry_trace_event *b = *(ferry_trace_event *const *)right;
    return a->op != b->op ? (a->op > b->op) - (a->op < b->op) : (a > b) - (a < b);
}

/* From its BEGIN to its END and nothing around it; returns how many events these are. */
static size_t check_order(ferry_trace_event *const *at, size_t left) {
    const ferry_trace_event *first = at[0];
    assert_int_equal(first->kind, FERRY_TRACE_BEGIN);
    assert_true(first->op != FERRY_NONE);
    for (size_t i = 1; i < left && at[i]->op == first->op; i++) {
        assert_int_equal(at[i]->tag, first->tag);
        assert_int_equal(at[i]->opcode, first->opcode);
        assert_int_equal(at[i]->shard, first->shard);
        assert_true(at[i]->time_ns >= at[i - 1]->time_ns);
        if (at[i]->kind == FERRY_TRACE_END) {
            return i + 1;
        }
        assert_in_range(at[i]->kind, FERRY_TRACE_STEP, FERRY_TRACE_MORE);
    }
    fail_msg("an operation has no end");
    return left;
}

/* Shut down, and judge everything that was told. */
static void verdict(const traced *t) {
    fixture_shutdown(t->f);
    recorder *log = t->log;
    check_shards(t);
    size_t count = log->count;
    ferry_trace_event **sorted = fixture_memory(t->f, (count + 1) * sizeof *sorted);
    for (size_t i = 0; i < count; i++) {
        sorted[i] = &log->events[i];
    }
    qsort(sorted, count, sizeof(ferry_trace_event *), compare_events);
    size_t lives = 0;
    for (size_t i = 0; i < count; lives++) {
        i += check_order(sorted + i, count - i);
        assert_true(i == count || sorted[i]->op != sorted[i - 1]->op);
    }
    assert_int_equal(referee_outstanding(t->f->judge), 0);
    assert_int_equal(lives + count_kind(log, FERRY_NONE, FERRY_TRACE_MORE),
                     referee_seen(t->f->judge));
}

/* What was told of it is what the host has seen of it. Once it cannot change any more. */
static void check_life(const traced *t, const life *of) {
    assert_int_equal(count_kind(t->log, of->op, FERRY_TRACE_BEGIN), 1);
    assert_int_equal(count_kind(t->log, of->op, FERRY_TRACE_END), 1);
    assert_int_equal(count_kind(t->log, of->op, FERRY_TRACE_MORE), of->mores);
    const ferry_trace_event *first = find(t->log, of->op, FERRY_TRACE_BEGIN);
    assert_int_equal(first->tag, of->request.tag);
    assert_int_equal(first->opcode, of->request.opcode);
    assert_int_equal(first->target, of->request.target);
    assert_int_equal(first->status, FERRY_OK);
    assert_int_equal(first->result, 0);
    const ferry_trace_event *last = find(t->log, of->op, FERRY_TRACE_END);
    assert_int_equal(last->tag, of->final.tag);
    assert_int_equal(last->opcode, of->final.opcode);
    assert_int_equal(last->target, of->final.handle);
    assert_status(last->status, of->final.status);
    assert_int_equal(last->result, of->final.result);
}

static void check_lives(const traced *t, const life *lives, size_t count) {
    verdict(t);
    for (size_t i = 0; i < count; i++) {
        check_life(t, &lives[i]);
    }
}

/* --- The tests ------------------------------------------------------------------------------ */

static void each_kind_begins_and_ends(void **state) {
    traced t = open_traced(state);
    char bytes[64] = "";
    ferry_address address = loopback(0);
    ferry_request request;
    life lives[8];
    size_t n = 0;
    ferry_prepare_nop(&request);
    lives[n++] = whole(&t, &request);
    ferry_prepare_timer(&request, MS, 0);
    lives[n++] = whole(&t, &request);
    ferry_prepare_tcp_listen(&request, &address, 0);
    lives[n++] = whole(&t, &request);
    ferry_handle listener = lives[n - 1].final.handle;
    address.port = (uint16_t)lives[n - 1].final.result;
    ferry_prepare_tcp_connect(&request, &address);
    lives[n++] = whole(&t, &request);
    ferry_handle stream = lives[n - 1].final.handle;
    ferry_prepare_tcp_accept(&request, listener);
    request.flags = 0;
    lives[n++] = whole(&t, &request);
    ferry_prepare_stream_send(&request, stream, bytes, sizeof bytes);
    lives[n++] = whole(&t, &request);
    ferry_prepare_stream_receive(&request, lives[4].final.handle, bytes, sizeof bytes);
    lives[n++] = whole(&t, &request);
    ferry_prepare_handle_close(&request, stream);
    lives[n++] = whole(&t, &request);
    ferry_prepare_file_load(&request, fixture_file(t.f, "file", 1000), 0);
    life load = whole(&t, &request);
    check_lives(&t, lives, n);
    check_life(&t, &load);
    for (size_t i = 0; i < n; i++) {
        assert_status(lives[i].final.status, FERRY_OK);
    }
    assert_int_equal(load.final.result, 1000);
}

static void failures_are_told(void **state) {
    traced t = open_traced(state);
    uint16_t port;
    fixture_keep(t.f, peer_refuse(&port));
    ferry_address address = loopback(port);
    ferry_request request;
    life lives[2];
    ferry_prepare_tcp_connect(&request, &address);
    lives[0] = whole(&t, &request);
    ferry_prepare_file_load(&request, fixture_path(t.f, "nothing"), 0);
    lives[1] = whole(&t, &request);
    check_lives(&t, lives, 2);
    assert_status(lives[0].final.status, FERRY_E_CONNECTION_REFUSED);
    assert_status(lives[1].final.status, FERRY_E_NOT_FOUND);
}

static void what_is_refused_is_not_told(void **state) {
    traced t = open_traced(state);
    ferry_request request;
    ferry_prepare_nop(&request);
    request.flags = 1;
    assert_status(fixture_try(t.f, &request, 1, NULL, NULL), FERRY_E_UNSUPPORTED);
    verdict(&t);
    assert_int_equal(t.log->count, 0);
}

static void many_at_once(void **state) {
    enum { COUNT = 1000 };
    traced t = open_traced(state);
    ferry_op ops[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        ferry_request request;
        ferry_prepare_timer(&request, i % 7 * 300 * US, 0);
        request.tag = i;
        ops[i] = fixture_submit(t.f, &request);
    }
    for (size_t i = 0; i < COUNT; i++) {
        fixture_final(t.f, ops[i]);
    }
    verdict(&t);
    assert_int_equal(count_kind(t.log, FERRY_NONE, FERRY_TRACE_BEGIN), COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(find(t.log, ops[i], FERRY_TRACE_END)->tag, i);
    }
}

static void each_shard_tells_its_own(void **state) {
    traced t = open_traced(state);
    for (uint32_t i = 0; i < 10; i++) {
        ferry_request request;
        ferry_prepare_nop(&request);
        fixture_do(t.f, &request);
    }
    verdict(&t);
    size_t events[SHARDS_MAX] = {0};
    pthread_t threads[SHARDS_MAX];
    for (size_t i = 0; i < t.log->count; i++) {
        events[t.log->events[i].shard]++;
        threads[t.log->events[i].shard] = t.log->threads[i];
    }
    /* Requests without a target go to the shards by turns. */
    assert_int_equal(events[0], events[1]);
    assert_false(pthread_equal(threads[0], threads[1]));
}

static void a_wait_is_one_step(void **state) {
    traced t = open_traced(state);
    ferry_request request;
    ferry_prepare_nop(&request);
    life nop = whole(&t, &request);
    ferry_prepare_timer(&request, MS, 0);
    life timer = whole(&t, &request);
    check_life(&t, &nop);
    check_life(&t, &timer);
    assert_int_equal(count_kind(t.log, nop.op, FERRY_TRACE_STEP), 0);
    assert_int_equal(count_kind(t.log, timer.op, FERRY_TRACE_STEP), 1);
    verdict(&t);
}

static void each_more_is_told(void **state) {
    traced t = open_traced(state);
    ferry_request request;
    life lives[2];
    ferry_prepare_timer(&request, 0, MS);
    lives[0] = begin(&t, &request);
    await_mores(&t, &lives[0], 5);
    uint16_t port;
    ferry_prepare_tcp_accept(&request, fixture_listen(t.f, &port));
    lives[1] = begin(&t, &request);
    for (size_t i = 0; i < 3; i++) {
        fixture_keep(t.f, peer_connect(port));
    }
    await_mores(&t, &lives[1], 3);
    for (size_t i = 0; i < 2; i++) {
        fixture_cancel(t.f, lives[i].op);
        end(&t, &lives[i]);
        assert_status(lives[i].final.status, FERRY_E_CANCELED);
    }
    check_lives(&t, lives, 2);
    const ferry_trace_event *more = find(t.log, lives[1].op, FERRY_TRACE_MORE);
    assert_status(more->status, FERRY_OK);
    assert_true(more->target != FERRY_NONE && more->target != lives[1].request.target);
}

/* An interval that finds no room tries again: told is only what got into the ring. */
static void a_full_ring_tells_nothing_twice(void **state) {
    ferry_queue_options small = {.capacity = 2};
    traced t = open_with(state, (ferry_engine_options){0}, &small);
    ferry_request request;
    ferry_prepare_timer(&request, 0, MS);
    life interval = begin(&t, &request);
    ferry_prepare_timer(&request, HOUR, 0);
    life held = begin(&t, &request);
    uint64_t until = now_ns() + 10 * MS;
    while (now_ns() < until) {
        assert_status(ferry_engine_run(t.f->engine, MS, 0, NULL), FERRY_OK);
    }
    assert_int_equal(count_kind(t.log, interval.op, FERRY_TRACE_MORE), 2);
    /* A final completion that is held back has ended all the same. */
    fixture_cancel(t.f, held.op);
    assert_status(ferry_engine_run(t.f->engine, 0, 0, NULL), FERRY_OK);
    assert_int_equal(count_kind(t.log, held.op, FERRY_TRACE_END), 1);
    end(&t, &held);
    await_mores(&t, &interval, 6);
    fixture_cancel(t.f, interval.op);
    end(&t, &interval);
    check_lives(&t, (life[]){interval, held}, 2);
}

static void cancel_ends_each_kind(void **state) {
    traced t = open_traced(state);
    life lives[PENDING_KINDS];
    for (pending_kind kind = 0; kind < PENDING_KINDS; kind++) {
        ferry_request request;
        pending_prepare(t.f, kind, &request);
        lives[kind] = begin(&t, &request);
        fixture_linger(t.f, 2 * MS);
        fixture_cancel(t.f, lives[kind].op);
        end(&t, &lives[kind]);
        pending_expect(kind, lives[kind].final.status, FERRY_E_CANCELED);
    }
    check_lives(&t, lives, PENDING_KINDS);
}

static void a_deadline_ends_each_kind(void **state) {
    traced t = open_traced(state);
    life lives[PENDING_KINDS];
    for (pending_kind kind = 0; kind < PENDING_KINDS; kind++) {
        ferry_request request;
        pending_prepare(t.f, kind, &request);
        request.deadline_ns = 3 * MS;
        lives[kind] = whole(&t, &request);
        pending_expect(kind, lives[kind].final.status, FERRY_E_TIMED_OUT);
    }
    check_lives(&t, lives, PENDING_KINDS);
}

static void shutdown_ends_each_kind(void **state) {
    traced t = open_traced(state);
    life lives[PENDING_LOAD];
    for (pending_kind kind = 0; kind < PENDING_LOAD; kind++) {
        ferry_request request;
        pending_prepare(t.f, kind, &request);
        lives[kind] = begin(&t, &request);
    }
    fixture_linger(t.f, 5 * MS);
    fixture_shutdown(t.f);
    for (pending_kind kind = 0; kind < PENDING_LOAD; kind++) {
        end(&t, &lives[kind]);
        pending_expect(kind, lives[kind].final.status, FERRY_E_SHUTDOWN);
    }
    check_lives(&t, lives, PENDING_LOAD);
}

static void what_never_ran_is_told_too(void **state) {
    counting_allocator *memory = fixture_memory(*state, sizeof *memory);
    memset(memory, 0, sizeof *memory);
    ferry_engine_options options = {0};
    allocator_install(memory, &options);
    traced t = open_with(state, options, NULL);
    ferry_request request;
    ferry_prepare_nop(&request);
    life lives[3];
    lives[0] = begin(&t, &request);
    fixture_cancel(t.f, lives[0].op);
    end(&t, &lives[0]);
    assert_status(lives[0].final.status, FERRY_E_CANCELED);
    /* No memory for its frame. */
    allocator_refuse(memory, 1, SIZE_MAX);
    lives[1] = whole(&t, &request);
    allocator_refuse_nothing(memory);
    assert_status(lives[1].final.status, FERRY_E_NO_MEMORY);
    lives[2] = begin(&t, &request);
    fixture_shutdown(t.f);
    end(&t, &lives[2]);
    assert_status(lives[2].final.status, FERRY_E_SHUTDOWN);
    check_lives(&t, lives, 3);
    assert_int_equal(t.log->count, 6);
}

static void is_off_by_default(void **state) {
    traced t = open_traced(state);
    ferry_engine_options options = {
        .struct_size = sizeof options, .shards = t.f->drive->shards, .trace_user_data = t.log};
    ferry_engine *other;
    ferry_queue *queue;
    ferry_completion completion;
    ferry_request request;
    ferry_prepare_nop(&request);
    assert_status(ferry_engine_create(&options, &other), FERRY_OK);
    assert_status(ferry_queue_create(other, NULL, &queue), FERRY_OK);
    assert_status(ferry_queue_submit(queue, &request, 1, NULL, NULL), FERRY_OK);
    while (ferry_queue_reap(queue, &completion, 1) == 0) {
        if (options.shards == 0) {
            assert_status(ferry_engine_run(other, MS, 0, NULL), FERRY_OK);
        }
    }
    assert_status(ferry_engine_shutdown(other, FERRY_FOREVER), FERRY_OK);
    assert_status(ferry_engine_destroy(other), FERRY_OK);
    verdict(&t);
    assert_int_equal(t.log->count, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EVERY_DRIVE(each_kind_begins_and_ends),
        ON_EVERY_DRIVE(failures_are_told),
        ON_EACH_SHARDS(what_is_refused_is_not_told),
        ON_EVERY_DRIVE(many_at_once),
        TEST_ON(each_shard_tells_its_own, two),
        TEST_ON(each_shard_tells_its_own, two_inline),
        ON_HOST(a_wait_is_one_step),
        ON_EVERY_DRIVE(each_more_is_told),
        ON_HOST(a_full_ring_tells_nothing_twice),
        ON_EVERY_DRIVE(cancel_ends_each_kind),
        ON_EVERY_DRIVE(a_deadline_ends_each_kind),
        ON_EVERY_DRIVE(shutdown_ends_each_kind),
        ON_HOST(what_never_ran_is_told_too),
        ON_EACH_SHARDS(is_off_by_default),
    };
    return RUN_SUITE(tests);
}
