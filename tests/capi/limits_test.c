/*
 * Ceilings: operations, handles, descriptors, lent bytes. To reach one is an answer, no accident,
 * and everything goes on when there is room again. Memory is memory_test's matter.
 */
#include "fixture.h"

#include <sys/resource.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { FEW = 8, LENT_MAX = 64 * 1024, MUCH = 1024 * 1024, ROOM_ENOUGH = 40 };

/* --- Operations ---------------------------------------------------------------------------- */

static void operations_are_counted(void **state) {
    ferry_engine_options few = {.ops_max = FEW};
    fixture *f = fixture_open_with(state, &few, NULL);
    ferry_request requests[4 * FEW];
    ferry_op ops[4 * FEW];
    size_t accepted = 0;
    size_t shards = f->drive->shards == 0 ? 1 : f->drive->shards;
    for (size_t i = 0; i < 4 * FEW; i++) {
        ferry_prepare_timer(&requests[i], HOUR, 0);
    }
    assert_status(fixture_try(f, requests, 4 * FEW, ops, &accepted), FERRY_E_FULL);
    assert_in_range(accepted, FEW, FEW * shards);
    fixture_turn(f, MS);
    /* With several shards the next one's turn may find room. */
    assert_status_either(fixture_try(f, requests, 1, NULL, NULL), FERRY_E_FULL,
                         shards == 1 ? FERRY_E_FULL : FERRY_OK);
}

static void a_slot_is_free_again_after_the_end(void **state) {
    ferry_engine_options few = {.ops_max = FEW};
    fixture *f = fixture_open_with(state, &few, NULL);
    ferry_request request;
    ferry_op ops[FEW];
    ferry_prepare_timer(&request, HOUR, 0);
    for (int round = 0; round < 10; round++) {
        for (size_t i = 0; i < FEW; i++) {
            ops[i] = fixture_submit(f, &request);
        }
        assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_FULL);
        for (size_t i = 0; i < FEW; i++) {
            /* A full table must not keep anybody from canceling. */
            fixture_cancel(f, ops[i]);
            assert_status(fixture_final(f, ops[i]).status, FERRY_E_CANCELED);
        }
    }
}

static void one_operation_at_a_time_is_enough(void **state) {
    ferry_engine_options one = {.ops_max = 1};
    fixture *f = fixture_open_with(state, &one, NULL);
    ferry_request request;
    for (int i = 0; i < 100; i++) {
        ferry_prepare_nop(&request);
        assert_status(fixture_do(f, &request).status, FERRY_OK);
    }
}

static void a_held_final_keeps_its_slot(void **state) {
    ferry_engine_options few = {.ops_max = FEW};
    ferry_queue_options small = {.capacity = 2};
    fixture *f = fixture_open_with(state, &few, &small);
    ferry_request request;
    size_t accepted = 0;
    ferry_prepare_nop(&request);
    /* Two fit into the ring; the others wait in their slots until there are no more slots. */
    for (int i = 0; i < 10 * FEW; i++) {
        accepted += fixture_try(f, &request, 1, NULL, NULL) == FERRY_OK ? 1 : 0;
        assert_status(ferry_engine_run(f->engine, 0, 0, NULL), FERRY_OK);
    }
    assert_int_equal(accepted, 2 + FEW);
    for (size_t i = 0; i < accepted; i++) {
        assert_status(fixture_next_any(f).status, FERRY_OK);
    }
    assert_status(fixture_do(f, &request).status, FERRY_OK);
}

/* --- Handles ------------------------------------------------------------------------------- */

