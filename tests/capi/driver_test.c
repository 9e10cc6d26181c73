/*
 * What is below the engine: how it is chosen, that each operation works without its part of the
 * ring, and that there is an engine where there is no ring at all: in sandboxes, and with few
 * descriptors and little memory to lock.
 */
#include "files.h"
#include "fixture.h"
#include "steps.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

enum {
    BIG = 300 * 1024,
    SOME = 30 * 1000,
    ENGINES = 100,
    ROOM_ENOUGH = 40,
    BITS = 10,
    NOBODY = 65534,
};

#define ALL_BITS ((UINT64_C(1) << BITS) - 1)

static bool ring_here;

static ferry_status try_engine(const ferry_engine_options *options, ferry_engine_info *info) {
    ferry_engine *engine = NULL;
    ferry_status status = ferry_engine_create(options, &engine);
    if (status == FERRY_OK) {
        info->struct_size = sizeof *info;
        REQUIRE(ferry_engine_get_info(engine, info) == FERRY_OK);
        REQUIRE(ferry_engine_shutdown(engine, FERRY_FOREVER) == FERRY_OK);
        REQUIRE(ferry_engine_destroy(engine) == FERRY_OK);
    } else {
        REQUIRE(engine == NULL);
    }
    return status;
}

/* --- Choosing ------------------------------------------------------------------------------ */

static void uv_is_always_there(void **state) {
    (void)state;
    for (uint32_t shards = 0; shards < 3; shards++) {
        ferry_engine_info info;
        ferry_engine_options options = {
            .struct_size = sizeof options, .shards = shards, .driver = FERRY_DRIVER_UV};
        assert_status(try_engine(&options, &info), FERRY_OK);
        assert_string_equal(info.driver, "uv");
        assert_int_equal(info.ring, 0);
        options.ring_without = ALL_BITS;
        assert_status(try_engine(&options, &info), FERRY_OK);
        assert_string_equal(info.driver, "uv");
    }
}

/* A kernel and a build that have it must not end up without: then nothing would test the ring. */
static bool ring_is_expected(void) {
#ifdef BUILT_WITH_URING
    struct {
        uint32_t entries[2], flags, thread, idle, features;
        unsigned char rest[96];
    } parameters = {.flags = 0};
    int fd = (int)syscall(SYS_io_uring_setup, 2, &parameters);
    if (fd >= 0) {
        close(fd);
    }
    const uint32_t needed = 1u << 1 | 1u << 2 | 1u << 8; /* No drops, stable entries, timeouts. */
    return fd >= 0 && (parameters.features & needed) == needed;
#else
    return false;
#endif
}

static void uring_or_no_engine(void **state) {
    (void)state;
    for (uint32_t shards = 0; shards < 3; shards++) {
        ferry_engine_info info;
        ferry_engine_options options = {
            .struct_size = sizeof options, .shards = shards, .driver = FERRY_DRIVER_URING};
        ferry_status status = try_engine(&options, &info);
        assert_status(status, ring_is_expected() ? FERRY_OK : FERRY_E_UNSUPPORTED);
        if (status == FERRY_OK) {
            assert_string_equal(info.driver, "uring");
            assert_int_not_equal(info.ring, 0);
            assert_int_equal(info.ring & ~ALL_BITS, 0);
        }
    }
}

static void auto_takes_what_there_is(void **state) {
    (void)state;
    ferry_engine_info info;
    ferry_engine_options options = {.struct_size = sizeof options};
    assert_status(try_engine(&options, &info), FERRY_OK);
    assert_string_equal(info.driver, ring_here ? "uring" : "uv");
    assert_true((info.ring != 0) == ring_here);
    assert_status(try_engine(NULL, &info), FERRY_OK);
    assert_string_equal(info.driver, ring_here ? "uring" : "uv");
    /* A program of before the option. */
    options.struct_size = offsetof(ferry_engine_options, driver);
    options.driver = UINT32_MAX;
    assert_status(try_engine(&options, &info), FERRY_OK);
    assert_string_equal(info.driver, ring_here ? "uring" : "uv");
}

