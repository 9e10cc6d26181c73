/*
 * After a fork the child's engine is inert and can only be destroyed, and the parent's does not
 * notice any of it.
 *
 * The child uses no cmocka: CHILD_CHECK ends it with an exit code that the parent finds.
 */
#include "files.h"

#include <sys/wait.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct family {
    fixture *f;
    counting_allocator *allocator;
    ferry_handle listener;
    ferry_handle stream;
    ferry_op op;
    ferry_buffer buffer;
    size_t descriptors; /* What the child must have open after destroy. */
    int to_child[2];
    int to_parent[2];
} family;

static void tell(int fd) {
    REQUIRE(write(fd, "x", 1) == 1);
}

/* False if the other side has gone instead. */
static bool listen_for(int fd) {
    char word;
    return read(fd, &word, 1) == 1;
}

static void try_the_engine(const family *p) {
    ferry_engine *engine = p->f->engine;
    ferry_engine_info info = {.struct_size = sizeof info};
    ferry_run_report report = {.struct_size = sizeof report};
    ferry_queue *queue = (ferry_queue *)&info;
    int32_t fd = 5;
    CHILD_CHECK(ferry_engine_get_info(engine, &info) == FERRY_E_FORKED);
    CHILD_CHECK(ferry_engine_shutdown(engine, FERRY_FOREVER) == FERRY_E_FORKED);
    CHILD_CHECK(ferry_handle_discard(engine, p->stream) == FERRY_E_FORKED);
    CHILD_CHECK(ferry_buffer_release(engine, p->buffer) == FERRY_E_FORKED);
    CHILD_CHECK(ferry_queue_create(engine, NULL, &queue) == FERRY_E_FORKED);
    CHILD_CHECK(queue == NULL);
    if (p->f->drive->shards == 0) {
        CHILD_CHECK(ferry_engine_run(engine, FERRY_FOREVER, 0, &report) == FERRY_E_FORKED);
        CHILD_CHECK(ferry_engine_fd(engine, &fd) == FERRY_E_FORKED);
        CHILD_CHECK(fd == -1);
    }
}

static void try_the_queue(const family *p) {
    ferry_queue *queue = p->f->queue;
    ferry_request request;
    ferry_completion out;
    ferry_op op = FERRY_NONE;
    size_t accepted = 9;
    int32_t fd = 5;
    ferry_prepare_nop(&request);
    CHILD_CHECK(ferry_queue_submit(queue, &request, 1, &op, &accepted) == FERRY_E_FORKED);
    CHILD_CHECK(accepted == 0);
    CHILD_CHECK(ferry_queue_cancel(queue, p->op) == FERRY_E_FORKED);
    CHILD_CHECK(ferry_queue_post(queue, 1, 2, 3) == FERRY_E_FORKED);
    CHILD_CHECK(ferry_queue_reap(queue, &out, 1) == FERRY_E_FORKED);
    CHILD_CHECK(ferry_queue_wait(queue, &out, 1, FERRY_FOREVER) == FERRY_E_FORKED);
    CHILD_CHECK(ferry_queue_dispatch(queue, 0, 0) == FERRY_E_FORKED);
    CHILD_CHECK(ferry_queue_fd(queue, &fd) == FERRY_E_FORKED);
    CHILD_CHECK(ferry_queue_arm(queue) == FERRY_E_FORKED);
}

/* An engine of the child's own lives as it would anywhere. */
static void live_on_ones_own(void) {
    ferry_engine *engine = NULL;
    ferry_queue *queue = NULL;
    ferry_request request;
    ferry_completion out;
    ferry_prepare_nop(&request);
    CHILD_CHECK(ferry_engine_create(NULL, &engine) == FERRY_OK);
    CHILD_CHECK(ferry_queue_create(engine, NULL, &queue) == FERRY_OK);
    CHILD_CHECK(ferry_queue_submit(queue, &request, 1, NULL, NULL) == FERRY_OK);
    CHILD_CHECK(ferry_engine_run(engine, 0, 0, NULL) == FERRY_OK);
    CHILD_CHECK(ferry_queue_reap(queue, &out, 1) == 1);
    CHILD_CHECK(ferry_engine_shutdown(engine, FERRY_FOREVER) == FERRY_OK);
    CHILD_CHECK(ferry_engine_destroy(engine) == FERRY_OK);
}

static void be_the_child(const family *p) {
    watchdog_restart();
    close(p->to_child[1]);
    close(p->to_parent[0]);
    listen_for(p->to_child[0]);
    try_the_engine(p);
    try_the_queue(p);
    CHILD_CHECK(ferry_engine_destroy(p->f->engine) == FERRY_OK);
    if (count_descriptors() != p->descriptors) {
        fprintf(stderr, "in the child: %zu descriptors open, not %zu\n", count_descriptors(),
                p->descriptors);
        child_exit(1);
    }
    CHILD_CHECK(atomic_load(&p->allocator->blocks) == 0);
    CHILD_CHECK(atomic_load(&p->allocator->wrong_frees) == 0);
    live_on_ones_own();
    tell(p->to_parent[1]);
    listen_for(p->to_child[0]);
    child_exit(0);
}

