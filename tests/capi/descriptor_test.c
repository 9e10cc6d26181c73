/*
 * Descriptors become handles and handles descriptors; processes that share a listener; connections
 * spread over shards, by the system or by hand.
 */
#include "fixture.h"

#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { CHILDREN = 3, CONNECTIONS = 30, SHARDS = 4, MANY = 400 };

static ferry_completion adopt(fixture *f, int64_t fd, uint32_t kind) {
    ferry_request request;
    ferry_prepare_descriptor_adopt(&request, fd, kind);
    return fixture_do(f, &request);
}

static ferry_completion release(fixture *f, ferry_handle handle) {
    ferry_request request;
    ferry_prepare_descriptor_release(&request, handle);
    return fixture_do(f, &request);
}

static void expect_echo(fixture *f, ferry_handle stream, int peer) {
    char *memory = fixture_memory(f, 8);
    ferry_request request;
    peer_send(peer, "ping", 4);
    ferry_prepare_stream_receive_exactly(&request, stream, memory, 4);
    assert_status(fixture_do(f, &request).status, FERRY_OK);
    ferry_prepare_stream_send(&request, stream, memory, 4);
    assert_status(fixture_do(f, &request).status, FERRY_OK);
    char got[4];
    peer_receive(peer, got, 4);
    assert_memory_equal(got, "ping", 4);
}

/* --- Adopting and releasing ---------------------------------------------------------------- */

static void a_connected_socket_becomes_a_stream(void **state) {
    fixture *f = fixture_open(state);
    int pair[2];
    uint16_t port;
    int listener = fixture_keep(f, peer_listen(&port));
    for (int unix_domain = 0; unix_domain < 2; unix_domain++) {
        if (unix_domain) {
            REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
        } else {
            pair[0] = peer_connect(port);
            pair[1] = peer_accept(listener);
        }
        fixture_keep(f, pair[1]);
        ferry_completion adopted = adopt(f, pair[0], FERRY_DESCRIPTOR_STREAM);
        assert_status(adopted.status, FERRY_OK);
        assert_true((fcntl(pair[0], F_GETFL) & O_NONBLOCK) != 0);
        assert_true((fcntl(pair[0], F_GETFD) & FD_CLOEXEC) != 0);
        expect_echo(f, adopted.handle, pair[1]);
        fixture_close_handle(f, adopted.handle);
        assert_true(peer_sees_end(pair[1]));
        assert_int_equal(fcntl(pair[0], F_GETFD), -1);
    }
}

static void a_listening_socket_becomes_a_listener(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    ferry_completion adopted = adopt(f, peer_listen(&port), FERRY_DESCRIPTOR_LISTENER);
    assert_status(adopted.status, FERRY_OK);
    ferry_request request;
    ferry_prepare_tcp_accept(&request, adopted.handle);
    ferry_op accepting = fixture_submit(f, &request);
    for (int i = 0; i < 3; i++) {
        int peer = fixture_keep(f, peer_connect(port));
        ferry_completion accepted = fixture_next(f, accepting);
        assert_status(accepted.status, FERRY_OK);
        expect_echo(f, accepted.handle, peer);
    }
    fixture_close_handle(f, adopted.handle);
    assert_status(fixture_final(f, accepting).status, FERRY_E_CLOSED);
    assert_false(peer_can_connect(port));
}

static void a_file_can_be_adopted_and_closed(void **state) {
    fixture *f = fixture_open(state);
    ferry_request request;
    ferry_prepare_nop(&request);
    fixture_do(f, &request); /* The queue's own descriptor is made by the first wait. */
    size_t before = count_descriptors();
    int fd = open(fixture_file(f, "file", 100), O_RDONLY);
    REQUIRE(fd >= 0);
    ferry_completion adopted = adopt(f, fd, FERRY_DESCRIPTOR_FILE);
    assert_status(adopted.status, FERRY_OK);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) == 0);
    fixture_close_handle(f, adopted.handle);
    assert_int_equal(count_descriptors(), before);
    assert_status(release(f, adopted.handle).status, FERRY_E_STALE);
}

