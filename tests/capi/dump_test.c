/*
 * The dump: JSON of all that is in flight, from any thread; who does not answer in time is told of as such.
 */
#include "json.h"
#include "pending.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The engine's dump, in memory to be freed. It may grow between the two calls. */
static char *dump_of(ferry_engine *engine, uint64_t timeout_ns, size_t *size) {
    size_t capacity = 0;
    char *text = NULL;
    for (;;) {
        ferry_status status = ferry_engine_dump(engine, timeout_ns, text, capacity, size);
        if (status == FERRY_OK) {
            assert_true(*size < capacity);
            assert_int_equal(strlen(text), *size);
            return text;
        }
        assert_status(status, FERRY_E_LIMIT);
        assert_true(*size >= capacity);
        capacity = *size + 4096;
        text = realloc(text, capacity);
        REQUIRE(text != NULL);
    }
}

/* What the checks need: all shards have answered, and op(id) is the operation of that id. */
#define ANSWERED                                                                                   \
    "want(all(s['answered'] for s in d['shards']), 'answers')\n"                                   \
    "shards = {s['shard']: s for s in d['shards']}\n"                                              \
    "ops = {o['op']: o for s in d['shards'] for o in s['operations']}\n"                           \
    "handles = {h['handle']: h for s in d['shards'] for h in s['handles']}\n"

static void check_dump(fixture *f, const char *script, ferry_op op) {
    size_t size;
    char *text = dump_of(f->engine, 10 * SECOND, &size);
    json_check(text, size, ANSWERED "op = ops.get('0x%llx')\n%s", (unsigned long long)op, script);
    free(text);
}

/* --- What an operation is told to be -------------------------------------------------------- */

static const char *const awaited[PENDING_KINDS] = {
    [PENDING_TIMER] = "timer",
    [PENDING_INTERVAL] = "timer",
    [PENDING_ACCEPT_ONE] = "accept",
    [PENDING_ACCEPT] = "accept",
    [PENDING_CONNECT] = "connect",
    [PENDING_RECEIVE] = "receive",
    [PENDING_RECEIVE_LENT] = "receive",
    [PENDING_RECEIVE_ALL] = "receive",
    [PENDING_EXACTLY] = "receive",
    [PENDING_UNTIL] = "receive",
    [PENDING_UNTIL_ALL] = "receive",
    [PENDING_SEND] = "send",
    [PENDING_VECTORED] = "send",
    [PENDING_COPY] = "copy",
    [PENDING_CHANNEL_SEND] = "room in channel",
    [PENDING_CHANNEL_RECEIVE] = "message",
    [PENDING_CHANNEL_RECEIVE_ALL] = "message",
    [PENDING_LOAD] = "file load",
    [PENDING_OPEN] = "file open",
};

static void each_kind_says_what_it_awaits(void **state) {
    fixture *f = fixture_open(state);
    char script[8192] = "";
    size_t used = 0;
    for (int kind = 0; kind < PENDING_KINDS; kind++) {
        ferry_request request;
        pending_prepare(f, (pending_kind)kind, &request);
        request.tag = UINT64_MAX - (uint64_t)kind;
        request.deadline_ns = HOUR;
        ferry_op op = fixture_submit(f, &request);
        fixture_linger(f, 2 * MS);
        used += (size_t)snprintf(
            script + used, sizeof script - used,
            "o = ops['0x%llx']\n"
            "want(o['kind'] == '%s' and o['tag'] == '%llu' and o['state'] == 'waiting', o)\n"
            "want(o['awaits'] == '%s', o)\n"
            "want(3.5e12 < o['deadline_in_ns'] <= 3.6e12 and 0 <= o['age_ns'] < 3e11, o)\n",
            (unsigned long long)op, ferry_opcode_name(request.opcode),
            (unsigned long long)request.tag, awaited[kind]);
        if (request.target != FERRY_NONE) {
            used += (size_t)snprintf(script + used, sizeof script - used,
                                     "want(o['target'] == '0x%llx', o)\n"
                                     "want(handles[o['target']]['holds'] > 0, o)\n",
                                     (unsigned long long)request.target);
        }
        REQUIRE(used < sizeof script);
    }
    check_dump(f, script, FERRY_NONE);
}

