/* Cancel: asked at every moment of an operation's life, it ends once either way. */
#include "pending.h"

#include <stdatomic.h>

enum { RACES = 300 };

static void before_it_starts(void **state) {
    fixture *f = fixture_open(state);
    for (pending_kind kind = 0; kind < PENDING_KINDS; kind++) {
        ferry_request request;
        pending_prepare(f, kind, &request);
        ferry_op op = fixture_submit(f, &request);
        pending_expect(kind, referee_cancel(f->judge, f->queue, op), FERRY_OK);
        pending_expect(kind, fixture_final(f, op).status, FERRY_E_CANCELED);
    }
}

static void while_it_is_pending(void **state) {
    fixture *f = fixture_open(state);
    for (pending_kind kind = 0; kind < PENDING_KINDS; kind++) {
        ferry_request request;
        pending_prepare(f, kind, &request);
        ferry_op op = fixture_submit(f, &request);
        fixture_linger(f, 4 * MS);
        assert_false(fixture_has(f, op));
        pending_expect(kind, referee_cancel(f->judge, f->queue, op), FERRY_OK);
        ferry_completion final = fixture_final(f, op);
        pending_expect(kind, final.status, FERRY_E_CANCELED);
        assert_int_equal(final.tag, request.tag);
    }
}

static void twice_is_once(void **state) {
    fixture *f = fixture_open(state);
    for (pending_kind kind = 0; kind < PENDING_KINDS; kind++) {
        ferry_request request;
        pending_prepare(f, kind, &request);
        ferry_op op = fixture_submit(f, &request);
        fixture_cancel(f, op);
        fixture_cancel(f, op);
        fixture_linger(f, 2 * MS);
        fixture_cancel(f, op);
        pending_expect(kind, fixture_final(f, op).status, FERRY_E_CANCELED);
    }
}

static void what_can_go_on_says_so(void **state) {
    fixture *f = fixture_open(state);
    static const pending_kind kinds[] = {PENDING_RECEIVE, PENDING_RECEIVE_LENT,
                                         PENDING_RECEIVE_ALL};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        ferry_request request;
        pending_prepare(f, kinds[i], &request);
        for (int again = 0; again < 3; again++) {
            ferry_op op = fixture_submit(f, &request);
            fixture_linger(f, MS);
            fixture_cancel(f, op);
            ferry_completion final = fixture_final(f, op);
            pending_expect(kinds[i], final.status, FERRY_E_CANCELED);
            assert_int_equal(final.flags, FERRY_REUSABLE);
        }
    }
}

static void too_late_for_what_has_ended(void **state) {
    fixture *f = fixture_open(state);
    ferry_request request;
    ferry_prepare_nop(&request);
    ferry_op first = fixture_submit(f, &request);
    assert_status(fixture_final(f, first).status, FERRY_OK);
    assert_status(referee_cancel(f->judge, f->queue, first), FERRY_E_TOO_LATE);
    /* Its slot has long been another's: that one must not be hit. */
    for (int i = 0; i < 500; i++) {
        ferry_op op = fixture_submit(f, &request);
        assert_int_not_equal(op, first);
        assert_status(referee_cancel(f->judge, f->queue, first), FERRY_E_TOO_LATE);
        assert_status(fixture_final(f, op).status, FERRY_OK);
    }
}

static void too_late_for_what_is_held_back(void **state) {
    ferry_queue_options options = {.capacity = 1};
    fixture *f = fixture_open_with(state, NULL, &options);
    ferry_request requests[3];
    ferry_op ops[3];
    for (int i = 0; i < 3; i++) {
        ferry_prepare_nop(&requests[i]);
    }
    fixture_submit_all(f, requests, 3, ops);
    assert_status(ferry_engine_run(f->engine, 0, 0, NULL), FERRY_OK);
    /* The ring has a single place; all three have ended. */
    for (int i = 0; i < 3; i++) {
        assert_status(referee_cancel(f->judge, f->queue, ops[i]), FERRY_E_TOO_LATE);
    }
    for (int i = 0; i < 3; i++) {
        assert_status(fixture_final(f, ops[i]).status, FERRY_OK);
    }
}