static void what_is_something_else_stays_the_hosts(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    int pipes[2];
    int sockets[2];
    REQUIRE(pipe(pipes) == 0 && socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets) == 0);
    int listener = peer_listen(&port);
    int stream = peer_connect(port);
    int file = open(fixture_file(f, "file", 100), O_RDONLY);
    int folder = open("/", O_RDONLY | O_DIRECTORY);
    const struct {
        int fd;
        uint32_t kind;
    } wrong[] = {
        {listener, FERRY_DESCRIPTOR_STREAM},     {listener, FERRY_DESCRIPTOR_FILE},
        {stream, FERRY_DESCRIPTOR_LISTENER},     {stream, FERRY_DESCRIPTOR_FILE},
        {file, FERRY_DESCRIPTOR_STREAM},         {file, FERRY_DESCRIPTOR_LISTENER},
        {pipes[0], FERRY_DESCRIPTOR_STREAM},     {sockets[0], FERRY_DESCRIPTOR_STREAM},
        {sockets[0], FERRY_DESCRIPTOR_LISTENER}, {folder, FERRY_DESCRIPTOR_FILE},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        int flags = fcntl(wrong[i].fd, F_GETFL);
        int more_flags = fcntl(wrong[i].fd, F_GETFD);
        assert_status(adopt(f, wrong[i].fd, wrong[i].kind).status, FERRY_E_WRONG_KIND);
        assert_int_equal(fcntl(wrong[i].fd, F_GETFL), flags);
        assert_int_equal(fcntl(wrong[i].fd, F_GETFD), more_flags);
    }
    /* A number that nobody takes meanwhile: a queue makes its descriptor when it first sleeps. */
    int gone = fcntl(folder, F_DUPFD, 800);
    REQUIRE(gone >= 800);
    close(gone);
    close(folder);
    ferry_completion closed = adopt(f, gone, FERRY_DESCRIPTOR_FILE);
    assert_status(closed.status, FERRY_E_INVALID);
    assert_int_equal(closed.os_error, EBADF);
    const int fds[] = {listener, stream, file, pipes[0], pipes[1], sockets[0], sockets[1]};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        assert_int_equal(close(fds[i]), 0);
    }
}

static void bad_requests_are_refused(void **state) {
    fixture *f = fixture_open(state);
    ferry_request request;
    ferry_prepare_descriptor_adopt(&request, -1, FERRY_DESCRIPTOR_FILE);
    assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_INVALID);
    ferry_prepare_descriptor_adopt(&request, INT64_C(1) << 32, FERRY_DESCRIPTOR_FILE);
    assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_INVALID);
    ferry_prepare_descriptor_adopt(&request, 0, 0);
    assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_INVALID);
    ferry_prepare_descriptor_adopt(&request, 0, 4);
    assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_INVALID);
    ferry_prepare_descriptor_release(&request, FERRY_NONE);
    assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_BAD_HANDLE);
}

static void what_is_not_adopted_stays_the_hosts(void **state) {
    ferry_engine_options few = {.handles_max = 1};
    fixture *f = fixture_open_with(state, &few, NULL);
    int pairs[4][2];
    for (int i = 0; i < 4; i++) {
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]) == 0);
        fixture_keep(f, pairs[i][1]);
    }
    uint32_t shards = f->drive->shards == 0 ? 1 : f->drive->shards;
    for (uint32_t i = 0; i < shards; i++) {
        assert_status(adopt(f, pairs[i][0], FERRY_DESCRIPTOR_STREAM).status, FERRY_OK);
    }
    fixture_keep(f, pairs[shards][0]);
    assert_status(adopt(f, pairs[shards][0], FERRY_DESCRIPTOR_STREAM).status, FERRY_E_NO_HANDLES);
    assert_true((fcntl(pairs[shards][0], F_GETFL) & O_NONBLOCK) == 0);
    ferry_request request;
    ferry_prepare_descriptor_adopt(&request, pairs[shards][0], FERRY_DESCRIPTOR_STREAM);
    ferry_op op = fixture_submit(f, &request);
    fixture_cancel(f, op);
    assert_status_either(fixture_final(f, op).status, FERRY_E_CANCELED, FERRY_E_NO_HANDLES);
}