static void a_ring_belongs_to_one_thread(void **state) {
    (void)state;
    ferry_engine_info info;
    ferry_engine_options options = {.struct_size = sizeof options,
                                    .flags = FERRY_ENGINE_ANY_THREAD};
    assert_status(try_engine(&options, &info), FERRY_OK);
    assert_string_equal(info.driver, "uv");
    assert_int_equal(info.ring, 0);
    options.driver = FERRY_DRIVER_UV;
    assert_status(try_engine(&options, &info), FERRY_OK);
    options.driver = FERRY_DRIVER_URING;
    assert_status(try_engine(&options, &info), FERRY_E_UNSUPPORTED);
}

static void unknown_drivers_and_bits(void **state) {
    (void)state;
    ferry_engine_info info;
    for (uint32_t driver = FERRY_DRIVER_SIM + 1; driver != 0; driver <<= 1) {
        ferry_engine_options options = {.struct_size = sizeof options, .driver = driver};
        assert_status(try_engine(&options, &info), FERRY_E_UNSUPPORTED);
    }
    for (unsigned bit = 0; bit < 64; bit++) {
        ferry_engine_options options = {.struct_size = sizeof options,
                                        .ring_without = UINT64_C(1) << bit};
        assert_status(try_engine(&options, &info), bit < BITS ? FERRY_OK : FERRY_E_UNSUPPORTED);
        if (bit < BITS) {
            assert_int_equal(info.ring & options.ring_without, 0);
        }
    }
}

/* --- Operations, whoever does them --------------------------------------------------------- */

static ferry_completion do_and_check(fixture *f, const ferry_request *request, int64_t result) {
    ferry_completion done = fixture_do(f, request);
    assert_status(done.status, FERRY_OK);
    assert_int_equal(done.result, result);
    return done;
}

/* Both ends of a connection are Ferry's. */
static void connect_both(fixture *f, uint32_t accept_flags, ferry_handle *client,
                         ferry_handle *server) {
    uint16_t port;
    ferry_request accepting, connecting;
    ferry_handle listener = fixture_listen(f, &port);
    ferry_address address = loopback(port);
    ferry_prepare_tcp_accept(&accepting, listener);
    accepting.flags = accept_flags;
    ferry_prepare_tcp_connect(&connecting, &address);
    ferry_op accept = fixture_submit(f, &accepting);
    ferry_completion connected = fixture_do(f, &connecting);
    assert_status(connected.status, FERRY_OK);
    ferry_completion accepted = fixture_next(f, accept);
    assert_status(accepted.status, FERRY_OK);
    assert_int_equal(accepted.flags & FERRY_MORE, accept_flags != 0 ? FERRY_MORE : 0);
    *client = connected.handle;
    *server = accepted.handle;
    fixture_close_handle(f, listener);
    if (accept_flags != 0) {
        assert_status(fixture_final(f, accept).status, FERRY_E_CLOSED);
    }
}

static ferry_op start_send(fixture *f, ferry_handle stream, const void *data, size_t size,
                           uint32_t flags) {
    ferry_request request;
    ferry_prepare_stream_send(&request, stream, data, size);
    request.flags = flags;
    return fixture_submit(f, &request);
}

static void receives_into_memory(fixture *f, ferry_handle from, ferry_handle to) {
    char *memory = fixture_memory(f, 16);
    ferry_op waiting = start_receive(f, to, memory, 16);
    assert_int_equal(fixture_final(f, start_send(f, from, "first", 5, FERRY_COPY)).result, 5);
    ferry_completion got = fixture_final(f, waiting);
    assert_status(got.status, FERRY_OK);
    assert_int_equal(got.result, 5);
    assert_memory_equal(memory, "first", 5);
    /* What lies there already; and no more than there is room for. */
    assert_int_equal(fixture_final(f, start_send(f, from, "0123456789", 10, 0)).result, 10);
    ferry_request request;
    ferry_prepare_stream_receive_exactly(&request, to, memory, 4);
    do_and_check(f, &request, 4);
    assert_memory_equal(memory, "0123", 4);
    ferry_prepare_stream_receive_until(&request, to, memory, 16, "9", 1);
    do_and_check(f, &request, 6);
    assert_memory_equal(memory, "456789", 6);
}

