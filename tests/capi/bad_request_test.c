/*
 * Bad requests: each kind meets its own status at submit and nothing happens. A healthy neighbour
 * must not notice any of it. Bad handles, buffers and calls are bad_call_test's matter.
 */
#include "files.h"
#include "neighbour.h"

#include <string.h>

/* --- Requests ------------------------------------------------------------------------------ */

enum { OPCODES = 36, FIRST_FILE = 26 };

static char memory[16];
static const ferry_slice slice = {{memory}, sizeof memory};

static ferry_handle a_channel(fixture *f) {
    ferry_request request;
    ferry_prepare_channel_open(&request, 1);
    return fixture_do(f, &request).handle;
}

static size_t good_file_request(fixture *f, size_t which, ferry_request *request) {
    ferry_handle file = FERRY_NONE;
    if (which >= 3) {
        file = file_open(f, "/dev/null", FERRY_OPEN_READ | FERRY_OPEN_WRITE);
    }
    switch (which) {
    case 0:
        ferry_prepare_file_store(request, "/nowhere/file", memory, sizeof memory, 0);
        return 4;
    case 1:
        ferry_prepare_file_open(request, "/nowhere/file", FERRY_OPEN_READ, 0);
        return 2;
    case 2:
        ferry_prepare_path_stat(request, "/nowhere", false);
        return 2;
    case 3:
        ferry_prepare_file_read(request, file, memory, sizeof memory, 0);
        return 3;
    case 4:
        ferry_prepare_file_write(request, file, memory, sizeof memory, 0);
        return 3;
    case 5:
        ferry_prepare_file_read_vectored(request, file, &slice, 1, 0);
        return 3;
    case 6:
        ferry_prepare_file_write_vectored(request, file, &slice, 1, 0);
        return 3;
    case 7:
        ferry_prepare_file_stat(request, file);
        return 0;
    case 8:
        ferry_prepare_file_sync(request, file, false);
        return 1;
    default:
        ferry_prepare_file_truncate(request, file, 0);
        return 1;
    }
}

/* One good request of each form; how many words of its parameters it names. */
static size_t good_request(fixture *f, size_t which, ferry_request *request) {
    uint16_t port;
    int peer;
    ferry_address address = loopback(0);
    ferry_address local;
    ferry_handle stream;
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
        return 8;
    case 7:
        ferry_prepare_stream_receive(request, fixture_stream(f, &peer), memory, sizeof memory);
        return 2;
    case 8:
        ferry_prepare_stream_send(request, fixture_stream(f, &peer), memory, sizeof memory);
        return 2;
    case 9:
        ferry_prepare_file_load(request, "/nowhere", 0);
        return 2;
    case 10:
        ferry_prepare_channel_open(request, 1);
        return 1;
    case 11:
        ferry_prepare_channel_send(request, a_channel(f), 1, 1);
        return 2;
    case 12:
        ferry_prepare_channel_receive(request, a_channel(f));
        return 0;
    case 13:
        ferry_prepare_channel_finish(request, a_channel(f));
        return 0;
    case 14:
        ferry_prepare_name_resolve(request, "127.0.0.1", 1, 0);
        return 2;
    case 15:
        ferry_prepare_tcp_connect_name(request, "127.0.0.1", 1);
        return 3;
    case 16:
        ferry_prepare_stream_receive_exactly(request, fixture_stream(f, &peer), memory,
                                             sizeof memory);
        return 2;
    case 17:
        ferry_prepare_stream_receive_until(request, fixture_stream(f, &peer), memory, sizeof memory,
                                           "0123456789abcdef", 16);
        return 5;
    case 18:
        ferry_prepare_stream_send_vectored(request, fixture_stream(f, &peer), &slice, 1);
        return 2;
    case 19:
        ferry_prepare_stream_shutdown(request, fixture_stream(f, &peer));
        return 0;
    case 20:
        ferry_prepare_socket_set(request, fixture_stream(f, &peer), FERRY_SOCKET_NO_DELAY, 1);
        return 2;
    case 21:
        ferry_prepare_socket_peer_address(request, fixture_stream(f, &peer));
        return 1;
    case 22:
        ferry_prepare_descriptor_adopt(request, 1 << 20, FERRY_DESCRIPTOR_STREAM);
        return 2;
    case 23:
        ferry_prepare_descriptor_release(request, fixture_stream(f, &peer));
        return 0;
    case 24:
        address.port = 1;
        local = loopback(0);
        ferry_prepare_tcp_connect_from(request, &address, &local);
        return 8;
    case 25:
        stream = fixture_stream(f, &peer);
        ferry_prepare_handle_copy(request, stream, fixture_stream_beside(f, stream, &peer), 1, 0,
                                  0);
        return 4;
    default:
        return good_file_request(f, which - FIRST_FILE, request);
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
        0,  FERRY_OP_POST, 7,   12,  15,     17,    31, 38, 47, 54, 63, 75, 84, 95,
        97, 127,           128, 255, 0x7fff, 0xffff};
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
        for (int bit = 5; bit < 32; bit++) {
            request.flags = flags | (1u << bit);
            expect_refused(f, &request, FERRY_E_UNSUPPORTED, "unknown flag", which);
        }
    }
    neighbour_is_well(f, &n);
}

