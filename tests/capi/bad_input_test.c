/*
 * Bad input: each kind of it meets its own status, and never costs another request anything.
 *
 * Every test here runs beside a healthy stream that echoes a byte before and after, so that damage
 * done to others is seen.
 */
#include "fixture.h"

#include <stdio.h>
#include <string.h>

/* --- The healthy neighbour ----------------------------------------------------------------- */

typedef struct neighbour {
    ferry_handle stream;
    int peer;
    ferry_op receiving;
    size_t position;
} neighbour;

static neighbour neighbour_move_in(fixture *f) {
    neighbour n = {.position = 0};
    ferry_request request;
    n.stream = fixture_stream(f, &n.peer);
    ferry_prepare_stream_receive_multishot(&request, n.stream);
    n.receiving = fixture_submit(f, &request);
    return n;
}

static void neighbour_is_well(fixture *f, neighbour *n) {
    unsigned char bytes[16];
    ferry_request request;
    pattern_fill(bytes, sizeof bytes, n->position);
    peer_send(n->peer, bytes, sizeof bytes);
    size_t got = 0;
    while (got < sizeof bytes) {
        ferry_completion some = fixture_next(f, n->receiving);
        assert_status(some.status, FERRY_OK);
        assert_true(pattern_matches(some.data, (size_t)some.result, n->position + got));
        got += (size_t)some.result;
        fixture_release(f, &some);
    }
    ferry_prepare_stream_send(&request, n->stream, bytes, sizeof bytes);
    request.flags = FERRY_COPY;
    assert_status(fixture_do(f, &request).status, FERRY_OK);
    memset(bytes, 0, sizeof bytes);
    peer_receive(n->peer, bytes, sizeof bytes);
    assert_true(pattern_matches(bytes, sizeof bytes, n->position));
    n->position += sizeof bytes;
}

/* --- Requests ------------------------------------------------------------------------------ */

enum { OPCODES = 10 };

static char memory[16];

/* One good request of each form; how many words of its parameters it names. */
static size_t good_request(fixture *f, size_t which, ferry_request *request) {
    uint16_t port;
    int peer;
    ferry_address address = loopback(0);
    switch (which) {
    case 0:
        ferry_prepare_nop(request);
        return 0;
    case 1:
        ferry_prepare_handle_close(request, fixture_listen(f, &port));
        return 0;
    case 2:
        ferry_prepare_timer(request, HOUR, 0);
        return 2;
    case 3:
        ferry_prepare_timer(request, HOUR, HOUR);
        return 2;
    case 4:
        ferry_prepare_tcp_listen(request, &address, 1);
        return 5;
    case 5:
        ferry_prepare_tcp_accept(request, fixture_listen(f, &port));
        return 0;
    case 6:
        address.port = 1;
        ferry_prepare_tcp_connect(request, &address);
        return 4;
    case 7:
        ferry_prepare_stream_receive(request, fixture_stream(f, &peer), memory, sizeof memory);
        return 2;
    case 8:
        ferry_prepare_stream_send(request, fixture_stream(f, &peer), memory, sizeof memory);
        return 2;
    default:
        ferry_prepare_file_load(request, "/nowhere", 0);
        return 2;
    }
}

static void expect_refused(fixture *f, const ferry_request *request, ferry_status expected,
                           const char *what, size_t which) {
    ferry_op op = FERRY_NONE;
    size_t accepted = 9;
    ferry_status status = fixture_try(f, request, 1, &op, &accepted);
    if (status != expected || accepted != 0) {
        fail_msg("form %zu, %s: %s, not %s", which, what, ferry_status_name(status),
                 ferry_status_name(expected));
    }
}

/* For what the contract calls malformed or unknown, without saying which. */
static void expect_refused_somehow(fixture *f, const ferry_request *request, const char *what) {
    size_t accepted = 9;
    ferry_status status = fixture_try(f, request, 1, NULL, &accepted);
    if ((status != FERRY_E_INVALID && status != FERRY_E_UNSUPPORTED) || accepted != 0) {
        fail_msg("%s: %s", what, ferry_status_name(status));
    }
}

static void unknown_opcodes(void **state) {
    fixture *f = fixture_open(state);
    neighbour n = neighbour_move_in(f);
    static const uint16_t unknown[] = {
        0, FERRY_OP_POST, 4, 15, 17, 31, 35, 47, 50, 63, 65, 99, 255, 256, 0x7fff, 0xffff};
    ferry_request request;
    neighbour_is_well(f, &n);
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        memset(&request, 0, sizeof request);
        request.opcode = unknown[i];
        expect_refused(f, &request, FERRY_E_UNSUPPORTED, "unknown opcode", unknown[i]);
    }
    neighbour_is_well(f, &n);
}

static void unknown_flags(void **state) {
    fixture *f = fixture_open(state);
    neighbour n = neighbour_move_in(f);
    for (size_t which = 0; which < OPCODES; which++) {
        ferry_request request;
        good_request(f, which, &request);
        uint32_t flags = request.flags;
        for (int bit = 4; bit < 32; bit++) {
            request.flags = flags | (1u << bit);
            expect_refused(f, &request, FERRY_E_UNSUPPORTED, "unknown flag", which);
        }
    }
    neighbour_is_well(f, &n);
}