static void an_age_is_how_long_it_has_been_there(void **state) {
    fixture *f = fixture_open(state);
    ferry_request request;
    uint64_t begin = now_ns();
    ferry_prepare_timer(&request, HOUR, 0);
    fixture_linger(f, 60 * MS); /* Before it: between two runs nobody looks at the clock. */
    sleep_ns(60 * MS);
    uint64_t submitted = now_ns();
    ferry_op op = fixture_submit(f, &request);
    fixture_linger(f, 60 * MS);
    size_t size;
    uint64_t least = now_ns() - submitted;
    char *text = dump_of(f->engine, 10 * SECOND, &size);
    json_check(text, size,
               ANSWERED "op = ops['0x%llx']\n"
                        "want(%llu - 2e7 <= op['age_ns'] <= %llu - 6e7, op)\n",
               (unsigned long long)op, (unsigned long long)least,
               (unsigned long long)(now_ns() - begin));
    free(text);
}

static void a_far_deadline_is_not_over(void **state) {
    fixture *f = fixture_open(state);
    ferry_request request;
    ferry_prepare_timer(&request, HOUR, 0);
    request.deadline_ns = FERRY_FOREVER;
    ferry_op op = fixture_submit(f, &request);
    fixture_linger(f, 2 * MS);
    check_dump(f, "want(op['deadline_in_ns'] == 2 ** 63 - 1, op)\n", op);
}

static void a_composition_is_listed_with_its_children(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_request inner[2];
    ferry_request outer[4];
    ferry_request late[1];
    ferry_request request;
    ferry_prepare_timer(&inner[0], HOUR, 0);
    inner[0].tag = 77;
    ferry_prepare_stream_receive(&inner[1], stream, fixture_memory(f, 16), 16);
    ferry_prepare_nop(&late[0]);
    ferry_prepare_nop(&outer[0]);
    ferry_prepare_all(&outer[1], inner, 2);
    ferry_prepare_chain(&outer[2], late, 1);
    ferry_prepare_nop(&outer[3]);
    ferry_prepare_chain(&request, outer, 4);
    ferry_op op = fixture_submit(f, &request);
    fixture_linger(f, 20 * MS);
    check_dump(f,
               "want(op['kind'] == 'FERRY_OP_CHAIN' and op['awaits'] == 'child operations', op)\n"
               "done, all_, late, last = op['children']\n"
               "want([c['child'] for c in op['children']] == [1, 2, 3, 4], op)\n"
               "want(done['state'] == 'ended' and done['status'] == 'FERRY_OK', op)\n"
               "want(all_['state'] == 'waiting' and all_['awaits'] == 'child operations', op)\n"
               "timer, receive = all_['children']\n"
               "want(timer['awaits'] == 'timer' and timer['tag'] == '77', op)\n"
               "want(receive['awaits'] == 'receive' and receive['target'] in handles, op)\n"
               "want(late['state'] == last['state'] == 'not started', op)\n"
               "want(late['children'][0]['kind'] == 'FERRY_OP_NOP', op)\n",
               op);
}

/* Between two attempts nothing of the one before is told. */
static void a_retry_waits_for_its_pause(void **state) {
    fixture *f = fixture_open(state);
    ferry_request load[1];
    ferry_request group;
    ferry_request request;
    ferry_prepare_file_load(&load[0], fixture_path(f, "nowhere"), 0);
    ferry_prepare_chain(&group, load, 1);
    ferry_prepare_retry(&request, &group, 0, HOUR, 0);
    ferry_op op = fixture_submit(f, &request);
    fixture_linger(f, 100 * MS);
    check_dump(f,
               "want(op['awaits'] == 'timer', op)\n"
               "want(op['children'][0]['state'] == 'ended', op)\n"
               "want(op['children'][0]['status'] == 'FERRY_E_NOT_FOUND', op)\n",
               op);
}

