/*
 * Bad calls: handles and buffers that are another engine's, of another kind, stale or never were,
 * NULL, and options out of range. A healthy neighbour must not notice any of it.
 */
#include "neighbour.h"

#include <string.h>

static char memory[16];

/* --- Handles ------------------------------------------------------------------------------- */

static void handles_of_another_engine(void **state) {
    fixture *f = fixture_open(state);
    neighbour n = neighbour_move_in(f);
    ferry_engine *other = NULL;
    ferry_queue *queue = NULL;
    uint16_t port;
    ferry_handle listener = fixture_listen(f, &port);
    ferry_request requests[5];
    assert_status(ferry_engine_create(NULL, &other), FERRY_OK);
    assert_status(ferry_queue_create(other, NULL, &queue), FERRY_OK);
    ferry_prepare_tcp_accept(&requests[0], listener);
    ferry_prepare_stream_receive(&requests[1], n.stream, memory, sizeof memory);
    ferry_prepare_stream_receive_multishot(&requests[2], n.stream);
    ferry_prepare_stream_send(&requests[3], n.stream, memory, sizeof memory);
    ferry_prepare_handle_close(&requests[4], n.stream);
    ferry_status statuses[6];
    for (size_t i = 0; i < 5; i++) {
        statuses[i] = referee_submit(f->judge, queue, &requests[i], 1, NULL, NULL);
    }
    statuses[5] = ferry_handle_discard(other, n.stream);
    assert_status(ferry_engine_shutdown(other, FERRY_FOREVER), FERRY_OK);
    assert_status(ferry_engine_destroy(other), FERRY_OK);
    for (size_t i = 0; i < 6; i++) {
        assert_status(statuses[i], FERRY_E_FOREIGN);
    }
    neighbour_is_well(f, &n);
}

static void handles_of_another_kind(void **state) {
    fixture *f = fixture_open(state);
    neighbour n = neighbour_move_in(f);
    uint16_t port;
    ferry_handle listener = fixture_listen(f, &port);
    ferry_request request;
    ferry_prepare_tcp_accept(&request, n.stream);
    assert_status(fixture_fate(f, &request), FERRY_E_WRONG_KIND);
    ferry_prepare_stream_receive(&request, listener, memory, sizeof memory);
    assert_status(fixture_fate(f, &request), FERRY_E_WRONG_KIND);
    ferry_prepare_stream_receive_multishot(&request, listener);
    assert_status(fixture_fate(f, &request), FERRY_E_WRONG_KIND);
    ferry_prepare_stream_send(&request, listener, memory, sizeof memory);
    assert_status(fixture_fate(f, &request), FERRY_E_WRONG_KIND);
    neighbour_is_well(f, &n);
}

/* Whatever number is not an open handle must be told apart from every one that is. */
static void expect_no_handle(fixture *f, ferry_handle handle) {
    static const ferry_status fine[] = {FERRY_E_BAD_HANDLE, FERRY_E_STALE, FERRY_E_FOREIGN,
                                        FERRY_E_WRONG_KIND};
    ferry_request request;
    ferry_prepare_stream_send(&request, handle, memory, sizeof memory);
    request.flags = FERRY_COPY;
    ferry_status status = fixture_fate(f, &request);
    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++) {
        if (status == fine[i]) {
            return;
        }
    }
    fail_msg("handle %llx: %s", (unsigned long long)handle, ferry_status_name(status));
}

