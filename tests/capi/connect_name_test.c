/*
 * TCP by name: which addresses are tried, in which order and when, and what becomes of the others.
 *
 * The resolver is the test's own (resolver.h), and so is connect: it notes who is tried and plays hosts
 * that lie beyond the loopback. Delays are either so long that a test would never end if it waited for
 * them, or looked at only for having passed.
 */
#include "resolver.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TRIED_MAX = 256, MANY = 100, ROUNDS = 40, QUEUE_LENGTH = 30, LISTENERS_MAX = 4 };

/* --- connect ------------------------------------------------------------------------------- */

static pthread_mutex_t tried_lock = PTHREAD_MUTEX_INITIALIZER;
static uint16_t watched_port;
static ferry_address tried[TRIED_MAX];
static uint64_t tried_at[TRIED_MAX];
static size_t tried_count;

static ferry_address from_system(const struct sockaddr *name) {
    ferry_address address = {0};
    if (name->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)name;
        address.family = FERRY_IPV4;
        address.port = ntohs(in->sin_port);
        memcpy(address.bytes, &in->sin_addr, 4);
    } else if (name->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)name;
        address.family = FERRY_IPV6;
        address.port = ntohs(in6->sin6_port);
        memcpy(address.bytes, &in6->sin6_addr, 16);
    }
    return address;
}

/* Hosts that the test only plays: 192.0.2.0/24 and 2001:db8::/32 are nobody's. Their last byte tells. */
enum { REFUSES = 1, UNREACHABLE = 101 };

static bool is_played(const ferry_address *address) {
    static const uint8_t v4[] = {192, 0, 2};
    static const uint8_t v6[] = {0x20, 0x01, 0x0d, 0xb8};
    return address->family == FERRY_IPV4 ? memcmp(address->bytes, v4, sizeof v4) == 0
                                         : memcmp(address->bytes, v6, sizeof v6) == 0;
}

static int played_error(const ferry_address *address) {
    uint8_t last = address->bytes[address->family == FERRY_IPV4 ? 3 : 15];
    return last >= UNREACHABLE ? EHOSTUNREACH : ECONNREFUSED;
}

/* Under the name of connect, which the C library declares with a type of its own. */
int noted_connect(int fd, const struct sockaddr *name, socklen_t size) __asm__("connect");

int noted_connect(int fd, const struct sockaddr *name, socklen_t size) {
    ferry_address address = from_system(name);
    pthread_mutex_lock(&tried_lock);
    if (address.port != 0 && address.port == watched_port) {
        REQUIRE(tried_count < TRIED_MAX);
        tried_at[tried_count] = now_ns();
        tried[tried_count++] = address;
    }
    pthread_mutex_unlock(&tried_lock);
    if (is_played(&address)) {
        errno = played_error(&address);
        return -1;
    }
    int (*real)(int, const struct sockaddr *, socklen_t);
    *(void **)&real = dlsym(RTLD_NEXT, "connect");
    REQUIRE(real != NULL);
    return real(fd, name, size);
}

/* From now on connections to this port are noted. */
static void watch(uint16_t port) {
    pthread_mutex_lock(&tried_lock);
    watched_port = port;
    tried_count = 0;
    pthread_mutex_unlock(&tried_lock);
}

static size_t count_tried(void) {
    pthread_mutex_lock(&tried_lock);
    size_t count = tried_count;
    pthread_mutex_unlock(&tried_lock);
    return count;
}

static void until_tried(fixture *f, size_t count) {
    while (count_tried() < count) {
        fixture_turn(f, MS);
    }
}

static void expect_tried(const ferry_address *addresses, size_t count) {
    assert_int_equal(count_tried(), count);
    for (size_t i = 0; i < count; i++) {
        ferry_address wanted = addresses[i];
        wanted.port = watched_port;
        assert_memory_equal(&tried[i], &wanted, sizeof wanted);
    }
}

/* --- Hosts --------------------------------------------------------------------------------- */

static ferry_address host(uint8_t last) {
    ferry_address address = {.family = FERRY_IPV4, .bytes = {127, 0, 0, last}};
    return address;
}

static ferry_address played_v4(uint8_t last) {
    ferry_address address = {.family = FERRY_IPV4, .bytes = {192, 0, 2, last}};
    return address;
}