static void receives_lent(fixture *f, ferry_handle from, ferry_handle to, const char *pattern) {
    ferry_request request;
    ferry_prepare_stream_receive_until(&request, to, NULL, 64, "\n", 1);
    request.flags = FERRY_LEND;
    ferry_op line = fixture_submit(f, &request);
    assert_int_equal(fixture_final(f, start_send(f, from, "a line\n", 7, 0)).result, 7);
    ferry_completion got = fixture_final(f, line);
    assert_status(got.status, FERRY_OK);
    assert_int_equal(got.result, 7);
    assert_memory_equal(got.data, "a line\n", 7);
    fixture_release(f, &got);

    ferry_op all = start_receive_all(f, to);
    ferry_op sent = start_send(f, from, pattern, BIG, 0);
    expect_pattern(f, all, 0, BIG);
    assert_int_equal(fixture_final(f, sent).result, BIG);
    fixture_cancel(f, all);
    assert_status(fixture_final(f, all).status, FERRY_E_CANCELED);
}

static void sends_pieces(fixture *f, ferry_handle from, ferry_handle to, char *pattern) {
    enum { PIECES = 5 };
    ferry_slice slices[PIECES];
    size_t at = 0;
    for (size_t i = 0; i < PIECES; i++) {
        size_t size = i == 2 ? 0 : i == PIECES - 1 ? BIG - at : 1 + i * 1000;
        slices[i] = (ferry_slice){.data = pattern + at, .size = size};
        at += size;
    }
    char *memory = fixture_memory(f, BIG);
    ferry_request request;
    ferry_prepare_stream_send_vectored(&request, from, slices, PIECES);
    ferry_op sent = fixture_submit(f, &request);
    ferry_prepare_stream_receive_exactly(&request, to, memory, BIG);
    do_and_check(f, &request, BIG);
    assert_int_equal(fixture_final(f, sent).result, BIG);
    assert_true(pattern_matches(memory, BIG, 0));
}

/* The reader takes its time: the send goes on whenever there is room again. */
static void sends_to_the_slow(fixture *f) {
    enum { SLOW = 8 * 1024 * 1024, SIP = 64 * 1024 };
    int peer;
    ferry_handle stream = fixture_narrow_stream(f, &peer);
    unsigned char *pattern = fixture_memory(f, SLOW);
    unsigned char *sip = fixture_memory(f, SIP);
    pattern_fill(pattern, SLOW, 0);
    ferry_op sent = start_send(f, stream, pattern, SLOW, 0);
    fixture_linger(f, MS);
    assert_false(fixture_has(f, sent));
    for (size_t position = 0; position < SLOW; position += SIP) {
        for (size_t got = 0; got < SIP;) {
            fixture_until_readable(f, peer);
            ssize_t some = recv(peer, sip + got, SIP - got, 0);
            REQUIRE(some > 0);
            got += (size_t)some;
        }
        assert_true(pattern_matches(sip, SIP, position));
    }
    assert_int_equal(fixture_final(f, sent).result, SLOW);
    fixture_close_handle(f, stream);
}