static void handles_that_never_were(void **state) {
    fixture *f = fixture_open(state);
    neighbour n = neighbour_move_in(f);
    for (int bit = 0; bit < 64; bit++) {
        expect_no_handle(f, n.stream ^ (UINT64_C(1) << bit));
    }
    expect_no_handle(f, ~n.stream);
    expect_no_handle(f, UINT64_MAX);
    expect_no_handle(f, 1);
    expect_no_handle(f, n.receiving);
    expect_no_handle(f, (uintptr_t)f->engine);
    ferry_request request;
    ferry_prepare_stream_send(&request, FERRY_NONE, memory, sizeof memory);
    assert_status(fixture_fate(f, &request), FERRY_E_BAD_HANDLE);
    ferry_prepare_handle_close(&request, FERRY_NONE);
    assert_status(fixture_fate(f, &request), FERRY_E_BAD_HANDLE);
    assert_status(ferry_handle_discard(f->engine, FERRY_NONE), FERRY_E_BAD_HANDLE);
    assert_status(ferry_handle_discard(NULL, n.stream), FERRY_E_INVALID);
    neighbour_is_well(f, &n);
}

static void closing_what_never_was_closes_nothing(void **state) {
    fixture *f = fixture_open(state);
    neighbour n = neighbour_move_in(f);
    for (int bit = 0; bit < 64; bit++) {
        ferry_request request;
        ferry_prepare_handle_close(&request, n.stream ^ (UINT64_C(1) << bit));
        /* OK is an answer too: of a handle with an older generation it can be true. */
        (void)fixture_fate(f, &request);
        (void)ferry_handle_discard(f->engine, n.stream ^ (UINT64_C(1) << bit));
    }
    neighbour_is_well(f, &n);
}

/* --- Buffers ------------------------------------------------------------------------------- */

static void buffers(void **state) {
    fixture *f = fixture_open(state);
    neighbour n = neighbour_move_in(f);
    ferry_engine *other = NULL;
    ferry_request request;
    ferry_prepare_file_load(&request, fixture_file(f, "file", 1000), 0);
    ferry_completion loaded = fixture_do(f, &request);
    peer_send(n.peer, "x", 1);
    ferry_completion received = fixture_next(f, n.receiving);
    const ferry_buffer lent[] = {loaded.buffer, received.buffer};

    assert_status(ferry_engine_create(NULL, &other), FERRY_OK);
    ferry_status foreign[2];
    for (size_t i = 0; i < 2; i++) {
        foreign[i] = ferry_buffer_release(other, lent[i]);
    }
    assert_status(ferry_engine_shutdown(other, FERRY_FOREVER), FERRY_OK);
    assert_status(ferry_engine_destroy(other), FERRY_OK);

    assert_status(ferry_buffer_release(f->engine, FERRY_NONE), FERRY_E_BAD_HANDLE);
    for (size_t i = 0; i < 2; i++) {
        assert_status(foreign[i], FERRY_E_FOREIGN);
        assert_status(ferry_buffer_release(NULL, lent[i]), FERRY_E_INVALID);
        for (int bit = 0; bit < 64; bit++) {
            ferry_buffer changed = lent[i] ^ (UINT64_C(1) << bit);
            if (changed == lent[1 - i]) {
                continue;
            }
            ferry_status status = ferry_buffer_release(f->engine, changed);
            assert_true(status == FERRY_E_BAD_HANDLE || status == FERRY_E_STALE ||
                        status == FERRY_E_FOREIGN);
        }
    }
    assert_status(ferry_buffer_release(f->engine, n.stream), FERRY_E_BAD_HANDLE);
    assert_true(pattern_matches(loaded.data, 1000, 0));
    assert_info(f, buffers_lent, 2);
    fixture_release(f, &loaded);
    fixture_release(f, &received);
    for (size_t i = 0; i < 2; i++) {
        assert_status(ferry_buffer_release(f->engine, lent[i]), FERRY_E_STALE);
    }
    assert_info(f, buffers_lent, 0);
    neighbour_is_well(f, &n);
}