/* A child whose handle lives on another shard is a guest there, and elsewhere at home. */
static void a_child_elsewhere_is_told_of_where_it_runs(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle first = fixture_stream(f, &peer);
    ferry_handle second = first;
    for (int i = 0; i < 32 && second >> 44 == first >> 44; i++) {
        second = fixture_stream(f, &peer);
    }
    ferry_request children[2];
    ferry_request request;
    ferry_prepare_stream_receive(&children[0], first, fixture_memory(f, 16), 16);
    ferry_prepare_stream_receive(&children[1], second, fixture_memory(f, 16), 16);
    children[1].tag = 4711;
    ferry_prepare_all(&request, children, 2);
    ferry_op op = fixture_submit(f, &request);
    fixture_linger(f, 50 * MS);
    check_dump(f,
               "here, there = op['children']\n"
               "want(here['awaits'] == 'receive', op)\n"
               "want(there['state'] == 'elsewhere', op)\n"
               "guest, = shards[there['shard']]['guests']\n"
               "want(guest['op'] == op['op'] and guest['child'] == 2, guest)\n"
               "want(guest['tag'] == '4711' and guest['awaits'] == 'receive', guest)\n",
               op);
}

static void a_connect_by_name_tells_of_its_attempts(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    int waiting;
    fixture_keep(f, peer_listen_full(&port, &waiting));
    fixture_keep(f, waiting);
    ferry_request request;
    ferry_prepare_tcp_connect_name(&request, "127.0.0.1", port);
    ferry_op op = fixture_submit(f, &request);
    fixture_linger(f, 50 * MS);
    check_dump(f,
               "want(op['awaits'] == 'child operations', op)\n"
               "attempt, = op['children']\n"
               "want(attempt['kind'] == 'FERRY_OP_TCP_CONNECT', op)\n"
               "want(attempt['awaits'] == 'connect', op)\n",
               op);
}

/* --- Full queues, and the way in ------------------------------------------------------------ */

static void held_completions_are_told_of(void **state) {
    fixture *f = fixture_open_with(state, NULL, &(ferry_queue_options){.capacity = 4});
    enum { ALL = 100, HELD = ALL - 4 };
    ferry_request requests[ALL];
    ferry_op ops[ALL];
    for (uint64_t i = 0; i < ALL; i++) {
        ferry_prepare_nop(&requests[i]);
        requests[i].tag = i;
    }
    size_t accepted;
    assert_status(referee_submit(f->judge, f->queue, requests, ALL, ops, &accepted), FERRY_OK);
    if (f->drive->shards == 0) {
        assert_status(ferry_engine_run(f->engine, 0, 0, NULL), FERRY_OK);
    } else {
        sleep_ns(50 * MS);
    }
    size_t size;
    char *text = dump_of(f->engine, 10 * SECOND, &size);
    json_check(text, size,
               ANSWERED "queue, = d['queues']\n"
                        "want(queue['capacity'] == queue['depth'] == 4, queue)\n"
                        "want(queue['held'] == %d and queue['mode'] == 'reap', queue)\n"
                        "want({o['tag'] for o in ops.values()} == {str(i) for i in range(4, %d)}, "
                        "'tags')\n"
                        "want(all(o['state'] == 'held completion' and o['awaits'] == "
                        "'room in queue' and o['status'] == 'FERRY_OK' for o in ops.values()))\n",
               HELD, ALL);
    free(text);
    for (int i = 0; i < ALL; i++) {
        fixture_final(f, ops[i]);
    }
    check_dump(f, "want(not ops and d['queues'][0]['held'] == 0, 'all reaped')\n", FERRY_NONE);
}

static void a_paused_multishot_awaits_room(void **state) {
    fixture *f = fixture_open_with(state, NULL, &(ferry_queue_options){.capacity = 2});
    ferry_request request;
    ferry_prepare_timer(&request, 0, MS);
    ferry_op op;
    size_t accepted;
    assert_status(referee_submit(f->judge, f->queue, &request, 1, &op, &accepted), FERRY_OK);
    for (int i = 0; i < 20; i++) {
        if (f->drive->shards == 0) {
            assert_status(ferry_engine_run(f->engine, 0, 0, NULL), FERRY_OK);
        }
        sleep_ns(5 * MS);
    }
    check_dump(f, "want(op['awaits'] == 'room in queue', op)\n", op);
}

