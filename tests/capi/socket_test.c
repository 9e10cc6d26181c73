/*
 * Options and addresses of sockets: what was set is what the system says, and what does not fit is
 * refused. The system is asked through the descriptor that release gives back.
 */
#include "fixture.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <string.h>
#include <unistd.h>

static ferry_completion set(fixture *f, ferry_handle socket, uint32_t option, int64_t value) {
    ferry_request request;
    ferry_prepare_socket_set(&request, socket, option, value);
    return fixture_do(f, &request);
}

static int release(fixture *f, ferry_handle handle) {
    ferry_request request;
    ferry_prepare_descriptor_release(&request, handle);
    ferry_completion released = fixture_do(f, &request);
    assert_status(released.status, FERRY_OK);
    assert_true(released.result >= 0);
    return fixture_keep(f, (int)released.result);
}

static ferry_completion adopt(fixture *f, int fd, uint32_t kind) {
    ferry_request request;
    ferry_prepare_descriptor_adopt(&request, fd, kind);
    return fixture_do(f, &request);
}

static int option_of(int fd, int level, int option) {
    int value = -1;
    socklen_t size = sizeof value;
    REQUIRE(getsockopt(fd, level, option, &value, &size) == 0);
    return value;
}

static void what_is_set_is_set(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    assert_status(set(f, stream, FERRY_SOCKET_NO_DELAY, 0).status, FERRY_OK);
    assert_status(set(f, stream, FERRY_SOCKET_KEEP_ALIVE, 120).status, FERRY_OK);
    assert_status(set(f, stream, FERRY_SOCKET_RECEIVE_BUFFER, 20000).status, FERRY_OK);
    assert_status(set(f, stream, FERRY_SOCKET_SEND_BUFFER, 30000).status, FERRY_OK);
    assert_status(set(f, stream, FERRY_SOCKET_LINGER, 3).status, FERRY_OK);
    int fd = release(f, stream);
    assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_NODELAY), 0);
    assert_int_equal(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE), 120);
    assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL), 12);
    assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_KEEPCNT), 10);
    assert_int_equal(option_of(fd, SOL_SOCKET, SO_RCVBUF), 40000);
    assert_int_equal(option_of(fd, SOL_SOCKET, SO_SNDBUF), 60000);
    struct linger linger = {0};
    socklen_t size = sizeof linger;
    REQUIRE(getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &size) == 0);
    assert_int_equal(linger.l_onoff, 1);
    assert_int_equal(linger.l_linger, 3);
}

static void what_is_unset_is_unset(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    assert_status(set(f, stream, FERRY_SOCKET_NO_DELAY, 0).status, FERRY_OK);
    assert_status(set(f, stream, FERRY_SOCKET_NO_DELAY, 1).status, FERRY_OK);
    assert_status(set(f, stream, FERRY_SOCKET_KEEP_ALIVE, 5).status, FERRY_OK);
    assert_status(set(f, stream, FERRY_SOCKET_KEEP_ALIVE, 0).status, FERRY_OK);
    assert_status(set(f, stream, FERRY_SOCKET_LINGER, 0).status, FERRY_OK);
    assert_status(set(f, stream, FERRY_SOCKET_LINGER, -1).status, FERRY_OK);
    int fd = release(f, stream);
    assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_NODELAY), 1);
    assert_int_equal(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
    assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL), 1);
    struct linger linger = {0};
    socklen_t size = sizeof linger;
    REQUIRE(getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &size) == 0);
    assert_int_equal(linger.l_onoff, 0);
}

static void no_linger_is_a_reset(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    assert_status(set(f, stream, FERRY_SOCKET_LINGER, 0).status, FERRY_OK);
    fixture_close_handle(f, stream);
    char byte;
    fixture_until_readable(f, peer);
    assert_int_equal(recv(peer, &byte, 1, 0), -1);
}

/* Closing blocks in the system for as long as bytes linger: nobody else may feel it. */
static void a_lingering_close_holds_nobody_up(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_narrow_stream(f, &peer);
    assert_status(set(f, stream, FERRY_SOCKET_LINGER, 30).status, FERRY_OK);
    ferry_op stuck = fixture_stuck_send(f, stream, 0);
    fixture_until_readable(f, peer);
    uint64_t begin = now_ns();
    fixture_close_handle(f, stream);
    ferry_completion ended = fixture_final(f, stuck);
    assert_status(ended.status, FERRY_E_CLOSED);
    ferry_request request;
    ferry_prepare_nop(&request);
    assert_status(fixture_do(f, &request).status, FERRY_OK);
    assert_true(now_ns() - begin < 20 * SECOND);
    /* What lingers is taken, and the worker comes back. */
    unsigned char *rest = fixture_memory(f, FIXTURE_STUCK_SIZE);
    assert_int_equal(peer_receive_all(peer, rest, FIXTURE_STUCK_SIZE), ended.result);
}