static void many_buffers_at_once(void **state) {
    fixture *f = fixture_open(state);
    ferry_request request;
    ferry_buffer lent[5] = {0, FERRY_NONE, 0, 0, 0};
    for (size_t i = 0; i < 5; i++) {
        if (i == 1) {
            continue;
        }
        ferry_prepare_file_load(&request, fixture_file(f, "file", 1000), 0);
        lent[i] = fixture_do(f, &request).buffer;
        referee_note_release(f->judge, lent[i]);
    }
    assert_info(f, buffers_lent, 4);
    assert_status(ferry_buffers_release(NULL, lent, 5), FERRY_E_INVALID);
    assert_status(ferry_buffers_release(f->engine, NULL, 5), FERRY_E_INVALID);
    assert_status(ferry_buffers_release(f->engine, NULL, 0), FERRY_OK);
    assert_status(ferry_buffers_release(f->engine, lent, 0), FERRY_OK);
    assert_info(f, buffers_lent, 4);
    assert_status(ferry_buffers_release(f->engine, lent, 3), FERRY_OK);
    assert_info(f, buffers_lent, 2);
    /* The first refusal is told, and those behind it are released all the same. */
    lent[1] = FERRY_NONE + 1;
    assert_status(ferry_buffers_release(f->engine, lent, 5), FERRY_E_STALE);
    assert_info(f, buffers_lent, 0);
    assert_status(ferry_buffers_release(f->engine, lent + 1, 1), FERRY_E_BAD_HANDLE);
}

/* --- Calls --------------------------------------------------------------------------------- */

static void null_where_there_must_be_something(void **state) {
    fixture *f = fixture_open(state);
    neighbour n = neighbour_move_in(f);
    ferry_request request;
    ferry_completion out;
    ferry_queue *queue = (ferry_queue *)&request;
    ferry_queue_mapping mapping = {.struct_size = sizeof mapping};
    size_t accepted = 9;
    int32_t fd = 5;
    ferry_prepare_nop(&request);
    assert_status(ferry_queue_submit(NULL, &request, 1, NULL, &accepted), FERRY_E_INVALID);
    assert_int_equal(accepted, 0);
    accepted = 9;
    assert_status(ferry_queue_submit(f->queue, NULL, 1, NULL, &accepted), FERRY_E_INVALID);
    assert_int_equal(accepted, 0);
    assert_status(ferry_queue_cancel(NULL, 1), FERRY_E_INVALID);
    assert_status(ferry_queue_post(NULL, 1, 2, 3), FERRY_E_INVALID);
    assert_int_equal(ferry_queue_reap(NULL, &out, 1), FERRY_E_INVALID);
    assert_int_equal(ferry_queue_reap(f->queue, NULL, 1), FERRY_E_INVALID);
    assert_int_equal(ferry_queue_wait(NULL, &out, 1, 0), FERRY_E_INVALID);
    if (f->drive->shards > 0) {
        assert_int_equal(ferry_queue_wait(f->queue, NULL, 1, 0), FERRY_E_INVALID);
    }
    assert_int_equal(ferry_queue_dispatch(NULL, 0, 0), FERRY_E_INVALID);
    assert_status(ferry_queue_fd(NULL, &fd), FERRY_E_INVALID);
    assert_int_equal(fd, -1);
    assert_status(ferry_queue_fd(f->queue, NULL), FERRY_E_INVALID);
    assert_int_equal(ferry_queue_arm(NULL), FERRY_E_INVALID);
    assert_status(ferry_queue_map(NULL, &mapping), FERRY_E_INVALID);
    assert_status(ferry_queue_create(NULL, NULL, &queue), FERRY_E_INVALID);
    assert_null(queue);
    assert_status(ferry_queue_create(f->engine, NULL, NULL), FERRY_E_INVALID);
    neighbour_is_well(f, &n);
}

static void null_engines(void **state) {
    fixture *f = fixture_open(state);
    int32_t fd = 5;
    assert_status(ferry_engine_run(NULL, 0, 0, NULL), FERRY_E_INVALID);
    assert_status(ferry_engine_fd(NULL, &fd), FERRY_E_INVALID);
    assert_int_equal(fd, -1);
    assert_status(ferry_engine_shutdown(NULL, 0), FERRY_E_INVALID);
    if (f->drive->shards == 0) {
        assert_status(ferry_engine_fd(f->engine, NULL), FERRY_E_INVALID);
    }
}