static void *submit_nops(void *argument) {
    fixture *f = argument;
    ferry_request requests[100];
    for (int i = 0; i < 100; i++) {
        ferry_prepare_nop(&requests[i]);
    }
    size_t accepted;
    REQUIRE(referee_submit(f->judge, f->queue, requests, 100, NULL, &accepted) == FERRY_OK);
    return NULL;
}

static void what_the_budget_leaves_is_on_its_way_in(void **state) {
    fixture *f = fixture_open(state);
    assert_status(ferry_engine_run(f->engine, 0, 0, NULL), FERRY_OK);
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, submit_nops, f) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
    assert_status(ferry_engine_run(f->engine, 0, 1, NULL), FERRY_OK);
    check_dump(f,
               "states = [o['state'] for o in ops.values()]\n"
               "want(0 < states.count('on its way in') < 100, 'inbox')\n"
               "want(set(states) <= {'on its way in', 'ready', 'held completion'}, 'states')\n"
               "want(all(o['kind'] == 'FERRY_OP_NOP' for o in ops.values()), 'kinds')\n",
               FERRY_NONE);
    while (referee_outstanding(f->judge) != 0) {
        fixture_turn(f, MS);
        fixture_drain(f);
    }
}

/* --- Callbacks, and who hangs in them ------------------------------------------------------- */

typedef struct watcher {
    ferry_engine *engine;
    atomic_int calls;
    atomic_bool stay; /* The callback comes back when this is false. */
    char text[16384];
    size_t size;
    ferry_status status;
} watcher;

static void look(const ferry_completion *completion, void *user_data) {
    watcher *w = user_data;
    if ((completion->flags & FERRY_MORE) != 0 && atomic_load(&w->calls) == 0) {
        w->status = ferry_engine_dump(w->engine, 0, w->text, sizeof w->text, &w->size);
    }
    atomic_fetch_add(&w->calls, 1);
    while (atomic_load(&w->stay)) {
        sleep_ns(MS);
    }
}

static ferry_engine *engine_with(uint32_t shards, watcher *w, ferry_queue **queue) {
    ferry_engine_options options = {.struct_size = sizeof options, .shards = shards};
    ferry_queue_options queue_options = {
        .struct_size = sizeof queue_options, .mode = FERRY_QUEUE_INLINE, .shard = 1};
    ferry_engine *engine;
    assert_status(ferry_engine_create(&options, &engine), FERRY_OK);
    assert_status(ferry_queue_create(engine, &queue_options, queue), FERRY_OK);
    w->engine = engine;
    return engine;
}

static ferry_op submit_looking(ferry_queue *queue, watcher *w, uint64_t interval_ns) {
    ferry_request request;
    ferry_prepare_timer(&request, 0, interval_ns);
    request.callback = look;
    request.user_data = w;
    ferry_op op;
    assert_status(ferry_queue_submit(queue, &request, 1, &op, NULL), FERRY_OK);
    return op;
}

static void end_engine(ferry_engine *engine) {
    assert_status(ferry_engine_shutdown(engine, FERRY_FOREVER), FERRY_OK);
    assert_status(ferry_engine_destroy(engine), FERRY_OK);
}

static void a_callback_sees_itself_running(void **state) {
    (void)state;
    for (uint32_t shards = 0; shards < 2; shards++) {
        watcher w = {0};
        ferry_queue *queue;
        ferry_engine *engine = engine_with(shards, &w, &queue);
        ferry_op op = submit_looking(queue, &w, HOUR);
        while (atomic_load(&w.calls) == 0) {
            if (shards == 0) {
                assert_status(ferry_engine_run(engine, SECOND, 0, NULL), FERRY_OK);
            } else {
                sleep_ns(MS);
            }
        }
        assert_status(w.status, FERRY_OK);
        json_check(w.text, w.size, ANSWERED "want(ops['0x%llx']['state'] == 'running', 'itself')\n",
                   (unsigned long long)op);
        end_engine(engine);
    }
}