/* Everything on one connection stays in order, and its end is told. */
static void streams_work(fixture *f, uint32_t accept_flags) {
    ferry_handle client, server;
    char *pattern = fixture_memory(f, BIG);
    pattern_fill(pattern, BIG, 0);
    connect_both(f, accept_flags, &client, &server);
    receives_into_memory(f, client, server);
    receives_lent(f, server, client, pattern);
    sends_pieces(f, client, server, pattern);
    ferry_request request;
    ferry_prepare_stream_shutdown(&request, client);
    do_and_check(f, &request, 0);
    char *memory = fixture_memory(f, 1);
    ferry_completion end = fixture_final(f, start_receive(f, server, memory, 1));
    assert_status(end.status, FERRY_OK);
    assert_int_equal(end.result, 0);
    fixture_close_handle(f, client);
    fixture_close_handle(f, server);
}

static void streams_say_what_is_wrong(fixture *f) {
    uint16_t port;
    int refusing = fixture_keep(f, peer_refuse(&port));
    (void)refusing;
    ferry_address address = loopback(port);
    ferry_request request;
    ferry_prepare_tcp_connect(&request, &address);
    ferry_completion refused = fixture_do(f, &request);
    assert_status(refused.status, FERRY_E_CONNECTION_REFUSED);
    assert_int_equal(refused.os_error, ECONNREFUSED);

    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    char *memory = fixture_memory(f, 8);
    ferry_op receive = start_receive(f, stream, memory, 8);
    fixture_linger(f, 2 * MS);
    f->kept[f->kept_count - 1] = -1;
    peer_reset(peer);
    assert_status(fixture_final(f, receive).status, FERRY_E_CONNECTION_RESET);
}

/* What waits is cancelled, meets its deadline and ends with its handle; nothing is lost by it. */
static void waits_end(fixture *f) {
    int peer;
    uint16_t port;
    ferry_request request;
    char *memory = fixture_memory(f, 8);
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_op op = start_receive(f, stream, memory, 8);
    fixture_linger(f, MS);
    fixture_cancel(f, op);
    assert_status(fixture_final(f, op).status, FERRY_E_CANCELED);
    ferry_prepare_stream_receive(&request, stream, memory, 8);
    request.deadline_ns = 3 * MS;
    assert_status(fixture_do(f, &request).status, FERRY_E_TIMED_OUT);
    op = start_receive_all(f, stream);
    peer_send(peer, "kept", 4);
    ferry_completion kept = fixture_next(f, op);
    assert_status(kept.status, FERRY_OK);
    assert_memory_equal(kept.data, "kept", 4);
    fixture_release(f, &kept);
    fixture_close_handle(f, stream);
    assert_status(fixture_final(f, op).status, FERRY_E_CLOSED);

    ferry_handle listener = fixture_listen(f, &port);
    ferry_prepare_tcp_accept(&request, listener);
    request.flags = 0; /* Just one. */
    op = fixture_submit(f, &request);
    fixture_linger(f, MS);
    fixture_cancel(f, op);
    assert_status(fixture_final(f, op).status, FERRY_E_CANCELED);
    fixture_keep(f, peer_connect(port));
    assert_status(fixture_do(f, &request).status, FERRY_OK);

    op = fixture_stuck_send(f, fixture_narrow_stream(f, &peer), 3 * MS);
    assert_status(fixture_final(f, op).status, FERRY_E_TIMED_OUT);
}