static void handles_are_counted(void **state) {
    ferry_engine_options few = {.handles_max = 3};
    fixture *f = fixture_open_with(state, &few, NULL);
    uint16_t port;
    fixture_listen(f, &port);
    int peer;
    ferry_handle first = fixture_stream(f, &peer);
    fixture_stream(f, &peer);
    int listener = fixture_keep(f, peer_listen(&port));
    assert_true(listener >= 0);
    ferry_address address = loopback(port);
    ferry_request request;
    for (int round = 0; round < 3; round++) {
        ferry_prepare_tcp_connect(&request, &address);
        assert_status(fixture_do(f, &request).status, FERRY_E_NO_HANDLES);
        ferry_address anywhere = loopback(0);
        ferry_prepare_tcp_listen(&request, &anywhere, 0);
        assert_status(fixture_do(f, &request).status, FERRY_E_NO_HANDLES);
        fixture_close_handle(f, first);
        ferry_prepare_tcp_connect(&request, &address);
        ferry_completion connected = fixture_do(f, &request);
        assert_status(connected.status, FERRY_OK);
        first = connected.handle;
    }
}

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

static void accept_pauses_without_handles(void **state) {
    ferry_engine_options few = {.handles_max = 2};
    fixture *f = fixture_open_with(state, &few, NULL);
    uint16_t port;
    ferry_handle listener = fixture_listen(f, &port);
    ferry_request request;
    ferry_prepare_tcp_accept(&request, listener);
    ferry_op op = fixture_submit(f, &request);
    for (int i = 0; i < 4; i++) {
        fixture_keep(f, peer_connect(port));
    }
    int reports = 0;
    ferry_handle stream = next_connection(f, op, FERRY_E_NO_HANDLES, &reports).handle;
    assert_int_equal(reports, 0);
    for (int i = 0; i < 3; i++) {
        ferry_completion report = fixture_next(f, op);
        assert_status(report.status, FERRY_E_NO_HANDLES);
        assert_int_equal(report.flags, FERRY_MORE);
        assert_int_equal(report.handle, listener);
        /* Said once, and then there is silence. */
        fixture_linger(f, 20 * MS);
        assert_false(fixture_has(f, op));
        fixture_close_handle(f, stream);
        stream = next_connection(f, op, FERRY_OK + 1, &reports).handle;
    }
}

/* --- Descriptors --------------------------------------------------------------------------- */

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

/* In a child, because a limit that is too low would hurt whatever else this process does. */
static int create_with_little_room(void *argument) {
    uint32_t shards = *(uint32_t *)argument;
    bool worked = false;
    CHILD_CHECK(getrlimit(RLIMIT_NOFILE, &full_limit) == 0);
    size_t before = count_descriptors();
    for (int room = 0; room <= ROOM_ENOUGH; room++) {
        ferry_engine_options options = {.struct_size = sizeof options, .shards = shards};
        ferry_engine *engine = (ferry_engine *)&options;
        leave_descriptors(room);
        ferry_status status = ferry_engine_create(&options, &engine);
        restore_descriptors();
        worked = status == FERRY_OK;
        if (worked) {
            CHILD_CHECK(ferry_engine_shutdown(engine, FERRY_FOREVER) == FERRY_OK);
            CHILD_CHECK(ferry_engine_destroy(engine) == FERRY_OK);
        } else {
            CHILD_CHECK(status == FERRY_E_NO_DESCRIPTORS);
            CHILD_CHECK(engine == NULL);
        }
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
    leave_descriptors(0);
    ferry_op op = fixture_submit(f, &request);
    assert_status(fixture_next(f, op).status, FERRY_E_NO_DESCRIPTORS);
    fixture_cancel(f, op);
    assert_status(fixture_final(f, op).status, FERRY_E_CANCELED);
    restore_descriptors();
}

/* --- Lent bytes ---------------------------------------------------------------------------- */

typedef struct sender {
    int fd;
    size_t size;
} sender;

static void *send_pattern(void *argument) {
    sender *s = argument;
    static unsigned char piece[16 * 1024];
    for (size_t done = 0; done < s->size; done += sizeof piece) {
        pattern_fill(piece, sizeof piece, done);
        peer_send(s->fd, piece, sizeof piece);
    }
    return NULL;
}

static void receives_pause_when_all_is_lent(void **state) {
    ferry_engine_options little = {.buffer_bytes_max = LENT_MAX};
    fixture *f = fixture_open_with(state, &little, NULL);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    sender s = {.size = MUCH};
    s.fd = peer;
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, send_pattern, &s) == 0);
    ferry_request request;
    ferry_prepare_stream_receive_multishot(&request, stream);
    ferry_op op = fixture_submit(f, &request);
    ferry_completion *lent = fixture_memory(f, 65536 * sizeof *lent);
    size_t position = 0;
    while (position < MUCH) {
        /* Take what comes until nothing comes any more, and only then give anything back. */
        size_t count = 0;
        size_t bytes = 0;
        lent[count++] = fixture_next(f, op);
        fixture_linger(f, 2 * MS);
        while (fixture_has(f, op)) {
            lent[count++] = fixture_next(f, op);
        }
        for (size_t i = 0; i < count; i++) {
            assert_status(lent[i].status, FERRY_OK);
            assert_true(pattern_matches(lent[i].data, (size_t)lent[i].result, position + bytes));
            bytes += (size_t)lent[i].result;
        }
        assert_true(bytes <= LENT_MAX);
        position += bytes;
        for (size_t i = 0; i < count; i++) {
            fixture_release(f, &lent[i]);
        }
    }
    pthread_join(thread, NULL);
    assert_int_equal(position, MUCH);
}