static void who_hangs_does_not_answer(void **state) {
    (void)state;
    watcher w = {.stay = true};
    ferry_queue *queue;
    ferry_engine *engine = engine_with(2, &w, &queue);
    submit_looking(queue, &w, 0);
    while (atomic_load(&w.calls) == 0) {
        sleep_ns(MS);
    }
    size_t size;
    char *text = dump_of(engine, 50 * MS, &size);
    json_check(
        text, size,
        "want({s['shard']: s['answered'] for s in d['shards']} == {0: False, 1: True}, d)\n");
    free(text);
    atomic_store(&w.stay, false);
    text = dump_of(engine, FERRY_FOREVER, &size);
    json_check(text, size, ANSWERED "want(not ops, 'it has ended')\n");
    free(text);
    end_engine(engine);
}

/* What one is late for, the others do not need: the time is for all of them together. */
static void *let_go(void *argument) {
    watcher *w = argument;
    sleep_ns(400 * MS);
    atomic_store(&w->stay, false);
    return NULL;
}

static void one_that_is_late_has_the_time_of_all(void **state) {
    (void)state;
    watcher w = {.stay = true};
    ferry_queue *queue;
    ferry_engine *engine = engine_with(64, &w, &queue);
    submit_looking(queue, &w, 0);
    while (atomic_load(&w.calls) == 0) {
        sleep_ns(MS);
    }
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, let_go, &w) == 0);
    size_t size;
    char *text = malloc(1 << 20);
    REQUIRE(text != NULL);
    assert_status(ferry_engine_dump(engine, 20 * SECOND, text, 1 << 20, &size), FERRY_OK);
    json_check(text, size, ANSWERED "want(sorted(shards) == list(range(64)), 'all of them')\n");
    free(text);
    REQUIRE(pthread_join(thread, NULL) == 0);
    end_engine(engine);
}

/* Each shard is in a callback, and wants to know of the others. */
typedef struct meeting {
    pthread_barrier_t all;
    watcher watchers[3];
} meeting;

static void look_at_the_others(const ferry_completion *completion, void *user_data) {
    meeting *m = user_data;
    watcher *w = &m->watchers[completion->tag];
    pthread_barrier_wait(&m->all);
    w->status = ferry_engine_dump(w->engine, FERRY_FOREVER, w->text, sizeof w->text, &w->size);
    atomic_store(&w->calls, 1);
}

static void callbacks_of_all_shards_may_ask_at_once(void **state) {
    (void)state;
    enum { SHARDS = 3 };
    meeting m = {0};
    REQUIRE(pthread_barrier_init(&m.all, NULL, SHARDS) == 0);
    ferry_queue *queues[SHARDS];
    ferry_engine *engine = engine_with(SHARDS, &m.watchers[0], &queues[0]);
    for (uint32_t i = 0; i < SHARDS; i++) {
        ferry_queue_options options = {
            .struct_size = sizeof options, .mode = FERRY_QUEUE_INLINE, .shard = i + 1};
        ferry_request request;
        m.watchers[i].engine = engine;
        assert_status(ferry_queue_create(engine, &options, &queues[i]), FERRY_OK);
        ferry_prepare_nop(&request);
        request.tag = i;
        request.callback = look_at_the_others;
        request.user_data = &m;
        assert_status(ferry_queue_submit(queues[i], &request, 1, NULL, NULL), FERRY_OK);
    }
    for (uint32_t i = 0; i < SHARDS; i++) {
        watcher *w = &m.watchers[i];
        while (atomic_load(&w->calls) == 0) {
            sleep_ns(MS);
        }
        assert_status(w->status, FERRY_OK);
        json_check(w->text, w->size, ANSWERED "want(sorted(shards) == [0, 1, 2], 'all')\n");
    }
    end_engine(engine);
    pthread_barrier_destroy(&m.all);
}

/* A host-driven engine answers within a run, whoever asks; between runs, on its own thread. */
static void *ask_from_outside(void *argument) {
    watcher *w = argument;
    w->status = ferry_engine_dump(w->engine, 10 * SECOND, w->text, sizeof w->text, &w->size);
    atomic_fetch_add(&w->calls, 1);
    return NULL;
}

