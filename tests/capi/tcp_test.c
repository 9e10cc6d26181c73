/* TCP: listen, accept, connect. What flows through a connection is stream_test's matter. */
#include "fixture.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PEERS = 5, BURST = 40 };

static ferry_completion listen_on(fixture *f, ferry_address address, uint32_t flags) {
    ferry_request request;
    ferry_prepare_tcp_listen(&request, &address, 0);
    request.flags = flags;
    return fixture_do(f, &request);
}

static ferry_op start_accept(fixture *f, ferry_handle listener, uint32_t flags) {
    ferry_request request;
    ferry_prepare_tcp_accept(&request, listener);
    request.flags = flags;
    return fixture_submit(f, &request);
}

static ferry_completion connect_to(fixture *f, ferry_address address) {
    ferry_request request;
    ferry_prepare_tcp_connect(&request, &address);
    return fixture_do(f, &request);
}

static void the_system_chooses_a_port(void **state) {
    fixture *f = fixture_open(state);
    uint16_t first_port;
    uint16_t second_port;
    ferry_handle first = fixture_listen(f, &first_port);
    ferry_handle second = fixture_listen(f, &second_port);
    assert_int_not_equal(first, FERRY_NONE);
    assert_int_not_equal(first, second);
    assert_int_not_equal(first_port, 0);
    assert_int_not_equal(first_port, second_port);
    assert_info(f, handles_open, 2);
    assert_true(peer_can_connect(first_port));
}

static void an_address_in_use_is_refused(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    int holder = fixture_keep(f, peer_listen(&port));
    assert_true(holder >= 0);
    ferry_completion completion = listen_on(f, loopback(port), 0);
    assert_status(completion.status, FERRY_E_ADDRESS_IN_USE);
    assert_int_equal(completion.os_error, EADDRINUSE);
    assert_int_equal(completion.handle, FERRY_NONE);
    assert_info(f, handles_open, 0);
}

static void an_address_of_nobody_is_refused(void **state) {
    fixture *f = fixture_open(state);
    FILE *setting = fopen("/proc/sys/net/ipv4/ip_nonlocal_bind", "r");
    int anything_goes = setting == NULL || fgetc(setting) != '0';
    if (setting != NULL) {
        fclose(setting);
    }
    if (anything_goes) {
        SKIP_BECAUSE("this system binds to addresses that it does not have");
    }
    ferry_address address;
    assert_status(ferry_address_parse("192.0.2.1", 0, &address), FERRY_OK);
    ferry_completion completion = listen_on(f, address, 0);
    assert_status(completion.status, FERRY_E_ADDRESS_NOT_AVAILABLE);
    assert_int_equal(completion.os_error, EADDRNOTAVAIL);
}

static void a_port_can_be_shared_on_request(void **state) {
    fixture *f = fixture_open(state);
    ferry_completion first = listen_on(f, loopback(0), FERRY_REUSE_PORT);
    assert_status(first.status, FERRY_OK);
    ferry_address address = loopback((uint16_t)first.result);
    assert_status(listen_on(f, address, 0).status, FERRY_E_ADDRESS_IN_USE);
    ferry_completion second = listen_on(f, address, FERRY_REUSE_PORT);
    assert_status(second.status, FERRY_OK);
    assert_int_equal(second.result, first.result);
}

static void a_port_is_free_again_after_close(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    ferry_handle listener = fixture_listen(f, &port);
    /* A connection in TIME_WAIT must not keep the port either. */
    ferry_op op = start_accept(f, listener, 0);
    int peer = fixture_keep(f, peer_connect(port));
    fixture_close_handle(f, fixture_final(f, op).handle);
    assert_true(peer_sees_end(peer));
    fixture_close_handle(f, listener);
    assert_status(listen_on(f, loopback(port), 0).status, FERRY_OK);
}

static void accepts_many(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    ferry_handle listener = fixture_listen(f, &port);
    ferry_op op = start_accept(f, listener, FERRY_MULTISHOT);
    for (int i = 0; i < PEERS; i++) {
        fixture_keep(f, peer_connect(port));
        ferry_completion completion = fixture_next(f, op);
        assert_status(completion.status, FERRY_OK);
        assert_int_equal(completion.flags, FERRY_MORE);
    }
    assert_info(f, handles_open, 1 + PEERS);
    fixture_cancel(f, op);
    ferry_completion final = fixture_final(f, op);
    assert_status(final.status, FERRY_E_CANCELED);
    assert_int_equal(final.handle, listener);
}

static void accepts_those_who_came_before(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    ferry_handle listener = fixture_listen(f, &port);
    for (int i = 0; i < PEERS; i++) {
        fixture_keep(f, peer_connect(port));
    }
    ferry_op op = start_accept(f, listener, FERRY_MULTISHOT);
    for (int i = 0; i < PEERS; i++) {
        assert_status(fixture_next(f, op).status, FERRY_OK);
    }
}