static void a_released_descriptor_is_the_hosts(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    expect_echo(f, stream, peer);
    ferry_completion released = release(f, stream);
    assert_status(released.status, FERRY_OK);
    int fd = fixture_keep(f, (int)released.result);
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    assert_status(release(f, stream).status, FERRY_E_STALE);
    ferry_request request;
    ferry_prepare_handle_close(&request, stream);
    assert_status(fixture_do(f, &request).status, FERRY_OK);
    peer_send(fd, "by hand", 7);
    char got[7];
    peer_receive(peer, got, 7);
    assert_memory_equal(got, "by hand", 7);
    assert_info(f, handles_open, 0);
    /* And back again. */
    int again = dup(fd);
    ferry_completion adopted = adopt(f, again, FERRY_DESCRIPTOR_STREAM);
    assert_status(adopted.status, FERRY_OK);
    expect_echo(f, adopted.handle, peer);
}

static void what_is_busy_is_not_released(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    uint16_t port;
    ferry_handle stream = fixture_stream(f, &peer);
    char *memory = fixture_memory(f, 16);
    ferry_request request;
    ferry_prepare_stream_receive(&request, stream, memory, 16);
    ferry_op op = fixture_submit(f, &request);
    assert_status(release(f, stream).status, FERRY_E_BUSY);
    peer_send(peer, "one\ntwo", 7);
    assert_int_equal(fixture_final(f, op).result, 7);
    peer_send(peer, "one\ntwo", 7);
    /* Both have arrived before the first is asked for. */
    ferry_prepare_stream_receive_until(&request, stream, memory, 16, "two", 3);
    assert_int_equal(fixture_do(f, &request).result, 7);
    peer_send(peer, "one\ntwo", 7);
    ferry_prepare_stream_receive_until(&request, stream, memory, 16, "\n", 1);
    assert_int_equal(fixture_do(f, &request).result, 4);
    assert_status(release(f, stream).status, FERRY_E_BUSY);
    ferry_prepare_stream_receive_exactly(&request, stream, memory, 3);
    assert_int_equal(fixture_do(f, &request).result, 3);
    ferry_handle listener = fixture_listen(f, &port);
    ferry_prepare_tcp_accept(&request, listener);
    op = fixture_submit(f, &request);
    assert_status(release(f, listener).status, FERRY_E_BUSY);
    fixture_cancel(f, op);
    fixture_final(f, op);
    ferry_completion released = release(f, listener);
    assert_status(released.status, FERRY_OK);
    fixture_keep(f, (int)released.result);
    assert_true(peer_can_connect(port));
    released = release(f, stream);
    assert_status(released.status, FERRY_OK);
    fixture_keep(f, (int)released.result);
}

/* --- Processes that share a listener -------------------------------------------------------- */

typedef struct server {
    ferry_engine *engine;
    ferry_queue *queue;
} server;

static ferry_completion child_does(server *s, const ferry_request *request) {
    ferry_completion got;
    CHILD_CHECK(ferry_queue_submit(s->queue, request, 1, NULL, NULL) == FERRY_OK);
    CHILD_CHECK(ferry_queue_wait(s->queue, &got, 1, FERRY_FOREVER) == 1);
    return got;
}