static void a_host_answers_when_it_runs(void **state) {
    fixture *f = fixture_open(state);
    assert_status(ferry_engine_run(f->engine, 0, 0, NULL), FERRY_OK);
    watcher w = {.engine = f->engine};
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, ask_from_outside, &w) == 0);
    while (atomic_load(&w.calls) == 0) {
        assert_status(ferry_engine_run(f->engine, MS, 0, NULL), FERRY_OK);
    }
    REQUIRE(pthread_join(thread, NULL) == 0);
    assert_status(w.status, FERRY_OK);
    json_check(w.text, w.size, ANSWERED);
    /* Nobody runs it: the one who asks does not wait for ever. */
    w.calls = 0;
    REQUIRE(pthread_create(&thread, NULL, ask_from_outside, &w) == 0);
    size_t size;
    char *text = dump_of(f->engine, 0, &size);
    json_check(text, size, ANSWERED);
    free(text);
    while (atomic_load(&w.calls) == 0) {
        assert_status(ferry_engine_run(f->engine, MS, 0, NULL), FERRY_OK);
    }
    REQUIRE(pthread_join(thread, NULL) == 0);
}

/* The last turn is over, a worker still waits: whoever asks now is answered when there is nothing left. */
static void *open_the_fifo(void *argument) {
    sleep_ns(200 * MS);
    fixture_open_fifo(argument);
    return NULL;
}

static void *ask_for_ever(void *argument) {
    watcher *w = argument;
    sleep_ns(100 * MS);
    w->status = ferry_engine_dump(w->engine, FERRY_FOREVER, w->text, sizeof w->text, &w->size);
    return NULL;
}

static void who_asks_during_the_shutdown_is_answered(void **state) {
    fixture *f = fixture_open(state);
    char *path = fixture_fifo(f, "fifo");
    ferry_request request;
    ferry_prepare_file_load(&request, path, 0);
    fixture_submit(f, &request);
    fixture_linger(f, 20 * MS);
    watcher w = {.engine = f->engine};
    pthread_t threads[2];
    REQUIRE(pthread_create(&threads[0], NULL, open_the_fifo, path) == 0);
    REQUIRE(pthread_create(&threads[1], NULL, ask_for_ever, &w) == 0);
    assert_status(ferry_engine_shutdown(f->engine, FERRY_FOREVER), FERRY_OK);
    REQUIRE(pthread_join(threads[0], NULL) == 0);
    REQUIRE(pthread_join(threads[1], NULL) == 0);
    assert_status(w.status, FERRY_OK);
    json_check(w.text, w.size, ANSWERED "want(not ops, 'nothing is left')\n");
}

static void *ask_without_waiting(void *argument) {
    watcher *w = argument;
    w->status = ferry_engine_dump(w->engine, MS, w->text, sizeof w->text, &w->size);
    return NULL;
}

static void a_host_that_does_not_run_does_not_answer(void **state) {
    fixture *f = fixture_open(state);
    assert_status(ferry_engine_run(f->engine, 0, 0, NULL), FERRY_OK);
    watcher w = {.engine = f->engine};
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, ask_without_waiting, &w) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
    assert_status(w.status, FERRY_OK);
    json_check(w.text, w.size, "want(not d['shards'][0]['answered'], 'answer')\n");
}

/* With FERRY_ENGINE_ANY_THREAD any thread may be its thread, also that of the one who asks. */
static void any_thread_answers_for_one_that_nobody_runs(void **state) {
    (void)state;
    ferry_engine_options options = {.struct_size = sizeof options,
                                    .flags = FERRY_ENGINE_ANY_THREAD};
    watcher w = {0};
    assert_status(ferry_engine_create(&options, &w.engine), FERRY_OK);
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, ask_without_waiting, &w) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
    json_check(w.text, w.size, ANSWERED);
    assert_status(ferry_engine_run(w.engine, 0, 0, NULL), FERRY_OK);
    end_engine(w.engine);
}

static void *dump_again_and_again(void *argument) {
    watcher *w = argument;
    for (int i = 0; i < 20; i++) {
        ferry_engine_dump(w->engine, 0, w->text, sizeof w->text, &w->size);
    }
    return NULL;
}

