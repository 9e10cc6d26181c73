/*
 * Copies between streams and files: every byte once and in order, in their place among other sends
 * and receives, stopped at any moment with an exact count.
 */
#include "fixture.h"

#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BIG = 8 * 1024 * 1024, SOME = 300 * 1000 };

static ferry_op start(fixture *f, ferry_handle from, ferry_handle to, uint64_t size,
                      uint64_t from_offset, uint64_t to_offset) {
    ferry_request request;
    ferry_prepare_handle_copy(&request, from, to, size, from_offset, to_offset);
    return fixture_submit(f, &request);
}

static ferry_handle adopt_file(fixture *f, int fd) {
    REQUIRE(fd >= 0);
    ferry_request request;
    ferry_prepare_descriptor_adopt(&request, fd, FERRY_DESCRIPTOR_FILE);
    ferry_completion adopted = fixture_do(f, &request);
    assert_status(adopted.status, FERRY_OK);
    return adopted.handle;
}

/* On the shard of another handle. */
static ferry_handle adopt_file_beside(fixture *f, ferry_handle other, int fd) {
    for (;;) {
        ferry_handle file = adopt_file(f, fd);
        ferry_request request;
        ferry_prepare_handle_copy(&request, file, other, 0, 0, 0);
        if (fixture_fate(f, &request) != FERRY_E_WRONG_SHARD) {
            return file;
        }
        ferry_prepare_descriptor_release(&request, file);
        assert_int_equal(fixture_do(f, &request).result, fd);
    }
}

static void expect_copied(fixture *f, ferry_op op, uint64_t size) {
    ferry_completion got = fixture_final(f, op);
    assert_status(got.status, FERRY_OK);
    assert_int_equal(got.result, size);
    assert_int_equal(got.flags, 0);
}

/* What a file has from an offset on must be the pattern, and then the file ends. */
static void expect_file(fixture *f, const char *path, size_t offset, size_t size, size_t position) {
    unsigned char *data = fixture_memory(f, size + 1);
    int fd = open(path, O_RDONLY);
    REQUIRE(fd >= 0);
    assert_int_equal(pread(fd, data, size + 1, (off_t)offset), size);
    assert_true(pattern_matches(data, size, position));
    close(fd);
}

typedef struct mover {
    int fd;
    size_t size;
    bool fine;
} mover;

static void *receive_pattern(void *argument) {
    mover *m = argument;
    unsigned char *data = malloc(m->size);
    REQUIRE(data != NULL);
    peer_receive(m->fd, data, m->size);
    m->fine = pattern_matches(data, m->size, 0);
    free(data);
    return NULL;
}

static void *send_pattern(void *argument) {
    mover *m = argument;
    unsigned char *data = malloc(m->size);
    REQUIRE(data != NULL);
    pattern_fill(data, m->size, 0);
    peer_send(m->fd, data, m->size);
    shutdown(m->fd, SHUT_WR);
    free(data);
    return NULL;
}

/* --- Each way ------------------------------------------------------------------------------- */

static void a_file_goes_to_a_stream(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_narrow_stream(f, &peer);
    ferry_handle file =
        adopt_file_beside(f, stream, open(fixture_file(f, "file", BIG), O_RDONLY | O_CLOEXEC));
    mover m = {.fd = peer, .size = BIG};
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, receive_pattern, &m) == 0);
    expect_copied(f, start(f, file, stream, UINT64_MAX, 0, 0), BIG);
    pthread_join(thread, NULL);
    assert_true(m.fine);
    /* Parts of it; more than there is. */
    unsigned char got[1000];
    expect_copied(f, start(f, file, stream, 1000, 5555, 0), 1000);
    peer_receive(peer, got, 1000);
    assert_true(pattern_matches(got, 1000, 5555));
    expect_copied(f, start(f, file, stream, 2000, BIG - 1000, 0), 1000);
    peer_receive(peer, got, 1000);
    assert_true(pattern_matches(got, 1000, BIG - 1000));
    expect_copied(f, start(f, file, stream, UINT64_MAX, BIG + 5, 0), 0);
    expect_copied(f, start(f, file, stream, 0, 0, 0), 0);
}