/* More than are accepted upon one event: none is left waiting, and the listener is watched on. */
static void accepts_a_burst_and_who_comes_later(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    ferry_handle listener = fixture_listen(f, &port);
    for (int i = 0; i < BURST; i++) {
        fixture_keep(f, peer_connect(port));
    }
    ferry_op op = start_accept(f, listener, FERRY_MULTISHOT);
    for (int i = 0; i < BURST; i++) {
        assert_status(fixture_next(f, op).status, FERRY_OK);
    }
    for (int i = 0; i < PEERS; i++) {
        fixture_keep(f, peer_connect(port));
        assert_status(fixture_next(f, op).status, FERRY_OK);
    }
    assert_info(f, handles_open, 1 + BURST + PEERS);
    /* Closed between two bursts: nobody is accepted from what is gone. */
    for (int i = 0; i < BURST; i++) {
        fixture_keep(f, peer_connect(port));
    }
    fixture_close_handle(f, listener);
    ferry_completion last;
    do {
        last = fixture_next(f, op);
    } while ((last.flags & FERRY_MORE) != 0);
    assert_status(last.status, FERRY_E_CLOSED);
}

static void accepts_one_and_the_next_later(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    ferry_handle listener = fixture_listen(f, &port);
    for (int i = 0; i < PEERS; i++) {
        ferry_op op = start_accept(f, listener, 0);
        fixture_keep(f, peer_connect(port));
        ferry_completion completion = fixture_next(f, op);
        assert_status(completion.status, FERRY_OK);
        assert_int_equal(completion.flags, 0);
        assert_int_not_equal(completion.handle, listener);
    }
    /* Nobody accepts now: a connection waits in the backlog and is there for the next. */
    fixture_keep(f, peer_connect(port));
    fixture_linger(f, 3 * MS);
    assert_info(f, handles_open, 1 + PEERS);
    assert_status(fixture_final(f, start_accept(f, listener, 0)).status, FERRY_OK);
}

static void a_second_accept_is_busy(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    ferry_handle listener = fixture_listen(f, &port);
    ferry_op first = start_accept(f, listener, FERRY_MULTISHOT);
    ferry_op second = start_accept(f, listener, 0);
    assert_status(fixture_final(f, second).status, FERRY_E_BUSY);
    fixture_keep(f, peer_connect(port));
    assert_status(fixture_next(f, first).status, FERRY_OK);
    fixture_cancel(f, first);
    assert_status(fixture_final(f, first).status, FERRY_E_CANCELED);
    /* After the first has ended there is room for another. */
    ferry_op third = start_accept(f, listener, 0);
    fixture_keep(f, peer_connect(port));
    assert_status(fixture_final(f, third).status, FERRY_OK);
}

static void a_canceled_accept_loses_nobody(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    ferry_handle listener = fixture_listen(f, &port);
    ferry_op op = start_accept(f, listener, 0);
    fixture_linger(f, 2 * MS);
    fixture_cancel(f, op);
    ferry_completion final = fixture_final(f, op);
    assert_status(final.status, FERRY_E_CANCELED);
    assert_int_equal(final.handle, listener);
    fixture_keep(f, peer_connect(port));
    assert_status(fixture_final(f, start_accept(f, listener, 0)).status, FERRY_OK);
}

static void connects(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    int listener = fixture_keep(f, peer_listen(&port));
    ferry_completion completion = connect_to(f, loopback(port));
    assert_status(completion.status, FERRY_OK);
    assert_int_not_equal(completion.handle, FERRY_NONE);
    assert_int_equal(completion.flags, 0);
    fixture_keep(f, peer_accept(listener));
    assert_info(f, handles_open, 1);
}

static void a_refused_connection_says_so(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    fixture_keep(f, peer_refuse(&port));
    ferry_completion completion = connect_to(f, loopback(port));
    assert_status(completion.status, FERRY_E_CONNECTION_REFUSED);
    assert_int_equal(completion.os_error, ECONNREFUSED);
    assert_int_equal(completion.handle, FERRY_NONE);
    assert_info(f, handles_open, 0);
}

static void a_connect_without_an_answer_can_be_ended(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    int waiting;
    fixture_keep(f, peer_listen_full(&port, &waiting));
    fixture_keep(f, waiting);
    ferry_address address = loopback(port);
    ferry_request request;
    ferry_prepare_tcp_connect(&request, &address);

    ferry_op op = fixture_submit(f, &request);
    fixture_linger(f, 5 * MS);
    assert_false(fixture_has(f, op));
    fixture_cancel(f, op);
    assert_status(fixture_final(f, op).status, FERRY_E_CANCELED);

    request.deadline_ns = 10 * MS;
    uint64_t begin = now_ns();
    assert_status(fixture_do(f, &request).status, FERRY_E_TIMED_OUT);
    assert_true(now_ns() - begin >= 10 * MS);
    assert_info(f, handles_open, 0);
}

static void both_ends_may_be_ferrys(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    ferry_handle listener = fixture_listen(f, &port);
    ferry_op accept_op = start_accept(f, listener, 0);
    ferry_completion connected = connect_to(f, loopback(port));
    ferry_completion accepted = fixture_final(f, accept_op);
    assert_status(connected.status, FERRY_OK);
    assert_status(accepted.status, FERRY_OK);
    char *memory = fixture_memory(f, 8);
    ferry_request request;
    ferry_prepare_stream_send(&request, connected.handle, "ahoy", 4);
    assert_status(fixture_do(f, &request).status, FERRY_OK);
    ferry_prepare_stream_receive(&request, accepted.handle, memory, 8);
    assert_int_equal(fixture_do(f, &request).result, 4);
    assert_memory_equal(memory, "ahoy", 4);
}