static ferry_address played_v6(uint8_t last) {
    ferry_address address = {.family = FERRY_IPV6, .bytes = {0x20, 0x01, 0x0d, 0xb8, [15] = last}};
    return address;
}

/* A socket on 127.0.0.x and a port; -1 if somebody has it. */
static int try_bind(uint8_t last, uint16_t port) {
    ferry_address address = host(last);
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    memcpy(&in.sin_addr, address.bytes, 4);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(fd >= 0);
    if (bind(fd, (struct sockaddr *)&in, sizeof in) == 0) {
        return fd;
    }
    close(fd);
    return -1;
}

/* Sockets on 127.0.0.2 and so on, all with the same port, which is watched from now on. */
static uint16_t bind_hosts(fixture *f, int *fds, size_t count) {
    for (;;) {
        struct sockaddr_in in;
        socklen_t size = sizeof in;
        size_t bound = 1;
        fds[0] = try_bind(2, 0);
        REQUIRE(fds[0] >= 0 && getsockname(fds[0], (struct sockaddr *)&in, &size) == 0);
        uint16_t port = ntohs(in.sin_port);
        while (bound < count && (fds[bound] = try_bind((uint8_t)(2 + bound), port)) >= 0) {
            bound++;
        }
        if (bound == count) {
            for (size_t i = 0; i < count; i++) {
                fixture_keep(f, fds[i]);
            }
            watch(port);
            return port;
        }
        while (bound > 0) {
            close(fds[--bound]);
        }
    }
}

static void make_good(int fd) {
    REQUIRE(listen(fd, 128) == 0);
}

/* Its backlog of one is full: it does not answer. */
static void make_silent(fixture *f, int fd) {
    struct sockaddr_in in;
    socklen_t size = sizeof in;
    REQUIRE(listen(fd, 0) == 0);
    REQUIRE(getsockname(fd, (struct sockaddr *)&in, &size) == 0);
    uint16_t port = watched_port;
    watch(0);
    int waiting = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(waiting >= 0 && connect(waiting, (struct sockaddr *)&in, size) == 0);
    fixture_keep(f, waiting);
    watch(port);
}

/* --- Requests ------------------------------------------------------------------------------ */

static uint64_t submitted_at;

static ferry_op start(fixture *f, const char *name, uint16_t port, uint64_t delay_ns,
                      uint64_t deadline_ns) {
    ferry_request request;
    ferry_prepare_tcp_connect_name(&request, name, port);
    request.params.connect_name.attempt_delay_ns = delay_ns;
    request.deadline_ns = deadline_ns;
    submitted_at = now_ns();
    return fixture_submit(f, &request);
}

static ferry_completion connect_by_name(fixture *f, const char *name, uint16_t port,
                                        uint64_t delay_ns) {
    return fixture_final(f, start(f, name, port, delay_ns, 0));
}

static void expect_failure(fixture *f, const ferry_completion *connected, ferry_status status,
                           int os_error) {
    assert_status(connected->status, status);
    assert_int_equal(connected->os_error, os_error);
    assert_int_equal(connected->handle, FERRY_NONE);
    assert_int_equal(connected->flags & FERRY_BUFFER, 0);
    assert_info(f, handles_open, 0);
    assert_info(f, buffer_bytes_lent, 0);
}

/* The stream leads to this listener. */
static void expect_connected(fixture *f, const ferry_completion *connected, int listener) {
    assert_status(connected->status, FERRY_OK);
    assert_int_equal(connected->os_error, 0);
    assert_int_equal(connected->flags, 0);
    assert_int_not_equal(connected->handle, FERRY_NONE);
    int peer = fixture_keep(f, peer_accept(listener));
    char got[4];
    ferry_request request;
    ferry_prepare_stream_send(&request, connected->handle, "ahoy", 4);
    assert_status(fixture_do(f, &request).status, FERRY_OK);
    peer_receive(peer, got, 4);
    assert_memory_equal(got, "ahoy", 4);
    assert_info(f, handles_open, 1);
    assert_info(f, buffer_bytes_lent, 0);
}

/* --- It works ------------------------------------------------------------------------------ */

static void a_literal_address(void **state) {
    fixture *f = fixture_open(state);
    int fds[1];
    uint16_t port = bind_hosts(f, fds, 1);
    make_good(fds[0]);
    ferry_completion connected = connect_by_name(f, "127.0.0.2", port, HOUR);
    expect_connected(f, &connected, fds[0]);
    assert_info(f, workers, 0);
}