/* Answers each connection with its own number, until the parent says that it is enough. */
static void serve(int listener, int enough, char number) {
    server s = {0};
    ferry_engine_options options = {.struct_size = sizeof options, .shards = 1};
    CHILD_CHECK(ferry_engine_create(&options, &s.engine) == FERRY_OK);
    CHILD_CHECK(ferry_queue_create(s.engine, NULL, &s.queue) == FERRY_OK);
    ferry_request request;
    ferry_prepare_descriptor_adopt(&request, listener, FERRY_DESCRIPTOR_LISTENER);
    ferry_handle handle = child_does(&s, &request).handle;
    for (;;) {
        ferry_prepare_tcp_accept(&request, handle);
        request.flags = 0;
        request.deadline_ns = 20 * MS;
        ferry_completion got = child_does(&s, &request);
        if (got.status == FERRY_OK) {
            ferry_prepare_stream_send(&request, got.handle, &number, 1);
            CHILD_CHECK(child_does(&s, &request).status == FERRY_OK);
            ferry_prepare_handle_close(&request, got.handle);
            CHILD_CHECK(child_does(&s, &request).status == FERRY_OK);
            continue;
        }
        CHILD_CHECK(got.status == FERRY_E_TIMED_OUT);
        char byte;
        if (read(enough, &byte, 1) == 0) {
            break;
        }
    }
    CHILD_CHECK(ferry_engine_shutdown(s.engine, FERRY_FOREVER) == FERRY_OK);
    CHILD_CHECK(ferry_engine_destroy(s.engine) == FERRY_OK);
    child_exit(0);
}

static void processes_share_an_inherited_listener(void **state) {
    (void)state;
    uint16_t port;
    int enough[2];
    pid_t children[CHILDREN];
    int listener = peer_listen(&port);
    REQUIRE(pipe2(enough, O_NONBLOCK) == 0);
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = fork();
        REQUIRE(children[i] >= 0);
        if (children[i] == 0) {
            close(enough[1]);
            serve(listener, enough[0], (char)('0' + i));
        }
    }
    close(listener);
    int served = 0;
    for (int i = 0; i < CONNECTIONS; i++) {
        int fd = peer_connect(port);
        char number;
        peer_receive(fd, &number, 1);
        served += number >= '0' && number < '0' + CHILDREN;
        assert_true(peer_sees_end(fd));
        close(fd);
    }
    assert_int_equal(served, CONNECTIONS);
    close(enough[1]);
    close(enough[0]);
    for (int i = 0; i < CHILDREN; i++) {
        assert_int_equal(child_status(children[i]), 0);
    }
}

/* --- Many shards ---------------------------------------------------------------------------- */

typedef struct cluster {
    ferry_engine *engine;
    ferry_queue *queues[SHARDS];
} cluster;

static cluster cluster_open(void) {
    cluster c = {0};
    ferry_engine_options options = {.struct_size = sizeof options, .shards = SHARDS};
    assert_status(ferry_engine_create(&options, &c.engine), FERRY_OK);
    for (uint32_t i = 0; i < SHARDS; i++) {
        ferry_queue_options on_shard = {.struct_size = sizeof on_shard, .shard = i + 1};
        assert_status(ferry_queue_create(c.engine, &on_shard, &c.queues[i]), FERRY_OK);
    }
    return c;
}

static void cluster_close(cluster *c) {
    assert_status(ferry_engine_shutdown(c->engine, FERRY_FOREVER), FERRY_OK);
    assert_status(ferry_engine_destroy(c->engine), FERRY_OK);
}

static ferry_completion does(ferry_queue *queue, const ferry_request *request) {
    ferry_completion got;
    assert_status(ferry_queue_submit(queue, request, 1, NULL, NULL), FERRY_OK);
    assert_int_equal(ferry_queue_wait(queue, &got, 1, FERRY_FOREVER), 1);
    return got;
}