static int have_ipv6_loopback(void) {
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    if (fd < 0) {
        return 0;
    }
    int bound = bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return bound;
}

static void ipv6_works_alike(void **state) {
    fixture *f = fixture_open(state);
    if (!have_ipv6_loopback()) {
        SKIP_BECAUSE("this machine has no IPv6 loopback");
    }
    ferry_address address;
    assert_status(ferry_address_parse("::1", 0, &address), FERRY_OK);
    ferry_completion listening = listen_on(f, address, 0);
    assert_status(listening.status, FERRY_OK);
    address.port = (uint16_t)listening.result;
    ferry_op op = start_accept(f, listening.handle, 0);
    assert_status(connect_to(f, address).status, FERRY_OK);
    assert_status(fixture_final(f, op).status, FERRY_OK);
    assert_status(listen_on(f, address, 0).status, FERRY_E_ADDRESS_IN_USE);
}

static void a_host_that_resets_in_the_backlog_does_no_harm(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    ferry_handle listener = fixture_listen(f, &port);
    peer_reset(peer_connect(port));
    ferry_op op = start_accept(f, listener, FERRY_MULTISHOT);
    int peer = fixture_keep(f, peer_connect(port));
    peer_send(peer, "x", 1);
    /* The one that is gone may still be accepted; then it is the first to be seen. */
    ferry_completion completion = fixture_next(f, op);
    assert_status(completion.status, FERRY_OK);
    char *memory = fixture_memory(f, 1);
    ferry_request request;
    ferry_prepare_stream_receive(&request, completion.handle, memory, 1);
    ferry_completion received = fixture_do(f, &request);
    if (received.status != FERRY_OK) {
        assert_status(received.status, FERRY_E_CONNECTION_RESET);
        completion = fixture_next(f, op);
        ferry_prepare_stream_receive(&request, completion.handle, memory, 1);
        received = fixture_do(f, &request);
    }
    assert_status(received.status, FERRY_OK);
    assert_int_equal(received.result, 1);
}

static void a_borrowed_address_may_change_after_submit(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    int listener = fixture_keep(f, peer_listen(&port));
    ferry_address *address = fixture_memory(f, sizeof *address);
    ferry_request request;
    *address = loopback(port);
    ferry_prepare_tcp_connect(&request, address);
    memset(address, 0xff, sizeof *address);
    ferry_op op = fixture_submit(f, &request);
    assert_status(fixture_final(f, op).status, FERRY_OK);
    fixture_keep(f, peer_accept(listener));
}

/* This process's socket that is connected to a port: the engine's end, seen from outside. */
static int socket_connected_to(uint16_t port) {
    for (int fd = 3; fd < 1024; fd++) {
        struct sockaddr_in peer;
        socklen_t size = sizeof peer;
        if (getpeername(fd, (struct sockaddr *)&peer, &size) == 0 && ntohs(peer.sin_port) == port) {
            return fd;
        }
    }
    return -1;
}

static void connections_do_not_delay_small_sends(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    fixture_keep(f, peer_listen(&port));
    assert_status(connect_to(f, loopback(port)).status, FERRY_OK);
    int fd = socket_connected_to(port);
    assert_true(fd >= 0);
    int no_delay = 0;
    socklen_t size = sizeof no_delay;
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, &size), 0);
    assert_int_not_equal(no_delay, 0);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EVERY_DRIVE(the_system_chooses_a_port),
        ON_EACH_SHARDS(an_address_in_use_is_refused),
        ON_EACH_SHARDS(an_address_of_nobody_is_refused),
        ON_EACH_SHARDS(a_port_can_be_shared_on_request),
        ON_EACH_SHARDS(a_port_is_free_again_after_close),
        ON_EVERY_DRIVE(accepts_many),
        ON_EVERY_DRIVE(accepts_those_who_came_before),
        ON_EVERY_DRIVE(accepts_a_burst_and_who_comes_later),
        ON_EVERY_DRIVE(accepts_one_and_the_next_later),
        ON_EVERY_DRIVE(a_second_accept_is_busy),
        ON_EACH_SHARDS(a_canceled_accept_loses_nobody),
        ON_EVERY_DRIVE(connects),
        ON_EVERY_DRIVE(a_refused_connection_says_so),
        ON_EVERY_DRIVE(a_connect_without_an_answer_can_be_ended),
        ON_EVERY_DRIVE(both_ends_may_be_ferrys),
        ON_EACH_SHARDS(ipv6_works_alike),
        ON_EACH_SHARDS(a_host_that_resets_in_the_backlog_does_no_harm),
        ON_EACH_SHARDS(a_borrowed_address_may_change_after_submit),
        ON_EACH_SHARDS(connections_do_not_delay_small_sends),
    };
    return RUN_SUITE(tests);
}