static void a_single_receive_waits_for_a_buffer(void **state) {
    ferry_engine_options little = {.buffer_bytes_max = LENT_MAX};
    fixture *f = fixture_open_with(state, &little, NULL);
    int greedy_peer;
    int peer;
    ferry_handle greedy = fixture_stream(f, &greedy_peer);
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_request request;
    ferry_prepare_stream_receive_multishot(&request, greedy);
    ferry_op op = fixture_submit(f, &request);
    static unsigned char much[4 * LENT_MAX];
    pattern_fill(much, sizeof much, 0);
    peer_send(greedy_peer, much, sizeof much);
    fixture_linger(f, 20 * MS);

    /* Memory of the host's own needs no buffer; a lent one has to wait. */
    char *memory = fixture_memory(f, 4);
    peer_send(peer, "12345678", 8);
    ferry_prepare_stream_receive(&request, stream, memory, 4);
    assert_int_equal(fixture_do(f, &request).result, 4);
    ferry_prepare_stream_receive_multishot(&request, stream);
    request.flags = FERRY_LEND;
    ferry_op waiting = fixture_submit(f, &request);
    fixture_cancel(f, op);
    ferry_completion got = {0};
    while (!fixture_has(f, waiting)) {
        if (fixture_has(f, op)) {
            ferry_completion some = fixture_next(f, op);
            fixture_release(f, &some);
        }
        fixture_turn(f, MS);
    }
    got = fixture_next(f, waiting);
    assert_status(got.status, FERRY_OK);
    assert_int_equal(got.result, 4);
    assert_memory_equal(got.data, "5678", 4);
    fixture_release(f, &got);
    fixture_drain(f);
}

#define SCARCE(test, how)                                                                          \
    { #test " [" #how "]", test, descriptor_setup, descriptor_teardown, &drive_##how }

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EVERY_DRIVE(operations_are_counted),
        TEST_ON(a_slot_is_free_again_after_the_end, host),
        TEST_ON(a_slot_is_free_again_after_the_end, one),
        TEST_ON(a_slot_is_free_again_after_the_end, one_mapped),
        ON_EACH_SHARDS(one_operation_at_a_time_is_enough),
        TEST_ON(one_operation_at_a_time_is_enough, host_inline),
        TEST_ON(one_operation_at_a_time_is_enough, host_mapped),
        TEST_ON(one_operation_at_a_time_is_enough, one_dispatch),
        TEST_ON(one_operation_at_a_time_is_enough, one_mapped),
        ON_HOST(a_held_final_keeps_its_slot),
        TEST_ON(handles_are_counted, host),
        TEST_ON(handles_are_counted, one),
        TEST_ON(accept_pauses_without_handles, host),
        TEST_ON(accept_pauses_without_handles, one),
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
        ON_EACH_SHARDS(receives_pause_when_all_is_lent),
        ON_EACH_SHARDS(a_single_receive_waits_for_a_buffer),
    };
    return RUN_SUITE(tests);
}
