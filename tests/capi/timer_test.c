/*
 * Timers: never early, counted, ended by cancel and deadline.
 *
 * Only lower bounds are checked against the clock: how late a timer is depends on the machine.
 */
#include "fixture.h"

enum { MANY = 1000 };

static ferry_op start_timer(fixture *f, uint64_t delay_ns, uint64_t interval_ns) {
    ferry_request request;
    ferry_prepare_timer(&request, delay_ns, interval_ns);
    return fixture_submit(f, &request);
}

static void is_never_early(void **state) {
    fixture *f = fixture_open(state);
    static const uint64_t delays[] = {1,       15 * US,   16 * US, 17 * US, 100 * US, 999 * US, MS,
                                      MS + US, 4095 * US, 5 * MS,  17 * MS, 66 * MS,  70 * MS};
    for (size_t i = 0; i < sizeof delays / sizeof delays[0]; i++) {
        uint64_t begin = now_ns();
        ferry_completion completion = fixture_final(f, start_timer(f, delays[i], 0));
        uint64_t passed = now_ns() - begin;
        assert_status(completion.status, FERRY_OK);
        assert_int_equal(completion.result, 1);
        assert_true(passed >= delays[i]);
    }
}

static void many_at_once_are_never_early(void **state) {
    fixture *f = fixture_open(state);
    ferry_op ops[MANY];
    uint64_t earliest[MANY];
    uint64_t random = 1;
    for (size_t i = 0; i < MANY; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407U;
        uint64_t delay = (random >> 33) % (80 * MS);
        earliest[i] = now_ns() + delay;
        ops[i] = start_timer(f, delay, 0);
    }
    /* Whatever is there at some moment must have been due by then. */
    size_t left = MANY;
    while (left > 0) {
        fixture_turn(f, 5 * MS);
        uint64_t now = now_ns();
        for (size_t i = 0; i < MANY; i++) {
            if (ops[i] != FERRY_NONE && fixture_has(f, ops[i])) {
                assert_true(now >= earliest[i]);
                assert_status(fixture_final(f, ops[i]).status, FERRY_OK);
                ops[i] = FERRY_NONE;
                left--;
            }
        }
    }
}

/*
 * A busy machine may halt this thread between two submits, so a timer is due somewhere between its
 * delay after the beginning of its submit and its delay after the end. What is surely due first
 * must come first.
 */
static void come_in_the_order_they_are_due(void **state) {
    fixture *f = fixture_open(state);
    static const uint64_t delays[] = {31 * MS, 3 * MS, 24 * MS, 0, 17 * MS, 10 * MS};
    enum { COUNT = sizeof delays / sizeof delays[0] };
    uint64_t due_first[COUNT];
    uint64_t due_last[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        ferry_request request;
        ferry_prepare_timer(&request, delays[i], 0);
        request.tag = i;
        due_first[i] = now_ns() + delays[i];
        fixture_submit(f, &request);
        due_last[i] = now_ns() + delays[i] + MS;
    }
    uint64_t passed = 0;
    for (size_t i = 0; i < COUNT; i++) {
        uint64_t tag = fixture_next_any(f).tag;
        assert_true(due_last[tag] >= passed);
        passed = due_first[tag] > passed ? due_first[tag] : passed;
    }
}

static void zero_delay_is_the_next_turn(void **state) {
    fixture *f = fixture_open(state);
    ferry_op op = start_timer(f, 0, 0);
    fixture_collect(f);
    assert_false(fixture_has(f, op));
    fixture_turn(f, 0);
    fixture_turn(f, 0);
    assert_true(fixture_has(f, op));
}

static void run_waits_for_the_next_timer(void **state) {
    fixture *f = fixture_open(state);
    ferry_op op = start_timer(f, 10 * MS, 0);
    while (!fixture_has(f, op)) {
        fixture_turn(f, FERRY_FOREVER);
    }
    assert_status(fixture_final(f, op).status, FERRY_OK);
}

/* At most this many expiries can lie in a time. */
static int64_t expiries_within(uint64_t passed, uint64_t delay, uint64_t interval) {
    return passed < delay ? 0 : 1 + (int64_t)((passed - delay) / interval);
}

static void an_interval_goes_on_and_counts(void **state) {
    fixture *f = fixture_open(state);
    const uint64_t delay = 3 * MS;
    const uint64_t interval = MS;
    uint64_t begin = now_ns();
    ferry_op op = start_timer(f, delay, interval);
    int64_t expiries = 0;
    while (expiries < 20) {
        ferry_completion completion = fixture_next(f, op);
        assert_status(completion.status, FERRY_OK);
        assert_int_equal(completion.flags, FERRY_MORE);
        expiries += completion.result;
        assert_true(expiries <= expiries_within(now_ns() - begin, delay, interval));
    }
    fixture_cancel(f, op);
    assert_status(fixture_final(f, op).status, FERRY_E_CANCELED);
}

static void missed_expiries_come_as_one(void **state) {
    fixture *f = fixture_open(state);
    uint64_t begin = now_ns();
    ferry_op op = start_timer(f, MS, MS);
    uint64_t submitted = now_ns();
    fixture_turn(f, 0);
    int64_t before = 0;
    while (fixture_has(f, op)) {
        before += fixture_next(f, op).result;
    }
    sleep_ns(30 * MS);
    uint64_t woken = now_ns();
    int64_t missed = fixture_next(f, op).result;
    /* Half of what passed is enough to tell: the rest is the wheel's rounding. */
    assert_true(missed >= (expiries_within(woken - submitted, MS, MS) - before) / 2);
    assert_true(before + missed <= expiries_within(now_ns() - begin, MS, MS));
}