static void files_work(fixture *f) {
    char *pattern = fixture_memory(f, BIG);
    char *memory = fixture_memory(f, BIG);
    pattern_fill(pattern, BIG, 0);
    char *path = fixture_path(f, "made");
    ferry_completion opened =
        file_try_open(f, path, FERRY_OPEN_CREATE | FERRY_OPEN_READ | FERRY_OPEN_WRITE, 0600);
    assert_status(opened.status, FERRY_OK);
    ferry_handle file = opened.handle;
    ferry_completion done = file_write(f, file, pattern, BIG / 2, 0);
    file_expect(&done, FERRY_OK, 0, BIG / 2);
    ferry_slice slices[] = {{.data = pattern + BIG / 2, .size = 7},
                            {.data = pattern + BIG / 2 + 7, .size = BIG - BIG / 2 - 7}};
    ferry_request request;
    ferry_prepare_file_write_vectored(&request, file, slices, 2, BIG / 2);
    do_and_check(f, &request, BIG - BIG / 2);
    done = file_sync(f, file, false);
    file_expect(&done, FERRY_OK, 0, 0);
    done = file_sync(f, file, true);
    file_expect(&done, FERRY_OK, 0, 0);
    assert_int_equal(file_stat(f, file).size, BIG);

    done = file_read(f, file, memory, BIG, 0);
    file_expect(&done, FERRY_OK, 0, BIG);
    assert_true(pattern_matches(memory, BIG, 0));
    done = file_read(f, file, memory, 100, BIG - 10);
    file_expect(&done, FERRY_OK, 0, 10);
    assert_true(pattern_matches(memory, 10, BIG - 10));
    slices[0] = (ferry_slice){.data = memory, .size = 1};
    slices[1] = (ferry_slice){.data = memory + 1, .size = 99};
    ferry_prepare_file_read_vectored(&request, file, slices, 2, 5);
    do_and_check(f, &request, 100);
    assert_true(pattern_matches(memory, 100, 5));
    fixture_close_handle(f, file);
    file_holds(path, pattern, BIG);

    done = file_store(f, path, "new", 3, 0600);
    assert_status(done.status, FERRY_OK);
    file_holds(path, "new", 3);
    assert_int_equal(path_stat(f, path, false).size, 3);
}

/* What is copied keeps its place among sends. */
static void copies_work(fixture *f) {
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    char *path = fixture_file(f, "copied", SOME);
    ferry_handle file;
    ferry_request request;
    do { /* Until it is on the stream's shard. */
        file = file_open(f, path, FERRY_OPEN_READ);
        ferry_prepare_handle_copy(&request, file, stream, 0, 0, 0);
    } while (fixture_fate(f, &request) == FERRY_E_WRONG_SHARD);
    ferry_op before = start_send(f, stream, "<", 1, FERRY_COPY);
    ferry_prepare_handle_copy(&request, file, stream, SOME, 0, 0);
    ferry_op copy = fixture_submit(f, &request);
    ferry_op behind = start_send(f, stream, ">", 1, FERRY_COPY);
    char *got = fixture_memory(f, SOME + 2);
    for (size_t size = 0; size < SOME + 2;) {
        fixture_until_readable(f, peer);
        ssize_t some = recv(peer, got + size, SOME + 2 - size, 0);
        REQUIRE(some > 0);
        size += (size_t)some;
    }
    assert_int_equal(fixture_final(f, before).result, 1);
    assert_int_equal(fixture_final(f, copy).result, SOME);
    assert_int_equal(fixture_final(f, behind).result, 1);
    assert_int_equal(got[0], '<');
    assert_true(pattern_matches(got + 1, SOME, 0));
    assert_int_equal(got[SOME + 1], '>');
}

static void files_say_what_is_wrong(fixture *f) {
    ferry_completion done = file_try_open(f, fixture_path(f, "none"), FERRY_OPEN_READ, 0);
    file_expect(&done, FERRY_E_NOT_FOUND, ENOENT, 0);
    ferry_handle file = file_open(f, fixture_file(f, "some", 10), FERRY_OPEN_READ);
    char *memory = fixture_memory(f, 10);
    done = file_write(f, file, memory, 10, 0);
    assert_status(done.status, FERRY_E_ACCESS);
    done = file_read(f, file, memory, 10, 10);
    file_expect(&done, FERRY_OK, 0, 0);
}