/* The engine is the first one's that runs it, not that of one who only looks. */
static void an_engine_that_never_ran_is_told_of(void **state) {
    (void)state;
    for (int i = 0; i < 200; i++) {
        ferry_engine_options options = {.struct_size = sizeof options};
        watcher w = {0};
        assert_status(ferry_engine_create(&options, &w.engine), FERRY_OK);
        if (i == 0) {
            assert_status(
                ferry_engine_dump(w.engine, FERRY_FOREVER, w.text, sizeof w.text, &w.size),
                FERRY_OK);
            json_check(w.text, w.size, ANSWERED);
        }
        pthread_t thread;
        REQUIRE(pthread_create(&thread, NULL, dump_again_and_again, &w) == 0);
        for (int j = 0; j < i % 8; j++) {
            sched_yield();
        }
        assert_status(ferry_engine_run(w.engine, 0, 0, NULL), FERRY_OK);
        REQUIRE(pthread_join(thread, NULL) == 0);
        end_engine(w.engine);
    }
}

/* --- The call ------------------------------------------------------------------------------- */

static void too_small_a_buffer_is_told_what_it_takes(void **state) {
    fixture *f = fixture_open(state);
    assert_status(ferry_engine_run(f->engine, 0, 0, NULL), FERRY_OK);
    size_t size;
    assert_status(ferry_engine_dump(f->engine, 0, NULL, 0, &size), FERRY_E_LIMIT);
    assert_true(size > 0);
    char *text = fixture_memory(f, size + 2);
    for (size_t capacity = 1; capacity <= size; capacity++) {
        size_t needed;
        memset(text, '#', size + 2);
        assert_status(ferry_engine_dump(f->engine, 0, text, capacity, &needed), FERRY_E_LIMIT);
        assert_int_equal(needed, size);
        assert_int_equal(text[capacity - 1], 0);
        assert_int_equal(text[capacity], '#');
    }
    size_t written;
    assert_status(ferry_engine_dump(f->engine, 0, text, size + 1, &written), FERRY_OK);
    assert_int_equal(written, size);
    assert_int_equal(strlen(text), size);
    assert_int_equal(text[size + 1], '#');
}

static void bad_arguments_are_refused(void **state) {
    fixture *f = fixture_open(state);
    char text[16];
    size_t size = 5;
    _Alignas(64) uint64_t none[64] = {0};
    assert_status(ferry_engine_dump(f->engine, 0, text, sizeof text, NULL), FERRY_E_INVALID);
    assert_status(ferry_engine_dump(NULL, 0, text, sizeof text, &size), FERRY_E_INVALID);
    assert_int_equal(size, 0);
    assert_status(ferry_engine_dump((ferry_engine *)none, 0, text, sizeof text, &size),
                  FERRY_E_INVALID);
    assert_status(ferry_engine_dump(f->engine, 0, NULL, 1, &size), FERRY_E_INVALID);
    fixture_turn(f, 0); /* Who waits so long must be its thread, or one must run it. */
    assert_status(ferry_engine_dump(f->engine, UINT64_MAX - 1, text, 0, &size), FERRY_E_LIMIT);
}

static void after_the_shutdown_it_is_empty(void **state) {
    fixture *f = fixture_open(state);
    ferry_request request;
    ferry_prepare_timer(&request, HOUR, 0);
    fixture_submit(f, &request);
    int peer;
    fixture_stream(f, &peer);
    fixture_shutdown(f);
    fixture_drain(f);
    check_dump(f,
               "want(d['engine']['state'] == 'stopped', 'state')\n"
               "want(not ops and not handles, 'leftovers')\n",
               FERRY_NONE);
}

static int dump_in_child(void *argument) {
    size_t size = 5;
    CHILD_CHECK(ferry_engine_dump(argument, FERRY_FOREVER, NULL, 0, &size) == FERRY_E_FORKED);
    CHILD_CHECK(size == 0);
    CHILD_CHECK(ferry_engine_destroy(argument) == FERRY_OK);
    return 0;
}