static void flags_of_other_operations(void **state) {
    fixture *f = fixture_open(state);
    neighbour n = neighbour_move_in(f);
    static const struct {
        size_t which;
        uint32_t flags;
    } misplaced[] = {
        {0, FERRY_MULTISHOT}, {0, FERRY_COPY},       {0, FERRY_LEND},       {0, FERRY_REUSE_PORT},
        {1, FERRY_MULTISHOT}, {1, FERRY_COPY},       {2, FERRY_COPY},       {2, FERRY_LEND},
        {4, FERRY_MULTISHOT}, {4, FERRY_LEND},       {5, FERRY_COPY},       {5, FERRY_REUSE_PORT},
        {6, FERRY_MULTISHOT}, {6, FERRY_REUSE_PORT}, {7, FERRY_COPY},       {7, FERRY_REUSE_PORT},
        {8, FERRY_MULTISHOT}, {8, FERRY_LEND},       {8, FERRY_REUSE_PORT}, {9, FERRY_MULTISHOT},
        {9, FERRY_COPY},      {9, FERRY_LEND},
    };
    for (size_t i = 0; i < sizeof misplaced / sizeof misplaced[0]; i++) {
        ferry_request request;
        good_request(f, misplaced[i].which, &request);
        request.flags |= misplaced[i].flags;
        expect_refused(f, &request, FERRY_E_UNSUPPORTED, "another's flag", misplaced[i].which);
    }
    neighbour_is_well(f, &n);
}

static void reserved_and_unused_bytes(void **state) {
    fixture *f = fixture_open(state);
    neighbour n = neighbour_move_in(f);
    for (size_t which = 0; which < OPCODES; which++) {
        ferry_request good;
        size_t named = good_request(f, which, &good);
        ferry_request bad = good;
        for (int bit = 0; bit < 16; bit++) {
            bad.reserved = (uint16_t)(1u << bit);
            expect_refused(f, &bad, FERRY_E_UNSUPPORTED, "reserved", which);
        }
        unsigned char *unused = (unsigned char *)&bad.params + named * 8;
        for (size_t i = 0; i < sizeof bad.params - named * 8; i++) {
            bad = good;
            unused[i] = 0x80;
            expect_refused(f, &bad, FERRY_E_UNSUPPORTED, "unused byte", which);
        }
    }
    neighbour_is_well(f, &n);
}

static void targets_where_there_are_none(void **state) {
    fixture *f = fixture_open(state);
    neighbour n = neighbour_move_in(f);
    static const size_t untargeted[] = {0, 2, 3, 4, 6, 9};
    for (size_t i = 0; i < sizeof untargeted / sizeof untargeted[0]; i++) {
        ferry_request request;
        good_request(f, untargeted[i], &request);
        request.target = n.stream;
        expect_refused_somehow(f, &request, "a target for what has none");
    }
    neighbour_is_well(f, &n);
}

static void addresses(void **state) {
    fixture *f = fixture_open(state);
    neighbour n = neighbour_move_in(f);
    for (size_t which = 4; which <= 6; which += 2) {
        ferry_request good;
        good_request(f, which, &good);
        /* listen's and connect's parameters both begin with the address. */
        ferry_request bad = good;
        ferry_address *address = &bad.params.connect.address;
        static const uint16_t families[] = {0, 1, 2, 5, 7, 10, 0xffff};
        for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
            address->family = families[i];
            expect_refused(f, &bad, FERRY_E_INVALID, "unknown family", which);
        }
        bad = good;
        address->reserved = 1;
        expect_refused(f, &bad, FERRY_E_UNSUPPORTED, "address.reserved", which);
        bad = good;
        address->scope_id = 1;
        expect_refused_somehow(f, &bad, "IPv4 with a zone");
        for (size_t i = 4; i < 16; i++) {
            bad = good;
            address->bytes[i] = 1;
            expect_refused_somehow(f, &bad, "IPv4 with more bytes");
        }
    }
    ferry_request request;
    ferry_prepare_tcp_listen(&request, NULL, 0);
    expect_refused(f, &request, FERRY_E_INVALID, "NULL", 4);
    ferry_prepare_tcp_connect(&request, NULL);
    expect_refused(f, &request, FERRY_E_INVALID, "NULL", 6);
    ferry_address address = loopback(0);
    ferry_prepare_tcp_listen(&request, &address, 65536);
    expect_refused(f, &request, FERRY_E_INVALID, "backlog", 4);
    ferry_prepare_tcp_listen(&request, &address, UINT32_MAX);
    expect_refused(f, &request, FERRY_E_INVALID, "backlog", 4);
    request.params.listen.backlog = UINT64_C(1) << 32;
    expect_refused(f, &request, FERRY_E_INVALID, "backlog", 4);
    neighbour_is_well(f, &n);
}