static void a_name_of_the_system(void **state) {
    fixture *f = fixture_open(state);
    uint16_t port;
    int listener = fixture_keep(f, peer_listen(&port));
    ferry_completion connected = connect_by_name(f, "localhost", port, 0);
    expect_connected(f, &connected, listener);
}

static void the_first_that_answers_is_enough(void **state) {
    fixture *f = fixture_open(state);
    int fds[2];
    uint16_t port = bind_hosts(f, fds, 2);
    make_good(fds[0]);
    make_good(fds[1]);
    ferry_address hosts[] = {host(2), host(3)};
    resolver_teach("two.test", hosts, 2);
    ferry_completion connected = connect_by_name(f, "two.test", port, HOUR);
    expect_connected(f, &connected, fds[0]);
    expect_tried(hosts, 1);
}

static void the_next_follows_a_refusal_at_once(void **state) {
    fixture *f = fixture_open(state);
    int fds[3];
    uint16_t port = bind_hosts(f, fds, 3);
    make_good(fds[2]);
    ferry_address hosts[] = {host(2), played_v4(REFUSES), host(3), host(4)};
    resolver_teach("third.test", hosts, 4);
    ferry_completion connected = connect_by_name(f, "third.test", port, HOUR);
    expect_connected(f, &connected, fds[2]);
    expect_tried(hosts, 4);
}

static void the_next_follows_a_silence_after_the_delay(void **state) {
    fixture *f = fixture_open(state);
    int fds[2];
    uint16_t port = bind_hosts(f, fds, 2);
    make_silent(f, fds[0]);
    make_good(fds[1]);
    ferry_address hosts[] = {host(2), host(3)};
    resolver_teach("second.test", hosts, 2);
    ferry_completion connected = connect_by_name(f, "second.test", port, 30 * MS);
    expect_connected(f, &connected, fds[1]);
    expect_tried(hosts, 2);
    assert_true(tried_at[1] - submitted_at >= 30 * MS);
}

static void the_usual_delay(void **state) {
    fixture *f = fixture_open(state);
    int fds[2];
    uint16_t port = bind_hosts(f, fds, 2);
    make_silent(f, fds[0]);
    make_good(fds[1]);
    ferry_address hosts[] = {host(2), host(3)};
    resolver_teach("second.test", hosts, 2);
    ferry_completion connected = connect_by_name(f, "second.test", port, 0);
    expect_connected(f, &connected, fds[1]);
    assert_true(tried_at[1] - submitted_at >= 250 * MS);
}

/* One is silent, the next is tried beside it and refuses: the third does not wait. */
static void a_refusal_beside_a_silence(void **state) {
    fixture *f = fixture_open(state);
    int fds[3];
    uint16_t port = bind_hosts(f, fds, 3);
    make_silent(f, fds[0]);
    make_good(fds[2]);
    ferry_address hosts[] = {host(2), host(3), host(4)};
    resolver_teach("third.test", hosts, 3);
    ferry_completion connected = connect_by_name(f, "third.test", port, 10 * MS);
    expect_connected(f, &connected, fds[2]);
    expect_tried(hosts, 3);
    assert_true(tried_at[1] - submitted_at >= 10 * MS);
}

/* The first is slow to answer, but does so while the second is silent, too. */
static void an_earlier_one_may_still_win(void **state) {
    fixture *f = fixture_open(state);
    int fds[2];
    uint16_t port = bind_hosts(f, fds, 2);
    make_silent(f, fds[0]);
    make_silent(f, fds[1]);
    ferry_address hosts[] = {host(2), host(3)};
    resolver_teach("slow.test", hosts, 2);
    ferry_op op = start(f, "slow.test", port, MS, 0);
    until_tried(f, 2);
    /* Room in its backlog: the system's next try, a second later, gets through. */
    fixture_keep(f, peer_accept(fds[0]));
    ferry_completion connected = fixture_final(f, op);
    expect_connected(f, &connected, fds[0]);
    expect_tried(hosts, 2);
}

/* --- The order ------------------------------------------------------------------------------ */