static void loads_work(fixture *f) {
    static const size_t sizes[] = {0, 1, 4096, 4097, 64 * 1024, BIG};
    ferry_request request;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char *path = fixture_file(f, "loaded", sizes[i]);
        ferry_prepare_file_load(&request, path, 0);
        ferry_completion loaded = do_and_check(f, &request, (int64_t)sizes[i]);
        assert_int_equal(loaded.flags, sizes[i] > 0 ? FERRY_BUFFER : 0);
        assert_true(pattern_matches(loaded.data, sizes[i], 0));
        fixture_release(f, &loaded);
        if (sizes[i] > 1) {
            ferry_prepare_file_load(&request, path, sizes[i] - 1);
            assert_status(fixture_do(f, &request).status, FERRY_E_LIMIT);
        }
    }
    ferry_prepare_file_load(&request, fixture_path(f, "none"), 0);
    ferry_completion none = fixture_do(f, &request);
    file_expect(&none, FERRY_E_NOT_FOUND, ENOENT, 0);
    ferry_prepare_file_load(&request, "/", 0);
    assert_status(fixture_do(f, &request).status, FERRY_E_IS_DIRECTORY);
    /* Its size is said to be 0. */
    ferry_prepare_file_load(&request, "/proc/self/mountinfo", 0);
    ferry_completion told = fixture_do(f, &request);
    assert_status(told.status, FERRY_OK);
    assert_true(told.result > 0);
    assert_int_equal(((const char *)told.data)[told.result - 1], '\n');
    fixture_release(f, &told);
}

static void all_works_without(void **state, uint64_t bits) {
    if (!ring_here) {
        SKIP_BECAUSE("there is no io_uring here");
    }
    ferry_engine_options options = {.driver = FERRY_DRIVER_URING, .ring_without = bits};
    fixture *f = fixture_open_with(state, &options, NULL);
    ferry_engine_info info = fixture_info(f);
    assert_string_equal(info.driver, "uring");
    assert_int_equal(info.ring & bits, 0);
    streams_work(f, 0);
    streams_work(f, FERRY_MULTISHOT);
    sends_to_the_slow(f);
    streams_say_what_is_wrong(f);
    waits_end(f);
    files_work(f);
    copies_work(f);
    files_say_what_is_wrong(f);
    loads_work(f);
    assert_int_equal(fixture_info(f).ring, info.ring);
    assert_info(f, buffers_lent, 0);
}

#define WITHOUT(what, bits)                                                                        \
    static void all_works_without_##what(void **state) {                                           \
        all_works_without(state, bits);                                                            \
    }

WITHOUT(nothing, 0)
WITHOUT(accept, FERRY_RING_ACCEPT)
WITHOUT(connect, FERRY_RING_CONNECT)
WITHOUT(receive, FERRY_RING_RECEIVE)
WITHOUT(lend, FERRY_RING_LEND)
WITHOUT(receive_and_lend, FERRY_RING_RECEIVE | FERRY_RING_LEND)
WITHOUT(send, FERRY_RING_SEND)
WITHOUT(open, FERRY_RING_OPEN)
WITHOUT(read, FERRY_RING_READ)
WITHOUT(write, FERRY_RING_WRITE)
WITHOUT(close, FERRY_RING_CLOSE)
WITHOUT(load, FERRY_RING_LOAD)
WITHOUT(anything, ALL_BITS)

/* --- Where the system says no -------------------------------------------------------------- */

typedef struct ban {
    uint32_t call;
    uint32_t error;
} ban;

/* From now on the call answers with the error; all others are as before. */
static void forbid(ban what) {
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, what.call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | what.error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {.len = sizeof program / sizeof program[0], .filter = program};
    CHILD_CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHILD_CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) == 0);
}