static void listeners_take_buffer_sizes_only(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    ferry_handle listener = fixture_listen(f, &port);
    assert_status(set(f, listener, FERRY_SOCKET_RECEIVE_BUFFER, 20000).status, FERRY_OK);
    assert_status(set(f, listener, FERRY_SOCKET_SEND_BUFFER, 20000).status, FERRY_OK);
    assert_status(set(f, listener, FERRY_SOCKET_NO_DELAY, 1).status, FERRY_E_UNSUPPORTED);
    assert_status(set(f, listener, FERRY_SOCKET_KEEP_ALIVE, 1).status, FERRY_E_UNSUPPORTED);
    assert_status(set(f, listener, FERRY_SOCKET_LINGER, 1).status, FERRY_E_UNSUPPORTED);
    fixture_keep(f, peer_connect(port));
    ferry_request request;
    ferry_prepare_tcp_accept(&request, listener);
    request.flags = 0;
    int fd = release(f, fixture_do(f, &request).handle);
    assert_int_equal(option_of(fd, SOL_SOCKET, SO_RCVBUF), 40000);
}

static void bad_values_are_refused(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    ferry_handle stream = fixture_stream(f, &peer);
    static const struct {
        uint32_t option;
        int64_t value;
        ferry_status status;
    } bad[] = {
        {0, 1, FERRY_E_UNSUPPORTED},
        {6, 1, FERRY_E_UNSUPPORTED},
        {UINT32_MAX, 1, FERRY_E_UNSUPPORTED},
        {FERRY_SOCKET_NO_DELAY, 2, FERRY_E_INVALID},
        {FERRY_SOCKET_NO_DELAY, -1, FERRY_E_INVALID},
        {FERRY_SOCKET_KEEP_ALIVE, 32768, FERRY_E_INVALID},
        {FERRY_SOCKET_KEEP_ALIVE, -1, FERRY_E_INVALID},
        {FERRY_SOCKET_RECEIVE_BUFFER, 0, FERRY_E_INVALID},
        {FERRY_SOCKET_SEND_BUFFER, (1 << 30) + 1, FERRY_E_INVALID},
        {FERRY_SOCKET_LINGER, -2, FERRY_E_INVALID},
        {FERRY_SOCKET_LINGER, INT64_MAX, FERRY_E_INVALID},
    };
    ferry_request request;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ferry_prepare_socket_set(&request, stream, bad[i].option, bad[i].value);
        assert_status(fixture_try(f, &request, 1, NULL, NULL), bad[i].status);
    }
    ferry_prepare_socket_set(&request, stream, FERRY_SOCKET_NO_DELAY, 1);
    request.params.socket_set.reserved = 1;
    assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_UNSUPPORTED);
    ferry_prepare_socket_peer_address(&request, stream);
    request.params.socket_address.peer = 2;
    assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_INVALID);
    fixture_close_handle(f, stream);
    assert_status(set(f, stream, FERRY_SOCKET_NO_DELAY, 1).status, FERRY_E_STALE);
}

static ferry_address address_of(fixture *f, ferry_handle socket, bool peer) {
    ferry_request request;
    if (peer) {
        ferry_prepare_socket_peer_address(&request, socket);
    } else {
        ferry_prepare_socket_local_address(&request, socket);
    }
    ferry_completion got = fixture_do(f, &request);
    assert_status(got.status, FERRY_OK);
    assert_int_equal(got.flags, FERRY_BUFFER);
    assert_int_equal(got.result, sizeof(ferry_address));
    ferry_address address;
    memcpy(&address, got.data, sizeof address);
    fixture_release(f, &got);
    return address;
}

static void addresses_are_the_systems(void **state) {
    fixture *f = fixture_open(state);
    int peer;
    uint16_t port;
    ferry_handle stream = fixture_stream(f, &peer);
    struct sockaddr_in name;
    socklen_t size = sizeof name;
    REQUIRE(getpeername(peer, (struct sockaddr *)&name, &size) == 0);
    ferry_address expected = loopback(ntohs(name.sin_port));
    ferry_address got = address_of(f, stream, false);
    assert_memory_equal(&got, &expected, sizeof got);
    REQUIRE(getsockname(peer, (struct sockaddr *)&name, &size) == 0);
    expected = loopback(ntohs(name.sin_port));
    got = address_of(f, stream, true);
    assert_memory_equal(&got, &expected, sizeof got);
    ferry_handle listener = fixture_listen(f, &port);
    expected = loopback(port);
    got = address_of(f, listener, false);
    assert_memory_equal(&got, &expected, sizeof got);
    ferry_request request;
    ferry_prepare_socket_peer_address(&request, listener);
    assert_status(fixture_do(f, &request).status, FERRY_E_NOT_CONNECTED);
    fixture_close_handle(f, listener);
    ferry_prepare_socket_local_address(&request, listener);
    assert_status(fixture_do(f, &request).status, FERRY_E_STALE);
    assert_info(f, buffers_lent, 0);
}