static void memory_and_sizes(void **state) {
    fixture *f = fixture_open(state);
    neighbour n = neighbour_move_in(f);
    ferry_request request;
    ferry_prepare_stream_receive(&request, n.stream, NULL, 16);
    expect_refused(f, &request, FERRY_E_INVALID, "receive into NULL", 0);
    ferry_prepare_stream_receive(&request, n.stream, memory, 0);
    expect_refused(f, &request, FERRY_E_INVALID, "receive of none", 0);
    ferry_prepare_stream_send(&request, n.stream, NULL, 16);
    expect_refused(f, &request, FERRY_E_INVALID, "send from NULL", 0);
    ferry_prepare_stream_send(&request, n.stream, memory, 0);
    expect_refused(f, &request, FERRY_E_INVALID, "send of none", 0);
    request.flags = FERRY_COPY;
    expect_refused(f, &request, FERRY_E_INVALID, "copy of none", 0);
    ferry_prepare_stream_send(&request, n.stream, memory, FERRY_COPY_MAX + 1);
    request.flags = FERRY_COPY;
    expect_refused(f, &request, FERRY_E_LIMIT, "copy of too much", 0);
    request.params.send.size = SIZE_MAX;
    assert_status_either(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_LIMIT, FERRY_E_INVALID);
    ferry_prepare_stream_receive_multishot(&request, n.stream);
    request.params.receive.buffer = memory;
    expect_refused_somehow(f, &request, "lend, but into memory");
    ferry_prepare_stream_receive_multishot(&request, n.stream);
    request.params.receive.size = 16;
    expect_refused_somehow(f, &request, "lend, but so much");
    ferry_prepare_stream_receive(&request, n.stream, memory, sizeof memory);
    request.flags = FERRY_MULTISHOT;
    expect_refused_somehow(f, &request, "multishot into one's own memory");
    ferry_prepare_file_load(&request, NULL, 0);
    expect_refused(f, &request, FERRY_E_INVALID, "load of NULL", 0);
    neighbour_is_well(f, &n);
}

/* --- Batches ------------------------------------------------------------------------------- */

static void a_bad_one_stops_its_batch_and_no_other(void **state) {
    fixture *f = fixture_open(state);
    neighbour n = neighbour_move_in(f);
    ferry_request requests[4];
    ferry_op ops[4] = {9, 9, 9, 9};
    size_t accepted = 9;
    for (size_t i = 0; i < 4; i++) {
        ferry_prepare_nop(&requests[i]);
        requests[i].tag = i;
    }
    requests[2].opcode = 9999;
    size_t seen = referee_seen(f->judge);
    assert_status(fixture_try(f, requests, 4, ops, &accepted), FERRY_E_UNSUPPORTED);
    assert_int_equal(accepted, 2);
    assert_int_equal(fixture_final(f, ops[0]).tag, 0);
    assert_int_equal(fixture_final(f, ops[1]).tag, 1);
    fixture_linger(f, 2 * MS);
    assert_int_equal(referee_seen(f->judge), seen + 2);
    neighbour_is_well(f, &n);
}

static void a_huge_count_is_read_up_to_the_first_bad_one(void **state) {
    fixture *f = fixture_open(state);
    static const size_t counts[] = {SIZE_MAX, SIZE_MAX / sizeof(ferry_request),
                                    SIZE_MAX / sizeof(ferry_request) + 2, (size_t)1 << 40};
    ferry_request requests[2];
    ferry_completion out[4];
    ferry_prepare_nop(&requests[0]);
    ferry_prepare_nop(&requests[1]);
    requests[1].opcode = 9999;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        size_t accepted = 9;
        /* Past the referee, who would look at all of them. */
        assert_status(ferry_queue_submit(f->queue, requests, counts[i], NULL, &accepted),
                      FERRY_E_UNSUPPORTED);
        assert_int_equal(accepted, 1);
        assert_status(ferry_engine_run(f->engine, 0, 0, NULL), FERRY_OK);
        assert_int_equal(ferry_queue_reap(f->queue, out, 4), 1);
    }
}

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
        ON_EVERY_DRIVE(unknown_opcodes),
        ON_EACH_SHARDS(unknown_flags),
        ON_EACH_SHARDS(flags_of_other_operations),
        ON_EACH_SHARDS(reserved_and_unused_bytes),
        ON_EACH_SHARDS(targets_where_there_are_none),
        ON_EACH_SHARDS(addresses),
        ON_EACH_SHARDS(memory_and_sizes),
        ON_EVERY_DRIVE(a_bad_one_stops_its_batch_and_no_other),
        ON_HOST(a_huge_count_is_read_up_to_the_first_bad_one),
        ON_EACH_SHARDS(handles_of_another_engine),
        ON_EACH_SHARDS(handles_of_another_kind),
        ON_EACH_SHARDS(handles_that_never_were),
        ON_EACH_SHARDS(closing_what_never_was_closes_nothing),
        ON_EACH_SHARDS(buffers),
        ON_EACH_SHARDS(null_where_there_must_be_something),
        ON_EACH_SHARDS(null_engines),
        ON_EACH_SHARDS(queue_options),
        ON_EACH_SHARDS(longer_queue_options),
        ON_EACH_SHARDS(room_for_none),
    };
    return RUN_SUITE(tests);
}