/* A file is loaded: from the engine's start to its end, with a worker or a ring in between. */
static void engine_works(const ferry_engine_options *options, const char *driver) {
    ferry_engine *engine;
    ferry_queue *queue;
    ferry_request request;
    ferry_completion done;
    ferry_engine_info info = {.struct_size = sizeof info};
    CHILD_CHECK(ferry_engine_create(options, &engine) == FERRY_OK);
    CHILD_CHECK(ferry_engine_get_info(engine, &info) == FERRY_OK);
    CHILD_CHECK(strcmp(info.driver, driver) == 0);
    CHILD_CHECK((info.ring != 0) == (strcmp(driver, "uring") == 0));
    CHILD_CHECK(ferry_queue_create(engine, NULL, &queue) == FERRY_OK);
    ferry_prepare_file_load(&request, "/proc/self/exe", 0);
    CHILD_CHECK(ferry_queue_submit(queue, &request, 1, NULL, NULL) == FERRY_OK);
    while (ferry_queue_reap(queue, &done, 1) == 0) {
        if (options->shards == 0) {
            CHILD_CHECK(ferry_engine_run(engine, FERRY_FOREVER, 0, NULL) == FERRY_OK);
        } else {
            sleep_ns(MS);
        }
    }
    CHILD_CHECK(done.status == FERRY_OK && done.result > 0);
    CHILD_CHECK(ferry_buffer_release(engine, done.buffer) == FERRY_OK);
    CHILD_CHECK(ferry_engine_shutdown(engine, FERRY_FOREVER) == FERRY_OK);
    CHILD_CHECK(ferry_engine_destroy(engine) == FERRY_OK);
}

static int run_forbidden(void *what) {
    forbid(*(const ban *)what);
    for (uint32_t shards = 0; shards < 3; shards++) {
        ferry_engine_options options = {.struct_size = sizeof options, .shards = shards};
        engine_works(&options, "uv");
        size_t before = count_descriptors();
        engine_works(&options, "uv");
        ferry_engine *engine;
        options.driver = FERRY_DRIVER_URING;
        CHILD_CHECK(ferry_engine_create(&options, &engine) == FERRY_E_UNSUPPORTED);
        CHILD_CHECK(engine == NULL);
        CHILD_CHECK(count_descriptors() == before);
    }
    return 0;
}

static void forbidden(uint32_t call, uint32_t error) {
#ifdef __SANITIZE_THREAD__
    SKIP_BECAUSE("the thread sanitizer lets no forked child start threads");
#endif
    ban what = {call, error};
    assert_int_equal(run_in_child(run_forbidden, &what), 0);
}

static void a_sandbox_forbids_rings(void **state) {
    (void)state;
    forbidden(SYS_io_uring_setup, EPERM);
}

static void a_kernel_has_no_rings(void **state) {
    (void)state;
    forbidden(SYS_io_uring_setup, ENOSYS);
}

static void a_sandbox_lets_no_ring_be_asked(void **state) {
    (void)state;
    forbidden(SYS_io_uring_register, EPERM);
}

static void a_sandbox_lets_no_ring_be_entered(void **state) {
    (void)state;
    forbidden(SYS_io_uring_enter, EPERM);
}

/* --- Little room --------------------------------------------------------------------------- */

static struct rlimit full_limit;

static void leave_descriptors(int room) {
    struct rlimit limit = full_limit;
    int lowest = dup(STDERR_FILENO);
    REQUIRE(lowest >= 0);
    close(lowest);
    limit.rlim_cur = (rlim_t)(lowest + room);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

static ferry_status create_within(int room, uint32_t shards, uint32_t driver) {
    ferry_engine_info info;
    ferry_engine_options options = {
        .struct_size = sizeof options, .shards = shards, .driver = driver};
    leave_descriptors(room);
    ferry_status status = try_engine(&options, &info);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &full_limit) == 0);
    return status;
}

/* A status that says so, or an engine, whichever room there is; and more room never hurts. */
static void few_descriptors(void **state) {
    (void)state;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &full_limit) == 0);
    for (uint32_t shards = 0; shards < 3; shards++) {
        for (uint32_t driver = FERRY_DRIVER_AUTO; driver <= FERRY_DRIVER_URING; driver++) {
            if (driver == FERRY_DRIVER_URING && !ring_here) {
                continue;
            }
            assert_status(create_within(ROOM_ENOUGH, shards, driver), FERRY_OK);
            size_t before = count_descriptors();
            bool made = false;
            for (int room = 0; room < ROOM_ENOUGH; room++) {
                ferry_status status = create_within(room, shards, driver);
                made = made || status == FERRY_OK;
                if (made) {
                    assert_status(status, FERRY_OK);
                } else if (driver == FERRY_DRIVER_URING) {
                    assert_status_either(status, FERRY_E_NO_DESCRIPTORS, FERRY_E_UNSUPPORTED);
                } else {
                    assert_status(status, FERRY_E_NO_DESCRIPTORS);
                }
                assert_int_equal(count_descriptors(), before);
            }
            assert_true(made);
        }
    }
}