static uint32_t flags_of(uint16_t opcode) {
    switch (opcode) {
    case FERRY_OP_TIMER:
    case FERRY_OP_TCP_ACCEPT:
    case FERRY_OP_CHANNEL_RECEIVE:
        return FERRY_MULTISHOT;
    case FERRY_OP_TCP_LISTEN:
        return FERRY_REUSE_PORT | FERRY_SPREAD;
    case FERRY_OP_DESCRIPTOR_ADOPT:
        return FERRY_SPREAD;
    case FERRY_OP_STREAM_RECEIVE:
    case FERRY_OP_STREAM_RECEIVE_UNTIL:
        return FERRY_MULTISHOT | FERRY_LEND;
    case FERRY_OP_STREAM_SEND:
        return FERRY_COPY;
    default:
        return 0;
    }
}

static void flags_of_other_operations(void **state) {
    fixture *f = fixture_open(state);
    neighbour n = neighbour_move_in(f);
    for (size_t which = 0; which < OPCODES; which++) {
        ferry_request request;
        good_request(f, which, &request);
        uint32_t flags = request.flags;
        for (uint32_t flag = FERRY_MULTISHOT; flag <= FERRY_SPREAD; flag <<= 1) {
            if ((flags_of(request.opcode) & flag) != 0) {
                continue;
            }
            request.flags = flags | flag;
            expect_refused(f, &request, FERRY_E_UNSUPPORTED, "another's flag", which);
        }
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
    for (size_t which = 0; which < OPCODES; which++) {
        ferry_request request;
        good_request(f, which, &request);
        if (request.target == FERRY_NONE) {
            request.target = n.stream;
            expect_refused_somehow(f, &request, "a target for what has none");
        }
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
    ferry_prepare_channel_open(&request, FERRY_CHANNEL_CAPACITY_MAX + 1);
    expect_refused(f, &request, FERRY_E_LIMIT, "too large a channel", 0);
    request.params.channel.capacity = UINT64_C(1) << 32;
    expect_refused(f, &request, FERRY_E_LIMIT, "far too large a channel", 0);
    neighbour_is_well(f, &n);
}

/* --- Files --------------------------------------------------------------------------------- */

static void paths(void **state) {
    fixture *f = fixture_open(state);
    neighbour n = neighbour_move_in(f);
    static char path[FERRY_PATH_MAX + 2];
    memset(path, 'x', sizeof path - 1);
    static const size_t with_path[] = {9, FIRST_FILE, FIRST_FILE + 1, FIRST_FILE + 2};
    for (size_t i = 0; i < sizeof with_path / sizeof with_path[0]; i++) {
        size_t which = with_path[i];
        ferry_request request;
        good_request(f, which, &request);
        request.params.path.path = NULL;
        expect_refused(f, &request, FERRY_E_INVALID, "path NULL", which);
        request.params.path.path = path;
        expect_refused(f, &request, FERRY_E_NAME_TOO_LONG, "a path too long", which);
    }
    neighbour_is_well(f, &n);
}

static void open_flags_and_modes(void **state) {
    fixture *f = fixture_open(state);
    neighbour n = neighbour_move_in(f);
    ferry_request request;
    enum { READ = FERRY_OPEN_READ, WRITE = FERRY_OPEN_WRITE, CREATE = FERRY_OPEN_CREATE };
    static const uint32_t impossible[] = {0,
                                          CREATE,
                                          FERRY_OPEN_NO_FOLLOW,
                                          FERRY_OPEN_TRUNCATE | FERRY_OPEN_APPEND,
                                          READ | CREATE,
                                          READ | FERRY_OPEN_TRUNCATE,
                                          READ | FERRY_OPEN_APPEND,
                                          WRITE | FERRY_OPEN_EXCLUSIVE,
                                          READ | WRITE | FERRY_OPEN_EXCLUSIVE};
    for (size_t i = 0; i < sizeof impossible / sizeof impossible[0]; i++) {
        ferry_prepare_file_open(&request, "/nowhere", impossible[i], 0);
        expect_refused(f, &request, FERRY_E_INVALID, "impossible flags", i);
    }
    for (int bit = 7; bit < 32; bit++) {
        ferry_prepare_file_open(&request, "/nowhere", READ | (1u << bit), 0);
        expect_refused(f, &request, FERRY_E_UNSUPPORTED, "unknown open flag", (size_t)bit);
    }
    for (int bit = 12; bit < 32; bit++) {
        ferry_prepare_file_open(&request, "/nowhere", WRITE | CREATE, 1u << bit);
        expect_refused(f, &request, FERRY_E_INVALID, "mode", (size_t)bit);
    }
    ferry_prepare_file_store(&request, "/nowhere/file", memory, 1, 0);
    for (int bit = 12; bit < 64; bit++) {
        request.params.store.mode = UINT64_C(1) << bit;
        expect_refused(f, &request, FERRY_E_INVALID, "mode", (size_t)bit);
    }
    neighbour_is_well(f, &n);
}

static void odd_parts_of_files(void **state) {
    fixture *f = fixture_open(state);
    neighbour n = neighbour_move_in(f);
    static const uint64_t offsets[] = {INT64_MAX - 14, INT64_MAX, (uint64_t)INT64_MAX + 1,
                                       UINT64_MAX - 16, UINT64_MAX - 1};
    static const uint64_t sizes[] = {0, (uint64_t)INT64_MAX + 1, UINT64_MAX};
    for (size_t which = FIRST_FILE + 3; which <= FIRST_FILE + 4; which++) {
        ferry_request good;
        good_request(f, which, &good);
        ferry_request bad = good;
        bad.params.file.buffer = NULL;
        expect_refused(f, &bad, FERRY_E_INVALID, "buffer NULL", which);
        bad = good;
        for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
            bad.params.file.offset = offsets[i];
            bad.params.file.size = 16;
            expect_refused(f, &bad, FERRY_E_INVALID, "offset", which);
        }
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            bad = good;
            bad.params.file.size = sizes[i];
            expect_refused(f, &bad, FERRY_E_INVALID, "size", which);
            bad.params.file.offset = FERRY_AT_POSITION;
            expect_refused(f, &bad, FERRY_E_INVALID, "size at position", which);
        }
        bad.params.file.size = INT64_MAX;
        bad.params.file.offset = 1;
        expect_refused(f, &bad, FERRY_E_INVALID, "end", which);
    }
    ferry_request request;
    ferry_prepare_file_store(&request, "/nowhere/file", NULL, 1, 0);
    expect_refused(f, &request, FERRY_E_INVALID, "store of NULL", 10);
    ferry_prepare_file_store(&request, "/nowhere/file", memory, (size_t)INT64_MAX + 1, 0);
    expect_refused(f, &request, FERRY_E_INVALID, "store of too much", 10);
    for (int bit = 1; bit < 64; bit++) {
        good_request(f, FIRST_FILE + 2, &request);
        request.params.path.no_follow = UINT64_C(1) << bit;
        expect_refused(f, &request, FERRY_E_INVALID, "no_follow", (size_t)bit);
    }
    good_request(f, FIRST_FILE + 8, &request);
    request.params.sync.data_only = 2;
    expect_refused(f, &request, FERRY_E_INVALID, "data_only", 18);
    good_request(f, FIRST_FILE + 9, &request);
    request.params.truncate.size = (uint64_t)INT64_MAX + 1;
    expect_refused(f, &request, FERRY_E_INVALID, "truncate", 19);
    neighbour_is_well(f, &n);
}