static void a_full_ring_pauses_an_interval(void **state) {
    ferry_queue_options small = {.capacity = 2};
    fixture *f = fixture_open_with(state, NULL, &small);
    uint64_t begin = now_ns();
    ferry_op op = start_timer(f, 0, MS);
    uint64_t end = begin + 30 * MS;
    while (now_ns() < end) {
        assert_status(ferry_engine_run(f->engine, MS, 0, NULL), FERRY_OK);
    }
    fixture_collect(f);
    int64_t expiries = 0;
    size_t messages = 0;
    while (fixture_has(f, op)) {
        expiries += fixture_next(f, op).result;
        messages++;
    }
    /* The ring held two at a time; the expiries that found no room come with the next message. */
    assert_in_range(messages, 1, 2);
    while (expiries < 15) {
        expiries += fixture_next(f, op).result;
    }
    assert_true(expiries <= expiries_within(now_ns() - begin, 0, MS));
}

static void cancel_ends_it(void **state) {
    fixture *f = fixture_open(state);
    ferry_op op = start_timer(f, HOUR, 0);
    fixture_linger(f, 5 * MS);
    assert_false(fixture_has(f, op));
    fixture_cancel(f, op);
    ferry_completion completion = fixture_final(f, op);
    assert_status(completion.status, FERRY_E_CANCELED);
    assert_int_equal(completion.result, 0);
}

static void a_deadline_ends_it(void **state) {
    fixture *f = fixture_open(state);
    ferry_request request;
    ferry_prepare_timer(&request, HOUR, 0);
    request.deadline_ns = 8 * MS;
    uint64_t begin = now_ns();
    ferry_completion completion = fixture_do(f, &request);
    assert_true(now_ns() - begin >= 8 * MS);
    assert_status(completion.status, FERRY_E_TIMED_OUT);
}

static void a_deadline_bounds_an_interval(void **state) {
    fixture *f = fixture_open(state);
    ferry_request request;
    ferry_prepare_timer(&request, MS, MS);
    request.deadline_ns = 15 * MS;
    uint64_t begin = now_ns();
    ferry_op op = fixture_submit(f, &request);
    int64_t expiries = 0;
    ferry_completion completion = fixture_next(f, op);
    while ((completion.flags & FERRY_MORE) != 0) {
        expiries += completion.result;
        completion = fixture_next(f, op);
    }
    assert_true(now_ns() - begin >= 15 * MS);
    assert_status(completion.status, FERRY_E_TIMED_OUT);
    assert_true(expiries >= 1);
}

/* It expires more often than anybody can be told, also while it is being ended. */
static void the_shortest_interval_can_be_ended(void **state) {
    fixture *f = fixture_open(state);
    ferry_request request;
    ferry_prepare_timer(&request, 1, 1);
    ferry_op canceled = fixture_submit(f, &request);
    request.deadline_ns = 2 * MS;
    ferry_op bounded = fixture_submit(f, &request);
    fixture_linger(f, MS);
    fixture_cancel(f, canceled);
    assert_status(fixture_final(f, canceled).status, FERRY_E_CANCELED);
    assert_status(fixture_final(f, bounded).status, FERRY_E_TIMED_OUT);
    request.deadline_ns = 0;
    ferry_op endless = fixture_submit(f, &request);
    fixture_linger(f, MS);
    fixture_shutdown(f);
    assert_status(fixture_final(f, endless).status, FERRY_E_SHUTDOWN);
}

static void a_later_deadline_does_nothing(void **state) {
    fixture *f = fixture_open(state);
    ferry_request request;
    ferry_prepare_timer(&request, MS, 0);
    request.deadline_ns = HOUR;
    assert_status(fixture_do(f, &request).status, FERRY_OK);
}

static void the_longest_delay_does_not_overflow(void **state) {
    fixture *f = fixture_open(state);
    static const uint64_t delays[] = {UINT64_MAX, UINT64_MAX - 1, UINT64_C(1) << 63,
                                      (UINT64_C(1) << 63) - 1, UINT64_MAX / 1000};
    for (size_t i = 0; i < sizeof delays / sizeof delays[0]; i++) {
        ferry_request request;
        ferry_prepare_timer(&request, delays[i], i % 2 == 0 ? 0 : UINT64_MAX);
        request.deadline_ns = delays[i];
        ferry_op op = fixture_submit(f, &request);
        fixture_linger(f, 4 * MS);
        assert_false(fixture_has(f, op));
        fixture_cancel(f, op);
        assert_status(fixture_final(f, op).status, FERRY_E_CANCELED);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EVERY_DRIVE(is_never_early),
        ON_EACH_SHARDS(many_at_once_are_never_early),
        TEST_ON(come_in_the_order_they_are_due, host),
        TEST_ON(come_in_the_order_they_are_due, host_mapped),
        TEST_ON(come_in_the_order_they_are_due, host_inline),
        ON_HOST(zero_delay_is_the_next_turn),
        ON_HOST(run_waits_for_the_next_timer),
        ON_EVERY_DRIVE(an_interval_goes_on_and_counts),
        ON_HOST(missed_expiries_come_as_one),
        ON_HOST(a_full_ring_pauses_an_interval),
        ON_EVERY_DRIVE(cancel_ends_it),
        ON_EVERY_DRIVE(a_deadline_ends_it),
        ON_EVERY_DRIVE(a_deadline_bounds_an_interval),
        ON_EVERY_DRIVE(the_shortest_interval_can_be_ended),
        ON_EACH_SHARDS(a_later_deadline_does_nothing),
        ON_EACH_SHARDS(the_longest_delay_does_not_overflow),
    };
    return RUN_SUITE(tests);
}