static void a_file_goes_to_a_file(void **state) {
    fixture *f = fixture_open(state);
    char *path = fixture_path(f, "copy");
    int append_fd =
        open(fixture_path(f, "append"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    ferry_handle file = adopt_file(f, open(fixture_file(f, "file", BIG), O_RDONLY | O_CLOEXEC));
    ferry_handle copy =
        adopt_file_beside(f, file, open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    ferry_handle append = adopt_file_beside(f, file, append_fd);
    expect_copied(f, start(f, file, copy, UINT64_MAX, 0, 0), BIG);
    expect_file(f, path, 0, BIG, 0);
    expect_copied(f, start(f, file, copy, SOME, 1000, BIG), SOME);
    expect_file(f, path, BIG, SOME, 1000);
    expect_copied(f, start(f, file, append, 1000, 0, 0), 1000);
    expect_copied(f, start(f, file, append, 1000, 1000, 0), 1000);
    expect_file(f, fixture_path(f, "append"), 0, 2000, 0);
}

static void a_stream_goes_to_a_file(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    char *path = fixture_path(f, "copy");
    int append_fd =
        open(fixture_path(f, "append"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_handle file =
        adopt_file_beside(f, stream, open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    ferry_handle append = adopt_file_beside(f, stream, append_fd);
    mover m = {.fd = peer, .size = BIG};
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, send_pattern, &m) == 0);
    expect_copied(f, start(f, stream, file, SOME, 0, 0), SOME);
    expect_copied(f, start(f, stream, append, SOME, 0, 0), SOME);
    expect_copied(f, start(f, stream, file, UINT64_MAX, 0, SOME), BIG - 2 * SOME);
    pthread_join(thread, NULL);
    expect_file(f, fixture_path(f, "append"), 0, SOME, SOME);
    unsigned char *data = fixture_memory(f, BIG);
    int fd = open(path, O_RDONLY);
    assert_int_equal(pread(fd, data, BIG, 0), BIG - SOME);
    close(fd);
    assert_true(pattern_matches(data, SOME, 0));
    assert_true(pattern_matches(data + SOME, BIG - 2 * SOME, 2 * SOME));
    expect_copied(f, start(f, stream, file, UINT64_MAX, 0, 0), 0);
}

static void a_stream_goes_to_a_stream(void **state) {
    fixture *f = fixture_open(state);
    int peers[2];
    ferry_handle from = fixture_stream(f, &peers[0]);
    ferry_handle to = fixture_stream_beside(f, from, &peers[1]);
    mover source = {.fd = peers[0], .size = BIG};
    mover sink = {.fd = peers[1], .size = BIG};
    pthread_t threads[2];
    REQUIRE(pthread_create(&threads[0], NULL, send_pattern, &source) == 0);
    REQUIRE(pthread_create(&threads[1], NULL, receive_pattern, &sink) == 0);
    /* There and back at the same time. */
    ferry_op back = start(f, to, from, UINT64_MAX, 0, 0);
    expect_copied(f, start(f, from, to, SOME, 0, 0), SOME);
    expect_copied(f, start(f, from, to, UINT64_MAX, 0, 0), BIG - SOME);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    assert_true(sink.fine);
    peer_send(peers[1], "answer", 6);
    char got[6];
    fixture_until_readable(f, peers[0]);
    peer_receive(peers[0], got, 6);
    assert_memory_equal(got, "answer", 6);
    shutdown(peers[1], SHUT_WR);
    expect_copied(f, back, 6);
}

static void files_that_the_kernel_cannot_copy(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    unsigned char *got = fixture_memory(f, 65536);
    unsigned char *expected = fixture_memory(f, 65536);
    ferry_handle stream = fixture_stream(f, &peer);
    int fd = open("/proc/self/limits", O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    ssize_t size = pread(fd, expected, 65536, 0);
    ferry_handle odd = adopt_file_beside(f, stream, fd);
    expect_copied(f, start(f, odd, stream, UINT64_MAX, 0, 0), (uint64_t)size);
    peer_receive(peer, got, (size_t)size);
    assert_memory_equal(got, expected, (size_t)size);
    char *path = fixture_path(f, "copy");
    ferry_handle file =
        adopt_file_beside(f, stream, open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    expect_copied(f, start(f, odd, file, UINT64_MAX, 0, 0), (uint64_t)size);
    fd = open(path, O_RDONLY);
    assert_int_equal(read(fd, got, 65536), size);
    close(fd);
    assert_memory_equal(got, expected, (size_t)size);
    /* A device that is full. */
    ferry_handle full = adopt_file_beside(f, stream, open("/dev/full", O_WRONLY | O_CLOEXEC));
    ferry_completion ended = fixture_final(f, start(f, odd, full, UINT64_MAX, 0, 0));
    assert_status(ended.status, FERRY_E_NO_SPACE);
    assert_int_equal(ended.os_error, ENOSPC);
    assert_int_equal(ended.result, 0);
}

/* Pipes may keep a worker waiting: it must be possible to stop it. */
static void pipes_are_files_too(void **state) {
    fixture *f = fixture_open(state);
    int in[2];
    int out[2];
    int peer;
    REQUIRE(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_handle source = adopt_file_beside(f, stream, in[0]);
    ferry_handle sink = adopt_file_beside(f, stream, out[1]);
    fixture_keep(f, out[0]);
    char got[16];
    ferry_op op = start(f, source, stream, UINT64_MAX, 0, 0);
    REQUIRE(write(in[1], "pipe", 4) == 4);
    fixture_until_readable(f, peer);
    peer_receive(peer, got, 4);
    assert_memory_equal(got, "pipe", 4);
    fixture_cancel(f, op);
    ferry_completion ended = fixture_final(f, op);
    assert_status(ended.status, FERRY_E_CANCELED);
    assert_int_equal(ended.result, 4);
    op = start(f, source, sink, UINT64_MAX, 0, 0);
    REQUIRE(write(in[1], "more", 4) == 4);
    close(in[1]);
    expect_copied(f, op, 4);
    assert_int_equal(read(out[0], got, 16), 4);
    /* Nobody reads it: it is full some time, and has an end all the same. */
    ferry_handle file =
        adopt_file_beside(f, stream, open(fixture_file(f, "file", BIG), O_RDONLY | O_CLOEXEC));
    ferry_request request;
    ferry_prepare_handle_copy(&request, file, sink, UINT64_MAX, 0, 0);
    request.deadline_ns = 50 * MS;
    ended = fixture_do(f, &request);
    assert_status(ended.status, FERRY_E_TIMED_OUT);
    unsigned char *data = fixture_memory(f, BIG);
    fixture_close_handle(f, sink);
    size_t size = 0;
    for (ssize_t some; (some = read(out[0], data + size, BIG - size)) > 0;) {
        size += (size_t)some;
    }
    assert_int_equal(size, ended.result);
    assert_true(pattern_matches(data, size, 0));
}

/* --- Its place ------------------------------------------------------------------------------ */

static void left_over_bytes_come_first(void **state) {
    fixture *f = fixture_open(state);
    int peers[2];
    ferry_handle from = fixture_stream(f, &peers[0]);
    ferry_handle to = fixture_stream_beside(f, from, &peers[1]);
    char *path = fixture_path(f, "copy");
    ferry_handle file = adopt_file_beside(f, from, open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    char *memory = fixture_memory(f, 16);
    ferry_request request;
    for (int to_file = 0; to_file < 2; to_file++) {
        ferry_handle sink = to_file ? file : to;
        char got[12];
        peer_send(peers[0], "line\nleft over", 14);
        ferry_prepare_stream_receive_until(&request, from, memory, 16, "\n", 1);
        assert_int_equal(fixture_do(f, &request).result, 5);
        expect_copied(f, start(f, from, sink, 4, 0, 0), 4);
        ferry_op op = start(f, from, sink, 8, 0, to_file ? 4 : 0);
        peer_send(peers[0], "new", 3);
        expect_copied(f, op, 8);
        if (to_file) {
            int fd = open(path, O_RDONLY);
            assert_int_equal(read(fd, got, 12), 12);
            close(fd);
        } else {
            peer_receive(peers[1], got, 12);
        }
        assert_memory_equal(got, "left overnew", 12);
    }
}

static void it_keeps_its_place_among_sends(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_handle file =
        adopt_file_beside(f, stream, open(fixture_file(f, "file", SOME), O_RDONLY | O_CLOEXEC));
    ferry_request requests[5];
    ferry_op ops[5];
    ferry_prepare_stream_send(&requests[0], stream, "before", 6);
    ferry_prepare_handle_copy(&requests[1], file, stream, UINT64_MAX, 0, 0);
    ferry_prepare_stream_send(&requests[2], stream, "between", 7);
    ferry_prepare_handle_copy(&requests[3], file, stream, 10, 10, 0);
    ferry_prepare_stream_shutdown(&requests[4], stream);
    fixture_submit_all(f, requests, 5, ops);
    unsigned char *got = fixture_memory(f, SOME + 100);
    for (size_t i = 0; i < 2; i++) {
        fixture_turn(f, MS);
    }
    size_t total = 0;
    while (total < SOME + 23) {
        ssize_t some = recv(peer, got + total, SOME + 100 - total, MSG_DONTWAIT);
        if (some > 0) {
            total += (size_t)some;
        } else {
            assert_true(some < 0);
            fixture_turn(f, MS);
        }
    }
    for (size_t i = 0; i < 5; i++) {
        assert_status(fixture_final(f, ops[i]).status, FERRY_OK);
    }
    assert_int_equal(peer_receive_all(peer, got + total, 1), 0);
    assert_memory_equal(got, "before", 6);
    assert_true(pattern_matches(got + 6, SOME, 0));
    assert_memory_equal(got + 6 + SOME, "between", 7);
    assert_true(pattern_matches(got + 13 + SOME, 10, 10));
}

static void it_is_the_only_receive(void **state) {
    fixture *f = fixture_open(state);
    int peers[2];
    ferry_handle from = fixture_stream(f, &peers[0]);
    ferry_handle to = fixture_stream_beside(f, from, &peers[1]);
    char *memory = fixture_memory(f, 16);
    ferry_request request;
    ferry_op op = start(f, from, to, UINT64_MAX, 0, 0);
    ferry_prepare_stream_receive(&request, from, memory, 16);
    assert_status(fixture_do(f, &request).status, FERRY_E_BUSY);
    assert_status(fixture_final(f, start(f, from, to, 1, 0, 0)).status, FERRY_E_BUSY);
    ferry_prepare_stream_receive(&request, to, memory, 16);
    ferry_op receiving = fixture_submit(f, &request);
    assert_status(fixture_final(f, start(f, to, from, 1, 0, 0)).status, FERRY_E_BUSY);
    fixture_cancel(f, op);
    ferry_completion ended = fixture_final(f, op);
    assert_status(ended.status, FERRY_E_CANCELED);
    assert_int_equal(ended.flags, FERRY_REUSABLE);
    peer_send(peers[1], "x", 1);
    assert_int_equal(fixture_final(f, receiving).result, 1);
}

/* --- Ending early --------------------------------------------------------------------------- */

static void a_stuck_one_tells_its_bytes(void **state) {
    fixture *f = fixture_open(state);
    char *path = fixture_file(f, "file", FIXTURE_STUCK_SIZE);
    for (int how = 0; how < 4; how++) {
        int peer;
        ferry_handle stream = fixture_narrow_stream(f, &peer);
        ferry_handle file = adopt_file_beside(f, stream, open(path, O_RDONLY | O_CLOEXEC));
        ferry_request request;
        ferry_prepare_handle_copy(&request, file, stream, UINT64_MAX, 0, 0);
        request.deadline_ns = how == 0 ? 100 * MS : 0;
        ferry_op op = fixture_submit(f, &request);
        ferry_prepare_stream_send(&request, stream, "never", 5);
        request.deadline_ns = how == 0 ? 50 * MS : 0;
        ferry_op behind = fixture_submit(f, &request);
        fixture_until_readable(f, peer);
        if (how == 1) {
            fixture_cancel(f, behind);
            assert_int_equal(fixture_final(f, behind).flags, FERRY_REUSABLE);
            fixture_cancel(f, op);
        } else if (how >= 2) {
            if (how == 2) {
                fixture_cancel(f, behind);
                assert_status(fixture_final(f, behind).status, FERRY_E_CANCELED);
            }
            fixture_close_handle(f, how == 2 ? file : stream);
        }
        ferry_completion ended = fixture_final(f, op);
        static const ferry_status expected[] = {FERRY_E_TIMED_OUT, FERRY_E_CANCELED, FERRY_E_CLOSED,
                                                FERRY_E_CLOSED};
        assert_status(ended.status, expected[how]);
        assert_true(ended.result > 0 && ended.result < FIXTURE_STUCK_SIZE);
        assert_int_equal(ended.flags, 0);
        if (how < 3) {
            fixture_close_handle(f, stream);
        } else {
            assert_status(fixture_final(f, behind).status, FERRY_E_CLOSED);
        }
        unsigned char *got = fixture_memory(f, FIXTURE_STUCK_SIZE);
        size_t size = peer_receive_all(peer, got, FIXTURE_STUCK_SIZE);
        assert_int_equal(size, ended.result);
        assert_true(pattern_matches(got, size, 0));
    }
}

static void a_stuck_pair_tells_its_bytes(void **state) {
    fixture *f = fixture_open(state);
    for (int how = 0; how < 3; how++) {
        int peers[2];
        ferry_handle to = fixture_narrow_stream(f, &peers[1]);
        ferry_handle from = fixture_stream_beside(f, to, &peers[0]);
        ferry_op op = start(f, from, to, UINT64_MAX, 0, 0);
        unsigned char *data = fixture_memory(f, FIXTURE_STUCK_SIZE);
        pattern_fill(data, FIXTURE_STUCK_SIZE, 0);
        size_t sent = 0;
        for (int idle = 0; idle < 20; idle++) {
            size_t some = peer_send_what_fits(peers[0], data + sent, FIXTURE_STUCK_SIZE - sent);
            sent += some;
            idle = some > 0 ? 0 : idle;
            fixture_turn(f, MS);
        }
        if (how == 0) {
            fixture_cancel(f, op);
        } else {
            fixture_close_handle(f, how == 1 ? from : to);
        }
        ferry_completion ended = fixture_final(f, op);
        assert_status(ended.status, how == 0 ? FERRY_E_CANCELED : FERRY_E_CLOSED);
        if (how < 2) {
            fixture_close_handle(f, to);
        }
        unsigned char *got = fixture_memory(f, FIXTURE_STUCK_SIZE);
        size_t size = peer_receive_all(peers[1], got, FIXTURE_STUCK_SIZE);
        assert_int_equal(size, ended.result);
        assert_true(pattern_matches(got, size, 0));
    }
}

/* Also where the test's own thread runs the loop, which a SIGPIPE would end. */
static void a_reset_fails_it(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    int listener = fixture_keep(f, peer_listen_small(&port));
    char *path = fixture_file(f, "file", BIG);
    for (int from_stream = 0; from_stream < 2; from_stream++) {
        int source_peer;
        ferry_handle source = FERRY_NONE;
        ferry_handle stream = FERRY_NONE;
        int peer = -1;
        ferry_completion connected;
        ferry_request request;
        source = from_stream ? fixture_stream(f, &source_peer)
                             : adopt_file(f, open(path, O_RDONLY | O_CLOEXEC));
        for (;;) {
            ferry_address address = loopback(port);
            ferry_prepare_tcp_connect(&request, &address);
            connected = fixture_do(f, &request);
            peer = peer_accept(listener);
            ferry_prepare_handle_copy(&request, source, connected.handle, 0, 0, 0);
            if (fixture_fate(f, &request) == FERRY_OK) {
                break;
            }
            close(peer);
        }
        stream = connected.handle;
        ferry_op op = start(f, source, stream, UINT64_MAX, 0, 0);
        if (from_stream) {
            peer_send(source_peer, "some", 4);
        }
        fixture_until_readable(f, peer);
        peer_reset(peer);
        while (!fixture_has(f, op)) {
            if (from_stream) {
                peer_send_what_fits(source_peer, "more", 4);
            }
            fixture_turn(f, MS);
        }
        ferry_completion ended = fixture_final(f, op);
        assert_status_either(ended.status, FERRY_E_CONNECTION_RESET, FERRY_E_BROKEN_PIPE);
        assert_int_not_equal(ended.os_error, 0);
        /* And once more, to what is broken for good. */
        op = start(f, source, stream, UINT64_MAX, 0, 0);
        while (!fixture_has(f, op)) {
            if (from_stream) {
                peer_send_what_fits(source_peer, "more", 4);
            }
            fixture_turn(f, MS);
        }
        ended = fixture_final(f, op);
        assert_status_either(ended.status, FERRY_E_CONNECTION_RESET, FERRY_E_BROKEN_PIPE);
        assert_int_equal(ended.result, 0);
    }
}

/* No worker had come to it: it is taken back as if it had never been asked for. */
static void one_that_no_worker_began_is_taken_back(void **state) {
    ferry_engine_options one = {.workers_max = 1};
    fixture *f = fixture_open_with(state, &one, NULL);
    const char *path = fixture_path(f, "copy");
    ferry_handle from = adopt_file(f, open(fixture_file(f, "file", SOME), O_RDONLY | O_CLOEXEC));
    ferry_handle to =
        adopt_file_beside(f, from, open(path, O_WRONLY | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR));
    ferry_request request;
    ferry_prepare_file_load(&request, fixture_fifo(f, "fifo"), 0);
    ferry_op stuck = fixture_submit(f, &request);
    assert_true(fixture_wait_until_stuck(f, stuck));
    for (int i = 0; i < 3; i++) {
        ferry_op op = start(f, from, to, UINT64_MAX, 0, 0);
        fixture_turn(f, MS);
        fixture_cancel(f, op);
        ferry_completion ended = fixture_final(f, op);
        assert_status(ended.status, FERRY_E_CANCELED);
        assert_int_equal(ended.result, 0);
        assert_int_equal(ended.flags, FERRY_REUSABLE);
    }
    fixture_open_fifo(fixture_path(f, "fifo"));
    fixture_final(f, stuck);
    expect_copied(f, start(f, from, to, UINT64_MAX, 0, 0), SOME);
    fixture_shutdown(f); /* It counts the jobs that were handed to workers. */
}

static void who_may_not_read_or_write_is_told(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    char *path = fixture_file(f, "file", BIG);
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_handle readable = adopt_file(f, open(path, O_RDONLY | O_CLOEXEC));
    ferry_handle writable = adopt_file(f, open(path, O_WRONLY | O_CLOEXEC));
    const ferry_handle pairs[][2] = {{writable, stream}, {writable, readable}, {stream, readable}};
    REQUIRE(send(peer, "abc", 3, 0) == 3);
    for (size_t i = 0; i < 3; i++) {
        ferry_request request;
        ferry_prepare_handle_copy(&request, pairs[i][0], pairs[i][1], 3, 0, 0);
        ferry_completion done = fixture_do(f, &request);
        assert_status(done.status, FERRY_E_ACCESS);
        assert_int_equal(done.os_error, EBADF);
        assert_int_equal(done.result, 0);
    }
}

static void bad_requests_are_refused(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    uint16_t port;
    ferry_handle stream = fixture_stream(f, &peer);
    ferry_handle other = fixture_stream_beside(f, stream, &peer);
    ferry_handle listener = fixture_listen(f, &port);
    const struct {
        ferry_handle from;
        ferry_handle to;
        uint64_t size;
        uint64_t from_offset;
        uint64_t to_offset;
        ferry_status status;
    } bad[] = {
        {stream, stream, 1, 0, 0, FERRY_E_INVALID},
        {stream, other, 1, 1, 0, FERRY_E_INVALID},
        {stream, other, 1, 0, 1, FERRY_E_INVALID},
        {stream, other, UINT64_MAX - 1, 0, 0, FERRY_E_INVALID},
        {stream, listener, 1, 0, 0, FERRY_E_WRONG_KIND},
        {listener, stream, 1, 0, 0, FERRY_E_WRONG_KIND},
        {stream, FERRY_NONE, 1, 0, 0, FERRY_E_BAD_HANDLE},
        {FERRY_NONE, stream, 1, 0, 0, FERRY_E_BAD_HANDLE},
        {stream, other ^ (UINT64_C(1) << 51), 1, 0, 0, FERRY_E_FOREIGN},
    };
    ferry_request request;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ferry_prepare_handle_copy(&request, bad[i].from, bad[i].to, bad[i].size, bad[i].from_offset,
                                  bad[i].to_offset);
        assert_status(fixture_try(f, &request, 1, NULL, NULL), bad[i].status);
    }
    fixture_close_handle(f, other);
    assert_status(fixture_final(f, start(f, stream, other, 1, 0, 0)).status, FERRY_E_STALE);
    assert_status(fixture_final(f, start(f, other, stream, 1, 0, 0)).status, FERRY_E_STALE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EVERY_DRIVE(a_file_goes_to_a_stream),
        ON_EVERY_DRIVE(a_file_goes_to_a_file),
        ON_EVERY_DRIVE(a_stream_goes_to_a_file),
        ON_EVERY_DRIVE(a_stream_goes_to_a_stream),
        ON_EACH_SHARDS(files_that_the_kernel_cannot_copy),
        ON_EACH_SHARDS(pipes_are_files_too),
        ON_EVERY_DRIVE(left_over_bytes_come_first),
        ON_EVERY_DRIVE(it_keeps_its_place_among_sends),
        ON_EVERY_DRIVE(it_is_the_only_receive),
        ON_EACH_SHARDS(a_stuck_one_tells_its_bytes),
        ON_EACH_SHARDS(a_stuck_pair_tells_its_bytes),
        ON_EACH_SHARDS(a_reset_fails_it),
        ON_EACH_SHARDS(one_that_no_worker_began_is_taken_back),
        ON_HOST(who_may_not_read_or_write_is_told),
        ON_EACH_SHARDS(bad_requests_are_refused),
    };
    return RUN_SUITE(tests);
}
