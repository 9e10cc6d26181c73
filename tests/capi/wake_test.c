/*
 * Sleeping and waking: the queue's descriptor, the wake hook and arm.
 *
 * A lost wake-up shows as a sleeper that never comes back, so most tests here end by the watchdog
 * when they fail.
 */
#include "fixture.h"

#include <sys/epoll.h>

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>

enum { MESSAGES = 20000, BATCH = 16 };

static bool readable(int32_t fd) {
    struct pollfd watched = {.fd = fd, .events = POLLIN};
    return poll(&watched, 1, 0) == 1 && (watched.revents & POLLIN) != 0;
}

static void sleep_until_readable(int32_t fd) {
    struct pollfd watched = {.fd = fd, .events = POLLIN};
    REQUIRE(poll(&watched, 1, -1) == 1);
}

static void complete_nops(fixture *f, size_t count) {
    for (size_t i = 0; i < count; i++) {
        ferry_request request;
        ferry_prepare_nop(&request);
        assert_status(referee_submit(f->judge, f->queue, &request, 1, NULL, NULL), FERRY_OK);
    }
    for (int i = 0; i < 5; i++) {
        assert_status(ferry_engine_run(f->engine, 0, 0, NULL), FERRY_OK);
    }
}

/* --- The queue's descriptor ---------------------------------------------------------------- */

static void is_readable_while_completions_wait(void **state) {
    fixture *f = fixture_open(state);
    ferry_completion out[8];
    int32_t fd;
    int32_t again;
    assert_status(ferry_queue_fd(f->queue, &fd), FERRY_OK);
    assert_status(ferry_queue_fd(f->queue, &again), FERRY_OK);
    assert_int_equal(fd, again);
    assert_false(readable(fd));
    for (int round = 0; round < 3; round++) {
        complete_nops(f, 5);
        assert_true(readable(fd));
        assert_int_equal(referee_reap(f->judge, f->queue, out, 2), 2);
        assert_true(readable(fd));
        assert_int_equal(referee_reap(f->judge, f->queue, out, 8), 3);
        assert_false(readable(fd));
    }
}

static void made_late_it_knows_what_waits_already(void **state) {
    fixture *f = fixture_open(state);
    ferry_completion out[8];
    int32_t fd;
    complete_nops(f, 1);
    assert_status(ferry_queue_fd(f->queue, &fd), FERRY_OK);
    assert_true(readable(fd));
    assert_int_equal(referee_reap(f->judge, f->queue, out, 8), 1);
    assert_false(readable(fd));
}

static void posted_messages_make_it_readable(void **state) {
    fixture *f = fixture_open(state);
    ferry_completion out[8];
    int32_t fd;
    assert_status(ferry_queue_fd(f->queue, &fd), FERRY_OK);
    assert_status(referee_post(f->judge, f->queue, 1, 2, 3), FERRY_OK);
    assert_true(readable(fd));
    assert_int_equal(referee_reap(f->judge, f->queue, out, 8), 1);
    assert_false(readable(fd));
}

static void dispatch_clears_it(void **state) {
    fixture *f = fixture_open(state);
    int32_t fd;
    assert_status(ferry_queue_fd(f->queue, &fd), FERRY_OK);
    assert_status(ferry_queue_post(f->queue, 1, 2, 3), FERRY_OK);
    assert_true(readable(fd));
    assert_int_equal(ferry_queue_dispatch(f->queue, 0, 0), 1);
    while (ferry_queue_dispatch(f->queue, 0, 0) > 0) {
    }
    assert_false(readable(fd));
}

static void arm_says_whether_to_sleep(void **state) {
    fixture *f = fixture_open(state);
    ferry_completion out[8];
    int32_t fd;
    assert_status(ferry_queue_fd(f->queue, &fd), FERRY_OK);
    assert_int_equal(ferry_queue_arm(f->queue), 0);
    complete_nops(f, 1);
    assert_true(readable(fd));
    assert_int_equal(ferry_queue_arm(f->queue), 1);
    assert_int_equal(referee_reap(f->judge, f->queue, out, 8), 1);
    assert_int_equal(ferry_queue_arm(f->queue), 0);
    assert_false(readable(fd));
}

typedef struct producer {
    fixture *f;
    size_t messages;
} producer;

/* Posts with pauses of changing length, so that the consumer is met at every step of its sleep. */
static void *produce(void *argument) {
    producer *p = argument;
    for (size_t i = 0; i < p->messages; i++) {
        while (referee_post(p->f->judge, p->f->queue, i, 0, 0) == FERRY_E_FULL) {
            sleep_ns(50 * US);
        }
        if (i % 7 == 0) {
            for (volatile size_t spin = 0; spin < (i % 97) * 10; spin++) {
            }
        }
    }
    return NULL;
}