/* The listener accepts, the stream carries, the timer is still there. */
static void the_parent_is_well(family *p) {
    fixture *f = p->f;
    char got[4];
    ferry_request request;
    uint16_t port;
    int listener = peer_listen(&port);
    ferry_address address = loopback(port);
    ferry_prepare_tcp_connect(&request, &address);
    ferry_completion connected = fixture_do(f, &request);
    assert_status(connected.status, FERRY_OK);
    int peer = peer_accept(listener);
    ferry_prepare_stream_send(&request, connected.handle, "well", 4);
    assert_status(fixture_do(f, &request).status, FERRY_OK);
    peer_receive(peer, got, 4);
    assert_memory_equal(got, "well", 4);
    fixture_close_handle(f, connected.handle);
    close(listener);
    close(peer);
    assert_false(fixture_has(f, p->op));
}

static void accept_one(family *p, uint16_t port, ferry_op accepting) {
    int peer = peer_connect(port);
    ferry_completion accepted = fixture_next(p->f, accepting);
    assert_status(accepted.status, FERRY_OK);
    fixture_close_handle(p->f, accepted.handle);
    assert_true(peer_sees_end(peer));
    close(peer);
}

/* What the process keeps after its first engine, whatever it is, is not the child's to close. */
static size_t descriptors_without_an_engine(void) {
    ferry_engine *first = NULL;
    assert_status(ferry_engine_create(NULL, &first), FERRY_OK);
    assert_status(ferry_engine_shutdown(first, FERRY_FOREVER), FERRY_OK);
    assert_status(ferry_engine_destroy(first), FERRY_OK);
    return count_descriptors();
}

static void the_child_can_only_destroy(void **state) {
    size_t before = descriptors_without_an_engine();
    family p = {.f = NULL};
    p.allocator = fixture_memory(*state, sizeof *p.allocator);
    memset(p.allocator, 0, sizeof *p.allocator);
    ferry_engine_options options = {0};
    allocator_install(p.allocator, &options);
    p.f = fixture_open_with(state, &options, NULL);
    REQUIRE(pipe(p.to_child) == 0 && pipe(p.to_parent) == 0);
    int peer;
    uint16_t port;
    ferry_request request;
    ferry_prepare_file_load(&request, fixture_file(p.f, "file", 5000), 0);
    ferry_completion loaded = fixture_do(p.f, &request);
    p.buffer = loaded.buffer;
    p.stream = fixture_stream(p.f, &peer);
    p.listener = fixture_listen(p.f, &port);
    ferry_handle file = file_open(p.f, fixture_path(p.f, "file"), FERRY_OPEN_READ);
    ferry_prepare_timer(&request, HOUR, 0);
    p.op = fixture_submit(p.f, &request);
    ferry_prepare_tcp_accept(&request, p.listener);
    ferry_op accepting = fixture_submit(p.f, &request);
    fixture_turn(p.f, MS);
    /* An end of each pipe and the stream's other end are the test's. */
    p.descriptors = before + 3;

    fflush(NULL);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        be_the_child(&p);
    }
    close(p.to_child[0]);
    close(p.to_parent[1]);
    accept_one(&p, port, accepting);
    tell(p.to_child[1]);
    accept_one(&p, port, accepting);
    bool child_is_well = listen_for(p.to_parent[0]);
    accept_one(&p, port, accepting);
    the_parent_is_well(&p);
    if (child_is_well) {
        tell(p.to_child[1]);
    }
    close(p.to_child[1]);
    close(p.to_parent[0]);
    assert_int_equal(child_status(child), 0);
    for (int i = 0; i < 3; i++) {
        accept_one(&p, port, accepting);
    }
    the_parent_is_well(&p);
    assert_true(pattern_matches(loaded.data, 5000, 0));
    fixture_release(p.f, &loaded);
    char byte;
    ferry_completion read = file_read(p.f, file, &byte, 1, 4999);
    file_expect(&read, FERRY_OK, 0, 1);
    assert_true(pattern_matches(&byte, 1, 4999));
}

/* A child that just goes away, as most do, harms nobody either. */
static int leave(void *argument) {
    (void)argument;
    return 0;
}

static void a_child_may_ignore_the_engine(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    ferry_handle listener = fixture_listen(f, &port);
    ferry_request request;
    ferry_prepare_tcp_accept(&request, listener);
    ferry_op accepting = fixture_submit(f, &request);
    family p = {.f = f};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(run_in_child(leave, NULL), 0);
        accept_one(&p, port, accepting);
    }
}

static int destroy_in_the_midst(void *argument) {
    fixture *f = argument;
    return ferry_engine_destroy(f->engine) == FERRY_OK ? 0 : 1;
}