/* Whatever the parameters say, a request is refused or ends; memory and paths stay real. */
static void random_parameters(void **state) {
    fixture *f = fixture_open(state);
    neighbour n = neighbour_move_in(f);
    uint64_t seed = 88172645463325252u;
    for (int i = 0; i < 2000; i++) {
        static const uint64_t odd[] = {0, 1, 7, 16, 4096, INT64_MAX, UINT64_MAX};
        ferry_request request;
        size_t named = good_request(f, FIRST_FILE + (size_t)i % 10, &request);
        for (size_t word = 1; word < named; word++) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            /* Not into what is behind the memory: sizes beyond it would be. */
            bool size = word == 1 && (request.opcode == FERRY_OP_FILE_READ ||
                                      request.opcode == FERRY_OP_FILE_WRITE);
            bool fixed = request.opcode == FERRY_OP_FILE_STORE && word <= 2;
            bool count = request.params.words[0] != 0 && word == 1 &&
                         (request.opcode == FERRY_OP_FILE_READ_VECTORED ||
                          request.opcode == FERRY_OP_FILE_WRITE_VECTORED);
            if (!fixed) {
                request.params.words[word] = size    ? seed % (sizeof memory + 1)
                                             : count ? seed % 2
                                             : seed % 3 == 0
                                                 ? seed
                                                 : odd[seed / 3 % (sizeof odd / sizeof odd[0])];
            }
        }
        fixture_fate(f, &request);
        if (request.target != FERRY_NONE) {
            fixture_close_handle(f, request.target);
        }
    }
    neighbour_is_well(f, &n);
    assert_info(f, buffers_lent, 0);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EVERY_DRIVE(unknown_opcodes),
        ON_EACH_SHARDS(unknown_flags),
        ON_EACH_SHARDS(flags_of_other_operations),
        ON_EACH_SHARDS(reserved_and_unused_bytes),
        ON_EACH_SHARDS(targets_where_there_are_none),
        ON_EACH_SHARDS(addresses),
        ON_EACH_SHARDS(memory_and_sizes),
        ON_EACH_SHARDS(paths),
        ON_EACH_SHARDS(open_flags_and_modes),
        ON_EACH_SHARDS(odd_parts_of_files),
        ON_EACH_SHARDS(random_parameters),
        ON_EVERY_DRIVE(a_bad_one_stops_its_batch_and_no_other),
        ON_HOST(a_huge_count_is_read_up_to_the_first_bad_one),
    };
    return RUN_SUITE(tests);
}
