/*
 * Out of descriptors: creation and operations say so and leave nothing behind, accept pauses, and
 * all goes on when there is room.
 */
#include "fixture.h"

#include <sys/resource.h>

#include <unistd.h>

enum { ROOM_ENOUGH = 40 };

/* The next completion of an accept that is not the report of a ceiling. */
static ferry_completion next_connection(fixture *f, ferry_op op, ferry_status report,
                                        int *reports) {
    ferry_completion next = fixture_next(f, op);
    while (next.status == report) {
        assert_int_equal(next.flags, FERRY_MORE);
        (*reports)++;
        next = fixture_next(f, op);
    }
    assert_status(next.status, FERRY_OK);
    assert_int_equal(next.flags, FERRY_MORE);
    return next;
}

static struct rlimit full_limit;

/* From now on there is room for so many descriptors more. */
static void leave_descriptors(int room) {
    struct rlimit limit = full_limit;
    int lowest = dup(STDERR_FILENO);
    REQUIRE(lowest >= 0);
    close(lowest);
    limit.rlim_cur = (rlim_t)(lowest + room);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

static void restore_descriptors(void) {
    REQUIRE(setrlimit(RLIMIT_NOFILE, &full_limit) == 0);
}

static int descriptor_setup(void **state) {
    REQUIRE(getrlimit(RLIMIT_NOFILE, &full_limit) == 0);
    return fixture_setup(state);
}

static int descriptor_teardown(void **state) {
    restore_descriptors();
    return fixture_teardown(state);
}

/* True if there was room enough; else creation has said so and left nothing. */
static bool create_within(int room, uint32_t shards) {
    ferry_engine_options options = {.struct_size = sizeof options, .shards = shards};
    ferry_engine *engine = (ferry_engine *)&options;
    leave_descriptors(room);
    ferry_status status = ferry_engine_create(&options, &engine);
    restore_descriptors();
    if (status != FERRY_OK) {
        /* The latter where nothing but a ring will do. */
        CHILD_CHECK(status == FERRY_E_NO_DESCRIPTORS || status == FERRY_E_UNSUPPORTED);
        CHILD_CHECK(engine == NULL);
        return false;
    }
    CHILD_CHECK(ferry_engine_shutdown(engine, FERRY_FOREVER) == FERRY_OK);
    CHILD_CHECK(ferry_engine_destroy(engine) == FERRY_OK);
    return true;
}

/*
 * In a child, because a limit that is too low would hurt whatever else this process does; and in a
 * fresh one, because a process's first engine is made on other paths than the later ones.
 */
static int create_with_little_room(void *argument) {
    uint32_t shards = *(uint32_t *)argument;
    CHILD_CHECK(getrlimit(RLIMIT_NOFILE, &full_limit) == 0);
    for (int room = 0; !create_within(room, shards); room++) {
        CHILD_CHECK(room < ROOM_ENOUGH);
    }
    /* What the process keeps after its first engine, it keeps once. */
    size_t before = count_descriptors();
    bool worked = false;
    for (int room = 0; room <= ROOM_ENOUGH; room++) {
        worked = create_within(room, shards);
        CHILD_CHECK(count_descriptors() == before);
    }
    CHILD_CHECK(worked);
    return 0;
}

static void creation_without_descriptors_leaves_nothing(void **state) {
    (void)state;
#ifdef __SANITIZE_THREAD__
    SKIP_BECAUSE("the thread sanitizer lets no forked child start threads");
#endif
    for (uint32_t shards = 0; shards <= 2; shards++) {
        assert_int_equal(run_in_child(create_with_little_room, &shards), 0);
    }
}

static void operations_without_descriptors(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    fixture_keep(f, peer_listen(&port));
    char *path = fixture_file(f, "file", 10);
    ferry_address address = loopback(port);
    ferry_address anywhere = loopback(0);
    ferry_request requests[3];
    ferry_prepare_tcp_connect(&requests[0], &address);
    ferry_prepare_tcp_listen(&requests[1], &anywhere, 0);
    ferry_prepare_file_load(&requests[2], path, 0);
    /* The first wait makes the queue's descriptor; that is not what this is about. */
    fixture_turn(f, MS);
    for (size_t i = 0; i < 3; i++) {
        leave_descriptors(0);
        ferry_completion failed = fixture_do(f, &requests[i]);
        restore_descriptors();
        assert_status(failed.status, FERRY_E_NO_DESCRIPTORS);
        ferry_completion worked = fixture_do(f, &requests[i]);
        assert_status(worked.status, FERRY_OK);
        fixture_release(f, &worked);
    }
}

static void a_queue_without_a_descriptor(void **state) {
    fixture *f = fixture_open(state);
    int32_t fd = 5;
    leave_descriptors(0);
    ferry_status status = ferry_queue_fd(f->queue, &fd);
    restore_descriptors();
    assert_status(status, FERRY_E_NO_DESCRIPTORS);
    assert_int_equal(fd, -1);
    assert_status(ferry_queue_fd(f->queue, &fd), FERRY_OK);
    assert_true(fd >= 0);
}

static void accept_pauses_without_descriptors(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    ferry_handle listener = fixture_listen(f, &port);
    for (int i = 0; i < 3; i++) {
        fixture_keep(f, peer_connect(port));
    }
    ferry_request request;
    ferry_prepare_tcp_accept(&request, listener);
    /* A queue makes its own when it first sleeps, if its completions are waited for. */
    int32_t fd;
    ferry_queue_fd(f->queue, &fd);
    leave_descriptors(0);
    ferry_op op = fixture_submit(f, &request);
    ferry_completion report = fixture_next(f, op);
    assert_status(report.status, FERRY_E_NO_DESCRIPTORS);
    assert_int_equal(report.flags, FERRY_MORE);
    assert_int_equal(report.handle, listener);
    fixture_linger(f, 50 * MS);
    assert_false(fixture_has(f, op));
    restore_descriptors();
    int reports = 0;
    for (int i = 0; i < 3; i++) {
        next_connection(f, op, FERRY_E_NO_DESCRIPTORS, &reports);
    }
    assert_int_equal(reports, 0);
}

static void an_accept_that_waits_for_descriptors_can_be_canceled(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    ferry_handle listener = fixture_listen(f, &port);
    fixture_keep(f, peer_connect(port));
    ferry_request request;
    ferry_prepare_tcp_accept(&request, listener);
    /* A queue makes its own when it first sleeps, if its completions are waited for. */
    int32_t fd;
    ferry_queue_fd(f->queue, &fd);
    leave_descriptors(0);
    ferry_op op = fixture_submit(f, &request);
    assert_status(fixture_next(f, op).status, FERRY_E_NO_DESCRIPTORS);
    fixture_cancel(f, op);
    assert_status(fixture_final(f, op).status, FERRY_E_CANCELED);
    restore_descriptors();
}

#define SCARCE(test, how)                                                                          \
    { #test " [" #how "]", test, descriptor_setup, descriptor_teardown, &drive_##how }

int main(void) {
    const struct CMUnitTest tests[] = {
        PLAIN(creation_without_descriptors_leaves_nothing),
        SCARCE(operations_without_descriptors, host),
        SCARCE(operations_without_descriptors, one),
        SCARCE(operations_without_descriptors, one_mapped),
        SCARCE(a_queue_without_a_descriptor, host),
        SCARCE(accept_pauses_without_descriptors, host),
        SCARCE(accept_pauses_without_descriptors, one),
        SCARCE(accept_pauses_without_descriptors, two_inline),
        SCARCE(an_accept_that_waits_for_descriptors_can_be_canceled, host),
        SCARCE(an_accept_that_waits_for_descriptors_can_be_canceled, one),
    };
    return RUN_SUITE(tests);
}