static void addresses_of_the_new_kind(void **state) {
    fixture *f = fixture_open(state);
    ferry_address address = {.family = FERRY_IPV6, .bytes = {[15] = 1}};
    ferry_request request;
    ferry_prepare_tcp_listen(&request, &address, 0);
    ferry_completion listening = fixture_do(f, &request);
    if (listening.status == FERRY_E_ADDRESS_NOT_AVAILABLE ||
        listening.status == FERRY_E_ADDRESS_FAMILY) {
        SKIP_BECAUSE("this system has no IPv6 loopback");
    }
    assert_status(listening.status, FERRY_OK);
    address.port = (uint16_t)listening.result;
    ferry_address got = address_of(f, listening.handle, false);
    assert_memory_equal(&got, &address, sizeof got);
    ferry_prepare_tcp_connect(&request, &address);
    ferry_handle stream = fixture_do(f, &request).handle;
    got = address_of(f, stream, true);
    assert_memory_equal(&got, &address, sizeof got);
}

static void a_unix_socket_has_less_to_set(void **state) {
    fixture *f = fixture_open(state);
    int pair[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    fixture_keep(f, pair[1]);
    ferry_completion adopted = adopt(f, pair[0], FERRY_DESCRIPTOR_STREAM);
    assert_status(adopted.status, FERRY_OK);
    ferry_handle stream = adopted.handle;
    assert_status(set(f, stream, FERRY_SOCKET_NO_DELAY, 1).status, FERRY_E_UNSUPPORTED);
    assert_status(set(f, stream, FERRY_SOCKET_KEEP_ALIVE, 0).status, FERRY_E_UNSUPPORTED);
    assert_status(set(f, stream, FERRY_SOCKET_SEND_BUFFER, 50000).status, FERRY_OK);
    ferry_request request;
    ferry_prepare_socket_local_address(&request, stream);
    assert_status(fixture_do(f, &request).status, FERRY_E_ADDRESS_FAMILY);
    ferry_prepare_socket_peer_address(&request, stream);
    assert_status(fixture_do(f, &request).status, FERRY_E_ADDRESS_FAMILY);
}

/* --- Where a connection comes from --------------------------------------------------------- */

static ferry_completion connect_from(fixture *f, uint16_t port, const ferry_address *local) {
    ferry_address address = loopback(port);
    ferry_request request;
    ferry_prepare_tcp_connect_from(&request, &address, local);
    return fixture_do(f, &request);
}

static void a_connection_comes_from_where_it_should(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    fixture_keep(f, peer_listen(&port));
    ferry_address local = {.family = FERRY_IPV4, .bytes = {127, 1, 2, 3}};
    ferry_completion first = connect_from(f, port, &local);
    assert_status(first.status, FERRY_OK);
    ferry_address got = address_of(f, first.handle, false);
    assert_memory_equal(got.bytes, local.bytes, 16);
    assert_int_not_equal(got.port, 0);
    /* A port of one's own: taken, as long as the same peer is meant. */
    ferry_completion second = connect_from(f, port, &got);
    assert_status_either(second.status, FERRY_E_ADDRESS_IN_USE, FERRY_E_ADDRESS_NOT_AVAILABLE);
    assert_int_not_equal(second.os_error, 0);
    ferry_address elsewhere = {.family = FERRY_IPV4, .bytes = {192, 0, 2, 1}};
    assert_status(connect_from(f, port, &elsewhere).status, FERRY_E_ADDRESS_NOT_AVAILABLE);
    uint16_t free_port;
    close(peer_refuse(&free_port));
    local = loopback(free_port);
    ferry_completion third = connect_from(f, port, &local);
    assert_status(third.status, FERRY_OK);
    got = address_of(f, third.handle, false);
    assert_int_equal(got.port, free_port);
}

static void a_wrong_local_address_is_refused(void **state) {
    fixture *f = fixture_open(state);
    ferry_address address = loopback(1);
    ferry_address local = {.family = FERRY_IPV6, .bytes = {[15] = 1}};
    ferry_request request;
    ferry_prepare_tcp_connect_from(&request, &address, &local);
    assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_INVALID);
    local = loopback(0);
    local.family = 0;
    ferry_prepare_tcp_connect_from(&request, &address, &local);
    assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_INVALID);
    local = loopback(0);
    local.reserved = 1;
    ferry_prepare_tcp_connect_from(&request, &address, &local);
    assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_UNSUPPORTED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EVERY_DRIVE(what_is_set_is_set),
        ON_EACH_SHARDS(what_is_unset_is_unset),
        ON_EACH_SHARDS(no_linger_is_a_reset),
        ON_EACH_SHARDS(a_lingering_close_holds_nobody_up),
        ON_EACH_SHARDS(listeners_take_buffer_sizes_only),
        ON_EACH_SHARDS(bad_values_are_refused),
        ON_EVERY_DRIVE(addresses_are_the_systems),
        ON_EACH_SHARDS(addresses_of_the_new_kind),
        ON_EACH_SHARDS(a_unix_socket_has_less_to_set),
        ON_EACH_SHARDS(a_connection_comes_from_where_it_should),
        ON_EACH_SHARDS(a_wrong_local_address_is_refused),
    };
    return RUN_SUITE(tests);
}