static void unknown_for_what_never_was(void **state) {
    fixture *f = fixture_open(state);
    ferry_request request;
    ferry_prepare_timer(&request, HOUR, 0);
    ferry_op op = fixture_submit(f, &request);
    assert_status_either(ferry_queue_cancel(f->queue, FERRY_NONE), FERRY_E_UNKNOWN,
                         FERRY_E_INVALID);
    assert_status(ferry_queue_cancel(f->queue, ~op), FERRY_E_UNKNOWN);
    assert_status(ferry_queue_cancel(f->queue, UINT64_MAX), FERRY_E_UNKNOWN);
    /* Only this one op was ever issued: no other number may be answered with "asked". */
    for (int bit = 0; bit < 64; bit++) {
        assert_status_either(ferry_queue_cancel(f->queue, op ^ (UINT64_C(1) << bit)),
                             FERRY_E_UNKNOWN, FERRY_E_TOO_LATE);
    }
    fixture_linger(f, 2 * MS);
    assert_false(fixture_has(f, op));
}

static void another_engines_op_is_unknown(void **state) {
    fixture *f = fixture_open(state);
    ferry_engine *other = NULL;
    ferry_queue *other_queue = NULL;
    assert_status(ferry_engine_create(NULL, &other), FERRY_OK);
    assert_status(ferry_queue_create(other, NULL, &other_queue), FERRY_OK);
    ferry_request request;
    ferry_prepare_timer(&request, HOUR, 0);
    ferry_op op = fixture_submit(f, &request);
    ferry_status status = ferry_queue_cancel(other_queue, op);
    assert_status(ferry_engine_shutdown(other, FERRY_FOREVER), FERRY_OK);
    assert_status(ferry_engine_destroy(other), FERRY_OK);
    assert_status(status, FERRY_E_UNKNOWN);
}

static void any_queue_of_the_engine_will_do(void **state) {
    fixture *f = fixture_open(state);
    ferry_queue *other = NULL;
    assert_status(ferry_queue_create(f->engine, NULL, &other), FERRY_OK);
    ferry_request request;
    ferry_prepare_timer(&request, HOUR, 0);
    ferry_op op = fixture_submit(f, &request);
    assert_status(referee_cancel(f->judge, other, op), FERRY_OK);
    assert_status(fixture_final(f, op).status, FERRY_E_CANCELED);
}

typedef struct canceler {
    fixture *f;
    ferry_op op;
    ferry_status status;
} canceler;

static void *cancel_elsewhere(void *argument) {
    canceler *c = argument;
    c->status = referee_cancel(c->f->judge, c->f->queue, c->op);
    return NULL;
}

static void any_thread_may_cancel(void **state) {
    fixture *f = fixture_open(state);
    for (pending_kind kind = 0; kind < PENDING_KINDS; kind++) {
        ferry_request request;
        pthread_t thread;
        pending_prepare(f, kind, &request);
        canceler c = {.f = f, .op = fixture_submit(f, &request)};
        fixture_turn(f, 0);
        REQUIRE(pthread_create(&thread, NULL, cancel_elsewhere, &c) == 0);
        ferry_completion final = fixture_final(f, c.op);
        pthread_join(thread, NULL);
        pending_expect(kind, c.status, FERRY_OK);
        pending_expect(kind, final.status, FERRY_E_CANCELED);
    }
}

static void *submit_elsewhere(void *argument) {
    canceler *c = argument;
    ferry_request request;
    ferry_prepare_timer(&request, HOUR, 0);
    c->op = fixture_submit(c->f, &request);
    return NULL;
}

/* The thread that runs the loop cancels what it has not seen yet. */
static void while_it_is_on_its_way_in(void **state) {
    fixture *f = fixture_open(state);
    canceler c = {.f = f};
    pthread_t thread;
    assert_status(ferry_engine_run(f->engine, 0, 0, NULL), FERRY_OK);
    REQUIRE(pthread_create(&thread, NULL, submit_elsewhere, &c) == 0);
    pthread_join(thread, NULL);
    assert_status(referee_cancel(f->judge, f->queue, c.op), FERRY_OK);
    assert_status(fixture_final(f, c.op).status, FERRY_E_CANCELED);
}