static bool have_ipv6_sockets(void) {
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

static void families_take_turns(void **state) {
    fixture *f = fixture_open(state);
    if (!have_ipv6_sockets()) {
        SKIP_BECAUSE("this machine has no IPv6");
    }
    ferry_address given[] = {played_v6(1), played_v6(2), played_v6(3),
                             played_v4(1), played_v4(2), played_v4(UNREACHABLE)};
    ferry_address order[] = {played_v6(1), played_v4(1), played_v6(2),
                             played_v4(2), played_v6(3), played_v4(UNREACHABLE)};
    resolver_teach("both.test", given, 6);
    watch(4711);
    ferry_completion connected = connect_by_name(f, "both.test", 4711, HOUR);
    /* The last one's own error. */
    expect_failure(f, &connected, FERRY_E_HOST_UNREACHABLE, EHOSTUNREACH);
    expect_tried(order, 6);
}

static void all_refuse(void **state) {
    fixture *f = fixture_open(state);
    int fds[3];
    uint16_t port = bind_hosts(f, fds, 3);
    ferry_address hosts[] = {played_v4(UNREACHABLE), host(2), host(3), host(4)};
    resolver_teach("none.test", hosts, 4);
    ferry_completion connected = connect_by_name(f, "none.test", port, HOUR);
    expect_failure(f, &connected, FERRY_E_CONNECTION_REFUSED, ECONNREFUSED);
    expect_tried(hosts, 4);
}

/* Of more addresses than a request may have children the first are tried. */
static void very_many_addresses(void **state) {
    fixture *f = fixture_open(state);
    ferry_address many[MANY];
    for (size_t i = 0; i < MANY; i++) {
        many[i] = played_v4((uint8_t)(1 + i));
    }
    resolver_teach("many.test", many, MANY);
    watch(4711);
    ferry_completion connected = connect_by_name(f, "many.test", 4711, HOUR);
    expect_failure(f, &connected, FERRY_E_CONNECTION_REFUSED, ECONNREFUSED);
    expect_tried(many, FERRY_CHILDREN_MAX);
}

static void a_name_without_an_address(void **state) {
    fixture *f = fixture_open(state);
    resolver_teach_failure("missing.test", EAI_NONAME, 0);
    resolver_teach_failure("later.test", EAI_AGAIN, 0);
    watch(4711);
    ferry_completion connected = connect_by_name(f, "missing.test", 4711, 0);
    expect_failure(f, &connected, FERRY_E_NAME_NOT_FOUND, EAI_NONAME);
    connected = connect_by_name(f, "later.test", 4711, 0);
    expect_failure(f, &connected, FERRY_E_NAME_TRY_AGAIN, EAI_AGAIN);
    expect_tried(NULL, 0);
}

static void the_name_may_change_after_submit(void **state) {
    fixture *f = fixture_open(state);
    int fds[1];
    uint16_t port = bind_hosts(f, fds, 1);
    make_good(fds[0]);
    ferry_address address = host(2);
    char *name = fixture_memory(f, FERRY_NAME_MAX + 1);
    static const size_t sizes[] = {10, FERRY_NAME_MAX};
    for (size_t i = 0; i < 2; i++) {
        memset(name, 'a' + (int)i, sizes[i]);
        memcpy(name + sizes[i] - 5, ".test", 6);
        resolver_teach(name, &address, 1);
        ferry_op op = start(f, name, port, 0, 0);
        memset(name, 'x', sizes[i]);
        ferry_completion connected = fixture_final(f, op);
        expect_connected(f, &connected, fds[0]);
        fixture_close_handle(f, connected.handle);
    }
}

static void bad_arguments_are_refused(void **state) {
    fixture *f = fixture_open(state);
    char *name = fixture_memory(f, FERRY_NAME_MAX + 2);
    memset(name, 'x', FERRY_NAME_MAX + 1);
    name[FERRY_NAME_MAX + 1] = '\0';
    ferry_request request;
    ferry_prepare_tcp_connect_name(&request, NULL, 80);
    assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_INVALID);
    ferry_prepare_tcp_connect_name(&request, "", 80);
    assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_INVALID);
    ferry_prepare_tcp_connect_name(&request, "127.0.0.1", 0);
    assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_INVALID);
    request.params.connect_name.port = 65536;
    assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_INVALID);
    request.params.connect_name.port = UINT64_MAX;
    assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_INVALID);
    ferry_prepare_tcp_connect_name(&request, name, 80);
    assert_status(fixture_try(f, &request, 1, NULL, NULL), FERRY_E_NAME_TOO_LONG);
}