static void a_forked_child_is_refused(void **state) {
    fixture *f = fixture_open(state);
    fixture_turn(f, 0);
    assert_int_equal(run_in_child(dump_in_child, f->engine), 0);
    check_dump(f, "want(d['engine']['state'] == 'running', 'the parent')\n", FERRY_NONE);
}

/* --- Many who look on ----------------------------------------------------------------------- */

typedef struct crowd {
    fixture *f;
    atomic_bool stop;
    atomic_int dumps;
} crowd;

static void *look_on(void *argument) {
    crowd *c = argument;
    char *text = malloc(1 << 20);
    REQUIRE(text != NULL);
    while (!atomic_load(&c->stop)) {
        size_t size;
        ferry_status status = ferry_engine_dump(c->f->engine, 20 * MS, text, 1 << 20, &size);
        REQUIRE(status == FERRY_OK && text[size - 2] == '}' && text[size] == 0);
        atomic_fetch_add(&c->dumps, 1);
    }
    free(text);
    return NULL;
}

static void many_may_look_on_while_it_works(void **state) {
    fixture *f = fixture_open_with(state, NULL, &(ferry_queue_options){.capacity = 8});
    enum { LOOKERS = 3, ROUNDS = 150 };
    crowd c = {.f = f};
    pthread_t threads[LOOKERS];
    for (int i = 0; i < LOOKERS; i++) {
        REQUIRE(pthread_create(&threads[i], NULL, look_on, &c) == 0);
    }
    for (int round = 0; round < ROUNDS || atomic_load(&c.dumps) < LOOKERS; round++) {
        ferry_request inner[2];
        ferry_request requests[12];
        ferry_op ops[12];
        ferry_prepare_timer(&inner[0], US, 0);
        ferry_prepare_nop(&inner[1]);
        for (int i = 0; i < 12; i++) {
            ferry_prepare_timer(&requests[i], (uint64_t)i * 20 * US, 0);
        }
        ferry_prepare_all(&requests[0], inner, 2);
        fixture_submit_all(f, requests, 12, ops);
        for (int i = 0; i < 12; i++) {
            ferry_completion final = fixture_final(f, ops[i]);
            fixture_release(f, &final);
        }
    }
    fixture_shutdown(f);
    atomic_store(&c.stop, true);
    for (int i = 0; i < LOOKERS; i++) {
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EVERY_DRIVE(each_kind_says_what_it_awaits),
        ON_EACH_SHARDS(an_age_is_how_long_it_has_been_there),
        ON_EACH_SHARDS(a_far_deadline_is_not_over),
        ON_EACH_SHARDS(a_composition_is_listed_with_its_children),
        ON_EACH_SHARDS(a_retry_waits_for_its_pause),
        TEST_ON(a_child_elsewhere_is_told_of_where_it_runs, two),
        ON_EACH_SHARDS(a_connect_by_name_tells_of_its_attempts),
        TEST_ON(held_completions_are_told_of, host),
        TEST_ON(held_completions_are_told_of, one),
        TEST_ON(a_paused_multishot_awaits_room, host),
        TEST_ON(a_paused_multishot_awaits_room, one),
        ON_HOST(what_the_budget_leaves_is_on_its_way_in),
        PLAIN(a_callback_sees_itself_running),
        PLAIN(who_hangs_does_not_answer),
        PLAIN(one_that_is_late_has_the_time_of_all),
        PLAIN(callbacks_of_all_shards_may_ask_at_once),
        ON_HOST(a_host_answers_when_it_runs),
        ON_EVERY_DRIVE(who_asks_during_the_shutdown_is_answered),
        ON_HOST(a_host_that_does_not_run_does_not_answer),
        PLAIN(any_thread_answers_for_one_that_nobody_runs),
        PLAIN(an_engine_that_never_ran_is_told_of),
        ON_HOST(too_small_a_buffer_is_told_what_it_takes),
        ON_EACH_SHARDS(bad_arguments_are_refused),
        ON_EACH_SHARDS(after_the_shutdown_it_is_empty),
        ON_EACH_SHARDS(a_forked_child_is_refused),
        ON_EACH_SHARDS(many_may_look_on_while_it_works),
    };
    return RUN_SUITE(tests);
}