static ferry_status try_queue_options(fixture *f, const ferry_queue_options *options) {
    ferry_queue *queue = (ferry_queue *)&queue;
    ferry_status status = ferry_queue_create(f->engine, options, &queue);
    if (status == FERRY_OK) {
        assert_non_null(queue);
        assert_status(ferry_queue_destroy(queue), FERRY_OK);
    } else {
        assert_null(queue);
    }
    return status;
}

static void queue_options(void **state) {
    fixture *f = fixture_open(state);
    const ferry_queue_options good = {.struct_size = sizeof good};
    ferry_queue_options bad = good;
    assert_status(try_queue_options(f, &good), FERRY_OK);
    for (uint32_t size = 0; size < sizeof good; size++) {
        bad.struct_size = size;
        assert_status(try_queue_options(f, &bad), FERRY_E_INVALID);
    }
    bad = good;
    bad.flags = 1;
    assert_status(try_queue_options(f, &bad), FERRY_E_UNSUPPORTED);
    bad = good;
    bad.reserved = 1;
    assert_status(try_queue_options(f, &bad), FERRY_E_UNSUPPORTED);
    bad = good;
    bad.mode = 3;
    assert_status_either(try_queue_options(f, &bad), FERRY_E_INVALID, FERRY_E_UNSUPPORTED);
    bad = good;
    bad.capacity = 1048577;
    assert_status(try_queue_options(f, &bad), FERRY_E_INVALID);
    bad.capacity = UINT32_MAX;
    assert_status(try_queue_options(f, &bad), FERRY_E_INVALID);
    bad.capacity = 1048576;
    assert_status(try_queue_options(f, &bad), FERRY_OK);
    bad = good;
    bad.shard = f->drive->shards + 2;
    assert_status(try_queue_options(f, &bad), FERRY_E_INVALID);
}

static void longer_queue_options(void **state) {
    fixture *f = fixture_open(state);
    struct {
        ferry_queue_options known;
        uint64_t tail;
    } longer;
    memset(&longer, 0, sizeof longer);
    longer.known.struct_size = sizeof longer;
    assert_status(try_queue_options(f, &longer.known), FERRY_OK);
    longer.tail = UINT64_C(1) << 63;
    assert_status(try_queue_options(f, &longer.known), FERRY_E_UNSUPPORTED);
}

static void room_for_none(void **state) {
    fixture *f = fixture_open(state);
    ferry_completion out;
    ferry_queue_mapping mapping = {.struct_size = 0};
    ferry_queue_options options = {.struct_size = sizeof options, .mode = FERRY_QUEUE_MAPPED};
    ferry_queue *mapped = NULL;
    /* No places, no completions; it is no error to ask. */
    assert_status(referee_post(f->judge, f->queue, 1, 2, 3), FERRY_OK);
    assert_true(ferry_queue_reap(f->queue, &out, 0) <= 0);
    assert_int_equal(fixture_next(f, FERRY_NONE).tag, 1);
    assert_status(ferry_queue_create(f->engine, &options, &mapped), FERRY_OK);
    assert_status(ferry_queue_map(mapped, &mapping), FERRY_E_INVALID);
    assert_status(ferry_queue_map(mapped, NULL), FERRY_E_INVALID);
    assert_status(ferry_queue_destroy(mapped), FERRY_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EACH_SHARDS(handles_of_another_engine),
        ON_EACH_SHARDS(handles_of_another_kind),
        ON_EACH_SHARDS(handles_that_never_were),
        ON_EACH_SHARDS(closing_what_never_was_closes_nothing),
        ON_EACH_SHARDS(buffers),
        ON_EACH_SHARDS(many_buffers_at_once),
        ON_EACH_SHARDS(null_where_there_must_be_something),
        ON_EACH_SHARDS(null_engines),
        ON_EACH_SHARDS(queue_options),
        ON_EACH_SHARDS(longer_queue_options),
        ON_EACH_SHARDS(room_for_none),
    };
    return RUN_SUITE(tests);
}