/* Once the drive has opened what it waits on. */
static size_t settled_descriptors(fixture *f) {
    fixture_turn(f, MS);
    return count_descriptors();
}

/* --- The others are closed ------------------------------------------------------------------ */

/* All answer, and so quickly after each other that more than one may have come about. */
static void late_connections_are_closed(void **state) {
    fixture *f = fixture_open(state);
    int fds[LISTENERS_MAX];
    uint16_t port = bind_hosts(f, fds, LISTENERS_MAX);
    ferry_address hosts[LISTENERS_MAX];
    for (size_t i = 0; i < LISTENERS_MAX; i++) {
        make_good(fds[i]);
        hosts[i] = host((uint8_t)(2 + i));
    }
    resolver_teach("all.test", hosts, LISTENERS_MAX);
    size_t descriptors = 0;
    for (int round = 0; round < ROUNDS; round++) {
        watch(port);
        ferry_completion connected = connect_by_name(f, "all.test", port, 1);
        assert_status(connected.status, FERRY_OK);
        assert_info(f, handles_open, 1);
        size_t count = count_tried();
        assert_in_range(count, 1, LISTENERS_MAX);
        expect_tried(hosts, count);
        fixture_close_handle(f, connected.handle);
        if (round == 0) {
            descriptors = count_descriptors();
        }
        assert_int_equal(count_descriptors(), descriptors);
    }
    /* Every connection that ever came about has seen its end. */
    for (size_t i = 0; i < LISTENERS_MAX; i++) {
        REQUIRE(fcntl(fds[i], F_SETFL, O_NONBLOCK) == 0);
        for (int peer; (peer = accept4(fds[i], NULL, NULL, SOCK_CLOEXEC)) >= 0; close(peer)) {
            assert_true(peer_sees_end(peer));
        }
    }
}

/* A loser that was still on its way: its host never hears of it again. */
static void a_loser_gives_up(void **state) {
    fixture *f = fixture_open(state);
    int fds[2];
    uint16_t port = bind_hosts(f, fds, 2);
    make_silent(f, fds[0]);
    make_good(fds[1]);
    ferry_address hosts[] = {host(2), host(3)};
    resolver_teach("second.test", hosts, 2);
    size_t descriptors = settled_descriptors(f);
    ferry_completion connected = connect_by_name(f, "second.test", port, MS);
    assert_status(connected.status, FERRY_OK);
    assert_int_equal(count_descriptors(), descriptors + 1);
    assert_info(f, handles_open, 1);
    fixture_close_handle(f, connected.handle);
    assert_int_equal(count_descriptors(), descriptors);
}

/* --- Ends before that ----------------------------------------------------------------------- */

typedef enum end { CANCELED, DEADLINE, SHUTDOWN } end;

static const ferry_status status_of_end[] = {FERRY_E_CANCELED, FERRY_E_TIMED_OUT, FERRY_E_SHUTDOWN};

/* End it in this way; name_holds: while the resolver hangs in it. */
static void end_it(fixture *f, ferry_op op, end how, bool name_holds) {
    if (how == CANCELED) {
        fixture_cancel(f, op);
    } else if (how == SHUTDOWN) {
        assert_status(ferry_engine_shutdown(f->engine, name_holds ? 50 * MS : FERRY_FOREVER),
                      name_holds ? FERRY_E_TIMED_OUT : FERRY_OK);
    }
    ferry_completion ended = fixture_final(f, op);
    assert_status(ended.status, status_of_end[how]);
    assert_int_equal(ended.handle, FERRY_NONE);
    assert_int_equal(fixture_info(f).handles_open, 0);
}

static void ends_while_resolving(void **state, end how) {
    fixture *f = fixture_open(state);
    resolver_teach_silence("silent.test");
    watch(4711);
    ferry_op op = start(f, "silent.test", 4711, 0, how == DEADLINE ? 50 * MS : 0);
    while (how != DEADLINE && resolver_hanging() == 0) {
        fixture_turn(f, MS);
    }
    end_it(f, op, how, true);
    expect_tried(NULL, 0);
    resolver_release();
    assert_info(f, workers_detached, 0);
    expect_tried(NULL, 0);
}

static void canceled_while_resolving(void **state) {
    ends_while_resolving(state, CANCELED);
}

static void deadline_while_resolving(void **state) {
    ends_while_resolving(state, DEADLINE);
}