static void no_wake_up_is_lost_level_triggered(void **state) {
    fixture *f = fixture_open(state);
    ferry_completion out[BATCH];
    producer p = {.f = f, .messages = MESSAGES};
    pthread_t thread;
    int32_t fd;
    assert_status(ferry_queue_fd(f->queue, &fd), FERRY_OK);
    REQUIRE(pthread_create(&thread, NULL, produce, &p) == 0);
    uint64_t expected = 0;
    while (expected < MESSAGES) {
        sleep_until_readable(fd);
        int32_t count = referee_reap(f->judge, f->queue, out, BATCH);
        assert_true(count >= 0);
        for (int32_t i = 0; i < count; i++) {
            assert_int_equal(out[i].tag, expected++);
        }
    }
    pthread_join(thread, NULL);
}

static int edge_watch(int32_t fd) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    REQUIRE(epoll >= 0);
    REQUIRE(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
    return epoll;
}

/* The kernel interrupts who made a ring when it takes that apart: here, the test before. */
static void sleep_until_edge(int epoll) {
    struct epoll_event event;
    int count;
    do {
        count = epoll_wait(epoll, &event, 1, -1);
    } while (count < 0 && errno == EINTR);
    REQUIRE(count == 1);
}

static void no_wake_up_is_lost_edge_triggered(void **state) {
    fixture *f = fixture_open(state);
    ferry_completion out[BATCH];
    producer p = {.f = f, .messages = MESSAGES};
    pthread_t thread;
    int32_t fd;
    assert_status(ferry_queue_fd(f->queue, &fd), FERRY_OK);
    int epoll = fixture_keep(f, edge_watch(fd));
    REQUIRE(pthread_create(&thread, NULL, produce, &p) == 0);
    uint64_t expected = 0;
    while (expected < MESSAGES) {
        sleep_until_edge(epoll);
        int32_t count;
        do {
            count = referee_reap(f->judge, f->queue, out, BATCH);
            assert_true(count >= 0);
            for (int32_t i = 0; i < count; i++) {
                assert_int_equal(out[i].tag, expected++);
            }
        } while (count == BATCH);
    }
    pthread_join(thread, NULL);
}

/* The same with a mapped ring: read, store head, arm, and sleep only on "empty". */
static void no_wake_up_is_lost_mapped(void **state) {
    fixture *f = fixture_open(state);
    producer p = {.f = f, .messages = MESSAGES};
    pthread_t thread;
    int32_t fd;
    assert_status(ferry_queue_fd(f->queue, &fd), FERRY_OK);
    int epoll = fixture_keep(f, edge_watch(fd));
    REQUIRE(pthread_create(&thread, NULL, produce, &p) == 0);
    uint64_t expected = 0;
    while (expected < MESSAGES) {
        uint32_t head = *f->mapping.head;
        uint32_t tail = __atomic_load_n(f->mapping.tail, __ATOMIC_ACQUIRE);
        for (; head != tail; head++) {
            const ferry_completion *next = &f->mapping.records[head & (f->mapping.capacity - 1)];
            referee_note_completion(f->judge, next);
            assert_int_equal(next->tag, expected++);
        }
        __atomic_store_n(f->mapping.head, head, __ATOMIC_RELEASE);
        if (expected < MESSAGES && ferry_queue_arm(f->queue) == 0) {
            sleep_until_edge(epoll);
        }
    }
    pthread_join(thread, NULL);
}

static void no_wake_up_is_lost_waiting(void **state) {
    fixture *f = fixture_open(state);
    ferry_completion out[BATCH];
    producer p = {.f = f, .messages = MESSAGES};
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, produce, &p) == 0);
    uint64_t expected = 0;
    while (expected < MESSAGES) {
        int32_t count = referee_wait(f->judge, f->queue, out, BATCH, FERRY_FOREVER);
        assert_true(count > 0);
        for (int32_t i = 0; i < count; i++) {
            assert_int_equal(out[i].tag, expected++);
        }
    }
    pthread_join(thread, NULL);
}

/* --- The wake hook ------------------------------------------------------------------------- */

static void count_wake(void *user_data) {
    atomic_fetch_add((atomic_int *)user_data, 1);
}

static void the_hook_is_told_once_until_the_queue_is_empty(void **state) {
    atomic_int *wakes = fixture_memory(*state, sizeof *wakes);
    atomic_init(wakes, 0);
    ferry_queue_options options = {.wake = count_wake, .user_data = wakes};
    fixture *f = fixture_open_with(state, NULL, &options);
    ferry_completion out[8];
    /* A reap that finds nothing is where the sleep begins. */
    assert_int_equal(referee_reap(f->judge, f->queue, out, 8), 0);
    for (int round = 1; round <= 3; round++) {
        complete_nops(f, 3);
        assert_int_equal(atomic_load(wakes), round);
        assert_int_equal(referee_reap(f->judge, f->queue, out, 1), 1);
        complete_nops(f, 2);
        assert_int_equal(atomic_load(wakes), round);
        assert_int_equal(referee_reap(f->judge, f->queue, out, 8), 4);
    }
}

static void arm_sets_the_hook_too(void **state) {
    atomic_int *wakes = fixture_memory(*state, sizeof *wakes);
    atomic_init(wakes, 0);
    ferry_queue_options options = {.wake = count_wake, .user_data = wakes};
    fixture *f = fixture_open_with(state, NULL, &options);
    ferry_completion out[8];
    for (int round = 1; round <= 3; round++) {
        assert_int_equal(ferry_queue_arm(f->queue), 0);
        complete_nops(f, 1);
        assert_int_equal(atomic_load(wakes), round);
        assert_int_equal(ferry_queue_arm(f->queue), 1);
        assert_int_equal(referee_reap(f->judge, f->queue, out, 8), 1);
    }
}