static void the_system_spreads_connections_over_shards(void **state) {
    (void)state;
    cluster c = cluster_open();
    ferry_address address = loopback(0);
    ferry_request request;
    for (int i = 0; i < SHARDS; i++) {
        ferry_prepare_tcp_listen(&request, &address, 0);
        request.flags = FERRY_REUSE_PORT;
        ferry_completion listening = does(c.queues[i], &request);
        assert_status(listening.status, FERRY_OK);
        address.port = (uint16_t)listening.result;
        ferry_prepare_tcp_accept(&request, listening.handle);
        assert_status(ferry_queue_submit(c.queues[i], &request, 1, NULL, NULL), FERRY_OK);
    }
    for (int i = 0; i < MANY; i++) {
        close(peer_connect(address.port));
    }
    int total = 0;
    int served[SHARDS] = {0};
    while (total < MANY) {
        for (int i = 0; i < SHARDS; i++) {
            ferry_completion got;
            if (ferry_queue_wait(c.queues[i], &got, 1, 100 * US) == 1) {
                assert_status(got.status, FERRY_OK);
                assert_int_equal(got.flags, FERRY_MORE);
                served[i]++;
                total++;
            }
        }
    }
    for (int i = 0; i < SHARDS; i++) {
        assert_true(served[i] > 0);
    }
    cluster_close(&c);
}

static void a_connection_moves_to_another_shard(void **state) {
    (void)state;
    cluster c = cluster_open();
    ferry_address address = loopback(0);
    ferry_request request;
    ferry_prepare_tcp_listen(&request, &address, 0);
    ferry_completion listening = does(c.queues[0], &request);
    int peer = peer_connect((uint16_t)listening.result);
    ferry_prepare_tcp_accept(&request, listening.handle);
    request.flags = 0;
    ferry_handle stream = does(c.queues[0], &request).handle;
    for (int i = 1; i < SHARDS; i++) {
        ferry_handle before = stream;
        ferry_prepare_descriptor_release(&request, stream);
        ferry_completion released = does(c.queues[i], &request);
        assert_status(released.status, FERRY_OK);
        ferry_prepare_descriptor_adopt(&request, released.result, FERRY_DESCRIPTOR_STREAM);
        ferry_completion adopted = does(c.queues[i], &request);
        assert_status(adopted.status, FERRY_OK);
        stream = adopted.handle;
        /* It is elsewhere now: what is here cannot be copied there. */
        ferry_prepare_handle_copy(&request, before, stream, 1, 0, 0);
        assert_status(ferry_queue_submit(c.queues[0], &request, 1, NULL, NULL),
                      FERRY_E_WRONG_SHARD);
        char memory[4];
        peer_send(peer, "ping", 4);
        ferry_prepare_stream_receive_exactly(&request, stream, memory, 4);
        assert_status(does(c.queues[i], &request).status, FERRY_OK);
        ferry_prepare_stream_send(&request, stream, memory, 4);
        assert_status(does(c.queues[i], &request).status, FERRY_OK);
        char got[4];
        peer_receive(peer, got, 4);
        assert_memory_equal(got, "ping", 4);
    }
    close(peer);
    cluster_close(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EVERY_DRIVE(a_connected_socket_becomes_a_stream),
        ON_EVERY_DRIVE(a_listening_socket_becomes_a_listener),
        ON_EVERY_DRIVE(a_file_can_be_adopted_and_closed),
        ON_EACH_SHARDS(what_is_something_else_stays_the_hosts),
        ON_EACH_SHARDS(bad_requests_are_refused),
        ON_EACH_SHARDS(what_is_not_adopted_stays_the_hosts),
        ON_EVERY_DRIVE(a_released_descriptor_is_the_hosts),
        ON_EVERY_DRIVE(what_is_busy_is_not_released),
        PLAIN(processes_share_an_inherited_listener),
        PLAIN(the_system_spreads_connections_over_shards),
        PLAIN(a_connection_moves_to_another_shard),
    };
    return RUN_SUITE(tests);
}