static void shutdown_while_resolving(void **state) {
    ends_while_resolving(state, SHUTDOWN);
}

/* While so many of three silent hosts are being tried: the first, or all beside each other. */
static void ends_while_trying(void **state, size_t at_work, end how) {
    fixture *f = fixture_open(state);
    int fds[3];
    uint16_t port = bind_hosts(f, fds, 3);
    ferry_address hosts[] = {host(2), host(3), host(4)};
    for (size_t i = 0; i < 3; i++) {
        make_silent(f, fds[i]);
    }
    resolver_teach("silent.test", hosts, 3);
    size_t descriptors = settled_descriptors(f);
    uint64_t deadline_ns = how == DEADLINE ? 60 * MS : 0;
    ferry_op op = start(f, "silent.test", port, at_work == 1 ? HOUR : MS, deadline_ns);
    if (how != DEADLINE) {
        until_tried(f, at_work);
        fixture_linger(f, 5 * MS);
        assert_false(fixture_has(f, op));
    }
    end_it(f, op, how, false);
    assert_true(how != DEADLINE || now_ns() - submitted_at >= deadline_ns);
    if (how != DEADLINE) {
        expect_tried(hosts, at_work);
    }
    if (how != SHUTDOWN) {
        assert_int_equal(count_descriptors(), descriptors);
    }
}

static void canceled_at_the_first(void **state) {
    ends_while_trying(state, 1, CANCELED);
}

static void deadline_at_the_first(void **state) {
    ends_while_trying(state, 1, DEADLINE);
}

static void shutdown_at_the_first(void **state) {
    ends_while_trying(state, 1, SHUTDOWN);
}

static void canceled_with_all_at_work(void **state) {
    ends_while_trying(state, 3, CANCELED);
}

static void deadline_with_all_at_work(void **state) {
    ends_while_trying(state, 3, DEADLINE);
}

static void shutdown_with_all_at_work(void **state) {
    ends_while_trying(state, 3, SHUTDOWN);
}

static void canceled_after_its_end(void **state) {
    fixture *f = fixture_open(state);
    int fds[1];
    uint16_t port = bind_hosts(f, fds, 1);
    make_good(fds[0]);
    ferry_op op = start(f, "127.0.0.2", port, 0, 0);
    ferry_completion connected = fixture_final(f, op);
    assert_status(ferry_queue_cancel(f->queue, op), FERRY_E_TOO_LATE);
    expect_connected(f, &connected, fds[0]);
}

/* --- With others ---------------------------------------------------------------------------- */

static void as_a_child(void **state) {
    fixture *f = fixture_open(state);
    int fds[2];
    uint16_t port = bind_hosts(f, fds, 2);
    make_good(fds[1]);
    ferry_address hosts[] = {host(2), host(3)};
    resolver_teach("second.test", hosts, 2);
    ferry_request children[2];
    ferry_request request;
    ferry_prepare_tcp_connect_name(&children[0], "second.test", port);
    children[0].params.connect_name.attempt_delay_ns = HOUR;
    ferry_prepare_stream_send(&children[1], ferry_child_handle(0, 0), "ahoy", 4);
    ferry_prepare_chain(&request, children, 2);
    ferry_completion done = fixture_do(f, &request);
    assert_status(done.status, FERRY_OK);
    fixture_release(f, &done);
    int peer = fixture_keep(f, peer_accept(fds[1]));
    char got[4];
    peer_receive(peer, got, 4);
    assert_memory_equal(got, "ahoy", 4);
    assert_info(f, handles_open, 1);
}

/* Attempts end and delays are over while others stand before this one and the budget is used up. */
static void with_a_budget_that_is_always_used_up(void **state) {
    fixture *f = fixture_open(state);
    ferry_address hosts[] = {played_v4(1), played_v4(2), played_v4(3), played_v4(4)};
    resolver_teach("none.test", hosts, 4);
    ferry_request nops[QUEUE_LENGTH];
    for (size_t i = 0; i < QUEUE_LENGTH; i++) {
        ferry_prepare_nop(&nops[i]);
    }
    assert_status(ferry_engine_run(f->engine, 0, 0, NULL), FERRY_OK);
    for (int round = 0; round < ROUNDS; round++) {
        watch(4711);
        ferry_op op = start(f, "none.test", 4711, (uint64_t)(1 + round) * 50 * US, 0);
        for (int turn = 0; !fixture_has(f, op); turn++) {
            assert_status(ferry_engine_run(f->engine, 0, 1, NULL), FERRY_OK);
            if (turn < 200) {
                fixture_submit_all(f, nops, turn == 0 ? QUEUE_LENGTH : 2, NULL);
            }
            sleep_ns(50 * US);
            fixture_collect(f);
        }
        ferry_completion connected = fixture_final(f, op);
        expect_failure(f, &connected, FERRY_E_CONNECTION_REFUSED, ECONNREFUSED);
        expect_tried(hosts, 4);
        fixture_drain(f);
    }
}