typedef struct bell {
    pthread_mutex_t lock;
    pthread_cond_t rung;
    bool ringing;
} bell;

static void ring(void *user_data) {
    bell *b = user_data;
    pthread_mutex_lock(&b->lock);
    b->ringing = true;
    pthread_cond_signal(&b->rung);
    pthread_mutex_unlock(&b->lock);
}

static void sleep_until_rung(bell *b) {
    pthread_mutex_lock(&b->lock);
    while (!b->ringing) {
        pthread_cond_wait(&b->rung, &b->lock);
    }
    b->ringing = false;
    pthread_mutex_unlock(&b->lock);
}

static void no_wake_up_is_lost_by_the_hook(void **state) {
    bell *b = fixture_memory(*state, sizeof *b);
    *b = (bell){.lock = PTHREAD_MUTEX_INITIALIZER, .rung = PTHREAD_COND_INITIALIZER};
    ferry_queue_options options = {.wake = ring, .user_data = b};
    fixture *f = fixture_open_with(state, NULL, &options);
    ferry_completion out[BATCH];
    producer p = {.f = f, .messages = MESSAGES};
    pthread_t thread;
    assert_int_equal(referee_reap(f->judge, f->queue, out, BATCH), 0);
    REQUIRE(pthread_create(&thread, NULL, produce, &p) == 0);
    uint64_t expected = 0;
    while (expected < MESSAGES) {
        int32_t count = referee_reap(f->judge, f->queue, out, BATCH);
        assert_true(count >= 0);
        for (int32_t i = 0; i < count; i++) {
            assert_int_equal(out[i].tag, expected++);
        }
        if (expected < MESSAGES && count < BATCH) {
            sleep_until_rung(b);
        }
    }
    pthread_join(thread, NULL);
}

/* --- The host that sleeps in run ------------------------------------------------------------- */

static void *post_later(void *argument) {
    sleep_ns(20 * MS);
    REQUIRE(referee_post(((fixture *)argument)->judge, ((fixture *)argument)->queue, 1, 2, 3) ==
            FERRY_OK);
    return NULL;
}

static void a_post_ends_a_run_that_sleeps(void **state) {
    fixture *f = fixture_open(state);
    ferry_completion out[BATCH];
    pthread_t thread;
    for (int round = 0; round < 3; round++) {
        REQUIRE(pthread_create(&thread, NULL, post_later, f) == 0);
        assert_status(ferry_engine_run(f->engine, FERRY_FOREVER, 0, NULL), FERRY_OK);
        assert_int_equal(referee_reap(f->judge, f->queue, out, BATCH), 1);
        pthread_join(thread, NULL);
    }
    /* What the host's own thread posted waits already. */
    assert_status(referee_post(f->judge, f->queue, 1, 2, 3), FERRY_OK);
    assert_status(ferry_engine_run(f->engine, FERRY_FOREVER, 0, NULL), FERRY_OK);
    assert_int_equal(referee_reap(f->judge, f->queue, out, BATCH), 1);
}

static void a_post_makes_the_engines_descriptor_readable(void **state) {
    fixture *f = fixture_open(state);
    ferry_completion out[BATCH];
    pthread_t thread;
    int32_t fd;
    assert_status(ferry_engine_fd(f->engine, &fd), FERRY_OK);
    while (readable(fd)) {
        assert_status(ferry_engine_run(f->engine, 0, 0, NULL), FERRY_OK);
    }
    REQUIRE(pthread_create(&thread, NULL, post_later, f) == 0);
    sleep_until_readable(fd);
    assert_status(ferry_engine_run(f->engine, 0, 0, NULL), FERRY_OK);
    assert_int_equal(referee_reap(f->judge, f->queue, out, BATCH), 1);
    pthread_join(thread, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_HOST(is_readable_while_completions_wait),
        ON_HOST(made_late_it_knows_what_waits_already),
        ON_EACH_SHARDS(posted_messages_make_it_readable),
        ON_EACH_SHARDS(dispatch_clears_it),
        ON_HOST(arm_says_whether_to_sleep),
        ON_EACH_SHARDS(no_wake_up_is_lost_level_triggered),
        ON_EACH_SHARDS(no_wake_up_is_lost_edge_triggered),
        TEST_ON(no_wake_up_is_lost_mapped, host_mapped),
        TEST_ON(no_wake_up_is_lost_mapped, one_mapped),
        ON_THREADS(no_wake_up_is_lost_waiting),
        ON_HOST(the_hook_is_told_once_until_the_queue_is_empty),
        ON_HOST(arm_sets_the_hook_too),
        ON_EACH_SHARDS(no_wake_up_is_lost_by_the_hook),
        ON_HOST(a_post_ends_a_run_that_sleeps),
        ON_HOST(a_post_makes_the_engines_descriptor_readable),
    };
    return RUN_SUITE(tests);
}