/* As a user who may not exceed it. The kernel asks for locked memory before 5.12 only. */
static int run_with_nothing_locked(void *argument) {
    (void)argument;
    struct rlimit nothing = {0, 0};
    CHILD_CHECK(setrlimit(RLIMIT_MEMLOCK, &nothing) == 0);
    CHILD_CHECK(geteuid() != 0 || setresuid(NOBODY, NOBODY, NOBODY) == 0);
    for (uint32_t shards = 0; shards < 3; shards++) {
        ferry_engine_info info;
        ferry_engine_options options = {.struct_size = sizeof options, .shards = shards};
        CHILD_CHECK(try_engine(&options, &info) == FERRY_OK);
        engine_works(&options, info.driver);
    }
    return 0;
}

static void no_memory_to_lock(void **state) {
    (void)state;
#ifdef __SANITIZE_THREAD__
    SKIP_BECAUSE("the thread sanitizer lets no forked child start threads");
#endif
    assert_int_equal(run_in_child(run_with_nothing_locked, NULL), 0);
}

static void many_engines_leave_nothing(void **state) {
    (void)state;
    ferry_engine_info info;
    ferry_engine_options options = {.struct_size = sizeof options};
    assert_status(try_engine(&options, &info), FERRY_OK);
    size_t descriptors = count_descriptors();
    size_t threads = count_threads();
    for (uint32_t i = 0; i < ENGINES; i++) {
        options.shards = i % 3;
        options.driver = i % 2 == 0 ? FERRY_DRIVER_AUTO : FERRY_DRIVER_UV;
        options.ring_without = i % 7 == 0 ? ALL_BITS : 0;
        assert_status(try_engine(&options, &info), FERRY_OK);
    }
    assert_int_equal(count_descriptors(), descriptors);
    assert_true(threads_fall_to(threads));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        PLAIN(uv_is_always_there),
        PLAIN(uring_or_no_engine),
        PLAIN(auto_takes_what_there_is),
        PLAIN(a_ring_belongs_to_one_thread),
        PLAIN(unknown_drivers_and_bits),
        ON_EACH_SHARDS(all_works_without_nothing),
        ON_EACH_SHARDS(all_works_without_accept),
        ON_EACH_SHARDS(all_works_without_connect),
        ON_EACH_SHARDS(all_works_without_receive),
        ON_EACH_SHARDS(all_works_without_lend),
        ON_EACH_SHARDS(all_works_without_receive_and_lend),
        ON_EACH_SHARDS(all_works_without_send),
        ON_EACH_SHARDS(all_works_without_open),
        ON_EACH_SHARDS(all_works_without_read),
        ON_EACH_SHARDS(all_works_without_write),
        ON_EACH_SHARDS(all_works_without_close),
        ON_EACH_SHARDS(all_works_without_load),
        ON_EACH_SHARDS(all_works_without_anything),
        PLAIN(a_sandbox_forbids_rings),
        PLAIN(a_kernel_has_no_rings),
        PLAIN(a_sandbox_lets_no_ring_be_asked),
        PLAIN(a_sandbox_lets_no_ring_be_entered),
        PLAIN(few_descriptors),
        PLAIN(no_memory_to_lock),
        PLAIN(many_engines_leave_nothing),
    };
    ring_here = driver_has_ring();
    return RUN_SUITE(tests);
}