/* Shutdown may have closed what the attempts connected to before the whole hears of them. */
static void shutdown_between_attempts_and_whole(void **state) {
    fixture *f = fixture_open(state);
    int fds[LISTENERS_MAX];
    uint16_t port = bind_hosts(f, fds, LISTENERS_MAX);
    ferry_address hosts[LISTENERS_MAX];
    for (size_t i = 0; i < LISTENERS_MAX; i++) {
        make_good(fds[i]);
        hosts[i] = host((uint8_t)(2 + i));
    }
    resolver_teach("all.test", hosts, LISTENERS_MAX);
    assert_status(ferry_engine_run(f->engine, 0, 0, NULL), FERRY_OK);
    ferry_op op = start(f, "all.test", port, 1, 0);
    /* One step in each run, and events are gathered before any operation goes on. */
    while (fixture_info(f).handles_open < 2) {
        assert_false(fixture_has(f, op));
        assert_status(ferry_engine_run(f->engine, 0, 1, NULL), FERRY_OK);
        sleep_ns(MS);
        fixture_collect(f);
    }
    assert_false(fixture_has(f, op));
    fixture_shutdown(f);
    fixture_final(f, op);
    assert_int_equal(fixture_info(f).handles_open, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RESOLVER_ON_EVERY_DRIVE(a_literal_address),
        RESOLVER_ON_EACH_SHARDS(a_name_of_the_system),
        RESOLVER_ON_EVERY_DRIVE(the_first_that_answers_is_enough),
        RESOLVER_ON_EVERY_DRIVE(the_next_follows_a_refusal_at_once),
        RESOLVER_ON_EVERY_DRIVE(the_next_follows_a_silence_after_the_delay),
        RESOLVER_ON(the_usual_delay, host),
        RESOLVER_ON_EACH_SHARDS(a_refusal_beside_a_silence),
        RESOLVER_ON_EACH_SHARDS(an_earlier_one_may_still_win),
        RESOLVER_ON_EACH_SHARDS(families_take_turns),
        RESOLVER_ON_EACH_SHARDS(all_refuse),
        RESOLVER_ON_EACH_SHARDS(very_many_addresses),
        RESOLVER_ON_EACH_SHARDS(a_name_without_an_address),
        RESOLVER_ON_EACH_SHARDS(the_name_may_change_after_submit),
        RESOLVER_ON_EACH_SHARDS(bad_arguments_are_refused),
        RESOLVER_ON_EVERY_DRIVE(late_connections_are_closed),
        RESOLVER_ON_EACH_SHARDS(a_loser_gives_up),
        RESOLVER_ON_EACH_SHARDS(canceled_while_resolving),
        RESOLVER_ON_EACH_SHARDS(deadline_while_resolving),
        RESOLVER_ON_EACH_SHARDS(shutdown_while_resolving),
        RESOLVER_ON_EVERY_DRIVE(canceled_at_the_first),
        RESOLVER_ON_EVERY_DRIVE(deadline_at_the_first),
        RESOLVER_ON_EVERY_DRIVE(shutdown_at_the_first),
        RESOLVER_ON_EVERY_DRIVE(canceled_with_all_at_work),
        RESOLVER_ON_EVERY_DRIVE(deadline_with_all_at_work),
        RESOLVER_ON_EVERY_DRIVE(shutdown_with_all_at_work),
        RESOLVER_ON_EACH_SHARDS(canceled_after_its_end),
        RESOLVER_ON_EACH_SHARDS(as_a_child),
        RESOLVER_ON(with_a_budget_that_is_always_used_up, host),
        RESOLVER_ON(shutdown_between_attempts_and_whole, host),
    };
    fixture_ring_without = FERRY_RING_CONNECT;
    return RUN_SUITE(tests);
}