static void *keep_busy(void *argument) {
    fixture *f = argument;
    for (int i = 0; i < 3000; i++) {
        ferry_request request;
        ferry_prepare_timer(&request, 10 * US, 0);
        referee_submit(f->judge, f->queue, &request, 1, NULL, NULL);
        if (i % 64 == 0) {
            sleep_ns(100 * US);
        }
    }
    return NULL;
}

static void a_fork_may_come_at_any_moment(void **state) {
#ifdef __SANITIZE_ADDRESS__
    printf("skipped: AddressSanitizer's allocator may be locked in the child, and then stays so\n");
    skip();
#endif
    fixture *f = fixture_open(state);
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, keep_busy, f) == 0);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(run_in_child(destroy_in_the_midst, f), 0);
        fixture_turn(f, 0);
    }
    pthread_join(thread, NULL);
    while (referee_outstanding(f->judge) > 0) {
        fixture_turn(f, MS);
    }
}

/* Whoever waits in the shutdown waits in the parent, and the child does not wait for that. */
static void stay_a_while(const ferry_completion *completion, void *user_data) {
    (void)completion;
    atomic_store((atomic_int *)user_data, 1);
    sleep_ns(500 * MS);
}

static void *shut_down(void *argument) {
    REQUIRE(ferry_engine_shutdown(argument, FERRY_FOREVER) == FERRY_OK);
    return NULL;
}

static int destroy_it(void *engine) {
    return ferry_engine_destroy(engine) == FERRY_OK ? 0 : 1;
}

static void a_fork_may_come_in_the_midst_of_the_shutdown(void **state) {
    (void)state;
    ferry_engine_options options = {.struct_size = sizeof options, .shards = 1};
    ferry_queue_options queue_options = {.struct_size = sizeof queue_options,
                                         .mode = FERRY_QUEUE_INLINE};
    ferry_engine *engine;
    ferry_queue *queue;
    ferry_request request;
    atomic_int stays = 0;
    assert_status(ferry_engine_create(&options, &engine), FERRY_OK);
    assert_status(ferry_queue_create(engine, &queue_options, &queue), FERRY_OK);
    ferry_prepare_nop(&request);
    request.callback = stay_a_while;
    request.user_data = &stays;
    assert_status(ferry_queue_submit(queue, &request, 1, NULL, NULL), FERRY_OK);
    while (atomic_load(&stays) == 0) {
        sleep_ns(MS);
    }
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, shut_down, engine) == 0);
    sleep_ns(100 * MS);
    assert_int_equal(run_in_child(destroy_it, engine), 0);
    pthread_join(thread, NULL);
    assert_status(ferry_engine_destroy(engine), FERRY_OK);
}

static int destroy_and_count(void *argument) {
    const family *p = argument;
    CHILD_CHECK(ferry_engine_destroy(p->f->engine) == FERRY_OK);
    CHILD_CHECK(atomic_load(&p->allocator->blocks) == 0);
    CHILD_CHECK(atomic_load(&p->allocator->wrong_frees) == 0);
    return 0;
}

static void *submit_what_is_copied(void *argument) {
    fixture *f = argument;
    char bytes[500] = {0};
    ferry_request steps[2];
    ferry_request request;
    ferry_prepare_timer(&steps[0], HOUR, 0);
    ferry_prepare_file_load(&steps[1], fixture_path(f, "nowhere"), 0);
    ferry_prepare_chain(&request, steps, 2);
    fixture_submit(f, &request);
    memset(bytes, 'x', sizeof bytes - 1);
    ferry_prepare_file_load(&request, bytes, 0);
    fixture_submit(f, &request);
    return NULL;
}

/* What submit copied is the child's to free, wherever it lies: on the way in, or at work. */
static void the_child_frees_what_was_copied(void **state) {
    family p = {.f = NULL};
    p.allocator = fixture_memory(*state, sizeof *p.allocator);
    memset(p.allocator, 0, sizeof *p.allocator);
    ferry_engine_options options = {0};
    allocator_install(p.allocator, &options);
    p.f = fixture_open_with(state, &options, NULL);
    fixture_turn(p.f, 0); /* The engine is this thread's, and the other one submits by the inbox. */
    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        REQUIRE(pthread_create(&thread, NULL, submit_what_is_copied, p.f) == 0);
        pthread_join(thread, NULL);
        assert_int_equal(run_in_child(destroy_and_count, &p), 0);
        if (i == 1) {
            assert_status(ferry_engine_run(p.f->engine, 0, 1, NULL), FERRY_OK);
        } else {
            fixture_turn(p.f, MS);
        }
        assert_int_equal(run_in_child(destroy_and_count, &p), 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EACH_SHARDS(the_child_can_only_destroy),
        TEST_ON(the_child_frees_what_was_copied, host),
        ON_EACH_SHARDS(a_child_may_ignore_the_engine),
        ON_EACH_SHARDS(a_fork_may_come_at_any_moment),
        PLAIN(a_fork_may_come_in_the_midst_of_the_shutdown),
    };
    return RUN_SUITE(tests);
}