/* Whichever comes first, the cancel or the end: one final completion, and a status that fits. */
static void races_with_the_end(void **state) {
    fixture *f = fixture_open(state);
    for (int i = 0; i < RACES; i++) {
        ferry_request request;
        if (i % 2 == 0) {
            ferry_prepare_nop(&request);
        } else {
            ferry_prepare_timer(&request, (uint64_t)(i % 5) * 20 * US, 0);
        }
        ferry_op op = fixture_submit(f, &request);
        for (volatile int spin = 0; spin < i * 20; spin++) {
        }
        ferry_status canceled = referee_cancel(f->judge, f->queue, op);
        ferry_completion final = fixture_final(f, op);
        assert_status_either(final.status, FERRY_OK, FERRY_E_CANCELED);
        if (canceled == FERRY_E_TOO_LATE) {
            assert_status(final.status, FERRY_OK);
        }
    }
}

static void races_with_a_connection(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    fixture_keep(f, peer_listen(&port));
    ferry_address address = loopback(port);
    for (int i = 0; i < 50; i++) {
        ferry_request request;
        ferry_prepare_tcp_connect(&request, &address);
        ferry_op op = fixture_submit(f, &request);
        if (i % 3 != 0) {
            fixture_turn(f, 0);
        }
        fixture_cancel(f, op);
        ferry_completion final = fixture_final(f, op);
        assert_status_either(final.status, FERRY_OK, FERRY_E_CANCELED);
        if (final.status == FERRY_OK) {
            fixture_close_handle(f, final.handle);
        }
    }
    /* A connection that came too late to be reported must not stay open. */
    while (fixture_info(f).handles_open != 0) {
        fixture_turn(f, MS);
    }
}

typedef struct from_callback {
    fixture *f;
    ferry_op victim;
    atomic_int status;
} from_callback;

static void cancel_the_victim(const ferry_completion *completion, void *user_data) {
    from_callback *c = user_data;
    referee_note_completion(c->f->judge, completion);
    atomic_store(&c->status, referee_cancel(c->f->judge, c->f->queue, c->victim));
}

static void a_callback_may_cancel(void **state) {
    fixture *f = fixture_open(state);
    ferry_request request;
    ferry_prepare_timer(&request, HOUR, 0);
    from_callback *c = fixture_memory(f, sizeof *c);
    c->f = f;
    c->victim = fixture_submit(f, &request);
    atomic_init(&c->status, FERRY_E_INTERNAL);
    ferry_prepare_nop(&request);
    request.callback = cancel_the_victim;
    request.user_data = c;
    assert_status(referee_submit(f->judge, f->queue, &request, 1, NULL, NULL), FERRY_OK);
    assert_status(fixture_final(f, c->victim).status, FERRY_E_CANCELED);
    /* On another shard the callback may still be on its way back when the victim has ended. */
    while (atomic_load(&c->status) == FERRY_E_INTERNAL) {
        fixture_turn(f, MS);
    }
    assert_status(atomic_load(&c->status), FERRY_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EVERY_DRIVE(before_it_starts),
        ON_EVERY_DRIVE(while_it_is_pending),
        ON_EACH_SHARDS(twice_is_once),
        ON_EACH_SHARDS(what_can_go_on_says_so),
        ON_EVERY_DRIVE(too_late_for_what_has_ended),
        ON_HOST(too_late_for_what_is_held_back),
        ON_HOST(while_it_is_on_its_way_in),
        ON_EACH_SHARDS(unknown_for_what_never_was),
        ON_EACH_SHARDS(another_engines_op_is_unknown),
        ON_EACH_SHARDS(any_queue_of_the_engine_will_do),
        ON_EACH_SHARDS(any_thread_may_cancel),
        ON_EVERY_DRIVE(races_with_the_end),
        ON_EACH_SHARDS(races_with_a_connection),
        TEST_ON(a_callback_may_cancel, host_inline),
        TEST_ON(a_callback_may_cancel, one_dispatch),
        TEST_ON(a_callback_may_cancel, two_inline),
    };
    return RUN_SUITE(tests);
}
